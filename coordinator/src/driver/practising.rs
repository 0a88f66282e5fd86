//! What is asked over MQTT with keys for tests: it never reaches the market.

use broker::bus::Bus;
use marketplace::limits::TIMEOUT_MAX;
use marketplace::{Caller, NewRequest, RequestKey};
use shared::pow::{Root, Threshold};
use shared::{Outcome, Refusal};
use tokio::task::AbortHandle;

use super::{Driver, ReplyTo};

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Practising {
    caller: Caller,
    /// What is wanted.
    what: (Root, Threshold),
    task: AbortHandle,
}

impl<B: Bus> Driver<B> {
    /// Has a request answered, apart from all others. Asking again under the same name waits for the same answer, in place of whoever
    /// asked before.
    pub(super) fn practise(&mut self, new: NewRequest, reply_to: ReplyTo) {
        let (caller, key, what) = (new.caller, new.key, (new.root, new.threshold));
        let known = self.practising.get(&key).map(|known| (known.caller, known.what));
        self.waiting.insert(known.filter(|known| known.1 == what).map_or(caller, |known| known.0), reply_to);
        match known {
            Some(known) if known.1 == what => return,
            Some(_) => return self.tell(caller, key, Outcome::Refused(Refusal::Conflict)),
            None => {}
        }
        if self.parts.admission.rates.take(key.service).is_err() {
            return self.tell(caller, key, Outcome::Refused(Refusal::RateLimited));
        }
        let practice = self.parts.admission.practice.clone();
        let task = self.practice.spawn(async move {
            let limit = new.timeout.min(TIMEOUT_MAX);
            (caller, key, practice.answer(new.root, new.threshold, limit).await)
        });
        self.practising.insert(key, Practising { caller, what, task });
    }

    /// A request has been answered.
    pub(super) fn practised(&mut self, (caller, key, outcome): (Caller, RequestKey, Outcome)) {
        if self.practising.get(&key).is_some_and(|practising| practising.caller == caller) {
            self.practising.remove(&key);
        }
        self.tell(caller, key, outcome);
    }

    /// A service is no longer interested. Returns whether it was one of these requests.
    pub(super) fn end_practice(&mut self, key: RequestKey) -> bool {
        let Some(Practising { caller, task, .. }) = self.practising.remove(&key) else { return false };
        task.abort();
        self.tell(caller, key, Outcome::Refused(Refusal::Cancelled));
        true
    }
}
