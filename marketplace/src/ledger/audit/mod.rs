//! The proof of a ledger: its journal, replayed, against everything else that the store keeps.
//!
//! An audit trusts nothing that it can compute: it replays every posting from the first one, computes what each settlement
//! comes to once more and compares it with its postings, hashes every work again, and compares the balances at the end. It
//! goes on after what it finds, so that one look shows everything that is wrong.
//!
//! What no audit of one file can find: a history that is consistent in itself but is not what happened, such as a grant that
//! was made up together with its balance. Against that, compare with an export that was kept elsewhere.

mod books;
mod report;
mod settled;
#[cfg(test)]
mod tests;
mod violation;

use std::collections::BTreeMap;

use shared::Millicredits;

pub use self::books::{Books, Entry, PartyRow, Settled, SettlementRow, Totals};
pub use self::report::{Checked, Report, VIOLATIONS_KEPT};
pub use self::violation::Violation;
use super::party::Party;
use super::posting::{Posting, PostingKind};

/// Postings of one transfer that are looked at together: a position is one byte.
const TRANSFER_MAX: usize = 256;

/// An audit: what it has replayed so far. After [`Audit::run`] it can run again later and reads only what is new, together
/// with all balances.
///
/// Memory: some 100 bytes for each party and service, one page of rows, and the violations that are kept.
#[derive(Debug, Clone, Default)]
pub struct Audit {
    is_of_model: bool,
    balances: BTreeMap<Party, i64>,
    /// The last entry, as it was read.
    last: Option<Entry>,
    /// The number of the last settlement that moved credits.
    last_charged: u64,
    /// The highest number of a settlement.
    last_settlement: u64,
    checked: Checked,
    report: Report,
}

impl Audit {
    /// An audit that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// For ledgers of tests, with works that nobody has searched for and holds of nothing: believes difficulties, and that a
    /// settlement is free for a reason.
    pub fn of_model() -> Self {
        Self { is_of_model: true, ..Self::default() }
    }

    /// Whether it has seen nothing yet.
    pub const fn is_new(&self) -> bool {
        self.last.is_none()
    }

    /// Replays what has come since the last run, and compares what everything comes to with what is kept. Returns itself for
    /// another run, to be used only when the report is green.
    ///
    /// # Errors
    /// When the store cannot be read; then nothing is known.
    pub fn run<B: Books>(mut self, books: &B) -> Result<(Self, Report), B::Error> {
        self.report = Report::default();
        let settlements_before = self.last_settlement;
        self.check_last(books)?;
        self.replay(books)?;
        self.check_unposted(books, settlements_before)?;
        self.compare_counts(books)?;
        self.compare_balances(books)?;
        let report = Report { checked: self.checked, ..std::mem::take(&mut self.report) };
        Ok((self, report))
    }

    /// What the journal comes to. It sums to zero, since every posting moves one amount from one party to another. Parties
    /// that never moved are absent.
    pub const fn balances(&self) -> &BTreeMap<Party, i64> {
        &self.balances
    }

    /// Whether the journal still is the one that was replayed before.
    fn check_last<B: Books>(&mut self, books: &B) -> Result<(), B::Error> {
        let Some(last) = &self.last else { return Ok(()) };
        let sequence = last.sequence;
        let again = books.entries(sequence - 1)?;
        if again.first() != Some(last) {
            self.found(Violation::Rewritten { sequence });
        }
        Ok(())
    }

    /// The journal, transfer by transfer.
    fn replay<B: Books>(&mut self, books: &B) -> Result<(), B::Error> {
        let mut transfer = Vec::new();
        let mut first = 0;
        loop {
            let page = books.entries(self.last_sequence())?;
            if page.is_empty() {
                return self.check_transfer(books, first, &transfer);
            }
            for entry in page {
                let sequence = entry.sequence;
                self.check_sequence(sequence);
                match &entry.posting {
                    Ok(posting) => {
                        let continues =
                            transfer.last().is_some_and(|last: &Posting| last.transfer == posting.transfer);
                        if !continues || transfer.len() == TRANSFER_MAX {
                            self.check_transfer(books, first, &transfer)?;
                            transfer.clear();
                            first = sequence;
                        }
                        self.carry_out(sequence, posting);
                        transfer.push(*posting);
                    }
                    Err(reason) => {
                        self.found(Violation::UnreadableEntry { sequence, reason: reason.clone() });
                    }
                }
                self.last = Some(entry);
            }
        }
    }

    fn last_sequence(&self) -> u64 {
        self.last.as_ref().map_or(0, |last| last.sequence)
    }

    fn check_sequence(&mut self, found: u64) {
        let expected = self.last_sequence() + 1;
        if found != expected {
            self.found(Violation::Gap { expected, found });
        }
        self.checked.postings += 1;
    }

    /// One posting, on its own and on the balances.
    fn carry_out(&mut self, sequence: u64, posting: &Posting) {
        if let Err(reason) = posting.check_movement() {
            self.found(Violation::Impossible { sequence, reason });
        }
        let amount = i64::try_from(posting.amount.as_u64()).unwrap_or(i64::MAX);
        self.move_balance(sequence, posting.debit, amount.saturating_neg());
        self.move_balance(sequence, posting.credit, amount);
    }

