//! What work is asked for.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use shared::pow::Root;

/// Answered roots that can be asked for again; the oldest are overwritten.
const REMEMBERED: usize = 1000;

/// The roots of one connection: new ones, and a share of those that it has been answered before.
#[derive(Debug)]
pub(crate) struct Roots {
    random: SmallRng,
    repeated: f64,
    answered: Vec<Root>,
    oldest: usize,
}

impl Roots {
    /// Of so many hundredths of a hundred, `repeated` of `[0, 1]`, once some have been answered.
    pub(crate) fn new(seed: u64, repeated: f64) -> Self {
        Self { random: SmallRng::seed_from_u64(seed), repeated, answered: Vec::new(), oldest: 0 }
    }

    /// The next.
    pub(crate) fn next(&mut self) -> Root {
        if !self.answered.is_empty() && self.random.random_bool(self.repeated) {
            return self.answered[self.random.random_range(0..self.answered.len())];
        }
        Root::new(self.random.random())
    }

    /// Work has come for a root.
    pub(crate) fn answered(&mut self, root: Root) {
        if self.repeated == 0.0 {
            return;
        }
        if self.answered.len() < REMEMBERED {
            self.answered.push(root);
        } else {
            self.answered[self.oldest] = root;
            self.oldest = (self.oldest + 1) % REMEMBERED;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn distinct(repeated: f64, count: usize) -> usize {
        let mut roots = Roots::new(1, repeated);
        let mut seen = BTreeSet::new();
        for _ in 0..count {
            let root = roots.next();
            seen.insert(*root.as_bytes());
            roots.answered(root);
        }
        seen.len()
    }

    #[test]
    fn roots_are_new_but_for_the_share_that_is_not() {
        assert_eq!(distinct(0.0, 5000), 5000);
        let new = distinct(0.3, 5000);
        assert!((3400..3600).contains(&new), "{new}");
        assert_eq!(distinct(1.0, 100), 1);
    }

    #[test]
    fn only_answered_roots_are_asked_for_again_and_only_so_many_are_kept() {
        let mut roots = Roots::new(1, 1.0);
        assert_ne!(roots.next().as_bytes(), roots.next().as_bytes(), "none is answered yet");
        for number in 0..2500_u16 {
            let mut bytes = [0; 32];
            bytes[..2].copy_from_slice(&number.to_be_bytes());
            roots.answered(Root::new(bytes));
        }
        assert_eq!(roots.answered.len(), REMEMBERED);
        assert!(roots.answered.iter().all(|root| root.as_bytes()[..2] >= 1500_u16.to_be_bytes()[..]));
    }
}
