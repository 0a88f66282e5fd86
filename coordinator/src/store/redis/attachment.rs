//! Taking a ledger over: the server is looked at, has the library and nothing of another's under our names, and from then on obeys
//! this token alone. A command that was sent before and comes late, over an older connection, has no effect.

use std::time::Duration;

use redis::Value;
use shared::Network;

use super::call::{function, number};
use super::key::{Key, Keys};
use super::mark::Mark;
use super::safety::{self, Verdict};
use super::server::{Link, Server};
use super::trouble::{OpenError, Trouble};
use super::{LEASE, library};

/// Which ledger is taken over, by whom.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) server: Server,
    pub(super) keys: Keys,
    pub(super) network: Network,
    /// Also from a server that is not safe.
    pub(super) allows_unsafe: bool,
    /// Whether the log says what a safe server may still lose.
    pub(super) announces: bool,
}

/// A ledger that obeys.
#[derive(Debug)]
pub(super) struct Attachment {
    pub(super) link: Link,
    /// What opens it.
    pub(super) token: String,
    /// Its id.
    pub(super) ledger: String,
    /// How far it had come.
    pub(super) found: u64,
    /// How far it is now.
    pub(super) revision: u64,
}

impl Claim {
    /// Takes the ledger over, and makes it if there is none. `releases`: whoever had opened holds is no more. `patience`:
    /// how long the server may take to mend its log.
    pub(super) async fn attach(
        &self,
        mark: &Mark,
        releases: bool,
        patience: Duration,
    ) -> Result<Attachment, OpenError> {
        let mut link = self.connect(patience).await?;
        self.check_types(&mut link).await?;
        library::load(&mut link).await.map_err(|trouble| self.refused(&trouble))?;
        let random = || {
            super::mark::random_id()
                .map_err(|error| OpenError::Mark { path: mark.shown(), source: std::io::Error::other(error) })
        };
        let (token, new) = (random()?, random()?);
        let mut attach = function("attach", &self.keys, &[Key::Holds, Key::Held, Key::Due, Key::Journal]);
        attach.arg(&token).arg(&mark.owner).arg(self.network.name());
        attach.arg(mark.ledger.as_deref().unwrap_or_default()).arg(new);
        attach.arg(u64::try_from(LEASE.as_micros()).unwrap_or(u64::MAX)).arg(u8::from(releases));
        let answer = link.ask(attach).await.map_err(|error| self.refused(&error.into()))?;
        let (ledger, found, revision) = self.taken_over(&answer, mark)?;
        Ok(Attachment { link, token, ledger, found, revision })
    }

    /// Connects, looks whether the server is one for a ledger, and has it mend its log.
    pub(super) async fn connect(&self, patience: Duration) -> Result<Link, OpenError> {
        let server = || self.server.clone();
        let mut link = self.server.connect(&self.keys).await.map_err(|error| self.refused(&error.into()))?;
        match safety::check(&mut link, self.announces).await.map_err(|trouble| self.refused(&trouble))? {
            Verdict::Safe => {}
            Verdict::Unsafe(reason) if !self.allows_unsafe => {
                return Err(OpenError::Unsafe { server: server(), reason });
            }
            Verdict::Unsafe(reason) => {
                tracing::warn!(
                    "the ledger's server is not safe, which `store.allow_unsafe` accepts: {reason}"
                );
            }
            Verdict::Unfit(reason) => return Err(OpenError::Server { server: server(), reason }),
        }
        let is_mended =
            safety::mend_log(&mut link, patience).await.map_err(|trouble| self.refused(&trouble))?;
        if is_mended { Ok(link) } else { Err(self.refused(&Trouble::Mending)) }
    }

