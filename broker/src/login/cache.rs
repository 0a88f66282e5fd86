//! Answers of the authenticator that are still fresh, so that a storm of reconnecting clients does not ask it all over again.

use std::time::Duration;

use blake2::digest::consts::U32;
use blake2::{Blake2b, Digest};
use tokio::time::Instant;

use crate::bounded::BoundedMap;
use crate::identity::{Identity, Login};

/// Answers that are kept at most. Further ones are asked for each time.
const ENTRIES_MAX: usize = 16 * 1024;

/// What stands for a login: a hash, so that no secret is kept.
pub(super) type LoginKey = [u8; 32];

/// Good answers by login. Bad ones are not kept: they would let strangers fill it.
#[derive(Debug)]
pub(super) struct LoginCache {
    ttl: Duration,
    entries: BoundedMap<LoginKey, (Identity, Instant)>,
}

/// Hashes everything that the answer depends on, each with its length in front.
pub(super) fn key_of(login: &Login) -> LoginKey {
    let remote = login.remote.ip().to_canonical().to_string();
    let mut hash = Blake2b::<U32>::new();
    for field in [&login.user, &login.password, &login.client_id, &remote] {
        hash.update((field.len() as u64).to_le_bytes());
        hash.update(field);
    }
    hash.finalize().into()
}

impl LoginCache {
    pub(super) fn new(ttl: Duration) -> Self {
        Self { ttl, entries: BoundedMap::new(ENTRIES_MAX) }
    }

    /// The answer to this login, if it is fresh.
    pub(super) fn find(&self, key: &LoginKey, now: Instant) -> Option<Identity> {
        self.entries.get(key).filter(|(_, until)| now < *until).map(|(identity, _)| *identity)
    }

    pub(super) fn insert(&mut self, key: LoginKey, identity: Identity, now: Instant) {
        let answer = (identity, now + self.ttl);
        if let Some(entry) = self.entries.entry(key, now, |(_, until)| *until <= now, || answer) {
            *entry = answer;
        }
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(user: &str, password: &str, client_id: &str, remote: &str) -> Login {
        Login {
            user: user.into(),
            password: password.into(),
            client_id: client_id.into(),
            remote: remote.parse().unwrap(),
        }
    }

    #[test]
    fn an_answer_is_for_one_login_from_one_address() {
        let keys = [
            login("user", "secret", "id", "192.0.2.1:1"),
            login("user", "secre", "tid", "192.0.2.1:1"),
            login("use", "rsecret", "id", "192.0.2.1:1"),
            login("user", "secret", "id", "192.0.2.2:1"),
            login("user", "Secret", "id", "192.0.2.1:1"),
        ]
        .map(|login| key_of(&login));
        let mut cache = LoginCache::new(Duration::from_secs(5));
        let now = Instant::now();
        cache.insert(keys[0], Identity::Operator, now);
        assert_eq!(key_of(&login("user", "secret", "id", "192.0.2.1:2")), keys[0], "from any port");
        let found = keys.map(|key| cache.find(&key, now).is_some());
        assert_eq!(found, [true, false, false, false, false]);
        assert_eq!(cache.find(&keys[0], now + Duration::from_secs(5)), None);
        cache.clear();
        assert_eq!(cache.find(&keys[0], now), None);
    }
}
