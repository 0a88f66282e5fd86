//! What operators ask over the network, and connections that break.

use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;

use anyhow::{Context, ensure};
use e2e::{Finished, Home, Http, Server, Signal, Tool, shell};
use serde_json::{Value, json};

/// A server that takes operators' commands over TCP, and where.
fn serve(home: &Home) -> anyhow::Result<(Server, SocketAddr)> {
    let mut command = home.listening_command(&["serve"])?;
    let server = home.serve_with(command.env("DPOW_ADMIN__LISTEN", "127.0.0.1:0"))?;
    let banner = server.banner();
    let line = banner.iter().find(|line| line.starts_with("admin ")).context("a line on operators")?;
    let (_, address) = line.rsplit_once(' ').context("an address")?;
    let address = address.parse().with_context(|| line.clone())?;
    Ok((server, address))
}

/// Runs a command on a server far away: with a data directory of its own, in which there is nothing.
fn from_afar(server: SocketAddr, token_file: &str, arguments: &[&str]) -> anyhow::Result<Finished> {
    let (elsewhere, url) = (Home::new()?, format!("http://{server}"));
    elsewhere.run(&[arguments, &["--admin", &url, "--token-file", token_file]].concat())
}

#[test]
fn commands_are_taken_over_tcp_with_the_token() -> anyhow::Result<()> {
    let home = Home::new()?;
    let (server, address) = serve(&home)?;
    let token_file = home.path().join("operator-token").display().to_string();
    let run = |arguments: &[&str]| -> anyhow::Result<String> {
        let finished = from_afar(address, &token_file, arguments)?;
        ensure!(finished.status.success(), "{arguments:?}: {}", finished.stderr);
        Ok(finished.stdout)
    };
    let key = run(&["service", "add", "wallet"])?;
    assert_eq!(run(&["credit", "grant", "wallet", "5"])?, "5.000 credits for wallet, which has 5.000 now\n");
    let request = json!({ "root": e2e::root(1), "subtype": "receive", "timeout_ms": 500 });
    assert_eq!(server.client().work(key.trim_end(), &request)?.problem()?, "no_workers");
    assert!(run(&["status"])?.contains(&format!("admin      http://{address}\n")));

    // On the server's own machine its token is found by itself.
    let own = home.run(&["service", "list", "--json", "--admin", &format!("http://{address}")])?;
    assert!(own.status.success() && own.stdout.contains("\"granted_mc\":5000"), "{own:?}");

    let printed = from_afar(address, &token_file, &["operator", "token", "--rotate"])?;
    assert!(printed.stderr.contains("run this on the server's own machine"), "{printed:?}");
    Ok(())
}

#[test]
fn what_is_wrong_with_an_address_or_a_token_is_said() -> anyhow::Result<()> {
    let home = Home::new()?;
    let (server, address) = serve(&home)?;
    let wrong = home.path().join("wrong");
    fs::write(&wrong, "wrong\n")?;
    let wrong = wrong.display().to_string();
    let complaint = |finished: Finished| -> anyhow::Result<String> {
        ensure!(finished.status.code() == Some(1) && finished.stderr.lines().count() == 1, "{finished:?}");
        Ok(finished.stderr)
    };
    let denied = complaint(from_afar(address, &wrong, &["service", "list"])?)?;
    assert!(denied.contains("the operator's token is missing or wrong"), "{denied}");
    let missing = complaint(from_afar(address, "/nowhere/token", &["service", "list"])?)?;
    assert!(
        missing.contains("cannot be read from /nowhere/token; name its file with --token-file"),
        "{missing}"
    );
    for url in
        ["https://127.0.0.1:5031", "127.0.0.1:5031", "http://127.0.0.1", "http://127.0.0.1:1/path", "x"]
    {
        let finished = home.run(&["service", "list", "--admin", url, "--token-file", &wrong])?;
        let complaint = complaint(finished)?;
        assert!(
            complaint.contains(&format!("{url} is not an address of a server; write http://HOST:PORT")),
            "{complaint}"
        );
    }
    let token_file = home.path().join("operator-token").display().to_string();
    let other = complaint(from_afar(address, &token_file, &["service", "list", "--network", "beta"])?)?;
    assert!(other.contains("this server runs the network dev, not beta"), "{other}");
    // The port of services has nothing for operators.
    let foreign = complaint(from_afar(server.http_addr(), &token_file, &["service", "list"])?)?;
    assert!(foreign.contains("is no server of dpow that this program knows"), "{foreign}");
    server.stop(Signal::Terminate)?;
    let token = home.path().join("operator-token").display().to_string();
    let gone = complaint(from_afar(address, &token, &["service", "list"])?)?;
    assert!(gone.contains("no server answers at http://"), "{gone}");
    Ok(())
}

