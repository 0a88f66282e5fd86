//! A worker from its start to its end: the driver of session, link and devices.

use core::pin::pin;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{io, thread};

use shared::pow::{Multiplier, Threshold};
use shared::protocol::{DeviceReport, WORK_LIST_MAX, WORKER_DEVICES_MAX, WORKER_TEXT_MAX, WorkerHello};
use shared::{Network, Payee, Timestamp, WorkerId};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::backend::cpu::{self, Instructions, Pool};
use crate::backend::{self, Device, Found, Search, opencl};
use crate::link::{self, Connection, LinkEvent};
use crate::session::{Action, Input, Judgement, Limits, Session};
use crate::{Secret, Server};

/// How long the speed is measured at the start.
const MEASUREMENT: Duration = Duration::from_millis(200);
/// How long the last packets may take to leave.
const FAREWELL: Duration = Duration::from_secs(1);
/// How often it is looked whether a device has failed.
const LOOK: Duration = Duration::from_secs(1);
/// Messages of the link that wait for the driver, which never waits for anything itself.
const LINK_EVENTS: usize = 64;
/// Jobs wanted on the list: as many as it can hold, for waiting ones cost nothing and hide the round trip.
const CAPACITY: u8 = 8;
const _: () = assert!(CAPACITY as usize == WORK_LIST_MAX);

/// What a worker needs to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where to connect.
    pub server: Server,
    /// Whom its results are paid to.
    pub payee: Payee,
    /// Its identity. Two workers with the same secret would close each other's connections.
    pub secret: Secret,
    /// The network that it works for: how the payee's address is written.
    pub network: Network,
    /// How many threads search; one for each core when absent.
    pub threads: Option<NonZeroUsize>,
    /// What is done with graphics cards; without it, OpenCL is not even loaded.
    pub opencl: Option<opencl::Settings>,
    /// The hardest work to do.
    pub threshold_max: Threshold,
    /// Whether to work ahead of demand as well.
    pub precache: bool,
    /// Program and version, as the server is told; cut after 48 bytes.
    pub software: String,
}

/// What a worker does at most unless its owner says otherwise: eight times the base send threshold, the most that a
/// coordinator sells by default.
///
/// # Panics
/// Never: 8 is a multiplier.
pub fn threshold_max_default(network: Network) -> Threshold {
    Multiplier::try_new(8.0).expect("8 is greater than 0").to_threshold(network.send_threshold())
}

/// What a running worker tells its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A device of OpenCL is used or is not, or there is none. Only before the speed is known.
    OpenCl {
        /// One line for a person.
        line: String,
    },
    /// A device is out of service for good. The others go on.
    DeviceFailed {
        /// The device.
        name: String,
        /// One clause for a person.
        reason: String,
    },
    /// The speed is known; connecting begins.
    Measured {
        /// Hashes per second of all threads together.
        hashes_per_second: u64,
    },
    /// The server accepted the login.
    Connected,
    /// The connection is gone, or an attempt to connect failed.
    Disconnected {
        /// One clause for a person.
        reason: String,
        /// When the next attempt is made.
        retry_in: Duration,
    },
    /// The coordinator has judged a result.
    Judged(Judgement),
}

/// Why a worker cannot run. Nothing that the network does is one: it tries for ever.
#[derive(Debug, Error)]
pub enum WorkerError {
    /// The system refuses threads.
    #[error("the search threads cannot be started")]
    Threads(#[source] io::Error),
}

/// A worker that can be run.
#[derive(Debug)]
pub struct Worker {
    settings: Settings,
    instructions: Arc<dyn Instructions>,
    threads: NonZeroUsize,
}

impl Worker {
    /// Chooses the fastest instruction set and the number of threads. Starts nothing yet.
    pub fn new(settings: Settings) -> Self {
        let threads =
            settings.threads.unwrap_or_else(|| thread::available_parallelism().unwrap_or(NonZeroUsize::MIN));
        Self { settings, instructions: cpu::fastest(), threads }
    }

    /// Its id on the server.
    pub fn id(&self) -> WorkerId {
        self.settings.secret.worker_id()
    }

