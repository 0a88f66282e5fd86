//! The fake node says what a node says: the forms are those that a node V27 sends, key by key.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

use anyhow::{Context, ensure};
use e2e::fake_node::{Body, ConfirmationType};
use e2e::{FakeNode, NETWORK, PATIENCE};
use serde_json::{Value, json};
use shared::Account;
use shared::pow::{Nonce, Root, difficulty};
use tungstenite::{Message, WebSocket};

fn account(number: u8) -> Account {
    Account::from_public_key([number; 32])
}

type Client = WebSocket<TcpStream>;

fn connect(node: &FakeNode) -> anyhow::Result<Client> {
    let stream = TcpStream::connect(node.websocket_url().trim_start_matches("ws://"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(tungstenite::client(node.websocket_url(), stream)?.0)
}

fn say(client: &mut Client, call: &Value) -> anyhow::Result<()> {
    Ok(client.send(Message::text(call.to_string()))?)
}

fn hear(client: &mut Client) -> anyhow::Result<Value> {
    Ok(serde_json::from_str(client.read()?.to_text()?)?)
}

fn subscribe(client: &mut Client, options: &Value) -> anyhow::Result<()> {
    say(
        client,
        &json!({ "action": "subscribe", "topic": "confirmation", "ack": true, "id": "x", "options": options }),
    )?;
    let ack = hear(client)?;
    ensure!(ack["ack"] == "subscribe" && ack["id"] == "x", "{ack}");
    Ok(())
}

fn ask(node: &FakeNode, call: &Value) -> anyhow::Result<Value> {
    let mut reply = ureq::post(&node.url()).send(call.to_string())?;
    Ok(serde_json::from_str(&reply.body_mut().read_to_string()?)?)
}

fn names(value: &Value) -> Vec<&str> {
    value.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn a_confirmation_has_the_form_of_a_node() -> anyhow::Result<()> {
    let node = FakeNode::start()?;
    let mut client = connect(&node)?;
    subscribe(&mut client, &json!({ "accounts": [account(1).to_string()], "include_sideband_info": true }))?;
    let hash = node.publish(account(1), Body::Send { to: account(2), amount: 5 })?;
    let heard = hear(&mut client)?;
    ensure!(names(&heard) == ["message", "time", "topic"], "{heard}");
    let message = &heard["message"];
    ensure!(
        names(message) == ["account", "amount", "block", "confirmation_type", "hash", "sideband"],
        "{message}"
    );
    ensure!(message["hash"] == hash.to_string() && message["account"] == account(1).to_string(), "{message}");
    ensure!(message["amount"] == "5" && message["confirmation_type"] == "active_quorum", "{message}");
    ensure!(message["sideband"]["height"] == "1", "every value is a text: {message}");
    let block = &message["block"];
    let fields =
        "account balance link link_as_account previous representative signature subtype type work".split(' ');
    ensure!(names(block) == fields.collect::<Vec<_>>(), "{block}");
    ensure!(block["subtype"] == "send" && block["previous"] == "0".repeat(64), "{block}");
    ensure!(block["link_as_account"] == account(2).to_string(), "{block}");
    ensure!(block["signature"].as_str().map(str::len) == Some(128) && block["work"] == "0000000000000000");
    Ok(())
}

/// What passes a filter: an account's own state blocks and sends to it, never a block of the former kinds.
#[test]
fn a_filter_lets_through_what_that_of_a_node_does() -> anyhow::Result<()> {
    let node = FakeNode::start()?;
    let (mut filtered, mut all, mut none) = (connect(&node)?, connect(&node)?, connect(&node)?);
    subscribe(&mut filtered, &json!({ "accounts": [account(9).to_string(), "nano_1"] }))?;
    subscribe(&mut all, &json!({}))?;
    subscribe(&mut none, &json!({ "accounts": [] }))?;
    let update =
        json!({ "accounts_add": [account(1).to_string()], "accounts_del": [account(9).to_string()] });
    say(
        &mut filtered,
        &json!({ "action": "update", "topic": "confirmation", "ack": true, "options": update }),
    )?;
    ensure!(hear(&mut filtered)?["ack"] == "update");

    let stranger = node.publish(account(3), Body::Send { to: account(1), amount: 7 })?;
    let legacy = node.publish(account(1), Body::LegacyOpen { source: stranger })?;
    node.publish(account(3), Body::Send { to: account(9), amount: 1 })?;
    let change = node.publish(account(1), Body::Change)?;
    let epoch = node.publish(account(1), Body::Epoch)?;
    for expected in [stranger, change, epoch] {
        ensure!(hear(&mut filtered)?["message"]["hash"] == expected.to_string());
    }
    let kinds: Vec<Value> =
        (0..5).map(|_| Ok(hear(&mut all)?["message"].take())).collect::<anyhow::Result<_>>()?;
    ensure!(
        kinds[1]["hash"] == legacy.to_string() && names(&kinds[1]["block"]).contains(&"source"),
        "{kinds:?}"
    );
    ensure!(
        kinds[4]["block"]["link"]
            .as_str()
            .is_some_and(|link| link.starts_with("65706F636820763220626C6F636B00"))
    );

    say(&mut none, &json!({ "action": "ping" }))?;
    ensure!(hear(&mut none)?["ack"] == "pong", "an empty list lets nothing through");
    node.play("not even JSON");
    ensure!(none.read()?.to_text()? == "not even JSON");
    none.send(Message::text("not even JSON"))?;
    ensure!(none.read().is_err(), "what is no JSON ends a session");
    Ok(())
}

#[test]
fn a_callback_holds_the_block_as_a_text() -> anyhow::Result<()> {
    let node = FakeNode::start()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    node.call_back(listener.local_addr()?, "/block/");
    let hash = node.with_chain(|chain| chain.append(account(1), Body::Send { to: account(2), amount: 5 }))?;
    node.confirm(hash, ConfirmationType::Inactive)?;
    node.confirm(hash, ConfirmationType::ActiveConfirmationHeight)?;
    let (stream, _) = listener.accept()?;
    let mut reader = BufReader::new(stream);
    let mut lines = (&mut reader).lines().map_while(Result::ok);
    let head: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
    ensure!(head[0] == "POST /block/ HTTP/1.1" && head.contains(&"Host: 127.0.0.1".to_owned()), "{head:?}");
    let length = head.iter().find_map(|line| line.strip_prefix("Content-Length: ")).context("no length")?;
    let mut body = vec![0; length.parse()?];
    reader.read_exact(&mut body)?;
    reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
    let body: Value = serde_json::from_slice(&body)?;
    ensure!(names(&body) == ["account", "amount", "block", "hash", "is_send", "subtype"], "{body}");
    let block: Value = serde_json::from_str(body["block"].as_str().context("the block is no text")?)?;
    ensure!(block["type"] == "state" && body["hash"] == hash.to_string() && body["is_send"] == "true");
    Ok(())
}

#[test]
fn rpc_knows_frontiers_as_a_node_does() -> anyhow::Result<()> {
    let mut node = FakeNode::start()?;
    let (one, nobody) = (account(1), account(2));
    let first = node.publish(one, Body::Send { to: nobody, amount: 5 })?;
    let second = node.with_chain(|chain| chain.append(one, Body::Change))?;
    let accounts = json!([one.to_string(), nobody.to_string()]);
    let frontiers = json!({ "action": "accounts_frontiers", "accounts": accounts });
    let info = json!({ "action": "account_info", "account": one.to_string(), "include_confirmed": "true" });
    for _ in 0..2 {
        let answer = ask(&node, &frontiers)?;
        ensure!(answer["frontiers"] == json!({ one.to_string(): second.to_string() }), "{answer}");
        ensure!(answer["errors"][nobody.to_string()] == "Account not found", "{answer}");
        let answer = ask(&node, &info)?;
        ensure!(answer["confirmed_frontier"] == first.to_string(), "{answer}");
        ensure!(answer["confirmed_height"] == "1" && answer["block_count"] == "2", "{answer}");
        let answer = ask(&node, &json!({ "action": "receivable", "account": nobody.to_string() }))?;
        ensure!(answer["blocks"] == json!({ first.to_string(): "5" }), "{answer}");
        node.stop();
        ensure!(ask(&node, &info).is_err(), "it listens still");
        node.listen()?;
    }
    ensure!(ask(&node, &json!({ "action": "nothing" }))?["error"] == "Unknown command");
    Ok(())
}

/// A block that a wallet has made is taken in once, where it fits, and with work.
#[test]
fn rpc_takes_in_blocks_as_a_node_does() -> anyhow::Result<()> {
    let node = FakeNode::start()?;
    let (sender, receiver) = (account(1), account(2));
    let sent = node.publish(sender, Body::Send { to: receiver, amount: 5 })?;
    let block = |previous: Root, balance: u128, link: Root, worked_for: Root| {
        let work = (0..1 << 20)
            .map(Nonce::new)
            .find(|nonce| difficulty(&worked_for, *nonce).meets(NETWORK.send_threshold()));
        json!({
            "type": "state", "account": receiver, "previous": previous, "representative": account(3),
            "balance": balance.to_string(), "link": link, "signature": "0".repeat(128), "work": work,
        })
    };
    let process =
        |block: &Value| ask(&node, &json!({ "action": "process", "json_block": "true", "block": block }));
    let refusal = |block: &Value| -> anyhow::Result<String> {
        Ok(process(block)?["error"].as_str().context("it was taken in")?.to_owned())
    };
    let (nothing, own) = (Root::new([0; 32]), Root::new(*receiver.public_key()));
    let open = block(nothing, 5, sent, own);
    let mut idle = open.clone();
    idle["work"] = "0000000000000000".into();
    ensure!(refusal(&idle)? == "Block work is less than threshold");
    ensure!(refusal(&block(nothing, 4, sent, own))? == "Balance and amount delta do not match");
    ensure!(refusal(&block(nothing, 5, own, own))? == "Gap source block");
    ensure!(refusal(&block(sent, 5, sent, sent))? == "Fork");
    ensure!(refusal(&block(own, 5, sent, own))? == "Gap previous block");
    ensure!(refusal(&json!({ "type": "state" }))? == "Block is invalid");
    let as_text = ask(&node, &json!({ "action": "process", "block": open.to_string() }))?;
    let opened: Root = as_text["hash"].as_str().context("no hash")?.parse()?;
    ensure!(refusal(&open)? == "Old block");
    let info = ask(&node, &json!({ "action": "block_info", "hash": opened }))?;
    ensure!(info["subtype"] == "receive" && info["confirmed"] == "false" && info["amount"] == "5", "{info}");
    ensure!(info["contents"].as_str().is_some_and(|text| text.contains(&account(3).to_string())), "{info}");
    let back = process(&block(opened, 3, Root::new(*sender.public_key()), opened))?;
    let receivable = ask(&node, &json!({ "action": "receivable", "account": sender }))?;
    ensure!(
        receivable["blocks"] == json!({ back["hash"].as_str().unwrap_or_default(): "2" }),
        "{receivable}"
    );
    Ok(())
}
