//! The block that work may be asked for with: on `/v1`, and in a wallet's `work_generate`.

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::Error;
use shared::network::BlockKind;
use shared::pow::{Difficulty, Nonce, Root, Threshold, difficulty};
use shared::{Account, Network};

use crate::texts::Texts;

/// What must be there of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Completeness {
    /// Every field, as the node wants it.
    Whole,
    /// Everything but signature and work.
    Draft,
}

/// What a block says about its own work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block {
    /// What its work is computed for.
    pub(crate) root: Root,
    /// Whose block it is; the legacy types do not say, but for `open`.
    pub(crate) account: Option<Account>,
    nonce: Option<Nonce>,
    /// Known if the block has a `subtype`, as the node prints one, or opens its account.
    kind: Option<BlockKind>,
}

impl Block {
    /// Reads a block as the node does; `None` when it is none. Every field must be there, but as `completeness` says, and be well formed. The signature is
    /// not verified, and may be empty, because a wallet can ask for the work before it signs.
    ///
    /// # Source
    /// nanocurrency/nano-node `nano/lib/blocks.cpp`, `deserialize_block_json`.
    pub(crate) fn parse(json: &str, network: Network, completeness: Completeness) -> Option<Self> {
        let fields = BlockFields { texts: Texts::parse(json)?, network, completeness };
        match fields.text("type")? {
            "state" => fields.state(),
            "open" => fields.open(),
            "send" => fields.send(),
            "receive" => fields.receive(),
            "change" => fields.change(),
            _ => None,
        }
    }

    /// What its work must meet, as far as the block alone tells; else the base, which is enough for every block.
    pub(crate) fn threshold(&self, network: Network) -> Threshold {
        self.kind.map_or(network.send_threshold(), |kind| network.threshold_of(kind))
    }

    /// What kind of block it says that it is.
    pub(crate) const fn kind(&self) -> Option<BlockKind> {
        self.kind
    }

    /// What the work that it has attains.
    pub(crate) fn difficulty(&self) -> Option<Difficulty> {
        self.nonce.map(|nonce| difficulty(&self.root, nonce))
    }
}

struct BlockFields<'a> {
    texts: Texts<'a>,
    network: Network,
    completeness: Completeness,
}

impl BlockFields<'_> {
    fn state(&self) -> Option<Block> {
        let account = self.account("account")?;
        let previous = self.root("previous")?;
        self.account("representative")?;
        is_balance(self.text("balance")?).then_some(())?;
        self.account("link").map(drop).or_else(|| self.root("link").map(drop))?;
        let opens = *previous.as_bytes() == [0; 32];
        let root = if opens { Root::new(*account.public_key()) } else { previous };
        self.block(root, Some(account), self.subtype().or(opens.then_some(BlockKind::Open)))
    }

    fn open(&self) -> Option<Block> {
        self.root("source")?;
        self.account("representative")?;
        let account = self.account("account")?;
        self.legacy_block(Root::new(*account.public_key()), Some(account))
    }

    fn send(&self) -> Option<Block> {
        self.account("destination")?;
        is_hexadecimal(self.text("balance")?, 32).then_some(())?;
        self.legacy_block(self.root("previous")?, None)
    }

    fn receive(&self) -> Option<Block> {
        self.root("source")?;
        self.legacy_block(self.root("previous")?, None)
    }

    fn change(&self) -> Option<Block> {
        self.account("representative")?;
        self.legacy_block(self.root("previous")?, None)
    }

    /// A legacy block needs more than the receive threshold whatever it does, so its kind is left open.
    fn legacy_block(&self, root: Root, account: Option<Account>) -> Option<Block> {
        self.block(root, account, None)
    }

    fn block(&self, root: Root, account: Option<Account>, kind: Option<BlockKind>) -> Option<Block> {
        let is_draft = self.completeness == Completeness::Draft;
        let (signature, work) = (self.text("signature"), self.text("work"));
        if !is_draft && (signature.is_none() || work.is_none()) {
            return None;
        }
        signature.is_none_or(|signature| is_hexadecimal(signature, 128)).then_some(())?;
        // A draft may have an empty text where its work will be.
        let work = work.filter(|work| !is_draft || !work.is_empty());
        let nonce = work.map(Nonce::parse_padded).transpose().ok()?;
        Some(Block { root, account, nonce, kind })
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.texts.get(name)
    }

    fn root(&self, name: &str) -> Option<Root> {
        Root::parse_padded(self.text(name)?).ok()
    }

    fn account(&self, name: &str) -> Option<Account> {
        self.network.parse_address(self.text(name)?).ok()
    }

    /// A word that is no subtype is ignored, as the node ignores all of them: it looks into its ledger instead.
    fn subtype(&self) -> Option<BlockKind> {
        let subtype = self.text("subtype")?.into_deserializer();
        BlockKind::deserialize(subtype).map_err(|_: Error| ()).ok()
    }
}

/// Whether a text is a balance in raw: a decimal number of 128 bits without leading zeros or sign.
fn is_balance(text: &str) -> bool {
    let is_canonical = text == "0" || !text.starts_with(['0', '+']);
    is_canonical && text.parse::<u128>().is_ok()
}

fn is_hexadecimal(text: &str, digits_max: usize) -> bool {
    text.len() <= digits_max && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
