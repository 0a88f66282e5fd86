//! The program on machines with and without OpenCL. It is one and the same file.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "what cannot be set up is a failed test")]

use std::env;
use std::io::{BufRead, BufReader, Write, stderr};
use std::path::Path;
use std::process::{Command, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_dpow-worker");
const ADDRESS: &str = "nano_3t6k35gi95xu6tergt6p69ck76ogmitsa8mnijtpxm9fkcm736xtoncuohr3";

/// What a worker says of OpenCL before it connects, which it never does.
fn opencl_lines(data_dir: &Path, arguments: &[&str], variables: &[(&str, &Path)]) -> Vec<String> {
    let mut command = Command::new(PROGRAM);
    command.env_clear().envs(variables.iter().copied()).args(["--account", ADDRESS, "--threads", "1"]);
    // The tests of the kernel have had PoCL build it, and PoCL remembers that below the home directory.
    command.envs(env::var_os("HOME").map(|home| ("HOME", home)));
    command.args(["--server", "mqtt://127.0.0.1:9", "--data-dir"]).arg(data_dir).args(arguments);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let banner: Vec<_> = lines.take_while(|line| !line.starts_with("connecting to")).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(banner.iter().any(|line| line.starts_with("speed ")), "it works all the same: {banner:?}");
    banner.iter().filter_map(|line| line.strip_prefix("opencl      ")).map(Into::into).collect()
}

#[test]
fn the_program_is_linked_with_no_opencl() {
    let output = Command::new("readelf").args(["-d", PROGRAM]).output().unwrap();
    let needed = String::from_utf8(output.stdout).unwrap();
    assert!(needed.contains("NEEDED") && !needed.contains("OpenCL"), "{needed}");
}

#[test]
fn without_opencl_it_says_why_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let lines = |arguments: &[&str]| opencl_lines(folder.path(), arguments, &[]);
    assert_eq!(
        lines(&["--opencl-library", "/nowhere/libOpenCL.so"]),
        [
            "the OpenCL library /nowhere/libOpenCL.so cannot be opened (/nowhere/libOpenCL.so: cannot open shared object \
             file: No such file or directory)"
        ]
    );
    assert_eq!(lines(&["--opencl-devices", "off"]), ["OpenCL is switched off: `opencl.devices` is `off`"]);
}

/// Where there is a library without a driver, and where there is a driver that is used when it is asked for. What is remembered about
/// it is in the data directory.
#[test]
fn with_opencl_it_uses_the_devices_that_are_chosen() {
    if !Path::new("/etc/OpenCL/vendors/pocl.icd").exists() {
        // Past the test harness, which would keep it. If nobody can hear it, nobody misses it.
        let _ =
            writeln!(stderr(), "SKIPPED for want of PoCL (Debian: pocl-opencl-icd): the program with OpenCL");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (empty, data_dir) = (folder.path().join("vendors"), folder.path().join("data"));
    std::fs::create_dir(&empty).unwrap();
    let lines = opencl_lines(&data_dir, &[], &[("OCL_ICD_VENDORS", &empty)]);
    assert_eq!(lines.len(), 1);
    assert!(lines[0].starts_with("OpenCL is installed, but no driver for it"), "{lines:?}");

    let is_about_pocl = |line: &&String| line.contains("Portable Computing Language");
    let lines = opencl_lines(&data_dir, &[], &[]);
    let line = lines.iter().find(is_about_pocl).unwrap();
    assert!(line.ends_with(": not used: a processor: the worker's own code makes more of it"), "{line}");
    assert!(!data_dir.join("opencl").exists());
    let lines = opencl_lines(&data_dir, &["--opencl-devices", "portable, no such card"], &[]);
    assert!(lines.iter().find(is_about_pocl).unwrap().ends_with(": used"), "{lines:?}");
    assert_eq!(lines.last().unwrap(), "no device is called `no such card`");
    assert!(data_dir.join("opencl").read_dir().unwrap().count() >= 2, "a tuning and a program");
}
