//! Who is connected, what stands on whose list, and what is wanted.

use std::collections::BTreeMap;

use shared::pow::{Root, Threshold};
use shared::protocol::{
    ListedJob, NetworkStatistics, Verdict, WORK_LIST_MAX, WorkKind, WorkList, WorkerTotals,
};
use shared::{JobId, Millicredits, Payee, SessionId, Timestamp, WorkerId};

use super::{Auditor, Check, Rule};
use crate::dispatch::DispatchPolicy;
use crate::input::WorkerReport;

/// What a job is for.
pub(super) type Wanted = (Root, Threshold);

#[derive(Debug, Default)]
pub(super) struct Lists {
    sessions: BTreeMap<SessionId, Session>,
    by_worker: BTreeMap<WorkerId, SessionId>,
    /// Workers that have said what they are willing to do.
    ready: usize,
    last_ready: Option<Timestamp>,
    /// What requests wait for.
    works: BTreeMap<Wanted, Waited>,
    /// Every job that was ever listed. On how many lists it stands.
    jobs: BTreeMap<JobId, (Wanted, u32)>,
    /// What fewer requests wait for because of this input, and sessions that have spoken.
    fewer: Vec<Wanted>,
    spoke: Option<SessionId>,
    /// Statistics have come out, and with them it is time to look for jobs that wait.
    is_time_to_look: bool,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) worker: WorkerId,
    pub(super) payee: Payee,
    terms: Option<Terms>,
    is_paused: bool,
    sequence: u32,
    listed: Vec<JobId>,
    totals: WorkerTotals,
}

#[derive(Debug, Clone, Copy)]
struct Terms {
    capacity: usize,
    threshold_max: Threshold,
    precache: bool,
}

#[derive(Debug)]
struct Waited {
    requests: usize,
    /// On demand from when the first of them is that is so.
    kind: WorkKind,
    /// The latest deadline that any of them has had.
    until: Timestamp,
    job: Option<JobId>,
}

impl Session {
    fn wants(&self, threshold: Threshold, kind: WorkKind) -> bool {
        !self.is_paused
            && self.terms.is_some_and(|terms| {
                threshold <= terms.threshold_max && (terms.precache || kind == WorkKind::OnDemand)
            })
    }

    fn room(&self) -> usize {
        self.terms.map_or(0, |terms| terms.capacity.min(WORK_LIST_MAX))
    }
}

impl Lists {
    pub(super) fn session(&self, session: SessionId) -> Option<&Session> {
        self.sessions.get(&session)
    }

    pub(super) fn had_workers_since(&self, since: Timestamp) -> bool {
        self.ready > 0 || self.last_ready.is_some_and(|last| last >= since)
    }

    /// A request begins to wait.
    pub(super) fn wait(&mut self, wanted: Wanted, class: WorkKind, deadline: Timestamp) {
        let new = Waited { requests: 0, kind: WorkKind::Precache, until: deadline, job: None };
        let entry = self.works.entry(wanted).or_insert(new);
        entry.kind = entry.kind.min(class);
        entry.requests += 1;
        entry.until = entry.until.max(deadline);
    }

    /// One of the requests that wait is on demand now.
    pub(super) fn lift(&mut self, wanted: Wanted) {
        if let Some(entry) = self.works.get_mut(&wanted) {
            entry.kind = WorkKind::OnDemand;
        }
    }

    /// A request waits no more.
    pub(super) fn stop_waiting(&mut self, wanted: Wanted) {
        if let Some(entry) = self.works.get_mut(&wanted) {
            entry.requests -= 1;
            self.fewer.push(wanted);
        }
    }

    pub(super) fn wanted(&self) -> usize {
        self.works.len()
    }

    fn of_root(&self, root: Root) -> impl Iterator<Item = (Threshold, &Waited)> {
        let range = (root, Threshold::new(0))..=(root, Threshold::new(u64::MAX));
        self.works.range(range).map(|((_, threshold), waited)| (*threshold, waited))
    }

    /// Thresholds for which a request waits for work for this root.
    pub(super) fn waits(&self, root: Root) -> impl Iterator<Item = Threshold> {
        self.of_root(root).filter(|(_, waited)| waited.requests > 0).map(|(threshold, _)| threshold)
    }

    /// A job that work of this difficulty solves and that still stands on a list.
    pub(super) fn listed_still(&self, root: Root, difficulty: shared::pow::Difficulty) -> Option<JobId> {
        let solved = self.of_root(root).filter(|(threshold, _)| difficulty.meets(*threshold));
        solved.filter_map(|(_, waited)| waited.job).find(|job| self.jobs[job].1 > 0)
    }

