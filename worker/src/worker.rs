//! A worker from its start to its end: the driver of session, link and devices.

use core::pin::pin;
use std::io;
use std::time::Duration;

use shared::pow::{Multiplier, Threshold};
use shared::protocol::{DeviceReport, WORK_LIST_MAX, WORKER_DEVICES_MAX, WORKER_TEXT_MAX, WorkerHello};
use shared::{Network, Payee, WorkerId};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::backend::cpu::{self, Pool};
use crate::backend::{self, Device, Found, Search, opencl};
use crate::clock::Clock;
use crate::link::{self, Connection, LinkEvent};
use crate::rates::Rates;
use crate::session::{Action, Input, Judgement, Limits, Session};
use crate::sign_of_life::SignOfLife;
use crate::{Secret, Server};

/// How long the speed is measured at the start.
const MEASUREMENT: Duration = Duration::from_millis(200);
/// How long the last packets may take to leave.
const FAREWELL: Duration = Duration::from_secs(1);
/// How often it is looked how the devices do.
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
    /// How the processor is used.
    pub processor: cpu::Settings,
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
}

impl Worker {
    /// A worker with these settings. Starts nothing yet.
    pub const fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// Its id on the server.
    pub fn id(&self) -> WorkerId {
        self.settings.secret.worker_id()
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
        let pool =
            Pool::start(&self.settings.processor, found_sender.clone()).map_err(WorkerError::Threads)?;
        let mut devices: Vec<Box<dyn Device>> = vec![Box::new(pool)];
        let mut shutdown = pin!(shutdown);
        if let Some(settings) = &self.settings.opencl {
            let starting = opencl::start(settings.clone(), found_sender).map_err(WorkerError::Threads)?;
            let started = tokio::select! {
                () = &mut shutdown => return Ok(()),
                started = starting => started,
            };
            started.lines().into_iter().for_each(|line| on_event(Event::OpenCl { line }));
            devices.extend(started.devices.into_iter().map(|device| Box::new(device) as _));
        }
        let rates = tokio::select! {
            () = &mut shutdown => return Ok(()),
            rates = backend::measure(&devices, MEASUREMENT) => Rates::new(&rates),
        };
        let (link_sender, mut link_events) = mpsc::channel(LINK_EVENTS);
        let mut link = pin!(link::run(self.mqtt_options(), self.id(), link_sender));
        let hashes_per_second = rates.each().iter().sum();
        let mut driver = Driver::new(self.limits(), self.hello(), devices, rates, on_event);
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

    /// All but what the driver fills in: the devices, and how fast they are.
    fn hello(&self) -> WorkerHello {
        WorkerHello {
            software: shorten(&self.settings.software),
            devices: Vec::new(),
            hashes_per_second: 0,
            capacity: CAPACITY,
            threshold_max: self.settings.threshold_max,
            precache: self.settings.precache,
        }
    }
}

/// The devices that are in service, as servers are told.
fn reports(devices: &[Box<dyn Device>], rates: &[u64]) -> Vec<DeviceReport> {
    let in_service = devices.iter().zip(rates).filter(|(_, rate)| **rate > 0);
    let reports = in_service.map(|(device, rate)| DeviceReport {
        name: shorten(&device.name()),
        backend: device.backend(),
        hashes_per_second: *rate,
    });
    reports.take(WORKER_DEVICES_MAX).collect()
}

/// The longest beginning that a message may carry.
fn shorten(text: &str) -> String {
    text[..text.floor_char_boundary(WORKER_TEXT_MAX)].into()
}

/// Feeds the session and carries out its actions.
struct Driver<E> {
    session: Session,
    clock: Clock,
    connection: Option<Connection>,
    hello: WorkerHello,
    rates: Rates,
    devices: Vec<Box<dyn Device>>,
    /// Which of them search.
    is_searching: Vec<bool>,
    /// Which of them are known to be out of service.
    failed: Vec<bool>,
    sign_of_life: SignOfLife,
    on_event: E,
}

impl<E: FnMut(Event) + Send> Driver<E> {
    fn new(
        limits: Limits,
        hello: WorkerHello,
        devices: Vec<Box<dyn Device>>,
        rates: Rates,
        on_event: E,
    ) -> Self {
        Self {
            session: Session::new(limits, &rates.each()),
            clock: Clock::start(),
            connection: None,
            hello,
            rates,
            is_searching: vec![false; devices.len()],
            failed: vec![false; devices.len()],
            devices,
            sign_of_life: SignOfLife::default(),
            on_event,
        }
    }

