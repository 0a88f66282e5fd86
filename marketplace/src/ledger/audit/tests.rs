//! A small ledger, sound and changed in every way.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use proptest::prelude::*;
use shared::pow::{Difficulty, Nonce, Root, Threshold, difficulty};
use shared::{Account, HoldId, Millicredits, Payee, ServiceId, Timestamp, TransferId};

use super::*;
use crate::ledger::Bucket;
use crate::ledger::posting::WorkKey;
use crate::ledger::transfer::{Sale, Split, Standing, grant, settle};

/// What a store would keep.
#[derive(Debug, Clone, Default)]
struct Shelf {
    journal: Vec<(u64, Result<Posting, String>)>,
    settlements: Vec<(u64, Result<Settled, String>)>,
    works_paid: BTreeMap<WorkKey, TransferId>,
    parties: BTreeMap<Party, i64>,
    nobody: Option<i64>,
    services: BTreeSet<ServiceId>,
}

/// Pages of two, so that everything crosses them.
const PAGE: usize = 2;

impl Books for Shelf {
    type Error = Infallible;

    fn entries(&self, after: u64) -> Result<Vec<Entry>, Infallible> {
        let rows = self.journal.iter().filter(|(sequence, _)| *sequence > after).take(PAGE).cloned();
        Ok(rows.map(|(sequence, posting)| Entry { sequence, posting }).collect())
    }

    fn settlement(&self, transfer: TransferId) -> Result<Option<SettlementRow>, Infallible> {
        let is_it = |settled: &Settled| settled.sale.transfer == transfer;
        let row = self.settlements.iter().find(|(_, settled)| settled.as_ref().is_ok_and(is_it));
        Ok(row.map(|(sequence, settled)| SettlementRow { sequence: *sequence, settled: settled.clone() }))
    }

    fn unposted(&self, after: u64) -> Result<Vec<SettlementRow>, Infallible> {
        let is_posted = |settled: &Settled| {
            let of_it = |posting: &Posting| posting.transfer == settled.sale.transfer;
            self.journal.iter().any(|(_, posting)| posting.as_ref().is_ok_and(of_it))
        };
        let rows = self
            .settlements
            .iter()
            .filter(|(sequence, settled)| *sequence > after && !settled.as_ref().is_ok_and(is_posted));
        let row = |(sequence, settled): &(u64, Result<Settled, String>)| SettlementRow {
            sequence: *sequence,
            settled: settled.clone(),
        };
        Ok(rows.take(PAGE).map(row).collect())
    }

    fn totals(&self) -> Result<Totals, Infallible> {
        let last = self.settlements.last().map_or(0, |(sequence, _)| *sequence);
        let has = |number: &u64| self.settlements.iter().any(|(sequence, _)| sequence == number);
        Ok(Totals {
            entries: self.journal.len() as u64,
            settlements: self.settlements.len() as u64,
            missing_settlement: (1..last).find(|number| !has(number)),
            works_paid: self.works_paid.len() as u64,
        })
    }

    fn stray_payments(&self) -> Result<Vec<(WorkKey, TransferId)>, Infallible> {
        let paid = |work: &WorkKey, transfer: &TransferId| {
            let pays = |settled: &Settled| (settled.sale.work, settled.sale.transfer) == (*work, *transfer);
            self.settlements.iter().any(|(_, settled)| settled.as_ref().is_ok_and(pays))
        };
        Ok(self
            .works_paid
            .iter()
            .filter(|(work, by)| !paid(work, by))
            .map(|(work, by)| (*work, *by))
            .collect())
    }

    fn parties(&self) -> Result<Vec<PartyRow>, Infallible> {
        let known =
            self.parties.iter().map(|(party, balance)| PartyRow { party: Ok(*party), balance: *balance });
        let nobody = self.nobody.map(|balance| PartyRow { party: Err("nobody".into()), balance });
        Ok(known.chain(nobody).collect())
    }

    fn services(&self) -> Result<BTreeSet<ServiceId>, Infallible> {
        Ok(self.services.clone())
    }
}

fn service(name: &str) -> ServiceId {
    name.parse().unwrap()
}

fn mc(amount: u64) -> Millicredits {
    Millicredits::new(amount)
}

