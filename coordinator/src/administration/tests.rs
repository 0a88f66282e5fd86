//! Requests as JSON, and what carrying them out does to a store, a registry and a file.

mod hang_up;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use shared::{KeyId, Millicredits, ServiceId, TransferId, WorkerId};
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::request::{Envelope, WantedKey};
use super::*;
use crate::coordinator::OPERATOR_TOKEN;
use crate::intake::keys::KeyText;
use crate::intake::operator_token::TokenText;
use crate::store::memory::MemoryStore;
use crate::store::{Bucket, Place, ServiceState, Store, WorkerSubject};

const WORKER: WorkerId = WorkerId::from_bytes([5; 16]);
const TRANSFER: TransferId = TransferId::from_u128(7);

/// An administration without a server, and what it works on.
struct Rig {
    administration: Administration,
    registry: Registry,
    home: Arc<Home>,
    _folder: TempDir,
}

fn service(name: &str) -> ServiceId {
    name.parse().unwrap()
}

fn wanted(text: &KeyText, label: Option<&str>, expires_s: Option<u64>) -> WantedKey {
    let label = label.map(|label| label.parse().unwrap());
    WantedKey { text: text.clone(), label, expires_s, spend_per_day_mc: None, allow: None }
}

impl Rig {
    async fn new() -> Self {
        Self::on(Arc::new(MemoryStore::new())).await
    }

    async fn on(store: Arc<dyn Store>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Arc::new(Home::open(folder.path()).unwrap());
        let pepper = Pepper::new(Zeroizing::new("pepper".into()));
        let registry = Registry::load(store.as_ref(), pepper.clone()).await.unwrap();
        let place = Place::embedded(folder.path(), Network::Dev);
        let ledger = Ledger { store, place, registry: registry.clone(), pepper };
        let clock = Clock::start();
        let administration = Administration::new(Network::Dev, Arc::clone(&home), &ledger, clock, None);
        Self { administration, registry, home, _folder: folder }
    }

    async fn change(&self, change: Change) -> Result<Reply, Refused> {
        self.administration.carry_out(Request::Change(change)).await
    }

    async fn read(&self, read: Read) -> Result<Reply, Refused> {
        self.administration.carry_out(Request::Read(read)).await
    }

    async fn add(&self, name: &str) -> KeyText {
        let text = KeyText::draw(false).unwrap();
        let added = Change::AddService { service: service(name), key: wanted(&text, None, None) };
        self.change(added).await.unwrap();
        text
    }

    /// Everything that changes can touch.
    async fn everything(&self) -> Value {
        let mut all = BTreeMap::new();
        for (name, read) in [
            ("services", Read::Services),
            ("keys", Read::Keys { service: None }),
            ("journal", Read::Journal { from: 1, count: 1000 }),
            ("bans", Read::Bans),
        ] {
            all.insert(name, serde_json::to_value(self.read(read).await.unwrap()).unwrap());
        }
        let token = self.home.read_secret(OPERATOR_TOKEN).unwrap();
        json!({ "store": all, "token": token.as_deref() })
    }

    fn is_valid(&self, key: &KeyText) -> bool {
        self.registry.prove(key.as_str(), None, self.administration.view.now()).is_some()
    }
}

/// Without times of a moment, which a second time moves on where a change says so.
fn timeless(mut value: Value) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.retain(|name, _| name != "banned_at_us" && name != "ends_at_us" && name != "changed");
                fields.values_mut().for_each(strip);
            }
            Value::Array(values) => values.iter_mut().for_each(strip),
            _ => {}
        }
    }
    strip(&mut value);
    value
}

