//! The bookkeeper itself: it has to see everything that the tests of crashes and stops rely on it to see.

use std::collections::BTreeMap;

use e2e::{Answer, Bookkeeper, NETWORK, Summary, oracle, root};
use serde_json::{Value, json};
use shared::pow::{Nonce, Root, Threshold, Work};

const GRANTED: u64 = 1_000;
const PRICE: u64 = 16;

/// A run of one service: what it wanted and was told, and what the ledger says about it.
#[derive(Default)]
struct Run {
    /// By request number, the root's number and whether it was paid for before.
    wanted: Vec<(u64, bool)>,
    /// By request number, the work and what was said to be charged.
    told: Vec<(usize, Work, u64)>,
    /// The works that the journal has a charge for.
    charged: Vec<Work>,
    balance: u64,
}

/// Makes one thing wrong with a run, with works for three roots and one that is none.
type Fault = fn(&mut Run, [Work; 4]);

fn threshold() -> Threshold {
    NETWORK.receive_threshold()
}

/// The first work for a root of at least, or of less than, the threshold.
fn work(root: Root, is_good: bool) -> Work {
    let nonce: Nonce = oracle::search(root, 0, |difficulty| difficulty.meets(threshold()) == is_good);
    Work::verify(root, nonce, Threshold::new(0)).expect("every nonce meets zero")
}

fn posting(transfer: u64, debit: &str, credit: &str, (kind, amount, work): (&str, u64, Value)) -> String {
    json!({ "sequence": transfer, "posting": {
        "transfer": transfer.to_string(), "position": 0, "kind": kind, "debit": debit, "credit": credit,
        "amount": amount, "work": work, "at": 0,
    }})
    .to_string()
}

impl Run {
    fn journal(&self) -> String {
        let grant = posting(1, "issuance", "granted:wallet", ("grant", GRANTED, Value::Null));
        let sales = (2..).zip(&self.charged).map(|(transfer, work)| {
            let work = json!({ "root": work.root(), "nonce": work.nonce() });
            posting(transfer, "granted:wallet", "house", ("resale", PRICE, work))
        });
        std::iter::once(grant).chain(sales).map(|line| line + "\n").collect()
    }

    fn judge(&self) -> anyhow::Result<Option<Result<Summary, String>>> {
        let Some(books) = Bookkeeper::start("the bookkeeper")? else { return Ok(None) };
        for (request, (number, is_free)) in self.wanted.iter().enumerate() {
            books.want("wallet", &request.to_string(), (root(*number), threshold()), *is_free)?;
        }
        for (request, work, charged_mc) in &self.told {
            let answer =
                Answer { work: *work, source: "cache".into(), charged_mc: *charged_mc, balance_mc: None };
            books.told("wallet", &request.to_string(), &answer)?;
        }
        let of_wallet = |amount| BTreeMap::from([("wallet".to_owned(), amount)]);
        let judged = books.judge(&self.journal(), &of_wallet(GRANTED), &of_wallet(self.balance));
        Ok(Some(judged.map_err(|error| format!("{error:#}"))))
    }
}

/// Charged once and told so; charged, killed and told later; told the same twice; free.
fn good() -> Run {
    let [first, second] = [1, 2].map(|number| work(root(number), true));
    Run {
        wanted: vec![(1, false), (2, false), (2, true)],
        told: vec![(0, first, PRICE), (0, first, PRICE), (1, second, 0), (2, second, 0)],
        charged: vec![first, second],
        balance: GRANTED - 2 * PRICE,
    }
}

#[test]
fn books_that_fit_are_summed_up() -> anyhow::Result<()> {
    let Some(judged) = good().judge()? else { return Ok(()) };
    assert_eq!(judged, Ok(Summary { answered: 3, free: 2, charged: 2, healed: 1 }));
    Ok(())
}

#[test]
fn everything_that_does_not_fit_is_named() -> anyhow::Result<()> {
    let [first, second, third] = [1, 2, 3].map(|number| work(root(number), true));
    let bad = work(root(1), false);
    let faults: [(&str, Fault); 9] = [
        ("never answered", |run, _| run.wanted.push((3, false))),
        ("which it had not asked for", |run, [.., third, _]| run.told.push((9, third, 0))),
        ("which is no work", |run, [.., bad]| run.told.push((0, bad, 0))),
        ("charged 16 mc again", |run, [_, second, ..]| run.told[3] = (2, second, PRICE)),
        ("which was lost", |run, [_, _, third, _]| run.told.push((1, third, PRICE))),
        ("has paid 2 times", |run, [first, ..]| run.charged.push(first)),
        ("both told a charge", |run, [first, ..]| {
            run.wanted.push((1, false));
            run.told.push((3, first, PRICE));
        }),
        ("never given work", |run, [.., third, _]| {
            run.wanted.push((3, false));
            run.charged.push(third);
        }),
        ("has 967 mc", |run, _| run.balance -= 1),
    ];
    for (sentence, fault) in faults {
        let mut run = good();
        fault(&mut run, [first, second, third, bad]);
        let Some(judged) = run.judge()? else { return Ok(()) };
        let found = judged.expect_err(sentence);
        assert!(found.contains(sentence), "{sentence} is not in {found}");
    }
    Ok(())
}
