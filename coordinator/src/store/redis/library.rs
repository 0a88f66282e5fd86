//! The functions in the server: `library.lua`, loaded when a ledger is attached.

use redis::Value;

use super::server::Link;
use super::trouble::Trouble;

/// Its name, which is its version: what a function of one version does never changes. A test holds the text to it.
pub(super) const NAME: &str = "dpow_1";
/// Its text.
pub(super) const CODE: &str = include_str!("library.lua");

/// Makes sure that the server has this library. One of another text under this name is a build that was never released, and is
/// replaced; older versions are left for coordinators that still run.
pub(super) async fn load(link: &mut Link) -> Result<(), Trouble> {
    let mut list = redis::cmd("FUNCTION");
    list.arg("LIST").arg("LIBRARYNAME").arg(NAME).arg("WITHCODE");
    if code_of(&link.ask(list).await?).as_deref() == Some(CODE) {
        return Ok(());
    }
    let mut load = redis::cmd("FUNCTION");
    load.arg("LOAD").arg("REPLACE").arg(CODE);
    link.ask(load).await?;
    tracing::info!(redis.library = NAME, "the ledger's functions were loaded into its server");
    Ok(())
}

/// The text of the only library in an answer to `FUNCTION LIST`.
fn code_of(list: &Value) -> Option<String> {
    let Value::Array(libraries) = list else { return None };
    let pairs: Vec<(&Value, &Value)> = match libraries.first()? {
        Value::Array(fields) => fields.chunks_exact(2).map(|pair| (&pair[0], &pair[1])).collect(),
        Value::Map(fields) => fields.iter().map(|(name, value)| (name, value)).collect(),
        _ => return None,
    };
    let text = |value: &Value| match value {
        Value::BulkString(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Value::SimpleString(text) => Some(text.clone()),
        _ => None,
    };
    let (_, code) = pairs.into_iter().find(|(name, _)| text(name).as_deref() == Some("library_code"))?;
    text(code)
}

#[cfg(test)]
mod tests {
    use blake2::Digest as _;

    use super::*;

    /// Other builds run with what was released: a change of the text is a new version, with a new name.
    #[test]
    fn the_text_is_that_of_its_version() {
        let digest = blake2::Blake2s256::digest(CODE.as_bytes());
        let digest = data_encoding::HEXLOWER.encode(&digest[..8]);
        assert_eq!(
            (NAME, digest.as_str()),
            ("dpow_1", "77fd4eeeb5e23360"),
            "a new text needs a new name once it was released"
        );
        assert!(CODE.starts_with(&format!("#!lua name={NAME}\n")));
    }
}
