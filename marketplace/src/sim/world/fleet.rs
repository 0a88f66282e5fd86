//! Workers and what lies between them and the coordinator.

use core::time::Duration;
use std::rc::Rc;

use shared::pow::Threshold;
use shared::protocol::{Verdict, VerdictNotice, WorkList, WorkResult, WorkerHello};
use shared::{JobId, Payee, SessionId, WorkerId};

use super::{Event, Relay, World, milliseconds, seconds};
use crate::effect::Effect;
use crate::input::{Input, WorkerReport};
use crate::limits::REQUESTS_OPEN_MAX;
use crate::sim::original::{Client, Original};
use crate::sim::random::Random;
use crate::sim::scenario::{Character, Clients, Fleet, Order, Scenario};
use crate::sim::worker::{Uplink, Worker};

/// A sleeper is awake so long on average, and sleeps so long.
const AWAKE_S: f64 = 10.0;
const ASLEEP_S: f64 = 3.0;
/// A moody worker changes its mind so often on average.
const MOOD_S: f64 = 8.0;
/// After a crash of the coordinator workers come back within this time.
const COME_BACK_S: f64 = 5.0;
/// Sessions that stand for the topics of the original network, with eight jobs on each list: enough for any load below 1.
const RELAYS: usize = 2_000;
/// For small populations.
const RELAYS_FEW: usize = 64;

