//! How long a list takes to be obeyed by all threads.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use benches::figures::{Figures, Unit};
use shared::pow::{Root, Threshold};
use shared::protocol::{Form, ListedJob, WorkKind, WorkList, decode, encode};
use shared::{JobId, Timestamp};
use tokio::sync::mpsc::unbounded_channel;
use worker::backend::cpu::{Pool, Settings};
use worker::backend::{Device, Search};
use worker::session::{Action, Input, Limits, Session};

use crate::observed::Observed;

/// How many lists each kind of worker is sent.
const LISTS: u16 = 1_000;
/// Much longer than any list takes.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a list is to be good for: longer than the measurement.
const REMAINING_MS: u32 = 3_600_000;

/// What a worker does with what its server sends, but for the connection.
struct Worker {
    session: Session,
    pool: Pool,
    began: Instant,
    sequence: u32,
}

impl Worker {
    fn start(settings: &Settings) -> anyhow::Result<Self> {
        let (found, _) = unbounded_channel();
        let pool = Pool::start(settings, found)?;
        let limits = Limits { threshold_max: Threshold::new(u64::MAX), precache: true };
        let mut worker =
            Self { session: Session::new(limits, &[1]), pool, began: Instant::now(), sequence: 0 };
        worker.input(Input::Connected);
        Ok(worker)
    }

    /// The bytes of the next list, with this job or none.
    fn next_list(&mut self, root: Option<Root>) -> Vec<u8> {
        self.sequence += 1;
        let job = |root| ListedJob {
            job: JobId { instance: 1, counter: self.sequence.into() },
            root,
            threshold: Threshold::new(u64::MAX),
            kind: WorkKind::OnDemand,
            remaining_ms: REMAINING_MS,
        };
        let list = WorkList { sequence: self.sequence, jobs: root.map(job).into_iter().collect() };
        encode(&list, Form::Binary)
    }

    /// Reads a list and obeys it. When it began to.
    fn obey(&mut self, payload: &[u8]) -> anyhow::Result<Instant> {
        let arrived = Instant::now();
        let (list, _) = decode::<WorkList>(payload)?;
        self.input(Input::Listed(list));
        Ok(arrived)
    }

    fn input(&mut self, input: Input) {
        let now = Timestamp::from_micros(u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX));
        let mut actions = Vec::new();
        self.session.handle(now, input, &mut actions);
        for action in actions {
            match action {
                Action::Search { job: ListedJob { job, root, threshold, .. }, .. } => {
                    self.pool.search(Search { job, root, threshold });
                }
                Action::Rest { .. } => self.pool.rest(),
                Action::Subscribe | Action::SendHello | Action::Send(_) | Action::Report(_) => {}
            }
        }
    }
}

/// Gives a worker lists one after the other, each at another moment of what its threads are doing, and waits until all threads
/// obey; then the same to one that rests before each list.
pub(crate) fn measure(figures: &mut Figures) -> anyhow::Result<()> {
    let observed = Observed::new();
    let settings = Settings { instructions: observed.clone(), ..Settings::default() };
    let mut worker = Worker::start(&settings)?;
    figures.begin(1, settings.instructions.set().name());
    for is_at_rest in [false, true] {
        let (mut first, mut last) = (Vec::new(), Vec::new());
        for counter in 0..LISTS {
            if is_at_rest {
                let nothing = worker.next_list(None);
                worker.obey(&nothing)?;
                pause(counter);
            }
            let root = Root::new(std::array::from_fn(|place| {
                counter.to_le_bytes()[place % 2] ^ u8::from(is_at_rest)
            }));
            let payload = worker.next_list(Some(root));
            let arrived = worker.obey(&payload)?;
            let begun = begun(&observed, settings.threads.get(), root, arrived, counter)?;
            let times: Vec<_> = begun.iter().map(|began| *began - arrived).collect();
            first.push(*times.iter().min().context("there are threads")?);
            last.push(*times.iter().max().context("there are threads")?);
        }
        let [first_name, last_name] = if is_at_rest {
            ["after a rest, a list's first nonce", "after a rest, the last thread begins"]
        } else {
            ["a list's first nonce", "the last thread leaves the list before"]
        };
        add(figures, first_name, first);
        add(figures, last_name, last);
    }
    Ok(())
}

/// When each thread has tried its first nonce for this root.
fn begun(
    observed: &Observed,
    threads: usize,
    root: Root,
    arrived: Instant,
    counter: u16,
) -> anyhow::Result<Vec<Instant>> {
    // What a thread does after it has been looked at is written down anew.
    let mut begun = Vec::new();
    while begun.len() < threads {
        ensure!(arrived.elapsed() < PATIENCE, "a thread does not obey");
        pause(counter);
        for stint in observed.take() {
            let is_known = begun.iter().any(|(thread, _)| *thread == stint.thread);
            if stint.root == root && stint.began > arrived && !is_known {
                begun.push((stint.thread, stint.began));
            }
        }
    }
    Ok(begun.into_iter().map(|(_, began)| began).collect())
}

/// Another time each time, so that threads are met in the middle of whatever they do.
fn pause(counter: u16) {
    thread::sleep(Duration::from_micros(u64::from(2_000 + 7 * (counter % 100))));
}

/// The median and the 99th of a hundred.
pub(crate) fn add(figures: &mut Figures, name: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    for (label, share) in [("p50", 50), ("p99", 99)] {
        if let Some(time) = times.get((times.len() * share / 100).min(times.len().saturating_sub(1))) {
            figures.add(format!("{name}, {label}"), Unit::Milliseconds, time.as_secs_f64() * 1e3);
        }
    }
}
