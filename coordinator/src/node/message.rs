//! What a node says, as a frontier.
//!
//! # Source
//! nanocurrency/nano-node `nano/node/websocket.cpp`, message builder; `nano/node/node.cpp`, HTTP callbacks. All values are texts.

use std::borrow::Cow;

use marketplace::precache::{Frontier, Sight};
use serde::Deserialize;
use shared::Network;
use shared::pow::Root;
use thiserror::Error;
use tokio::sync::mpsc;

use super::watchlist::Watchlist;
use crate::metrics::{self, Confirmed};

/// Heights beyond this are lies: so many blocks no chain will ever have, and stores keep numbers up to it.
const HEIGHT_MAX: u64 = 1 << 53;

/// The way of news to the driver.
#[derive(Debug)]
pub(super) struct News {
    pub(super) network: Network,
    pub(super) watchlist: Watchlist,
    pub(super) frontiers: mpsc::Sender<Frontier>,
}

/// Why something that a node said was not understood.
#[derive(Debug, Error)]
pub(super) enum BadMessage {
    #[error("it is not the JSON that a node sends: {0}")]
    Json(#[from] serde_json::Error),
    #[error("it is a confirmation without a message")]
    Empty,
    #[error("`{0}` is not what it should be")]
    Field(&'static str),
}

/// A frame of a WebSocket.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// A block is confirmed.
    Confirmation(Frontier),
    /// A call was acknowledged: which one, and its id.
    Acknowledged(String, Option<String>),
    /// Something else.
    Other,
}

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow)]
    topic: Option<Cow<'a, str>>,
    #[serde(borrow)]
    ack: Option<Cow<'a, str>>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    message: Option<&'a serde_json::value::RawValue>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    account: Cow<'a, str>,
    #[serde(borrow)]
    hash: Cow<'a, str>,
    #[serde(borrow)]
    block: Block<'a>,
    #[serde(borrow)]
    sideband: Option<Sideband<'a>>,
}

/// A block; those of the former kind that opens an account have no predecessor.
#[derive(Deserialize)]
struct Block<'a> {
    #[serde(borrow)]
    previous: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Sideband<'a> {
    #[serde(borrow)]
    height: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Callback<'a> {
    #[serde(borrow)]
    account: Cow<'a, str>,
    #[serde(borrow)]
    hash: Cow<'a, str>,
    #[serde(borrow)]
    block: Cow<'a, str>,
}

impl News {
    /// Reads a frame of a WebSocket.
    pub(super) fn read_frame(&self, text: &str) -> Result<Heard, BadMessage> {
        let frame: Frame<'_> = serde_json::from_str(text)?;
        if frame.topic.as_deref() == Some("confirmation") {
            let Message { account, hash, block, sideband } =
                serde_json::from_str(frame.message.ok_or(BadMessage::Empty)?.get())?;
            let height = sideband.map(|sideband| height(&sideband.height)).transpose()?;
            let previous = block.previous.as_deref();
            return Ok(Heard::Confirmation(self.frontier(&account, &hash, previous, height)?));
        }
        Ok(match frame.ack {
            Some(ack) => Heard::Acknowledged(ack.into_owned(), frame.id.map(Cow::into_owned)),
            None => Heard::Other,
        })
    }

    /// Reads the body of a callback, in which the block is a text.
    pub(super) fn read_callback(&self, body: &[u8]) -> Result<Frontier, BadMessage> {
        let Callback { account, hash, block } = serde_json::from_slice(body)?;
        let block: Block<'_> = serde_json::from_str(&block)?;
        self.frontier(&account, &hash, block.previous.as_deref(), None)
    }

    fn frontier(
        &self,
        account: &str,
        hash: &str,
        previous: Option<&str>,
        height: Option<u64>,
    ) -> Result<Frontier, BadMessage> {
        let account = self.network.parse_address(account).map_err(|_| BadMessage::Field("account"))?;
        let previous = previous.map(|text| root("previous", text)).transpose()?;
        Ok(Frontier {
            account,
            hash: Some(root("hash", hash)?),
            previous: previous.filter(|root| *root.as_bytes() != [0; 32]),
            height,
            sight: Sight::Confirmation,
        })
    }

    /// Tells the driver of a frontier that was read, if its account is watched. Waits while the driver is behind.
    pub(super) async fn tell(&self, frontier: Frontier) {
        let is_watched = self.watchlist.contains(frontier.account);
        if frontier.sight == Sight::Confirmation {
            metrics::confirmed(if is_watched { Confirmed::Watched } else { Confirmed::Stranger });
        }
        if is_watched {
            // A driver that has stopped wants to know nothing more.
            let _ = self.frontiers.send(frontier).await;
        }
    }
}

