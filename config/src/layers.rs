//! The layers of a configuration, each taken apart into single settings that know where they come from.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use figment::providers::{Format, Toml};
use figment::value::{Dict, Value};
use figment::{Metadata, Profile, Provider};
use serde::Serialize;

use crate::problem::Problem;
use crate::reference::{Form, Key, Reference, listed};
use crate::suggestion::nearest;

/// One key with the value that a layer gives it. Not to be printed: it may be a secret in plain text.
#[derive(Clone)]
pub(crate) struct Setting {
    /// With its sections, separated by dots.
    pub(crate) key: String,
    /// The value, of the type that its key wants if it could be read as that.
    pub(crate) value: Value,
    /// The file, variable or flag that it comes from.
    pub(crate) origin: String,
}

/// The settings of all layers, of which a later one wins over an earlier one; and what in the layers cannot be a setting.
pub(crate) struct Layers<'a> {
    pub(crate) reference: &'a Reference,
    pub(crate) settings: Vec<Setting>,
    pub(crate) problems: Vec<Problem>,
    /// What was read, in order.
    pub(crate) origins: Vec<String>,
}

impl<'a> Layers<'a> {
    /// Begins with the built-in defaults.
    pub(crate) fn new(reference: &'a Reference) -> Self {
        let origin = "the built-in defaults";
        let settings = reference.keys().map(|key| Setting {
            key: key.path.clone(),
            value: key.default.clone(),
            origin: origin.into(),
        });
        let settings = settings.collect();
        Self { reference, settings, problems: Vec::new(), origins: vec![origin.into()] }
    }

    /// Adds a TOML file. Whoever names a file means it: one that does not exist is a problem.
    pub(crate) fn file(&mut self, path: &Path) {
        let file = format!("the file {}", path.display());
        self.origins.push(file.clone());
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                let (path, variable) = (path.into(), self.reference.file_variable());
                return self.problems.push(Problem::File { path, detail: error.to_string(), variable });
            }
        };
        let Ok(text) = String::from_utf8(bytes) else {
            return self.problems.push(Problem::NotText { what: file });
        };
        match Toml::from_str::<Dict>(&text) {
            Ok(values) => self.add(values, |_| file.clone()),
            Err(error) => {
                let detail = one_line(&error.to_string());
                self.problems.push(Problem::Syntax { path: path.into(), detail });
            }
        }
    }

    /// Adds the variables `PREFIX_KEY` and `PREFIX_SECTION__KEY`. Others are left alone, as are those that begin with one of
    /// `other_prefixes`, of programs whose prefix begins like this one's.
    pub(crate) fn environment(
        &mut self,
        other_prefixes: &[&str],
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) {
        let is_of = |variable: &str, prefix: &str| {
            variable.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('_'))
        };
        let ours = variables.into_iter().filter_map(|(variable, value)| {
            let variable = variable.to_string_lossy().into_owned();
            let is_ours = is_of(&variable, self.reference.prefix)
                && !other_prefixes.iter().any(|other| is_of(&variable, other))
                && variable != self.reference.file_variable();
            is_ours.then_some((variable, value))
        });
        // Sorted, so that problems are always told in the same order.
        for (variable, value) in ours.collect::<BTreeMap<_, _>>() {
            let origin = format!("the environment variable {}", variable.escape_debug());
            self.origins.push(origin.clone());
            match value.into_string() {
                Ok(text) => self.variable(&variable, text, origin),
                Err(_) => self.problems.push(Problem::NotText { what: origin }),
            }
        }
    }

    fn variable(&mut self, variable: &str, text: String, origin: String) {
        let key = variable.strip_prefix(self.reference.prefix).and_then(|rest| rest.strip_prefix('_'));
        let path = key.unwrap_or_default().to_lowercase().replace("__", ".");
        match self.reference.key(&path) {
            Some(key) if self.reference.variable(&path) == variable => {
                let value = value_of_text(key, text);
                self.settings.push(Setting { key: path, value, origin });
            }
            Some(key) => {
                let advice = format!("did you mean {}?", self.reference.variable(&key.path));
                self.problems.push(Problem::UnknownKey { key: path, origin, advice });
            }
            None => {
                let problem = self.not_a_key(path, origin, Reference::variable);
                self.problems.push(problem);
            }
        }
    }

    /// Adds flags, in the shape of the settings: what is `None` in them was not given and changes nothing.
    pub(crate) fn flags(&mut self, flags: &impl Serialize) {
        let reference = self.reference;
        let origin = |key: &str| {
            let flag = reference.key(key).and_then(|key| key.flag.as_ref());
            flag.map_or_else(|| "the command line".into(), |flag| format!("the flag {flag}"))
        };
        match Value::serialize(flags) {
            Ok(Value::Dict(_, values)) => self.add(without_absent(values), origin),
            Ok(_) => {}
            // All that a command line can hold and configuration cannot.
            Err(_) => self.problems.push(Problem::NotText { what: "a path on the command line".into() }),
        }
    }

    fn add(&mut self, values: Dict, origin: impl Fn(&str) -> String) {
        for (path, value) in leaves("", values) {
            let origin = origin(&path);
            if !self.origins.contains(&origin) {
                self.origins.push(origin.clone());
            }
            if self.reference.key(&path).is_some() {
                self.settings.push(Setting { key: path, value, origin });
                continue;
            }
            let is_empty_section = matches!(&value, Value::Dict(_, below) if below.is_empty());
            if is_empty_section && self.reference.first_key_below(&path).is_some() {
                continue;
            }
            let problem = self.not_a_key(path, origin, |_, key| format!("`{key}`"));
            if !self.problems.contains(&problem) {
                self.problems.push(problem);
            }
        }
    }

    /// What is wrong with a path that is no key's. `shown` says how a suggested key is written.
    fn not_a_key(&self, path: String, origin: String, shown: impl Fn(&Reference, &str) -> String) -> Problem {
        let reference = self.reference;
        if let Some(key) = reference.first_key_below(&path) {
            return Problem::Section { section: path, origin, key: key.path.clone() };
        }
        if let Some(key) = reference.key_above(&path) {
            return Problem::NoSection { key: key.path.clone(), origin };
        }
        let keys: Vec<_> = reference.keys().map(|key| key.path.as_str()).collect();
        let suggestions: Vec<_> =
            nearest(&path, &keys).into_iter().map(|key| shown(reference, key)).collect();
        let section = path.rsplit_once('.').map_or("", |(section, _)| section);
        let beside = reference.sections.iter().find(|known| !section.is_empty() && known.path == section);
        let advice = if !suggestions.is_empty() {
            format!("did you mean {}?", suggestions.join(" or "))
        } else if let Some(beside) = beside {
            let names: Vec<_> = beside.keys.iter().map(|key| key.section_and_name().1).collect();
            format!("the section `{section}` has {}", listed(&names, "and"))
        } else {
            format!("`{} config generate` prints all that there are", reference.program)
        };
        Problem::UnknownKey { key: path, origin, advice }
    }
}

