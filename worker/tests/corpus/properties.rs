//! What must hold for a worker whatever its server says, and whatever happens meanwhile. The fuzz target `worker_downlink` runs this
//! very function.

use std::collections::BTreeMap;
use std::time::Duration;

use shared::pow::{Nonce, Threshold, Work};
use shared::protocol::{ListedJob, VerdictNotice, WorkKind, WorkList, decode};
use shared::{JobId, Timestamp};
use worker::session::{Action, Input, Limits, Session};

const LIMIT: Threshold = Threshold::new(0xffff_ffff_0000_0000);
/// Two cards, one of them slow, and a processor.
const RATES: [u64; 3] = [2_000_000_000, 300_000_000, 20_000_000];
/// More than a session ever has to say at once: a search for each device, and its outbox.
const ACTIONS_MAX: usize = 40;

/// Reads the bytes as events, each a byte that says what happens, two with a length (high byte first), and so many of a payload.
/// Whatever they are: no device is told to search what the owner does not allow or the last list that counts does not have, and
/// nothing that was not found is sent.
pub(crate) fn downlink(mut bytes: &[u8]) {
    let limits = Limits { threshold_max: LIMIT, precache: false };
    let mut session = Session::new(limits, &RATES);
    let mut now = Timestamp::from_micros(1_000_000_000_000);
    let mut searching = BTreeMap::<usize, ListedJob>::new();
    let mut newest: Option<WorkList> = None;
    let mut found: Option<JobId> = None;
    while let [kind, high, low, rest @ ..] = bytes {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (payload, rest) = rest.split_at(length);
        bytes = rest;
        let mut actions = Vec::new();
        let input = match kind % 8 {
            0 => Some(Input::Connected),
            1 => Some(Input::Disconnected),
            2 => decode::<VerdictNotice>(payload).ok().map(|(notice, _)| Input::Judged(notice)),
            3 => searching.values().next().and_then(find),
            // The clock goes on by up to an hour, or back.
            4 => {
                now = now + Duration::from_secs(u64::from(*high) * 15);
                None
            }
            5 => {
                now = Timestamp::from_micros(u64::from(*low) << 32);
                None
            }
            _ => decode::<WorkList>(payload).ok().map(|(list, _)| Input::Listed(list)),
        };
        match &input {
            Some(Input::Listed(list)) => {
                let is_new = newest.as_ref().is_none_or(|newest| list.sequence > newest.sequence);
                if is_new {
                    newest = Some(list.clone());
                }
            }
            // Numbers begin again, and the jobs of before go on.
            Some(Input::Connected) => newest = newest.map(|list| WorkList { sequence: 0, ..list }),
            Some(Input::Found { job, .. }) => found = Some(*job),
            _ => {}
        }
        match input {
            Some(input) => session.handle(now, input, &mut actions),
            None => session.handle_timeout(now, &mut actions),
        }
        assert!(actions.len() <= ACTIONS_MAX);
        for action in actions {
            match action {
                Action::Search { device, job } => {
                    assert!(device < RATES.len() && job.threshold <= LIMIT && job.kind == WorkKind::OnDemand);
                    assert!(newest.as_ref().is_some_and(|list| list.jobs.contains(&job)));
                    searching.insert(device, job);
                }
                Action::Rest { device } => assert!(searching.remove(&device).is_some()),
                Action::Send(result) => assert!(found.is_some(), "{result:?}"),
                Action::Subscribe | Action::SendHello | Action::Report(_) => {}
            }
        }
    }
}

/// What a device would find, where that takes no time.
fn find(job: &ListedJob) -> Option<Input> {
    let work = (0..64).find_map(|nonce| Work::verify(job.root, Nonce::new(nonce), job.threshold))?;
    Some(Input::Found { job: job.job, work })
}
