//! What each movement posts.

use std::time::Duration;

use shared::pow::{Difficulty, Threshold};
use shared::{Millicredits, Payee, ServiceId, Timestamp, TransferId};

use super::party::{Bucket, Party};
use super::posting::{Posting, PostingKind, WorkKey};

/// How long a service that has settled a work for a root may ask for that root again without a charge.
pub const REPEAT_WINDOW: Duration = Duration::from_hours(24);

/// The house's part of a first payment, in thousandths.
const FEE_PER_MILLE: u64 = 100;

/// An amount, by where its credits came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Split {
    /// Part from granted credits.
    pub granted: Millicredits,
    /// Part from paid credits.
    pub paid: Millicredits,
}

/// What is sold when a hold is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sale {
    /// The settlement, named by its hold.
    pub transfer: TransferId,
    /// Who pays.
    pub service: ServiceId,
    /// For what.
    pub work: WorkKey,
    /// Who is paid, if this is the first payment for the work.
    pub payee: Payee,
    /// When.
    pub at: Timestamp,
}

/// What has happened to the work of a settlement before. The store finds out, atomically with the settlement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// This service has paid for such work within [`REPEAT_WINDOW`]: nothing is charged.
    Repeat,
    /// Nobody has paid for this work: its worker earns.
    First,
    /// The work's worker has been paid: the house earns.
    Later,
}

/// What a settlement comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// What the service pays. The rest of its hold is free again.
    pub charged: Millicredits,
    /// What the worker earns, payable or not.
    pub earned: Millicredits,
    /// The movements, in the order of the journal; none when nothing is charged.
    pub postings: Vec<Posting>,
}

impl Split {
    /// Both parts; saturates, so that an impossible sum is above [`Millicredits::MAX`].
    pub fn total(self) -> Millicredits {
        [self.granted, self.paid].into_iter().sum()
    }
}

/// The posting of credits given to a service. The caller has checked that `amount` is at least 1 mc, and that all credits
/// ever given out stay within [`Millicredits::MAX`]; then no balance of any party can leave that range, because only the
/// issuance is ever below zero and all balances sum to zero.
pub fn grant(
    transfer: TransferId,
    service: ServiceId,
    bucket: Bucket,
    amount: Millicredits,
    at: Timestamp,
) -> Posting {
    Posting {
        transfer,
        position: 0,
        kind: PostingKind::Grant,
        debit: Party::Issuance,
        credit: Party::of_service(service, bucket),
        amount,
        work: None,
        at,
    }
}

/// Takes `amount` out of what is available, granted credits first; `None` when there is not enough.
pub fn split(amount: Millicredits, available: Split) -> Option<Split> {
    let granted = amount.min(available.granted);
    let paid = amount.saturating_sub(granted);
    (paid <= available.paid).then_some(Split { granted, paid })
}

/// The house's part of a first payment: a tenth, rounded up. So it is at least 1 mc of any charge, and what is left for the
/// worker is always less than what its service paid.
pub const fn fee(charged: Millicredits) -> Millicredits {
    let charged = charged.as_u64();
    // Thousands and rest apart: the product would overflow for amounts that no ledger holds.
    let (thousands, rest) = (charged / 1000, charged % 1000);
    Millicredits::new(thousands * FEE_PER_MILLE + (rest * FEE_PER_MILLE).div_ceil(1000))
}

/// Whether a settlement is free because of an earlier one of the same service for the same root: that one's work meets this
/// one's threshold, and less than [`REPEAT_WINDOW`] lies between them.
pub const fn is_repeat(
    earlier: Difficulty,
    settled: Timestamp,
    threshold: Threshold,
    now: Timestamp,
) -> bool {
    // Durations do not compare in constant functions.
    earlier.meets(threshold) && now.since(settled).as_micros() < REPEAT_WINDOW.as_micros()
}

