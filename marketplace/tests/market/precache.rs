//! Work ahead of demand, row by row. The service is `wallet`; its account's public key is the account's first root.

use std::num::NonZeroUsize;
use std::time::Duration;

use marketplace::dispatch::DispatchPolicy;
use marketplace::ledger::{DaySpent, Purse};
use marketplace::precache::{
    Frontier, PrecacheRefused, PrecacheStart, PrecacheTerms, PrecacheUse, Precached, Prefetched, Sight, Watch,
};
use marketplace::{Caller, Effect, Input, NamedAccounts, NewRequest, Prefetch, SettleOrder, limits};
use shared::pow::{Root, Threshold};
use shared::protocol::{WorkKind, WorkList};
use shared::{Account, Millicredits, Outcome, SessionId, WorkSource};

use crate::scene::{EASY, HARD, START, Scene, root, service, solve};

const MINUTE: Duration = Duration::from_mins(1);

pub(crate) fn account(number: u8) -> Account {
    Account::from_public_key([number; 32])
}

pub(crate) fn terms(credits: u64, in_flight_max: u32) -> PrecacheTerms {
    PrecacheTerms { budget_per_day: Millicredits::from_credits(credits).unwrap(), in_flight_max }
}

pub(crate) fn opted_in(name: &str) -> Scene {
    let mut scene = Scene::new();
    scene.opt_in(name, Some(terms(100, 8)));
    scene
}

/// `wallet` has opted in, and its account 9 has just used root 1; one worker is there.
fn in_use() -> (Scene, SessionId) {
    let mut scene = opted_in("wallet");
    let session = scene.join(1);
    scene.serve(session, "wallet", account(9), root(1));
    (scene, session)
}

fn policy() -> DispatchPolicy {
    DispatchPolicy::FastestK { k: NonZeroUsize::new(2).unwrap() }
}

impl Scene {
    pub(crate) fn opt_in(&mut self, name: &str, terms: Option<PrecacheTerms>) {
        self.input(Input::PrecacheSet { service: service(name), terms });
    }

    /// A service asks for work for an account's next block.
    pub(crate) fn ask_for(&mut self, name: &str, account: Account, root: Root) -> Caller {
        self.callers += 1;
        let (caller, key) = (Caller(self.callers), Self::key(service(name), u128::from(self.callers)));
        let timeout = Duration::from_secs(10);
        let account = Some(account);
        self.input(Input::RequestReceived(NewRequest {
            caller,
            key,
            root,
            threshold: HARD,
            timeout,
            account,
            class: WorkKind::OnDemand,
            spender: None,
        }));
        caller
    }

    fn saw(&mut self, account: Account, hash: Root, previous: Option<Root>, height: Option<u64>) {
        let (hash, sight) = (Some(hash), Sight::Confirmation);
        self.input(Input::FrontierSeen(Frontier { account, hash, previous, height, sight }));
    }

    /// Account 9 has a new block, the one whose hash is root `height`; earlier blocks are the roots before it.
    fn confirmed(&mut self, height: u8) {
        self.saw(account(9), root(height), Some(root(height - 1)), Some(u64::from(height)));
    }

    fn looked_up(&mut self, account: Account, hash: Root, height: u64) {
        let (hash, height, sight) = (Some(hash), Some(height), Sight::LookUp);
        self.input(Input::FrontierSeen(Frontier { account, hash, previous: None, height, sight }));
    }

    fn used(&self) -> PrecacheUse {
        self.market.precache_of(self.now, service("wallet")).used
    }

    pub(crate) fn has_hold(&self) -> bool {
        self.effects.iter().any(|effect| matches!(effect, Effect::Hold { .. }))
    }

    /// Grants the hold of a precache, has it solved, and returns the settlement that is asked for.
    fn precompute(&mut self, session: SessionId, root: Root) -> SettleOrder {
        let hold = self.take_hold();
        assert!(hold.is_precache());
        self.input(Input::Held { hold });
        let listed = self.lists[&session].jobs.iter().find(|job| job.root == root).unwrap();
        assert_eq!((listed.kind, listed.threshold), (WorkKind::Precache, HARD));
        self.result(session, root, solve(root, HARD, None, 0));
        self.take_settle()
    }

