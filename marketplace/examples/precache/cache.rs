//! An answer from the cache, and what the cache takes.

use std::time::{Duration, Instant};

use marketplace::dispatch::DispatchPolicy;
use marketplace::precache::{PrecacheStart, PrecacheTerms, Precached};
use marketplace::{
    Caller, Effect, Effects, Found, Input, Marketplace, NewRequest, Policy, RequestKey, Start, limits,
};
use shared::pow::{Multiplier, Nonce, Root, Threshold, Work};
use shared::protocol::WorkKind;
use shared::{Millicredits, Network, Outcome, Payee, RequestId, ServiceId, Timestamp, WorkerId};

use crate::dice::Dice;

const NOW: Timestamp = Timestamp::from_micros(1_000_000_000_000_000);

/// Memory of this process, in MiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kibibytes.unwrap_or(0) / 1024
}

pub(crate) fn measure() {
    for works in [1_000, 100_000, limits::SETTLED_MAX] {
        with(works);
    }
}

fn with(works: usize) {
    let service: ServiceId = "wallet".parse().expect("a name");
    let mut dice = Dice::new(1);
    let roots: Vec<Root> = (0..works).map(|_| Root::new(dice.bytes())).collect();
    let before = resident();
    let began = Instant::now();
    let found = |root: &Root| {
        let work = Work::verify(*root, Nonce::new(7), Threshold::new(0)).expect("any nonce will do");
        Found { work, worker: WorkerId::from_bytes([1; 16]), payee: Payee::House }
    };
    let precached = |root: &Root| Precached { service, root: *root, at: NOW };
    let terms = PrecacheTerms { budget_per_day: Millicredits::CREDIT, in_flight_max: 1 };
    let multiplier = Multiplier::try_new(8.0).expect("above zero");
    let mut market = Marketplace::new(Start {
        instance: 1,
        policy: Policy::of_network(Network::Dev, multiplier, DispatchPolicy::Broadcast),
        now: NOW,
        settled: roots.iter().map(|root| (service, found(root), NOW)).collect(),
        precache: PrecacheStart {
            terms: vec![(service, terms)],
            watches: Vec::new(),
            settled: roots.iter().map(precached).collect(),
        },
        spent: Vec::new(),
    });
    let (reload, memory) = (began.elapsed(), resident().saturating_sub(before));
    let mut taken: Vec<Duration> = Vec::new();
    let mut effects = Effects::new();
    let (mut caller, mut hits) = (0, 0_u32);
    for _ in 0..200_000 {
        let index = usize::try_from(dice.next()).expect("64 bits") % roots.len();
        caller += 1;
        let request = NewRequest {
            caller: Caller(caller),
            key: RequestKey { service, request: RequestId::from_u128(caller.into()) },
            root: roots[index],
            // Any difficulty meets it; what is measured is the way to the answer.
            threshold: Threshold::new(0),
            timeout: Duration::from_secs(10),
            account: None,
            class: WorkKind::OnDemand,
            spender: None,
        };
        let began = Instant::now();
        market.handle(NOW, Input::RequestReceived(request), &mut effects);
        taken.push(began.elapsed());
        while let Some(effect) = effects.pop() {
            let is_answer = matches!(effect, Effect::Reply { outcome: Outcome::Answered(_), .. });
            hits += u32::from(is_answer);
        }
    }
    taken.sort_unstable();
    let at = |share: usize| taken[(taken.len() - 1) * share / 1000];
    println!(
        "{works} works: an answer takes {:?} (p50), {:?} (p99), {:?} (p99.9), {:?} (longest); {hits} of {} from the cache; \
         loaded in {:.2} s; {memory} MiB",
        at(500),
        at(990),
        at(999),
        at(1000),
        taken.len(),
        reload.as_secs_f64(),
    );
}