/// A text from the environment as its key wants it. What cannot be read so stays a text, which is refused later.
fn value_of_text(key: &Key, text: String) -> Value {
    let trimmed = text.trim();
    match &key.form {
        _ if key.is_optional && text.is_empty() => absent(),
        Form::List if trimmed.is_empty() => Value::from(Vec::<String>::new()),
        Form::List => trimmed.split(',').map(str::trim).collect::<Vec<_>>().into(),
        Form::Boolean => trimmed.parse::<bool>().map_or_else(|_| text.into(), Value::from),
        Form::Number { is_whole: true, .. } => {
            let number =
                trimmed.parse::<u64>().map(Value::from).or_else(|_| trimmed.parse::<i64>().map(Value::from));
            number.unwrap_or_else(|_| text.into())
        }
        Form::Number { .. } => trimmed.parse::<f64>().map_or_else(|_| text.into(), Value::from),
        Form::Text | Form::Choice(_) | Form::Secret | Form::SecretFile => text.into(),
    }
}

/// No value.
pub(crate) fn absent() -> Value {
    Value::Empty(figment::value::Tag::Default, figment::value::Empty::None)
}

/// All values below a section that are no sections themselves, with their paths. A name that needs quotes in a file has them, so
/// that one with a dot is no path.
fn leaves(section: &str, values: Dict) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for (name, value) in values {
        let is_bare =
            name.chars().all(|character| character.is_ascii_alphanumeric() || "_-".contains(character));
        let name = if is_bare && !name.is_empty() { name } else { serde_json::json!(name).to_string() };
        let path = if section.is_empty() { name } else { format!("{section}.{name}") };
        match value {
            Value::Dict(_, below) if !below.is_empty() && date(&below).is_none() => {
                found.extend(leaves(&path, below));
            }
            value => found.push((path, value)),
        }
    }
    found
}

/// The text of a date or time, which the TOML parser wraps into a section of this name. No key takes one.
pub(crate) fn date(section: &Dict) -> Option<&str> {
    section.get("$__toml_private_datetime").and_then(Value::as_str)
}

fn without_absent(values: Dict) -> Dict {
    let present = values.into_iter().filter_map(|(name, value)| match value {
        Value::Empty(..) => None,
        Value::Dict(tag, section) => {
            let section = without_absent(section);
            (!section.is_empty()).then_some((name, Value::Dict(tag, section)))
        }
        value => Some((name, value)),
    });
    present.collect()
}

impl Provider for Setting {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.clone())
    }

    fn data(&self) -> figment::Result<figment::value::Map<Profile, Dict>> {
        let path: Vec<_> = self.key.split('.').collect();
        Ok(Profile::Default.collect(nest(&path, self.value.clone())))
    }
}

/// A value below its sections.
fn nest(path: &[&str], value: Value) -> Dict {
    match path {
        [] => Dict::new(),
        [key] => Dict::from([((*key).into(), value)]),
        [section, rest @ ..] => Dict::from([((*section).into(), nest(rest, value).into())]),
    }
}

/// The lines of a message as one, without the picture of the source that TOML's have between bars.
fn one_line(message: &str) -> String {
    let is_picture = |line: &&str| line.contains('|') || line.is_empty();
    message.lines().map(str::trim).filter(|line| !is_picture(line)).collect::<Vec<_>>().join(": ")
}