    /// One request on demand, from its arrival to its settlement.
    fn serve(&mut self, session: SessionId, name: &str, account: Account, root: Root) {
        let caller = self.ask_for(name, account, root);
        let hold = self.take_hold();
        assert!(!hold.is_precache());
        self.input(Input::Held { hold });
        self.result(session, root, solve(root, HARD, None, 0));
        let order = self.take_settle();
        self.settle(order, 1000);
        assert!(matches!(self.take_reply(caller), Some(Outcome::Answered(_))));
    }

    /// Some worker on whose list the root stands solves it, and the work is settled.
    fn solve_listed(&mut self, root: Root) -> SettleOrder {
        let stands = |list: &WorkList| list.jobs.iter().any(|job| job.root == root);
        let session = self.lists.iter().find_map(|(session, list)| stands(list).then_some(*session));
        self.result(session.expect("it stands on a list"), root, solve(root, HARD, None, 0));
        let order = self.take_settle();
        self.settle(order, 1000);
        order
    }

    fn take_kept(&mut self) -> Option<Watch> {
        self.take_first(|effect| if let Effect::KeepWatch(watch) = effect { Some(*watch) } else { None })
    }
}

#[test]
fn a_confirmed_block_is_followed_by_work_that_is_charged_once() {
    let mut scene = opted_in("wallet");
    let session = scene.join(1);
    let (first, second) = (root(1), root(2));
    scene.serve(session, "wallet", account(9), first);
    let watched = Effect::Watch { account: account(9), is_watched: true };
    assert!(scene.effects.contains(&watched));
    assert_eq!(scene.take_kept().unwrap().frontier, Some(first));

    scene.saw(account(9), second, Some(first), Some(2));
    let order = scene.precompute(session, second);
    assert_eq!((order.service, order.threshold), (service("wallet"), HARD));
    scene.settle(order, 1000);
    let caller = scene.ask_for("wallet", account(9), second);
    let Some(Outcome::Answered(answer)) = scene.take_reply(caller) else { panic!("no answer") };
    assert_eq!((answer.charged, answer.source), (Millicredits::ZERO, WorkSource::Precache));
    assert!(!scene.has_hold(), "it is paid for already");
    let again = scene.ask_for("wallet", account(9), second);
    let Some(Outcome::Answered(answer)) = scene.take_reply(again) else { panic!("no answer") };
    assert_eq!((answer.charged, answer.source), (Millicredits::ZERO, WorkSource::Cache));
    let used = scene.used();
    assert_eq!((used.computed, used.charged, used.hits), (1, Millicredits::CREDIT, 1));
    assert_eq!((used.late, used.missed, used.wasted), (0, 0, 0));
}

/// A node that is asked for a new account says what the service has just said; that is no reason to compute it twice.
#[test]
fn what_a_service_asks_for_itself_is_not_computed_ahead() {
    let mut scene = opted_in("wallet");
    scene.ask_for("wallet", account(9), root(1));
    let own = scene.take_hold();
    for sight in [Sight::CatchUp, Sight::LookUp, Sight::Confirmation] {
        let seen =
            Frontier { account: account(9), hash: Some(root(1)), previous: None, height: Some(1), sight };
        scene.input(Input::FrontierSeen(seen));
    }
    assert!(!own.is_precache() && !scene.has_hold());
}

#[test]
fn nothing_is_computed_for_those_who_have_not_opted_in() {
    let mut scene = Scene::new();
    let session = scene.join(1);
    scene.serve(session, "wallet", account(9), root(1));
    scene.confirmed(2);
    assert!(!scene.has_hold());
    assert_eq!(scene.market.watched_accounts().count(), 0);
    for is_watched in [true, false] {
        let (caller, accounts) = (Caller(50), vec![account(1)]);
        let named = NamedAccounts { caller, service: service("wallet"), accounts, is_watched };
        scene.input(Input::AccountsNamed(named));
    }
    let refused = Effect::AccountsReply { caller: Caller(50), taken: Err(PrecacheRefused::Off) };
    let none = Effect::AccountsReply { caller: Caller(50), taken: Ok(0) };
    assert!(scene.effects.contains(&refused) && scene.effects.contains(&none));
}