    /// Connects to look only. Returns the ledger's id.
    pub(super) async fn look(&self) -> Result<(Link, String), OpenError> {
        let mut link = self.server.connect(&self.keys).await.map_err(|error| self.refused(&error.into()))?;
        self.check_types(&mut link).await?;
        let mut find = redis::cmd("HMGET");
        find.arg(self.keys.name(Key::Meta)).arg("format").arg("network").arg("ledger").arg("copying");
        let found = link.ask(find).await.map_err(|error| self.refused(&error.into()))?;
        let found: Vec<Option<String>> = redis::from_redis_value(found)
            .map_err(|error| self.refused(&Trouble::Garbled(error.to_string())))?;
        let server = || self.server.clone();
        match found.as_slice() {
            [None, ..] => Err(OpenError::NoLedger { server: server() }),
            [Some(format), ..] if format != "1" => {
                Err(OpenError::Newer { server: server(), found: format.clone() })
            }
            [_, Some(network), ..] if network != self.network.name() => {
                let (found, wanted) = (network.clone(), self.network);
                Err(OpenError::OtherNetwork { server: server(), found, wanted })
            }
            [_, _, _, Some(_)] => Err(OpenError::Copying { server: server() }),
            [_, _, Some(ledger), None] => Ok((link, ledger.clone())),
            _ => Err(self.refused(&Trouble::Garbled("its description is not whole".into()))),
        }
    }

    /// A name of ours that holds something of another type is not overwritten.
    async fn check_types(&self, link: &mut Link) -> Result<(), OpenError> {
        let mut types = redis::pipe();
        for key in Key::ALL {
            types.cmd("TYPE").arg(self.keys.name(key));
        }
        let types = link.send(&mut types).await.map_err(|error| self.refused(&error.into()))?;
        for (key, found) in Key::ALL.into_iter().zip(types) {
            let found = found.map_err(|error| self.refused(&error.into()))?;
            let found: String = redis::from_redis_value(found).unwrap_or_default();
            if found != "none" && found != key.kind() {
                let (server, key) = (self.server.clone(), self.keys.name(key).to_owned());
                return Err(OpenError::Foreign { server, key, found: format!("it is a {found}") });
            }
        }
        Ok(())
    }

    /// What the library says of an attempt.
    fn taken_over(&self, answer: &Value, mark: &Mark) -> Result<(String, u64, u64), OpenError> {
        let server = || self.server.clone();
        let garbled = || self.refused(&Trouble::Garbled(format!("{answer:?}")));
        let Value::Array(values) = answer else { return Err(garbled()) };
        let text = |index: usize| match values.get(index) {
            Some(Value::BulkString(bytes)) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        };
        let revision = |index: usize| u64::try_from(number(values.get(index)?)?).ok();
        let said = text(1).unwrap_or_default();
        Err(match text(0).as_deref() {
            Some("attached") => {
                let (Some(found), Some(now)) = (revision(2), revision(3)) else { return Err(garbled()) };
                return Ok((said, found, now));
            }
            Some("foreign") => OpenError::Foreign {
                server: server(),
                key: self.keys.name(Key::Meta).replace("meta", "*"),
                found: "there is no description of a ledger beside it".into(),
            },
            Some("missing") => OpenError::Missing { server: server(), mark: mark.shown() },
            Some("format") => OpenError::Newer { server: server(), found: said },
            Some("network") => {
                OpenError::OtherNetwork { server: server(), found: said, wanted: self.network }
            }
            Some("other") => OpenError::OtherLedger {
                server: server(),
                found: said,
                wanted: mark.ledger.clone().unwrap_or_default(),
                mark: mark.shown(),
            },
            Some("copying") => OpenError::Copying { server: server() },
            Some("busy") => OpenError::Busy { server: server(), seconds: said },
            _ => garbled(),
        })
    }

    pub(super) fn refused(&self, trouble: &Trouble) -> OpenError {
        let reason = match trouble {
            Trouble::Away(error) => format!("{trouble} ({error})"),
            other => other.to_string(),
        };
        OpenError::Server { server: self.server.clone(), reason }
    }
}

impl OpenError {
    /// Whether trying again later can help a coordinator that has had this ledger before.
    pub(super) const fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Server { .. }
                | Self::Unsafe { .. }
                | Self::Missing { .. }
                | Self::Foreign { .. }
                | Self::Mark { .. }
        )
    }
}
