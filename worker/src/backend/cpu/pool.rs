//! The threads that search.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::{io, thread};

use shared::pow::{Nonce, Work};
use shared::protocol::Backend;
use tokio::sync::mpsc::UnboundedSender;

use super::{Instructions, Settings, place};
use crate::backend::{Device, Found, Search};
use crate::entropy::random_u64;

/// Nonces between two looks at what is to be done: about a millisecond of the slowest backend, so a job is left within
/// 10 ms even on a processor a tenth as fast.
const CHUNK: u32 = 8192;

/// Threads that search one job together, each from a random start of its own. Without a job they sleep.
///
/// Dropping the pool ends its threads within about 10 ms.
#[derive(Debug)]
pub struct Pool {
    name: String,
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
    /// The newest order for which something has been found.
    answered: u64,
}

#[derive(Debug, Clone, Copy)]
enum Task {
    Rest,
    Search(Search),
    Leave,
}

impl Pool {
    /// Starts the threads; they rest until the first search. What they find goes to `found`.
    ///
    /// # Errors
    /// When the system refuses a thread; those already started have been ended again.
    pub fn start(settings: &Settings, found: UnboundedSender<Found>) -> io::Result<Self> {
        let Settings { instructions, is_pinned, has_low_priority, .. } = settings;
        let (threads, is_pinned, has_low_priority) = (settings.threads.get(), *is_pinned, *has_low_priority);
        let order = Mutex::new(Order { number: 0, task: Task::Rest, answered: 0 });
        let number = AtomicU64::new(0);
        let desk =
            Arc::new(Desk { order, changed: Condvar::new(), number, hashes: AtomicU64::new(0), found });
        let name = format!("{threads} x {}", instructions.set().name());
        let mut pool = Self { name, desk, threads: Vec::with_capacity(threads) };
        for index in 0..threads {
            let (desk, instructions) = (Arc::clone(&pool.desk), Arc::clone(instructions));
            let builder = thread::Builder::new().name(format!("search-{index}"));
            let life = move || {
                if is_pinned {
                    place::pin(index);
                }
                if has_low_priority {
                    place::lower_priority();
                }
                desk.serve(instructions.as_ref());
            };
            pool.threads.push(builder.spawn(life)?);
        }
        Ok(pool)
    }
}

impl Device for Pool {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn backend(&self) -> Backend {
        Backend::Cpu
    }

    fn search(&self, search: Search) {
        self.desk.give(Task::Search(search));
    }

    fn rest(&self) {
        self.desk.give(Task::Rest);
    }

    fn hashes(&self) -> u64 {
        self.desk.hashes.load(Ordering::Relaxed)
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
    fn serve(&self, instructions: &dyn Instructions) {
        while let Some((number, search)) = self.next_search() {
            self.pursue(instructions, number, &search);
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
    fn pursue(&self, instructions: &dyn Instructions, number: u64, search: &Search) {
        let mut start = random_u64();
        while self.number.load(Ordering::Relaxed) == number {
            let hit = instructions.search(&search.root, search.threshold, Nonce::new(start), CHUNK);
            let hashed =
                hit.map_or(u64::from(CHUNK), |nonce| nonce.as_u64().wrapping_sub(start).wrapping_add(1));
            self.hashes.fetch_add(hashed, Ordering::Relaxed);
            start = start.wrapping_add(hashed);
            let Some(nonce) = hit else { continue };
            if let Some(work) = Work::verify(search.root, nonce, search.threshold) {
                return self.deliver(number, Found { job: search.job, work });
            }
            tracing::error!(instructions = instructions.set().name(), %nonce, "the processor reported a nonce that is no work");
        }
    }

    /// Sends what was found, unless another thread has found something for this order or a newer one, and ends the search if it is
    /// still in force.
    fn deliver(&self, number: u64, found: Found) {
        let mut order = self.lock();
        if number <= order.answered {
            return;
        }
        order.answered = number;
        if order.number == number {
            self.replace(&mut order, Task::Rest);
        }
        // Nobody listens any more only while the pool is being dropped.
        let _ = self.found.send(found);
    }
}
