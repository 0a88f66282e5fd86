//! The figures: collected, printed as a table of medians and ranges, and written as JSON.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use crate::machine::Machine;
use crate::server::Kind;

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Unit {
    /// 1,024 bytes.
    #[serde(rename = "kB")]
    Kilobytes,
    /// Times a second.
    #[serde(rename = "/s")]
    PerSecond,
    /// Seconds.
    #[serde(rename = "s")]
    Seconds,
    /// Thousandths of a second.
    #[serde(rename = "ms")]
    Milliseconds,
    /// Millionths of a second.
    #[serde(rename = "us")]
    Microseconds,
    /// Hundredths.
    #[serde(rename = "%")]
    Percent,
    /// One figure over another.
    #[serde(rename = "x")]
    Ratio,
}

impl Unit {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Kilobytes => "kB",
            Self::PerSecond => "/s",
            Self::Seconds => "s",
            Self::Milliseconds => "ms",
            Self::Microseconds => "us",
            Self::Percent => "%",
            Self::Ratio => "x",
        }
    }
}

/// One figure of one round.
#[derive(Debug, Serialize)]
struct Figure {
    round: u32,
    server: Kind,
    name: String,
    unit: Unit,
    value: f64,
}

/// All figures of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    machine: Machine,
    #[serde(rename = "figures")]
    all: Vec<Figure>,
    #[serde(skip)]
    now: (u32, Kind),
}

impl Figures {
    /// None yet.
    pub(crate) fn new(machine: Machine) -> Self {
        Self { machine, all: Vec::new(), now: (0, Kind::Gate) }
    }

    /// Says what the figures that follow are of.
    pub(crate) fn begin(&mut self, round: u32, server: Kind) {
        self.now = (round, server);
    }

    /// Adds a figure.
    pub(crate) fn add(&mut self, name: impl Into<String>, unit: Unit, value: f64) {
        let (round, server) = self.now;
        self.all.push(Figure { round, server, name: name.into(), unit, value });
    }

    /// Writes a table: for each figure the median of all rounds and, in brackets, the least and the greatest.
    pub(crate) fn print(&self, to: &mut impl Write) -> io::Result<()> {
        writeln!(to, "{}\n", self.machine.line())?;
        writeln!(to, "| | unit | {} | {} |", Kind::Gate.as_str(), Kind::Mosquitto.as_str())?;
        writeln!(to, "|---|---|---|---|")?;
        let mut names: Vec<(&str, Unit)> = Vec::new();
        for figure in &self.all {
            if !names.contains(&(&figure.name, figure.unit)) {
                names.push((&figure.name, figure.unit));
            }
        }
        for (name, unit) in names {
            let [gate, mosquitto] = Kind::ALL.map(|kind| self.summary(name, kind));
            writeln!(to, "| {name} | {} | {gate} | {mosquitto} |", unit.as_str())?;
        }
        Ok(())
    }

    /// Writes every figure of every round.
    pub(crate) fn write_json(&self, path: &Path) -> io::Result<()> {
        let mut file = File::create(path)?;
        serde_json::to_writer_pretty(&mut file, self)?;
        writeln!(file)
    }

    fn summary(&self, name: &str, kind: Kind) -> String {
        let mut values: Vec<f64> = self
            .all
            .iter()
            .filter(|figure| figure.name == name && figure.server == kind)
            .map(|figure| figure.value)
            .collect();
        values.sort_unstable_by(f64::total_cmp);
        match (median(&values), values.as_slice()) {
            (Some(median), [least, .., greatest]) => {
                format!("{} [{}, {}]", rounded(median), rounded(*least), rounded(*greatest))
            }
            (Some(only), _) => rounded(only),
            (None, _) => String::new(),
        }
    }
}

/// The middle of sorted values; of an even number, the lower one of the middle two.
fn median(sorted: &[f64]) -> Option<f64> {
    sorted.get(sorted.len().checked_sub(1)? / 2).copied()
}

/// Three digits, or all that stand before the point.
fn rounded(value: f64) -> String {
    let decimals = match value.abs() {
        below if below < 1.0 => 3,
        below if below < 10.0 => 2,
        below if below < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_the_median_and_the_range() {
        let mut figures = Figures::new(crate::machine::describe(Path::new("/nowhere")));
        for (round, value) in [(1, 4.25), (2, 0.5), (3, 120.4)] {
            figures.begin(round, Kind::Gate);
            figures.add("memory", Unit::Kilobytes, value);
        }
        figures.begin(1, Kind::Mosquitto);
        figures.add("memory", Unit::Kilobytes, 1.0);
        assert_eq!(figures.summary("memory", Kind::Gate), "4.25 [0.500, 120]");
        assert_eq!(figures.summary("memory", Kind::Mosquitto), "1.00");
        assert_eq!(figures.summary("other", Kind::Gate), "");
    }
}
