//! The way from a dialect to the source, the same for all of them.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::request::Parts;
use shared::link::AddressPrefix;
use shared::{Answer, Outcome, Refusal, RequestId, ServiceId};
use tokio::sync::Semaphore;
use tracing::{debug, error, warn};

use crate::credential::address;
use crate::limits::{ANSWER_GRACE, SOCKETS_MAX};
use crate::quota::Visitor;
use crate::source::{Answered, Asker, Source, WorkRequest};
use crate::v1::Detached;

/// What the handlers of all routes share. All clones are one: each request makes several.
#[derive(Debug)]
pub(crate) struct Edge<S>(Arc<Shared<S>>);

impl<S> Clone for Edge<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

#[derive(Debug)]
struct Shared<S> {
    source: S,
    payer: Option<ServiceId>,
    detached: Detached,
    /// Where proxies of ours are, whose word about a client's address is taken.
    proxies: Vec<AddressPrefix>,
    /// Places for connections that have become a `WebSocket`.
    sockets: Arc<Semaphore>,
}

/// A request that was not answered with work, and its name, where one is known.
pub(crate) struct Refused {
    pub(crate) request: Option<RequestId>,
    pub(crate) refusal: Refusal,
    /// Whether it is certain that nothing was charged.
    pub(crate) is_uncharged: bool,
}

impl<S: Source> Edge<S> {
    /// Everybody asks on the account of `payer`; without one, on that of the service whose key is given.
    pub(crate) fn new(source: S, payer: Option<ServiceId>, proxies: &[AddressPrefix]) -> Self {
        let sockets = Arc::new(Semaphore::new(SOCKETS_MAX));
        let (proxies, detached) = (proxies.to_vec(), Detached::default());
        Self(Arc::new(Shared { source, payer, detached, proxies, sockets }))
    }

    /// On whose account everybody asks, if it is on one.
    pub(crate) fn payer(&self) -> Option<ServiceId> {
        self.0.payer
    }

    /// Places for connections that have become a `WebSocket`.
    pub(crate) fn sockets(&self) -> Arc<Semaphore> {
        Arc::clone(&self.0.sockets)
    }

    /// Requests that nobody waits for.
    pub(crate) fn detached(&self) -> &Detached {
        &self.0.detached
    }

    pub(crate) fn source(&self) -> &S {
        &self.0.source
    }

    /// Where a request is from, as far as it can be believed.
    pub(crate) fn address(&self, parts: &Parts) -> Option<IpAddr> {
        address(parts, &self.0.proxies)
    }

    /// Whom a request is from, by the key that came with it.
    ///
    /// # Errors
    /// [`Refusal::Unauthenticated`] when a key is needed and there is none, else as [`Source::authenticate`].
    pub(crate) fn authenticate(&self, parts: &Parts, key: Option<&str>) -> Result<Asker, Refusal> {
        let asker = if let Some(service) = self.payer() {
            Asker { service, key: None, is_test: false }
        } else {
            self.source().authenticate(key.ok_or(Refusal::Unauthenticated)?, self.address(parts))?
        };
        Visitor::note(&parts.extensions, asker);
        Ok(asker)
    }

    /// Asks for work. Ends at the latest [`ANSWER_GRACE`] after the request's deadline, whatever the source does: a request
    /// that is never answered would occupy its connection for ever. Dropping the future withdraws the request.
    ///
    /// # Errors
    /// [`Refused`] as the source refuses it, or with [`Refusal::Fault`] when the source does not answer.
    #[tracing::instrument(
        name = "bridge.request.ask",
        level = "debug",
        skip_all,
        fields(service.id = %asker.service, work.root = %request.root, work.threshold = %request.threshold)
    )]
    pub(crate) async fn ask(
        &self,
        asker: Asker,
        request: WorkRequest,
    ) -> Result<(RequestId, Answer), Refused> {
        let limit = request.timeout + ANSWER_GRACE;
        let Ok(Answered { request, outcome }) =
            tokio::time::timeout(limit, self.source().ask(asker, request)).await
        else {
            error!(request.id = request.request.map(tracing::field::display), "a request was never answered");
            return Err(Refused { request: request.request, refusal: Refusal::Fault, is_uncharged: false });
        };
        match outcome {
            Outcome::Answered(answer) => {
                let Answer { source, elapsed_ms, .. } = answer;
                debug!(request.id = %request, work.source = %source, duration_ms = elapsed_ms, "work was given");
                Ok((request, answer))
            }
            Outcome::Refused(refusal) => {
                debug!(request.id = %request, refusal.code = %refusal, "work was refused");
                Err(Refused { request: Some(request), refusal, is_uncharged: true })
            }
            Outcome::Unsettled => {
                warn!(request.id = %request, "work was found, but its settlement takes too long");
                let refusal = Refusal::StoreUnavailable;
                Err(Refused { request: Some(request), refusal, is_uncharged: false })
            }
        }
    }
}

/// A name for a request that was given none; none where the system has no random numbers.
pub(crate) fn draw_request_id() -> Option<RequestId> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).ok()?;
    Some(RequestId::from_u128(u128::from_be_bytes(bytes)))
}
