//! Where a ledger's server is, as an operator says it in one URL, and connections to it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{Route, SingleNodeRoutingInfo, SlotAddr};
use redis::sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType};
use redis::{Client, ConnectionInfo, IntoConnectionInfo, Pipeline, RedisError, RedisResult, Value};
use thiserror::Error;

use super::key::{Key, Keys};

/// How long a connection may take to be there.
const CONNECT_MAX: Duration = Duration::from_secs(1);
/// How long an answer may take. A server that syncs at each write and has a slow disk needs some of it.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// A URL that names no server. It says nothing of the URL, which may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadServer {
    /// No form that is known.
    #[error(
        "a ledger's server is redis://HOST:PORT/DATABASE, redis+unix:///PATH, redis+sentinel://HOST:PORT,HOST:PORT/MASTER or \
         redis+cluster://HOST:PORT,HOST:PORT, with USER:PASSWORD@ before the host where one is needed"
    )]
    Form,
    /// Encrypted connections.
    #[error(
        "connections to Redis with TLS are not there yet; use redis:// through a tunnel or a private network"
    )]
    Encrypted,
}

/// A server, or a set of servers that keep one ledger. Printed without its password.
#[derive(Clone, PartialEq, Eq)]
pub struct Server(Arc<Address>);

#[derive(PartialEq, Eq)]
struct Address {
    form: Form,
    shown: String,
    /// As it was given.
    url: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// One server.
    Single,
    /// Sentinels, and the name under which they know the master.
    Sentinel,
    /// Nodes of a cluster.
    Cluster,
}

impl Server {
    /// Whether it can be this program's server at all.
    fn check(&self) -> Result<(), BadServer> {
        let Address { form, url, .. } = &*self.0;
        let parts = Parts::of(url).ok_or(BadServer::Form)?;
        let is_named = *form != Form::Sentinel || !parts.path.is_empty();
        let is_alone = *form != Form::Single || parts.nodes().len() == 1;
        let is_plain = *form != Form::Cluster || matches!(parts.path, "" | "0");
        if !(is_named && is_alone && is_plain) {
            return Err(BadServer::Form);
        }
        if *form == Form::Single {
            return url.as_str().into_connection_info().map(drop).map_err(|_| BadServer::Form);
        }
        parts.infos().map(drop).map_err(|_| BadServer::Form)
    }

    /// Connects anew, to whichever server keeps the ledger now.
    ///
    /// # Errors
    /// When it cannot be reached, or refuses the password.
    pub(super) async fn connect(&self, keys: &Keys) -> RedisResult<Link> {
        let bad_url = || RedisError::from((redis::ErrorKind::InvalidClientConfig, "the URL names no server"));
        let Address { form, url, .. } = &*self.0;
        let parts = Parts::of(url);
        match form {
            Form::Single => managed(Client::open(url.as_str())?).await,
            Form::Sentinel => {
                let parts = parts.ok_or_else(bad_url)?;
                let (master, database) = parts.path.split_once('/').unwrap_or((parts.path, "0"));
                let infos = parts.infos()?;
                let settings = infos[0].redis_settings().clone();
                let settings = settings.set_db(database.parse().map_err(|_| bad_url())?);
                let node = SentinelNodeConnectionInfo::default().set_redis_connection_info(settings);
                // Sentinels have passwords of their own, if any.
                let sentinels = infos.iter().map(|info| info.addr().clone()).collect();
                let mut sentinel = SentinelClient::build(
                    sentinels,
                    master.to_owned(),
                    Some(node),
                    SentinelServerType::Master,
                )?;
                let client = tokio::time::timeout(ANSWER_MAX, sentinel.async_get_client());
                managed(client.await.map_err(|_| no_answer())??).await
            }
            Form::Cluster => {
                let infos = parts.ok_or_else(bad_url)?.infos()?;
                let client = ClusterClient::builder(infos)
                    .connection_timeout(CONNECT_MAX)
                    .response_timeout(ANSWER_MAX)
                    .overall_response_timeout(Some(2 * ANSWER_MAX))
                    .retries(2)
                    .build()?;
                let connection = tokio::time::timeout(2 * ANSWER_MAX, client.get_async_connection());
                let mut connection = connection.await.map_err(|_| no_answer())??;
                let mut slot = redis::cmd("CLUSTER");
                slot.arg("KEYSLOT").arg(keys.name(Key::Meta));
                let route = Route::new(slot.query_async(&mut connection).await?, SlotAddr::Master);
                Ok(Link::Cluster { connection, route })
            }
        }
    }
}

/// A connection that comes back by itself; whoever has lost an answer attaches to the ledger anew all the same.
async fn managed(client: Client) -> RedisResult<Link> {
    let config = ConnectionManagerConfig::new()
        .set_number_of_retries(0)
        .set_connection_timeout(Some(CONNECT_MAX))
        .set_response_timeout(Some(ANSWER_MAX));
    let connection = tokio::time::timeout(ANSWER_MAX, client.get_connection_manager_with_config(config));
    connection.await.map_err(|_| no_answer())?.map(Link::Managed)
}

fn no_answer() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}

/// A connection to whichever server keeps the ledger. Copies share it.
#[derive(Clone)]
pub(super) enum Link {
    Managed(ConnectionManager),
    /// Everything goes to the node that keeps the ledger.
    Cluster {
        connection: ClusterConnection,
        route: Route,
    },
}

