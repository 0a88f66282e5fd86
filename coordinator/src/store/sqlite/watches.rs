//! What may be spent for services ahead of their demand, and the accounts that are watched for it.

use std::time::Duration;

use rusqlite::{Connection, params};
use shared::pow::Root;
use shared::{Account, ServiceId};

use super::ledger::Ledger;
use super::row;
use crate::store::{Answer, PrecacheTerms, VerbRefused, Watch};

const UNKNOWN_SERVICE: Answer = Answer::Refused(VerbRefused::UnknownService);

pub(super) fn set_precache(
    ledger: &Ledger,
    service: ServiceId,
    terms: Option<PrecacheTerms>,
) -> rusqlite::Result<Answer> {
    if !ledger.is_known(service)? {
        return Ok(UNKNOWN_SERVICE);
    }
    ledger.begin()?;
    if let Some(terms) = terms {
        insert_terms(ledger.connection(), service, terms)?;
    } else {
        let mut delete = ledger.connection().prepare_cached("DELETE FROM precache WHERE service = ?1")?;
        delete.execute([service.as_str()])?;
    }
    Ok(Answer::Done)
}

pub(super) fn keep(ledger: &Ledger, watch: &Watch) -> rusqlite::Result<Answer> {
    if !ledger.is_known(watch.service)? {
        return Ok(UNKNOWN_SERVICE);
    }
    ledger.begin()?;
    insert_watch(ledger.connection(), watch)?;
    Ok(Answer::Done)
}

pub(super) fn drop(ledger: &Ledger, service: ServiceId, account: Account) -> rusqlite::Result<Answer> {
    if !ledger.is_known(service)? {
        return Ok(UNKNOWN_SERVICE);
    }
    ledger.begin()?;
    let mut delete =
        ledger.connection().prepare_cached("DELETE FROM watch WHERE service = ?1 AND account = ?2")?;
    delete.execute(params![service.as_str(), account.public_key()])?;
    Ok(Answer::Done)
}

pub(super) fn insert_terms(
    connection: &Connection,
    service: ServiceId,
    terms: PrecacheTerms,
) -> rusqlite::Result<()> {
    let mut insert = connection
        .prepare_cached("INSERT OR REPLACE INTO precache (service, budget, in_flight) VALUES (?1, ?2, ?3)")?;
    insert.execute(params![service.as_str(), terms.budget_per_day.as_i64(), terms.in_flight_max])?;
    Ok(())
}

pub(super) fn insert_watch(connection: &Connection, watch: &Watch) -> rusqlite::Result<()> {
    let Watch { service, account, used, frontier, height, confirmed, gap, unused } = watch;
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let micros = |gap: Duration| number(u64::try_from(gap.as_micros()).unwrap_or(u64::MAX));
    let mut insert = connection.prepare_cached(
        "INSERT OR REPLACE INTO watch (service, account, used, frontier, height, confirmed, gap, unused)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    insert.execute(params![
        service.as_str(),
        account.public_key(),
        row::micros(*used),
        frontier.as_ref().map(Root::as_bytes),
        height.map(number),
        confirmed.map(row::micros),
        gap.map(micros),
        unused
    ])?;
    Ok(())
}
