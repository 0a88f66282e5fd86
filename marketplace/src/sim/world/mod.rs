//! What happens: the agenda of a run, and everybody who acts in it.

mod customer;
mod driver;
mod fleet;
mod ledger;
mod mischief;
mod tally;

use core::fmt;
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use shared::pow::Root;
use shared::protocol::WorkList;
use shared::{JobId, ServiceId, SessionId, Timestamp};

pub use self::driver::Tamper;
pub use self::fleet::population;

use self::customer::Asker;
use self::driver::Driver;
use self::tally::Tally;
use super::agenda::Agenda;
use super::auditor::{Opening, Rule};
use super::class::Scale;
use super::log::{Line, Log};
use super::original::Original;
use super::random::Random;
use super::report::Report;
use super::scenario::Scenario;
use super::store::Store;
use super::worker::{Uplink, Worker};
use super::{Class, Failure};
use crate::effect::Effect;
use crate::input::{Input, Withdrawal};

/// When a run begins; any time will do.
const START: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);
/// How often the store is asked to look through its holds.
const TICK: Duration = Duration::from_secs(1);
/// Nothing is longer on its way than this.
const QUIET: Duration = Duration::from_secs(20);
/// After the last request everything must have come to rest within this time.
const REST_MAX: Duration = Duration::from_mins(30);

/// Something that is going to happen.
#[derive(Debug)]
enum Event {
    /// A service asks.
    Asks {
        customer: usize,
    },
    /// Somebody is no longer interested.
    Withdraws(Box<Withdrawal>),
    /// The store gets an effect.
    StoreGets(Box<Effect>),
    /// The market gets the store's answer; of which run it is.
    StoreAnswers {
        instance: u64,
        input: Box<Input>,
    },
    /// A worker gets a list.
    Listed {
        worker: usize,
        session: SessionId,
        list: Rc<WorkList>,
    },
    /// A worker gets a verdict.
    Judged {
        worker: usize,
        job: JobId,
    },
    /// The coordinator gets a message of a worker.
    Sent {
        session: SessionId,
        uplink: Uplink,
    },
    /// A worker has something to do by itself, unless its alarm was set anew.
    Alarm {
        worker: usize,
        number: u32,
    },
    /// The same for a client of the original network.
    ClientAlarm {
        client: usize,
        number: u32,
    },
    Connects {
        worker: usize,
    },
    Disconnects {
        worker: usize,
        session: SessionId,
    },
    /// The coordinator hears late that a session has ended.
    LateLeft {
        session: SessionId,
    },
    /// A sleeper falls asleep or wakes up.
    TurnsOver {
        worker: usize,
    },
    ChangesMood {
        worker: usize,
    },
    Flood,
    FloodEnds(Vec<SessionId>),
    /// The store looks through its holds.
    Tick,
    OutageBegins,
    /// The coordinator notices that the store is away.
    OutageIsSeen,
    OutageEnds,
    ClockJumps,
    PolicyChanges,
    Suspension,
    AuditIsRed,
    AuditIsGreen,
    Resumes(ServiceId),
    Crash,
}

pub(super) struct World<'a> {
    scenario: &'a Scenario,
    scale: Scale,
    /// The true time.
    now: Timestamp,
    agenda: Agenda<Event>,
    driver: Driver<'a>,
    random: Random,
    workers: Vec<Worker>,
    original: Option<Original>,
    /// Which worker a session belongs to, if to any that is modelled.
    owners: Vec<Option<usize>>,
    /// What each worker was listed last.
    listed: Vec<Vec<JobId>>,
    /// The same of ids of a flood.
    listed_to_flood: BTreeMap<SessionId, Vec<JobId>>,
    /// Sessions that stand for the topics of the original network.
    relays: Vec<Relay>,
    store: Store,
    outage: StoreState,
    instance: u64,
    askers: Vec<Asker>,
    /// Roots that were asked for lately, by whomsoever.
    roots: VecDeque<(Root, Class)>,
    tally: Tally,
    /// Since when nobody asks any more.
    calm_since: Option<Timestamp>,
    /// Since when nothing is open.
    quiet_since: Option<Timestamp>,
    /// Expected hashes of the job of the result that is being judged.
    judged_hashes: f64,
}

/// Whether the store can be reached, and whether the coordinator knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StoreState {
    There,
    Away,
    KnownAway,
}

#[derive(Debug)]
struct Relay {
    worker: shared::WorkerId,
    payee: shared::Payee,
    session: SessionId,
}

impl<'a> World<'a> {
    pub(super) fn new(
        scenario: &'a Scenario,
        log: Option<&'a mut dyn fmt::Write>,
        tamper: Option<Tamper<'a>>,
    ) -> Self {
        let mut random = Random::new(scenario.seed);
        let classes = scenario.customers.iter().flat_map(|customer| &customer.mix);
        let scale = Scale::of(classes.filter(|(_, weight)| *weight > 0.0).map(|(class, _)| *class));
        let mut log = Log::to(log);
        log.write(|| Line::Scenario(Box::new(scenario.clone())));
        let policy = scale.policy(scenario.dispatch);
        let opening = Opening { instance: 1, policy, now: START, settled: Vec::new() };
        let mut world = Self {
            scenario,
            scale,
            now: START,
            agenda: Agenda::new(),
            driver: Driver::new(&opening, scenario.is_audited, log, tamper),
            random: random.split(),
            workers: Vec::new(),
            original: None,
            owners: Vec::new(),
            listed: Vec::new(),
            listed_to_flood: BTreeMap::new(),
            relays: Vec::new(),
            store: Store::default(),
            outage: StoreState::There,
            instance: 1,
            askers: Vec::new(),
            roots: VecDeque::new(),
            tally: Tally::new(scenario),
            calm_since: None,
            quiet_since: None,
            judged_hashes: 0.0,
        };
        world.bring_fleet(&mut random);
        world.bring_customers(&mut random);
        world.bring_mischief();
        world.agenda.put(START + TICK, Event::Tick);
        world
    }

