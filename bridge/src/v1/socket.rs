//! `GET /v1/ws`: any number of requests over one WebSocket, answered in whatever order their works are found.
//!
//! Always: each frame `work` is answered by one frame, `answer` or `problem`, as long as the connection lives. A client that closes
//! it has withdrawn what was open; one whose connection breaks has [`SOCKET_LINGER`] to ask again under the same names, and joins
//! what goes on so long.

pub(crate) mod frame;

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::HeaderMap;
use axum::http::header::SEC_WEBSOCKET_PROTOCOL;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use serde::Serialize;
use shared::{Refusal, RequestId};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::answer::{self, Given};
use crate::credential::bearer;
use crate::edge::Edge;
use crate::limits::{
    REST_BODY_BYTES_MAX, SOCKET_IDLE_MAX, SOCKET_IN_FLIGHT_MAX, SOCKET_KEY_TIMEOUT, SOCKET_LINGER,
    SOCKET_PING_EVERY,
};
use crate::metrics::{Code, Exchange, Route};
use crate::problem::{Problem, Trouble};
use crate::serve::Guest;
use crate::source::{Asker, Source, WorkRequest};
use frame::{Frame, Unread, Word};

/// The sub-protocol that is spoken here. It need not be named; a page names it beside its key.
const PROTOCOL: &str = "dpow";
/// What a key is written behind among the sub-protocols: a page cannot set `Authorization`.
const KEY_PROTOCOL: &str = "dpow.key.";
/// What a client is told when the server stops.
const GOODBYE: &str = Refusal::Draining.code();
/// How often it is looked whether the key is still good, and the client still there.
const TICK: Duration = Duration::from_secs(1);

/// A request, and how it ended.
type Outcome = (RequestId, Exchange, Result<Given, Problem>);

/// Opens a WebSocket for many requests at once.
///
/// `docs/api.md` says what is said on it. The key may also be named among the sub-protocols (`dpow`, `dpow.key.KEY`), or in the
/// first frame.
#[utoipa::path(
    get,
    path = "/v1/ws",
    tag = "work",
    responses((status = 101, description = "The connection is a WebSocket from now on"))
)]
pub(crate) async fn open<S: Source>(State(edge): State<Edge<S>>, request: Request) -> Response {
    let exchange = Exchange::begin(Route::Socket);
    let refuse = |exchange: Exchange, problem: Problem| {
        exchange.finish(problem.code());
        problem.into_response()
    };
    let (mut parts, _) = request.into_parts();
    let key = key_of(&parts.headers).map(str::to_owned);
    let asker = match (&key, edge.payer()) {
        (None, None) => None,
        _ => match edge.authenticate(&parts, key.as_deref()) {
            Ok(asker) => Some(asker),
            Err(refusal) => return refuse(exchange, Problem::refused(refusal, None)),
        },
    };
    let Ok(upgrade) = WebSocketUpgrade::from_request_parts(&mut parts, &()).await else {
        return refuse(exchange, Problem::unasked(Trouble::NoWebSocket));
    };
    let Ok(place) = edge.sockets().try_acquire_owned() else {
        return refuse(exchange, Problem::refused(Refusal::Overloaded, None));
    };
    // Taken out, so that it can be given back before the rest.
    let guest = parts.extensions.remove::<Guest>();
    exchange.finish(Code::Ok);
    upgrade
        .protocols([PROTOCOL])
        .read_buffer_size(REST_BODY_BYTES_MAX)
        .max_message_size(REST_BODY_BYTES_MAX)
        .max_frame_size(REST_BODY_BYTES_MAX)
        .on_upgrade(move |socket| serve(socket, edge, Opened { parts, key, asker, guest }, place))
}

/// The key in the header, or among the sub-protocols.
fn key_of(headers: &HeaderMap) -> Option<&str> {
    let named = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    let key =
        named.flat_map(|value| value.split(',')).find_map(|name| name.trim().strip_prefix(KEY_PROTOCOL));
    bearer(headers).or(key)
}

/// Who has opened a connection, as far as that is known.
struct Opened {
    /// Of the request that opened it: from where it is counts as well.
    parts: Parts,
    key: Option<String>,
    asker: Option<Asker>,
    guest: Option<Guest>,
}

