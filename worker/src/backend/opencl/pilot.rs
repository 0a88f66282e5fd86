//! The loop over a device: two launches under way as long as there is something to search.

use std::collections::VecDeque;
use std::time::Instant;

use shared::pow::{Nonce, Work};

use super::desk::{Desk, Order, Task};
use super::error::DeviceError;
use super::pace::Pace;
use super::queue::{Job, Outcome, Queue};
use crate::backend::{Found, Search};
use crate::entropy::random_u64;

/// Launches under way: the device begins the second at once when the first has ended, while the host looks at the result.
const UNDER_WAY: usize = 2;

/// Carries out orders until the one to leave.
///
/// # Errors
/// When the device can no longer be used.
pub(super) fn serve(desk: &Desk, queue: &mut impl Queue, pace: Pace) -> Result<(), DeviceError> {
    let mut pilot = Pilot {
        desk,
        queue,
        pace,
        jobs: 0,
        pursuit: None,
        answered: None,
        flights: VecDeque::new(),
        last_end: Instant::now(),
    };
    loop {
        let is_idle = pilot.pursuit.is_none() && pilot.flights.is_empty();
        let order = if is_idle { desk.next_order() } else { desk.order() };
        if matches!(order.task, Task::Leave) {
            return Ok(());
        }
        desk.is_alive();
        pilot.follow(order)?;
        pilot.launch()?;
        pilot.land()?;
    }
}

struct Pilot<'a, Q> {
    desk: &'a Desk,
    queue: &'a mut Q,
    pace: Pace,
    /// Jobs so far; the number of the last one.
    jobs: u32,
    /// What is being searched.
    pursuit: Option<Pursuit>,
    /// The last job that has been found. Launches end in the order of their jobs.
    answered: Option<u32>,
    /// Launches under way, the oldest first.
    flights: VecDeque<Flight>,
    /// When the launch before the oldest of these ended.
    last_end: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Pursuit {
    order: u64,
    search: Search,
    job: u32,
    next: Nonce,
    launches: u32,
}

#[derive(Debug, Clone, Copy)]
struct Flight {
    order: u64,
    search: Search,
    job: u32,
    size: u64,
    began: Instant,
}

impl<Q: Queue> Pilot<'_, Q> {
    /// Takes up an order that is new. What is under way for the old one goes to its end behind which the new one waits, so
    /// the device is never without work.
    fn follow(&mut self, order: Order) -> Result<(), DeviceError> {
        match order.task {
            Task::Search(search) if self.pursuit.is_none_or(|pursuit| pursuit.order != order.number) => {
                self.jobs = self.jobs.checked_add(1).unwrap_or(1);
                let job = self.jobs;
                self.queue.take_up(&Job { number: job, root: search.root, threshold: search.threshold })?;
                let next = Nonce::new(random_u64());
                self.pursuit = Some(Pursuit { order: order.number, search, job, next, launches: 0 });
            }
            Task::Search(_) => {}
            Task::Rest | Task::Leave => self.pursuit = None,
        }
        Ok(())
    }

    /// Launches until enough is under way.
    fn launch(&mut self) -> Result<(), DeviceError> {
        let Some(pursuit) = &mut self.pursuit else { return Ok(()) };
        while self.flights.len() < UNDER_WAY {
            let size = self.pace.size(pursuit.launches);
            let Pursuit { order, search, job, .. } = *pursuit;
            self.flights.push_back(Flight { order, search, job, size, began: Instant::now() });
            self.queue.enqueue(pursuit.next, size)?;
            pursuit.next = Nonce::new(pursuit.next.as_u64().wrapping_add(size));
            pursuit.launches = pursuit.launches.saturating_add(1);
        }
        Ok(())
    }

    /// Waits for the oldest launch and looks at what it has come to.
    fn land(&mut self) -> Result<(), DeviceError> {
        let Some(flight) = self.flights.pop_front() else { return Ok(()) };
        let Outcome { hit, finished } = self.queue.wait()?;
        let took = finished.saturating_duration_since(flight.began.max(self.last_end));
        self.last_end = finished;
        let Some(nonce) = hit else {
            self.desk.count(flight.size);
            self.pace.observe(flight.size, took);
            return Ok(());
        };
        if self.answered == Some(flight.job) {
            // The launch before it has had the hit.
            return Ok(());
        }
        self.answered = Some(flight.job);
        self.desk.count(self.pace.hashed(flight.size, took));
        let Search { job, root, threshold } = flight.search;
        let work = Work::verify(root, nonce, threshold).ok_or(DeviceError::Wrong { nonce })?;
        self.desk.deliver(flight.order, Found { job, work });
        Ok(())
    }
}
