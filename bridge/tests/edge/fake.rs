//! A source that records what it is asked and answers when it is told to, and a way to put one request to its router.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use bridge::source::{Answered, Asker, PrecacheRefused, Prefetched, Quota, Readiness, Usage, WorkRequest};
use bridge::{Settings, Source};
use shared::pow::{Nonce, Root, Threshold, Work};
use shared::{Account, Answer, Millicredits, Network, Outcome, Refusal, RequestId, ServiceId, WorkSource};
use tokio::sync::watch;
use tower::ServiceExt;

/// A root of the known-answer vectors, its nonce, and what that attains.
pub(crate) const ROOT: &str = "718CC2121C3E641059BC1C2CFC45666C99E8AE922F7A807B7D07B62C995D79E2";
pub(crate) const NONCE: &str = "2b3d689bbcb21dca";
/// The id that the source draws for requests without one.
pub(crate) const DRAWN: RequestId = RequestId::from_u128(0xd);

/// Accounts, and whether they are to be watched.
pub(crate) type Named = (Vec<Account>, bool);

/// See the module.
#[derive(Clone)]
pub(crate) struct Fake {
    network: Network,
    /// What every request is answered with; requests wait while it is `None`.
    outcome: watch::Sender<Option<Outcome>>,
    asked: watch::Sender<Vec<(ServiceId, WorkRequest)>>,
    /// How many requests were dropped before they were answered.
    dropped: watch::Sender<usize>,
    /// Accounts that were named last, and whether to be watched.
    named: Arc<Mutex<Option<Named>>>,
    is_settling: Arc<AtomicBool>,
    is_key_gone: Arc<AtomicBool>,
    withdrawn: watch::Sender<Vec<(ServiceId, RequestId)>>,
    roots_withdrawn: Arc<Mutex<Vec<(ServiceId, Root)>>>,
    readiness: Arc<Mutex<Readiness>>,
    quota: Arc<Mutex<Option<Quota>>>,
}

impl Fake {
    pub(crate) fn answering(outcome: Outcome) -> Self {
        Self::on(Network::Live, Some(outcome))
    }

    pub(crate) fn silent() -> Self {
        Self::on(Network::Live, None)
    }

    pub(crate) fn on(network: Network, outcome: Option<Outcome>) -> Self {
        Self {
            network,
            outcome: watch::Sender::new(outcome),
            asked: watch::Sender::new(Vec::new()),
            dropped: watch::Sender::new(0),
            named: Arc::default(),
            is_settling: Arc::default(),
            is_key_gone: Arc::default(),
            withdrawn: watch::Sender::new(Vec::new()),
            roots_withdrawn: Arc::default(),
            quota: Arc::default(),
            readiness: Arc::new(Mutex::new(Readiness { parts: vec![("store", None), ("broker", None)] })),
        }
    }

    pub(crate) fn router(&self) -> Router {
        bridge::router(self.clone(), &Settings::default())
    }

    pub(crate) fn limit(&self, quota: Quota) {
        *self.quota.lock().unwrap() = Some(quota);
    }

    pub(crate) fn named(&self) -> Option<Named> {
        self.named.lock().unwrap().take()
    }

    pub(crate) fn asked(&self) -> Vec<(ServiceId, WorkRequest)> {
        self.asked.borrow().clone()
    }

    /// From now on the key `k1` is nobody's.
    pub(crate) fn take_key_away(&self) {
        self.is_key_gone.store(true, Ordering::Relaxed);
    }

    pub(crate) fn withdrawn(&self) -> Vec<(ServiceId, RequestId)> {
        self.withdrawn.borrow().clone()
    }

    /// From now on what is withdrawn goes on all the same.
    pub(crate) fn settle(&self) {
        self.is_settling.store(true, Ordering::Relaxed);
    }

    pub(crate) fn roots_withdrawn(&self) -> Vec<(ServiceId, Root)> {
        self.roots_withdrawn.lock().unwrap().clone()
    }

    pub(crate) fn dropped(&self) -> usize {
        *self.dropped.borrow()
    }

    pub(crate) fn answer_now(&self, outcome: Outcome) {
        self.outcome.send_replace(Some(outcome));
    }

    pub(crate) fn break_part(&self, part: usize, trouble: &str) {
        self.readiness.lock().unwrap().parts[part].1 = Some(trouble.into());
    }

    pub(crate) async fn until_asked(&self, times: usize) {
        let mut asked = self.asked.subscribe();
        in_time(asked.wait_for(|asked| asked.len() >= times)).await.unwrap();
    }

    pub(crate) async fn until_dropped(&self, times: usize) {
        let mut dropped = self.dropped.subscribe();
        in_time(dropped.wait_for(|dropped| *dropped >= times)).await.unwrap();
    }
}

/// Counts a request that ends without an answer.
struct Open<'a>(Option<&'a watch::Sender<usize>>);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if let Some(dropped) = self.0 {
            dropped.send_modify(|count| *count += 1);
        }
    }
}

