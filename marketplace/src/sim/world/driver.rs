//! The driver: hands inputs to the market with the time of its clock, shows everything to the auditor and to the log, and
//! gives back what is to be done.

use shared::Timestamp;

use crate::effect::{Effect, Effects};
use crate::input::Input;
use crate::market::Marketplace;
use crate::sim::auditor::{Auditor, Broken, Opening, Rule};
use crate::sim::clock::DriverClock;
use crate::sim::log::{Line, Log};
use crate::sim::store::StoreEvent;

/// Changes what comes out of a market: takes an effect, and puts down what is to come out instead.
pub type Tamper<'a> = &'a mut dyn FnMut(Effect, &mut Vec<Effect>);

pub(super) struct Driver<'a> {
    market: Marketplace,
    pub(super) clock: DriverClock,
    auditor: Option<Auditor>,
    pub(super) log: Log<'a>,
    tamper: Option<Tamper<'a>>,
    effects: Effects,
    /// The first rule that was broken.
    pub(super) broken: Option<Broken>,
    pub(super) inputs: u64,
}

impl<'a> Driver<'a> {
    pub(super) fn new(
        opening: &Opening,
        is_audited: bool,
        mut log: Log<'a>,
        tamper: Option<Tamper<'a>>,
    ) -> Self {
        log.write(|| Line::Opening(opening.clone()));
        Self {
            market: Marketplace::new(opening.start()),
            clock: DriverClock::new(opening.now),
            auditor: is_audited.then(|| Auditor::new(opening)),
            log,
            tamper,
            effects: Effects::new(),
            broken: None,
            inputs: 0,
        }
    }

    /// The coordinator crashes and starts again.
    pub(super) fn restart(&mut self, opening: &Opening) {
        self.log.write(|| Line::Opening(opening.clone()));
        self.market = Marketplace::new(opening.start());
        if let Some(auditor) = &mut self.auditor {
            auditor.opens(opening);
        }
    }

    pub(super) const fn market(&self) -> &Marketplace {
        &self.market
    }

    /// When the market wants to be woken, in true time.
    pub(super) fn wakes_at(&self) -> Option<Timestamp> {
        self.market.poll_timeout().map(|at| self.clock.truth_of(at))
    }

    /// Hands in an input, or wakes the market; puts down what is to be done.
    pub(super) fn step(&mut self, truth: Timestamp, input: Option<Input>, out: &mut Vec<Effect>) {
        let now = self.clock.tell(truth);
        self.inputs += 1;
        match &input {
            Some(input) => self.log.write(|| Line::Input { now, input: input.clone() }),
            None => self.log.write(|| Line::Wake { now }),
        }
        let check = self.auditor.as_mut().map(|auditor| auditor.input(now, input.as_ref()));
        self.note(check);
        match input {
            Some(input) => self.market.handle(now, input, &mut self.effects),
            None => self.market.handle_timeout(now, &mut self.effects),
        }
        while let Some(effect) = self.effects.pop() {
            match &mut self.tamper {
                Some(tamper) => tamper(effect, out),
                None => out.push(effect),
            }
        }
        for effect in &*out {
            self.log.write(|| Line::Effect(format!("{effect:?}")));
            let check = self.auditor.as_mut().map(|auditor| auditor.effect(effect));
            self.note(check);
        }
        let check = self.auditor.as_mut().map(Auditor::input_ends);
        self.note(check);
    }

    /// The store has done something.
    pub(super) fn stored(&mut self, truth: Timestamp, event: StoreEvent) {
        let now = self.clock.tell(truth);
        let check = self.auditor.as_mut().map(|auditor| auditor.stored(now, &event));
        self.log.write(|| Line::Store { now, event });
        self.note(check);
    }

    /// Nothing happens any more.
    pub(super) fn rests(&mut self) {
        self.log.write(|| Line::Rest);
        let check = self.auditor.as_ref().map(Auditor::rests);
        self.note(check);
        let is_idle = self.market.is_idle() && self.market.board().jobs_open() == 0;
        if self.auditor.is_some() && !is_idle {
            self.breaks(Rule::AllComesToRest, "the market is not idle".into());
        }
    }

    pub(super) fn breaks(&mut self, rule: Rule, detail: String) {
        let at = self.market.poll_timeout().unwrap_or_default();
        self.note(Some(Err(Broken { rule, at, detail })));
    }

    fn note(&mut self, check: Option<Result<(), Broken>>) {
        if let (Some(Err(broken)), None) = (check, &self.broken) {
            self.log.write(|| Line::Failure(broken.to_string()));
            self.broken = Some(broken);
        }
    }
}
