//! What operators and the machine do.

use core::time::Duration;

use super::{Event, START, StoreState, World, seconds};
use crate::input::Input;
use crate::policy::Pricing;
use crate::sim::auditor::{Opening, Settled};
use crate::sim::class::Class;
use crate::sim::scenario::any_dispatch;

impl World<'_> {
    pub(super) fn bring_mischief(&mut self) {
        let mischief = self.scenario.mischief;
        for (mean_s, event) in [
            (self.scenario.store.outage.map(|outage| outage.every_s), Event::OutageBegins),
            (mischief.clock_jump_s, Event::ClockJumps),
            (mischief.policy_change_s, Event::PolicyChanges),
            (mischief.suspension_s, Event::Suspension),
            (mischief.red_audit_s, Event::AuditIsRed),
            (mischief.crash_s, Event::Crash),
        ] {
            self.put_again(mean_s, event);
        }
    }

    /// Nobody asks any more: the store comes back, and the coordinator may be told to stop.
    pub(super) fn calm_down(&mut self) {
        self.outage_ends();
        if let Some(drain_s) = self.scenario.mischief.drain_s {
            let ends = self.driver.clock.tell(self.now) + seconds(drain_s);
            self.step(Some(Input::Drain { ends }));
        }
    }

    pub(super) fn clock_jumps(&mut self) {
        if self.calm_since.is_none() {
            match self.random.below(4) {
                0 => self.driver.clock.jump_forward(Duration::from_hours(1)),
                1 => {
                    let by = seconds(self.random.uniform(0.0, 60.0));
                    self.driver.clock.jump_back(by);
                }
                _ => {
                    let by = seconds(self.random.uniform(0.0, 60.0));
                    self.driver.clock.jump_forward(by);
                }
            }
        }
        self.put_again(self.scenario.mischief.clock_jump_s, Event::ClockJumps);
    }

    pub(super) fn policy_changes(&mut self) {
        let dispatch = any_dispatch(&mut self.random);
        let mut policy =
            self.scale.policy(if self.original.is_some() { self.scenario.dispatch } else { dispatch });
        if self.random.chance(0.3) {
            policy.pricing = Pricing::Flat;
        }
        if self.random.chance(0.3) {
            policy.threshold_max = self.scale.threshold(Class::Send);
        }
        self.step(Some(Input::PolicyChanged(policy)));
        self.put_again(self.scenario.mischief.policy_change_s, Event::PolicyChanges);
    }

    pub(super) fn suspension(&mut self) {
        if self.calm_since.is_none()
            && let Some(asker) = self.random.pick(&self.askers)
        {
            let service = asker.service;
            self.step(Some(Input::ServiceSuspended { service }));
            let at = self.later(3.0);
            self.agenda.put(at, Event::Resumes(service));
        }
        self.put_again(self.scenario.mischief.suspension_s, Event::Suspension);
    }

    /// Something seems to be wrong with the ledger, and is mended after a while.
    pub(super) fn audit_is_red(&mut self) {
        if self.calm_since.is_none() {
            self.step(Some(Input::LedgerAudited { is_green: false }));
            let at = self.later(3.0);
            self.agenda.put(at, Event::AuditIsGreen);
        }
        self.put_again(self.scenario.mischief.red_audit_s, Event::AuditIsRed);
    }

    /// The coordinator dies with everything that it had in memory, and starts again with what the store has.
    pub(super) fn crash(&mut self) {
        if self.calm_since.is_none() {
            self.instance += 1;
            let settled = self.store.settlements().map(|settled| Settled {
                service: settled.service,
                root: settled.work.root(),
                nonce: settled.work.nonce(),
                worker: settled.worker,
                payee: settled.payee,
                at: settled.at,
            });
            let opening = Opening {
                instance: self.instance,
                policy: self.scale.policy(self.scenario.dispatch),
                now: self.driver.clock.tell(self.now).max(START),
                settled: settled.collect(),
            };
            self.driver.restart(&opening);
            self.all_callers_are_lost();
            self.all_sessions_end();
            if self.outage == StoreState::KnownAway {
                self.step(Some(Input::StoreDown));
            }
        }
        self.put_again(self.scenario.mischief.crash_s, Event::Crash);
    }
}
