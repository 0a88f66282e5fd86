//! Where connections come from.

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tracing::debug;

/// A socket that clients connect to.
pub trait Listener: Send + Sync + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// Who is at the other end, as far as the socket can tell.
    type Peer: Clone + Send + Sync + 'static;

    /// The next connection.
    ///
    /// # Errors
    /// When a client has gone before it was accepted, or the system has no room for it. The listener stays as it was.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, Self::Peer)>> + Send;
}

impl Listener for TcpListener {
    type Stream = TcpStream;
    type Peer = SocketAddr;

    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, address) = Self::accept(self).await?;
        // Answers are one small write each; waiting to fill a packet would only delay them.
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "a connection is without TCP_NODELAY");
        }
        Ok((stream, address))
    }
}

/// Who may connect is decided by the permissions of the socket's file; the other end has no address.
impl Listener for UnixListener {
    type Stream = UnixStream;
    type Peer = ();

    async fn accept(&self) -> io::Result<(UnixStream, ())> {
        let (stream, _) = Self::accept(self).await?;
        Ok((stream, ()))
    }
}

/// A TCP listener that closes at once, unread, the connections of those who may not connect.
#[derive(Debug)]
pub struct Screened<A> {
    /// The socket.
    pub listener: TcpListener,
    /// Who may connect.
    pub allows: A,
}

impl<A: Fn(IpAddr) -> bool + Send + Sync + 'static> Listener for Screened<A> {
    type Stream = TcpStream;
    type Peer = SocketAddr;

    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        loop {
            let (stream, address) = Listener::accept(&self.listener).await?;
            // Of an IPv4 client on an IPv6 socket, the address that an operator would write.
            if (self.allows)(address.ip().to_canonical()) {
                return Ok((stream, address));
            }
            debug!(client.address = %address.ip(), "a connection was closed: its address is not allowed here");
        }
    }
}
