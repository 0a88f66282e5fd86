//! The clients of the original network: every job goes to each of them and is cancelled at each of them, and each has a queue
//! of its own, of any length.
//!
//! The core knows lists of at most eight jobs, so a row of sessions stands for the topics that all clients read: a job on one
//! of their lists has been published, one that has left it has been cancelled. Who then has which job follows from the times
//! and from each client's delay, so a message to each client need not be simulated: a client sees, at any time, what was open
//! its own delay ago, less what it has found itself.

use core::time::Duration;
use std::collections::BTreeMap;

use shared::protocol::{ListedJob, WorkList, WorkResult};
use shared::{JobId, SessionId, Timestamp};

use super::class::Scale;
use super::random::Random;
use super::scenario::Order;
use super::search::Search;
use super::worker::meeting;

/// Tries at random before all jobs are looked through.
const TRIES: usize = 16;

#[derive(Debug)]
pub(super) struct Original {
    order: Order,
    scale: Scale,
    pub(super) clients: Vec<Client>,
    jobs: Vec<Job>,
    by_id: BTreeMap<JobId, usize>,
    /// Those that some client may still have, the oldest first.
    live: Vec<usize>,
    lists: BTreeMap<SessionId, Vec<JobId>>,
    /// Jobs sent and cancelled, over all clients.
    pub(super) messages: u64,
}

#[derive(Debug)]
pub(super) struct Client {
    pub(super) delay: Duration,
    pub(super) search: Search,
    random: Random,
    current: Option<Current>,
    /// When it will see the next job, if it has none.
    wakes_at: Option<Timestamp>,
    /// What it has found and has not yet been told to stop.
    found: Vec<usize>,
    /// When it wants to be looked at, as the agenda has it, and the number of that entry.
    pub(super) alarm: Option<Timestamp>,
    pub(super) alarms: u32,
}

#[derive(Debug, Clone, Copy)]
struct Current {
    job: usize,
    /// When the cancel arrives, if it has been sent.
    stops_at: Option<Timestamp>,
}

#[derive(Debug)]
struct Job {
    listed: ListedJob,
    relay: SessionId,
    opened: Timestamp,
    closed: Option<Timestamp>,
    /// On how many lists it stands.
    lists: u32,
}

impl Client {
    pub(super) fn new(delay: Duration, rate: f64, mut random: Random) -> Self {
        let search = Search::new(rate, &mut random);
        Self {
            delay,
            search,
            random,
            current: None,
            wakes_at: None,
            found: Vec::new(),
            alarm: None,
            alarms: 0,
        }
    }

    /// When it wants to be looked at next.
    pub(super) fn next_alarm(&self) -> Option<Timestamp> {
        match self.current {
            Some(Current { stops_at, .. }) => [self.search.finds_at(), stops_at].into_iter().flatten().min(),
            None => self.wakes_at,
        }
    }

    fn sees(&self, now: Timestamp, job: usize, entry: &Job) -> bool {
        entry.opened + self.delay <= now
            && entry.closed.is_none_or(|closed| closed + self.delay > now)
            && !self.found.contains(&job)
    }
}

impl Original {
    pub(super) fn new(order: Order, scale: Scale, clients: Vec<Client>) -> Self {
        Self {
            order,
            scale,
            clients,
            jobs: Vec::new(),
            by_id: BTreeMap::new(),
            live: Vec::new(),
            lists: BTreeMap::new(),
            messages: 0,
        }
    }

    /// A session was sent a new list. The clients whose next alarm may be another because of it.
    pub(super) fn listed(&mut self, now: Timestamp, relay: SessionId, list: &WorkList) -> Vec<usize> {
        let mut touched = Vec::new();
        let before = self.lists.remove(&relay).unwrap_or_default();
        for listed in &list.jobs {
            if !before.contains(&listed.job) {
                self.publish(now, relay, *listed, &mut touched);
            }
        }
        for job in before {
            if !list.jobs.iter().any(|listed| listed.job == job) {
                self.unlist(now, job, &mut touched);
            }
        }
        self.lists.insert(relay, list.jobs.iter().map(|listed| listed.job).collect());
        touched
    }

