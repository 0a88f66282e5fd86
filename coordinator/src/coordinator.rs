//! The coordinator from its start to its end: store, gate, driver and HTTP edge, each started when what it needs is there.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use broker::{Gate, GateError, GateMonitor, GateSettings, Limits};
use marketplace::limits::{SETTLED_MAX, WORK_KEPT};
use marketplace::precache::{Frontier, PrecacheStart, Precached};
use marketplace::{Found, Marketplace, Policy, Start};
use metrics_exporter_prometheus::PrometheusHandle;
use shared::pow::{BadMultiplier, Threshold, Work};
use shared::{ServiceId, Timestamp, WorkerId};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::timeout;
use tracing::{info, warn};

use crate::administration::reply::Listens;
use crate::administration::{AdminServer, Administration, Live, SOCKET};
use crate::audit::Auditor;
use crate::clock::Clock;
use crate::config::{Http, Mqtt, Settings};
use crate::driver::{Command, Driver, DriverError, Parts};
use crate::entropy;
use crate::health::Health;
use crate::home::{Home, HomeError};
use crate::intake::admission::Admission;
use crate::intake::http::{Callers, InProcess};
use crate::intake::keys::Pepper;
use crate::intake::logins::Logins;
use crate::intake::node_peer::NodePeers;
use crate::intake::operator_token::OperatorToken;
use crate::intake::own::OwnAffairs;
use crate::intake::registry::Registry;
use crate::intake::served::Served;
use crate::intake::websocket;
use crate::ledger_link::LedgerLink;
use crate::node::{NodeSettings, Nodes, Watchlist};
use crate::store::{OpenError, Place, SettledWork, Store, StoreError, Verb};

/// The file of the key that API keys are hashed with.
const PEPPER: &str = "pepper";
/// The file of the operator's token, where it is not configured.
pub(crate) const OPERATOR_TOKEN: &str = "operator-token";

/// How long a stop waits, after the time for what is in flight, for a ledger that does not answer.
const LEDGER_GRACE: Duration = Duration::from_secs(5);