    /// Runs until everything has come to rest, or a rule is broken.
    pub(super) fn run(mut self) -> Result<Report, Failure> {
        while self.driver.broken.is_none() {
            let wakes = self.driver.wakes_at();
            let next = self.agenda.next();
            if self.is_over(next) {
                self.driver.rests();
                break;
            }
            self.tally.events += 1;
            match wakes {
                Some(wakes) if next.is_none_or(|next| wakes <= next) => {
                    self.now = self.now.max(wakes);
                    self.step(None);
                }
                _ => match self.agenda.pop() {
                    Some((at, event)) => {
                        self.now = self.now.max(at);
                        self.happens(event);
                    }
                    None => break,
                },
            }
            self.look_after_the_end();
        }
        match self.driver.broken.take() {
            Some(broken) => Err(Failure { seed: self.scenario.seed, broken }),
            None => Ok(self.report()),
        }
    }

    /// Whether nothing has been open for so long that nothing can be on its way any more.
    fn is_over(&mut self, next: Option<Timestamp>) -> bool {
        let is_quiet =
            self.calm_since.is_some() && self.driver.market().is_idle() && self.store.holds_open() == 0;
        self.quiet_since = self.quiet_since.or(Some(self.now)).filter(|_| is_quiet);
        self.quiet_since.is_some_and(|since| next.is_none_or(|next| next > since + QUIET))
    }

    fn report(&self) -> Report {
        let rates: Vec<f64> = self.workers.iter().map(|worker| worker.search.rate()).collect();
        match &self.original {
            None => self.tally.report(&rates, true),
            Some(original) => {
                let rates: Vec<f64> = original.clients.iter().map(|client| client.search.rate()).collect();
                self.tally.report(&rates, false)
            }
        }
    }

    /// After the last request, nothing further goes wrong, and everything must come to rest.
    fn look_after_the_end(&mut self) {
        match self.calm_since {
            None if self.tally.is_enough(self.scenario.lingers) => {
                self.calm_since = Some(self.now);
                self.calm_down();
            }
            Some(since) if self.now.since(since) > REST_MAX => {
                let (is_idle, holds) = (self.driver.market().is_idle(), self.store.holds_open());
                let state = format!(
                    "{REST_MAX:?} after the last request: idle {is_idle}, {holds} holds in the store, next {:?}",
                    self.agenda.pop()
                );
                self.driver.breaks(Rule::AllComesToRest, state);
            }
            _ => {}
        }
    }

    /// Hands in an input, or wakes the market, and carries out what comes out.
    fn step(&mut self, input: Option<Input>) {
        let mut effects = Vec::new();
        self.driver.step(self.now, input, &mut effects);
        self.tally.queue_max = self.tally.queue_max.max(self.driver.market().board().jobs_open());
        for effect in effects {
            self.carry_out(effect);
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Hold { .. } | Effect::Settle(_) | Effect::Release { .. } => self.ask_store(effect),
            Effect::List { session, list, .. } => self.send_list(session, list),
            Effect::Verdict { session, notice, .. } => self.send_verdict(session, &notice),
            Effect::Reply { caller, outcome, .. } => self.told(caller, outcome),
            Effect::Statistics(_)
            | Effect::Progress { .. }
            // No customer of the simulator has opted in to precaching.
            | Effect::Watch { .. }
            | Effect::LookUp { .. }
            | Effect::KeepWatch(_)
            | Effect::DropWatch { .. }
            | Effect::AccountsReply { .. }
            | Effect::PrefetchReply { .. } => {}
        }
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Asks { customer } => self.asks(customer),
            Event::Withdraws(withdrawal) => self.step(Some(Input::RequestWithdrawn(*withdrawal))),
            Event::StoreGets(effect) => self.store_gets(&effect),
            Event::StoreAnswers { instance, input } => self.store_answers(instance, *input),
            Event::Tick => self.tick(),
            Event::OutageBegins | Event::OutageIsSeen | Event::OutageEnds => self.outage_changes(&event),
            Event::ClockJumps => self.clock_jumps(),
            Event::PolicyChanges => self.policy_changes(),
            Event::Suspension => self.suspension(),
            Event::AuditIsRed => self.audit_is_red(),
            Event::AuditIsGreen => self.step(Some(Input::LedgerAudited { is_green: true })),
            Event::Resumes(service) => self.step(Some(Input::ServiceResumed { service })),
            Event::Crash => self.crash(),
            of_workers => self.worker_event(of_workers),
        }
    }

    /// A time that is random, with this mean.
    fn later(&mut self, mean_s: f64) -> Timestamp {
        self.now + seconds(mean_s * self.random.exponential())
    }

    /// Puts an event on the agenda again and again, with this mean time between, as long as somebody asks.
    fn put_again(&mut self, mean_s: Option<f64>, event: Event) {
        if let (Some(mean_s), None) = (mean_s, self.calm_since) {
            let at = self.later(mean_s);
            self.agenda.put(at, event);
        }
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)
}

fn milliseconds(milliseconds: f64) -> Duration {
    seconds(milliseconds / 1000.0)
}
