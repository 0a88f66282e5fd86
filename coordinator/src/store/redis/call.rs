//! Each verb as a call of the library, and what the library answers.

use marketplace::ledger::{self, Party, REPEAT_WINDOW, Sale, Split, Standing, WorkKey};
use redis::{Cmd, Value};
use shared::{Millicredits, TransferId};

use super::key::{Key, Keys};
use super::row;
use super::trouble::Trouble;
use crate::store::{Answer, KeyRecord, ServiceRecord, ServiceState, Settlement, Verb, VerbRefused};

/// A function of the library, with what it is given behind the token and the revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    function: &'static str,
    keys: &'static [Key],
    arguments: Vec<String>,
}

/// What came of a verb.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reached {
    /// Its answer.
    Answer(Answer),
    /// Nothing: these are the parts of the hold, for which its settlement has to be computed.
    Parts(Split),
}

impl Call {
    /// The call that carries out a verb. `parts` are those of a settlement's hold; they may be wrong, and then nothing happens.
    pub(super) fn of(verb: &Verb, parts: Split) -> Self {
        let (function, keys, arguments): (_, &[Key], _) = match verb {
            Verb::AddService { service, at } => {
                let (state, reason) = (ServiceState::Active, crate::store::Reason::default());
                let record = ServiceRecord { service: *service, at: *at, state, since: *at, reason };
                ("add_service", &[Key::Services], vec![service.to_string(), row::service_text(&record)])
            }
            Verb::SetServiceState { service, state, reason, at } => (
                "set_service_state",
                &[Key::Services],
                vec![service.to_string(), state.to_string(), row::micros(*at), reason.to_string()],
            ),
            Verb::AddKey(record) => ("add_key", &[Key::Services, Key::ApiKeys], key_arguments(record)),
            Verb::LimitKey(limited) => {
                let (service, key) = (limited.service.to_string(), limited.key.to_string());
                ("keep_of_service", &LIMITS, vec![service, key, row::limits_text(limited)])
            }
            Verb::ExpireKey { key, at } => {
                ("expire_key", &[Key::ApiKeys], vec![key.to_string(), row::micros(*at)])
            }
            Verb::KeysUsed { used } => {
                let used = used.iter().flat_map(|(key, at)| [key.to_string(), row::micros(*at)]);
                ("keys_used", &[Key::ApiKeys], used.collect())
            }
            Verb::BanWorker(ban) => {
                ("ban_worker", &[Key::Bans], vec![ban.subject.to_string(), row::ban_text(ban)])
            }
            Verb::UnbanWorker { subject } => ("unban_worker", &[Key::Bans], vec![subject.to_string()]),
            Verb::SetPrecache { service, terms: Some(terms) } => (
                "keep_of_service",
                &PRECACHE,
                vec![service.to_string(), service.to_string(), row::terms_text(*terms)],
            ),
            Verb::SetPrecache { service, terms: None } => {
                ("drop_of_service", &PRECACHE, vec![service.to_string(), service.to_string()])
            }
            Verb::KeepWatch(watch) => {
                let (service, name) =
                    (watch.service.to_string(), row::watch_name(watch.service, watch.account));
                ("keep_of_service", &WATCHES, vec![service, name, row::watch_text(watch)])
            }
            Verb::DropWatch { service, account } => {
                ("drop_of_service", &WATCHES, vec![service.to_string(), row::watch_name(*service, *account)])
            }
            Verb::Grant { transfer, service, amount, bucket, at } => (
                "grant",
                &[Key::Services, Key::Parties, Key::Grants, Key::Holds, Key::Settled, Key::Journal],
                vec![
                    transfer.to_string(),
                    service.to_string(),
                    Party::of_service(*service, *bucket).to_string(),
                    amount.as_u64().to_string(),
                    row::micros(*at),
                ],
            ),
            Verb::Hold { hold, service, amount, expires, purse } => {
                let (amount, purse) = (amount.as_u64().to_string(), row::maybe_purse(*purse));
                (
                    "hold",
                    &HOLD,
                    vec![hold.to_string(), service.to_string(), amount, row::end(*expires), purse],
                )
            }
            Verb::Settle(settlement) => ("settle", &SETTLE, settle_arguments(settlement, parts)),
            Verb::Release { hold } => ("release", &[Key::Held, Key::Holds, Key::Due], vec![hold.to_string()]),
            Verb::Expire { now } => {
                let lease = super::LEASE.as_micros().to_string();
                ("expire", &[Key::Held, Key::Holds, Key::Due], vec![row::end(*now), lease])
            }
        };
        Self { function, keys, arguments }
    }

    /// The command, as whoever holds this token and has seen this revision sends it.
    pub(super) fn command(&self, keys: &Keys, token: &str, seen: u64) -> Cmd {
        let mut command = function(self.function, keys, self.keys);
        command.arg(token).arg(seen);
        self.arguments.iter().for_each(|argument| {
            command.arg(argument);
        });
        command
    }
}

/// The call of a function with the ledger's description and these keys, still without arguments.
pub(super) fn function(name: &str, keys: &Keys, further: &[Key]) -> Cmd {
    call("FCALL", name, keys, further)
}

/// The same, for a function that only reads.
pub(super) fn reading_function(name: &str, keys: &Keys, further: &[Key]) -> Cmd {
    call("FCALL_RO", name, keys, further)
}

