//! Reading a call: what is asked, and by whose key.

use std::borrow::Cow;

use axum::extract::Query;
use axum::http::request::Parts;
use serde::Deserialize;
use shared::pow::{Multiplier, Nonce, Root, Threshold};
use shared::{Account, Network};

use super::CallError;
use crate::credential::bearer;
use crate::fields::Fields;
use crate::limits::RPC_BRACKETS_MAX;

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

/// `work_generate`. Its range is the market's to check.
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
        let text = core::str::from_utf8(bytes).map_err(|_| CallError::Unreadable)?;
        let fields = Texts { fields: Fields::parse(text).map_err(|_| CallError::Unreadable)?, network };
        let command = match &*fields.required("action")? {
            "work_generate" => Command::Generate(fields.generate()?),
            "work_validate" => Command::Validate(fields.validate()?),
            "work_cancel" => Command::Cancel(fields.hash()?),
            _ => return Err(CallError::UnknownCommand),
        };
        Ok(Self { command, key: fields.text("key").map(Cow::into_owned) })
    }
}

/// The key of a call: from the header, else from the query (for clients that can set a URL only), else from the body.
pub(super) fn key(parts: &Parts, in_body: Option<String>) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct InQuery {
        key: String,
    }

    let in_query = || Query::<InQuery>::try_from_uri(&parts.uri).ok().map(|Query(query)| query.key);
    bearer(&parts.headers).map(Cow::Borrowed).or_else(|| in_query().or(in_body).map(Cow::Owned))
}

/// The fields of a call as the node sees them: all texts. A number or boolean is the text that it was written as, an object or
/// list is empty, the first of several fields of one name counts, and names that nobody asks for are ignored.
struct Texts<'a> {
    fields: Fields<'a>,
    network: Network,
}

impl<'a> Texts<'a> {
    fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        let written = self.fields.get(name)?.get();
        Some(match written.as_bytes().first() {
            // Half a surrogate pair is no text; as an empty one it is refused by whoever reads it.
            Some(b'"') => serde_json::from_str::<String>(written).unwrap_or_default().into(),
            Some(b'{' | b'[') => "".into(),
            _ => written.into(),
        })
    }

    fn required(&self, name: &str) -> Result<Cow<'a, str>, CallError> {
        self.text(name).ok_or(CallError::Unreadable)
    }

    fn generate(&self) -> Result<Generate, CallError> {
        self.check_version()?;
        let account = self.text("account").map(|text| self.network.parse_address(&text));
        let account = account.transpose().map_err(|_| CallError::Account)?;
        Ok(Generate { account, root: self.hash()?, threshold: self.threshold()? })
    }

    fn validate(&self) -> Result<Validate, CallError> {
        let root = self.hash()?;
        // Absent work counts as 0, which is a legal nonce.
        let nonce = self.text("work").map_or(Ok(Nonce::new(0)), |text| Nonce::parse_padded(&text));
        let nonce = nonce.map_err(|_| CallError::Work)?;
        self.check_version()?;
        let threshold = self.threshold()?;
        Ok(Validate { root, nonce, threshold, names_difficulty: self.fields.get("difficulty").is_some() })
    }

    fn check_version(&self) -> Result<(), CallError> {
        match self.text("version") {
            Some(version) if version != "work_1" => Err(CallError::Version),
            _ => Ok(()),
        }
    }

    fn hash(&self) -> Result<Root, CallError> {
        Root::parse_padded(&self.required("hash")?).map_err(|_| CallError::Hash)
    }

    /// A multiplier overrides a difficulty, but both are checked.
    fn threshold(&self) -> Result<Threshold, CallError> {
        let base = self.network.send_threshold();
        let difficulty = self.text("difficulty").map_or(Ok(base), |text| Threshold::parse_padded(&text));
        let difficulty = difficulty.map_err(|_| CallError::Difficulty)?;
        match self.text("multiplier") {
            Some(text) => Ok(Multiplier::parse(&text).map_err(|_| CallError::Multiplier)?.to_threshold(base)),
            None => Ok(difficulty),
        }
    }
}
