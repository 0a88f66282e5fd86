//! The model under audit. It keeps what an audit asks of a store, though most of it in another form.

use std::collections::BTreeSet;
use std::convert::Infallible;

use marketplace::ledger::audit::{Books, Entry, PartyRow, Settled, SettlementRow, Totals};
use marketplace::ledger::{self, Posting, Sale, WorkKey};
use shared::{Millicredits, ServiceId, TransferId};

use super::Model;
use crate::store::{Answer, Settlement};

impl Model {
    /// The settlement at this place, counted from 0.
    fn settlement_row(&self, index: usize) -> SettlementRow {
        let (settlement, answer) = &self.settlements[index];
        let Settlement { hold, service, root, nonce, difficulty, threshold, payee, at, .. } = *settlement;
        let &Answer::Settled { charged, balance, earned } = answer else {
            unreachable!("the answer to a settlement is that it is settled")
        };
        let work = WorkKey { root, nonce };
        let repeats = self.settlements[..index].iter().any(|(earlier, _)| {
            (earlier.service, earlier.root) == (service, root)
                && ledger::is_repeat(earlier.difficulty, earlier.at, threshold, at)
        });
        let sale = Sale { transfer: TransferId::of_hold(hold), service, work, payee, at };
        let first = self.first_payment(work);
        let settled = Settled { sale, difficulty, threshold, charged, earned, balance, repeats, first };
        SettlementRow { sequence: number(index), settled: Ok(settled) }
    }

    /// The number of the settlement that was the first to pay for a work.
    fn first_payment(&self, work: WorkKey) -> Option<u64> {
        let pays = |(settlement, answer): &(Settlement, Answer)| {
            let is_charged =
                matches!(answer, Answer::Settled { charged, .. } if *charged > Millicredits::ZERO);
            is_charged && work == WorkKey { root: settlement.root, nonce: settlement.nonce }
        };
        self.settlements.iter().position(pays).map(number)
    }

    fn is_posted(&self, transfer: TransferId) -> bool {
        self.journal.iter().any(|entry| entry.posting.transfer == transfer)
    }
}

fn number(index: usize) -> u64 {
    index as u64 + 1
}

/// Everything is one page.
impl Books for Model {
    type Error = Infallible;

    fn entries(&self, after: u64) -> Result<Vec<Entry>, Infallible> {
        let rows = self.journal.iter().filter(|entry| entry.sequence > after);
        let entry = |entry: &ledger::JournalEntry| Entry {
            sequence: entry.sequence,
            posting: Ok(Posting { work: None, ..entry.posting }),
        };
        Ok(rows.map(entry).collect())
    }

    fn settlement(&self, transfer: TransferId) -> Result<Option<SettlementRow>, Infallible> {
        let is_it = |(settlement, _): &(Settlement, Answer)| TransferId::of_hold(settlement.hold) == transfer;
        Ok(self.settlements.iter().position(is_it).map(|index| self.settlement_row(index)))
    }

    fn unposted(&self, after: u64) -> Result<Vec<SettlementRow>, Infallible> {
        let later = (0..self.settlements.len()).filter(|index| number(*index) > after);
        let unposted =
            later.filter(|index| !self.is_posted(TransferId::of_hold(self.settlements[*index].0.hold)));
        Ok(unposted.map(|index| self.settlement_row(index)).collect())
    }

    fn totals(&self) -> Result<Totals, Infallible> {
        Ok(Totals {
            entries: self.journal.len() as u64,
            settlements: self.settlements.len() as u64,
            missing_settlement: None,
            works_paid: self.works_paid.len() as u64,
        })
    }

    fn stray_payments(&self) -> Result<Vec<(WorkKey, TransferId)>, Infallible> {
        // The model does not keep who paid first.
        Ok(Vec::new())
    }

    fn parties(&self) -> Result<Vec<PartyRow>, Infallible> {
        let row =
            |(party, balance): (&ledger::Party, &i64)| PartyRow { party: Ok(*party), balance: *balance };
        Ok(self.parties.iter().map(row).collect())
    }

    fn services(&self) -> Result<BTreeSet<ServiceId>, Infallible> {
        Ok(self.services.keys().copied().collect())
    }
}
