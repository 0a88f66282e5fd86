//! Services: when they ask, for what, and when they lose interest.

use std::collections::VecDeque;

use shared::pow::{Root, Threshold};
use shared::protocol::WorkKind;
use shared::{Outcome, RequestId, ServiceId};

use super::{Event, World, milliseconds};
use crate::input::{Caller, Input, NewRequest, RequestKey, Withdrawal};
use crate::ledger::Bucket;
use crate::sim::class::Class;
use crate::sim::random::Random;
use crate::sim::scenario::{Arrivals, Customer};

/// Roots and ids that may be asked for again.
const RECENT_MAX: usize = 32;

/// A service of a run.
#[derive(Debug)]
pub(super) struct Asker {
    pub(super) service: ServiceId,
    random: Random,
    /// Requests a second.
    pace: f64,
    /// What it has asked for lately.
    recent: VecDeque<(RequestKey, Root, Class)>,
}

impl Asker {
    fn new(index: usize, pace: f64, random: Random) -> Option<Self> {
        let service = format!("service-{index}").parse().ok()?;
        Some(Self { service, random, pace, recent: VecDeque::new() })
    }

    fn remember(&mut self, asked: (RequestKey, Root, Class)) {
        self.recent.push_back(asked);
        if self.recent.len() > RECENT_MAX {
            self.recent.pop_front();
        }
    }
}

impl Customer {
    /// Mean number of hashes that it wants a second at its own pace; none if it paces itself.
    fn hashes_per_second(&self) -> f64 {
        let weights: f64 = self.mix.iter().map(|(_, weight)| weight).sum();
        let mean: f64 = self.mix.iter().map(|(class, weight)| class.hashes() * weight / weights).sum();
        mean * self.pace()
    }

    const fn pace(&self) -> f64 {
        match self.arrivals {
            Arrivals::Poisson { pace } | Arrivals::Bursty { pace, .. } => pace,
            Arrivals::ClosedLoop { .. } => 0.0,
        }
    }
}

