//! What each worker was given and has sent, and what it must be told of it.

use std::collections::{BTreeMap, BTreeSet};

use shared::pow::{Nonce, Root, Threshold};
use shared::protocol::{Verdict, VerdictNotice, WorkResult};
use shared::{Payee, SessionId, Timestamp, WorkerId};

use super::{Auditor, Cause, Check, ResultSeen, Rule};
use crate::limits;

/// Pairs of worker and root beyond which what ended is forgotten. Verdicts on what is forgotten are not judged.
const PAIRS_MAX: usize = 1_000_000;

#[derive(Debug, Default)]
pub(super) struct Givens {
    instance: u64,
    roots: BTreeMap<Root, RootGiven>,
    ended: BTreeSet<(Timestamp, Root)>,
    pairs: usize,
    has_forgotten: bool,
    /// Who has sent what, also in earlier runs.
    sent: BTreeMap<(Root, Nonce), Vec<(WorkerId, Payee)>>,
    /// The verdict that this input has led to.
    judged: Option<Verdict>,
}

#[derive(Debug, Default)]
struct RootGiven {
    workers: BTreeMap<WorkerId, GivenTo>,
    is_solved: bool,
    /// It had ended for so long when it was wanted again that what was before may be forgotten.
    is_old: bool,
    ended: Option<Timestamp>,
}

#[derive(Debug)]
struct GivenTo {
    lowest: Threshold,
    latest: Threshold,
    /// Valid nonces that it has sent, in this order.
    sent: Vec<Nonce>,
}

impl Givens {
    /// Another run begins, which remembers nothing of what was given.
    pub(super) fn open(&mut self, instance: u64) {
        *self = Self { instance, sent: core::mem::take(&mut self.sent), ..Self::default() };
    }

    pub(super) fn sent(&mut self, root: Root, nonce: Nonce, by: (WorkerId, Payee)) {
        let senders = self.sent.entry((root, nonce)).or_default();
        if !senders.contains(&by) {
            senders.push(by);
        }
    }

    pub(super) fn has_sent(&self, root: Root, nonce: Nonce, by: (WorkerId, Payee)) -> bool {
        self.sent.get(&(root, nonce)).is_some_and(|senders| senders.contains(&by))
    }

    pub(super) fn given(&mut self, now: Timestamp, worker: WorkerId, root: Root, threshold: Threshold) {
        let given = self.roots.entry(root).or_default();
        if let Some(ended) = given.ended.take() {
            self.ended.remove(&(ended, root));
            given.is_old |= now >= ended + limits::GIVEN_KEPT;
        }
        let pairs = &mut self.pairs;
        let to = given.workers.entry(worker).or_insert_with(|| {
            *pairs += 1;
            GivenTo { lowest: threshold, latest: threshold, sent: Vec::new() }
        });
        (to.lowest, to.latest) = (to.lowest.min(threshold), threshold);
    }

    /// Nobody waits for work for this root any more.
    pub(super) fn ended(&mut self, root: Root, now: Timestamp) {
        if let Some(given) = self.roots.get_mut(&root) {
            let ended = *given.ended.get_or_insert(now);
            self.ended.insert((ended, root));
        }
        while self.pairs > PAIRS_MAX
            && let Some((_, root)) = self.ended.pop_first()
        {
            self.pairs -= self.roots.remove(&root).map_or(0, |given| given.workers.len());
            self.has_forgotten = true;
        }
    }
}

impl Auditor {
    pub(super) fn result_received(&mut self, session: SessionId, result: WorkResult) {
        let Some(known) = self.lists.session(session) else { return };
        let (worker, payee) = (known.worker, known.payee);
        let WorkResult { job, root, nonce } = result;
        let difficulty = shared::pow::difficulty(&root, nonce);
        let solves = self.lists.waits(root).any(|threshold| difficulty.meets(threshold));
        self.cause = Cause::Result(ResultSeen { session, worker, job, root, nonce, difficulty, solves });
        self.givens.judged = None;
        self.givens.sent(root, nonce, (worker, payee));
    }

