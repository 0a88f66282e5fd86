//! The commands that need no server, on machines with and without OpenCL.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "what cannot be set up is a failed test")]

use std::env;
use std::io::{Write, stderr};
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use worker::backend::cpu::available;

const WITHOUT_OPENCL: [&str; 2] = ["--opencl-library", "/nowhere/libOpenCL.so"];

/// What the program prints; it must end well.
fn output(data_dir: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dpow-worker"));
    command.env_clear().envs(env::var_os("HOME").map(|home| ("HOME", home)));
    command.args(arguments).args(["--threads", "1", "--data-dir"]).arg(data_dir);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn json(data_dir: &Path, arguments: &[&str]) -> Value {
    let text = output(data_dir, &[arguments, &["--json"]].concat());
    assert_eq!(text.lines().count(), 1);
    serde_json::from_str(&text).unwrap()
}

#[test]
fn without_opencl_the_processor_is_all_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let run = |command: &[&str]| json(folder.path(), &[command, &WITHOUT_OPENCL].concat());
    let sets: Vec<_> = available().iter().map(|instructions| instructions.set()).collect();

    let devices = run(&["devices"]);
    let processor = &devices["processor"];
    assert_eq!((&processor["threads"], &processor["instructions"]), (&1.into(), &sets[0].as_str().into()));
    assert_eq!(processor["available"].as_array().unwrap().len(), sets.len());
    assert_eq!(devices["opencl"]["devices"], Value::Array(vec![]));
    let problem = devices["opencl"]["problem"].as_str().unwrap();
    assert!(problem.starts_with("the OpenCL library /nowhere/libOpenCL.so cannot be opened"), "{problem}");

    let tested = run(&["selftest"]);
    assert_eq!(tested["has_passed"], true);
    let names: Vec<_> = tested["devices"].as_array().unwrap().iter().map(|row| row["name"].clone()).collect();
    assert_eq!(names, sets.iter().map(|set| set.name()).collect::<Vec<_>>());
    assert_eq!(tested, run(&["selftest"]), "it is the same each time");

    for set in &sets {
        let measured = run(&["bench", "--seconds", "1", "--instructions", set.as_str()]);
        let [row] = measured["devices"].as_array().unwrap().as_slice() else { panic!("{measured}") };
        assert_eq!((&row["device"], &row["failure"]), (&"cpu".into(), &Value::Null));
        assert_eq!(row["name"], format!("1 x {}", set.name()));
        let rate = row["hashes_per_second"].as_f64().unwrap();
        assert!(rate > 0.0, "{measured}");
        assert!((row["receive_s"].as_f64().unwrap() * rate / f64::from(1 << 23) - 1.0).abs() < 1e-6);
        assert!((row["send_s"].as_f64().unwrap() * rate / f64::from(1 << 29) - 1.0).abs() < 1e-6);
    }
}

#[test]
fn people_get_tables() {
    let folder = tempfile::tempdir().unwrap();
    let run = |command: &[&str]| output(folder.path(), &[command, &["--opencl-devices", "off"]].concat());
    let text = run(&["devices"]);
    let [heading, processor, remark] = text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
    assert!(heading.starts_with("DEVICE  NAME") && processor.starts_with("cpu "), "{text}");
    assert!(processor.contains("used: 1 threads, ") && processor.ends_with("portable)"), "{text}");
    assert_eq!(remark, "OpenCL is switched off: `opencl.devices` is `off`");
    let text = run(&["selftest"]);
    assert!(text.lines().all(|line| line.starts_with("cpu ") && line.ends_with(": passed")), "{text}");
    let text = run(&["bench", "--seconds", "1"]);
    assert!(text.contains(" MH/s\n") && text.starts_with("DEVICE  NAME"), "{text}");
}

/// The same file, with a driver: two devices, each tested and measured, and then both together.
#[test]
fn with_opencl_each_device_has_its_row() {
    if !Path::new("/etc/OpenCL/vendors/pocl.icd").exists() {
        // Past the test harness, which would keep it. If nobody can hear it, nobody misses it.
        let _ = writeln!(
            stderr(),
            "SKIPPED for want of PoCL (Debian: pocl-opencl-icd): the commands with OpenCL"
        );
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let devices = json(folder.path(), &["devices"]);
    let is_pocl = |row: &&Value| row["platform"] == "Portable Computing Language";
    let pocl = devices["opencl"]["devices"].as_array().unwrap().iter().find(is_pocl).unwrap();
    assert_eq!((&pocl["is_used"], &pocl["kind"]), (&false.into(), &"processor".into()));
    assert_eq!(pocl["reason"], "a processor: the worker's own code makes more of it");
    let number = pocl["number"].to_string();
    let run = |command: &[&str]| json(folder.path(), &[command, &["--opencl-devices", &number]].concat());

    let tested = run(&["selftest"]);
    let row = tested["devices"].as_array().unwrap().last().unwrap();
    assert_eq!((&row["device"], &row["has_passed"]), (&number.clone().into(), &true.into()));
    let measured = run(&["bench", "--seconds", "1"]);
    let rows = measured["devices"].as_array().unwrap();
    let devices: Vec<_> = rows.iter().map(|row| row["device"].as_str().unwrap()).collect();
    assert_eq!(devices, ["cpu", &number, "all"]);
    assert!(rows.iter().all(|row| row["hashes_per_second"].as_u64().unwrap() > 10_000), "{measured}");
    let devices = run(&["devices"]);
    let row = devices["opencl"]["devices"].as_array().unwrap().iter().find(is_pocl).unwrap();
    assert_eq!((&row["is_used"], &row["reason"]), (&true.into(), &Value::Null));
}
