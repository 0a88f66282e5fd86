//! Who is given what, with real processes, by the policy that is the default and by those that are there to compare with.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use anyhow::ensure;
use e2e::{Home, Mqtt, NETWORK, RawWorker, Server, Service, Signal, WorkerProcess, account, oracle, root};
use serde_json::{Value, json};
use shared::pow::{Nonce, Root, Threshold};
use shared::protocol::{ListedJob, Topic, Verdict};

const SEND: Threshold = NETWORK.send_threshold();
const RECEIVE: Threshold = NETWORK.receive_threshold();

fn start(settings: &[(&str, &str)]) -> anyhow::Result<(Home, Service, Server)> {
    let (home, wallet) = Home::with_wallet(1_000)?;
    let mut command = home.listening_command(&["serve"])?;
    command.envs(settings.iter().copied());
    let server = home.serve_with(&mut command)?;
    Ok((home, wallet, server))
}

fn nonce(root: Root, threshold: Threshold) -> Nonce {
    oracle::search(root, 0, |difficulty| difficulty.meets(threshold))
}

/// Asks for a root, and is answered.
fn ask(server: &Server, wallet: &Service, root: Root, threshold: Threshold) -> anyhow::Result<Nonce> {
    let request = json!({ "root": root, "threshold": threshold });
    Ok(server.client().work(&wallet.key, &request)?.answer(root, threshold)?.work.nonce())
}

/// Waits until this is so of what `stats/network` says.
fn statistics(watcher: &mut Mqtt, is_so: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
    watcher.wait_until("statistics", |delivery| serde_json::from_slice(&delivery.payload).ok().filter(&is_so))
}

fn watch(home: &Home, server: &Server) -> anyhow::Result<Mqtt> {
    let mut watcher = server.login("operator", &home.read("operator-token")?, "watcher")?;
    watcher.subscribe(&["stats/network"])?;
    Ok(watcher)
}

/// Three sends, two receives and a result that is sent twice: what the statistics and the metrics say is what the worker and the
/// service have seen.
#[test]
fn statistics_say_what_has_been_seen() -> anyhow::Result<()> {
    let (home, wallet, server) = start(&[])?;
    let mut watcher = watch(&home, &server)?;
    let before = statistics(&mut watcher, |_| true)?;
    assert_eq!((&before["efficiency_percent"], &before["fairness_percent"]), (&Value::Null, &Value::Null));
    let mut worker = RawWorker::join(&server, 1, account(1))?;
    for (number, threshold) in [SEND, RECEIVE, SEND, RECEIVE, SEND].into_iter().enumerate() {
        let root = root(u64::try_from(number)?);
        thread::scope(|scope| {
            let asking = scope.spawn(|| ask(&server, &wallet, root, threshold));
            let ListedJob { job, .. } = worker.wait_for_job(root)?;
            let nonce = nonce(root, threshold);
            assert_eq!(worker.submit(job, root, nonce)?.verdict, Verdict::Accepted);
            if number == 0 {
                assert_eq!(worker.submit(job, root, nonce)?.verdict, Verdict::Duplicate);
            }
            assert_eq!(asking.join().expect("a client does not panic")?, nonce);
            anyhow::Ok(())
        })?;
    }
    let said = statistics(&mut watcher, |said| said["requests_answered"] == 5)?;
    let lists = said["lists_sent"].as_u64().unwrap_or(0);
    while worker.lists() < lists {
        worker.next_list()?;
    }
    assert_eq!(worker.lists(), lists);
    assert_eq!((&said["results_received"], &said["results_accepted"]), (&json!(6), &json!(5)));
    // Lists, six results and their verdicts, for five works; rounded.
    assert_eq!(said["messages_per_work"], (2 * (lists + 12) + 5) / 10);
    let searched = |class: &str| said["searched"][class]["works"].clone();
    let works = ["ondemand_send", "ondemand_receive", "precache_send", "precache_receive"].map(searched);
    assert_eq!(works, [3, 2, 0, 0]);
    assert!(said["efficiency_percent"].as_u64().is_some_and(|percent| percent <= 100), "{said}");
    assert_eq!(said["fairness_percent"], 100, "one has earned, in proportion to its rate");

    let client = server.client();
    let count = |subtype| {
        let labels = format!("kind=\"ondemand\",subtype=\"{subtype}\"");
        client.metric(&format!("dpow_work_searched_duration_seconds_count{{{labels}}}"))
    };
    assert_eq!((count("send")?, count("receive")?), (3, 2));
    assert_eq!(client.metric("dpow_work_lists_total")?, lists);
    assert_eq!(client.metric("dpow_dispatch_fairness_ratio")?, 1);
    server.stop(Signal::Terminate)
}

