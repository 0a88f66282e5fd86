//! Commands of operators: through a running server, and without one.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use anyhow::{Context, ensure};
use e2e::{Home, NETWORK, PATIENCE, RawWorker, Server, Signal, Tool, WorkerProcess, account, root, shell};
use serde_json::{Value, json};

/// What a command that succeeds prints to standard output.
fn printed(home: &Home, arguments: &[&str]) -> anyhow::Result<String> {
    let finished = home.run(arguments)?;
    ensure!(finished.status.success(), "dpow {} failed: {}", arguments.join(" "), finished.stderr);
    Ok(finished.stdout)
}

/// Repeats a command until it prints this line.
fn wait_for(home: &Home, arguments: &[&str], line: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = printed(home, arguments)?;
        if text.lines().any(|printed| printed == line) {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "`{line}` is not in:\n{text}");
    }
}

/// The JSON objects that a command prints, one a line.
fn objects(home: &Home, arguments: &[&str]) -> anyhow::Result<Vec<Value>> {
    let text = printed(home, &[arguments, &["--json"]].concat())?;
    text.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

/// The one JSON object that a command prints.
fn object(home: &Home, arguments: &[&str]) -> anyhow::Result<Value> {
    let mut objects = objects(home, arguments)?;
    ensure!(objects.len() == 1, "{arguments:?} printed {objects:?}");
    objects.pop().context("there is one")
}

/// The one line in which a command says why it failed.
fn complaint(home: &Home, arguments: &[&str]) -> anyhow::Result<String> {
    let finished = home.run(arguments)?;
    assert_eq!(finished.status.code(), Some(1), "{arguments:?}: {finished:?}");
    assert_eq!((finished.stdout.as_str(), finished.stderr.lines().count()), ("", 1), "{finished:?}");
    Ok(finished.stderr.trim_end().to_owned())
}

/// The names of an object's fields, with those of the objects in it.
fn fields(value: &Value) -> BTreeSet<String> {
    let of = |(name, value): (&String, &Value)| {
        let below = fields(value).into_iter().map(move |below| format!("{name}.{below}"));
        if value.is_object() { below.collect() } else { vec![name.clone()] }
    };
    value.as_object().into_iter().flatten().flat_map(of).collect()
}

fn names(names: &str) -> BTreeSet<String> {
    names.split_whitespace().map(str::to_owned).collect()
}

/// Both ways a command can go, each on a data directory of its own.
fn both_ways(test: impl Fn(&Home, Option<&Server>) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let home = Home::new()?;
    test(&home, None).context("without a server")?;
    let home = Home::new()?;
    let server = home.serve()?;
    test(&home, Some(&server)).context("with a server")?;
    server.stop(Signal::Terminate)
}

#[test]
fn services_and_their_keys() -> anyhow::Result<()> {
    both_ways(|home, _| {
        let key = printed(home, &["service", "add", "wallet", "--label", "shop"])?;
        assert!(key.starts_with("dpow_live_") && key.len() == 10 + 13 + 1 + 52 + 1, "{key}");
        let added = object(home, &["service", "add", "faucet", "--expires", "90d"])?;
        assert_eq!(
            fields(&added),
            names(
                "api_key key service label issued_at_us expires_at_us valid last_used_at_us test spend_per_day_mc allow"
            )
        );
        let life = added["expires_at_us"].as_u64().context("an end")?
            - added["issued_at_us"].as_u64().context("a beginning")?;
        assert_eq!(life, 90 * 86_400 * 1_000_000);

        let listed = objects(home, &["service", "list"])?;
        assert_eq!(
            listed.iter().map(|service| &service["service"]).collect::<Vec<_>>(),
            ["faucet", "wallet"]
        );
        assert_eq!(
            fields(&listed[0]),
            names("service state state_at_us reason added_at_us granted_mc paid_mc held_mc keys_valid")
        );
        let table = printed(home, &["service", "list"])?;
        let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["SERVICE", "STATE", "CREDITS", "HELD", "KEYS", "ADDED"]);
        assert_eq!(lines[2][..3], ["wallet", "active", "0.000"]);

        let issued = printed(home, &["key", "issue", "wallet", "--label", "till 2"])?;
        let old = issued.split('_').nth(2).context("an id")?;
        let rotated = home.run(&["key", "rotate", old, "--overlap", "1h"])?;
        assert!(rotated.status.success() && rotated.stdout.starts_with("dpow_live_"), "{rotated:?}");
        assert!(rotated.stderr.starts_with(&format!("the old key {old} is valid until 20")), "{rotated:?}");
        let revoked = printed(home, &["key", "revoke", old])?;
        assert_eq!(revoked, format!("the key {old} of wallet has ended\n"));
        let again = printed(home, &["key", "revoke", old])?;
        assert!(again.starts_with(&format!("the key {old} of wallet had ended at 20")), "{again}");
        assert!(again.ends_with("; nothing has changed\n"), "{again}");

        let keys = objects(home, &["key", "list", "wallet"])?;
        assert_eq!(keys.iter().map(|key| &key["label"]).collect::<Vec<_>>(), ["shop", "till 2"]);
        assert_eq!(objects(home, &["key", "list", "wallet", "--all"])?.len(), 3);
        assert_eq!(objects(home, &["key", "list"])?.len(), 3);
        let shown = object(home, &["service", "show", "wallet"])?;
        assert_eq!(
            (&shown["service"]["keys_valid"], shown["keys"].as_array().map(Vec::len)),
            (&json!(2), Some(3))
        );
        assert!(printed(home, &["service", "show", "wallet"])?.contains("until revoked"));
        Ok(())
    })
}

