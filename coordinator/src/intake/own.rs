//! What services ask about themselves over HTTP: carried out as it is for operators, each for its own service alone.
//!
//! Always: a key that is good for less than others, because it has an end, a bound or a place, or is for tests, changes no keys: it
//! could make one that is good for more.

use std::sync::Arc;

use bridge::source::{Asker, Balance, IssuedKey, OwnKey, OwnRefused, WantedKey};
use shared::{KeyId, Millicredits, Refusal, ServiceId};
use tokio::sync::Mutex;
use tracing::error;

use super::keys::KeyText;
use crate::administration::reply::{Key, ServiceBalance};
use crate::administration::{Administration, Change, Read, Refused, Reply, Request, request};

/// Most keys of a service, those included that have ended: each is kept for ever.
const KEYS_MAX: usize = 1_000;

/// See the module. All clones are one.
#[derive(Debug, Clone)]
pub(crate) struct OwnAffairs {
    administration: Arc<Administration>,
    /// Changes of services are carried out one at a time: each looks before it acts.
    turn: Arc<Mutex<()>>,
}

impl OwnAffairs {
    /// Carried out by this.
    pub(crate) fn new(administration: Arc<Administration>) -> Self {
        Self { administration, turn: Arc::default() }
    }

    /// What a service has.
    pub(crate) async fn balance(&self, service: ServiceId) -> Result<Balance, OwnRefused> {
        match self.read(Read::Balance { service }).await? {
            Reply::Balance(ServiceBalance { credits, .. }) => Ok(Balance {
                granted_mc: credits.granted_mc.as_u64(),
                paid_mc: credits.paid_mc.as_u64(),
                held_mc: credits.held_mc.map_or(0, Millicredits::as_u64),
            }),
            _ => Err(OwnRefused::Refused(Refusal::Fault)),
        }
    }

    /// Its keys.
    pub(crate) async fn keys(&self, service: ServiceId) -> Result<Vec<OwnKey>, OwnRefused> {
        Ok(self.known(service).await?.iter().map(own).collect())
    }

    /// Gives it a further key.
    pub(crate) async fn issue(
        &self,
        asker: Asker,
        wanted: WantedKey,
        replaces: Option<(KeyId, u64)>,
    ) -> Result<IssuedKey, OwnRefused> {
        self.to_the_end(move |this: Self| async move {
            let keys = this.changeable(asker).await?;
            if keys.len() >= KEYS_MAX {
                return Err(OwnRefused::TooManyKeys);
            }
            let label = wanted.label.map(|label| label.parse()).transpose().map_err(|_| OwnRefused::Label)?;
            let old = replaces.map(|(old, _)| keys.iter().find(|key| key.key == old)).unwrap_or_default();
            let text = KeyText::draw(old.is_some_and(|old| old.test));
            let text = text.map_err(|_| OwnRefused::Refused(Refusal::Fault))?;
            let shown = text.as_str().to_owned();
            let expires_s = wanted.expires_s;
            let key = request::WantedKey { text, label, expires_s, spend_per_day_mc: None, allow: None };
            let change = match replaces {
                None => Change::IssueKey { service: asker.service, key },
                Some((old, _)) if !keys.iter().any(|key| key.key == old) => {
                    return Err(OwnRefused::UnknownKey);
                }
                Some((old, overlap_s)) => Change::RotateKey { old, overlap_s, key },
            };
            match this.change(change).await? {
                Reply::KeyIssued(key) | Reply::KeyRotated { new: key, .. } => {
                    Ok(IssuedKey { text: shown, key: own(&key) })
                }
                _ => Err(OwnRefused::Refused(Refusal::Fault)),
            }
        })
        .await
    }

    /// Ends one of its keys.
    pub(crate) async fn revoke(
        &self,
        asker: Asker,
        key: KeyId,
        even_last: bool,
    ) -> Result<OwnKey, OwnRefused> {
        self.to_the_end(move |this: Self| async move {
            let keys = this.changeable(asker).await?;
            if !keys.iter().any(|known| known.key == key) {
                return Err(OwnRefused::UnknownKey);
            }
            let is_good_for_all = |known: &&Key| known.valid && !is_limited(known);
            if !even_last && !keys.iter().filter(is_good_for_all).any(|known| known.key != key) {
                return Err(OwnRefused::LastKey);
            }
            match this.change(Change::RevokeKey { key }).await? {
                Reply::KeyRevoked { key, .. } => Ok(own(&key)),
                _ => Err(OwnRefused::Refused(Refusal::Fault)),
            }
        })
        .await
    }

    /// A change goes on when whoever asked for it has hung up: it would else be half done.
    async fn to_the_end<T: Send + 'static, F>(
        &self,
        change: impl FnOnce(Self) -> F + Send + 'static,
    ) -> Result<T, OwnRefused>
    where
        F: Future<Output = Result<T, OwnRefused>> + Send,
    {
        let this = self.clone();
        let changing = tokio::spawn(async move {
            let turn = Arc::clone(&this.turn);
            let _turn = turn.lock().await;
            change(this).await
        });
        changing.await.unwrap_or(Err(OwnRefused::Refused(Refusal::Fault)))
    }

    /// The keys of whoever asks, if the one it asks with may change them.
    async fn changeable(&self, asker: Asker) -> Result<Vec<Key>, OwnRefused> {
        let keys = self.known(asker.service).await?;
        let with = keys.iter().find(|key| Some(key.key) == asker.key).ok_or(OwnRefused::NotHere)?;
        if is_limited(with) { Err(OwnRefused::LimitedKey) } else { Ok(keys) }
    }

    async fn known(&self, service: ServiceId) -> Result<Vec<Key>, OwnRefused> {
        match self.read(Read::Keys { service: Some(service) }).await? {
            Reply::Keys(keys) => Ok(keys),
            _ => Err(OwnRefused::Refused(Refusal::Fault)),
        }
    }

    async fn read(&self, read: Read) -> Result<Reply, OwnRefused> {
        self.administration.carry_out(Request::Read(read)).await.map_err(refused)
    }

    async fn change(&self, change: Change) -> Result<Reply, OwnRefused> {
        self.administration.carry_out(Request::Change(change)).await.map_err(refused)
    }
}

/// Whether a key is good for less than others.
fn is_limited(key: &Key) -> bool {
    key.test || key.expires_at_us.is_some() || key.spend_per_day_mc.is_some() || !key.allow.are_all()
}

fn own(key: &Key) -> OwnKey {
    OwnKey {
        key: key.key,
        label: key.label.to_string(),
        valid: key.valid,
        test: key.test,
        issued_at_us: key.issued_at_us.as_micros(),
        expires_at_us: key.expires_at_us.map(shared::Timestamp::as_micros),
        last_used_at_us: key.last_used_at_us.map(shared::Timestamp::as_micros),
        spend_per_day_mc: key.spend_per_day_mc.map(Millicredits::as_u64),
    }
}

fn refused(refused: Refused) -> OwnRefused {
    match refused {
        Refused::UnknownKey { .. } => OwnRefused::UnknownKey,
        Refused::KeyEnded { .. } => OwnRefused::KeyEnded,
        Refused::Stopping => OwnRefused::Refused(Refusal::Draining),
        Refused::Store(_) => OwnRefused::Refused(Refusal::StoreUnavailable),
        other => {
            error!(error = %other, "a service could not be told of its own");
            OwnRefused::Refused(Refusal::Fault)
        }
    }
}
