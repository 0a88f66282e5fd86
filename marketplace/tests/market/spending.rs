//! What the requests of one key may cost in a day.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::scene::{EASY, START, Scene, root, service, solve};
use marketplace::dispatch::DispatchPolicy;
use marketplace::ledger::{DaySpent, Purse};
use marketplace::precache::PrecacheStart;
use marketplace::{Caller, Effect, Input, NewRequest, Spender, Withdrawal};
use proptest::prelude::*;
use shared::protocol::WorkKind;
use shared::{KeyId, Millicredits, Outcome, Refusal};

/// A request with a key that may spend two works in a day.
fn ask(scene: &mut Scene, number: u8) -> Caller {
    scene.callers += 1;
    let caller = Caller(scene.callers);
    scene.input(Input::RequestReceived(NewRequest {
        caller,
        key: Scene::key(service("wallet"), number.into()),
        root: root(number),
        threshold: EASY,
        timeout: Duration::from_secs(10),
        account: None,
        class: WorkKind::OnDemand,
        spender: Some(Spender { key: KeyId::from_bytes([1; 8]), per_day: Millicredits::new(32) }),
    }));
    caller
}

fn ask_held(scene: &mut Scene, number: u8) -> Caller {
    let caller = ask(scene, number);
    let hold = scene.take_hold();
    scene.input(Input::Held { hold });
    caller
}

fn is_refused(scene: &mut Scene, number: u8) -> bool {
    let caller = ask(scene, number);
    scene.take_reply(caller) == Some(Outcome::Refused(Refusal::InsufficientCredit))
}

#[test]
fn a_key_spends_no_more_in_a_day_than_it_may() {
    let mut scene = Scene::new();
    let session = scene.join(1);
    let paid = ask_held(&mut scene, 1);
    let withdrawn = ask_held(&mut scene, 2);
    assert!(is_refused(&mut scene, 3), "two are open");
    scene.input(Input::RequestWithdrawn(Withdrawal::Caller(withdrawn)));
    assert!(is_refused(&mut scene, 3), "its hold is not closed yet");
    let hold = scene.take_release();
    scene.input(Input::Released { hold });
    scene.result(session, root(1), solve(root(1), EASY, None, 0));
    let order = scene.take_settle();
    scene.settle(order, 16);
    assert!(matches!(scene.take_reply(paid), Some(Outcome::Answered(_))));

    let poor = ask(&mut scene, 3);
    let hold = scene.take_hold();
    scene.input(Input::HoldRefused { hold });
    assert!(scene.take_reply(poor).is_some());
    let second = ask_held(&mut scene, 4);
    assert!(is_refused(&mut scene, 5), "one is paid, one is open");
    scene.result(session, root(4), solve(root(4), EASY, None, 0));
    let order = scene.take_settle();
    scene.settle(order, 16);
    assert!(matches!(scene.take_reply(second), Some(Outcome::Answered(_))));
    let again = ask(&mut scene, 4);
    assert!(matches!(scene.take_reply(again), Some(Outcome::Answered(_))), "what is paid for is free");
    assert!(is_refused(&mut scene, 5));

    let other = scene.ask_held(root(6), EASY);
    assert_eq!(scene.take_reply(other), None, "another key of the service may go on");
    scene.pass(Duration::from_hours(24));
    ask_held(&mut scene, 7);
}

/// What the ledger keeps of the key that [`ask`] uses.
fn kept(amount: u64) -> Vec<DaySpent> {
    let purse = Purse::Key(KeyId::from_bytes([1; 8]));
    vec![DaySpent { purse, day: START.day(), amount: Millicredits::new(amount) }]
}

fn started(spent: Vec<DaySpent>) -> Scene {
    Scene::started(DispatchPolicy::Broadcast, Vec::new(), PrecacheStart::default(), spent)
}

#[test]
fn a_restart_gives_a_key_no_second_budget() {
    let mut scene = started(kept(16));
    ask_held(&mut scene, 1);
    assert!(is_refused(&mut scene, 2), "one was paid before, one is open");
    assert!(is_refused(&mut started(kept(17)), 1));
    let mut scene = started(kept(32));
    assert!(is_refused(&mut scene, 1));
    scene.pass(Duration::from_hours(24));
    ask_held(&mut scene, 1);
}

