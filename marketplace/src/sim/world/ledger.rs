//! The way between the market and the store, and what may go wrong on it.

use shared::Timestamp;

use super::{Event, StoreState, TICK, World, milliseconds, seconds};
use crate::effect::Effect;
use crate::input::Input;
use crate::sim::store::StoreEvent;

impl World<'_> {
    /// One way to the store, or back.
    fn store_delay(&mut self) -> Timestamp {
        let delay = self.scenario.store.delay_ms;
        if delay.high <= 0.0 { self.now } else { self.now + milliseconds(delay.draw(&mut self.random)) }
    }

    pub(super) fn ask_store(&mut self, effect: Effect) {
        let at = self.store_delay();
        self.agenda.put(at, Event::StoreGets(Box::new(effect)));
    }

    pub(super) fn store_gets(&mut self, effect: &Effect) {
        let is_away = self.outage != StoreState::There;
        // What is under way when a store fails may or may not have been done.
        if is_away && self.random.chance(0.5) {
            return;
        }
        let (event, answer) = self.store.execute(effect);
        if let Some(event) = event {
            if let (StoreEvent::Settled { earned, .. }, Some(worker)) = (&event, self.worker_of(effect)) {
                self.tally.earned(worker, earned.as_u64());
            }
            self.driver.stored(self.now, event);
        }
        let model = self.scenario.store;
        if is_away || self.random.chance(model.loss) {
            return;
        }
        if let Some(answer) = answer {
            let copies = 1 + usize::from(self.random.chance(model.duplication));
            for _ in 0..copies {
                let at = self.store_delay();
                let event = Event::StoreAnswers { instance: self.instance, input: Box::new(answer.clone()) };
                self.agenda.put(at, event);
            }
        }
    }

    pub(super) fn store_answers(&mut self, instance: u64, input: Input) {
        // Another run has never asked, and does not know what is meant.
        if instance == self.instance {
            self.step(Some(input));
        }
    }

    /// Each second the store looks through its holds, unless it is away.
    pub(super) fn tick(&mut self) {
        if self.outage == StoreState::There {
            let now = self.driver.clock.tell(self.now);
            for event in self.store.expire(now) {
                self.driver.stored(self.now, event);
            }
        }
        let is_over =
            self.calm_since.is_some() && self.driver.market().is_idle() && self.store.holds_open() == 0;
        if !is_over {
            self.agenda.put(self.now + TICK, Event::Tick);
        }
    }

    pub(super) fn outage_changes(&mut self, event: &Event) {
        let Some(outage) = self.scenario.store.outage else { return };
        match event {
            Event::OutageBegins if self.calm_since.is_none() => {
                self.outage = StoreState::Away;
                let seen = self.now + seconds(self.random.uniform(0.0, 1.0));
                self.agenda.put(seen, Event::OutageIsSeen);
                let ends = self.later(outage.lasts_s);
                self.agenda.put(ends, Event::OutageEnds);
            }
            Event::OutageIsSeen if self.outage == StoreState::Away => {
                self.outage = StoreState::KnownAway;
                self.step(Some(Input::StoreDown));
            }
            Event::OutageEnds => {
                self.outage_ends();
                self.put_again(Some(outage.every_s), Event::OutageBegins);
            }
            _ => {}
        }
    }

    pub(super) fn outage_ends(&mut self) {
        let was = core::mem::replace(&mut self.outage, StoreState::There);
        if was == StoreState::KnownAway {
            self.step(Some(Input::StoreUp));
        }
    }
}
