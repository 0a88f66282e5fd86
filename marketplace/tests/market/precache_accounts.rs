//! How many accounts are watched, and what is said when there are too many.

use marketplace::precache::PrecacheRefused;
use marketplace::{Caller, Effect, Input, NamedAccounts, limits};
use shared::{Account, ServiceId};

use crate::precache::{account, opted_in, terms};
use crate::scene::{Scene, root, service};

/// So many accounts that have nothing to do with any other.
fn accounts(from: usize, count: usize) -> Vec<Account> {
    let key = |number: usize| {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&number.to_be_bytes());
        Account::from_public_key(key)
    };
    (from..from + count).map(key).collect()
}

/// A service names accounts; what it is told.
fn name(
    scene: &mut Scene,
    service: ServiceId,
    accounts: Vec<Account>,
    is_watched: bool,
) -> Result<usize, PrecacheRefused> {
    let caller = Caller(3);
    scene.input(Input::AccountsNamed(NamedAccounts { caller, service, accounts, is_watched }));
    let taken = scene.take_first(|effect| match effect {
        Effect::AccountsReply { taken, .. } => Some(*taken),
        _ => None,
    });
    scene.effects.clear();
    taken.unwrap()
}

#[test]
fn accounts_have_a_limit_that_is_said() {
    let mut scene = opted_in("wallet");
    scene.opt_in("exchange", Some(terms(1, 1)));
    let (wallet, most) = (service("wallet"), limits::ACCOUNTS_PER_SERVICE_MAX);
    assert_eq!(name(&mut scene, wallet, accounts(0, most - 1), true), Ok(most - 1));
    let refused = Err(PrecacheRefused::AccountsOfService);
    assert_eq!(name(&mut scene, wallet, accounts(most - 1, 2), true), refused, "all or none");
    assert_eq!(name(&mut scene, wallet, accounts(most - 2, 2), true), Ok(most), "known ones count once");
    assert_eq!(name(&mut scene, wallet, accounts(0, 5), false), Ok(most - 5));
    assert_eq!(name(&mut scene, wallet, accounts(0, 5), false), Ok(most - 5));
    // In a request it is not said; the request is served, and its account is not watched.
    assert_eq!(name(&mut scene, wallet, accounts(0, 5), true), Ok(most));
    scene.ask_for("wallet", account(77), root(1));
    assert!(!scene.market.watched_accounts().any(|known| known == account(77)));
    assert!(scene.has_hold());
}

/// However many services name accounts: the market watches so many and no more, and says so to the one that comes too late.
#[test]
fn a_market_that_watches_all_it_can_refuses_in_a_word() {
    let mut scene = Scene::new();
    let most = limits::ACCOUNTS_PER_SERVICE_MAX;
    let services = limits::ACCOUNTS_MAX / most;
    for number in 0..=services {
        scene.opt_in(&format!("wallet-{number}"), Some(terms(100, 8)));
    }
    let of = |number: usize| service(&format!("wallet-{number}"));
    for number in 0..services {
        assert_eq!(name(&mut scene, of(number), accounts(number * most, most), true), Ok(most));
    }
    let watched = |scene: &Scene| scene.market.watched_accounts().count();
    assert_eq!(watched(&scene), limits::ACCOUNTS_MAX);
    let (late, new) = (of(services), limits::ACCOUNTS_MAX);
    assert_eq!(
        name(&mut scene, late, accounts(new - 1, 2), true),
        Err(PrecacheRefused::Accounts),
        "all or none"
    );
    assert_eq!(name(&mut scene, late, accounts(0, 2), true), Ok(2), "those are watched already");
    // Who asks for work is served, and that account is not watched.
    scene.ask_for("wallet-10", account(77), root(1));
    assert!(scene.has_hold() && !scene.market.watched_accounts().any(|known| known == account(77)));
    scene.effects.clear();
    assert_eq!(name(&mut scene, of(3), accounts(3 * most, 2), false), Ok(most - 2));
    assert_eq!(name(&mut scene, late, accounts(new, 2), true), Ok(4), "there is room again");
    assert_eq!(watched(&scene), limits::ACCOUNTS_MAX);
}
