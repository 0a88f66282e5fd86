//! Which device searches which job.
//!
//! The order of the list is the coordinator's word, so the first job is what counts. A search has no memory: two devices on one job
//! find it as soon as one of twice the rate would, and nothing is lost when a device leaves a job. What a change of jobs does cost
//! is what is under way on a device at that moment, up to 10 ms of it. Hence the rule:
//!
//! - A job that would take the fastest device alone at least [`SPLIT_FROM`] is searched by all devices together, and so is one that
//!   is alone on the list. It is done as soon as it can be, and what changes cost is little beside it.
//! - Else changes would cost more than helping brings. Each device then searches a job of its own, the fastest the first one, and
//!   keeps it as long as it is among the first of the list. Devices that are left over, or less than a quarter as fast as the
//!   fastest, help with the first job.

use core::cmp::Reverse;
use std::time::Duration;

use shared::protocol::ListedJob;

/// Expected time of a job on the fastest device from which on all devices search it: ten times what a change of jobs costs, so that
/// even of many devices each loses a tenth at most.
pub(crate) const SPLIT_FROM: Duration = Duration::from_millis(100);
/// A device that is slower than the fastest by more than this makes nobody wait for a job that it has for itself.
const SLOWER_AT_MOST: u64 = 4;

/// A device, as far as its work is planned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seat {
    /// Hashes a second; 0 when it is out of service.
    pub(crate) rate: u64,
    /// What it searches now.
    pub(crate) job: Option<ListedJob>,
}

/// What each device is to search, in the order of the devices. The jobs are all different, in the order of the list.
pub(crate) fn plan(jobs: &[ListedJob], devices: &[Seat]) -> Vec<Option<ListedJob>> {
    let first = jobs.first().copied();
    let mut plan: Vec<_> = devices.iter().map(|device| first.filter(|_| device.rate > 0)).collect();
    let fastest = devices.iter().map(|device| device.rate).max().unwrap_or_default();
    if first.is_none_or(|job| is_split(&job, fastest)) {
        return plan;
    }
    let has_its_own = |device: &usize| {
        let rate = devices[*device].rate;
        rate > 0 && rate.saturating_mul(SLOWER_AT_MOST) >= fastest
    };
    let mut owners: Vec<usize> = (0..devices.len()).filter(has_its_own).collect();
    owners.sort_by_key(|device| Reverse(devices[*device].rate));
    owners.truncate(jobs.len());
    let mut free = jobs[..owners.len()].to_vec();
    owners.retain(|device| {
        let is_kept =
            |job: &ListedJob| devices[*device].job.is_some_and(|current| is_same_search(job, &current));
        match free.iter().position(is_kept) {
            Some(place) => {
                plan[*device] = Some(free.remove(place));
                false
            }
            None => true,
        }
    });
    for (device, job) in owners.into_iter().zip(free) {
        plan[device] = Some(job);
    }
    plan
}

/// Whether all devices search the job together.
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn is_split(job: &ListedJob, fastest: u64) -> bool {
    job.threshold.expected_hashes() >= SPLIT_FROM.as_secs_f64() * fastest as f64
}

