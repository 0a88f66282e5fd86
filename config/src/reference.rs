//! All keys that a program's settings have, as their structs document them.

use figment::value::Value;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value as Json;

use crate::load::Configuration;
use crate::problem::Problem;

/// What ends the key that names the file of a secret.
const FILE_SUFFIX: &str = "_file";

/// All keys of a program, in the order of its structs: first those without a section.
#[derive(Debug, Clone)]
pub struct Reference {
    /// The program's name.
    pub program: &'static str,
    /// What its environment variables begin with.
    pub prefix: &'static str,
    /// The first is the one without a name.
    pub sections: Vec<Section>,
}

/// Keys that belong together.
#[derive(Debug, Clone)]
pub struct Section {
    /// With the sections around it, separated by dots. Empty for keys that stand in none.
    pub path: String,
    /// What it is about.
    pub meaning: String,
    /// Its keys.
    pub keys: Vec<Key>,
}

/// One setting.
#[derive(Debug, Clone)]
pub struct Key {
    /// With its sections, separated by dots.
    pub path: String,
    /// What it does, in paragraphs.
    pub meaning: String,
    /// What kind of value it takes.
    pub form: Form,
    /// The kind of value in words, where they say more than the form.
    pub words: Option<String>,
    /// What a number counts.
    pub unit: Option<String>,
    /// The flag that sets it.
    pub flag: Option<String>,
    /// A value to show where the default is none.
    pub example: Option<Json>,
    /// The value if no layer sets it.
    pub default: Value,
    /// Whether it may have no value.
    pub is_optional: bool,
}

/// Kinds of values.
#[derive(Debug, Clone, PartialEq)]
pub enum Form {
    /// Any text, or one that the program reads further.
    Text,
    /// A number.
    Number {
        /// Whether it has no decimals.
        is_whole: bool,
        /// The least.
        minimum: Option<f64>,
        /// The greatest.
        maximum: Option<f64>,
    },
    /// True or false.
    Boolean,
    /// One of some words.
    Choice(Vec<Choice>),
    /// Any number of texts.
    List,
    /// A text that nobody may see.
    Secret,
    /// A file with the secret that the key without `_file` is.
    SecretFile,
}

/// A word that may be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The word.
    pub word: String,
    /// What it does.
    pub meaning: String,
}

impl Reference {
    /// The keys of `T`.
    ///
    /// # Errors
    /// [`Problem::Inexpressible`] when the defaults are not sections of keys and values.
    pub fn of<T: Configuration>() -> Result<Self, Problem> {
        let defaults = Value::serialize(T::default()).map_err(|error| Problem::Inexpressible {
            what: "the built-in defaults".into(),
            detail: error.to_string(),
        })?;
        Ok(Self {
            program: T::PROGRAM,
            prefix: T::PREFIX,
            sections: sections(String::new(), &schema::<T>(), &defaults),
        })
    }

    /// All keys.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.sections.iter().flat_map(|section| &section.keys)
    }

    /// The key of this path.
    pub(crate) fn key(&self, path: &str) -> Option<&Key> {
        self.keys().find(|key| key.path == path)
    }

    /// The first key in the section of this path, or in one below it.
    pub(crate) fn first_key_below(&self, section: &str) -> Option<&Key> {
        self.keys().find(|key| is_below(&key.path, section))
    }

    /// The key above this path.
    pub(crate) fn key_above(&self, path: &str) -> Option<&Key> {
        self.keys().find(|key| is_below(path, &key.path))
    }

    /// The environment variable that sets a key.
    pub fn variable(&self, key: &str) -> String {
        format!("{}_{}", self.prefix, key.replace('.', "__").to_uppercase())
    }

    /// The environment variable that names the configuration file.
    pub fn file_variable(&self) -> String {
        format!("{}_CONFIG", self.prefix)
    }
}

fn is_below(path: &str, section: &str) -> bool {
    path.strip_prefix(section).is_some_and(|rest| rest.starts_with('.'))
}

impl Key {
    /// The section that it stands in, and its name there.
    pub fn section_and_name(&self) -> (&str, &str) {
        self.path.rsplit_once('.').unwrap_or(("", &self.path))
    }

    /// The values that it takes, in words.
    pub fn expected(&self) -> String {
        let form = match &self.form {
            Form::Text | Form::Secret | Form::SecretFile => "a text".into(),
            Form::Boolean => "`true` or `false`".into(),
            Form::List => "a list of texts".into(),
            Form::Choice(choices) => {
                let words: Vec<_> = choices.iter().map(|choice| choice.word.as_str()).collect();
                listed(&words, "or")
            }
            Form::Number { is_whole, minimum, maximum } => {
                let kind = if *is_whole { "a whole number" } else { "a number" };
                let from = minimum.map(|least| format!(" from {least}")).unwrap_or_default();
                let to = maximum.map(|greatest| format!(" to {greatest}")).unwrap_or_default();
                format!("{kind}{from}{to}")
            }
        };
        let form = self.words.clone().unwrap_or(form);
        self.unit.as_ref().map_or(form.clone(), |unit| format!("{form} ({unit})"))
    }

