//! What is counted during a run.

use std::collections::BTreeMap;

use shared::{Outcome, Refusal, Timestamp};

use crate::sim::class::Class;
use crate::sim::report::{ClassReport, Report, fairness};
use crate::sim::scenario::Scenario;

#[derive(Debug, Default)]
pub(super) struct Tally {
    /// All that was asked, by the number of its caller.
    asked: Vec<Asked>,
    /// Of these, the first and the last that count.
    counted: (usize, usize),
    counted_open: usize,
    pub(super) counts: Counts,
    first: Option<Mark>,
    last: Option<Mark>,
    pub(super) queue_max: usize,
    pub(super) verdicts: BTreeMap<&'static str, u64>,
    /// What each worker has earned since the first request that counts, in millicredits.
    earned: BTreeMap<usize, f64>,
    pub(super) events: u64,
}

/// One caller's question.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) customer: usize,
    class: Class,
    at: Timestamp,
    end: Option<(Timestamp, End)>,
}

#[derive(Debug, Clone, Copy)]
enum End {
    Told(Outcome),
    /// Its coordinator has crashed.
    Lost,
}

/// What has happened so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    /// Messages between workers and the coordinator.
    pub(super) messages: u64,
    /// Jobs put on lists and taken off them, and results.
    pub(super) changes: u64,
    /// Jobs put on lists of workers, and of ids of a flood.
    pub(super) assigned: u64,
    pub(super) assigned_to_flood: u64,
    /// Works that somebody waited for.
    pub(super) works: u64,
    /// Hashes that were to be expected for them.
    pub(super) expected: f64,
    /// Hashes that all workers have made.
    pub(super) burnt: f64,
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    at: Timestamp,
    counts: Counts,
    queue: usize,
}

impl Tally {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let first = scenario.warm_up as usize;
        Self { counted: (first, first + scenario.measured as usize), ..Self::default() }
    }

    pub(super) fn asked(&self) -> usize {
        self.asked.len()
    }

    /// Whether enough was asked: all that counts, and, where that is wanted, further ones until all that counts has ended.
    pub(super) fn is_enough(&self, lingers: bool) -> bool {
        let count = self.asked.len();
        count >= self.counted.1 && (!lingers || self.counted_open == 0 || count >= 4 * self.counted.1)
    }

    /// Somebody asks. Whether a mark is due: this is the first or the last request that counts.
    pub(super) fn ask(&mut self, customer: usize, class: Class, at: Timestamp) -> bool {
        let index = self.asked.len();
        self.asked.push(Asked { customer, class, at, end: None });
        if !(self.counted.0..self.counted.1).contains(&index) {
            return false;
        }
        self.counted_open += 1;
        index == self.counted.0 || index + 1 == self.counted.1
    }

    pub(super) fn mark(&mut self, at: Timestamp, burnt: f64, queue: usize) {
        let mark = Mark { at, counts: Counts { burnt, ..self.counts }, queue };
        if self.first.is_none() {
            self.first = Some(mark);
            self.queue_max = queue;
        }
        self.last = Some(mark);
    }

    /// A caller is told. The question, if this is the first time.
    pub(super) fn told(&mut self, caller: u64, at: Timestamp, outcome: Outcome) -> Option<&Asked> {
        self.end(usize::try_from(caller).ok()?, at, End::Told(outcome))
    }

    /// Whoever still waits has lost its connection.
    pub(super) fn lose_all(&mut self, at: Timestamp) -> Vec<usize> {
        let open: Vec<usize> = self
            .asked
            .iter()
            .enumerate()
            .filter(|(_, asked)| asked.end.is_none())
            .map(|(index, _)| index)
            .collect();
        open.into_iter()
            .filter_map(|index| self.end(index, at, End::Lost).map(|asked| asked.customer))
            .collect()
    }

    fn end(&mut self, index: usize, at: Timestamp, end: End) -> Option<&Asked> {
        let counted = (self.counted.0..self.counted.1).contains(&index);
        let asked = self.asked.get_mut(index).filter(|asked| asked.end.is_none())?;
        asked.end = Some((at, end));
        self.counted_open -= usize::from(counted);
        Some(asked)
    }

    pub(super) fn earned(&mut self, worker: usize, millicredits: u64) {
        if self.first.is_some() {
            #[expect(clippy::cast_precision_loss, reason = "a statistic")]
            let earned = millicredits as f64;
            *self.earned.entry(worker).or_default() += earned;
        }
    }

    /// The figures of a run whose workers have these rates; `None` where workers do not earn on their own.
    pub(super) fn report(&self, rates: &[f64], earn_alone: bool) -> Report {
        let mut report = Report {
            queue_max: self.queue_max,
            events: self.events,
            verdicts: self.verdicts.clone(),
            ..Report::default()
        };
        let counted = self.asked.iter().take(self.counted.1).skip(self.counted.0);
        for asked in counted {
            report_one(&mut report, asked);
        }
        for class in report.classes.values_mut() {
            class.times.sort_by_key(|time| (time.is_none(), *time));
        }
        for refusal in report.refusals.values_mut() {
            refusal.times.sort();
        }
        let sum = |of: fn(&ClassReport) -> usize| report.classes.values().map(of).sum::<usize>();
        report.served_over_offered = ratio(sum(|class| class.answered), sum(|class| class.asked));
        if let (Some(first), Some(last)) = (self.first, self.last) {
            report_span(&mut report, (first, last), rates.iter().sum());
        }
        if earn_alone {
            let per_rate =
                |(index, rate): (usize, &f64)| self.earned.get(&index).copied().unwrap_or(0.0) / rate;
            report.fairness = fairness(rates.iter().enumerate().map(per_rate));
        }
        report
    }
}

fn report_span(report: &mut Report, (first, last): (Mark, Mark), capacity: f64) {
    report.span = last.at.since(first.at);
    report.queue_end = last.queue;
    let (before, after) = (first.counts, last.counts);
    report.works = after.works - before.works;
    #[expect(clippy::cast_precision_loss, reason = "statistics")]
    let per_work = |count: u64| count as f64 / (report.works.max(1) as f64);
    report.messages_per_work = per_work(after.messages - before.messages);
    report.changes_per_work = per_work(after.changes - before.changes);
    #[expect(clippy::cast_precision_loss, reason = "statistics")]
    let counts = [after.assigned - before.assigned, after.assigned_to_flood - before.assigned_to_flood]
        .map(|count| count as f64);
    report.flood_share = counts[1] / (counts[0] + counts[1]).max(1.0);
    let expected = after.expected - before.expected;
    report.efficiency = expected / (after.burnt - before.burnt).max(1.0);
    report.served_over_capacity = expected / (capacity * report.span.as_secs_f64()).max(1.0);
}

fn report_one(report: &mut Report, asked: &Asked) {
    let class = report.classes.entry(asked.class).or_default();
    class.asked += 1;
    match asked.end {
        Some((at, End::Told(Outcome::Answered(_)))) => {
            class.answered += 1;
            class.times.push(Some(at.since(asked.at)));
        }
        Some((at, End::Told(Outcome::Refused(refusal)))) => {
            if matches!(refusal, Refusal::Expired | Refusal::NoWorkers) {
                class.times.push(None);
            }
            report.refusals.entry(refusal.code()).or_default().times.push(at.since(asked.at));
        }
        Some((_, End::Told(Outcome::Unsettled) | End::Lost)) | None => class.times.push(None),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a statistic")]
fn ratio(part: usize, of: usize) -> f64 {
    part as f64 / of.max(1) as f64
}
