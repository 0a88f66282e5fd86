//! A recorded run, again: the inputs of the log go into the market of today, what comes out is compared with what came out
//! then, and the auditor looks at it.

use std::collections::VecDeque;

use thiserror::Error;

use super::auditor::{Auditor, Broken};
use super::log::Line;
use crate::effect::{Effect, Effects};
use crate::market::Marketplace;

/// A log that cannot be replayed.
#[derive(Debug, Error)]
pub enum BadLog {
    /// A line cannot be read.
    #[error("line {number} of the log cannot be read; it was written by another version, or is damaged")]
    Line {
        /// Which, counted from 1.
        number: usize,
        /// Why.
        #[source]
        cause: serde_json::Error,
    },
    /// Something happens before a market was started.
    #[error("line {number} of the log comes before any market was started; the log's beginning is missing")]
    NoOpening {
        /// Which, counted from 1.
        number: usize,
    },
}

/// A log that is being replayed.
#[derive(Debug)]
pub struct Replay {
    lines: VecDeque<(usize, Line)>,
    market: Option<Marketplace>,
    auditor: Option<Auditor>,
}

/// One thing that went in, or happened, and all that came of it.
#[derive(Debug)]
pub struct Step {
    /// The line of the log, counted from 1.
    pub number: usize,
    /// What it says.
    pub line: Line,
    /// What came out when it was recorded.
    pub then: Vec<String>,
    /// What comes out now.
    pub now: Vec<String>,
    /// The rule that is broken now.
    pub broken: Option<Broken>,
}

impl Replay {
    /// Reads a log.
    ///
    /// # Errors
    /// [`BadLog`] for the first line that cannot be read.
    pub fn parse(text: &str) -> Result<Self, BadLog> {
        let read = |(index, line): (usize, &str)| {
            let number = index + 1;
            serde_json::from_str(line)
                .map(|line| (number, line))
                .map_err(|cause| BadLog::Line { number, cause })
        };
        let lines = text.lines().enumerate().map(read).collect::<Result<_, _>>()?;
        Ok(Self { lines, market: None, auditor: None })
    }

    /// The market as it is now.
    pub const fn market(&self) -> Option<&Marketplace> {
        self.market.as_ref()
    }

    /// Goes on by one line, with its effects; `None` at the end of the log.
    ///
    /// # Errors
    /// [`BadLog::NoOpening`] when the beginning is missing.
    pub fn step(&mut self) -> Result<Option<Step>, BadLog> {
        let Some((number, line)) = self.lines.pop_front() else { return Ok(None) };
        let mut then = Vec::new();
        while let Some((_, Line::Effect(effect))) = self.lines.front() {
            then.push(effect.clone());
            self.lines.pop_front();
        }
        let (mut now, mut broken) = (Vec::new(), None);
        match &line {
            Line::Opening(opening) => {
                self.market = Some(Marketplace::new(opening.start()));
                match &mut self.auditor {
                    Some(auditor) => auditor.opens(opening),
                    None => self.auditor = Some(Auditor::new(opening)),
                }
            }
            Line::Scenario(_) | Line::Effect(_) | Line::Failure(_) => {}
            _ => {
                let (Some(market), Some(auditor)) = (&mut self.market, &mut self.auditor) else {
                    return Err(BadLog::NoOpening { number });
                };
                let effects = run(market, &line);
                broken = audit(auditor, &line, &effects).err();
                now = effects.iter().map(|effect| format!("{effect:?}")).collect();
            }
        }
        Ok(Some(Step { number, line, then, now, broken }))
    }
}

impl Step {
    /// Whether the market does today what it did then.
    pub fn is_same(&self) -> bool {
        self.then == self.now
    }
}

fn run(market: &mut Marketplace, line: &Line) -> Vec<Effect> {
    let mut effects = Effects::new();
    match line {
        Line::Input { now, input } => market.handle(*now, input.clone(), &mut effects),
        Line::Wake { now } => market.handle_timeout(*now, &mut effects),
        _ => {}
    }
    core::iter::from_fn(|| effects.pop()).collect()
}

fn audit(auditor: &mut Auditor, line: &Line, effects: &[Effect]) -> Result<(), Broken> {
    match line {
        Line::Input { now, input } => auditor.input(*now, Some(input))?,
        Line::Wake { now } => auditor.input(*now, None)?,
        Line::Store { now, event } => return auditor.stored(*now, event),
        Line::Rest => return auditor.rests(),
        _ => return Ok(()),
    }
    effects.iter().try_for_each(|effect| auditor.effect(effect))?;
    auditor.input_ends()
}
