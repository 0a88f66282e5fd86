//! Lists to some of many sessions at once.

use std::io;
use std::time::Duration;

use benches::figures::Figures;
use benches::mqtt::publish;
use shared::WorkerId;
use shared::protocol::Topic;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::Scale;
use crate::client::{SERVICE, log_in};
use crate::crowd::Workers;
use crate::latency::{Stopwatch, Stream};
use crate::server::{Kind, Server};

/// Sessions that receive, in turn.
const WORKERS: usize = 1000;
/// To how many at once, and how often.
const FAN_OUTS: [(u16, Duration); 3] =
    [(1, Duration::from_millis(1)), (8, Duration::from_millis(2)), (64, Duration::from_millis(10))];
/// Length of a list of two jobs, besides the stamp.
const LIST_SIZE: usize = 150;

pub(crate) async fn measure(server: &Server, scale: Scale, figures: &mut Figures) -> anyhow::Result<()> {
    let stopwatch = Stopwatch::new();
    let mut workers = Workers::start(server, WORKERS, &stopwatch).await?;
    let mut asker = Asker::log_in(server).await?;
    for (fan_out, interval) in FAN_OUTS {
        let stream = Stream {
            server,
            stopwatch: &stopwatch,
            interval,
            duration: scale.duration,
            fan_out: usize::from(fan_out),
        };
        let send = async || asker.ask(fan_out, &stopwatch.stamp(), LIST_SIZE, || workers.next().0).await;
        stream.run(send).await?.report(&format!("delivery to {fan_out} of {WORKERS}"), figures);
    }
    Ok(())
}

/// Whoever makes lists go out.
#[derive(Debug)]
pub(crate) struct Asker {
    stream: TcpStream,
    kind: Kind,
}

impl Asker {
    pub(crate) async fn log_in(server: &Server) -> io::Result<Self> {
        let mut stream = TcpStream::connect(server.address()).await?;
        log_in(&mut stream, SERVICE, "asker").await?;
        Ok(Self { stream, kind: server.kind() })
    }

    /// Has a list sent to so many workers: by the coordinator, which takes them in turn itself; or, since mosquitto has none, by
    /// as many messages, each to a topic with one subscriber, in one write.
    pub(crate) async fn ask(
        &mut self,
        fan_out: u16,
        stamp: &[u8],
        size: usize,
        mut next: impl FnMut() -> WorkerId,
    ) -> io::Result<()> {
        let padding = vec![0; size];
        let messages = match self.kind {
            Kind::Gate => {
                let topic = format!("service/{SERVICE}/request");
                publish(&topic, None, &[&fan_out.to_be_bytes(), stamp, &padding])
            }
            Kind::Mosquitto => (0..fan_out)
                .flat_map(|_| publish(&Topic::WorkRequest(next()).to_string(), None, &[stamp, &padding]))
                .collect(),
        };
        self.stream.write_all(&messages).await
    }
}
