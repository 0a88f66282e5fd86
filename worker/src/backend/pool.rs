//! The threads that search.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{io, thread};

use shared::JobId;
use shared::pow::{Nonce, Root, Threshold, Work};
use tokio::sync::mpsc::UnboundedSender;

use super::Backend;
use crate::entropy::random_u64;

/// Nonces between two looks at what is to be done: about a millisecond of the slowest backend, so a job is left within
/// 10 ms even on a processor a tenth as fast.
const CHUNK: u32 = 8192;
/// How long [`Pool::measure`] takes.
const MEASUREMENT: Duration = Duration::from_millis(200);

/// What to search for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Search {
    /// Given back with what is found. The pool makes nothing of it.
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
    /// Hashed again with the plain function, whatever the backend said.
    pub work: Work,
}

/// Threads that search one job together, each from a random start of its own. Without a job they sleep.
///
/// Always: at most one [`Found`] for each call of [`Pool::search`]. Dropping the pool ends its threads within about 10 ms.
#[derive(Debug)]
pub struct Pool {
    desk: Arc<Desk>,
    threads: Vec<JoinHandle<()>>,
}

/// What the threads share.
#[derive(Debug)]
struct Desk {
    order: Mutex<Order>,
    changed: Condvar,
    /// The number of the order in force, for a look without the lock.
    number: AtomicU64,
    /// Nonces hashed since the start.
    hashes: AtomicU64,
    found: UnboundedSender<Found>,
}

/// The order in force. Each new one has a new number, so that a thread can tell that its own has been replaced.
#[derive(Debug)]
struct Order {
    number: u64,
    task: Task,
}

#[derive(Debug, Clone, Copy)]
enum Task {
    Rest,
    Search(Search),
    Leave,
}

impl Pool {
    /// Starts the threads; they rest until the first [`Pool::search`]. What they find goes to `found`.
    ///
    /// # Errors
    /// When the system refuses a thread; those already started have been ended again.
    pub fn start(
        backend: &Arc<dyn Backend>,
        threads: usize,
        found: UnboundedSender<Found>,
    ) -> io::Result<Self> {
        let order = Mutex::new(Order { number: 0, task: Task::Rest });
        let number = AtomicU64::new(0);
        let desk =
            Arc::new(Desk { order, changed: Condvar::new(), number, hashes: AtomicU64::new(0), found });
        let mut pool = Self { desk, threads: Vec::with_capacity(threads) };
        for index in 0..threads {
            let (desk, backend) = (Arc::clone(&pool.desk), Arc::clone(backend));
            let builder = thread::Builder::new().name(format!("search-{index}"));
            pool.threads.push(builder.spawn(move || desk.serve(backend.as_ref()))?);
        }
        Ok(pool)
    }

    /// Drops whatever is being searched and searches this.
    pub fn search(&self, search: Search) {
        self.desk.give(Task::Search(search));
    }

    /// Drops whatever is being searched and rests.
    pub fn rest(&self) {
        self.desk.give(Task::Rest);
    }

    /// Nonces hashed since the start, in steps of a few thousand.
    pub fn hashes(&self) -> u64 {
        self.desk.hashes.load(Ordering::Relaxed)
    }

    /// Searches for 200 ms what cannot be found and returns the hashes per second of all threads together. Whatever was
    /// being searched is dropped.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a measurement; no rate comes near 2^53"
    )]
    pub async fn measure(&self) -> u64 {
        let (before, start) = (self.hashes(), Instant::now());
        self.search(Search {
            job: JobId { instance: 0, counter: 0 },
            root: Root::new([0; 32]),
            threshold: Threshold::new(u64::MAX),
        });
        tokio::time::sleep(MEASUREMENT).await;
        let (hashes, elapsed) = (self.hashes() - before, start.elapsed());
        self.rest();
        (hashes as f64 / elapsed.as_secs_f64()) as u64
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.desk.give(Task::Leave);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a search thread had panicked");
            }
        }
    }
}

impl Desk {
    /// The order, also after a thread has panicked: it is replaced as a whole, so it is never half written.
    fn lock(&self) -> MutexGuard<'_, Order> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give(&self, task: Task) {
        self.replace(&mut self.lock(), task);
        self.changed.notify_all();
    }

    fn replace(&self, order: &mut Order, task: Task) {
        order.number += 1;
        order.task = task;
        self.number.store(order.number, Ordering::Relaxed);
    }

    /// A thread's life.
    fn serve(&self, backend: &dyn Backend) {
        while let Some((number, search)) = self.next_search() {
            self.pursue(backend, number, &search);
        }
    }

    /// Sleeps until there is something to search. `None` at the end.
    fn next_search(&self) -> Option<(u64, Search)> {
        let mut order = self.lock();
        loop {
            match order.task {
                Task::Search(search) => return Some((order.number, search)),
                Task::Leave => return None,
                Task::Rest => order = self.changed.wait(order).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// Searches until something is found, here or by another thread, or the order is replaced.
    fn pursue(&self, backend: &dyn Backend, number: u64, search: &Search) {
        let mut start = random_u64();
        while self.number.load(Ordering::Relaxed) == number {
            let hit = backend.search(&search.root, search.threshold, Nonce::new(start), CHUNK);
            let hashed =
                hit.map_or(u64::from(CHUNK), |nonce| nonce.as_u64().wrapping_sub(start).wrapping_add(1));
            self.hashes.fetch_add(hashed, Ordering::Relaxed);
            start = start.wrapping_add(hashed);
            let Some(nonce) = hit else { continue };
            if let Some(work) = Work::verify(search.root, nonce, search.threshold) {
                return self.deliver(number, Found { job: search.job, work });
            }
            tracing::error!(backend = backend.name(), %nonce, "the backend reported a nonce that is no work");
        }
    }

    /// Ends the search and sends what was found, unless another thread has, or the order has been replaced.
    fn deliver(&self, number: u64, found: Found) {
        let mut order = self.lock();
        if order.number == number {
            self.replace(&mut order, Task::Rest);
            // Nobody listens any more only while the pool is being dropped.
            let _ = self.found.send(found);
        }
    }
}