#[test]
fn states_of_services() -> anyhow::Result<()> {
    both_ways(|home, server| {
        let wallet = home.add_service("wallet")?;
        let is_let_in = || -> anyhow::Result<Option<u16>> {
            let Some(server) = server else { return Ok(None) };
            let request = json!({ "root": root(1), "subtype": "receive" });
            Ok(Some(server.client().work(&wallet.key, &request)?.status))
        };
        // Nobody gives it credits: 402 is what a service gets that is let in.
        for (command, state, status) in [
            ("suspend", "suspended", 403),
            ("resume", "active", 402),
            ("ban", "banned", 403),
            ("resume", "active", 402),
        ] {
            let reason: &[&str] = if command == "resume" { &[] } else { &["--reason", "floods us"] };
            let set = [&["service", command, "wallet"], reason].concat();
            assert_eq!(printed(home, &set)?, format!("wallet is {state} now\n"));
            let again = printed(home, &set)?;
            assert!(again.starts_with(&format!("wallet is {state} since 20")), "{again}");
            let why = if command == "resume" { "Z; nothing" } else { "Z: floods us; nothing" };
            assert!(again.ends_with(&format!("{why} has changed\n")), "{again}");
            assert_eq!(object(home, &["service", "show", "wallet"])?["service"]["state"], state);
            assert!(is_let_in()?.is_none_or(|found| found == status), "{state}: {:?}", is_let_in()?);
        }
        assert_eq!(object(home, &["service", "suspend", "wallet"])?["state"], "suspended");
        Ok(())
    })
}

