//! The threads: what they find, and how they leave a job.
#![expect(clippy::unwrap_used, reason = "what cannot be set up is a failed test")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::pow::{Nonce, Root, Threshold};
use shared::{JobId, Network};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;
use worker::backend::cpu::{InstructionSet, Instructions, Pool, fastest};
use worker::backend::{Device, Found, Search, measure};

/// Much longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn job(counter: u64) -> JobId {
    JobId { instance: 1, counter }
}

fn easy(counter: u64) -> Search {
    Search { job: job(counter), root: Root::new([1; 32]), threshold: Network::Dev.send_threshold() }
}

fn impossible(counter: u64) -> Search {
    Search { job: job(counter), root: Root::new([2; 32]), threshold: Threshold::new(u64::MAX) }
}

fn start(instructions: &Arc<dyn Instructions>, threads: usize) -> (Pool, UnboundedReceiver<Found>) {
    let (sender, found) = unbounded_channel();
    (Pool::start(instructions, threads, sender).unwrap(), found)
}

async fn next(found: &mut UnboundedReceiver<Found>) -> Found {
    timeout(PATIENCE, found.recv()).await.unwrap().unwrap()
}

#[tokio::test]
async fn each_search_ends_with_one_work_that_meets_its_threshold() {
    let (pool, mut found) = start(&fastest(), 3);
    for counter in 1..200 {
        let search = easy(counter);
        pool.search(search);
        let Found { job, work } = next(&mut found).await;
        // A second work for the search before would arrive here under its name.
        assert_eq!((job, work.root()), (search.job, search.root));
        assert!(work.meets(search.threshold));
    }
    drop(pool);
    assert_eq!(found.recv().await, None);
}

#[tokio::test]
async fn a_new_job_takes_the_place_of_the_old_one_at_once() {
    let (pool, mut found) = start(&fastest(), 2);
    for counter in 0..20 {
        pool.search(impossible(2 * counter));
        pool.search(easy(2 * counter + 1));
        assert_eq!(next(&mut found).await.job, job(2 * counter + 1));
    }
}

/// Waits until the threads have stopped hashing: two looks apart by more than a chunk takes find the same count.
#[tokio::test]
async fn rest_ends_a_search() {
    let (pool, mut found) = start(&fastest(), 2);
    pool.search(impossible(1));
    timeout(PATIENCE, async {
        while pool.hashes() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    pool.rest();
    let stopped = async {
        loop {
            let before = pool.hashes();
            tokio::time::sleep(Duration::from_millis(50)).await;
            if pool.hashes() == before {
                break;
            }
        }
    };
    timeout(PATIENCE, stopped).await.unwrap();
    assert!(found.try_recv().is_err());
}

#[tokio::test]
async fn dropping_the_pool_ends_its_threads_in_the_middle_of_a_search() {
    let (pool, mut found) = start(&fastest(), 4);
    pool.search(impossible(1));
    let dropped = Instant::now();
    drop(pool);
    assert!(dropped.elapsed() < PATIENCE);
    // Every thread held a sender.
    assert_eq!(found.recv().await, None);
}

#[tokio::test]
async fn the_speed_is_measured_and_nothing_goes_on_after_it() {
    let (pool, mut found) = start(&fastest(), 1);
    let devices: [Box<dyn Device>; 1] = [Box::new(pool)];
    let rates = measure(&devices, Duration::from_millis(200)).await;
    assert!(rates.len() == 1 && rates[0] > 10_000, "{rates:?} hashes a second");
    devices[0].search(easy(7));
    assert_eq!(next(&mut found).await.job, job(7));
}

/// Claims that every first nonce is a hit, as a device with a fault would.
#[derive(Debug)]
struct Liar;

impl Instructions for Liar {
    fn set(&self) -> InstructionSet {
        InstructionSet::Portable
    }

    fn search(&self, _: &Root, _: Threshold, start: Nonce, _: u32) -> Option<Nonce> {
        Some(start)
    }
}

#[tokio::test]
async fn what_a_faulty_processor_claims_is_checked() {
    let (pool, mut found) = start(&(Arc::new(Liar) as _), 1);
    for counter in 1..10 {
        // One nonce of sixteen is right, so most claims are not.
        let search = Search { threshold: Network::Dev.receive_threshold(), ..easy(counter) };
        pool.search(search);
        assert!(next(&mut found).await.work.meets(search.threshold));
    }
}
