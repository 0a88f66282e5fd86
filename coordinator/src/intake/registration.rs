//! Services that make themselves known, where the operator lets them.
//!
//! Always: a name is given to one; so many a day, and so many of one address, whatever is tried at once. How many came today is read
//! from the ledger, so that a restart lets no more come; from which addresses is in memory alone.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use bridge::source::{RegisterRefused, Registered};
use shared::{Millicredits, Refusal, ServiceId, Timestamp, TransferId};
use tokio::sync::Mutex;
use tracing::{error, info};

use super::keys::{KeyTerms, Pepper, issue};
use super::registry::Registry;
use super::throttle::of_one_party;
use crate::administration;
use crate::store::{Bucket, KnownKey, Label, ServiceRecord, Store, StoreError, Verb};

/// The label of the keys of those that have made themselves known.
const LABEL: &str = "of its registration";
/// Names with which somebody could pass for somebody else.
const RESERVED: [&str; 7] = ["admin", "client", "demo", "dpow", "house", "operator", "root"];

/// What an operator allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RegistrationTerms {
    /// What each is given to begin with. What workers earn from it is never paid out.
    pub(crate) granted: Millicredits,
    /// Most services that make themselves known in a day (UTC), from one address.
    pub(crate) per_address: u32,
    /// The same, from all of them.
    pub(crate) per_day: u32,
}

/// Takes services in.
pub(crate) struct Registration {
    terms: RegistrationTerms,
    store: Arc<dyn Store>,
    pepper: Pepper,
    registry: Registry,
    /// Held while one is taken in, so that a name is not given twice.
    today: Mutex<Today>,
}

#[derive(Debug, Default)]
struct Today {
    /// Counted from 1970.
    day: u64,
    /// By where they are from; those of whom it is not known are one party.
    parties: BTreeMap<Option<IpAddr>, u32>,
}

impl Today {
    /// Whether one more may come from there.
    fn has_room(&mut self, terms: RegistrationTerms, from: Option<IpAddr>, now: Timestamp) -> bool {
        let day = now.day();
        if self.day != day {
            *self = Self { day, ..Self::default() };
        }
        self.parties.get(&from).copied().unwrap_or(0) < terms.per_address
    }

    fn count(&mut self, from: Option<IpAddr>) {
        *self.parties.entry(from).or_insert(0) += 1;
    }
}

impl Registration {
    /// On these terms.
    pub(crate) fn new(
        terms: RegistrationTerms,
        store: Arc<dyn Store>,
        pepper: Pepper,
        registry: Registry,
    ) -> Self {
        Self { terms, store, pepper, registry, today: Mutex::default() }
    }