    /// The instruction set that it searches with, for people.
    pub fn instructions_name(&self) -> &'static str {
        self.instructions.set().name()
    }

    /// How many threads search.
    pub const fn threads(&self) -> NonZeroUsize {
        self.threads
    }

    /// Measures its speed, connects, and works until `shutdown` is ready; then takes its leave of the server and ends its
    /// threads, in little more than a second at the worst. Must be called within a tokio runtime with time and I/O.
    /// Dropping the future ends the threads as well, without a farewell.
    ///
    /// `on_event` is called between messages and must not wait.
    ///
    /// # Errors
    /// [`WorkerError`] when the threads cannot be started.
    pub async fn run(
        self,
        mut on_event: impl FnMut(Event) + Send,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), WorkerError> {
        // Without a bound in type only: a device finds at most one work for each search that it is given.
        let (found_sender, found) = mpsc::unbounded_channel();
        let pool = Pool::start(&self.instructions, self.threads.get(), found_sender.clone())
            .map_err(WorkerError::Threads)?;
        let mut devices: Vec<Box<dyn Device>> = vec![Box::new(pool)];
        let mut shutdown = pin!(shutdown);
        if let Some(settings) = &self.settings.opencl {
            let starting = opencl::start(settings.clone(), found_sender).map_err(WorkerError::Threads)?;
            let started = tokio::select! {
                () = &mut shutdown => return Ok(()),
                started = starting => started,
            };
            devices.extend(started.devices.into_iter().map(|device| Box::new(device) as _));
            started.lines.into_iter().for_each(|line| on_event(Event::OpenCl { line }));
        }
        let rates = tokio::select! {
            () = &mut shutdown => return Ok(()),
            rates = backend::measure(&devices, MEASUREMENT) => rates,
        };
        let hello = self.hello(&devices, &rates);
        let hashes_per_second = hello.hashes_per_second;
        let (link_sender, mut link_events) = mpsc::channel(LINK_EVENTS);
        let mut link = pin!(link::run(self.mqtt_options(), self.id(), link_sender));
        let mut driver = Driver {
            session: Session::new(self.limits()),
            clock: Clock::start(),
            connection: None,
            hello,
            failed: vec![false; devices.len()],
            devices,
            on_event,
        };
        (driver.on_event)(Event::Measured { hashes_per_second });
        tokio::select! {
            // It ends only after the driver has closed the connection.
            () = &mut link => {}
            () = driver.run(found, &mut link_events, &mut shutdown) => {
                if driver.connection.is_some() {
                    let _ = tokio::time::timeout(FAREWELL, link).await;
                }
            }
        }
        Ok(())
    }

    fn limits(&self) -> Limits {
        Limits { threshold_max: self.settings.threshold_max, precache: self.settings.precache }
    }

    fn mqtt_options(&self) -> rumqttc::MqttOptions {
        let user = match self.settings.payee {
            Payee::Account(account) => self.settings.network.format_address(account),
            Payee::House => Payee::House.to_string(),
        };
        link::options(&self.settings.server, &user, &self.settings.secret)
    }

    fn hello(&self, devices: &[Box<dyn Device>], rates: &[u64]) -> WorkerHello {
        let reports = devices.iter().zip(rates).map(|(device, rate)| DeviceReport {
            name: shorten(&device.name()),
            backend: device.backend(),
            hashes_per_second: *rate,
        });
        WorkerHello {
            software: shorten(&self.settings.software),
            devices: reports.take(WORKER_DEVICES_MAX).collect(),
            hashes_per_second: rates.iter().sum(),
            capacity: CAPACITY,
            threshold_max: self.settings.threshold_max,
            precache: self.settings.precache,
        }
    }
}

/// The longest beginning that a message may carry.
fn shorten(text: &str) -> String {
    text[..text.floor_char_boundary(WORKER_TEXT_MAX)].into()
}

/// Time that never goes back, whatever is done to the system's clock.
#[derive(Debug, Clone, Copy)]
struct Clock {
    started: Instant,
    origin: Timestamp,
}