    fn new(path: String, schema: &Json, default: Value) -> Self {
        let text = |name: &str| schema[name].as_str().map(str::to_owned);
        Self {
            path,
            meaning: text("description").unwrap_or_default(),
            form: form(schema),
            words: text("form"),
            unit: text("unit"),
            flag: text("flag"),
            example: schema["examples"].get(0).cloned(),
            default,
            is_optional: is_nullable(schema),
        }
    }

    /// The key for the file of this secret.
    fn file(&self) -> Self {
        let (_, name) = self.section_and_name();
        Self {
            path: format!("{}{FILE_SUFFIX}", self.path),
            meaning: format!(
                "A file that holds `{name}` and nothing else, readable by its owner alone. The end of its line is cut."
            ),
            form: Form::SecretFile,
            words: Some("a path".into()),
            unit: None,
            flag: None,
            example: Some(format!("/run/secrets/{}", self.path.replace(['.', '_'], "-")).into()),
            default: Value::serialize(()).unwrap_or_else(|_| Value::from(String::new())),
            is_optional: true,
        }
    }

    /// The key of the secret that is in the file that this key names.
    pub(crate) fn secret_of_file(&self) -> Option<&str> {
        (self.form == Form::SecretFile).then(|| self.path.strip_suffix(FILE_SUFFIX)).flatten()
    }
}

/// Words as a sentence lists them, with `or` or `and` before the last.
pub(crate) fn listed(words: &[&str], conjunction: &str) -> String {
    match words {
        [] => "nothing".into(),
        [word] => format!("`{word}`"),
        [first @ .., last] => {
            let first: Vec<_> = first.iter().map(|word| format!("`{word}`")).collect();
            format!("{} {conjunction} `{last}`", first.join(", "))
        }
    }
}

fn schema<T: JsonSchema>() -> Json {
    // As serialised, because then every field is `required`, optional ones too.
    let settings = SchemaSettings::draft2020_12().for_serialize().with(|settings| {
        settings.inline_subschemas = true;
    });
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

/// The section and those below it.
fn sections(path: String, schema: &Json, defaults: &Value) -> Vec<Section> {
    let meaning = schema["description"].as_str().unwrap_or_default().to_owned();
    let mut section = Section { path, meaning, keys: Vec::new() };
    let mut below = Vec::new();
    // `properties` is sorted by name; `required` has the order of the struct.
    let names = schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str);
    for name in names {
        let property = &schema["properties"][name];
        let path = if section.path.is_empty() { name.into() } else { format!("{}.{name}", section.path) };
        let Some(default) = defaults.find_ref(name).cloned() else { continue };
        if property["properties"].is_object() {
            below.extend(sections(path, property, &default));
            continue;
        }
        let key = Key::new(path, property, default);
        let file = (key.form == Form::Secret).then(|| key.file());
        section.keys.push(key);
        section.keys.extend(file);
    }
    [section].into_iter().chain(below).collect()
}

fn is_nullable(schema: &Json) -> bool {
    let is_null = |json: &Json| json == "null" || json["type"] == "null";
    ["type", "anyOf"]
        .iter()
        .any(|name| schema[*name].as_array().is_some_and(|kinds| kinds.iter().any(is_null)))
}

fn form(schema: &Json) -> Form {
    // What may be absent is written as the choice between itself and `null`.
    if let Some(kinds) = schema["anyOf"].as_array() {
        return kinds.iter().find(|kind| kind["type"] != "null").map_or(Form::Text, form);
    }
    if let Some(words) = schema["oneOf"].as_array().or_else(|| schema["enum"].as_array()) {
        return Form::Choice(words.iter().map(choice).collect());
    }
    let kind = match &schema["type"] {
        Json::Array(kinds) => kinds.iter().find(|kind| *kind != "null").and_then(Json::as_str),
        kind => kind.as_str(),
    };
    match kind {
        Some("integer" | "number") => Form::Number {
            is_whole: kind == Some("integer"),
            minimum: schema["minimum"].as_f64(),
            maximum: schema["maximum"].as_f64(),
        },
        Some("boolean") => Form::Boolean,
        Some("array") => Form::List,
        _ if schema["writeOnly"] == true => Form::Secret,
        _ => Form::Text,
    }
}

/// A word with its documentation, or a bare one.
fn choice(schema: &Json) -> Choice {
    let word = schema.as_str().or_else(|| schema["const"].as_str()).unwrap_or_default();
    Choice { word: word.into(), meaning: schema["description"].as_str().unwrap_or_default().into() }
}
