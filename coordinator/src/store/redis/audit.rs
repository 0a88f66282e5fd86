//! A ledger in Redis under audit, as of one moment, beside its writer.
//!
//! What changes is read at once by one function; what is only ever added to is then read up to the length that it had, in pages.
//! Indices are compared page by page with what they lead to.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};

use marketplace::ledger::audit::{
    Audit, Books, Entry, PartyRow, Report, Settled, SettlementRow, Totals, Violation,
};
use marketplace::ledger::{Sale, WorkKey, is_repeat};
use redis::Value;
use shared::pow::Difficulty;
use shared::{Millicredits, ServiceId, TransferId};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::call::{number, reading_function};
use super::key::Key;
use super::reader::{PAGE, Reader};
use super::row::{self, StreamEntry};
use super::trouble::Trouble;
use crate::store::{Answer, Settlement};

/// Stray payments that are named.
const STRAY_MAX: usize = 1000;

/// Audits on a thread of its own: the replay computes a lot, and reads in between.
pub(super) async fn beside_the_writer(reader: Reader, audit: Audit) -> Result<(Audit, Report), Trouble> {
    let (handle, (reply, audited)) = (Handle::current(), oneshot::channel());
    let work = move || {
        let result = run(&reader, &handle, audit);
        // Whoever has asked may have gone away.
        let _ = reply.send(result);
    };
    let started = std::thread::Builder::new().name("audit".into()).spawn(work);
    started.map_err(|error| Trouble::Other(error.to_string()))?;
    audited.await.unwrap_or_else(|_| Err(Trouble::Other("the audit has failed".into())))
}

fn run(reader: &Reader, handle: &Handle, audit: Audit) -> Result<(Audit, Report), Trouble> {
    let moment = handle.block_on(Moment::read(reader))?;
    let holds = moment.holds();
    let kept = Kept::new(reader, handle, moment);
    let (audit, mut report) = audit.run(&kept)?;
    let mut found = kept.problems.into_inner();
    let Moment { settlements, settled, grants, .. } = kept.moment;
    for (what, kept, counted) in
        [("settled holds", settled, settlements), ("grants", grants, report.checked.grants)]
    {
        if kept != counted {
            found.push(format!("its index of {what} has {kept} of {counted}"));
        }
    }
    for violation in found.into_iter().map(Violation::File).chain(holds) {
        report.found(violation);
    }
    Ok((audit, report))
}

/// All that changes, and the lengths of all else.
#[derive(Debug)]
struct Moment {
    description: BTreeMap<String, String>,
    services: Vec<String>,
    parties: BTreeMap<String, i64>,
    held: BTreeMap<String, i64>,
    holds: Vec<String>,
    settled: u64,
    settlements: u64,
    works: u64,
    grants: u64,
    entries: u64,
}

impl Moment {
    async fn read(reader: &Reader) -> Result<Self, Trouble> {
        let keys = [
            Key::Services,
            Key::Parties,
            Key::Held,
            Key::Holds,
            Key::Settled,
            Key::Settlements,
            Key::Works,
            Key::Grants,
            Key::Journal,
        ];
        let values: Vec<Value> = reader.ask(reading_function("moment", reader.keys(), &keys)).await?;
        let garbled = |error: redis::ParsingError| Trouble::Garbled(error.to_string());
        let [description, services, parties, held, holds, lengths @ ..] = values.as_slice() else {
            return Err(Trouble::Garbled("a moment of the ledger is not whole".into()));
        };
        let length = |value: &Value| number(value).and_then(|length| u64::try_from(length).ok());
        let lengths: Option<Vec<u64>> = lengths.iter().map(length).collect();
        let Some([settled, settlements, works, grants, entries]) = lengths.as_deref() else {
            return Err(Trouble::Garbled("a moment of the ledger is not whole".into()));
        };
        Ok(Self {
            description: redis::from_redis_value(description.clone()).map_err(garbled)?,
            services: redis::from_redis_value(services.clone()).map_err(garbled)?,
            parties: redis::from_redis_value(parties.clone()).map_err(garbled)?,
            held: redis::from_redis_value(held.clone()).map_err(garbled)?,
            holds: redis::from_redis_value(holds.clone()).map_err(garbled)?,
            settled: *settled,
            settlements: *settlements,
            works: *works,
            grants: *grants,
            entries: *entries,
        })
    }

