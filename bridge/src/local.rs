//! Work that is searched here, on the processor and on OpenCL devices together: one at a time, in the order in which it is asked for.

use std::collections::VecDeque;
use std::io;
use std::pin::pin;

use futures_util::FutureExt;
use shared::JobId;
use shared::pow::{Root, Threshold, Work};
use tokio::sync::{mpsc, oneshot};
use worker::backend::cpu::{self, Pool};
use worker::backend::opencl::{self, Choice, Started};
use worker::backend::{Device, Found, Search};

use crate::recorder::{self, Searcher};

/// With what is searched.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The processor.
    pub(crate) processor: cpu::Settings,
    /// What speaks OpenCL; no device of it need be there.
    pub(crate) opencl: opencl::Settings,
}

/// The devices of this machine. Copies share them.
#[derive(Debug, Clone)]
pub(crate) struct Local {
    orders: mpsc::UnboundedSender<Order>,
}

/// What is to be searched. Its end is noticed by whoever searches.
#[derive(Debug)]
struct Order {
    root: Root,
    threshold: Threshold,
    reply: oneshot::Sender<Work>,
}

impl Local {
    /// Starts the threads; they sleep until they are needed. OpenCL devices join in once they are ready, which takes seconds; `tell`
    /// says then what has become of them, unless they are switched off.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub(crate) fn start(settings: Settings, tell: fn(&str)) -> io::Result<Self> {
        let (by_processor, of_processor) = mpsc::unbounded_channel();
        let (by_opencl, of_opencl) = mpsc::unbounded_channel();
        let pool: Box<dyn Device> = Box::new(Pool::start(&settings.processor, by_processor)?);
        let tell = if settings.opencl.devices == Choice::Off { |_: &str| {} } else { tell };
        let starting = opencl::start(settings.opencl, by_opencl)?;
        let (orders, received) = mpsc::unbounded_channel();
        let finds = Finds { of_processor, of_opencl };
        tokio::spawn(serve(vec![pool], starting, received, finds, tell));
        Ok(Self { orders })
    }

    /// Searches. Dropping the future ends the search.
    pub(crate) async fn search(&self, root: Root, threshold: Threshold) -> Option<Work> {
        let (reply, work) = oneshot::channel();
        self.orders.send(Order { root, threshold, reply }).ok()?;
        work.await.ok()
    }
}

async fn serve(
    mut devices: Vec<Box<dyn Device>>,
    starting: impl Future<Output = Started>,
    mut orders: mpsc::UnboundedReceiver<Order>,
    mut finds: Finds,
    tell: fn(&str),
) {
    let mut starting = pin!(starting.fuse());
    let mut queue = VecDeque::new();
    let mut counter = 0;
    loop {
        let next = tokio::select! {
            next = next(&mut queue, &mut orders) => next,
            started = &mut starting => {
                join(&mut devices, started, tell);
                continue;
            }
        };
        let Some(mut order) = next else { return };
        counter += 1;
        let job = JobId { instance: 0, counter };
        let search = Search { job, root: order.root, threshold: order.threshold };
        for device in &devices {
            device.search(search);
        }
        let found = loop {
            tokio::select! {
                // Of an order before, it is of no use any more.
                (found, searcher) = finds.next() => if found.job == job { break Some((found, searcher)) },
                Some(further) = orders.recv() => queue.push_back(further),
                started = &mut starting => {
                    join(&mut devices, started, tell);
                    // Those that search already lose nothing by beginning anew.
                    for device in &devices {
                        device.search(search);
                    }
                }
                () = order.reply.closed() => break None,
            }
        };
        for device in &devices {
            device.rest();
        }
        if let Some((found, searcher)) = found {
            recorder::searched(searcher);
            // Whoever has just left does not mind.
            let _ = order.reply.send(found.work);
        }
    }
}

/// What the devices have found.
struct Finds {
    of_processor: mpsc::UnboundedReceiver<Found>,
    of_opencl: mpsc::UnboundedReceiver<Found>,
}

impl Finds {
    /// The next one, and who has found it. Waits for ever when all devices are gone.
    async fn next(&mut self) -> (Found, Searcher) {
        tokio::select! {
            Some(found) = self.of_processor.recv() => (found, Searcher::Processor),
            Some(found) = self.of_opencl.recv() => (found, Searcher::OpenCl),
            else => std::future::pending().await,
        }
    }
}

/// Adds the OpenCL devices that are ready.
fn join(devices: &mut Vec<Box<dyn Device>>, started: Started, tell: fn(&str)) {
    for line in started.lines() {
        tell(&line);
    }
    devices.extend(started.devices.into_iter().map(|device| Box::new(device) as _));
}

/// The next order that somebody waits for.
///
/// It loses nothing when it is dropped: whatever it has taken it returns at once.
async fn next(queue: &mut VecDeque<Order>, orders: &mut mpsc::UnboundedReceiver<Order>) -> Option<Order> {
    loop {
        let order = match queue.pop_front() {
            Some(order) => order,
            None => orders.recv().await?,
        };
        if !order.reply.is_closed() {
            return Some(order);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use shared::Network;

    use super::*;

    #[tokio::test]
    async fn works_are_found_and_who_leaves_is_passed_over() {
        let threads = NonZeroUsize::MIN;
        let processor = cpu::Settings { threads, ..cpu::Settings::default() };
        let opencl = opencl::Settings { devices: Choice::of("off"), ..opencl::Settings::default() };
        let tell = |line: &str| panic!("it is switched off, and says {line}");
        let local = Local::start(Settings { processor, opencl }, tell).unwrap();
        let easy = Network::Dev.send_threshold();
        // It would take for ever, and is left at once.
        let hard = local.search(Root::new([1; 32]), Threshold::new(u64::MAX));
        assert!(tokio::time::timeout(std::time::Duration::from_millis(1), hard).await.is_err());
        let roots = (2..10).map(|number| Root::new([number; 32]));
        let searches = roots.map(|root| {
            let local = local.clone();
            tokio::spawn(async move { (root, local.search(root, easy).await.unwrap()) })
        });
        for search in searches.collect::<Vec<_>>() {
            let (root, work) = search.await.unwrap();
            assert_eq!(Work::verify(root, work.nonce(), easy), Some(work));
        }
    }
}
