//! Adaptive dispatch: what it promises, and that nobody profits from lying to it. Each run has one seed, so its figures are
//! always the same.

use marketplace::dispatch::DispatchPolicy;
use marketplace::sim::{Character, Churn, Class, Clients, Flood, Order, Report, Scenario, Span, simulate};

fn adaptive(seed: u64, workers: u32, load: f64, requests: u32) -> Scenario {
    let dispatch = DispatchPolicy::Adaptive { fairness: 0 };
    Scenario { dispatch, ..Scenario::volunteers(seed, workers, load, requests) }
}

fn run(scenario: &Scenario) -> Report {
    simulate(scenario).unwrap_or_else(|failure| panic!("{failure}"))
}

fn seconds(report: &Report, class: Class, share: f64) -> f64 {
    report.classes[&class].quantile(share).map_or(f64::INFINITY, |time| time.as_secs_f64())
}

/// At every load it is about as fast as broadcast or faster, at a small part of the messages.
#[test]
fn it_is_as_fast_as_broadcast_with_few_messages() {
    for (load, p50, p99, messages) in
        [(0.02, 1.15, 1.35, 66.0), (0.2, 0.9, 1.1, 45.0), (0.5, 0.85, 1.05, 20.0)]
    {
        let ours = run(&adaptive(1, 1000, load, 3000));
        let theirs = run(&Scenario {
            clients: Clients::Original(Order::Random),
            ..Scenario::volunteers(1, 1000, load, 1500)
        });
        for (share, most) in [(0.5, p50), (0.99, p99)] {
            let ratio = seconds(&ours, Class::Send, share) / seconds(&theirs, Class::Send, share);
            assert!(ratio <= most, "load {load}: {ratio} at {share}");
        }
        assert!(ours.messages_per_work <= messages, "load {load}: {} messages", ours.messages_per_work);
    }
}

/// What cannot be done in time is refused at once, and what is taken is done in time.
#[test]
fn overload_is_refused_at_once_and_the_rest_is_served() {
    for timeout_s in [5.0, 30.0] {
        let mut scenario = adaptive(2, 100, 1.5, 4000);
        for customer in &mut scenario.customers {
            customer.timeout_ms = Span::exactly(1000.0 * timeout_s);
        }
        let report = run(&scenario);
        assert!(report.served_over_capacity > 0.93, "{timeout_s}: {}", report.served_over_capacity);
        assert!(!report.refusals.contains_key("expired"), "{timeout_s}: {:?}", report.refusals.keys());
        assert!(report.refusals["overloaded"].quantile(0.99).as_millis() < 100, "{timeout_s}");
    }
}

/// A receive does not wait behind sends, and sends do not mind.
#[test]
fn receives_are_not_slower_for_sends() {
    let mixed = |mix: &[(Class, f64)], load| {
        let mut scenario = adaptive(3, 300, load, 3000);
        for customer in &mut scenario.customers {
            customer.mix = mix.to_vec();
        }
        run(&scenario)
    };
    let both = mixed(&[(Class::Receive, 1.0), (Class::Send, 1.0)], 0.5);
    let alone = mixed(&[(Class::Receive, 1.0)], 0.5 / 65.0);
    let ratio = seconds(&both, Class::Receive, 0.5) / seconds(&alone, Class::Receive, 0.5);
    assert!(ratio < 1.2, "{ratio}");
}

/// Ids that announce much and do nothing get next to nothing, and nobody waits for them.
#[test]
fn a_flood_of_new_ids_gets_hardly_any_work() {
    let clean = run(&adaptive(4, 200, 0.5, 6000));
    let mut scenario = adaptive(4, 200, 0.5, 6000);
    scenario.fleet.flood = Some(Flood { first_s: None, every_s: 5.0, ids: 2000, stay_s: 600.0 });
    let report = run(&scenario);
    assert!(report.flood_share > 0.0 && report.flood_share < 0.02, "{}", report.flood_share);
    let ratio = seconds(&report, Class::Send, 0.95) / seconds(&clean, Class::Send, 0.95);
    assert!(ratio < 1.5, "{ratio}");
}

/// Workers that take jobs and never answer are found out.
#[test]
fn withholders_raise_latency_little() {
    let clean = run(&adaptive(5, 300, 0.5, 6000));
    let mut scenario = adaptive(5, 300, 0.5 * 0.7, 6000);
    scenario.fleet.characters = vec![(Character::Honest, 0.7), (Character::Withholder, 0.3)];
    let ratio = seconds(&run(&scenario), Class::Send, 0.95) / seconds(&clean, Class::Send, 0.95);
    assert!(ratio < 1.3, "{ratio}");
}

/// Liars, wrong rates, churn, losses and jumps of the clock: everything is answered.
#[test]
fn everything_is_answered_whatever_workers_say() {
    let mut scenario = adaptive(6, 200, 0.5, 4000);
    scenario.fleet.announced_sigma = 3.0;
    scenario.fleet.churn = Some(Churn { connected_s: 10.0, away_s: 1.0, takeover: 0.1 });
    scenario.fleet.characters =
        vec![(Character::Honest, 0.8), (Character::Sleeper, 0.1), (Character::Liar, 0.1)];
    scenario.wire.loss = 0.02;
    scenario.mischief.clock_jump_s = Some(10.0);
    let report = run(&scenario);
    let answered = report.classes[&Class::Send].answered;
    assert!(answered >= 3900, "{report}");
}

/// With the knob at its end, earnings follow rates.
#[test]
fn fairness_makes_earnings_follow_rates() {
    let index = |fairness| {
        let scenario = Scenario::volunteers(7, 20, 0.5, 10_000);
        let dispatch = DispatchPolicy::Adaptive { fairness };
        run(&Scenario { dispatch, ..scenario }).fairness.expect("somebody has earned")
    };
    let (none, full) = (index(0), index(100));
    assert!(full > 0.9 && none < full, "{none} and {full}");
}
