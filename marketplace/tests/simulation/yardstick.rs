//! The simulator beside figures of other models, and its parts beside what they are for. Each run has one seed, so its figures
//! are always the same.

use std::num::NonZeroUsize;
use std::time::Duration;

use marketplace::dispatch::DispatchPolicy;
use marketplace::sim::{Arrivals, Class, Clients, Order, Report, Scenario, simulate};

use crate::is_full;

fn run(scenario: &Scenario) -> Report {
    simulate(scenario).unwrap_or_else(|failure| panic!("{failure}"))
}

fn times(report: &Report) -> [f64; 3] {
    let class = &report.classes[&Class::Send];
    [0.5, 0.95, 0.99].map(|share| class.quantile(share).map_or(f64::INFINITY, |time| time.as_secs_f64()))
}

/// Whether a figure is so near to another, as a share of it.
fn is_near(figure: f64, yardstick: f64, share: f64) -> bool {
    (figure / yardstick - 1.0).abs() <= share
}

/// The original network with random queues, 1,000 volunteers: the yardstick is another program's model of it, whose figures
/// `docs/simulator.md` has. Means over seeds at the same load may differ by a twentieth.
#[test]
fn broadcast_takes_as_long_as_in_another_model() {
    let rows: &[(f64, [f64; 3])] =
        &[(0.02, [0.0555, 0.1025, 0.1245]), (0.5, [0.324, 0.591, 0.7415]), (0.2, [0.1595, 0.256, 0.302])];
    let (rows, seeds, jobs) = if is_full() { (rows, 0..3, 5334) } else { (&rows[2..], 0..1, 2000) };
    for (load, yardstick) in rows {
        let reports: Vec<Report> = seeds
            .clone()
            .map(|seed| {
                let clients = Clients::Original(Order::Random);
                run(&Scenario { clients, ..Scenario::volunteers(seed, 1000, *load, jobs) })
            })
            .collect();
        for (index, expected) in yardstick.iter().enumerate() {
            let count = f64::from(u32::try_from(reports.len()).expect("a few"));
            let mean = reports.iter().map(|report| times(report)[index]).sum::<f64>() / count;
            println!("load {load}: {mean:.4} s beside {expected} s");
            assert!(is_near(mean, *expected, 0.05), "load {load}: {mean} s beside {expected} s");
        }
        for report in &reports {
            assert!(is_near(report.messages_per_work, 2010.0, 0.02), "{} messages", report.messages_per_work);
            assert!(
                is_near(report.served_over_capacity, *load, 0.1),
                "{} served",
                report.served_over_capacity
            );
        }
    }
}

/// A worker alone: what it takes is what its rate and its delay say, whatever way it has its jobs.
#[test]
fn a_worker_alone_takes_the_time_of_its_search_and_its_way() {
    for clients in
        [Clients::Native(Order::Listed), Clients::Original(Order::Fifo), Clients::Original(Order::Random)]
    {
        let mut scenario = Scenario { clients, ..Scenario::volunteers(1, 1, 0.001, 400) };
        scenario.fleet.rates[0].rate.low = 1e9;
        scenario.fleet.rates[0].rate.high = 1e9;
        scenario.fleet.rates.truncate(1);
        scenario.fleet.delay_ms.low = 100.0;
        scenario.fleet.delay_ms.high = 100.0;
        let report = run(&scenario);
        let [median, ..] = times(&report);
        // There and back, and ln 2 of the mean search, give or take what 400 draws leave to chance.
        let expected = 0.2 + 2_f64.ln() * Class::Send.hashes() / 1e9;
        assert!(is_near(median, expected, 0.1), "{clients:?}: {median} s beside {expected} s");
        assert!(
            report.efficiency > 0.85,
            "{clients:?}: nobody searches for what another has found: {}",
            report.efficiency
        );
    }
}

/// To broadcast costs two messages for each worker; the eight fastest cost as many as they are; and both answer everything.
#[test]
fn fewer_workers_on_a_job_are_fewer_messages() {
    let k = NonZeroUsize::MIN.saturating_add(7);
    let [few, all] = [DispatchPolicy::FastestK { k }, DispatchPolicy::Broadcast].map(|dispatch| {
        let scenario = Scenario { dispatch, ..Scenario::volunteers(2, 100, 0.1, 200) };
        run(&scenario)
    });
    assert!(is_near(all.messages_per_work, 203.0, 0.1), "{}", all.messages_per_work);
    assert!(few.messages_per_work < 30.0, "{}", few.messages_per_work);
    assert!(few.efficiency > all.efficiency);
    for report in [few, all] {
        assert_eq!(report.classes[&Class::Send].answered, 200);
        assert!(report.fairness.is_some_and(|index| index > 0.0 && index <= 1.0));
    }
}

/// Bursts ask for as much as single requests do at the same load, and have to wait for each other.
#[test]
fn bursts_offer_the_same_and_wait_longer() {
    let at = |arrivals: Arrivals| {
        let mut scenario = Scenario::volunteers(4, 200, 0.2, 4000);
        for customer in &mut scenario.customers {
            customer.arrivals = arrivals;
        }
        run(&scenario)
    };
    let single = at(Arrivals::Poisson { pace: 1.0 });
    let bursts = at(Arrivals::Bursty { pace: 1.0, burst: 10.0 });
    for report in [&single, &bursts] {
        assert!(is_near(report.served_over_capacity, 0.2, 0.25), "{}", report.served_over_capacity);
    }
    assert!(bursts.queue_max > single.queue_max, "{} and {}", bursts.queue_max, single.queue_max);
}

/// Callers that wait for their answers cannot overload anything.
#[test]
fn a_closed_loop_has_no_more_open_than_it_has_callers() {
    let mut scenario = Scenario { load: None, ..Scenario::volunteers(6, 10, 0.0, 300) };
    for customer in &mut scenario.customers {
        customer.arrivals = Arrivals::ClosedLoop { callers: 5, think_ms: 1.0 };
    }
    let report = run(&scenario);
    assert_eq!(report.classes[&Class::Send].answered, 300);
    assert!((15..=20).contains(&report.queue_max), "{}", report.queue_max);
}

/// Whom nothing is left to be done for is told so at once, and says so in the report.
#[test]
fn refusals_say_how_fast_they_were() {
    let mut scenario = Scenario::volunteers(7, 10, 0.5, 200);
    scenario.store.paid = 20;
    let report = run(&scenario);
    let refused = &report.refusals["insufficient_credit"];
    assert_eq!(refused.times.len() + report.classes[&Class::Send].answered, 200);
    assert_eq!(refused.quantile(0.99), Duration::ZERO);
}
