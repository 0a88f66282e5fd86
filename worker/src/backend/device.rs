//! What every kind of device offers to the rest of the worker.

use core::fmt;
use std::time::{Duration, Instant};

use shared::JobId;
use shared::pow::{Root, Threshold, Work};
use shared::protocol::Backend;

/// What to search for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Search {
    /// Given back with what is found. The device makes nothing of it.
    pub job: JobId,
    /// What the nonce is for.
    pub root: Root,
    /// What it must meet.
    pub threshold: Threshold,
}

/// What a search has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// As in the [`Search`].
    pub job: JobId,
    /// Hashed again with the plain function, whatever the device said.
    pub work: Work,
}

/// Something that searches one job at a time, from a random start of its own, so that devices with the same job do not
/// hash the same nonces. It is made with the sender that takes what it finds, and ends what it has started when it is
/// dropped.
///
/// Always: at most one [`Found`] for each call of [`search`](Device::search). What was under way when a search is replaced goes to
/// its end, and may still find something for it: that is delivered as well, for it may be worth something, and nothing else is done
/// for it. None of the calls waits for the device.
pub trait Device: fmt::Debug + Send + Sync {
    /// What it is, for people and in the hello.
    fn name(&self) -> String;

    /// How it searches, as servers are told.
    fn backend(&self) -> Backend;

    /// Drops whatever is being searched and searches this. Without a job the device is idle.
    fn search(&self, search: Search);

    /// Drops whatever is being searched and rests.
    fn rest(&self);

    /// Nonces hashed since the start; it lags by what takes the device a few milliseconds.
    fn hashes(&self) -> u64;

    /// Why the device searches no more, as a clause for people, once it has failed for good. It then ignores every
    /// order.
    fn failure(&self) -> Option<String> {
        None
    }
}

/// Has all devices search for this long what cannot be found, and returns the hashes per second of each. Whatever they
/// were searching is dropped.
pub async fn measure(devices: &[Box<dyn Device>], time: Duration) -> Vec<u64> {
    let before: Vec<_> = devices.iter().map(|device| (device.hashes(), Instant::now())).collect();
    for device in devices {
        device.search(Search {
            job: JobId { instance: 0, counter: 0 },
            root: Root::new([0; 32]),
            threshold: Threshold::new(u64::MAX),
        });
    }
    tokio::time::sleep(time).await;
    let rates = devices.iter().zip(before).map(|(device, (hashes, start))| {
        let rate = rate(device.hashes() - hashes, start.elapsed());
        device.rest();
        rate
    });
    rates.collect()
}

/// Hashes per second.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a measurement; no rate comes near 2^53"
)]
pub(super) fn rate(hashes: u64, time: Duration) -> u64 {
    (hashes as f64 / time.as_secs_f64()) as u64
}