    /// A number that the description keeps.
    fn said(&self, name: &str) -> u64 {
        self.description.get(name).and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// What is held against the open holds and the balances.
    fn holds(&self) -> Vec<Violation> {
        let mut violations = Vec::new();
        let mut open: BTreeMap<String, u64> = BTreeMap::new();
        for record in &self.holds {
            match row::hold(record) {
                Ok((service, granted, paid)) => {
                    *open.entry(format!("granted:{service}")).or_default() += granted.as_u64();
                    *open.entry(format!("paid:{service}")).or_default() += paid.as_u64();
                }
                Err(problem) => violations.push(Violation::File(problem)),
            }
        }
        let names: BTreeSet<&String> = self.held.keys().chain(open.keys()).collect();
        let mc = |amount: u64| Millicredits::new(amount);
        for name in names {
            let service = name.split_once(':').and_then(|(_, service)| service.parse().ok());
            let Some(service) = service else {
                violations.push(Violation::File(format!("{name} holds credits, but is no party")));
                continue;
            };
            let of =
                |amounts: &BTreeMap<String, i64>| amounts.get(name).map_or(0, |amount| amount.unsigned_abs());
            let (held, open, settled) =
                (of(&self.held), open.get(name).copied().unwrap_or(0), of(&self.parties));
            if held != open {
                violations.push(Violation::Held { service, held: mc(held), open: mc(open) });
            }
            if held > settled {
                violations.push(Violation::HeldTooMuch { service, held: mc(held), settled: mc(settled) });
            }
        }
        violations
    }
}

/// A settlement with its transfer, if it can be read.
type Found = (Option<TransferId>, SettlementRow);

/// What is kept, as the audit reads it.
struct Kept<'a> {
    reader: &'a Reader,
    handle: &'a Handle,
    moment: Moment,
    /// The page of settlements that is read just now, by their transfers.
    page: RefCell<HashMap<TransferId, SettlementRow>>,
    /// Whether postings belong to the settlement of this number.
    is_posted: RefCell<Vec<bool>>,
    /// What is wrong with indices.
    problems: RefCell<Vec<String>>,
    /// Settlements up to this number have been compared with their indices.
    compared: Cell<u64>,
}

impl<'a> Kept<'a> {
    fn new(reader: &'a Reader, handle: &'a Handle, moment: Moment) -> Self {
        Self {
            reader,
            handle,
            moment,
            page: RefCell::default(),
            is_posted: RefCell::default(),
            problems: RefCell::default(),
            compared: Cell::new(0),
        }
    }

    fn wait<T>(&self, read: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
        self.handle.block_on(read)
    }

    /// A page of settlements from a number on, with what is kept about their works.
    fn settlements(&self, from: u64) -> Result<Vec<Found>, Trouble> {
        let page = self.wait(self.reader.range(Key::Settlements, from, self.moment.said("settlements")))?;
        let read: Vec<(u64, Result<_, String>)> =
            page.iter().map(|entry| (entry.sequence, entry.settlement())).collect();
        let settlements = || read.iter().filter_map(|(_, settled)| settled.as_ref().ok());
        let names = |name: fn(&Settlement) -> String| {
            settlements().map(move |(sale, _)| name(sale)).collect::<Vec<_>>()
        };
        let numbers = self.wait(self.reader.values(Key::Settled, &names(|sale| sale.hold.to_string())))?;
        let roots = self.wait(self.reader.values(Key::Roots, &names(row::root_name)))?;
        let works = names(|sale| row::work_name(WorkKey { root: sale.root, nonce: sale.nonce }));
        let works = self.wait(self.reader.values(Key::Works, &works))?;
        let mut about = numbers.into_iter().zip(roots).zip(works);
        let mut rows = Vec::new();
        for (sequence, settled) in read {
            let row = match settled {
                Ok((sale, answer)) => {
                    let ((number, root), work) = about.next().unwrap_or_default();
                    self.compare(sequence, &sale, number.as_deref(), root.as_deref());
                    let transfer = TransferId::of_hold(sale.hold);
                    let settled = settled_of(sequence, &sale, &answer, root.as_deref(), work.as_deref());
                    (Some(transfer), SettlementRow { sequence, settled: Ok(settled) })
                }
                Err(reason) => (None, SettlementRow { sequence, settled: Err(reason) }),
            };
            rows.push(row);
        }
        self.compared.set(self.compared.get().max(page.last().map_or(0, |entry| entry.sequence)));
        Ok(rows)
    }

