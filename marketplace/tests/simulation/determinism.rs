//! The same scenario is the same run, byte for byte, and a recorded run can be replayed.

use marketplace::sim::replay::Replay;
use marketplace::sim::{Clients, Digest, Order, Rule, Scenario, simulate, simulate_logged};

fn digest(scenario: &Scenario) -> u64 {
    let mut digest = Digest::default();
    simulate_logged(scenario, &mut digest).expect("no rule is broken");
    digest.value()
}

#[test]
fn a_seed_gives_the_same_events_byte_for_byte() {
    let original =
        Scenario { clients: Clients::Original(Order::Random), ..Scenario::volunteers(1, 50, 0.3, 50) };
    let scenarios = (0..10).map(Scenario::faults).chain([Scenario::volunteers(1, 50, 0.3, 50), original]);
    let digests: Vec<u64> = scenarios
        .map(|scenario| {
            let first = digest(&scenario);
            assert_eq!(first, digest(&scenario), "seed {}", scenario.seed);
            first
        })
        .collect();
    let different: std::collections::BTreeSet<u64> = digests.iter().copied().collect();
    assert_eq!(different.len(), digests.len(), "other seeds give other events");
}

/// The auditor and the log look on: whether they are there changes nothing.
#[test]
fn looking_on_changes_nothing() {
    let audited = Scenario::faults(3);
    let unaudited = Scenario { is_audited: false, ..audited.clone() };
    let mut log = String::new();
    let report = simulate(&audited).expect("no rule is broken");
    assert_eq!(simulate(&unaudited).expect("nobody looks"), report);
    assert_eq!(simulate_logged(&audited, &mut log).expect("no rule is broken"), report);
}

#[test]
fn a_scenario_can_be_written_down() {
    for seed in 0..20 {
        let scenario = Scenario::faults(seed);
        let text = serde_json::to_string(&scenario).expect("it has a text form");
        let read: Scenario = serde_json::from_str(&text).expect("it reads back");
        assert_eq!(read, scenario);
    }
}

#[test]
fn a_recorded_run_replays_and_the_auditor_agrees() {
    for seed in 0..5 {
        let mut log = String::new();
        simulate_logged(&Scenario::faults(seed), &mut log).expect("no rule is broken");
        let mut replay = Replay::parse(&log).expect("a log of today");
        let mut steps = 0;
        while let Some(step) = replay.step().expect("a whole log") {
            assert!(step.is_same(), "line {}: {:?} and {:?}", step.number, step.then, step.now);
            assert_eq!(step.broken, None);
            steps += 1;
        }
        assert!(steps > 100, "{steps} steps");
        assert!(replay.market().is_some_and(marketplace::Marketplace::is_idle));
    }
}

/// The first rule that is broken in the replay of a log.
fn broken_in(log: &str) -> Option<Rule> {
    let mut replay = Replay::parse(log).expect("a log of today");
    while let Some(step) = replay.step().expect("a whole log") {
        if let Some(broken) = step.broken {
            return Some(broken.rule);
        }
    }
    None
}

/// What a store does is in the log as well: falsified, it is found.
#[test]
fn a_store_that_miscounts_is_found() {
    let mut log = String::new();
    simulate_logged(&Scenario::volunteers(1, 20, 0.3, 20), &mut log).expect("no rule is broken");
    assert_eq!(broken_in(&log), None);
    let (earned, fee) = (r#""amount":900"#, r#""amount":100"#);
    assert!(log.contains(earned) && log.contains(fee));
    for (true_text, false_text, rule) in [
        (earned, r#""amount":901"#, Rule::BooksBalance),
        (fee, r#""amount":99"#, Rule::BooksBalance),
        (r#""earned":900"#, r#""earned":899"#, Rule::BooksBalance),
        (r#""granted":0,"paid":1000}"#, r#""granted":1000,"paid":0}"#, Rule::BooksBalance),
        (r#""charged":1000,"balance""#, r#""charged":0,"balance""#, Rule::BooksBalance),
        (
            r#"{"settled":{"hold":"00000000000000010000000000000001""#,
            r#"{"settled":{"hold":"00000000000000010000000000000099""#,
            Rule::HoldsAreClosedOnce,
        ),
    ] {
        let falsified = log.replacen(true_text, false_text, 1);
        assert_ne!(falsified, log, "{true_text}");
        assert_eq!(broken_in(&falsified), Some(rule), "{false_text}");
    }
}

#[test]
fn a_damaged_log_says_where() {
    let mut log = String::new();
    simulate_logged(&Scenario::volunteers(1, 5, 0.3, 3), &mut log).expect("no rule is broken");
    let damaged = log.replacen("\"input\"", "\"inptu\"", 1);
    let error = Replay::parse(&damaged).expect_err("it is damaged");
    assert!(error.to_string().starts_with("line "), "{error}");
    let headless = log.lines().skip(2).collect::<Vec<_>>().join("\n");
    let mut replay = Replay::parse(&headless).expect("whole lines");
    assert!(replay.step().is_err_and(|error| error.to_string().contains("beginning is missing")));
}