impl World<'_> {
    pub(super) fn bring_fleet(&mut self, random: &mut Random) {
        let fleet = &self.scenario.fleet;
        let (order, is_original) = match self.scenario.clients {
            Clients::Native(order) => (order, false),
            Clients::Original(order) => (order, true),
        };
        let mut clients = Vec::new();
        for _ in 0..fleet.workers {
            let mut own = random.split();
            let (rate, delay) = draw(fleet, &mut own);
            let character = own.weighted(fleet.characters.iter().map(|(_, weight)| *weight));
            let character =
                fleet.characters.get(character).map_or(Character::Honest, |(character, _)| *character);
            if is_original {
                clients.push(Client::new(delay, rate, own));
            } else {
                let boast = if fleet.announced_sigma > 0.0 {
                    (fleet.announced_sigma * own.normal()).exp()
                } else {
                    1.0
                };
                let mut worker = Worker::new(rate, delay, character, (order, fleet.capacity), own);
                worker.boast = boast;
                self.workers.push(worker);
            }
        }
        self.listed = vec![Vec::new(); self.workers.len()];
        for worker in 0..self.workers.len() {
            self.connects(worker);
            let character = self.workers[worker].character;
            self.put_again((character == Character::Sleeper).then_some(AWAKE_S), Event::TurnsOver { worker });
            self.put_again((character == Character::Moody).then_some(MOOD_S), Event::ChangesMood { worker });
        }
        if is_original {
            self.bring_original(order, clients);
        }
        if let Some(flood) = fleet.flood {
            let first = match flood.first_s {
                Some(after) => self.now + seconds(after),
                None => self.later(flood.every_s),
            };
            self.agenda.put(first, Event::Flood);
        }
    }

    fn bring_original(&mut self, order: Order, clients: Vec<Client>) {
        let relays = if clients.len() > 100 { RELAYS.min(REQUESTS_OPEN_MAX) } else { RELAYS_FEW };
        self.original = Some(Original::new(order, self.scale, clients));
        for _ in 0..relays {
            let worker = WorkerId::from_bytes(self.random.bytes());
            let payee = Payee::Account(shared::Account::from_public_key(self.random.bytes()));
            self.relays.push(Relay { worker, payee, session: SessionId::new(0) });
        }
        self.connect_relays();
    }

    fn connect_relays(&mut self) {
        for index in 0..self.relays.len() {
            let session = self.new_session(None);
            let Relay { worker, payee, .. } = self.relays[index];
            self.relays[index].session = session;
            self.step(Some(Input::WorkerJoined { session, worker, payee }));
            self.step(Some(Input::WorkerReported { session, report: boast(8) }));
        }
    }

    fn new_session(&mut self, worker: Option<usize>) -> SessionId {
        let session = SessionId::new(self.owners.len() as u64);
        self.owners.push(worker);
        session
    }

    fn owner(&self, session: SessionId) -> Option<usize> {
        let index = usize::try_from(session.as_u64()).ok()?;
        self.owners.get(index).copied().flatten()
    }

    pub(super) fn connects(&mut self, worker: usize) {
        let session = self.new_session(Some(worker));
        let entry = &mut self.workers[worker];
        let (id, payee) = (entry.id, entry.payee);
        let uplinks = entry.connect(session);
        self.step(Some(Input::WorkerJoined { session, worker: id, payee }));
        for uplink in uplinks {
            // The first thing that a worker says is never lost: without it there is no worker.
            let is_safe = matches!(uplink, Uplink::Report(_));
            self.send_up(worker, session, &uplink, is_safe);
        }
        if let (Some(churn), None) = (self.scenario.fleet.churn, self.calm_since) {
            let at = self.later(churn.connected_s);
            self.agenda.put(at, Event::Disconnects { worker, session });
        }
    }

    fn disconnects(&mut self, worker: usize, session: SessionId) {
        let Some(churn) = self.scenario.fleet.churn else { return };
        if self.workers[worker].session != Some(session) || self.calm_since.is_some() {
            return;
        }
        self.workers[worker].session = None;
        if self.random.chance(churn.takeover) {
            // The new session is there before the end of the old one is known.
            let left = self.later(1.0);
            self.agenda.put(left, Event::LateLeft { session });
            self.connects(worker);
        } else {
            self.step(Some(Input::WorkerLeft { session }));
            let at = self.later(churn.away_s);
            self.agenda.put(at, Event::Connects { worker });
        }
    }

    /// The coordinator is gone: all sessions are, and workers come back in their own time.
    pub(super) fn all_sessions_end(&mut self) {
        for worker in 0..self.workers.len() {
            self.listed[worker].clear();
            if self.workers[worker].session.take().is_some() {
                let at = self.now + seconds(self.random.uniform(0.0, COME_BACK_S));
                self.agenda.put(at, Event::Connects { worker });
            }
        }
        if let Some(original) = &mut self.original {
            let touched = original.forget_lists(self.now);
            self.set_client_alarms(&touched);
            self.connect_relays();
        }
    }

    /// Sends something over a wire that loses, doubles and delays.
    fn transmit(&mut self, delay: Duration, is_safe: bool, event: impl Fn() -> Event) {
        let wire = self.scenario.wire;
        if !is_safe && self.random.chance(wire.loss) {
            return;
        }
        let copies = 1 + usize::from(self.random.chance(wire.duplication));
        for _ in 0..copies {
            let jitter = if wire.jitter_ms > 0.0 {
                milliseconds(self.random.uniform(0.0, wire.jitter_ms))
            } else {
                Duration::ZERO
            };
            self.agenda.put(self.now + delay + jitter, event());
        }
    }

    fn send_up(&mut self, worker: usize, session: SessionId, uplink: &Uplink, is_safe: bool) {
        let delay = self.workers[worker].delay;
        self.transmit(delay, is_safe, || Event::Sent { session, uplink: uplink.clone() });
    }

    pub(super) fn send_list(&mut self, session: SessionId, list: WorkList) {
        let Some(worker) = self.owner(session) else {
            if let Some(original) = &mut self.original {
                let before = original.messages;
                let touched = original.listed(self.now, session, &list);
                let sent = original.messages - before;
                self.tally.counts.messages += sent;
                self.tally.counts.changes += sent;
                self.set_client_alarms(&touched);
            } else {
                let jobs: Vec<JobId> = list.jobs.iter().map(|listed| listed.job).collect();
                let before = self.listed_to_flood.insert(session, jobs.clone()).unwrap_or_default();
                let added = jobs.iter().filter(|job| !before.contains(job)).count();
                self.tally.counts.assigned_to_flood += added as u64;
            }
            return;
        };
        let entry = &self.workers[worker];
        let before = &self.listed[worker];
        let added = list.jobs.iter().filter(|listed| !before.contains(&listed.job)).count();
        let removed = before.iter().filter(|job| list.jobs.iter().all(|listed| listed.job != **job));
        self.tally.counts.changes += (added + removed.count()) as u64;
        self.tally.counts.assigned += added as u64;
        self.tally.counts.messages += 1;
        self.listed[worker] = list.jobs.iter().map(|listed| listed.job).collect();
        let (delay, list) = (entry.delay, Rc::new(list));
        self.transmit(delay, false, || Event::Listed { worker, session, list: Rc::clone(&list) });
    }

    pub(super) fn send_verdict(&mut self, session: SessionId, notice: &VerdictNotice) {
        *self.tally.verdicts.entry(notice.verdict.as_str()).or_default() += 1;
        if notice.verdict == Verdict::Accepted {
            self.tally.counts.works += 1;
            self.tally.counts.expected += self.judged_hashes;
            // Whoever found it need not be told to stop, though its new list says so.
            self.tally.counts.changes -= 1;
        }
        if let Some(worker) = self.owner(session) {
            self.tally.counts.messages += 1;
            let (delay, job) = (self.workers[worker].delay, notice.job);
            self.transmit(delay, false, || Event::Judged { worker, job });
        }
    }

    pub(super) fn worker_event(&mut self, event: Event) {
        match event {
            Event::Listed { worker, session, list } => self.listed(worker, session, &list),
            Event::Judged { worker, job } => self.workers[worker].judged(job),
            Event::Sent { session, uplink } => self.sent(session, uplink),
            Event::Alarm { worker, number } => self.alarm(worker, number),
            Event::ClientAlarm { client, number } => self.client_alarm(client, number),
            Event::Connects { worker } if self.workers[worker].session.is_none() => self.connects(worker),
            Event::Disconnects { worker, session } => self.disconnects(worker, session),
            Event::LateLeft { session } => self.step(Some(Input::WorkerLeft { session })),
            Event::TurnsOver { worker } => self.turns_over(worker),
            Event::ChangesMood { worker } => self.changes_mood(worker),
            Event::Flood => self.flood(),
            Event::FloodEnds(sessions) => {
                for session in sessions {
                    self.listed_to_flood.remove(&session);
                    self.step(Some(Input::WorkerLeft { session }));
                }
            }
            _ => {}
        }
    }

    fn listed(&mut self, worker: usize, session: SessionId, list: &WorkList) {
        let entry = &mut self.workers[worker];
        if entry.session != Some(session) {
            return;
        }
        entry.listed(self.now, list, self.scale);
        for result in entry.lies(list) {
            self.send_up(worker, session, &Uplink::Result(result), false);
        }
        self.set_alarm(worker);
    }

    fn sent(&mut self, session: SessionId, uplink: Uplink) {
        match uplink {
            Uplink::Result(result) => self.result(session, result),
            Uplink::Report(report) => {
                self.tally.counts.messages += u64::from(matches!(*report, WorkerReport::Status(_)));
                self.step(Some(Input::WorkerReported { session, report: *report }));
            }
        }
    }

    fn result(&mut self, session: SessionId, result: WorkResult) {
        let job = self.driver.market().board().job(result.job);
        self.judged_hashes = job.map_or(0.0, |job| self.scale.hashes(job.threshold));
        self.tally.counts.messages += 1;
        self.tally.counts.changes += 1;
        self.step(Some(Input::ResultReceived { session, result }));
    }

    fn set_alarm(&mut self, worker: usize) {
        let entry = &mut self.workers[worker];
        let next = entry.next_alarm();
        if entry.alarm == next {
            return;
        }
        entry.alarm = next;
        entry.alarms += 1;
        if let Some(at) = next {
            self.agenda.put(at, Event::Alarm { worker, number: entry.alarms });
        }
    }

    fn alarm(&mut self, worker: usize, number: u32) {
        let entry = &mut self.workers[worker];
        if entry.alarms != number {
            return;
        }
        entry.alarm = None;
        let uplink = entry.look(self.now, self.scale);
        if let (Some(uplink), Some(session)) = (uplink, entry.session) {
            self.send_up(worker, session, &uplink, false);
        }
        self.set_alarm(worker);
    }

    fn set_client_alarms(&mut self, touched: &[usize]) {
        let Some(original) = &mut self.original else { return };
        for client in touched.iter().copied() {
            let entry = &mut original.clients[client];
            let next = entry.next_alarm();
            if entry.alarm == next {
                continue;
            }
            entry.alarm = next;
            entry.alarms += 1;
            if let Some(at) = next {
                self.agenda.put(at, Event::ClientAlarm { client, number: entry.alarms });
            }
        }
    }

    fn client_alarm(&mut self, client: usize, number: u32) {
        let Some(original) = &mut self.original else { return };
        let entry = &mut original.clients[client];
        if entry.alarms != number {
            return;
        }
        entry.alarm = None;
        let delay = entry.delay;
        if let Some((session, result)) = original.look(self.now, client) {
            self.agenda.put(self.now + delay, Event::Sent { session, uplink: Uplink::Result(result) });
        }
        self.set_client_alarms(&[client]);
    }

    fn turns_over(&mut self, worker: usize) {
        let is_asleep = self.workers[worker].turn_over(self.now, self.scale);
        self.set_alarm(worker);
        if is_asleep {
            // A sleeper wakes up, also when nobody asks any more.
            let at = self.later(ASLEEP_S);
            self.agenda.put(at, Event::TurnsOver { worker });
        } else {
            self.put_again(Some(AWAKE_S), Event::TurnsOver { worker });
        }
    }

    fn changes_mood(&mut self, worker: usize) {
        if let Some(session) = self.workers[worker].session {
            let report = self.workers[worker].change_mood(self.now, self.scale);
            self.set_alarm(worker);
            self.send_up(worker, session, &Uplink::Report(Box::new(report)), true);
        }
        self.put_again(Some(MOOD_S), Event::ChangesMood { worker });
    }

    /// Many new ids that promise much, take what they are given, and go.
    fn flood(&mut self) {
        let Some(flood) = self.scenario.fleet.flood else { return };
        let mut sessions = Vec::new();
        for _ in 0..flood.ids {
            let session = self.new_session(None);
            let worker = WorkerId::from_bytes(self.random.bytes());
            let payee = Payee::Account(shared::Account::from_public_key(self.random.bytes()));
            self.step(Some(Input::WorkerJoined { session, worker, payee }));
            if self.random.chance(0.9) {
                let capacity = 1 + u8::try_from(self.random.below(8)).unwrap_or(0);
                self.step(Some(Input::WorkerReported { session, report: boast(capacity) }));
            }
            sessions.push(session);
        }
        self.agenda.put(self.now + seconds(flood.stay_s), Event::FloodEnds(sessions));
        self.put_again(Some(flood.every_s), Event::Flood);
    }

    /// Hashes that all workers have made.
    pub(super) fn burnt(&self) -> f64 {
        let workers = self.workers.iter().map(|worker| worker.search.burnt(self.now)).sum::<f64>();
        let clients = self.original.iter().flat_map(|original| &original.clients);
        workers + clients.map(|client| client.search.burnt(self.now)).sum::<f64>()
    }

    /// The sum of all rates.
    pub(super) fn capacity(&self) -> f64 {
        let workers = self.workers.iter().map(|worker| worker.search.rate()).sum::<f64>();
        let clients = self.original.iter().flat_map(|original| &original.clients);
        workers + clients.map(|client| client.search.rate()).sum::<f64>()
    }

    /// Which worker has this id.
    pub(super) fn worker_of(&self, effect: &Effect) -> Option<usize> {
        let Effect::Settle(order) = effect else { return None };
        self.workers.iter().position(|worker| worker.id == order.worker)
    }
}