/// A worker that says that it is very fast takes a job and never answers. The job is taken from it and given to one that came
/// later; and so is what is asked for next.
#[test]
fn a_silent_worker_loses_its_jobs() -> anyhow::Result<()> {
    let (_home, wallet, server) = start(&[])?;
    let mut mute = RawWorker::join_with_rate(&server, 1, account(1), 1_000_000_000)?;
    thread::scope(|scope| {
        let asking = scope.spawn(|| ask(&server, &wallet, root(1), SEND));
        mute.wait_for_job(root(1))?;
        let mut later = RawWorker::join(&server, 2, account(2))?;
        while mute.next_list()?.jobs.iter().any(|job| job.root == root(1)) {}
        let ListedJob { job, .. } = later.wait_for_job(root(1))?;
        let nonce = nonce(root(1), SEND);
        assert_eq!(later.submit(job, root(1), nonce)?.verdict, Verdict::Accepted);
        assert_eq!(asking.join().expect("a client does not panic")?, nonce);

        let asking = scope.spawn(|| ask(&server, &wallet, root(2), SEND));
        let ListedJob { job, .. } = later.wait_for_job(root(2))?;
        later.submit(job, root(2), self::nonce(root(2), SEND))?;
        asking.join().expect("a client does not panic").map(drop)
    })
}

/// So slow that nobody can tell by its results: it has said that it is there, and says so no more.
#[test]
fn a_worker_without_a_sign_of_life_loses_its_jobs() -> anyhow::Result<()> {
    let (_home, wallet, server) = start(&[])?;
    let mut mute = RawWorker::join_with_rate(&server, 1, account(1), 1)?;
    mute.tell_rate(1)?;
    server.client().wait_for_metric("dpow_worker_statuses_total", |statuses| statuses == 1)?;
    thread::scope(|scope| {
        let asking = scope.spawn(|| ask(&server, &wallet, root(1), SEND));
        mute.wait_for_job(root(1))?;
        let mut later = RawWorker::join_with_rate(&server, 2, account(2), 1)?;
        let ListedJob { job, .. } = later.wait_for_job(root(1))?;
        while mute.next_list()?.jobs.iter().any(|job| job.root == root(1)) {}
        let nonce = nonce(root(1), SEND);
        assert_eq!(later.submit(job, root(1), nonce)?.verdict, Verdict::Accepted);
        assert_eq!(asking.join().expect("a client does not panic")?, nonce);
        anyhow::Ok(())
    })
}

/// Workers come and are killed while services ask: all are answered.
#[test]
fn workers_come_and_are_killed() -> anyhow::Result<()> {
    let (_home, wallet, server) = start(&[])?;
    let (next, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    let go_on_asking = || {
        while !is_over.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let threshold = if number.is_multiple_of(2) { SEND } else { RECEIVE };
            ask(&server, &wallet, root(number), threshold)?;
        }
        anyhow::Ok(())
    };
    let works = |more: u64| {
        let wanted = next.load(Ordering::Relaxed) + more;
        let series = "dpow_work_results_total{verdict=\"accepted\"}";
        server.client().wait_for_metric(series, |accepted| accepted >= wanted).map(drop)
    };
    thread::scope(|scope| {
        let asking: Vec<_> = (0..4).map(|_| scope.spawn(go_on_asking)).collect();
        let come_and_go = || {
            let mut there = WorkerProcess::start(server.mqtt_addr(), account(1))?;
            for number in 2..5 {
                works(10)?;
                let later = WorkerProcess::start(server.mqtt_addr(), account(number))?;
                // Dropping it kills it.
                drop(std::mem::replace(&mut there, later));
            }
            works(10)
        };
        let came_and_went = come_and_go();
        is_over.store(true, Ordering::Relaxed);
        // Whoever still waits when the last worker has gone is answered by this one.
        let _last = WorkerProcess::start(server.mqtt_addr(), account(9))?;
        for asking in asking {
            asking.join().expect("a client does not panic")?;
        }
        came_and_went
    })
}

/// Three workers have jobs and leave at the same time. What they had is done by the next that comes.
#[test]
fn all_workers_leave_at_once() -> anyhow::Result<()> {
    let (_home, wallet, server) = start(&[])?;
    let (server, client) = (&server, server.client());
    let mut workers = Vec::new();
    for number in 1..4 {
        workers.push(RawWorker::join_with_rate(server, number, account(number), 1_000)?);
    }
    client.wait_for_metric("dpow_workers_connected", |workers| workers == 3)?;
    thread::scope(|scope| {
        let wallet = &wallet;
        let asking: Vec<_> =
            (0..6).map(|number| scope.spawn(move || ask(server, wallet, root(number), SEND))).collect();
        client.wait_for_metric("dpow_jobs_in_flight", |jobs| jobs == 6)?;
        drop(workers);
        client.wait_for_metric("dpow_workers_connected", |workers| workers == 0)?;
        client.wait_for_metric("dpow_jobs_unplaced", |jobs| jobs == 6)?;
        let _next = WorkerProcess::start(server.mqtt_addr(), account(9))?;
        asking.into_iter().try_for_each(|asking| asking.join().expect("a client does not panic").map(drop))
    })
}

