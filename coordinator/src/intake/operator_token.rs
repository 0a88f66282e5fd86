//! The operator's token: what opens the live view over MQTT, and commands over the network.

use std::sync::{PoisonError, RwLock};

use config::Secret;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::entropy;

/// Fewest characters of a token: 128 bits of base32 have 26.
pub(crate) const LENGTH_MIN: usize = 26;
/// Most characters: a password of MQTT and a header of HTTP take them.
const LENGTH_MAX: usize = 256;

/// The text of a token.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct TokenText(Zeroizing<String>);

/// A text that is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a token has {LENGTH_MIN} to {LENGTH_MAX} characters that can be seen, without blanks")]
pub(crate) struct BadToken;

impl TokenText {
    /// Draws one of 256 bits.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub(crate) fn draw() -> Result<Self, getrandom::Error> {
        entropy::secret_text().map(Self)
    }

    /// The text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for TokenText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenText(…)")
    }
}

impl TryFrom<String> for TokenText {
    type Error = BadToken;

    fn try_from(text: String) -> Result<Self, BadToken> {
        let text = Zeroizing::new(text);
        if is_token(&text) { Ok(Self(text)) } else { Err(BadToken) }
    }
}

impl Serialize for TokenText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for TokenText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.try_into().map_err(serde::de::Error::custom)
    }
}

/// Whether a text is hard to guess, and can be sent as a password of MQTT and in a header of HTTP.
pub(crate) fn is_token(text: &str) -> bool {
    (LENGTH_MIN..=LENGTH_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The token that is valid now.
pub(crate) struct OperatorToken {
    token: RwLock<Zeroizing<String>>,
    is_configured: bool,
}

impl OperatorToken {
    /// Begins with this one, from the data directory.
    pub(crate) const fn new(token: Zeroizing<String>) -> Self {
        Self { token: RwLock::new(token), is_configured: false }
    }

    /// The one that the configuration names.
    pub(crate) fn configured(token: &Secret) -> Self {
        let token = RwLock::new(Zeroizing::new(token.expose().to_owned()));
        Self { token, is_configured: true }
    }

    /// Whether the configuration names it, so that it is only changed there.
    pub(crate) const fn is_configured(&self) -> bool {
        self.is_configured
    }

    /// Whether this is it. Takes as long for any text of its length.
    pub(crate) fn is(&self, text: &str) -> bool {
        let token = self.token.read().unwrap_or_else(PoisonError::into_inner);
        text.as_bytes().ct_eq(token.as_bytes()).into()
    }

    /// From now on it is another one.
    pub(crate) fn replace(&self, token: &TokenText) {
        self.token.write().unwrap_or_else(PoisonError::into_inner).clone_from(&token.0);
    }
}

impl std::fmt::Debug for OperatorToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OperatorToken")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_of_the_moment_is_the_token() {
        let token = OperatorToken::new(Zeroizing::new("first".into()));
        assert!(token.is("first") && !token.is("firs") && !token.is("First") && !token.is(""));
        let second = TokenText::draw().unwrap();
        token.replace(&second);
        assert!(token.is(second.as_str()) && !token.is("first"));
        assert!(!format!("{token:?} {second:?}").contains(second.as_str()));
        let configured = OperatorToken::configured(&Secret::new("configured".into()));
        assert!(configured.is("configured") && configured.is_configured() && !token.is_configured());
    }

    #[test]
    fn a_token_is_long_enough_and_has_no_blanks() {
        let json = serde_json::to_string(&TokenText::draw().unwrap()).unwrap();
        assert!(serde_json::from_str::<TokenText>(&json).is_ok());
        for bad in ["", "short", &"a ".repeat(20), &"ä".repeat(20), &"a".repeat(257)] {
            assert_eq!(TokenText::try_from(bad.to_owned()), Err(BadToken), "{bad}");
        }
    }
}