    /// Works until `shutdown` is ready, and leaves with the connection closing.
    async fn run(
        &mut self,
        mut found: mpsc::UnboundedReceiver<Found>,
        link_events: &mut mpsc::Receiver<LinkEvent>,
        mut shutdown: impl Future<Output = ()> + Unpin,
    ) {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let clock = self.clock;
            let sign = self.connection.as_ref().and(self.sign_of_life.due_at());
            let input = tokio::select! {
                () = &mut shutdown => break,
                Some(Found { job, work }) = found.recv() => Some(Input::Found { job, work }),
                Some(event) = link_events.recv() => self.input_of(event),
                () = clock.sleep_until(self.session.poll_timeout()) => None,
                () = clock.sleep_until(sign) => {
                    self.say_how_it_is();
                    None
                }
                _ = looks.tick() => Some(self.look()),
            };
            self.step(input);
        }
        self.devices.iter().for_each(|device| device.rest());
        if let Some(connection) = &self.connection {
            connection.close();
        }
    }

    /// Gives the session an input, or the time alone, and carries out what it says.
    fn step(&mut self, input: Option<Input>) {
        let (now, mut actions) = (self.clock.now(), Vec::new());
        match input {
            Some(input) => self.session.handle(now, input, &mut actions),
            None => self.session.handle_timeout(now, &mut actions),
        }
        for action in actions {
            self.carry_out(action);
        }
        self.sign_of_life.searches(now, self.is_searching.contains(&true));
    }

    /// Looks how fast the devices are and which of them have failed. The server is told of changes, and the session of failures.
    fn look(&mut self) -> Input {
        let now = self.clock.now();
        let mut has_failed = false;
        for (index, (device, is_known)) in self.devices.iter().zip(&mut self.failed).enumerate() {
            if self.is_searching[index] {
                self.rates.look(now, index, device.hashes());
            }
            if !*is_known && let Some(reason) = device.failure() {
                (*is_known, has_failed) = (true, true);
                self.rates.fail(index);
                (self.on_event)(Event::DeviceFailed { name: device.name(), reason });
            }
        }
        if has_failed {
            // A hello names the devices that there are; its list is made again, which no longer counts on the others.
            self.send_hello();
        }
        if let Some(connection) = &mut self.connection
            && let Some(status) = self.rates.due(now)
        {
            connection.send_status(&status);
            self.sign_of_life.said(now);
        }
        Input::Rates(self.rates.each())
    }

    /// Says that it is there, which nothing else has for a while.
    fn say_how_it_is(&mut self) {
        let now = self.clock.now();
        let status = self.rates.status_told(now);
        if let Some(connection) = &mut self.connection {
            connection.send_sign_of_life(&status);
        }
        self.sign_of_life.said(now);
    }

    /// Says what this worker is, with the rates of now.
    fn send_hello(&mut self) {
        let rates = self.rates.each();
        self.hello.devices = reports(&self.devices, &rates);
        self.hello.hashes_per_second = rates.iter().sum();
        if let Some(connection) = &mut self.connection {
            connection.send_hello(&self.hello);
            self.rates.told(self.clock.now());
            self.sign_of_life.said(self.clock.now());
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
            (Action::SendHello, _) => self.send_hello(),
            (Action::Send(result), Some(connection)) => {
                connection.send_result(&result);
                self.sign_of_life.said(self.clock.now());
            }
            // The session sends only while it is connected; between two connections there is nothing to send to.
            (Action::Subscribe | Action::Send(_), None) => {}
            (Action::Search { device, job }, _) => {
                let search = Search { job: job.job, root: job.root, threshold: job.threshold };
                self.devices[device].search(search);
                if !core::mem::replace(&mut self.is_searching[device], true) {
                    self.rates.interrupt(device);
                }
            }
            (Action::Rest { device }, _) => {
                self.devices[device].rest();
                self.is_searching[device] = false;
                self.rates.interrupt(device);
            }
            (Action::Report(judgement), _) => (self.on_event)(Event::Judged(judgement)),
        }
    }
}

#[cfg(test)]
mod tests;
