//! RPC over HTTP: every answer has status 200, and every value is a text.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use serde_json::{Map, Value, json};
use shared::Account;
use shared::pow::Root;

use super::block::{NewBlock, ZERO};
use super::chain::Chain;
use super::faults::Faults;
use super::{Inner, LOOK_EVERY, lock};
use crate::PATIENCE;

/// The longest body that is read, in bytes.
const BODY_MAX: usize = 32 << 20;

/// Serves a connection, which is one call.
pub(super) fn serve(inner: &Inner, stopping: &AtomicBool, stream: &TcpStream) {
    if stream.set_nonblocking(false).is_err() || stream.set_read_timeout(Some(PATIENCE)).is_err() {
        return;
    }
    if lock(&inner.faults).is_silent {
        return be_silent(inner, stopping, stream);
    }
    let Ok(body) = read_body(stream) else { return };
    inner.requests.fetch_add(1, Ordering::Relaxed);
    let faults = lock(&inner.faults).clone();
    let answer = if faults.babbles {
        "<html>bad gateway</html>".to_owned()
    } else {
        let call = serde_json::from_str::<Value>(&body);
        let answer = call.map_or_else(
            |_| error("Unable to parse JSON"),
            |call| answer(&mut lock(&inner.chain), &faults, &call),
        );
        // A node writes four spaces; what reads JSON does not care.
        serde_json::to_string_pretty(&answer).unwrap_or_default().replace('/', "\\/") + "\n"
    };
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        answer.len()
    );
    // Whoever has hung up is told nothing.
    let _ = (&mut &*stream).write_all((head + &answer).as_bytes());
}

/// Keeps a connection open without a word until the fault is over.
pub(super) fn be_silent(inner: &Inner, stopping: &AtomicBool, stream: &TcpStream) {
    let is_closed = |stream: &TcpStream| matches!((&*stream).read(&mut [0; 512]), Ok(0));
    if stream.set_read_timeout(Some(LOOK_EVERY)).is_err() {
        return;
    }
    while !stopping.load(Ordering::Relaxed) && lock(&inner.faults).is_silent && !is_closed(stream) {}
}

fn read_body(stream: &TcpStream) -> anyhow::Result<String> {
    let mut reader = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let header = line.trim();
        if header.is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse::<usize>()?.min(BODY_MAX);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(String::from_utf8(body)?)
}

/// Posts a body on a connection of its own.
pub(super) fn post(address: SocketAddr, path: &str, body: &str) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        address.ip(),
        body.len()
    );
    stream.write_all((head + body).as_bytes())?;
    let mut status = String::new();
    BufReader::new(stream).read_line(&mut status).context("no answer")?;
    Ok(())
}

fn error(text: &str) -> Value {
    json!({ "error": text })
}

/// What a node answers to a call.
fn answer(chain: &mut Chain, faults: &Faults, call: &Value) -> Value {
    let account = || -> Option<Account> { call["account"].as_str()?.parse().ok() };
    match call["action"].as_str() {
        Some("version") => json!({ "rpc_version": "1", "node_vendor": "Nano V27.1", "network": "dev" }),
        Some("block_count") => json!({
            "count": chain.blocks_count().to_string(), "unchecked": "0", "cemented": chain.confirmed_count().to_string(),
        }),
        Some("accounts_frontiers") => accounts_frontiers(chain, faults, &call["accounts"]),
        Some("account_info") => match account() {
            Some(account) => account_info(chain, faults, account),
            None => error("Bad account number"),
        },
        Some("account_balance") => match account() {
            Some(account) => account_balance(chain, account),
            None => error("Bad account number"),
        },
        Some("receivable") => match account() {
            Some(account) => receivable(chain, account),
            None => error("Bad account number"),
        },
        Some("block_info") => block_info(chain, &call["hash"]),
        Some("process") => process(chain, call),
        None | Some(_) => error("Unknown command"),
    }
}

