//! Whether a server can be trusted with credits: asked at each attachment.

use std::time::{Duration, Instant};

use redis::{Value, from_redis_value};

use super::server::Link;
use super::trouble::Trouble;

/// The oldest major version with functions.
const VERSION_MIN: u32 = 7;
/// How often a server is asked whether its log is mended.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What is wrong with a server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    Safe,
    /// It cannot do what is needed at all.
    Unfit(String),
    /// It could lose or drop credits.
    Unsafe(&'static str),
}

/// What a server says of itself.
#[derive(Debug, Default)]
struct Facts {
    version: Option<u32>,
    role: Option<String>,
    replicas: Option<u32>,
    eviction: Option<String>,
    /// Whether every write is logged.
    log: Option<bool>,
    /// Whether the log was written anew since the server started.
    is_mended: bool,
    /// Whether it is being written anew, or will be.
    is_mending: bool,
    /// When the log is synced; unknown where the settings may not be read.
    sync: Option<String>,
    /// Replicas that have to be there for a write; unknown as above.
    replicas_min: Option<u32>,
    /// Whether a log that ends in the midst of a change is refused; unknown as above.
    refuses_torn: Option<bool>,
}

/// Looks at a server. `announces`: an operator is told what a safe one may still lose.
pub(super) async fn check(link: &mut Link, announces: bool) -> Result<Verdict, Trouble> {
    let facts = Facts::ask(link).await?;
    let verdict = facts.verdict();
    if verdict == Verdict::Safe && announces {
        facts.tell();
    }
    Ok(verdict)
}

