//! Real processes beside the simulator, small and short: what is printed must be complete, and of the same order.

use std::process::Command;

use anyhow::{Context, ensure};
use e2e::{Program, program, run};
use serde_json::Value;

#[test]
fn reality_and_the_simulator_are_asked_the_same() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let json = folder.path().join("figures.json");
    let dpow = program(Program::Dpow)?;
    let mut reality = Command::new(env!("CARGO_BIN_EXE_reality"));
    reality.arg("--dpow").arg(dpow.get_program()).args(["--workers", "20", "--loads", "0.5"]);
    reality.args(["--warm-up", "1", "--seconds", "3", "--simulated", "200"]);
    reality.arg("--data").arg(folder.path()).arg("--json").arg(&json);
    let finished = run("reality", &mut reality)?;
    ensure!(finished.status.success(), "{}", finished.stderr);

    let written: Value = serde_json::from_str(&std::fs::read_to_string(json)?)?;
    let [real, simulated] = written[0].as_array().context("a pair")?.as_slice() else {
        anyhow::bail!("one load was asked for: {written}");
    };
    for side in [real, simulated] {
        let asked = side["asked"].as_u64().context("a number")?;
        ensure!(asked > 0 && side["answered"] == asked, "not all were answered: {side}");
        let seconds = ["p50_s", "p95_s", "p99_s"].map(|name| side[name].as_f64().unwrap_or(f64::NAN));
        // No answer comes sooner than a message to the nearest worker and back.
        ensure!(0.02 < seconds[0] && seconds[0] <= seconds[1] && seconds[1] <= seconds[2], "{side}");
        ensure!(side["messages_per_work"].as_f64().is_some_and(|messages| messages > 2.0), "{side}");
    }
    ensure!(finished.stdout.contains("| 0.5 | real over simulated |"), "{}", finished.stdout);
    Ok(())
}
