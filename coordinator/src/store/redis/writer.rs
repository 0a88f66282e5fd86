//! The one task that changes a ledger in Redis: verbs of many callers in one pipeline, and attaching anew after anything that
//! leaves it unknown what has been carried out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use marketplace::ledger::Split;
use redis::Value;
use shared::HoldId;
use tokio::sync::{mpsc, oneshot};

use super::attachment::{Attachment, Claim};
use super::call::{Call, Reached, reached};
use super::history::History;
use super::mark::Mark;
use super::server::Link;
use super::trouble::{OpenError, Trouble};
use crate::store::{Answer, Settlement, StoreError, Verb};

/// Verbs that share a pipeline, about: a caller's verbs are never divided.
const GROUP_MAX: usize = 256;
/// How long a start waits for the server to mend its log.
pub(super) const MENDED_AT_START: Duration = Duration::from_mins(10);
/// How long verbs wait for it before they fail, and are tried again.
const MENDED_MEANWHILE: Duration = Duration::from_secs(1);
/// How often it is written down how far the ledger has come.
const MARK_EVERY: Duration = Duration::from_secs(1);

/// Verbs of a caller, and where the answers go.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) verbs: Vec<Verb>,
    pub(super) reply: oneshot::Sender<Result<Vec<Answer>, StoreError>>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Writer {
    claim: Claim,
    mark: Mark,
    /// `None` while it is not known whether the server is there, and what it has carried out.
    attached: Option<Open>,
    /// How far the ledger was when it was last heard of.
    seen: u64,
    /// Parts of open holds, which their settlements are computed from.
    parts: BTreeMap<HoldId, Split>,
    history: History,
    /// When it was last written down how far the ledger has come.
    marked: Instant,
}

#[derive(Debug)]
struct Open {
    link: Link,
    token: String,
}

impl Writer {
    /// Takes the ledger over for the first time. Holds of whoever had it before are released.
    pub(super) async fn open(mut claim: Claim, mut mark: Mark) -> Result<Self, OpenError> {
        let Attachment { link, token, ledger, found, revision } =
            claim.attach(&mark, true, MENDED_AT_START).await?;
        // Once is enough.
        claim.announces = false;
        if found < mark.revision {
            tell_loss(mark.revision - found, found);
        }
        let is_new = mark.ledger.is_none();
        (mark.ledger, mark.revision) = (Some(ledger), revision);
        if is_new {
            mark.write_durably()?;
        }
        let attached = Some(Open { link, token });
        let (parts, history) = (BTreeMap::new(), History::default());
        Ok(Self { claim, mark, attached, seen: revision, parts, history, marked: Instant::now() })
    }