impl Shelf {
    fn post(&mut self, posting: Posting) {
        let amount = posting.amount.as_i64();
        *self.parties.entry(posting.debit).or_default() -= amount;
        *self.parties.entry(posting.credit).or_default() += amount;
        self.journal.push((self.journal.len() as u64 + 1, Ok(Posting { work: None, ..posting })));
    }

    fn grant(&mut self, name: &str, bucket: Bucket, amount: u64) {
        let transfer = TransferId::of_cause(&format!("{name} {bucket:?} {}", self.journal.len()));
        self.services.insert(service(name));
        self.post(grant(transfer, service(name), bucket, mc(amount), Timestamp::from_micros(1)));
    }

    /// Settles for a root, paid with granted and paid credits; a repeat when this service has settled it before.
    fn sell(&mut self, name: &str, root: u8, nonce: u64, held: (u64, u64)) {
        let sequence = self.settlements.len() as u64 + 1;
        let sale = Sale {
            transfer: TransferId::of_hold(HoldId { instance: 1, counter: sequence }),
            service: service(name),
            work: WorkKey { root: Root::new([root; 32]), nonce: Nonce::new(nonce) },
            payee: Payee::Account(Account::from_public_key([2; 32])),
            at: Timestamp::from_micros(2),
        };
        let same = |earlier: &Settled| {
            (earlier.sale.service, earlier.sale.work.root) == (sale.service, sale.work.root)
        };
        let repeats = self.settlements.iter().any(|(_, earlier)| earlier.as_ref().is_ok_and(same));
        let standing = match self.works_paid.contains_key(&sale.work) {
            _ if repeats => Standing::Repeat,
            true => Standing::Later,
            false => Standing::First,
        };
        let charge = settle(&sale, Split { granted: mc(held.0), paid: mc(held.1) }, standing);
        charge.postings.into_iter().for_each(|posting| self.post(posting));
        if standing == Standing::First {
            self.works_paid.insert(sale.work, sale.transfer);
        }
        let first = self.works_paid.get(&sale.work).map(|transfer| transfer.as_u128() & u128::from(u64::MAX));
        let first = first.map(|counter| u64::try_from(counter).unwrap());
        let settled = Settled {
            sale,
            difficulty: difficulty(&sale.work.root, sale.work.nonce),
            threshold: Threshold::new(1),
            charged: charge.charged,
            earned: charge.earned,
            balance: mc(0),
            repeats,
            first,
        };
        self.settlements.push((sequence, Ok(settled)));
    }

    /// Entries 1 to 3 are grants, 4 to 7 settlement 1, 8 is settlement 2, a resale; settlement 3 is free, 9 and 10 are 4.
    fn sound() -> Self {
        let mut shelf = Self::default();
        shelf.grant("wallet", Bucket::Granted, 600);
        shelf.grant("wallet", Bucket::Paid, 2000);
        shelf.grant("faucet", Bucket::Paid, 5000);
        shelf.sell("wallet", 1, 1, (600, 400));
        shelf.sell("faucet", 1, 1, (0, 1000));
        shelf.sell("faucet", 1, 2, (0, 1000));
        shelf.sell("faucet", 2, 1, (0, 16));
        shelf
    }

    fn posting(&mut self, sequence: usize) -> &mut Posting {
        self.journal[sequence - 1].1.as_mut().unwrap()
    }

    fn settled(&mut self, sequence: usize) -> &mut Settled {
        self.settlements[sequence - 1].1.as_mut().unwrap()
    }

    fn report(&self) -> Report {
        let Ok((_, report)) = Audit::new().run(self);
        report
    }
}

#[test]
fn a_sound_ledger_is_green_and_counted() {
    let shelf = Shelf::sound();
    let Ok((audit, report)) = Audit::new().run(&shelf);
    assert_eq!(report.violations, []);
    let checked = Checked {
        postings: 10,
        grants: 3,
        settlements: 4,
        free: 1,
        works_paid: 2,
        works_hashed: 4,
        parties: 7,
    };
    assert_eq!((report.checked, report.imbalance), (checked, 0));
    assert_eq!(*audit.balances(), shelf.parties);
    assert_eq!(audit.balances().values().sum::<i64>(), 0);
}

