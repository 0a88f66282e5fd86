//! What each verb does to the file and to the open holds.
//!
//! Every verb first reads and decides, then writes; after the first write nothing can be refused. Any error of `SQLite`
//! ends the whole transaction, so a verb is never half done.

use marketplace::ledger::{self, Bucket, DaySpent, Party, Posting, Purse, Sale, Split, Standing, WorkKey};
use rusqlite::{Connection, OptionalExtension, named_params, params};
use shared::{HoldId, Millicredits, ServiceId, Timestamp, TransferId};

use super::holds::{Hold, Holds};
use super::invariants::Batch;
use super::{registration, row, watches};
use crate::store::{Answer, Balance, Settlement, Verb, VerbRefused};

/// The file and the open holds, with at most one transaction open over both.
#[derive(Debug)]
pub(super) struct Ledger {
    connection: Connection,
    holds: Holds,
    batch: Batch,
}

impl Ledger {
    pub(super) fn new(connection: Connection) -> rusqlite::Result<Self> {
        let batch = Batch::new(&connection)?;
        Ok(Self { connection, holds: Holds::default(), batch })
    }

    pub(super) const fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(super) const fn holds(&self) -> &Holds {
        &self.holds
    }

    /// Carries out a verb, provisionally until [`Ledger::commit`]. After an error everything since the last commit must be
    /// rolled back.
    pub(super) fn execute(&mut self, verb: &Verb) -> rusqlite::Result<Answer> {
        match verb {
            Verb::AddService { service, at } => registration::add_service(self, *service, *at),
            Verb::SetServiceState { service, state, reason, at } => {
                registration::set_service_state(self, *service, *state, reason, *at)
            }
            Verb::AddKey(record) => registration::add_key(self, record),
            Verb::LimitKey(limited) => registration::limit_key(self, limited),
            Verb::ExpireKey { key, at } => registration::expire_key(self, *key, *at),
            Verb::KeysUsed { used } => registration::keys_used(self, used),
            Verb::BanWorker(ban) => registration::ban_worker(self, ban),
            Verb::UnbanWorker { subject } => registration::unban_worker(self, *subject),
            Verb::SetPrecache { service, terms } => watches::set_precache(self, *service, *terms),
            Verb::KeepWatch(watch) => watches::keep(self, watch),
            Verb::DropWatch { service, account } => watches::drop(self, *service, *account),
            Verb::Grant { transfer, service, amount, bucket, at } => {
                self.grant(*transfer, *service, *amount, *bucket, *at)
            }
            Verb::Hold { hold, service, amount, expires, purse } => {
                self.hold(*hold, (*service, *amount), *expires, *purse)
            }
            Verb::Settle(settlement) => self.settle(settlement),
            Verb::Release { hold } => {
                self.holds.close(*hold);
                Ok(Answer::Released)
            }
            Verb::Expire { now } => {
                self.holds.check();
                let holds = self.holds.due(*now);
                for hold in &holds {
                    self.holds.close(*hold);
                }
                Ok(Answer::Expired { holds })
            }
        }
    }

    /// Whether anything has been written to the file since the last commit.
    pub(super) fn has_written(&self) -> bool {
        !self.connection.is_autocommit()
    }

    /// Makes everything since the last commit durable, if it may be. Without any write to the file this costs nothing.
    pub(super) fn commit(&mut self) -> rusqlite::Result<()> {
        if self.has_written() {
            self.batch.check(&self.connection, &self.holds)?;
            self.connection.execute_batch("COMMIT")?;
            self.batch.commit();
        }
        self.holds.commit();
        Ok(())
    }

    /// Takes back everything since the last commit, holds included.
    pub(super) fn roll_back(&mut self) -> rusqlite::Result<()> {
        self.holds.roll_back();
        self.batch.roll_back();
        // After some errors, a full disk among them, SQLite has rolled back by itself.
        if self.has_written() { self.connection.execute_batch("ROLLBACK") } else { Ok(()) }
    }

