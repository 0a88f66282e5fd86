//! Every bound of the core, with its reason. Reaching one is a refusal at once, or forgets the oldest; never a longer queue.

use core::time::Duration;

use shared::protocol::WorkKind;

/// Requests without an outcome, over all services: what the memory of one machine holds many times over.
pub const REQUESTS_OPEN_MAX: usize = 50_000;

/// Requests without an outcome of one service, unless the policy says otherwise.
pub const REQUESTS_OPEN_PER_SERVICE_MAX: usize = 10_000;

/// Requests for which the ledger was asked for something and has not answered. More of them do not make it faster, only each of
/// them slower: two groups of so many are some thousands a second even on a disk that takes 30 ms to keep one.
pub const LEDGER_UNANSWERED_MAX: usize = 256;

/// Jobs that are open below which none is refused because there is too much to do, however slow the workers are.
pub const BACKLOG_MIN: usize = 64;

/// Part of a request's time that all that was asked for before it may take; beyond it, the request is refused at once. Not all
/// of it: at high load one in a hundred takes about four times as long as half of them.
pub const BACKLOG_PART: f64 = 0.125;

/// Part of [`REQUESTS_OPEN_MAX`], [`LEDGER_UNANSWERED_MAX`] and [`BACKLOG_PART`] that is open to what goes behind everything on demand: as
/// the load grows it is refused first.
pub const BEHIND_PART: usize = 2;

/// Callers that wait for one request id. More than a few is a program that repeats itself without waiting.
pub const CALLERS_PER_REQUEST_MAX: usize = 16;

/// Longest time a request may take. The edges refuse more; the core cuts it.
pub const TIMEOUT_MAX: Duration = Duration::from_mins(2);

/// How long an answered request id gives the same answer again.
pub const ANSWERED_KEPT: Duration = Duration::from_mins(10);

/// Answered request ids that are remembered; the oldest go first.
pub const ANSWERED_MAX: usize = 200_000;

/// How long past its deadline a settlement may keep its callers waiting.
pub const SETTLE_GRACE: Duration = Duration::from_secs(30);

/// How long past its deadline a hold lives if nobody closes it: longer than [`SETTLE_GRACE`] would make no difference, since
/// the settlement goes on.
pub const HOLD_GRACE: Duration = Duration::from_secs(30);

/// After this long without an answer a ledger effect is sent again, with the same id.
pub const LEDGER_REPEAT: Duration = Duration::from_secs(5);

/// How long a service's settled work is free for it, and how long found work is kept for others.
pub const WORK_KEPT: Duration = Duration::from_hours(24);

/// Works kept; those that nobody has asked for longest go first.
pub const WORKS_MAX: usize = 1_000_000;

/// Settlements remembered for free repeats; those that nobody has asked for longest go first.
pub const SETTLED_MAX: usize = 1_000_000;

/// How long it is remembered which worker was given a root after nobody wants it any more.
pub const GIVEN_KEPT: Duration = Duration::from_mins(5);

/// Remembered pairs of worker and root; the oldest go first, and results for them then count as unknown.
pub const GIVEN_MAX: usize = 2_000_000;

/// How often statistics come out.
pub const STATISTICS_EVERY: Duration = Duration::from_secs(1);

/// What statistics measure is of the last one to two of these.
pub const STATISTICS_PERIOD: Duration = Duration::from_mins(1);

/// Watched accounts of one service.
pub const ACCOUNTS_PER_SERVICE_MAX: usize = 10_000;

/// Watched accounts, over all services: nodes filter by a list of them, and the list is read again at each connection.
pub const ACCOUNTS_MAX: usize = 100_000;

/// Blocks of an account without its service asking for it, after which it is no longer watched.
pub const UNUSED_BLOCKS_MAX: u32 = 8;

/// The longest usual time between an account's blocks with which it is precached. What was paid for is free for 24 hours; of
/// blocks that come at random at this rate, seven of eight come within them.
pub const RHYTHM_MAX: Duration = Duration::from_hours(12);

/// No time between two blocks counts for more than this, so that an account that has become busy is noticed after some blocks.
pub const GAP_MAX: Duration = Duration::from_hours(48);

/// How long a precached work may take before its credits are given back. It is computed when nobody is waiting.
pub const PRECACHE_TIMEOUT: Duration = Duration::from_mins(10);

/// Roots of one service that wait to be precached; further ones are refused.
pub const PRECACHE_WAITING_MAX: usize = 1_000;

/// Precached works that are being computed at a time, over all services.
pub const PRECACHE_RUNNING_MAX: usize = 1_000;

/// Precached works that are remembered as not asked for yet; the oldest go first, and then count as never asked for.
pub const READY_MAX: usize = 250_000;

/// What part of the bounds on everything that is open is for requests of this class.
pub const fn part_of(class: WorkKind) -> usize {
    match class {
        WorkKind::OnDemand => 1,
        WorkKind::Precache => BEHIND_PART,
    }
}
