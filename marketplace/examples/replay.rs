//! Steps through the log of a simulated run: what went in, what came out then and now, and which rule is broken.
//!
//! `cargo run -p dpow-marketplace --features sim --example replay FILE`

#![expect(clippy::print_stdout, reason = "it is a program for people")]
#![expect(clippy::disallowed_methods, reason = "a program around the core reads files; the core does not")]

use std::io::{BufRead, Write, stdin, stdout};
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use marketplace::sim::Line;
use marketplace::sim::replay::{Replay, Step};

/// Steps through the log of a simulated run, with the market of today.
#[derive(Debug, Parser)]
struct Arguments {
    /// The log, as the tests and the example `market` write it.
    file: PathBuf,
    /// Do not stop at each step.
    #[arg(long)]
    run: bool,
    /// Stop only at steps in which this text occurs, for example a hold's or a request's number.
    #[arg(long)]
    find: Option<String>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let text = std::fs::read_to_string(&arguments.file)
        .with_context(|| format!("{} cannot be read", arguments.file.display()))?;
    let mut replay = Replay::parse(&text)?;
    let (mut steps, mut different) = (0, 0);
    let mut waits = !arguments.run;
    while let Some(step) = replay.step()? {
        steps += 1;
        different += usize::from(!step.is_same());
        let shown = show(&step);
        let is_remarkable = step.broken.is_some() || matches!(step.line, Line::Failure(_));
        let is_found = arguments.find.as_ref().is_none_or(|find| shown.contains(find.as_str()));
        if is_remarkable || is_found {
            println!("{shown}");
        }
        if let Some(broken) = step.broken {
            println!("== {broken}");
            return Ok(());
        }
        if waits && (is_remarkable || is_found) {
            print!("[enter: next, c: go on, b: board, q: quit] ");
            stdout().flush()?;
            waits = ask(&replay)?;
        }
    }
    println!("== the end: {steps} steps, {different} of them not as recorded; no rule is broken");
    Ok(())
}

/// What the person at the keyboard wants: whether to stop again.
fn ask(replay: &Replay) -> anyhow::Result<bool> {
    for line in stdin().lock().lines() {
        match line?.trim() {
            "c" => return Ok(false),
            "q" => std::process::exit(0),
            "b" => println!("{:#?}", replay.market().map(marketplace::Marketplace::board)),
            _ => return Ok(true),
        }
    }
    Ok(false)
}

/// What went in, and what came out; marked where it is not what came out then.
fn show(step: &Step) -> String {
    let lost = step.then.iter().filter(|effect| !step.now.contains(effect)).map(|effect| ('-', effect));
    let there = step.now.iter().map(|effect| (if step.then.contains(effect) { ' ' } else { '+' }, effect));
    let effects: Vec<String> =
        lost.chain(there).map(|(mark, effect)| format!("\n  {mark} {effect}")).collect();
    format!("{} {:?}{}", step.number, step.line, effects.concat())
}
