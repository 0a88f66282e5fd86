//! `dpow key`.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;
use shared::{KeyId, Millicredits, ServiceId};

use super::credit::whole_credits;
use super::table::{Side, Table};
use super::{Office, foreign_reply, note, wording};
use crate::administration::request::WantedKey;
use crate::administration::{Change, Read, Reply, reply};
use crate::intake::keys::{self, KeyText};
use crate::store::{Addresses, Label};

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Give a service a further key, and print it, once
    Issue {
        /// Which service
        service: ServiceId,
        #[command(flatten)]
        key: NewKeyFlags,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// List keys; nothing of their secrets
    List {
        /// Of which service [default: of all]
        service: Option<ServiceId>,
        /// Also those that have ended
        #[arg(long)]
        all: bool,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Replace a key: print a new one, once, and let the old one end after an overlap
    Rotate {
        /// The old key: the 13 characters that `dpow key list` shows
        #[arg(value_parser = key_id)]
        key: KeyId,
        /// For how long both are valid
        #[arg(long, value_name = "TIME", default_value = "24h", value_parser = wording::duration)]
        overlap: Duration,
        #[command(flatten)]
        new: NewKeyFlags,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Say what a key may be used for, in place of what was said before: what is not given is without a bound
    Limit {
        /// Which key: the 13 characters that `dpow key list` shows
        #[arg(value_parser = key_id)]
        key: KeyId,
        #[command(flatten)]
        limits: LimitFlags,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// End a key now, and close the connections that were made with it
    Revoke {
        /// Which key: the 13 characters that `dpow key list` shows
        #[arg(value_parser = key_id)]
        key: KeyId,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

/// What a new key is to be like.
#[derive(Debug, Args)]
pub(super) struct NewKeyFlags {
    /// What the key is for: up to 64 characters
    #[arg(long, value_name = "TEXT")]
    label: Option<Label>,
    /// After which time it ends, such as 90d or 12h [default: when it is revoked]
    #[arg(long, value_name = "TIME", value_parser = wording::duration)]
    expires: Option<Duration>,
    /// It is for trying things out: its requests cost nothing, and are answered by the server itself
    #[arg(long)]
    test: bool,
    #[command(flatten)]
    limits: LimitFlags,
}

/// What a key may be used for.
#[derive(Debug, Args)]
pub(super) struct LimitFlags {
    /// Most that its requests may cost in a day (UTC), in whole credits [default: as much as there is]
    #[arg(long, value_name = "CREDITS", value_parser = whole_credits)]
    spend_per_day: Option<Millicredits>,
    /// From where it is valid.
    #[arg(
        long,
        value_name = "ADDRESSES",
        help = "From where it is valid, such as 192.0.2.0/24,2001:db8::/32 [default: from everywhere]"
    )]
    allow: Option<Addresses>,
}

/// Reads the id of a key. Whoever gives the whole key is told not to, and the key is not repeated.
fn key_id(text: &str) -> Result<KeyId, String> {
    match keys::parts_of(text) {
        Some(parts) if parts.id.parse::<KeyId>().is_ok() => {
            Err(format!("this is a whole key, which belongs on no command line; its id is {}", parts.id))
        }
        _ => text.parse::<KeyId>().map_err(|bad| bad.to_string()),
    }
}

impl NewKeyFlags {
    /// A new key, drawn here, so that asking again asks for the same.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub(super) fn wanted(self) -> anyhow::Result<WantedKey> {
        let Self { label, expires, test, limits } = self;
        let (text, expires_s) = (KeyText::draw(test)?, expires.map(|after| after.as_secs()));
        Ok(WantedKey { text, label, expires_s, spend_per_day_mc: limits.spend_per_day, allow: limits.allow })
    }
}

impl KeyCommand {
    /// Does it.
    ///
    /// # Errors
    /// In one sentence, what is wrong and what to do.
    pub(super) async fn run(self, office: &Office<'_>) -> anyhow::Result<()> {
        match self {
            Self::Issue { service, key, json } => {
                let key = key.wanted()?;
                let text = key.text.clone();
                let reply = office.change(Change::IssueKey { service, key }).await?;
                let Reply::KeyIssued(issued) = reply else { return Err(foreign_reply()) };
                print_new(office, &text, &issued, None, json)
            }
            Self::List { service, all, json } => list(office, service, all, json).await,
            Self::Rotate { key, overlap, new, json } => rotate(office, key, overlap, new, json).await,
            Self::Limit { key, limits, json } => limit(office, key, limits, json).await,
            Self::Revoke { key, json } => revoke(office, key, json).await,
        }
    }
}

async fn list(office: &Office<'_>, service: Option<ServiceId>, all: bool, json: bool) -> anyhow::Result<()> {
    let Reply::Keys(mut keys) = office.read(Read::Keys { service }).await? else {
        return Err(foreign_reply());
    };
    keys.retain(|key| all || key.valid);
    if json {
        return office.console.json_lines(&keys);
    }
    office.console.lines(lines(&keys));
    Ok(())
}

async fn rotate(
    office: &Office<'_>,
    old: KeyId,
    overlap: Duration,
    new: NewKeyFlags,
    json: bool,
) -> anyhow::Result<()> {
    let Reply::Keys(keys) = office.read(Read::Keys { service: None }).await? else {
        return Err(foreign_reply());
    };
    // Its successor is of its kind.
    let test = keys.iter().any(|known| known.key == old && known.test);
    let key = NewKeyFlags { test, ..new }.wanted()?;
    let text = key.text.clone();
    let change = Change::RotateKey { old, overlap_s: overlap.as_secs(), key };
    let Reply::KeyRotated { new, old } = office.change(change).await? else { return Err(foreign_reply()) };
    print_new(office, &text, &new, Some(&old), json)
}

async fn limit(office: &Office<'_>, key: KeyId, limits: LimitFlags, json: bool) -> anyhow::Result<()> {
    let allow = limits.allow.unwrap_or_default();
    let change = Change::LimitKey { key, spend_per_day_mc: limits.spend_per_day, allow };
    let Reply::KeyLimited(key) = office.change(change).await? else { return Err(foreign_reply()) };
    if json {
        return office.console.json(&key);
    }
    office.console.line(&format!("the key {} of {} is valid {}", key.key, key.service, validity(&key)));
    Ok(())
}

async fn revoke(office: &Office<'_>, key: KeyId, json: bool) -> anyhow::Result<()> {
    let Reply::KeyRevoked { key, changed } = office.change(Change::RevokeKey { key }).await? else {
        return Err(foreign_reply());
    };
    if json {
        return office.console.json(&key);
    }
    office.console.line(&if changed {
        format!("the key {} of {} has ended", key.key, key.service)
    } else {
        let ended = wording::time_or(key.expires_at_us, "long ago");
        format!("the key {} of {} had ended at {ended}; nothing has changed", key.key, key.service)
    });
    Ok(())
}

/// A new key as JSON.
#[derive(Serialize)]
struct Printed<'a> {
    api_key: &'a str,
    #[serde(flatten)]
    key: &'a reply::Key,
    #[serde(skip_serializing_if = "Option::is_none")]
    old: Option<&'a reply::Key>,
}

/// Prints a key, once. On standard output there is nothing but the key, so that it can be put where it is needed.
///
/// # Errors
/// Never, in effect.
pub(super) fn print_new(
    office: &Office<'_>,
    text: &KeyText,
    key: &reply::Key,
    old: Option<&reply::Key>,
    json: bool,
) -> anyhow::Result<()> {
    if json {
        return office.console.json(&Printed { api_key: text.as_str(), key, old });
    }
    office.console.line(text.as_str());
    if let Some(old) = old {
        let until = wording::time_or(old.expires_at_us, "it is revoked");
        note(&format!("the old key {} is valid until {until}", old.key));
    }
    Ok(())
}

/// Keys as a table.
pub(super) fn lines(keys: &[reply::Key]) -> Vec<String> {
    if keys.is_empty() {
        return vec!["there are no such keys; issue one with `dpow key issue SERVICE`".into()];
    }
    let mut table = Table::new([
        ("KEY", Side::Left),
        ("SERVICE", Side::Left),
        ("ISSUED", Side::Left),
        ("VALID", Side::Left),
        ("LAST USED", Side::Left),
        ("LABEL", Side::Left),
    ]);
    for key in keys {
        table.row([
            key.key.to_string(),
            key.service.to_string(),
            wording::day(key.issued_at_us),
            validity(key),
            wording::time_or(key.last_used_at_us, "never"),
            key.label.to_string(),
        ]);
    }
    table.lines()
}

/// Until when, and for what, a key is valid.
fn validity(key: &reply::Key) -> String {
    let until = match (key.expires_at_us, key.valid) {
        (None, _) => "until revoked".into(),
        (Some(ends), true) => format!("until {}", wording::time(ends)),
        (Some(ended), false) => format!("ended {}", wording::time(ended)),
    };
    let test = key.test.then(|| "for tests".to_owned());
    let spend = key.spend_per_day_mc.map(|amount| format!("for {amount} a day"));
    let allow = (!key.allow.are_all()).then(|| format!("from {}", key.allow));
    [Some(until), test, spend, allow].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_key_is_not_taken_and_not_repeated() {
        let text = KeyText::draw(false).unwrap();
        let id = text.key().to_string();
        assert_eq!(key_id(&id).unwrap(), text.key());
        let complaint = key_id(text.as_str()).unwrap_err();
        assert!(complaint.ends_with(&format!("its id is {id}")), "{complaint}");
        assert!(key_id("wallet").unwrap_err().contains("13 characters"));
    }
}
