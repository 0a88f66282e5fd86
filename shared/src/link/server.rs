//! Where workers and services connect to.

use core::fmt;
use core::str::FromStr;

use thiserror::Error;

/// The port of MQTT without TLS.
const PORT_DEFAULT: u16 = 1883;

/// An MQTT server, written `mqtt://host:port`. The port may be left out: it is then 1883. An IPv6 address stands in
/// brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    host: String,
    port: u16,
}

/// A text that is not a server's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadServer {
    /// Another protocol, or none.
    #[error("a server is written mqtt://host:port")]
    Scheme,
    /// Encrypted connections.
    #[error("mqtts:// is not spoken yet; use mqtt:// through a tunnel or on the server's own machine")]
    Encrypted,
    /// No host, or characters that none has.
    #[error("the server's host is a name, an IPv4 address, or an IPv6 address in brackets")]
    Host,
    /// Not a port.
    #[error("the server's port is a number from 1 to 65535")]
    Port,
}

impl Server {
    /// The server at `host` (IPv6 addresses in brackets) and `port`.
    ///
    /// # Errors
    /// [`BadServer`] when either cannot be one.
    pub fn try_new(host: &str, port: u16) -> Result<Self, BadServer> {
        let is_address = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .is_some_and(|address| address.parse::<core::net::Ipv6Addr>().is_ok());
        let is_name = !host.is_empty()
            && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
        match port {
            0 => Err(BadServer::Port),
            _ if is_address || is_name => Ok(Self { host: host.into(), port }),
            _ => Err(BadServer::Host),
        }
    }

    /// The name or address; an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port.
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for Server {
    type Err = BadServer;

    fn from_str(text: &str) -> Result<Self, BadServer> {
        if text.starts_with("mqtts://") {
            return Err(BadServer::Encrypted);
        }
        let address = text.strip_prefix("mqtt://").ok_or(BadServer::Scheme)?;
        let address = address.strip_suffix('/').unwrap_or(address);
        // A colon inside brackets belongs to the address.
        match address.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
            Some((host, port)) => Self::try_new(host, port.parse().map_err(|_| BadServer::Port)?),
            None => Self::try_new(address, PORT_DEFAULT),
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mqtt://{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written_alike() {
        for (text, host, port) in [
            ("mqtt://127.0.0.1:1883", "127.0.0.1", 1883),
            ("mqtt://dpow.example", "dpow.example", 1883),
            ("mqtt://dpow.example:8883/", "dpow.example", 8883),
            ("mqtt://[::1]:1884", "[::1]", 1884),
            ("mqtt://[::1]", "[::1]", 1883),
        ] {
            let server: Server = text.parse().unwrap();
            assert_eq!((server.host(), server.port()), (host, port), "{text}");
            assert_eq!(server.to_string().parse(), Ok(server));
        }
    }

    #[test]
    fn what_cannot_be_a_server_is_refused() {
        for (text, error) in [
            ("127.0.0.1:1883", BadServer::Scheme),
            ("http://127.0.0.1", BadServer::Scheme),
            ("mqtts://dpow.example", BadServer::Encrypted),
            ("mqtt://", BadServer::Host),
            ("mqtt://a b", BadServer::Host),
            ("mqtt://::1:1883", BadServer::Host),
            ("mqtt://[dpow]:1883", BadServer::Host),
            ("mqtt://user@host:1883", BadServer::Host),
            ("mqtt://host:0", BadServer::Port),
            ("mqtt://host:65536", BadServer::Port),
            ("mqtt://host:", BadServer::Port),
        ] {
            assert_eq!(text.parse::<Server>(), Err(error), "{text}");
        }
    }
}
