//! Known answers about Nano work, from `vectors/work.json`: every entry of every section. Each test says how many entries it
//! has checked, so that a file without them fails.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use serde_json::Value;
use shared::account::Prefix;
use shared::pow::{Multiplier, Nonce, Root, Threshold, Work, difficulty};
use shared::{Account, Network};

fn section(name: &str) -> Value {
    let file: Value = serde_json::from_str(include_str!("vectors/work.json")).unwrap();
    file[name].clone()
}

fn entries(name: &str) -> Vec<Value> {
    section(name).as_array().unwrap().clone()
}

fn text<'a>(entry: &'a Value, key: &str) -> &'a str {
    entry[key].as_str().unwrap_or_else(|| panic!("{key} of {entry}"))
}

fn threshold(text: &str) -> Threshold {
    text.parse().unwrap()
}

fn root_and_nonce(entry: &Value) -> (Root, Nonce) {
    (text(entry, "hash").parse().unwrap(), text(entry, "work").parse().unwrap())
}

#[test]
fn thresholds_of_the_networks() {
    let section = section("thresholds");
    let table = section.as_object().unwrap();
    for (name, value) in table {
        let (network, kind) = name.split_once('_').unwrap();
        let network: Network = network.parse().unwrap();
        let ours = match kind {
            "send" => network.send_threshold(),
            "receive" => network.receive_threshold(),
            "epoch_1" => network.epoch_1_threshold(),
            other => panic!("{other} is no kind of threshold"),
        };
        assert_eq!(ours, threshold(value.as_str().unwrap()), "{name}");
    }
    assert_eq!(table.len(), 8);
}

#[test]
fn difficulties_and_what_they_meet() {
    let named = section("thresholds");
    let (mut works, mut comparisons) = (0, 0);
    for entry in entries("vectors") {
        let id = text(&entry, "id");
        let (root, nonce) = root_and_nonce(&entry);
        let attained = difficulty(&root, nonce);
        assert_eq!(attained.to_string(), text(&entry, "difficulty"), "{id}");
        assert_eq!(nonce.to_string(), text(&entry, "work"), "{id}");
        assert_eq!(root.to_string(), text(&entry, "hash"), "{id}");
        for (name, meets) in entry["meets"].as_object().unwrap() {
            let value = named.get(name).or_else(|| entry["extra_thresholds"].get(name)).unwrap();
            let threshold = threshold(value.as_str().unwrap());
            let meets = meets.as_bool().unwrap();
            assert_eq!(attained.meets(threshold), meets, "{id} {name}");
            let work = Work::verify(root, nonce, threshold);
            assert_eq!(work.is_some(), meets, "{id} {name}");
            assert!(work.is_none_or(|work| work.difficulty() == attained && work.meets(threshold)));
            comparisons += 1;
        }
        works += 1;
    }
    assert_eq!((works, comparisons), (54, 540));
}

#[test]
fn wrong_readings_of_the_work_function_are_not_ours() {
    let entries = entries("wrong_readings");
    for entry in &entries {
        let (root, nonce) = root_and_nonce(entry);
        let attained = difficulty(&root, nonce).to_string();
        assert_ne!(attained, text(entry, "wrong_value"), "{}", text(entry, "mistake"));
        assert_eq!(attained, text(entry, "right_value"));
    }
    assert_eq!(entries.len(), 4);
}

#[test]
fn ratios_and_their_text() {
    let entries = entries("to_multiplier");
    for entry in &entries {
        let value = threshold(text(entry, "difficulty")).as_u64();
        let multiplier = Multiplier::of(value, threshold(text(entry, "base"))).unwrap();
        let expected = entry["to_multiplier"].as_f64().unwrap();
        assert_eq!(multiplier.as_f64().to_bits(), expected.to_bits(), "{entry}");
        assert_eq!(multiplier.to_string(), text(entry, "as_text_15_decimals"), "{entry}");
    }
    assert_eq!(entries.len(), 13);
}

#[test]
fn thresholds_of_ratios() {
    let entries = entries("from_multiplier");
    for entry in &entries {
        let base = threshold(text(entry, "base"));
        let expected = threshold(text(entry, "from_multiplier"));
        let number = Multiplier::try_new(entry["multiplier"].as_f64().unwrap()).unwrap();
        assert_eq!(number.to_threshold(base), expected, "{entry}");
        let written = Multiplier::parse(&entry["multiplier"].to_string()).unwrap();
        assert_eq!(written.to_threshold(base), expected, "{entry}");
    }
    assert_eq!(entries.len(), 20);
}

#[test]
fn addresses_of_accounts() {
    let entries = entries("accounts");
    for entry in &entries {
        let key: Root = text(entry, "public_key").parse().unwrap();
        let account = Account::from_public_key(*key.as_bytes());
        for (name, prefix) in [("nano", Prefix::Nano), ("xrb", Prefix::Xrb)] {
            assert_eq!(Account::parse_with_prefix(text(entry, name)), Ok((account, prefix)));
            assert_eq!(account.to_address(prefix), text(entry, name));
            assert_eq!(Network::Live.parse_address(text(entry, name)), Ok(account));
            assert!(Network::Banano.parse_address(text(entry, name)).is_err());
        }
        let banano = text(entry, "nano").replacen("nano_", "ban_", 1);
        assert_eq!(Network::Banano.format_address(account), banano);
        assert_eq!(Network::Banano.parse_address(&banano), Ok(account));
        assert_eq!(account.to_string(), text(entry, "nano"));
        assert_eq!(*account.public_key(), *key.as_bytes());
    }
    assert_eq!(entries.len(), 7);
}

/// These are no addresses of the main network. One of them is Banano's, and on no other network is it taken.
#[test]
fn texts_that_are_no_addresses() {
    let entries = entries("bad_accounts");
    for entry in &entries {
        let (address, why) = (text(entry, "text"), text(entry, "why"));
        for network in [Network::Live, Network::Beta, Network::Test, Network::Dev] {
            assert!(network.parse_address(address).is_err(), "{why}: {address}");
        }
        let is_banano = address.starts_with("ban_");
        assert_eq!(Network::Banano.parse_address(address).is_ok(), is_banano, "{why}: {address}");
    }
    assert_eq!(entries.len(), 9);
}
