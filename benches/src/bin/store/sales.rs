//! What is held and settled: every sale is of a work of its own.

use coordinator::store::{Bucket, Settlement, Verb};
use shared::pow::{Difficulty, Nonce, Root, Threshold};
use shared::{Account, HoldId, Millicredits, Payee, Timestamp, TransferId, WorkerId};

/// What a sale costs, in millicredits: a receive.
pub(crate) const PRICE: u64 = 16;
/// Who buys.
pub(crate) const SERVICE: &str = "wallet";

/// What comes first: a service with enough credits.
pub(crate) fn start() -> anyhow::Result<Vec<Verb>> {
    let (service, at) = (SERVICE.parse()?, Timestamp::from_micros(1));
    let (transfer, amount) = (TransferId::of_cause("bench"), Millicredits::new(1 << 50));
    let bucket = Bucket::Paid;
    Ok(vec![Verb::AddService { service, at }, Verb::Grant { transfer, service, amount, bucket, at }])
}

/// A hold of this number.
pub(crate) fn hold(number: u64) -> anyhow::Result<Verb> {
    let (hold, service) = (HoldId { instance: 1, counter: number }, SERVICE.parse()?);
    let expires = Timestamp::from_micros(1 << 52);
    Ok(Verb::Hold { hold, service, amount: Millicredits::new(PRICE), expires, purse: None })
}

/// Its settlement.
pub(crate) fn sale(number: u64) -> anyhow::Result<Settlement> {
    let mut root = [7; 32];
    root[..8].copy_from_slice(&number.to_be_bytes());
    Ok(Settlement {
        hold: HoldId { instance: 1, counter: number },
        service: SERVICE.parse()?,
        root: Root::new(root),
        nonce: Nonce::new(number),
        difficulty: Difficulty::new(u64::MAX),
        threshold: Threshold::new(1),
        worker: WorkerId::from_bytes([3; 16]),
        payee: Payee::Account(Account::from_public_key([5; 32])),
        at: Timestamp::from_micros(number),
    })
}