    /// A settlement against what leads to it: without that it could be carried out, or charged, once more.
    fn compare(&self, sequence: u64, sale: &Settlement, number: Option<&str>, root: Option<&str>) {
        if sequence <= self.compared.get() {
            return;
        }
        if number.and_then(|number| number.parse().ok()) != Some(sequence) {
            let hold = sale.hold;
            self.problem(format!("settlement {sequence} is not found under its hold {hold}"));
        }
        let own = format!("{sequence}:{}:{}", sale.difficulty, row::micros(sale.at));
        if !root.is_some_and(|root| root.split(' ').any(|repeat| repeat == own)) {
            self.problem(format!("settlement {sequence} does not make asking again for its root free"));
        }
    }

    fn problem(&self, problem: String) {
        let mut problems = self.problems.borrow_mut();
        // As many as a report names.
        if problems.len() < STRAY_MAX {
            problems.push(problem);
        }
    }

    /// The number under which a settled hold is found.
    fn number_of(&self, transfer: TransferId) -> Result<Option<u64>, Trouble> {
        let found = self.wait(self.reader.values(Key::Settled, &[transfer.to_string()]))?;
        Ok(found.into_iter().flatten().next().and_then(|number| number.parse().ok()))
    }

    /// The first number without a settlement.
    fn missing(&self) -> Result<Option<u64>, Trouble> {
        let (mut expected, said) = (1, self.moment.said("settlements"));
        while expected <= said {
            let page = self.wait(self.reader.range(Key::Settlements, expected, said))?;
            for entry in &page {
                if entry.sequence != expected {
                    return Ok(Some(expected));
                }
                expected += 1;
            }
            if page.is_empty() {
                return Ok(Some(expected));
            }
        }
        Ok(None)
    }

    /// The settlement that is kept as the first payment for a work did not pay for it.
    fn is_stray(&self, work: &str, number: u64) -> Result<Option<TransferId>, Trouble> {
        let page = self.settlements(number)?;
        let row = page.into_iter().find(|(_, row)| row.sequence == number).map(|(_, row)| row.settled);
        Ok(match row {
            Some(Ok(settled)) => {
                let pays = settled.charged > Millicredits::ZERO && row::work_name(settled.sale.work) == work;
                (!pays).then_some(settled.sale.transfer)
            }
            _ => Some(TransferId::from_u128(u128::from(number))),
        })
    }
}

/// A settlement as the audit reads it.
fn settled_of(
    sequence: u64,
    sale: &Settlement,
    answer: &Answer,
    root: Option<&str>,
    work: Option<&str>,
) -> Settled {
    let Settlement { hold, service, root: of, nonce, difficulty, threshold, payee, at, .. } = *sale;
    let &Answer::Settled { charged, balance, earned } = answer else {
        unreachable!("the answer to a settlement is that it is settled")
    };
    let is_earlier_repeat = |repeat: &str| {
        let mut parts = repeat.split(':');
        let (number, earlier, settled) = (parts.next()?, parts.next()?, parts.next()?);
        let earlier: Difficulty = earlier.parse().ok()?;
        let is_free = is_repeat(earlier, row::time(settled).ok()?, threshold, at);
        Some(number.parse::<u64>().ok()? < sequence && is_free)
    };
    let mut earlier = root.unwrap_or_default().split(' ');
    Settled {
        sale: Sale {
            transfer: TransferId::of_hold(hold),
            service,
            work: WorkKey { root: of, nonce },
            payee,
            at,
        },
        difficulty,
        threshold,
        charged,
        earned,
        balance,
        repeats: earlier.any(|repeat| is_earlier_repeat(repeat).unwrap_or(false)),
        first: work.and_then(|number| number.parse().ok()),
    }
}

