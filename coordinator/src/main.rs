//! The program `dpow`.

use std::process::ExitCode;

use clap::Parser;
use coordinator::cli;

#[tokio::main]
async fn main() -> ExitCode {
    match cli::run(cli::Cli::parse()).await {
        Ok(code) => code,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

/// The error and its causes, as one line.
#[expect(clippy::print_stderr, reason = "this is how a program says that it failed")]
fn report(error: &anyhow::Error) {
    let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    eprintln!("dpow: {}", causes.join(": "));
}
