//! Jobs upon jobs through the program as it is delivered, a day's worth of them in `./check --full`: they are all done, and it does not
//! grow.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "what cannot be set up is a failed test")]

mod peer;

use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};

use shared::Network;
use shared::protocol::{ListedJob, Topic, Verdict, VerdictNotice, WorkerTotals};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::peer::{PATIENCE, Peer, is_work, job};

const ADDRESS: &str = "nano_3t6k35gi95xu6tergt6p69ck76ogmitsa8mnijtpxm9fkcm736xtoncuohr3";
/// What a worker without a graphics card may hold, in kB of 1,024 bytes.
const MEMORY_MAX_KB: u64 = 30 * 1024;
/// What the allocator may keep more at the end than after a tenth of the jobs, in the same unit.
const GROWTH_MAX_KB: u64 = 512;
/// Jobs on each list.
const LISTED: u64 = 8;

/// A worker, ended with the test.
struct Running(Child);

impl Running {
    /// Its resident memory.
    fn memory_kb(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already, if the test has failed because of that.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Gives a list, takes its results in their order, acknowledges them, and judges them as a coordinator does.
async fn work_off(peer: &mut Peer, id: shared::WorkerId, sequence: u32, jobs: &[ListedJob]) {
    peer.publish(Topic::WorkRequest(id), &shared::protocol::WorkList { sequence, jobs: jobs.to_vec() }).await;
    for job in jobs {
        let (result, packet) = peer.result_of(id).await;
        assert!(is_work(job, &result), "{result:?}");
        peer.acknowledge(packet).await;
        let notice = VerdictNotice {
            job: job.job,
            root: job.root,
            verdict: Verdict::Accepted,
            totals: WorkerTotals::default(),
        };
        peer.publish(Topic::WorkVerdict(id), &notice).await;
    }
}

#[tokio::test]
async fn jobs_upon_jobs_are_done_without_growth() {
    let lists = if std::env::var_os("DPOW_FULL").is_some() { 100_000 / LISTED } else { 2_000 / LISTED };
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_dpow-worker"));
    command
        .env_clear()
        .args(["--account", ADDRESS, "--opencl-devices", "off", "--data-dir"])
        .arg(folder.path());
    command.args(["--server", &format!("mqtt://{}", listener.local_addr().unwrap())]).stdout(Stdio::null());
    let running = Running(command.spawn().unwrap());
    let mut peer = Peer(timeout(PATIENCE, listener.accept()).await.unwrap().unwrap().0);
    let id = peer.welcome_any().await;

    let (mut early, mut most) = (0, 0);
    for list in 0..lists {
        let first = 1 + list * LISTED;
        let jobs: Vec<_> =
            (first..first + LISTED).map(|counter| job(counter, Network::Dev.receive_threshold())).collect();
        work_off(&mut peer, id, u32::try_from(list + 1).unwrap(), &jobs).await;
        let memory = running.memory_kb();
        most = most.max(memory);
        if list == lists / 10 {
            early = memory;
        }
    }
    let late = running.memory_kb();
    assert!(most <= MEMORY_MAX_KB, "{most} kB");
    assert!(late <= early + GROWTH_MAX_KB, "from {early} to {late} kB");
}
