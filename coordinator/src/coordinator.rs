//! The coordinator from its start to its end: store, gate, driver and HTTP edge, each started when what it needs is there.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use broker::{Gate, GateError, GateMonitor, GateSettings, Limits};
use marketplace::limits::{SETTLED_MAX, WORK_KEPT};
use marketplace::{Found, Marketplace, Start};
use metrics_exporter_prometheus::PrometheusHandle;
use shared::pow::{BadMultiplier, Threshold, Work};
use shared::{ServiceId, Timestamp, WorkerId};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::timeout;
use tracing::{info, warn};
use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::config::{Mqtt, Settings};
use crate::driver::{Command, Driver, DriverError, Parts};
use crate::entropy;
use crate::health::Health;
use crate::home::{Home, HomeError};
use crate::intake::http::{Callers, InProcess};
use crate::intake::keys::{Keys, Pepper};
use crate::intake::logins::Logins;
use crate::intake::websocket;
use crate::ledger_link::LedgerLink;
use crate::store::sqlite::{OpenError, SqliteStore};
use crate::store::{SettledWork, Store, StoreError};

/// The file of the key that API keys are hashed with.
const PEPPER: &str = "pepper";
/// The file of the operator's token.
pub(crate) const OPERATOR_TOKEN: &str = "operator-token";

/// How long a stop waits, after the time for what is in flight, for a ledger that does not answer.
const LEDGER_GRACE: Duration = Duration::from_secs(5);