    /// Works until the queue is closed, or until the ledger can no longer be trusted. What is in the queue then is dropped, which
    /// its callers notice.
    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        while let Some(first) = queue.recv().await {
            let mut group = vec![first];
            let mut verbs = group[0].verbs.len();
            while verbs < GROUP_MAX {
                let Ok(job) = queue.try_recv() else { break };
                verbs += job.verbs.len();
                group.push(job);
            }
            let trouble = self.carry_out(&mut group).await.err();
            if let Some(trouble) = trouble {
                self.attached = None;
                let may_pass = trouble.may_pass();
                let trouble = Arc::new(trouble);
                if !may_pass {
                    tracing::error!(error = %trouble, "the ledger stops");
                    return;
                }
                for job in group {
                    tell(job, Err(StoreError::Unavailable(Box::new(Arc::clone(&trouble)))));
                }
            }
            if self.marked.elapsed() >= MARK_EVERY {
                self.keep_mark();
            }
        }
        self.keep_mark();
    }

    /// Carries out the verbs of all jobs, and answers those that are done. What is left in `group` then has failed.
    async fn carry_out(&mut self, group: &mut Vec<Job>) -> Result<(), Trouble> {
        self.attach().await?;
        let jobs = std::mem::take(group);
        let verbs: Vec<&Verb> = jobs.iter().flat_map(|job| &job.verbs).collect();
        let mut answers = Vec::with_capacity(verbs.len());
        let mut result = Ok(());
        while answers.len() < verbs.len() && result.is_ok() {
            result = self.carry_out_some(&verbs, &mut answers).await;
        }
        // An operator's command may end with its answer, and this task with it.
        if verbs.iter().any(|verb| matches!(verb, Verb::Grant { .. })) {
            self.keep_mark();
        }
        // Only a whole job has answers: of what fails, nobody knows more.
        let mut answers = answers.into_iter();
        for job in jobs {
            if answers.len() < job.verbs.len() {
                answers = Vec::new().into_iter();
                group.push(job);
                continue;
            }
            let of_job = answers.by_ref().take(job.verbs.len()).collect();
            tell(job, Ok(of_job));
        }
        result
    }

    /// Carries out the verbs that are without an answer, up to the first settlement of a hold whose parts are not known, or that is
    /// opened by one of them, perhaps with other parts than it had before. If that settlement is the first of them, it alone.
    async fn carry_out_some(&mut self, verbs: &[&Verb], answers: &mut Vec<Answer>) -> Result<(), Trouble> {
        let rest = &verbs[answers.len()..];
        let mut opened = BTreeSet::new();
        let is_unknown = |verb: &&Verb| match verb {
            Verb::Hold { hold, .. } => {
                opened.insert(*hold);
                false
            }
            Verb::Settle(sale) => opened.contains(&sale.hold) || !self.parts.contains_key(&sale.hold),
            _ => false,
        };
        let count = match rest.iter().position(is_unknown) {
            // It may be one that is opened just before it.
            Some(0) => 1,
            Some(unknown) => unknown,
            None => rest.len(),
        };
        for (verb, value) in rest[..count].iter().zip(self.send(&rest[..count]).await?) {
            let value = value.map_err(Trouble::from)?;
            let (revision, reached) = reached(verb, &value)?;
            match reached {
                Reached::Answer(answer) => {
                    self.learn(verb, &answer, revision);
                    answers.push(answer);
                }
                Reached::Parts(parts) => {
                    let Verb::Settle(Settlement { hold, .. }) = verb else { continue };
                    if self.parts.insert(*hold, parts) == Some(parts) {
                        return Err(Trouble::Garbled("the parts of a hold that it was told".into()));
                    }
                    // The verbs behind it have been carried out already, if there were any: there are none.
                    break;
                }
            }
        }
        Ok(())
    }

    async fn send(&mut self, verbs: &[&Verb]) -> Result<Vec<redis::RedisResult<Value>>, Trouble> {
        let Some(Open { link, token }) = &mut self.attached else {
            return Err(Trouble::Garbled("it is not attached".into()));
        };
        let mut pipeline = redis::Pipeline::with_capacity(verbs.len());
        for verb in verbs {
            let parts = match verb {
                Verb::Settle(sale) => self.parts.get(&sale.hold).copied().unwrap_or_default(),
                _ => Split::default(),
            };
            pipeline.add_command(Call::of(verb, parts).command(&self.claim.keys, token, self.seen));
        }
        Ok(link.send(&mut pipeline).await?)
    }

    /// Remembers what an answer says.
    fn learn(&mut self, verb: &Verb, answer: &Answer, revision: u64) {
        let mut parts = Split::default();
        match (verb, answer) {
            (Verb::Hold { hold, .. }, Answer::Held { granted, paid }) => {
                self.parts.insert(*hold, Split { granted: *granted, paid: *paid });
            }
            (Verb::Settle(Settlement { hold, .. }) | Verb::Release { hold }, _) => {
                parts = self.parts.remove(hold).unwrap_or_default();
            }
            (Verb::Expire { .. }, Answer::Expired { holds }) => {
                for hold in holds {
                    self.parts.remove(hold);
                }
            }
            _ => {}
        }
        if revision > self.seen {
            self.seen = revision;
            self.history.push(revision, verb.clone(), parts, answer.clone());
        }
    }

    /// Makes sure that the ledger obeys. One that has lost changes gets them again.
    async fn attach(&mut self) -> Result<(), Trouble> {
        if self.attached.is_some() {
            return Ok(());
        }
        let attachment =
            self.claim.attach(&self.mark, false, MENDED_MEANWHILE).await.map_err(|error| again(&error))?;
        let Attachment { link, token, revision, .. } = attachment;
        self.attached = Some(Open { link, token });
        let lost = self.seen.saturating_sub(revision);
        if lost == 0 {
            if revision > self.seen {
                // What was sent and never answered was carried out.
                self.history.clear();
                self.parts.clear();
            }
            self.seen = revision;
            return Ok(());
        }
        let changes = self.history.after(revision);
        self.parts.clear();
        let before = std::mem::replace(&mut self.seen, revision);
        let brought_back = match self.bring_back(&changes).await {
            Ok(count) => count,
            Err(trouble) => {
                self.seen = before;
                return Err(trouble);
            }
        };
        if self.seen != before {
            self.history.clear();
        }
        let missing = lost.saturating_sub(brought_back);
        tracing::error!(
            ledger.revision = revision,
            ledger.lost = lost,
            ledger.brought_back = brought_back,
            "the ledger's server has come back without its last changes; they were carried out again"
        );
        if missing > 0 {
            tell_loss(missing, revision);
        }
        Ok(())
    }

    /// Carries out once more what a ledger has lost, in the same order and with the same ids. Returns how many came to the same.
    async fn bring_back(&mut self, changes: &[super::history::Change]) -> Result<u64, Trouble> {
        let mut same = 0;
        for change in changes {
            if let Verb::Settle(Settlement { hold, .. }) = &change.verb {
                self.parts.insert(*hold, change.parts);
            }
            let verbs = [&change.verb];
            let mut answers = Vec::new();
            while answers.is_empty() {
                self.carry_out_again(&verbs, &mut answers).await?;
            }
            same += u64::from(answers.first() == Some(&change.answer));
        }
        Ok(same)
    }

    /// As [`Writer::carry_out_some`], without adding to the history what is in it.
    async fn carry_out_again(&mut self, verbs: &[&Verb], answers: &mut Vec<Answer>) -> Result<(), Trouble> {
        let history = std::mem::take(&mut self.history);
        let result = self.carry_out_some(verbs, answers).await;
        self.history = history;
        result
    }

    /// Writes down how far the ledger has come, so that a loss is noticed after a restart.
    fn keep_mark(&mut self) {
        self.marked = Instant::now();
        if self.mark.revision != self.seen {
            self.mark.revision = self.seen;
            if let Err(error) = self.mark.write() {
                tracing::warn!(%error, "how far the ledger has come is not written down");
            }
        }
    }
}

/// What a failed attempt to attach again means.
fn again(error: &OpenError) -> Trouble {
    if matches!(error, OpenError::Busy { .. }) {
        return Trouble::TakenOver;
    }
    if error.may_pass() { Trouble::Other(error.to_string()) } else { Trouble::Broken(error.to_string()) }
}

/// Changes are gone that nobody can bring back.
fn tell_loss(missing: u64, revision: u64) {
    crate::metrics::ledger_lost(missing);
    tracing::error!(
        ledger.revision = revision,
        ledger.lost = missing,
        "the ledger's server has lost its last changes for good: services may have work that they were not charged for, and \
         workers may miss earnings; see docs/reliability.md"
    );
}

/// A caller that has gone away is no matter: it asks again with the same ids, or has lost interest.
fn tell(job: Job, answers: Result<Vec<Answer>, StoreError>) {
    let _ = job.reply.send(answers);
}