/// The postings that close a hold.
///
/// A repeat charges nothing. Else the whole hold is charged: the first payment for a work gives its worker all but the
/// [`fee`], a later one goes to the house. The worker's part is divided as the charge is, `payable = floor(earned x paid /
/// charged)`: what came from granted credits, and the fraction of a millicredit, is not payable; nothing is payable to the
/// built-in worker.
///
/// # Panics
/// When the hold is beyond [`Millicredits::MAX`], which no store can have held, or when the postings would not come to the
/// charge.
pub fn settle(sale: &Sale, held: Split, standing: Standing) -> Charge {
    let charged = if standing == Standing::Repeat { Millicredits::ZERO } else { held.total() };
    assert!(charged <= Millicredits::MAX, "a hold is never beyond the range of the ledger");
    let earned = match standing {
        Standing::First => charged.saturating_sub(fee(charged)),
        Standing::Repeat | Standing::Later => Millicredits::ZERO,
    };
    assert!(earned < charged || charged == Millicredits::ZERO, "a worker earns less than was charged");
    let charge = if standing == Standing::Repeat { Split::default() } else { held };
    let earnings = divide(earned, charge);
    let rest = if standing == Standing::First { PostingKind::Fee } else { PostingKind::Resale };
    let payable = match sale.payee {
        Payee::Account(account) => Party::Payable(account),
        Payee::House => Party::NonPayable(Payee::House),
    };
    let (granted, paid) = (Party::Granted(sale.service), Party::Paid(sale.service));
    let movements = [
        (PostingKind::Earning, granted, Party::NonPayable(sale.payee), earnings.granted),
        (PostingKind::Earning, paid, payable, earnings.paid),
        (rest, granted, Party::House, charge.granted.saturating_sub(earnings.granted)),
        (rest, paid, Party::House, charge.paid.saturating_sub(earnings.paid)),
    ];
    let postings: Vec<Posting> = movements
        .into_iter()
        .filter(|(.., amount)| *amount > Millicredits::ZERO)
        .zip(0..)
        .map(|((kind, debit, credit, amount), position)| Posting {
            transfer: sale.transfer,
            position,
            kind,
            debit,
            credit,
            amount,
            work: Some(sale.work),
            at: sale.at,
        })
        .collect();
    let moved: Millicredits = postings.iter().map(|posting| posting.amount).sum();
    assert_eq!(moved, charged, "a settlement moves what it charges");
    Charge { charged, earned, postings }
}