/// Last blocks, confirmed or not. Accounts without any are named as errors beside them.
fn accounts_frontiers(chain: &Chain, faults: &Faults, accounts: &Value) -> Value {
    let (mut frontiers, mut errors) = (Map::new(), Map::new());
    for text in accounts.as_array().into_iter().flatten().filter_map(Value::as_str) {
        let Ok(account) = text.parse::<Account>() else {
            errors.insert(text.to_owned(), "Bad account number".into());
            continue;
        };
        let lie = faults.lies.get(&account).map(|(hash, _)| *hash);
        match lie.or_else(|| chain.frontier(account)) {
            Some(hash) => frontiers.insert(text.to_owned(), hash.to_string().into()),
            None => errors.insert(text.to_owned(), "Account not found".into()),
        };
    }
    // The writer of a node has no empty objects.
    let frontiers = if frontiers.is_empty() { "".into() } else { Value::Object(frontiers) };
    if errors.is_empty() {
        json!({ "frontiers": frontiers })
    } else {
        json!({ "frontiers": frontiers, "errors": errors })
    }
}

fn account_info(chain: &Chain, faults: &Faults, account: Account) -> Value {
    let Some(frontier) = chain.frontier(account).and_then(|hash| chain.entry(hash)) else {
        return error("Account not found");
    };
    let confirmed = chain.confirmed_frontier(account).and_then(|hash| chain.entry(hash));
    let (mut hash, mut height) =
        confirmed.map_or((ZERO, 0), |entry| (entry.block.hash(), entry.block.height));
    if let Some(lie) = faults.lies.get(&account) {
        (hash, height) = *lie;
    }
    json!({
        "frontier": frontier.block.hash().to_string(),
        "balance": frontier.block.balance.to_string(),
        "block_count": frontier.block.height.to_string(),
        "account_version": "2",
        "confirmation_height": height.to_string(),
        "confirmation_height_frontier": hash.to_string(),
        "confirmed_frontier": hash.to_string(),
        "confirmed_height": height.to_string(),
    })
}

fn account_balance(chain: &Chain, account: Account) -> Value {
    let balance = chain.confirmed_frontier(account).and_then(|hash| chain.entry(hash));
    let receivable: u128 = chain.receivable(account).into_iter().map(|(_, amount)| amount).sum();
    let (balance, receivable) =
        (balance.map_or(0, |entry| entry.block.balance).to_string(), receivable.to_string());
    json!({ "balance": balance, "pending": receivable, "receivable": receivable })
}

fn receivable(chain: &Chain, account: Account) -> Value {
    let sends = chain.receivable(account).into_iter();
    let sends: Map<String, Value> =
        sends.map(|(hash, amount)| (hash.to_string(), amount.to_string().into())).collect();
    json!({ "blocks": if sends.is_empty() { "".into() } else { Value::Object(sends) } })
}

/// A block that somebody has made: an object with `json_block`, and else a text. It is not confirmed yet.
fn process(chain: &mut Chain, call: &Value) -> Value {
    let is_object = call["json_block"] == "true" || call["json_block"] == true;
    let read = match call["block"].as_str() {
        Some(text) if !is_object => serde_json::from_str(text).ok(),
        _ => is_object.then(|| call["block"].clone()),
    };
    match read.as_ref().and_then(NewBlock::read) {
        None => error("Block is invalid"),
        Some(block) => match chain.process(&block) {
            Ok(hash) => json!({ "hash": hash.to_string() }),
            Err(reason) => error(reason),
        },
    }
}

fn block_info(chain: &Chain, hash: &Value) -> Value {
    let Some(hash) = hash.as_str().and_then(|text| text.parse::<Root>().ok()) else {
        return error("Invalid block hash");
    };
    let Some(entry) = chain.entry(hash) else { return error("Block not found") };
    let block = entry.block;
    json!({
        "block_account": block.account.to_string(),
        "amount": block.amount.to_string(),
        "balance": block.balance.to_string(),
        "height": block.height.to_string(),
        "confirmed": entry.is_confirmed.to_string(),
        "contents": block.to_json(false),
        "subtype": block.body.subtype(),
    })
}
