//! The sole owner of the market: collects what has happened, hands it in, and carries out what comes out.
//!
//! Always: lists (which cancel) leave before the ledger is asked; the verbs of everything that happened at once go to the store
//! as one batch; a reply to a settled request follows its durable settlement, since it is the answer to it.
//!
//! It has a thread of its own ([`DriverThread`]), so that it waits for no other part, and no other part waits for it.

mod command;
mod effects;
mod lists;
mod practising;
mod thread;
mod traffic;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use broker::bus::{Bus, Down, Subject, Up};
use broker::identity::Identity;
use futures_util::FutureExt;
use marketplace::precache::{Frontier, PrecacheRefused, Prefetched};
use marketplace::{
    Caller, Effects, Input, Marketplace, NamedAccounts, NewRequest, Prefetch, RequestKey, Withdrawal,
    WorkerReport,
};
use shared::protocol::{Topic, WorkKind};
use shared::{Network, Outcome, Refusal, ServiceId, SessionId, Timestamp};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tracing::{debug, error, info, warn};

use crate::clock::Clock;
use crate::health::Health;
use crate::intake::admission::Admission;
use crate::intake::congestion::Handed;
use crate::intake::http::Callers;
use crate::intake::mqtt::{self, Uplink};
use crate::intake::registry::Registry;
use crate::ledger_link::{Executed, LedgerLink, Told, input_of};
use crate::metrics;
use crate::node::Watchlist;
use crate::request_log::{self, Way};
use crate::sessions::Sessions;
use crate::snapshot;
use crate::store::{ServiceState, StoreError, Verb};
pub(crate) use command::{AccountsTaken, Command};
use practising::Practising;
pub(crate) use thread::DriverThread;
use traffic::Traffic;

/// How often the heartbeat goes out, holds are looked through, and a store that is away is tried.
const TICK: Duration = Duration::from_secs(1);
/// How often the store is told which keys are in use.
const USES_EVERY: Duration = Duration::from_mins(1);
/// Most things that are handled before their effects are carried out: a batch for the store, not a queue.
const BATCH: usize = 256;

/// Why the driver cannot go on. Each means that the process must end.
#[derive(Debug, Error)]
pub enum DriverError {
    /// The store has stopped for good.
    #[error(
        "the ledger has stopped: its disk has failed, or a batch would have left it wrong; check the disk, run `dpow ledger audit`, then start again"
    )]
    StoreStopped,
    /// All gates have stopped by themselves.
    #[error("the MQTT gate has stopped by itself; start again")]
    GateStopped,
    /// It has panicked: an error of ours.
    #[error("a part of the coordinator has failed: the log says how; please report it, and start again")]
    Panicked,
}

/// Where an outcome goes.
#[derive(Debug)]
enum ReplyTo {
    Http(oneshot::Sender<Outcome>),
    Session(SessionId),
    Accounts(oneshot::Sender<AccountsTaken>),
    Prefetch(oneshot::Sender<Result<Vec<Prefetched>, PrecacheRefused>>),
}

/// What the driver is made of.
#[derive(Debug)]
pub(crate) struct Parts<B> {
    /// The only clock.
    pub(crate) clock: Clock,
    /// Whose thresholds apply.
    pub(crate) network: Network,
    /// The market.
    pub(crate) market: Marketplace,
    /// The gates.
    pub(crate) bus: B,
    /// The store.
    pub(crate) ledger: LedgerLink,
    /// What is asked of it.
    pub(crate) commands: mpsc::UnboundedReceiver<Command>,
    /// Numbers callers.
    pub(crate) callers: Callers,
    /// Whose time is over, and who may not ask.
    pub(crate) registry: Registry,
    /// How fast the others may, and what else stands before the market; told how much that has to do.
    pub(crate) admission: Admission,
    /// Told what is wrong.
    pub(crate) health: Arc<Health>,
    /// Told which accounts are of interest.
    pub(crate) watchlist: Watchlist,
    /// What nodes say of them; closed where there is no node.
    pub(crate) frontiers: mpsc::Receiver<Frontier>,
}

