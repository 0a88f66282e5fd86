//! What a server may send, by mistake or on purpose, and what may happen to a machine.
#![expect(clippy::unwrap_used, reason = "what cannot be set up is a failed test")]

#[path = "corpus/properties.rs"]
mod properties;

use std::fs;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use shared::pow::{Nonce, Root, Threshold, Work};
use shared::protocol::{
    Form, ListedJob, Verdict, VerdictNotice, WORK_LIST_MAX, WorkKind, WorkList, WorkerTotals, encode,
};
use shared::{JobId, Timestamp};
use worker::session::{Action, Input, Limits, Session};

const LIMIT: Threshold = Threshold::new(0xffff_ffff_0000_0000);
const NOW: Timestamp = Timestamp::from_micros(1_000_000_000_000);

fn job(counter: u64, threshold: u64) -> ListedJob {
    ListedJob {
        job: JobId { instance: 1, counter },
        root: Root::new([1; 32]),
        threshold: Threshold::new(threshold),
        kind: WorkKind::OnDemand,
        remaining_ms: 30_000,
    }
}

fn session(threshold_max: Threshold) -> Session {
    let mut session = Session::new(Limits { threshold_max, precache: true }, &[20_000_000]);
    session.handle(NOW, Input::Connected, &mut Vec::new());
    session
}

fn give(session: &mut Session, now: Timestamp, input: Input) -> Vec<Action> {
    let mut actions = Vec::new();
    session.handle(now, input, &mut actions);
    actions
}

fn list(sequence: u32, jobs: &[ListedJob]) -> Input {
    Input::Listed(WorkList { sequence, jobs: jobs.to_vec() })
}

fn search(job: ListedJob) -> Action {
    Action::Search { device: 0, job }
}

#[test]
fn thresholds_from_one_end_to_the_other() {
    let mut session = session(LIMIT);
    let (none, all) = (job(1, 0), job(2, u64::MAX));
    let (at, above) = (job(3, LIMIT.as_u64()), job(4, LIMIT.as_u64() + 1));
    assert_eq!(give(&mut session, NOW, list(1, &[all, above, at])), [search(at)]);
    assert_eq!(give(&mut session, NOW, list(2, &[all, above, none])), [search(none)]);
    // Whoever allows everything may be told to search what no nonce meets, until its time is over.
    let mut session = self::session(Threshold::new(u64::MAX));
    assert_eq!(give(&mut session, NOW, list(1, &[all, none])), [search(all)]);
    let mut actions = Vec::new();
    session.handle_timeout(NOW + Duration::from_secs(30), &mut actions);
    assert_eq!(actions, [Action::Rest { device: 0 }]);
}

/// The same name for different searches: the first one of a list counts, and a new list may change it.
#[test]
fn a_job_whose_terms_change_is_searched_anew() {
    let mut session = session(LIMIT);
    let (easy, hard) = (job(1, 1 << 63), job(1, 0xffff << 48));
    assert_eq!(give(&mut session, NOW, list(1, &[easy, hard])), [search(easy)]);
    assert_eq!(give(&mut session, NOW, list(2, &[hard, easy])), [search(hard)]);
    assert_eq!(give(&mut session, NOW, list(3, &[hard])), []);
}

/// The clock counts the time of sleep, so what was to be done before is over when the machine wakes up, and what was found then is
/// sent only as long as it can be worth something.
#[test]
fn a_machine_that_has_slept_begins_anew() {
    let mut session = session(LIMIT);
    give(&mut session, NOW, list(1, &[job(1, 1 << 63), job(2, 1 << 63)]));
    let work = (0..).find_map(|nonce| Work::verify(job(1, 0).root, Nonce::new(nonce), Threshold::new(0)));
    let work = work.unwrap();
    give(&mut session, NOW, Input::Found { job: job(1, 0).job, work });
    let morning = NOW + Duration::from_hours(8);
    let mut actions = Vec::new();
    session.handle_timeout(morning, &mut actions);
    assert_eq!(actions, [Action::Rest { device: 0 }]);
    assert_eq!(give(&mut session, morning, Input::Disconnected), []);
    assert_eq!(give(&mut session, morning, Input::Connected), [Action::Subscribe, Action::SendHello]);
    // A device has found something as the machine fell asleep: it is sent, and harms nobody.
    let found = give(&mut session, morning, Input::Found { job: job(2, 0).job, work });
    assert!(matches!(found[..], [Action::Send(_)]), "{found:?}");
}

/// Ten thousand lists, in order and out of it: the newest one is obeyed, and nothing is kept of the others.
#[test]
fn ten_thousand_lists_leave_nothing_behind() {
    let mut session = session(LIMIT);
    for sequence in 1..=10_000 {
        let jobs: Vec<_> = (0..8).map(|place| job(u64::from(sequence) * 8 + place, 1 << 63)).collect();
        assert_eq!(give(&mut session, NOW, list(sequence, &jobs)), [search(jobs[0])]);
        assert_eq!(give(&mut session, NOW, list(sequence / 2, &[])), []);
    }
    assert_eq!(give(&mut session, NOW, list(10_001, &[])), [Action::Rest { device: 0 }]);
    assert_eq!(session.poll_timeout(), None);
}

/// Files that once broke something, or reach code that others do not. `./check --full` fuzzes the same function.
#[test]
fn the_corpus_of_the_fuzz_target_is_survived() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/worker_downlink");
    let mut replayed = 0;
    for entry in fs::read_dir(folder).unwrap() {
        properties::downlink(&fs::read(entry.unwrap().path()).unwrap());
        replayed += 1;
    }
    assert!(replayed >= 4, "{replayed} files");
}

/// Lists and verdicts as a server might send them, as the fuzz target reads them.
fn transcripts() -> impl Strategy<Value = Vec<u8>> {
    let thresholds = prop_oneof![Just(0), Just(u64::MAX), Just(1 << 63), any::<u64>()];
    let listed = (0..4_u64, thresholds, any::<bool>(), any::<u32>()).prop_map(
        |(counter, threshold, is_precache, remaining_ms)| {
            let kind = if is_precache { WorkKind::Precache } else { WorkKind::OnDemand };
            ListedJob { kind, remaining_ms, ..job(counter, threshold) }
        },
    );
    let list = (any::<u32>(), prop::collection::vec(listed, 0..=WORK_LIST_MAX + 1))
        .prop_map(|(sequence, jobs)| encode(&WorkList { sequence, jobs }, Form::Binary));
    let verdict = (0..4_u64).prop_map(|counter| {
        let ListedJob { job, root, .. } = job(counter, 0);
        encode(
            &VerdictNotice { job, root, verdict: Verdict::Duplicate, totals: WorkerTotals::default() },
            Form::Json,
        )
    });
    let anything = prop::collection::vec(any::<u8>(), 0..40);
    let payload = prop_oneof![5 => list, 1 => verdict, 1 => anything];
    let event = (any::<u8>(), payload, any::<Option<(u8, u8)>>()).prop_map(|(kind, mut payload, damage)| {
        if let Some((place, byte)) = damage
            && let Some(damaged) = payload.get_mut(usize::from(place))
        {
            *damaged = byte;
        }
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        [&[kind], &length[..], &payload].concat()
    });
    prop::collection::vec(event, 0..40).prop_map(|events| events.concat())
}

proptest! {
    #[test]
    fn whatever_a_server_says_is_survived(bytes in transcripts()) {
        properties::downlink(&bytes);
    }

    #[test]
    fn so_are_bytes_without_any_sense(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        properties::downlink(&bytes);
    }
}
