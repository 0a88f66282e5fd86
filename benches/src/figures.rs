//! The figures: collected, printed as a table of medians and ranges, and written as JSON.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use crate::machine::Machine;

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Unit {
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
    /// Things that are counted one by one.
    #[serde(rename = "")]
    Count,
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
            Self::Count => "",
        }
    }
}

/// One figure of one round.
#[derive(Debug, Serialize)]
struct Figure {
    round: u32,
    /// What was measured: a column of the table.
    server: String,
    name: String,
    unit: Unit,
    value: f64,
}

/// All figures of a run.
#[derive(Debug, Serialize)]
pub struct Figures {
    machine: Machine,
    #[serde(rename = "figures")]
    all: Vec<Figure>,
    #[serde(skip)]
    now: (u32, String),
}

impl Figures {
    /// None yet.
    pub fn new(machine: Machine) -> Self {
        Self { machine, all: Vec::new(), now: (0, String::new()) }
    }

    /// Says what the figures that follow are of.
    pub fn begin(&mut self, round: u32, server: &str) {
        self.now = (round, server.into());
    }

    /// Adds a figure.
    pub fn add(&mut self, name: impl Into<String>, unit: Unit, value: f64) {
        let (round, server) = self.now.clone();
        self.all.push(Figure { round, server, name: name.into(), unit, value });
    }

    /// Writes a table: for each figure the median of all rounds and, in brackets, the least and the greatest; a column for each
    /// that was measured, in the order in which they were.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn print(&self, to: &mut impl Write) -> io::Result<()> {
        writeln!(to, "{}\n", self.machine.line())?;
        let (mut names, mut servers) = (Vec::new(), Vec::new());
        for figure in &self.all {
            let (name, server) = ((figure.name.as_str(), figure.unit), figure.server.as_str());
            if !names.contains(&name) {
                names.push(name);
            }
            if !servers.contains(&server) {
                servers.push(server);
            }
        }
        writeln!(to, "| | unit | {} |", servers.join(" | "))?;
        writeln!(to, "|---|---|{}", "---|".repeat(servers.len()))?;
        for (name, unit) in names {
            let cells: Vec<String> = servers.iter().map(|server| self.summary(name, server)).collect();
            writeln!(to, "| {name} | {} | {} |", unit.as_str(), cells.join(" | "))?;
        }
        Ok(())
    }

    /// Writes every figure of every round.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_json(&self, path: &Path) -> io::Result<()> {
        let mut file = File::create(path)?;
        serde_json::to_writer_pretty(&mut file, self)?;
        writeln!(file)
    }

    fn summary(&self, name: &str, server: &str) -> String {
        let values: Vec<f64> = self
            .all
            .iter()
            .filter(|figure| figure.name == name && figure.server == server)
            .map(|figure| figure.value)
            .collect();
        summary(values)
    }
}

/// The median and, of several values, the least and the greatest in brackets; nothing of none.
pub fn summary(mut values: Vec<f64>) -> String {
    values.sort_unstable_by(f64::total_cmp);
    match (median(&values), values.as_slice()) {
        (Some(median), [least, .., greatest]) => {
            format!("{} [{}, {}]", rounded(median), rounded(*least), rounded(*greatest))
        }
        (Some(only), _) => rounded(only),
        (None, _) => String::new(),
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
        let mut figures = Figures::new(crate::machine::describe(None));
        for (round, value) in [(1, 4.25), (2, 0.5), (3, 120.4)] {
            figures.begin(round, "gate");
            figures.add("memory", Unit::Kilobytes, value);
        }
        figures.begin(1, "mosquitto");
        figures.add("memory", Unit::Kilobytes, 1.0);
        assert_eq!(figures.summary("memory", "gate"), "4.25 [0.500, 120]");
        assert_eq!(figures.summary("memory", "mosquitto"), "1.00");
        assert_eq!(figures.summary("other", "gate"), "");
        let mut printed = Vec::new();
        figures.print(&mut printed).unwrap();
        let printed = String::from_utf8(printed).unwrap();
        assert!(
            printed.ends_with(
                "| | unit | gate | mosquitto |\n|---|---|---|---|\n| memory | kB | 4.25 [0.500, 120] | 1.00 |\n"
            ),
            "{printed}"
        );
    }
}