/// What may happen to the requests of a key.
#[derive(Debug, Clone, Copy)]
enum Step {
    Ask(u8),
    Hold,
    Solve(u8),
    Settle,
    Withdraw(u8),
    Release,
    Pass(u8),
    /// The process is killed, and starts with what the ledger says.
    Kill,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..9_u8).prop_map(Step::Ask),
        4 => Just(Step::Hold),
        3 => (1..9_u8).prop_map(Step::Solve),
        3 => Just(Step::Settle),
        1 => (1..9_u8).prop_map(Step::Withdraw),
        1 => Just(Step::Release),
        1 => (0..9_u8).prop_map(Step::Pass),
        2 => Just(Step::Kill),
    ];
    prop::collection::vec(step, 1..80)
}

/// A ledger of this key alone. A settlement that it has made is made, whether the market hears of it or not.
#[derive(Default)]
struct Kept {
    /// Those that are closed have none.
    of_holds: BTreeMap<shared::HoldId, Option<Purse>>,
    by_day: BTreeMap<u64, u64>,
}

impl Kept {
    fn settle(&mut self, scene: &mut Scene, is_heard: bool) {
        let settles = |effect: &Effect| if let Effect::Settle(order) = effect { Some(*order) } else { None };
        let Some(order) = scene.take_first(settles) else { return };
        if self.of_holds.get_mut(&order.hold).and_then(Option::take).is_some() {
            *self.by_day.entry(order.at.day()).or_default() += 16;
        }
        if is_heard {
            scene.settle(order, 16);
        }
    }

    fn spent(&self) -> Vec<DaySpent> {
        let last = self.by_day.last_key_value();
        last.map(|(day, amount)| DaySpent { day: *day, ..kept(*amount)[0] }).into_iter().collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Whatever is asked, solved, withdrawn and killed in between: on no day has the ledger charged a key more than it may spend.
    #[test]
    fn no_day_costs_a_key_more_than_its_bound_whenever_the_process_is_killed(steps in steps()) {
        let (mut scene, mut ledger) = (started(Vec::new()), Kept::default());
        let mut session = scene.join(1);
        for step in steps {
            match step {
                Step::Ask(number) => drop(ask(&mut scene, number)),
                Step::Hold => {
                    let holds = |effect: &Effect| match effect {
                        Effect::Hold { hold, purse, .. } => Some((*hold, *purse)),
                        _ => None,
                    };
                    if let Some((hold, purse)) = scene.take_first(holds) {
                        ledger.of_holds.entry(hold).or_insert(purse);
                        scene.input(Input::Held { hold });
                    }
                }
                Step::Solve(number) => {
                    scene.result(session, root(number), solve(root(number), EASY, None, 0));
                }
                Step::Settle => ledger.settle(&mut scene, true),
                Step::Withdraw(number) => {
                    let key = Scene::key(service("wallet"), number.into());
                    scene.input(Input::RequestWithdrawn(Withdrawal::Request(key)));
                }
                Step::Release => {
                    let releases = |effect: &Effect| match effect {
                        Effect::Release { hold } => Some(*hold),
                        _ => None,
                    };
                    if let Some(hold) = scene.take_first(releases) {
                        ledger.of_holds.insert(hold, None);
                        scene.input(Input::Released { hold });
                    }
                }
                Step::Pass(hours) => scene.pass(Duration::from_hours(hours.into())),
                Step::Kill => {
                    // One of the settlements that are under way is made and never heard of.
                    ledger.settle(&mut scene, false);
                    let now = scene.now;
                    scene = started(ledger.spent());
                    scene.pass(now.since(START));
                    ledger.of_holds.clear();
                    session = scene.join(1);
                }
            }
            for (day, spent) in &ledger.by_day {
                prop_assert!(*spent <= 32, "{spent} mc on day {day}");
            }
        }
    }
}
