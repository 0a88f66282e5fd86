//! The program as a volunteer runs it.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "what cannot be set up is a failed test")]

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

const ADDRESS: &str = "nano_3t6k35gi95xu6tergt6p69ck76ogmitsa8mnijtpxm9fkcm736xtoncuohr3";

/// The program with nothing of this process's environment.
fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dpow-worker"));
    command.env_clear().stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A worker that is paid to an address from the environment, as a service manager would start it.
fn worker(data_dir: &Path, server: &str) -> Command {
    let mut command = program();
    command.args(["run", "--threads", "1", "--server", server, "--data-dir"]).arg(data_dir);
    command.env("DPOW_WORKER_ACCOUNT", ADDRESS);
    command
}

/// A worker that runs; killed with the test if that fails before the end.
struct Running {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Running {
    /// Starts it and reads what it prints until it connects.
    fn start(command: &mut Command) -> (Self, String) {
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut running = Self { child, output };
        let mut banner = String::new();
        while !banner.contains("connecting to") {
            assert_ne!(running.output.read_line(&mut banner).unwrap(), 0, "{banner}");
        }
        (running, banner)
    }

    /// Sends the signal and returns what it still prints, after it has ended well.
    fn stop(mut self, signal: &str) -> String {
        let kill = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(kill.success());
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        assert!(self.child.wait().unwrap().success());
        rest
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already, if all went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The one line that a failed start leaves.
fn error(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(error.lines().count(), 1, "{error}");
    error
}

/// A server that accepts connections and never answers them.
fn silent_server() -> (TcpListener, String) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("mqtt://{}", listener.local_addr().unwrap());
    (listener, url)
}

#[test]
fn it_tells_what_it_is_and_stops_cleanly_on_both_signals() {
    for signal in ["-INT", "-TERM"] {
        let folder = tempfile::tempdir().unwrap();
        let (_listener, server) = silent_server();
        let (running, banner) = Running::start(&mut worker(folder.path(), &server));
        for expected in
            [env!("CARGO_PKG_VERSION"), ADDRESS, "1 threads", "MH/s", "for a receive", "for a send", &server]
        {
            assert!(banner.contains(expected), "{expected} in {banner}");
        }
        assert_eq!(running.stop(signal), "stopped: 0 accepted, 0 late, 0 refused\n");
    }
}

#[test]
fn a_second_worker_with_the_same_identity_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (_listener, server) = silent_server();
    let (running, _) = Running::start(&mut worker(folder.path(), &server));
    let error = error(&mut worker(folder.path(), &server));
    assert!(error.starts_with("error: another worker uses the data directory"), "{error}");
    running.stop("-TERM");
}

#[test]
fn what_is_wrong_is_said_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("worker.toml");
    std::fs::write(&file, "acount = 'x'\n").unwrap();
    for (command, sentence) in [
        (&mut program(), "no account is given"),
        (
            program().args(["--account", "nano_1"]),
            "the account nano_1 cannot be paid: an address has 60 characters",
        ),
        (program().args(["--server", "mqtts://x", "--account", ADDRESS]), "mqtts:// is not spoken"),
        (
            program().args(["--config", "/nowhere.toml"]),
            "the configuration file /nowhere.toml cannot be read (No such file",
        ),
        (program().args(["--account", ADDRESS, "--config"]).arg(&file), "unknown key `acount` in the file"),
        (
            program().args(["--account", ADDRESS]).env("DPOW_WORKER_THREADS", "many"),
            "`threads` in the environment variable DPOW_WORKER_THREADS",
        ),
        (program().args(["--log", "[", "--account", ADDRESS]), "`[` is not a log filter"),
        (program().args(["selftest", "--instructions", "sse9"]), "`sse9` is no instruction set: avx512,"),
    ] {
        let error = error(command);
        assert!(error.starts_with("error: ") && error.contains(sentence), "{error}");
    }
}
