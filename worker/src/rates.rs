//! How fast the devices are, and when the server is told.

use std::time::Duration;

use shared::Timestamp;
use shared::protocol::{PauseReason, WORKER_DEVICES_MAX, WorkerStatus};

/// At most every few seconds (`docs/protocol.md`).
const INTERVAL: Duration = Duration::from_secs(5);
/// How much the newest second counts in the average.
const NEWEST: f64 = 0.25;
/// A change that is worth a message: a tenth.
const CHANGE: u64 = 10;

/// The rates of all devices, in hashes a second, as measured lately.
#[derive(Debug)]
pub(crate) struct Rates {
    devices: Vec<DeviceRate>,
    /// What the server was told last, and when.
    told: Option<(Timestamp, WorkerStatus)>,
}

#[derive(Debug, Clone, Copy)]
struct DeviceRate {
    rate: u64,
    has_failed: bool,
    /// The last look, since which the device has not rested: when, and how many hashes there were.
    last: Option<(Timestamp, u64)>,
}

impl Rates {
    /// Devices of which this was measured at the start.
    pub(crate) fn new(measured: &[u64]) -> Self {
        // One that has not got through a single batch is slow, and not out of service.
        let devices =
            measured.iter().map(|rate| DeviceRate { rate: (*rate).max(1), has_failed: false, last: None });
        Self { devices: devices.collect(), told: None }
    }

    /// A look at a device: how many hashes it has done since its start. What it does between two looks counts if it has not rested.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an average"
    )]
    pub(crate) fn look(&mut self, now: Timestamp, device: usize, hashes: u64) {
        let Some(device) = self.devices.get_mut(device) else { return };
        if let Some((then, before)) = device.last.replace((now, hashes)) {
            let seconds = now.since(then).as_secs_f64();
            if seconds > 0.0 {
                let lately = hashes.saturating_sub(before) as f64 / seconds;
                device.rate = ((1.0 - NEWEST) * device.rate as f64 + NEWEST * lately).max(1.0) as u64;
            }
        }
    }

    /// The device rests, or begins to search after a rest.
    pub(crate) fn interrupt(&mut self, device: usize) {
        if let Some(device) = self.devices.get_mut(device) {
            device.last = None;
        }
    }

    /// The device is out of service for good.
    pub(crate) fn fail(&mut self, device: usize) {
        if let Some(device) = self.devices.get_mut(device) {
            device.has_failed = true;
        }
    }

    /// Of each device; 0 of one that is out of service.
    pub(crate) fn each(&self) -> Vec<u64> {
        self.devices.iter().map(|device| if device.has_failed { 0 } else { device.rate }).collect()
    }

    /// What the server ought to know, if it is time to tell it.
    pub(crate) fn due(&mut self, now: Timestamp) -> Option<WorkerStatus> {
        let status = self.status();
        let is_due = self
            .told
            .as_ref()
            .is_none_or(|(then, told)| is_news(&status, told) && now.since(*then) >= INTERVAL);
        is_due.then(|| self.status_told(now))
    }

    /// What the server is told now, whether there is news or not.
    pub(crate) fn status_told(&mut self, now: Timestamp) -> WorkerStatus {
        let status = self.status();
        self.told = Some((now, status.clone()));
        status
    }

    /// The server has been told by a hello, which says the rates as well.
    pub(crate) fn told(&mut self, now: Timestamp) {
        let status = self.status();
        // A pause is not in a hello, so it is still to be told.
        self.told = status.paused.is_none().then_some((now, status));
    }

    fn status(&self) -> WorkerStatus {
        let is_out_of_service = self.devices.iter().all(|device| device.has_failed);
        // Those in service, as a hello names them.
        let in_service = self.each().into_iter().filter(|rate| *rate > 0).take(WORKER_DEVICES_MAX);
        WorkerStatus {
            hashes_per_second: self.each().iter().sum(),
            devices_hashes_per_second: in_service.collect(),
            temperature_c: None,
            paused: is_out_of_service.then_some(PauseReason::Device),
        }
    }
}