/// The driver.
#[derive(Debug)]
pub(crate) struct Driver<B> {
    parts: Parts<B>,
    effects: Effects,
    sessions: Sessions,
    traffic: Traffic,
    waiting: BTreeMap<Caller, ReplyTo>,
    /// What the market is handed over HTTP.
    handed: Handed,
    /// What is asked with keys for tests.
    practising: BTreeMap<RequestKey, Practising>,
    practice: JoinSet<(Caller, RequestKey, Outcome)>,
    verbs: Vec<Verb>,
    /// Who is told once these verbs are carried out.
    told: Told,
    is_store_up: bool,
    drained: Option<oneshot::Sender<()>>,
    is_draining: bool,
    /// When the store is next told which keys are in use.
    uses_due: Timestamp,
}

impl<B: Bus> Driver<B> {
    /// Puts the parts together.
    pub(crate) fn new(parts: Parts<B>) -> Self {
        let (uses_due, shut) = (parts.clock.now() + USES_EVERY, parts.registry.shut_services());
        let handed = parts.admission.congestion.handed();
        let mut driver = Self {
            parts,
            effects: Effects::new(),
            sessions: Sessions::default(),
            traffic: Traffic::default(),
            waiting: BTreeMap::new(),
            handed,
            practising: BTreeMap::new(),
            practice: JoinSet::new(),
            verbs: Vec::new(),
            told: Told::new(),
            is_store_up: true,
            drained: None,
            is_draining: false,
            uses_due,
        };
        for service in shut {
            driver.input(Input::ServiceSuspended { service });
        }
        driver
    }

    /// Runs until the gates have stopped after a drain, or until `end` is there or has gone. Whoever waits then hears nothing of
    /// its outcome: its settlement may be under way.
    ///
    /// # Errors
    /// [`DriverError`] when it cannot go on.
    async fn run(mut self, mut end: oneshot::Receiver<()>) -> Result<(), DriverError> {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let wake = self.parts.market.poll_timeout().map(|at| self.parts.clock.instant_of(at));
            let sleep = async {
                match wake {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = &mut end => return Ok(()),
                up = self.parts.bus.receive() => match up {
                    Some(up) => self.up(up),
                    None if self.is_draining => return Ok(()),
                    None => return Err(DriverError::GateStopped),
                },
                Some(command) = self.parts.commands.recv() => self.command(command),
                Some(executed) = self.parts.ledger.executed() => self.executed(executed)?,
                Some(frontier) = self.parts.frontiers.recv() => self.input(Input::FrontierSeen(frontier)),
                Some(Ok(practised)) = self.practice.join_next() => self.practised(practised),
                () = sleep => {}
                _ = tick.tick() => self.tick(),
            }
            self.take_what_has_come()?;
            let now = self.parts.clock.now();
            self.parts.market.handle_timeout(now, &mut self.effects);
            self.tell_congestion();
            self.carry_out();
            self.tell_when_drained();
        }
    }

    /// Takes further inputs that are there already, so that their effects go out as one batch.
    fn take_what_has_come(&mut self) -> Result<(), DriverError> {
        for _ in 0..BATCH {
            let mut is_idle = true;
            if let Some(Some(up)) = self.parts.bus.receive().now_or_never() {
                self.up(up);
                is_idle = false;
            }
            if let Ok(command) = self.parts.commands.try_recv() {
                self.command(command);
                is_idle = false;
            }
            if let Some(Some(executed)) = self.parts.ledger.executed().now_or_never() {
                self.executed(executed)?;
                is_idle = false;
            }
            if is_idle {
                break;
            }
        }
        Ok(())
    }

    fn input(&mut self, input: Input) {
        let now = self.parts.clock.now();
        self.parts.market.handle(now, input, &mut self.effects);
    }

    fn up(&mut self, up: Up) {
        match up {
            Up::Joined { session, identity, remote } => {
                debug!(session.id = %session, role = identity.role().as_str(), client.address = %remote.ip(), "joined");
                self.sessions.join(session, identity, remote, self.parts.clock.now());
                if let Identity::Worker { worker, payee } = identity {
                    self.input(Input::WorkerJoined { session, worker, payee });
                }
            }
            Up::Left { session } => {
                debug!(session.id = %session, "left");
                if let Some(Identity::Worker { .. }) = self.sessions.leave(session) {
                    self.input(Input::WorkerLeft { session });
                }
            }
            Up::Message { session, topic, payload } => match mqtt::read(topic, &payload) {
                Ok((uplink, form)) => {
                    self.sessions.spoke(session, form);
                    self.uplink(session, uplink);
                }
                Err(problem) => {
                    metrics::message_malformed();
                    debug!(session.id = %session, mqtt.topic = %topic, error = %problem, "a message could not be read");
                }
            },
        }
    }