impl Link {
    /// Sends commands in one go, and returns what came of each.
    ///
    /// # Errors
    /// When there are no answers: each of the commands may have been carried out, or not.
    pub(super) async fn send(&mut self, pipeline: &mut Pipeline) -> RedisResult<Vec<RedisResult<Value>>> {
        match self {
            Self::Managed(connection) => pipeline.ignore_errors().query_async(connection).await,
            Self::Cluster { connection, route } => {
                let (count, route) = (pipeline.len(), SingleNodeRoutingInfo::SpecificNode(*route));
                let values = connection.route_pipeline(pipeline.clone(), 0, count, route).await?;
                Ok(values.into_iter().map(Value::extract_error).collect())
            }
        }
    }

    /// Sends one command.
    ///
    /// # Errors
    /// When it was refused, or there is no answer.
    pub(super) async fn ask(&mut self, command: redis::Cmd) -> RedisResult<Value> {
        let mut pipeline = redis::pipe();
        pipeline.add_command(command);
        let mut values = self.send(&mut pipeline).await?;
        values.pop().unwrap_or(Ok(Value::Nil))
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Link")
    }
}

/// A URL, taken apart: `scheme://login@hosts/path`.
struct Parts<'a> {
    login: Option<&'a str>,
    hosts: &'a str,
    path: &'a str,
}

impl<'a> Parts<'a> {
    fn of(url: &'a str) -> Option<Self> {
        let (_, rest) = url.split_once("://")?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, hosts) = match authority.rsplit_once('@') {
            Some((login, hosts)) => (Some(login), hosts),
            None => (None, authority),
        };
        Some(Self { login, hosts, path: path.trim_end_matches('/') })
    }

    fn nodes(&self) -> Vec<&'a str> {
        self.hosts.split(',').collect()
    }

    /// Each node by itself.
    fn infos(&self) -> RedisResult<Vec<ConnectionInfo>> {
        let login = self.login.map_or_else(String::new, |login| format!("{login}@"));
        self.nodes().iter().map(|node| format!("redis://{login}{node}").into_connection_info()).collect()
    }
}

impl FromStr for Server {
    type Err = BadServer;

    fn from_str(url: &str) -> Result<Self, BadServer> {
        let (scheme, _) = url.split_once("://").ok_or(BadServer::Form)?;
        let form = match scheme {
            "redis" | "redis+unix" | "unix" => Form::Single,
            "redis+sentinel" => Form::Sentinel,
            "redis+cluster" => Form::Cluster,
            "rediss" => return Err(BadServer::Encrypted),
            _ => return Err(BadServer::Form),
        };
        let server = Self(Arc::new(Address { form, shown: shown(url), url: url.to_owned() }));
        server.check()?;
        Ok(server)
    }
}

/// The URL without its password. A socket's query is left out, since that is where its password stands.
fn shown(url: &str) -> String {
    let url = url.split_once('?').map_or(url, |(url, _)| url);
    let (Some((scheme, _)), Some(parts)) = (url.split_once("://"), Parts::of(url)) else {
        return String::new();
    };
    let login = match parts.login.map(|login| login.split_once(':').unwrap_or((login, ""))) {
        Some((user, "")) => format!("{user}@"),
        Some((user, _)) => format!("{user}:***@"),
        None => String::new(),
    };
    let path = if parts.path.is_empty() { String::new() } else { format!("/{}", parts.path) };
    format!("{scheme}://{login}{}{path}", parts.hosts)
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.shown)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({})", self.0.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_shown_without_its_password() {
        for (url, shown) in [
            ("redis://127.0.0.1:6379", "redis://127.0.0.1:6379"),
            ("redis://db/2", "redis://db/2"),
            ("redis://dpow:hunter2@db:6379/2", "redis://dpow:***@db:6379/2"),
            ("redis://:hunter2@db", "redis://:***@db"),
            ("redis://:hunter2%40@[::1]:1/0", "redis://:***@[::1]:1/0"),
            ("redis+unix:///run/redis.sock?pass=hunter2&db=1", "redis+unix:///run/redis.sock"),
            ("redis+sentinel://:hunter2@a:1,b:2/ledger", "redis+sentinel://:***@a:1,b:2/ledger"),
            ("redis+cluster://dpow:hunter2@a:1,b:2,c:3", "redis+cluster://dpow:***@a:1,b:2,c:3"),
        ] {
            let server: Server = url.parse().unwrap();
            assert_eq!(
                (server.to_string(), format!("{server:?}")),
                (shown.into(), format!("Server({shown})"))
            );
        }
    }

    #[test]
    fn what_is_no_server_is_refused_without_being_repeated() {
        for bad in [
            "",
            "hunter2",
            "redis:hunter2",
            "http://hunter2",
            "redis://a:1,b:2",
            "redis://a:port",
            "redis+sentinel://a:1,b:2",
            "redis+cluster://a:1/3",
            "redis+cluster://a:hunter2",
        ] {
            let error = bad.parse::<Server>().unwrap_err();
            assert_eq!(error, BadServer::Form, "{bad}");
            assert!(!error.to_string().contains("hunter2"));
        }
        assert_eq!("rediss://a".parse::<Server>(), Err(BadServer::Encrypted));
    }
}
