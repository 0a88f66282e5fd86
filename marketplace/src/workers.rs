//! Workers come, say what they are, pause, and go.

use shared::protocol::{WorkerHello, WorkerStatus};
use shared::{Payee, SessionId, Timestamp, WorkerId};

use crate::board::Terms;
use crate::dispatch::Event;
use crate::input::WorkerReport;
use crate::market::Marketplace;

impl Marketplace {
    pub(crate) fn worker_joined(
        &mut self,
        now: Timestamp,
        session: SessionId,
        worker: WorkerId,
        payee: Payee,
    ) {
        // The gate says `Left` for the old session first; should it not, the newer login is the one that counts.
        if let Some(old) = self.board.worker(worker).map(|worker| worker.session) {
            self.worker_left(now, old);
        }
        self.sessions.insert(session, worker);
        self.board.add_worker(worker, session, payee);
    }

    pub(crate) fn worker_left(&mut self, now: Timestamp, session: SessionId) {
        let Some(worker) = self.sessions.remove(&session) else { return };
        let was_ready = self.board.worker(worker).is_some_and(|worker| worker.terms.is_some());
        let orphans = self.board.remove_worker(worker);
        if was_ready {
            self.workers_ready -= 1;
            self.workers_last_seen = Some(now);
        }
        self.tell_dispatch(now, Event::JobsOrphaned { worker, jobs: orphans });
    }

    pub(crate) fn worker_reported(&mut self, now: Timestamp, session: SessionId, report: WorkerReport) {
        let Some(worker) = self.sessions.get(&session).copied() else { return };
        match report {
            WorkerReport::Hello(hello) => self.worker_said_hello(now, worker, &hello),
            WorkerReport::Status(status) => self.worker_said_how(now, worker, &status),
        }
    }

    /// New terms: what is on its list was given under the old ones, so the list is made again.
    fn worker_said_hello(&mut self, now: Timestamp, worker: WorkerId, hello: &WorkerHello) {
        let terms = Terms {
            capacity: usize::from(hello.capacity),
            threshold_max: hello.threshold_max,
            precache: hello.precache,
        };
        let was_ready = self.board.worker(worker).is_some_and(|worker| worker.terms.is_some());
        let orphans = self.board.clear_list(worker);
        self.board.with_worker(worker, |worker| {
            worker.terms = Some(terms);
            worker.rate = hello.hashes_per_second;
        });
        if !was_ready {
            self.workers_ready += 1;
        }
        self.tell_dispatch(now, Event::WorkerReady(worker));
        self.tell_dispatch(now, Event::JobsOrphaned { worker, jobs: orphans });
    }

    fn worker_said_how(&mut self, now: Timestamp, worker: WorkerId, status: &WorkerStatus) {
        let was_paused = self.board.worker(worker).is_some_and(|worker| worker.is_paused);
        let is_paused = status.paused.is_some();
        self.board.with_worker(worker, |worker| {
            worker.rate = status.hashes_per_second;
            worker.is_paused = is_paused;
        });
        if is_paused && !was_paused {
            let orphans = self.board.clear_list(worker);
            self.tell_dispatch(now, Event::JobsOrphaned { worker, jobs: orphans });
        } else if was_paused && !is_paused {
            self.tell_dispatch(now, Event::WorkerReady(worker));
        }
        if !is_paused {
            self.tell_dispatch(now, Event::WorkerHeard(worker));
        }
    }
}