    /// What a service has, provisional changes included.
    pub(super) fn balance(&self, service: ServiceId) -> rusqlite::Result<Option<Balance>> {
        Ok(if self.is_known(service)? { Some(self.balance_of_known(service)?) } else { None })
    }

    fn balance_of_known(&self, service: ServiceId) -> rusqlite::Result<Balance> {
        let Split { granted, paid } = settled_balance(&self.connection, service)?;
        let held = self.holds.held(service);
        Ok(Balance {
            granted: granted.checked_sub(held.granted).expect("held from what is there"),
            paid: paid.checked_sub(held.paid).expect("held from what is there"),
            held: held.total(),
        })
    }

    fn grant(
        &mut self,
        transfer: TransferId,
        service: ServiceId,
        amount: Millicredits,
        bucket: Bucket,
        at: Timestamp,
    ) -> rusqlite::Result<Answer> {
        if !self.is_known(service)? {
            return Ok(Answer::Refused(VerbRefused::UnknownService));
        }
        if let Some((earlier, earlier_amount)) = self.find_grant(transfer)? {
            let same = (earlier, earlier_amount) == (Party::of_service(service, bucket), amount);
            return Ok(if same { Answer::Done } else { Answer::Refused(VerbRefused::Mismatch) });
        }
        let hold = HoldId::from_u128(transfer.as_u128());
        if self.holds.find(hold).is_some() || self.find_settlement(hold)?.is_some() {
            return Ok(Answer::Refused(VerbRefused::Mismatch));
        }
        let issued = Millicredits::new(balance_of(&self.connection, Party::Issuance)?.unsigned_abs());
        if amount == Millicredits::ZERO || issued.checked_add(amount).is_none() {
            return Ok(Answer::Refused(VerbRefused::OutOfRange));
        }
        self.begin()?;
        self.post(&ledger::grant(transfer, service, bucket, amount, at))?;
        Ok(Answer::Done)
    }

    fn hold(
        &mut self,
        id: HoldId,
        (service, amount): (ServiceId, Millicredits),
        expires: Timestamp,
        purse: Option<Purse>,
    ) -> rusqlite::Result<Answer> {
        if let Some(Hold { service: owner, parts, .. }) = self.holds.find(id) {
            let same = (owner, parts.total()) == (service, amount);
            let held = Answer::Held { granted: parts.granted, paid: parts.paid };
            return Ok(if same { held } else { Answer::Refused(VerbRefused::Mismatch) });
        }
        if self.find_settlement(id)?.is_some() || self.find_grant(TransferId::of_hold(id))?.is_some() {
            return Ok(Answer::Refused(VerbRefused::Mismatch));
        }
        let Some(balance) = self.balance(service)? else {
            return Ok(Answer::HoldRefused { available: Millicredits::ZERO });
        };
        let Some(parts) = ledger::split(amount, Split { granted: balance.granted, paid: balance.paid })
        else {
            return Ok(Answer::HoldRefused { available: balance.available() });
        };
        self.holds.open(id, Hold { service, parts, expires, purse });
        Ok(Answer::Held { granted: parts.granted, paid: parts.paid })
    }