/// Whether something has changed that is worth a message.
fn is_news(status: &WorkerStatus, told: &WorkerStatus) -> bool {
    let has_changed = |(new, old): (&u64, &u64)| new.abs_diff(*old) > old / CHANGE;
    let (new, old) = (&status.devices_hashes_per_second, &told.devices_hashes_per_second);
    status.paused != told.paused
        || has_changed((&status.hashes_per_second, &told.hashes_per_second))
        || new.len() != old.len()
        || new.iter().zip(old).any(has_changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::default() + Duration::from_secs(seconds)
    }

    #[test]
    fn a_rate_is_an_average_of_the_seconds_without_a_rest() {
        let mut rates = Rates::new(&[1_000, 0]);
        assert_eq!(rates.each(), [1_000, 1]);
        rates.look(at(1), 0, 500);
        assert_eq!(rates.each()[0], 1_000, "one look alone says nothing");
        rates.look(at(2), 0, 500 + 2_000);
        assert_eq!(rates.each()[0], 1_250);
        rates.interrupt(0);
        rates.look(at(60), 0, 2_500);
        assert_eq!(rates.each()[0], 1_250, "it has rested meanwhile");
        for second in 61..120 {
            rates.look(at(second), 0, 2_500 + (second - 60) * 4_000);
        }
        assert!(rates.each()[0].abs_diff(4_000) < 10);
        rates.look(at(120), 0, 0);
        rates.look(at(120), 0, 0);
        rates.look(at(0), 7, 0);
    }

    #[test]
    fn the_server_is_told_of_changes_and_not_too_often() {
        let mut rates = Rates::new(&[1_000, 1_000]);
        rates.told(at(0));
        assert_eq!(rates.due(at(100)), None, "nothing has changed");
        rates.look(at(1), 0, 0);
        rates.look(at(2), 0, 1_400);
        assert_eq!(rates.due(at(100)), None, "a twentieth");
        rates.look(at(3), 0, 1_400 + 4_000);
        rates.told(at(3));
        rates.look(at(4), 0, 1_400 + 4_000 + 6_000);
        assert_eq!(rates.due(at(4)), None, "a moment ago");
        let status = rates.due(at(8)).unwrap();
        assert_eq!((status.hashes_per_second, status.paused), (rates.each().iter().sum(), None));
        assert_eq!(rates.due(at(100)), None);
    }

    #[test]
    fn the_server_is_told_of_each_device() {
        let mut rates = Rates::new(&[1_000, 500, 1_000]);
        rates.told(at(0));
        for (second, hashes) in [(1, 0), (2, 1_600)] {
            rates.look(at(second), 0, hashes);
            rates.look(at(second), 2, hashes / 4);
        }
        let status = rates.due(at(5)).unwrap();
        assert_eq!((status.hashes_per_second, status.paused), (2_500, None), "the sum has not changed");
        assert_eq!(status.devices_hashes_per_second, [1_150, 500, 850]);
        rates.fail(1);
        assert_eq!(
            rates.due(at(10)).unwrap().devices_hashes_per_second,
            [1_150, 850],
            "a hello has left it out"
        );
    }

    #[test]
    fn a_worker_without_devices_is_paused() {
        let mut rates = Rates::new(&[1_000, 1_000]);
        rates.told(at(0));
        rates.fail(0);
        assert_eq!(rates.due(at(10)).unwrap().paused, None);
        assert_eq!(rates.each(), [0, 1_000]);
        rates.fail(1);
        // The hello that tells of it does not say so, so the status follows at once.
        rates.told(at(10));
        let status = rates.due(at(10)).unwrap();
        assert_eq!((status.hashes_per_second, status.paused), (0, Some(PauseReason::Device)));
        assert_eq!(rates.due(at(100)), None);
    }
}
