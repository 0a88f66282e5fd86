//! When the server is told that this worker is still there.

use std::time::Duration;

use shared::Timestamp;

/// A worker that searches says something at least so often (`docs/protocol.md`).
const EVERY: Duration = Duration::from_secs(1);

/// Since when a worker that searches has said nothing.
#[derive(Debug, Default)]
pub(crate) struct SignOfLife {
    quiet_since: Option<Timestamp>,
}

impl SignOfLife {
    /// It searches, or does not, in which case nobody waits for a word.
    pub(crate) fn searches(&mut self, now: Timestamp, is_searching: bool) {
        self.quiet_since = is_searching.then(|| self.quiet_since.unwrap_or(now));
    }

    /// It has said something.
    pub(crate) fn said(&mut self, now: Timestamp) {
        self.quiet_since = self.quiet_since.map(|_| now);
    }

    /// When the next sign is due, if one is.
    pub(crate) fn due_at(&self) -> Option<Timestamp> {
        self.quiet_since.map(|since| since + EVERY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp::default() + Duration::from_millis(ms)
    }

    #[test]
    fn a_second_after_the_last_word_while_it_searches() {
        let mut sign = SignOfLife::default();
        sign.said(at(0));
        assert_eq!(sign.due_at(), None, "nobody waits for it");
        sign.searches(at(5_000), true);
        sign.searches(at(5_500), true);
        assert_eq!(sign.due_at(), Some(at(6_000)));
        sign.said(at(5_700));
        assert_eq!(sign.due_at(), Some(at(6_700)));
        sign.searches(at(6_000), false);
        assert_eq!(sign.due_at(), None);
    }
}
