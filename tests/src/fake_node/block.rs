//! Blocks of all kinds, their hashes, and how a node writes them.

use blake2::digest::Digest;
use blake2::digest::consts::U32;
use serde_json::Value;
use shared::Account;
use shared::pow::{Nonce, Root};

/// What 32 zero bytes stand for: no previous block, or no link.
pub(super) const ZERO: Root = Root::new([0; 32]);

/// What a new block is to do. The chain knows the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// A state block that lowers the balance.
    Send {
        /// Whom it goes to.
        to: Account,
        /// How much, in raw.
        amount: u128,
    },
    /// A state block that takes what a send has left; the account's first block if it has none.
    Receive {
        /// The send's hash.
        source: Root,
    },
    /// A state block that names another representative.
    Change,
    /// A state block of the network's upgrade to epoch 2; it may be the account's first block.
    Epoch,
    /// The former kind of send.
    LegacySend {
        /// Whom it goes to.
        to: Account,
        /// How much, in raw.
        amount: u128,
    },
    /// The former kind of receive.
    LegacyReceive {
        /// The send's hash.
        source: Root,
    },
    /// The former kind of first block.
    LegacyOpen {
        /// The send's hash.
        source: Root,
    },
    /// The former kind of change.
    LegacyChange,
}

impl Body {
    /// Whether it is a block of the former kinds.
    pub const fn is_legacy(self) -> bool {
        matches!(
            self,
            Self::LegacySend { .. }
                | Self::LegacyReceive { .. }
                | Self::LegacyOpen { .. }
                | Self::LegacyChange
        )
    }

    /// What a node calls it: the subtype of a state block; `None` for the others.
    pub const fn subtype(self) -> Option<&'static str> {
        match self {
            Self::Send { .. } => Some("send"),
            Self::Receive { .. } => Some("receive"),
            Self::Change => Some("change"),
            Self::Epoch => Some("epoch"),
            _ => None,
        }
    }
}

/// A block that is part of an account's chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Whose chain it is part of.
    pub account: Account,
    /// The block before it; zero for the first one.
    pub previous: Root,
    /// Whom the account has vote for it.
    pub representative: Account,
    /// What it does.
    pub body: Body,
    /// What the account has after it, in raw.
    pub balance: u128,
    /// By how much the balance has changed, in raw.
    pub amount: u128,
    /// Its place in the chain, from 1.
    pub height: u64,
    /// Its work; nothing here looks at it.
    pub work: Nonce,
}

/// A state block that somebody has made, as `process` is given it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NewBlock {
    pub(super) account: Account,
    pub(super) previous: Root,
    pub(super) representative: Account,
    /// What the account is to have after it, in raw.
    pub(super) balance: u128,
    pub(super) link: Root,
    pub(super) work: Nonce,
}

impl NewBlock {
    /// Whether it is this one.
    pub(super) fn is(&self, block: &Block) -> bool {
        let Self { account, previous, representative, balance, link, .. } = *self;
        (block.account, block.previous, block.representative, block.balance, block.link())
            == (account, previous, representative, balance, link)
    }

    /// Reads it from the JSON of a node; `None` if it is no state block.
    pub(super) fn read(block: &Value) -> Option<Self> {
        let text = |name: &str| block[name].as_str();
        if text("type") != Some("state") || text("signature").map(str::len) != Some(128) {
            return None;
        }
        Some(Self {
            account: text("account")?.parse().ok()?,
            previous: text("previous")?.parse().ok()?,
            representative: text("representative")?.parse().ok()?,
            balance: text("balance")?.parse().ok()?,
            link: text("link")?.parse().ok()?,
            work: text("work")?.parse().ok()?,
        })
    }
}

impl Block {
    /// The link of a state block: whom a send goes to, which send a receive takes, or what kind of epoch block it is.
    pub fn link(&self) -> Root {
        match self.body {
            Body::Send { to, .. } | Body::LegacySend { to, .. } => Root::new(*to.public_key()),
            Body::Receive { source } | Body::LegacyReceive { source } | Body::LegacyOpen { source } => source,
            Body::Change | Body::LegacyChange => ZERO,
            Body::Epoch => epoch_link(),
        }
    }

    /// The hash that names it.
    pub fn hash(&self) -> Root {
        let mut hasher = blake2::Blake2b::<U32>::new();
        let representative = *self.representative.public_key();
        match self.body {
            Body::LegacySend { to, .. } => {
                hasher.update(self.previous.as_bytes());
                hasher.update(to.public_key());
                hasher.update(self.balance.to_be_bytes());
            }
            Body::LegacyReceive { source } => {
                hasher.update(self.previous.as_bytes());
                hasher.update(source.as_bytes());
            }
            Body::LegacyOpen { source } => {
                hasher.update(source.as_bytes());
                hasher.update(representative);
                hasher.update(self.account.public_key());
            }
            Body::LegacyChange => {
                hasher.update(self.previous.as_bytes());
                hasher.update(representative);
            }
            Body::Send { .. } | Body::Receive { .. } | Body::Change | Body::Epoch => {
                let mut preamble = [0; 32];
                preamble[31] = 6;
                hasher.update(preamble);
                hasher.update(self.account.public_key());
                hasher.update(self.previous.as_bytes());
                hasher.update(representative);
                hasher.update(self.balance.to_be_bytes());
                hasher.update(self.link().as_bytes());
            }
        }
        Root::new(hasher.finalize().into())
    }

    /// The block as a node writes it, in one line. `with_subtype`: as in a confirmation.
    pub fn to_json(&self, with_subtype: bool) -> String {
        let (account, representative, work) = (self.account, self.representative, self.work);
        let signature = "0".repeat(128);
        let (previous, link) = (self.previous, self.link());
        let end = format!(r#""signature":"{signature}","work":"{work}""#);
        match self.body {
            Body::LegacySend { to, .. } => format!(
                r#"{{"type":"send","previous":"{previous}","destination":"{to}","balance":"{:032X}",{end}}}"#,
                self.balance
            ),
            Body::LegacyReceive { source } => {
                format!(r#"{{"type":"receive","previous":"{previous}","source":"{source}",{end}}}"#)
            }
            Body::LegacyOpen { source } => format!(
                r#"{{"type":"open","source":"{source}","representative":"{representative}","account":"{account}",{end}}}"#
            ),
            Body::LegacyChange => {
                format!(
                    r#"{{"type":"change","previous":"{previous}","representative":"{representative}",{end}}}"#
                )
            }
            Body::Send { .. } | Body::Receive { .. } | Body::Change | Body::Epoch => {
                let subtype = self.body.subtype().filter(|_| with_subtype);
                let subtype =
                    subtype.map_or_else(String::new, |subtype| format!(r#","subtype":"{subtype}""#));
                format!(
                    r#"{{"type":"state","account":"{account}","previous":"{previous}","representative":"{representative}","balance":"{}","link":"{link}","link_as_account":"{}",{end}{subtype}}}"#,
                    self.balance,
                    Account::from_public_key(*link.as_bytes())
                )
            }
        }
    }
}

/// "epoch v2 block", filled up with zeros.
fn epoch_link() -> Root {
    let mut link = [0; 32];
    link[..14].copy_from_slice(b"epoch v2 block");
    Root::new(link)
}
