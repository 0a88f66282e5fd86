//! Random hostile traffic against the gate, beside one honest session that must never notice.
//!
//! Attackers connect, say something of the fuzz corpus, of a real session, or of neither, cut short, doubled or damaged, at
//! once or a byte at a time, read the answer or do not, and go. The gate must live, answer the honest session in time, and hold
//! no more memory at the end than after the first tenth of the time, but for a slack.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::{fs, io};

use anyhow::{Context, ensure};
use benches::mqtt::{Inbox, publish, subscribe_as_worker};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use shared::protocol::Topic;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, timeout};

use crate::client::{WORKER_USER, join_as_worker, log_in};
use crate::crowd::worker;
use crate::server::{Kind, Server};

/// Attackers at the same time.
const ATTACKERS: usize = 64;
/// The honest session's number, and the first of those under which attackers log in.
const HONEST: usize = 1;
const HOSTILE_FROM: usize = 10;
/// How long the honest session may wait for an answer before the gate has failed.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How often it asks, and how often is reported.
const ASK_EVERY: Duration = Duration::from_millis(50);
const REPORT_EVERY: Duration = Duration::from_secs(10);
/// How much larger than after a tenth of the time the gate may be at the end, in kB.
const GROWTH_MAX_KB: f64 = 16.0 * 1024.0;
/// Most of what one attacker sends, in bytes.
const SPEECH_MAX: usize = 64 * 1024;

/// Attacks for so long, and fails when the gate does.
pub(crate) async fn run(time: Duration, seed: u64, corpus: &Path) -> anyhow::Result<()> {
    let server = Server::start(Kind::Gate, Path::new("")).await?;
    let speeches = Arc::new(read_corpus(corpus)?);
    report(&format!(
        "seed {seed}, {} s, {} attackers, {} speeches",
        time.as_secs(),
        ATTACKERS,
        speeches.len()
    ))?;
    let attacks = Arc::new(AtomicU64::new(0));
    let mut attackers = JoinSet::new();
    for number in 0..ATTACKERS {
        let random = SmallRng::seed_from_u64(seed.wrapping_add(number as u64));
        attackers.spawn(attack_for_ever(
            server.address(),
            random,
            Arc::clone(&speeches),
            Arc::clone(&attacks),
        ));
    }
    let outcome = watch(&server, time, &attacks).await;
    attackers.shutdown().await;
    outcome
}

/// The honest session, and a look at the gate's memory now and then.
async fn watch(server: &Server, time: Duration, attacks: &AtomicU64) -> anyhow::Result<()> {
    let stream =
        join_as_worker(server.address(), worker(HONEST)).await.context("the honest worker's login")?;
    let (read, mut write) = stream.into_split();
    let mut inbox = Inbox::new(read);
    let topic = Topic::WorkResult(worker(HONEST)).to_string();
    let (begin, mut asking, mut reporting) = (Instant::now(), interval(ASK_EVERY), interval(REPORT_EVERY));
    let (mut slowest, mut resident_early) = (Duration::ZERO, None);
    while begin.elapsed() < time {
        tokio::select! {
            _ = asking.tick() => {
                let asked = Instant::now();
                write.write_all(&publish(&topic, None, &[&[0; 64]])).await.context("the honest worker was cut off")?;
                timeout(ANSWER_WITHIN, inbox.message()).await.context("the gate does not answer")??;
                slowest = slowest.max(asked.elapsed());
            }
            _ = reporting.tick() => {
                let resident = server.resident_kb()?;
                if begin.elapsed() * 10 >= time {
                    resident_early.get_or_insert(resident);
                }
                let (seconds, attacks) = (begin.elapsed().as_secs(), attacks.load(Ordering::Relaxed));
                report(&format!("{seconds:>5} s {attacks:>9} attacks {resident:>8} kB, slowest answer {slowest:?}"))?;
                slowest = Duration::ZERO;
            }
        }
    }
    let (early, late) = (resident_early.context("too short to tell")?, server.resident_kb()?);
    ensure!(late <= early + GROWTH_MAX_KB, "memory has grown from {early} kB to {late} kB");
    report(&format!(
        "{} attacks, memory {early} kB after a tenth, {late} kB at the end",
        attacks.load(Ordering::Relaxed)
    ))
}

async fn attack_for_ever(
    server: SocketAddr,
    mut random: SmallRng,
    speeches: Arc<Vec<Vec<u8>>>,
    attacks: Arc<AtomicU64>,
) {
    loop {
        // That an attack ends with an error is the usual end of one.
        let _ = attack(server, &mut random, &speeches).await;
        attacks.fetch_add(1, Ordering::Relaxed);
    }
}

/// One connection: logged in or not, one speech, heard or not.
async fn attack(server: SocketAddr, random: &mut SmallRng, speeches: &[Vec<u8>]) -> io::Result<()> {
    let mut stream = TcpStream::connect(server).await?;
    if random.random_bool(0.5) {
        let identity = worker(HOSTILE_FROM + random.random_range(0..ATTACKERS));
        log_in(&mut stream, WORKER_USER, &identity.to_string()).await?;
        if random.random_bool(0.5) {
            subscribe_as_worker(&mut stream, identity).await?;
        }
        if random.random_bool(0.3) {
            let topic = Topic::WorkResult(identity).to_string();
            let results = publish(&topic, random.random_bool(0.5).then_some(7), &[&[random.random(); 40]]);
            stream.write_all(&results.repeat(random.random_range(1..200))).await?;
        }
    }
    let speech = speech(random, speeches);
    if random.random_bool(0.1) {
        for byte in speech.iter().take(200) {
            stream.write_all(std::slice::from_ref(byte)).await?;
        }
    } else {
        stream.write_all(&speech).await?;
    }
    if random.random_bool(0.5) {
        let mut answer = vec![0; 512];
        let patience = Duration::from_millis(random.random_range(0..100));
        let _ = timeout(patience, stream.read(&mut answer)).await;
    }
    Ok(())
}

/// Something of the corpus, several times, cut short, with bytes changed; or nothing but noise.
fn speech(random: &mut SmallRng, speeches: &[Vec<u8>]) -> Vec<u8> {
    let mut speech = Vec::new();
    for _ in 0..random.random_range(1..8) {
        if random.random_bool(0.2) {
            let noise: [u8; 64] = random.random();
            speech.extend(noise);
        } else if let Some(chosen) = speeches.get(random.random_range(0..speeches.len().max(1))) {
            speech.extend(chosen);
        }
    }
    for _ in 0..random.random_range(0..4) {
        if !speech.is_empty() {
            let index = random.random_range(0..speech.len());
            speech[index] = random.random();
        }
    }
    speech.truncate(random.random_range(0..=speech.len().min(SPEECH_MAX)));
    speech
}

/// Every file of the fuzz target's corpus.
fn read_corpus(folder: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let files = fs::read_dir(folder).with_context(|| format!("no corpus in {}", folder.display()))?;
    let mut paths = files.map(|file| Ok(file?.path())).collect::<io::Result<Vec<_>>>()?;
    // The order of a folder is the file system's; a seed should mean the same everywhere.
    paths.sort();
    let speeches = paths.into_iter().map(fs::read).collect::<io::Result<Vec<_>>>()?;
    ensure!(!speeches.is_empty(), "the corpus in {} is empty", folder.display());
    Ok(speeches)
}

fn report(line: &str) -> anyhow::Result<()> {
    use io::Write;
    writeln!(io::stdout().lock(), "{line}").context("nobody listens")
}
