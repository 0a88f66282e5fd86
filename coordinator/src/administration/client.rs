//! The command's side of the socket.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::Body;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Request as HttpRequest, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use shared::Network;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::request::Envelope;
use super::server::PATH;
use super::socket::{self, SOCKET};
use super::{Reply, Request, Token};

/// How long an answer may take. A read that takes longer, of millions of settlements, is done in the command's own process.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a connection may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// Largest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;
/// How often a request is sent whose connection broke.
const ATTEMPTS: usize = 3;

/// Why there is no answer.
#[derive(Debug, Error)]
pub(crate) enum ClientError {
    /// The address is none.
    #[error("{url} is not an address of a server; write http://HOST:PORT, as in its setting admin.listen")]
    Url {
        /// As given.
        url: String,
    },
    /// The token cannot be read.
    #[error("the operator's token cannot be read from {}; name its file with --token-file", path.display())]
    Token {
        /// From where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Nobody listens there.
    #[error("no server answers at {place}; check the address, and that it runs")]
    Absent {
        /// Where.
        place: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It was sent the request, and has given no answer. Whether a change was carried out is not known.
    #[error("the server at {place} was sent the request, but gave no answer")]
    NoAnswer {
        /// Where.
        place: String,
    },
    /// Somebody else listens there, or another version.
    #[error("what answers at {place} is no server of dpow that this program knows ({detail})")]
    Foreign {
        /// Where.
        place: String,
        /// What it said.
        detail: String,
    },
    /// It has refused, in its own words.
    #[error("{detail}")]
    Refused {
        /// The stable code.
        code: String,
        /// What is wrong and what to do.
        detail: String,
    },
}

/// Asks a server.
#[derive(Debug)]
pub(crate) struct Client {
    network: Network,
    endpoint: Endpoint,
}

enum Endpoint {
    /// The data directory.
    Socket(PathBuf),
    Tcp {
        /// `host:port`
        authority: String,
        token: Zeroizing<String>,
    },
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.place())
    }
}

/// What of a problem document is shown.
#[derive(Deserialize)]
struct Problem {
    code: String,
    detail: String,
}

/// Why one attempt failed.
enum Attempt {
    /// It never got there.
    Absent(io::Error),
    /// It may have got there.
    Broken,
    /// It has got there, as far as can be told.
    Late,
    Failed(ClientError),
}

impl Client {
    /// Of the server that runs on a data directory.
    pub(super) fn of_directory(network: Network, directory: &Path) -> Self {
        Self { network, endpoint: Endpoint::Socket(directory.into()) }
    }

    /// Of a server at `http://host:port`.
    ///
    /// # Errors
    /// When either is not usable.
    pub(super) fn remote(network: Network, url: &str, token: &Token) -> Result<Self, ClientError> {
        let uri: Option<Uri> = url.parse().ok();
        let is_plain = |uri: &Uri| uri.scheme_str() == Some("http") && matches!(uri.path(), "" | "/");
        let authority = uri.filter(is_plain).and_then(|uri| uri.authority().cloned());
        let authority = authority.filter(|authority| authority.port().is_some());
        let authority = authority.ok_or_else(|| ClientError::Url { url: url.into() })?.to_string();
        let token = Zeroizing::new(match token {
            Token::Configured(token) => token.expose().to_owned(),
            Token::File(path) => {
                let text = fs::read_to_string(path).map(Zeroizing::new);
                let text = text.map_err(|source| ClientError::Token { path: path.clone(), source })?;
                text.trim().to_owned()
            }
        });
        Ok(Self { network, endpoint: Endpoint::Tcp { authority, token } })
    }

    /// Asks. A request whose connection broke is sent again, as it was.
    ///
    /// # Errors
    /// [`ClientError`].
    pub(super) async fn ask(&self, request: &Request) -> Result<Reply, ClientError> {
        let envelope = Envelope { network: self.network, request: request.clone() };
        let body = serde_json::to_vec(&envelope).map_err(|error| self.foreign(&error))?;
        let mut was_sent = false;
        for _ in 0..ATTEMPTS {
            match self.attempt(body.clone()).await {
                Ok(reply) => return Ok(reply),
                Err(Attempt::Failed(error)) => return Err(error),
                Err(Attempt::Absent(source)) if !was_sent => {
                    return Err(ClientError::Absent { place: self.endpoint.place(), source });
                }
                Err(Attempt::Absent(_) | Attempt::Late) => break,
                Err(Attempt::Broken) => was_sent = true,
            }
        }
        Err(ClientError::NoAnswer { place: self.endpoint.place() })
    }

    async fn attempt(&self, body: Vec<u8>) -> Result<Reply, Attempt> {
        let (status, answer) = match &self.endpoint {
            Endpoint::Socket(directory) => {
                let stream = connected(socket::connect(directory)).await?;
                exchange(stream, self.post(body)?).await?
            }
            Endpoint::Tcp { authority, .. } => {
                let stream = connected(TcpStream::connect(authority)).await?;
                exchange(stream, self.post(body)?).await?
            }
        };
        if status == StatusCode::OK {
            return serde_json::from_slice(&answer).map_err(|error| Attempt::Failed(self.foreign(&error)));
        }
        match serde_json::from_slice(&answer) {
            Ok(Problem { code, detail }) => Err(Attempt::Failed(ClientError::Refused { code, detail })),
            Err(_) => Err(Attempt::Failed(self.foreign(&status))),
        }
    }

    fn post(&self, body: Vec<u8>) -> Result<HttpRequest<Body>, Attempt> {
        let request = HttpRequest::post(PATH).header(CONTENT_TYPE, "application/json");
        let request = match &self.endpoint {
            Endpoint::Socket(_) => request.header(HOST, "localhost"),
            Endpoint::Tcp { authority, token } => {
                request.header(HOST, authority).header(AUTHORIZATION, format!("Bearer {}", **token))
            }
        };
        request.body(Body::from(body)).map_err(|error| Attempt::Failed(self.foreign(&error)))
    }

    fn foreign(&self, detail: &impl ToString) -> ClientError {
        ClientError::Foreign { place: self.endpoint.place(), detail: detail.to_string() }
    }
}

impl Endpoint {
    fn place(&self) -> String {
        match self {
            Self::Socket(directory) => directory.join(SOCKET).display().to_string(),
            Self::Tcp { authority, .. } => format!("http://{authority}"),
        }
    }
}

async fn connected<S>(connecting: impl Future<Output = io::Result<S>>) -> Result<S, Attempt> {
    let connected = timeout(CONNECT_PATIENCE, connecting).await;
    connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(Attempt::Absent)
}

/// One request and its answer on a connection of their own.
async fn exchange<S>(stream: S, request: HttpRequest<Body>) -> Result<(StatusCode, Vec<u8>), Attempt>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let exchanged = async {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        let connection = tokio::spawn(connection);
        let response = sender.send_request(request).await.ok()?;
        let status = response.status();
        let body = axum::body::to_bytes(Body::new(response.into_body()), ANSWER_BYTES_MAX).await.ok()?;
        connection.abort();
        Some((status, body.to_vec()))
    };
    timeout(PATIENCE, exchanged).await.map_err(|_| Attempt::Late)?.ok_or(Attempt::Broken)
}
