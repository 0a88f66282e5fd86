//! How hard work is, outside and in the core.
//!
//! A simulated search takes as long as the real one, but no hashes: its time is drawn, and only when it ends a nonce is made.
//! That nonce is real, because the core hashes it, so thresholds inside are easier than outside, all by the same factor: the
//! easiest class of a run is met by every second nonce, the others by as many fewer as they are harder. So prices have their
//! true proportions, a nonce for a send always meets a receive, one for a receive meets a send as rarely as in reality, and
//! most random nonces do not meet anything but the easiest.

use serde::{Deserialize, Serialize};
use shared::pow::Threshold;

use crate::dispatch::DispatchPolicy;
use crate::limits::REQUESTS_OPEN_PER_SERVICE_MAX;
use crate::policy::{Policy, Pricing};
use crate::unpaid::UnpaidMax;

/// A kind of work, by what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// For a receive or an open block: 2^23 hashes.
    Receive,
    /// For a send or a change block: 2^29 hashes.
    Send,
    /// For a send at eight times the base, the hardest that is sold: 2^32 hashes.
    Raised,
}

impl Class {
    /// All, the easiest first.
    pub const ALL: [Self; 3] = [Self::Receive, Self::Send, Self::Raised];

    /// The word in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Send => "send",
            Self::Raised => "raised",
        }
    }

    /// The class of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }

    /// Mean number of hashes that a search takes outside, as a power of two.
    pub(super) const fn bits(self) -> u32 {
        match self {
            Self::Receive => 23,
            Self::Send => 29,
            Self::Raised => 32,
        }
    }

    /// Mean number of hashes that a search takes outside.
    pub fn hashes(self) -> f64 {
        f64::from(self.bits()).exp2()
    }
}

/// By how much thresholds in the core of a run are easier than outside.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    easiest: Class,
}

impl Scale {
    /// The scale at which the easiest of these needs two hashes.
    pub(super) fn of(classes: impl Iterator<Item = Class>) -> Self {
        Self { easiest: classes.min().unwrap_or(Class::Send) }
    }

    /// The threshold of a class in the core.
    pub(super) const fn threshold(self, class: Class) -> Threshold {
        let bits = 1 + class.bits().saturating_sub(self.easiest.bits());
        // Of all nonces, one in 2^bits meets it.
        Threshold::new(u64::MAX << (u64::BITS - bits))
    }

    /// Mean number of hashes that a search for this threshold of the core stands for.
    pub(super) fn hashes(self, threshold: Threshold) -> f64 {
        threshold.expected_hashes() * self.easiest.hashes() / 2.0
    }

    /// The rules of a market that sells everything from the easiest to the hardest.
    pub(super) fn policy(self, dispatch: DispatchPolicy) -> Policy {
        Policy {
            base: self.threshold(Class::Send.max(self.easiest)),
            threshold_min: self.threshold(self.easiest),
            threshold_max: self.threshold(Class::Raised),
            pricing: Pricing::Proportional,
            dispatch,
            open_per_service_max: REQUESTS_OPEN_PER_SERVICE_MAX,
            unpaid_max: UnpaidMax::NONE,
            hashes_per_hash: 1 << (self.easiest.bits() - 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::pow::Multiplier;
    use shared::{Network, credits};

    use super::*;

    /// The proportions are those of the main network.
    #[test]
    fn thresholds_keep_their_proportions() {
        let live = Network::Live;
        let raised = Multiplier::try_new(8.0).expect("a ratio").to_threshold(live.send_threshold());
        let real = [live.receive_threshold(), live.send_threshold(), raised];
        let scale = Scale::of(Class::ALL.into_iter());
        let policy = scale.policy(DispatchPolicy::Broadcast);
        for (class, real) in Class::ALL.into_iter().zip(real) {
            assert_eq!(class.hashes().to_bits(), real.expected_hashes().to_bits());
            assert_eq!(scale.hashes(scale.threshold(class)).to_bits(), class.hashes().to_bits());
            assert_eq!(
                policy.price(scale.threshold(class)),
                credits::price(real, live.send_threshold()),
                "{}",
                class.name()
            );
            assert!(policy.sells(scale.threshold(class)));
        }
        assert_eq!(scale.threshold(Class::Receive), Threshold::new(1 << 63));
    }

    #[test]
    fn without_receives_a_send_is_met_by_every_second_nonce() {
        let scale = Scale::of([Class::Raised, Class::Send].into_iter());
        assert_eq!(scale.threshold(Class::Send), Threshold::new(1 << 63));
        assert_eq!(scale.hashes(Threshold::new(1 << 63)).to_bits(), Class::Send.hashes().to_bits());
    }
}
