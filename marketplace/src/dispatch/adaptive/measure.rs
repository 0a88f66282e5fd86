//! What a worker's results say about it: how fast it hashes, and how long a message to it and back takes.
//!
//! Both come from the times at which results arrive, which a worker cannot make earlier than they are. All times are in the
//! coordinator's own frame: a search is taken to begin when the list that begins it is sent, and then ends, for a worker that is
//! cancelled, when that list is sent: the way there takes equally long. A result takes a whole round trip longer.

/// Finds that the announced rate counts for at first.
const ANNOUNCED_FINDS: f64 = 8.0;
/// Finds after which it counts for half of that.
const ANNOUNCED_FADES: f64 = 16.0;
/// Rate of a worker that has announced none, in hashes a second.
const ANNOUNCED_NONE: f64 = 50e6;
/// Finds after which older ones count for half.
const FINDS_MAX: f64 = 128.0;
/// Less than the first and more than the second is not believed to be meant: hashes a second.
pub(super) const ANNOUNCED: (f64, f64) = (1.0, 64e9);
/// Round trip of a worker of which nothing has been heard, in seconds: short, so that it is tried.
const TRIP_UNKNOWN: f64 = 0.04;
/// Longest round trip that is believed, in seconds.
const TRIP_MAX: f64 = 1.0;
/// Results after which the shortest trip is looked for anew.
const TRIP_EPOCH: u32 = 32;

/// What is known of one worker.
#[derive(Debug, Clone)]
pub(super) struct Gauge {
    announced: f64,
    /// Results, and what was searched for them: time over the mean number of hashes, so that rate times it is the number to be
    /// expected.
    finds: f64,
    searched: f64,
    /// The same since the last result.
    unrewarded: f64,
    trip: Trip,
}

impl Gauge {
    pub(super) fn new(announced: u64) -> Self {
        let mut gauge =
            Self { announced: 0.0, finds: 0.0, searched: 0.0, unrewarded: 0.0, trip: Trip::default() };
        gauge.announces(announced);
        gauge
    }

    /// It has said how fast it is.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub(super) fn announces(&mut self, rate: u64) {
        let announced = if rate == 0 { ANNOUNCED_NONE } else { rate as f64 };
        self.announced = announced.clamp(ANNOUNCED.0, ANNOUNCED.1);
    }

    /// It has searched so many seconds for something that takes so many hashes.
    pub(super) fn searched(&mut self, seconds: f64, hashes: f64) {
        self.searched += seconds / hashes;
        self.unrewarded += seconds / hashes;
    }

    /// It has found something.
    pub(super) fn found(&mut self) {
        self.finds += 1.0;
        self.unrewarded = 0.0;
        if self.finds > FINDS_MAX {
            self.finds /= 2.0;
            self.searched /= 2.0;
        }
    }

    /// Whether it has found anything yet.
    pub(super) const fn is_proven(&self) -> bool {
        self.finds > 0.0
    }

    /// How often it should have found something since it last did, with so many seconds of a search that goes on.
    pub(super) fn unrewarded(&self, seconds: f64, hashes: f64) -> f64 {
        self.rate() * (self.unrewarded + seconds / hashes)
    }

    /// It is tried once more.
    pub(super) fn forgive(&mut self) {
        self.unrewarded = 0.0;
    }

    /// Its rate in hashes a second: the mean of what a Poisson process that began as announced can have been.
    pub(super) fn rate(&self) -> f64 {
        let prior = ANNOUNCED_FINDS / (1.0 + self.finds / ANNOUNCED_FADES);
        (prior + self.finds) / (prior / self.announced + self.searched)
    }

    pub(super) fn trip(&self) -> f64 {
        self.trip.seconds()
    }

    pub(super) fn trip_mut(&mut self) -> &mut Trip {
        &mut self.trip
    }
}

