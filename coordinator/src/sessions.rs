//! Who is connected over MQTT, how each wants to be spoken to, and what became of its results.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use broker::bus::Down;
use broker::identity::Identity;
use marketplace::WorkerReport;
use serde::{Deserialize, Serialize};
use shared::protocol::{DeviceReport, Form, Message, Topic, Verdict, encode};
use shared::{KeyId, SessionId, Timestamp};

/// One connection.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    /// Whose it is.
    pub(crate) identity: Identity,
    /// Where it comes from.
    pub(crate) remote: SocketAddr,
    /// When it logged in.
    pub(crate) since: Timestamp,
    /// What became of its results.
    pub(crate) results: ResultCounts,
    /// What a worker searches with, at the rates that it told last.
    pub(crate) devices: Vec<DeviceReport>,
    /// As in its latest message; binary until it has said anything.
    form: Form,
}

/// Results of a connection by verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResultCounts {
    /// See [`Verdict::Accepted`]; so for the others.
    pub(crate) accepted: u64,
    /// Valid, but too late.
    pub(crate) late: u64,
    /// Valid, but nobody waited any more.
    pub(crate) cancelled: u64,
    /// Sent before.
    pub(crate) duplicate: u64,
    /// For a job that is not remembered.
    pub(crate) unknown_job: u64,
    /// Below the threshold: counts against the worker.
    pub(crate) below_threshold: u64,
    /// For a root that the worker was never given: counts against it.
    pub(crate) never_given: u64,
}

impl ResultCounts {
    fn count(&mut self, verdict: Verdict) {
        let count = match verdict {
            Verdict::Accepted => &mut self.accepted,
            Verdict::Late { .. } => &mut self.late,
            Verdict::Cancelled => &mut self.cancelled,
            Verdict::Duplicate => &mut self.duplicate,
            Verdict::UnknownJob => &mut self.unknown_job,
            Verdict::BelowThreshold { .. } => &mut self.below_threshold,
            Verdict::NeverGiven => &mut self.never_given,
        };
        *count += 1;
    }
}

/// All connections.
#[derive(Debug, Default)]
pub(crate) struct Sessions(BTreeMap<SessionId, Session>);

impl Sessions {
    /// Somebody has logged in.
    pub(crate) fn join(
        &mut self,
        session: SessionId,
        identity: Identity,
        remote: SocketAddr,
        now: Timestamp,
    ) {
        let (results, devices) = (ResultCounts::default(), Vec::new());
        let session_state = Session { identity, remote, since: now, results, devices, form: Form::Binary };
        self.0.insert(session, session_state);
    }

    /// A connection has ended; says whose it was.
    pub(crate) fn leave(&mut self, session: SessionId) -> Option<Identity> {
        self.0.remove(&session).map(|session| session.identity)
    }

    /// Whose connection this is.
    pub(crate) fn identity(&self, session: SessionId) -> Option<Identity> {
        self.0.get(&session).map(|session| session.identity)
    }

    /// It has spoken in this form.
    pub(crate) fn spoke(&mut self, session: SessionId, form: Form) {
        if let Some(session) = self.0.get_mut(&session) {
            session.form = form;
        }
    }

    /// A worker has said what it searches with, or how fast each device is. Rates that are not those of the devices are not used.
    pub(crate) fn reported(&mut self, session: SessionId, report: &WorkerReport) {
        let Some(session) = self.0.get_mut(&session) else { return };
        match report {
            WorkerReport::Hello(hello) => session.devices.clone_from(&hello.devices),
            WorkerReport::Status(status) => {
                let rates = &status.devices_hashes_per_second;
                if rates.len() == session.devices.len() {
                    for (device, rate) in session.devices.iter_mut().zip(rates) {
                        device.hashes_per_second = *rate;
                    }
                }
            }
        }
    }

    /// One of its results has been judged.
    pub(crate) fn judged(&mut self, session: SessionId, verdict: Verdict) {
        if let Some(session) = self.0.get_mut(&session) {
            session.results.count(verdict);
        }
    }

    /// A message for it, in its form; `None` when it has gone.
    pub(crate) fn message<M: Message>(&self, session: SessionId, topic: Topic, message: &M) -> Option<Down> {
        let form = self.0.get(&session)?.form;
        Some(Down::Message { session, topic, payload: encode(message, form).into() })
    }

    /// All of them, those that came first first.
    pub(crate) fn all(&self) -> impl Iterator<Item = (SessionId, &Session)> {
        self.0.iter().map(|(id, session)| (*id, session))
    }

    /// The keys that connections of services logged in with.
    pub(crate) fn keys(&self) -> impl Iterator<Item = KeyId> {
        self.0.values().filter_map(|session| match session.identity {
            Identity::Service { key, .. } => Some(key),
            Identity::Worker { .. } | Identity::Operator => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use shared::pow::Threshold;
    use shared::protocol::{Backend, WorkerHello, WorkerStatus};
    use shared::{Payee, WorkerId};

    use super::*;

    #[test]
    fn the_rates_of_devices_are_those_of_the_newest_report_that_fits() {
        let (mut sessions, session) = (Sessions::default(), SessionId::new(1));
        let worker = WorkerId::of_secret(&[0; 32]);
        let identity = Identity::Worker { worker, payee: Payee::House };
        sessions.join(session, identity, "127.0.0.1:9".parse().unwrap(), Timestamp::default());
        let device = |hashes_per_second| DeviceReport {
            name: "a device".into(),
            backend: Backend::OpenCl,
            hashes_per_second,
        };
        let hello = |devices| {
            WorkerReport::Hello(WorkerHello {
                software: "test".into(),
                devices,
                hashes_per_second: 3,
                capacity: 1,
                threshold_max: Threshold::new(u64::MAX),
                precache: false,
            })
        };
        let status = |rates: &[u64]| {
            WorkerReport::Status(WorkerStatus {
                hashes_per_second: rates.iter().sum(),
                devices_hashes_per_second: rates.into(),
                temperature_c: None,
                paused: None,
            })
        };
        for (report, rates) in [
            (status(&[9]), &[][..]),
            (hello(vec![device(1), device(2)]), &[1, 2]),
            (status(&[4, 5]), &[4, 5]),
            (status(&[]), &[4, 5]),
            (status(&[6]), &[4, 5]),
            (hello(vec![device(7)]), &[7]),
        ] {
            sessions.reported(session, &report);
            let known: Vec<u64> =
                sessions.0[&session].devices.iter().map(|device| device.hashes_per_second).collect();
            assert_eq!(known, rates, "{report:?}");
        }
        sessions.leave(session);
        sessions.reported(session, &status(&[1]));
    }
}
