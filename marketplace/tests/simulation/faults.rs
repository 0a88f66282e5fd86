//! Many small markets in which anything goes wrong: the auditor looks at every event.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use marketplace::sim::{Failure, Report, Scenario, simulate, simulate_logged};

use crate::is_full;

/// Runs the faults of a seed. When a rule is broken, or the market panics, the seed and the file with its events are told.
fn run(seed: u64) -> Report {
    let scenario = Scenario::faults(seed);
    let outcome = |run: &mut dyn FnMut() -> Result<Report, Failure>| match catch_unwind(AssertUnwindSafe(run))
    {
        Ok(Ok(report)) => Ok(report),
        Ok(Err(failure)) => Err(failure.to_string()),
        Err(_) => Err(format!("seed {seed}: the market panics")),
    };
    let what = match outcome(&mut || simulate(&scenario)) {
        Ok(report) => return report,
        Err(what) => what,
    };
    // The same again, written down: that takes its time, so it is not done before it is needed.
    let mut log = String::new();
    let again = outcome(&mut || simulate_logged(&scenario, &mut log)).err();
    let path = save(seed, &log);
    assert_eq!(again.as_ref(), Some(&what), "seed {seed} is not the same twice");
    panic!("{what}\nstep through it: cargo run -p dpow-marketplace --features sim --example replay {path}");
}

#[expect(clippy::disallowed_methods, reason = "a test writes files; the core does not")]
fn save(seed: u64, log: &str) -> String {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("faults-{seed}.jsonl"));
    std::fs::write(&path, log).expect("a folder that cargo has made for this");
    path.display().to_string()
}

/// 100 seeds, or 10,000. Beside the rules it is seen that the faults do what they are for: every way in which a request or a
/// result may end occurs, so no rule holds for want of an occasion.
#[test]
fn no_rule_is_broken_whatever_goes_wrong() {
    let seeds = if is_full() { 10_000 } else { 100 };
    let (mut refused, mut judged) = (BTreeMap::<&str, usize>::new(), BTreeMap::<&str, u64>::new());
    let mut answered = 0;
    for seed in 0..seeds {
        let report = run(seed);
        for (code, refusals) in &report.refusals {
            *refused.entry(code).or_default() += refusals.times.len();
        }
        for (verdict, count) in &report.verdicts {
            *judged.entry(verdict).or_default() += count;
        }
        answered += report.classes.values().map(|class| class.answered).sum::<usize>();
    }
    println!("{answered} answered; refused {refused:?}; results {judged:?}");
    let codes: BTreeSet<&str> = refused.into_keys().collect();
    let expected = [
        "cancelled",
        "conflict",
        "draining",
        "expired",
        "insufficient_credit",
        "no_workers",
        "store_unavailable",
        "suspended",
        "threshold_out_of_range",
    ];
    assert!(codes.is_superset(&BTreeSet::from(expected)), "{codes:?}");
    let verdicts: BTreeSet<&str> = judged.into_keys().collect();
    assert_eq!(verdicts, shared::protocol::Verdict::NAMES.into());
    assert!(answered > 3000, "only {answered} requests were answered");
}
