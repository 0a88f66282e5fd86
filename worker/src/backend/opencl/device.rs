//! A device of OpenCL as the rest of the worker sees it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use shared::protocol::Backend;
use tokio::sync::mpsc::UnboundedSender;

use super::desk::{Desk, Task};
use super::error::DeviceError;
use super::pace::Pace;
use super::pilot::serve;
use super::queue::Queue;
use crate::backend::{Device, Found, Search};

/// How long a device's thread is waited for when the device is dropped: a few launches, and what a driver takes to let go.
const FAREWELL: Duration = Duration::from_secs(2);

/// How long a device may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// To be opened: its compiler builds the kernel, and launches are tried out.
    pub(super) start: Duration,
    /// For a launch.
    pub(super) launch: Duration,
}

impl Default for Patience {
    /// Two minutes, and ten seconds.
    fn default() -> Self {
        Self { start: Duration::from_mins(2), launch: Duration::from_secs(10) }
    }
}

/// A device with a thread of its own, which alone speaks with the driver, and another that watches it: a driver that hangs takes
/// its thread with it, and nothing else.
#[derive(Debug)]
pub struct Opencl {
    name: String,
    desk: Arc<Desk>,
    threads: Vec<JoinHandle<()>>,
}

impl Opencl {
    /// Opens a device on a thread of its own, and waits until it has been opened.
    ///
    /// # Errors
    /// What `open` says, or [`DeviceError::Hung`] when it takes too long.
    pub(super) fn start<Q: Queue>(
        name: String,
        patience: Patience,
        found: UnboundedSender<Found>,
        open: impl FnOnce() -> Result<(Q, Pace), DeviceError> + Send + 'static,
    ) -> Result<Self, DeviceError> {
        let desk = Arc::new(Desk::new(found));
        let mut device = Self { name, desk, threads: Vec::new() };
        let (ready, opened) = channel();
        let (desk, name) = (Arc::clone(&device.desk), device.name.clone());
        device.spawn("opencl", move || live(&desk, &name, &ready, open))?;
        match opened.recv_timeout(patience.start) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(error),
            Err(RecvTimeoutError::Timeout) => {
                let error = DeviceError::Hung { patience: patience.start };
                device.desk.fail(&device.name, &error);
                return Err(error);
            }
            // The thread says how it ends, and has not.
            Err(RecvTimeoutError::Disconnected) => {
                return Err(DeviceError::Panicked { message: "without a word".into() });
            }
        }
        let (desk, name) = (Arc::clone(&device.desk), device.name.clone());
        device.spawn("opencl-watch", move || desk.watch(&name, patience.launch))?;
        Ok(device)
    }

    fn spawn(&mut self, name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), DeviceError> {
        let thread = Builder::new().name(name.into()).spawn(body).map_err(DeviceError::Thread)?;
        self.threads.push(thread);
        Ok(())
    }
}

impl Device for Opencl {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn backend(&self) -> Backend {
        Backend::OpenCl
    }

    fn search(&self, search: Search) {
        self.desk.give(Task::Search(search));
    }

    fn rest(&self) {
        self.desk.give(Task::Rest);
    }

    fn hashes(&self) -> u64 {
        self.desk.hashes()
    }

    fn failure(&self) -> Option<String> {
        self.desk.failure()
    }
}

impl Drop for Opencl {
    fn drop(&mut self) {
        self.desk.give(Task::Leave);
        if self.threads.is_empty() || self.desk.wait_for_end(FAREWELL) {
            for thread in self.threads.drain(..) {
                // What it had to say it has left on the desk.
                let _ = thread.join();
            }
        } else {
            tracing::error!(device.name = self.name, "a device does not answer, and is left to itself");
        }
    }
}

/// The life of a device's thread.
fn live<Q: Queue>(
    desk: &Desk,
    name: &str,
    ready: &Sender<Result<(), DeviceError>>,
    open: impl FnOnce() -> Result<(Q, Pace), DeviceError>,
) {
    let lived = catch_unwind(AssertUnwindSafe(|| match open() {
        Ok((mut queue, pace)) => {
            // Whoever waits for it has given it up, and said so on the desk, if nobody listens.
            let _ = ready.send(Ok(()));
            if let Err(error) = serve(desk, &mut queue, pace) {
                desk.fail(name, &error);
            }
        }
        Err(error) => drop(ready.send(Err(error))),
    }));
    if let Err(panic) = lived {
        let error = DeviceError::Panicked { message: message(panic.as_ref()) };
        desk.fail(name, &error);
        let _ = ready.send(Err(error));
    }
    desk.end();
}

/// What a panic says.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    super::error::one_line(text.unwrap_or("without a word"))
}
