//! Layers of configuration, each over the one before: built-in defaults, a TOML file, environment variables, flags.
//!
//! ```
//! #[derive(serde::Serialize, serde::Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Settings {
//!     name: String,
//!     port: u16,
//! }
//!
//! let sources = config::Sources::new(&Settings { name: "built in".into(), port: 1 })?
//!     .environment("APP", &[], [("APP_NAME".into(), "12345".into())])?;
//! let settings: Settings = config::load(&sources)?;
//! assert_eq!((settings.name.as_str(), settings.port), ("12345", 1));
//! # Ok::<(), config::ConfigError>(())
//! ```

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{fs, io};

use figment::error::Kind;
use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// Why a configuration is not usable. Each is one sentence that names the key and where its value comes from.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file that was asked for is not there, or cannot be read.
    #[error("the configuration file {} cannot be read", path.display())]
    File {
        /// As it was given.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("the configuration file {} is not TOML: {detail}", path.display())]
    Syntax {
        /// As it was given.
        path: PathBuf,
        /// Line, column and what is wrong there.
        detail: String,
    },
    /// A variable holds bytes that are no text.
    #[error("the environment variable {variable} is not valid UTF-8")]
    NotText {
        /// Its name.
        variable: String,
    },
    /// A key that means nothing, most likely mistyped.
    #[error("unknown key `{key}` in {origin}: expected {expected}")]
    UnknownKey {
        /// With its sections, separated by dots.
        key: String,
        /// The file, variable or flags that it comes from.
        origin: String,
        /// The keys there are.
        expected: String,
    },
    /// A key without a default has no value.
    #[error("`{key}` is not set: give it as a flag, in the environment or in the configuration file")]
    Missing {
        /// With its sections, separated by dots.
        key: String,
    },
    /// A value that its key cannot take.
    #[error("`{key}` in {origin}: {detail}")]
    Value {
        /// With its sections, separated by dots.
        key: String,
        /// The file, variable or flags that it comes from.
        origin: String,
        /// What is wrong with it.
        detail: String,
    },
    /// A layer that the program itself makes is not a set of keys and values.
    #[error("{layer} cannot be expressed as configuration")]
    Layer {
        /// Which one.
        layer: &'static str,
        /// What serialisation says.
        #[source]
        source: Box<figment::Error>,
    },
}

/// The layers so far. A later one wins over an earlier one, key by key.
#[derive(Debug, Clone)]
pub struct Sources {
    figment: Figment,
}

impl Sources {
    /// Begins with the built-in defaults.
    ///
    /// # Errors
    /// [`ConfigError::Layer`] when `defaults` is not a struct or map.
    pub fn new(defaults: &impl Serialize) -> Result<Self, ConfigError> {
        let layer = "the built-in defaults";
        let values = serialize(layer, defaults)?;
        Ok(Self { figment: Figment::from(Layer { origin: layer.into(), values }) })
    }

    /// Adds a TOML file.
    ///
    /// # Errors
    /// [`ConfigError::File`] also when it does not exist: whoever names a file means it. [`ConfigError::Syntax`] when it is not
    /// TOML.
    pub fn file(self, path: &Path) -> Result<Self, ConfigError> {
        let text =
            fs::read_to_string(path).map_err(|source| ConfigError::File { path: path.into(), source })?;
        let values: Dict = Toml::from_str(&text).map_err(|error| ConfigError::Syntax {
            path: path.into(),
            detail: one_line(&error.to_string()),
        })?;
        Ok(self.with(format!("the file {}", path.display()), values))
    }

    /// Adds the variables `PREFIX_KEY` and `PREFIX_SECTION__KEY`; other variables are left alone, as are those that begin with
    /// one of `other_prefixes` (of programs whose prefix begins like this one's). `variables` is [`std::env::vars_os`] in
    /// programs.
    ///
    /// A value is text and read as what its key wants: `12345` is a fine name, and a fine port. Where a list stands in an
    /// earlier layer, it is a list separated by commas.
    ///
    /// # Errors
    /// [`ConfigError::NotText`] for a value of ours that is not UTF-8.
    pub fn environment(
        self,
        prefix: &str,
        other_prefixes: &[&str],
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let key_of = |variable: &str, prefix: &str| {
            Some(variable.strip_prefix(prefix)?.strip_prefix('_')?.to_lowercase())
        };
        let mut sources = self;
        for (variable, value) in variables {
            let Some(variable) = variable.to_str() else { continue };
            let Some(key) = key_of(variable, prefix) else { continue };
            if other_prefixes.iter().any(|other| key_of(variable, other).is_some()) {
                continue;
            }
            let value =
                value.into_string().map_err(|_| ConfigError::NotText { variable: variable.into() })?;
            let path: Vec<&str> = key.split("__").collect();
            let value = sources.value_of_text(&path.join("."), value);
            sources = sources.with(format!("the environment variable {variable}"), nest(&path, value));
        }
        Ok(sources)
    }

