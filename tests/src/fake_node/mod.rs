//! A Nano node in the test's own process: a small ledger of its own, RPC, WebSocket and HTTP callback, and faults that can be
//! switched on. It takes and sends what a node V27 does, in the same form; its blocks have real hashes, but nobody signs them.
//!
//! | file | what |
//! |---|---|
//! | `block` | blocks of all kinds, their hashes and their JSON |
//! | `chain` | the ledger: accounts, blocks, what is confirmed |
//! | `confirmation` | what is sent for a confirmed block |
//! | `rpc` | answers over HTTP |
//! | `websocket` | sessions and their filters |
//! | `faults` | what can go wrong |
//!
//! # Source
//! nanocurrency/nano-node `nano/node/websocket.cpp`, `nano/node/json_handler.cpp`, `nano/node/node.cpp` (callbacks).

mod block;
mod chain;
mod confirmation;
mod faults;
mod rpc;
mod websocket;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use shared::Account;
use shared::pow::Root;

pub use block::{Block, Body};
pub use chain::{Chain, Entry};
pub use confirmation::{Confirmation, ConfirmationType};
pub use faults::Faults;

use crate::PATIENCE;

/// How often what waits for a connection looks whether it is to stop.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What goes on in a node, and who waits for it.
#[derive(Debug, Default)]
struct Inner {
    chain: Mutex<Chain>,
    faults: Mutex<Faults>,
    sessions: Mutex<websocket::Sessions>,
    sessions_changed: Condvar,
    /// Where callbacks go to: address and path.
    callback: Mutex<Option<(SocketAddr, String)>>,
    /// Messages that the fault `reorders` keeps back.
    kept_back: Mutex<Vec<Confirmation>>,
    requests: AtomicU64,
}

/// A node that listens on loopback, on ports that the system chooses. Its ledger outlives [`stop`](Self::stop).
#[derive(Debug)]
pub struct FakeNode {
    inner: Arc<Inner>,
    rpc: SocketAddr,
    websocket: SocketAddr,
    stopping: Arc<AtomicBool>,
    listeners: Vec<thread::JoinHandle<()>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FakeNode {
    /// Starts a node with an empty ledger.
    ///
    /// # Errors
    /// When nothing can listen on loopback.
    pub fn start() -> anyhow::Result<Self> {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut node = Self {
            inner: Arc::default(),
            rpc: any,
            websocket: any,
            stopping: Arc::default(),
            listeners: Vec::new(),
        };
        node.listen()?;
        Ok(node)
    }

    /// Listens where it did before, or for the first time.
    ///
    /// # Errors
    /// When another program has taken its ports meanwhile.
    pub fn listen(&mut self) -> anyhow::Result<()> {
        ensure!(self.listeners.is_empty(), "it listens already");
        self.stopping = Arc::default();
        let (rpc, websocket) = (TcpListener::bind(self.rpc)?, TcpListener::bind(self.websocket)?);
        (self.rpc, self.websocket) = (rpc.local_addr()?, websocket.local_addr()?);
        let (inner, stopping) = (Arc::clone(&self.inner), Arc::clone(&self.stopping));
        self.listeners
            .push(accept(rpc, &self.stopping, move |stream| rpc::serve(&inner, &stopping, &stream))?);
        let (inner, stopping) = (Arc::clone(&self.inner), Arc::clone(&self.stopping));
        self.listeners.push(accept(websocket, &self.stopping, move |stream| {
            websocket::serve(&inner, &stopping, stream);
        })?);
        Ok(())
    }

    /// Ends all connections and listens no more; the ledger stays.
    pub fn stop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        for listener in self.listeners.drain(..) {
            // A listener that has panicked has said so.
            let _ = listener.join();
        }
    }

    /// Where its RPC is, as `node.url` wants it.
    pub fn url(&self) -> String {
        format!("http://{}", self.rpc)
    }

    /// Where its WebSocket is, as `node.websocket` wants it.
    pub fn websocket_url(&self) -> String {
        format!("ws://{}", self.websocket)
    }

    /// From now on, blocks are posted there as well.
    pub fn call_back(&self, address: SocketAddr, path: &str) {
        *lock(&self.inner.callback) = Some((address, path.to_owned()));
    }

    /// Changes what goes wrong. Messages that were kept back leave, the last one first, as soon as nothing is to be reordered.
    pub fn set_faults(&self, change: impl FnOnce(&mut Faults)) {
        let reorders = {
            let mut faults = lock(&self.inner.faults);
            change(&mut faults);
            faults.reorders
        };
        if !reorders {
            let kept_back = std::mem::take(&mut *lock(&self.inner.kept_back));
            for confirmation in kept_back.iter().rev() {
                self.inner.deliver(confirmation);
            }
        }
    }

