//! Whom the program's edges ask: the network, and when that does not answer, this machine and another work server.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bridge::Source;
use bridge::source::{Answered, Asker, Readiness, WorkRequest};
use client::{Client, State, Unanswered};
use metrics_exporter_prometheus::PrometheusHandle;
use shared::pow::{Root, Work};
use shared::protocol::{ServiceDemand, ServiceRequest};
use shared::{Answer, Millicredits, Network, Outcome, Refusal, RequestId, ServiceId, WorkSource};
use std::net::IpAddr;
use tokio::sync::oneshot;

use crate::elsewhere::Elsewhere;
use crate::local::Local;
use crate::recorder::{self, From};

/// See the module. Copies share everything.
#[derive(Clone)]
pub(crate) struct Relay {
    client: Client,
    network: Network,
    fallback: Fallback,
    patience: Duration,
    recorder: PrometheusHandle,
    open: Arc<Open>,
}

/// Who is asked when the network does not answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fallback {
    /// This machine.
    pub(crate) local: Option<Local>,
    /// Another work server.
    pub(crate) elsewhere: Option<Elsewhere>,
}

/// A request that may be withdrawn.
#[derive(Debug)]
struct Asked {
    request: RequestId,
    root: Root,
    withdraw: oneshot::Sender<()>,
}

/// Requests that may be withdrawn.
#[derive(Debug, Default)]
struct Open {
    requests: Mutex<BTreeMap<u64, Asked>>,
    next: AtomicU64,
}

/// An open request's place among them.
struct Place<'a> {
    open: &'a Open,
    number: u64,
}

impl Open {
    /// Nothing is left half done under this lock.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Asked>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place, and returns what tells that the request is withdrawn.
    fn enter(&self, request: RequestId, root: Root) -> (Place<'_>, oneshot::Receiver<()>) {
        let (withdraw, withdrawn) = oneshot::channel();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.lock().insert(number, Asked { request, root, withdraw });
        (Place { open: self, number }, withdrawn)
    }

    fn withdraw(&self, is_meant: impl Fn(&Asked) -> bool) {
        let mut requests = self.lock();
        for (_, asked) in requests.extract_if(.., |_, asked| is_meant(asked)) {
            // It may just have been answered.
            let _ = asked.withdraw.send(());
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.open.lock().remove(&self.number);
    }
}

/// Whether searching here can help with what the network has said: not where the request itself is wrong.
const fn can_help(unanswered: Unanswered) -> bool {
    !matches!(
        unanswered,
        Unanswered::Refused(
            Refusal::Malformed
                | Refusal::TooLarge
                | Refusal::ThresholdOutOfRange
                | Refusal::Conflict
                | Refusal::Cancelled
        )
    )
}

/// What a requester is told.
const fn outcome_of(unanswered: Unanswered) -> Outcome {
    match unanswered {
        // Nobody knows whether it was charged.
        Unanswered::Refused(Refusal::StoreUnavailable) | Unanswered::Away => Outcome::Unsettled,
        Unanswered::Refused(refusal) => Outcome::Refused(refusal),
        Unanswered::NoWork => Outcome::Refused(Refusal::Fault),
    }
}

impl Fallback {
    const fn is_nobody(&self) -> bool {
        self.local.is_none() && self.elsewhere.is_none()
    }

    /// Whether somebody can be expected to have work.
    fn is_able(&self) -> bool {
        self.local.is_some() || self.elsewhere.as_ref().is_some_and(|server| !server.has_failed())
    }

    /// The first work that is found; the other search ends. `None` when nobody has any.
    async fn search(&self, asked: &WorkRequest) -> Option<(From, Work)> {
        let here = async {
            let work = self.local.as_ref()?.search(asked.root, asked.threshold).await?;
            Some((From::Local, work))
        };
        let there = async {
            let found = self.elsewhere.as_ref()?.ask(asked.root, asked.threshold).await;
            let work = found
                .inspect_err(|error| tracing::warn!(%error, work.root = %asked.root, "the other work server is of no help"))
                .ok()?;
            Some((From::Elsewhere, work))
        };
        let (mut here, mut there) = (std::pin::pin!(here), std::pin::pin!(there));
        tokio::select! {
            found = here.as_mut() => match found {
                Some(found) => Some(found),
                None => there.await,
            },
            found = there.as_mut() => match found {
                Some(found) => Some(found),
                None => here.await,
            },
        }
    }
}

impl Relay {
    pub(crate) fn new(
        client: Client,
        network: Network,
        fallback: Fallback,
        patience: Duration,
        recorder: PrometheusHandle,
    ) -> Self {
        Self { client, network, fallback, patience, recorder, open: Arc::default() }
    }

