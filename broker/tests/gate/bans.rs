//! Who is shut out: by the coordinator, for its results, or for guessing; and what of a login is remembered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use broker::Limits;
use broker::bus::{Bus, Down, Subject, Up};
use broker::identity::{Authenticator, Identity, Login, LoginAnswer, LoginRefused};
use shared::{Payee, SessionId};
use tokio::io::DuplexStream;
use tokio::sync::RwLock;

use crate::harness::{Acquaintances, Client, Connect, Fixture, Version, key_id, service, until, worker};

const HOME: [u8; 4] = [192, 0, 2, 1];
const ABROAD: [u8; 4] = [198, 51, 100, 1];
const DAY: Duration = Duration::from_hours(24);

/// The code with which a CONNECT from this address is answered; 0 is a welcome.
async fn answer(fixture: &mut Fixture, address: [u8; 4], connect: &Connect) -> u8 {
    let mut client = fixture.pipe_from(address);
    client.send(&connect.bytes()).await;
    let (first, body) = client.packet().await;
    assert_eq!(first, 0x20);
    if body[1] == 0 {
        let session = fixture.joined().await;
        drop(client);
        fixture.left(session).await;
    }
    body[1]
}

/// A session from this address.
async fn session(
    fixture: &mut Fixture,
    address: [u8; 4],
    connect: &Connect,
) -> (Client<DuplexStream>, SessionId) {
    let mut client = fixture.pipe_from(address);
    client.log_in(connect).await;
    (client, fixture.joined().await)
}

#[tokio::test]
async fn whoever_is_banned_is_gone_at_once_and_nobody_else() {
    let mut fixture = Fixture::start().await;
    for version in Version::ALL {
        let (mut bystander, _) = session(&mut fixture, HOME, &Connect::worker(9)).await;
        for (subject, connect, address) in [
            (Subject::Worker(worker(1)), Connect::worker(1), HOME),
            (Subject::Service(service("wallet")), Connect::new("wallet", "key", "a"), HOME),
            (Subject::Addresses("198.51.100.0/24".parse().unwrap()), Connect::worker(1), ABROAD),
            (
                Subject::Addresses("198.51.100.0/24".parse().unwrap()),
                Connect::new("wallet", "key", "a"),
                ABROAD,
            ),
        ] {
            let (mut client, session) = session(&mut fixture, address, &connect.version(version)).await;
            fixture.bus.send(Down::Revoke { subject });
            client.expect_end(&version.last_words(0x98)).await;
            fixture.left(session).await;
            bystander.ping().await;
        }
        let (mut client, session) = session(&mut fixture, HOME, &Connect::new("wallet", "key", "a")).await;
        fixture.bus.send(Down::Revoke { subject: Subject::Payee(Payee::House) });
        bystander.expect_closed().await;
        assert!(matches!(fixture.up().await, Up::Left { .. }));
        client.ping().await;
        drop(client);
        fixture.left(session).await;
    }
}

/// A service changes its key: whatever logged in with the old one goes, whatever has the new one stays.
#[tokio::test]
async fn a_key_that_is_revoked_ends_the_sessions_that_came_with_it() {
    let mut fixture = Fixture::start().await;
    for version in Version::ALL {
        let connect =
            |name: &str, key: &str, client_id: &str| Connect::new(name, key, client_id).version(version);
        let (mut first, first_session) = session(&mut fixture, HOME, &connect("wallet", "key", "a")).await;
        let (mut second, second_session) = session(&mut fixture, ABROAD, &connect("wallet", "key", "")).await;
        let (mut renewed, renewed_session) =
            session(&mut fixture, HOME, &connect("wallet", "other key", "b")).await;
        let (mut worker, workers_session) = session(&mut fixture, HOME, &Connect::worker(1)).await;
        fixture.bus.send(Down::Revoke { subject: Subject::Key(key_id("key")) });
        first.expect_end(&version.last_words(0x98)).await;
        second.expect_end(&version.last_words(0x98)).await;
        let mut left = [fixture.up().await, fixture.up().await];
        left.sort_by_key(|up| matches!(up, Up::Left { session } if *session == second_session));
        assert_eq!(left, [first_session, second_session].map(|session| Up::Left { session }));
        renewed.ping().await;
        worker.ping().await;
        drop(renewed);
        fixture.left(renewed_session).await;
        drop(worker);
        fixture.left(workers_session).await;
    }
}

/// Knows one service, until it is told otherwise.
struct Switch {
    asked: AtomicUsize,
    is_banned: AtomicBool,
    /// Held by a test that lets nobody have an answer.
    leave: RwLock<()>,
}

