//! Every metric of the coordinator, and the values of its labels. Recorded here, in no other file.

use std::time::Duration;

use marketplace::ledger::audit::Report;
use marketplace::precache::PrecacheUse;
use marketplace::{Step, WorkClass};
use metrics::{
    Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use metrics_util::layers::{Layer, PrefixLayer};
use shared::protocol::{NetworkStatistics, Verdict};
use shared::{Outcome, Refusal, Timestamp, WorkSource};
use thiserror::Error;

const REQUESTS: &str = "work_requests_total";
const REQUEST_SECONDS: &str = "work_request_duration_seconds";
const SEARCHED_SECONDS: &str = "work_searched_duration_seconds";
const LISTS: &str = "work_lists_total";
const RESULTS: &str = "work_results_total";
const STATUSES: &str = "worker_statuses_total";
const STORE_SECONDS: &str = "store_execute_duration_seconds";
const LEDGER_LOST: &str = "ledger_lost_changes_total";
const MALFORMED: &str = "mqtt_messages_malformed_total";
const CONFIRMATIONS: &str = "node_confirmations_total";
const PRECACHES: &str = "precache_works_total";
const LOOKUPS: &str = "precache_lookups_total";

/// Buckets of durations, in seconds: from a cache hit to the longest timeout.
const SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0, 120.0];