/// Whatever the order in which blocks are seen, the frontier only moves forward.
#[test]
fn news_in_any_order_move_the_frontier_forward_only() {
    let (mut scene, _) = in_use();
    let frontier = |scene: &mut Scene| {
        let mut last = None;
        while let Some(kept) = scene.take_kept() {
            last = Some((kept.frontier.unwrap(), kept.height));
        }
        last
    };
    assert_eq!(frontier(&mut scene), Some((root(1), None)));
    // By its predecessor.
    scene.saw(account(9), root(2), Some(root(1)), None);
    assert_eq!(frontier(&mut scene), Some((root(2), None)));
    // Twice, and an earlier one late, of which nobody knows that it is: a node is asked.
    scene.confirmed(2);
    scene.saw(account(9), root(1), Some(root(8)), Some(1));
    assert_eq!(frontier(&mut scene), None);
    scene.saw(account(9), root(5), Some(root(4)), None);
    let lookup = Effect::LookUp { account: account(9) };
    assert!(scene.effects.contains(&lookup));
    scene.looked_up(account(9), root(5), 5);
    assert_eq!(frontier(&mut scene), Some((root(5), Some(5))));
    // By height; what comes late is older.
    scene.confirmed(7);
    scene.confirmed(6);
    scene.looked_up(account(9), root(6), 6);
    assert_eq!(frontier(&mut scene), Some((root(7), Some(7))));
    // A node that has nothing of it is behind; one that lies wins nothing with an equal height.
    let nothing =
        Frontier { account: account(9), hash: None, previous: None, height: Some(0), sight: Sight::LookUp };
    scene.input(Input::FrontierSeen(nothing));
    scene.looked_up(account(9), root(66), 7);
    assert_eq!(frontier(&mut scene), None);
    // Strangers' blocks are nobody's business.
    scene.saw(account(8), root(3), None, Some(1));
    assert_eq!(frontier(&mut scene), None);
}

#[test]
fn an_account_without_a_block_has_its_public_key_as_root() {
    let mut scene = opted_in("wallet");
    let session = scene.join(1);
    let key = root(9);
    scene.serve(session, "wallet", account(9), key);
    assert_eq!(scene.take_kept().unwrap().frontier, None);
    scene.saw(account(9), root(1), None, Some(1));
    scene.precompute(session, root(1));
}

/// Where a node lied about the frontier, budget is lost, and what the service itself says puts it right.
#[test]
fn a_lie_about_a_frontier_costs_budget_and_nothing_else() {
    let (mut scene, session) = in_use();
    scene.saw(account(9), root(66), Some(root(1)), Some(u64::MAX));
    let order = scene.precompute(session, root(66));
    scene.settle(order, 1000);
    scene.confirmed(2);
    assert!(!scene.has_hold(), "the lie stands");
    scene.serve(session, "wallet", account(9), root(2));
    assert_eq!((scene.used().wasted, scene.used().hits), (1, 0));
    scene.confirmed(3);
    scene.precompute(session, root(3));
}

#[test]
fn a_precache_that_is_superseded_is_withdrawn_uncharged() {
    let (mut scene, session) = in_use();
    scene.confirmed(2);
    let first = scene.take_hold();
    scene.input(Input::Held { hold: first });
    assert_eq!(scene.listed(session), [(root(2), HARD)]);
    scene.confirmed(3);
    assert_eq!(scene.take_release(), first);
    assert_eq!(scene.listed(session), []);
    scene.input(Input::Released { hold: first });
    let order = scene.precompute(session, root(3));
    scene.settle(order, 1000);
    let used = scene.used();
    assert_eq!((used.superseded, used.computed, used.wasted), (1, 1, 0));
    assert_eq!(scene.market.precache_of(scene.now, service("wallet")).running, 0);
    assert!(scene.market.is_idle());
}

