//! When the market has as much to do as it takes: who comes then is refused where it arrives, while the driver has no time.

use std::pin::Pin;

use futures_util::FutureExt;
use marketplace::limits::LEDGER_UNANSWERED_MAX;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::intake::served::Served;

type Asked = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// A request that has been sent as far as it can be without the driver.
fn ask(source: &InProcess, number: usize) -> Result<Asked, Outcome> {
    let (source, mut bytes) = (source.clone(), [0; 32]);
    bytes[24..].copy_from_slice(&number.to_be_bytes());
    let asker = Asker { service: wallet(), key: None, is_test: false };
    let mut asked: Asked =
        Box::pin(async move { source.ask(asker, request(Root::new(bytes))).await.outcome });
    match (&mut asked).now_or_never() {
        Some(outcome) => Err(outcome),
        None => Ok(asked),
    }
}

/// What the HTTP edge answers, asked on the account of the wallet.
async fn post(source: &InProcess, path: &str, body: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let settings = bridge::Settings { payer: Some(wallet()), ..bridge::Settings::default() };
    let served = Served::start(listener, bridge::router(source.clone(), &settings), settings);
    let mut client = TcpStream::connect(address).await.unwrap();
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: d\r\nConnection: close\r\nContent-Length: {}", body.len());
    client.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    served.stop().await.unwrap();
    answer
}

#[tokio::test]
async fn what_the_market_would_not_take_is_refused_where_it_arrives() {
    let some = |number: u32| number.try_into().unwrap();
    let rate = Rate { per_second: some(1000), burst: some(1000) };
    let rig = Rig::build(rate, Health::new(|| true), |_| Vec::new()).await;
    // The driver does not run yet: whatever is answered now is answered without it.
    let waiting: Vec<Asked> =
        (0..LEDGER_UNANSWERED_MAX).map(|number| ask(&rig.source, number).ok().unwrap()).collect();
    let recorder = PrometheusBuilder::new().build_recorder();
    let refused = ::metrics::with_local_recorder(&recorder, || ask(&rig.source, 1000).err());
    assert_eq!(refused, Some(Outcome::Refused(Refusal::Overloaded)));
    let counted = recorder.handle().render();
    assert!(counted.contains("work_requests_total{outcome=\"overloaded\"} 1"), "{counted}");

    let one = format!(r#"{{"root":"{ROOT}"}}"#);
    let answer = post(&rig.source, "/v1/work", &one).await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\r\nretry-after: 1\r\n"), "{answer}");
    assert!(
        answer.contains(r#""code":"overloaded","charged":false,"charged_mc":0,"retry":true"#),
        "{answer}"
    );
    let answer = post(&rig.source, "/v1/work/batch", &format!(r#"{{"requests":[{one},{one}]}}"#)).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(answer.matches(r#""code":"overloaded""#).count(), 2, "{answer}");

    let (end, is_ending) = oneshot::channel();
    let Rig { store, source, health, up, down, driver, .. } = rig;
    let driver = tokio::spawn(driver.run(is_ending));
    let mut rig = Rig { store, source, health, up, down, driver, _end: Some(end) };
    rig.worker_joins(1).await;
    while rig.next_list().await.jobs.is_empty() {}
    // The ledger has answered for all of them.
    let later = ask(&rig.source, 1001).ok().unwrap();
    let (reply, snapshot) = oneshot::channel();
    rig.source.commands.send(Command::Snapshot(reply)).unwrap();
    assert_eq!(snapshot.await.unwrap().statistics.requests_refused, 4);
    drop((waiting, later));
    let balance = rig.store.balance(wallet()).await.unwrap().unwrap();
    assert_eq!(balance.available().as_u64() + balance.held.as_u64(), 10_000, "nothing was charged");
}
