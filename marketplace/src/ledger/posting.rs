//! The unit of the journal.

use serde::{Deserialize, Serialize};
use shared::pow::{Nonce, Root};
use shared::{Millicredits, Timestamp, TransferId};
use thiserror::Error;

use super::party::Party;

/// One amount that leaves one party and reaches another. Written once, never changed: a correction is a new posting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posting {
    /// The movement that it is part of, named by its cause. For a settlement, the number of its hold.
    pub transfer: TransferId,
    /// Its place within that transfer, counted from 0. Transfer and position together identify a posting.
    pub position: u8,
    /// Why it was made.
    pub kind: PostingKind,
    /// Who gives.
    pub debit: Party,
    /// Who receives.
    pub credit: Party,
    /// How much; at least 1 mc, at most [`Millicredits::MAX`].
    pub amount: Millicredits,
    /// The work that a request paid for; `None` for a grant.
    pub work: Option<WorkKey>,
    /// When.
    pub at: Timestamp,
}

/// Why a posting was made. It fixes which parties may stand on either side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PostingKind {
    /// Credits given out: from the issuance to a service, whether as a gift or because it bought them.
    Grant,
    /// A worker's part of the first payment for its work: from a service to the payee.
    Earning,
    /// The house's part of that payment.
    Fee,
    /// A payment for a work whose worker has been paid before: from a service to the house.
    Resale,
}

/// What identifies a work for the ledger: two nonces for one root are two works, each paid once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WorkKey {
    /// The root.
    pub root: Root,
    /// The nonce.
    pub nonce: Nonce,
}

/// A posting in its place in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// Counts from 1 without gaps, over all postings of a ledger.
    pub sequence: u64,
    /// What was posted.
    pub posting: Posting,
}

/// What makes a posting impossible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PostingError {
    /// The amount is 0 or beyond 2^53 - 1.
    #[error("its amount is not between 1 and 2^53 - 1 mc")]
    Amount,
    /// These parties never give to each other for this reason; granted credits that turn payable are the case that matters.
    #[error("a posting of its kind never moves credits between these parties")]
    Parties,
    /// A grant names a work, or another kind names none.
    #[error("it names a work where it must not, or none where it must")]
    Work,
}

impl PostingKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Grant, Self::Earning, Self::Fee, Self::Resale];

    /// The name that stores keep.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Grant => "grant",
            Self::Earning => "earning",
            Self::Fee => "fee",
            Self::Resale => "resale",
        }
    }

    /// The kind of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl Posting {
    /// Checks what can be seen from a posting alone.
    ///
    /// # Errors
    /// [`PostingError`] names the first rule broken.
    pub fn check(&self) -> Result<(), PostingError> {
        self.check_movement()?;
        if self.work.is_none() == (self.kind == PostingKind::Grant) {
            Ok(())
        } else {
            Err(PostingError::Work)
        }
    }

    /// The same, for a posting whose work is named elsewhere.
    ///
    /// # Errors
    /// [`PostingError`] names the first rule broken.
    pub fn check_movement(&self) -> Result<(), PostingError> {
        use Party::{Granted, House, Issuance, NonPayable, Paid, Payable};
        if self.amount == Millicredits::ZERO || self.amount > Millicredits::MAX {
            return Err(PostingError::Amount);
        }
        let possible = match self.kind {
            PostingKind::Grant => matches!((self.debit, self.credit), (Issuance, Granted(_) | Paid(_))),
            PostingKind::Earning => {
                matches!(
                    (self.debit, self.credit),
                    (Granted(_), NonPayable(_)) | (Paid(_), Payable(_) | NonPayable(_))
                )
            }
            PostingKind::Fee | PostingKind::Resale => {
                matches!((self.debit, self.credit), (Granted(_) | Paid(_), House))
            }
        };
        if possible { Ok(()) } else { Err(PostingError::Parties) }
    }
}

#[cfg(test)]
mod tests {
    use shared::{Account, Payee};

    use super::*;

    #[test]
    fn names_of_kinds_read_back() {
        for kind in PostingKind::ALL {
            assert_eq!(PostingKind::of_name(kind.name()), Some(kind));
        }
        assert_eq!(PostingKind::of_name("refund"), None);
    }

    #[test]
    fn impossible_postings_are_refused() {
        let service = "wallet".parse().unwrap();
        let account = Account::from_public_key([1; 32]);
        let good = Posting {
            transfer: TransferId::of_cause("test"),
            position: 0,
            kind: PostingKind::Earning,
            debit: Party::Paid(service),
            credit: Party::Payable(account),
            amount: Millicredits::new(900),
            work: Some(WorkKey { root: Root::new([2; 32]), nonce: Nonce::new(3) }),
            at: Timestamp::from_micros(4),
        };
        assert_eq!(good.check(), Ok(()));
        let house = Party::NonPayable(Payee::House);
        for (posting, error) in [
            (Posting { amount: Millicredits::ZERO, ..good }, PostingError::Amount),
            (Posting { amount: Millicredits::new(1 << 53), ..good }, PostingError::Amount),
            (Posting { debit: Party::Granted(service), ..good }, PostingError::Parties),
            (Posting { debit: Party::Issuance, ..good }, PostingError::Parties),
            (Posting { kind: PostingKind::Fee, ..good }, PostingError::Parties),
            (Posting { kind: PostingKind::Resale, credit: house, ..good }, PostingError::Parties),
            (Posting { kind: PostingKind::Grant, ..good }, PostingError::Parties),
            (Posting { work: None, ..good }, PostingError::Work),
            (
                Posting {
                    kind: PostingKind::Grant,
                    debit: Party::Issuance,
                    credit: Party::Paid(service),
                    ..good
                },
                PostingError::Work,
            ),
        ] {
            assert_eq!(posting.check(), Err(error), "{posting:?}");
        }
    }
}
