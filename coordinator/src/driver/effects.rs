//! What becomes of the market's effects: messages to sessions, verbs for the store, words to whoever waits.

use broker::bus::{Bus, Down};
use marketplace::{Caller, Effect, RequestKey};
use shared::Outcome;
use shared::protocol::{Form, NetworkStatistics, ServiceReply, Topic, encode};
use tokio::sync::oneshot;
use tracing::debug;

use super::lists::with_newest_lists;
use super::{Driver, ReplyTo};
use crate::ledger_link::verb_of;
use crate::{metrics, request_log};

impl<B: Bus> Driver<B> {
    pub(super) fn publish(&self, topic: Topic, payload: Vec<u8>) {
        self.parts.bus.send(Down::Publish { topic, payload: payload.into() });
    }

    pub(super) fn carry_out(&mut self) {
        for effect in with_newest_lists(&mut self.effects) {
            if let Some(verb) = verb_of(&effect) {
                self.verbs.push(verb);
                continue;
            }
            match effect {
                Effect::List { session, worker, list } => {
                    self.traffic.list_sent();
                    metrics::list_sent();
                    self.send(self.sessions.message(session, Topic::WorkRequest(worker), &list));
                }
                Effect::Verdict { session, worker, notice } => {
                    metrics::result_judged(notice.verdict);
                    self.sessions.judged(session, notice.verdict);
                    debug!(
                        worker.id = %worker,
                        job.id = %notice.job,
                        work.root = %notice.root,
                        verdict = notice.verdict.as_str(),
                        "a result was judged"
                    );
                    self.send(self.sessions.message(session, Topic::WorkVerdict(worker), &notice));
                    if notice.verdict.counts_against_worker() {
                        self.parts.bus.send(Down::Penalize { session });
                    }
                }
                Effect::Reply { caller, key, outcome } => self.reply(caller, key, outcome),
                Effect::Watch { account, is_watched } => self.parts.watchlist.set(account, is_watched),
                Effect::LookUp { account } => self.parts.watchlist.look_up(account),
                Effect::AccountsReply { caller, taken } => {
                    if let Some(ReplyTo::Accounts(reply)) = self.waiting.remove(&caller) {
                        let (kept, is_kept) = oneshot::channel();
                        self.told.push(kept);
                        let _ = reply.send((taken, is_kept));
                    }
                }
                Effect::PrefetchReply { caller, taken } => {
                    if let Some(ReplyTo::Prefetch(reply)) = self.waiting.remove(&caller) {
                        let _ = reply.send(taken);
                    }
                }
                Effect::Progress { key, root, step } => {
                    metrics::progressed(step);
                    request_log::progressed(key, root, step);
                }
                Effect::Statistics(statistics) => self.statistics(statistics),
                // Turned into verbs above.
                Effect::Hold { .. }
                | Effect::Settle(_)
                | Effect::Release { .. }
                | Effect::KeepWatch(_)
                | Effect::DropWatch { .. } => {}
            }
        }
        if !self.verbs.is_empty() || !self.told.is_empty() {
            self.parts.ledger.send(std::mem::take(&mut self.verbs), std::mem::take(&mut self.told));
        }
    }

    fn send(&self, down: Option<Down>) {
        if let Some(down) = down {
            self.parts.bus.send(down);
        }
    }

    pub(super) fn reply(&mut self, caller: Caller, key: RequestKey, outcome: Outcome) {
        metrics::request_ended(&outcome);
        request_log::ended(key, &outcome);
        self.tell(caller, key, outcome);
    }

    pub(super) fn tell(&mut self, caller: Caller, key: RequestKey, outcome: Outcome) {
        match self.waiting.remove(&caller) {
            // A client that has hung up is told nothing; the market hears of it by itself.
            Some(ReplyTo::Http(reply)) => drop(reply.send(outcome)),
            Some(ReplyTo::Session(session)) => {
                let reply = ServiceReply { request: key.request, outcome: outcome.into() };
                self.send(self.sessions.message(session, Topic::ServiceReply(key.service), &reply));
            }
            // Neither of these waits for a request.
            Some(ReplyTo::Accounts(_) | ReplyTo::Prefetch(_)) | None => {}
        }
    }

    /// What the market says, and what it cannot know.
    pub(super) fn complete(&self, said: NetworkStatistics) -> NetworkStatistics {
        let requests_refused = said.requests_refused + self.parts.admission.congestion.refused();
        NetworkStatistics { requests_refused, ..self.traffic.complete(said) }
    }

    fn statistics(&mut self, statistics: NetworkStatistics) {
        self.traffic.second_over(&statistics);
        let statistics = self.complete(statistics);
        metrics::statistics(&statistics);
        let (used, running) = self.parts.market.precache_used();
        metrics::precache(&used, running, self.parts.watchlist.len());
        self.publish(Topic::StatsNetwork, encode(&statistics, Form::Json));
    }
}