/// Its own request takes the place of the precache, whose hold may be its last credits.
#[test]
fn who_asks_before_it_is_ready_is_served_on_demand_and_charged_once() {
    let (mut scene, session) = in_use();
    scene.confirmed(2);
    let precache = scene.take_hold();
    scene.input(Input::Held { hold: precache });
    let caller = scene.ask_for("wallet", account(9), root(2));
    let released = scene.effects.iter().position(|effect| matches!(effect, Effect::Release { .. }));
    let held = scene.effects.iter().position(|effect| matches!(effect, Effect::Hold { .. }));
    assert!(released.unwrap() < held.unwrap(), "what was set aside is there when it is needed");
    assert_eq!(scene.take_release(), precache);
    scene.input(Input::Released { hold: precache });
    let hold = scene.take_hold();
    assert!(!hold.is_precache());
    scene.input(Input::Held { hold });
    scene.result(session, root(2), solve(root(2), HARD, None, 0));
    let order = scene.take_settle();
    assert_eq!(order.hold, hold);
    scene.settle(order, 1000);
    assert!(matches!(scene.take_reply(caller), Some(Outcome::Answered(_))));
    assert_eq!((scene.used().late, scene.used().computed), (1, 0));
    assert!(scene.market.is_idle());
}

/// Somebody else's request for the same root makes the job one that somebody waits for.
#[test]
fn a_job_that_another_service_asks_for_goes_forward() {
    let (mut scene, session) = in_use();
    scene.confirmed(2);
    let hold = scene.take_hold();
    scene.input(Input::Held { hold });
    assert_eq!(scene.lists[&session].jobs[0].kind, WorkKind::Precache);
    let key = Scene::key(service("exchange"), 1);
    let caller = scene.ask_as(key, root(2), HARD, MINUTE);
    let other = scene.take_hold();
    scene.input(Input::Held { hold: other });
    assert_eq!(
        scene.lists[&session].jobs.iter().map(|job| job.kind).collect::<Vec<_>>(),
        [WorkKind::OnDemand]
    );
    scene.result(session, root(2), solve(root(2), HARD, None, 0));
    let orders = [scene.take_settle(), scene.take_settle()];
    assert_eq!(orders.map(|order| order.hold), [other, hold], "who waits pays first");
    for order in orders {
        scene.settle(order, 1000);
    }
    assert!(matches!(scene.take_reply(caller), Some(Outcome::Answered(_))));
    assert_eq!(scene.used().computed, 1);
}

/// Rare accounts are not computed for once that is known, after their second block; busy ones are.
#[test]
fn an_account_with_a_block_a_month_is_not_computed_for() {
    let (mut scene, session) = in_use();
    scene.confirmed(2);
    let order = scene.precompute(session, root(2));
    scene.settle(order, 1000);
    scene.pass(Duration::from_hours(30 * 24));
    scene.confirmed(3);
    assert!(!scene.has_hold());
    assert_eq!((scene.used().irregular, scene.used().computed), (1, 1));
    // Now it sends every ten minutes. Each block counts a quarter.
    for number in 4..10 {
        scene.pass(10 * MINUTE);
        scene.confirmed(number);
    }
    assert!(scene.has_hold());
    assert_eq!(scene.used().irregular, 5);
}

#[test]
fn an_account_that_nobody_asks_for_is_forgotten() {
    let mut scene = opted_in("wallet");
    scene.ask_for("wallet", account(9), root(1));
    let blocks = u8::try_from(limits::UNUSED_BLOCKS_MAX).unwrap();
    for number in 2..2 + blocks {
        scene.saw(account(9), root(number), Some(root(number - 1)), None);
    }
    assert_eq!(scene.market.watched_accounts().count(), 1);
    scene.saw(account(9), root(2 + blocks), Some(root(1 + blocks)), None);
    assert_eq!(scene.market.watched_accounts().count(), 0);
    assert!(scene.effects.contains(&Effect::DropWatch { service: service("wallet"), account: account(9) }));
    assert!(scene.effects.contains(&Effect::Watch { account: account(9), is_watched: false }));
}

#[test]
fn what_a_day_costs_stays_within_the_budget() {
    let mut scene = Scene::new();
    scene.opt_in("wallet", Some(terms(2, 8)));
    let session = scene.join(1);
    scene.serve(session, "wallet", account(9), root(1));
    for number in 2..6 {
        scene.confirmed(number);
        if number < 4 {
            let order = scene.precompute(session, root(number));
            scene.settle(order, 1000);
        }
        assert!(!scene.has_hold());
    }
    assert_eq!((scene.used().computed, scene.used().over_budget), (2, 2));
    let state = scene.market.precache_of(scene.now, service("wallet"));
    assert_eq!(state.spent_today, Millicredits::new(2000));
    // Until midnight.
    scene.pass(Duration::from_hours(23));
    assert_eq!(scene.market.precache_of(scene.now, service("wallet")).spent_today, Millicredits::ZERO);
    scene.confirmed(6);
    let order = scene.precompute(session, root(6));
    scene.settle(order, 1000);
}