/// Makes sure that the server's log can be written to.
///
/// A log that ends in the midst of a change, after a crash, is cut off after the last whole command when it is loaded, and that may
/// be one within the change. What is written from then on counts as part of that change: the next load carries out half of it, or
/// drops whatever came later. A log that is written anew has no such end. So this comes before the first write to a server that has
/// started, unless it refuses to load such logs.
///
/// Returns whether it is done; else it goes on in the server, and is to be asked again.
pub(super) async fn mend_log(link: &mut Link, patience: Duration) -> Result<bool, Trouble> {
    let deadline = Instant::now() + patience;
    loop {
        let facts = Facts::ask(link).await?;
        if facts.is_mended || facts.log != Some(true) || facts.refuses_torn == Some(true) {
            return Ok(true);
        }
        if !facts.is_mending {
            match link.ask(redis::cmd("BGREWRITEAOF")).await.map_err(Trouble::from) {
                // Somebody else has just asked.
                Err(Trouble::Other(said)) if said.contains("in progress") => {}
                result => drop(result?),
            }
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

impl Facts {
    async fn ask(link: &mut Link) -> Result<Self, Trouble> {
        let mut facts = Self::default();
        let info: String =
            from_redis_value(link.ask(redis::cmd("INFO")).await?).map_err(|error| garbled(&error))?;
        facts.read_info(&info);
        for (setting, of) in [
            ("appendfsync", (|facts, value| facts.sync = Some(value)) as fn(&mut Self, String)),
            ("min-replicas-to-write", |facts, value| facts.replicas_min = value.parse().ok()),
            ("aof-load-truncated", |facts, value| facts.refuses_torn = Some(value == "no")),
        ] {
            let mut ask = redis::cmd("CONFIG");
            ask.arg("GET").arg(setting);
            match link.ask(ask).await.map_err(Trouble::from) {
                Ok(found) => {
                    if let Some(value) = setting_in(&found) {
                        of(&mut facts, value);
                    }
                }
                // A login need not have this right.
                Err(Trouble::Rights(_) | Trouble::Other(_)) => {}
                Err(trouble) => return Err(trouble),
            }
        }
        Ok(facts)
    }

    fn read_info(&mut self, info: &str) {
        for (name, value) in info.lines().filter_map(|line| line.trim_end().split_once(':')) {
            match name {
                "redis_version" => {
                    self.version = value.split('.').next().and_then(|major| major.parse().ok());
                }
                "role" => self.role = Some(value.to_owned()),
                "connected_slaves" => self.replicas = value.parse().ok(),
                "maxmemory_policy" => self.eviction = Some(value.to_owned()),
                "aof_enabled" => self.log = Some(value == "1"),
                "aof_last_rewrite_time_sec" => self.is_mended = !value.starts_with('-'),
                "aof_rewrite_in_progress" | "aof_rewrite_scheduled" => self.is_mending |= value == "1",
                _ => {}
            }
        }
    }

    fn verdict(&self) -> Verdict {
        match self.version {
            Some(version) if version >= VERSION_MIN => {}
            Some(version) => {
                return Verdict::Unfit(format!(
                    "it is Redis {version}; a ledger needs version {VERSION_MIN} or newer"
                ));
            }
            None => return Verdict::Unfit("it does not say which version it is".to_owned()),
        }
        if self.role.as_deref() != Some("master") {
            return Verdict::Unfit("it is a replica, which takes no changes; name the master".to_owned());
        }
        if self.eviction.as_deref() != Some("noeviction") {
            return Verdict::Unsafe(
                "it drops keys when its memory is full, and with them credits (set maxmemory-policy noeviction)",
            );
        }
        if self.log != Some(true) {
            return Verdict::Unsafe(
                "it does not log every write, and loses minutes in a crash (set appendonly yes)",
            );
        }
        if self.sync.as_deref() == Some("no") {
            return Verdict::Unsafe(
                "it leaves it to the system when its log is synced (set appendfsync always or everysec)",
            );
        }
        Verdict::Safe
    }

    /// What an operator has accepted by this configuration.
    fn tell(&self) {
        match self.sync.as_deref() {
            Some("always") => {}
            Some(_) => tracing::warn!(
                redis.appendfsync = "everysec",
                "a power failure of the ledger's server loses the last one or two seconds of settlements; `appendfsync always` \
                 loses none"
            ),
            None => tracing::warn!(
                "the login may not read the ledger server's settings: whether it syncs is not known"
            ),
        }
        if self.replicas.is_some_and(|replicas| replicas > 0) && self.replicas_min.unwrap_or(0) == 0 {
            tracing::warn!(
                "a failover to a replica loses what it had not received yet; set min-replicas-to-write 1 on the ledger's server"
            );
        }
    }
}

fn garbled(error: &redis::ParsingError) -> Trouble {
    Trouble::Garbled(error.to_string())
}

/// The value in an answer to `CONFIG GET` of one setting.
fn setting_in(found: &Value) -> Option<String> {
    let pairs: std::collections::BTreeMap<String, String> = from_redis_value(found.clone()).ok()?;
    pairs.into_values().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# Server\r\nredis_version:7.0.15\r\nrole:master\r\nconnected_slaves:0\r\n\
                        maxmemory_policy:noeviction\r\naof_enabled:1\r\n";

    fn verdict(info: &str, sync: Option<&str>) -> Verdict {
        let mut facts = Facts { sync: sync.map(str::to_owned), ..Facts::default() };
        facts.read_info(info);
        facts.verdict()
    }

    #[test]
    fn a_server_that_could_lose_credits_is_found_out() {
        for sync in [Some("always"), Some("everysec"), None] {
            assert_eq!(verdict(GOOD, sync), Verdict::Safe);
        }
        for (from, to) in [("noeviction", "allkeys-lru"), ("aof_enabled:1", "aof_enabled:0")] {
            assert!(matches!(verdict(&GOOD.replace(from, to), Some("always")), Verdict::Unsafe(_)), "{to}");
        }
        assert!(matches!(verdict(GOOD, Some("no")), Verdict::Unsafe(_)));
        for (from, to) in
            [("7.0.15", "6.2.14"), ("redis_version", "version"), ("master", "slave"), ("role", "rule")]
        {
            assert!(matches!(verdict(&GOOD.replace(from, to), Some("always")), Verdict::Unfit(_)), "{to}");
        }
        assert_eq!(verdict(&GOOD.replace("7.0.15", "8.2.0"), None), Verdict::Safe);
    }
}
