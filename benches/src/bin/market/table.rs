//! What was measured, a row for each configuration: the median over the rounds and, in brackets, the least and the greatest.

use std::io::{self, Write};

use benches::figures::summary;
use benches::machine::Machine;
use benches::report::{FleetReport, Latency, LoadReport, ProcessUse};
use serde::Serialize;

use crate::REDIS;

/// One measurement.
#[derive(Debug, Serialize)]
pub(crate) struct Measurement {
    pub(crate) round: u32,
    pub(crate) program: String,
    pub(crate) workers: usize,
    /// In words: how it was asked.
    pub(crate) load: String,
    pub(crate) reported: LoadReport,
    pub(crate) fleet: FleetReport,
}

/// All of them.
#[derive(Debug, Serialize)]
pub(crate) struct Measurements {
    pub(crate) machine: Machine,
    /// Of the disk that the ledgers were on.
    pub(crate) disk_sync: Latency,
    pub(crate) all: Vec<Measurement>,
}

/// A column: its heading, and how it is read from a measurement.
type Column = (&'static str, fn(&Measurement) -> f64);

const COLUMNS: [Column; 10] = [
    ("works/s", |one| one.reported.answered_per_second),
    ("p50 ms", |one| one.reported.answered.latency.p50_ms),
    ("p99 ms", |one| one.reported.answered.latency.p99_ms),
    ("CPU us", |one| one.coordinator().map_or(0.0, |used| used.cpu_us_per_request)),
    ("in the kernel us", |one| one.coordinator().map_or(0.0, |used| used.kernel_us_per_request)),
    ("redis-server's CPU us", |one| one.process(REDIS).map_or(0.0, |used| used.cpu_us_per_request)),
    ("memory MB", |one| one.coordinator().map_or(0.0, |used| used.resident_kb.1 / 1024.0)),
    ("messages to workers", Measurement::messages_per_work),
    ("not answered %", Measurement::failed_percent),
    ("their p99 ms", |one| one.failed_p99_ms()),
];

impl Measurement {
    fn coordinator(&self) -> Option<&ProcessUse> {
        self.reported.processes.first()
    }

    fn process(&self, name: &str) -> Option<&ProcessUse> {
        self.reported.processes.iter().find(|used| used.name == name)
    }

    /// Lists and verdicts, for each work that was found.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    fn messages_per_work(&self) -> f64 {
        let verdicts: u64 = self.fleet.verdicts.values().sum();
        let accepted = self.fleet.verdicts.get("accepted").copied().unwrap_or_default();
        if accepted == 0 { 0.0 } else { (self.fleet.lists + verdicts) as f64 / accepted as f64 }
    }

    /// Requests that ended without work, or were not sent, in hundredths of all that were to be sent.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    fn failed_percent(&self) -> f64 {
        let failed: u64 = self.reported.failed.values().map(|ended| ended.count).sum();
        let failed = failed + self.reported.unsent;
        let all = failed + self.reported.answered.count;
        if all == 0 { 0.0 } else { failed as f64 * 100.0 / all as f64 }
    }

    /// Of the way of failing that took longest.
    fn failed_p99_ms(&self) -> f64 {
        self.reported.failed.values().map(|ended| ended.latency.p99_ms).fold(0.0, f64::max)
    }
}

impl Measurements {
    /// Writes the table. Programs are named when there are several.
    pub(crate) fn print(&self, to: &mut impl Write) -> io::Result<()> {
        let Latency { p50_ms, p99_ms, .. } = self.disk_sync;
        writeln!(to, "{}", self.machine.line())?;
        writeln!(to, "the disk keeps 4 kB in {p50_ms:.2} ms (p50), {p99_ms:.2} ms (p99)\n")?;
        let mut rows: Vec<(&str, usize, &str)> = Vec::new();
        for one in &self.all {
            let row = (one.program.as_str(), one.workers, one.load.as_str());
            if !rows.contains(&row) {
                rows.push(row);
            }
        }
        let has_several = rows.iter().any(|(program, ..)| *program != rows[0].0);
        let headings: Vec<&str> = COLUMNS.iter().map(|(heading, _)| *heading).collect();
        writeln!(
            to,
            "| {}workers | load | {} |",
            if has_several { "program | " } else { "" },
            headings.join(" | ")
        )?;
        writeln!(to, "|{}", "---|".repeat(COLUMNS.len() + 2 + usize::from(has_several)))?;
        for (program, workers, load) in rows {
            let cells = COLUMNS.iter().map(|(_, read)| {
                let of_row =
                    |one: &&Measurement| (&*one.program, one.workers, &*one.load) == (program, workers, load);
                summary(self.all.iter().filter(of_row).map(read).collect())
            });
            let program = if has_several { format!("{program} | ") } else { String::new() };
            writeln!(to, "| {program}{workers} | {load} | {} |", cells.collect::<Vec<_>>().join(" | "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use benches::machine;
    use benches::report::Ended;

    use super::*;

    fn measurement(round: u32, works: f64) -> Measurement {
        let latency = Latency { p50_ms: 1.0, p95_ms: 2.0, p99_ms: 3.0, max_ms: 4.0 };
        let refused = Ended { count: 5, latency: Latency { p99_ms: 7.5, ..latency } };
        let used = ProcessUse {
            name: "dpow".into(),
            cpu_us_per_request: 150.0,
            kernel_us_per_request: 50.0,
            resident_kb: (1024.0, 2048.0),
        };
        let reported = LoadReport {
            dialect: "v1".into(),
            connections: 1,
            rate: None,
            seconds: 1.0,
            answered_per_second: works,
            answered: Ended { count: 90, latency },
            failed: BTreeMap::from([("503 overloaded".to_owned(), refused)]),
            unsent: 5,
            answered_in_all: 90,
            failed_in_all: BTreeMap::new(),
            own_cpu_us_per_request: 10.0,
            processes: vec![used],
        };
        let verdicts = BTreeMap::from([("accepted".to_owned(), 90), ("late".to_owned(), 90)]);
        let fleet = FleetReport { lists: 90, verdicts, ..FleetReport::default() };
        Measurement {
            round,
            program: "dpow".into(),
            workers: 10,
            load: "1 connection".into(),
            reported,
            fleet,
        }
    }

    #[test]
    fn a_row_has_the_median_of_all_rounds() {
        let measurements = Measurements {
            machine: machine::describe(None),
            disk_sync: Latency::default(),
            all: vec![measurement(1, 300.0), measurement(2, 100.0), measurement(3, 200.0)],
        };
        let mut printed = Vec::new();
        measurements.print(&mut printed).unwrap();
        let printed = String::from_utf8(printed).unwrap();
        let row = printed.lines().last().unwrap();
        assert!(row.starts_with("| 10 | 1 connection | 200 [100, 300] | 1.00 [1.00, 1.00] |"), "{row}");
        assert!(
            row.contains("| 2.00 [2.00, 2.00] | 3.00 [3.00, 3.00] | 10.0 [10.0, 10.0] | 7.50 ["),
            "{row}"
        );
        assert!(!printed.contains("program"), "{printed}");
    }
}