    /// Whether a job was listed for this root.
    pub(super) fn is_job_of(&self, job: JobId, root: Root) -> bool {
        self.jobs.get(&job).is_some_and(|((of, _), _)| *of == root)
    }

    /// A worker has earned something; its session, if it has one, is told so with its next verdict.
    pub(super) fn earned(&mut self, worker: WorkerId, earned: Millicredits) {
        let session = self.by_worker.get(&worker).and_then(|session| self.sessions.get_mut(session));
        if let Some(session) = session {
            let before = session.totals.earned_mc;
            session.totals.earned_mc = before.checked_add(earned).unwrap_or(before);
        }
    }

    /// The totals of a session after another verdict.
    pub(super) fn count(&mut self, session: SessionId, verdict: Verdict) -> Option<WorkerTotals> {
        let totals = &mut self.sessions.get_mut(&session)?.totals;
        match verdict {
            Verdict::Accepted => totals.accepted += 1,
            Verdict::Late { .. } => totals.late += 1,
            Verdict::BelowThreshold { .. } | Verdict::NeverGiven => totals.refused += 1,
            Verdict::Cancelled | Verdict::Duplicate | Verdict::UnknownJob => {}
        }
        Some(*totals)
    }

    fn leave(&mut self, now: Timestamp, session: SessionId) {
        let Some(gone) = self.sessions.remove(&session) else { return };
        self.by_worker.remove(&gone.worker);
        self.unlist(&gone.listed);
        if gone.terms.is_some() {
            self.ready -= 1;
            self.last_ready = Some(now);
        }
    }

    fn unlist(&mut self, jobs: &[JobId]) {
        for job in jobs {
            if let Some((_, lists)) = self.jobs.get_mut(job) {
                *lists -= 1;
            }
        }
    }
}

impl Auditor {
    pub(super) fn worker_joined(&mut self, session: SessionId, worker: WorkerId, payee: Payee) {
        if let Some(old) = self.lists.by_worker.get(&worker).copied() {
            self.lists.leave(self.now, old);
        }
        self.lists.by_worker.insert(worker, session);
        let (terms, totals) = (None, WorkerTotals::default());
        let entry =
            Session { worker, payee, terms, is_paused: false, sequence: 0, listed: Vec::new(), totals };
        self.lists.sessions.insert(session, entry);
    }

    pub(super) fn worker_left(&mut self, session: SessionId) {
        self.lists.leave(self.now, session);
    }

    pub(super) fn worker_reported(&mut self, session: SessionId, report: &WorkerReport) {
        let Some(entry) = self.lists.sessions.get_mut(&session) else { return };
        self.lists.spoke = Some(session);
        match report {
            WorkerReport::Hello(hello) => {
                let capacity = usize::from(hello.capacity);
                let terms = Terms { capacity, threshold_max: hello.threshold_max, precache: hello.precache };
                self.lists.ready += usize::from(entry.terms.replace(terms).is_none());
            }
            WorkerReport::Status(status) => entry.is_paused = status.paused.is_some(),
        }
    }

    pub(super) fn list_sent(&mut self, session: SessionId, worker: WorkerId, list: &WorkList) -> Check {
        let known = self.lists.sessions.get(&session).filter(|known| known.worker == worker);
        self.must(known.is_some(), Rule::ListsFitTheirWorkers, || {
            format!("a list goes to session {session}, which is gone")
        })?;
        let Some(known) = known else { return Ok(()) };
        let fits = list.sequence > known.sequence && list.jobs.len() <= known.room();
        self.must(fits, Rule::ListsFitTheirWorkers, || {
            format!("list {} of session {session} is too long or too old", list.sequence)
        })?;
        for (index, listed) in list.jobs.iter().enumerate() {
            let is_new = list.jobs.iter().take(index).all(|other| other.job != listed.job);
            let is_willing = known.wants(listed.threshold, listed.kind);
            self.must(is_new && is_willing, Rule::ListsFitTheirWorkers, || {
                format!("session {session} is not willing to do {:?}", listed.job)
            })?;
        }
        let is_ordered = list.jobs.is_sorted_by_key(|listed| listed.kind);
        self.must(is_ordered, Rule::ListsFitTheirWorkers, || {
            format!("session {session} is to do what can wait before what is on demand")
        })?;
        for listed in &list.jobs {
            self.job_listed(listed)?;
            self.givens.given(self.now, worker, listed.root, listed.threshold);
        }
        if let Some(known) = self.lists.sessions.get_mut(&session) {
            known.sequence = list.sequence;
            let before =
                core::mem::replace(&mut known.listed, list.jobs.iter().map(|listed| listed.job).collect());
            self.lists.unlist(&before);
        }
        Ok(())
    }

