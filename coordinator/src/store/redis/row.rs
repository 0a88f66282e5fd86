//! Between the words of the ledger and the texts under its keys.

use std::str::FromStr;
use std::time::Duration;

use marketplace::ledger::{JournalEntry, Posting, PostingKind, WorkKey};
use redis::Value;
use shared::{Account, HoldId, Millicredits, ServiceId, Timestamp};

use super::trouble::Trouble;
use crate::store::{
    Answer, DaySpent, KeyLimits, KeyRecord, KnownKey, LimitedKey, PrecacheTerms, Purse, ServiceRecord,
    Settlement, Watch, WorkerBan,
};

/// The fields of a posting, in the order in which the library writes them.
const POSTING: [&str; 7] = ["transfer", "position", "kind", "debit", "credit", "amount", "at"];
/// The fields of a settlement, in the order in which the library writes them.
const SETTLEMENT: [&str; 13] = [
    "hold",
    "service",
    "root",
    "nonce",
    "difficulty",
    "threshold",
    "worker",
    "payee",
    "at",
    "charged",
    "balance",
    "earned",
    "latest",
];
/// The latest end of a hold that a sorted set keeps exactly, in the year 2255. Later ones are kept as this one.
const END_MAX: u64 = (1 << 53) - 1;

/// Keys for real work, and keys for trying things out.
const LIVE: &str = "live";
const TEST: &str = "test";

/// A point in time, in microseconds.
pub(super) fn micros(at: Timestamp) -> String {
    at.as_micros().to_string()
}

/// When a hold ends.
pub(super) fn end(at: Timestamp) -> String {
    at.as_micros().min(END_MAX).to_string()
}

/// A time that there may be, or `-`.
pub(super) fn maybe_micros(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "-".to_owned(), micros)
}

/// A purse that there may be, or `-`.
pub(super) fn maybe_purse(purse: Option<Purse>) -> String {
    purse.map_or_else(|| "-".to_owned(), |purse| purse.to_string())
}

/// 32 bytes in hexadecimal digits.
pub(super) fn mac(mac: &[u8; 32]) -> String {
    data_encoding::HEXLOWER.encode(mac)
}

/// A service as it is kept: `at state since reason`.
pub(super) fn service_text(record: &ServiceRecord) -> String {
    let ServiceRecord { at, state, since, reason, .. } = record;
    format!("{} {state} {} {reason}", micros(*at), micros(*since))
}

/// A key as it is kept: `service mac at expires last_used label`.
pub(super) fn key_text(KnownKey { record, last_used }: &KnownKey) -> String {
    let KeyRecord { service, at, expires, label, .. } = record;
    let times = [Some(*at), *expires, *last_used].map(maybe_micros).join(" ");
    format!("{service} {} {times} {label}", mac(&record.mac))
}

/// What a key may be used for, as it is kept: `service live|test spend_per_day allow`.
pub(super) fn limits_text(limited: &LimitedKey) -> String {
    let LimitedKey { service, limits: KeyLimits { is_test, spend_per_day, allow }, .. } = limited;
    let kind = if *is_test { TEST } else { LIVE };
    let spend = spend_per_day.map_or_else(|| "-".to_owned(), |amount| amount.as_u64().to_string());
    format!("{service} {kind} {spend} {allow}")
}

/// A ban as it is kept: `at until reason`.
pub(super) fn ban_text(ban: &WorkerBan) -> String {
    format!("{} {} {}", micros(ban.at), maybe_micros(ban.until), ban.reason)
}

/// Terms as they are kept: `budget in_flight`.
pub(super) fn terms_text(terms: PrecacheTerms) -> String {
    format!("{} {}", terms.budget_per_day.as_u64(), terms.in_flight_max)
}

/// What was spent of a purse as it is kept: `day amount`.
pub(super) fn spent_text(spent: &DaySpent) -> String {
    format!("{} {}", spent.day, spent.amount.as_u64())
}

/// Under which an account is kept that is watched for a service.
pub(super) fn watch_name(service: ServiceId, account: Account) -> String {
    format!("{service} {account}")
}

/// An account as it is kept: `used frontier height confirmed gap unused`, with `-` for what is not known.
pub(super) fn watch_text(watch: &Watch) -> String {
    let Watch { used, frontier, height, confirmed, gap, unused, .. } = watch;
    let maybe = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let words = [
        micros(*used),
        maybe(frontier.map(|root| root.to_string())),
        maybe(height.map(|height| height.to_string())),
        maybe_micros(*confirmed),
        maybe(gap.map(|gap| gap.as_micros().to_string())),
    ];
    format!("{} {unused}", words.join(" "))
}

/// A text that is not what it should be.
fn bad(what: &str, text: &str) -> String {
    format!("{what} is none: {text}")
}

pub(super) fn parsed<T: FromStr>(what: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| bad(what, text))
}

