//! What a run has come to, in figures.

use core::fmt::{self, Write};
use core::time::Duration;
use std::collections::BTreeMap;

use super::class::Class;

/// What a run has come to. Times and counts are of the requests that count, by their arrival; rates, messages and hashes are of
/// the time between the first and the last such arrival.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// By kind of work, those that were asked for.
    pub classes: BTreeMap<Class, ClassReport>,
    /// Refusals by their code.
    pub refusals: BTreeMap<&'static str, RefusalReport>,
    /// Verdicts on results by their word, in the whole run.
    pub verdicts: BTreeMap<&'static str, u64>,
    /// Answered over asked.
    pub served_over_offered: f64,
    /// Hashes expected for the works that were found, over what all workers could have hashed.
    pub served_over_capacity: f64,
    /// Hashes expected for the works that were found, over hashes burnt.
    pub efficiency: f64,
    /// Works found that somebody waited for.
    pub works: u64,
    /// Lists, results and verdicts for each such work.
    pub messages_per_work: f64,
    /// Jobs put on lists, jobs taken off lists, and results for each such work: what a policy costs where a message carries a
    /// job and not a list.
    pub changes_per_work: f64,
    /// Part of all jobs put on lists that ids of a flood got.
    pub flood_share: f64,
    /// Jain's index of what workers have earned over their rate: 1 when all have the same, 1 / n when one of n has all. `None`
    /// where workers do not earn on their own.
    pub fairness: Option<f64>,
    /// Most jobs open at a time.
    pub queue_max: usize,
    /// Jobs open when the last request that counts arrived.
    pub queue_end: usize,
    /// Time between the first and the last arrival that count.
    pub span: Duration,
    /// Things that happened in the whole run, inside and outside of the market.
    pub events: u64,
}

/// One kind of work.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClassReport {
    /// How often it was asked for.
    pub asked: usize,
    /// How often it was answered with work.
    pub answered: usize,
    /// From the request's arrival to its answer, in ascending order. `None` comes last: no answer in the time that it had.
    pub times: Vec<Option<Duration>>,
}

/// One reason for refusals.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RefusalReport {
    /// From the request's arrival to its refusal, in ascending order.
    pub times: Vec<Duration>,
}

impl ClassReport {
    /// The time that this share of requests did not exceed; `None` where it had no answer.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        quantile(&self.times, share).flatten()
    }
}

impl RefusalReport {
    /// The time that this share of refusals did not exceed.
    pub fn quantile(&self, share: f64) -> Duration {
        quantile(&self.times, share).unwrap_or_default()
    }
}

/// The smallest value that at least this share of them does not exceed.
fn quantile<T: Copy>(ascending: &[T], share: f64) -> Option<T> {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index"
    )]
    let rank = (ascending.len() as f64 * share).ceil() as usize;
    ascending.get(rank.saturating_sub(1)).copied()
}

/// Jain's index of these values; `None` when they are all zero.
pub(super) fn fairness(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut count, mut sum, mut squares) = (0.0, 0.0, 0.0);
    for value in values {
        count += 1.0;
        sum += value;
        squares += value * value;
    }
    (squares > 0.0).then(|| sum * sum / (count * squares))
}

impl Report {
    /// The names of the columns that [`csv`](Self::csv) gives, for each kind of work and for the run.
    pub const CSV_COLUMNS: &'static str = "class,asked,answered,p50_s,p95_s,p99_s,served_over_offered,served_over_capacity,\
        efficiency,works,messages_per_work,changes_per_work,fairness,queue_max,queue_end,refused,refusal_p99_s,span_s,events";

