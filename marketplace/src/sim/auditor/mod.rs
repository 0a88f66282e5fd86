//! The auditor: it sees what goes into a market, what comes out of it and what its store does, and nothing else. From that it
//! keeps its own, simpler picture of what must be, and says which rule is broken as soon as one is.
//!
//! It shares no code with the market or the ledger but the words in which they speak and the bounds in `limits`.

mod books;
mod hold;
mod list;
mod outcome;
mod verdict;

use core::fmt;
use core::time::Duration;

use serde::{Deserialize, Serialize};
use shared::pow::{Difficulty, Nonce, Root, Threshold, Work};
use shared::{HoldId, JobId, Payee, ServiceId, SessionId, Timestamp, WorkerId};
use thiserror::Error;

use self::books::Books;
use self::hold::Holds;
use self::list::Lists;
use self::outcome::Outcomes;
use self::verdict::Givens;
use super::store::StoreEvent;
use crate::cache::Found;
use crate::effect::Effect;
use crate::input::{Input, RequestKey, Withdrawal};
use crate::market::Start;
use crate::policy::Policy;
use crate::precache::PrecacheStart;

/// What must hold, whatever happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Rule {
    /// Whoever asks is told one outcome, and only who asks.
    EveryCallerIsToldOnce,
    /// An outcome is the one that the table of a request's life gives, and comes when it must.
    OutcomesAreTrue,
    /// Every hold is settled once or released once, and nothing else is ever asked of the store.
    HoldsAreClosedOnce,
    /// A price is what the rules said when the request came.
    PricesAreKept,
    /// Nothing is paid for but valid work, to whoever sent it.
    NoPayWithoutWork,
    /// What a service has paid for is free for it for a day.
    RepeatsAreFree,
    /// Balances sum to zero, nobody is below zero, and every movement is what it must be.
    BooksBalance,
    /// Lists go to workers that are there and willing, numbered upwards, and never too long.
    ListsFitTheirWorkers,
    /// What stands on a list is wanted by somebody, under one name.
    ListedJobsAreWanted,
    /// No job waits for a place while a worker that would do it has room.
    NoJobWaitsForNothing,
    /// A solved job is off all lists before the ledger is asked.
    CancelsComeBeforeMoney,
    /// A solution answers every waiter of its root whose threshold it meets, the dearest first.
    SolutionsAnswerAll,
    /// A result is judged once, and truly.
    VerdictsAreTrue,
    /// The statistics are what can be counted from outside.
    StatisticsAreTrue,
    /// When nothing happens any more, nothing is open.
    AllComesToRest,
}

/// A rule that was broken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{rule:?} is broken at {at}: {detail}")]
pub struct Broken {
    /// Which.
    pub rule: Rule,
    /// When, by the driver's clock.
    pub at: Timestamp,
    /// By what.
    pub detail: String,
}

/// How a market starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opening {
    /// The number of its run.
    pub instance: u64,
    /// Its rules.
    pub policy: Policy,
    /// The time of the driver's clock.
    pub now: Timestamp,
    /// What was settled lately.
    pub settled: Vec<Settled>,
}

/// A settlement of an earlier run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settled {
    /// Who paid.
    pub service: ServiceId,
    /// For which root.
    pub root: Root,
    /// For which nonce.
    pub nonce: Nonce,
    /// Who found it.
    pub worker: WorkerId,
    /// Who was paid.
    pub payee: Payee,
    /// When.
    pub at: Timestamp,
}

impl Opening {
    /// The market's own form of it.
    pub fn start(&self) -> Start {
        let found = |settled: &Settled| {
            let work = Work::verify(settled.root, settled.nonce, Threshold::new(0))?;
            Some((settled.service, Found { work, worker: settled.worker, payee: settled.payee }, settled.at))
        };
        Start {
            instance: self.instance,
            policy: self.policy,
            now: self.now,
            settled: self.settled.iter().filter_map(found).collect(),
            precache: PrecacheStart::default(),
            spent: Vec::new(),
        }
    }
}