/// How fast a worker of a fleet is, in hashes a second, and how far away.
fn draw(fleet: &Fleet, own: &mut Random) -> (f64, Duration) {
    let group = own.weighted(fleet.rates.iter().map(|group| group.share));
    let rate = fleet.rates.get(group).map_or(1e6, |group| own.log_uniform(group.rate.low, group.rate.high));
    (rate, milliseconds(fleet.delay_ms.draw(own)))
}

/// The rates of a scenario's workers, in hashes a second, and their one-way delays: as a run of it has them.
pub fn population(scenario: &Scenario) -> Vec<(f64, Duration)> {
    let mut random = Random::new(scenario.seed);
    // As for a run, whose first stream is the world's own.
    random.next();
    (0..scenario.fleet.workers).map(|_| draw(&scenario.fleet, &mut random.split())).collect()
}

/// A great rate.
fn boast(capacity: u8) -> WorkerReport {
    WorkerReport::Hello(WorkerHello {
        software: String::new(),
        devices: Vec::new(),
        hashes_per_second: 1_000_000_000_000,
        capacity,
        threshold_max: Threshold::new(u64::MAX),
        precache: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_population_is_that_of_a_run() {
        let scenario = Scenario::volunteers(7, 20, 0.2, 1);
        let world = World::new(&scenario, None, None);
        let run: Vec<_> = world.workers.iter().map(|worker| (worker.search.rate(), worker.delay)).collect();
        assert_eq!(population(&scenario), run);
        assert!(run[0] != run[1]);
    }
}