#[test]
fn credits() -> anyhow::Result<()> {
    both_ways(|home, server| {
        home.add_service("wallet")?;
        let granted = printed(home, &["credit", "grant", "wallet", "500"])?;
        assert_eq!(granted, "500.000 credits for wallet, which has 500.000 now\n");
        let paid = object(home, &["credit", "grant", "wallet", "2", "--paid"])?;
        assert_eq!(fields(&paid), names("service amount_mc bucket transfer granted_mc paid_mc held_mc"));
        assert_eq!(
            (&paid["amount_mc"], &paid["bucket"], &paid["paid_mc"]),
            (&json!(2000), &json!("paid"), &json!(2000))
        );
        // The same once more, as after a connection that broke.
        let transfer = paid["transfer"].as_str().context("a transfer")?;
        let again = object(home, &["credit", "grant", "wallet", "2", "--paid", "--transfer", transfer])?;
        assert_eq!(again, paid);
        let other = complaint(home, &["credit", "grant", "wallet", "3", "--paid", "--transfer", transfer])?;
        assert_eq!(other, "dpow: this id was used before for something else");

        let balance = object(home, &["credit", "balance", "wallet"])?;
        let held = server.map_or(Value::Null, |_| json!(0));
        assert_eq!(
            balance,
            json!({ "service": "wallet", "granted_mc": 500_000, "paid_mc": 2_000, "held_mc": held })
        );
        let text = printed(home, &["credit", "balance", "wallet"])?;
        assert_eq!(text, "wallet has 502.000 credits (500.000 granted, 2.000 paid)\n");
        let journal = printed(home, &["credit", "journal"])?;
        assert!(journal.lines().all(|line| line.len() <= 100 && line.contains("issuance -> ")), "{journal}");
        assert_eq!((journal.lines().count(), home.journal()?.replay()?.granted.values().sum()), (2, 502_000));
        Ok(())
    })
}

#[test]
fn workers() -> anyhow::Result<()> {
    both_ways(|home, server| {
        home.add_service("wallet")?;
        let (_, id) = RawWorker::credentials(1);
        let (id, address) = (id.to_string(), account(1).to_string());
        let nobody = complaint(home, &["worker", "show", &id])?;
        assert!(nobody.starts_with(&format!("dpow: no worker {id} is connected")), "{nobody}");
        let mut worker = server.map(|server| RawWorker::join(server, 1, account(1))).transpose()?;
        if let Some(worker) = &mut worker {
            worker.tell_rate(2_500_000)?;
            // No escape sequence of a stranger reaches the terminal.
            wait_for(home, &["worker", "show", &id], r"device     a card\u{1b}[2J (OpenCL), 2.50 MH/s")?;
            let listed = objects(home, &["worker", "list"])?;
            assert_eq!((&listed[0]["worker"], &listed[0]["payee"]), (&json!(id), &json!(address)));
            assert!(listed[0]["connection"]["connected_at_us"].is_u64(), "{listed:?}");
            let table = printed(home, &["worker", "list"])?;
            assert!(table.lines().all(|line| line.chars().count() <= 100) && table.contains(&id), "{table}");
            let shown = printed(home, &["worker", "show", &id])?;
            assert!(shown.contains(&address) && shown.contains("connected  since 20"), "{shown}");
        } else {
            let listed = printed(home, &["worker", "list"])?;
            assert!(listed.starts_with("no server runs"), "{listed}");
        }
        for subject in [&id, &address] {
            let banned = printed(home, &["worker", "ban", subject, "--reason", "floods us", "--for", "7d"])?;
            assert!(banned.starts_with(&format!("{subject} is banned until 20")), "{banned}");
        }
        let bans = objects(home, &["worker", "list", "--banned"])?;
        assert_eq!(bans.len(), 2);
        assert_eq!(fields(&bans[0]), names("subject reason banned_at_us ends_at_us holds"));
        if let (Some(server), Some(mut worker)) = (server, worker) {
            worker.wait_until_closed()?;
            assert!(RawWorker::join(server, 1, account(1)).is_err());
        }
        let shown = printed(home, &["worker", "show", &id])?;
        assert!(shown.contains("floods us"), "{shown}");
        for subject in [&id, &address] {
            assert_eq!(
                printed(home, &["worker", "unban", subject])?,
                format!("the ban of {subject} is lifted\n")
            );
            let again = printed(home, &["worker", "unban", subject])?;
            assert!(again.starts_with(&format!("{subject} was not banned; nothing has changed")), "{again}");
        }
        assert_eq!(printed(home, &["worker", "list", "--banned"])?, "nobody is banned\n");
        if let Some(server) = server {
            RawWorker::join(server, 1, account(1))?;
        }
        Ok(())
    })
}

