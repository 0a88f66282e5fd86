//! Two measurements of work ahead of demand, with the market alone:
//!
//! - `cache`: how long an answer from the cache takes with a million cached works, and what memory they take;
//! - `day`: a simulated day of 1,000 accounts with mixed rhythms beside other customers, with precaching off and on: hit rate, cost of
//!   a hit, and what the others wait.
//!
//! `cargo run --release -p dpow-marketplace --example precache -- cache`

#![expect(clippy::print_stdout, reason = "it is what a measurement is for")]
#![expect(
    clippy::disallowed_methods,
    reason = "a program around the core reads the clock and a file; the core does not"
)]

mod cache;
mod day;
mod dice;

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("cache") => cache::measure(),
        Some("day") => day::measure(),
        _ => println!("one of: cache, day"),
    }
}
