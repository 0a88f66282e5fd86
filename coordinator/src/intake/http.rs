//! What the HTTP edge asks of the coordinator in its own process.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bridge::source::{
    Allowance, Answered, Asker, Balance, DayAllowance, IssuedKey, OwnKey, OwnRefused, PrecacheRefused,
    Prefetched, Quota, Readiness, RegisterRefused, Registered, Source, Usage, WantedKey, WorkRequest,
};
use marketplace::precache as market;
use marketplace::{Caller, NamedAccounts, NewRequest, Prefetch, RequestKey, Withdrawal};
use metrics_exporter_prometheus::PrometheusHandle;
use shared::pow::{Root, Threshold};
use shared::{Account, KeyId, Network, Outcome, Refusal, RequestId, ServiceId};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::admission::Admission;
use super::own::OwnAffairs;
use super::rates::TooFast;
use super::registry::Registry;
use crate::answer::answer;
use crate::clock::Clock;
use crate::driver::Command;
use crate::entropy;
use crate::health::Health;
use crate::request_log::Way;
use crate::{metrics, request_log};

/// Numbers callers, over all ways in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Callers(Arc<AtomicU64>);

impl Callers {
    /// A number that was not used before.
    pub(crate) fn next(&self) -> Caller {
        Caller(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// The coordinator, as the HTTP edge sees it.
#[derive(Clone)]
pub(crate) struct InProcess {
    /// Whose thresholds apply.
    pub(crate) network: Network,
    /// Who may ask.
    pub(crate) registry: Registry,
    /// What services ask about themselves; there once all parts are.
    pub(crate) own: Arc<OnceLock<OwnAffairs>>,
    /// What stands before the market.
    pub(crate) admission: Admission,
    /// By which keys expire.
    pub(crate) clock: Clock,
    /// The driver.
    pub(crate) commands: mpsc::UnboundedSender<Command>,
    /// Numbers callers.
    pub(crate) callers: Callers,
    /// What is wrong, if anything is.
    pub(crate) health: Arc<Health>,
    /// The hardest that is sold, as a multiple of the network's send threshold.
    pub(crate) multiplier_max: f64,
    /// Renders metrics.
    pub(crate) metrics: PrometheusHandle,
}

/// Withdraws a caller that is dropped before it has its outcome: its client has hung up.
struct HangUp<'a> {
    caller: Option<Caller>,
    commands: &'a mpsc::UnboundedSender<Command>,
}

impl Drop for HangUp<'_> {
    fn drop(&mut self) {
        if let Some(caller) = self.caller.take() {
            // A driver that has stopped has nothing left to withdraw from.
            let _ = self.commands.send(Command::Withdraw(Withdrawal::Caller(caller)));
        }
    }
}

impl InProcess {
    fn own(&self) -> Result<&OwnAffairs, OwnRefused> {
        self.own.get().ok_or(OwnRefused::Refused(Refusal::StoreUnavailable))
    }

    /// What is said to a wrong key. A good one is always heard: whoever has it is not to suffer from others at its address.
    fn guessed(&self, from: Option<IpAddr>) -> Refusal {
        let (guesses, now) = (&self.admission.guesses, Instant::now());
        match from {
            Some(from) if guesses.held_back(from, now).is_some() => Refusal::RateLimited,
            Some(from) => {
                guesses.failed(from, now);
                Refusal::Unauthenticated
            }
            None => Refusal::Unauthenticated,
        }
    }

    /// Asks the driver something; `None` when it has stopped.
    async fn told<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (reply, told) = oneshot::channel();
        self.commands.send(command(reply)).ok()?;
        answer(told, self.commands.closed()).await
    }

