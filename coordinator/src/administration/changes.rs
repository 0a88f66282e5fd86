//! Changing things: the store first, then the registry, then the sessions. Each change looks first, says whether there is
//! anything to do, and repeated does nothing more.

use std::time::Duration;

use shared::{KeyId, Millicredits, ServiceId, Timestamp};

use super::reply::{Granted, Precache, Reply};
use super::request::{Change, WantedKey};
use super::{Administration, Refused};
use crate::coordinator::OPERATOR_TOKEN;
use crate::intake::keys::KeyTerms;
use crate::intake::operator_token::TokenText;
use crate::store::{
    Addresses, KeyLimits, KeyRecord, LimitedKey, PrecacheTerms, Reason, ServiceState, Verb, WorkerBan,
    WorkerSubject,
};

impl Administration {
    pub(super) async fn change(&self, change: Change) -> Result<Reply, Refused> {
        match change {
            Change::AddService { service, key } => self.add_service(service, key).await,
            Change::SetServiceState { service, state, reason } => {
                self.set_service_state(service, state, reason).await
            }
            Change::SetPrecache { service, terms } => self.set_precache(service, terms).await,
            Change::IssueKey { service, key } => self.issue_key(service, key).await,
            Change::RotateKey { old, overlap_s, key } => self.rotate_key(old, overlap_s, key).await,
            Change::LimitKey { key, spend_per_day_mc: spend_per_day, allow } => {
                self.limit_key(key, spend_per_day, allow).await
            }
            Change::RevokeKey { key } => self.revoke_key(key).await,
            Change::Grant { transfer, service, amount_mc: amount, bucket } => {
                self.view.record(service).await?;
                let at = self.view.now();
                self.execute(vec![Verb::Grant { transfer, service, amount, bucket, at }]).await?;
                let credits = self.view.balance(service).await?.credits;
                Ok(Reply::Granted(Granted { service, amount_mc: amount, bucket, transfer, credits }))
            }
            Change::BanWorker { subject, reason, for_s } => self.ban_worker(subject, reason, for_s).await,
            Change::UnbanWorker { subject } => self.unban_worker(subject).await,
            Change::RotateOperatorToken { token } => self.rotate_operator_token(&token).await,
        }
    }

    async fn add_service(&self, service: ServiceId, key: WantedKey) -> Result<Reply, Refused> {
        let at = self.view.now();
        match self.view.record(service).await {
            // With the same key it is the same request once more.
            Ok(_) => match self.view.key(key.text.key()).await {
                Ok(known) if known.service == service => {}
                Ok(_) | Err(Refused::UnknownKey { .. }) => return Err(Refused::ServiceExists { service }),
                Err(other) => return Err(other),
            },
            Err(Refused::UnknownService { .. }) => {}
            Err(other) => return Err(other),
        }
        let id = key.text.key();
        let add = vec![Verb::AddService { service, at }];
        self.execute([add, self.key_verbs(service, key, at, None).await].concat()).await?;
        self.reload_key(id).await?;
        Ok(Reply::ServiceAdded(self.view.key(id).await?))
    }

    async fn set_service_state(
        &self,
        service: ServiceId,
        state: ServiceState,
        reason: Reason,
    ) -> Result<Reply, Refused> {
        let changed = self.view.record(service).await?.state != state;
        let at = self.view.now();
        self.execute(vec![Verb::SetServiceState { service, state, reason, at }]).await?;
        self.registry.set_state(service, state);
        if let Some(live) = &self.view.live {
            live.service_state_set(service, state).await?;
        }
        Ok(Reply::ServiceStateSet { service: self.view.service(service).await?, changed })
    }

    async fn set_precache(&self, service: ServiceId, terms: Option<PrecacheTerms>) -> Result<Reply, Refused> {
        self.view.record(service).await?;
        let before = self.view.store.precache_terms().await?;
        let before = before.iter().find(|(of, _)| *of == service).map(|(_, terms)| *terms);
        self.execute(vec![Verb::SetPrecache { service, terms }]).await?;
        if let Some(live) = &self.view.live {
            live.precache_set(service, terms).await?;
        }
        Ok(Reply::PrecacheSet(Precache {
            service,
            budget_per_day_mc: terms.map(|terms| terms.budget_per_day),
            in_flight_max: terms.map(|terms| terms.in_flight_max),
            changed: before != terms,
        }))
    }

    async fn issue_key(&self, service: ServiceId, key: WantedKey) -> Result<Reply, Refused> {
        self.view.record(service).await?;
        let id = key.text.key();
        self.execute(self.key_verbs(service, key, self.view.now(), None).await).await?;
        self.reload_key(id).await?;
        Ok(Reply::KeyIssued(self.view.key(id).await?))
    }

