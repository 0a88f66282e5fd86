//! The loop over a device, and devices that go wrong, with a queue that the test moves by hand.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use shared::JobId;
use shared::pow::{Nonce, Root, Threshold, difficulty};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::backend::opencl::device::Patience;
use crate::backend::opencl::error::DeviceError;
use crate::backend::opencl::pace::Pace;
use crate::backend::opencl::queue::{Job, Outcome, Queue};
use crate::backend::opencl::{LAUNCH_DEFAULT, Opencl};
use crate::backend::{Device, Found, Search};

/// Much longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a launch ends.
#[derive(Debug, Clone, Copy)]
enum End {
    /// Without a hit.
    Nothing,
    /// With this.
    Hit(Nonce),
    /// The device is gone.
    Gone,
    /// The driver and `ocl` fall out.
    Panic,
}

/// A queue whose launches end when the test says so. Before it waits, it tells which jobs have launches under way.
struct Puppet {
    job: u32,
    under_way: VecDeque<u32>,
    waits: Sender<Vec<u32>>,
    ends: Receiver<End>,
}

impl Queue for Puppet {
    fn take_up(&mut self, job: &Job) -> Result<(), DeviceError> {
        self.job = job.number;
        Ok(())
    }

    fn enqueue(&mut self, _: Nonce, size: u64) -> Result<(), DeviceError> {
        assert_eq!(size % self.granule(), 0);
        self.under_way.push_back(self.job);
        Ok(())
    }

    fn wait(&mut self) -> Result<Outcome, DeviceError> {
        let _ = self.waits.send(self.under_way.iter().copied().collect());
        // A test that has ended holds nobody up.
        let end = self.ends.recv().unwrap_or(End::Nothing);
        self.under_way.pop_front();
        let finished = Instant::now();
        match end {
            End::Nothing => Ok(Outcome { hit: None, finished }),
            End::Hit(nonce) => Ok(Outcome { hit: Some(nonce), finished }),
            End::Gone => {
                let reason = "CL_DEVICE_NOT_AVAILABLE (-2)".into();
                Err(DeviceError::Driver { function: "clWaitForEvents", reason })
            }
            End::Panic => panic!("an invalid code"),
        }
    }

    fn granule(&self) -> u64 {
        1024
    }
}

/// A device with such a queue.
struct Stage {
    device: Opencl,
    found: UnboundedReceiver<Found>,
    waits: Receiver<Vec<u32>>,
    ends: Sender<End>,
}

impl Stage {
    fn set(patience: Patience) -> Self {
        let (found_sender, found) = unbounded_channel();
        let (waits_sender, waits) = channel();
        let (ends, ends_receiver) = channel();
        let open = || {
            let queue =
                Puppet { job: 0, under_way: VecDeque::new(), waits: waits_sender, ends: ends_receiver };
            let pace = Pace::new(LAUNCH_DEFAULT, queue.granule());
            Ok((queue, pace))
        };
        let device = Opencl::start("puppet".into(), patience, found_sender, open).unwrap();
        Self { device, found, waits, ends }
    }

    /// The jobs with launches under way when the device next waits for one.
    fn under_way(&self) -> Vec<u32> {
        self.waits.recv_timeout(PATIENCE).unwrap()
    }

    /// Ends the oldest launch.
    fn end(&self, end: End) {
        self.ends.send(end).unwrap();
    }

    /// Why the device is out of service, as soon as it is.
    fn failure(&self) -> String {
        let began = Instant::now();
        loop {
            if let Some(failure) = self.device.failure() {
                return failure;
            }
            assert!(began.elapsed() < PATIENCE, "it stays in service");
            std::thread::yield_now();
        }
    }

    /// The device takes orders and does nothing, and what has failed stays so.
    fn stays_out_of_service(mut self, failure: &str) {
        self.device.search(search(9));
        self.device.rest();
        assert_eq!(self.device.failure().as_deref(), Some(failure));
        assert!(self.found.try_recv().is_err());
    }
}

fn search(counter: u64) -> Search {
    let job = JobId { instance: 1, counter };
    Search { job, root: Root::new([counter.to_le_bytes()[0]; 32]), threshold: Threshold::new(1 << 63) }
}

/// A nonce that is work for the search, or one that is none.
fn nonce(search: &Search, is_work: bool) -> Nonce {
    let mut nonces = (0..).map(Nonce::new);
    nonces.find(|nonce| difficulty(&search.root, *nonce).meets(search.threshold) == is_work).unwrap()
}

#[test]
fn two_launches_are_under_way_also_between_two_jobs() {
    let stage = Stage::set(Patience::default());
    stage.device.search(search(1));
    for _ in 0..5 {
        assert_eq!(stage.under_way(), [1, 1]);
        stage.end(End::Nothing);
    }
    assert_eq!(stage.under_way(), [1, 1]);
    assert!(stage.device.hashes() >= 5 * 1024);
    // The new job stands behind what is under way, and nothing is added to the old one.
    stage.device.search(search(2));
    stage.end(End::Nothing);
    assert_eq!(stage.under_way(), [1, 2]);
    stage.end(End::Nothing);
    assert_eq!(stage.under_way(), [2, 2]);
    // And at a rest nothing is added at all.
    stage.device.rest();
    stage.end(End::Nothing);
    assert_eq!(stage.under_way(), [2]);
    stage.end(End::Nothing);
    assert_eq!(stage.waits.recv_timeout(Duration::from_millis(20)), Err(RecvTimeoutError::Timeout));
    stage.device.search(search(3));
    assert_eq!(stage.under_way(), [3, 3]);
}

