//! What a process has used so far, as the kernel counts it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

/// CPU time of a process, in seconds.
/// By default, of a process that has not begun.
#[derive(Debug, Clone, Copy, Default)]
pub struct CpuTime {
    own: f64,
    kernel: f64,
}

impl CpuTime {
    /// Of all threads of this process so far. It advances in steps of 10 ms.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn of(pid: u32) -> anyhow::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))
            .with_context(|| format!("there is no process {pid}"))?;
        // The name in parentheses may contain spaces; user and system time are fields 14 and 15, the state is field 3.
        let (_, fields) = stat.rsplit_once(") ").context("no name in stat")?;
        let mut times = fields.split(' ').skip(11).map(str::parse::<u32>);
        let (Some(user), Some(system)) = (times.next(), times.next()) else {
            anyhow::bail!("too few fields in stat");
        };
        #[expect(clippy::cast_precision_loss, reason = "ticks a second are few")]
        let seconds = |ticks: u32| f64::from(ticks) / rustix::param::clock_ticks_per_second() as f64;
        Ok(Self { own: seconds(user?), kernel: seconds(system?) })
    }

    /// From then until this, in the process's own code and in the kernel's on its behalf, in microseconds for each of so many;
    /// zero for each of none.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub fn since(self, earlier: Self, count: usize) -> (f64, f64) {
        let each = |seconds: f64| if count == 0 { 0.0 } else { seconds * 1e6 / count as f64 };
        (each(self.own - earlier.own), each(self.kernel - earlier.kernel))
    }
}

/// Memory that a process holds, in kB of 1,024 bytes: its resident set. What the kernel holds for its sockets is not in it.
///
/// # Errors
/// When there is no such process.
pub fn resident_kb(pid: u32) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))
        .with_context(|| format!("there is no process {pid}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let size = line.trim().strip_suffix(" kB").context("VmRSS is not in kB")?;
    Ok(size.parse()?)
}

/// A program that was built together with this one.
///
/// # Errors
/// When it was not.
pub fn beside(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let path = own.parent().unwrap_or(Path::new("")).join(name);
    ensure!(
        path.exists(),
        "there is no {}: build it with `cargo build --release -p dpow-coordinator -p dpow-benches --bins`",
        path.display()
    );
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_can_be_looked_at_and_one_that_is_not_there_is_named() {
        let own = std::process::id();
        let now = CpuTime::of(own).unwrap();
        assert!(now.own >= 0.0 && now.kernel >= 0.0);
        assert!(resident_kb(own).unwrap() > 100.0);
        let error = CpuTime::of(u32::MAX).unwrap_err().to_string();
        assert!(error.contains("4294967295"), "{error}");
    }

    #[test]
    fn time_is_shared_out_among_so_many() {
        let (before, after) = (CpuTime { own: 1.0, kernel: 0.5 }, CpuTime { own: 3.0, kernel: 1.5 });
        assert_eq!(after.since(before, 1000), (2000.0, 1000.0));
        assert_eq!(after.since(before, 0), (0.0, 0.0));
    }
}
