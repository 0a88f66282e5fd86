//! Requests that nobody waits for on the connection that asked: begun, and fetched later by their names.
//!
//! Always: a service sees its own alone. What is open ends by its own deadline at the latest; what has ended is kept for
//! [`DETACHED_KEPT`], or until [`DETACHED_ENDED_MAX`] later ones of the same service have ended. The market remembers names for as
//! long, and what was paid for for longer, so what is forgotten here can be asked for again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shared::pow::{Root, Threshold};
use shared::protocol::WorkKind;
use shared::{Refusal, RequestId, ServiceId};
use tokio::sync::watch;
use tokio::time::Instant;

use super::answer::{self, Given};
use super::status::Status;
use crate::edge::{Edge, draw_request_id};
use crate::limits::{DETACHED_ENDED_MAX, DETACHED_KEPT, DETACHED_MAX, DETACHED_OPEN_MAX};
use crate::problem::Problem;
use crate::source::{Asker, Source, WorkRequest};

/// How a request ended.
pub(crate) type Ended = Result<Given, Problem>;

/// What is to be done for a request that has been entered.
enum Entered {
    /// It is new: its number, and where its end is told.
    New(u64, watch::Sender<Option<Ended>>),
    /// It is open, but was not as urgent before.
    Lifted,
    /// It is open.
    Open,
}

/// See the module. Copies share everything.
#[derive(Debug, Clone, Default)]
pub(crate) struct Detached(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    services: BTreeMap<ServiceId, Own>,
    /// Of all services, open and ended.
    count: usize,
    /// Numbers begun requests, so that one is not taken for a later one of the same name.
    begun: u64,
}

/// The requests of one service.
#[derive(Debug, Default)]
struct Own {
    requests: BTreeMap<RequestId, Entry>,
    /// Those that have ended, oldest first. A name may be in use again since.
    ended: VecDeque<(Instant, RequestId, u64)>,
    open: usize,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    root: Root,
    threshold: Threshold,
    class: WorkKind,
    state: watch::Receiver<Option<Ended>>,
}

impl Table {
    /// Forgets what has been kept long enough, of one service.
    fn forget(&mut self, service: ServiceId, now: Instant) {
        let Some(own) = self.services.get_mut(&service) else { return };
        while let Some((at, request, number)) = own.ended.front().copied() {
            if own.ended.len() <= DETACHED_ENDED_MAX && now.duration_since(at) < DETACHED_KEPT {
                break;
            }
            own.ended.pop_front();
            if own.requests.get(&request).is_some_and(|entry| entry.number == number) {
                own.requests.remove(&request);
                self.count -= 1;
            }
        }
        if own.requests.is_empty() {
            self.services.remove(&service);
        }
    }

    /// Enters a request, unless it is there and open already.
    fn enter(
        &mut self,
        service: ServiceId,
        request: RequestId,
        asked: &WorkRequest,
        now: Instant,
    ) -> Result<Entered, Refusal> {
        self.forget(service, now);
        if self.count >= DETACHED_MAX {
            for service in self.services.keys().copied().collect::<Vec<_>>() {
                self.forget(service, now);
            }
        }
        let own = self.services.entry(service).or_default();
        let known = own.requests.get_mut(&request);
        let is_new = known.is_none();
        if let Some(open) = known.filter(|entry| entry.state.borrow().is_none()) {
            if (open.root, open.threshold) != (asked.root, asked.threshold) {
                return Err(Refusal::Conflict);
            }
            let is_lifted = asked.class < open.class;
            open.class = open.class.min(asked.class);
            return Ok(if is_lifted { Entered::Lifted } else { Entered::Open });
        }
        if own.open >= DETACHED_OPEN_MAX || (is_new && self.count >= DETACHED_MAX) {
            return Err(Refusal::Overloaded);
        }
        self.begun += 1;
        let (end, state) = watch::channel(None);
        let WorkRequest { root, threshold, class, .. } = *asked;
        let entry = Entry { number: self.begun, root, threshold, class, state };
        own.requests.insert(request, entry);
        own.open += 1;
        self.count += usize::from(is_new);
        Ok(Entered::New(self.begun, end))
    }

    fn end(&mut self, service: ServiceId, request: RequestId, number: u64, now: Instant) {
        if let Some(own) = self.services.get_mut(&service) {
            own.open -= 1;
            own.ended.push_back((now, request, number));
        }
        self.forget(service, now);
    }
}

impl Detached {
    /// Nothing is left half done under this lock.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a request, or joins the one of that name that is open. Returns its name.
    ///
    /// # Errors
    /// When the name is in use for something else, or there are too many.
    pub(crate) fn begin<S: Source>(
        &self,
        edge: &Edge<S>,
        asker: Asker,
        asked: WorkRequest,
    ) -> Result<RequestId, Problem> {
        let service = asker.service;
        let Some(request) = asked.request.or_else(draw_request_id) else {
            return Err(Problem::refused(Refusal::Fault, None));
        };
        let entered = self.lock().enter(service, request, &asked, Instant::now());
        let entered = entered.map_err(|refusal| Problem::refused(refusal, Some(request)))?;
        let asked = WorkRequest { request: Some(request), ..asked };
        let (detached, edge) = (self.clone(), edge.clone());
        match entered {
            Entered::New(number, end) => {
                tokio::spawn(async move {
                    let ended = answer::ask(&edge, asker, asked).await;
                    end.send_replace(Some(ended));
                    detached.lock().end(service, request, number, Instant::now());
                });
            }
            // Whoever asks under its name joins it, and is what makes it urgent. Its end is told to the first alone.
            Entered::Lifted => {
                tokio::spawn(async move { answer::ask(&edge, asker, asked).await });
            }
            Entered::Open => {}
        }
        Ok(request)
    }

    /// What tells how a service's request stands, and how it ends.
    pub(crate) fn watch(
        &self,
        service: ServiceId,
        request: RequestId,
    ) -> Option<watch::Receiver<Option<Ended>>> {
        let mut table = self.lock();
        table.forget(service, Instant::now());
        Some(table.services.get(&service)?.requests.get(&request)?.state.clone())
    }

    /// How a service's request stands.
    pub(crate) fn status(&self, service: ServiceId, request: RequestId) -> Option<Status> {
        let state = self.watch(service, request)?;
        let state = state.borrow();
        Some(Status::new(request, state.as_ref()))
    }
}