impl Switch {
    fn open() -> Arc<Self> {
        Arc::new(Self {
            asked: AtomicUsize::new(0),
            is_banned: AtomicBool::new(false),
            leave: RwLock::default(),
        })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Authenticator for Switch {
    fn authenticate(&self, login: Login) -> LoginAnswer<'_> {
        Box::pin(async move {
            let is_banned = self.is_banned.load(Ordering::SeqCst);
            self.asked.fetch_add(1, Ordering::SeqCst);
            let _leave = self.leave.read().await;
            match login.password.as_str() {
                "key" if is_banned => Err(LoginRefused::NotAllowed),
                "key" => Ok(Identity::Service { service: service("wallet"), key: key_id("key") }),
                _ => Err(LoginRefused::BadCredentials),
            }
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_good_answer_holds_for_seconds_and_until_anybody_is_banned() {
    let switch = Switch::open();
    let mut fixture = Fixture::with_authenticator(switch.clone(), |_| {}).await;
    let connect = Connect::new("wallet", "key", "a");
    for asked in [1, 1, 1] {
        assert_eq!(answer(&mut fixture, HOME, &connect).await, 0);
        assert_eq!(switch.asked(), asked);
    }
    assert_eq!(answer(&mut fixture, ABROAD, &connect).await, 0);
    assert_eq!(switch.asked(), 2, "an answer is for one address");
    tokio::time::advance(Duration::from_secs(5)).await;
    assert_eq!(answer(&mut fixture, HOME, &connect).await, 0);
    assert_eq!(switch.asked(), 3);

    let (mut client, open_session) = session(&mut fixture, HOME, &connect).await;
    switch.is_banned.store(true, Ordering::SeqCst);
    fixture.bus.send(Down::Revoke { subject: Subject::Key(key_id("key")) });
    client.expect_closed().await;
    fixture.left(open_session).await;
    assert_eq!(answer(&mut fixture, HOME, &connect).await, 5);
    assert_eq!(switch.asked(), 4);
    for asked in [5, 6] {
        assert_eq!(answer(&mut fixture, HOME, &Connect::new("wallet", "no", "a")).await, 4);
        assert_eq!(switch.asked(), asked, "bad answers are not kept");
    }
}

/// The authenticator has said yes, and the ban comes before the session can be found.
#[tokio::test]
async fn a_ban_does_not_miss_a_login_that_is_being_decided() {
    let switch = Switch::open();
    let mut fixture = Fixture::with_authenticator(switch.clone(), |_| {}).await;
    for version in Version::ALL {
        let connect = Connect::new("wallet", "key", "a").version(version);
        let before = switch.asked();
        let held = switch.leave.write().await;
        let mut client = fixture.pipe();
        client.send(&connect.bytes()).await;
        until("the question", || switch.asked() > before).await;
        fixture.bus.send(Down::Revoke { subject: Subject::Service(service("wallet")) });
        // Nothing tells when it has been carried out, but the message after it does.
        let mut other = fixture.pipe();
        other.send(&[0xC0, 0]).await;
        other.expect_closed().await;
        drop(held);
        let code = client.packet().await.1[1];
        assert_eq!(code, if version == Version::V5 { 0x89 } else { 3 });
        assert_eq!(answer(&mut fixture, HOME, &connect).await, 0, "it may come again");
        fixture.bus.send(Down::Revoke { subject: Subject::Service(service("nobody")) });
    }
}

#[tokio::test(start_paused = true)]
async fn guessing_a_name_is_slowed_down_but_its_owner_is_always_heard() {
    let switch = Switch::open();
    let no_delay = |limits: &mut Limits| limits.refusal_delay = Duration::ZERO;
    let mut fixture = Fixture::with_authenticator(switch.clone(), no_delay).await;
    let (good, bad) = (Connect::new("wallet", "key", "a"), Connect::new("wallet", "no", "a"));
    assert_eq!(answer(&mut fixture, HOME, &good).await, 0);
    for last in 0..40 {
        let code = answer(&mut fixture, [203, 0, 113, last], &bad).await;
        assert_eq!(code, if last < 20 { 4 } else { 3 });
    }
    assert_eq!(switch.asked(), 21, "the others were not looked at");
    assert_eq!(answer(&mut fixture, ABROAD, &bad.version(Version::V5)).await, 0x9F);
    assert_eq!(answer(&mut fixture, ABROAD, &good).await, 3, "from where it has never been");
    assert_eq!(answer(&mut fixture, HOME, &Connect::new("wallet", "key", "b")).await, 0);
    assert_eq!(answer(&mut fixture, ABROAD, &Connect::new("exchange", "no", "a")).await, 4, "another name");
}

/// Refusals that tell a guesser something come late; the others do not keep anybody.
#[tokio::test(start_paused = true)]
async fn a_refused_login_is_answered_after_a_pause() {
    let mut fixture = Fixture::start().await;
    for (connect, code, pause_ms) in [
        (Connect::new("wallet", "no", "a"), 4, 250),
        (Connect::new("banned", "x", "a"), 5, 250),
        (Connect::new("undecided", "x", "a"), 3, 0),
        (Connect::worker(1), 0, 0),
    ] {
        let started = tokio::time::Instant::now();
        assert_eq!(answer(&mut fixture, HOME, &connect).await, code);
        let elapsed_ms = started.elapsed().as_millis();
        assert!((pause_ms..pause_ms + 100).contains(&elapsed_ms), "{code}: {elapsed_ms} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn results_that_count_against_a_worker_shut_it_out_for_longer_each_time() {
    let mut fixture = Fixture::start().await;
    for (version, refused) in [(Version::V311, 5), (Version::V5, 0x8A)] {
        // Of a trusted address: it is never shut out itself.
        let here = [127, 0, 0, 1];
        let seed = if version == Version::V5 { 1 } else { 2 };
        let connect = Connect::worker(seed).version(version);
        for seconds in [30, 60, 120] {
            let (mut client, session) = session(&mut fixture, here, &connect).await;
            for _ in 0..2 {
                fixture.bus.send(Down::Penalize { session });
            }
            client.ping().await;
            fixture.bus.send(Down::Penalize { session });
            client.expect_end(&version.last_words(0x98)).await;
            fixture.left(session).await;
            assert_eq!(answer(&mut fixture, here, &connect).await, refused);
            tokio::time::advance(Duration::from_secs(seconds - 1)).await;
            assert_eq!(answer(&mut fixture, here, &connect).await, refused, "{seconds} s");
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        let (mut client, session) = session(&mut fixture, here, &connect).await;
        fixture.bus.send(Down::Penalize { session });
        client.expect_end(&version.last_words(0x98)).await;
        fixture.left(session).await;
        tokio::time::advance(DAY.saturating_sub(Duration::from_mins(1))).await;
        assert_eq!(answer(&mut fixture, here, &connect).await, refused);
        assert_eq!(
            answer(&mut fixture, here, &Connect::worker(9)).await,
            0,
            "the same payee, the same address"
        );
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!(answer(&mut fixture, here, &connect).await, 0);
    }
}

/// A worker id costs nothing, so whoever leaves before the verdict and comes back as somebody else is counted by address.
#[tokio::test(start_paused = true)]
async fn an_address_that_goes_on_under_new_ids_is_shut_out() {
    let mut fixture = Fixture::start().await;
    let (mut neighbour, neighbours_session) = session(&mut fixture, HOME, &Connect::worker(100)).await;
    let (mut service_client, services_session) =
        session(&mut fixture, HOME, &Connect::new("wallet", "key", "a")).await;
    for seed in 1..=10 {
        let (client, session) = session(&mut fixture, HOME, &Connect::worker(seed)).await;
        drop(client);
        fixture.left(session).await;
        neighbour.ping().await;
        fixture.bus.send(Down::Penalize { session });
    }
    neighbour.expect_closed().await;
    fixture.left(neighbours_session).await;
    assert_eq!(answer(&mut fixture, HOME, &Connect::worker(50)).await, 5);
    assert_eq!(answer(&mut fixture, ABROAD, &Connect::worker(50)).await, 0);
    service_client.ping().await;
    drop(service_client);
    fixture.left(services_session).await;
    tokio::time::advance(DAY).await;
    assert_eq!(answer(&mut fixture, HOME, &Connect::worker(50)).await, 0);
}

/// Sessions that are no worker's have no results.
#[tokio::test]
async fn penalties_are_for_workers() {
    let mut fixture = Fixture::with_authenticator(Acquaintances::shared(), |_| {}).await;
    let (mut client, session) = session(&mut fixture, HOME, &Connect::new("wallet", "key", "a")).await;
    for _ in 0..20 {
        fixture.bus.send(Down::Penalize { session });
    }
    fixture.bus.send(Down::Penalize { session: SessionId::new(u64::MAX) });
    client.ping().await;
}