    /// Looks at the ledger, or changes it without telling anybody.
    pub fn with_chain<T>(&self, look: impl FnOnce(&mut Chain) -> T) -> T {
        look(&mut lock(&self.inner.chain))
    }

    /// Adds a block to an account, confirms it, and tells all who are to be told. Returns its hash.
    ///
    /// # Errors
    /// When the account cannot have such a block.
    pub fn publish(&self, account: Account, body: Body) -> anyhow::Result<Root> {
        let hash = self.with_chain(|chain| chain.append(account, body))?;
        self.confirm(hash, ConfirmationType::ActiveQuorum)?;
        Ok(hash)
    }

    /// Confirms a block that is there, and tells all who are to be told; again if it was confirmed before.
    ///
    /// # Errors
    /// When there is no such block.
    pub fn confirm(&self, hash: Root, kind: ConfirmationType) -> anyhow::Result<()> {
        let confirmation = self.with_chain(|chain| {
            chain.confirm(hash)?;
            Confirmation::of(chain, hash, kind)
        })?;
        self.inner.announce(confirmation);
        Ok(())
    }

    /// Sends a frame as it stands to every session that has subscribed, whatever its filter.
    pub fn play(&self, text: &str) {
        for session in &lock(&self.inner.sessions).open {
            session.send(text.to_owned());
        }
    }

    /// Plays what was recorded: each line as a frame, to every session that has subscribed, whatever its filter.
    pub fn play_recording(&self, recording: &str) {
        recording.lines().for_each(|line| self.play(line));
    }

    /// Waits until a number of sessions have subscribed to confirmations of all these accounts.
    ///
    /// # Errors
    /// When they do not within [`PATIENCE`].
    pub fn wait_for_subscribers(&self, count: usize, accounts: &[Account]) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut sessions = lock(&self.inner.sessions);
        loop {
            let subscribed = sessions.open.iter().filter(|session| session.wants_all(accounts)).count();
            if subscribed >= count {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            ensure!(!left.is_zero(), "{subscribed} sessions have subscribed, not {count}");
            let waited = self.inner.sessions_changed.wait_timeout(sessions, left);
            sessions = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Sessions that were opened since the start.
    pub fn sessions_opened(&self) -> u64 {
        lock(&self.inner.sessions).opened
    }

    /// Calls that RPC has taken since the start.
    pub fn requests(&self) -> u64 {
        self.inner.requests.load(Ordering::Relaxed)
    }
}

impl Drop for FakeNode {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Inner {
    /// Tells all who are to be told of a block, unless a fault is in the way.
    fn announce(self: &Arc<Self>, confirmation: Confirmation) {
        let faults = lock(&self.faults).clone();
        if faults.reorders {
            lock(&self.kept_back).push(confirmation);
            return;
        }
        for _ in 0..=u8::from(faults.repeats) {
            if faults.delay.is_zero() {
                self.deliver(&confirmation);
            } else {
                let (inner, confirmation) = (Arc::clone(self), confirmation.clone());
                thread::spawn(move || {
                    thread::sleep(faults.delay);
                    inner.deliver(&confirmation);
                });
            }
        }
    }

    fn deliver(&self, confirmation: &Confirmation) {
        let faults = lock(&self.faults).clone();
        if !faults.drops_confirmations {
            for session in &lock(&self.sessions).open {
                session.tell(confirmation);
            }
        }
        let callback = lock(&self.callback).clone();
        if let (Some((address, path)), Some(body)) = (callback, confirmation.callback())
            && !faults.drops_callbacks
        {
            // As a node does: one connection a block, and nobody is told when it does not arrive.
            thread::spawn(move || rpc::post(address, &path, &body).ok());
        }
    }
}

/// Takes connections until told to stop, each in a thread of its own.
fn accept(
    listener: TcpListener,
    stopping: &Arc<AtomicBool>,
    serve: impl Fn(TcpStream) + Send + Sync + 'static,
) -> anyhow::Result<thread::JoinHandle<()>> {
    listener.set_nonblocking(true).context("a listener cannot be polled")?;
    let (stopping, serve) = (Arc::clone(stopping), Arc::new(serve));
    Ok(thread::spawn(move || {
        let mut open = Vec::new();
        while !stopping.load(Ordering::Relaxed) {
            match listener.accept() {
                Ok((stream, _)) => {
                    let serve = Arc::clone(&serve);
                    open.push(thread::spawn(move || serve(stream)));
                }
                Err(_) => thread::sleep(LOOK_EVERY),
            }
            open.retain(|connection| !connection.is_finished());
        }
        for connection in open {
            let _ = connection.join();
        }
    }))
}