    /// All sessions are gone: everything is cancelled.
    pub(super) fn forget_lists(&mut self, now: Timestamp) -> Vec<usize> {
        let mut touched = Vec::new();
        for job in core::mem::take(&mut self.lists).into_values().flatten() {
            self.unlist(now, job, &mut touched);
        }
        touched
    }

    fn publish(&mut self, now: Timestamp, relay: SessionId, listed: ListedJob, touched: &mut Vec<usize>) {
        if let Some(known) = self.by_id.get(&listed.job) {
            let known = &mut self.jobs[*known];
            (known.lists, known.closed) = (known.lists + 1, None);
            return;
        }
        let index = self.jobs.len();
        self.jobs.push(Job { listed, relay, opened: now, closed: None, lists: 1 });
        self.by_id.insert(listed.job, index);
        self.live.push(index);
        self.messages += self.clients.len() as u64;
        for (number, client) in
            self.clients.iter_mut().enumerate().filter(|(_, client)| client.current.is_none())
        {
            let sees = now + client.delay;
            client.wakes_at = Some(client.wakes_at.map_or(sees, |wakes| wakes.min(sees)));
            touched.push(number);
        }
    }

    fn unlist(&mut self, now: Timestamp, job: JobId, touched: &mut Vec<usize>) {
        let Some(index) = self.by_id.get(&job).copied() else { return };
        let entry = &mut self.jobs[index];
        entry.lists -= 1;
        if entry.lists > 0 {
            return;
        }
        entry.closed = Some(now);
        self.messages += self.clients.len() as u64;
        let mut longest = Duration::ZERO;
        for (number, client) in self.clients.iter_mut().enumerate() {
            longest = longest.max(client.delay);
            if let Some(current) = client.current.as_mut().filter(|current| current.job == index) {
                current.stops_at = Some(now + client.delay);
                touched.push(number);
            }
        }
        let jobs = &self.jobs;
        self.live.retain(|job| jobs[*job].closed.is_none_or(|closed| closed + longest > now));
    }

    /// A client has found something, is told to stop, or sees a new job.
    pub(super) fn look(&mut self, now: Timestamp, index: usize) -> Option<(SessionId, WorkResult)> {
        let client = self.clients.get_mut(index)?;
        let mut result = None;
        if let Some(Current { job, stops_at }) = client.current {
            if client.search.finds_at().is_some_and(|at| at <= now) {
                let entry = &mut self.jobs[job];
                client.search.found(now, &mut client.random);
                client.found.push(job);
                let ListedJob { job, root, threshold, .. } = entry.listed;
                let nonce = meeting(root, threshold, &mut client.random);
                result = Some((entry.relay, WorkResult { job, root, nonce }));
            } else if stops_at.is_none_or(|at| at > now) {
                return None;
            }
        }
        self.turn(now, index);
        result
    }

    /// Chooses what a client searches.
    fn turn(&mut self, now: Timestamp, index: usize) {
        let Self { clients, jobs, live, .. } = self;
        let client = &mut clients[index];
        client.found.retain(|job| jobs[*job].closed.is_none_or(|closed| closed + client.delay > now));
        let next = match self.order {
            Order::Random => (0..TRIES)
                .find_map(|_| {
                    client.random.pick(live).copied().filter(|job| client.sees(now, *job, &jobs[*job]))
                })
                .or_else(|| {
                    let seen: Vec<usize> =
                        live.iter().copied().filter(|job| client.sees(now, *job, &jobs[*job])).collect();
                    client.random.pick(&seen).copied()
                }),
            Order::Listed | Order::Fifo => {
                live.iter().copied().find(|job| client.sees(now, *job, &jobs[*job]))
            }
        };
        client.current =
            next.map(|job| Current { job, stops_at: jobs[job].closed.map(|closed| closed + client.delay) });
        let hashes = next.map(|job| self.scale.hashes(jobs[job].listed.threshold));
        client.search.turn_to(now, hashes);
        client.wakes_at = None;
        if next.is_none() {
            // Published, but still on its way.
            let coming = live.iter().map(|job| &jobs[*job]).filter(|job| {
                let sees = job.opened + client.delay;
                sees > now && job.closed.is_none_or(|closed| closed + client.delay > sees)
            });
            client.wakes_at = coming.map(|job| job.opened + client.delay).min();
        }
    }
}
