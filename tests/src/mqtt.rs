//! MQTT 3.1.1 on a bare socket, so that a test can send what no well-meaning client would.
//!
//! # Source
//! MQTT 3.1.1 (OASIS) sections 2.2 and 3.1 to 3.9.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use anyhow::{Context, bail, ensure};

use crate::PATIENCE;

/// First byte of each packet that is sent.
const CONNECT: u8 = 0x10;
const PUBLISH_AT_LEAST_ONCE: u8 = 0x32;
const SUBSCRIBE: u8 = 0x82;

/// Upper half of the first byte of each packet that is received.
const CONNACK: u8 = 2;
const PUBLISH: u8 = 3;
const PUBACK: u8 = 4;
const SUBACK: u8 = 9;

/// A message that has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Where it was published.
    pub topic: String,
    /// What.
    pub payload: Vec<u8>,
}

/// A connection, logged in.
#[derive(Debug)]
pub struct Mqtt {
    stream: TcpStream,
    /// Messages that came while something else was waited for.
    inbox: VecDeque<Delivery>,
    packet_id: u16,
}

impl Mqtt {
    /// What a SUBACK says of a filter that is not allowed.
    pub const REFUSED: u8 = 0x80;

    /// Connects and logs in, with a clean session.
    pub(crate) fn connect(
        server: SocketAddr,
        user: &str,
        password: &str,
        client_id: &str,
    ) -> anyhow::Result<Self> {
        let stream = TcpStream::connect_timeout(&server, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let mut mqtt = Self { stream, inbox: VecDeque::new(), packet_id: 0 };
        // Protocol level 4; user name, password, clean session; a keep-alive of two minutes.
        let mut body = [text("MQTT")?, vec![4, 0b1100_0010, 0, 120]].concat();
        for field in [client_id, user, password] {
            body.extend(text(field)?);
        }
        mqtt.send(CONNECT, &body)?;
        match mqtt.packet()? {
            (CONNACK, body) if body == [0, 0] => Ok(mqtt),
            (kind, body) => bail!("no login as {user}: packet {kind} {body:?}"),
        }
    }

    /// Subscribes at quality of service 0, and returns what is said of each filter: the quality granted, or [`Self::REFUSED`].
    ///
    /// # Errors
    /// When nothing is said.
    pub fn subscribe(&mut self, filters: &[&str]) -> anyhow::Result<Vec<u8>> {
        let id = self.next_packet_id();
        let mut body = id.to_vec();
        for filter in filters {
            body.extend(text(filter)?);
            body.push(0);
        }
        self.send(SUBSCRIBE, &body)?;
        let answer = self.answer(SUBACK)?;
        let codes = answer.strip_prefix(&id).context("a SUBACK to another packet")?;
        ensure!(codes.len() == filters.len(), "a SUBACK of {} codes for {filters:?}", codes.len());
        Ok(codes.to_vec())
    }

    /// Publishes at quality of service 1, and waits until that is acknowledged.
    ///
    /// # Errors
    /// When it is not.
    pub fn publish(&mut self, topic: &str, payload: &[u8]) -> anyhow::Result<()> {
        let id = self.next_packet_id();
        self.send(PUBLISH_AT_LEAST_ONCE, &[&text(topic)?, &id[..], payload].concat())?;
        let answer = self.answer(PUBACK)?;
        ensure!(answer == id, "a PUBACK to another packet");
        Ok(())
    }

    /// Waits for a message in which `find` finds something; the others are dropped.
    ///
    /// # Errors
    /// When none comes.
    pub fn wait_until<T>(
        &mut self,
        what: &str,
        mut find: impl FnMut(&Delivery) -> Option<T>,
    ) -> anyhow::Result<T> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let delivery = self.receive().with_context(|| format!("waiting for {what}"))?;
            if let Some(found) = find(&delivery) {
                return Ok(found);
            }
            ensure!(Instant::now() < deadline, "waited too long for {what}");
        }
    }

    /// The next message.
    ///
    /// # Errors
    /// When none comes.
    pub fn receive(&mut self) -> anyhow::Result<Delivery> {
        if let Some(delivery) = self.inbox.pop_front() {
            return Ok(delivery);
        }
        match self.packet()? {
            (PUBLISH, body) => delivery(&body),
            (kind, _) => bail!("packet {kind} where a message was expected"),
        }
    }

    /// Waits until the server has ended the connection; what comes before that is dropped.
    ///
    /// # Errors
    /// When it does not.
    pub fn wait_until_closed(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let Err(error) = self.packet() else { continue };
            let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
            let is_waiting = matches!(kind, Some(io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut));
            ensure!(!is_waiting, "the connection is still open");
            return Ok(());
        }
        bail!("the connection is still open, and busy")
    }

    /// The answer of a kind; messages before it are kept.
    fn answer(&mut self, wanted: u8) -> anyhow::Result<Vec<u8>> {
        loop {
            match self.packet()? {
                (PUBLISH, body) => self.inbox.push_back(delivery(&body)?),
                (kind, body) if kind == wanted => return Ok(body),
                (kind, _) => bail!("packet {kind} where {wanted} was expected"),
            }
        }
    }

    fn next_packet_id(&mut self) -> [u8; 2] {
        self.packet_id += 1;
        self.packet_id.to_be_bytes()
    }

    fn send(&mut self, first: u8, body: &[u8]) -> anyhow::Result<()> {
        let mut packet = vec![first];
        let mut length = body.len();
        while length >= 128 {
            packet.push(u8::try_from(length % 128)? | 128);
            length /= 128;
        }
        packet.push(u8::try_from(length)?);
        packet.extend(body);
        Ok(self.stream.write_all(&packet)?)
    }

    /// The next packet: its kind and what follows the length.
    fn packet(&mut self) -> anyhow::Result<(u8, Vec<u8>)> {
        let first = self.byte()?;
        let mut length = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            length |= usize::from(byte & 127) << shift;
            if byte < 128 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok((first >> 4, body))
    }

    fn byte(&mut self) -> anyhow::Result<u8> {
        let mut byte = [0];
        self.stream.read_exact(&mut byte)?;
        Ok(byte[0])
    }
}

/// A text with its length before it.
fn text(text: &str) -> anyhow::Result<Vec<u8>> {
    Ok([&u16::try_from(text.len())?.to_be_bytes(), text.as_bytes()].concat())
}

/// What a PUBLISH at quality of service 0 carries.
fn delivery(body: &[u8]) -> anyhow::Result<Delivery> {
    let (length, rest) = body.split_first_chunk().context("a PUBLISH without a topic")?;
    let length = usize::from(u16::from_be_bytes(*length));
    let (topic, payload) = rest.split_at_checked(length).context("a PUBLISH with half a topic")?;
    Ok(Delivery { topic: String::from_utf8(topic.to_vec())?, payload: payload.to_vec() })
}