type Check = Result<(), Broken>;

/// What the market is being told.
#[derive(Debug, Clone, Copy)]
enum Cause {
    /// Its time has come.
    Wake,
    Received,
    Withdrawn(Withdrawal),
    Held(HoldId),
    HoldRefused,
    Settled(HoldId),
    SettleRefused,
    Result(ResultSeen),
    StoreDown,
    StoreUp,
    Suspended(ServiceId),
    Other,
}

/// A result that has come from a session that is there.
#[derive(Debug, Clone, Copy)]
struct ResultSeen {
    session: SessionId,
    worker: WorkerId,
    job: JobId,
    root: Root,
    nonce: Nonce,
    difficulty: Difficulty,
    /// Whether somebody waits for it.
    solves: bool,
}

/// The auditor.
#[derive(Debug)]
pub struct Auditor {
    now: Timestamp,
    policy: Policy,
    cause: Cause,
    outcomes: Outcomes,
    holds: Holds,
    lists: Lists,
    givens: Givens,
    books: Books,
}

impl Auditor {
    /// Begins with an empty store and a market that starts like this.
    pub fn new(opening: &Opening) -> Self {
        let mut auditor = Self {
            now: opening.now,
            policy: opening.policy,
            cause: Cause::Other,
            outcomes: Outcomes::default(),
            holds: Holds::default(),
            lists: Lists::default(),
            givens: Givens::default(),
            books: Books::default(),
        };
        auditor.opens(opening);
        auditor
    }

    /// The coordinator has crashed, and another market goes on with the same store: whoever waited has lost its connection.
    pub fn opens(&mut self, opening: &Opening) {
        self.now = self.now.max(opening.now);
        self.policy = opening.policy;
        self.outcomes = Outcomes::default();
        self.holds = Holds::default();
        self.lists = Lists::default();
        self.givens.open(opening.instance);
        for settled in &opening.settled {
            self.givens.sent(settled.root, settled.nonce, (settled.worker, settled.payee));
            let difficulty = shared::pow::difficulty(&settled.root, settled.nonce);
            self.outcomes.paid((settled.service, settled.root), difficulty, settled.at);
        }
    }

    /// Something goes in, or the market is woken.
    ///
    /// # Errors
    /// Never; for the symmetry of use.
    pub fn input(&mut self, now: Timestamp, input: Option<&Input>) -> Check {
        self.now = self.now.max(now);
        self.cause = Cause::Other;
        match input {
            None => self.cause = Cause::Wake,
            Some(Input::RequestReceived(new)) => self.request_received(new),
            Some(Input::RequestWithdrawn(withdrawal)) => self.cause = Cause::Withdrawn(*withdrawal),
            Some(Input::Held { hold }) => self.hold_granted(*hold),
            Some(Input::HoldRefused { hold }) => self.hold_refused(*hold),
            Some(Input::Settled { hold, charged, balance, earned }) => {
                self.hold_settled(*hold, (*charged, *balance, *earned))?;
            }
            Some(Input::SettleRefused { hold }) => self.settle_refused(*hold),
            Some(Input::Released { hold }) => self.hold_released(*hold),
            Some(Input::ResultReceived { session, result }) => self.result_received(*session, *result),
            Some(Input::WorkerJoined { session, worker, payee }) => {
                self.worker_joined(*session, *worker, *payee);
            }
            Some(Input::WorkerLeft { session }) => self.worker_left(*session),
            Some(Input::WorkerReported { session, report }) => self.worker_reported(*session, report),
            Some(Input::PolicyChanged(policy)) => self.policy = *policy,
            Some(Input::ServiceSuspended { service }) => {
                self.outcomes.suspended.insert(*service);
                self.cause = Cause::Suspended(*service);
            }
            Some(Input::ServiceResumed { service }) => {
                self.outcomes.suspended.remove(service);
            }
            Some(Input::StoreDown) => {
                self.outcomes.is_store_down = true;
                self.cause = Cause::StoreDown;
            }
            Some(Input::StoreUp) => {
                self.outcomes.is_store_down = false;
                self.cause = Cause::StoreUp;
            }
            // No service of the simulator has opted in to precaching.
            Some(
                Input::FrontierSeen(_)
                | Input::PrecacheSet { .. }
                | Input::AccountsNamed(_)
                | Input::PrefetchReceived(_),
            ) => {}
            Some(Input::LedgerAudited { is_green }) => self.outcomes.is_ledger_red = !is_green,
            Some(Input::Drain { ends }) => self.outcomes.drain_ends = Some(*ends),
        }
        Ok(())
    }