    fn is_connected(&self) -> bool {
        *self.client.state().borrow() == State::Connected
    }

    async fn ask_network(&self, request: RequestId, asked: &WorkRequest) -> Result<Answer, Unanswered> {
        let demand = ServiceDemand::Threshold(asked.threshold);
        let timeout_ms = u32::try_from(asked.timeout.as_millis()).ok();
        let (root, account, class) = (asked.root, asked.account, Some(asked.class));
        self.client.ask(ServiceRequest { request, root, demand, account, timeout_ms, class }).await
    }

    async fn fall_back(&self, asked: &WorkRequest) -> Option<(From, Answer)> {
        let began = Instant::now();
        let (from, work) = self.fallback.search(asked).await?;
        let elapsed_ms = u32::try_from(began.elapsed().as_millis()).unwrap_or(u32::MAX);
        let charged = Millicredits::ZERO;
        let answer = Answer { work, source: WorkSource::OnDemand, elapsed_ms, charged, balance: None };
        Some((from, answer))
    }

    /// The first of both; what loses is dropped, which withdraws it.
    async fn race(&self, request: RequestId, asked: &WorkRequest) -> Outcome {
        let given = |from, answer| {
            recorder::given(from);
            Outcome::Answered(answer)
        };
        let mut network = std::pin::pin!(self.ask_network(request, asked));
        // A network that cannot even be reached is not waited for.
        let patience = if self.is_connected() { self.patience } else { Duration::ZERO };
        let unanswered = match tokio::time::timeout(patience, network.as_mut()).await {
            Ok(Ok(answer)) => return given(From::Network, answer),
            Ok(Err(unanswered)) if self.fallback.is_nobody() || !can_help(unanswered) => {
                return outcome_of(unanswered);
            }
            Ok(Err(unanswered)) => Some(unanswered),
            Err(_) => None,
        };
        let here = async {
            match self.fall_back(asked).await {
                Some(found) => found,
                // Nobody has any; the network may have yet.
                None => std::future::pending().await,
            }
        };
        let here = tokio::time::timeout(asked.timeout, here);
        if let Some(unanswered) = unanswered {
            tracing::debug!(request.id = %request, reason = %unanswered, "the network has no work; it is searched otherwise");
            return here.await.map_or(outcome_of(unanswered), |(from, answer)| given(from, answer));
        }
        let mut here = std::pin::pin!(here);
        tokio::select! {
            answer = network.as_mut() => match answer {
                Ok(answer) => given(From::Network, answer),
                Err(unanswered) if !can_help(unanswered) => outcome_of(unanswered),
                Err(unanswered) => here.await.map_or(outcome_of(unanswered), |(from, answer)| given(from, answer)),
            },
            Ok((from, answer)) = here.as_mut() => given(from, answer),
        }
    }
}

impl Source for Relay {
    fn network(&self) -> Network {
        self.network
    }

    /// Not asked: the edges are bound to the service, and whoever may connect asks on its account.
    fn authenticate(&self, _: &str, _: Option<IpAddr>) -> Result<Asker, Refusal> {
        Err(Refusal::Unauthenticated)
    }

    async fn ask(&self, _: Asker, asked: WorkRequest) -> Answered {
        let Some(request) = asked.request.or_else(new_request_id) else {
            let request = RequestId::from_u128(0);
            return Answered { request, outcome: Outcome::Refused(Refusal::Fault) };
        };
        let (_place, withdrawn) = self.open.enter(request, asked.root);
        let outcome = tokio::select! {
            outcome = self.race(request, &asked) => outcome,
            Ok(()) = withdrawn => Outcome::Refused(Refusal::Cancelled),
        };
        Answered { request, outcome }
    }

    async fn withdraw(&self, _: ServiceId, request: RequestId) {
        self.open.withdraw(|asked| asked.request == request);
    }

    async fn withdraw_root(&self, _: ServiceId, root: Root) {
        self.open.withdraw(|asked| asked.root == root);
    }

    fn readiness(&self) -> Readiness {
        let trouble = match &*self.client.state().borrow() {
            State::Connected => None,
            State::Connecting => Some("not connected yet".to_owned()),
            State::Disconnected { reason, .. } => Some(format!("not connected: {reason}")),
        };
        // What the network does not answer is answered otherwise.
        Readiness { parts: vec![("network", trouble.filter(|_| !self.fallback.is_able()))] }
    }

    fn metrics(&self) -> String {
        recorder::connected(self.is_connected());
        self.recorder.render()
    }
}

fn new_request_id() -> Option<RequestId> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).ok()?;
    Some(RequestId::from_u128(u128::from_be_bytes(bytes)))
}