    /// A job that is listed is wanted, has one name, and ends when nobody waits any more.
    fn job_listed(&mut self, listed: &ListedJob) -> Check {
        let wanted = (listed.root, listed.threshold);
        let is_new = !self.lists.jobs.contains_key(&listed.job);
        let waited = self.lists.works.get_mut(&wanted).filter(|waited| waited.requests > 0);
        let is_wanted = waited.is_some_and(|waited| {
            let is_named = match waited.job {
                Some(job) => job == listed.job,
                None => is_new,
            };
            waited.job = Some(listed.job);
            is_named
                && listed.kind == waited.kind
                && listed.remaining_ms == waited.until.millis_since(self.now)
        });
        self.must(is_wanted, Rule::ListedJobsAreWanted, || {
            format!("nobody waits for {listed:?}, or it has another name, urgency or end")
        })?;
        self.lists.jobs.entry(listed.job).or_insert((wanted, 0)).1 += 1;
        Ok(())
    }

    pub(super) fn statistics_sent(&mut self, statistics: &NetworkStatistics) -> Check {
        let wanted = self.lists.works.values().filter(|waited| waited.requests > 0).count();
        let (open, given_up) = (self.requests_open(), self.given_up().len());
        let counted = [(self.lists.ready, 0), (wanted, 0), (open, given_up)];
        let said = [statistics.workers, statistics.jobs_open, statistics.requests_open];
        let is_true = counted.iter().zip(said).all(|((most, fewer), said)| {
            usize::try_from(said).is_ok_and(|said| (most - fewer..=*most).contains(&said))
        });
        self.lists.is_time_to_look = true;
        self.must(is_true, Rule::StatisticsAreTrue, || {
            format!("workers, jobs and requests are {counted:?}, and said to be {said:?}")
        })
    }

    /// Under policies that keep nobody idle while there is something to do: what is on demand and stands on no list has no taker. What
    /// is not may have made way, and is taken up again by whoever next has a place.
    fn nothing_waits_for_nothing(&self) -> Check {
        if !matches!(self.policy.dispatch, DispatchPolicy::Broadcast | DispatchPolicy::FastestK { .. }) {
            return Ok(());
        }
        let is_listed = |waited: &Waited| waited.job.is_some_and(|job| self.lists.jobs[&job].1 > 0);
        let is_urgent = |waited: &Waited| waited.kind == WorkKind::OnDemand;
        let unlisted = self.lists.works.iter().filter(|(_, waited)| is_urgent(waited) && !is_listed(waited));
        for ((root, threshold), _) in unlisted {
            let taker = self.lists.sessions.iter().find(|(_, session)| {
                session.wants(*threshold, WorkKind::OnDemand) && session.listed.len() < session.room()
            });
            self.must(taker.is_none(), Rule::NoJobWaitsForNothing, || {
                format!("{root} waits for a place, and {:?} has room", taker.map(|(session, _)| session))
            })?;
        }
        Ok(())
    }

    /// What nobody waits for any more stands on no list, and what a worker is not willing to do is not on its own.
    pub(super) fn lists_end(&mut self) -> Check {
        for wanted in core::mem::take(&mut self.lists.fewer) {
            let Some(waited) = self.lists.works.get(&wanted).filter(|waited| waited.requests == 0) else {
                continue;
            };
            let lists = waited.job.map_or(0, |job| self.lists.jobs[&job].1);
            self.must(lists == 0, Rule::ListedJobsAreWanted, || {
                format!("nobody waits for {:?}, and {lists} lists have it", waited.job)
            })?;
            self.lists.works.remove(&wanted);
            self.root_may_have_ended(wanted.0);
        }
        if core::mem::take(&mut self.lists.is_time_to_look) {
            self.nothing_waits_for_nothing()?;
        }
        let spoke = self.lists.spoke.take().and_then(|session| self.lists.sessions.get(&session));
        if let Some(session) = spoke {
            let thresholds = session.listed.iter().map(|job| self.lists.jobs[job].0.1);
            let fits = thresholds.into_iter().all(|threshold| session.wants(threshold, WorkKind::OnDemand))
                && session.listed.len() <= session.room();
            self.must(fits, Rule::ListsFitTheirWorkers, || {
                format!("{} keeps what it no longer wants to do", session.worker)
            })?;
        }
        Ok(())
    }

    fn root_may_have_ended(&mut self, root: Root) {
        if self.lists.of_root(root).next().is_none() {
            self.givens.ended(root, self.now);
        }
    }
}
