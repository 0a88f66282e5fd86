//! A whole device: jobs, one after the other, on `PoCL`.

use std::time::{Duration, Instant};

use shared::pow::{Root, Threshold};
use shared::{JobId, Network};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

use super::pocl::{pocl, recipe};
use crate::backend::opencl::device::Patience;
use crate::backend::opencl::open::open;
use crate::backend::opencl::{Choice, Kind, NoDevices, Opencl, Pick, Reason, Usage, survey};
use crate::backend::{Device, Found, Search, measure};

/// Much longer than anything here takes on a busy machine, once the kernel is built.
const PATIENCE: Duration = Duration::from_secs(20);

fn easy(counter: u64) -> Search {
    let root = Root::new(std::array::from_fn(|place| counter.to_le_bytes()[place % 8]));
    Search { job: JobId { instance: 1, counter }, root, threshold: Network::Dev.send_threshold() }
}

fn impossible(counter: u64) -> Search {
    Search { threshold: Threshold::new(u64::MAX), ..easy(counter) }
}

fn start(what: &str) -> Option<(Opencl, UnboundedReceiver<Found>)> {
    let (device, (sender, found)) = (pocl(what)?, unbounded_channel());
    let open = move || open(&device, &recipe());
    Some((Opencl::start("PoCL".into(), Patience::default(), sender, open).unwrap(), found))
}

async fn next(found: &mut UnboundedReceiver<Found>) -> Found {
    timeout(PATIENCE, found.recv()).await.unwrap().unwrap()
}

#[tokio::test]
async fn each_search_ends_with_one_work_that_meets_its_threshold() {
    let Some((device, mut found)) = start("job after job") else { return };
    for counter in 1..100 {
        let search = easy(counter);
        device.search(search);
        let Found { job, work } = next(&mut found).await;
        assert_eq!((job, work.root()), (search.job, search.root));
        assert!(work.meets(search.threshold));
    }
    assert!(device.hashes() > 0);
    assert_eq!(device.failure(), None);
    drop(device);
    assert_eq!(found.recv().await, None);
}

#[tokio::test]
async fn a_new_job_takes_the_place_of_the_old_one() {
    let Some((device, mut found)) = start("cancel") else { return };
    for counter in 1..20 {
        device.search(impossible(2 * counter));
        device.search(easy(2 * counter + 1));
        assert_eq!(next(&mut found).await.job.counter, 2 * counter + 1);
    }
}

#[tokio::test]
async fn rest_ends_a_search_and_dropping_the_device_as_well() {
    let Some((device, mut found)) = start("rest") else { return };
    device.search(impossible(1));
    let began = Instant::now();
    while device.hashes() == 0 {
        assert!(began.elapsed() < PATIENCE);
        tokio::task::yield_now().await;
    }
    device.rest();
    let stopped = async {
        loop {
            let before = device.hashes();
            tokio::time::sleep(Duration::from_millis(50)).await;
            if device.hashes() == before {
                break;
            }
        }
    };
    timeout(PATIENCE, stopped).await.unwrap();
    assert!(found.try_recv().is_err());
    device.search(impossible(2));
    drop(device);
    assert_eq!(found.recv().await, None);
    assert!(began.elapsed() < PATIENCE);
}

#[tokio::test]
async fn the_speed_is_measured_as_that_of_any_device() {
    let Some((device, _found)) = start("the speed") else { return };
    let devices: Vec<Box<dyn Device>> = vec![Box::new(device)];
    let rates = measure(&devices, Duration::from_millis(200)).await;
    assert!(rates[0] > 10_000, "{rates:?} hashes a second");
}

#[test]
fn a_processor_is_used_when_it_is_asked_for_and_not_otherwise() {
    let Some(pocl) = pocl("the choice of devices") else { return };
    assert_eq!((pocl.kind, &pocl.usage), (Kind::Processor, &Usage::Used));
    assert!(pocl.compute_units > 0 && pocl.memory_bytes > 1 << 20 && !pocl.driver.is_empty());
    let usage = |choice: &str| {
        let survey = survey(&Choice::of(choice), None).unwrap();
        (survey.devices[pocl.number].usage.clone(), survey.missing)
    };
    assert_eq!(usage("auto"), (Usage::NotUsed(Reason::Processor), vec![]));
    assert_eq!(usage("all"), (Usage::Used, vec![]));
    assert_eq!(usage(&pocl.number.to_string()), (Usage::Used, vec![]));
    assert_eq!(usage("PORTABLE"), (Usage::Used, vec![]));
    let missing = Pick::Text("no such card".into());
    assert_eq!(usage("no such card"), (Usage::NotUsed(Reason::NotChosen), vec![missing]));
    assert!(matches!(survey(&Choice::Off, None), Err(NoDevices::Off)));
}
