//! Who a login is: asked of the authenticator, within a time, and not more often than need be.

mod cache;
mod throttle;

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::{Instant, timeout};

use crate::ending::Refused;
use crate::identity::{Authenticator, Identity, Login, LoginRefused};
use crate::limits::Limits;
use crate::metrics::LoginMetrics;
use cache::LoginCache;
pub(crate) use throttle::Account;
use throttle::AccountThrottle;

/// Decides logins.
pub(crate) struct Logins {
    authenticator: Arc<dyn Authenticator>,
    limits: Arc<Limits>,
    metrics: LoginMetrics,
    state: Mutex<State>,
    /// How often somebody has lost a right; see [`Logins::still_hold`].
    revocations: AtomicU64,
}

struct State {
    cache: LoginCache,
    throttle: AccountThrottle,
}

/// A login that was believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decided {
    pub(crate) identity: Identity,
    pub(crate) account: Account,
    revocations: u64,
}

impl Logins {
    pub(crate) fn new(
        authenticator: Arc<dyn Authenticator>,
        limits: Arc<Limits>,
        metrics: LoginMetrics,
    ) -> Self {
        let state = State {
            cache: LoginCache::new(limits.login_cache_ttl),
            throttle: AccountThrottle::new(limits.login_failure_rate_per_account),
        };
        Self { authenticator, limits, metrics, state: Mutex::new(state), revocations: AtomicU64::new(0) }
    }

    /// Decides a login.
    ///
    /// # Errors
    /// Why it is refused.
    pub(crate) async fn decide(&self, login: Login) -> Result<Decided, Refused> {
        // Before the question, so that a right that is lost while it is being answered is noticed.
        let revocations = self.revocations.load(Ordering::Acquire);
        let key = cache::key_of(&login);
        let (remote, account) = (login.remote.ip(), Account::of_user(&login.user));
        let now = Instant::now();
        {
            let state = self.state();
            if let Some(identity) = state.cache.find(&key, now) {
                self.metrics.cached.increment(1);
                return Ok(Decided { identity, account, revocations });
            }
            if !state.throttle.may_try(account, remote, now) {
                return Err(Refused::AccountRate);
            }
        }
        self.metrics.asked.increment(1);
        let answer = timeout(self.limits.authenticate_timeout, self.authenticator.authenticate(login)).await;
        let now = Instant::now();
        let mut state = self.state();
        match answer.unwrap_or(Err(LoginRefused::Unavailable)) {
            Ok(identity) => {
                state.throttle.succeeded(account, remote, now);
                // An answer from before a revocation must not outlive it.
                if self.revocations.load(Ordering::Acquire) == revocations {
                    state.cache.insert(key, identity, now);
                }
                Ok(Decided { identity, account, revocations })
            }
            Err(LoginRefused::BadCredentials) => {
                state.throttle.failed(account, now);
                Err(Refused::BadCredentials)
            }
            Err(LoginRefused::NotAllowed) => Err(Refused::NotAllowed),
            Err(LoginRefused::Unavailable) => Err(Refused::Unavailable),
        }
    }

    /// Whether nobody has lost a right since this login was decided. If somebody has, it may have been this one.
    pub(crate) fn still_hold(&self, decided: &Decided) -> bool {
        self.revocations.load(Ordering::Acquire) == decided.revocations
    }

    /// A session of this account, from this address, has ended: it was no guess.
    pub(crate) fn known(&self, account: Account, remote: IpAddr) {
        self.state().throttle.succeeded(account, remote, Instant::now());
    }

    /// Somebody has lost a right: all answers so far are forgotten, and logins that are being decided have to come again.
    pub(crate) fn revoke(&self) {
        let mut state = self.state();
        self.revocations.fetch_add(1, Ordering::AcqRel);
        state.cache.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