    fn settle(&mut self, settlement: &Settlement) -> rusqlite::Result<Answer> {
        let Settlement { hold, service, root, nonce, payee, at, .. } = *settlement;
        if let Some((earlier, answer)) = self.find_settlement(hold)? {
            let same = earlier == Settlement { at: earlier.at, ..settlement.clone() };
            return Ok(if same { answer } else { Answer::Refused(VerbRefused::Mismatch) });
        }
        let Some(Hold { service: owner, parts, purse, .. }) = self.holds.find(hold) else {
            return Ok(Answer::HoldGone);
        };
        if owner != service {
            return Ok(Answer::Refused(VerbRefused::Mismatch));
        }
        let sale =
            Sale { transfer: TransferId::of_hold(hold), service, work: WorkKey { root, nonce }, payee, at };
        let standing = self.standing(settlement)?;
        let charge = ledger::settle(&sale, parts, standing);

        self.begin()?;
        self.holds.close(hold);
        for posting in &charge.postings {
            self.post(posting)?;
        }
        let balance = self.balance_of_known(service)?.available();
        let (charged, earned) = (charge.charged, charge.earned);
        let answer = Answer::Settled { charged, balance, earned };
        self.insert_settlement(settlement, charged, balance, earned)?;
        if let Some(purse) = purse.filter(|_| charged > Millicredits::ZERO) {
            self.spend(DaySpent { purse, day: at.day(), amount: charged })?;
        }
        if standing == Standing::First && charged > Millicredits::ZERO {
            let mut insert = self
                .connection
                .prepare_cached("INSERT INTO work_paid (root, nonce, hold) VALUES (?1, ?2, ?3)")?;
            insert.execute(params![
                root.as_bytes(),
                nonce.as_u64().to_be_bytes(),
                hold.as_u128().to_be_bytes()
            ])?;
        }
        Ok(answer)
    }

    /// Adds to what was spent of a purse on a day. Of days that are over nothing more is kept.
    fn spend(&self, DaySpent { purse, day, amount }: DaySpent) -> rusqlite::Result<()> {
        let mut add = self.connection.prepare_cached(
            "INSERT INTO spent (purse, day, amount) VALUES (?1, ?2, ?3) ON CONFLICT (purse) DO UPDATE
             SET amount = excluded.amount + CASE WHEN day = excluded.day THEN amount ELSE 0 END, day = excluded.day
             WHERE excluded.day >= day",
        )?;
        add.execute(params![purse.to_string(), i64::try_from(day).unwrap_or(i64::MAX), amount.as_i64()])?;
        Ok(())
    }

    /// Opens a transaction for the first write after a commit.
    pub(super) fn begin(&self) -> rusqlite::Result<()> {
        if self.has_written() { Ok(()) } else { self.connection.execute_batch("BEGIN IMMEDIATE") }
    }

    pub(super) fn is_known(&self, service: ServiceId) -> rusqlite::Result<bool> {
        self.connection.prepare_cached("SELECT 1 FROM service WHERE name = ?1")?.exists([service.as_str()])
    }

    /// To whom a grant of this id went, and how much.
    fn find_grant(&self, transfer: TransferId) -> rusqlite::Result<Option<(Party, Millicredits)>> {
        let mut find = self.connection.prepare_cached(
            "SELECT party.name, journal.amount FROM journal JOIN party ON party.id = journal.credit
             WHERE journal.transfer = ?1 AND journal.kind = 'grant'",
        )?;
        find.query_row([row::transfer_bytes(transfer)], |found| {
            Ok((row::text(found, 0)?, row::amount(found, 1)?))
        })
        .optional()
    }

    fn find_settlement(&self, hold: HoldId) -> rusqlite::Result<Option<(Settlement, Answer)>> {
        let query = format!("SELECT {} FROM settlement WHERE hold = ?1", row::SETTLEMENT);
        let mut find = self.connection.prepare_cached(&query)?;
        find.query_row([hold.as_u128().to_be_bytes()], row::settlement).optional()
    }

    fn standing(&self, settlement: &Settlement) -> rusqlite::Result<Standing> {
        let mut find = self.connection.prepare_cached(
            "SELECT difficulty, at FROM settlement WHERE service = ?1 AND root = ?2 ORDER BY at DESC",
        )?;
        let mut earlier = find.query(params![settlement.service.as_str(), settlement.root.as_bytes()])?;
        while let Some(found) = earlier.next()? {
            let (difficulty, settled) = (row::difficulty(found, 0)?, row::time(found, 1)?);
            if ledger::is_repeat(difficulty, settled, settlement.threshold, settlement.at) {
                return Ok(Standing::Repeat);
            }
        }
        let mut paid =
            self.connection.prepare_cached("SELECT 1 FROM work_paid WHERE root = ?1 AND nonce = ?2")?;
        let is_paid =
            paid.exists(params![settlement.root.as_bytes(), settlement.nonce.as_u64().to_be_bytes()])?;
        Ok(if is_paid { Standing::Later } else { Standing::First })
    }

