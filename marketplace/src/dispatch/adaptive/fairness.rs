//! Fairness between workers: over time each is to earn in proportion to its rate. Who is behind joins
//! jobs that do not need it; one knob says how far ahead a worker may be before others come first.

use super::Adaptive;
use super::worker::Member;

/// Works by which a worker is behind or ahead when the knob has its full effect.
const WORKS: f64 = 4.0;
/// That effect, in seconds of round trip.
const TRIP: f64 = 0.25;

impl Adaptive {
    /// By how many works of mean size a worker has earned more than its rate entitles it to.
    pub(super) fn surplus(&self, member: &Member) -> f64 {
        (member.earned - member.rate * (self.earned - member.earned_since)) / self.mean_hashes.max(1.0)
    }

    /// A worker that has earned too much is as good as one that is further away, one that is behind as one that is nearer.
    pub(super) fn handicap(&self, member: &Member) -> f64 {
        if self.fairness == 0.0 {
            return 0.0;
        }
        self.fairness * TRIP * (self.surplus(member) / WORKS).clamp(-1.0, 1.0)
    }

    /// Whether a worker is behind, so that it is given work for its own sake.
    pub(super) fn is_owed(&self, member: &Member) -> bool {
        self.fairness > 0.0 && self.surplus(member) < 0.0
    }

    /// Whether a worker is so far ahead that others come first.
    pub(super) fn is_ahead(&self, member: &Member) -> bool {
        self.fairness > 0.0 && self.surplus(member) > self.slack()
    }

    /// Works that a worker may be ahead: none at full fairness, without a bound at none.
    fn slack(&self) -> f64 {
        WORKS * (1.0 / self.fairness - 1.0)
    }

    /// Jain's index of what proven workers have earned over their rate.
    pub(super) fn jain(&self) -> Option<f64> {
        let (mut count, mut sum, mut squares) = (0.0, 0.0, 0.0);
        for member in self.members.values().filter(|member| member.is_proven && member.rate > 0.0) {
            let since = self.earned - member.earned_since;
            if since > 0.0 {
                let value = member.earned / member.rate / since;
                count += 1.0;
                sum += value;
                squares += value * value;
            }
        }
        (squares > 0.0).then(|| sum * sum / (count * squares))
    }
}