    /// One line for each kind of work, without what the run was.
    pub fn csv(&self) -> Vec<String> {
        let refused: usize = self.refusals.values().map(|refusal| refusal.times.len()).sum();
        let slowest = self.refusals.values().map(|refusal| refusal.quantile(0.99)).max().unwrap_or_default();
        let fairness = self.fairness.map_or_else(String::new, |fairness| format!("{fairness:.4}"));
        self.classes
            .iter()
            .map(|(class, of)| {
                let [p50, p95, p99] = [0.5, 0.95, 0.99].map(|share| {
                    of.quantile(share).map_or_else(String::new, |time| format!("{:.6}", time.as_secs_f64()))
                });
                format!(
                    "{},{},{},{p50},{p95},{p99},{:.4},{:.4},{:.4},{},{:.2},{:.2},{fairness},{},{},{refused},{:.6},{:.3},{}",
                    class.name(),
                    of.asked,
                    of.answered,
                    self.served_over_offered,
                    self.served_over_capacity,
                    self.efficiency,
                    self.works,
                    self.messages_per_work,
                    self.changes_per_work,
                    self.queue_max,
                    self.queue_end,
                    slowest.as_secs_f64(),
                    self.span.as_secs_f64(),
                    self.events,
                )
            })
            .collect()
    }
}

impl fmt::Display for Report {
    /// A table for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:10} {:>8} {:>9} {:>9} {:>9} {:>9}",
            "class", "asked", "answered", "p50 s", "p95 s", "p99 s"
        )?;
        for (class, of) in &self.classes {
            write!(f, "{:10} {:>8} {:>9}", class.name(), of.asked, of.answered)?;
            for share in [0.5, 0.95, 0.99] {
                match of.quantile(share) {
                    Some(time) => write!(f, " {:>9.3}", time.as_secs_f64())?,
                    None => write!(f, " {:>9}", "none")?,
                }
            }
            f.write_char('\n')?;
        }
        for (code, refusal) in &self.refusals {
            let [p50, p99] = [0.5, 0.99].map(|share| refusal.quantile(share).as_secs_f64());
            writeln!(
                f,
                "refused {code}: {}, half of them within {p50:.3} s, 99 % within {p99:.3} s",
                refusal.times.len()
            )?;
        }
        let percent = |share: f64| 100.0 * share;
        writeln!(
            f,
            "served {:.1} % of what was asked; works worth {:.1} % of all rates; efficiency {:.3}",
            percent(self.served_over_offered),
            percent(self.served_over_capacity),
            self.efficiency
        )?;
        write!(
            f,
            "for each of {} works {:.1} messages, {:.1} changes of lists and results",
            self.works, self.messages_per_work, self.changes_per_work
        )?;
        match self.fairness {
            Some(fairness) => writeln!(f, "; fairness {fairness:.3}")?,
            None => f.write_char('\n')?,
        }
        f.write_str("results:")?;
        for (verdict, count) in &self.verdicts {
            write!(f, " {count} {verdict}")?;
        }
        writeln!(
            f,
            "\njobs open: {} at most, {} at the end; {:.1} s; {} events",
            self.queue_max,
            self.queue_end,
            self.span.as_secs_f64(),
            self.events
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_occurred() {
        let times: Vec<u32> = (1..=100).collect();
        for (share, expected) in [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)] {
            assert_eq!(quantile(&times, share), Some(expected));
        }
        assert_eq!(quantile::<u32>(&[], 0.5), None);
        let answered = Some(Duration::from_secs(1));
        let class = ClassReport { asked: 2, answered: 1, times: vec![answered, None] };
        assert_eq!((class.quantile(0.5), class.quantile(0.99)), (answered, None));
    }

    #[test]
    fn fairness_is_one_for_equals_and_a_share_for_one_of_many() {
        let index = |values: &[f64]| fairness(values.iter().copied()).map(|index| (index * 1000.0).round());
        assert_eq!(index(&[2.0, 2.0, 2.0]), Some(1000.0));
        assert_eq!(index(&[4.0, 0.0, 0.0, 0.0]), Some(250.0));
        assert_eq!(index(&[0.0, 0.0]), None);
    }
}
