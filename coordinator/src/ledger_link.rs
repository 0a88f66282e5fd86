//! The way between the driver and the store: batches of verbs out, their answers back, in flight side by side.

use std::sync::Arc;
use std::time::Instant;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use marketplace::{Effect, Input, SettleOrder};
use tokio::sync::{mpsc, oneshot};

use crate::metrics;
use crate::store::{Answer, Settlement, Store, StoreError, Verb};

/// Who is told once a batch is durable; they hear nothing if it was not carried out.
pub(crate) type Told = Vec<oneshot::Sender<()>>;

/// A batch, who is told of it, and what became of it.
pub(crate) type Executed = (Vec<Verb>, Told, Result<Vec<Answer>, StoreError>);

/// The driver's end.
#[derive(Debug)]
pub(crate) struct LedgerLink {
    verbs: mpsc::UnboundedSender<(Vec<Verb>, Told)>,
    executed: mpsc::UnboundedReceiver<Executed>,
}

impl LedgerLink {
    /// Connects to a store. What is under way is bounded by the market: one ledger effect for each open request.
    pub(crate) fn start(store: Arc<dyn Store>) -> Self {
        let (verbs, batches) = mpsc::unbounded_channel();
        let (done, executed) = mpsc::unbounded_channel();
        tokio::spawn(carry(store, batches, done));
        Self { verbs, executed }
    }

    /// Hands over a batch. Batches are begun in the order in which they are handed over.
    pub(crate) fn send(&self, verbs: Vec<Verb>, told: Told) {
        // The task ends only when this end is dropped.
        let _ = self.verbs.send((verbs, told));
    }

    /// The next batch that has been carried out.
    pub(crate) async fn executed(&mut self) -> Option<Executed> {
        self.executed.recv().await
    }
}

async fn carry(
    store: Arc<dyn Store>,
    mut batches: mpsc::UnboundedReceiver<(Vec<Verb>, Told)>,
    done: mpsc::UnboundedSender<Executed>,
) {
    let mut running = FuturesUnordered::new();
    loop {
        tokio::select! {
            // New batches first, so that the store can commit them together with those that wait.
            biased;
            batch = batches.recv() => match batch {
                Some((verbs, told)) => {
                    let (begun, answers) = (Instant::now(), store.execute(verbs.clone()));
                    running.push(async move { (verbs, told, answers.await, begun) });
                }
                None => break,
            },
            Some((verbs, told, answers, begun)) = running.next() => {
                metrics::store_executed(begun.elapsed());
                if done.send((verbs, told, answers)).is_err() {
                    break;
                }
            }
        }
    }
}

/// The verb that an effect on the ledger asks for; `None` for all other effects.
pub(crate) fn verb_of(effect: &Effect) -> Option<Verb> {
    Some(match *effect {
        Effect::Hold { hold, service, amount, expires, purse } => {
            Verb::Hold { hold, service, amount, expires, purse }
        }
        Effect::Release { hold } => Verb::Release { hold },
        Effect::Settle(SettleOrder { hold, service, work, threshold, worker, payee, at }) => {
            Verb::Settle(Settlement {
                hold,
                service,
                root: work.root(),
                nonce: work.nonce(),
                difficulty: work.difficulty(),
                threshold,
                worker,
                payee,
                at,
            })
        }
        Effect::KeepWatch(watch) => Verb::KeepWatch(watch),
        Effect::DropWatch { service, account } => Verb::DropWatch { service, account },
        Effect::Watch { .. }
        | Effect::LookUp { .. }
        | Effect::AccountsReply { .. }
        | Effect::PrefetchReply { .. }
        | Effect::List { .. }
        | Effect::Verdict { .. }
        | Effect::Reply { .. }
        | Effect::Progress { .. }
        | Effect::Statistics(_) => return None,
    })
}

/// What an answer of the store means to the market; `None` where it is not concerned, or where the store contradicts itself.
pub(crate) fn input_of(verb: &Verb, answer: &Answer) -> Option<Input> {
    Some(match (verb, answer) {
        (Verb::Hold { hold, .. }, Answer::Held { .. }) => Input::Held { hold: *hold },
        (Verb::Hold { hold, .. }, Answer::HoldRefused { .. }) => Input::HoldRefused { hold: *hold },
        (Verb::Settle(Settlement { hold, .. }), Answer::Settled { charged, balance, earned }) => {
            Input::Settled { hold: *hold, charged: *charged, balance: *balance, earned: *earned }
        }
        (Verb::Settle(Settlement { hold, .. }), Answer::HoldGone) => Input::SettleRefused { hold: *hold },
        (Verb::Release { hold }, Answer::Released) => Input::Released { hold: *hold },
        _ => return None,
    })
}