    fn uplink(&mut self, session: SessionId, uplink: Uplink) {
        let identity = self.sessions.identity(session);
        match (uplink, identity) {
            (Uplink::Result(result), Some(Identity::Worker { .. })) => {
                self.input(Input::ResultReceived { session, result });
            }
            (Uplink::Report(report), Some(Identity::Worker { .. })) => {
                if matches!(report, WorkerReport::Status(_)) {
                    self.traffic.status_received();
                    metrics::status_received();
                }
                self.sessions.reported(session, &report);
                self.input(Input::WorkerReported { session, report });
            }
            (Uplink::Request(request), Some(Identity::Service { service, key })) => {
                let new = NewRequest {
                    caller: self.parts.callers.next(),
                    key: RequestKey { service, request: request.request },
                    root: request.root,
                    threshold: request.demand.threshold(self.parts.network),
                    timeout: mqtt::timeout_of(&request),
                    account: request.account,
                    class: request.class.unwrap_or(WorkKind::OnDemand),
                    spender: self.parts.registry.spender(key),
                };
                let reply_to = ReplyTo::Session(session);
                if self.parts.registry.is_test(key) {
                    self.practise(new, reply_to);
                } else {
                    self.receive(new, Way::Mqtt, reply_to);
                }
            }
            (Uplink::Cancel(request), Some(Identity::Service { service, .. })) => {
                let key = RequestKey { service, request };
                if self.end_practice(key) {
                    return;
                }
                self.input(Input::RequestWithdrawn(Withdrawal::Request(key)));
            }
            // The session has left meanwhile, or the gate let a topic through that is not its role's.
            _ => {}
        }
    }