/// Whoever does not know whether a change arrived sends it again: that changes nothing more, and is answered as at first.
/// What a key may be used for is there before the key, and goes over to its successor.
#[tokio::test]
async fn a_key_is_limited_and_so_is_its_successor() {
    let rig = Rig::new().await;
    rig.add("wallet").await;
    let [first, second] = [(); 2].map(|()| KeyText::draw(true).unwrap());
    let spend_per_day_mc = Some(Millicredits::new(5000));
    let allow = Some("10.0.0.0/8".parse().unwrap());
    let key = WantedKey { spend_per_day_mc, allow, ..wanted(&first, None, None) };
    let issue = Change::IssueKey { service: service("wallet"), key };
    let Reply::KeyIssued(issued) = rig.change(issue.clone()).await.unwrap() else { panic!() };
    assert_eq!((issued.test, issued.spend_per_day_mc), (true, spend_per_day_mc));
    let rotate = |old: &KeyText, new: &KeyText| Change::RotateKey {
        old: old.key(),
        overlap_s: 0,
        key: wanted(new, None, None),
    };
    let live = KeyText::draw(false).unwrap();
    let refused = rig.change(rotate(&first, &live)).await.unwrap_err();
    assert_eq!(refused.code(), "other_kind_of_key");
    let Reply::KeyRotated { new, .. } = rig.change(rotate(&first, &second)).await.unwrap() else { panic!() };
    assert_eq!((new.test, new.spend_per_day_mc, new.allow.clone()), (true, spend_per_day_mc, issued.allow));

    let limit = |spend, allow: &str| Change::LimitKey {
        key: first.key(),
        spend_per_day_mc: spend,
        allow: allow.parse().unwrap(),
    };
    let Reply::KeyLimited(limited) = rig.change(limit(None, "")).await.unwrap() else { panic!() };
    assert_eq!((limited.test, limited.spend_per_day_mc, limited.allow.are_all()), (true, None, true));
    let Reply::KeyIssued(again) = rig.change(issue).await.unwrap() else { panic!() };
    assert_eq!(again.spend_per_day_mc, None, "what was said since holds");
    let from = Some("11.0.0.1".parse().unwrap());
    let proven = |key: &KeyText| rig.registry.prove(key.as_str(), from, rig.administration.view.now());
    assert_eq!((proven(&first), proven(&second)), (None, None), "one has ended, one is not valid from there");
}

#[tokio::test]
async fn every_change_can_be_sent_twice() {
    let rig = Rig::new().await;
    let old = rig.add("wallet").await;
    let subject = WorkerSubject::Worker(WORKER);
    let [added, issued, rotated] = [(); 3].map(|()| KeyText::draw(false).unwrap());
    for change in [
        Change::AddService { service: service("faucet"), key: wanted(&added, Some("first"), Some(60)) },
        Change::SetServiceState {
            service: service("wallet"),
            state: ServiceState::Suspended,
            reason: "floods".parse().unwrap(),
        },
        Change::IssueKey { service: service("wallet"), key: wanted(&issued, Some("second"), Some(60)) },
        Change::RotateKey { old: old.key(), overlap_s: 0, key: wanted(&rotated, None, None) },
        Change::RevokeKey { key: issued.key() },
        Change::Grant {
            transfer: TRANSFER,
            service: service("wallet"),
            amount_mc: Millicredits::CREDIT,
            bucket: Bucket::Paid,
        },
        Change::BanWorker { subject, reason: "floods".parse().unwrap(), for_s: Some(60) },
        Change::UnbanWorker { subject },
        Change::RotateOperatorToken { token: TokenText::draw().unwrap() },
    ] {
        let before = timeless(rig.everything().await);
        let first = rig.change(change.clone()).await.unwrap();
        let after = timeless(rig.everything().await);
        assert_ne!(before, after, "{change:?} changes something");
        let second = rig.change(change.clone()).await.unwrap();
        assert_eq!(timeless(rig.everything().await), after, "{change:?}");
        let [first, second] = [first, second].map(|reply| timeless(serde_json::to_value(reply).unwrap()));
        assert_eq!(first, second, "{change:?}");
    }
}

