//! What has happened, written down: one JSON value a line. A run that has failed is kept in this form, and replayed from it.

use core::fmt;
use core::hash::Hasher;
use std::hash::DefaultHasher;

use serde::{Deserialize, Serialize};
use shared::Timestamp;

use super::auditor::Opening;
use super::scenario::Scenario;
use super::store::StoreEvent;
use crate::input::Input;

/// One line.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// What was run. The first line.
    Scenario(Box<Scenario>),
    /// A market starts: at the beginning, and again after a crash.
    Opening(Opening),
    /// Something goes in.
    Input {
        /// The time of the driver's clock.
        now: Timestamp,
        /// What.
        input: Input,
    },
    /// The market is woken, as it wanted.
    Wake {
        /// The time of the driver's clock.
        now: Timestamp,
    },
    /// Something comes out of the line above. In the form for people: it is compared, and never read back.
    Effect(String),
    /// The store has done something.
    Store {
        /// The time of the driver's clock.
        now: Timestamp,
        /// What.
        event: StoreEvent,
    },
    /// Everything should have come to rest.
    Rest,
    /// The auditor, or the market itself, found something wrong.
    Failure(String),
}

/// Where lines go, if anywhere.
#[derive(Default)]
pub(super) struct Log<'a>(Option<&'a mut dyn fmt::Write>);

impl<'a> Log<'a> {
    pub(super) const fn to(sink: Option<&'a mut dyn fmt::Write>) -> Self {
        Self(sink)
    }

    /// Writes the line that `line` makes, unless nobody wants it.
    pub(super) fn write(&mut self, line: impl FnOnce() -> Line) {
        if let Some(sink) = &mut self.0 {
            let text = serde_json::to_string(&line()).expect("all keys are text, and no value refuses");
            // A sink that fails has said so to its owner.
            let _ = writeln!(sink, "{text}");
        }
    }
}

impl fmt::Debug for Log<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Log(on)" } else { "Log(off)" })
    }
}

/// A hash of all that is written to it, to compare two runs without keeping either. It may change with the compiler.
#[derive(Debug, Clone, Default)]
pub struct Digest(DefaultHasher);

impl Digest {
    /// The hash of what has been written so far.
    pub fn value(&self) -> u64 {
        self.0.finish()
    }
}

impl fmt::Write for Digest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}
