//! `/openapi.json` against the server that it describes, by schemathesis: requests of all kinds, good and bad, and whatever comes
//! back must be described.

use anyhow::ensure;
use e2e::{Home, Library, Signal, WorkerProcess, account, run};

/// Without chance, so that a failure is there again the next time.
const SEED: &str = "1";
/// Requests that are drawn for each operation, beside those that cover each constraint of its description once.
const EXAMPLES: &str = "15";

#[test]
fn the_server_answers_as_it_is_described() -> anyhow::Result<()> {
    if !Library::Schemathesis.is_there("the description of /v1 against the server") {
        return Ok(());
    }
    let home = Home::new()?;
    let wallet = home.add_service("wallet")?;
    home.grant(&wallet, 1_000_000)?;
    let mut command = home.listening_command(&["serve"])?;
    // It asks as fast as it can.
    let server = home.serve_with(
        command.env("DPOW_LIMITS__REQUESTS_PER_SECOND", "100000").env("DPOW_LIMITS__BURST", "100000"),
    )?;
    let worker = WorkerProcess::start(server.mqtt_addr(), account(1))?;
    worker.wait_until_is_connected(true)?;

    let mut command = Library::Schemathesis.module("schemathesis.cli");
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/foreign/schemathesis.toml");
    command.current_dir(home.path()).args(["--config-file", config, "--no-color", "run"]);
    command.arg(format!("http://{}/openapi.json", server.http_addr()));
    command.args(["--header", &format!("Authorization: Bearer {}", wallet.key)]);
    command.args([
        "--checks",
        "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
    ]);
    command.args(["--phases", "examples,coverage,fuzzing", "--mode", "all", "--seed", SEED]);
    command.args(["--max-examples", EXAMPLES, "--workers", "2", "--request-timeout", "40"]);
    // How fast the machine is is not the question.
    command.args(["--suppress-health-check", "all"]);
    let finished = run("schemathesis", &mut command)?;
    ensure!(finished.status.success(), "{}\n{}", finished.stdout, finished.stderr);
    // It has asked for work and got some, and has sent what is none.
    for code in ["ok", "malformed"] {
        let series = format!("dpow_http_requests_total{{route=\"/v1/work/batch\",code=\"{code}\"}}");
        ensure!(server.client().metric(&series)? > 0, "{series} is 0: {}", finished.stdout);
    }
    worker.stop()?;
    server.stop(Signal::Terminate)?;
    Ok(())
}
