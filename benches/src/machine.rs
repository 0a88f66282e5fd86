//! What is measured, and on which machine.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::ensure;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;

/// What a reader of figures wants to know about where they come from.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// As the processor calls itself.
    processor: String,
    /// Cores that this program may use.
    cores: usize,
    /// Name and release of the kernel.
    kernel: String,
    /// The commit of this repository, `-dirty` if something in the folder differs from it.
    commit: String,
    /// As the program calls itself that is measured beside; empty if there is none.
    beside: String,
    /// Average number of runnable tasks over the minute before the start; anything but about 0 disturbs.
    load_before: String,
}

impl Machine {
    /// As one line.
    pub fn line(&self) -> String {
        let Self { processor, cores, kernel, commit, beside, load_before } = self;
        let beside = if beside.is_empty() { String::new() } else { format!(" and {beside}") };
        format!("{commit}{beside} on {processor}, {cores} cores, {kernel}, load {load_before}")
    }
}

/// Describes this machine, and the program that is measured beside. What cannot be read is left empty.
pub fn describe(beside: Option<&Path>) -> Machine {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let processor = read("/proc/cpuinfo")
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map(|(_, name)| name.to_owned());
    Machine {
        processor: processor.unwrap_or_default(),
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        kernel: format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
        commit: first_line(Command::new("git").args(["describe", "--always", "--dirty"])),
        beside: beside.map(|program| first_line(Command::new(program).arg("-h"))).unwrap_or_default(),
        load_before: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
    }
}

/// The first line that a program prints; empty if there is no such program.
fn first_line(command: &mut Command) -> String {
    let output = command.output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).lines().next().unwrap_or_default().to_owned()
}

/// Lets this program and its children open so many files.
///
/// # Errors
/// When the hard limit is lower.
pub fn raise_descriptor_limit(wanted: usize) -> anyhow::Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let wanted = wanted as u64;
    ensure!(
        maximum.is_none_or(|maximum| maximum >= wanted),
        "{wanted} descriptors are needed and {} are allowed: raise the hard limit (ulimit -Hn)",
        maximum.unwrap_or_default(),
    );
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum })?;
    Ok(())
}
