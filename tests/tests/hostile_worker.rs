//! A worker that cheats, beside one that does not.

use std::thread;

use e2e::{Home, NETWORK, RawWorker, Server, Service, Signal, WorkerProcess, account, oracle, root};
use serde_json::json;
use shared::JobId;
use shared::pow::{Nonce, Root, Threshold};
use shared::protocol::{ListedJob, Verdict};

const THRESHOLD: Threshold = NETWORK.send_threshold();

/// The first nonce from `start` that meets the threshold.
fn good_nonce(root: Root, start: u64) -> Nonce {
    oracle::search(root, start, |difficulty| difficulty.meets(THRESHOLD))
}

/// Asks for a root, and has something done once the worker has been given the job; returns the answer's nonce, and what that
/// gave.
fn while_asked<T>(
    server: &Server,
    service: &Service,
    root: Root,
    worker: &mut RawWorker,
    act: impl FnOnce(&mut RawWorker, ListedJob) -> anyhow::Result<T>,
) -> anyhow::Result<(Nonce, T)> {
    let request = json!({ "root": root, "threshold": THRESHOLD });
    thread::scope(|scope| {
        let asking = scope.spawn(|| server.client().work(&service.key, &request));
        let job = worker.wait_for_job(root)?;
        let done = act(worker, job)?;
        let reply = asking.join().expect("a client does not panic")?;
        Ok((reply.answer(root, THRESHOLD)?.work.nonce(), done))
    })
}

/// The cheat earns once, honestly. Then it sends that result again, a nonce that is too weak, one for a root that it was never
/// given, and a valid one after the honest worker's. Each gets the verdict that it deserves, only what no honest program sends
/// counts against it, and nothing of it is paid.
#[test]
fn cheating_earns_nothing() -> anyhow::Result<()> {
    let home = Home::new()?;
    let wallet = home.add_service("wallet")?;
    home.grant_paid(&wallet, 10)?;
    let server = home.serve()?;
    let (cheat, honest) = (account(66), account(1));
    let mut worker = RawWorker::join(&server, 66, cheat)?;

    let first = root(1);
    let (earned, ()) = while_asked(&server, &wallet, first, &mut worker, |worker, ListedJob { job, .. }| {
        let nonce = good_nonce(first, 0);
        assert_eq!(worker.submit(job, first, nonce)?.verdict, Verdict::Accepted);
        let again = worker.submit(job, first, nonce)?;
        assert_eq!((again.verdict, again.totals.accepted, again.totals.refused), (Verdict::Duplicate, 1, 0));
        Ok(())
    })?;

    let (second, never_given) = (root(2), root(3));
    let (found, job) =
        while_asked(&server, &wallet, second, &mut worker, |worker, ListedJob { job, .. }| {
            let weak = oracle::search(second, 0, |difficulty| !difficulty.meets(THRESHOLD));
            let notice = worker.submit(job, second, weak)?;
            let difficulty = shared::pow::difficulty(&second, weak);
            assert_eq!(notice.verdict, Verdict::BelowThreshold { difficulty, threshold: THRESHOLD });
            assert_eq!(notice.totals.refused, 1);

            let forged = JobId { counter: job.counter + 1, ..job };
            let notice = worker.submit(forged, never_given, good_nonce(never_given, 0))?;
            assert_eq!((notice.verdict, notice.totals.refused), (Verdict::NeverGiven, 2));

            WorkerProcess::start(server.mqtt_addr(), honest)?.wait_until_accepted()?;
            Ok(job)
        })?;
    let late = good_nonce(second, found.as_u64().wrapping_add(1));
    let notice = worker.submit(job, second, late)?;
    assert!(matches!(notice.verdict, Verdict::Late { .. }), "{notice:?}");
    assert_eq!((notice.totals.late, notice.totals.accepted, notice.totals.refused), (1, 1, 2));

    let client = server.client();
    for (verdict, count) in
        [("accepted", 2), ("duplicate", 1), ("below_threshold", 1), ("never_given", 1), ("late", 1)]
    {
        let series = format!("dpow_work_results_total{{verdict=\"{verdict}\"}}");
        assert_eq!(client.metric(&series)?, count, "{verdict}");
    }
    server.stop(Signal::Terminate)?;
    let settlements = home.journal()?.replay()?.settlements;
    let paid: Vec<_> =
        settlements.into_iter().map(|paid| (paid.root, paid.nonce, paid.payee, paid.earned)).collect();
    let payable = |account| Some(format!("payable:{account}"));
    assert_eq!(paid, [(first, earned, payable(cheat), 900), (second, found, payable(honest), 900)]);
    Ok(())
}
