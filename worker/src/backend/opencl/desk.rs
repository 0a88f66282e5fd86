//! Where a device's thread gets its orders, and leaves word of how it is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

use super::error::DeviceError;
use crate::backend::{Found, Search};

/// What is to be done.
#[derive(Debug, Clone, Copy)]
pub(super) enum Task {
    Rest,
    Search(Search),
    Leave,
}

/// An order, with a number that tells it from those before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order {
    pub(super) number: u64,
    pub(super) task: Task,
}

/// Shared by the device's owner, its thread and whoever watches that thread.
#[derive(Debug)]
pub(super) struct Desk {
    state: Mutex<State>,
    changed: Condvar,
    hashes: AtomicU64,
    found: UnboundedSender<Found>,
}

#[derive(Debug)]
struct State {
    order: Order,
    /// Since when the device has owed an answer.
    waiting_since: Option<Instant>,
    failure: Option<String>,
    has_ended: bool,
}

impl Desk {
    /// Nothing is to be done yet. What is found goes to `found`.
    pub(super) fn new(found: UnboundedSender<Found>) -> Self {
        let order = Order { number: 0, task: Task::Rest };
        let state = State { order, waiting_since: None, failure: None, has_ended: false };
        Self { state: Mutex::new(state), changed: Condvar::new(), hashes: AtomicU64::new(0), found }
    }

    /// The state, also after a thread has panicked: every change is a single one.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&'a self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the order, unless the device is out of service.
    pub(super) fn give(&self, task: Task) {
        let mut state = self.lock();
        if state.failure.is_none() {
            self.replace(&mut state, task);
        }
    }

    fn replace(&self, state: &mut State, task: Task) {
        state.order = Order { number: state.order.number + 1, task };
        self.changed.notify_all();
    }

    /// The order in force.
    pub(super) fn order(&self) -> Order {
        self.lock().order
    }

    /// Sleeps until there is something to do; the device owes nothing meanwhile.
    pub(super) fn next_order(&self) -> Order {
        let mut state = self.lock();
        state.waiting_since = None;
        loop {
            match state.order.task {
                Task::Rest => state = self.wait(state),
                Task::Search(_) | Task::Leave => return state.order,
            }
        }
    }

    /// The device gives signs of life, and is asked for more.
    pub(super) fn is_alive(&self) {
        self.lock().waiting_since = Some(Instant::now());
    }

    /// Sends what has been found, and ends the search if its order is still in force. A device that is out of service is no longer
    /// listened to.
    pub(super) fn deliver(&self, number: u64, found: Found) {
        let mut state = self.lock();
        if state.failure.is_some() {
            return;
        }
        if state.order.number == number {
            self.replace(&mut state, Task::Rest);
        }
        // Nobody listens any more only while the device is being dropped.
        let _ = self.found.send(found);
    }

    pub(super) fn count(&self, hashes: u64) {
        self.hashes.fetch_add(hashes, Ordering::Relaxed);
    }

    pub(super) fn hashes(&self) -> u64 {
        self.hashes.load(Ordering::Relaxed)
    }

    /// Why the device is out of service, if it is.
    pub(super) fn failure(&self) -> Option<String> {
        self.lock().failure.clone()
    }

    /// Puts the device out of service. The first reason stays.
    pub(super) fn fail(&self, device: &str, error: &DeviceError) {
        let mut state = self.lock();
        if state.failure.is_none() {
            tracing::error!(device.name = device, reason = %error, "a device is out of service");
            state.failure = Some(error.to_string());
            self.replace(&mut state, Task::Leave);
        }
    }

    /// The device's thread has nothing more to do.
    pub(super) fn end(&self) {
        self.lock().has_ended = true;
        self.changed.notify_all();
    }

    /// Waits so long for the thread's end, and returns whether it has come.
    pub(super) fn wait_for_end(&self, patience: Duration) -> bool {
        let state = self.lock();
        let waited = self.changed.wait_timeout_while(state, patience, |state| !state.has_ended);
        waited.unwrap_or_else(PoisonError::into_inner).0.has_ended
    }

    /// Puts the device out of service once it has owed an answer for longer than `patience`. Returns then, or when the thread
    /// has ended.
    pub(super) fn watch(&self, device: &str, patience: Duration) {
        while !self.wait_for_end(patience / 4) {
            let waiting_since = self.lock().waiting_since;
            if waiting_since.is_some_and(|since| since.elapsed() > patience) {
                return self.fail(device, &DeviceError::Hung { patience });
            }
        }
    }
}
