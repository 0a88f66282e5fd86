//! Whether the market has as much to do as it takes. Then a request is refused where it arrives: behind all that came before it,
//! its refusal would take as long as an answer.
//!
//! The bound is the market's own ([`LEDGER_UNANSWERED_MAX`]), which would refuse the same requests a little later. It does not
//! look whether a request is asked again, which would be free: only the market knows that.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use marketplace::limits::{LEDGER_UNANSWERED_MAX, part_of};
use shared::protocol::WorkKind;

/// Counts that the edge and the driver share. All clones are one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Congestion(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// Requests between the edge and the market.
    on_their_way: AtomicUsize,
    /// Requests that keep the market from taking others, when the driver last looked.
    taken: AtomicUsize,
    refused: AtomicU64,
}

/// A place on the way to the market, given back when it is dropped: once the driver has counted the request among those taken.
#[derive(Debug)]
pub(crate) struct Place(Congestion);

impl Congestion {
    /// A place for a request, unless the market has as many as it takes of its class.
    pub(crate) fn enter(&self, class: WorkKind) -> Option<Place> {
        let max = LEDGER_UNANSWERED_MAX / part_of(class);
        let Counts { on_their_way, taken, refused } = &*self.0;
        let before = on_their_way.fetch_add(1, Ordering::Relaxed);
        let place = Place(self.clone());
        if before + taken.load(Ordering::Relaxed) < max {
            return Some(place);
        }
        refused.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// So many requests keep the market from taking others.
    pub(crate) fn set_taken(&self, count: usize) {
        self.0.taken.store(count, Ordering::Relaxed);
    }

    /// Requests that were given no place, since the start.
    pub(crate) fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0.on_their_way.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_places_until_as_many_are_on_their_way_or_taken_as_the_market_takes() {
        let congestion = Congestion::default();
        congestion.set_taken(LEDGER_UNANSWERED_MAX - 2);
        let (one, other) = (congestion.enter(WorkKind::OnDemand), congestion.enter(WorkKind::OnDemand));
        assert!(one.is_some() && other.is_some());
        assert!(
            congestion.enter(WorkKind::OnDemand).is_none() && congestion.enter(WorkKind::OnDemand).is_none()
        );
        assert_eq!(congestion.refused(), 2);
        drop(one);
        assert!(congestion.enter(WorkKind::OnDemand).is_some());
        drop(other);
        assert!(congestion.enter(WorkKind::Precache).is_none(), "what can wait is refused first");
        congestion.set_taken(LEDGER_UNANSWERED_MAX / 2 - 1);
        assert!(congestion.enter(WorkKind::Precache).is_some());
        congestion.set_taken(LEDGER_UNANSWERED_MAX);
        assert!(congestion.enter(WorkKind::OnDemand).is_none());
        assert_eq!(congestion.0.on_their_way.load(Ordering::Relaxed), 0);
    }
}
