//! What each verb does to the tables that hold no credits: services, keys, bans.

use rusqlite::{Connection, OptionalExtension, params};
use shared::{KeyId, ServiceId, Timestamp};

use super::ledger::Ledger;
use super::row;
use crate::store::{
    Answer, KeyRecord, LimitedKey, Reason, ServiceRecord, ServiceState, VerbRefused, WorkerBan, WorkerSubject,
};

const UNKNOWN_SERVICE: Answer = Answer::Refused(VerbRefused::UnknownService);

pub(super) fn add_service(ledger: &Ledger, service: ServiceId, at: Timestamp) -> rusqlite::Result<Answer> {
    if !ledger.is_known(service)? {
        ledger.begin()?;
        let mut insert = ledger
            .connection()
            .prepare_cached("INSERT INTO service (name, at, state, since) VALUES (?1, ?2, ?3, ?2)")?;
        insert.execute(params![service.as_str(), row::micros(at), ServiceState::Active.as_str()])?;
    }
    Ok(Answer::Done)
}

pub(super) fn set_service_state(
    ledger: &Ledger,
    service: ServiceId,
    state: ServiceState,
    reason: &Reason,
    at: Timestamp,
) -> rusqlite::Result<Answer> {
    let query = format!("SELECT {} FROM service WHERE name = ?1", row::SERVICE);
    let mut find = ledger.connection().prepare_cached(&query)?;
    let known: Option<ServiceRecord> = find.query_row([service.as_str()], row::service).optional()?;
    let Some(known) = known else { return Ok(UNKNOWN_SERVICE) };
    if known.state != state {
        ledger.begin()?;
        let mut update = ledger
            .connection()
            .prepare_cached("UPDATE service SET state = ?2, since = ?3, reason = ?4 WHERE name = ?1")?;
        update.execute(params![service.as_str(), state.as_str(), row::micros(at), reason.as_str()])?;
    }
    Ok(Answer::Done)
}

pub(super) fn add_key(ledger: &Ledger, record: &KeyRecord) -> rusqlite::Result<Answer> {
    if !ledger.is_known(record.service)? {
        return Ok(UNKNOWN_SERVICE);
    }
    if let Some(known) = find_key(ledger, record.key)? {
        let is_same = (known.service, known.mac, &known.label) == (record.service, record.mac, &record.label);
        return Ok(if is_same { Answer::Done } else { Answer::Refused(VerbRefused::Mismatch) });
    }
    ledger.begin()?;
    let mut insert = ledger.connection().prepare_cached(
        "INSERT INTO service_key (key, service, mac, label, at, expires) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    insert.execute(params![
        record.key.to_string(),
        record.service.as_str(),
        record.mac,
        record.label.as_str(),
        row::micros(record.at),
        record.expires.map(row::micros)
    ])?;
    Ok(Answer::Done)
}

pub(super) fn limit_key(ledger: &Ledger, limited: &LimitedKey) -> rusqlite::Result<Answer> {
    if !ledger.is_known(limited.service)? {
        return Ok(UNKNOWN_SERVICE);
    }
    ledger.begin()?;
    insert_limits(ledger.connection(), limited)?;
    Ok(Answer::Done)
}

pub(super) fn insert_limits(connection: &Connection, limited: &LimitedKey) -> rusqlite::Result<()> {
    let LimitedKey { key, service, limits } = limited;
    let mut insert = connection.prepare_cached(
        "INSERT OR REPLACE INTO key_limits (key, service, test, spend_per_day, allow) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    insert.execute(params![
        key.to_string(),
        service.as_str(),
        limits.is_test,
        limits.spend_per_day.map(shared::Millicredits::as_i64),
        limits.allow.to_string()
    ])?;
    Ok(())
}

pub(super) fn expire_key(ledger: &Ledger, key: KeyId, at: Timestamp) -> rusqlite::Result<Answer> {
    let Some(known) = find_key(ledger, key)? else {
        return Ok(Answer::Refused(VerbRefused::UnknownKey));
    };
    if known.expires.is_none_or(|expires| at < expires) {
        ledger.begin()?;
        let mut update =
            ledger.connection().prepare_cached("UPDATE service_key SET expires = ?2 WHERE key = ?1")?;
        update.execute(params![key.to_string(), row::micros(at)])?;
    }
    Ok(Answer::Done)
}

pub(super) fn keys_used(ledger: &Ledger, used: &[(KeyId, Timestamp)]) -> rusqlite::Result<Answer> {
    ledger.begin()?;
    let mut update = ledger.connection().prepare_cached(
        "UPDATE service_key SET last_used = ?2 WHERE key = ?1 AND (last_used IS NULL OR last_used < ?2)",
    )?;
    for (key, at) in used {
        update.execute(params![key.to_string(), row::micros(*at)])?;
    }
    Ok(Answer::Done)
}

pub(super) fn ban_worker(ledger: &Ledger, ban: &WorkerBan) -> rusqlite::Result<Answer> {
    ledger.begin()?;
    let mut insert = ledger.connection().prepare_cached(
        "INSERT OR REPLACE INTO worker_ban (subject, reason, at, until) VALUES (?1, ?2, ?3, ?4)",
    )?;
    insert.execute(params![
        ban.subject.to_string(),
        ban.reason.as_str(),
        row::micros(ban.at),
        ban.until.map(row::micros)
    ])?;
    Ok(Answer::Done)
}

pub(super) fn unban_worker(ledger: &Ledger, subject: WorkerSubject) -> rusqlite::Result<Answer> {
    ledger.begin()?;
    let mut delete = ledger.connection().prepare_cached("DELETE FROM worker_ban WHERE subject = ?1")?;
    delete.execute([subject.to_string()])?;
    Ok(Answer::Done)
}

fn find_key(ledger: &Ledger, key: KeyId) -> rusqlite::Result<Option<KeyRecord>> {
    let query = format!("SELECT {} FROM service_key WHERE key = ?1", row::KEY);
    let mut find = ledger.connection().prepare_cached(&query)?;
    let known = find.query_row([key.to_string()], row::key).optional()?;
    Ok(known.map(|known| known.record))
}