    /// Something comes out.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn effect(&mut self, effect: &Effect) -> Check {
        match effect {
            Effect::Hold { hold, service, amount, expires, .. } => {
                self.hold_asked(*hold, *service, *amount, *expires)
            }
            Effect::Settle(order) => self.settle_asked(order),
            Effect::Release { hold } => self.release_asked(*hold),
            Effect::List { session, worker, list } => self.list_sent(*session, *worker, list),
            Effect::Verdict { session, worker, notice } => self.verdict_sent(*session, *worker, notice),
            Effect::Reply { caller, key, outcome } => self.replied(*caller, *key, *outcome),
            Effect::Statistics(statistics) => self.statistics_sent(statistics),
            // They are for people who read the log, and for precaching, which no service here has opted in to.
            Effect::Progress { .. }
            | Effect::Watch { .. }
            | Effect::LookUp { .. }
            | Effect::KeepWatch(_)
            | Effect::DropWatch { .. }
            | Effect::AccountsReply { .. }
            | Effect::PrefetchReply { .. } => Ok(()),
        }
    }

    /// Everything that the last input has caused has come out.
    ///
    /// # Errors
    /// A rule that is broken by what has not come out.
    pub fn input_ends(&mut self) -> Check {
        self.holds_end()?;
        self.outcomes_end()?;
        self.verdicts_end()?;
        self.lists_end()
    }

    /// The store has done something.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn stored(&mut self, now: Timestamp, event: &StoreEvent) -> Check {
        self.books.stored(now, event).map_err(|(rule, detail)| self.broken(rule, detail))
    }

    /// Nothing happens any more: whoever asked has been told, and nothing is open.
    ///
    /// # Errors
    /// The rule that is broken.
    pub fn rests(&self) -> Check {
        let untold = self.outcomes.untold();
        self.must(untold == 0, Rule::EveryCallerIsToldOnce, || format!("{untold} callers were never told"))?;
        let open = self.holds.open();
        self.must(open == 0, Rule::HoldsAreClosedOnce, || {
            format!("{open} holds are still open in the market")
        })?;
        let open = self.books.holds_open();
        self.must(open == 0, Rule::HoldsAreClosedOnce, || {
            format!("{open} holds are still open in the store")
        })?;
        let sum = self.books.sum();
        self.must(sum == 0, Rule::BooksBalance, || format!("all balances sum to {sum} mc"))?;
        let wanted = self.lists.wanted();
        self.must(wanted == 0, Rule::AllComesToRest, || format!("{wanted} jobs are still open"))
    }

    fn must(&self, holds: bool, rule: Rule, detail: impl FnOnce() -> String) -> Check {
        if holds { Ok(()) } else { Err(self.broken(rule, detail())) }
    }

    fn broken(&self, rule: Rule, detail: String) -> Broken {
        Broken { rule, at: self.now, detail }
    }

    /// Whether so much time has gone by.
    fn is_past(&self, at: Timestamp, by: Duration) -> bool {
        self.now >= at + by
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A request for people.
fn named(key: RequestKey) -> String {
    format!("{}/{}", key.service, key.request)
}