    fn insert_settlement(
        &self,
        settlement: &Settlement,
        charged: Millicredits,
        balance: Millicredits,
        earned: Millicredits,
    ) -> rusqlite::Result<()> {
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO settlement (hold, service, root, nonce, difficulty, threshold, worker, payee, at, charged,
                 balance, earned)
             VALUES (:hold, :service, :root, :nonce, :difficulty, :threshold, :worker, :payee, :at, :charged,
                 :balance, :earned)",
        )?;
        insert.execute(named_params! {
            ":hold": settlement.hold.as_u128().to_be_bytes(),
            ":service": settlement.service.as_str(),
            ":root": settlement.root.as_bytes(),
            ":nonce": settlement.nonce.as_u64().to_be_bytes(),
            ":difficulty": settlement.difficulty.as_u64().to_be_bytes(),
            ":threshold": settlement.threshold.as_u64().to_be_bytes(),
            ":worker": settlement.worker.as_bytes(),
            ":payee": row::payee_key(settlement.payee),
            ":at": row::micros(settlement.at),
            ":charged": charged.as_i64(),
            ":balance": balance.as_i64(),
            ":earned": earned.as_i64(),
        })?;
        Ok(())
    }

    /// Writes a posting and moves the balances of its parties.
    fn post(&mut self, posting: &Posting) -> rusqlite::Result<()> {
        let amount = posting.amount.as_i64();
        let debit = self.move_balance(posting.debit, -amount)?;
        let credit = self.move_balance(posting.credit, amount)?;
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO journal (transfer, position, kind, debit, credit, amount, at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?;
        let transfer = row::transfer_bytes(posting.transfer);
        let (position, kind, at) = (posting.position, posting.kind.name(), row::micros(posting.at));
        insert.execute(params![transfer, position, kind, debit, credit, amount, at])?;
        self.batch.posted();
        Ok(())
    }

    /// Adds to a party's balance, and returns the row that keeps it.
    fn move_balance(&mut self, party: Party, amount: i64) -> rusqlite::Result<i64> {
        let name = party.to_string();
        let mut find = self.connection.prepare_cached("SELECT id, balance FROM party WHERE name = ?1")?;
        let known = find.query_row([&name], |found| Ok((found.get(0)?, found.get(1)?))).optional()?;
        let (id, before) = if let Some((id, balance)) = known {
            let mut update =
                self.connection.prepare_cached("UPDATE party SET balance = balance + ?2 WHERE id = ?1")?;
            update.execute(params![id, amount])?;
            (id, balance)
        } else {
            let mut insert =
                self.connection.prepare_cached("INSERT INTO party (name, balance) VALUES (?1, ?2)")?;
            (insert.insert(params![name, amount])?, 0)
        };
        self.batch.moved(id, party, before);
        Ok(id)
    }
}

/// What the journal comes to for a service; holds are no part of it.
pub(super) fn settled_balance(connection: &Connection, service: ServiceId) -> rusqlite::Result<Split> {
    let of = |bucket| balance_of(connection, Party::of_service(service, bucket));
    let (granted, paid) = (of(Bucket::Granted)?, of(Bucket::Paid)?);
    // The file keeps both at or above zero.
    Ok(Split {
        granted: Millicredits::new(granted.unsigned_abs()),
        paid: Millicredits::new(paid.unsigned_abs()),
    })
}

fn balance_of(connection: &Connection, party: Party) -> rusqlite::Result<i64> {
    let mut find = connection.prepare_cached("SELECT balance FROM party WHERE name = ?1")?;
    let balance = find.query_row([party.to_string()], |found| found.get(0)).optional()?;
    Ok(balance.unwrap_or(0))
}