/// One of two workers finds a job that both have; the other's result, for its list before the last, is late and costs it nothing: it
/// goes on being given jobs.
#[test]
fn a_result_for_the_list_before_is_late_and_no_more() -> anyhow::Result<()> {
    let (_home, wallet, server) = start(&[])?;
    let join = |number| RawWorker::join_with_rate(&server, number, account(number), 1_000);
    let (mut first, mut second) = (join(1)?, join(2)?);
    server.client().wait_for_metric("dpow_workers_connected", |workers| workers == 2)?;
    thread::scope(|scope| {
        let asking = scope.spawn(|| ask(&server, &wallet, root(1), SEND));
        let jobs = (first.wait_for_job(root(1))?, second.wait_for_job(root(1))?);
        let nonce = nonce(root(1), SEND);
        assert_eq!(first.submit(jobs.0.job, root(1), nonce)?.verdict, Verdict::Accepted);
        while second.next_list()?.jobs.iter().any(|job| job.root == root(1)) {}
        let another =
            oracle::search(root(1), nonce.as_u64().wrapping_add(1), |difficulty| difficulty.meets(SEND));
        let notice = second.submit(jobs.1.job, root(1), another)?;
        assert!(matches!(notice.verdict, Verdict::Late { .. }), "{notice:?}");
        assert_eq!((notice.totals.late, notice.totals.refused), (1, 0));
        asking.join().expect("a client does not panic")?;

        drop(first);
        let asking = scope.spawn(|| ask(&server, &wallet, root(2), SEND));
        let ListedJob { job, .. } = second.wait_for_job(root(2))?;
        second.submit(job, root(2), self::nonce(root(2), SEND))?;
        asking.join().expect("a client does not panic").map(drop)
    })
}

/// Workers that announce nothing, and more than there is, and do nothing, keep nobody from working for long; a negative rate is no hello.
#[test]
fn announced_rates_may_be_anything() -> anyhow::Result<()> {
    let (_home, wallet, server) = start(&[])?;
    let client = server.client();
    let _none = RawWorker::join_with_rate(&server, 1, account(1), 0)?;
    let _most = RawWorker::join_with_rate(&server, 2, account(2), 1_000_000_000_000_000_000)?;
    let (password, id) = RawWorker::credentials(3);
    let mut negative = server.login(&account(3).to_string(), &password, &id.to_string())?;
    let hello = json!({
        "software": "end-to-end test", "devices": [], "hashes_per_second": -1, "capacity": 8,
        "threshold_max": "ffffffffffffffff", "precache": false,
    });
    negative.publish(&Topic::WorkerHello(id).to_string(), hello.to_string().as_bytes())?;
    client.wait_for_metric("dpow_mqtt_messages_malformed_total", |malformed| malformed == 1)?;
    let _real = WorkerProcess::start(server.mqtt_addr(), account(4))?;
    client.wait_for_metric("dpow_workers_connected", |workers| workers == 3)?;
    for number in 0..10 {
        ask(&server, &wallet, root(number), SEND)?;
    }
    ensure!(client.metric("dpow_workers_hash_rate")? >= 1_000_000_000_000_000_000);
    Ok(())
}

/// One request, and three workers that can take it: on how many lists it stood under the other policies, of which the first to be
/// asked solves it.
fn lists_of_one_request(settings: &[(&str, &str)]) -> anyhow::Result<Value> {
    let (home, wallet, server) = start(settings)?;
    let mut watcher = watch(&home, &server)?;
    let join =
        |number| RawWorker::join_with_rate(&server, number, account(number), 1_000_000 / u64::from(number));
    let (mut fastest, _second, _slowest) = (join(1)?, join(2)?, join(3)?);
    statistics(&mut watcher, |said| said["workers"] == 3)?;
    thread::scope(|scope| {
        let asking = scope.spawn(|| ask(&server, &wallet, root(1), SEND));
        let ListedJob { job, .. } = fastest.wait_for_job(root(1))?;
        let verdict = fastest.submit(job, root(1), nonce(root(1), SEND))?.verdict;
        ensure!(verdict == Verdict::Accepted, "{verdict:?}");
        asking.join().expect("a client does not panic")
    })?;
    let said = statistics(&mut watcher, |said| said["requests_answered"] == 1)?;
    assert_eq!(said["efficiency_percent"], Value::Null, "they measure nothing");
    Ok(said["lists_sent"].clone())
}

/// Each list is sent with the job, and again without it.
#[test]
fn the_other_policies_are_still_there() -> anyhow::Result<()> {
    let two = lists_of_one_request(&[("DPOW_DISPATCH__POLICY", "fastest_k"), ("DPOW_DISPATCH__K", "2")])?;
    let all = lists_of_one_request(&[("DPOW_DISPATCH__POLICY", "broadcast")])?;
    assert_eq!((two, all), (json!(4), json!(6)));
    Ok(())
}
