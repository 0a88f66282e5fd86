//! Servers that are refused when a ledger is opened, each in one sentence, and left as they were.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use shared::Network;

use super::super::attachment::Claim;
use super::super::key::Key;
use super::super::mark::Mark;
use super::super::{OpenError, RedisStore};
use super::fixture::{RedisProcess, claim, is_there, mark, open};
use crate::store::conformance::add;
use crate::store::{Store, Verb};

/// The one sentence of a refusal.
async fn sentence(claim: Claim) -> String {
    refusal(open(claim).await)
}

fn refusal(result: Result<RedisStore, OpenError>) -> String {
    let sentence = result.expect_err("a refusal").to_string();
    assert!(!sentence.contains('\n') && sentence.len() < 400, "{sentence}");
    sentence
}

#[tokio::test]
async fn a_server_that_could_lose_credits_is_refused_unless_an_operator_wants_it() {
    if !is_there() {
        return;
    }
    for (settings, said) in [
        (&["--maxmemory-policy", "allkeys-lru"][..], "set maxmemory-policy noeviction"),
        (&["--appendonly", "no"], "set appendonly yes"),
        (&["--appendfsync", "no"], "set appendfsync always or everysec"),
    ] {
        let server = RedisProcess::start(settings);
        let sentence = sentence(claim(&server.url)).await;
        assert!(sentence.contains("is not safe") && sentence.contains(said), "{sentence}");
        assert!(sentence.contains("`store.allow_unsafe`"), "{sentence}");
        assert_eq!(server.command(&["DBSIZE"]).as_deref(), Some("0"), "nothing was written");
        let all_the_same = Claim { allows_unsafe: true, ..claim(&server.url) };
        open(all_the_same).await.unwrap();
    }
}

#[tokio::test]
async fn a_replica_is_refused() {
    if !is_there() {
        return;
    }
    let master = RedisProcess::start_on_port();
    let (host, port) = master.url.trim_start_matches("redis://").split_once(':').unwrap();
    let replica = RedisProcess::start(&[]);
    replica.command(&["REPLICAOF", host, port]);
    replica.wait_until("it follows", |process| {
        process.command(&["INFO", "replication"]).is_some_and(|info| info.contains("master_link_status:up"))
    });
    let allowed = Claim { allows_unsafe: true, ..claim(&replica.url) };
    assert!(sentence(allowed).await.contains("it is a replica"));
    // What was written to its master can be read there.
    let ledger = claim(&master.url);
    let (keys, url) = (ledger.keys.clone(), replica.url.clone());
    let store = open(ledger).await.unwrap();
    store.execute(vec![add("wallet")]).await.unwrap();
    let looked = Claim { keys: keys.clone(), ..claim(&url) };
    replica.wait_until("it has the service", |process| {
        process.command(&["HLEN", keys.name(Key::Services)]).as_deref() == Some("1")
    });
    let reader = super::super::Reader::open(&looked).await.unwrap();
    assert_eq!(reader.services().await.unwrap().len(), 1);
}

/// Says what an old server would say.
fn old_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let mut input = BufReader::new(stream.try_clone().unwrap());
                while let Some(command) = read_command(&mut input) {
                    let info = "redis_version:6.2.14\r\nrole:master\r\nmaxmemory_policy:noeviction\r\naof_enabled:1\r\n";
                    let answer = match command.as_str() {
                        "INFO" => format!("${}\r\n{info}\r\n", info.len()),
                        "CONFIG" => "*2\r\n$11\r\nappendfsync\r\n$6\r\nalways\r\n".to_owned(),
                        _ => "+OK\r\n".to_owned(),
                    };
                    if stream.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    url
}

/// The name of the next command of a client.
fn read_command(input: &mut impl BufRead) -> Option<String> {
    let mut number = |sign: char| -> Option<usize> {
        let mut line = String::new();
        input.read_line(&mut line).ok()?;
        let number = line.strip_prefix(sign)?.trim_end().parse().ok()?;
        if sign == '*' {
            return Some(number);
        }
        Some(number)
    };
    let count = number('*')?;
    let mut name = None;
    for _ in 0..count {
        let mut line = String::new();
        input.read_line(&mut line).ok()?;
        let length: usize = line.strip_prefix('$')?.trim_end().parse().ok()?;
        let mut text = vec![0; length + 2];
        input.read_exact(&mut text).ok()?;
        name.get_or_insert_with(|| String::from_utf8_lossy(&text[..length]).to_uppercase());
    }
    name
}

