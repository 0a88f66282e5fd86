//! A community whose coordinator is ended again and again while services ask and workers search, with books kept in a process of
//! their own: whatever the moment of an end, they have to fit.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use shared::pow::{Root, Threshold};

use crate::bookkeeper::{Bookkeeper, Summary};
use crate::home::{Home, Service};
use crate::http::{Answer, Http};
use crate::journal::Replay;
use crate::process::{Process, Signal};
use crate::server::Server;
use crate::worker_process::{WorkerProcess, account};
use crate::{NETWORK, PATIENCE, root};

/// Clients that ask at the same time, of each service.
const CLIENTS: usize = 6;
/// What each service is given, in credits: granted, and as much again bought.
const CREDITS: u64 = 1_000_000;
/// What a client waits before it asks again, so that it does not spin while nobody listens.
const PAUSE: Duration = Duration::from_millis(20);
/// How long a request may take, in milliseconds.
const TIMEOUT_MS: u32 = 20_000;
/// Refusals that a coordinator may give while it comes and goes.
const EXCUSES: [&str; 4] = ["draining", "no_workers", "expired", "store_unavailable"];

/// See the module.
#[derive(Debug)]
pub struct Siege {
    home: Home,
    services: [Service; 2],
    workers: Vec<WorkerProcess>,
    http: SocketAddr,
    mqtt: SocketAddr,
    bookkeeper: Bookkeeper,
    /// Roots that have been asked for: those of the numbers below this one.
    roots: AtomicU64,
    /// Requests that have been made up.
    requests: AtomicU64,
    tally: Tally,
}

/// What the clients have gone through.
#[derive(Debug, Default)]
struct Tally {
    /// Attempts that met nobody.
    alone: AtomicU64,
    /// Attempts that were cut off before their answer.
    cut: AtomicU64,
    /// Attempts that were refused with one of [`EXCUSES`].
    refused: AtomicU64,
    is_over: AtomicBool,
    is_abandoned: AtomicBool,
}

impl Siege {
    /// Two services with credits, so many workers with a process each, and a coordinator; `None` without Python, which is said
    /// aloud.
    ///
    /// # Errors
    /// When any of it does not start.
    pub fn begin(what: &str, workers: u8) -> anyhow::Result<Option<(Self, Server)>> {
        Self::begin_in(Home::new()?, what, workers)
    }

