//! What the volunteer sees on standard output.

use std::io::{Write, stdout};
use std::time::Duration;

use shared::protocol::Verdict;
use shared::{Millicredits, Network, WorkerId};
use worker::backend::cpu;
use worker::session::Judgement;
use worker::{Event, Server};

/// Prints a worker's life, and counts its results.
#[derive(Debug)]
pub(crate) struct Console {
    network: Network,
    server: Server,
    is_connected: bool,
    tally: Tally,
}

/// Results since the start of the program, over all connections.
#[derive(Debug, Default)]
struct Tally {
    accepted: u64,
    late: u64,
    refused: u64,
    /// As the coordinator last said; counted by it since the connection began.
    earned: Millicredits,
}

impl Console {
    /// Begins with what is known at once.
    pub(crate) fn start(
        worker: WorkerId,
        processor: &cpu::Settings,
        address: &str,
        network: Network,
        server: Server,
    ) -> Self {
        print(&format!("dpow-worker {}", env!("CARGO_PKG_VERSION")));
        print(&format!("account     {address} ({network} network)"));
        print(&format!("worker      {worker}"));
        let cpu::Settings { instructions, threads, .. } = processor;
        print(&format!("processor   {threads} threads, {}", instructions.set().name()));
        Self { network, server, is_connected: false, tally: Tally::default() }
    }

    /// Prints an event.
    pub(crate) fn show(&mut self, event: &Event) {
        match event {
            Event::OpenCl { line } => print(&format!("opencl      {line}")),
            Event::DeviceFailed { name, reason } => print(&format!("{name} is out of service: {reason}")),
            Event::Measured { hashes_per_second } => {
                print(&format!("speed       {}", speed(*hashes_per_second, self.network)));
                print(&format!("connecting to {}", self.server));
            }
            Event::Connected => {
                self.is_connected = true;
                print(&format!("connected to {}", self.server));
            }
            Event::Disconnected { reason, retry_in } => {
                print(&disconnected(self.is_connected, reason, *retry_in));
                self.is_connected = false;
            }
            Event::Judged(judgement) => {
                self.tally.count(judgement);
                print(&self.tally.line(judgement));
            }
        }
    }

    /// Ends with what has been achieved.
    pub(crate) fn finish(&self) {
        let Tally { accepted, late, refused, .. } = self.tally;
        print(&format!("stopped: {accepted} accepted, {late} late, {refused} refused"));
    }
}

impl Tally {
    fn count(&mut self, judgement: &Judgement) {
        self.earned = judgement.totals.earned_mc;
        match judgement.verdict {
            Verdict::Accepted => self.accepted += 1,
            Verdict::Late { .. } | Verdict::Cancelled => self.late += 1,
            Verdict::BelowThreshold { .. } | Verdict::NeverGiven => self.refused += 1,
            Verdict::Duplicate | Verdict::UnknownJob => {}
        }
    }

    /// One line about a result. Losing a race is nobody's fault, and is worded so.
    fn line(&self, judgement: &Judgement) -> String {
        let details = match (judgement.difficulty, judgement.elapsed) {
            (Some(difficulty), Some(elapsed)) => {
                format!(", difficulty {difficulty}, {} ms", elapsed.as_millis())
            }
            (Some(difficulty), None) => format!(", difficulty {difficulty}"),
            (None, _) => String::new(),
        };
        match judgement.verdict {
            Verdict::Accepted => {
                format!(
                    "accepted {}{details}, {} credits earned on this connection",
                    self.accepted, self.earned
                )
            }
            Verdict::Late { by_ms } => format!("late: another worker was {by_ms} ms faster"),
            Verdict::Cancelled => "late: nobody was waiting for this work any more".into(),
            Verdict::Duplicate => "not counted: the coordinator has this result already".into(),
            Verdict::UnknownJob => "not counted: the coordinator no longer remembers this job".into(),
            Verdict::BelowThreshold { difficulty, threshold } => {
                format!("refused: the difficulty {difficulty} is below the threshold {threshold}")
            }
            Verdict::NeverGiven => "refused: this worker was not given this root".into(),
        }
    }
}

/// A rate, and what it means for the two kinds of block.
#[expect(clippy::cast_precision_loss, reason = "an estimate for people")]
fn speed(hashes_per_second: u64, network: Network) -> String {
    let rate = hashes_per_second.max(1) as f64;
    let (receive, send) = (
        network.receive_threshold().expected_hashes() / rate,
        network.send_threshold().expected_hashes() / rate,
    );
    format!("{:.2} MH/s: on average {receive:.2} s for a receive, {send:.2} s for a send", rate / 1e6)
}

fn disconnected(was_connected: bool, reason: &str, retry_in: Duration) -> String {
    let what = if was_connected { "disconnected" } else { "no connection" };
    format!("{what}: {reason}; next try in {:.1} s", retry_in.as_secs_f64())
}

/// A line for the volunteer. A closed pipe must not end the work.
fn print(line: &str) {
    let _ = writeln!(stdout(), "{line}");
}

#[cfg(test)]
mod tests {
    use shared::JobId;
    use shared::pow::{Difficulty, Threshold};
    use shared::protocol::WorkerTotals;

    use super::*;

    fn line(verdict: Verdict, is_remembered: bool) -> String {
        let judgement = Judgement {
            job: JobId { instance: 1, counter: 1 },
            verdict,
            difficulty: is_remembered.then_some(Difficulty::new(0xffff_fff8_0000_0001)),
            elapsed: is_remembered.then_some(Duration::from_micros(812_999)),
            totals: WorkerTotals { earned_mc: Millicredits::new(1_900), ..WorkerTotals::default() },
        };
        let mut tally = Tally::default();
        tally.count(&judgement);
        tally.line(&judgement)
    }

    #[test]
    fn an_accepted_result_says_how_hard_and_how_long() {
        let expected =
            "accepted 1, difficulty fffffff800000001, 812 ms, 1.900 credits earned on this connection";
        assert_eq!(line(Verdict::Accepted, true), expected);
        assert_eq!(line(Verdict::Accepted, false), "accepted 1, 1.900 credits earned on this connection");
    }

    #[test]
    fn a_lost_race_is_not_called_a_failure() {
        assert_eq!(line(Verdict::Late { by_ms: 12 }, true), "late: another worker was 12 ms faster");
        for verdict in
            [Verdict::Late { by_ms: 1 }, Verdict::Cancelled, Verdict::Duplicate, Verdict::UnknownJob]
        {
            assert!(!line(verdict, true).contains("refused"));
        }
    }

    #[test]
    fn a_refusal_says_why() {
        let verdict =
            Verdict::BelowThreshold { difficulty: Difficulty::new(1), threshold: Threshold::new(2) };
        let expected = "refused: the difficulty 0000000000000001 is below the threshold 0000000000000002";
        assert_eq!(line(verdict, true), expected);
    }

    #[test]
    fn a_rate_is_told_in_seconds_as_well() {
        let expected = "8.39 MH/s: on average 1.00 s for a receive, 64.00 s for a send";
        assert_eq!(speed(8_388_608, Network::Live), expected);
        assert!(speed(0, Network::Live).starts_with("0.00 MH/s"));
    }

    #[test]
    fn a_lost_connection_says_when_it_goes_on() {
        let line = disconnected(false, "Connection refused", Duration::from_millis(1_500));
        assert_eq!(line, "no connection: Connection refused; next try in 1.5 s");
    }
}
