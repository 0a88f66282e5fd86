//! What becomes of a nonce: cheapest checks first, one hash last, and no ledger call before the work is valid.

use core::time::Duration;

use shared::pow::Work;
use shared::protocol::{Verdict, VerdictNotice, WorkResult};
use shared::{SessionId, Timestamp, WorkSource, WorkerId};

use crate::cache::Found;
use crate::dispatch::Event;
use crate::effect::{Effect, Effects};
use crate::input::RequestKey;
use crate::market::Marketplace;
use crate::requests::State;

impl Marketplace {
    /// Judges a result, cancels what it ends, tells the worker, and only then asks for money.
    pub(crate) fn result(
        &mut self,
        now: Timestamp,
        session: SessionId,
        result: WorkResult,
        effects: &mut Effects,
    ) {
        let Some(worker) = self.sessions.get(&session).copied() else { return };
        let (verdict, work) = self.judge(now, worker, result);
        let mut answered = Vec::new();
        if work.is_some() {
            let late = match verdict {
                Verdict::Late { by_ms } => Some(Duration::from_millis(by_ms.into())),
                _ => None,
            };
            self.tell_dispatch(now, Event::Found { worker, job: result.job, late });
        }
        if let Some(work) = work
            && let Some(payee) = self.board.worker(worker).map(|worker| worker.payee)
        {
            let found = Found { work, worker, payee };
            self.cache.keep(now, now, found);
            answered = self.take_answered(now, found);
        }
        self.send_lists(now, effects);
        self.send_verdict(session, worker, result, verdict, effects);
        for (key, found) in answered {
            self.start_settling(now, key, found, WorkSource::OnDemand, effects);
        }
    }

    /// The verdict, and the work if it is any good.
    fn judge(&mut self, now: Timestamp, worker: WorkerId, result: WorkResult) -> (Verdict, Option<Work>) {
        let open = self.board.job(result.job).filter(|job| job.root == result.root).map(|job| job.threshold);
        let Some(given) = self.given.to(worker, result.root) else {
            let is_foreign = result.job.instance != self.instance;
            let is_forgotten = self.has_made(result.job) && self.given.may_have_forgotten(result.job.counter);
            let verdict = if is_foreign || is_forgotten { Verdict::UnknownJob } else { Verdict::NeverGiven };
            return (verdict, None);
        };
        if given.answered == Some(result.nonce) {
            return (Verdict::Duplicate, None);
        }
        let threshold = open.unwrap_or(given.threshold);
        let Some(work) = Work::verify(result.root, result.nonce, threshold) else {
            let difficulty = shared::pow::difficulty(&result.root, result.nonce);
            return (Verdict::BelowThreshold { difficulty, threshold }, None);
        };
        given.answered = Some(result.nonce);
        let verdict = if self.board.jobs_of_root(result.root).any(|job| work.meets(job.threshold)) {
            Verdict::Accepted
        } else {
            let solved = self.given.solved_at(result.root);
            solved.map_or(Verdict::Cancelled, |solved| Verdict::Late { by_ms: now.millis_since(solved) })
        };
        (verdict, Some(work))
    }

    /// Takes all requests that this work answers off their jobs, the dearest first.
    fn take_answered(&mut self, now: Timestamp, found: Found) -> Vec<(RequestKey, Found)> {
        let work = found.work;
        let mut answered: Vec<RequestKey> = self
            .board
            .jobs_of_root(work.root())
            .filter(|job| work.meets(job.threshold))
            .flat_map(|job| job.waiters.iter().copied())
            .collect();
        if !answered.is_empty() {
            self.given.solved(now, work.root());
        }
        let order = |key: &RequestKey| {
            self.requests.get(key).map(|request| (std::cmp::Reverse(request.price), request.hold))
        };
        answered.sort_by_cached_key(order);
        for key in &answered {
            if let Some(State::Waiting { job }) = self.requests.get(key).map(|request| request.state) {
                self.leave_job(now, job, *key);
            }
        }
        answered.into_iter().map(|key| (key, found)).collect()
    }

    fn send_verdict(
        &mut self,
        session: SessionId,
        worker: WorkerId,
        result: WorkResult,
        verdict: Verdict,
        effects: &mut Effects,
    ) {
        let totals = self.board.with_worker(worker, |worker| {
            match verdict {
                Verdict::Accepted => worker.totals.accepted += 1,
                Verdict::Late { .. } => worker.totals.late += 1,
                verdict if verdict.counts_against_worker() => worker.totals.refused += 1,
                _ => {}
            }
            worker.totals
        });
        self.statistics.results_received += 1;
        if verdict == Verdict::Accepted {
            self.statistics.results_accepted += 1;
        }
        if let Some(totals) = totals {
            let notice = VerdictNotice { job: result.job, root: result.root, verdict, totals };
            effects.push(Effect::Verdict { session, worker, notice });
        }
    }
}