#[tokio::test]
async fn a_service_is_added_once_however_many_ask_at_once() {
    let rig = Rig::new().await;
    let keys: Vec<_> = (0..8).map(|_| KeyText::draw(false).unwrap()).collect();
    let adding = keys.iter().map(|key| {
        rig.change(Change::AddService { service: service("wallet"), key: wanted(key, None, None) })
    });
    let answers = futures_util::future::join_all(adding).await;
    let (added, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!((added.len(), refused.len()), (1, 7));
    assert!(refused.iter().all(|answer| matches!(answer, Err(Refused::ServiceExists { .. }))));
    assert_eq!(keys.iter().filter(|key| rig.is_valid(key)).count(), 1);
}

#[tokio::test]
async fn keys_are_what_the_registry_lets_in() {
    let rig = Rig::new().await;
    let first = rig.add("wallet").await;
    let second = KeyText::draw(false).unwrap();
    let rotate =
        |overlap_s| Change::RotateKey { old: first.key(), overlap_s, key: wanted(&second, None, None) };
    assert!(rig.is_valid(&first) && !rig.is_valid(&second));
    rig.change(rotate(3600)).await.unwrap();
    assert!(rig.is_valid(&first) && rig.is_valid(&second));
    rig.change(Change::RevokeKey { key: first.key() }).await.unwrap();
    assert!(!rig.is_valid(&first) && rig.is_valid(&second));
    let third = KeyText::draw(false).unwrap();
    let again = Change::RotateKey { old: first.key(), overlap_s: 0, key: wanted(&third, None, None) };
    assert!(matches!(rig.change(again).await, Err(Refused::KeyEnded { .. })));
    assert!(!rig.is_valid(&third));
}

#[tokio::test]
async fn a_successor_is_labelled_as_its_predecessor_unless_it_is_said() {
    let rig = Rig::new().await;
    rig.add("wallet").await;
    let [old, new, newest] = [(); 3].map(|()| KeyText::draw(false).unwrap());
    let key = wanted(&old, Some("shop"), None);
    rig.change(Change::IssueKey { service: service("wallet"), key }).await.unwrap();
    for (old, new, label, expected) in [(&old, &new, None, "shop"), (&new, &newest, Some("till"), "till")] {
        let change = Change::RotateKey { old: old.key(), overlap_s: 0, key: wanted(new, label, None) };
        let Reply::KeyRotated { new, old } = rig.change(change).await.unwrap() else { panic!("a rotation") };
        assert_eq!((new.label.as_str(), new.valid, old.valid), (expected, true, false));
    }
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_what_to_do() {
    let rig = Rig::new().await;
    let key = rig.add("wallet").await;
    let grant = |name, amount_mc| Change::Grant {
        transfer: TRANSFER,
        service: service(name),
        amount_mc,
        bucket: Bucket::Granted,
    };
    rig.change(grant("wallet", Millicredits::CREDIT)).await.unwrap();
    let unknown = KeyId::from_bytes([9; 8]);
    for (change, code, hint) in [
        (grant("walet", Millicredits::CREDIT), "unknown_service", "did you mean wallet?"),
        (grant("exchange", Millicredits::CREDIT), "unknown_service", "`dpow service add exchange`"),
        (grant("wallet", Millicredits::new(2)), "conflict", "used before"),
        (Change::RevokeKey { key: unknown }, "unknown_key", "`dpow key list`"),
        (
            Change::AddService {
                service: service("wallet"),
                key: wanted(&KeyText::draw(false).unwrap(), None, None),
            },
            "service_exists",
            "`dpow key issue wallet`",
        ),
        (
            Change::IssueKey { service: service("wallet"), key: wanted(&key, Some("another label"), None) },
            "conflict",
            "used before",
        ),
    ] {
        let refused = rig.change(change).await.unwrap_err();
        assert_eq!(refused.code(), code);
        assert!(refused.to_string().contains(hint), "{refused}");
    }
    let none = grant("wallet", Millicredits::ZERO);
    let none = match none {
        Change::Grant { service, amount_mc, bucket, .. } => {
            Change::Grant { transfer: TransferId::from_u128(8), service, amount_mc, bucket }
        }
        other => other,
    };
    assert_eq!(rig.change(none).await.unwrap_err().code(), "out_of_range");
    let subject = WorkerSubject::Worker(WORKER);
    assert_eq!(rig.read(Read::Worker { subject }).await.unwrap_err().code(), "unknown_worker");
}

/// What is written here may be written by other programs; what it looks like is not to change by accident.
#[test]
fn requests_have_these_texts() {
    let key = format!("dpow_live_aaaaaaaaaaaaa_{}", "b".repeat(52));
    let wanted = json!({ "text": key, "label": "shop", "expires_s": 60 });
    let transfer = "00000000000000000000000000000007";
    for (text, name) in [
        (json!({ "read": "status" }), "status"),
        (json!({ "read": "services" }), "services"),
        (json!({ "read": { "service": { "service": "wallet" } } }), "service"),
        (json!({ "read": { "keys": { "service": null } } }), "keys"),
        (json!({ "read": { "balance": { "service": "wallet" } } }), "balance"),
        (json!({ "read": { "journal": { "from": 1, "count": 10 } } }), "journal"),
        (json!({ "read": { "workers": { "all": true } } }), "workers"),
        (json!({ "read": { "worker": { "subject": WORKER } } }), "worker"),
        (json!({ "read": "bans" }), "bans"),
        (json!({ "change": { "add_service": { "service": "wallet", "key": wanted } } }), "add_service"),
        (
            json!({ "change": { "set_service_state": {
                "service": "wallet", "state": "suspended", "reason": "floods"
            } } }),
            "set_service_state",
        ),
        (json!({ "change": { "issue_key": { "service": "wallet", "key": wanted } } }), "issue_key"),
        (
            json!({ "change": { "rotate_key": { "old": "aaaaaaaaaaaaa", "overlap_s": 60, "key": wanted } } }),
            "rotate_key",
        ),
        (
            json!({ "change": { "limit_key": {
                "key": "aaaaaaaaaaaaa", "spend_per_day_mc": 5000, "allow": "10.0.0.0/8,::1/128"
            } } }),
            "limit_key",
        ),
        (json!({ "change": { "revoke_key": { "key": "aaaaaaaaaaaaa" } } }), "revoke_key"),
        (
            json!({ "change": { "grant": {
                "transfer": transfer, "service": "wallet", "amount_mc": 1000, "bucket": "paid"
            } } }),
            "grant",
        ),
        (
            json!({ "change": { "ban_worker": { "subject": WORKER, "reason": "floods", "for_s": null } } }),
            "ban_worker",
        ),
        (json!({ "change": { "unban_worker": { "subject": WORKER } } }), "unban_worker"),
        (
            json!({ "change": { "rotate_operator_token": { "token": "c".repeat(52) } } }),
            "rotate_operator_token",
        ),
    ] {
        let envelope = json!({ "network": "dev", "request": text });
        let read: Envelope = serde_json::from_value(envelope.clone()).unwrap();
        assert_eq!(read.request.name(), name);
        assert_eq!(serde_json::to_value(&read).unwrap(), envelope);
    }
    for bad in [
        json!({ "network": "dev", "request": { "read": "everything" } }),
        json!({ "network": "dev", "request": { "read": "status" }, "more": 1 }),
        json!({ "network": "dev", "request": { "change": { "revoke_key": { "key": "aaaaaaaaaaaaa", "x": 1 } } } }),
        json!({ "request": { "read": "status" } }),
    ] {
        assert!(serde_json::from_value::<Envelope>(bad.clone()).is_err(), "{bad}");
    }
}

#[tokio::test]
async fn replies_read_back() {
    let rig = Rig::new().await;
    rig.add("wallet").await;
    for read in [Read::Status, Read::Services, Read::Keys { service: None }, Read::Bans] {
        let reply = rig.read(read).await.unwrap();
        let text = serde_json::to_string(&reply).unwrap();
        assert_eq!(serde_json::from_str::<Reply>(&text).unwrap(), reply, "{text}");
    }
}