impl Clock {
    fn start() -> Self {
        // A clock before 1970 is as good as any other: only differences are used.
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), origin: Timestamp::default() + since_1970 }
    }

    fn now(&self) -> Timestamp {
        self.origin + self.started.elapsed()
    }

    /// Ready at `deadline`; never, if there is none.
    async fn sleep_until(&self, deadline: Option<Timestamp>) {
        match deadline {
            // One millisecond more: the timer's own resolution, so that it does not wake before its time.
            Some(deadline) => tokio::time::sleep(deadline.since(self.now()) + Duration::from_millis(1)).await,
            None => core::future::pending().await,
        }
    }
}

/// Feeds the session and carries out its actions.
struct Driver<E> {
    session: Session,
    clock: Clock,
    connection: Option<Connection>,
    hello: WorkerHello,
    devices: Vec<Box<dyn Device>>,
    /// Which of them are known to be out of service.
    failed: Vec<bool>,
    on_event: E,
}

impl<E: FnMut(Event) + Send> Driver<E> {
    /// Works until `shutdown` is ready, and leaves with the connection closing.
    async fn run(
        &mut self,
        mut found: mpsc::UnboundedReceiver<Found>,
        link_events: &mut mpsc::Receiver<LinkEvent>,
        mut shutdown: impl Future<Output = ()> + Unpin,
    ) {
        let mut actions = Vec::new();
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let clock = self.clock;
            let input = tokio::select! {
                () = &mut shutdown => break,
                Some(Found { job, work }) = found.recv() => Some(Input::Found { job, work }),
                Some(event) = link_events.recv() => self.input_of(event),
                () = clock.sleep_until(self.session.poll_timeout()) => None,
                _ = looks.tick() => {
                    self.look_after_devices();
                    continue;
                }
            };
            let now = clock.now();
            match input {
                Some(input) => self.session.handle(now, input, &mut actions),
                None => self.session.handle_timeout(now, &mut actions),
            }
            for action in actions.drain(..) {
                self.carry_out(action);
            }
        }
        self.rest();
        if let Some(connection) = &self.connection {
            connection.close();
        }
    }

    /// Tells of each device that has failed, once.
    fn look_after_devices(&mut self) {
        for (device, is_known) in self.devices.iter().zip(&mut self.failed) {
            if !*is_known && let Some(reason) = device.failure() {
                *is_known = true;
                (self.on_event)(Event::DeviceFailed { name: device.name(), reason });
            }
        }
    }

    /// Takes note of what the link tells; what the session must know is returned.
    fn input_of(&mut self, event: LinkEvent) -> Option<Input> {
        match event {
            LinkEvent::Connected(connection) => {
                self.connection = Some(connection);
                (self.on_event)(Event::Connected);
                Some(Input::Connected)
            }
            LinkEvent::Disconnected { reason, retry_in } => {
                self.connection = None;
                (self.on_event)(Event::Disconnected { reason, retry_in });
                Some(Input::Disconnected)
            }
            LinkEvent::Sent(packet) => {
                self.connection.as_mut()?.sent(packet);
                None
            }
            LinkEvent::Acknowledged(packet) => {
                self.connection.as_mut()?.acknowledged(packet).map(Input::Acknowledged)
            }
            LinkEvent::List(list) => Some(Input::Listed(list)),
            LinkEvent::Verdict(notice) => Some(Input::Judged(notice)),
        }
    }

    fn carry_out(&mut self, action: Action) {
        match (action, &mut self.connection) {
            (Action::Subscribe, Some(connection)) => connection.subscribe(),
            (Action::SendHello, Some(connection)) => connection.send_hello(&self.hello),
            (Action::Send(result), Some(connection)) => connection.send_result(&result),
            // The session sends only while it is connected; between two connections there is nothing to send to.
            (Action::Subscribe | Action::SendHello | Action::Send(_), None) => {}
            (Action::Search(job), _) => {
                let search = Search { job: job.job, root: job.root, threshold: job.threshold };
                self.devices.iter().for_each(|device| device.search(search));
            }
            (Action::Rest, _) => self.rest(),
            (Action::Report(judgement), _) => (self.on_event)(Event::Judged(judgement)),
        }
    }

    fn rest(&self) {
        self.devices.iter().for_each(|device| device.rest());
    }
}
