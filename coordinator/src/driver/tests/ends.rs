//! The driver on its thread, with the real clock: each way in which it ends, and who hears what of it.

use super::*;

/// A rig whose driver runs on its thread. `gate` says whether the gate is well.
async fn start(gate: impl Fn() -> bool + Send + Sync + 'static) -> Rig<DriverThread> {
    let some = |number: u32| number.try_into().unwrap();
    let rate = Rate { per_second: some(1000), burst: some(1000) };
    let Rig { store, source, health, up, down, driver, .. } =
        Rig::build(rate, Health::new(gate), |_| Vec::new()).await;
    Rig { store, source, health, up, down, driver: driver.start().unwrap(), _end: None }
}

/// A request whose work has been found while the store is away.
async fn settling(rig: &mut Rig<DriverThread>) -> JoinHandle<Outcome> {
    rig.worker_joins(1).await;
    let waiting = rig.ask(ROOT);
    let list = rig.next_list().await;
    rig.switch(AWAY);
    let result = WorkResult { job: list.jobs[0].job, root: ROOT, nonce: solve(ROOT, list.jobs[0].threshold) };
    rig.says(SessionId::new(1), Topic::WorkResult(WORKER), encode(&result, Form::Binary)).await;
    rig.next(Topic::WorkVerdict(WORKER)).await;
    waiting
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_when_it_is_ended_hears_that_it_may_have_been_charged() {
    let mut rig = start(|| true).await;
    let waiting = settling(&mut rig).await;
    rig.driver.end();
    assert_eq!(waiting.await.unwrap(), Outcome::Unsettled);
    rig.driver.ended().await.unwrap();
    assert_eq!(rig.ask(ROOT).await.unwrap(), Outcome::Refused(Refusal::Draining), "there is nobody to ask");
    assert!(rig.up.is_closed());
    rig.driver.ended().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_during_a_drain_that_waits_for_the_store() {
    let mut rig = start(|| true).await;
    let waiting = settling(&mut rig).await;
    let (drained, is_drained) = oneshot::channel();
    rig.source.commands.send(Command::Drain { grace: Duration::ZERO, drained }).unwrap();
    let refused = rig.ask(Root::new([1; 32])).await.unwrap();
    assert_eq!(refused, Outcome::Refused(Refusal::Draining), "it has heard of the drain");
    rig.driver.end();
    assert_eq!(waiting.await.unwrap(), Outcome::Unsettled);
    assert!(is_drained.await.is_err(), "nothing was finished");
    rig.driver.ended().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_why_it_cannot_go_on() {
    let mut rig = start(|| true).await;
    rig.switch(BROKEN);
    assert!(matches!(rig.driver.ended().await, Err(DriverError::StoreStopped)));

    let mut rig = start(|| true).await;
    drop(rig.up);
    assert!(matches!(rig.driver.ended().await, Err(DriverError::GateStopped)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_ends_it_and_nobody_waits_for_ever() {
    let mut rig = start(|| panic!("a test lets the driver panic")).await;
    assert!(matches!(rig.driver.ended().await, Err(DriverError::Panicked)));
    assert_eq!(rig.ask(ROOT).await.unwrap(), Outcome::Refused(Refusal::Draining));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_does_not_outlive_whoever_holds_it() {
    let mut rig = start(|| true).await;
    let waiting = settling(&mut rig).await;
    drop(rig.driver);
    assert!(rig.up.is_closed());
    assert_eq!(waiting.await.unwrap(), Outcome::Unsettled);
}