/// Whether both are answered by the same nonces under the same name; kind and remaining time may change on the way.
pub(crate) fn is_same_search(one: &ListedJob, other: &ListedJob) -> bool {
    (one.job, one.root, one.threshold) == (other.job, other.root, other.threshold)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shared::pow::{Root, Threshold};
    use shared::protocol::WorkKind;
    use shared::{JobId, Network};

    use super::*;

    const GIGA: u64 = 1_000_000_000;

    fn job(counter: u64, threshold: Threshold) -> ListedJob {
        ListedJob {
            job: JobId { instance: 1, counter },
            root: Root::new([1; 32]),
            threshold,
            kind: WorkKind::OnDemand,
            remaining_ms: 1_000,
        }
    }

    fn receive(counter: u64) -> ListedJob {
        job(counter, Network::Live.receive_threshold())
    }

    fn send(counter: u64) -> ListedJob {
        job(counter, Network::Live.send_threshold())
    }

    /// The counters of what devices of these rates search, of which each has the job of that counter now; 0 is none.
    fn planned(jobs: &[ListedJob], devices: &[(u64, u64)]) -> Vec<u64> {
        let seats = devices.iter().map(|(rate, counter)| {
            let job = jobs.iter().copied().chain([receive(99)]).find(|job| job.job.counter == *counter);
            Seat { rate: *rate, job }
        });
        let planned = plan(jobs, &seats.collect::<Vec<_>>());
        planned.into_iter().map(|job| job.map_or(0, |job| job.job.counter)).collect()
    }

    #[test]
    fn a_long_job_is_searched_by_all() {
        // Half a second on the card.
        assert_eq!(planned(&[send(1), send(2)], &[(GIGA, 0), (20_000_000, 0)]), [1, 1]);
        assert_eq!(planned(&[receive(1), receive(2)], &[(20_000_000, 0), (30_000_000, 2)]), [1, 1]);
        // The first job decides, whatever comes behind it.
        assert_eq!(planned(&[send(1), receive(2)], &[(GIGA, 2), (GIGA, 1)]), [1, 1]);
    }

    #[test]
    fn short_jobs_are_searched_side_by_side() {
        let jobs = [receive(1), receive(2), receive(3)];
        let (card, faster, processor) = (GIGA, 2 * GIGA, 20_000_000);
        assert_eq!(planned(&jobs, &[(processor, 0), (card, 0), (faster, 0)]), [1, 2, 1]);
        assert_eq!(planned(&jobs, &[(card, 0), (card, 0), (card, 0), (card, 0)]), [1, 2, 3, 1]);
        assert_eq!(planned(&jobs[..1], &[(card, 0), (card, 0)]), [1, 1], "alone on the list");
    }

    #[test]
    fn a_device_keeps_its_job_while_it_is_among_the_first() {
        let cards = |jobs: [u64; 2]| [(GIGA, jobs[0]), (GIGA, jobs[1])];
        assert_eq!(planned(&[receive(2), receive(1)], &cards([1, 2])), [1, 2]);
        // The first one has found its job.
        assert_eq!(planned(&[receive(2), receive(3)], &cards([99, 2])), [3, 2]);
        // Something more urgent has come: the job that was first is second, and the second one waits.
        assert_eq!(planned(&[receive(4), receive(1), receive(2)], &cards([1, 2])), [1, 4]);
        // Both have helped with the only job until another one came.
        assert_eq!(planned(&[receive(1), receive(2)], &cards([1, 1])), [1, 2]);
    }

    #[test]
    fn a_device_out_of_service_gets_nothing() {
        assert_eq!(planned(&[receive(1), receive(2)], &[(0, 1), (GIGA, 2)]), [0, 1]);
        assert_eq!(planned(&[send(1)], &[(0, 0), (0, 0)]), [0, 0]);
        assert_eq!(planned(&[], &[(GIGA, 99), (GIGA, 0)]), [0, 0]);
        assert_eq!(planned(&[send(1)], &[]), [0; 0]);
    }

    proptest! {
        /// Whatever was before: the first job is searched, by the fastest device or one that is nearly as fast; nobody idles while
        /// there is something to do; nothing far down the list is searched before what stands above it; and a second plan changes
        /// nothing.
        #[test]
        fn the_first_job_is_always_searched_and_nobody_idles(
            is_hard in prop::collection::vec(any::<bool>(), 1..9),
            devices in prop::collection::vec((0..6_u32, 0..10_u64), 1..9),
        ) {
            let jobs: Vec<_> =
                (1..).zip(is_hard).map(|(counter, is_hard)| if is_hard { send(counter) } else { receive(counter) }).collect();
            let devices: Vec<_> =
                devices.into_iter().map(|(power, counter)| (if power == 0 { 0 } else { 10_u64.pow(power + 4) }, counter)).collect();
            let planned = planned(&jobs, &devices);
            let fastest = devices.iter().map(|(rate, _)| *rate).max().unwrap_or_default();
            prop_assert!(fastest == 0 || planned.iter().zip(&devices).any(|(job, (rate, _))| *job == 1 && rate * SLOWER_AT_MOST >= fastest));
            for (job, (rate, _)) in planned.iter().zip(&devices) {
                prop_assert_eq!(*job == 0, *rate == 0);
                prop_assert!(*job <= 1 || planned.contains(&(job - 1)));
            }
            let after: Vec<_> = devices.iter().zip(&planned).map(|((rate, _), job)| (*rate, *job)).collect();
            prop_assert_eq!(self::planned(&jobs, &after), planned);
        }
    }
}