impl Source for Fake {
    fn network(&self) -> Network {
        self.network
    }

    fn authenticate(&self, key: &str, _: Option<IpAddr>) -> Result<Asker, Refusal> {
        let asker = |service| Ok(Asker { service, key: None, is_test: false });
        match key {
            "k1" if !self.is_key_gone.load(Ordering::Relaxed) => asker(shop()),
            "key of one that has not opted in" => asker("poor".parse().unwrap()),
            "key of the suspended" => Err(Refusal::Suspended),
            "key while the store is away" => Err(Refusal::StoreUnavailable),
            _ => Err(Refusal::Unauthenticated),
        }
    }

    fn quota(&self, _: Asker) -> Option<Quota> {
        *self.quota.lock().unwrap()
    }

    async fn ask(&self, Asker { service, .. }: Asker, request: WorkRequest) -> Answered {
        let mut open = Open(Some(&self.dropped));
        self.asked.send_modify(|asked| asked.push((service, request)));
        let (mut outcome, mut withdrawn) = (self.outcome.subscribe(), self.withdrawn.subscribe());
        let is_meant = |name: &(ServiceId, RequestId)| {
            name.0 == service && Some(name.1) == request.request && !self.is_settling.load(Ordering::Relaxed)
        };
        let outcome = tokio::select! {
            outcome = outcome.wait_for(Option::is_some) => outcome.unwrap().unwrap(),
            _ = withdrawn.wait_for(|names| names.iter().any(is_meant)) => Outcome::Refused(Refusal::Cancelled),
        };
        open.0 = None;
        Answered { request: request.request.unwrap_or(DRAWN), outcome }
    }

    async fn withdraw(&self, service: ServiceId, request: RequestId) {
        self.withdrawn.send_modify(|withdrawn| withdrawn.push((service, request)));
    }

    async fn withdraw_root(&self, service: ServiceId, root: Root) {
        self.roots_withdrawn.lock().unwrap().push((service, root));
    }

    async fn name_accounts(
        &self,
        service: ServiceId,
        accounts: Vec<Account>,
        is_watched: bool,
    ) -> Result<usize, PrecacheRefused> {
        if service != shop() {
            return Err(PrecacheRefused::Off);
        }
        let count = accounts.len();
        *self.named.lock().unwrap() = Some((accounts, is_watched));
        match count {
            7 => Err(PrecacheRefused::AccountsOfService),
            8 => Err(PrecacheRefused::Accounts),
            9 => Err(PrecacheRefused::Refused(Refusal::StoreUnavailable)),
            _ => Ok(count),
        }
    }

    async fn prefetch(
        &self,
        _service: ServiceId,
        roots: Vec<Root>,
        threshold: Threshold,
    ) -> Result<Vec<Prefetched>, PrecacheRefused> {
        if threshold != self.network.send_threshold() {
            return Err(PrecacheRefused::Refused(Refusal::ThresholdOutOfRange));
        }
        let states = [Prefetched::Ready, Prefetched::Running, Prefetched::OverBudget].into_iter().cycle();
        Ok(states.take(roots.len()).collect())
    }

    async fn usage(&self, _service: ServiceId) -> Result<Usage, PrecacheRefused> {
        Ok(Usage { precache: true, hits: 3, saved_ms: 1500, ..Usage::default() })
    }

    fn readiness(&self) -> Readiness {
        self.readiness.lock().unwrap().clone()
    }

    fn metrics(&self) -> String {
        "dpow_jobs_in_flight 3\n".into()
    }
}

/// The service that the key `k1` belongs to.
pub(crate) fn shop() -> ServiceId {
    "shop".parse().unwrap()
}

/// Work for [`ROOT`], charged in full.
pub(crate) fn work_given() -> Outcome {
    work_of(ROOT.parse().unwrap(), NONCE.parse().unwrap())
}

/// A nonce for a root, whatever it is worth there.
pub(crate) fn work_of(root: Root, nonce: Nonce) -> Outcome {
    Outcome::Answered(Answer {
        work: Work::verify(root, nonce, Threshold::new(0)).unwrap(),
        source: WorkSource::OnDemand,
        elapsed_ms: 1204,
        charged: Millicredits::new(1000),
        balance: Some(Millicredits::new(41_500)),
    })
}

pub(crate) fn threshold(text: &str) -> Threshold {
    text.parse().unwrap()
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// Puts one request to a router, without a socket.
pub(crate) async fn call(
    router: Router,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> Reply {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = router.oneshot(request.body(body.into()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    Reply { status: parts.status, headers: parts.headers, body: String::from_utf8(body.into()).unwrap() }
}

/// Fails a test whose condition never comes true.
pub(crate) async fn in_time<T>(condition: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_mins(1), condition).await.expect("the condition should come true")
}
