//! When requests are sent: as soon as there is an answer (a closed loop), or at the times of a schedule (an open loop).

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;
use tokio::sync::Semaphore;
use tokio::time::sleep;

/// How long requests that are due are still sent once no more will be.
const LAST_SENT_WITHIN: Duration = Duration::from_millis(50);

/// Gives connections the times at which requests are to be sent.
#[derive(Debug)]
pub(crate) enum Pace {
    /// Each connection sends when it has its answer, until so many have been sent, or until the end.
    Closed {
        /// Requests that may still be sent.
        left: AtomicU64,
        /// After this none is sent.
        end: Option<Instant>,
    },
    /// Requests are due one after the other, whether or not earlier ones have been answered.
    Open(Schedule),
}

/// Evenly spaced times. A connection that is free takes the earliest one that has not been taken, late or not.
#[derive(Debug)]
pub(crate) struct Schedule {
    origin: Instant,
    interval: Duration,
    count: u64,
    taken: AtomicU64,
    /// One for each that is due and has not been taken.
    due: Semaphore,
}

impl Pace {
    /// The time at which the next request is, or was, to be sent; it has come. `None` when there are no more.
    pub(crate) async fn next(&self) -> Option<Instant> {
        match self {
            Self::Closed { left, end } => {
                let now = Instant::now();
                if end.is_some_and(|end| now >= end) {
                    return None;
                }
                let take = |left: u64| left.checked_sub(1);
                left.try_update(Ordering::Relaxed, Ordering::Relaxed, take).ok().map(|_| now)
            }
            Self::Open(schedule) => schedule.next().await,
        }
    }

    /// Requests that were due and have been sent by nobody.
    pub(crate) fn unsent(&self) -> u64 {
        match self {
            Self::Closed { .. } => 0,
            Self::Open(schedule) => schedule.count - schedule.taken.load(Ordering::Relaxed),
        }
    }
}

impl Schedule {
    /// So many a second, from now on for so long.
    pub(crate) fn new(origin: Instant, per_second: f64, time: Duration) -> Self {
        let interval = Duration::from_secs_f64(1.0 / per_second).max(Duration::from_nanos(1));
        let count = u64::try_from(time.as_nanos() / interval.as_nanos()).unwrap_or(u64::MAX);
        Self { origin, interval, count, taken: AtomicU64::new(0), due: Semaphore::new(0) }
    }

    async fn next(&self) -> Option<Instant> {
        self.due.acquire().await.ok()?.forget();
        Some(self.at(self.taken.fetch_add(1, Ordering::Relaxed)))
    }

    /// When the request of this number is due.
    fn at(&self, number: u64) -> Instant {
        let nanoseconds = self.interval.as_nanos() * u128::from(number + 1);
        self.origin + Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }

    /// Lets requests become due, until all have been. The kernel's timer is used because the runtime's own goes by whole
    /// milliseconds, which would be in every latency.
    pub(crate) async fn run(&self) -> io::Result<()> {
        let timer = timer(self.origin, self.interval)?;
        let mut passed = 0;
        while passed < self.count {
            let mut ready = timer.readable().await?;
            let expired = ready.try_io(|timer| {
                let mut count = [0; 8];
                rustix::io::read(timer, &mut count)?;
                Ok(u64::from_ne_bytes(count))
            });
            let Ok(expired) = expired else { continue };
            let expired = expired?.min(self.count - passed);
            passed += expired;
            self.due.add_permits(usize::try_from(expired).unwrap_or(Semaphore::MAX_PERMITS));
        }
        sleep(LAST_SENT_WITHIN).await;
        self.due.close();
        Ok(())
    }
}

/// A timer of the kernel's that goes off again and again, first one interval after the origin.
fn timer(origin: Instant, interval: Duration) -> io::Result<AsyncFd<OwnedFd>> {
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
    let first = (origin + interval).saturating_duration_since(Instant::now()).max(Duration::from_nanos(1));
    let times = Itimerspec { it_interval: timespec(interval)?, it_value: timespec(first)? };
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &times)?;
    // Its successor is `unsafe`, for types that are not what they say; an `OwnedFd` always is the file that it names.
    #[expect(deprecated, reason = "there is no successor without `unsafe`")]
    AsyncFd::new(timer)
}

fn timespec(duration: Duration) -> io::Result<Timespec> {
    Timespec::try_from(duration).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_closed_loop_ends_with_its_number_or_its_time() {
        let pace = Pace::Closed { left: AtomicU64::new(2), end: None };
        assert!(pace.next().await.is_some() && pace.next().await.is_some());
        assert_eq!(pace.next().await, None);
        let over = Pace::Closed { left: AtomicU64::new(u64::MAX), end: Some(Instant::now()) };
        assert_eq!(over.next().await, None);
    }

    /// Whoever comes late still gets the times of the schedule, all of them, in order.
    #[tokio::test]
    async fn the_times_are_those_of_the_schedule_however_late_they_are_taken() {
        let origin = Instant::now();
        let pace = Pace::Open(Schedule::new(origin, 2000.0, Duration::from_millis(10)));
        let Pace::Open(schedule) = &pace else { unreachable!() };
        let take = async {
            for number in 1..=15 {
                let intended = pace.next().await.unwrap();
                assert_eq!(intended, origin + number * Duration::from_micros(500));
                assert!(Instant::now() >= intended, "not before it is due");
            }
        };
        let (ran, ()) = tokio::join!(schedule.run(), take);
        ran.unwrap();
        assert_eq!(pace.next().await, None, "closed");
        assert_eq!(pace.unsent(), 5);
    }
}