/// What an earlier run has spent today is part of today's budget, and what it was watching goes on.
#[test]
fn a_restart_forgets_neither_what_was_spent_nor_what_was_watched() {
    let watch = Watch {
        service: service("wallet"),
        account: account(9),
        used: START,
        frontier: Some(root(2)),
        height: Some(2),
        confirmed: Some(START),
        gap: None,
        unused: 0,
    };
    let charged = Millicredits::CREDIT;
    let purse = Purse::Precache(service("wallet"));
    let spent = DaySpent { purse, day: START.day(), amount: charged };
    let before = |credits| PrecacheStart {
        terms: vec![(service("wallet"), terms(credits, 8))],
        watches: vec![watch],
        settled: vec![Precached { service: service("wallet"), root: root(50), at: START }],
    };
    for (credits, starts) in [(1, false), (2, true)] {
        let yesterday = DaySpent { day: START.day() - 1, ..spent };
        let scene = Scene::started(policy(), Vec::new(), before(credits), vec![yesterday]);
        let state = scene.market.precache_of(scene.now, service("wallet"));
        assert_eq!(state.spent_today, Millicredits::ZERO, "yesterday's is yesterday's");
        let mut scene = Scene::started(policy(), Vec::new(), before(credits), vec![spent]);
        let state = scene.market.precache_of(scene.now, service("wallet"));
        assert_eq!((state.spent_today, state.accounts), (charged, 1));
        // It was not yet computed for when the earlier run ended.
        for _ in 0..2 {
            let (hash, sight) = (Some(root(2)), Sight::CatchUp);
            let seen = Frontier { account: account(9), hash, previous: None, height: None, sight };
            scene.input(Input::FrontierSeen(seen));
        }
        assert_eq!(scene.has_hold(), starts, "{credits}");
        assert_eq!(scene.used().over_budget, u64::from(!starts));
    }
}

#[test]
fn only_so_many_are_under_way_and_the_rest_wait() {
    use Prefetched::{Ready, Running, Waiting};
    let mut scene = Scene::new();
    scene.opt_in("wallet", Some(terms(100, 2)));
    let session = scene.join(1);
    let roots: Vec<Root> = (1..=5).map(root).collect();
    let prefetch = |roots: &[Root], threshold| {
        let (caller, service, roots) = (Caller(7), service("wallet"), roots.to_vec());
        Input::PrefetchReceived(Prefetch { caller, service, roots, threshold })
    };
    let taken = |scene: &mut Scene| {
        scene
            .take_first(|effect| match effect {
                Effect::PrefetchReply { caller: Caller(7), taken } => Some(taken.clone()),
                _ => None,
            })
            .unwrap()
    };
    scene.input(prefetch(&roots, HARD));
    assert_eq!(taken(&mut scene), Ok(vec![Waiting; 5]));
    let order = scene.precompute(session, root(1));
    scene.settle(order, 1000);
    scene.input(prefetch(&roots, HARD));
    assert_eq!(taken(&mut scene), Ok(vec![Ready, Running, Running, Waiting, Waiting]));
    scene.input(prefetch(&roots, Threshold::new(u64::MAX)));
    assert_eq!(taken(&mut scene), Err(PrecacheRefused::Threshold));
    let many: Vec<Root> = (10..200).map(root).collect();
    scene.input(prefetch(&many, HARD));
    let states = taken(&mut scene).unwrap();
    let over = states.iter().filter(|state| **state == Prefetched::OverBudget).count();
    assert_eq!(over, 190 - (100 - 1 - 4), "the budget is counted to the last root: {states:?}");
    // At another threshold it is another work.
    scene.input(prefetch(&roots[..1], EASY));
    assert_eq!(taken(&mut scene), Ok(vec![Ready]));
}

