//! What is asked with a key for tests: answered by this process, for nothing, and never seen by a worker. Its roots, searches and works
//! are its own.
//!
//! Some roots have an outcome of their own, so that a service can try out what it does then ([`Rehearsed`]). Any other root is
//! searched, by one thread that gives way to everything else and rests as long as it has searched.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use shared::pow::{Root, Threshold, Work};
use shared::{Answer, JobId, Millicredits, Network, Outcome, Refusal, WorkSource};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;
use worker::backend::cpu::{Pool, Settings};
use worker::backend::{Device, Found, Search};

/// Requests that are open at a time, over all services.
const OPEN_MAX: usize = 64;
/// Of them, those that wait for a search.
const QUEUE_MAX: usize = 8;
/// Works that are kept; the oldest go first.
const WORKS_MAX: usize = 1000;
/// How long a root that stands for a delay takes before it is searched.
const DELAY: Duration = Duration::from_secs(5);

/// What becomes of a root that stands for an outcome: 31 zero bytes and one of these numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rehearsed {
    /// Nobody finds it: it ends with its time.
    Expires,
    /// It is refused at once.
    Refused(Refusal),
    /// It was found, and nobody knows whether it was charged.
    Unsettled,
    /// It takes [`DELAY`] longer.
    Delayed,
}

impl Rehearsed {
    fn of(root: Root) -> Option<Self> {
        let [zeros @ .., number] = root.as_bytes();
        if zeros.iter().any(|byte| *byte != 0) {
            return None;
        }
        Some(match number {
            1 => Self::Expires,
            2 => Self::Refused(Refusal::NoWorkers),
            3 => Self::Unsettled,
            4 => Self::Refused(Refusal::InsufficientCredit),
            5 => Self::Refused(Refusal::RateLimited),
            6 => Self::Refused(Refusal::Fault),
            7 => Self::Delayed,
            _ => return None,
        })
    }
}

/// Answers what is asked with keys for tests. All clones are one.
#[derive(Debug, Clone)]
pub(crate) struct Practice {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    network: Network,
    open: Semaphore,
    works: Mutex<VecDeque<Work>>,
    /// To the thread that searches, which is started when it is first needed.
    orders: OnceLock<Option<mpsc::Sender<Order>>>,
}

/// What is to be searched. Its end is noticed by whoever searches.
#[derive(Debug)]
struct Order {
    root: Root,
    threshold: Threshold,
    reply: oneshot::Sender<Work>,
}

