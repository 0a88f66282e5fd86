//! The proof of a ledger: its journal, replayed.

use std::collections::{BTreeMap, BTreeSet};

use shared::{Millicredits, TransferId};
use thiserror::Error;

use super::party::Party;
use super::posting::{JournalEntry, Posting, PostingError, PostingKind, WorkKey};

/// A replay of a journal from its first entry. It trusts nothing: every posting is checked on its own, against what came
/// before it, and as a part of its transfer.
///
/// Memory: some 100 bytes for each transfer.
#[derive(Debug, Clone, Default)]
pub struct Audit {
    balances: BTreeMap<Party, i64>,
    transfers: BTreeSet<TransferId>,
    works_paid: BTreeSet<WorkKey>,
    last: Option<Posting>,
    /// What the transfer of `last` has moved so far, and how much of it to a worker.
    charged: u64,
    earned: u64,
    sequence: u64,
}

/// Why a journal proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AuditError {
    /// Entries are missing or out of order.
    #[error("journal entry {expected} is missing; found {found}")]
    Gap {
        /// Which should have come.
        expected: u64,
        /// Which came.
        found: u64,
    },
    /// A posting is impossible in itself.
    #[error("journal entry {sequence} is impossible: {reason}")]
    Impossible {
        /// Which.
        sequence: u64,
        /// Why.
        reason: PostingError,
    },
    /// A transfer's postings are not together and in order, or it was carried out a second time.
    #[error("journal entry {sequence} repeats or tears transfer {transfer}")]
    Transfer {
        /// Which.
        sequence: u64,
        /// Of which transfer.
        transfer: TransferId,
    },
    /// A party other than the issuance fell below zero, or a balance left the range of the ledger.
    #[error("journal entry {sequence} takes {party} to {balance} mc")]
    Balance {
        /// Which.
        sequence: u64,
        /// Whose.
        party: Party,
        /// To what.
        balance: i64,
    },
    /// A second transfer pays as the first for the same work, or a resale comes before any payment.
    #[error(
        "journal entry {sequence} pays for a work whose worker has been paid, or resells one that has not"
    )]
    Work {
        /// Which.
        sequence: u64,
    },
    /// A worker earned as much as its service was charged, or more.
    #[error("transfer {transfer} pays its worker {earned} mc of {charged} mc")]
    Profit {
        /// Which.
        transfer: TransferId,
        /// What the worker got.
        earned: u64,
        /// What the service paid.
        charged: u64,
    },
}

impl Audit {
    /// An audit of an empty journal.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next entry. After an error the audit is over.
    ///
    /// # Errors
    /// [`AuditError`]: the entry cannot stand where it stands.
    pub fn post(&mut self, entry: &JournalEntry) -> Result<(), AuditError> {
        let JournalEntry { sequence, posting } = *entry;
        if sequence != self.sequence + 1 {
            return Err(AuditError::Gap { expected: self.sequence + 1, found: sequence });
        }
        posting.check().map_err(|reason| AuditError::Impossible { sequence, reason })?;
        let begins = self.last.is_none_or(|last| last.transfer != posting.transfer);
        if begins {
            self.close_transfer()?;
        }
        self.check_transfer(sequence, &posting, begins)?;
        self.check_work(sequence, &posting, begins)?;
        let amount = posting.amount.as_i64();
        self.move_balance(sequence, posting.debit, -amount)?;
        self.move_balance(sequence, posting.credit, amount)?;
        self.charged += posting.amount.as_u64();
        self.earned += if posting.kind == PostingKind::Earning { posting.amount.as_u64() } else { 0 };
        self.last = Some(posting);
        self.sequence = sequence;
        Ok(())
    }

    /// Entries taken so far, which is also the sequence number of the last one.
    pub const fn entries(&self) -> u64 {
        self.sequence
    }

    /// Ends the audit: the balances that the journal comes to. They sum to zero, since every entry moved one amount from
    /// one party to another. Parties that never moved are absent.
    ///
    /// # Errors
    /// [`AuditError::Profit`] for the last transfer.
    pub fn finish(mut self) -> Result<BTreeMap<Party, i64>, AuditError> {
        self.close_transfer()?;
        Ok(self.balances)
    }