#[tokio::test]
async fn version_6_is_refused() {
    let allowed = Claim { allows_unsafe: true, ..claim(&old_server()) };
    let sentence = sentence(allowed).await;
    assert!(sentence.contains("it is Redis 6; a ledger needs version 7 or newer"), "{sentence}");
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_never_repeated() {
    if !is_there() {
        return;
    }
    let server = RedisProcess::start_on_port();
    server.command(&["CONFIG", "SET", "requirepass", "correct-horse"]);
    let host = server.url.trim_start_matches("redis://").to_owned();
    for login in ["", ":hunter2@", "dpow:hunter2@"] {
        let sentence = sentence(claim(&format!("redis://{login}{host}"))).await;
        assert!(sentence.contains("it refuses the login"), "{sentence}");
        assert!(!sentence.contains("hunter2"), "{sentence}");
    }
    let store = open(claim(&format!("redis://:correct-horse@{host}"))).await.unwrap();
    store.execute(vec![add("wallet")]).await.unwrap();
    assert!(!format!("{store:?}").contains("correct-horse"));
}

#[tokio::test]
async fn nobody_there_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("none").display().to_string();
    assert!(sentence(claim(&format!("redis+unix://{socket}"))).await.contains("it does not answer"));
}

#[tokio::test]
async fn another_ledger_is_refused_and_left_alone() {
    if !is_there() {
        return;
    }
    let server = RedisProcess::start(&[]);
    let claim = || claim(&server.url);
    let keys = claim().keys;
    let on = |network| Claim { network, keys: keys.clone(), ..claim() };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger-mark");
    let store = RedisStore::start(on(Network::Dev), Mark::load(&path).unwrap()).await.unwrap();
    store.execute(vec![add("wallet")]).await.unwrap();
    let before = server.command(&["HGETALL", keys.name(Key::Meta)]);

    let other_network = refusal(RedisStore::start(on(Network::Live), mark()).await);
    assert!(
        other_network
            .ends_with("belongs to the network dev, not to live; if you mean it, give `--network dev`")
    );
    let busy = refusal(RedisStore::start(on(Network::Dev), mark()).await);
    assert!(busy.starts_with("another coordinator, of another data directory, uses the ledger"), "{busy}");
    assert_eq!(server.command(&["HGETALL", keys.name(Key::Meta)]), before);

    // The same data directory, and another ledger than the one that it remembers, or none.
    let mut elsewhere = claim();
    elsewhere.keys = super::super::key::Keys::of_test();
    let other = Claim { keys: elsewhere.keys.clone(), ..claim() };
    open(other).await.unwrap();
    let other = refusal(RedisStore::start(elsewhere, Mark::load(&path).unwrap()).await);
    assert!(other.contains("but this data directory belongs to"), "{other}");
    let emptied = refusal(RedisStore::start(claim(), Mark::load(&path).unwrap()).await);
    assert!(emptied.contains("has no ledger, but this data directory had one there"), "{emptied}");

    server.command(&["HSET", keys.name(Key::Meta), "format", "2"]);
    let newer = refusal(RedisStore::start(on(Network::Dev), Mark::load(&path).unwrap()).await);
    assert!(newer.ends_with("has format 2; this program knows format 1"), "{newer}");
    server.command(&["HSET", keys.name(Key::Meta), "format", "1", "copying", "1"]);
    let copying = refusal(RedisStore::start(on(Network::Dev), Mark::load(&path).unwrap()).await);
    assert!(copying.contains("was never finished"), "{copying}");
}

#[tokio::test]
async fn a_key_of_another_type_under_our_name_is_refused_and_left_alone() {
    if !is_there() {
        return;
    }
    let server = RedisProcess::start(&[]);
    for key in Key::ALL {
        let claim = claim(&server.url);
        let name = claim.keys.name(key).to_owned();
        server.command(&["SET", &name, "somebody's"]);
        let sentence = sentence(claim).await;
        assert!(
            sentence.contains(&format!("the key {name} on")) && sentence.contains("it is a string"),
            "{sentence}"
        );
        assert_eq!(server.command(&["GET", &name]).as_deref(), Some("somebody's"));
        assert_eq!(server.command(&["DBSIZE"]).as_deref(), Some("1"));
        server.command(&["DEL", &name]);
    }
    // Of the right type, but nobody has described a ledger.
    let claim = claim(&server.url);
    server.command(&["HSET", claim.keys.name(Key::Holds), "somebody's", "hold"]);
    let sentence = sentence(claim).await;
    assert!(sentence.contains("there is no description of a ledger beside it"), "{sentence}");
    assert_eq!(server.command(&["DBSIZE"]).as_deref(), Some("1"));
}

#[tokio::test]
async fn looking_makes_no_ledger_and_changes_none() {
    if !is_there() {
        return;
    }
    let server = RedisProcess::start(&[]);
    let claim = claim(&server.url);
    let none = super::super::Reader::open(&claim).await.expect_err("a refusal");
    assert!(matches!(none, OpenError::NoLedger { .. }), "{none}");
    assert_eq!(server.command(&["DBSIZE"]).as_deref(), Some("0"));
    let store = RedisStore { queue: None, reader: super::super::Reader::new(&claim) };
    let verb = Verb::UnbanWorker {
        subject: crate::store::WorkerSubject::Worker(shared::WorkerId::from_bytes([1; 16])),
    };
    assert!(store.execute(vec![verb]).await.is_err());
}
