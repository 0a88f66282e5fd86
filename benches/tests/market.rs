//! The instruments against the real program, small: what they say must agree with what the coordinator has counted, which
//! `market` demands by itself, and every work must be valid, which `load` does.

use std::process::Command;

use anyhow::{Context, ensure};
use e2e::{Program, program, run};
use serde_json::Value;

const REQUESTS: u64 = 300;

#[test]
fn load_and_fleet_agree_with_the_coordinator() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let json = folder.path().join("figures.json");
    let dpow = program(Program::Dpow)?;
    let mut market = Command::new(env!("CARGO_BIN_EXE_market"));
    market.arg("--dpow").arg(format!("dpow={}", dpow.get_program().display()));
    market.args(["--workers", "3", "--connections", "8", "--rounds", "1"]);
    market.args(["--requests", &REQUESTS.to_string(), "--repeated", "0.2"]);
    market.arg("--data").arg(folder.path()).arg("--json").arg(&json);
    let finished = run("market", &mut market)?;
    ensure!(finished.status.success(), "{}", finished.stderr);

    let written: Value = serde_json::from_str(&std::fs::read_to_string(json)?)?;
    let [measured] = written["all"].as_array().context("measurements")?.as_slice() else {
        anyhow::bail!("one measurement was asked for: {written}");
    };
    let (load, fleet) = (&measured["reported"], &measured["fleet"]);
    assert_eq!(load["answered_in_all"], REQUESTS, "{load}");
    assert_eq!(load["failed_in_all"], serde_json::json!({}), "{load}");
    assert_eq!(fleet["connected"], 3, "{fleet}");
    let accepted = fleet["verdicts"]["accepted"].as_u64().context("verdicts")?;
    assert!(accepted > 0 && accepted < REQUESTS, "some roots were asked for again: {accepted}");
    for never in ["duplicate", "unknown_job", "below_threshold", "never_given"] {
        assert_eq!(fleet["verdicts"][never], 0, "{fleet}");
    }
    let row = finished.stdout.lines().last().context("a table")?;
    assert!(row.starts_with("| 3 | 8 connections |"), "{row}");
    Ok(())
}