#[test]
fn nobody_gets_in_without_the_token_and_nobody_guesses_it() -> anyhow::Result<()> {
    let home = Home::new()?;
    let (_server, address) = serve(&home)?;
    let (http, token) = (Http::new(address), home.read("operator-token")?);
    let body = json!({ "network": "dev", "request": { "read": "services" } }).to_string();
    let ask = |token: Option<&str>, body: &str| -> anyhow::Result<(u16, Value)> {
        let reply = http.post("/admin/v1", token, body)?;
        ensure!(reply.status == 200 || reply.content_type == "application/problem+json", "{reply:?}");
        Ok((reply.status, reply.json()?["code"].clone()))
    };
    assert_eq!(ask(Some(&token), &body)?, (200, Value::Null));
    for (body, status, code) in [
        ("{", 400, "malformed"),
        (&*body.replace("services", "secrets"), 400, "malformed"),
        (&body.replace("dev", "live"), 409, "other_network"),
        (&" ".repeat(17 * 1024), 413, "too_large"),
    ] {
        assert_eq!(ask(Some(&token), body)?, (status, json!(code)), "{body}");
    }
    let rotate = json!({ "rotate_operator_token": { "token": "a".repeat(52) } });
    let rotate = json!({ "network": "dev", "request": { "change": rotate } }).to_string();
    assert_eq!(ask(Some(&token), &rotate)?, (403, json!("not_over_tcp")));
    assert_eq!(home.read("operator-token")?, token);
    assert_eq!(http.get("/")?.status, 401);

    for wrong in [None, Some("wrong"), Some(&token[1..]), Some(&format!("{token}a")[..])] {
        assert_eq!(ask(wrong, &body)?, (401, json!("unauthenticated")));
    }
    // That was the fifth: from now on nobody at this address is listened to for a while, guesser or not.
    for token in [Some("wrong"), Some(&*token)] {
        let reply = http.post("/admin/v1", token, &body)?;
        assert_eq!((reply.status, &reply.json()?["code"]), (429, &json!("rate_limited")));
    }
    assert!(home.run(&["service", "list"])?.status.success(), "the socket is not concerned");
    Ok(())
}

/// Stands between commands and their server: the first answers never arrive, although the requests do.
fn break_answers(home: &Home, breaks: usize) -> anyhow::Result<()> {
    let (socket, behind) = (home.path().join("admin.sock"), home.path().join("behind.sock"));
    if !behind.exists() {
        fs::rename(&socket, &behind)?;
    }
    let _ = fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket)?;
    // It ends with the test's process.
    thread::spawn(move || {
        for (number, client) in listener.incoming().enumerate() {
            let pass = || -> std::io::Result<()> {
                let (mut client, mut server) = (client?, UnixStream::connect(&behind)?);
                let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
                let up = thread::spawn(move || {
                    std::io::copy(&mut from_client, &mut to_server)?;
                    to_server.shutdown(std::net::Shutdown::Write)
                });
                let mut first = [0; 1];
                server.read_exact(&mut first)?;
                if number >= breaks {
                    client.write_all(&first)?;
                    std::io::copy(&mut server, &mut client)?;
                }
                client.shutdown(std::net::Shutdown::Both)?;
                drop(up.join());
                Ok(())
            };
            // Whoever has gone away is no matter here.
            drop(pass());
        }
    });
    Ok(())
}

/// Credits are given once, however often the answer is lost.
#[test]
fn a_grant_whose_answer_is_lost_is_given_once() -> anyhow::Result<()> {
    let home = Home::new()?;
    let _server = home.serve()?;
    let wallet = home.add_service("wallet")?;
    break_answers(&home, 2)?;
    let granted = home.run(&["credit", "grant", "wallet", "5"])?;
    assert_eq!(granted.stdout, "5.000 credits for wallet, which has 5.000 now\n", "{granted:?}");

    break_answers(&home, usize::MAX)?;
    let lost = home.run(&["credit", "grant", "wallet", "7"])?;
    assert_eq!(lost.status.code(), Some(1), "{lost:?}");
    let transfer = lost.stderr.split("--transfer ").nth(1).and_then(|rest| rest.split('`').next());
    let transfer = transfer.with_context(|| lost.stderr.clone())?;
    break_answers(&home, 0)?;
    let again = home.run(&["credit", "grant", "wallet", "7", "--transfer", transfer])?;
    assert_eq!(again.stdout, "7.000 credits for wallet, which has 12.000 now\n", "{again:?}");
    assert_eq!(home.balance(&wallet)?.total_mc(), 12_000);
    assert_eq!(home.journal()?.replay()?.granted.values().sum::<u64>(), 12_000);

    // A service is added once as well, with the key that is printed.
    break_answers(&home, 2)?;
    let faucet = home.add_service("faucet")?;
    let keys = home.run(&["key", "list", "faucet", "--json"])?;
    assert_eq!(keys.stdout.lines().count(), 1, "{keys:?}");
    assert!(keys.stdout.contains(faucet.key.split('_').nth(2).context("an id")?), "{keys:?}");
    Ok(())
}

/// Other programs can ask as well: the example of `docs/operating.md`.
#[test]
fn curl_asks_over_the_socket() -> anyhow::Result<()> {
    if !Tool::Curl.is_there("operators' requests with another client") {
        return Ok(());
    }
    let document = include_str!("../../docs/operating.md");
    let example = document.lines().find(|line| line.starts_with("curl -sS --unix-socket "));
    let example = example.context("there is an example")?;
    let home = Home::new()?;
    let _server = home.serve()?;
    home.add_service("wallet")?;
    let line = example.replace("dpow-data/", &format!("{}/", home.path().display())).replace("live", "dev");
    let output = shell(&line).output()?;
    let answer: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(answer["services"][0]["service"], "wallet", "{answer}");
    Ok(())
}