    /// What can be said of a transfer once its last posting is known.
    fn close_transfer(&mut self) -> Result<(), AuditError> {
        let (charged, earned) = (std::mem::take(&mut self.charged), std::mem::take(&mut self.earned));
        match self.last {
            Some(Posting { transfer, kind, .. }) if kind != PostingKind::Grant && earned >= charged => {
                Err(AuditError::Profit { transfer, earned, charged })
            }
            _ => Ok(()),
        }
    }

    /// A transfer begins at position 0 and only once; what follows continues it without a gap and for the same cause.
    fn check_transfer(&mut self, sequence: u64, posting: &Posting, begins: bool) -> Result<(), AuditError> {
        let fits = match self.last {
            Some(last) if !begins => {
                last.position.checked_add(1) == Some(posting.position)
                    && (last.work, last.at) == (posting.work, posting.at)
                    && posting.kind != PostingKind::Grant
            }
            _ => posting.position == 0 && self.transfers.insert(posting.transfer),
        };
        if fits { Ok(()) } else { Err(AuditError::Transfer { sequence, transfer: posting.transfer }) }
    }

    fn check_work(&mut self, sequence: u64, posting: &Posting, begins: bool) -> Result<(), AuditError> {
        let Some(work) = posting.work else { return Ok(()) };
        let resale = posting.kind == PostingKind::Resale;
        let fits = match self.last {
            Some(last) if !begins => resale == (last.kind == PostingKind::Resale),
            _ if resale => self.works_paid.contains(&work),
            _ => self.works_paid.insert(work),
        };
        if fits { Ok(()) } else { Err(AuditError::Work { sequence }) }
    }

    fn move_balance(&mut self, sequence: u64, party: Party, amount: i64) -> Result<(), AuditError> {
        let balance = self.balances.entry(party).or_default();
        // Cannot overflow: both are within 2^53 of zero.
        *balance += amount;
        let most = Millicredits::MAX.as_i64();
        let least = if party.may_owe() { -most } else { 0 };
        if (least..=most).contains(balance) {
            Ok(())
        } else {
            Err(AuditError::Balance { sequence, party, balance: *balance })
        }
    }
}