impl Practice {
    /// On a network's thresholds.
    pub(crate) fn new(network: Network) -> Self {
        let shared = Shared {
            network,
            open: Semaphore::new(OPEN_MAX),
            works: Mutex::default(),
            orders: OnceLock::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The outcome of a request. Dropping the future ends its search.
    pub(crate) async fn answer(&self, root: Root, threshold: Threshold, limit: Duration) -> Outcome {
        let began = Instant::now();
        let network = self.shared.network;
        let (least, most) = (network.receive_threshold(), network.send_threshold());
        // A search that is harder than a send would keep the one thread from everybody else.
        if !(least.min(most)..=most).contains(&threshold) {
            return Outcome::Refused(Refusal::ThresholdOutOfRange);
        }
        let Ok(_place) = self.shared.open.try_acquire() else {
            return Outcome::Refused(Refusal::Overloaded);
        };
        match Rehearsed::of(root) {
            Some(Rehearsed::Expires) => {
                sleep(limit).await;
                return Outcome::Refused(Refusal::Expired);
            }
            Some(Rehearsed::Refused(refusal)) => return Outcome::Refused(refusal),
            Some(Rehearsed::Unsettled) => return Outcome::Unsettled,
            Some(Rehearsed::Delayed) => sleep(DELAY.min(limit)).await,
            None => {}
        }
        let left = limit.saturating_sub(began.elapsed());
        let found = timeout(left, self.find(root, threshold)).await;
        let (work, source) = match found {
            Ok(Ok(found)) => found,
            Ok(Err(refusal)) => return Outcome::Refused(refusal),
            Err(_) => return Outcome::Refused(Refusal::Expired),
        };
        let elapsed_ms = u32::try_from(began.elapsed().as_millis()).unwrap_or(u32::MAX);
        Outcome::Answered(Answer { work, source, elapsed_ms, charged: Millicredits::ZERO, balance: None })
    }

    async fn find(&self, root: Root, threshold: Threshold) -> Result<(Work, WorkSource), Refusal> {
        let kept = self.works().iter().find(|work| work.root() == root && work.meets(threshold)).copied();
        if let Some(work) = kept {
            return Ok((work, WorkSource::Cache));
        }
        let orders = self.shared.orders.get_or_init(start).as_ref().ok_or(Refusal::Fault)?;
        let (reply, found) = oneshot::channel();
        orders.try_send(Order { root, threshold, reply }).map_err(|_| Refusal::Overloaded)?;
        let work = found.await.map_err(|_| Refusal::Fault)?;
        let mut works = self.works();
        works.truncate(WORKS_MAX - 1);
        works.push_front(work);
        Ok((work, WorkSource::OnDemand))
    }

    /// Nothing is left half done under this lock.
    fn works(&self) -> std::sync::MutexGuard<'_, VecDeque<Work>> {
        self.shared.works.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts the thread and what hands it its orders.
fn start() -> Option<mpsc::Sender<Order>> {
    let (found, finds) = mpsc::unbounded_channel();
    let settings = Settings { threads: NonZeroUsize::MIN, has_low_priority: true, ..Settings::default() };
    let pool = Pool::start(&settings, found);
    let pool = pool
        .inspect_err(|error| warn!(%error, "what is asked with keys for tests is not searched: no thread can be started"))
        .ok()?;
    let (orders, received) = mpsc::channel(QUEUE_MAX);
    tokio::spawn(serve(pool, received, finds));
    Some(orders)
}

async fn serve(
    device: impl Device,
    mut orders: mpsc::Receiver<Order>,
    mut finds: mpsc::UnboundedReceiver<Found>,
) {
    let mut counter = 0;
    while let Some(mut order) = orders.recv().await {
        if order.reply.is_closed() {
            continue;
        }
        counter += 1;
        let (job, began) = (JobId { instance: 0, counter }, Instant::now());
        device.search(Search { job, root: order.root, threshold: order.threshold });
        let found = loop {
            tokio::select! {
                // Of an order before, it is of no use any more.
                Some(found) = finds.recv() => if found.job == job { break Some(found) },
                () = order.reply.closed() => break None,
            }
        };
        device.rest();
        if let Some(found) = found {
            // Whoever has just left does not mind.
            let _ = order.reply.send(found.work);
        }
        sleep(began.elapsed()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn numbered(number: u8) -> Root {
        let mut bytes = [0; 32];
        bytes[31] = number;
        Root::new(bytes)
    }

    #[tokio::test]
    async fn work_is_real_free_and_kept() {
        let practice = Practice::new(Network::Dev);
        let (root, threshold) = (Root::new([7; 32]), Network::Dev.send_threshold());
        for source in [WorkSource::OnDemand, WorkSource::Cache] {
            let Outcome::Answered(answer) = practice.answer(root, threshold, 60 * SECOND).await else {
                panic!("not answered")
            };
            assert_eq!((answer.source, answer.charged, answer.balance), (source, Millicredits::ZERO, None));
            assert!(Work::verify(root, answer.work.nonce(), threshold).is_some());
        }
        for outside in [Threshold::new(0), Threshold::new(threshold.as_u64() + 1)] {
            let outcome = practice.answer(root, outside, SECOND).await;
            assert_eq!(outcome, Outcome::Refused(Refusal::ThresholdOutOfRange));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn some_roots_have_an_outcome_of_their_own() {
        let practice = Practice::new(Network::Dev);
        let threshold = Network::Dev.send_threshold();
        let began = Instant::now();
        for (number, outcome) in [
            (2, Outcome::Refused(Refusal::NoWorkers)),
            (3, Outcome::Unsettled),
            (4, Outcome::Refused(Refusal::InsufficientCredit)),
            (5, Outcome::Refused(Refusal::RateLimited)),
            (6, Outcome::Refused(Refusal::Fault)),
        ] {
            assert_eq!(practice.answer(numbered(number), threshold, SECOND).await, outcome);
        }
        assert_eq!(began.elapsed(), Duration::ZERO);
        let expired = practice.answer(numbered(1), threshold, 9 * SECOND).await;
        assert_eq!((expired, began.elapsed()), (Outcome::Refused(Refusal::Expired), 9 * SECOND));
        let late = practice.answer(numbered(7), threshold, 2 * SECOND).await;
        assert_eq!((late, began.elapsed()), (Outcome::Refused(Refusal::Expired), 11 * SECOND));
        assert_eq!(Rehearsed::of(numbered(0)), None);
        assert_eq!(Rehearsed::of(Root::new([1; 32])), None);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_are_open_than_there_is_room_for() {
        let practice = Practice::new(Network::Dev);
        let threshold = Network::Dev.send_threshold();
        let waiting: Vec<_> = (0..OPEN_MAX)
            .map(|_| {
                let practice = practice.clone();
                tokio::spawn(async move { practice.answer(numbered(1), threshold, SECOND).await })
            })
            .collect();
        while practice.shared.open.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let refused = practice.answer(numbered(1), threshold, SECOND).await;
        assert_eq!(refused, Outcome::Refused(Refusal::Overloaded));
        for waiting in waiting {
            assert_eq!(waiting.await.unwrap(), Outcome::Refused(Refusal::Expired));
        }
    }
}
