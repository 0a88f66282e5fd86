//! Open holds: in memory only, so that a crash releases them and holding costs no disk write.

use std::collections::BTreeMap;

use marketplace::ledger::{Purse, Split};
use shared::{HoldId, ServiceId, Timestamp};

/// Credits of a service that are set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hold {
    pub(super) service: ServiceId,
    pub(super) parts: Split,
    pub(super) expires: Timestamp,
    pub(super) purse: Option<Purse>,
}

/// All open holds, and what each service has held. Changes are provisional until [`Holds::commit`], like those of the
/// transaction that they go with.
#[derive(Debug, Default)]
pub(super) struct Holds {
    open: BTreeMap<HoldId, Hold>,
    /// Of each service that has ever held anything.
    sums: BTreeMap<ServiceId, Split>,
    changes: Vec<Change>,
}

#[derive(Debug)]
enum Change {
    Opened(HoldId),
    Closed(HoldId, Hold),
}

impl Holds {
    pub(super) fn find(&self, id: HoldId) -> Option<Hold> {
        self.open.get(&id).copied()
    }

    /// What a service has held.
    pub(super) fn held(&self, service: ServiceId) -> Split {
        self.sums.get(&service).copied().unwrap_or_default()
    }

    /// Holds whose time has come, in ascending order.
    pub(super) fn due(&self, now: Timestamp) -> Vec<HoldId> {
        self.open.iter().filter(|(_, hold)| hold.expires <= now).map(|(id, _)| *id).collect()
    }

    pub(super) fn open(&mut self, id: HoldId, hold: Hold) {
        self.insert(id, hold);
        self.changes.push(Change::Opened(id));
    }

    /// Closes a hold; one that is not open is left so.
    pub(super) fn close(&mut self, id: HoldId) {
        if let Some(hold) = self.remove(id) {
            self.changes.push(Change::Closed(id, hold));
        }
    }

    /// What each service has held, and what its open holds come to.
    pub(super) fn compared(&self) -> impl Iterator<Item = (ServiceId, Split, Split)> {
        let mut open: BTreeMap<ServiceId, Split> = BTreeMap::new();
        for Hold { service, parts, .. } in self.open.values() {
            add(open.entry(*service).or_default(), *parts);
        }
        self.sums
            .iter()
            .map(move |(service, held)| (*service, *held, open.get(service).copied().unwrap_or_default()))
    }

    /// Counts all open holds once more.
    ///
    /// # Panics
    /// When a service has not held what its open holds come to. The writer ends with it.
    pub(super) fn check(&self) {
        for (service, held, open) in self.compared() {
            assert_eq!(held, open, "what {service} has held is the sum of its open holds");
        }
    }

    /// Makes the changes since the last commit last.
    pub(super) fn commit(&mut self) {
        self.changes.clear();
    }

    /// Takes back the changes since the last commit.
    pub(super) fn roll_back(&mut self) {
        while let Some(change) = self.changes.pop() {
            match change {
                Change::Opened(id) => drop(self.remove(id)),
                Change::Closed(id, hold) => self.insert(id, hold),
            }
        }
    }

    fn insert(&mut self, id: HoldId, hold: Hold) {
        let replaced = self.open.insert(id, hold);
        assert!(replaced.is_none(), "a hold is opened once");
        add(self.sums.entry(hold.service).or_default(), hold.parts);
    }

    fn remove(&mut self, id: HoldId) -> Option<Hold> {
        let hold = self.open.remove(&id)?;
        let sum = self.sums.get_mut(&hold.service).expect("what is open has been added to its sum");
        sum.granted = sum.granted.checked_sub(hold.parts.granted).expect("a part of the sum");
        sum.paid = sum.paid.checked_sub(hold.parts.paid).expect("a part of the sum");
        Some(hold)
    }
}

fn add(sum: &mut Split, parts: Split) {
    sum.granted = [sum.granted, parts.granted].into_iter().sum();
    sum.paid = [sum.paid, parts.paid].into_iter().sum();
}

#[cfg(test)]
mod tests {
    use shared::Millicredits;

    use super::*;

    #[test]
    #[should_panic(expected = "the sum of its open holds")]
    fn a_sum_that_is_not_that_of_the_open_holds_is_noticed() {
        let mut holds = Holds::default();
        let service = "wallet".parse().unwrap();
        let parts = Split { granted: Millicredits::ZERO, paid: Millicredits::new(5) };
        holds.open(
            HoldId { instance: 1, counter: 1 },
            Hold { service, parts, expires: Timestamp::default(), purse: None },
        );
        holds.check();
        holds.sums.insert(service, Split::default());
        holds.check();
    }

    #[test]
    fn rolling_back_restores_what_was_committed() {
        let id = |counter| HoldId { instance: 1, counter };
        let hold = |paid, expires| Hold {
            service: "wallet".parse().unwrap(),
            parts: Split { granted: Millicredits::new(1), paid: Millicredits::new(paid) },
            expires: Timestamp::from_micros(expires),
            purse: None,
        };
        let service = hold(0, 0).service;
        let mut holds = Holds::default();
        holds.open(id(1), hold(10, 5));
        holds.commit();
        holds.open(id(2), hold(20, 6));
        holds.close(id(1));
        holds.close(id(2));
        holds.open(id(3), hold(30, 7));
        assert_eq!(holds.held(service).paid, Millicredits::new(30));
        holds.roll_back();
        assert_eq!(holds.held(service), hold(10, 5).parts);
        assert_eq!(holds.find(id(1)), Some(hold(10, 5)));
        assert_eq!((holds.find(id(2)), holds.find(id(3))), (None, None));
        assert_eq!(
            (holds.due(Timestamp::from_micros(4)), holds.due(Timestamp::from_micros(5))),
            (vec![], vec![id(1)])
        );
    }
}
