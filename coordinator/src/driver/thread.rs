//! The driver's thread: how it is started, ended and waited for.

use std::io;
use std::thread::{Builder, JoinHandle};

use broker::bus::Bus;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::{Driver, DriverError};

/// A driver that runs. Dropping it ends it, and waits for that: its timers are the runtime's, which it must not outlive.
#[derive(Debug)]
pub(crate) struct DriverThread {
    end: Option<oneshot::Sender<()>>,
    /// Gone when it has been heard.
    ended: Option<oneshot::Receiver<Result<(), DriverError>>>,
    thread: Option<JoinHandle<()>>,
}

impl<B: Bus> Driver<B> {
    /// Starts it. Must be called in a tokio runtime, whose timers and tasks it uses.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(self) -> io::Result<DriverThread> {
        let (end, is_ending) = oneshot::channel();
        let (tell, ended) = oneshot::channel();
        let runtime = Handle::current();
        let run = move || {
            // All that it holds is gone before anybody hears that it has ended. Nobody may be left to hear it.
            let _ = tell.send(runtime.block_on(self.run(is_ending)));
        };
        let thread = Builder::new().name("driver".into()).spawn(run)?;
        Ok(DriverThread { end: Some(end), ended: Some(ended), thread: Some(thread) })
    }
}

impl DriverThread {
    /// Has it end where it stands, whatever is open. What has been asked of the store goes on.
    pub(crate) fn end(&mut self) {
        self.end = None;
    }

    /// Waits until it has ended, and says how. Once that has been said, it is not said again.
    ///
    /// # Errors
    /// [`DriverError`] when it could not go on.
    pub(crate) async fn ended(&mut self) -> Result<(), DriverError> {
        let Some(ended) = &mut self.ended else { return Ok(()) };
        let said = ended.await;
        self.ended = None;
        // Only a panic says nothing.
        said.unwrap_or(Err(DriverError::Panicked))
    }
}

impl Drop for DriverThread {
    fn drop(&mut self) {
        self.end();
        if let Some(thread) = self.thread.take() {
            // A panic has been reported where it happened.
            let _ = thread.join();
        }
    }
}