/// Of two services with one account, the one that used it last pays.
#[test]
fn the_service_that_used_an_account_last_pays() {
    let mut scene = opted_in("wallet");
    scene.opt_in("exchange", Some(terms(100, 8)));
    let session = scene.join(1);
    scene.serve(session, "wallet", account(9), root(1));
    scene.pass(MINUTE);
    scene.serve(session, "exchange", account(9), root(2));
    scene.confirmed(3);
    let order = scene.precompute(session, root(3));
    assert_eq!(order.service, service("exchange"));
    scene.settle(order, 1000);
    scene.opt_in("exchange", None);
    scene.confirmed(4);
    let order = scene.precompute(session, root(4));
    assert_eq!(order.service, service("wallet"));
    scene.settle(order, 1000);
    scene.input(Input::ServiceSuspended { service: service("wallet") });
    scene.confirmed(5);
    assert!(!scene.has_hold());
}

/// Beside adaptive dispatch, what nobody waits for is done by whoever has nothing else to do, and stays behind what somebody asks for.
#[test]
fn adaptive_dispatch_keeps_works_ahead_behind_what_is_asked_for() {
    let mut scene = Scene::with(DispatchPolicy::Adaptive { fairness: 0 }, Vec::new());
    scene.opt_in("wallet", Some(terms(100, 8)));
    scene.join(1);
    scene.join(2);
    scene.ask_for("wallet", account(9), root(1));
    let hold = scene.take_hold();
    scene.input(Input::Held { hold });
    assert_eq!(scene.solve_listed(root(1)).hold, hold);
    scene.confirmed(2);
    let ahead = scene.take_hold();
    assert!(ahead.is_precache());
    scene.input(Input::Held { hold: ahead });
    let idle = scene.lists.values().filter(|list| list.jobs.iter().any(|job| job.root == root(2))).count();
    assert!(idle > 0, "it is searched for while nobody asks: {:?}", scene.lists);
    // More than the workers can do at once.
    for number in 10..18 {
        scene.ask_held(root(number), HARD);
        for list in scene.lists.values() {
            let kinds: Vec<WorkKind> = list.jobs.iter().map(|job| job.kind).collect();
            assert!(kinds.is_sorted(), "nothing on demand stands behind it: {kinds:?}");
        }
    }
    for number in 10..18 {
        scene.solve_listed(root(number));
    }
    let order = scene.solve_listed(root(2));
    assert_eq!((order.hold, order.service), (ahead, service("wallet")));
    assert_eq!(scene.used().computed, 1);
}

#[test]
fn a_drain_ends_what_nobody_waits_for_at_once() {
    let (mut scene, _) = in_use();
    scene.confirmed(2);
    let hold = scene.take_hold();
    scene.input(Input::Held { hold });
    scene.input(Input::Drain { ends: scene.now + Duration::from_hours(1) });
    assert_eq!(scene.take_release(), hold);
    scene.input(Input::Released { hold });
    assert!(scene.market.is_idle());
}

/// Too few credits, no worker in time, a store that is away: nothing is charged, and nothing stays open.
#[test]
fn a_precache_that_comes_to_nothing_costs_nothing() {
    let mut scene = opted_in("wallet");
    scene.ask_for("wallet", account(9), root(1));
    let own = scene.take_hold();
    scene.input(Input::HoldRefused { hold: own });
    scene.confirmed(2);
    let hold = scene.take_hold();
    scene.input(Input::HoldRefused { hold });
    scene.confirmed(3);
    let hold = scene.take_hold();
    scene.input(Input::Held { hold });
    scene.pass(limits::PRECACHE_TIMEOUT);
    assert_eq!(scene.take_release(), hold);
    scene.input(Input::Released { hold });
    assert_eq!((scene.used().failed, scene.used().computed), (2, 0));
    scene.input(Input::StoreDown);
    scene.confirmed(4);
    assert!(!scene.has_hold());
    scene.input(Input::StoreUp);
    scene.pass(2 * limits::STATISTICS_EVERY);
    assert!(scene.has_hold(), "it has waited for the store");
    assert!(matches!(scene.effects.last(), Some(Effect::Hold { .. })));
    let hold = scene.take_hold();
    scene.input(Input::Held { hold });
    scene.input(Input::ServiceSuspended { service: service("wallet") });
    scene.input(Input::Released { hold });
    assert!(scene.market.is_idle());
}