#[test]
fn what_is_mistyped_is_told_what_was_meant() -> anyhow::Result<()> {
    both_ways(|home, _| {
        let wallet = home.add_service("wallet")?;
        let exists =
            "there is no service walet; did you mean wallet? If not, add it with `dpow service add walet`";
        for arguments in [
            &["credit", "grant", "walet", "5"][..],
            &["credit", "balance", "walet"],
            &["service", "show", "walet"],
            &["service", "suspend", "walet"],
            &["key", "issue", "walet"],
            &["key", "list", "walet"],
        ] {
            assert_eq!(complaint(home, arguments)?, format!("dpow: {exists}"), "{arguments:?}");
        }
        let twice = complaint(home, &["service", "add", "wallet"])?;
        assert!(
            twice.contains("already, and nothing has changed") && twice.contains("`dpow key issue wallet`"),
            "{twice}"
        );
        assert_eq!(objects(home, &["key", "list"])?.len(), 1);
        let id = wallet.key.split('_').nth(2).context("an id")?;
        let other = match id.strip_prefix('a') {
            Some(rest) => format!("b{rest}"),
            None => format!("a{}", &id[1..]),
        };
        let unknown = complaint(home, &["key", "revoke", &other])?;
        assert!(unknown.contains(&format!("did you mean {id}?")), "{unknown}");
        let address = account(1).to_string().replace("nano_1", "nano_0");
        let mistyped = complaint(home, &["worker", "ban", &address, "--reason", "none"])?;
        assert!(mistyped.contains("character 6 of the address is wrong"), "{mistyped}");

        // A secret that was pasted in place of an id is not repeated.
        let pasted = home.run(&["key", "revoke", &wallet.key])?;
        assert_eq!(pasted.status.code(), Some(2), "{pasted:?}");
        assert!(pasted.stderr.contains(&format!("its id is {id}")), "{pasted:?}");
        Ok(())
    })
}

#[test]
fn a_ban_has_a_reason() -> anyhow::Result<()> {
    let home = Home::new()?;
    for subject in [["worker", &account(1).to_string()], ["service", "wallet"]] {
        let finished = home.run(&[subject[0], "ban", subject[1]])?;
        assert_eq!(finished.status.code(), Some(2), "{finished:?}");
        assert!(finished.stderr.contains("--reason <TEXT>"), "{finished:?}");
    }
    Ok(())
}

/// A mistyped data directory is not made, and one of another network is not touched.
#[test]
fn the_wrong_place_is_named() -> anyhow::Result<()> {
    let home = Home::new()?;
    let wrong = home.path().join("wrong");
    let wrong_text = wrong.display().to_string();
    for arguments in [
        &["credit", "grant", "wallet", "5"][..],
        &["credit", "balance", "wallet"],
        &["service", "list"],
        &["key", "list"],
        &["worker", "list"],
        &["status"],
        &["operator", "token", "--rotate"],
    ] {
        let complaint = complaint(&home, &[arguments, &["--data-dir", &wrong_text]].concat())?;
        assert!(
            complaint.contains(&format!("there is no ledger in {wrong_text}")),
            "{arguments:?}: {complaint}"
        );
    }
    assert!(!wrong.exists());

    both_ways(|home, _| {
        home.add_service("wallet")?;
        for arguments in [&["credit", "grant", "wallet", "5"][..], &["service", "list"], &["status"]] {
            let complaint = complaint(home, &[arguments, &["--network", "live"]].concat())?;
            assert!(complaint.ends_with("if you mean it, give `--network dev`"), "{complaint}");
        }
        assert_eq!(object(home, &["credit", "balance", "wallet"])?["granted_mc"], 0);
        Ok(())
    })
}

