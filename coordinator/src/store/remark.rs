//! Short texts of an operator's that are shown again as they are.

use std::fmt;
use std::str::FromStr;

use shared::serde_as_text;
use thiserror::Error;

/// What a key is for.
pub type Label = Remark<64>;

/// Why somebody is shut out.
pub type Reason = Remark<200>;

/// A text of up to `MAX` characters, all of which can be seen: printed on a terminal it moves no cursor and turns no line round.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Remark<const MAX: usize>(String);

/// A text that is too long, or holds what cannot be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a text here has up to {max} characters, none of them a control character")]
pub struct BadRemark {
    max: usize,
}

impl<const MAX: usize> Remark<MAX> {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> FromStr for Remark<MAX> {
    type Err = BadRemark;

    fn from_str(text: &str) -> Result<Self, BadRemark> {
        let fits = text.chars().count() <= MAX && text.chars().all(is_seen);
        if fits { Ok(Self(text.to_owned())) } else { Err(BadRemark { max: MAX }) }
    }
}

/// Whether a character stands for itself: not a control character, a line separator, or one that hides or reorders others.
fn is_seen(character: char) -> bool {
    let reorders_or_hides = matches!(
        character,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
    );
    !character.is_control() && !reorders_or_hides
}

impl<const MAX: usize> fmt::Display for Remark<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

serde_as_text!(Remark<const MAX: usize>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_is_taken() {
        for good in ["", "shop, main page", "Zürich 東京", &"ä".repeat(64)] {
            assert_eq!(good.parse::<Label>().unwrap().as_str(), good);
        }
        for bad in
            ["a\nb", "\u{1b}[2J", "\u{202e}gnp.exe", "a\u{200b}b", "\u{7f}", "\u{2028}", &"ä".repeat(65)]
        {
            assert!(bad.parse::<Label>().is_err(), "{bad:?}");
        }
    }
}
