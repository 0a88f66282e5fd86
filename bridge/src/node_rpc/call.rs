//! Reading a call: what is asked, and by whose key.

use std::borrow::Cow;

use axum::extract::Query;
use axum::http::request::Parts;
use shared::pow::{Multiplier, Nonce, Root, Threshold};
use shared::{Account, Network, Refusal};

use super::CallError;
use crate::block::{Block, Completeness};
use crate::credential::bearer;
use crate::limits::RPC_BRACKETS_MAX;
use crate::texts::Texts;

/// A call, every field of it checked. Not `Debug`, because of the key.
pub(super) struct Call {
    pub(super) command: Command,
    /// The key in the body.
    pub(super) key: Option<String>,
}

/// What is asked.
pub(super) enum Command {
    Generate(Generate),
    Validate(Validate),
    Cancel(Root),
}

/// `work_generate`. Whether its threshold is too high is the market's to say.
#[derive(Clone, Copy)]
pub(super) struct Generate {
    pub(super) root: Root,
    pub(super) threshold: Threshold,
    pub(super) account: Option<Account>,
}

/// `work_validate`.
pub(super) struct Validate {
    pub(super) root: Root,
    pub(super) nonce: Nonce,
    pub(super) threshold: Threshold,
    /// Whether there is a field `difficulty`: then the answer has a field `valid`.
    pub(super) names_difficulty: bool,
}

impl Call {
    /// Reads a body. The order of the checks is the node's: it decides which error is given.
    ///
    /// # Errors
    /// The first [`CallError`] that applies.
    pub(super) fn parse(bytes: &[u8], network: Network) -> Result<Self, CallError> {
        if bytes.iter().filter(|byte| matches!(byte, b'{' | b'[')).count() > RPC_BRACKETS_MAX {
            return Err(CallError::TooDeep);
        }
        let texts = core::str::from_utf8(bytes).ok().and_then(Texts::parse);
        let fields = CallFields { texts: texts.ok_or(CallError::Unreadable)?, network };
        let command = match fields.required("action")? {
            "work_generate" => Command::Generate(fields.generate()?),
            "work_validate" => Command::Validate(fields.validate()?),
            "work_cancel" => Command::Cancel(fields.hash()?),
            _ => return Err(CallError::UnknownCommand),
        };
        Ok(Self { command, key: fields.texts.get("key").map(str::to_owned) })
    }
}

/// The key of a call: from the header, else from the query (for clients that can set a URL only), else from the body. An empty
/// key is none.
pub(super) fn key(parts: &Parts, in_body: Option<String>) -> Option<Cow<'_, str>> {
    let in_query = || {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).ok()?;
        pairs.into_iter().find(|(name, key)| name == "key" && !key.is_empty()).map(|(_, key)| key)
    };
    bearer(&parts.headers).map(Cow::Borrowed).or_else(|| in_query().or(in_body).map(Cow::Owned))
}

/// The fields of a call. Names that nobody asks for are ignored.
struct CallFields<'a> {
    texts: Texts<'a>,
    network: Network,
}

impl CallFields<'_> {
    fn required(&self, name: &str) -> Result<&str, CallError> {
        self.texts.get(name).ok_or(CallError::Unreadable)
    }

    fn generate(&self) -> Result<Generate, CallError> {
        self.check_version()?;
        let account = self.texts.get("account").map(|text| self.network.parse_address(text));
        let account = account.transpose().map_err(|_| CallError::Account)?;
        let root = self.hash()?;
        let threshold = self.threshold()?;
        // The node refuses a block for anything only once the range is right.
        if threshold < self.network.receive_threshold() {
            return Err(CallError::Refused(Refusal::ThresholdOutOfRange));
        }
        let asked = Generate { root, threshold, account };
        self.block()?.map_or(Ok(asked), |block| self.generate_for(&block, asked))
    }

    /// Completes a request by the block that is attached to it.
    fn generate_for(&self, block: &Block, asked: Generate) -> Result<Generate, CallError> {
        if block.root != asked.root {
            return Err(CallError::OtherRoot);
        }
        let says_how_hard = ["difficulty", "multiplier"].iter().any(|name| self.texts.get(name).is_some());
        let threshold = if says_how_hard { asked.threshold } else { block.threshold(self.network) };
        if block.difficulty().is_some_and(|difficulty| difficulty.meets(threshold)) {
            return Err(CallError::EnoughWork);
        }
        Ok(Generate { threshold, account: asked.account.or(block.account), ..asked })
    }

    /// The block, if there is one: JSON in a text, or an object if `json_block` says so.
    fn block(&self) -> Result<Option<Block>, CallError> {
        let Some(text) = self.texts.get("block") else { return Ok(None) };
        let json = if self.texts.says_yes("json_block") { self.texts.written("block") } else { Some(text) };
        json.and_then(|json| Block::parse(json, self.network, Completeness::Whole))
            .map(Some)
            .ok_or(CallError::Block)
    }

    fn validate(&self) -> Result<Validate, CallError> {
        let root = self.hash()?;
        // Absent work counts as 0, which is a legal nonce.
        let nonce = self.texts.get("work").map_or(Ok(Nonce::new(0)), Nonce::parse_padded);
        let nonce = nonce.map_err(|_| CallError::Work)?;
        self.check_version()?;
        let threshold = self.threshold()?;
        Ok(Validate { root, nonce, threshold, names_difficulty: self.texts.get("difficulty").is_some() })
    }

    fn check_version(&self) -> Result<(), CallError> {
        match self.texts.get("version") {
            Some(version) if version != "work_1" => Err(CallError::Version),
            _ => Ok(()),
        }
    }

    fn hash(&self) -> Result<Root, CallError> {
        Root::parse_padded(self.required("hash")?).map_err(|_| CallError::Hash)
    }

    /// A multiplier overrides a difficulty, but both are checked.
    fn threshold(&self) -> Result<Threshold, CallError> {
        let base = self.network.send_threshold();
        let difficulty = self.texts.get("difficulty").map_or(Ok(base), Threshold::parse_padded);
        let difficulty = difficulty.map_err(|_| CallError::Difficulty)?;
        match self.texts.get("multiplier") {
            Some(text) => Ok(Multiplier::parse(text).map_err(|_| CallError::Multiplier)?.to_threshold(base)),
            None => Ok(difficulty),
        }
    }
}