    async fn outcome(&self, new: NewRequest) -> Outcome {
        let Some(place) = self.admission.congestion.enter(new.class) else {
            let outcome = Outcome::Refused(Refusal::Overloaded);
            request_log::arrived(&new, Way::Http);
            request_log::ended(new.key, &outcome);
            metrics::request_ended(&outcome);
            return outcome;
        };
        let (reply, outcome) = oneshot::channel();
        if self.commands.send(Command::Ask { new, reply, place }).is_err() {
            return Outcome::Refused(Refusal::Draining);
        }
        let mut hang_up = HangUp { caller: Some(new.caller), commands: &self.commands };
        // A driver that ends with the request open may have asked for its settlement already.
        let outcome = answer(outcome, self.commands.closed()).await.unwrap_or(Outcome::Unsettled);
        hang_up.caller = None;
        outcome
    }
}

impl Source for InProcess {
    fn network(&self) -> Network {
        self.network
    }

    fn authenticate(&self, key: &str, from: Option<IpAddr>) -> Result<Asker, Refusal> {
        let now = self.clock.now();
        let Some(proven) = self.registry.prove(key, from, now) else {
            return Err(self.guessed(from));
        };
        let asker = Asker { service: proven.service, key: Some(proven.key), is_test: proven.is_test };
        if self.registry.lets_in(proven, now) { Ok(asker) } else { Err(Refusal::Suspended) }
    }

    fn quota(&self, asker: Asker) -> Option<Quota> {
        Some(self.admission.rates.left(asker.service))
    }

    async fn allowance(&self, asker: Asker) -> Result<Allowance, Refusal> {
        // Those who try things out are given nothing harder than a send.
        let multiplier_max = if asker.is_test { self.multiplier_max.min(1.0) } else { self.multiplier_max };
        let spender = asker.key.filter(|_| !asker.is_test).and_then(|key| self.registry.spender(key));
        let spending = match spender {
            Some(spender) => {
                let left = self.told(|reply| Command::SpendingLeft { spender, reply }).await;
                let (per_day, left) = (spender.per_day, left.ok_or(Refusal::Draining)?);
                Some(DayAllowance { per_day_mc: per_day.as_u64(), left_mc: left.as_u64() })
            }
            None => None,
        };
        Ok(Allowance { multiplier_max: Some(multiplier_max), spending })
    }

    async fn ask(&self, asker: Asker, asked: WorkRequest) -> Answered {
        let Some(request) = asked.request.or_else(new_request_id) else {
            let request = RequestId::from_u128(0);
            return Answered { request, outcome: Outcome::Refused(Refusal::Fault) };
        };
        if asker.is_test {
            let outcome = match self.admission.rates.take(asker.service) {
                Ok(()) => self.admission.practice.answer(asked.root, asked.threshold, asked.timeout).await,
                Err(TooFast) => Outcome::Refused(Refusal::RateLimited),
            };
            return Answered { request, outcome };
        }
        let new = NewRequest {
            caller: self.callers.next(),
            key: RequestKey { service: asker.service, request },
            root: asked.root,
            threshold: asked.threshold,
            timeout: asked.timeout,
            account: asked.account,
            class: asked.class,
            spender: asker.key.and_then(|key| self.registry.spender(key)),
        };
        Answered { request, outcome: self.outcome(new).await }
    }

    async fn withdraw(&self, service: ServiceId, request: RequestId) {
        let key = RequestKey { service, request };
        let _ = self.commands.send(Command::Withdraw(Withdrawal::Request(key)));
    }

    async fn withdraw_root(&self, service: ServiceId, root: Root) {
        let _ = self.commands.send(Command::Withdraw(Withdrawal::Root { service, root }));
    }

    async fn name_accounts(
        &self,
        service: ServiceId,
        accounts: Vec<Account>,
        is_watched: bool,
    ) -> Result<usize, PrecacheRefused> {
        let stopping = PrecacheRefused::Refused(Refusal::Draining);
        // The driver numbers the caller.
        let named = NamedAccounts { caller: Caller(0), service, accounts, is_watched };
        let (taken, is_kept) =
            self.told(|reply| Command::NameAccounts { named, reply }).await.ok_or(stopping)?;
        let count = taken.map_err(refused)?;
        // It is in force; that it is kept is another matter.
        let unkept = PrecacheRefused::Refused(Refusal::StoreUnavailable);
        is_kept.await.map(|()| count).map_err(|_| unkept)
    }