/// Divides what a worker earns in the proportion of the charge, the fraction to the part that is not payable.
fn divide(earned: Millicredits, charge: Split) -> Split {
    if earned == Millicredits::ZERO {
        return Split::default();
    }
    let product = u128::from(earned.as_u64()) * u128::from(charge.paid.as_u64());
    let paid = product / u128::from(charge.total().as_u64());
    let paid = Millicredits::new(
        u64::try_from(paid).expect("at most the paid part, since earned is less than the charge"),
    );
    Split { granted: earned.saturating_sub(paid), paid }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shared::Account;
    use shared::pow::{Nonce, Root};

    use super::*;

    fn sale(payee: Payee) -> Sale {
        Sale {
            transfer: TransferId::of_cause("test"),
            service: "wallet".parse().unwrap(),
            work: WorkKey { root: Root::new([1; 32]), nonce: Nonce::new(2) },
            payee,
            at: Timestamp::from_micros(3),
        }
    }

    fn volunteer() -> Payee {
        Payee::Account(Account::from_public_key([9; 32]))
    }

    fn mc(amount: u64) -> Millicredits {
        Millicredits::new(amount)
    }

    fn held(granted: u64, paid: u64) -> Split {
        Split { granted: mc(granted), paid: mc(paid) }
    }

    fn credited(charge: &Charge, wanted: impl Fn(Party) -> bool) -> u64 {
        charge
            .postings
            .iter()
            .filter(|posting| wanted(posting.credit))
            .map(|posting| posting.amount.as_u64())
            .sum()
    }

    #[test]
    fn the_fee_is_a_tenth_rounded_up() {
        for (charged, expected) in
            [(0, 0), (1, 1), (9, 1), (10, 1), (11, 2), (16, 2), (1000, 100), (1001, 101)]
        {
            assert_eq!(fee(mc(charged)), mc(expected), "of {charged}");
        }
        assert_eq!(fee(Millicredits::MAX), mc((1 << 53) / 10 + 1));
    }

    #[test]
    fn granted_credits_are_spent_first() {
        for (amount, granted, paid, expected) in [
            (10, 20, 20, Some((10, 0))),
            (20, 20, 20, Some((20, 0))),
            (25, 20, 20, Some((20, 5))),
            (40, 20, 20, Some((20, 20))),
            (41, 20, 20, None),
            (5, 0, 5, Some((0, 5))),
            (0, 0, 0, Some((0, 0))),
        ] {
            let expected = expected.map(|(granted, paid)| held(granted, paid));
            assert_eq!(split(mc(amount), held(granted, paid)), expected, "{amount} of {granted} + {paid}");
        }
    }

    /// The amounts of a mixed charge, worked by hand: of 1,000 mc, 600 granted, the fee is 100; of the 900 earned, 360 are
    /// payable (900 x 400 / 1000).
    #[test]
    fn a_mixed_charge_is_divided_in_proportion() {
        let charge = settle(&sale(volunteer()), held(600, 400), Standing::First);
        let amounts: Vec<_> =
            charge.postings.iter().map(|posting| (posting.kind, posting.amount.as_u64())).collect();
        assert_eq!(
            amounts,
            [
                (PostingKind::Earning, 540),
                (PostingKind::Earning, 360),
                (PostingKind::Fee, 60),
                (PostingKind::Fee, 40)
            ]
        );
        assert_eq!((charge.charged, charge.earned), (mc(1000), mc(900)));
    }

    #[test]
    fn the_fraction_is_not_payable() {
        // 16 mc, one of them granted: 14 earned, 14 x 15 / 16 = 13.125 payable.
        let charge = settle(&sale(volunteer()), held(1, 15), Standing::First);
        assert_eq!(credited(&charge, |party| matches!(party, Party::Payable(_))), 13);
        assert_eq!(credited(&charge, |party| matches!(party, Party::NonPayable(_))), 1);
    }

    #[test]
    fn later_settlements_are_the_houses() {
        let charge = settle(&sale(volunteer()), held(3, 997), Standing::Later);
        assert_eq!((charge.charged, charge.earned), (mc(1000), mc(0)));
        assert_eq!(credited(&charge, |party| party == Party::House), 1000);
        assert!(charge.postings.iter().all(|posting| posting.kind == PostingKind::Resale));
    }

    #[test]
    fn a_repeat_moves_nothing() {
        let charge = settle(&sale(volunteer()), held(3, 997), Standing::Repeat);
        assert_eq!(charge, Charge { charged: mc(0), earned: mc(0), postings: Vec::new() });
    }

    #[test]
    fn the_built_in_worker_earns_nothing_payable() {
        let charge = settle(&sale(Payee::House), held(0, 1000), Standing::First);
        assert_eq!(charge.earned, mc(900));
        assert_eq!(credited(&charge, |party| party == Party::NonPayable(Payee::House)), 900);
    }

    #[test]
    fn a_repeat_is_free_for_a_day_and_at_a_threshold_that_the_work_meets() {
        let settled = Timestamp::from_micros(1_000_000);
        let day = settled + REPEAT_WINDOW;
        let work = Difficulty::new(100);
        for (threshold, now, expected) in [
            (100, settled, true),
            (101, settled, false),
            (100, day - Duration::from_micros(1), true),
            (100, day, false),
            (100, Timestamp::from_micros(0), true),
        ] {
            assert_eq!(
                is_repeat(work, settled, Threshold::new(threshold), now),
                expected,
                "{threshold} at {now}"
            );
        }
    }

    /// Small amounts, where rounding matters, and the largest, where overflow would.
    fn holds() -> impl Strategy<Value = Split> {
        let part = || prop_oneof![0..50_u64, 0..5_000_u64, 0..=(1_u64 << 52) - 1];
        (part(), part()).prop_map(|(granted, paid)| held(granted, paid))
    }

    fn standings() -> impl Strategy<Value = Standing> {
        prop_oneof![Just(Standing::Repeat), Just(Standing::First), Just(Standing::Later)]
    }

    fn payees() -> impl Strategy<Value = Payee> {
        prop_oneof![Just(volunteer()), Just(Payee::House)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn a_settlement_moves_exactly_what_it_charges(held in holds(), standing in standings(), payee in payees()) {
            let charge = settle(&sale(payee), held, standing);
            let debited = |party: Party| -> u64 {
                charge.postings.iter().filter(|posting| posting.debit == party).map(|posting| posting.amount.as_u64()).sum()
            };
            let service = sale(payee).service;
            let paid = if standing == Standing::Repeat { Split::default() } else { held };
            prop_assert_eq!(debited(Party::Granted(service)), paid.granted.as_u64());
            prop_assert_eq!(debited(Party::Paid(service)), paid.paid.as_u64());
            prop_assert_eq!(charge.charged, paid.total());
            prop_assert_eq!(credited(&charge, |_| true), charge.charged.as_u64());
            prop_assert_eq!(credited(&charge, |party| party != Party::House), charge.earned.as_u64());
            for posting in &charge.postings {
                prop_assert_eq!(posting.check(), Ok(()));
            }
        }

        #[test]
        fn a_worker_always_earns_less_than_was_charged(held in holds(), payee in payees()) {
            let charge = settle(&sale(payee), held, Standing::First);
            prop_assert!(charge.earned < charge.charged || charge.charged == Millicredits::ZERO);
        }

        #[test]
        fn granted_credits_never_become_payable(held in holds(), standing in standings()) {
            let charge = settle(&sale(volunteer()), held, standing);
            let payable = credited(&charge, |party| matches!(party, Party::Payable(_)));
            // Not even by rounding: what is payable is at most the paid part less the fee's share of it.
            prop_assert!(payable <= held.paid.as_u64() - held.paid.as_u64() / 10);
            prop_assert!(payable < held.paid.as_u64() || held.paid == Millicredits::ZERO);
        }

        #[test]
        fn a_split_takes_the_amount_and_no_more_than_there_is(amount in 0..10_000_u64, available in holds()) {
            match split(mc(amount), available) {
                Some(taken) => {
                    prop_assert_eq!(taken.total(), mc(amount));
                    prop_assert!(taken.granted <= available.granted && taken.paid <= available.paid);
                }
                None => prop_assert!(available.total() < mc(amount)),
            }
        }
    }
}