async fn serve<S: Source>(mut socket: WebSocket, edge: Edge<S>, opened: Opened, place: OwnedSemaphorePermit) {
    let Opened { parts, key, asker, mut guest } = opened;
    let named = if let Some(asker) = asker {
        Some((asker, key))
    } else {
        tokio::select! {
            named = first_key(&mut socket, &edge, &parts) => named,
            () = leaving(&mut guest) => {
                close(&mut socket, close_code::AWAY, GOODBYE).await;
                None
            }
        }
    };
    let Some((asker, key)) = named else { return };
    let welcome = Word::Welcome {
        service: asker.service,
        in_flight_max: SOCKET_IN_FLIGHT_MAX,
        ping_ms: u64::try_from(SOCKET_PING_EVERY.as_millis()).unwrap_or(u64::MAX),
    };
    let (asks, heard) = (FuturesUnordered::new(), Instant::now());
    let mut session = Session { socket, edge, asker, parts, key, asks, heard, is_leaving: false };
    let is_lost = session.send(&welcome).await.is_ok() && session.run(&mut guest).await == End::Lost;
    // From here on nothing is said any more.
    drop(guest);
    if is_lost {
        // Whoever comes back in time joins what goes on; what is found meanwhile is free for whoever comes later.
        let _ = timeout(SOCKET_LINGER, async { while session.asks.next().await.is_some() {} }).await;
    }
    drop(place);
}

/// Waits for the frame that names the key. Without a good one the connection is closed.
async fn first_key<S: Source>(
    socket: &mut WebSocket,
    edge: &Edge<S>,
    parts: &Parts,
) -> Option<(Asker, Option<String>)> {
    let first = timeout(SOCKET_KEY_TIMEOUT, socket.recv()).await;
    let key = match first {
        Ok(Some(Ok(Message::Text(text)))) => frame::key(&text),
        _ => None,
    };
    match edge.authenticate(parts, key.as_deref()) {
        Ok(asker) => Some((asker, key)),
        Err(refusal) => {
            let problem = Word::from(Problem::refused(refusal, None));
            let _ = send(socket, &problem).await;
            close(socket, close_code::POLICY, refusal.code()).await;
            None
        }
    }
}

/// Waits until the server stops.
async fn leaving(guest: &mut Option<Guest>) {
    match guest {
        Some(guest) => guest.leaving().await,
        // Served by somebody else, who does not say.
        None => std::future::pending().await,
    }
}

async fn send(socket: &mut WebSocket, word: &impl Serialize) -> Result<(), End> {
    let text = serde_json::to_string(word).map_err(|_| End::Closed)?;
    socket.send(Message::Text(text.into())).await.map_err(|_| End::Lost)
}

async fn close(socket: &mut WebSocket, code: u16, reason: &'static str) {
    let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
    // It may be gone already.
    let _ = socket.send(Message::Close(Some(frame))).await;
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// By a word of either side: what was open is withdrawn.
    Closed,
    /// It broke.
    Lost,
}

/// A connection of a service.
struct Session<S> {
    socket: WebSocket,
    edge: Edge<S>,
    asker: Asker,
    parts: Parts,
    key: Option<String>,
    asks: FuturesUnordered<BoxFuture<'static, Outcome>>,
    /// When something last came.
    heard: Instant,
    /// Whether the server stops: then what is open is answered, and nothing else.
    is_leaving: bool,
}

impl<S: Source> Session<S> {
    async fn send(&mut self, word: &Word) -> Result<(), End> {
        send(&mut self.socket, word).await
    }

    async fn end(&mut self, code: u16, reason: &'static str) -> End {
        close(&mut self.socket, code, reason).await;
        End::Closed
    }

    async fn run(&mut self, guest: &mut Option<Guest>) -> End {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut pinged = Instant::now();
        loop {
            let went = tokio::select! {
                received = self.socket.recv() => {
                    self.heard = Instant::now();
                    match received {
                        Some(Ok(message)) => self.message(message).await,
                        Some(Err(_)) | None => Err(End::Lost),
                    }
                }
                Some((request, exchange, ended)) = self.asks.next() => self.ended(request, exchange, ended).await,
                _ = tick.tick() => self.look_round(&mut pinged).await,
                () = leaving(guest), if !self.is_leaving => {
                    self.is_leaving = true;
                    self.end_if_left().await
                }
            };
            if let Err(end) = went {
                return end;
            }
        }
    }

