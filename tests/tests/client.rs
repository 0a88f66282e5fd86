//! The client library, as a service uses it.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use client::{Client, Settings, State, Unanswered};
use e2e::{Home, NETWORK, PATIENCE, RawWorker, Service, Signal, WorkerProcess, account, oracle, root};
use shared::pow::Threshold;
use shared::protocol::{ServiceDemand, ServiceRequest, Verdict};
use shared::{Refusal, RequestId};
use tokio::task::JoinSet;

const THRESHOLD: Threshold = NETWORK.receive_threshold();
/// Requests of the long run, and how many at a time.
const REQUESTS: u64 = 600;
const AT_ONCE: usize = 32;

fn connect(mqtt: SocketAddr, service: &Service) -> anyhow::Result<Client> {
    let server = format!("mqtt://{mqtt}").parse()?;
    let (service, key) = (service.name.parse()?, service.key.clone().into());
    Ok(Client::start(Settings { server, service, key, network: NETWORK }))
}

fn request(number: u64) -> ServiceRequest {
    ServiceRequest {
        request: RequestId::from_u128(number.into()),
        root: root(number),
        demand: ServiceDemand::Threshold(THRESHOLD),
        account: None,
        timeout_ms: Some(60_000),
        class: None,
    }
}

async fn until(client: &Client, is_wanted: impl FnMut(&State) -> bool) -> anyhow::Result<State> {
    let mut state = client.state();
    let state = tokio::time::timeout(PATIENCE, state.wait_for(is_wanted)).await;
    Ok(state.context("the state does not come")??.clone())
}

fn wait<T>(what: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?.block_on(what)
}

fn service(home: &Home) -> anyhow::Result<Service> {
    let service = home.add_service("wallet")?;
    home.grant_paid(&service, 1000)?;
    Ok(service)
}

/// The server dies twice on the way. Whoever goes on waiting is answered all the same, and nothing is paid for twice.
#[test]
fn requests_outlive_the_server() -> anyhow::Result<()> {
    let home = Home::new()?;
    let wallet = service(&home)?;
    let mut server = home.serve()?;
    let (http, mqtt) = (server.http_addr(), server.mqtt_addr());
    let worker = WorkerProcess::start(mqtt, account(1))?;
    let server = wait(async {
        let client = connect(mqtt, &wallet)?;
        let (mut asked, mut answered) = (JoinSet::new(), 0);
        let mut numbers = 0..REQUESTS;
        while answered < REQUESTS {
            while asked.len() < AT_ONCE
                && let Some(number) = numbers.next()
            {
                let client = client.clone();
                asked.spawn(async move { (number, client.ask(request(number)).await) });
            }
            let (number, answer) = asked.join_next().await.context("all have been asked for")??;
            match answer {
                Ok(answer) => {
                    ensure!(answer.work.root() == root(number));
                    oracle::verify(root(number), answer.work.nonce(), THRESHOLD)?;
                }
                Err(error) => anyhow::bail!("request {number}: {error}"),
            }
            answered += 1;
            if answered == REQUESTS / 3 || answered == REQUESTS * 2 / 3 {
                server.crash()?;
                server = home.serve_at(http, mqtt)?;
            }
        }
        Ok(server)
    })?;
    worker.stop()?;
    server.stop(Signal::Terminate)?;
    let mut paid = BTreeMap::new();
    for settlement in home.journal()?.replay()?.settlements {
        *paid.entry(settlement.root).or_insert(0) += u64::from(settlement.charged() > 0);
    }
    ensure!(paid.len() == usize::try_from(REQUESTS)?, "{} roots were paid for", paid.len());
    ensure!(paid.values().all(|times| *times == 1), "a root was paid for twice");
    ensure!(home.run(&["ledger", "audit"])?.status.success());
    Ok(())
}

/// Dropping the future takes the job off the workers' lists; asking for one name twice asks once.
#[test]
fn who_stops_waiting_withdraws() -> anyhow::Result<()> {
    let home = Home::new()?;
    let wallet = service(&home)?;
    let server = home.serve()?;
    let mut worker = RawWorker::join(&server, 1, account(1))?;
    wait(async {
        let client = connect(server.mqtt_addr(), &wallet)?;
        let ask = |number| {
            let client = client.clone();
            tokio::spawn(async move { client.ask(request(number)).await })
        };
        let (one, other) = (ask(1), ask(1));
        let job = worker.wait_for_job(root(1))?;
        one.abort();
        // A marker: when it is open as well, what came before has been dealt with.
        let marker = ask(2);
        server.client().wait_for_metric("dpow_requests_open", |open| open == 2)?;
        let nonce = oracle::search(root(1), 0, |difficulty| difficulty.meets(THRESHOLD));
        let verdict = worker.submit(job.job, root(1), nonce)?.verdict;
        ensure!(verdict == Verdict::Accepted, "the other one's job was withdrawn: {verdict:?}");
        ensure!(other.await??.work.nonce() == nonce);
        marker.abort();
        let alone = ask(3);
        worker.wait_for_job(root(3))?;
        alone.abort();
        while worker.next_list()?.jobs.iter().any(|job| job.root == root(3)) {}
        Ok(())
    })
}

#[test]
fn what_is_wrong_is_said() -> anyhow::Result<()> {
    let home = Home::new()?;
    let (wallet, beggar) = (service(&home)?, home.add_service("beggar")?);
    let server = home.serve()?;
    let mqtt = server.mqtt_addr();
    wait(async {
        let poor = connect(mqtt, &beggar)?.ask(request(1)).await;
        ensure!(poor == Err(Unanswered::Refused(Refusal::InsufficientCredit)), "{poor:?}");
        let stranger = connect(mqtt, &Service { key: beggar.key.clone(), ..wallet.clone() })?;
        let state = until(&stranger, |state| matches!(state, State::Disconnected { .. })).await?;
        let State::Disconnected { reason, retry_in } = state else { anyhow::bail!("{state:?}") };
        ensure!(reason.contains("refused the login") && retry_in >= Duration::from_mins(1), "{reason}");
        let nobody = ServiceRequest { timeout_ms: Some(1), ..request(2) };
        let away = stranger.ask(nobody).await;
        ensure!(away == Err(Unanswered::Away), "{away:?}");
        ensure!(!format!("{stranger:?}").contains(&beggar.key));
        Ok(())
    })?;
    server.stop(Signal::Terminate)
}
