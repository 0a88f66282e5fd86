//! Fairness between workers: over time each is to earn in proportion to its rate. Who is behind joins
//! jobs that do not need it; one knob says how far ahead a worker may be before others come first.

use super::Adaptive;
use super::worker::Member;

/// Works on top of what a worker is entitled to before its surplus counts in full: so much is chance.
const GRACE: f64 = 2.0;
/// By which part of what it is entitled to a worker may be ahead or behind at full fairness. Less makes all wait for each other,
/// and earnings no fairer.
const SLACK: f64 = 0.04;
/// A surplus that makes a worker as good as one that is so many seconds further away.
const SURPLUS: f64 = 0.25;
const TRIP: f64 = 0.25;

impl Adaptive {
    /// By which part a worker has earned more than its rate entitles it to.
    fn surplus(&self, member: &Member) -> f64 {
        let entitled = member.rate * (self.earned - member.earned_since);
        (member.earned - entitled) / (entitled + GRACE * self.mean_hashes).max(1.0)
    }

    /// A worker that has earned too much is as good as one that is further away, one that is behind as one that is nearer.
    pub(super) fn handicap(&self, member: &Member) -> f64 {
        if self.fairness == 0.0 {
            return 0.0;
        }
        self.fairness * TRIP * (self.surplus(member) / SURPLUS).clamp(-1.0, 1.0)
    }

    /// Whether a worker is so far behind that it is given work for its own sake.
    pub(super) fn is_owed(&self, member: &Member) -> bool {
        self.fairness > 0.0 && self.surplus(member) < -self.slack()
    }

    /// Whether a worker is so far ahead that others come first.
    pub(super) fn is_ahead(&self, member: &Member) -> bool {
        self.fairness > 0.0 && self.surplus(member) > self.slack()
    }

    /// How far ahead or behind a worker may be: without a bound at no fairness.
    fn slack(&self) -> f64 {
        SLACK / self.fairness.sqrt()
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