#[test]
fn status() -> anyhow::Result<()> {
    let (home, _) = Home::with_wallet(5)?;
    let without = home.run(&["status"])?;
    assert_eq!((without.status.code(), without.stderr.as_str()), (Some(3), ""), "{without:?}");
    assert!(without.stdout.starts_with("server     none answers on "), "{without:?}");
    assert!(
        without.stdout.contains("credits    5.000 issued, 0.000 spent, 5.000 outstanding\n"),
        "{without:?}"
    );

    let server = home.serve()?;
    let with = home.run(&["status"])?;
    assert_eq!(with.status.code(), Some(0), "{with:?}");
    for expected in [
        "up ",
        "network    dev\n",
        "ready      yes (gate, ledger, audit, intake)\n",
        &format!("http       http://{}\n", server.http_addr()),
        &format!("mqtt       mqtt://{}\n", server.mqtt_addr()),
        &format!("admin      {}\n", home.path().join("admin.sock").display()),
        "workers    0, 0 H/s\n",
        "credits    5.000 issued, 0.000 spent, 5.000 outstanding, 0.000 of them held\n",
        "services   1\n",
    ] {
        assert!(with.stdout.contains(expected), "{expected}: {}", with.stdout);
    }
    let json = object(&home, &["status"])?;
    assert_eq!(
        fields(&json),
        names(
            "network server.version server.uptime_ms server.listens.http server.listens.mqtt \
             server.listens.mqtt_websocket server.listens.admin server.listens.node_peer server.nodes \
             server.node_callback server.accounts_watched server.ready server.parts server.workers \
             server.hashes_per_second server.jobs_open server.jobs_unplaced server.requests_open \
             server.requests_answered server.requests_refused credits.issued_mc credits.spent_mc credits.held_mc \
             credits.outstanding_mc ledger.path ledger.size_bytes ledger.services"
        )
    );
    assert_eq!(json["credits"]["held_mc"], 0);
    Ok(())
}

/// It is its owner's alone, goes with its server, and does not get in the way of the next one.
#[test]
fn the_socket_comes_and_goes_with_the_server() -> anyhow::Result<()> {
    let home = Home::new()?;
    let socket = home.path().join("admin.sock");
    let server = home.serve()?;
    assert_eq!(fs::metadata(&socket)?.permissions().mode() & 0o777, 0o600);
    server.stop(Signal::Terminate)?;
    assert!(!socket.exists());

    home.serve()?.crash()?;
    assert!(socket.exists());
    home.add_service("wallet")?;
    assert_eq!(home.run(&["status"])?.status.code(), Some(3));
    let _server = home.serve()?;
    assert_eq!(home.run(&["status"])?.status.code(), Some(0));
    Ok(())
}

/// A path longer than what the address of a socket has room for.
#[test]
fn a_data_directory_may_be_deep() -> anyhow::Result<()> {
    let home = Home::new()?;
    let deep = home.path().join("a-rather-long-name".repeat(8));
    let mut command = home.listening_command(&["serve"])?;
    let _server = home.serve_with(command.arg("--data-dir").arg(&deep))?;
    let deep = deep.display().to_string();
    printed(&home, &["service", "add", "wallet", "--data-dir", &deep])?;
    assert_eq!(home.run(&["status", "--data-dir", &deep])?.status.code(), Some(0));
    Ok(())
}

/// Many operators at once: every grant counts, and a name is given once.
#[test]
fn operators_do_not_get_in_each_others_way() -> anyhow::Result<()> {
    both_ways(|home, _| {
        home.add_service("wallet")?;
        let outcomes = std::thread::scope(|scope| {
            let running: Vec<_> = (0..8)
                .map(|number| {
                    scope.spawn(move || {
                        let amount = (number + 1).to_string();
                        let granted = home.run(&["credit", "grant", "wallet", &amount])?;
                        Ok((granted, home.run(&["service", "add", "faucet"])?))
                    })
                })
                .collect();
            running
                .into_iter()
                .map(|thread| thread.join().expect("no panic"))
                .collect::<anyhow::Result<Vec<_>>>()
        })?;
        assert!(outcomes.iter().all(|(granted, _)| granted.status.success()), "{outcomes:?}");
        assert_eq!(outcomes.iter().filter(|(_, added)| added.status.success()).count(), 1, "{outcomes:?}");
        assert_eq!(object(home, &["credit", "balance", "wallet"])?["granted_mc"], 36_000);
        assert_eq!(objects(home, &["key", "list", "faucet"])?.len(), 1);
        Ok(())
    })
}

