//! Many sessions at once.

use std::io;
use std::ops::Range;

use anyhow::Context;
use benches::mqtt::{Inbox, publish_acknowledged};
use shared::WorkerId;
use shared::protocol::Topic;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::task::JoinSet;

use crate::client::join_as_worker;
use crate::latency::Stopwatch;
use crate::server::{Kind, Server};

/// Sessions that are being opened at once.
const LANES: usize = 64;
/// The first index of workers that work, out of the way of the idle ones.
const WORKING_FROM: usize = 1_000_000;

/// The worker of this index.
pub(crate) fn worker(index: usize) -> WorkerId {
    WorkerId::from_bytes((index as u128).to_be_bytes())
}

/// Opens idle subscribed sessions, and returns their streams; dropping one closes it.
pub(crate) async fn gather(server: &Server, indexes: Range<usize>) -> anyhow::Result<Vec<TcpStream>> {
    let address = server.address();
    let mut lanes = JoinSet::new();
    for lane in 0..LANES {
        let indexes = indexes.clone().skip(lane).step_by(LANES);
        lanes.spawn(async move {
            let mut streams = Vec::with_capacity(indexes.len());
            for index in indexes {
                streams.push(join_as_worker(address, worker(index)).await?);
            }
            Ok::<_, io::Error>(streams)
        });
    }
    let mut streams = Vec::with_capacity(indexes.len());
    while let Some(lane) = lanes.join_next().await {
        streams.extend(lane?.context("a session was not opened")?);
    }
    Ok(streams)
}

/// Workers whose messages are measured.
#[derive(Debug)]
pub(crate) struct Workers {
    all: Vec<(WorkerId, OwnedWriteHalf)>,
    next: usize,
    /// Their reading ends; all end with this.
    _readers: JoinSet<()>,
}

impl Workers {
    /// Opens sessions that give each message to the stopwatch as soon as it comes, and makes them known to the coordinator.
    pub(crate) async fn start(server: &Server, count: usize, stopwatch: &Stopwatch) -> anyhow::Result<Self> {
        let mut all = Vec::with_capacity(count);
        let mut readers = JoinSet::new();
        for index in WORKING_FROM..WORKING_FROM + count {
            let worker = worker(index);
            let mut stream = join_as_worker(server.address(), worker).await?;
            introduce(server, &mut stream, worker).await?;
            let (read, write) = stream.into_split();
            let (mut inbox, stopwatch) = (Inbox::new(read), stopwatch.clone());
            readers.spawn(async move {
                while let Ok(message) = inbox.message().await {
                    stopwatch.record(message.payload);
                }
            });
            all.push((worker, write));
        }
        Ok(Self { all, next: 0, _readers: readers })
    }

    /// The worker whose turn it is.
    pub(crate) fn next(&mut self) -> &mut (WorkerId, OwnedWriteHalf) {
        let turn = self.next;
        self.next = (turn + 1) % self.all.len();
        &mut self.all[turn]
    }
}

/// Lets the coordinator behind the gate know of a worker. There is nobody behind mosquitto.
pub(crate) async fn introduce(server: &Server, stream: &mut TcpStream, worker: WorkerId) -> io::Result<()> {
    match server.kind() {
        Kind::Gate => publish_acknowledged(stream, &Topic::WorkerHello(worker).to_string(), &[0; 64]).await,
        Kind::Mosquitto => Ok(()),
    }
}
