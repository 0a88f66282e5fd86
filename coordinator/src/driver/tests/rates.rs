//! Services that ask too fast.

use super::*;

async fn refused(asked: JoinHandle<Outcome>) -> bool {
    asked.await.unwrap() == Outcome::Refused(Refusal::RateLimited)
}

#[tokio::test(start_paused = true)]
async fn what_one_service_may_ask_for_is_one_bucket_for_all_ways_in() {
    let rate = Rate { per_second: 1.try_into().unwrap(), burst: 3.try_into().unwrap() };
    let mut rig = Rig::start_at(rate, |_| Vec::new()).await;
    rig.worker_joins(1).await;
    let session = SessionId::new(2);
    rig.joins(session, Identity::Service { service: wallet(), key: shared::KeyId::from_bytes([1; 8]) }).await;
    let over_mqtt = |number: u8| ServiceRequest {
        request: RequestId::from_u128(number.into()),
        root: Root::new([number; 32]),
        demand: ServiceDemand::Threshold(NETWORK.receive_threshold()),
        account: None,
        timeout_ms: None,
        class: None,
    };
    let topic = Topic::ServiceRequest(wallet());
    let asker = Asker { service: wallet(), key: None, is_test: false };
    let say = |number| encode(&over_mqtt(number), Form::Binary);

    let waiting = [rig.ask(Root::new([1; 32])), rig.ask(Root::new([2; 32]))];
    while rig.next_list().await.jobs.len() < 2 {}
    rig.says(session, topic, say(3)).await;
    while rig.next_list().await.jobs.len() < 3 {}
    let quota = rig.source.quota(asker).unwrap();
    assert_eq!((quota.burst, quota.left), (3, 0));

    assert!(refused(rig.ask(Root::new([4; 32]))).await);
    rig.says(session, topic, say(5)).await;
    let (reply, _) = decode::<ServiceReply>(&rig.next(Topic::ServiceReply(wallet())).await).unwrap();
    assert_eq!(reply.request, RequestId::from_u128(5));
    assert_eq!(reply.outcome, ReplyOutcome::Refused(Refusal::RateLimited));
    assert_eq!(rig.source.quota(asker).unwrap().wait, Some(Duration::from_secs(1)));

    // A service whose connection is back says again what it has open; the request of the same name is not a further one.
    rig.says(session, topic, say(3)).await;
    tokio::time::advance(Duration::from_secs(1)).await;
    let admitted = rig.ask(Root::new([6; 32]));
    while rig.next_list().await.jobs.len() < 4 {}
    assert!(refused(rig.ask(Root::new([7; 32]))).await);
    assert!(!admitted.is_finished() && waiting.iter().all(|asked| !asked.is_finished()));
}