/// Why the coordinator did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The data directory.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The ledger's file.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The ledger.
    #[error("the ledger cannot be read")]
    Store(#[from] StoreError),
    /// The market's rules.
    #[error("limits.multiplier_max: {0}")]
    Multiplier(#[from] BadMultiplier),
    /// A port that another program has.
    #[error("port {port} on {address} is taken by another program; stop that, or choose another with `{flag} {address}:<port>`", port = .listen.port(), address = .listen.ip())]
    PortTaken {
        /// Where we wanted to listen.
        listen: SocketAddr,
        /// What would change it.
        flag: &'static str,
    },
    /// An address that cannot be listened on.
    #[error("cannot listen on {listen}; choose another address with `{flag}`")]
    Listen {
        /// Where we wanted to listen.
        listen: SocketAddr,
        /// What would change it.
        flag: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The gate.
    #[error("the MQTT gate did not start")]
    Gate(#[source] GateError),
    /// The system has no random numbers.
    #[error("the system gives no random numbers")]
    Entropy(#[from] getrandom::Error),
}

/// Why a running coordinator has to end.
#[derive(Debug, Error)]
pub enum RunError {
    /// The driver cannot go on.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// The gate has died.
    #[error("the MQTT gate has died: {0}")]
    Gate(broker::GateDeath),
    /// A task has panicked: an error of ours.
    #[error("a part of the coordinator has failed")]
    Task(#[from] JoinError),
}

/// What is open before anything listens: the directory's secrets, and the ledger in it.
pub struct Ledger {
    /// The store.
    pub(crate) store: Arc<dyn Store>,
    /// Whose keys are valid.
    pub(crate) keys: Arc<RwLock<Keys>>,
    /// What keys are hashed with.
    pub(crate) pepper: Pepper,
}

impl Ledger {
    /// Opens the ledger of a data directory, and reads its keys.
    ///
    /// # Errors
    /// [`StartError`] when it is another network's or cannot be read.
    pub async fn open(settings: &Settings, home: &Home) -> Result<Self, StartError> {
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&home.ledger(), settings.network)?);
        let pepper = Pepper::new(home.secret(PEPPER)?);
        let keys = Keys::new(pepper.clone(), store.keys().await?);
        Ok(Self { store, keys: Arc::new(RwLock::new(keys)), pepper })
    }
}

/// A coordinator that is running.
pub struct Coordinator {
    gate: Gate,
    monitor: GateMonitor,
    driver: JoinHandle<Result<(), DriverError>>,
    http: JoinHandle<()>,
    http_addr: SocketAddr,
    stop_http: oneshot::Sender<()>,
    commands: mpsc::UnboundedSender<Command>,
}

impl Coordinator {
    /// Starts all parts; when this returns, both ports are open and requests are taken.
    ///
    /// # Errors
    /// [`StartError`]; whatever had been started is stopped again.
    pub async fn start(
        settings: &Settings,
        home: &Home,
        ledger: &Ledger,
        house: Option<WorkerId>,
        recorder: PrometheusHandle,
    ) -> Result<Self, StartError> {
        let clock = Clock::start();
        let policy = settings.policy()?;
        let operator_token = home.secret(OPERATOR_TOKEN)?;
        let http = listen(settings.http.listen, "--http-listen").await?;
        let http_addr = http.local_addr().map_err(listen_error(settings.http.listen, "--http-listen"))?;
        let logins = logins(settings, ledger, operator_token, house);
        let (gate, bus) = start_gate(&settings.mqtt, logins).await?;
        let monitor = gate.monitor();
        let health = Arc::new(Health::new(move || monitor.is_healthy()));
        let settled = settled_works(ledger.store.as_ref(), clock.now()).await?;
        let instance = u64::from_be_bytes(entropy::bytes()?);
        let market = Marketplace::new(Start { instance, policy, now: clock.now(), settled });
        let (commands, command_receiver) = mpsc::unbounded_channel();
        let callers = Callers::default();
        let driver = Driver::new(Parts {
            clock,
            network: settings.network,
            market,
            bus,
            ledger: LedgerLink::start(Arc::clone(&ledger.store)),
            commands: command_receiver,
            callers: callers.clone(),
            health: Arc::clone(&health),
        });
        let source = InProcess {
            network: settings.network,
            keys: Arc::clone(&ledger.keys),
            commands: commands.clone(),
            callers,
            health,
            metrics: recorder,
        };
        let edge = bridge::Settings::default();
        let router = bridge::router(source, &edge).merge(websocket::routes(gate.entrance()));
        let (stop_http, http_stopped) = oneshot::channel::<()>();
        let stopped = async {
            let _ = http_stopped.await;
        };
        Ok(Self {
            monitor: gate.monitor(),
            gate,
            driver: tokio::spawn(driver.run()),
            http: tokio::spawn(async move { bridge::serve(http, router, edge, stopped).await }),
            http_addr,
            stop_http,
            commands,
        })
    }

    /// Where services ask.
    pub const fn http_addr(&self) -> SocketAddr {
        self.http_addr
    }

    /// Where workers connect.
    pub fn mqtt_addr(&self) -> SocketAddr {
        self.gate.local_addr()
    }

    /// Waits until a part has failed, so that the process has to end.
    pub async fn failed(&mut self) -> RunError {
        tokio::select! {
            death = self.monitor.died() => RunError::Gate(death),
            ended = &mut self.driver => match ended {
                Ok(Ok(())) => DriverError::GateStopped.into(),
                Ok(Err(error)) => error.into(),
                Err(error) => error.into(),
            },
        }
    }

    /// Stops: nothing new is taken; what is in flight is answered, or released when `grace` is over; then all parts end. A
    /// settlement that the ledger has still not answered a little later is left to it: its callers are told that they may have
    /// been charged, and asking again is free if they were.
    ///
    /// # Errors
    /// [`RunError`] when a part had failed.
    pub async fn stop(self, grace: Duration) -> Result<(), RunError> {
        let (drained, is_drained) = oneshot::channel();
        info!(grace_s = grace.as_secs(), "stopping: what is in flight is finished first");
        let is_drained = match self.commands.send(Command::Drain { grace, drained }) {
            Ok(()) => timeout(grace.saturating_add(LEDGER_GRACE), is_drained).await.is_ok(),
            // The driver has ended, with whatever was in flight.
            Err(_) => true,
        };
        if !is_drained {
            warn!("the ledger does not answer; settlements in flight are left to it");
            // Whoever waits is told with this.
            self.driver.abort();
        }
        // Either may have ended by itself; then there is nothing to stop.
        let _ = self.stop_http.send(());
        self.http.await?;
        self.gate.shutdown().await;
        match self.driver.await {
            Err(error) if error.is_cancelled() => {}
            ended => ended??,
        }
        info!("stopped");
        Ok(())
    }
}

fn logins(
    settings: &Settings,
    ledger: &Ledger,
    operator_token: Zeroizing<String>,
    house: Option<WorkerId>,
) -> Arc<Logins> {
    Arc::new(Logins::new(settings.network, Arc::clone(&ledger.keys), operator_token, house))
}

fn listen_error(listen: SocketAddr, flag: &'static str) -> impl Fn(io::Error) -> StartError {
    move |source| match source.kind() {
        io::ErrorKind::AddrInUse => StartError::PortTaken { listen, flag },
        _ => StartError::Listen { listen, flag, source },
    }
}

async fn listen(address: SocketAddr, flag: &'static str) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(listen_error(address, flag))
}

async fn start_gate(
    mqtt: &Mqtt,
    logins: Arc<Logins>,
) -> Result<(Gate, broker::bus::InProcessBus), StartError> {
    let Mqtt { listen, listen_websocket, ref trusted_prefixes } = *mqtt;
    let limits = Limits { trusted_prefixes: trusted_prefixes.clone(), ..Limits::default() };
    let settings = GateSettings { listen, listen_websocket, limits, ..GateSettings::default() };
    Gate::start(settings, logins).await.map_err(|error| match error {
        GateError::Listen { address, source } if address == listen => {
            listen_error(listen, "--mqtt-listen")(source)
        }
        GateError::Listen { address, source } => listen_error(address, "DPOW_MQTT__LISTEN_WEBSOCKET")(source),
        other => StartError::Gate(other),
    })
}

/// What was settled lately, so that asking again stays free after a restart.
async fn settled_works(
    store: &dyn Store,
    now: Timestamp,
) -> Result<Vec<(ServiceId, Found, Timestamp)>, StoreError> {
    let settled = store.settled_since(now - WORK_KEPT, SETTLED_MAX).await?;
    Ok(settled
        .into_iter()
        .filter_map(|settled| Some((settled.service, found(&settled)?, settled.at)))
        .collect())
}

/// The work of a settlement. It was verified before it was settled; hashing it again is what makes it work here.
fn found(settled: &SettledWork) -> Option<Found> {
    let work = Work::verify(settled.root, settled.nonce, Threshold::new(0))?;
    Some(Found { work, worker: settled.worker, payee: settled.payee })
}
