//! One worker: connects as a real one does, obeys its lists, and comes again when it has lost its connection.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use benches::mqtt::{Inbox, connect_narrow, log_in, publish, subscribe_as_worker};
use rand::RngExt;
use rand::rngs::SmallRng;
use shared::pow::{Nonce, Root, Threshold, difficulty};
use shared::protocol::{
    Form, ListedJob, Topic, VerdictNotice, WORK_LIST_MAX, WorkList, WorkResult, WorkerHello, WorkerStatus,
    decode, encode,
};
use shared::{Account, WorkerId};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::Semaphore;
use tokio::time::{sleep, sleep_until, timeout};

use crate::counts::Counts;
use crate::policy::{Bench, Policy};

/// What a session announces that needs no time to search.
const RATE_AT_ONCE: u64 = 1_000_000_000;
/// A worker that searches says something at least so often.
const SIGN_EVERY: Duration = Duration::from_secs(1);
/// How long connecting, logging in and subscribing may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Waits before the next attempt: doubled each time, up to the second; half of each is random.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));
/// Pause of a slow reader after each message.
const SLOW_PAUSE: Duration = Duration::from_millis(250);

/// What all sessions share.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) server: SocketAddr,
    /// Sessions that are connecting at once wait for one of these.
    pub(crate) lanes: Semaphore,
    pub(crate) counts: Counts,
    /// What secrets and accounts are made from, so that two fleets do not throw each other out.
    pub(crate) seed: u64,
}

/// What a worker is like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Nature {
    /// Hashes a second; none if it needs no time.
    pub(crate) rate: Option<f64>,
    /// How much longer than over this machine's own network a message takes, in either direction.
    pub(crate) delay: Duration,
}

/// What is on its way to a worker and from it, in the order in which it arrives.
#[derive(Debug)]
struct Way {
    delay: Duration,
    lists: VecDeque<(Instant, WorkList)>,
    results: VecDeque<(Instant, ListedJob)>,
}

impl Way {
    /// When the next message arrives.
    fn next(&self) -> Option<Instant> {
        let (list, result) = (self.lists.front(), self.results.front());
        [list.map(|list| list.0), result.map(|result| result.0)].into_iter().flatten().min()
    }
}

/// Who a worker is: as a real one, but for the secret, which a number stands for.
#[derive(Debug)]
struct Identity {
    id: WorkerId,
    password: String,
    account: Account,
}

impl Identity {
    fn of(seed: u64, number: u64) -> Self {
        let name = u128::from(seed) << 64 | u128::from(number);
        let mut secret = [0; 32];
        secret[..16].copy_from_slice(&name.to_be_bytes());
        let password = format!("{name:032x}{:032x}", 0);
        // Any 32 bytes have an address.
        Self { id: WorkerId::of_secret(&secret), password, account: Account::from_public_key(secret) }
    }
}

/// One of the fleet.
#[derive(Debug)]
pub(crate) struct Session {
    fleet: Arc<Fleet>,
    identity: Identity,
    policy: Policy,
    nature: Nature,
    random: SmallRng,
    packet_id: u16,
}

impl Session {
    /// The worker of this number.
    pub(crate) fn new(
        fleet: Arc<Fleet>,
        number: u64,
        policy: Policy,
        nature: Nature,
        random: SmallRng,
    ) -> Self {
        let identity = Identity::of(fleet.seed, number);
        Self { fleet, identity, policy, nature, random, packet_id: 0 }
    }

    /// Works for ever.
    pub(crate) async fn run(mut self) {
        let (mut pause, pause_max) = PAUSES;
        loop {
            let fleet = Arc::clone(&self.fleet);
            let connected = {
                let _lane = fleet.lanes.acquire().await;
                timeout(CONNECT_WITHIN, self.connect()).await
            };
            if let Ok(Ok((inbox, writer))) = connected {
                pause = PAUSES.0;
                fleet.counts.connected.add(1);
                // However it ends, it comes again.
                let _ = self.work(inbox, writer).await;
                fleet.counts.connected.take_one();
                fleet.counts.lost.add(1);
            } else {
                fleet.counts.refused.add(1);
            }
            sleep(pause.mul_f64(self.random.random_range(0.5..1.0))).await;
            pause = (pause * 2).min(pause_max);
        }
    }

