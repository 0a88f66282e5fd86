//! `dpow` without a command: everything in one process, and a line to paste.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use anyhow::{Context, ensure};
use e2e::{Home, NETWORK, Server, Signal, Tool, oracle, run, say, shell};
use serde_json::{Value, json};
use shared::pow::Work;

/// Far longer than it takes, and far shorter than anybody would wait.
const READY_MAX: Duration = Duration::from_secs(10);

/// Runs the last line of the banner as a shell does, and checks what it prints.
fn paste(server: &Server) -> anyhow::Result<(Work, u64)> {
    let banner = server.banner();
    let line = banner.last().context("the banner is empty")?;
    let finished = run("sh", &mut shell(line))?;
    ensure!(finished.status.success(), "{line} failed: {}", finished.stderr);
    let reply: Value = serde_json::from_str(&finished.stdout)?;
    let field = |name: &str| reply[name].as_str().with_context(|| format!("no {name} in {reply}"));
    let work = oracle::verify(field("root")?.parse()?, field("work")?.parse()?, NETWORK.receive_threshold())?;
    Ok((work, reply["charged_mc"].as_u64().context("nothing is said of the price")?))
}

/// The first start and the second on the same directory print a line that works; what was paid for at the first is free at the
/// second.
#[test]
fn the_line_of_each_start_works_as_it_is_printed() -> anyhow::Result<()> {
    if !Tool::Curl.is_there("the line of the banner") {
        return Ok(());
    }
    let home = Home::new()?;
    let first = home.all_in_one()?;
    let (work, charged_mc) = paste(&first)?;
    oracle::cross_check(&[work])?;
    assert_eq!(charged_mc, 16, "a receive costs a 62nd of a send, rounded up");
    first.stop(Signal::Interrupt)?;

    let second = home.all_in_one()?;
    let (other, charged_mc) = paste(&second)?;
    assert_ne!(other.root(), work.root(), "each start prints a root of its own");
    assert_eq!(charged_mc, 16);
    let again = json!({ "root": work.root(), "threshold": NETWORK.receive_threshold() });
    let answer = second.client().work(&home.read("demo-key")?, &again)?;
    let answer = answer.answer(work.root(), NETWORK.receive_threshold())?;
    assert_eq!((answer.work, answer.charged_mc, answer.source.as_str()), (work, 0, "cache"));
    second.stop(Signal::Terminate)?;
    Ok(())
}

#[test]
fn the_banner_says_what_is_there_in_order() -> anyhow::Result<()> {
    let home = Home::new()?;
    let server = home.all_in_one()?;
    let banner = server.banner();
    let beginnings = [
        "dpow ",
        "ledger ",
        "mqtt ",
        "operator ",
        "admin ",
        "http ",
        "worker ",
        "service ",
        "",
        "Ask for work",
        "",
        "curl ",
    ];
    let begins_as_expected = |(line, beginning): (&String, &&str)| {
        line.starts_with(*beginning) && line.is_empty() == beginning.is_empty()
    };
    assert!(
        banner.len() == beginnings.len() && banner.iter().zip(&beginnings).all(begins_as_expected),
        "{banner:#?}"
    );
    for name in ["demo-key", "operator-token"] {
        let path = home.path().join(name);
        assert!(banner.iter().any(|line| line.ends_with(&format!(" {}", path.display()))), "{name}");
        assert_eq!(fs::metadata(&path)?.mode() & 0o777, 0o600, "{name}");
    }
    let ready_after = server.ready_after();
    say(&format!("dpow was ready after {} ms", ready_after.as_millis()));
    assert!(ready_after < READY_MAX, "{ready_after:?}");
    Ok(())
}

/// Nothing is reachable from another machine, and nothing listens that the banner does not name.
#[cfg(target_os = "linux")]
#[test]
fn it_listens_on_loopback_only() -> anyhow::Result<()> {
    let home = Home::new()?;
    let server = home.all_in_one()?;
    let mut expected = [server.http_addr().to_string(), server.mqtt_addr().to_string()];
    expected.sort();
    assert!(expected.iter().all(|address| address.starts_with("127.0.0.1:")), "{expected:?}");
    assert_eq!(listening(server.process())?, expected);
    Ok(())
}

/// The addresses on which a process listens, sorted; those of IPv6 as the system writes them.
#[cfg(target_os = "linux")]
fn listening(process: &e2e::Process) -> anyhow::Result<Vec<String>> {
    let folder = format!("/proc/{}", process.id());
    let mut sockets = Vec::new();
    for entry in fs::read_dir(format!("{folder}/fd"))? {
        // A descriptor may be closed by now.
        if let Ok(target) = fs::read_link(entry?.path()) {
            let target = target.to_string_lossy().into_owned();
            sockets.extend(
                target.strip_prefix("socket:[").and_then(|rest| Some(rest.strip_suffix(']')?.to_owned())),
            );
        }
    }
    let mut addresses = Vec::new();
    for table in ["tcp", "tcp6"] {
        for line in fs::read_to_string(format!("{folder}/net/{table}"))?.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            // Local address, state (0A: it listens) and inode.
            if fields[3] == "0A" && sockets.iter().any(|socket| socket == fields[9]) {
                addresses.push(readable(fields[1])?);
            }
        }
    }
    addresses.sort();
    Ok(addresses)
}

/// An IPv4 address and port out of the system's table, where the bytes of the address stand in the machine's order.
#[cfg(target_os = "linux")]
fn readable(address: &str) -> anyhow::Result<String> {
    let (host, port) = address.split_once(':').context("an address without a port")?;
    let port = u16::from_str_radix(port, 16)?;
    match u32::from_str_radix(host, 16) {
        Ok(bytes) => Ok(format!("{}:{port}", std::net::Ipv4Addr::from(bytes.to_ne_bytes()))),
        Err(_) => Ok(format!("{host}:{port}")),
    }
}