/// The round trip to a worker, from results alone. A result to a job that a list has begun comes a round trip and a search after
/// that list, so the shortest such time is an upper bound. A result that comes after a cancel was sent was on its way, so the
/// longest such lateness is a lower bound.
#[derive(Debug, Clone, Default)]
pub(super) struct Trip {
    epochs: [Epoch; 2],
}

#[derive(Debug, Clone, Copy, Default)]
struct Epoch {
    results: u32,
    /// Shortest time from a list to its result.
    shortest: Option<f64>,
    /// How often a second a result was to be expected in these searches, all together.
    hazard: f64,
    /// Longest lateness.
    latest: f64,
}

impl Trip {
    /// A result to a job that a list had begun came so many seconds after that list, out of a search that ends so often a
    /// second.
    pub(super) fn answered(&mut self, after: f64, hazard: f64) {
        let epoch = self.next();
        epoch.shortest = Some(epoch.shortest.map_or(after, |shortest| shortest.min(after)));
        epoch.hazard += hazard;
    }

    /// A result came so many seconds after its cancel.
    pub(super) fn late(&mut self, by: f64) {
        let epoch = self.next();
        epoch.latest = epoch.latest.max(by);
    }

    fn next(&mut self) -> &mut Epoch {
        let [now, before] = &mut self.epochs;
        if now.results >= TRIP_EPOCH {
            *before = *now;
            *now = Epoch::default();
        }
        now.results += 1;
        now
    }

    /// The mean of what it can have been, if any value between the bounds was as likely before.
    fn seconds(&self) -> f64 {
        let [now, before] = self.epochs;
        let low = now.latest.max(before.latest).min(TRIP_MAX);
        let shortest = match (now.shortest, before.shortest) {
            (Some(now), Some(before)) => now.min(before),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => return low.max(TRIP_UNKNOWN),
        };
        let width = shortest.min(TRIP_MAX) - low;
        if width <= 0.0 {
            return shortest.min(TRIP_MAX);
        }
        let falls = (now.hazard + before.hazard) * width;
        // A falling exponential, seen from its end: near a half for a flat one, near the end for a steep one.
        let part = if falls < 0.01 { 0.5 } else { 1.0 / -(-falls).exp_m1() - 1.0 / falls };
        low + width * part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEND: f64 = 536_870_912.0;

    /// A worker of 1 GH/s that announced something else, after so many searches of half a second.
    fn after(announced: u64, searches: u32) -> f64 {
        let mut gauge = Gauge::new(announced);
        for _ in 0..searches {
            gauge.searched(SEND / 1e9, SEND);
            gauge.found();
        }
        gauge.rate()
    }

    #[test]
    fn what_was_announced_matters_until_something_is_known() {
        assert!((after(1_000_000_000, 0) / 1e9 - 1.0).abs() < 1e-9);
        for announced in [0, 500_000_000, 2_000_000_000, 1_000_000_000_000_000_000] {
            let rate = after(announced, 64);
            let low = if announced == 0 { 0.5e9 } else { 0.8e9 };
            assert!((low..1.2e9).contains(&rate), "{announced}: {rate}");
        }
    }

    #[test]
    fn a_result_known_in_advance_makes_nobody_look_fast() {
        let mut gauge = Gauge::new(1_000_000_000);
        for _ in 0..1000 {
            gauge.searched(0.5 * SEND / 1e9, SEND);
        }
        gauge.searched(1e-6, SEND);
        gauge.found();
        assert!(gauge.rate() < 0.02 * 1e9, "{}", gauge.rate());
    }

    #[test]
    fn round_trips_come_between_their_bounds() {
        let mut trip = Trip::default();
        assert_eq!(trip.seconds().to_bits(), TRIP_UNKNOWN.to_bits());
        trip.late(0.08);
        assert!(trip.seconds() >= 0.08);
        // Searches of 20 ms on average behind a round trip of 100 ms.
        for tenth in 1..30 {
            trip.answered(0.1 + 0.002 * f64::from(tenth), 50.0);
        }
        let seconds = trip.seconds();
        assert!((0.095..0.105).contains(&seconds), "{seconds}");
    }
}
