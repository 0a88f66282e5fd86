//! The coordinator from its start to its end: store, gate, driver and HTTP edge, each started when what it needs is there.

mod errors;
mod market;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use broker::{Gate, GateError, GateMonitor, GateSettings, Limits};
use metrics_exporter_prometheus::PrometheusHandle;
use shared::WorkerId;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::administration::reply::Listens;
use crate::administration::{AdminServer, Administration, Live, SOCKET};
use crate::audit::Auditor;
use crate::clock::Clock;
use crate::config::{Http, Mqtt, Settings};
use crate::driver::{Command, Driver, DriverError, DriverThread, Parts};
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
use crate::node::Nodes;
use crate::store::{Place, Store, Verb};
pub use errors::{RunError, StartError};

/// The file of the key that API keys are hashed with.
const PEPPER: &str = "pepper";
/// The file of the operator's token, where it is not configured.
pub(crate) const OPERATOR_TOKEN: &str = "operator-token";

/// How long a stop waits, after the time for what is in flight, for a ledger that does not answer.
const LEDGER_GRACE: Duration = Duration::from_secs(5);

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
    driver: DriverThread,
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
        let (market, nodes, frontiers) = market::start(settings, ledger, clock).await?;
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
            admission: admission.clone(),
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
            multiplier_max: settings.limits.multiplier_max,
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
            driver: driver.start().map_err(StartError::Thread)?,
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
            ended = self.driver.ended() => ended.err().unwrap_or(DriverError::GateStopped).into(),
        }
    }

    /// Stops: nothing new is taken; what is in flight is answered, or released when `grace` is over; then all parts end. A
    /// settlement that the ledger has still not answered a little later is left to it: its callers are told that they may have
    /// been charged, and asking again is free if they were.
    ///
    /// # Errors
    /// [`RunError`] when a part had failed.
    pub async fn stop(mut self, grace: Duration) -> Result<(), RunError> {
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
            self.driver.end();
        }
        self.admin.stop().await;
        let (peers, http) = (self.peers.map(NodePeers::stop), self.http.stop());
        http.await?;
        if let Some(peers) = peers {
            peers.await?;
        }
        self.gate.shutdown().await;
        self.driver.ended().await?;
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