fn call(command: &str, name: &str, keys: &Keys, further: &[Key]) -> Cmd {
    let mut command = redis::cmd(command);
    command.arg(format!("{}_{name}", super::library::NAME)).arg(1 + further.len()).arg(keys.name(Key::Meta));
    for key in further {
        command.arg(keys.name(*key));
    }
    command
}

const LIMITS: [Key; 2] = [Key::Services, Key::Limits];

const PRECACHE: [Key; 2] = [Key::Services, Key::Precache];

const WATCHES: [Key; 2] = [Key::Services, Key::Watches];

const HOLD: [Key; 7] =
    [Key::Services, Key::Parties, Key::Held, Key::Holds, Key::Due, Key::Settled, Key::Grants];

const SETTLE: [Key; 10] = [
    Key::Parties,
    Key::Held,
    Key::Holds,
    Key::Due,
    Key::Settled,
    Key::Settlements,
    Key::Roots,
    Key::Works,
    Key::Journal,
    Key::Spent,
];

fn key_arguments(record: &KeyRecord) -> Vec<String> {
    let KeyRecord { key, service, mac, label, at, expires } = record;
    let (at, expires) = (row::micros(*at), row::maybe_micros(*expires));
    vec![key.to_string(), service.to_string(), row::mac(mac), at, expires, label.to_string()]
}

/// What is moved is computed here, for either case that only the server knows, atomically with the settlement.
fn settle_arguments(settlement: &Settlement, parts: Split) -> Vec<String> {
    let Settlement { hold, service, root, nonce, difficulty, threshold, worker, payee, at } = *settlement;
    let sale =
        Sale { transfer: TransferId::of_hold(hold), service, work: WorkKey { root, nonce }, payee, at };
    let movements = |standing| {
        let postings = ledger::settle(&sale, parts, standing).postings;
        let texts = postings.iter().map(|posting| {
            format!(
                "{} {} {} {}",
                posting.kind.name(),
                posting.debit,
                posting.credit,
                posting.amount.as_u64()
            )
        });
        texts.collect::<Vec<_>>().join(" ")
    };
    vec![
        hold.to_string(),
        service.to_string(),
        root.to_string(),
        nonce.to_string(),
        difficulty.to_string(),
        threshold.to_string(),
        worker.to_string(),
        payee.to_string(),
        row::micros(at),
        REPEAT_WINDOW.as_micros().to_string(),
        parts.granted.as_u64().to_string(),
        parts.paid.as_u64().to_string(),
        movements(Standing::First),
        movements(Standing::Later),
        at.day().to_string(),
    ]
}

/// What the library answered to a verb, and the revision that the ledger has reached.
///
/// # Errors
/// [`Trouble::Garbled`] when no library says that.
pub(super) fn reached(verb: &Verb, value: &Value) -> Result<(u64, Reached), Trouble> {
    let read = || {
        let Value::Array(values) = value else { return None };
        let (revision, rest) = values.split_first()?;
        let (word, rest) = rest.split_first()?;
        let Value::BulkString(word) = word else { return None };
        Some((u64::try_from(number(revision)?).ok()?, answered(verb, word, rest)?))
    };
    read().ok_or_else(|| Trouble::Garbled(format!("{value:?} to {verb:?}")))
}

fn answered(verb: &Verb, word: &[u8], values: &[Value]) -> Option<Reached> {
    let amount = |index: usize| -> Option<Millicredits> {
        let amount = Millicredits::new(u64::try_from(number(values.get(index)?)?).ok()?);
        (amount <= Millicredits::MAX).then_some(amount)
    };
    let refused = |why| Answer::Refused(why);
    let answer = match (word, verb) {
        (b"done", _) => Answer::Done,
        (b"mismatch", _) => refused(VerbRefused::Mismatch),
        (b"unknown_service", _) => refused(VerbRefused::UnknownService),
        (b"unknown_key", _) => refused(VerbRefused::UnknownKey),
        (b"out_of_range", _) => refused(VerbRefused::OutOfRange),
        (b"held", Verb::Hold { .. }) => Answer::Held { granted: amount(0)?, paid: amount(1)? },
        (b"hold_refused", Verb::Hold { .. }) => Answer::HoldRefused { available: amount(0)? },
        (b"settled", Verb::Settle(_)) => {
            Answer::Settled { charged: amount(0)?, balance: amount(1)?, earned: amount(2)? }
        }
        (b"hold_gone", Verb::Settle(_)) => Answer::HoldGone,
        (b"parts", Verb::Settle(_)) => {
            let parts = Split { granted: amount(0)?, paid: amount(1)? };
            return (parts.total() <= Millicredits::MAX).then_some(Reached::Parts(parts));
        }
        (b"released", Verb::Release { .. }) => Answer::Released,
        (b"expired", Verb::Expire { .. }) => {
            let ids: Vec<String> = redis::from_redis_value(values.first()?.clone()).ok()?;
            let mut holds = ids.iter().map(|id| id.parse().ok()).collect::<Option<Vec<_>>>()?;
            holds.sort_unstable();
            Answer::Expired { holds }
        }
        _ => return None,
    };
    Some(Reached::Answer(answer))
}

/// A whole number in an answer.
pub(super) fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number),
        _ => None,
    }
}