#[test]
fn a_search_ends_with_its_first_work_and_with_one_only() {
    let mut stage = Stage::set(Patience::default());
    let first = search(1);
    let hit = nonce(&first, true);
    stage.device.search(first);
    assert_eq!(stage.under_way(), [1, 1]);
    stage.end(End::Hit(hit));
    let found = stage.found.blocking_recv().unwrap();
    assert_eq!((found.job, found.work.root(), found.work.nonce()), (first.job, first.root, hit));
    // The launch behind it knows of the hit as well.
    assert_eq!(stage.under_way(), [1]);
    let hashes = stage.device.hashes();
    stage.end(End::Hit(hit));
    // The same search once more is another search.
    stage.device.search(first);
    assert_eq!(stage.under_way(), [2, 2]);
    assert_eq!(stage.device.hashes(), hashes, "what ends at once has hashed nothing");
    stage.end(End::Hit(hit));
    assert_eq!(stage.found.blocking_recv().unwrap().job, first.job);
    drop(stage.ends);
    drop(stage.device);
    assert_eq!(stage.found.blocking_recv(), None);
}

/// It may be the first all the same, or answer somebody who comes later.
#[test]
fn what_is_found_for_a_replaced_search_is_sent_once() {
    let mut stage = Stage::set(Patience::default());
    let (old, new) = (search(1), search(2));
    stage.device.search(old);
    assert_eq!(stage.under_way(), [1, 1]);
    stage.device.search(new);
    stage.end(End::Hit(nonce(&old, true)));
    assert_eq!(stage.found.blocking_recv().unwrap().job, old.job);
    assert_eq!(stage.under_way(), [1, 2], "the new search goes on");
    stage.end(End::Hit(nonce(&old, true)));
    assert_eq!(stage.under_way(), [2, 2]);
    stage.end(End::Hit(nonce(&new, true)));
    assert_eq!(stage.found.blocking_recv().unwrap().job, new.job);
}

#[test]
fn a_device_that_claims_what_is_no_work_is_put_out_of_service() {
    let stage = Stage::set(Patience::default());
    let search = search(1);
    let claimed = nonce(&search, false);
    stage.device.search(search);
    stage.end(End::Hit(claimed));
    let failure = stage.failure();
    assert_eq!(failure, format!("it computes wrong results: {claimed} is no work"));
    stage.stays_out_of_service(&failure);
}

#[test]
fn a_device_that_vanishes_is_put_out_of_service() {
    let stage = Stage::set(Patience::default());
    stage.device.search(search(1));
    stage.end(End::Gone);
    let failure = stage.failure();
    assert_eq!(failure, "clWaitForEvents failed: CL_DEVICE_NOT_AVAILABLE (-2)");
    stage.stays_out_of_service(&failure);
}

#[test]
fn a_panic_over_a_device_puts_it_out_of_service() {
    let stage = Stage::set(Patience::default());
    stage.device.search(search(1));
    stage.end(End::Panic);
    let failure = stage.failure();
    assert_eq!(failure, "its driver and `ocl` do not understand each other: an invalid code");
    stage.stays_out_of_service(&failure);
}

#[test]
fn a_device_that_hangs_is_put_out_of_service() {
    let patience = Patience { launch: Duration::from_millis(500), ..Patience::default() };
    let mut stage = Stage::set(patience);
    let hit = End::Hit(nonce(&search(1), true));
    // A device that rests owes nothing.
    stage.end(hit);
    stage.end(hit);
    stage.device.search(search(1));
    assert_eq!([stage.under_way(), stage.under_way()], [vec![1, 1], vec![1]]);
    assert!(stage.found.blocking_recv().is_some());
    std::thread::sleep(2 * patience.launch);
    assert_eq!(stage.device.failure(), None);

    stage.device.search(search(2));
    assert_eq!(stage.under_way(), [2, 2]);
    let failure = stage.failure();
    assert!(failure.starts_with("it has not answered for"), "{failure}");
    // When it answers at last, what it says is not sent any more, no order reaches it, and its thread ends.
    stage.device.search(search(3));
    stage.end(End::Hit(nonce(&search(2), true)));
    assert_eq!(stage.waits.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected));
    assert!(stage.found.try_recv().is_err());
}

/// Its thread stays where it hangs.
#[test]
fn a_device_that_hangs_can_be_left() {
    let patience = Patience { launch: Duration::from_millis(50), ..Patience::default() };
    let stage = Stage::set(patience);
    stage.device.search(search(1));
    stage.failure();
    let Stage { device, mut found, ends, .. } = stage;
    drop(device);
    drop(ends);
    assert_eq!(found.blocking_recv(), None);
}

#[test]
fn a_device_that_fails_at_its_start_says_why() {
    let (found, _) = unbounded_channel();
    let start = |patience, open: Box<dyn FnOnce() -> Result<(Puppet, Pace), DeviceError> + Send>| {
        Opencl::start("puppet".into(), patience, found.clone(), open).unwrap_err().to_string()
    };
    let broken = || Err(DeviceError::Build { log: "no such thing".into() });
    assert_eq!(start(Patience::default(), Box::new(broken)), "the kernel cannot be built: no such thing");
    let panics = || panic!("at the start");
    assert!(start(Patience::default(), Box::new(panics)).ends_with(": at the start"));
    let (hold, held) = channel::<()>();
    let hangs = move || {
        let _ = held.recv();
        Err(DeviceError::Build { log: "too late".into() })
    };
    let patience = Patience { start: Duration::from_millis(50), ..Patience::default() };
    assert!(start(patience, Box::new(hangs)).starts_with("it has not answered for"));
    drop(hold);
}