    fn move_balance(&mut self, sequence: u64, party: Party, amount: i64) {
        let most = Millicredits::MAX.as_i64();
        let allowed = if party.may_owe() { -most..=most } else { 0..=most };
        let balance = self.balances.entry(party).or_default();
        let was_allowed = allowed.contains(balance);
        *balance = balance.saturating_add(amount);
        let balance = *balance;
        // Said once, not for every posting until there is enough again.
        if was_allowed && !allowed.contains(&balance) {
            self.found(Violation::Overdrawn { sequence, party, balance });
        }
    }

    /// All postings of a transfer that stand together, the first of them at `sequence`.
    fn check_transfer<B: Books>(
        &mut self,
        books: &B,
        sequence: u64,
        postings: &[Posting],
    ) -> Result<(), B::Error> {
        let Some(Posting { transfer, kind, position, .. }) = postings.first().copied() else {
            return Ok(());
        };
        let row = books.settlement(transfer)?;
        if kind == PostingKind::Grant {
            self.checked.grants += 1;
            if postings.len() > 1 || position != 0 {
                self.found(Violation::Grant { sequence, transfer });
            }
            if let Some(SettlementRow { sequence: settlement, .. }) = row {
                self.found(Violation::GrantSettled { sequence, settlement });
            }
            return Ok(());
        }
        let Some(SettlementRow { sequence: settlement, settled }) = row else {
            self.found(Violation::NoSettlement { sequence, transfer });
            return Ok(());
        };
        if settlement <= self.last_charged {
            self.found(Violation::Order { sequence, settlement, last: self.last_charged });
        }
        self.last_charged = self.last_charged.max(settlement);
        if let Some(settled) = self.readable(settlement, settled) {
            self.check_work(settlement, &settled);
            self.check_charged(settlement, &settled, sequence, postings);
        }
        Ok(())
    }

    /// Settlements that moved nothing.
    fn check_unposted<B: Books>(&mut self, books: &B, after: u64) -> Result<(), B::Error> {
        let mut after = after;
        loop {
            let page = books.unposted(after)?;
            let Some(last) = page.last() else { break };
            after = last.sequence;
            for SettlementRow { sequence: settlement, settled } in page {
                if let Some(settled) = self.readable(settlement, settled) {
                    self.check_work(settlement, &settled);
                    self.check_free(settlement, &settled);
                }
            }
        }
        self.last_settlement = after.max(self.last_charged);
        Ok(())
    }

    /// Counts a settlement as seen.
    fn readable(&mut self, settlement: u64, settled: Result<Settled, String>) -> Option<Settled> {
        self.checked.settlements += 1;
        settled.map_err(|reason| self.found(Violation::UnreadableSettlement { settlement, reason })).ok()
    }

    /// Rows that no replay comes to are rows too many, or too few.
    fn compare_counts<B: Books>(&mut self, books: &B) -> Result<(), B::Error> {
        let totals = books.totals()?;
        if let Some(missing) = totals.missing_settlement {
            self.found(Violation::MissingSettlement { missing, kept: totals.settlements });
        }
        let Checked { postings, settlements, works_paid, .. } = self.checked;
        for (what, kept, checked) in [
            ("postings", totals.entries, postings),
            ("settlements", totals.settlements, settlements),
            ("works that were paid for", totals.works_paid, works_paid),
        ] {
            if kept != checked {
                self.found(Violation::Count { what, kept, checked });
            }
        }
        if totals.works_paid != works_paid {
            for (work, transfer) in books.stray_payments()? {
                self.found(Violation::StrayPayment { work, transfer });
            }
        }
        Ok(())
    }

    /// What is kept against what the journal comes to, for every party of either.
    fn compare_balances<B: Books>(&mut self, books: &B) -> Result<(), B::Error> {
        let services = books.services()?;
        let mut kept = BTreeMap::new();
        for PartyRow { party, balance } in books.parties()? {
            match party {
                Ok(party) => {
                    kept.insert(party, balance);
                }
                Err(name) => {
                    self.report.imbalance = self.report.imbalance.saturating_add(balance.unsigned_abs());
                    self.found(Violation::UnreadableParty { name, kept: balance });
                }
            }
        }
        let replayed = std::mem::take(&mut self.balances);
        for party in kept.keys().chain(replayed.keys().filter(|party| !kept.contains_key(*party))).copied() {
            let of = |balances: &BTreeMap<Party, i64>| balances.get(&party).copied().unwrap_or(0);
            let (journal, kept) = (of(&replayed), of(&kept));
            if journal != kept {
                self.report.imbalance = self.report.imbalance.saturating_add(journal.abs_diff(kept));
                self.found(Violation::Balance { party, journal, kept });
            }
            if let Party::Granted(service) | Party::Paid(service) = party
                && !services.contains(&service)
            {
                self.found(Violation::UnknownService { party });
            }
        }
        self.checked.parties = kept.len() as u64;
        self.balances = replayed;
        Ok(())
    }

    fn found(&mut self, violation: Violation) {
        self.report.found(violation);
    }
}
