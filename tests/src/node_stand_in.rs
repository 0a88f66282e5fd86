//! A Nano node as far as its work peers see it: one connection for each job, the very bytes that a node sends, no time limits, and
//! answers read as a node reads them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use shared::Account;
use shared::pow::{Nonce, Root, Threshold};

use crate::PATIENCE;
use crate::oracle;

/// A job that a node has asked for, on a connection of its own. Dropping it closes the connection, as a node does that has lost
/// interest.
#[derive(Debug)]
pub struct NodeJob {
    stream: TcpStream,
    root: Root,
    threshold: Threshold,
}

/// The header of both requests: no agent, no key, and a host without its port.
fn post(peer: SocketAddr, body: &str) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(peer)?;
    let (host, length) = (peer.ip(), body.len());
    write!(
        stream,
        "POST / HTTP/1.1\r\nContent-Type: application/json\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    Ok(stream)
}

impl NodeJob {
    /// Asks a peer for work.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn generate(
        peer: SocketAddr,
        root: Root,
        threshold: Threshold,
        account: Option<Account>,
    ) -> anyhow::Result<Self> {
        let account =
            account.map_or_else(String::new, |account| format!(",\n    \"account\": \"{account}\""));
        let body = format!(
            "{{\n    \"action\": \"work_generate\",\n    \"hash\": \"{root}\",\n    \"difficulty\": \"{threshold}\"{account}\n}}\n"
        );
        let stream = post(peer, &body)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, root, threshold })
    }

    /// Says that a job is no longer wanted, on a connection of its own that is closed without an answer.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn cancel(peer: SocketAddr, root: Root) -> anyhow::Result<()> {
        post(peer, &format!("{{\n    \"action\": \"work_cancel\",\n    \"hash\": \"{root}\"\n}}\n")).map(drop)
    }

    /// Waits for the answer, and demands work that the node would accept. The error is what the node would log.
    ///
    /// # Errors
    /// When the node would hang for ever, or count a failure.
    pub fn work(mut self) -> anyhow::Result<Nonce> {
        let body = self.reply()?;
        let json: Value = serde_json::from_str(&body).context("the answer is no JSON")?;
        if let Some(error) = json.get("error") {
            bail!("the peer is bad: {error}");
        }
        let work = json["work"].as_str().context("the answer has no work")?;
        let nonce = u64::from_str_radix(work, 16).map(Nonce::new).context("the work is no number")?;
        oracle::verify(self.root, nonce, self.threshold)?;
        Ok(nonce)
    }

    /// The body of the answer. A node passes over any status but 200 in silence, and waits for ever.
    ///
    /// # Errors
    /// When there is another status, or no answer.
    pub fn reply(&mut self) -> anyhow::Result<String> {
        let mut bytes = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&bytes);
            if let Some((header, body)) = text.split_once("\r\n\r\n") {
                ensure!(header.starts_with("HTTP/1.1 200 "), "the node hangs for ever: {header}");
                let length = header.lines().find_map(|line| {
                    let (name, value) = line.split_once(": ")?;
                    name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().ok())?
                });
                if body.len() >= length.context("the answer has no length")? {
                    return Ok(body.to_owned());
                }
            }
            let mut some = [0; 1024];
            let count = self.stream.read(&mut some)?;
            ensure!(count > 0, "the connection ended before the answer");
            bytes.extend_from_slice(&some[..count]);
        }
    }
}
