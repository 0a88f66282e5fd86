//! What a worker does with its list.

use std::str::FromStr;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::SmallRng;
use shared::pow::Threshold;
use shared::protocol::{ListedJob, WorkList};

/// How a worker behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    /// Searches for the first job of its list, then for the next.
    One,
    /// The same, and begins what is listed first at once, whatever it is searching for: as `dpow-worker` does.
    First,
    /// Searches for all jobs of its list at once.
    Race,
    /// Never answers.
    Mute,
    /// Searches like `One`, but reads slowly.
    Slow,
}

/// So many workers that behave alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) policy: Policy,
    pub(crate) count: usize,
}

impl FromStr for Group {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (policy, count) = text.split_once(':').unwrap_or(("one", text));
        let policy = match policy {
            "one" => Policy::One,
            "first" => Policy::First,
            "race" => Policy::Race,
            "mute" => Policy::Mute,
            "slow" => Policy::Slow,
            _ => return Err(format!("`{policy}` is none of one, first, race, mute and slow")),
        };
        let count = count.parse().map_err(|_| format!("`{count}` is no number of workers"))?;
        Ok(Self { policy, count })
    }
}

/// How long a search takes: as long as that of a real device of this rate would, drawn anew for each job. Without a rate no
/// time at all.
pub(crate) fn draw(threshold: Threshold, rate: Option<f64>, random: &mut SmallRng) -> Duration {
    let Some(rate) = rate else { return Duration::ZERO };
    // Each hash succeeds with the same chance, so the time to the first success is exponential.
    let uniform: f64 = random.random();
    let seconds = -(1.0 - uniform).ln() * threshold.expected_hashes() / rate;
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

/// How far a listed job has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Waiting,
    /// Its solution is there at this time; at no time if it lies beyond what a clock can show.
    Searching(Option<Instant>),
    /// Its result has been sent.
    Solved,
}

/// The list of one session, and what its worker makes of it.
#[derive(Debug)]
pub(crate) struct Bench {
    policy: Policy,
    rate: Option<f64>,
    /// That of the newest list; those of a session begin with 1.
    sequence: u32,
    jobs: Vec<(ListedJob, Progress)>,
}

impl Bench {
    /// Without a list yet.
    pub(crate) const fn new(policy: Policy, rate: Option<f64>) -> Self {
        Self { policy, rate, sequence: 0, jobs: Vec::new() }
    }

    /// Takes a list unless a newer one has been taken: what stood on the one before goes on, what no longer does has ended.
    /// Returns the number of jobs that are new.
    pub(crate) fn take(&mut self, list: WorkList, now: Instant, random: &mut SmallRng) -> usize {
        if list.sequence <= self.sequence {
            return 0;
        }
        self.sequence = list.sequence;
        let before = std::mem::take(&mut self.jobs);
        let progress =
            |job: &ListedJob| before.iter().find(|(known, _)| known.job == job.job).map(|known| known.1);
        let mut new = 0;
        for job in list.jobs {
            let known = progress(&job);
            new += usize::from(known.is_none());
            self.jobs.push((job, known.unwrap_or(Progress::Waiting)));
        }
        self.begin(now, random);
        new
    }

    /// When the next solution is there.
    pub(crate) fn next_solution(&self) -> Option<Instant> {
        let times = self.jobs.iter().filter_map(|(_, progress)| match progress {
            Progress::Searching(at) => *at,
            Progress::Waiting | Progress::Solved => None,
        });
        times.min()
    }

    /// A job whose solution is there by now; each once.
    pub(crate) fn solved(&mut self, now: Instant, random: &mut SmallRng) -> Option<ListedJob> {
        let is_there = |progress: &Progress| matches!(progress, Progress::Searching(Some(at)) if *at <= now);
        let (job, progress) = self.jobs.iter_mut().find(|(_, progress)| is_there(progress))?;
        *progress = Progress::Solved;
        let job = *job;
        self.begin(now, random);
        Some(job)
    }

    /// Stops searching for all but the first job that has not been found. A search is memoryless, so nothing is lost.
    fn leave_later_jobs(&mut self) {
        let open = self.jobs.iter_mut().filter(|(_, progress)| *progress != Progress::Solved);
        for (_, progress) in open.skip(1) {
            *progress = Progress::Waiting;
        }
    }