pub(super) fn time(text: &str) -> Result<Timestamp, String> {
    parsed("a time", text).map(Timestamp::from_micros)
}

fn maybe_time(text: &str) -> Result<Option<Timestamp>, String> {
    maybe(text, time)
}

/// An amount that a ledger can hold.
pub(super) fn amount(text: &str) -> Result<Millicredits, String> {
    let amount = parsed("an amount", text).map(Millicredits::new)?;
    if amount <= Millicredits::MAX { Ok(amount) } else { Err(bad("an amount", text)) }
}

/// The first words of a text, and what comes behind them.
fn words<const N: usize>(text: &str) -> Result<([&str; N], &str), String> {
    let (mut words, mut rest) = ([""; N], text);
    for word in &mut words {
        (*word, rest) = rest.split_once(' ').ok_or_else(|| bad("a record", text))?;
    }
    Ok((words, rest))
}

pub(super) fn service(name: &str, text: &str) -> Result<ServiceRecord, String> {
    let ([at, state, since], reason) = words(text)?;
    Ok(ServiceRecord {
        service: parsed("a service", name)?,
        at: time(at)?,
        state: parsed("a state", state)?,
        since: time(since)?,
        reason: parsed("a reason", reason)?,
    })
}

pub(super) fn key(id: &str, text: &str) -> Result<KnownKey, String> {
    let ([service, mac, at, expires, last_used], label) = words(text)?;
    let bytes = data_encoding::HEXLOWER.decode(mac.as_bytes()).ok().and_then(|mac| mac.try_into().ok());
    let record = KeyRecord {
        key: parsed("a key", id)?,
        service: parsed("a service", service)?,
        mac: bytes.ok_or_else(|| bad("a MAC", mac))?,
        label: parsed("a label", label)?,
        at: time(at)?,
        expires: maybe_time(expires)?,
    };
    Ok(KnownKey { record, last_used: maybe_time(last_used)? })
}

pub(super) fn limited_key(id: &str, text: &str) -> Result<LimitedKey, String> {
    let ([service, kind, spend], allow) = words(text)?;
    let is_test = match kind {
        TEST => true,
        LIVE => false,
        _ => return Err(bad("a kind of key", kind)),
    };
    let allow = parsed("a list of addresses", allow)?;
    let limits = KeyLimits { is_test, spend_per_day: maybe(spend, amount)?, allow };
    Ok(LimitedKey { key: parsed("a key", id)?, service: parsed("a service", service)?, limits })
}

pub(super) fn ban(subject: &str, text: &str) -> Result<WorkerBan, String> {
    let ([at, until], reason) = words(text)?;
    Ok(WorkerBan {
        subject: parsed("a subject", subject)?,
        reason: parsed("a reason", reason)?,
        at: time(at)?,
        until: maybe_time(until)?,
    })
}

pub(super) fn terms(service: &str, text: &str) -> Result<(ServiceId, PrecacheTerms), String> {
    let ([budget], in_flight) = words(text)?;
    let (budget_per_day, in_flight_max) = (amount(budget)?, parsed("a number", in_flight)?);
    Ok((parsed("a service", service)?, PrecacheTerms { budget_per_day, in_flight_max }))
}

pub(super) fn spent(purse: &str, text: &str) -> Result<DaySpent, String> {
    let ([day], spent) = words(text)?;
    Ok(DaySpent { purse: parsed("a purse", purse)?, day: parsed("a day", day)?, amount: amount(spent)? })
}

pub(super) fn watch(name: &str, text: &str) -> Result<Watch, String> {
    let ([service], account) = words(name)?;
    let ([used, frontier, height, confirmed, gap], unused) = words(text)?;
    Ok(Watch {
        service: parsed("a service", service)?,
        account: parsed("an account", account)?,
        used: time(used)?,
        frontier: maybe(frontier, |text| parsed("a root", text))?,
        height: maybe(height, |text| parsed("a height", text))?,
        confirmed: maybe_time(confirmed)?,
        gap: maybe(gap, |text| parsed("a time", text).map(Duration::from_micros))?,
        unused: parsed("a number", unused)?,
    })
}

/// What there may be, or `-`.
fn maybe<T>(text: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<Option<T>, String> {
    if text == "-" { Ok(None) } else { read(text).map(Some) }
}

/// An open hold: whose, and its parts.
pub(super) fn hold(text: &str) -> Result<(ServiceId, Millicredits, Millicredits), String> {
    let ([service, granted, paid], _) = words(text)?;
    Ok((parsed("a service", service)?, amount(granted)?, amount(paid)?))
}

/// An entry of a stream: its number, and its fields with their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StreamEntry {
    pub(super) sequence: u64,
    fields: Vec<String>,
}