impl Books for Kept<'_> {
    type Error = Trouble;

    fn entries(&self, after: u64) -> Result<Vec<Entry>, Trouble> {
        let page = self.wait(self.reader.range(Key::Journal, after + 1, self.moment.said("entries")))?;
        let entry = |entry: &StreamEntry| Entry { sequence: entry.sequence, posting: entry.posting() };
        Ok(page.iter().map(entry).collect())
    }

    fn settlement(&self, transfer: TransferId) -> Result<Option<SettlementRow>, Trouble> {
        if !self.page.borrow().contains_key(&transfer) {
            let Some(number) = self.number_of(transfer)? else { return Ok(None) };
            let page = self.settlements(number)?;
            let at_number =
                page.first().filter(|(_, row)| row.sequence == number).map(|(_, row)| row.clone());
            let rows = page.into_iter().filter_map(|(transfer, row)| Some((transfer?, row)));
            *self.page.borrow_mut() = rows.collect();
            if !self.page.borrow().contains_key(&transfer) {
                // The index leads to something that is no settlement, or to another one.
                return Ok(at_number.filter(|row| row.settled.is_err()));
            }
        }
        let row = self.page.borrow().get(&transfer).cloned();
        if let Some(row) = &row {
            let index = usize::try_from(row.sequence).unwrap_or(0);
            let mut is_posted = self.is_posted.borrow_mut();
            let length = is_posted.len().max(index + 1);
            is_posted.resize(length, false);
            is_posted[index] = true;
        }
        Ok(row)
    }

    fn unposted(&self, after: u64) -> Result<Vec<SettlementRow>, Trouble> {
        let mut after = after;
        loop {
            let page = self.settlements(after + 1)?;
            let Some((_, last)) = page.last() else { return Ok(Vec::new()) };
            after = last.sequence;
            let is_posted = self.is_posted.borrow();
            let posted = |row: &SettlementRow| {
                usize::try_from(row.sequence).ok().and_then(|index| is_posted.get(index)).copied()
            };
            let rows = page.into_iter().map(|(_, row)| row).filter(|row| posted(row) != Some(true));
            let rows: Vec<SettlementRow> = rows.collect();
            if !rows.is_empty() {
                return Ok(rows);
            }
        }
    }

    fn totals(&self) -> Result<Totals, Trouble> {
        let Moment { settlements, works, entries, .. } = self.moment;
        let missing_settlement =
            if settlements < self.moment.said("settlements") { self.missing()? } else { None };
        Ok(Totals { entries, settlements, missing_settlement, works_paid: works })
    }

    fn stray_payments(&self) -> Result<Vec<(WorkKey, TransferId)>, Trouble> {
        let (mut stray, mut cursor) = (Vec::new(), 0_u64);
        loop {
            let mut scan = redis::cmd("HSCAN");
            scan.arg(self.reader.keys().name(Key::Works)).arg(cursor).arg("COUNT").arg(PAGE);
            let (next, works): (u64, Vec<(String, String)>) = self.wait(self.reader.ask(scan))?;
            for (name, number) in works {
                let work = name.split_once(':').and_then(|(root, nonce)| {
                    Some(WorkKey { root: root.parse().ok()?, nonce: nonce.parse().ok()? })
                });
                let Some(work) = work else {
                    self.problem(format!("{name} is kept as paid, but is no work"));
                    continue;
                };
                if let Some(transfer) = self.is_stray(&name, number.parse().unwrap_or(0))? {
                    stray.push((work, transfer));
                }
            }
            cursor = next;
            if cursor == 0 || stray.len() >= STRAY_MAX {
                return Ok(stray);
            }
        }
    }

    fn parties(&self) -> Result<Vec<PartyRow>, Trouble> {
        let row = |(name, balance): (&String, &i64)| PartyRow {
            party: name.parse().map_err(|_| name.clone()),
            balance: *balance,
        };
        Ok(self.moment.parties.iter().map(row).collect())
    }

    fn services(&self) -> Result<BTreeSet<ServiceId>, Trouble> {
        Ok(self.moment.services.iter().filter_map(|name| name.parse().ok()).collect())
    }
}
