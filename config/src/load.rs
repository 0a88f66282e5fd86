//! Reads the settings out of all layers: defaults, a TOML file, environment variables, flags, each over the one before.

use core::fmt;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use figment::value::Value;
use figment::{Figment, error};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::layers::{Layers, Setting, absent, date};
use crate::problem::{Invalid, Problem, Problems};
use crate::reference::{Form, Key, Reference};
use crate::secret::HIDDEN;
use crate::secret_file;

/// How much of a wrong value is repeated to whoever wrote it.
const SHOWN_MAX: usize = 80;

/// The settings of a program. Their documentation comments become the reference. Attributes `#[schemars(extend(…))]` say
/// more about a field: `form` (the values in words, after "must be"), `unit` (what a number counts), `flag` (which sets it);
/// `#[schemars(example = …)]` is shown where there is no default, and `#[schemars(range(…))]` is held.
pub trait Configuration: Default + Serialize + DeserializeOwned + JsonSchema {
    /// The program's name.
    const PROGRAM: &'static str;
    /// What its environment variables begin with, before an underscore.
    const PREFIX: &'static str;
    /// Prefixes of other programs that begin like this one's.
    const OTHER_PREFIXES: &'static [&'static str] = &[];

    /// The rules that these settings break.
    fn validate(&self) -> Vec<Invalid> {
        Vec::new()
    }
}

/// Settings, and where they come from.
#[derive(Clone)]
pub struct Loaded<T> {
    /// The settings.
    pub settings: T,
    /// All keys there are.
    pub reference: Reference,
    /// What was read, in order: defaults, file, variables, flags.
    pub origins: Vec<String>,
    pub(crate) figment: Figment,
}

impl<T: fmt::Debug> fmt::Debug for Loaded<T> {
    /// Without the layers, in which secrets are plain text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Reads all layers. `variables` is [`std::env::vars_os`] in programs. `flags` has the shape of the settings; what is `None` in
/// it was not given.
///
/// A value from the environment is text and read as what its key wants: `12345` is a fine name, and a fine port. A list is
/// separated by commas. Nothing, for a key that may have no value, is no value.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn load<T: Configuration>(
    file: Option<&Path>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    flags: &impl Serialize,
) -> Result<Loaded<T>, Problems> {
    let reference = Reference::of::<T>().map_err(|problem| Problems(vec![problem]))?;
    let mut layers = Layers::new(&reference);
    if let Some(file) = file {
        layers.file(file);
    }
    layers.environment(T::OTHER_PREFIXES, variables);
    layers.flags(flags);
    let Layers { settings, problems, origins, .. } = layers;
    let mut merging =
        Merging { reference: &reference, figment: Figment::new(), problems, failed: BTreeSet::new() };
    merging.merge(settings);
    let settings = merging.extract::<T>();
    let is_whole = !merging.problems.iter().any(Problem::hides_a_file);
    if let Some(settings) = settings.as_ref().filter(|_| is_whole) {
        merging.validate(settings.validate());
    }
    let Merging { figment, problems, .. } = merging;
    match settings {
        Some(settings) if problems.is_empty() => Ok(Loaded { settings, reference, origins, figment }),
        _ => Err(Problems(problems)),
    }
}

/// The values in effect so far, and what is wrong with them.
struct Merging<'a> {
    reference: &'a Reference,
    figment: Figment,
    problems: Vec<Problem>,
    /// The keys whose value is wrong, so that its default stands in for it.
    failed: BTreeSet<String>,
}

