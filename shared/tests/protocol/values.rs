//! One value of every message or a few: together they have every variant of every enum. The work in them is real.

use shared::pow::{Difficulty, Nonce, Root, Threshold};
use shared::protocol::{
    AnswerTimes, DeviceReport, ListedJob, NetworkStatistics, PauseReason, RepliedWork, ReplyOutcome,
    SearchedTimes, ServiceCancel, ServiceDemand, ServiceReply, ServiceRequest, Verdict, VerdictNotice,
    WorkKind, WorkList, WorkResult, WorkerHello, WorkerStatus, WorkerTotals,
};
use shared::{JobId, Millicredits, Network, Refusal, RequestId};

use crate::every_variant;

const JOB: JobId = JobId { instance: 0x9f2c_61d0_7b3a_4e58, counter: 17 };
const REQUEST: RequestId = RequestId::from_u128(0x0f1e_2d3c_4b5a_6978_8796_a5b4_c3d2_e1f0);
const NONCE: Nonce = Nonce::new(0x2b3d_689b_bcb2_1dca);
const DIFFICULTY: Difficulty = Difficulty::new(0xffff_fff9_3c41_ec94);

fn root() -> Root {
    "718CC2121C3E641059BC1C2CFC45666C99E8AE922F7A807B7D07B62C995D79E2".parse().unwrap()
}

fn send() -> Threshold {
    Network::Live.send_threshold()
}

pub(crate) fn work_lists() -> Vec<WorkList> {
    let first = ListedJob {
        job: JOB,
        root: root(),
        threshold: send(),
        kind: WorkKind::OnDemand,
        remaining_ms: 29_950,
    };
    let second = ListedJob {
        job: JobId { counter: 18, ..JOB },
        root: Root::new([0xab; 32]),
        threshold: Network::Live.receive_threshold(),
        kind: WorkKind::Precache,
        remaining_ms: u32::MAX,
    };
    vec![WorkList { sequence: 300, jobs: vec![first, second] }, WorkList { sequence: 301, jobs: vec![] }]
}

pub(crate) fn work_results() -> Vec<WorkResult> {
    vec![WorkResult { job: JOB, root: root(), nonce: NONCE }]
}

pub(crate) fn verdict_notices() -> Vec<VerdictNotice> {
    let totals =
        WorkerTotals { accepted: 1_204, late: 31, refused: 1, earned_mc: Millicredits::new(1_083_600) };
    let realistic = |verdict| match verdict {
        Verdict::Late { .. } => Verdict::Late { by_ms: 240 },
        Verdict::BelowThreshold { .. } => Verdict::BelowThreshold {
            difficulty: DIFFICULTY,
            threshold: Threshold::new(0xffff_fffc_0000_0000),
        },
        other => other,
    };
    let notice = |verdict| VerdictNotice { job: JOB, root: root(), verdict: realistic(verdict), totals };
    every_variant().into_iter().map(notice).collect()
}

pub(crate) fn worker_hellos() -> Vec<WorkerHello> {
    let report = |(backend, name): (_, &str)| DeviceReport {
        name: name.into(),
        backend,
        hashes_per_second: 1_600_000_000,
    };
    let names = ["AMD Ryzen 9 7950X", "NVIDIA GeForce RTX 4090", "WebGPU", "WebAssembly \u{d7} 8"];
    let backends = every_variant();
    assert_eq!(backends.len(), names.len());
    let devices: Vec<DeviceReport> = backends.into_iter().zip(names).map(report).collect();
    let hello = |devices: Vec<DeviceReport>, capacity, precache| WorkerHello {
        software: "dpow-worker 0.1.0".into(),
        hashes_per_second: devices.iter().map(|device| device.hashes_per_second).sum(),
        devices,
        capacity,
        threshold_max: Threshold::new(0xffff_ffff_0000_0000),
        precache,
    };
    vec![hello(devices[1..2].to_vec(), 4, true), hello(devices, 8, false), hello(vec![], 1, true)]
}

pub(crate) fn worker_statuses() -> Vec<WorkerStatus> {
    let works = |devices: &[u64]| WorkerStatus {
        hashes_per_second: 1_597_423_118,
        devices_hashes_per_second: devices.into(),
        temperature_c: Some(71),
        paused: None,
    };
    let pauses = |reason: PauseReason| WorkerStatus {
        hashes_per_second: 0,
        devices_hashes_per_second: vec![],
        temperature_c: (reason != PauseReason::Temperature).then_some(-4),
        paused: Some(reason),
    };
    let mut statuses = vec![works(&[1_524_000_017, 73_423_101]), works(&[])];
    statuses.extend(every_variant().into_iter().map(pauses));
    statuses
}

pub(crate) fn service_requests() -> Vec<ServiceRequest> {
    let account = "nano_3t6k35gi95xu6tergt6p69ck76ogmitsa8mnijtpxm9fkcm736xtoncuohr3".parse().ok();
    let request = |demand| {
        let timeout_ms = Some(10_000);
        ServiceRequest { request: REQUEST, root: root(), demand, account, timeout_ms, class: None }
    };
    let mut requests =
        vec![request(ServiceDemand::Threshold(send())), request(ServiceDemand::Multiplier(1.5))];
    requests.extend(every_variant().into_iter().map(|kind| request(ServiceDemand::Subtype(kind))));
    requests.push(ServiceRequest { account: None, timeout_ms: None, ..requests[0] });
    let class = |class| ServiceRequest { class: Some(class), ..requests[0] };
    let classes: Vec<_> = every_variant().into_iter().map(class).collect();
    requests.extend(classes);
    requests
}

pub(crate) fn service_cancels() -> Vec<ServiceCancel> {
    vec![ServiceCancel { request: REQUEST }]
}

pub(crate) fn service_replies() -> Vec<ServiceReply> {
    let reply = |outcome| ServiceReply { request: REQUEST, outcome };
    let work = |source| RepliedWork {
        root: root(),
        nonce: NONCE,
        difficulty: DIFFICULTY,
        source,
        elapsed_ms: 412,
        charged_mc: Millicredits::CREDIT,
        balance_mc: Some(Millicredits::new(98_000)),
    };
    let mut works: Vec<RepliedWork> = every_variant().into_iter().map(work).collect();
    works.extend(works.last().copied().map(|work| RepliedWork {
        elapsed_ms: 0,
        charged_mc: Millicredits::ZERO,
        balance_mc: None,
        ..work
    }));
    let works = works.into_iter().map(ReplyOutcome::Work);
    let refusals = every_variant::<Refusal>().into_iter().map(ReplyOutcome::Refused);
    works.chain(refusals).map(reply).collect()
}

pub(crate) fn network_statistics() -> Vec<NetworkStatistics> {
    vec![NetworkStatistics {
        workers: 212,
        hashes_per_second: 90_500_000_000,
        jobs_open: 7,
        jobs_unplaced: 0,
        requests_open: 9,
        requests_answered: 181_442,
        requests_refused: 903,
        results_accepted: 120_615,
        works_cached: 43_870,
        results_received: 124_098,
        lists_sent: 1_205_940,
        messages_per_work: Some(12),
        efficiency_percent: Some(56),
        fairness_percent: None,
        searched: SearchedTimes {
            ondemand_send: AnswerTimes { works: 512, p50_ms: 223, p95_ms: 495, p99_ms: 639 },
            ondemand_receive: AnswerTimes { works: 498, p50_ms: 29, p95_ms: 51, p99_ms: 63 },
            ..SearchedTimes::default()
        },
    }]
}
