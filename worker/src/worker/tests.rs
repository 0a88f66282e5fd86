//! The driver with devices that do nothing but remember.

use std::sync::{Arc, Mutex};

use shared::pow::{Nonce, Root, Threshold, Work};
use shared::protocol::{Backend, ListedJob, PauseReason, WorkKind, WorkList};
use shared::{JobId, Network};

use super::*;

/// What has been done with a device, and what it says.
#[derive(Debug, Default)]
struct Puppet {
    searching: Mutex<Option<Search>>,
    failure: Mutex<Option<String>>,
}

#[derive(Debug)]
struct Card(&'static str, Arc<Puppet>);

impl Device for Card {
    fn name(&self) -> String {
        self.0.into()
    }

    fn backend(&self) -> Backend {
        Backend::OpenCl
    }

    fn search(&self, search: Search) {
        *self.1.searching.lock().unwrap() = Some(search);
    }

    fn rest(&self) {
        *self.1.searching.lock().unwrap() = None;
    }

    fn hashes(&self) -> u64 {
        0
    }

    fn failure(&self) -> Option<String> {
        self.1.failure.lock().unwrap().clone()
    }
}

/// A driver with two cards of the same rate, and what it has told its owner.
struct Stage {
    driver: Driver<Box<dyn FnMut(Event) + Send>>,
    cards: [Arc<Puppet>; 2],
    events: Arc<Mutex<Vec<Event>>>,
}

impl Stage {
    fn set() -> Self {
        let cards = [Arc::<Puppet>::default(), Arc::default()];
        let devices: Vec<Box<dyn Device>> = vec![
            Box::new(Card("first", Arc::clone(&cards[0]))),
            Box::new(Card("second", Arc::clone(&cards[1]))),
        ];
        let events = Arc::<Mutex<Vec<Event>>>::default();
        let told = Arc::clone(&events);
        let hello = WorkerHello {
            software: String::new(),
            devices: Vec::new(),
            hashes_per_second: 0,
            capacity: CAPACITY,
            threshold_max: Threshold::new(u64::MAX),
            precache: true,
        };
        let limits = Limits { threshold_max: Threshold::new(u64::MAX), precache: true };
        let rates = Rates::new(&[1_000_000_000, 1_000_000_000]);
        let on_event: Box<dyn FnMut(Event) + Send> = Box::new(move |event| told.lock().unwrap().push(event));
        let mut driver = Driver::new(limits, hello, devices, rates, on_event);
        driver.step(Some(Input::Connected));
        Self { driver, cards, events }
    }

    fn list(&mut self, sequence: u32, jobs: &[ListedJob]) {
        self.driver.step(Some(Input::Listed(WorkList { sequence, jobs: jobs.to_vec() })));
    }

    fn look(&mut self) {
        let input = self.driver.look();
        self.driver.step(Some(input));
    }

    /// The counters of what the cards search; 0 is nothing.
    fn searching(&self) -> [u64; 2] {
        let counter = |search: Option<Search>| search.map_or(0, |search| search.job.counter);
        [0, 1].map(|card: usize| counter(*self.cards[card].searching.lock().unwrap()))
    }

    fn fail(&self, card: usize) {
        *self.cards[card].failure.lock().unwrap() = Some("it is gone".into());
    }
}

fn receive(counter: u64) -> ListedJob {
    ListedJob {
        job: JobId { instance: 1, counter },
        root: Root::new([3; 32]),
        threshold: Network::Live.receive_threshold(),
        kind: WorkKind::OnDemand,
        remaining_ms: 60_000,
    }
}

#[test]
fn each_device_gets_its_own_orders() {
    let mut stage = Stage::set();
    stage.list(1, &[receive(1), receive(2), receive(3)]);
    assert_eq!(stage.searching(), [1, 2]);
    // The second card is done first, and goes on without asking.
    let work = (0..).find_map(|nonce| Work::verify(Root::new([3; 32]), Nonce::new(nonce), Threshold::new(0)));
    stage.driver.step(Some(Input::Found { job: receive(2).job, work: work.unwrap() }));
    assert_eq!(stage.searching(), [1, 3]);
    stage.list(2, &[ListedJob { threshold: Network::Live.send_threshold(), ..receive(4) }, receive(1)]);
    assert_eq!(stage.searching(), [4, 4]);
    stage.list(3, &[]);
    assert_eq!(stage.searching(), [0, 0]);
}

#[test]
fn a_device_that_vanishes_leaves_its_work_to_the_others() {
    let mut stage = Stage::set();
    stage.look();
    stage.list(1, &[receive(1), receive(2)]);
    assert_eq!(stage.searching(), [1, 2]);
    stage.fail(0);
    stage.look();
    stage.look();
    assert_eq!(stage.searching()[1], 1, "the first job is searched by whoever is left");
    let event = Event::DeviceFailed { name: "first".into(), reason: "it is gone".into() };
    assert_eq!(*stage.events.lock().unwrap(), [event], "once");
    assert_eq!(stage.driver.hello.devices.len(), 1);
    assert_eq!(
        (stage.driver.hello.devices[0].name.as_str(), stage.driver.hello.hashes_per_second),
        ("second", 1_000_000_000)
    );

    stage.fail(1);
    stage.look();
    assert_eq!(stage.driver.hello.devices, []);
    let status = stage.driver.rates.due(stage.driver.clock.now()).unwrap();
    assert_eq!(status.paused, Some(PauseReason::Device));
}