/// How often samples are sorted into their buckets.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Why metrics cannot be recorded.
#[derive(Debug, Error)]
#[error("metrics cannot be recorded: this process records them already")]
pub(crate) enum MetricsError {
    /// The recorder could not be built.
    Build(#[from] BuildError),
    /// There is one already.
    Set,
}

/// Installs the recorder; all names get the prefix `dpow_`. Must be called in a tokio runtime.
///
/// # Errors
/// [`MetricsError`] when it is called twice in a process.
pub(crate) fn install() -> Result<PrometheusHandle, MetricsError> {
    let recorder = PrometheusBuilder::new().set_buckets(&SECONDS)?.build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(PrefixLayer::new("dpow").layer(recorder)).map_err(|_| MetricsError::Set)?;
    describe();
    tokio::spawn(keep_up(handle.clone()));
    Ok(handle)
}

/// Sorts the samples of histograms into their buckets, again and again. Without it each sample is kept until somebody scrapes, and
/// where nobody does, memory grows with every request.
async fn keep_up(recorder: PrometheusHandle) {
    loop {
        tokio::time::sleep(UPKEEP_INTERVAL).await;
        recorder.run_upkeep();
    }
}

fn describe() {
    describe_work();
    describe_ledger_and_nodes();
    for source in [WorkSource::OnDemand, WorkSource::Precache, WorkSource::Cache] {
        counter!(REQUESTS, "outcome" => source.as_str()).increment(0);
    }
    for refusal in Refusal::ALL {
        counter!(REQUESTS, "outcome" => refusal.code()).increment(0);
    }
    for verdict in Verdict::NAMES {
        counter!(RESULTS, "verdict" => verdict).increment(0);
    }
    counter!(LISTS).increment(0);
    counter!(STATUSES).increment(0);
    for class in WorkClass::ALL {
        drop(searched_seconds(class));
    }
    counter!(MALFORMED).increment(0);
    for whose in Confirmed::ALL {
        counter!(CONFIRMATIONS, "result" => whose.as_str()).increment(0);
    }
    nodes(0, 0);
    precache(&PrecacheUse::default(), 0, 0);
    ledger_lost(0);
    store_is(true);
    ledger_audited(&Report::default(), Timestamp::default(), Duration::ZERO);
    statistics(&NetworkStatistics::default());
}

fn describe_work() {
    describe_counter!(
        REQUESTS,
        "Requests for work by outcome: `ondemand`, `precache`, `cache`, or the code of a refusal"
    );
    describe_histogram!(
        REQUEST_SECONDS,
        Unit::Seconds,
        "Time from the arrival of an answered request to its answer"
    );
    describe_histogram!(
        SEARCHED_SECONDS,
        Unit::Seconds,
        "Time from the arrival of a request to its settlement, where workers had to search, by kind of work"
    );
    describe_counter!(LISTS, "Lists sent to workers");
    describe_counter!(RESULTS, "Results of workers by verdict");
    describe_counter!(
        STATUSES,
        "How workers say that they do, one a second from each that searches and has nothing else to say"
    );
    describe_histogram!(STORE_SECONDS, Unit::Seconds, "Time in which the store carried out a batch of verbs");
    describe_counter!(MALFORMED, "Messages over MQTT that could not be read");
    describe_gauge!("workers_connected", "Workers that can be given work");
    describe_gauge!("workers_hash_rate", "Sum of the rates of connected workers, in hashes a second");
    describe_gauge!("jobs_in_flight", "Jobs that are being searched");
    describe_gauge!("jobs_unplaced", "Jobs that stand on no worker's list");
    describe_gauge!("requests_open", "Requests without an outcome");
    describe_gauge!("works_cached", "Works kept for further requests");
    describe_gauge!(
        "dispatch_efficiency_ratio",
        "Hashes to be expected for what was found, over those made for it, of the last minutes; NaN where unknown"
    );
    describe_gauge!(
        "dispatch_fairness_ratio",
        "Jain's index of what workers have earned over their rate; NaN while nobody has earned"
    );
}

fn describe_ledger_and_nodes() {
    describe_gauge!("store_up", "Whether the ledger can be reached");
    describe_gauge!(
        "ledger_imbalance",
        "Absolute differences between balances and what the journal comes to, in millicredits, at the last audit"
    );
    describe_gauge!("ledger_audit_violations", "What the last audit of the ledger has found");
    describe_gauge!("ledger_audit_timestamp_seconds", Unit::Seconds, "When the last audit began; 0: never");
    describe_gauge!("ledger_audit_duration_seconds", Unit::Seconds, "How long the last audit took");
    describe_counter!(CONFIRMATIONS, "Confirmations that nodes have sent, by whose they are");
    describe_gauge!("node_doors", "Doors of Nano nodes (RPC and WebSocket) that are to be used");
    describe_gauge!("node_doors_working", "Of them, those that work");
    describe_counter!(PRECACHES, "Works ahead of demand, by what became of them");
    describe_counter!(
        LOOKUPS,
        "Requests for the next root of a watched account, by whether its work was there"
    );
    describe_counter!(
        "precache_charged_millicredits_total",
        "What works ahead of demand have cost, in millicredits"
    );
    describe_counter!(
        "precache_saved_milliseconds_total",
        "How long the works took that were computed ahead and then asked for"
    );
    describe_gauge!("precaches_in_flight", "Works ahead of demand that are under way");
    describe_gauge!("accounts_watched", "Accounts whose blocks are watched for");
    describe_counter!(LEDGER_LOST, "Changes of the ledger that its server has lost for good");
}

/// Whose confirmation a node has sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Confirmed {
    /// That of an account that is watched.
    Watched,
    /// That of another.
    Stranger,
    /// It could not be read.
    Malformed,
}

impl Confirmed {
    const ALL: [Self; 3] = [Self::Watched, Self::Stranger, Self::Malformed];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Watched => "watched",
            Self::Stranger => "stranger",
            Self::Malformed => "malformed",
        }
    }
}

/// A node has sent a confirmation.
pub(crate) fn confirmed(whose: Confirmed) {
    counter!(CONFIRMATIONS, "result" => whose.as_str()).increment(1);
}

/// So many doors of nodes work, of so many.
#[expect(clippy::cast_precision_loss, reason = "gauges are floats; nobody has 2^53 nodes")]
pub(crate) fn nodes(working: usize, all: usize) {
    gauge!("node_doors_working").set(working as f64);
    gauge!("node_doors").set(all as f64);
}

