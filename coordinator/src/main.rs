//! The program `dpow`.

use std::process::ExitCode;

use clap::Parser;
use coordinator::cli;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let failure_code = cli.failure_code();
    match cli::run(cli).await {
        Ok(code) => code,
        Err(error) => {
            report(&error);
            ExitCode::from(failure_code)
        }
    }
}

/// The error and its causes, as one line.
#[expect(clippy::print_stderr, reason = "this is how a program says that it failed")]
fn report(error: &anyhow::Error) {
    let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    eprintln!("dpow: {}", causes.join(": "));
}