/// The entries in an answer to `XRANGE`.
pub(super) fn entries(value: Value) -> Result<Vec<StreamEntry>, Trouble> {
    let garbled = |error: redis::ParsingError| Trouble::Garbled(error.to_string());
    let entries: Vec<(String, Vec<String>)> = redis::from_redis_value(value).map_err(garbled)?;
    let entry = |(id, fields): (String, Vec<String>)| {
        let sequence = id.strip_suffix("-0").and_then(|number| number.parse().ok());
        let sequence = sequence.ok_or_else(|| Trouble::Broken(format!("an entry has the number {id}")))?;
        Ok(StreamEntry { sequence, fields })
    };
    entries.into_iter().map(entry).collect()
}

impl StreamEntry {
    /// The values of its fields, if these are their names.
    fn values<const N: usize>(&self, names: [&str; N]) -> Result<[&str; N], String> {
        let is_named = self.fields.len() == 2 * N
            && self.fields.iter().step_by(2).zip(names).all(|(found, name)| found == name);
        if !is_named {
            return Err("it has other fields than it should".to_owned());
        }
        Ok(std::array::from_fn(|index| self.fields[2 * index + 1].as_str()))
    }

    /// A posting, without its work.
    pub(super) fn posting(&self) -> Result<Posting, String> {
        let [transfer, position, kind, debit, credit, posted, at] = self.values(POSTING)?;
        Ok(Posting {
            transfer: parsed("a transfer", transfer)?,
            position: parsed("a position", position)?,
            kind: PostingKind::of_name(kind).ok_or_else(|| bad("a kind", kind))?,
            debit: parsed("a party", debit)?,
            credit: parsed("a party", credit)?,
            amount: amount(posted)?,
            work: None,
            at: time(at)?,
        })
    }

    /// A settlement, and its answer.
    pub(super) fn settlement(&self) -> Result<(Settlement, Answer), String> {
        let [
            hold,
            service,
            root,
            nonce,
            difficulty,
            threshold,
            worker,
            payee,
            at,
            charged,
            balance,
            earned,
            _,
        ] = self.values(SETTLEMENT)?;
        let settlement = Settlement {
            hold: parsed::<HoldId>("a hold", hold)?,
            service: parsed("a service", service)?,
            root: parsed("a root", root)?,
            nonce: parsed("a nonce", nonce)?,
            difficulty: parsed("a difficulty", difficulty)?,
            threshold: parsed("a threshold", threshold)?,
            worker: parsed("a worker", worker)?,
            payee: parsed("a payee", payee)?,
            at: time(at)?,
        };
        let (charged, balance, earned) = (amount(charged)?, amount(balance)?, amount(earned)?);
        Ok((settlement, Answer::Settled { charged, balance, earned }))
    }

    /// The latest time of all settlements up to this one.
    pub(super) fn latest(&self) -> Result<Timestamp, String> {
        let values = self.values(SETTLEMENT)?;
        time(values[SETTLEMENT.len() - 1])
    }
}

/// The fields of an entry, for whoever writes one by itself.
pub(super) fn posting_fields(JournalEntry { posting, .. }: &JournalEntry) -> Vec<String> {
    let Posting { transfer, position, kind, debit, credit, amount, at, .. } = posting;
    let values = [
        transfer.to_string(),
        position.to_string(),
        kind.name().to_owned(),
        debit.to_string(),
        credit.to_string(),
        amount.as_u64().to_string(),
        micros(*at),
    ];
    named(&POSTING, values)
}

/// As [`posting_fields`], for a settlement. `latest` is the latest time of all settlements up to this one.
pub(super) fn settlement_fields(
    settlement: &Settlement,
    [charged, balance, earned]: [Millicredits; 3],
    latest: Timestamp,
) -> Vec<String> {
    let Settlement { hold, service, worker, payee, at, .. } = settlement;
    let amounts = [charged, balance, earned].map(|amount| amount.as_u64().to_string());
    let [charged, balance, earned] = amounts;
    let values = [
        hold.to_string(),
        service.to_string(),
        settlement.root.to_string(),
        settlement.nonce.to_string(),
        settlement.difficulty.to_string(),
        settlement.threshold.to_string(),
        worker.to_string(),
        payee.to_string(),
        micros(*at),
        charged,
        balance,
        earned,
        micros(latest),
    ];
    named(&SETTLEMENT, values)
}

fn named<const N: usize>(names: &[&str; N], values: [String; N]) -> Vec<String> {
    names.iter().zip(values).flat_map(|(name, value)| [(*name).to_owned(), value]).collect()
}

/// Under which a work is kept that was paid for.
pub(super) fn work_name(WorkKey { root, nonce }: WorkKey) -> String {
    format!("{root}:{nonce}")
}

/// Under which the settlements of a service for a root are kept.
pub(super) fn root_name(settlement: &Settlement) -> String {
    format!("{}:{}", settlement.service, settlement.root)
}
