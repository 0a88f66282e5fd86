//! Texts that nobody may see.

use core::fmt;
use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// What is shown in place of a secret.
pub(crate) const HIDDEN: &str = "[secret]";

/// A text that nobody may see, such as a token. It is read from any whole number, boolean or text, so that `12345` and `true`
/// are fine secrets.
///
/// Always: neither printed nor serialised, compared in constant time, and wiped from memory when dropped. What reading a file or
/// the environment has copied before is not wiped.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Keeps a text secret.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text, for whoever has to use it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SecretVisitor)
    }
}

impl JsonSchema for Secret {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    /// A text that can be written and never be read.
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "writeOnly": true })
    }
}

struct SecretVisitor;

impl Visitor<'_> for SecretVisitor {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text in quotes")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Secret, E> {
        Ok(Secret::new(value.to_string()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Secret, E> {
        Ok(Secret::new(value.to_string()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Secret, E> {
        Ok(Secret::new(value.to_string()))
    }

    // No decimal numbers: how they were written (`1.50`, `1e3`) is lost when they get here.

    fn visit_str<E: Error>(self, value: &str) -> Result<Secret, E> {
        // Whoever takes the output of `config print` for a configuration does not mean this word as his secret.
        if value == HIDDEN { Err(E::custom("a placeholder")) } else { Ok(Secret::new(value.into())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        let secret = Secret::new("hunter2".into());
        let shown = [format!("{secret}"), format!("{secret:?}"), serde_json::to_string(&secret).unwrap()];
        assert_eq!(shown, ["[secret]", "[secret]", "\"[secret]\""]);
        assert_eq!(secret.expose(), "hunter2");
        assert!(secret == Secret::new("hunter2".into()) && secret != Secret::new("hunter3".into()));
    }

    #[test]
    fn any_scalar_that_keeps_its_text_is_a_secret() {
        for (json, text) in [("\"a\"", "a"), ("12345", "12345"), ("-1", "-1"), ("true", "true"), ("\"\"", "")]
        {
            assert_eq!(serde_json::from_str::<Secret>(json).unwrap().expose(), text);
        }
        for json in ["1.50", "[]", "{}", "null", "\"[secret]\""] {
            assert!(serde_json::from_str::<Secret>(json).is_err(), "{json}");
        }
    }
}
