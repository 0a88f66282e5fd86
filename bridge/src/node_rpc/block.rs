//! The block that a wallet may attach to `work_generate`.

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::Error;
use shared::network::BlockKind;
use shared::pow::{Difficulty, Nonce, Root, Threshold, difficulty};
use shared::{Account, Network};

use super::texts::Texts;

/// What a block says about its own work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    /// What its work is computed for.
    pub(super) root: Root,
    /// Whose block it is; the legacy types do not say, but for `open`.
    pub(super) account: Option<Account>,
    nonce: Nonce,
    /// Known if the block has a `subtype`, as the node prints one, or opens its account.
    kind: Option<BlockKind>,
}

impl Block {
    /// Reads a block as the node does; `None` when it is none. Every field must be there and be well formed. The signature is
    /// not verified, and may be empty, because a wallet can ask for the work before it signs.
    ///
    /// # Source
    /// nanocurrency/nano-node `nano/lib/blocks.cpp`, `deserialize_block_json`.
    pub(super) fn parse(json: &str, network: Network) -> Option<Self> {
        let fields = BlockFields { texts: Texts::parse(json)?, network };
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
    pub(super) fn threshold(&self, network: Network) -> Threshold {
        self.kind.map_or(network.send_threshold(), |kind| network.threshold_of(kind))
    }

    /// What the work that it has attains.
    pub(super) fn difficulty(&self) -> Difficulty {
        difficulty(&self.root, self.nonce)
    }
}

struct BlockFields<'a> {
    texts: Texts<'a>,
    network: Network,
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
        is_hexadecimal(self.text("signature")?, 128).then_some(())?;
        let nonce = Nonce::parse_padded(self.text("work")?).ok()?;
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
