//! A service that asks at random times, independently of what it is answered.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use benches::http::Connection;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use shared::pow::{Root, Threshold};
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

/// How long a request may take, in milliseconds.
const TIMEOUT_MS: u32 = 120_000;
/// A connection that has been idle for longer is not used again: the server may be closing it.
const IDLE_MAX: Duration = Duration::from_secs(2);
/// How much longer an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(130);

/// Asks so often a second on average, at independent times.
#[derive(Debug)]
pub(crate) struct Asking {
    caller: Arc<Caller>,
    per_second: f64,
    random: Mutex<SmallRng>,
}

/// What was asked, as far as it has ended.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// From the request to its answer, in ascending order.
    pub(crate) times: Vec<Duration>,
    /// What else was said, and how often.
    pub(crate) failed: BTreeMap<String, usize>,
}

#[derive(Debug)]
struct Caller {
    server: SocketAddr,
    key: String,
    threshold: Threshold,
    /// Connections that are free, and since when; the latest last.
    free: Mutex<Vec<(Instant, Connection)>>,
}

/// Requests on their way: how long each took, or what went wrong.
type Answers = JoinSet<Result<Duration, String>>;

impl Asking {
    pub(crate) fn new(
        server: SocketAddr,
        key: &str,
        threshold: Threshold,
        per_second: f64,
        seed: u64,
    ) -> Self {
        let caller = Caller { server, key: key.into(), threshold, free: Mutex::default() };
        // Not the stream that the fleet draws its searches from.
        let random = Mutex::new(SmallRng::seed_from_u64(!seed));
        Self { caller: Arc::new(caller), per_second, random }
    }

    /// Asks for so long; what was asked may be on its way still.
    pub(crate) async fn go_on_for(&self, time: Duration) -> Answers {
        let (mut answers, end) = (Answers::new(), Instant::now() + time);
        self.ask_until(&mut answers, |_, now| now >= end).await;
        answers
    }

    /// Goes on asking until all of these are answered.
    pub(crate) async fn until_all_are_answered(&self, mut asked: Answers) -> anyhow::Result<Asked> {
        let (mut others, mut ended) = (Answers::new(), Asked::default());
        self.ask_until(&mut others, |_, _| {
            while let Some(Ok(answer)) = asked.try_join_next() {
                ended.count(answer);
            }
            asked.is_empty()
        })
        .await;
        ended.times.sort_unstable();
        Ok(ended)
    }

    async fn ask_until(&self, answers: &mut Answers, mut is_over: impl FnMut(&Answers, Instant) -> bool) {
        let mut due = Instant::now();
        while !is_over(answers, due) {
            let (pause, root) = {
                let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
                let uniform: f64 = random.random();
                (-(1.0 - uniform).ln() / self.per_second, Root::new(random.random()))
            };
            due += Duration::from_secs_f64(pause);
            sleep_until(due.into()).await;
            let caller = Arc::clone(&self.caller);
            answers.spawn(async move { caller.ask(root).await });
        }
    }
}

impl Asked {
    fn count(&mut self, answer: Result<Duration, String>) {
        match answer {
            Ok(time) => self.times.push(time),
            Err(what) => *self.failed.entry(what).or_default() += 1,
        }
    }
}

impl Caller {
    async fn ask(&self, root: Root) -> Result<Duration, String> {
        let free = || self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = Instant::now();
        let connection = free().pop();
        let mut connection = match connection {
            Some((since, connection)) if since.elapsed() < IDLE_MAX => connection,
            _ => Connection::open(self.server).await.map_err(|error| error.to_string())?,
        };
        let request = self.request(root);
        let answer = timeout(PATIENCE, connection.exchange(&request)).await;
        let answer = answer.map_err(|_| "no answer".to_owned())?.map_err(|error| error.to_string())?;
        if answer.status != 200 {
            return Err(format!("{} {}", answer.status, String::from_utf8_lossy(answer.body)));
        }
        let time = begun.elapsed();
        if !answer.is_last {
            free().push((Instant::now(), connection));
        }
        Ok(time)
    }

    fn request(&self, root: Root) -> Vec<u8> {
        let Self { server, key, threshold, .. } = self;
        let body =
            format!("{{\"root\":\"{root}\",\"threshold\":\"{threshold}\",\"timeout_ms\":{TIMEOUT_MS}}}");
        let length = body.len();
        format!(
            "POST /v1/work HTTP/1.1\r\nHost: {server}\r\nAuthorization: Bearer {key}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    }
}