    /// The same, on an empty data directory.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub fn begin_in(home: Home, what: &str, workers: u8) -> anyhow::Result<Option<(Self, Server)>> {
        let Some(bookkeeper) = Bookkeeper::start(what)? else { return Ok(None) };
        let services = [home.add_service("wallet")?, home.add_service("exchange")?];
        for service in &services {
            home.grant(service, CREDITS)?;
            home.grant_paid(service, CREDITS)?;
        }
        let mut command = home.listening_command(&["serve"])?;
        let server = home.serve_with(command.env("DPOW_SHUTDOWN_GRACE_S", "1"))?;
        let (http, mqtt) = (server.http_addr(), server.mqtt_addr());
        let workers = (1..=workers).map(|number| WorkerProcess::start(mqtt, account(number)));
        let workers = workers.collect::<Result<_, _>>()?;
        let (roots, requests) = (AtomicU64::new(0), AtomicU64::new(0));
        let tally = Tally::default();
        Ok(Some((Self { home, services, workers, http, mqtt, bookkeeper, roots, requests, tally }, server)))
    }

    /// Starts the coordinator again where it was, and waits until it is ready.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn restart(&self) -> anyhow::Result<Server> {
        self.home.serve_with(&mut self.command()?)
    }

    /// Starts the coordinator again, and returns before it is ready.
    ///
    /// # Errors
    /// When there is no such program.
    pub fn begin_restart(&self) -> anyhow::Result<Process> {
        Process::start("dpow", &mut self.command()?)
    }

    /// The coordinator where it was. What is in flight when it stops has a second: nobody works for some of the requests.
    fn command(&self) -> anyhow::Result<Command> {
        let (http, mqtt) = (self.http.to_string(), self.mqtt.to_string());
        let mut command = self.home.command(&["serve", "--http-listen", &http, "--mqtt-listen", &mqtt])?;
        command.env("DPOW_SHUTDOWN_GRACE_S", "1");
        Ok(command)
    }

    /// Waits until the coordinator is ready again.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn wait_until_ready(&self) -> anyhow::Result<()> {
        let (http, deadline) = (Http::new(self.http), Instant::now() + PATIENCE);
        while !http.get("/readyz").is_ok_and(|reply| reply.status == 200) {
            ensure!(Instant::now() < deadline, "the coordinator is not ready again");
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Waits until every worker has come back by itself.
    ///
    /// # Errors
    /// When one has not.
    pub fn wait_for_workers(&self) -> anyhow::Result<()> {
        self.workers.iter().try_for_each(|worker| worker.wait_until_is_connected(true))
    }

    /// Waits until every worker has noticed that the coordinator has gone.
    ///
    /// # Errors
    /// When one has not.
    pub fn wait_for_loss(&self) -> anyhow::Result<()> {
        self.workers.iter().try_for_each(|worker| worker.wait_until_is_connected(false))
    }

    /// Has clients ask in a closed loop while `act` goes on, each repeating its request until it is answered; ends when all
    /// have the answer to their last one, for which a coordinator has to be there.
    ///
    /// # Errors
    /// As `act`, or when a client gets what it should not.
    pub fn under_load<T>(&self, seed: u64, act: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
        self.tally.is_over.store(false, Ordering::Relaxed);
        thread::scope(|scope| {
            let clients = (0..CLIENTS).flat_map(|number| {
                let random = SmallRng::seed_from_u64(seed ^ u64::try_from(number).unwrap_or_default());
                let random_too = random.clone();
                [
                    scope.spawn(move || self.ask_for_new_roots()),
                    scope.spawn(move || self.ask_for_old_roots(random_too)),
                ]
            });
            let clients: Vec<_> = clients.collect();
            let result = act();
            self.tally.is_abandoned.store(result.is_err(), Ordering::Relaxed);
            self.tally.is_over.store(true, Ordering::Relaxed);
            let ends: Vec<_> = clients.into_iter().map(|client| joined(client)).collect();
            let result = result?;
            ends.into_iter().collect::<anyhow::Result<()>>()?;
            Ok(result)
        })
    }

    /// A client of the first service. Every fourth root is one that another of them is asking for just now.
    fn ask_for_new_roots(&self) -> anyhow::Result<()> {
        let http = Http::new(self.http);
        while !self.tally.is_over.load(Ordering::Relaxed) {
            let number = self.roots.fetch_add(1, Ordering::Relaxed);
            let number = if number % 4 == 3 { number - 1 } else { number };
            self.ask(&http, &self.services[0], number, false)?;
        }
        Ok(())
    }

    /// A client of the second service, which wants what the first one wanted: mostly works that are there already.
    fn ask_for_old_roots(&self, mut random: SmallRng) -> anyhow::Result<()> {
        let http = Http::new(self.http);
        while !self.tally.is_over.load(Ordering::Relaxed) {
            let number = random.random_range(0..=self.roots.load(Ordering::Relaxed));
            self.ask(&http, &self.services[1], number, false)?;
        }
        Ok(())
    }

    /// Asks for the root of a number until there is an answer; `is_free`: it has been paid for.
    fn ask(&self, http: &Http, service: &Service, number: u64, is_free: bool) -> anyhow::Result<Answer> {
        let (root, threshold) = demand(number);
        let request = format!("{:032x}", self.requests.fetch_add(1, Ordering::Relaxed));
        let body = json!({
            "root": root, "threshold": threshold, "request_id": request, "timeout_ms": TIMEOUT_MS,
        });
        self.bookkeeper.want(&service.name, &request, (root, threshold), is_free)?;
        let deadline = Instant::now() + 2 * PATIENCE;
        loop {
            match http.work(&service.key, &body) {
                Ok(reply) if reply.status == 200 => {
                    let answer = reply.answer(root, threshold)?;
                    self.bookkeeper.told(&service.name, &request, &answer)?;
                    return Ok(answer);
                }
                Ok(reply) => {
                    let code = reply.problem_that_may_be_charged()?;
                    ensure!(EXCUSES.contains(&code.as_str()), "{} was refused: {}", service.name, reply.body);
                    self.tally.refused.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) if is_refused(&error) => {
                    self.tally.alone.fetch_add(1, Ordering::Relaxed);
                }
                Err(_) => {
                    self.tally.cut.fetch_add(1, Ordering::Relaxed);
                }
            }
            ensure!(!self.tally.is_abandoned.load(Ordering::Relaxed), "the run has failed elsewhere");
            ensure!(Instant::now() < deadline, "{} was never answered for {root}", service.name);
            thread::sleep(PAUSE);
        }
    }

    /// What the clients met on the way, for people.
    pub fn hardships(&self) -> String {
        let Tally { alone, cut, refused, .. } = &self.tally;
        let [alone, cut, refused] = [alone, cut, refused].map(|count| count.load(Ordering::Relaxed));
        format!("{cut} attempts cut off, {refused} refused, {alone} met nobody")
    }

    /// Ends the run: nothing is held, the journal replays, a coordinator that has crashed once more gives every root that was
    /// paid for free and without a worker, and the books fit.
    ///
    /// # Errors
    /// With whatever is wrong.
    pub fn finish(mut self, server: Server) -> anyhow::Result<Summary> {
        self.nothing_is_held()?;
        for worker in std::mem::take(&mut self.workers) {
            worker.stop()?;
        }
        server.crash()?;
        let server = self.restart()?;
        let paid = paid_for(&self.home.journal()?.replay()?);
        self.ask_again(&paid)?;
        server.stop(Signal::Terminate)?;
        let audit = self.home.run(&["ledger", "audit"])?;
        ensure!(audit.status.success(), "the audit is red: {}", audit.stdout);

        let journal = self.home.journal_text()?;
        let mut balances = BTreeMap::new();
        let mut granted = BTreeMap::new();
        for service in &self.services {
            balances.insert(service.name.clone(), self.home.balance(service)?.total_mc());
            granted.insert(service.name.clone(), 2 * 1_000 * CREDITS);
        }
        let summary = self.bookkeeper.judge(&journal, &granted, &balances)?;
        ensure!(paid_for(&self.home.journal()?.replay()?) == paid, "asking again was charged for");
        Ok(summary)
    }

    /// What is left to a service after a request, holds left out, is all that the journal leaves it.
    fn nothing_is_held(&self) -> anyhow::Result<()> {
        for service in &self.services {
            let number = self.roots.fetch_add(1, Ordering::Relaxed);
            let answer = self.ask(&Http::new(self.http), service, number, false)?;
            let replay = self.home.journal()?.replay()?;
            let of = |bucket| replay.balances.get(&format!("{bucket}:{}", service.name)).copied();
            let left = of("granted").unwrap_or(0) + of("paid").unwrap_or(0);
            let free = i64::try_from(answer.balance_mc.context("a fresh root is paid for")?)?;
            ensure!(left == free, "{} has {left} mc, but may spend {free}: something is held", service.name);
        }
        Ok(())
    }

    /// Asks for every root that a service has paid for.
    fn ask_again(&self, paid: &BTreeSet<(String, Root)>) -> anyhow::Result<()> {
        let next = AtomicU64::new(0);
        let ask_some = || {
            let http = Http::new(self.http);
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= self.roots.load(Ordering::Relaxed) {
                    return anyhow::Ok(());
                }
                for service in &self.services {
                    if paid.contains(&(service.name.clone(), root(number))) {
                        let answer = self.ask(&http, service, number, true)?;
                        ensure!(answer.source == "cache", "a paid root is searched again: {answer:?}");
                    }
                }
            }
        };
        thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(ask_some)).collect();
            clients.into_iter().try_for_each(|client| joined(client))
        })
    }
}

/// What a client ends with; its panic is the run's.
fn joined<T>(client: ScopedJoinHandle<'_, T>) -> T {
    client.join().unwrap_or_else(|panic| resume_unwind(panic))
}

/// Whether nobody listened.
fn is_refused(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<io::Error>();
        let io = io.or_else(|| match cause.downcast_ref::<ureq::Error>() {
            Some(ureq::Error::Io(io)) => Some(io),
            _ => None,
        });
        io.is_some_and(|io| io.kind() == io::ErrorKind::ConnectionRefused)
    })
}

/// What the root of a number is asked for with: the same for everybody.
fn demand(number: u64) -> (Root, Threshold) {
    let threshold =
        if number.is_multiple_of(8) { NETWORK.send_threshold() } else { NETWORK.receive_threshold() };
    (root(number), threshold)
}

/// Which service has paid for which root.
fn paid_for(replay: &Replay) -> BTreeSet<(String, Root)> {
    let service = |payer: &str| payer.split_once(':').map_or(payer, |(_, service)| service).to_owned();
    replay
        .settlements
        .iter()
        .filter(|settlement| settlement.charged() > 0)
        .map(|settlement| (service(&settlement.payer), settlement.root))
        .collect()
}
