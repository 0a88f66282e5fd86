//! What must be true of every store after every run.

use std::collections::BTreeMap;

use marketplace::ledger::audit::Audit;
use marketplace::ledger::{JournalEntry, Party, PostingKind};
use shared::Payee;

use crate::store::{Balance, Bucket, Store};

/// The oracle after every run: the audit is green, the journal replays to the balances, they sum to zero, and what is payable
/// was bought and spent before, less a tenth: whoever owns services and workers alike only loses.
pub(in crate::store) async fn prove(store: &dyn Store) {
    let journal = store.journal(1, usize::MAX).await.unwrap();
    let (audit, report) = store.audit(Audit::of_model()).await.unwrap();
    assert_eq!(report.violations, []);
    let parties = store.parties().await.unwrap();
    assert_eq!(parties, *audit.balances(), "balances are what the journal comes to");
    assert!(journal.iter().all(|entry| entry.posting.check() == Ok(())));
    assert_eq!(parties.values().sum::<i64>(), 0);
    let sum = |wanted: fn(&Party) -> bool| -> i64 {
        parties.iter().filter(|(party, _)| wanted(party)).map(|(_, balance)| balance).sum()
    };
    let is_purchase = |entry: &&JournalEntry| {
        entry.posting.kind == PostingKind::Grant && matches!(entry.posting.credit, Party::Paid(_))
    };
    let bought: i64 = journal.iter().filter(is_purchase).map(|entry| entry.posting.amount.as_i64()).sum();
    let spent = bought - sum(|party| matches!(party, Party::Paid(_)));
    let payable = sum(|party| matches!(party, Party::Payable(_)));
    assert!(
        payable <= spent - spent / 10,
        "{payable} mc are payable of {spent} mc that were bought and spent"
    );
    prove_worker_totals(store, &journal).await;
    for party in parties.keys() {
        let (Party::Granted(name) | Party::Paid(name)) = *party else { continue };
        let Balance { granted, paid, held } =
            store.balance(name).await.unwrap().expect("who holds credits is known");
        let of = |bucket| parties.get(&Party::of_service(name, bucket)).copied().unwrap_or(0);
        let kept = granted.as_i64() + paid.as_i64() + held.as_i64();
        assert_eq!(kept, of(Bucket::Granted) + of(Bucket::Paid), "{name}: free and held are what is settled");
    }
}

/// What each payee's workers have earned by their totals is what the journal credits it with.
async fn prove_worker_totals(store: &dyn Store, journal: &[JournalEntry]) {
    let mut earned: BTreeMap<Payee, i64> = BTreeMap::new();
    for total in store.worker_totals(None).await.unwrap() {
        *earned.entry(total.payee).or_default() += total.earned.as_i64();
    }
    let mut journalled: BTreeMap<Payee, i64> = BTreeMap::new();
    for posting in journal.iter().map(|entry| &entry.posting) {
        let payee = match posting.credit {
            Party::Payable(account) => Payee::Account(account),
            Party::NonPayable(payee) => payee,
            _ => continue,
        };
        *journalled.entry(payee).or_default() += posting.amount.as_i64();
    }
    assert_eq!(earned, journalled, "totals of workers are what the journal says");
}