    async fn message(&mut self, message: Message) -> Result<(), End> {
        match message {
            Message::Text(text) => match Frame::read(&text, self.edge.source().network()) {
                Ok(Frame::Work(request, ask)) => self.begin(request, ask).await,
                Ok(Frame::Withdraw(request)) => {
                    self.edge.source().withdraw(self.asker.service, request).await;
                    self.send(&Word::Withdrawn { request_id: request }).await
                }
                Ok(Frame::Ping) => self.send(&Word::Pong).await,
                Err(Unread { malformed, request }) => {
                    let problem = Problem::malformed(&malformed).about(request);
                    self.send(&problem.into()).await
                }
            },
            Message::Binary(_) => Err(self.end(close_code::UNSUPPORTED, "frames are JSON texts").await),
            Message::Close(_) => Err(End::Closed),
            // Answered beneath.
            Message::Ping(_) | Message::Pong(_) => Ok(()),
        }
    }

    async fn begin(&mut self, request: RequestId, ask: WorkRequest) -> Result<(), End> {
        let exchange = Exchange::begin(Route::Socket);
        let refusal = if self.is_leaving {
            Some(Refusal::Draining)
        } else if self.asks.len() >= SOCKET_IN_FLIGHT_MAX {
            Some(Refusal::Overloaded)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            let problem = Problem::refused(refusal, Some(request));
            return self.ended(request, exchange, Err(problem)).await;
        }
        let (edge, asker) = (self.edge.clone(), self.asker);
        self.asks.push(Box::pin(async move {
            let ended = answer::ask(&edge, asker, ask).await;
            (request, exchange, ended)
        }));
        Ok(())
    }

    async fn ended(
        &mut self,
        request: RequestId,
        exchange: Exchange,
        ended: Result<Given, Problem>,
    ) -> Result<(), End> {
        match ended {
            Ok(given) => {
                exchange.finish(Code::Ok);
                self.send(&given.into()).await?;
            }
            Err(problem) => {
                let code = problem.code();
                exchange.finish(code);
                self.send(&problem.about(Some(request)).into()).await?;
                self.is_leaving |= code == Code::from(Refusal::Draining);
            }
        }
        self.end_if_left().await
    }

    /// Says goodbye once the server stops and everything has its answer.
    async fn end_if_left(&mut self) -> Result<(), End> {
        let is_over = self.is_leaving && self.asks.is_empty();
        if is_over { Err(self.end(close_code::AWAY, GOODBYE).await) } else { Ok(()) }
    }

    /// A key that is no longer good ends the connection, as does a client that says nothing any more.
    async fn look_round(&mut self, pinged: &mut Instant) -> Result<(), End> {
        if let Err(refusal) = self.edge.authenticate(&self.parts, self.key.as_deref()) {
            self.send(&Problem::refused(refusal, None).into()).await?;
            // A request outlives the key that it came in with.
            close(&mut self.socket, close_code::POLICY, refusal.code()).await;
            return Err(End::Lost);
        }
        if self.heard.elapsed() >= SOCKET_IDLE_MAX {
            close(&mut self.socket, close_code::AWAY, "nothing was heard").await;
            return Err(End::Lost);
        }
        if pinged.elapsed() >= SOCKET_PING_EVERY {
            *pinged = Instant::now();
            self.socket.send(Message::Ping(Bytes::new())).await.map_err(|_| End::Lost)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_key_is_found_among_the_protocols() {
        let protocols = |value: &'static str| {
            HeaderMap::from_iter([(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(value))])
        };
        for (value, key) in [
            ("dpow, dpow.key.dpow_live_a_b", Some("dpow_live_a_b")),
            ("dpow.key.k1,dpow", Some("k1")),
            ("dpow", None),
        ] {
            assert_eq!(key_of(&protocols(value)), key, "{value}");
        }
    }
}