/// While another process has the data directory and answers nobody, it can be read, and nothing is changed.
#[test]
fn a_silent_owner_of_the_data_directory_is_named() -> anyhow::Result<()> {
    let home = Home::new()?;
    home.add_service("wallet")?;
    let lock = fs::File::options().write(true).open(home.path().join("lock"))?;
    lock.lock()?;
    assert_eq!(object(&home, &["credit", "balance", "wallet"])?["held_mc"], Value::Null);
    let silent = complaint(&home, &["credit", "grant", "wallet", "5"])?;
    assert!(silent.contains("does not answer on its admin socket"), "{silent}");
    lock.unlock()?;
    assert_eq!(object(&home, &["credit", "balance", "wallet"])?["granted_mc"], 0);
    Ok(())
}

/// A server that hangs holds its socket open.
#[test]
fn beside_a_server_that_hangs_the_ledger_can_be_read() -> anyhow::Result<()> {
    let home = Home::new()?;
    let server = home.serve()?;
    home.add_service("wallet")?;
    let signal = |name: &str| -> anyhow::Result<()> {
        let status = shell(&format!("kill -s {name} {}", server.process().id())).status()?;
        ensure!(status.success(), "{name} could not be sent");
        Ok(())
    };
    signal("STOP")?;
    let (listed, granted) = std::thread::scope(|scope| {
        let listed = scope.spawn(|| objects(&home, &["service", "list"]));
        let granted = scope.spawn(|| complaint(&home, &["credit", "grant", "wallet", "5"]));
        (listed.join().expect("no panic"), granted.join().expect("no panic"))
    });
    signal("CONT")?;
    assert_eq!(listed?[0]["service"], "wallet");
    let granted = granted?;
    // What it was sent, it does when it goes on; so the same is sent with the same name.
    let transfer = granted.split("--transfer ").nth(1).and_then(|rest| rest.split('`').next());
    let transfer = transfer.with_context(|| granted.clone())?;
    printed(&home, &["credit", "grant", "wallet", "5", "--transfer", transfer])?;
    assert_eq!(object(&home, &["credit", "balance", "wallet"])?["granted_mc"], 5_000);
    Ok(())
}

/// What a worker has earned is seen in every listing, and each line has room on a terminal.
#[test]
fn what_was_worked_and_paid_is_shown() -> anyhow::Result<()> {
    let home = Home::new()?;
    let server = home.serve()?;
    let wallet = home.add_service("wallet")?;
    home.grant_paid(&wallet, 5)?;
    let _worker = WorkerProcess::start(server.mqtt_addr(), account(1))?;
    let request = json!({ "root": root(1), "subtype": "send" });
    server.client().work(&wallet.key, &request)?.answer(root(1), NETWORK.send_threshold())?;
    let listed = objects(&home, &["worker", "list", "--all"])?;
    assert_eq!((&listed[0]["total"]["works"], &listed[0]["total"]["earned_mc"]), (&json!(1), &json!(900)));
    assert_eq!(listed[0]["connection"]["results"]["accepted"], 1);
    let key = object(&home, &["key", "list"])?;
    assert!(key["last_used_at_us"].as_u64() >= key["issued_at_us"].as_u64(), "{key}");
    let credits = object(&home, &["status"])?["credits"].clone();
    assert_eq!(
        credits,
        json!({ "issued_mc": 5_000, "spent_mc": 1_000, "held_mc": 0, "outstanding_mc": 4_000 })
    );
    for arguments in [
        &["credit", "journal"][..],
        &["worker", "list"],
        &["worker", "list", "--all"],
        &["key", "list"],
        &["service", "list"],
    ] {
        let text = printed(&home, arguments)?;
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    }
    server.stop(Signal::Terminate)?;
    // Without a server it is read from the file: all that was, nobody that is.
    let after = objects(&home, &["worker", "list", "--all"])?;
    assert_eq!((&after[0]["total"], &after[0]["connection"]), (&listed[0]["total"], &Value::Null));
    assert_eq!(object(&home, &["key", "list"])?["last_used_at_us"], key["last_used_at_us"]);
    Ok(())
}

