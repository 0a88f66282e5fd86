//! Two services that want the same root at the same moment, and do not wait equally long for it.

use super::*;

/// How often.
const ROUNDS: u32 = 10_000;
/// What a work at the receive threshold costs.
const PRICE: u64 = 16;

/// A small generator of numbers that look random (Knuth's MMIX), so that each run is the same.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn exchange() -> ServiceId {
    "exchange".parse().unwrap()
}

/// Both have credits for everything.
fn rich(at: Timestamp) -> Vec<Verb> {
    let grant = |service: ServiceId, cause| Verb::Grant {
        transfer: TransferId::of_cause(cause),
        service,
        amount: Millicredits::new(1_000_000),
        bucket: Bucket::Paid,
        at,
    };
    vec![
        Verb::AddService { service: exchange(), at },
        grant(wallet(), "wallet's"),
        grant(exchange(), "exchange's"),
    ]
}

impl Rig {
    fn ask_as(&self, service: ServiceId, root: Root, timeout: Duration) -> JoinHandle<Outcome> {
        let (source, asker) = (self.source.clone(), Asker { service, key: None, is_test: false });
        let request = WorkRequest { timeout, ..request(root) };
        tokio::spawn(async move { source.ask(asker, request).await.outcome })
    }
}

/// The outcome of each depends on nothing but its own time and the moment at which the work comes.
#[tokio::test(start_paused = true)]
async fn each_service_gets_its_own_outcome() {
    let mut rig = Rig::start_after(rich).await;
    rig.worker_joins(1).await;
    let (mut dice, mut answered) = (Dice(1), [0_u64; 2]);
    for round in 0..ROUNDS {
        let mut bytes = [1; 32];
        bytes[..4].copy_from_slice(&round.to_be_bytes());
        let root = Root::new(bytes);
        let times = [(); 2].map(|()| Duration::from_millis(1 + dice.below(1000)));
        // Never at the very moment at which one of them ends.
        let found_after = Duration::from_micros(1000 * dice.below(1500) + 500);
        let services = if dice.below(2) == 0 { [wallet(), exchange()] } else { [exchange(), wallet()] };
        let asked = [0, 1].map(|index| rig.ask_as(services[index], root, times[index]));
        let began = tokio::time::Instant::now();
        let job = loop {
            if let Some(job) = rig.next_list().await.jobs.iter().find(|job| job.root == root) {
                break job.job;
            }
        };
        tokio::time::sleep_until(began + found_after).await;
        let nonce = solve(root, NETWORK.receive_threshold());
        let result = encode(&WorkResult { job, root, nonce }, Form::Binary);
        rig.says(SessionId::new(1), Topic::WorkResult(WORKER), result).await;
        for ((service, time), asked) in services.into_iter().zip(times).zip(asked) {
            let outcome = asked.await.unwrap();
            if time < found_after {
                assert_eq!(outcome, Outcome::Refused(Refusal::Expired), "round {round}, {service}");
                continue;
            }
            let Outcome::Answered(answer) = outcome else { panic!("round {round}, {service}: {outcome:?}") };
            assert_eq!((answer.work.root(), answer.work.nonce()), (root, nonce), "round {round}");
            assert_eq!(answer.charged, Millicredits::new(PRICE), "round {round}, {service}");
            answered[usize::from(service == exchange())] += 1;
        }
    }
    assert!(answered.iter().all(|count| (1000..9000).contains(count)), "{answered:?}");
    for (service, given, answered) in
        [(wallet(), 1_010_000, answered[0]), (exchange(), 1_000_000, answered[1])]
    {
        let balance = rig.store.balance(service).await.unwrap().unwrap();
        let left = Millicredits::new(given - PRICE * answered);
        assert_eq!((balance.paid, balance.held), (left, Millicredits::ZERO), "{service}");
    }
}