    async fn rotate_key(&self, old: KeyId, overlap_s: u64, key: WantedKey) -> Result<Reply, Refused> {
        let known = self.view.key(old).await?;
        let is_repeated = self.view.key(key.text.key()).await.is_ok();
        if !known.valid && !is_repeated {
            return Err(Refused::KeyEnded { key: old, service: known.service });
        }
        let at = self.view.now();
        if known.test != key.text.is_test() {
            return Err(Refused::OtherKindOfKey { key: old });
        }
        let key = WantedKey { label: key.label.or(Some(known.label)), ..key };
        let (service, new) = (known.service, key.text.key());
        let ends = at + Duration::from_secs(overlap_s);
        let end = vec![Verb::ExpireKey { key: old, at: ends }];
        self.execute([self.key_verbs(service, key, at, Some(old)).await, end].concat()).await?;
        self.reload_key(new).await?;
        self.registry.expire_key(old, ends);
        Ok(Reply::KeyRotated { new: self.view.key(new).await?, old: self.view.key(old).await? })
    }

    async fn limit_key(
        &self,
        key: KeyId,
        spend_per_day: Option<Millicredits>,
        allow: Addresses,
    ) -> Result<Reply, Refused> {
        let known = self.view.key(key).await?;
        let limits = KeyLimits { is_test: known.test, spend_per_day, allow };
        let limited = LimitedKey { key, service: known.service, limits: limits.clone() };
        self.execute(vec![Verb::LimitKey(limited)]).await?;
        self.registry.limit_key(key, limits);
        if let Some(live) = &self.view.live {
            live.key_revoked(key).await?;
        }
        Ok(Reply::KeyLimited(self.view.key(key).await?))
    }

    async fn revoke_key(&self, key: KeyId) -> Result<Reply, Refused> {
        let changed = self.view.key(key).await?.valid;
        let at = self.view.now();
        self.execute(vec![Verb::ExpireKey { key, at }]).await?;
        self.registry.expire_key(key, at);
        if let Some(live) = &self.view.live {
            live.key_revoked(key).await?;
        }
        Ok(Reply::KeyRevoked { key: self.view.key(key).await?, changed })
    }

    /// Lets the registry know a key as the store has it: one that is asked for again is not prolonged.
    async fn reload_key(&self, key: KeyId) -> Result<(), Refused> {
        let known = self.view.store.keys().await?.into_iter().find(|known| known.record.key == key);
        let known = known.ok_or(Refused::Fault("a key that was just added is not there"))?;
        let limits = self.view.store.key_limits().await?.into_iter().find(|limited| limited.key == key);
        if let Some(limited) = limits {
            self.registry.limit_key(key, limited.limits);
        }
        self.registry.add_key(known.record);
        Ok(())
    }

    /// What adds a key: first what it may be used for, so that it is never good for more. A key that is there already is not limited
    /// anew: that may have been changed since.
    async fn key_verbs(
        &self,
        service: ServiceId,
        key: WantedKey,
        at: Timestamp,
        predecessor: Option<KeyId>,
    ) -> Vec<Verb> {
        let id = key.text.key();
        let before = predecessor.map(|key| self.registry.limits(key)).unwrap_or_default();
        let limits = KeyLimits {
            is_test: key.text.is_test(),
            spend_per_day: key.spend_per_day_mc.or(before.spend_per_day),
            allow: key.allow.clone().unwrap_or(before.allow),
        };
        let is_limited = limits != KeyLimits::default() && self.view.key(id).await.is_err();
        let limit = is_limited.then_some(Verb::LimitKey(LimitedKey { key: id, service, limits }));
        let add = Verb::AddKey(self.key_record(service, key, at));
        limit.into_iter().chain([add]).collect()
    }

    fn key_record(&self, service: ServiceId, key: WantedKey, at: Timestamp) -> KeyRecord {
        let expires = key.expires_s.map(|seconds| at + Duration::from_secs(seconds));
        key.text.record(&self.pepper, service, KeyTerms { label: key.label.unwrap_or_default(), expires }, at)
    }

    async fn ban_worker(
        &self,
        subject: WorkerSubject,
        reason: Reason,
        for_s: Option<u64>,
    ) -> Result<Reply, Refused> {
        let at = self.view.now();
        let until = for_s.map(|seconds| at + Duration::from_secs(seconds));
        let ban = WorkerBan { subject, reason, at, until };
        self.execute(vec![Verb::BanWorker(ban.clone())]).await?;
        self.registry.ban(&ban);
        if let Some(live) = &self.view.live {
            live.worker_banned(subject).await?;
        }
        Ok(Reply::WorkerBanned(self.view.ban_of(ban)))
    }

    async fn unban_worker(&self, subject: WorkerSubject) -> Result<Reply, Refused> {
        let changed = self.view.bans().await?.iter().any(|ban| ban.subject == subject && ban.holds);
        self.execute(vec![Verb::UnbanWorker { subject }]).await?;
        self.registry.unban(subject);
        Ok(Reply::WorkerUnbanned { subject, changed })
    }

    async fn rotate_operator_token(&self, token: &TokenText) -> Result<Reply, Refused> {
        if self.view.live.as_ref().is_some_and(|live| live.operator_token.is_configured()) {
            return Err(Refused::TokenConfigured);
        }
        self.home.write_secret(OPERATOR_TOKEN, token.as_str())?;
        if let Some(live) = &self.view.live {
            live.operator_token_rotated(token).await?;
        }
        Ok(Reply::OperatorTokenRotated)
    }
}