/// A key that is revoked lets nobody in any more, and ends what was connected with it.
#[test]
fn a_revoked_key_is_worth_nothing_at_once() -> anyhow::Result<()> {
    let home = Home::new()?;
    let server = home.serve()?;
    let wallet = home.add_service("wallet")?;
    let further = printed(&home, &["key", "issue", "wallet"])?;
    let mut session = server.login("wallet", &wallet.key, "here")?;
    let request = json!({ "root": root(1), "subtype": "receive" });
    let status = |key: &str| -> anyhow::Result<u16> { Ok(server.client().work(key, &request)?.status) };
    // It has no credits: with a good key it is refused for that.
    assert_eq!((status(&wallet.key)?, status(further.trim_end())?), (402, 402));
    printed(&home, &["key", "revoke", wallet.key.split('_').nth(2).context("an id")?])?;
    session.wait_until_closed()?;
    assert!(server.login("wallet", &wallet.key, "here").is_err());
    assert_eq!((status(&wallet.key)?, status(further.trim_end())?), (401, 402));
    Ok(())
}

#[test]
fn the_operators_token_is_replaced_at_once() -> anyhow::Result<()> {
    let home = Home::new()?;
    let server = home.serve()?;
    let old = printed(&home, &["operator", "token"])?;
    assert_eq!(old.trim_end(), home.read("operator-token")?);
    let mut session = server.login("operator", old.trim_end(), "watcher")?;
    let new = printed(&home, &["operator", "token", "--rotate"])?;
    assert_ne!(old, new);
    assert_eq!(new.trim_end(), home.read("operator-token")?);
    session.wait_until_closed()?;
    assert!(server.login("operator", old.trim_end(), "watcher").is_err());
    server.login("operator", new.trim_end(), "watcher")?;
    server.stop(Signal::Terminate)?;
    let newest = object(&home, &["operator", "token", "--rotate"])?;
    assert_eq!(newest["token"], home.read("operator-token")?);
    assert_ne!(newest["token"], new.trim_end());
    Ok(())
}

/// With `--snippets`, what is printed works as it is.
#[test]
fn snippets_work_as_they_are() -> anyhow::Result<()> {
    let home = Home::new()?;
    let _server = home.all_in_one()?;
    let text = printed(&home, &["service", "add", "wallet", "--snippets"])?;
    printed(&home, &["credit", "grant", "wallet", "5"])?;
    let (_, rest) = text.split_once("\n# curl\n").context("curl")?;
    let (curl, rest) = rest.split_once("\n# Python\n").context("Python")?;
    let (python, javascript) = rest.split_once("\n// JavaScript\n").context("JavaScript")?;
    for (tool, flags, script) in [
        (Tool::Bash, &["-c"][..], curl),
        (Tool::Python, &["-c"], python),
        (Tool::Node, &["--input-type=module", "-e"], javascript),
    ] {
        if !tool.is_there("a snippet") || (tool == Tool::Bash && !Tool::Curl.is_there("a snippet")) {
            continue;
        }
        let output = tool.command().args(flags).arg(script).output()?;
        ensure!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        let answer = String::from_utf8(output.stdout)?;
        let work = answer.split_once("\"work\":\"").map_or(answer.trim(), |(_, rest)| &rest[..16]);
        assert!(work.len() == 16 && work.bytes().all(|byte| byte.is_ascii_hexdigit()), "{answer}");
    }
    Ok(())
}