impl World<'_> {
    pub(super) fn bring_customers(&mut self, random: &mut Random) {
        let wanted: f64 = self.scenario.customers.iter().map(Customer::hashes_per_second).sum();
        let by = self.scenario.load.map_or(1.0, |load| load * self.capacity() / wanted.max(1.0));
        for (index, customer) in self.scenario.customers.iter().enumerate() {
            self.askers.extend(Asker::new(index, customer.pace() * by, random.split()));
            let (service, model) = (self.askers[index].service, self.scenario.store);
            for (bucket, credits) in [(Bucket::Granted, model.granted), (Bucket::Paid, model.paid)] {
                if let Some(event) = self.store.grant(service, bucket, credits, self.now) {
                    self.driver.stored(self.now, event);
                }
            }
            let first = match customer.arrivals {
                Arrivals::Poisson { .. } | Arrivals::Bursty { .. } => 1,
                Arrivals::ClosedLoop { callers, .. } => callers,
            };
            for _ in 0..first {
                self.put_next(index);
            }
        }
    }

    /// Puts the next time at which a service asks on the agenda.
    fn put_next(&mut self, index: usize) {
        let Some((asker, customer)) = self.askers.get_mut(index).zip(self.scenario.customers.get(index))
        else {
            return;
        };
        let wait = asker.random.exponential();
        let wait_ms = match customer.arrivals {
            Arrivals::Poisson { .. } => 1000.0 * wait / asker.pace,
            Arrivals::Bursty { burst, .. } => 1000.0 * wait * burst / asker.pace,
            Arrivals::ClosedLoop { think_ms, .. } => think_ms * wait,
        };
        self.agenda.put(self.now + milliseconds(wait_ms), Event::Asks { customer: index });
    }

    pub(super) fn asks(&mut self, index: usize) {
        if self.calm_since.is_some() {
            return;
        }
        let Some(customer) = self.scenario.customers.get(index) else { return };
        match customer.arrivals {
            Arrivals::Poisson { .. } => {
                self.put_next(index);
                self.ask(index, customer);
            }
            Arrivals::Bursty { burst, .. } => {
                self.put_next(index);
                // Geometric: at least one, and then on with a chance that gives the mean.
                loop {
                    self.ask(index, customer);
                    if !self.askers[index].random.chance(1.0 - 1.0 / burst.max(1.0)) {
                        break;
                    }
                }
            }
            Arrivals::ClosedLoop { .. } => self.ask(index, customer),
        }
    }

    fn ask(&mut self, index: usize, customer: &Customer) {
        let (key, root, class, threshold) = self.question(index, customer);
        let asker = &mut self.askers[index];
        let timeout = milliseconds(customer.timeout_ms.draw(&mut asker.random));
        let caller = Caller(self.tally.asked() as u64);
        if asker.random.chance(customer.impatience) {
            let withdrawal = match asker.random.below(6) {
                0 => Withdrawal::Request(key),
                1 => Withdrawal::Root { service: key.service, root },
                _ => Withdrawal::Caller(caller),
            };
            let at = self.now + timeout.mul_f64(asker.random.unit());
            self.agenda.put(at, Event::Withdraws(Box::new(withdrawal)));
        }
        // Nothing is drawn where it is never so, and what is drawn otherwise stays the same.
        let is_behind = customer.behind > 0.0 && asker.random.chance(customer.behind);
        if self.tally.ask(index, class, self.now) {
            let (burnt, queue) = (self.burnt(), self.driver.market().board().jobs_open());
            self.tally.mark(self.now, burnt, queue);
        }
        self.step(Some(Input::RequestReceived(NewRequest {
            caller,
            key,
            root,
            threshold,
            timeout,
            account: None,
            class: if is_behind { WorkKind::Precache } else { WorkKind::OnDemand },
            spender: None,
        })));
    }

    /// What is asked for, and under which name.
    fn question(&mut self, index: usize, customer: &Customer) -> (RequestKey, Root, Class, Threshold) {
        let asker = &mut self.askers[index];
        let known = self.roots.get(asker.random.below(self.roots.len())).copied();
        let drawn = asker.random.weighted(customer.mix.iter().map(|(_, weight)| *weight));
        let class = customer.mix.get(drawn).map_or(Class::Send, |(class, _)| *class);
        let (root, class) = match known {
            Some((root, before)) if asker.random.chance(customer.known_root) => {
                (root, if asker.random.chance(0.7) { before } else { class })
            }
            _ => (Root::new(asker.random.bytes()), class),
        };
        let request = RequestId::from_u128(u128::from_le_bytes(asker.random.bytes()));
        let mut asked = (RequestKey { service: asker.service, request }, root, class);
        let recent = asker.recent.get(asker.random.below(asker.recent.len())).copied();
        if let Some(before) = recent
            && asker.random.chance(customer.known_id)
        {
            // Mostly the same question again, sometimes another one under the same name.
            asked = if asker.random.chance(0.8) { before } else { (before.0, root, class) };
        }
        asker.remember(asked);
        self.roots.push_back((asked.1, asked.2));
        if self.roots.len() > RECENT_MAX {
            self.roots.pop_front();
        }
        let threshold = if self.askers[index].random.chance(customer.odd) {
            Threshold::new(if self.askers[index].random.chance(0.5) { u64::MAX } else { 0 })
        } else {
            self.scale.threshold(asked.2)
        };
        (asked.0, asked.1, asked.2, threshold)
    }

    pub(super) fn told(&mut self, caller: Caller, outcome: Outcome) {
        let asked = self.tally.told(caller.0, self.now, outcome).map(|asked| asked.customer);
        if let Some(customer) = asked {
            self.ask_again(customer);
        }
    }

    /// The coordinator has crashed, and with it every connection.
    pub(super) fn all_callers_are_lost(&mut self) {
        for customer in self.tally.lose_all(self.now) {
            self.ask_again(customer);
        }
    }

    /// A caller of a closed loop thinks, and asks again.
    fn ask_again(&mut self, index: usize) {
        let customer = self.scenario.customers.get(index);
        if customer.is_some_and(|customer| matches!(customer.arrivals, Arrivals::ClosedLoop { .. })) {
            self.put_next(index);
        }
    }
}