/// Replays a whole journal.
///
/// # Errors
/// [`AuditError`] for the first entry that cannot stand.
pub fn replay<'a>(
    entries: impl IntoIterator<Item = &'a JournalEntry>,
) -> Result<BTreeMap<Party, i64>, AuditError> {
    let mut audit = Audit::new();
    entries.into_iter().try_for_each(|entry| audit.post(entry))?;
    audit.finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shared::pow::{Nonce, Root};
    use shared::{Account, HoldId, Payee, ServiceId, Timestamp};

    use super::*;
    use crate::ledger::{Bucket, Sale, Split, Standing, grant, settle};

    fn service() -> ServiceId {
        "wallet".parse().unwrap()
    }

    fn granted(cause: &str, amount: u64) -> Posting {
        let (transfer, amount) = (TransferId::of_cause(cause), Millicredits::new(amount));
        grant(transfer, service(), Bucket::Paid, amount, Timestamp::from_micros(1))
    }

    fn sold(counter: u64, nonce: u64, paid: u64, standing: Standing) -> Vec<Posting> {
        let sale = Sale {
            transfer: TransferId::of_hold(HoldId { instance: 1, counter }),
            service: service(),
            work: WorkKey { root: Root::new([1; 32]), nonce: Nonce::new(nonce) },
            payee: Payee::Account(Account::from_public_key([2; 32])),
            at: Timestamp::from_micros(2),
        };
        settle(&sale, Split { granted: Millicredits::ZERO, paid: Millicredits::new(paid) }, standing).postings
    }

    fn journal(postings: impl IntoIterator<Item = Posting>) -> Vec<JournalEntry> {
        (1..).zip(postings).map(|(sequence, posting)| JournalEntry { sequence, posting }).collect()
    }

    fn audited(postings: &[&[Posting]]) -> Result<BTreeMap<Party, i64>, AuditError> {
        replay(&journal(postings.iter().copied().flatten().copied()))
    }

    #[test]
    fn a_sound_journal_gives_its_balances() {
        let balances = audited(&[
            &[granted("a", 2000)],
            &sold(1, 1, 1000, Standing::First),
            &sold(2, 1, 1000, Standing::Later),
        ]);
        let account = Account::from_public_key([2; 32]);
        assert_eq!(
            balances.unwrap().into_iter().collect::<Vec<_>>(),
            [
                (Party::Issuance, -2000),
                (Party::House, 1100),
                (Party::Paid(service()), 0),
                (Party::Payable(account), 900)
            ]
        );
    }

    #[test]
    fn a_missing_entry_is_found() {
        let mut entries = journal([granted("a", 1), granted("b", 1), granted("c", 1)]);
        entries.remove(1);
        assert_eq!(replay(&entries), Err(AuditError::Gap { expected: 2, found: 3 }));
    }

    #[test]
    fn an_overdrawn_service_is_found() {
        let party = Party::Paid(service());
        let result = audited(&[&[granted("a", 999)], &sold(1, 1, 1000, Standing::First)]);
        assert_eq!(result, Err(AuditError::Balance { sequence: 3, party, balance: -1 }));
    }

    #[test]
    fn a_transfer_carried_out_twice_is_found() {
        let (first, other) = (sold(1, 1, 10, Standing::First), granted("b", 5));
        let transfer = TransferId::of_hold(HoldId { instance: 1, counter: 1 });
        let start = [granted("a", 1000)];
        let apart = audited(&[&start, &first, &[other], &first]);
        assert_eq!(apart, Err(AuditError::Transfer { sequence: 5, transfer }));
        let together = audited(&[&start, &first, &first]);
        assert_eq!(together, Err(AuditError::Transfer { sequence: 4, transfer }));
        let grants = audited(&[&start, &start]);
        assert_eq!(grants, Err(AuditError::Transfer { sequence: 2, transfer: TransferId::of_cause("a") }));
    }

    #[test]
    fn a_torn_transfer_is_found() {
        let transfer = TransferId::of_hold(HoldId { instance: 1, counter: 1 });
        let result = audited(&[&[granted("a", 1000)], &sold(1, 1, 10, Standing::First)[1..]]);
        assert_eq!(result, Err(AuditError::Transfer { sequence: 2, transfer }));
    }

    #[test]
    fn a_work_paid_twice_is_found() {
        let start = [granted("a", 1000)];
        let twice = audited(&[&start, &sold(1, 1, 10, Standing::First), &sold(2, 1, 10, Standing::First)]);
        assert_eq!(twice, Err(AuditError::Work { sequence: 4 }));
        let resold = audited(&[&start, &sold(1, 1, 10, Standing::Later)]);
        assert_eq!(resold, Err(AuditError::Work { sequence: 2 }));
    }

    #[test]
    fn a_worker_that_profits_is_found() {
        let only_earning = &sold(1, 1, 10, Standing::First)[..1];
        let transfer = only_earning[0].transfer;
        let result = audited(&[&[granted("a", 1000)], only_earning]);
        assert_eq!(result, Err(AuditError::Profit { transfer, earned: 9, charged: 9 }));
    }

    #[test]
    fn an_impossible_posting_is_found() {
        let reason = PostingError::Amount;
        let result = audited(&[&[granted("a", 0)]]);
        assert_eq!(result, Err(AuditError::Impossible { sequence: 1, reason }));
    }

    proptest! {
        #[test]
        fn random_settlements_sum_to_zero(sales in prop::collection::vec((0..4_u64, 0..5_000_u64, any::<bool>()), 0..60)) {
            let mut postings = vec![granted("start", 300_000)];
            let mut paid = BTreeSet::new();
            for (counter, (nonce, amount, repeat)) in (1..).zip(sales) {
                let standing = match repeat {
                    true => Standing::Repeat,
                    false if amount > 0 && paid.insert(nonce) => Standing::First,
                    false => Standing::Later,
                };
                postings.extend(sold(counter, nonce, amount, standing));
            }
            let balances = replay(&journal(postings)).expect("a sound journal");
            prop_assert_eq!(balances.values().sum::<i64>(), 0);
        }
    }
}
