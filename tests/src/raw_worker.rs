//! A worker that sends what it is told to.

use anyhow::{Context, ensure};
use shared::pow::{Nonce, Root, Threshold};
use shared::protocol::{
    Backend, DeviceReport, Form, ListedJob, Message, Topic, VerdictNotice, WORK_LIST_MAX, WorkList,
    WorkResult, WorkerHello, WorkerStatus, decode, encode,
};
use shared::{Account, JobId, WorkerId};

use crate::mqtt::Mqtt;
use crate::server::Server;

/// A worker that is connected, has said hello, and speaks JSON.
#[derive(Debug)]
pub struct RawWorker {
    mqtt: Mqtt,
    id: WorkerId,
    lists: u64,
}

impl RawWorker {
    /// The secret that a number stands for, as a password, and the worker's id that follows from it.
    pub fn credentials(number: u8) -> (String, WorkerId) {
        (format!("{number:02x}").repeat(32), WorkerId::of_secret(&[number; 32]))
    }

    /// Logs in with the secret that a number stands for, subscribes to its own topics and says hello, with a rate of 1 MH/s.
    ///
    /// # Errors
    /// When any of it is refused.
    pub fn join(server: &Server, number: u8, account: Account) -> anyhow::Result<Self> {
        Self::join_with_rate(server, number, account, 1_000_000)
    }

    /// The same with another rate, in hashes a second.
    ///
    /// # Errors
    /// As [`join`](Self::join).
    pub fn join_with_rate(
        server: &Server,
        number: u8,
        account: Account,
        hashes_per_second: u64,
    ) -> anyhow::Result<Self> {
        let (password, id) = Self::credentials(number);
        let mut mqtt = server.login(&account.to_string(), &password, &id.to_string())?;
        let own = [Topic::WorkRequest(id).to_string(), Topic::WorkVerdict(id).to_string()];
        let codes = mqtt.subscribe(&[&own[0], &own[1]])?;
        ensure!(codes == [0, 0], "a worker may not subscribe to its own topics: {codes:?}");
        let hello = WorkerHello {
            software: "end-to-end test".into(),
            devices: vec![DeviceReport {
                name: "a card\u{1b}[2J".into(),
                backend: Backend::OpenCl,
                hashes_per_second,
            }],
            hashes_per_second,
            capacity: u8::try_from(WORK_LIST_MAX)?,
            threshold_max: Threshold::new(u64::MAX),
            precache: false,
        };
        mqtt.publish(&Topic::WorkerHello(id).to_string(), &encode(&hello, Form::Json))?;
        Ok(Self { mqtt, id, lists: 0 })
    }

    /// Says how fast its device is, in hashes a second.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub fn tell_rate(&mut self, hashes_per_second: u64) -> anyhow::Result<()> {
        let status = WorkerStatus {
            hashes_per_second,
            devices_hashes_per_second: vec![hashes_per_second],
            temperature_c: None,
            paused: None,
        };
        self.mqtt.publish(&Topic::WorkerStatus(self.id).to_string(), &encode(&status, Form::Json))
    }

    /// Waits for the next list.
    ///
    /// # Errors
    /// When none comes.
    pub fn next_list(&mut self) -> anyhow::Result<WorkList> {
        self.next(Topic::WorkRequest(self.id), "a list")
    }

    /// Waits for a list with a job for this root.
    ///
    /// # Errors
    /// When none comes.
    pub fn wait_for_job(&mut self, root: Root) -> anyhow::Result<ListedJob> {
        loop {
            let list = self.next_list()?;
            if let Some(job) = list.jobs.into_iter().find(|job| job.root == root) {
                return Ok(job);
            }
        }
    }

    /// Lists that have come so far, as far as they have been read.
    pub const fn lists(&self) -> u64 {
        self.lists
    }

    /// Sends a result, and waits for what becomes of it.
    ///
    /// # Errors
    /// When nothing is said.
    pub fn submit(&mut self, job: JobId, root: Root, nonce: Nonce) -> anyhow::Result<VerdictNotice> {
        let result = encode(&WorkResult { job, root, nonce }, Form::Json);
        self.mqtt.publish(&Topic::WorkResult(self.id).to_string(), &result)?;
        let notice: VerdictNotice = self.next(Topic::WorkVerdict(self.id), "a verdict")?;
        ensure!((notice.job, notice.root) == (job, root), "a verdict on another result: {notice:?}");
        Ok(notice)
    }

    /// Waits until the server has ended the connection.
    ///
    /// # Errors
    /// When it does not.
    pub fn wait_until_closed(&mut self) -> anyhow::Result<()> {
        self.mqtt.wait_until_closed()
    }

    fn next<M: Message>(&mut self, topic: Topic, what: &str) -> anyhow::Result<M> {
        let (topic, of_lists) = (topic.to_string(), Topic::WorkRequest(self.id).to_string());
        let lists = &mut self.lists;
        let payload = self.mqtt.wait_until(what, |delivery| {
            *lists += u64::from(delivery.topic == of_lists);
            (delivery.topic == topic).then(|| delivery.payload.clone())
        })?;
        let (message, form) = decode(&payload).with_context(|| format!("{what} cannot be read"))?;
        ensure!(form == Form::Json, "{what} is not in the form in which the worker speaks");
        Ok(message)
    }
}