    /// Begins to search for whatever the policy wants to be searched for now.
    fn begin(&mut self, now: Instant, random: &mut SmallRng) {
        if self.policy == Policy::First {
            self.leave_later_jobs();
        }
        let is_searching = |(_, progress): &(_, _)| matches!(progress, Progress::Searching(_));
        let mut room = match self.policy {
            Policy::Race => usize::MAX,
            Policy::Mute => 0,
            Policy::One | Policy::First | Policy::Slow => usize::from(!self.jobs.iter().any(is_searching)),
        };
        for (job, progress) in &mut self.jobs {
            if room > 0 && *progress == Progress::Waiting {
                *progress = Progress::Searching(now.checked_add(draw(job.threshold, self.rate, random)));
                room -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use shared::JobId;
    use shared::pow::Root;
    use shared::protocol::WorkKind;

    use super::*;

    const THRESHOLD: Threshold = Threshold::new(0xf000_0000_0000_0000);

    fn list(sequence: u32, jobs: &[u64]) -> WorkList {
        let jobs = jobs.iter().map(|counter| ListedJob {
            job: JobId { instance: 1, counter: *counter },
            root: Root::new([0; 32]),
            threshold: THRESHOLD,
            kind: WorkKind::OnDemand,
            remaining_ms: 1000,
        });
        WorkList { sequence, jobs: jobs.collect() }
    }

    fn random() -> SmallRng {
        SmallRng::seed_from_u64(7)
    }

    /// The jobs whose solutions are there, in order.
    fn solved(bench: &mut Bench, now: Instant) -> Vec<u64> {
        let mut random = random();
        std::iter::from_fn(|| bench.solved(now, &mut random)).map(|job| job.job.counter).collect()
    }

    #[test]
    fn times_are_drawn_as_a_search_of_that_rate_takes() {
        let mut random = random();
        assert_eq!(draw(THRESHOLD, None, &mut random), Duration::ZERO);
        // 16 hashes at 160 a second: 100 ms on average, and 37 of 100 take longer than that.
        let times: Vec<f64> =
            (0..20_000).map(|_| draw(THRESHOLD, Some(160.0), &mut random).as_secs_f64()).collect();
        let mean = times.iter().sum::<f64>() / 20_000.0;
        assert!((mean - 0.1).abs() < 0.003, "{mean}");
        let longer = times.iter().filter(|time| **time > 0.1).count();
        assert!((7_100..7_600).contains(&longer), "{longer}");
        assert_eq!(draw(Threshold::new(u64::MAX), Some(1e-300), &mut random), Duration::MAX);
    }

    #[test]
    fn one_goes_through_its_list_and_sends_each_result_once() {
        let (mut bench, mut random, now) = (Bench::new(Policy::One, None), random(), Instant::now());
        assert_eq!(bench.take(list(1, &[1, 2, 3]), now, &mut random), 3);
        assert_eq!(solved(&mut bench, now), [1, 2, 3]);
        assert_eq!(bench.take(list(2, &[2, 4]), now, &mut random), 1, "2 stood there before");
        assert_eq!(solved(&mut bench, now), [4]);
        assert_eq!(bench.take(list(1, &[5]), now, &mut random), 0, "an older list");
        assert_eq!(solved(&mut bench, now), [0; 0]);
    }

    #[test]
    fn one_searches_for_a_single_job_at_a_time_and_drops_what_is_no_longer_listed() {
        let (mut bench, mut random, now) = (Bench::new(Policy::One, Some(1.0)), random(), Instant::now());
        bench.take(list(1, &[1, 2]), now, &mut random);
        let first = bench.next_solution().unwrap();
        assert!(first > now);
        bench.take(list(2, &[1, 2, 3]), now, &mut random);
        assert_eq!(bench.next_solution(), Some(first), "a search is not begun again");
        bench.take(list(3, &[2]), now, &mut random);
        let second = bench.next_solution().unwrap();
        assert_ne!(second, first);
        assert_eq!(solved(&mut bench, second), [2]);
        bench.take(list(4, &[]), now, &mut random);
        assert_eq!(bench.next_solution(), None);
    }

    #[test]
    fn first_turns_to_what_is_listed_first() {
        let (mut bench, mut random, now) = (Bench::new(Policy::First, Some(1.0)), random(), Instant::now());
        bench.take(list(1, &[1, 2]), now, &mut random);
        let first = bench.next_solution().unwrap();
        bench.take(list(2, &[3, 1, 2]), now, &mut random);
        let second = bench.next_solution().unwrap();
        assert_ne!(second, first);
        assert_eq!(solved(&mut bench, second), [3]);
        let third = bench.next_solution().unwrap();
        assert_eq!(solved(&mut bench, third), [1]);
    }

    #[test]
    fn race_searches_for_all_and_mute_for_none() {
        let (mut race, mut mute) = (Bench::new(Policy::Race, Some(1.0)), Bench::new(Policy::Mute, None));
        let (mut random, now) = (random(), Instant::now());
        race.take(list(1, &[1, 2, 3]), now, &mut random);
        mute.take(list(1, &[1, 2, 3]), now, &mut random);
        assert!(race.jobs.iter().all(|(_, progress)| matches!(progress, Progress::Searching(_))));
        assert_eq!(mute.next_solution(), None);
    }

    #[test]
    fn a_group_is_a_policy_and_a_number() {
        assert_eq!("race:7".parse(), Ok(Group { policy: Policy::Race, count: 7 }));
        assert_eq!("7".parse(), Ok(Group { policy: Policy::One, count: 7 }));
        assert!("run:7".parse::<Group>().is_err() && "one:-1".parse::<Group>().is_err());
    }
}
