//! What can be wrong with a configuration, each as one sentence that names the key and where its value comes from.

use core::fmt;
use std::path::PathBuf;

use thiserror::Error;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Problem {
    /// The file that was asked for is not there, or cannot be read.
    #[error("the configuration file {} cannot be read ({detail}): it is named by --config or {variable}", path.display())]
    File {
        /// As it was given.
        path: PathBuf,
        /// What the system says.
        detail: String,
        /// The variable that names a file.
        variable: String,
    },
    /// The file is not TOML.
    #[error("the configuration file {} is not TOML: {detail}", path.display())]
    Syntax {
        /// As it was given.
        path: PathBuf,
        /// Line, column and what is wrong there.
        detail: String,
    },
    /// Bytes that are no text.
    #[error("{what} is not valid UTF-8: write it as text")]
    NotText {
        /// What holds them.
        what: String,
    },
    /// A key that means nothing, most likely mistyped.
    #[error("unknown key `{key}` in {origin}: {advice}")]
    UnknownKey {
        /// With its sections, separated by dots.
        key: String,
        /// The file, variable or flag that it comes from.
        origin: String,
        /// What was probably meant, or what there is.
        advice: String,
    },
    /// One value where a section with keys of its own is.
    #[error("`{section}` in {origin} is a section with keys of its own, such as `{key}`")]
    Section {
        /// With the sections around it, separated by dots.
        section: String,
        /// The file, variable or flag that it comes from.
        origin: String,
        /// One of its keys.
        key: String,
    },
    /// Keys below a key.
    #[error("`{key}` in {origin} is one value and has no keys below it")]
    NoSection {
        /// With its sections, separated by dots.
        key: String,
        /// The file, variable or flag that it comes from.
        origin: String,
    },
    /// A value that its key cannot take.
    #[error("`{key}` in {origin} {found}must be {expected}")]
    Value {
        /// With its sections, separated by dots.
        key: String,
        /// The file, variable or flag that it comes from.
        origin: String,
        /// What it is, up to the word `must`. Empty for a secret.
        found: String,
        /// What it can be.
        expected: String,
    },
    /// A secret and a file with that secret.
    #[error("`{key}` in {origin} and `{key}_file` in {file_origin} are both set: keep one of them")]
    SecretTwice {
        /// The key of the secret.
        key: String,
        /// Where the secret comes from.
        origin: String,
        /// Where the name of the file comes from.
        file_origin: String,
    },
    /// A file with a secret that cannot be used.
    #[error("the file {} that `{key}` in {origin} names {detail}", path.display())]
    SecretFile {
        /// The key that names the file.
        key: String,
        /// Where the name comes from.
        origin: String,
        /// The file.
        path: PathBuf,
        /// What is wrong with it and what to do.
        detail: String,
    },
    /// Values that each is fine, and together are not, or that only the program can judge.
    #[error("{sentence} ({origins})")]
    Invalid {
        /// What is wrong and what to do.
        sentence: String,
        /// The keys, each with where its value comes from.
        origins: String,
    },
    /// Something that the program itself makes is not a set of keys and values: a mistake of ours.
    #[error("{what} cannot be expressed as configuration: {detail}")]
    Inexpressible {
        /// What.
        what: String,
        /// What serialisation says.
        detail: String,
    },
}

impl Problem {
    /// Whether the settings of a file are not known. What seems to be missing may be among them, so no rule is held against the
    /// others.
    pub(crate) const fn hides_a_file(&self) -> bool {
        matches!(self, Self::File { .. } | Self::Syntax { .. } | Self::NotText { .. })
    }
}

/// Everything that is wrong with a configuration, at least one thing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct Problems(pub(crate) Vec<Problem>);

impl Problems {
    /// What in each layer is no setting, then values, then rules.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }
}

impl fmt::Display for Problems {
    /// One problem is its own sentence; several stand below each other.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [problem] = self.0.as_slice() {
            return problem.fmt(f);
        }
        write!(f, "the configuration has {} problems", self.0.len())?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

/// A rule of the program's own that its settings break.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// The keys that it is about, with their sections.
    pub keys: Vec<&'static str>,
    /// What is wrong and what to do, beginning with the key, without a full stop.
    pub sentence: String,
}

impl Invalid {
    /// A rule about these keys.
    pub fn new(keys: &[&'static str], sentence: impl Into<String>) -> Self {
        Self { keys: keys.to_vec(), sentence: sentence.into() }
    }
}
