//! What stands before the market: how much it takes at once, how fast services may ask, who answers their tests, who is not listened to, and who is new.

use std::fmt;
use std::sync::Arc;

use super::congestion::Congestion;
use super::rates::Rates;
use super::registration::Registration;
use super::throttle::Throttle;
use crate::clock::Clock;
use crate::config::Settings;
use crate::coordinator::Ledger;
use crate::practice::Practice;

/// Wrong keys from one address, in a minute, that are answered as what they are.
const WRONG_KEYS_MAX: u32 = 10;

/// See the module. All clones are one.
#[derive(Clone)]
pub(crate) struct Admission {
    /// Whether the market has as much to do as it takes.
    pub(crate) congestion: Congestion,
    /// How fast services may ask.
    pub(crate) rates: Arc<Rates>,
    /// Who answers what is asked with keys for tests.
    pub(crate) practice: Practice,
    /// Who has shown wrong keys.
    pub(crate) guesses: Arc<Throttle>,
    /// Takes services in, where they make themselves known.
    pub(crate) registration: Option<Arc<Registration>>,
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission").field("congestion", &self.congestion).finish_non_exhaustive()
    }
}

impl Admission {
    /// As the settings say.
    pub(crate) fn new(settings: &Settings, ledger: &Ledger, clock: Clock) -> Self {
        let registration = settings.registration().map(|terms| {
            let (store, pepper) = (Arc::clone(&ledger.store), ledger.pepper.clone());
            Arc::new(Registration::new(terms, store, pepper, ledger.registry.clone()))
        });
        Self {
            congestion: Congestion::new(clock),
            rates: Arc::new(Rates::new(settings.limits.rate(), clock)),
            practice: Practice::new(settings.network),
            guesses: Arc::new(Throttle::new(WRONG_KEYS_MAX, settings.mqtt.trusted_prefixes.clone())),
            registration,
        }
    }
}