    /// Hands a request to the market, unless its service asks too fast. Asking again under a known name is no more work, and a
    /// service whose connection is back does it for all that it has open.
    fn receive(&mut self, new: NewRequest, way: Way, reply_to: ReplyTo) {
        request_log::arrived(&new, way);
        self.waiting.insert(new.caller, reply_to);
        if !self.parts.market.knows(&new.key) && self.parts.admission.rates.take(new.key.service).is_err() {
            return self.reply(new.caller, new.key, Outcome::Refused(Refusal::RateLimited));
        }
        self.input(Input::RequestReceived(new));
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Ask { new, reply, place } => {
                self.handed.push(place);
                self.receive(new, Way::Http, ReplyTo::Http(reply));
            }
            Command::Withdraw(withdrawal) => self.input(Input::RequestWithdrawn(withdrawal)),
            Command::Audited { is_green } => self.input(Input::LedgerAudited { is_green }),
            Command::SetServiceState { service, state, done } => {
                self.set_service_state(service, state);
                // Whoever asked for it may have gone.
                let _ = done.send(());
            }
            Command::Revoke { subject, done } => {
                self.revoke(subject);
                let _ = done.send(());
            }
            Command::NameAccounts { named, reply } => {
                let caller = self.parts.callers.next();
                self.waiting.insert(caller, ReplyTo::Accounts(reply));
                self.input(Input::AccountsNamed(NamedAccounts { caller, ..named }));
            }
            Command::Prefetch { prefetch, reply } => {
                let caller = self.parts.callers.next();
                self.waiting.insert(caller, ReplyTo::Prefetch(reply));
                self.input(Input::PrefetchReceived(Prefetch { caller, ..prefetch }));
            }
            Command::SetPrecache { service, terms, done } => {
                self.input(Input::PrecacheSet { service, terms });
                let _ = done.send(());
            }
            Command::Precaching { service, reply } => {
                let (now, market) = (self.parts.clock.now(), &self.parts.market);
                let services = match service {
                    Some(service) => vec![service],
                    None => market.precaching_services().collect(),
                };
                let states = services.into_iter().map(|service| (service, market.precache_of(now, service)));
                let _ = reply.send(states.collect());
            }
            Command::SpendingLeft { spender, reply } => {
                let now = self.parts.clock.now();
                let _ = reply.send(self.parts.market.spending_left(now, spender));
            }
            Command::Snapshot(reply) => {
                let now = self.parts.clock.now();
                let statistics = self.complete(self.parts.market.statistics());
                let _ =
                    reply.send(snapshot::take(now, statistics, self.parts.market.board(), &self.sessions));
            }
            Command::Drain { grace, drained } => {
                self.is_draining = true;
                self.parts.health.set_draining();
                self.drained = Some(drained);
                let ends = self.parts.clock.now() + grace;
                self.input(Input::Drain { ends });
            }
        }
    }

    fn set_service_state(&mut self, service: ServiceId, state: ServiceState) {
        if state == ServiceState::Active {
            return self.input(Input::ServiceResumed { service });
        }
        self.input(Input::ServiceSuspended { service });
        // Whoever asks over MQTT is told before its connection ends, if it reads as fast as that.
        self.carry_out();
        self.revoke(Subject::Service(service));
    }

    fn revoke(&self, subject: Subject) {
        self.parts.bus.send(Down::Revoke { subject });
    }

    fn executed(&mut self, (verbs, told, answers): Executed) -> Result<(), DriverError> {
        match answers {
            Ok(answers) => {
                // Whoever waited for it may have gone.
                for told in told {
                    let _ = told.send(());
                }
                self.store_is(true);
                for (verb, answer) in verbs.iter().zip(&answers) {
                    if let Some(input) = input_of(verb, answer) {
                        self.input(input);
                    } else if !has_no_input(verb) {
                        error!(ledger.verb = ?verb, ledger.answer = ?answer, "the ledger gave an answer that does not belong to its verb");
                    }
                }
                Ok(())
            }
            Err(StoreError::Stopped) => Err(DriverError::StoreStopped),
            Err(StoreError::Unavailable(cause)) => {
                if self.is_store_up {
                    warn!(error = %cause, "the ledger cannot be reached; paid requests are refused until it is back");
                }
                self.store_is(false);
                Ok(())
            }
        }
    }

    /// The store has been found to be there, or away.
    fn store_is(&mut self, up: bool) {
        if self.is_store_up == up {
            return;
        }
        self.is_store_up = up;
        self.parts.health.set_store(up);
        metrics::store_is(up);
        if up {
            info!("the ledger is back");
        }
        self.input(if up { Input::StoreUp } else { Input::StoreDown });
    }

    /// Each second: expired holds, which also finds out whether the store is there, expired keys, and the heartbeat if all is well.
    fn tick(&mut self) {
        let now = self.parts.clock.now();
        self.verbs.push(Verb::Expire { now });
        for key in self.parts.registry.take_ended(now) {
            self.revoke(Subject::Key(key));
        }
        if self.uses_due <= now {
            self.uses_due = now + USES_EVERY;
            self.tell_uses(now);
        }
        if self.parts.health.readiness().is_ready() {
            self.publish(Topic::Heartbeat, Vec::new());
        }
    }

    /// Tells the store which keys are in use, as those of open connections are. What it does not take is not told again.
    fn tell_uses(&mut self, now: Timestamp) {
        for key in self.sessions.keys() {
            self.parts.registry.used(key, now);
        }
        let used = self.parts.registry.take_used();
        if !used.is_empty() {
            self.verbs.push(Verb::KeysUsed { used });
        }
    }

    /// Says how many requests keep the market from taking others, so that those are refused where they arrive. While it takes none
    /// for another reason, it says that itself.
    fn tell_congestion(&mut self) {
        let takes = self.is_store_up && !self.is_draining;
        let taken = if takes { self.parts.market.ledger_unanswered() } else { 0 };
        self.handed.count(taken);
    }

    fn tell_when_drained(&mut self) {
        if self.drained.is_some()
            && self.parts.market.is_idle()
            && let Some(drained) = self.drained.take()
        {
            // Nobody waits any more: the process stops anyway.
            let _ = drained.send(());
        }
    }
}

/// Whether the market is not concerned by the answer to a verb.
const fn has_no_input(verb: &Verb) -> bool {
    matches!(verb, Verb::Expire { .. } | Verb::KeysUsed { .. } | Verb::KeepWatch(_) | Verb::DropWatch { .. })
}

#[cfg(test)]
mod tests;