    /// Takes a service in: it gets a key, and credits to begin with.
    ///
    /// # Errors
    /// [`RegisterRefused`].
    pub(crate) async fn register(
        &self,
        service: ServiceId,
        from: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<Registered, RegisterRefused> {
        if RESERVED.contains(&service.as_str()) {
            return Err(RegisterRefused::Taken);
        }
        let party = from.map(of_one_party);
        let mut today = self.today.lock().await;
        if !today.has_room(self.terms, party, now) {
            return Err(RegisterRefused::TooMany);
        }
        let services = self.store.services().await.map_err(|error| away(&error))?;
        let label: Label = LABEL.parse().unwrap_or_default();
        let keys = self.store.keys().await.map_err(|error| away(&error))?;
        if came_on(now.day(), &services, &keys, &label)
            >= usize::try_from(self.terms.per_day).unwrap_or(usize::MAX)
        {
            return Err(RegisterRefused::TooMany);
        }
        if services.iter().any(|known| known.service == service) {
            return Err(RegisterRefused::Taken);
        }
        let fault = |_| RegisterRefused::Refused(Refusal::Fault);
        let key = issue(&self.pepper, service, KeyTerms { label, expires: None }, now).map_err(fault)?;
        let granted = self.terms.granted;
        let mut verbs = vec![Verb::AddService { service, at: now }, Verb::AddKey(key.record.clone())];
        if granted > Millicredits::ZERO {
            let transfer = TransferId::of_cause(&format!("registration of {service}"));
            verbs.push(Verb::Grant { transfer, service, amount: granted, bucket: Bucket::Granted, at: now });
        }
        // Also when the answer is lost: it may have been done.
        today.count(party);
        let answers = self.store.execute(verbs).await.map_err(|error| away(&error))?;
        administration::all_done(&answers).map_err(|refused| {
            error!(error = %refused, service.id = %service, "a service could not be taken in");
            RegisterRefused::Refused(Refusal::Fault)
        })?;
        self.registry.add_key(key.record);
        info!(service.id = %service, client.address = from.map(tracing::field::display), "a service has made itself known");
        Ok(Registered { service, key: key.text.to_string(), granted })
    }
}

/// How many services have made themselves known on a day: they came with a key of this label.
fn came_on(day: u64, services: &[ServiceRecord], keys: &[KnownKey], label: &Label) -> usize {
    let came: BTreeSet<(ServiceId, Timestamp)> = keys
        .iter()
        .filter(|known| known.record.label == *label)
        .map(|known| (known.record.service, known.record.at))
        .collect();
    let came_then =
        |known: &&ServiceRecord| known.at.day() == day && came.contains(&(known.service, known.at));
    services.iter().filter(came_then).count()
}

fn away(error: &StoreError) -> RegisterRefused {
    tracing::warn!(%error, "a service could not be taken in: the ledger cannot be reached");
    RegisterRefused::Refused(Refusal::StoreUnavailable)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use zeroize::Zeroizing;

    use super::*;
    use crate::store::memory::MemoryStore;

    const NOW: Timestamp = Timestamp::from_micros(1_000_000);

    async fn registration(per_address: u32, per_day: u32) -> Registration {
        let (store, pepper) = (Arc::new(MemoryStore::new()), Pepper::new(Zeroizing::new("p".into())));
        let registry = Registry::load(store.as_ref(), pepper.clone()).await.unwrap();
        let terms = RegistrationTerms { granted: Millicredits::new(5000), per_address, per_day };
        Registration::new(terms, store, pepper, registry)
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[tokio::test]
    async fn who_comes_gets_a_key_and_credits_once() {
        let registration = registration(9, 9).await;
        let service = "wallet".parse().unwrap();
        let registered = registration.register(service, Some(address(1)), NOW).await.unwrap();
        assert_eq!((registered.service, registered.granted), (service, Millicredits::new(5000)));
        let proven = registration.registry.prove(&registered.key, None, NOW).unwrap();
        assert_eq!((proven.service, proven.is_test), (service, false));
        let balance = registration.store.balance(service).await.unwrap().unwrap();
        assert_eq!((balance.granted, balance.paid), (Millicredits::new(5000), Millicredits::ZERO));
        for taken in ["wallet", "operator", "house", "demo"] {
            let again = registration.register(taken.parse().unwrap(), Some(address(2)), NOW).await;
            assert!(matches!(again, Err(RegisterRefused::Taken)), "{taken}");
        }
    }

    #[tokio::test]
    async fn a_restart_lets_no_more_come() {
        let before = registration(9, 2).await;
        let next_day = NOW + Duration::from_hours(24);
        for (name, now) in [("a", NOW), ("b", next_day), ("c", next_day)] {
            assert!(before.register(name.parse().unwrap(), Some(address(1)), now).await.is_ok());
        }
        let Registration { terms, store, pepper, registry, .. } = before;
        // Whom the operator has made known is not one of them.
        let own =
            Verb::AddService { service: "own".parse().unwrap(), at: next_day + Duration::from_hours(24) };
        store.execute(vec![own]).await.unwrap();
        let after = Registration::new(terms, store, pepper, registry);
        let third = after.register("d".parse().unwrap(), Some(address(2)), next_day).await;
        assert!(matches!(third, Err(RegisterRefused::TooMany)));
        for (name, is_taken) in [("d", true), ("e", true), ("f", false)] {
            let now = next_day + Duration::from_hours(24);
            let registered = after.register(name.parse().unwrap(), Some(address(2)), now).await;
            assert_eq!(registered.is_ok(), is_taken, "{name}");
        }
    }

    #[tokio::test]
    async fn no_more_come_in_a_day_than_may() {
        let registration = registration(2, 3).await;
        let next_day = NOW + Duration::from_hours(24);
        for (name, from, now, is_taken) in [
            ("a", Some(address(1)), NOW, true),
            ("b", Some(address(1)), NOW, true),
            ("c", Some(address(1)), NOW, false),
            ("c", Some(address(2)), NOW, true),
            ("d", Some(address(3)), NOW, false),
            ("d", Some(address(1)), next_day, true),
            ("e", None, next_day, true),
            ("f", None, next_day, true),
            ("g", None, next_day, false),
        ] {
            let registered = registration.register(name.parse().unwrap(), from, now).await;
            assert_eq!(registered.is_ok(), is_taken, "{name} {from:?}");
            assert!(registered.is_ok() || matches!(registered, Err(RegisterRefused::TooMany)));
        }
    }
}
