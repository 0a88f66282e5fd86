//! Where a search thread runs, and who goes before it.

/// The lowest priority that an ordinary thread can have.
#[cfg(target_os = "linux")]
const LOWEST: i32 = 19;

/// Has everything else on the machine go before the calling thread.
#[cfg(target_os = "linux")]
pub(super) fn lower_priority() {
    // On Linux this is the calling thread alone, whatever POSIX says of processes.
    if let Err(error) = rustix::process::setpriority_process(None, LOWEST) {
        tracing::warn!(%error, "a search thread keeps its priority");
    }
}

/// Keeps the calling thread on one of the cores that it may use: the first thread on the first one, and so on.
#[cfg(target_os = "linux")]
pub(super) fn pin(index: usize) {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    let pinned = sched_getaffinity(None).and_then(|allowed| {
        let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect();
        let mut only = CpuSet::new();
        if let Some(core) = cores.get(index % cores.len().max(1)) {
            only.set(*core);
        }
        sched_setaffinity(None, &only)
    });
    if let Err(error) = pinned {
        tracing::warn!(%error, "a search thread stays on no core of its own");
    }
}

/// Does nothing: it is not known how this system is asked.
#[cfg(not(target_os = "linux"))]
pub(super) fn lower_priority() {}

/// Does nothing: it is not known how this system is asked.
#[cfg(not(target_os = "linux"))]
pub(super) fn pin(_: usize) {}
