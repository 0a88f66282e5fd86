//! A child process: what it prints, line by line, signals to it, and its end.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context, bail, ensure};

use crate::PATIENCE;
use crate::tool::shell;

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A line that a process has printed, without its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Where it was printed.
    pub stream: Stream,
    /// What it says; bytes that are no UTF-8 are replaced.
    pub text: String,
}

/// What is sent to a process, mostly to end it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// As by Ctrl-C.
    Interrupt,
    /// As by a service manager.
    Terminate,
    /// As by a power cut: it cannot be caught.
    Kill,
    /// Has it stand still.
    Stop,
    /// Has it go on.
    Continue,
}

impl Signal {
    /// The name that `kill` knows.
    const fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "INT",
            Self::Terminate => "TERM",
            Self::Kill => "KILL",
            Self::Stop => "STOP",
            Self::Continue => "CONT",
        }
    }
}

/// What a process has printed so far.
#[derive(Debug)]
struct Transcript {
    lines: Vec<Line>,
    /// Streams that may still bring lines.
    open: usize,
}

/// The transcript, and who waits for it to change.
#[derive(Debug)]
struct Output {
    transcript: Mutex<Transcript>,
    changed: Condvar,
}

impl Output {
    fn lock(&self) -> MutexGuard<'_, Transcript> {
        self.transcript.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Transcript)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    /// Reads a stream to its end.
    fn collect(&self, stream: Stream, source: impl Read) {
        let mut source = BufReader::new(source);
        let mut bytes = Vec::new();
        // A stream that cannot be read has ended as well.
        while source.read_until(b'\n', &mut bytes).is_ok_and(|count| count > 0) {
            let text = String::from_utf8_lossy(&bytes).trim_end_matches(['\r', '\n']).to_owned();
            self.change(|transcript| transcript.lines.push(Line { stream, text }));
            bytes.clear();
        }
        self.change(|transcript| transcript.open -= 1);
    }
}

/// A process that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// All it has printed to standard output, each line with its end.
    pub stdout: String,
    /// All it has printed to standard error, each line with its end.
    pub stderr: String,
}

/// A process that is killed when this value is dropped, if it has not ended before.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    output: Arc<Output>,
}

impl Process {
    /// Starts it, with nothing to read on standard input. The name is for messages.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(name: &str, command: &mut Command) -> anyhow::Result<Self> {
        Self::spawn(name, command.stdin(Stdio::null()))
    }

    /// Starts it, and returns its standard input as well.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_with_input(name: &str, command: &mut Command) -> anyhow::Result<(Self, ChildStdin)> {
        let mut process = Self::spawn(name, command.stdin(Stdio::piped()))?;
        let input = process.child.stdin.take().context("a pipe was asked for")?;
        Ok((process, input))
    }

    fn spawn(name: &str, command: &mut Command) -> anyhow::Result<Self> {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("{name} cannot be started"))?;
        let (stdout, stderr) =
            child.stdout.take().zip(child.stderr.take()).context("pipes were asked for")?;
        let transcript = Transcript { lines: Vec::new(), open: 2 };
        let output = Arc::new(Output { transcript: Mutex::new(transcript), changed: Condvar::new() });
        let (for_stdout, for_stderr) = (Arc::clone(&output), Arc::clone(&output));
        thread::spawn(move || for_stdout.collect(Stream::Stdout, stdout));
        thread::spawn(move || for_stderr.collect(Stream::Stderr, stderr));
        Ok(Self { name: name.into(), child, output })
    }

    /// Its number in the system.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// All lines so far.
    pub fn lines(&self) -> Vec<Line> {
        self.output.lock().lines.clone()
    }

    /// Waits until `find` finds something in the lines so far.
    ///
    /// # Errors
    /// When the process has closed its output, or [`PATIENCE`] is over, before that.
    pub fn wait_until<T>(&self, what: &str, find: impl Fn(&[Line]) -> Option<T>) -> anyhow::Result<T> {
        let deadline = Instant::now() + PATIENCE;
        let mut transcript = self.output.lock();
        loop {
            if let Some(found) = find(&transcript.lines) {
                return Ok(found);
            }
            ensure!(transcript.open > 0, "{} ended without {what}", self.name);
            let left = deadline.saturating_duration_since(Instant::now());
            ensure!(!left.is_zero(), "{} was waited for too long: {what}", self.name);
            let waited = self.output.changed.wait_timeout(transcript, left);
            transcript = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for a line that `matches`.
    ///
    /// # Errors
    /// As [`wait_until`](Self::wait_until).
    pub fn wait_for_line(&self, what: &str, matches: impl Fn(&str) -> bool) -> anyhow::Result<String> {
        self.wait_until(what, |lines| {
            lines.iter().find(|line| matches(&line.text)).map(|line| line.text.clone())
        })
    }

    /// Sends a signal. Its number is still its own, since it has not been waited for.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        // Built into every shell; the program of the same name is not on every machine.
        let kill = format!("kill -s {} {}", signal.name(), self.id());
        let status = shell(&kill).status().context("sh cannot be started")?;
        ensure!(status.success(), "{} could not be sent {signal:?}", self.name);
        Ok(())
    }

    /// Waits for its end. One that prints is not stuck, however much it has to print.
    ///
    /// # Errors
    /// When it has printed nothing for [`PATIENCE`].
    pub fn wait(&mut self) -> anyhow::Result<Finished> {
        let mut transcript = self.output.lock();
        while transcript.open > 0 {
            let waited = self.output.changed.wait_timeout(transcript, PATIENCE);
            let (changed, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            transcript = changed;
            if timeout.timed_out() && transcript.open > 0 {
                bail!("{} has not ended", self.name);
            }
        }
        let printed = |stream| {
            let lines = transcript.lines.iter().filter(|line| line.stream == stream);
            lines.flat_map(|line| [line.text.as_str(), "\n"]).collect::<String>()
        };
        let (stdout, stderr) = (printed(Stream::Stdout), printed(Stream::Stderr));
        let status = self.child.wait().with_context(|| format!("{} has no status", self.name))?;
        Ok(Finished { status, stdout, stderr })
    }
}

impl Drop for Process {
    #[expect(clippy::print_stdout, reason = "the test harness shows it when the test fails")]
    fn drop(&mut self) {
        // It has ended already, if all went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
        println!("--- {} ({})", self.name, self.id());
        for Line { stream, text } in self.lines() {
            let mark = if stream == Stream::Stdout { ' ' } else { '!' };
            println!("{mark} {text}");
        }
    }
}

/// Runs a command to its end.
///
/// # Errors
/// When it cannot be started, or does not end.
pub fn run(name: &str, command: &mut Command) -> anyhow::Result<Finished> {
    Process::start(name, command)?.wait()
}
