//! What becomes of what is open when an operator changes the rules.

use crate::scene::{EASY, Scene, policy, root};
use marketplace::dispatch::DispatchPolicy;
use marketplace::{Input, limits};

#[test]
fn a_change_of_policy_never_touches_an_admitted_price() {
    let mut scene = Scene::new();
    scene.ask(root(1), EASY);
    let mut changed = policy(DispatchPolicy::Broadcast);
    changed.pricing = marketplace::Pricing::Flat;
    scene.input(Input::PolicyChanged(changed));
    scene.pass(limits::LEDGER_REPEAT);
    scene.ask(root(2), EASY);
    let amounts: Vec<u64> = scene
        .effects
        .iter()
        .filter_map(|effect| match effect {
            marketplace::Effect::Hold { amount, .. } => Some(amount.as_u64()),
            _ => None,
        })
        .collect();
    assert_eq!(amounts, [16, 16, 1000]);
}

#[test]
fn a_changed_policy_takes_over_what_is_open() {
    let mut scene = Scene::new();
    let sessions = [scene.join(1), scene.join(2), scene.join(3)];
    scene.ask_held(root(1), EASY);
    assert_eq!(sessions.map(|session| scene.listed(session).len()), [1, 1, 0]);
    scene.input(Input::PolicyChanged(policy(DispatchPolicy::Broadcast)));
    assert_eq!(sessions.map(|session| scene.listed(session).len()), [1, 1, 1]);
}