/// What working ahead has come to since the start, how many works are under way, and how many accounts are watched.
#[expect(clippy::cast_precision_loss, reason = "gauges are floats; counts stay far below 2^53")]
pub(crate) fn precache(used: &PrecacheUse, running: usize, accounts: usize) {
    for (result, count) in [
        ("computed", used.computed),
        ("wasted", used.wasted),
        ("superseded", used.superseded),
        ("irregular", used.irregular),
        ("over_budget", used.over_budget),
        ("failed", used.failed),
    ] {
        counter!(PRECACHES, "result" => result).absolute(count);
    }
    for (result, count) in [("hit", used.hits), ("late", used.late), ("miss", used.missed)] {
        counter!(LOOKUPS, "result" => result).absolute(count);
    }
    counter!("precache_charged_millicredits_total").absolute(used.charged.as_u64());
    counter!("precache_saved_milliseconds_total").absolute(used.saved_ms);
    gauge!("precaches_in_flight").set(running as f64);
    gauge!("accounts_watched").set(accounts as f64);
}

/// A caller has been told an outcome.
pub(crate) fn request_ended(outcome: &Outcome) {
    if let Outcome::Answered(answer) = outcome {
        counter!(REQUESTS, "outcome" => answer.source.as_str()).increment(1);
        histogram!(REQUEST_SECONDS).record(f64::from(answer.elapsed_ms) / 1000.0);
    }
    if let Some(refusal) = outcome.refusal() {
        counter!(REQUESTS, "outcome" => refusal.code()).increment(1);
    }
}

/// A request has come further.
pub(crate) fn progressed(step: Step) {
    if let Step::Settled { searched: Some((class, time)), .. } = step {
        searched_seconds(class).record(time);
    }
}

fn searched_seconds(class: WorkClass) -> Histogram {
    histogram!(SEARCHED_SECONDS, "kind" => class.kind.as_str(), "subtype" => class.subtype())
}

/// A worker has said how it does.
pub(crate) fn status_received() {
    counter!(STATUSES).increment(1);
}

/// A worker has been sent a list.
pub(crate) fn list_sent() {
    counter!(LISTS).increment(1);
}

/// A result has been judged.
pub(crate) fn result_judged(verdict: Verdict) {
    counter!(RESULTS, "verdict" => verdict.as_str()).increment(1);
}

/// A message could not be read.
pub(crate) fn message_malformed() {
    counter!(MALFORMED).increment(1);
}

/// The store has carried out a batch.
pub(crate) fn store_executed(duration: Duration) {
    histogram!(STORE_SECONDS).record(duration);
}

/// The store can be reached, or not.
pub(crate) fn store_is(up: bool) {
    gauge!("store_up").set(f64::from(u8::from(up)));
}

/// The ledger was audited from a point in time on.
#[expect(clippy::cast_precision_loss, reason = "gauges are floats; a difference beyond 2^53 is no less red")]
pub(crate) fn ledger_audited(report: &Report, began: Timestamp, took: Duration) {
    gauge!("ledger_imbalance").set(report.imbalance as f64);
    gauge!("ledger_audit_violations").set(report.violations_found as f64);
    gauge!("ledger_audit_timestamp_seconds").set(began.since(Timestamp::default()).as_secs_f64());
    gauge!("ledger_audit_duration_seconds").set(took.as_secs_f64());
}

/// The ledger's server has lost changes for good.
pub(crate) fn ledger_lost(changes: u64) {
    counter!(LEDGER_LOST).increment(changes);
}

/// The state of the market.
#[expect(clippy::cast_precision_loss, reason = "gauges are floats; counts stay far below 2^53")]
pub(crate) fn statistics(statistics: &NetworkStatistics) {
    gauge!("workers_connected").set(statistics.workers as f64);
    gauge!("workers_hash_rate").set(statistics.hashes_per_second as f64);
    gauge!("jobs_in_flight").set(statistics.jobs_open as f64);
    gauge!("jobs_unplaced").set(statistics.jobs_unplaced as f64);
    gauge!("requests_open").set(statistics.requests_open as f64);
    gauge!("works_cached").set(statistics.works_cached as f64);
    let ratio = |percent: Option<u8>| percent.map_or(f64::NAN, |percent| f64::from(percent) / 100.0);
    gauge!("dispatch_efficiency_ratio").set(ratio(statistics.efficiency_percent));
    gauge!("dispatch_fairness_ratio").set(ratio(statistics.fairness_percent));
}
