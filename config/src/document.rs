//! What is written about the keys of a program: the commented file, the reference, and the settings in effect.

use core::fmt::Write as _;

use serde::Serialize;
use serde_json::{Map, Value as Json, json};

use crate::load::{Configuration, Loaded, origin_of};
use crate::reference::{Form, Key, Reference};

/// How long the lines of a comment are at most, their `# ` included.
const COLUMNS: usize = 110;

/// A TOML file with all keys, what they do, and their defaults.
pub(crate) fn commented_file(reference: &Reference) -> String {
    let first = reference.sections.get(1).or(reference.sections.first());
    let example = first.and_then(|section| section.keys.first()).map(|key| reference.variable(&key.path));
    let head = format!(
        "All settings of `{program}`, with their defaults. A variable such as {} wins over this file, a flag over both. \
         Unknown keys are refused.\n\nThis file is what `{program} config generate` prints; `{program} config check --config \
         FILE` says what is wrong with a changed one.",
        example.unwrap_or_default(),
        program = reference.program
    );
    let mut text = comment(&head);
    for section in &reference.sections {
        if !section.path.is_empty() {
            // Writing to a string cannot fail.
            let _ = write!(text, "\n{}[{}]\n", comment(&section.meaning), section.path);
        }
        for (index, key) in section.keys.iter().enumerate() {
            if section.path.is_empty() || index > 0 {
                text.push('\n');
            }
            text += &commented_key(key);
        }
    }
    text
}

fn commented_key(key: &Key) -> String {
    let mut text = comment(&key.meaning);
    match &key.form {
        Form::Choice(choices) => {
            for choice in choices {
                text += &comment(&format!("\"{}\": {}", choice.word, choice.meaning));
            }
        }
        Form::Number { .. } => text += &comment(&format!("Takes {}.", key.expected())),
        _ => {}
    }
    let (_, name) = key.section_and_name();
    match (toml(&key.default), &key.example) {
        (Some(default), _) => text + &format!("{name} = {default}\n"),
        (None, Some(example)) => text + &format!("# {name} = {}\n", toml(example).unwrap_or_default()),
        // A secret: its file is shown instead.
        (None, None) => text + &format!("# {name} = \"…\"\n"),
    }
}

/// The keys of a program for people to read, in Markdown, beginning with a heading of the second level.
pub(crate) fn markdown(reference: &Reference) -> String {
    let mut text = format!("## {}\n", reference.program);
    for section in &reference.sections {
        if !section.path.is_empty() {
            // Writing to a string cannot fail.
            let _ =
                write!(text, "\n### `[{}]`\n\n{}\n", section.path, paragraphs(&section.meaning).join("\n\n"));
        }
        for key in &section.keys {
            text += &markdown_key(reference, key);
        }
    }
    text
}

fn markdown_key(reference: &Reference, key: &Key) -> String {
    let mut text = format!("\n#### `{}`\n\n{}\n\n", key.path, paragraphs(&key.meaning).join("\n\n"));
    let default = toml(&key.default).map_or_else(|| "none".into(), |default| format!("`{default}`"));
    let _ = writeln!(text, "- default: {default}");
    let example = key.example.as_ref().and_then(toml);
    let example = example.map(|example| format!(", such as `{example}`")).unwrap_or_default();
    let _ = writeln!(text, "- takes: {}{example}", key.expected());
    if let Form::Choice(choices) = &key.form {
        for choice in choices {
            let _ = writeln!(text, "  - `{}`: {}", choice.word, paragraphs(&choice.meaning).join(" "));
        }
    }
    let _ = writeln!(text, "- variable: `{}`", reference.variable(&key.path));
    if let Some(flag) = &key.flag {
        let _ = writeln!(text, "- flag: `{flag}`");
    }
    text
}

/// The settings in effect, as TOML that can be read again. Secrets are left out.
pub(crate) fn effective_toml<T: Configuration>(loaded: &Loaded<T>, with_origin: bool) -> String {
    let mut text = String::new();
    for section in &loaded.reference.sections {
        if !section.path.is_empty() {
            let _ = write!(text, "\n[{}]\n", section.path);
        }
        for key in section.keys.iter().filter(|key| key.form != Form::SecretFile) {
            let (_, name) = key.section_and_name();
            let value = toml(&effective(loaded, key));
            let origin = with_origin.then(|| format!(" # {}", origin_of(&loaded.figment, &key.path)));
            let origin = origin.unwrap_or_default();
            let _ = match value {
                Some(value) if key.form == Form::Secret => writeln!(text, "# {name} = {value}{origin}"),
                Some(value) => writeln!(text, "{name} = {value}{origin}"),
                None => writeln!(text, "# {name} is not set{origin}"),
            };
        }
    }
    text
}

/// The settings in effect, as JSON: in their sections, or each with where it comes from. Secrets are hidden.
pub(crate) fn effective_json<T: Configuration>(loaded: &Loaded<T>, with_origin: bool) -> Json {
    if !with_origin {
        return json!(loaded.settings);
    }
    let keys = loaded.reference.keys().filter(|key| key.form != Form::SecretFile);
    let entries = keys.map(|key| {
        let origin = origin_of(&loaded.figment, &key.path);
        (key.path.clone(), json!({ "value": effective(loaded, key), "origin": origin }))
    });
    entries.collect::<Map<_, _>>().into()
}

fn effective<T: Configuration>(loaded: &Loaded<T>, key: &Key) -> Json {
    let pointer = format!("/{}", key.path.replace('.', "/"));
    json!(loaded.settings).pointer(&pointer).cloned().unwrap_or_default()
}

/// A value as TOML writes it; `None` for no value.
fn toml(value: &impl Serialize) -> Option<String> {
    toml::Value::try_from(value).ok().map(|value| value.to_string())
}

/// The paragraphs of a documentation comment, each as one line.
fn paragraphs(meaning: &str) -> Vec<String> {
    let words = |paragraph: &str| paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
    meaning.split("\n\n").map(words).filter(|paragraph| !paragraph.is_empty()).collect()
}

/// A text as a TOML comment, its lines broken between words.
fn comment(text: &str) -> String {
    let mut lines = String::new();
    for (index, paragraph) in paragraphs(text).iter().enumerate() {
        if index > 0 {
            lines += "#\n";
        }
        let mut line = String::from("#");
        for word in paragraph.split(' ') {
            if line.chars().count() + 1 + word.chars().count() > COLUMNS {
                lines += &line;
                lines.push('\n');
                line = "#".into();
            }
            line.push(' ');
            line += word;
        }
        lines += &line;
        lines.push('\n');
    }
    lines
}