    async fn connect(&mut self) -> io::Result<(Inbox, OwnedWriteHalf)> {
        let Identity { id, password, account } = &self.identity;
        let mut stream = match self.policy {
            Policy::Slow => connect_narrow(self.fleet.server)?,
            Policy::One | Policy::First | Policy::Race | Policy::Mute => {
                TcpStream::connect(self.fleet.server).await?
            }
        };
        log_in(&mut stream, &account.to_string(), password, &id.to_string()).await?;
        subscribe_as_worker(&mut stream, *id).await?;
        let (read, mut writer) = stream.into_split();
        let hello = self.hello();
        self.publish(&mut writer, Topic::WorkerHello(self.identity.id), &hello).await?;
        Ok((Inbox::new(read), writer))
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate is positive, and cut"
    )]
    fn rate(&self) -> u64 {
        self.nature.rate.map_or(RATE_AT_ONCE, |rate| rate.round() as u64)
    }

    fn hello(&self) -> Vec<u8> {
        let hashes_per_second = self.rate();
        let capacity = u8::try_from(WORK_LIST_MAX).unwrap_or(u8::MAX);
        let hello = WorkerHello {
            software: concat!("dpow-fleet ", env!("CARGO_PKG_VERSION")).into(),
            devices: Vec::new(),
            hashes_per_second,
            capacity,
            threshold_max: Threshold::new(u64::MAX),
            precache: false,
        };
        encode(&hello, Form::Binary)
    }

    /// Obeys lists until the connection ends. A result whose acknowledgement was lost with it is not sent again.
    async fn work(&mut self, mut inbox: Inbox, mut writer: OwnedWriteHalf) -> io::Result<()> {
        let mut bench = Bench::new(self.policy, self.nature.rate);
        let mut way = Way { delay: self.nature.delay, lists: VecDeque::new(), results: VecDeque::new() };
        let verdicts = Topic::WorkVerdict(self.identity.id).to_string();
        let mut quiet_since = None;
        loop {
            // One that needs no time to search never owes a word.
            let is_searching = self.nature.rate.is_some() && bench.next_solution().is_some();
            quiet_since = is_searching.then(|| quiet_since.unwrap_or_else(Instant::now));
            let sign = quiet_since.map(|since| since + SIGN_EVERY);
            let next = [bench.next_solution(), way.next(), sign].into_iter().flatten().min();
            let something = async {
                match next {
                    Some(at) => sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                message = inbox.message() => {
                    let message = message?;
                    if message.topic == verdicts.as_bytes() {
                        self.fleet.counts.judged(read::<VerdictNotice>(message.payload)?.verdict);
                    } else {
                        way.lists.push_back((Instant::now() + way.delay, read(message.payload)?));
                        self.fleet.counts.lists.add(1);
                    }
                    if self.policy == Policy::Slow {
                        sleep(SLOW_PAUSE).await;
                    }
                }
                () = something => {}
            }
            self.catch_up(&mut bench, &mut way);
            while let Some((_, job)) = way.results.pop_front_if(|(at, _)| *at <= Instant::now()) {
                self.send_result(&mut writer, job).await?;
                quiet_since = quiet_since.map(|_| Instant::now());
            }
            if sign.is_some_and(|at| at <= Instant::now()) {
                self.send_sign_of_life(&mut writer).await?;
                quiet_since = quiet_since.map(|_| Instant::now());
            }
        }
    }

    /// Lets happen what should have happened by now, each at its own time, so that a timer that comes late makes nothing longer.
    fn catch_up(&mut self, bench: &mut Bench, way: &mut Way) {
        let now = Instant::now();
        loop {
            let solution = bench.next_solution().filter(|at| *at <= now);
            let list = way.lists.front().map(|(at, _)| *at).filter(|at| *at <= now);
            match (solution, list) {
                (Some(at), list) if list.is_none_or(|list| at < list) => {
                    let Some(job) = bench.solved(at, &mut self.random) else { return };
                    way.results.push_back((at + way.delay, job));
                }
                (_, Some(_)) => {
                    let Some((at, list)) = way.lists.pop_front() else { return };
                    let new = bench.take(list, at, &mut self.random);
                    self.fleet.counts.jobs.add(new);
                }
                _ => return,
            }
        }
    }

    async fn send_result(&mut self, writer: &mut OwnedWriteHalf, job: ListedJob) -> io::Result<()> {
        let ListedJob { job, root, threshold, .. } = job;
        let nonce = search(&root, threshold, self.random.random());
        let result = encode(&WorkResult { job, root, nonce }, Form::Binary);
        self.fleet.counts.results.add(1);
        self.publish(writer, Topic::WorkResult(self.identity.id), &result).await
    }

    /// Without its delay on the way, which would make no difference to a sign.
    async fn send_sign_of_life(&mut self, writer: &mut OwnedWriteHalf) -> io::Result<()> {
        let status = WorkerStatus {
            hashes_per_second: self.rate(),
            devices_hashes_per_second: Vec::new(),
            temperature_c: None,
            paused: None,
        };
        let topic = Topic::WorkerStatus(self.identity.id).to_string();
        self.fleet.counts.statuses.add(1);
        writer.write_all(&publish(&topic, None, &[&encode(&status, Form::Binary)])).await
    }

    async fn publish(&mut self, writer: &mut OwnedWriteHalf, topic: Topic, payload: &[u8]) -> io::Result<()> {
        self.packet_id = self.packet_id % u16::MAX + 1;
        writer.write_all(&publish(&topic.to_string(), Some(self.packet_id), &[payload])).await
    }
}

fn read<M: shared::protocol::Message>(payload: &[u8]) -> io::Result<M> {
    decode(payload).map(|(message, _)| message).map_err(io::Error::other)
}

/// Searches in earnest, from a nonce on: the time that this takes is the fleet's own, so thresholds should be easy.
fn search(root: &Root, threshold: Threshold, from: u64) -> Nonce {
    let mut nonce = from;
    while !difficulty(root, Nonce::new(nonce)).meets(threshold) {
        nonce = nonce.wrapping_add(1);
    }
    Nonce::new(nonce)
}

#[cfg(test)]
mod tests {
    use shared::Network;

    use super::*;

    #[test]
    fn every_worker_has_an_identity_of_its_own_that_a_gate_believes() {
        let identity = Identity::of(1, 2);
        assert_eq!(identity.password.len(), 64);
        assert!(Network::Dev.parse_address(&identity.account.to_string()).is_ok());
        for other in [Identity::of(1, 3), Identity::of(2, 2)] {
            assert_ne!(other.id, identity.id);
            assert_ne!(other.account, identity.account);
        }
        assert_eq!(Identity::of(1, 2).id, identity.id);
    }

    #[test]
    fn what_is_found_meets_the_threshold() {
        let (root, threshold) = (Root::new([3; 32]), Threshold::new(0xf000_0000_0000_0000));
        let nonce = search(&root, threshold, u64::MAX - 1);
        assert!(difficulty(&root, nonce).meets(threshold));
    }
}
