//! Whether the market has as much to do as it takes. Then a request is refused where it arrives: behind all that came before it,
//! its refusal would take as long as an answer.
//!
//! The bound is the market's own ([`LEDGER_UNANSWERED_MAX`]), which would refuse the same requests a little later. While requests are
//! refused it is a third of that: refusing takes time as well, which those who are let in would else pay for with theirs. It is not looked
//! whether a request is asked again, which would be free: only the market knows that.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use marketplace::limits::{LEDGER_UNANSWERED_MAX, part_of};
use shared::Timestamp;
use shared::protocol::WorkKind;

use crate::clock::Clock;

/// The part of the bound that holds while requests are refused.
const PART_WHILE_REFUSING: usize = 3;
/// How long after the last refusal the whole bound holds again.
const RELAXES_AFTER: Duration = Duration::from_millis(100);

/// What the edge and the driver share. All clones are one.
#[derive(Debug, Clone)]
pub(crate) struct Congestion(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    clock: Clock,
    /// Requests between the edge and the market, and those that keep the market from taking others, as the driver has counted them.
    count: AtomicUsize,
    refused: AtomicU64,
    /// When one that cannot wait was last refused, as the microseconds of a timestamp.
    last_refused: AtomicU64,
}

/// A place on the way to the market, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place(Option<Arc<Shared>>);

/// The driver's side: the places of requests that the market has been handed, until it is counted what that has come to.
#[derive(Debug)]
pub(crate) struct Handed {
    shared: Arc<Shared>,
    places: Vec<Place>,
    counted: usize,
}

impl Congestion {
    /// With nothing to do. The clock says how long ago something was.
    pub(crate) fn new(clock: Clock) -> Self {
        let (count, refused, last_refused) = Default::default();
        Self(Arc::new(Shared { clock, count, refused, last_refused }))
    }

    /// A place for a request, unless the market has as many as it takes of its class.
    pub(crate) fn enter(&self, class: WorkKind) -> Option<Place> {
        let (shared, max) = (&*self.0, LEDGER_UNANSWERED_MAX / part_of(class));
        let before = shared.count.fetch_add(1, Ordering::Relaxed);
        let place = Place(Some(Arc::clone(&self.0)));
        if before < max / PART_WHILE_REFUSING {
            return Some(place);
        }
        let (now, last) = (shared.clock.now(), shared.last_refused.load(Ordering::Relaxed));
        let is_relaxed = Timestamp::from_micros(last) + RELAXES_AFTER <= now;
        if is_relaxed && before < max {
            return Some(place);
        }
        // What can wait is refused first, and leaves the others their places.
        if class == WorkKind::OnDemand {
            shared.last_refused.store(now.as_micros(), Ordering::Relaxed);
        }
        shared.refused.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// The driver's side.
    pub(crate) fn handed(&self) -> Handed {
        Handed { shared: Arc::clone(&self.0), places: Vec::new(), counted: 0 }
    }

    /// Requests that were given no place, since the start.
    pub(crate) fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }
}

impl Handed {
    /// The market is handed a request.
    pub(crate) fn push(&mut self, place: Place) {
        self.places.push(place);
    }

    /// So many requests keep the market from taking others, those included that it has been handed until now.
    pub(crate) fn count(&mut self, taken: usize) {
        let before = self.counted + self.places.len();
        // One step, so that no request is counted twice or not at all for a moment: it wraps where they have become fewer.
        self.shared.count.fetch_add(taken.wrapping_sub(before), Ordering::Relaxed);
        self.counted = taken;
        // They are counted elsewhere now, and not given back.
        self.places.drain(..).for_each(|mut place| drop(place.0.take()));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(shared) = &self.0 {
            shared.count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(congestion: &Congestion, count: usize) -> Vec<Place> {
        (0..count).map(|_| congestion.enter(WorkKind::OnDemand).unwrap()).collect()
    }

    fn count(congestion: &Congestion) -> usize {
        congestion.0.count.load(Ordering::Relaxed)
    }

    #[tokio::test(start_paused = true)]
    async fn there_are_places_for_as_many_as_the_market_takes() {
        let congestion = Congestion::new(Clock::start());
        let mut handed = congestion.handed();
        let mut places = enter(&congestion, LEDGER_UNANSWERED_MAX);
        // Handed over and counted, they are what they were.
        for place in places.drain(..200) {
            handed.push(place);
        }
        handed.count(200);
        assert_eq!(count(&congestion), LEDGER_UNANSWERED_MAX);
        handed.count(199);
        places.push(congestion.enter(WorkKind::OnDemand).unwrap());
        assert_eq!(congestion.refused(), 0);
        assert!(
            congestion.enter(WorkKind::OnDemand).is_none() && congestion.enter(WorkKind::OnDemand).is_none()
        );
        assert_eq!(congestion.refused(), 2);
        drop(places);
        handed.count(0);
        assert_eq!(count(&congestion), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn while_some_are_refused_a_third_as_many_are_let_in() {
        const FEWER: usize = LEDGER_UNANSWERED_MAX / PART_WHILE_REFUSING;
        let congestion = Congestion::new(Clock::start());
        let mut places = enter(&congestion, LEDGER_UNANSWERED_MAX);
        assert!(congestion.enter(WorkKind::OnDemand).is_none());
        places.truncate(FEWER);
        tokio::time::advance(RELAXES_AFTER / 2).await;
        assert!(congestion.enter(WorkKind::OnDemand).is_none());
        places.truncate(FEWER - 1);
        places.push(congestion.enter(WorkKind::OnDemand).unwrap());
        // The last refusal was half that time ago.
        tokio::time::advance(RELAXES_AFTER / 2).await;
        assert!(congestion.enter(WorkKind::OnDemand).is_none());
        tokio::time::advance(RELAXES_AFTER).await;
        places.extend(enter(&congestion, LEDGER_UNANSWERED_MAX - FEWER));
        assert!(congestion.enter(WorkKind::OnDemand).is_none());
        assert_eq!(count(&congestion), LEDGER_UNANSWERED_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn what_can_wait_is_refused_first_and_takes_no_places_from_the_others() {
        let congestion = Congestion::new(Clock::start());
        let max = LEDGER_UNANSWERED_MAX / part_of(WorkKind::Precache);
        let mut places = enter(&congestion, max - 1);
        places.extend(congestion.enter(WorkKind::Precache));
        assert!(congestion.enter(WorkKind::Precache).is_none());
        places.extend(enter(&congestion, LEDGER_UNANSWERED_MAX - max));
        assert_eq!(congestion.refused(), 1);
    }
}
