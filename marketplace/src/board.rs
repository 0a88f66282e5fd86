//! Who is connected, what is to be searched, and which job stands on whose list. Policies read it and change lists through
//! it; it refuses what must not be, so that no policy can break an invariant.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use shared::pow::{Root, Threshold};
use shared::protocol::{ListedJob, WORK_LIST_MAX, WorkKind, WorkList, WorkerTotals};
use shared::{JobId, Payee, ServiceId, SessionId, Timestamp, WorkerId};

use crate::input::RequestKey;

/// The unit of dispatch: a root at a threshold, and the requests that wait for it. Always: at most one open per root and
/// threshold; its threshold never changes; it has at least one waiter.
#[derive(Debug)]
pub struct Job {
    /// Its name on the wire.
    pub id: JobId,
    /// What is searched for.
    pub root: Root,
    /// What must be met.
    pub threshold: Threshold,
    /// Whether somebody is waiting.
    pub kind: WorkKind,
    /// When it was opened.
    pub opened: Timestamp,
    /// The latest deadline that any of its waiters has had.
    pub until: Timestamp,
    /// Mean number of hashes that a search for it takes.
    pub hashes: f64,
    pub(crate) waiters: BTreeSet<RequestKey>,
    workers: BTreeSet<WorkerId>,
}

impl Job {
    /// The workers on whose lists it stands.
    pub const fn workers(&self) -> &BTreeSet<WorkerId> {
        &self.workers
    }

    /// The service that was the first to ask for it.
    pub fn service(&self) -> Option<ServiceId> {
        self.waiters.first().map(|key| key.service)
    }
}

/// A connected worker.
#[derive(Debug)]
pub struct Worker {
    /// Its session.
    pub session: SessionId,
    /// Whom its results pay.
    pub payee: Payee,
    /// What it is willing to do; `None` until it has said so.
    pub terms: Option<Terms>,
    /// Whether it has asked not to be given anything for now.
    pub is_paused: bool,
    /// Announced rate in hashes a second.
    pub rate: u64,
    pub(crate) totals: WorkerTotals,
    list: Vec<JobId>,
    /// How many of the list's jobs somebody waits for. They are the first ones.
    on_demand: usize,
    sequence: u32,
}

/// What a worker is willing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Jobs on its list at a time.
    pub capacity: usize,
    /// The hardest it will do.
    pub threshold_max: Threshold,
    /// Whether it works ahead of demand.
    pub precache: bool,
}

impl Worker {
    /// Its list, first to be done first.
    pub fn list(&self) -> &[JobId] {
        &self.list
    }

    /// What became of its results since it connected.
    pub const fn totals(&self) -> WorkerTotals {
        self.totals
    }

    /// Whether its list has room for a job that somebody waits for. What nobody waits for makes way.
    pub fn has_room(&self) -> bool {
        !self.is_paused && self.on_demand < self.capacity()
    }

    /// Whether it is willing to do work at this threshold that somebody waits for.
    pub fn does(&self, threshold: Threshold) -> bool {
        self.terms.is_some_and(|terms| threshold <= terms.threshold_max)
    }

    /// Whether it is willing to do this job at all, and, if nobody waits for the job, has a place left for it.
    pub fn accepts(&self, job: &Job) -> bool {
        self.terms.is_some_and(|terms| {
            job.threshold <= terms.threshold_max
                && match job.kind {
                    WorkKind::OnDemand => true,
                    WorkKind::Precache => terms.precache && self.list.len() < self.capacity(),
                }
        })
    }

    /// Jobs that its list can hold.
    fn capacity(&self) -> usize {
        self.terms.map_or(0, |terms| terms.capacity.min(WORK_LIST_MAX))
    }
}

/// Workers with room, those first that have fewest jobs that somebody waits for, then the fastest.
type Rank = (usize, Reverse<u64>, WorkerId);