    pub(super) fn verdict_sent(
        &mut self,
        session: SessionId,
        worker: WorkerId,
        notice: &VerdictNotice,
    ) -> Check {
        let verdict = notice.verdict;
        let result = match self.cause {
            Cause::Result(result) if self.givens.judged.is_none() => result,
            _ => return Err(self.broken(Rule::VerdictsAreTrue, format!("{verdict:?} without a result"))),
        };
        let is_of_it = (session, worker, notice.job, notice.root)
            == (result.session, result.worker, result.job, result.root);
        let is_true = is_of_it && self.is_true_of_result(verdict, &result);
        self.must(is_true, Rule::VerdictsAreTrue, || format!("{verdict:?} is told of {result:?}"))?;
        self.givens.judged = Some(verdict);
        if verdict == Verdict::Accepted {
            self.cancels_are_out(result.root, result.difficulty)?;
            if let Some(given) = self.givens.roots.get_mut(&result.root) {
                given.is_solved = true;
            }
        }
        if let Some(to) =
            self.givens.roots.get_mut(&result.root).and_then(|given| given.workers.get_mut(&worker))
        {
            // One that is below the threshold is judged anew each time.
            if matches!(verdict, Verdict::Accepted | Verdict::Late { .. } | Verdict::Cancelled) {
                to.sent.push(result.nonce);
            }
        }
        let totals = self.lists.count(session, verdict);
        self.must(totals == Some(notice.totals), Rule::VerdictsAreTrue, || {
            format!("totals are {totals:?}, and said to be {:?}", notice.totals)
        })
    }

    fn is_true_of_result(&self, verdict: Verdict, result: &ResultSeen) -> bool {
        let given = self.givens.roots.get(&result.root);
        let Some((given, to)) = given.and_then(|given| Some((given, given.workers.get(&result.worker)?)))
        else {
            let is_ours = result.job.instance == self.givens.instance;
            let is_unknown = verdict == Verdict::UnknownJob;
            // An honest worker may name a job of an earlier run, or one that was forgotten, and is not blamed for it.
            return self.givens.has_forgotten || is_unknown || (is_ours && verdict == Verdict::NeverGiven);
        };
        let is_known = to.sent.contains(&result.nonce);
        let is_old = given.is_old || given.ended.is_some_and(|ended| self.is_past(ended, limits::GIVEN_KEPT));
        let is_forgotten = self.givens.has_forgotten || is_old;
        let is_last = to.sent.last() == Some(&result.nonce);
        if is_last && !is_forgotten {
            return verdict == Verdict::Duplicate;
        }
        match verdict {
            Verdict::Accepted => result.solves,
            Verdict::Late { .. } => !result.solves && given.is_solved && result.difficulty.meets(to.lowest),
            Verdict::Cancelled => {
                !result.solves && (!given.is_solved || given.is_old) && result.difficulty.meets(to.lowest)
            }
            Verdict::Duplicate => is_known,
            Verdict::BelowThreshold { difficulty, threshold } => {
                let is_asked = threshold == to.lowest
                    || (given.is_old && threshold == to.latest)
                    || self.lists.waits(result.root).any(|waited| waited == threshold);
                difficulty == result.difficulty && !difficulty.meets(threshold) && is_asked
            }
            Verdict::UnknownJob => is_forgotten,
            // The root is forgotten, and the job that it is said to be of is not, and is of another root.
            Verdict::NeverGiven => is_forgotten && !self.lists.is_job_of(result.job, result.root),
        }
    }

    /// What this work solves is off all lists.
    pub(super) fn cancels_are_out(&self, root: Root, difficulty: shared::pow::Difficulty) -> Check {
        let listed = self.lists.listed_still(root, difficulty);
        self.must(listed.is_none(), Rule::CancelsComeBeforeMoney, || {
            format!("{listed:?} is solved and still on a list")
        })
    }

    pub(super) fn verdicts_end(&self) -> Check {
        let Cause::Result(result) = self.cause else { return Ok(()) };
        self.must(self.givens.judged.is_some(), Rule::VerdictsAreTrue, || {
            format!("no verdict on {result:?}")
        })?;
        let is_left = self.lists.waits(result.root).any(|threshold| result.difficulty.meets(threshold));
        let is_accepted = self.givens.judged == Some(Verdict::Accepted);
        self.must(!(is_left && is_accepted), Rule::SolutionsAnswerAll, || {
            format!("somebody still waits for what {result:?} solves")
        })
    }
}