    /// Adds flags: what is `None` or `()` in them was not given and changes nothing.
    ///
    /// # Errors
    /// [`ConfigError::Layer`] when `flags` is not a struct or map.
    pub fn flags(self, flags: &impl Serialize) -> Result<Self, ConfigError> {
        let layer = "the command line";
        let values = serialize(layer, flags)?;
        Ok(self.with(layer.into(), without_absent(values)))
    }

    fn with(self, origin: String, values: Dict) -> Self {
        Self { figment: self.figment.merge(Layer { origin, values }) }
    }

    fn value_of_text(&self, key: &str, text: String) -> Value {
        match self.figment.find_value(key) {
            Ok(Value::Array(..)) if text.trim().is_empty() => Value::from(Vec::<String>::new()),
            Ok(Value::Array(..)) => text.split(',').map(str::trim).collect::<Vec<_>>().into(),
            _ => text.into(),
        }
    }

    /// Where the value of a key comes from. An unset key comes from the layer of its section, if that has one.
    fn origin_of(&self, key: &str) -> String {
        let mut key = key;
        loop {
            if let Some(metadata) = self.figment.find_metadata(key) {
                return metadata.name.to_string();
            }
            match key.rsplit_once('.') {
                Some((section, _)) => key = section,
                None => return "the configuration".into(),
            }
        }
    }
}

/// Reads the settings out of the layers. `T` should deny unknown fields, so that mistyped keys are noticed.
///
/// # Errors
/// [`ConfigError`] for the first key that is unknown, missing, or has a value that it cannot take.
pub fn load<T: DeserializeOwned>(sources: &Sources) -> Result<T, ConfigError> {
    sources.figment.extract_lossy().map_err(|error| {
        // Not the error's own text: that begins the key with figment's profile, `default.`.
        let key = error.path.join(".");
        let origin = sources.origin_of(&key);
        match error.kind {
            Kind::UnknownField(_, expected) => {
                ConfigError::UnknownKey { key, origin, expected: listed(expected) }
            }
            Kind::MissingField(field) if key.is_empty() => ConfigError::Missing { key: field.into() },
            Kind::MissingField(field) => ConfigError::Missing { key: format!("{key}.{field}") },
            Kind::UnknownVariant(found, expected) => ConfigError::Value {
                key,
                origin,
                detail: format!("found `{found}`, expected {}", listed(expected)),
            },
            kind => ConfigError::Value { key, origin, detail: one_line(&kind.to_string()) },
        }
    })
}

/// Values with the same origin.
struct Layer {
    origin: String,
    values: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.clone())
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

fn serialize(layer: &'static str, values: &impl Serialize) -> Result<Dict, ConfigError> {
    let error = match Value::serialize(values) {
        Ok(Value::Dict(_, dict)) => return Ok(dict),
        Ok(other) => Kind::InvalidType(other.to_actual(), "a struct or map".into()).into(),
        Err(error) => error,
    };
    Err(ConfigError::Layer { layer, source: Box::new(error) })
}

/// A value below its sections.
fn nest(path: &[&str], value: Value) -> Dict {
    match path {
        [] => Dict::new(),
        [key] => Dict::from([((*key).into(), value)]),
        [section, rest @ ..] => Dict::from([((*section).into(), nest(rest, value).into())]),
    }
}

fn without_absent(values: Dict) -> Dict {
    let present = values.into_iter().filter_map(|(key, value)| match value {
        Value::Empty(..) => None,
        Value::Dict(tag, section) => Some((key, Value::Dict(tag, without_absent(section)))),
        other => Some((key, other)),
    });
    present.collect()
}

/// Names as a sentence lists them.
fn listed(names: &[&str]) -> String {
    match names {
        [] => "none".into(),
        [name] => format!("`{name}`"),
        [first @ .., last] => {
            let first: Vec<_> = first.iter().map(|name| format!("`{name}`")).collect();
            format!("{} or `{last}`", first.join(", "))
        }
    }
}

/// The lines of a message as one, without the picture of the source that TOML's have between bars.
fn one_line(message: &str) -> String {
    let is_picture = |line: &&str| line.contains('|') || line.is_empty();
    message.lines().map(str::trim).filter(|line| !is_picture(line)).collect::<Vec<_>>().join(": ")
}
