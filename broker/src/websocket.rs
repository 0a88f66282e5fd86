//! MQTT over WebSocket (MQTT 3.1.1 chapter 6, MQTT 5 chapter 6; RFC 6455).
//!
//! The `Origin` of a request is not looked at. It protects servers that know a browser's user by a cookie from pages of others;
//! here a page has to bring a login of its own in its CONNECT, and could as well be any other program.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures_util::{Sink, Stream};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Request, Response, StatusCode};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Error as SocketError};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};

use crate::gate::{Peer, Shared, accept};

/// The paths at which MQTT is served.
pub const PATHS: [&str; 3] = ["/", "/mqtt", "/mqtt/"];
/// The sub-protocol that a client must offer.
pub const SUBPROTOCOL: &str = "mqtt";

/// Bytes of one frame, and of one message: more than the largest packet of any client, since a message may hold several.
const MESSAGE_MAX: usize = 64 * 1024;
/// Bytes that are read at once, and that an idle connection keeps reserved.
const READ_SIZE: usize = 1024;

/// An upgrade that is not agreed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotAgreed {
    /// Not one of [`PATHS`].
    #[error("MQTT is served at /mqtt")]
    Path,
    /// [`SUBPROTOCOL`] is not offered.
    #[error("the sub-protocol mqtt must be offered")]
    Subprotocol,
    /// Not an upgrade to a WebSocket of RFC 6455.
    #[error("a WebSocket upgrade is wanted here")]
    Upgrade,
}

impl NotAgreed {
    /// The status of the answer.
    pub const fn status(self) -> u16 {
        match self {
            Self::Path => 404,
            Self::Subprotocol => 400,
            Self::Upgrade => 426,
        }
    }
}

/// Answers an upgrade request that has come over somebody else's HTTP server. When the answer has been sent, the stream goes to
/// [`Entrance::serve_websocket`](crate::Entrance::serve_websocket).
///
/// # Errors
/// [`NotAgreed`] when it asks for something else than MQTT over WebSocket.
pub fn agree<B>(request: &Request<B>) -> Result<Response<()>, NotAgreed> {
    let mut response = create_response_with_body(request, || ()).map_err(|_| NotAgreed::Upgrade)?;
    check(request)?;
    set_subprotocol(&mut response);
    Ok(response)
}

fn check<B>(request: &Request<B>) -> Result<(), NotAgreed> {
    if !PATHS.contains(&request.uri().path()) {
        return Err(NotAgreed::Path);
    }
    let offers =
        request.headers().get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    if offers.flat_map(|value| value.split(',')).any(|offer| offer.trim() == SUBPROTOCOL) {
        Ok(())
    } else {
        Err(NotAgreed::Subprotocol)
    }
}

fn set_subprotocol<B>(response: &mut Response<B>) {
    response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
}

/// Serves a TCP connection that has to become a WebSocket first, within the time that a client has for its CONNECT.
pub(crate) fn take(shared: &Arc<Shared>, token: mpsc::Sender<()>, stream: TcpStream, remote: SocketAddr) {
    let handshake = timeout(shared.limits.connect_timeout, shake_hands(stream));
    accept(shared, token, handshake, None, Peer { remote, is_proxy: true });
}

#[expect(clippy::result_large_err, reason = "the library's callback is so")]
async fn shake_hands<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> io::Result<WebSocketIo<S>> {
    let callback = |request: &Request<()>, mut response: Response<()>| match check(request) {
        Ok(()) => {
            set_subprotocol(&mut response);
            Ok(response)
        }
        Err(problem) => {
            let mut refusal = Response::new(Some(problem.to_string()));
            *refusal.status_mut() = StatusCode::from_u16(problem.status()).unwrap_or(StatusCode::BAD_REQUEST);
            Err(refusal)
        }
    };
    let socket = accept_hdr_async_with_config(stream, callback, Some(config())).await.map_err(io_error)?;
    Ok(WebSocketIo { socket, unread: Bytes::new() })
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_SIZE)
        // What is written is a batch already.
        .write_buffer_size(0)
        .max_frame_size(Some(MESSAGE_MAX))
        .max_message_size(Some(MESSAGE_MAX))
}

/// A WebSocket as the stream of bytes that its binary frames carry. Where one frame ends means nothing.
pub(crate) struct WebSocketIo<S> {
    socket: WebSocketStream<S>,
    /// What of the last frame has not been read.
    unread: Bytes,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocketIo<S> {
    /// Takes over after the HTTP part.
    pub(crate) async fn after_upgrade(stream: S) -> Self {
        let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config())).await;
        Self { socket, unread: Bytes::new() }
    }

    /// Says that text is not served, if that can be said at once, and ends the stream.
    fn refuse_text(&mut self, cx: &mut Context<'_>) -> io::Error {
        let close = CloseFrame { code: CloseCode::Unsupported, reason: tungstenite::Utf8Bytes::default() };
        let mut socket = Pin::new(&mut self.socket);
        if socket.as_mut().poll_ready(cx).is_ready()
            && socket.as_mut().start_send(Message::Close(Some(close))).is_ok()
        {
            let _ = socket.poll_flush(cx);
        }
        io::ErrorKind::InvalidData.into()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocketIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.unread.is_empty() {
            match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                Some(Ok(Message::Binary(bytes))) => self.unread = bytes,
                Some(Ok(Message::Text(_))) => return Poll::Ready(Err(self.refuse_text(cx))),
                // The library answers a ping and a close by itself, the latter when it is asked for what comes next: nothing.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_))) => {}
                None => return Poll::Ready(Ok(())),
                Some(Err(error)) => return Poll::Ready(Err(io_error(error))),
            }
        }
        let count = buffer.remaining().min(self.unread.len());
        buffer.put_slice(&self.unread[..count]);
        self.unread.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WebSocketIo<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // Ready once the frame before is written, so at most one waits here.
        ready!(Pin::new(&mut self.socket).poll_ready(cx)).map_err(io_error)?;
        let message = Message::Binary(Bytes::copy_from_slice(bytes));
        Pin::new(&mut self.socket).start_send(message).map_err(io_error)?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx).map_err(io_error)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_close(cx).map_err(io_error)
    }
}

fn io_error(error: SocketError) -> io::Error {
    match error {
        SocketError::Io(error) => error,
        other => io::Error::other(other),
    }
}
