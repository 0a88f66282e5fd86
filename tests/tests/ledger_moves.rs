//! A ledger that moves to Redis and back, as its operator moves it: what was paid for stays paid for, and the server's password is
//! printed nowhere.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::ensure;
use e2e::{Finished, Home, NETWORK, RedisServer, Server, Service, Signal, Sync, root};
use serde_json::json;
use shared::pow::Threshold;

const THRESHOLD: Threshold = NETWORK.receive_threshold();
const PASSWORD: &str = "correct-horse-battery-staple";

/// What the programs of a test have printed.
#[derive(Default)]
struct Printed(String);

impl Printed {
    fn add(&mut self, finished: Finished) -> Finished {
        self.0 += &finished.stdout;
        self.0 += &finished.stderr;
        finished
    }

    /// A command that has to succeed.
    fn run(&mut self, home: &Home, arguments: &[&str]) -> anyhow::Result<String> {
        let finished = self.add(home.run(arguments)?);
        ensure!(finished.status.success(), "dpow {}: {}", arguments.join(" "), finished.stderr);
        Ok(finished.stdout)
    }

    /// Runs a server with the finest log while `during` lasts, and demands that it ends well.
    fn serve(
        &mut self,
        home: &Home,
        during: impl FnOnce(&Server) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut command = home.listening_command(&[])?;
        command.env("DPOW_LOG__FILTER", "trace");
        let server = home.all_in_one_with(&mut command)?;
        during(&server)?;
        server.process().signal(Signal::Terminate)?;
        let finished = self.add(server.end()?);
        ensure!(finished.status.success(), "it ended with {}", finished.status);
        Ok(())
    }
}

/// Has work for a root, and returns what it cost.
fn cost(server: &Server, wallet: &Service, number: u64) -> anyhow::Result<u64> {
    let request = json!({ "root": root(number), "threshold": THRESHOLD });
    Ok(server.client().work(&wallet.key, &request)?.answer(root(number), THRESHOLD)?.charged_mc)
}

/// Writes down where the ledger's server is, for nobody else to read.
fn write_url(home: &Home, url: &str) -> anyhow::Result<PathBuf> {
    let path = home.path().join("ledger-url");
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    file.write_all(url.as_bytes())?;
    Ok(path)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the system's folder for such things has a plain name")
}

#[test]
fn a_ledger_moves_to_redis_and_back() -> anyhow::Result<()> {
    let Some(redis) = RedisServer::start_with_password("a ledger that moves", Sync::Always, PASSWORD)? else {
        return Ok(());
    };
    let (mut home, mut printed) = (Home::new()?, Printed::default());
    let wallet = home.add_service("wallet")?;
    home.grant_paid(&wallet, 10)?;
    printed.serve(&home, |server| {
        ensure!(cost(server, &wallet, 1)? > 0);
        Ok(())
    })?;
    let before = (home.balance(&wallet)?, home.journal_text()?);

    let url_file = write_url(&home, &redis.url())?;
    let copied = printed.run(&home, &["ledger", "copy", "--to-file", text(&url_file)])?;
    ensure!(copied.contains("both audits are green"), "{copied}");
    home.keep_ledger_at(Some(&url_file));
    assert_eq!((home.balance(&wallet)?, home.journal_text()?), before);
    printed.serve(&home, |server| {
        assert_eq!(cost(server, &wallet, 1)?, 0, "it has paid for this");
        ensure!(cost(server, &wallet, 2)? > 0);
        Ok(())
    })?;
    let shown = printed.run(&home, &["config", "print", "--origin"])?;
    ensure!(shown.contains("url = \"[secret]\""), "{shown}");
    let after = (home.balance(&wallet)?, home.journal_text()?);
    ensure!(after != before);

    let back = home.path().join("new-ledger.sqlite");
    printed.run(&home, &["ledger", "copy", "--to", text(&back)])?;
    fs::rename(&back, home.path().join("ledger.sqlite"))?;
    home.keep_ledger_at(None);
    assert_eq!((home.balance(&wallet)?, home.journal_text()?), after);
    printed.run(&home, &["ledger", "audit"])?;
    printed.serve(&home, |server| {
        assert_eq!((cost(server, &wallet, 1)?, cost(server, &wallet, 2)?), (0, 0), "it has paid for both");
        Ok(())
    })?;
    ensure!(printed.0.contains(text(redis.folder())), "the server is named");
    ensure!(!printed.0.contains(PASSWORD), "the password was printed");
    Ok(())
}

#[test]
fn a_wrong_password_is_refused_in_one_sentence_that_does_not_repeat_it() -> anyhow::Result<()> {
    let Some(redis) = RedisServer::start_with_password("a wrong password", Sync::Always, PASSWORD)? else {
        return Ok(());
    };
    let (mut home, wrong) = (Home::new()?, "incorrect-horse");
    let url_file = write_url(&home, &redis.url().replace(PASSWORD, wrong))?;
    home.keep_ledger_at(Some(&url_file));
    for arguments in [&["serve"][..], &["service", "add", "wallet"]] {
        let finished = home.run(arguments)?;
        ensure!(!finished.status.success(), "it started");
        let said = format!("{}{}", finished.stdout, finished.stderr);
        ensure!(said.contains("password") && !said.contains(wrong) && !said.contains(PASSWORD), "{said}");
    }
    Ok(())
}