/// Workers and jobs in an order: kept for policies that choose by it, since to keep it costs more than a change of a list.
#[derive(Debug, Default)]
struct Ranks {
    with_room: BTreeSet<Rank>,
    /// Jobs by number of workers, then age: those without any come first.
    by_workers: BTreeSet<(usize, JobId)>,
}

/// Workers, jobs and lists.
#[derive(Debug, Default)]
pub struct Board {
    jobs: BTreeMap<JobId, Job>,
    by_work: BTreeMap<(Root, Threshold), JobId>,
    workers: BTreeMap<WorkerId, Worker>,
    /// Jobs that stand on no list.
    unplaced: BTreeSet<JobId>,
    ranks: Option<Ranks>,
    /// Workers whose list has changed since it was last sent.
    changed: BTreeSet<WorkerId>,
}

impl Board {
    /// A job that is open.
    pub fn job(&self, job: JobId) -> Option<&Job> {
        self.jobs.get(&job)
    }

    /// All open jobs, oldest first.
    pub fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.jobs.values()
    }

    /// Number of open jobs.
    pub fn jobs_open(&self) -> usize {
        self.jobs.len()
    }

    /// Number of jobs that stand on no list.
    pub fn jobs_unplaced(&self) -> usize {
        self.unplaced.len()
    }

    /// Jobs that stand on no list, oldest first.
    pub fn unplaced(&self) -> impl Iterator<Item = &Job> {
        self.unplaced.iter().filter_map(|job| self.jobs.get(job))
    }

    /// All open jobs, those on fewest lists first, oldest first among equals; none where no ranks are kept.
    pub fn jobs_by_workers(&self) -> impl Iterator<Item = &Job> {
        self.ranks.iter().flat_map(|ranks| &ranks.by_workers).filter_map(|(_, job)| self.jobs.get(job))
    }

    /// A worker that is connected.
    pub fn worker(&self, worker: WorkerId) -> Option<&Worker> {
        self.workers.get(&worker)
    }

    /// All connected workers.
    pub fn workers(&self) -> impl Iterator<Item = (WorkerId, &Worker)> {
        self.workers.iter().map(|(id, worker)| (*id, worker))
    }

    /// Workers with room on their lists, those first that have fewest jobs that somebody waits for, then the fastest; none where no
    /// ranks are kept.
    pub fn workers_with_room(&self) -> impl Iterator<Item = WorkerId> {
        self.ranks.iter().flat_map(|ranks| &ranks.with_room).map(|(.., worker)| *worker)
    }

    /// Puts a job at the end of a worker's list, on-demand before precache; the last precache makes way for a job on demand.
    /// Does nothing and returns `false` when the job is not open, the worker is not connected, paused, full, not willing, or has
    /// it already.
    pub fn offer(&mut self, worker: WorkerId, job: JobId) -> bool {
        self.put(worker, job, false)
    }

    /// Puts a job at the front of a worker's list, on-demand before precache: it is begun at once. Else as
    /// [`offer`](Self::offer).
    pub fn offer_first(&mut self, worker: WorkerId, job: JobId) -> bool {
        self.put(worker, job, true)
    }

    /// Moves a job that stands on a worker's list to where [`offer_first`](Self::offer_first) would put it; `false` when it does
    /// not stand there.
    pub fn bring_forward(&mut self, worker: WorkerId, job: JobId) -> bool {
        let Some(entry) = self.workers.get_mut(&worker) else { return false };
        let Some(place) = entry.list.iter().position(|listed| *listed == job) else { return false };
        let first = if place < entry.on_demand { 0 } else { entry.on_demand };
        entry.list[first..=place].rotate_right(1);
        self.changed.insert(worker);
        true
    }

    /// Sends a worker its list once more, in case it was lost.
    pub fn send_again(&mut self, worker: WorkerId) {
        if self.workers.contains_key(&worker) {
            self.changed.insert(worker);
        }
    }

    fn put(&mut self, worker: WorkerId, job: JobId, is_first: bool) -> bool {
        let (Some(entry), Some(offered)) = (self.workers.get(&worker), self.jobs.get(&job)) else {
            return false;
        };
        if !entry.has_room() || !entry.accepts(offered) || entry.list.contains(&job) {
            return false;
        }
        let (kind, is_full) = (offered.kind, entry.list.len() >= entry.capacity());
        if let Some(last) = entry.list.last().copied().filter(|_| is_full) {
            self.withdraw(worker, last);
        }
        self.with_worker(worker, |entry| {
            let (first, behind) = match kind {
                WorkKind::OnDemand => (0, entry.on_demand),
                WorkKind::Precache => (entry.on_demand, entry.list.len()),
            };
            entry.list.insert(if is_first { first } else { behind }, job);
            if kind == WorkKind::OnDemand {
                entry.on_demand += 1;
            }
        });
        self.with_job(job, |entry| {
            entry.workers.insert(worker);
        });
        self.changed.insert(worker);
        true
    }

    /// Takes a job off a worker's list; does nothing when it is not there.
    pub fn withdraw(&mut self, worker: WorkerId, job: JobId) {
        let listed =
            self.workers.get(&worker).and_then(|entry| entry.list.iter().position(|listed| *listed == job));
        let Some(index) = listed else { return };
        self.with_worker(worker, |entry| {
            entry.list.remove(index);
            if index < entry.on_demand {
                entry.on_demand -= 1;
            }
        });
        self.with_job(job, |entry| {
            entry.workers.remove(&worker);
        });
        self.changed.insert(worker);
    }

    /// The open job for this work.
    pub(crate) fn job_for(&self, root: Root, threshold: Threshold) -> Option<JobId> {
        self.by_work.get(&(root, threshold)).copied()
    }

    /// The open jobs for a root, lowest threshold first.
    pub(crate) fn jobs_of_root(&self, root: Root) -> impl Iterator<Item = &Job> {
        let range = (root, Threshold::new(0))..=(root, Threshold::new(u64::MAX));
        self.by_work.range(range).filter_map(|(_, job)| self.jobs.get(job))
    }

    /// Opens a job with its first waiter.
    pub(crate) fn open(
        &mut self,
        (id, opened): (JobId, Timestamp),
        (root, threshold, kind): (Root, Threshold, WorkKind),
        hashes: f64,
        (waiter, deadline): (RequestKey, Timestamp),
    ) {
        let (waiters, workers) = (BTreeSet::from([waiter]), BTreeSet::new());
        self.jobs
            .insert(id, Job { id, root, threshold, kind, opened, until: deadline, hashes, waiters, workers });
        self.by_work.insert((root, threshold), id);
        self.unplaced.insert(id);
        if let Some(ranks) = &mut self.ranks {
            ranks.by_workers.insert((0, id));
        }
    }

    /// Begins or ceases to keep workers and jobs in order.
    pub(crate) fn keep_ranks(&mut self, keeps: bool) {
        self.ranks = keeps.then(|| Ranks {
            with_room: self
                .workers
                .iter()
                .filter(|(_, entry)| entry.has_room())
                .map(|(worker, entry)| rank(*worker, entry))
                .collect(),
            by_workers: self.jobs.values().map(|job| (job.workers.len(), job.id)).collect(),
        });
    }

    /// Adds a waiter. Workers are told when the job now lives longer, since they drop it by themselves at its end.
    pub(crate) fn join(&mut self, job: JobId, waiter: RequestKey, deadline: Timestamp) {
        let Some(entry) = self.jobs.get_mut(&job) else { return };
        entry.waiters.insert(waiter);
        if deadline > entry.until {
            entry.until = deadline;
            self.changed.extend(&entry.workers);
        }
    }

    /// Makes a job one that somebody waits for, and moves it forward on all lists; `false` when it was one, or is not open.
    pub(crate) fn promote(&mut self, job: JobId) -> bool {
        let Some(entry) = self.jobs.get_mut(&job).filter(|entry| entry.kind == WorkKind::Precache) else {
            return false;
        };
        entry.kind = WorkKind::OnDemand;
        let workers: Vec<_> = entry.workers.iter().copied().collect();
        for worker in workers {
            self.with_worker(worker, |entry| {
                entry.list.retain(|listed| *listed != job);
                entry.list.insert(entry.on_demand, job);
                entry.on_demand += 1;
            });
            self.changed.insert(worker);
        }
        true
    }

    /// Removes a waiter; closes the job when it was the last, and returns the workers on whose lists it stood.
    pub(crate) fn leave(&mut self, job: JobId, waiter: RequestKey) -> Option<Vec<WorkerId>> {
        let entry = self.jobs.get_mut(&job)?;
        entry.waiters.remove(&waiter);
        if !entry.waiters.is_empty() {
            return None;
        }
        let workers: Vec<_> = entry.workers.iter().copied().collect();
        for worker in &workers {
            self.withdraw(*worker, job);
        }
        self.unplaced.remove(&job);
        if let Some(ranks) = &mut self.ranks {
            ranks.by_workers.remove(&(0, job));
        }
        let closed = self.jobs.remove(&job)?;
        self.by_work.remove(&(closed.root, closed.threshold));
        Some(workers)
    }

    /// Adds a worker, which is offered nothing until it has terms.
    pub(crate) fn add_worker(&mut self, worker: WorkerId, session: SessionId, payee: Payee) {
        let entry = Worker {
            session,
            payee,
            terms: None,
            is_paused: false,
            rate: 0,
            totals: WorkerTotals::default(),
            list: Vec::new(),
            on_demand: 0,
            sequence: 0,
        };
        self.workers.insert(worker, entry);
    }

    /// Removes a worker from everywhere; returns the jobs that stood on its list.
    pub(crate) fn remove_worker(&mut self, worker: WorkerId) -> Vec<JobId> {
        let orphans = self.clear_list(worker);
        if let (Some(entry), Some(ranks)) = (self.workers.remove(&worker), &mut self.ranks) {
            ranks.with_room.remove(&rank(worker, &entry));
        }
        self.changed.remove(&worker);
        orphans
    }

    /// Takes everything off a worker's list, and returns it.
    pub(crate) fn clear_list(&mut self, worker: WorkerId) -> Vec<JobId> {
        let listed = self.workers.get(&worker).map(|entry| entry.list.clone()).unwrap_or_default();
        for job in &listed {
            self.withdraw(worker, *job);
        }
        listed
    }

    /// Changes what is known of a worker.
    pub(crate) fn with_worker<T>(
        &mut self,
        worker: WorkerId,
        change: impl FnOnce(&mut Worker) -> T,
    ) -> Option<T> {
        let entry = self.workers.get_mut(&worker)?;
        if let Some(ranks) = &mut self.ranks {
            ranks.with_room.remove(&rank(worker, entry));
        }
        let result = change(entry);
        if let Some(ranks) = self.ranks.as_mut().filter(|_| entry.has_room()) {
            ranks.with_room.insert(rank(worker, entry));
        }
        Some(result)
    }

    fn with_job(&mut self, job: JobId, change: impl FnOnce(&mut Job)) {
        let Some(entry) = self.jobs.get_mut(&job) else { return };
        let before = entry.workers.len();
        change(entry);
        let after = entry.workers.len();
        if after == 0 {
            self.unplaced.insert(job);
        } else if before == 0 {
            self.unplaced.remove(&job);
        }
        if let Some(ranks) = &mut self.ranks {
            ranks.by_workers.remove(&(before, job));
            ranks.by_workers.insert((after, job));
        }
    }

    /// The next changed list that has not been sent, with its worker and session.
    pub(crate) fn take_changed(&mut self, now: Timestamp) -> Option<(WorkerId, SessionId, WorkList)> {
        while let Some(worker) = self.changed.pop_first() {
            let Some(entry) = self.workers.get_mut(&worker) else { continue };
            entry.sequence += 1;
            let jobs = entry.list.iter().filter_map(|job| self.jobs.get(job)).map(|job| ListedJob {
                job: job.id,
                root: job.root,
                threshold: job.threshold,
                kind: job.kind,
                remaining_ms: job.until.millis_since(now),
            });
            let list = WorkList { sequence: entry.sequence, jobs: jobs.collect() };
            return Some((worker, entry.session, list));
        }
        None
    }
}