    async fn prefetch(
        &self,
        service: ServiceId,
        roots: Vec<Root>,
        threshold: Threshold,
    ) -> Result<Vec<Prefetched>, PrecacheRefused> {
        let stopping = PrecacheRefused::Refused(Refusal::Draining);
        let prefetch = Prefetch { caller: Caller(0), service, roots, threshold };
        let taken = self.told(|reply| Command::Prefetch { prefetch, reply }).await.ok_or(stopping)?;
        Ok(taken.map_err(refused)?.into_iter().map(prefetched).collect())
    }

    async fn usage(&self, service: ServiceId) -> Result<Usage, PrecacheRefused> {
        let states = self.told(|reply| Command::Precaching { service: Some(service), reply }).await;
        let mut states = states.ok_or(PrecacheRefused::Refused(Refusal::Draining))?;
        let (_, state) = states.pop().ok_or(PrecacheRefused::Refused(Refusal::Fault))?;
        Ok(usage_of(&state))
    }

    async fn balance(&self, service: ServiceId) -> Result<Balance, OwnRefused> {
        self.own()?.balance(service).await
    }

    async fn keys(&self, service: ServiceId) -> Result<Vec<OwnKey>, OwnRefused> {
        self.own()?.keys(service).await
    }

    async fn issue_key(
        &self,
        asker: Asker,
        wanted: WantedKey,
        replaces: Option<(KeyId, u64)>,
    ) -> Result<IssuedKey, OwnRefused> {
        self.own()?.issue(asker, wanted, replaces).await
    }

    async fn revoke_key(&self, asker: Asker, key: KeyId, even_last: bool) -> Result<OwnKey, OwnRefused> {
        self.own()?.revoke(asker, key, even_last).await
    }

    async fn register(
        &self,
        service: ServiceId,
        from: Option<IpAddr>,
    ) -> Result<Registered, RegisterRefused> {
        let registration = self.admission.registration.as_ref().ok_or(RegisterRefused::Off)?;
        registration.register(service, from, self.clock.now()).await
    }

    fn readiness(&self) -> Readiness {
        self.health.readiness()
    }

    fn metrics(&self) -> String {
        self.metrics.render()
    }
}

/// Why nothing is computed ahead, in the words of the edge.
const fn refused(refused: market::PrecacheRefused) -> PrecacheRefused {
    match refused {
        market::PrecacheRefused::Off => PrecacheRefused::Off,
        market::PrecacheRefused::Suspended => PrecacheRefused::Refused(Refusal::Suspended),
        market::PrecacheRefused::AccountsOfService => PrecacheRefused::AccountsOfService,
        market::PrecacheRefused::Accounts => PrecacheRefused::Accounts,
        market::PrecacheRefused::Threshold => PrecacheRefused::Refused(Refusal::ThresholdOutOfRange),
    }
}

const fn prefetched(state: market::Prefetched) -> Prefetched {
    match state {
        market::Prefetched::Ready => Prefetched::Ready,
        market::Prefetched::Running => Prefetched::Running,
        market::Prefetched::Waiting => Prefetched::Waiting,
        market::Prefetched::OverBudget => Prefetched::OverBudget,
        market::Prefetched::Full => Prefetched::Full,
    }
}

fn usage_of(state: &market::PrecacheState) -> Usage {
    let market::PrecacheState { terms, spent_today, accounts, running, waiting, used } = *state;
    Usage {
        precache: terms.is_some(),
        budget_per_day_mc: terms.map_or(0, |terms| terms.budget_per_day.as_u64()),
        spent_today_mc: spent_today.as_u64(),
        accounts,
        running,
        waiting,
        computed: used.computed,
        charged_mc: used.charged.as_u64(),
        hits: used.hits,
        late: used.late,
        missed: used.missed,
        wasted: used.wasted,
        saved_ms: used.saved_ms,
    }
}

fn new_request_id() -> Option<RequestId> {
    entropy::bytes().ok().map(|bytes| RequestId::from_u128(u128::from_be_bytes(bytes)))
}
