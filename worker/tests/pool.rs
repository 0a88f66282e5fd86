//! The threads: what they find, and how they leave a job.
#![expect(clippy::unwrap_used, reason = "what cannot be set up is a failed test")]

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use shared::pow::{Nonce, Root, Threshold};
use shared::{JobId, Network};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;
use worker::backend::cpu::{InstructionSet, Instructions, Pool, Settings, fastest};
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
    let threads = NonZeroUsize::new(threads).unwrap();
    let settings = Settings { instructions: Arc::clone(instructions), threads, ..Settings::default() };
    (Pool::start(&settings, sender).unwrap(), found)
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

/// Where each thread begins and goes on, for each root.
type Asked = BTreeMap<(Root, String), Vec<(Nonce, u32)>>;

/// Finds nothing, and writes down what it is asked.
#[derive(Debug)]
struct Scribe(Mutex<Asked>);

impl Instructions for Scribe {
    fn set(&self) -> InstructionSet {
        InstructionSet::Portable
    }

    fn search(&self, root: &Root, _: Threshold, start: Nonce, count: u32) -> Option<Nonce> {
        let thread = format!("{:?}", thread::current().id());
        self.0.lock().unwrap().entry((*root, thread)).or_default().push((start, count));
        None
    }
}

/// Each thread counts up from a start of its own, another one for each job, in pieces that the slowest instructions do in a few
/// milliseconds: the piece that is being searched when a job ends is the last one of it.
#[tokio::test]
async fn every_thread_has_a_random_start_for_every_job_and_looks_up_often() {
    const CHUNK_MAX: u32 = 1 << 14;
    const THREADS: usize = 3;
    let scribe = Arc::new(Scribe(Mutex::default()));
    let (pool, _found) = start(&(Arc::clone(&scribe) as _), THREADS);
    let roots = [1, 2, 3, 4].map(|byte| Root::new([byte; 32]));
    for root in roots {
        pool.search(Search { root, ..impossible(1) });
        let began = Instant::now();
        while scribe.0.lock().unwrap().keys().filter(|(asked, _)| *asked == root).count() < THREADS {
            assert!(began.elapsed() < PATIENCE);
            thread::yield_now();
        }
    }
    drop(pool);
    let asked = scribe.0.lock().unwrap();
    assert_eq!(asked.len(), roots.len() * THREADS);
    for pieces in asked.values() {
        for pair in pieces.windows(2) {
            assert_eq!(pair[0].0.as_u64().wrapping_add(pair[0].1.into()), pair[1].0.as_u64());
        }
        assert!(pieces.iter().all(|(_, count)| *count <= CHUNK_MAX));
    }
    let starts: BTreeSet<_> = asked.values().map(|pieces| pieces[0].0).collect();
    assert_eq!(starts.len(), asked.len());
}

/// The niceness of a thread, and the cores that it may use, from its folder in `/proc`; `None` if it has ended.
#[cfg(target_os = "linux")]
fn described(task: &std::path::Path) -> Option<(i32, String)> {
    let read = |file: &str| std::fs::read_to_string(task.join(file)).unwrap_or_default();
    // Niceness is field 19, and the name in brackets is field 2.
    let stat = read("stat");
    let nice = stat.rsplit_once(')')?.1.split_whitespace().nth(16)?.parse().ok()?;
    let status = read("status");
    let cores = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    Some((nice, cores.trim().to_owned()))
}

/// The same of each thread of this process that has this name.
#[cfg(target_os = "linux")]
fn threads(name: &str) -> Vec<(i32, String)> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
    let is_named = |task: &std::path::PathBuf| {
        std::fs::read_to_string(task.join("comm")).unwrap_or_default().trim() == name
    };
    tasks.filter(is_named).filter_map(|task| described(&task)).collect()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn threads_give_way_to_everything_else_and_stay_on_a_core_when_they_are_told_to() {
    let own = || described(std::path::Path::new("/proc/thread-self")).unwrap();
    // Who runs the tests may be nice already, or not nice at all.
    let (inherited, _) = own();
    let (sender, _found) = unbounded_channel();
    let start = |is_pinned, has_low_priority| {
        let threads = NonZeroUsize::MIN;
        let settings = Settings { is_pinned, has_low_priority, threads, ..Settings::default() };
        Pool::start(&settings, sender.clone()).unwrap()
    };
    // Other tests have threads of the same name, at low priority and on any core.
    let wait = |wanted: &dyn Fn(&(i32, String)) -> bool| {
        let began = Instant::now();
        while !threads("search-0").iter().any(wanted) {
            assert!(began.elapsed() < PATIENCE, "{:?}", threads("search-0"));
            thread::yield_now();
        }
    };
    let is_one_core = |cores: &str| cores.parse::<usize>().is_ok();
    let pool = start(true, false);
    wait(&|(nice, cores)| *nice == inherited && is_one_core(cores));
    drop(pool);
    let pool = start(true, true);
    wait(&|(nice, cores)| *nice == 19 && is_one_core(cores));
    drop(pool);
    assert_eq!(own().0, inherited, "nobody else is concerned");
}