fn rank(worker: WorkerId, entry: &Worker) -> Rank {
    (entry.on_demand, Reverse(entry.rate), worker)
}

#[cfg(test)]
mod tests {
    use shared::{RequestId, ServiceId};

    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1);

    fn job(counter: u64) -> JobId {
        JobId { instance: 1, counter }
    }

    /// A board with one worker that does two jobs at a time, and jobs of these kinds.
    fn board(kinds: &[WorkKind]) -> (Board, WorkerId) {
        let (mut board, worker) = (Board::default(), WorkerId::from_bytes([1; 16]));
        board.add_worker(worker, SessionId::new(1), Payee::House);
        let terms = Terms { capacity: 2, threshold_max: Threshold::new(u64::MAX), precache: true };
        board.with_worker(worker, |entry| entry.terms = Some(terms));
        for (counter, kind) in (1..).zip(kinds) {
            let service: ServiceId = "wallet".parse().unwrap();
            let key = RequestKey { service, request: RequestId::from_u128(counter.into()) };
            let work = (Root::new([u8::try_from(counter).unwrap(); 32]), Threshold::new(1), *kind);
            board.open((job(counter), NOW), work, 1.0, (key, NOW));
        }
        (board, worker)
    }

    #[test]
    fn what_nobody_waits_for_takes_no_room_from_what_somebody_waits_for() {
        use WorkKind::{OnDemand, Precache};
        let (mut board, worker) = board(&[Precache, Precache, Precache, OnDemand, OnDemand, OnDemand]);
        let list = |board: &Board| board.worker(worker).unwrap().list().to_vec();
        assert!(board.offer(worker, job(1)) && board.offer(worker, job(2)));
        assert!(!board.offer(worker, job(3)), "two is what it does");
        assert!(board.worker(worker).unwrap().has_room());
        assert!(board.offer(worker, job(4)));
        assert_eq!(list(&board), [job(4), job(1)]);
        assert!(board.offer(worker, job(5)));
        assert_eq!(list(&board), [job(4), job(5)]);
        assert!(!board.offer(worker, job(6)) && !board.worker(worker).unwrap().has_room());
        assert_eq!(board.jobs_unplaced(), 4);
    }

    #[test]
    fn a_job_that_somebody_begins_to_wait_for_goes_forward() {
        use WorkKind::{OnDemand, Precache};
        let (mut board, worker) = board(&[Precache, Precache, OnDemand]);
        let list = |board: &Board| board.worker(worker).unwrap().list().to_vec();
        assert!(board.offer(worker, job(1)) && board.offer(worker, job(2)));
        while board.take_changed(NOW).is_some() {}
        assert!(board.promote(job(2)));
        assert_eq!(list(&board), [job(2), job(1)]);
        let (_, _, told) = board.take_changed(NOW).unwrap();
        assert_eq!(told.jobs.iter().map(|job| job.kind).collect::<Vec<_>>(), [OnDemand, Precache]);
        assert!(board.bring_forward(worker, job(1)) && !board.bring_forward(worker, job(3)));
        assert_eq!(list(&board), [job(2), job(1)], "on demand before precache");
        assert!(!board.promote(job(2)) && !board.promote(job(3)) && !board.promote(job(9)));
        assert!(board.offer(worker, job(3)));
        assert_eq!(list(&board), [job(2), job(3)]);
        board.withdraw(worker, job(2));
        assert!(board.offer(worker, job(1)));
        assert_eq!(list(&board), [job(3), job(1)]);
        assert!(board.promote(job(1)) && board.bring_forward(worker, job(1)));
        assert_eq!(list(&board), [job(1), job(3)]);
    }
}
