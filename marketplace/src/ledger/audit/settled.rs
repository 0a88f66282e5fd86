//! A settlement against its postings, its work, and what was settled before.

use shared::Millicredits;
use shared::pow::difficulty;

use super::Audit;
use super::books::Settled;
use super::violation::{Violation, described};
use crate::ledger::party::Party;
use crate::ledger::posting::{Posting, PostingKind};
use crate::ledger::transfer::{Split, Standing, settle};

impl Audit {
    /// A settlement that moved nothing: it may do so only because its service had paid for such work.
    pub(super) fn check_free(&mut self, settlement: u64, settled: &Settled) {
        let Settled { charged, earned, repeats, .. } = *settled;
        if charged > Millicredits::ZERO {
            return self.found(Violation::NoPostings { settlement, charged });
        }
        self.checked.free += 1;
        if !repeats && !self.is_of_model {
            self.found(Violation::FreeForNoReason { settlement });
        }
        if earned > Millicredits::ZERO {
            let (posted_charge, posted_earning) = (Millicredits::ZERO, Millicredits::ZERO);
            self.found(Violation::Amounts { settlement, charged, earned, posted_charge, posted_earning });
        }
    }

    /// A settlement with its postings, which begin with the journal's entry `sequence`.
    pub(super) fn check_charged(
        &mut self,
        settlement: u64,
        settled: &Settled,
        sequence: u64,
        postings: &[Posting],
    ) {
        let Some(standing) = self.standing(settlement, settled, postings) else { return };
        self.check_postings(settlement, settled, standing, sequence, postings);
        let (charged, earned) = (settled.charged, settled.earned);
        let earning = |posting: &&Posting| posting.kind == PostingKind::Earning;
        let posted_charge = postings.iter().map(|posting| posting.amount).sum();
        let posted_earning = postings.iter().filter(earning).map(|posting| posting.amount).sum();
        if (charged, earned) != (posted_charge, posted_earning) {
            self.found(Violation::Amounts { settlement, charged, earned, posted_charge, posted_earning });
        }
        self.check_left(settlement, settled);
    }

    /// What is charged decides every posting.
    fn check_postings(
        &mut self,
        settlement: u64,
        settled: &Settled,
        standing: Standing,
        sequence: u64,
        postings: &[Posting],
    ) {
        let posted = charge(settled, postings);
        if come_to(settled, posted, standing).as_deref() == Some(postings) {
            return;
        }
        // They contradict each other. Which one is wrong is seen best from what the settlement says.
        let granted = posted.granted.min(settled.charged);
        let said = Split { granted, paid: settled.charged.saturating_sub(granted) };
        let expected = come_to(settled, said, standing).unwrap_or_default();
        let count = postings.len().max(expected.len());
        let differs = |position: &usize| postings.get(*position) != expected.get(*position);
        let position = (0..count).find(differs).unwrap_or(0);
        let (expected, found) = (described(expected.get(position)), described(postings.get(position)));
        self.found(Violation::Postings { settlement, sequence, position, expected, found });
    }

    /// What had happened to the work before; `None` when nothing may have been charged.
    fn standing(&mut self, settlement: u64, settled: &Settled, postings: &[Posting]) -> Option<Standing> {
        let is_first = settled.first == Some(settlement);
        self.checked.works_paid += u64::from(is_first);
        if settled.repeats {
            self.found(Violation::ChargedAgain { settlement });
            return None;
        }
        let pays_worker = postings.iter().any(|posting| posting.kind != PostingKind::Resale);
        match settled.first {
            Some(_) if is_first => return Some(Standing::First),
            Some(first) if pays_worker => self.found(Violation::WorkPaidTwice { settlement, first }),
            Some(first) if first > settlement => {
                self.found(Violation::ResoldTooEarly { settlement, first });
            }
            Some(_) => {}
            None => self.found(Violation::WorkNotKept { settlement }),
        }
        // Whatever is wrong with that has been said: the amounts are judged by what the postings claim to be.
        Some(if pays_worker { Standing::First } else { Standing::Later })
    }

    /// What a service was told to have left is what it had, less what was held for other requests.
    fn check_left(&mut self, settlement: u64, settled: &Settled) {
        let of = |party| self.balances.get(&party).copied().unwrap_or(0);
        let service = settled.sale.service;
        let most = of(Party::Granted(service)).saturating_add(of(Party::Paid(service)));
        let told = settled.balance;
        if i128::from(told.as_u64()) > i128::from(most) {
            self.found(Violation::Left { settlement, told, most });
        }
    }

    /// Hashes the work of a settlement again.
    pub(super) fn check_work(&mut self, settlement: u64, settled: &Settled) {
        let Settled { difficulty: kept, threshold, .. } = *settled;
        let work = settled.sale.work;
        if self.is_of_model {
            return;
        }
        self.checked.works_hashed += 1;
        let hashed = difficulty(&work.root, work.nonce);
        if hashed != kept {
            self.found(Violation::Difficulty { settlement, kept, hashed });
        }
        if !hashed.meets(threshold) {
            self.found(Violation::BelowThreshold { settlement, difficulty: hashed, threshold });
        }
    }
}

/// The postings of a settlement for what was held, as the journal keeps them, without their work; `None` for more than any
/// ledger holds.
fn come_to(settled: &Settled, held: Split, standing: Standing) -> Option<Vec<Posting>> {
    let is_possible = held.total() <= Millicredits::MAX;
    let postings = is_possible.then(|| settle(&settled.sale, held, standing).postings)?;
    Some(postings.into_iter().map(|posting| Posting { work: None, ..posting }).collect())
}

/// What postings take from the service of a settlement, by where it came from.
fn charge(settled: &Settled, postings: &[Posting]) -> Split {
    let of =
        |party| postings.iter().filter(|posting| posting.debit == party).map(|posting| posting.amount).sum();
    let service = settled.sale.service;
    Split { granted: of(Party::Granted(service)), paid: of(Party::Paid(service)) }
}