impl Merging<'_> {
    fn set(&mut self, setting: Setting) {
        self.figment = std::mem::take(&mut self.figment).merge(setting);
    }

    /// Merges all settings; files of secrets become the secrets that are in them.
    fn merge(&mut self, settings: Vec<Setting>) {
        let is_file = |setting: &Setting| {
            self.reference.key(&setting.key).is_some_and(|key| key.secret_of_file().is_some())
        };
        let (files, settings): (Vec<_>, Vec<_>) = settings.into_iter().partition(is_file);
        for setting in settings {
            self.set(setting);
        }
        for key in self.reference.keys() {
            let file = files.iter().rev().find(|setting| setting.key == key.path);
            if let (Some(secret), Some(file)) = (key.secret_of_file(), file) {
                self.secret_file(secret, key, file);
            }
        }
    }

    fn secret_file(&mut self, secret: &str, key: &Key, file: &Setting) {
        let path = match &file.value {
            Value::Empty(..) => return,
            Value::String(_, path) => PathBuf::from(path),
            value => return self.problems.push(wrong_value(key, &file.origin, value)),
        };
        if !matches!(self.figment.find_value(secret), Ok(Value::Empty(..)) | Err(_)) {
            self.problems.push(Problem::SecretTwice {
                key: secret.into(),
                origin: origin_of(&self.figment, secret),
                file_origin: file.origin.clone(),
            });
            return;
        }
        match secret_file::read(&path) {
            Ok(text) => {
                let (value, origin) = (Value::from(text.as_str()), format!("the file {}", path.display()));
                self.set(Setting { key: secret.into(), value, origin });
            }
            Err(detail) => {
                self.failed.insert(secret.into());
                let (key, origin) = (key.path.clone(), file.origin.clone());
                self.problems.push(Problem::SecretFile { key, origin, path, detail });
            }
        }
    }

    /// The settings, with the default in place of each value that is wrong.
    fn extract<T: DeserializeOwned>(&mut self) -> Option<T> {
        for key in self.reference.keys() {
            let value = self.figment.find_value(&key.path);
            if let Ok(value) = value
                && !is_in_range(key, &value)
            {
                self.fail(key, &value);
            }
        }
        loop {
            let error = match self.figment.extract::<T>() {
                Ok(settings) => return Some(settings),
                Err(error) => error,
            };
            let key =
                (1..=error.path.len()).find_map(|length| self.reference.key(&error.path[..length].join(".")));
            match key {
                Some(key) if !self.failed.contains(&key.path) => {
                    let value = self.figment.find_value(&key.path);
                    self.fail(key, &value.unwrap_or_else(|_| absent()));
                }
                _ => {
                    self.problems.push(inexpressible(&error));
                    return None;
                }
            }
        }
    }

    fn fail(&mut self, key: &Key, value: &Value) {
        let origin = origin_of(&self.figment, &key.path);
        self.problems.push(wrong_value(key, &origin, value));
        self.failed.insert(key.path.clone());
        self.set(Setting { key: key.path.clone(), value: key.default.clone(), origin });
    }

    /// Adds the rules that are broken by values of which each is fine.
    fn validate(&mut self, rules: Vec<Invalid>) {
        for Invalid { keys, sentence } in rules {
            if keys.iter().any(|key| self.failed.contains(*key)) {
                continue;
            }
            let origin = |key: &&str| format!("`{key}`: {}", origin_of(&self.figment, key));
            let origins = keys.iter().map(origin).collect::<Vec<_>>().join(", ");
            self.problems.push(Problem::Invalid { sentence, origins });
        }
    }
}

/// Where the value of a key comes from.
pub(crate) fn origin_of(figment: &Figment, key: &str) -> String {
    figment
        .find_metadata(key)
        .map_or_else(|| "the configuration".into(), |metadata| metadata.name.to_string())
}

fn is_in_range(key: &Key, value: &Value) -> bool {
    match (&key.form, value) {
        (Form::Number { minimum, maximum, .. }, Value::Num(_, number)) => {
            // What no bound can be compared with is outside of any.
            let number = serde_json::to_value(number).ok().and_then(|number| number.as_f64());
            let number = number.unwrap_or(f64::NAN);
            minimum.is_none_or(|minimum| number >= minimum) && maximum.is_none_or(|maximum| number <= maximum)
        }
        _ => true,
    }
}

fn wrong_value(key: &Key, origin: &str, value: &Value) -> Problem {
    // Only a file can have something else where a text is wanted.
    let is_text = matches!(key.form, Form::Text | Form::Choice(_) | Form::SecretFile);
    let needs_quotes = is_text && !matches!(value, Value::String(..) | Value::Array(..));
    let (found, but) = match key.form {
        Form::Secret => (String::new(), format!(" in quotes, and not `{HIDDEN}`")),
        _ => (format!("is {}, but ", shown(value)), if needs_quotes { ", in quotes" } else { "" }.into()),
    };
    let expected = format!("{}{but}", key.expected());
    Problem::Value { key: key.path.clone(), origin: origin.into(), found, expected }
}

/// The beginning of a value.
fn shown(value: &Value) -> String {
    let whole = match value {
        Value::Dict(_, section) if let Some(date) = date(section) => date.to_owned(),
        value => serde_json::to_string(value).unwrap_or_default(),
    };
    match whole.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &whole[..end]),
        None => whole,
    }
}

/// An error that no key is to blame for: a mistake of ours.
fn inexpressible(error: &error::Error) -> Problem {
    Problem::Inexpressible { what: "what was read".into(), detail: error.kind.to_string() }
}
