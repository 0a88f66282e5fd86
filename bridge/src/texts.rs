//! A JSON object as the node sees it: fields of text.

use std::borrow::Cow;

use crate::fields::Fields;

/// The fields of a JSON object, in their order, each as the node's parser keeps it: a number or boolean is the text that it was
/// written as, an object or list is empty. The first of several fields of one name counts.
pub(crate) struct Texts<'a>(Vec<Field<'a>>);

struct Field<'a> {
    name: String,
    text: Cow<'a, str>,
    /// As it stands in the JSON.
    written: &'a str,
}

impl<'a> Texts<'a> {
    /// Reads an object and nothing after it; `None` when it is none. A byte order mark before it is skipped, as the node does.
    pub(crate) fn parse(json: &'a str) -> Option<Self> {
        let fields = Fields::parse(json.strip_prefix('\u{feff}').unwrap_or(json)).ok()?;
        let read = |(name, value): (String, &'a serde_json::value::RawValue)| {
            let written = value.get();
            Some(Field { name, text: text_of(written)?, written })
        };
        fields.into_members().map(read).collect::<Option<_>>().map(Self)
    }

    /// The text of a field, if there is one.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.field(name).map(|field| &*field.text)
    }

    /// A field as it stands in the JSON, if there is one.
    pub(crate) fn written(&self, name: &str) -> Option<&'a str> {
        self.field(name).map(|field| field.written)
    }

    /// Whether a field says yes. What is neither yes nor no counts as no.
    pub(crate) fn says_yes(&self, name: &str) -> bool {
        matches!(self.get(name).map(str::trim_ascii), Some("true" | "1"))
    }

    fn field(&self, name: &str) -> Option<&Field<'a>> {
        self.0.iter().find(|field| field.name == name)
    }
}

/// The text of one JSON value; `None` for a string with half a surrogate pair, which is no text.
fn text_of(written: &str) -> Option<Cow<'_, str>> {
    match written.as_bytes().first() {
        Some(b'"') => serde_json::from_str::<String>(written).ok().map(Cow::Owned),
        Some(b'{' | b'[') => Some("".into()),
        _ => Some(written.into()),
    }
}