/// Why the coordinator did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The data directory.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The ledger's file or server.
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
    /// Whoever shall pay for nodes.
    #[error(
        "`node_peer.service` is {service}, but there is no such service; make it with `dpow service add {service}`"
    )]
    NodePeerService {
        /// Its name.
        service: ServiceId,
    },
    /// The gate.
    #[error("the MQTT gate did not start")]
    Gate(#[source] GateError),
    /// The socket for operators.
    #[error("the socket for operators cannot be made in {}", directory.display())]
    Admin {
        /// The data directory.
        directory: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
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
    /// Where it is.
    pub(crate) place: Place,
    /// Who may come in.
    pub(crate) registry: Registry,
    /// What keys are hashed with.
    pub(crate) pepper: Pepper,
}

impl Ledger {
    /// Opens the ledger of a data directory, wherever it is, and reads who may come in.
    ///
    /// # Errors
    /// [`StartError`] when it is another network's or cannot be read.
    pub async fn open(place: Place, home: &Home) -> Result<Self, StartError> {
        let store = place.open().await?;
        let pepper = Pepper::new(home.secret(PEPPER)?);
        let registry = Registry::load(store.as_ref(), pepper.clone()).await?;
        Ok(Self { store, place, registry, pepper })
    }
}

/// A coordinator that is running.
pub struct Coordinator {
    gate: Gate,
    monitor: GateMonitor,
    driver: JoinHandle<Result<(), DriverError>>,
    http: Served,
    peers: Option<NodePeers>,
    admin: AdminServer,
    listens: Listens,
    is_token_configured: bool,
    commands: mpsc::UnboundedSender<Command>,
    auditor: Option<JoinHandle<()>>,
    /// Listened to as long as this lives.
    _nodes: Nodes,
    store: Arc<dyn Store>,
    registry: Registry,
}

impl Coordinator {
    /// Starts all parts; when this returns, all ports are open and requests are taken.
    ///
    /// # Errors
    /// [`StartError`]; whatever had been started is stopped again.
    pub async fn start(
        settings: &Settings,
        home: &Arc<Home>,
        ledger: &Ledger,
        house: Option<WorkerId>,
        recorder: PrometheusHandle,
    ) -> Result<Self, StartError> {
        let clock = Clock::start();
        let operator_token = Arc::new(operator_token(settings, home)?);
        let (http, http_addr) = listen(settings.http.listen, "--http-listen").await?;
        let admin = listen_for_operators(settings).await?;
        let logins = logins(settings, ledger, clock, Arc::clone(&operator_token), house);
        let (gate, bus) = start_gate(&settings.mqtt, logins).await?;
        let health = health_of(&gate);
        let (market, nodes, frontiers) = start_market(settings, ledger, clock).await?;
        let (commands, command_receiver) = mpsc::unbounded_channel();
        let callers = Callers::default();
        let (own, admission) = (Arc::new(OnceLock::new()), Admission::new(settings, ledger, clock));
        let driver = Driver::new(Parts {
            clock,
            network: settings.network,
            market,
            bus,
            ledger: LedgerLink::start(Arc::clone(&ledger.store)),
            commands: command_receiver,
            callers: callers.clone(),
            registry: ledger.registry.clone(),
            rates: Arc::clone(&admission.rates),
            practice: admission.practice.clone(),
            health: Arc::clone(&health),
            watchlist: nodes.watchlist.clone(),
            frontiers,
        });
        let auditor = start_auditor(settings, ledger, clock, &health, &commands);
        let source = InProcess {
            own: Arc::clone(&own),
            network: settings.network,
            registry: ledger.registry.clone(),
            admission,
            clock,
            commands: commands.clone(),
            callers,
            health: Arc::clone(&health),
            metrics: recorder,
        };
        let peers = NodePeers::start(&settings.node_peer, ledger, &source).await?;
        let http = serve_http(http, &settings.http, source, &gate);
        let admin_addr = admin.as_ref().map(|(_, address)| *address);
        let listens = listens_at(http_addr, peers.as_ref(), &gate, admin_addr);
        let live = Live {
            started: clock.now(),
            listens,
            health,
            operator_token,
            commands: commands.clone(),
            nodes: nodes.view(),
        };
        let administration =
            Administration::new(settings.network, Arc::clone(home), ledger, clock, Some(live));
        let admin = start_admin(home, administration, &own, admin.map(|(listener, _)| listener))?;
        Ok(Self {
            monitor: gate.monitor(),
            gate,
            driver: tokio::spawn(driver.run()),
            http,
            peers,
            admin,
            listens,
            is_token_configured: settings.operator_token.is_some(),
            commands,
            auditor,
            _nodes: nodes,
            store: Arc::clone(&ledger.store),
            registry: ledger.registry.clone(),
        })
    }

    /// Where services ask.
    pub const fn http_addr(&self) -> SocketAddr {
        self.listens.http
    }

    /// Where workers connect.
    pub const fn mqtt_addr(&self) -> SocketAddr {
        self.listens.mqtt
    }

    /// Where it can be reached, as lines for a person. `home` is its data directory.
    pub(crate) fn banner(&self, home: &Home) -> Vec<String> {
        let token = if self.is_token_configured {
            "as configured".into()
        } else {
            format!("in {}", home.file(OPERATOR_TOKEN).display())
        };
        let admin = home.file(SOCKET);
        let tcp = self.listens.admin.map_or_else(String::new, |address| format!(", and {address}"));
        let peers = self
            .peers
            .as_ref()
            .map(|peers| format!("node peer  {}, on the account of {}", peers.address(), peers.service()));
        let mut lines = vec![
            format!("mqtt       mqtt://{}", self.listens.mqtt),
            format!("operator   user `operator`, token {token}"),
            format!("admin      {}{tcp}", admin.display()),
        ];
        lines.extend(peers);
        lines.push(format!("http       http://{}", self.listens.http));
        lines
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
        if let Some(auditor) = self.auditor {
            auditor.abort();
        }
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
        self.admin.stop().await;
        let (peers, http) = (self.peers.map(NodePeers::stop), self.http.stop());
        http.await?;
        if let Some(peers) = peers {
            peers.await?;
        }
        self.gate.shutdown().await;
        match self.driver.await {
            Err(error) if error.is_cancelled() => {}
            ended => ended??,
        }
        write_used(self.store.as_ref(), &self.registry).await;
        info!("stopped");
        Ok(())
    }
}

/// The configured token, or else the one in the data directory, which is made when there is none.
fn operator_token(settings: &Settings, home: &Home) -> Result<OperatorToken, HomeError> {
    match &settings.operator_token {
        Some(token) => Ok(OperatorToken::configured(token)),
        None => Ok(OperatorToken::new(home.secret(OPERATOR_TOKEN)?)),
    }
}

fn logins(
    settings: &Settings,
    ledger: &Ledger,
    clock: Clock,
    operator_token: Arc<OperatorToken>,
    house: Option<WorkerId>,
) -> Arc<Logins> {
    Arc::new(Logins::new(settings.network, ledger.registry.clone(), clock, operator_token, house))
}

/// Keeps when keys were last used; without it, a minute of that is lost.
async fn write_used(store: &dyn Store, registry: &Registry) {
    let used = vec![Verb::KeysUsed { used: registry.take_used() }];
    match timeout(LEDGER_GRACE, store.execute(used)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => {
            warn!(error = &error as &dyn std::error::Error, "when keys were last used is not written");
        }
        Err(_) => warn!("when keys were last used is not written: the ledger does not answer"),
    }
}

fn listen_error(listen: SocketAddr, flag: &'static str) -> impl Fn(io::Error) -> StartError {
    move |source| match source.kind() {
        io::ErrorKind::AddrInUse => StartError::PortTaken { listen, flag },
        _ => StartError::Listen { listen, flag, source },
    }
}

/// Opens a port; `flag` is what would change it.
pub(crate) async fn listen(
    address: SocketAddr,
    flag: &'static str,
) -> Result<(TcpListener, SocketAddr), StartError> {
    let bound = async {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    bound.await.map_err(listen_error(address, flag))
}

fn start_auditor(
    settings: &Settings,
    ledger: &Ledger,
    clock: Clock,
    health: &Arc<Health>,
    commands: &mpsc::UnboundedSender<Command>,
) -> Option<JoinHandle<()>> {
    let interval = settings.audit_interval()?;
    let (store, health) = (Arc::clone(&ledger.store), Arc::clone(health));
    let auditor = Auditor { store, interval, clock, health, commands: commands.clone() };
    Some(tokio::spawn(auditor.run()))
}

fn start_admin(
    home: &Home,
    administration: Administration,
    own: &OnceLock<OwnAffairs>,
    tcp: Option<TcpListener>,
) -> Result<AdminServer, StartError> {
    let administration = Arc::new(administration);
    // It is set here alone, and asked for a moment from now at the earliest.
    let _ = own.set(OwnAffairs::new(Arc::clone(&administration)));
    let server = AdminServer::start(home.path(), tcp, administration);
    server.map_err(|source| StartError::Admin { directory: home.path().into(), source })
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

async fn listen_for_operators(settings: &Settings) -> Result<Option<(TcpListener, SocketAddr)>, StartError> {
    match settings.admin.listen {
        Some(address) => Ok(Some(listen(address, "DPOW_ADMIN__LISTEN").await?)),
        None => Ok(None),
    }
}

fn listens_at(
    http: SocketAddr,
    peers: Option<&NodePeers>,
    gate: &Gate,
    admin: Option<SocketAddr>,
) -> Listens {
    Listens {
        http,
        node_peer: peers.map(NodePeers::address),
        mqtt: gate.local_addr(),
        mqtt_websocket: gate.websocket_addr(),
        admin,
    }
}

fn health_of(gate: &Gate) -> Arc<Health> {
    let monitor = gate.monitor();
    Arc::new(Health::new(move || monitor.is_healthy()))
}

fn serve_http(listener: TcpListener, http: &Http, source: InProcess, gate: &Gate) -> Served {
    let edge = bridge::Settings { proxies: http.proxies.clone(), ..bridge::Settings::default() };
    let router = bridge::router(source, &edge).merge(websocket::routes(gate.entrance()));
    Served::start(listener, router, edge)
}

/// The market with what is kept, and what listens to nodes for it.
async fn start_market(
    settings: &Settings,
    ledger: &Ledger,
    clock: Clock,
) -> Result<(Marketplace, Nodes, mpsc::Receiver<Frontier>), StartError> {
    let (policy, instance) = (settings.policy()?, u64::from_be_bytes(entropy::bytes()?));
    let market = Marketplace::new(start_of(ledger.store.as_ref(), clock.now(), instance, policy).await?);
    let (watchlist, nodes) = (Watchlist::new(market.watched_accounts()), settings.nodes());
    let started = Nodes::start(&nodes, watchlist, clock).await;
    let (nodes, frontiers) = started.map_err(|source| node_listen_error(&nodes, source))?;
    Ok((market, nodes, frontiers))
}

fn node_listen_error(settings: &NodeSettings, source: io::Error) -> StartError {
    let listen = settings.callback.as_ref().map_or(SocketAddr::from(([0; 4], 0)), |(address, _)| *address);
    listen_error(listen, "DPOW_NODE__CALLBACK_LISTEN")(source)
}

/// What the market begins with: the works that were settled lately, so that asking again stays free after a restart, the accounts
/// that were watched, and what was spent today of what is bounded by the day.
async fn start_of(
    store: &dyn Store,
    now: Timestamp,
    instance: u64,
    policy: Policy,
) -> Result<Start, StoreError> {
    let works = store.settled_since(now - WORK_KEPT, SETTLED_MAX).await?;
    let precached = works.iter().filter(|work| work.hold.is_precache()).map(|work| {
        let SettledWork { service, root, at, .. } = *work;
        Precached { service, root, at }
    });
    let precache = PrecacheStart {
        terms: store.precache_terms().await?,
        watches: store.watches().await?,
        settled: precached.collect(),
    };
    let settled = works.iter().filter_map(|work| Some((work.service, found(work)?, work.at)));
    let (settled, spent) = (settled.collect(), store.spent().await?);
    Ok(Start { instance, policy, now, settled, precache, spent })
}

/// The work of a settlement. It was verified before it was settled; hashing it again is what makes it work here.
fn found(settled: &SettledWork) -> Option<Found> {
    let work = Work::verify(settled.root, settled.nonce, Threshold::new(0))?;
    Some(Found { work, worker: settled.worker, payee: settled.payee })
}
