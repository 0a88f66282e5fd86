//! How much a job should have of what there is.

use super::Adaptive;
use super::open::Open;
use super::worker::PROVEN_FEW;

/// Most workers that search for one job: two messages each are what it may cost.
pub(super) const TEAM_MAX: f64 = 28.0;
/// Jobs that are looked at where the best or worst of all is wanted: of so many that is good enough, and costs the same however
/// many there are.
pub(super) const SAMPLE: usize = 24;
/// A worker that has less than this part of a team's rate is no help to it, and only takes its place.
const SLOW: f64 = 0.02;
/// Of a job that is late, so much of that.
const LATE: f64 = 0.1;
/// Part of its share at which a job has enough.
const ENOUGH: f64 = 0.75;
/// Part of a team's rate below which all jobs are equally poor.
const FLOOR: f64 = 0.4;
/// By how much a job grows poorer in the time that jobs of its kind take on average.
const AGE: f64 = 0.25;
/// A search that takes less than a sixteenth of a round trip need not be any faster.
const PLENTY: f64 = 16.0;
/// Mean round trip in seconds, where it matters little.
pub(super) const TRIP: f64 = 0.135;
/// Where one worker needs less than this part of a round trip for a job, two are enough.
pub(super) const EASY: f64 = 0.5;

impl Adaptive {
    /// The sum of all rates, those of strangers as far as they are believed, and of as many as may search.
    #[expect(clippy::cast_precision_loss, reason = "a number of workers")]
    pub(super) fn rates(&self) -> f64 {
        let part = if self.proven.0 < PROVEN_FEW {
            1.0
        } else {
            (self.strangers.tried_max() / self.unproven.0.max(1) as f64).min(1.0)
        };
        self.proven.1 + self.strangers.word() * self.unproven.1 * part
    }

    /// The sum of all rates when all strangers have been tried, as far as they are believed.
    pub(super) fn rates_soon(&self) -> f64 {
        self.proven.1 + self.strangers.word() * self.unproven.1
    }

    /// The part of all rates that this job has a right to while all are at work.
    pub(super) fn share(&self, job: &Open) -> f64 {
        self.rates() * job.size / self.jobs.sizes().max(job.size)
    }

    /// The same, but no more than so many workers of mean rate.
    #[expect(clippy::cast_precision_loss, reason = "a number of workers")]
    pub(super) fn team(&self, job: &Open) -> f64 {
        let workers = (self.proven.0 + self.unproven.0).max(1) as f64;
        self.share(job).min(TEAM_MAX * self.rates() / workers)
    }

    /// Who is slower than this is no help to a job. To one that is late, more are.
    pub(super) fn floor(&self, job: &Open) -> f64 {
        let part = if job.lateness > 0 { SLOW * LATE } else { SLOW };
        part * self.team(job)
    }

    /// What a job should have before it needs no more.
    pub(super) fn enough(&self, job: &Open) -> f64 {
        (ENOUGH * self.share(job)).max(self.urgent_rate(job)).min(plenty(job))
    }

    /// Whether a job needs no more than it has.
    pub(super) fn is_served(&self, job: &Open) -> bool {
        job.likely_rate() >= self.enough(job) || is_as_good_as_found(job)
    }

    /// How well off a job is: less is poorer. Below a floor all are equal, so the oldest is poorest.
    pub(super) fn wealth(&self, job: &Open) -> f64 {
        let rate = job.likely_rate().max(FLOOR * self.team(job));
        // Of jobs whose time runs out, the one that has least of what it needs.
        let rate = rate * (rate / self.urgent_rate(job).max(1.0)).min(1.0) / job.size;
        let age = self.now.since(job.due).as_secs_f64();
        let left = job.until.since(self.now).as_secs_f64().max(0.001);
        let latency = self.latencies[job.class];
        rate / (1.0 + AGE * age / latency + latency / left)
    }
}

/// A rate beyond which a job gains nothing worth having.
fn plenty(job: &Open) -> f64 {
    PLENTY * job.hashes / TRIP
}

/// Whether each of those who search for a job finds it before a message could tell anybody else.
#[expect(clippy::cast_precision_loss, reason = "a number of workers")]
pub(super) fn is_as_good_as_found(job: &Open) -> bool {
    let is_easy = job.hashes * (job.heads as f64) / job.rate.max(1.0) < EASY * TRIP;
    job.heads > 0 && job.lateness == 0 && is_easy
}
