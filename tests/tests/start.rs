//! Starts that cannot succeed: exit code 1, and one sentence that says what to do.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use e2e::{Home, Program, Signal, program, run};

/// The one line that a failed start prints to standard error.
fn complaint(command: &mut Command) -> anyhow::Result<String> {
    let finished = run("dpow", command)?;
    assert_eq!(finished.status.code(), Some(1), "{finished:?}");
    assert_eq!(finished.stderr.lines().count(), 1, "{finished:?}");
    Ok(finished.stderr.trim_end().to_owned())
}

#[test]
fn a_taken_port_is_named_with_its_flag() -> anyhow::Result<()> {
    let home = Home::new()?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?.port();
    let address = format!("127.0.0.1:{port}");
    for (flag, other) in [("--http-listen", "--mqtt-listen"), ("--mqtt-listen", "--http-listen")] {
        for command in [&["serve"][..], &[]] {
            let complaint = complaint(home.command(command)?.args([flag, &*address, other, "127.0.0.1:0"]))?;
            assert_eq!(
                complaint,
                format!(
                    "dpow: port {port} on 127.0.0.1 is taken by another program; stop that, or choose another with \
                     `{flag} 127.0.0.1:<port>`"
                )
            );
        }
    }
    Ok(())
}

#[test]
fn a_data_directory_has_one_coordinator() -> anyhow::Result<()> {
    let home = Home::new()?;
    let server = home.serve()?;
    let path = home.path().display();
    for arguments in [&["serve"][..], &[]] {
        let complaint = complaint(&mut home.listening_command(arguments)?)?;
        let expected = format!("dpow: another dpow is running with the data directory {path}; stop it, or ");
        assert!(complaint.starts_with(&expected), "{complaint}");
    }
    server.stop(Signal::Terminate)?;
    home.serve()?;
    Ok(())
}

#[test]
fn a_data_directory_is_of_one_network() -> anyhow::Result<()> {
    let home = Home::new()?;
    home.add_service("wallet")?;
    let mut command = program(Program::Dpow)?;
    command.args(["serve", "--network", "live", "--data-dir"]).arg(home.path());
    let complaint =
        complaint(command.args(["--http-listen", "127.0.0.1:0", "--mqtt-listen", "127.0.0.1:0"]))?;
    assert!(complaint.contains("dev") && complaint.contains("live"), "{complaint}");
    Ok(())
}

#[test]
fn a_secret_that_others_can_read_is_not_used() -> anyhow::Result<()> {
    let home = Home::new()?;
    home.all_in_one()?.crash()?;
    for name in ["demo-key", "operator-token", "pepper"] {
        let path = home.path().join(name);
        fs::set_permissions(&path, Permissions::from_mode(0o644))?;
        let path_text = path.display();
        let expected =
            format!("dpow: the secret {path_text} can be read by others; run `chmod 600 {path_text}`");
        assert_eq!(complaint(&mut home.listening_command(&[])?)?, expected);
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    }
    home.all_in_one()?;
    Ok(())
}