/// What is changed, and the kinds of violation that are found, in order.
#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn whatever_is_changed_is_found() {
    type Change = fn(&mut Shelf);
    let cases: &[(&str, Change, &[&str])] = &[
        ("a balance", |s| *s.parties.get_mut(&Party::House).unwrap() += 1, &["balance"]),
        ("a party of no service", |s| s.services.clear(), &["unknown_service"; 3]),
        ("a balance of nobody", |s| s.nobody = Some(0), &["unreadable_party"]),
        ("a balance gone", |s| s.parties.retain(|party, _| *party != Party::House), &["balance"]),
        (
            "a grant gone",
            |s| drop(s.journal.remove(2)),
            &["gap", "overdrawn", "left", "left", "balance", "balance"],
        ),
        ("an amount of a grant", |s| s.posting(2).amount = mc(1999), &["balance", "balance"]),
        ("an amount of an earning", |s| s.posting(9).amount = mc(13), &["amounts", "balance", "balance"]),
        (
            "the payee",
            |s| s.posting(5).credit = Party::Payable(Account::from_public_key([3; 32])),
            &["postings", "balance", "balance"],
        ),
        ("the kind", |s| s.posting(8).kind = PostingKind::Fee, &["work_paid_twice", "postings"]),
        (
            "granted credits made payable",
            |s| {
                s.posting(4).credit = Party::Payable(Account::from_public_key([2; 32]));
            },
            &["impossible", "postings", "balance", "balance"],
        ),
        (
            "an amount of nothing",
            |s| s.posting(1).amount = mc(0),
            &["impossible", "overdrawn", "balance", "balance"],
        ),
        ("a second posting of a grant", |s| s.posting(2).transfer = s.posting(1).transfer, &["grant"]),
        (
            "a grant under a settlement's id",
            |s| {
                s.posting(3).transfer = s.settled(3).sale.transfer;
            },
            &["grant_settled", "count"],
        ),
        (
            "the order within a transfer",
            |s| {
                let (one, other) = (s.posting(4).position, s.posting(5).position);
                (s.posting(4).position, s.posting(5).position) = (other, one);
            },
            &["postings"],
        ),
        (
            "the order of two settlements",
            |s| {
                s.journal[7..].rotate_left(1);
                (8..).zip(&mut s.journal[7..]).for_each(|(sequence, entry)| entry.0 = sequence);
            },
            &["order"],
        ),
        (
            "a transfer twice",
            |s| {
                let again = s.journal[7].1.clone();
                s.journal.push((11, again));
            },
            &["order", "count", "balance", "balance"],
        ),
        ("a settlement gone", |s| drop(s.settlements.remove(1)), &["no_settlement", "missing_settlement"]),
        ("a free settlement gone", |s| drop(s.settlements.remove(2)), &["missing_settlement"]),
        (
            "postings gone",
            |s| s.journal.truncate(8),
            &["no_postings", "count", "balance", "balance", "balance"],
        ),
        ("what was charged", |s| s.settled(1).charged = mc(999), &["amounts"]),
        ("what was earned", |s| s.settled(1).earned = mc(901), &["amounts"]),
        ("earned for free", |s| s.settled(3).earned = mc(1), &["amounts"]),
        ("what is left", |s| s.settled(1).balance = mc(1601), &["left"]),
        ("free for no reason", |s| s.settled(3).repeats = false, &["free_for_no_reason"]),
        ("charged again", |s| s.settled(4).repeats = true, &["charged_again"]),
        ("a work that is not kept", |s| s.settled(4).first = None, &["work_not_kept", "count"]),
        (
            "a work that another paid",
            |s| {
                s.settled(4).first = Some(1);
            },
            &["work_paid_twice", "count"],
        ),
        (
            "a work that is paid later",
            |s| {
                s.settled(2).first = Some(4);
            },
            &["resold_too_early"],
        ),
        (
            "a work that nobody paid",
            |s| {
                let work = WorkKey { root: Root::new([9; 32]), nonce: Nonce::new(9) };
                s.works_paid.insert(work, TransferId::of_cause("x"));
            },
            &["count", "stray_payment"],
        ),
        ("a nonce", |s| s.settled(3).sale.work.nonce = Nonce::new(77), &["difficulty"]),
        ("a difficulty", |s| s.settled(1).difficulty = Difficulty::new(5), &["difficulty"]),
        ("a threshold", |s| s.settled(1).threshold = Threshold::new(u64::MAX), &["below_threshold"]),
        (
            "an entry that is none",
            |s| s.journal[0].1 = Err("?".into()),
            &["unreadable_entry", "overdrawn", "balance", "balance"],
        ),
        ("a settlement that is none", |s| s.settlements[2].1 = Err("?".into()), &["unreadable_settlement"]),
        ("a sequence from the future", |s| s.journal[9].0 = 1000, &["gap"]),
    ];
    for (what, change, expected) in cases {
        let mut shelf = Shelf::sound();
        change(&mut shelf);
        let report = shelf.report();
        let found: Vec<&str> = report.violations.iter().map(Violation::kind).collect();
        assert_eq!(found, *expected, "{what}: {:#?}", report.violations);
        assert_eq!(report.violations_found, found.len() as u64);
    }
}

