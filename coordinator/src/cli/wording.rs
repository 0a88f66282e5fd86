//! How times, durations, rates and sizes are written for people, and how they write durations.

use std::time::Duration;

use jiff::{Span, SpanRelativeTo};
use shared::{Account, Network, Timestamp};
use thiserror::Error;

/// A text that is no duration.
#[derive(Debug, Error)]
#[error("a duration is a number and a unit, such as 90d, 24h or 30m, of at least a second")]
pub(super) struct BadDuration;

/// Reads `90d`, `1h 30m`, `2w`. A day has 24 hours.
pub(super) fn duration(text: &str) -> Result<Duration, BadDuration> {
    let span: Span = text.parse().map_err(|_| BadDuration)?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| BadDuration)?;
    let duration = Duration::try_from(duration).map_err(|_| BadDuration)?;
    if duration < Duration::from_secs(1) { Err(BadDuration) } else { Ok(duration) }
}

/// RFC 3339 in UTC, to the second: `2026-11-22T10:00:00Z`.
pub(super) fn time(at: Timestamp) -> String {
    let seconds = i64::try_from(at.as_micros() / 1_000_000).unwrap_or(i64::MAX);
    // What lies after the year 9999 was never meant as a time.
    jiff::Timestamp::from_second(seconds).map_or_else(|_| "never".into(), |time| time.to_string())
}

/// The day of a time in UTC: `2026-11-22`.
pub(super) fn day(at: Timestamp) -> String {
    let time = time(at);
    time.split_once('T').map_or(time.as_str(), |(day, _)| day).to_owned()
}

/// A time that may not be there.
pub(super) fn time_or(at: Option<Timestamp>, absent: &str) -> String {
    at.map_or_else(|| absent.to_owned(), time)
}

/// The two largest units that matter: `3 d 4 h`, `12 min 5 s`.
pub(super) fn age(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

/// The ends of an address, as wallets show it.
pub(super) fn short_address(account: Account, network: Network) -> String {
    // Addresses are ASCII.
    let text = network.format_address(account);
    format!("{}…{}", &text[..11], &text[text.len() - 6..])
}

/// Hashes a second with three digits: `1.20 GH/s`.
pub(super) fn rate(hashes_per_second: u64) -> String {
    format!("{}H/s", scaled(hashes_per_second))
}

/// Bytes with three digits: `84.0 kB`.
pub(super) fn size(bytes: u64) -> String {
    format!("{}B", scaled(bytes))
}

#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn scaled(number: u64) -> String {
    let mut value = number as f64;
    for prefix in ["", "k", "M", "G", "T"] {
        match value {
            _ if prefix.is_empty() && value < 1000.0 => return format!("{value} "),
            value if value < 9.995 => return format!("{value:.2} {prefix}"),
            value if value < 99.95 => return format!("{value:.1} {prefix}"),
            value if value < 999.5 => return format!("{value:.0} {prefix}"),
            _ => value /= 1000.0,
        }
    }
    format!("{value:.0} P")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, seconds) in [
            ("90d", 7_776_000),
            ("24h", 86_400),
            ("30m", 1_800),
            ("1h 30m", 5_400),
            ("2w", 1_209_600),
            ("1s", 1),
        ] {
            assert_eq!(duration(text).unwrap(), Duration::from_secs(seconds), "{text}");
        }
        for bad in ["", "90", "d", "-1d", "0s", "1 month", "1y", "10ms", "soon"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(time(Timestamp::from_micros(1_795_341_600_999_999)), "2026-11-22T10:00:00Z");
        assert_eq!(time(Timestamp::from_micros(u64::MAX)), "never");
    }

    #[test]
    fn numbers_have_three_digits() {
        for (number, text) in [
            (0, "0 H/s"),
            (999, "999 H/s"),
            (1_000, "1.00 kH/s"),
            (9_996, "10.0 kH/s"),
            (99_960, "100 kH/s"),
            (999_600, "1.00 MH/s"),
            (1_204_000_000, "1.20 GH/s"),
            (3_000_000_000_000_000, "3 PH/s"),
        ] {
            assert_eq!(rate(number), text);
        }
        assert_eq!(size(84_000), "84.0 kB");
        for (seconds, text) in [(5, "5 s"), (65, "1 min 5 s"), (7_260, "2 h 1 min"), (90_000, "1 d 1 h")] {
            assert_eq!(age(Duration::from_secs(seconds)), text);
        }
    }
}
