//! The program `dpow`.

use std::process::ExitCode;

use clap::Parser;
use coordinator::cli;
use mimalloc::MiMalloc;

/// What a request takes is given back by another thread as often as not, which the system's own allocator is slow at. Without
/// huge pages, which would take some 20 MB more.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

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