#[test]
fn an_imbalance_is_the_sum_of_all_differences() {
    let mut shelf = Shelf::sound();
    *shelf.parties.get_mut(&Party::House).unwrap() -= 5;
    *shelf.parties.get_mut(&Party::Paid(service("wallet"))).unwrap() += 7;
    shelf.nobody = Some(-2);
    assert_eq!(shelf.report().imbalance, 14);
}

#[test]
fn a_later_run_reads_what_is_new_and_notices_another_past() {
    let mut shelf = Shelf::sound();
    let Ok((audit, _)) = Audit::new().run(&shelf);
    let Ok((audit, report)) = audit.run(&shelf);
    assert!(report.is_green(), "{report:?}");
    shelf.sell("faucet", 2, 1, (0, 16));
    shelf.sell("faucet", 3, 1, (0, 16));
    let Ok((audit, report)) = audit.run(&shelf);
    assert!(report.is_green(), "{report:?}");
    assert_eq!((report.checked.postings, report.checked.settlements, report.checked.free), (12, 6, 2));

    let mut changed = shelf.clone();
    changed.posting(12).amount = mc(3);
    let Ok((_, report)) = audit.clone().run(&changed);
    assert_eq!(report.violations, [Violation::Rewritten { sequence: 12 }]);
    shelf.journal.truncate(8);
    let Ok((_, report)) = audit.run(&shelf);
    assert_eq!(report.violations.iter().map(Violation::kind).collect::<Vec<_>>(), ["rewritten", "count"]);
}

#[test]
fn a_broken_ledger_of_any_size_is_told_in_bounds() {
    let mut shelf = Shelf::default();
    shelf.grant("wallet", Bucket::Paid, 1_000_000);
    for number in 0..1100 {
        shelf.sell("wallet", u8::try_from(number % 256).unwrap(), number, (0, 10));
    }
    for (_, settled) in &mut shelf.settlements {
        settled.as_mut().unwrap().difficulty = Difficulty::new(1);
    }
    let report = shelf.report();
    assert_eq!((report.violations.len(), report.violations_found), (VIOLATIONS_KEPT, 1100));
}

proptest! {
    #[test]
    fn random_ledgers_are_green_and_sum_to_zero(
        sales in prop::collection::vec((0..3_u8, 0..4_u64, 0..50_u64, 0..5_000_u64, any::<bool>()), 0..60),
    ) {
        let mut shelf = Shelf::default();
        for name in ["wallet", "faucet"] {
            shelf.grant(name, Bucket::Paid, 300_000);
            shelf.grant(name, Bucket::Granted, 5000);
        }
        for (root, nonce, granted, paid, which) in sales {
            shelf.sell(if which { "wallet" } else { "faucet" }, root, nonce, (granted, paid + 1));
        }
        let Ok((audit, report)) = Audit::new().run(&shelf);
        prop_assert_eq!(report.violations, []);
        prop_assert_eq!(audit.balances().values().sum::<i64>(), 0);
        prop_assert_eq!(audit.balances(), &shelf.parties);
    }
}
