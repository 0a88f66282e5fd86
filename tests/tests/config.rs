//! What the programs say about their configuration, and the documents that they write.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, ensure};
use e2e::{Finished, Home, Program, program, run};

/// Where the hand-written part of `docs/config.md` ends.
const WRITTEN_BY_PROGRAMS: &str = " it is made anew. -->\n\n";
/// The variable that has this test write the documents instead of comparing them.
const WRITE: &str = "DPOW_WRITE_DOCUMENTS";

fn dpow(arguments: &[&str], variables: &[(&str, &str)]) -> anyhow::Result<Finished> {
    run("dpow", program(Program::Dpow)?.args(arguments).envs(variables.iter().copied()))
}

fn printed(which: Program, arguments: &[&str]) -> anyhow::Result<String> {
    let finished = run("config", program(which)?.args(arguments))?;
    ensure!(finished.status.success(), "{}", finished.stderr);
    Ok(finished.stdout)
}

/// `docs/config.md` and the files in `deploy` are what the programs print about themselves.
#[test]
fn the_documents_are_what_the_programs_print() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let reference = root.join("docs/config.md");
    let text = fs::read_to_string(&reference)?;
    let (by_hand, _) = text.split_once(WRITTEN_BY_PROGRAMS).context("the mark is there")?;
    let markdown = ["config", "generate", "--markdown"];
    let (coordinator, worker) = (printed(Program::Dpow, &markdown)?, printed(Program::Worker, &markdown)?);
    let bridge = printed(Program::Bridge, &markdown)?;
    for (path, expected) in [
        (reference, format!("{by_hand}{WRITTEN_BY_PROGRAMS}{coordinator}\n{worker}\n{bridge}")),
        (root.join("deploy/dpow.toml"), printed(Program::Dpow, &["config", "generate"])?),
        (root.join("deploy/dpow-worker.toml"), printed(Program::Worker, &["config", "generate"])?),
        (root.join("deploy/dpow-bridge.toml"), printed(Program::Bridge, &["config", "generate"])?),
    ] {
        if std::env::var_os(WRITE).is_some() {
            fs::write(&path, &expected)?;
        }
        let is_true = fs::read_to_string(&path)? == expected;
        ensure!(is_true, "{} is old: run {WRITE}=1 cargo test -p dpow-tests --test config", path.display());
    }
    Ok(())
}

/// Every problem is told, by `config check` and by every command that needs the settings, and nothing is done.
#[test]
fn all_that_is_wrong_is_told_before_anything_is_done() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (file, data) = (folder.path().join("dpow.toml"), folder.path().join("data"));
    fs::write(&file, "netwrok = \"dev\"\nshutdown_grace_s = \"30\"\n[http]\nlisten = \"127.0.0.1:1883\"\n")?;
    let (file, data) = (file.to_string_lossy(), data.to_string_lossy());
    let expected = format!(
        "dpow: the configuration has 4 problems\n  \
         unknown key `netwrok` in the file {file}: did you mean `network`?\n  \
         unknown key `http_listen` in the environment variable DPOW_HTTP_LISTEN: did you mean DPOW_HTTP__LISTEN?\n  \
         `shutdown_grace_s` in the file {file} is \"30\", but must be a whole number from 0 to 600 (seconds)\n  \
         `http.listen` is 127.0.0.1:1883 and `mqtt.listen` is 127.0.0.1:1883: give each a port of its own \
         (`http.listen`: the file {file}, `mqtt.listen`: the built-in defaults)\n"
    );
    for command in
        [&["config", "check"][..], &["config", "print"], &["serve"], &["service", "add", "wallet"], &[]]
    {
        let arguments = [command, &["--config", &file, "--data-dir", &data]].concat();
        let finished = dpow(&arguments, &[("DPOW_HTTP_LISTEN", "127.0.0.1:0")])?;
        assert_eq!(finished.status.code(), Some(1), "{finished:?}");
        assert_eq!((finished.stderr, finished.stdout), (expected.clone(), String::new()));
    }
    assert!(!Path::new(&*data).exists());
    Ok(())
}

#[test]
fn a_good_configuration_says_where_it_comes_from() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("dpow.toml");
    fs::write(&file, "[http]\nlisten = \"127.0.0.1:6000\"\n")?;
    let file = file.to_string_lossy();
    let variables = [("DPOW_CONFIG", &*file), ("DPOW_DATA_DIR", "12345"), ("DPOW_WORKER_X", "not ours")];
    let arguments = ["config", "check", "--network", "dev"];
    assert_eq!(
        dpow(&arguments, &variables)?.stdout,
        format!(
            "the configuration is good; it was read from\n  the built-in defaults\n  the file {file}\n  \
             the environment variable DPOW_DATA_DIR\n  the flag --network\n"
        )
    );
    let printed = dpow(&["config", "print", "--origin", "--network", "dev"], &variables)?.stdout;
    for line in [
        "network = \"dev\" # the flag --network",
        "data_dir = \"12345\" # the environment variable DPOW_DATA_DIR",
        &format!("listen = \"127.0.0.1:6000\" # the file {file}"),
        "listen = \"127.0.0.1:1883\" # the built-in defaults",
    ] {
        assert!(printed.lines().any(|printed| printed == line), "{line} is not in\n{printed}");
    }
    Ok(())
}

/// The operator's token may come from a file; it is then the one that counts, and it is shown nowhere.
#[test]
fn the_operator_logs_in_with_the_configured_token() -> anyhow::Result<()> {
    let (home, secrets) = (Home::new()?, tempfile::tempdir()?);
    let (file, token) = (secrets.path().join("token"), "a-token-that-is-long-enough");
    fs::write(&file, format!("{token}\n"))?;
    fs::set_permissions(&file, Permissions::from_mode(0o644))?;
    let path = file.to_string_lossy();
    let variables = [("DPOW_OPERATOR_TOKEN_FILE", &*path)];
    assert_eq!(
        dpow(&["config", "check"], &variables)?.stderr,
        format!(
            "dpow: the file {path} that `operator_token_file` in the environment variable DPOW_OPERATOR_TOKEN_FILE names can be \
             used by others: run `chmod 600 {path}`\n"
        )
    );
    fs::set_permissions(&file, Permissions::from_mode(0o600))?;
    for arguments in [&["config", "print"][..], &["config", "print", "--json"], &["config", "check"]] {
        let finished = dpow(arguments, &variables)?;
        ensure!(finished.status.success() && !finished.stdout.contains(token), "{}", finished.stdout);
    }

    let server = home.serve_with(home.listening_command(&["serve"])?.envs(variables))?;
    assert!(server.banner().iter().any(|line| line == "operator   user `operator`, token as configured"));
    server.login("operator", token, "watcher")?;
    assert!(server.login("operator", "another-token-of-this-length", "watcher").is_err());
    assert!(!home.path().join("operator-token").exists());
    Ok(())
}
