//! `/openapi.json` against the server that it describes, by schemathesis: requests of all kinds, good and bad, and whatever comes
//! back must be described; and what an answer leads to, in the order that it leads to it.

use anyhow::ensure;
use e2e::{Home, Library, Signal, WorkerProcess, account, run};

/// Without chance, so that a failure is there again the next time.
const SEED: &str = "1";
/// Requests that are drawn for each operation, beside those that cover each constraint of its description once.
const EXAMPLES: &str = "15";

const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/foreign/schemathesis.toml");
/// Has work asked for that leads to something.
const HOOKS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/foreign/schemathesis_links.py");
/// What is looked at in each answer.
const CHECKS: &str =
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";

#[test]
fn the_server_answers_as_it_is_described() -> anyhow::Result<()> {
    if !Library::Schemathesis.is_there("the description of /v1 against the server") {
        return Ok(());
    }
    let (home, wallet) = Home::with_wallet(1_000_000)?;
    let mut command = home.listening_command(&["serve"])?;
    // It asks as fast as it can.
    let server = home.serve_with(
        command.env("DPOW_LIMITS__REQUESTS_PER_SECOND", "100000").env("DPOW_LIMITS__BURST", "100000"),
    )?;
    let worker = WorkerProcess::start(server.mqtt_addr(), account(1))?;
    worker.wait_until_is_connected(true)?;

    let tried = |arguments: &[&str], hooks: &[(&str, &str)]| {
        let mut command = Library::Schemathesis.module("schemathesis.cli");
        command.envs(hooks.iter().copied()).current_dir(home.path());
        command.args(["--config-file", CONFIG, "--no-color", "run"]);
        command.arg(format!("http://{}/openapi.json", server.http_addr()));
        command.args(["--header", &format!("Authorization: Bearer {}", wallet.key), "--checks", CHECKS]);
        command.args(["--seed", SEED, "--workers", "2", "--request-timeout", "40"]).args(arguments);
        // How fast the machine is is not the question.
        command.args(["--suppress-health-check", "all"]);
        let finished = run("schemathesis", &mut command)?;
        ensure!(finished.status.success(), "{}\n{}", finished.stdout, finished.stderr);
        Ok(finished.stdout)
    };
    let each = ["--phases", "examples,coverage,fuzzing", "--mode", "all", "--max-examples", EXAMPLES];
    let printed = tried(&each, &[])?;
    // It has asked for work and got some, and has sent what is none.
    for code in ["ok", "malformed"] {
        let series = format!("dpow_http_requests_total{{route=\"/v1/work/batch\",code=\"{code}\"}}");
        ensure!(server.client().metric(&series)? > 0, "{series} is 0: {printed}");
    }
    // Nobody can guess the name of a request that is there: what an answer leads to was followed.
    let operations = ["work", "status", "events", "withdraw"];
    let following = operations.iter().flat_map(|operation| ["--include-operation-id", operation]);
    let following: Vec<&str> = ["--phases", "stateful", "--mode", "positive", "--max-examples", "30"]
        .into_iter()
        .chain(following)
        .collect();
    let printed = tried(&following, &[("SCHEMATHESIS_HOOKS", HOOKS), ("PYTHONDONTWRITEBYTECODE", "1")])?;
    for route in ["/v1/work/{request_id}", "/v1/work/{request_id}/events"] {
        let series = format!("dpow_http_requests_total{{route=\"{route}\",code=\"ok\"}}");
        ensure!(server.client().metric(&series)? > 0, "{series} is 0: {printed}");
    }
    worker.stop()?;
    server.stop(Signal::Terminate)?;
    Ok(())
}
