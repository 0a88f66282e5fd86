//! The lives of a coordinator that is killed again and again.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::SmallRng;

use crate::process::Signal;
use crate::server::Server;
use crate::siege::Siege;

/// In which part of its life the coordinator is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// While it starts.
    Start,
    /// Soon after it is ready, mostly before workers are back.
    Early,
    /// When everybody is back.
    Load,
    /// While it stops in an orderly way.
    Stop,
}

/// In turn. Most are under load, since most of a life is.
const MOMENTS: [Moment; 5] = [Moment::Start, Moment::Load, Moment::Early, Moment::Load, Moment::Stop];

/// What a run of kills was like.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Kills {
    /// How many came when.
    pub moments: BTreeMap<Moment, usize>,
    /// The longest that workers took to be back, from a start of the coordinator.
    pub worst: Duration,
}

/// Waits for a moment up to `limit` from now: what is tested is that any moment will do.
pub fn any_moment(random: &mut SmallRng, limit: Duration) {
    thread::sleep(limit.mul_f64(random.random()));
}

impl Siege {
    /// Kills the coordinator that many times, each time in another part of its life, and starts it again at last.
    ///
    /// # Errors
    /// When it does not start, or workers do not come back.
    pub fn kill_again_and_again(
        &self,
        server: Server,
        kills: usize,
        random: &mut SmallRng,
    ) -> anyhow::Result<(Server, Kills)> {
        let mut run = Kills::default();
        self.wait_for_workers()?;
        any_moment(random, Duration::from_millis(500));
        server.crash()?;
        run.moments.insert(Moment::Load, 1);
        for moment in MOMENTS.into_iter().cycle().take(kills - 1) {
            self.wait_for_loss()?;
            *run.moments.entry(moment).or_default() += 1;
            run.worst = run.worst.max(self.one_life(moment, random)?.unwrap_or_default());
        }
        self.wait_for_loss()?;
        let started = Instant::now();
        let server = self.restart()?;
        self.wait_for_workers()?;
        run.worst = run.worst.max(started.elapsed());
        Ok((server, run))
    }

    /// Lets the coordinator live until the moment has come, and kills it. Returns how long workers took to be back from when it
    /// was started, if they were waited for.
    fn one_life(&self, moment: Moment, random: &mut SmallRng) -> anyhow::Result<Option<Duration>> {
        if moment == Moment::Start {
            let mut process = self.begin_restart()?;
            any_moment(random, Duration::from_millis(120));
            process.signal(Signal::Kill)?;
            process.wait()?;
            return Ok(None);
        }
        let started = Instant::now();
        let server = self.restart()?;
        let mut back_after = None;
        match moment {
            Moment::Start => {}
            Moment::Early => any_moment(random, Duration::from_millis(200)),
            Moment::Load => {
                self.wait_for_workers()?;
                back_after = Some(started.elapsed());
                any_moment(random, Duration::from_millis(500));
            }
            Moment::Stop => {
                any_moment(random, Duration::from_millis(200));
                server.process().signal(Signal::Terminate)?;
                any_moment(random, Duration::from_millis(30));
            }
        }
        server.crash()?;
        Ok(back_after)
    }
}
