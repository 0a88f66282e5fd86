//! What a node sends when a block is confirmed, over WebSocket and as a callback.

use std::time::{SystemTime, UNIX_EPOCH};

use shared::Account;
use shared::pow::Root;

use super::block::Block;
use super::chain::Chain;

/// How a block came to be confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfirmationType {
    /// By votes on it.
    ActiveQuorum,
    /// Together with a later block, while there were votes on it.
    ActiveConfirmationHeight,
    /// Together with a later block. There are no callbacks for these.
    Inactive,
}

/// A block and how it came to be confirmed.
#[derive(Debug, Clone)]
pub struct Confirmation {
    pub(super) block: Block,
    kind: ConfirmationType,
}

impl Confirmation {
    pub(super) fn of(chain: &Chain, hash: Root, kind: ConfirmationType) -> anyhow::Result<Self> {
        Ok(Self { block: chain.block(hash)?, kind })
    }

    /// Whether a filter on this account lets it through. Blocks of the former kinds pass none, and a send passes that on its
    /// destination as well.
    pub(super) fn concerns(&self, account: Account) -> bool {
        let link = Account::from_public_key(*self.block.link().as_bytes());
        !self.block.body.is_legacy() && (self.block.account == account || link == account)
    }

    /// The frame of a WebSocket.
    pub fn frame(&self, with_sideband: bool) -> String {
        let Block { account, amount, height, .. } = self.block;
        let (hash, kind, block, time) =
            (self.block.hash(), self.kind.as_str(), self.block.to_json(true), now_ms());
        let sideband = if with_sideband {
            format!(r#","sideband":{{"height":"{height}","local_timestamp":"{}"}}"#, time / 1000)
        } else {
            String::new()
        };
        format!(
            r#"{{"topic":"confirmation","time":"{time}","message":{{"account":"{account}","amount":"{amount}","hash":"{hash}","confirmation_type":"{kind}"{sideband},"block":{block}}}}}"#
        )
    }

    /// The body of a callback, if there is one: the block is a text in it.
    pub fn callback(&self) -> Option<String> {
        if self.kind == ConfirmationType::Inactive {
            return None;
        }
        let Block { account, amount, body, .. } = self.block;
        let block = serde_json::Value::String(self.block.to_json(false));
        let kind = body.subtype().map_or_else(String::new, |subtype| {
            let is_send = if subtype == "send" { r#","is_send":"true""# } else { "" };
            format!(r#"{is_send},"subtype":"{subtype}""#)
        });
        let hash = self.block.hash();
        Some(format!(
            r#"{{"account":"{account}","hash":"{hash}","block":{block},"amount":"{amount}"{kind}}}"#
        ))
    }
}

impl ConfirmationType {
    const fn as_str(self) -> &'static str {
        match self {
            Self::ActiveQuorum => "active_quorum",
            Self::ActiveConfirmationHeight => "active_confirmation_height",
            Self::Inactive => "inactive",
        }
    }
}

/// The present, in milliseconds since 1970.
pub(super) fn now_ms() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis())
}
