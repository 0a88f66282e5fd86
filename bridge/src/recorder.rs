//! Metrics of the program.

use std::time::Duration;

use anyhow::Context;
use metrics::{counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use metrics_util::layers::{Layer, PrefixLayer};

const WORKS: &str = "bridge_works_total";
const SEARCHED: &str = "bridge_searched_total";
const CONNECTED: &str = "bridge_connected";

/// Buckets of durations, in seconds: from an answer at once to the longest timeout.
const SECONDS: [f64; 9] = [0.001, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0];
/// How often samples are sorted into their buckets; without it they are kept until somebody scrapes.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Where a work came from: the label `from`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    Network,
    Local,
    Elsewhere,
}

impl From {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Local => "local",
            Self::Elsewhere => "fallback",
        }
    }
}

/// What has found a work on this machine: the label `by`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Searcher {
    Processor,
    OpenCl,
}

impl Searcher {
    const ALL: [Self; 2] = [Self::Processor, Self::OpenCl];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Processor => "processor",
            Self::OpenCl => "opencl",
        }
    }
}

/// Installs the recorder; all names get the prefix `dpow_`. Must be called in a tokio runtime.
pub(crate) fn install() -> anyhow::Result<PrometheusHandle> {
    let recorder = PrometheusBuilder::new().set_buckets(&SECONDS)?.build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(PrefixLayer::new("dpow").layer(recorder))
        .ok()
        .context("metrics are recorded already")?;
    describe_counter!(WORKS, "Works that were given, by where they came from");
    describe_counter!(SEARCHED, "Works that were found on this machine, by what found them first");
    for searcher in Searcher::ALL {
        counter!(SEARCHED, "by" => searcher.as_str()).increment(0);
    }
    describe_gauge!(CONNECTED, "1 while the network can be asked");
    for from in [From::Network, From::Local, From::Elsewhere] {
        counter!(WORKS, "from" => from.as_str()).increment(0);
    }
    connected(false);
    let kept_up = handle.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP_INTERVAL).await;
            kept_up.run_upkeep();
        }
    });
    Ok(handle)
}

/// A work was given.
pub(crate) fn given(from: From) {
    counter!(WORKS, "from" => from.as_str()).increment(1);
}

/// A work was found on this machine.
pub(crate) fn searched(by: Searcher) {
    counter!(SEARCHED, "by" => by.as_str()).increment(1);
}

/// Whether the network can be asked.
pub(crate) fn connected(is_connected: bool) {
    gauge!(CONNECTED).set(if is_connected { 1.0 } else { 0.0 });
}