pub(super) fn root(field: &'static str, text: &str) -> Result<Root, BadMessage> {
    text.parse().map_err(|_| BadMessage::Field(field))
}

pub(super) fn height(text: &str) -> Result<u64, BadMessage> {
    text.parse().ok().filter(|height| *height <= HEIGHT_MAX).ok_or(BadMessage::Field("height"))
}

#[cfg(test)]
mod tests {
    use shared::Account;

    use super::*;

    fn news() -> News {
        let (frontiers, _) = mpsc::channel(1);
        News { network: Network::Live, watchlist: Watchlist::new([]), frontiers }
    }

    fn account() -> Account {
        Account::from_public_key([3; 32])
    }

    /// A frame in a node's form; `change` puts something in the place of something else.
    fn frame(change: (&str, &str)) -> String {
        let (account, digits) = (account(), "AB".repeat(32));
        format!(
            r#"{{"topic":"confirmation","time":"1","message":{{"account":"{account}","amount":"1","hash":"{digits}","confirmation_type":"active_quorum","sideband":{{"height":"7","local_timestamp":"1"}},"block":{{"type":"state","account":"{account}","previous":"{digits}","representative":"{account}","balance":"1","link":"{digits}","link_as_account":"{account}","signature":"00","work":"0000000000000000","subtype":"send"}}}}}}"#
        )
        .replace(change.0, change.1)
    }

    #[test]
    fn a_confirmation_is_read_with_its_predecessor_and_height() {
        let read = |change| match news().read_frame(&frame(change)).unwrap() {
            Heard::Confirmation(frontier) => frontier,
            other => panic!("{other:?}"),
        };
        let hash = Root::new([0xab; 32]);
        let expected = Frontier {
            account: account(),
            hash: Some(hash),
            previous: Some(hash),
            height: Some(7),
            sight: Sight::Confirmation,
        };
        assert_eq!(read(("x", "x")), expected);
        assert_eq!(read(("nano_", "xrb_")), expected, "the former prefix is the same account");
        let zeros = format!(r#""previous":"{}""#, "0".repeat(64));
        let ones = format!(r#""previous":"{}""#, "AB".repeat(32));
        assert_eq!(read((&ones, &zeros)).previous, None);
        assert_eq!(read((&ones, r#""source":"1""#)).previous, None, "as in an open block");
        let sideband = r#""sideband":{"height":"7","local_timestamp":"1"},"#;
        assert_eq!(read((sideband, "")).height, None);
    }

    #[test]
    fn a_callback_is_read_like_a_frame() {
        let (account, digits) = (account(), "AB".repeat(32));
        let body = format!(
            r#"{{"account":"{account}","hash":"{digits}","block":"{{\n    \"type\": \"state\",\n    \"previous\": \"{digits}\"\n}}\n","amount":"1","is_send":"true","subtype":"send"}}"#
        );
        let read = news().read_callback(body.as_bytes()).unwrap();
        assert_eq!((read.account, read.previous, read.height), (account, Some(Root::new([0xab; 32])), None));
        for bad in
            ["", "{}", "[]", "{\"account\":\"\",\"hash\":\"\",\"block\":\"\"}", &body.replace("AB", "XY")]
        {
            assert!(news().read_callback(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_not_understood_is_an_error_and_never_a_frontier() {
        let digits = "AB".repeat(32);
        for bad in [
            "",
            "not JSON",
            "[]",
            "7",
            r#"{"topic":"confirmation"}"#,
            r#"{"topic":"confirmation","message":{}}"#,
            r#"{"topic":7}"#,
            &frame(("nano_", "nano_1")),
            &frame(("nano_", "ban_")),
            &frame((&digits, "AB")),
            &frame((r#""height":"7""#, r#""height":"-1""#)),
            &frame((r#""height":"7""#, r#""height":"18446744073709551615""#)),
            &frame((r#""block":{"#, r#""block":7,"x":{"#)),
            &frame((r#""hash":"#, r#""hush":"#)),
        ] {
            assert!(news().read_frame(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn acknowledgements_and_other_topics_are_told_apart() {
        let read = |text| news().read_frame(text).unwrap();
        let ack = read(r#"{"ack":"subscribe","time":"1","id":"x"}"#);
        assert_eq!(ack, Heard::Acknowledged("subscribe".into(), Some("x".into())));
        assert_eq!(read(r#"{"ack":"pong","time":"1"}"#), Heard::Acknowledged("pong".into(), None));
        assert_eq!(read(r#"{"topic":"vote","time":"1","message":{}}"#), Heard::Other);
    }
}
