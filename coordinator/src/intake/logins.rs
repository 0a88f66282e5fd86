//! Who a client of the gate is.

use std::net::SocketAddr;
use std::sync::Arc;

use broker::identity::{Authenticator, Identity, Login, LoginAnswer, LoginRefused};
use data_encoding::HEXLOWER;
use shared::{Network, Payee, ServiceId, Timestamp, WorkerId};
use zeroize::Zeroizing;

use super::operator_token::OperatorToken;
use super::registry::Registry;
use crate::clock::Clock;

/// The user name of the built-in worker, whose earnings are never paid out.
const HOUSE: &str = "house";
/// The user name of operators.
const OPERATOR: &str = "operator";

/// Decides logins.
pub(crate) struct Logins {
    network: Network,
    registry: Registry,
    clock: Clock,
    operator_token: Arc<OperatorToken>,
    /// The built-in worker, if there is one.
    house: Option<WorkerId>,
}

impl Logins {
    /// Decides by this registry and this token.
    pub(crate) const fn new(
        network: Network,
        registry: Registry,
        clock: Clock,
        operator_token: Arc<OperatorToken>,
        house: Option<WorkerId>,
    ) -> Self {
        Self { network, registry, clock, operator_token, house }
    }

    fn decide(&self, login: &Login, now: Timestamp) -> Result<Identity, LoginRefused> {
        match login.user.as_str() {
            OPERATOR => self.operator(&login.password, login.remote),
            HOUSE => {
                let worker = worker_id(login)?;
                if self.house != Some(worker) {
                    return Err(LoginRefused::NotAllowed);
                }
                self.worker(worker, Payee::House, now)
            }
            user => match (user.parse::<ServiceId>(), self.network.parse_address(user)) {
                (Ok(service), _) => self.service(service, login, now),
                (_, Ok(account)) => self.worker(worker_id(login)?, Payee::Account(account), now),
                _ => Err(LoginRefused::BadCredentials),
            },
        }
    }

    fn operator(&self, token: &str, remote: SocketAddr) -> Result<Identity, LoginRefused> {
        if !remote.ip().is_loopback() {
            return Err(LoginRefused::NotAllowed);
        }
        self.operator_token.is(token).then_some(Identity::Operator).ok_or(LoginRefused::BadCredentials)
    }

    /// A worker that has proven its id.
    fn worker(&self, worker: WorkerId, payee: Payee, now: Timestamp) -> Result<Identity, LoginRefused> {
        let is_banned = self.registry.is_banned(worker, payee, now);
        if is_banned { Err(LoginRefused::NotAllowed) } else { Ok(Identity::Worker { worker, payee }) }
    }

    fn service(&self, service: ServiceId, login: &Login, now: Timestamp) -> Result<Identity, LoginRefused> {
        // Another service's key is a wrong one, and not in use here.
        let from = Some(login.remote.ip().to_canonical());
        let proven =
            self.registry.prove(&login.password, from, now).filter(|proven| proven.service == service);
        let proven = proven.ok_or(LoginRefused::BadCredentials)?;
        let identity = Identity::Service { service, key: proven.key };
        if self.registry.lets_in(proven, now) { Ok(identity) } else { Err(LoginRefused::NotAllowed) }
    }
}

/// The id of the secret that a worker gave as its password, if its client id says the same.
fn worker_id(login: &Login) -> Result<WorkerId, LoginRefused> {
    let mut secret = Zeroizing::new([0; 32]);
    if login.password.len() != 64 {
        return Err(LoginRefused::BadCredentials);
    }
    HEXLOWER
        .decode_mut(login.password.as_bytes(), secret.as_mut_slice())
        .map_err(|_| LoginRefused::BadCredentials)?;
    let worker = WorkerId::of_secret(&secret);
    (login.client_id.parse() == Ok(worker)).then_some(worker).ok_or(LoginRefused::BadCredentials)
}

impl Authenticator for Logins {
    fn authenticate(&self, login: Login) -> LoginAnswer<'_> {
        Box::pin(async move { self.decide(&login, self.clock.now()) })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::keys::{KeyTerms, NewKey, Pepper, issue};
    use super::*;
    use crate::store::memory::MemoryStore;
    use crate::store::{ServiceState, WorkerBan, WorkerSubject};

    const ADDRESS: &str = "nano_3t6k35gi95xu6tergt6p69ck76ogmitsa8mnijtpxm9fkcm736xtoncuohr3";
    const HERE: &str = "127.0.0.1:5";
    const THERE: &str = "192.0.2.1:5";
    const NOW: Timestamp = Timestamp::from_micros(1_000_000);

    fn login(user: &str, password: &str, client_id: &str, remote: &str) -> Login {
        Login {
            user: user.into(),
            password: password.into(),
            client_id: client_id.into(),
            remote: remote.parse().unwrap(),
        }
    }

    fn wallet() -> ServiceId {
        "wallet".parse().unwrap()
    }

    /// Decides by one key of the service `wallet`, and the built-in worker with the secret of eights.
    async fn logins() -> (Logins, Registry, NewKey) {
        let pepper = Pepper::new(Zeroizing::new("p".into()));
        let key = issue(&pepper, wallet(), KeyTerms::default(), NOW).unwrap();
        let registry = Registry::load(&MemoryStore::new(), pepper).await.unwrap();
        registry.add_key(key.record.clone());
        let token = Arc::new(OperatorToken::new(Zeroizing::new("token".into())));
        let house = Some(WorkerId::of_secret(&[8; 32]));
        (Logins::new(Network::Live, registry.clone(), Clock::start(), token, house), registry, key)
    }

    #[tokio::test]
    async fn each_login_is_who_it_can_prove_to_be() {
        let (logins, _, key) = logins().await;
        let (secret, house) = ("0a".repeat(32), "08".repeat(32));
        let (id, house_id) = (WorkerId::of_secret(&[10; 32]), WorkerId::of_secret(&[8; 32]));
        let worker = Identity::Worker { worker: id, payee: Payee::Account(ADDRESS.parse().unwrap()) };
        let service = Identity::Service { service: wallet(), key: key.record.key };
        let old_address = ADDRESS.replace("nano_", "xrb_");
        let banano = ADDRESS.replace("nano_", "ban_");
        let bad = Err(LoginRefused::BadCredentials);
        for (login, expected) in [
            (login(ADDRESS, &secret, &id.to_string(), THERE), Ok(worker)),
            (login(&old_address, &secret, &id.to_string(), THERE), Ok(worker)),
            (login(&banano, &secret, &id.to_string(), THERE), bad),
            (login(ADDRESS, &secret, &house_id.to_string(), THERE), bad),
            (login(ADDRESS, &secret.to_uppercase(), &id.to_string(), THERE), bad),
            (login(ADDRESS, "07", &id.to_string(), THERE), bad),
            (login(ADDRESS, &"zz".repeat(32), &id.to_string(), THERE), bad),
            (login(&ADDRESS.replace('3', "1"), &secret, &id.to_string(), THERE), bad),
            (
                login("house", &house, &house_id.to_string(), HERE),
                Ok(Identity::Worker { worker: house_id, payee: Payee::House }),
            ),
            (login("house", &secret, &id.to_string(), HERE), Err(LoginRefused::NotAllowed)),
            (login("wallet", &key.text, "any", THERE), Ok(service)),
            (login("exchange", &key.text, "any", THERE), bad),
            (login("wallet", "", "any", THERE), bad),
            (login("operator", "token", "any", HERE), Ok(Identity::Operator)),
            (login("operator", "token", "any", THERE), Err(LoginRefused::NotAllowed)),
            (login("operator", "tokem", "any", HERE), bad),
            (login("", "", "", HERE), bad),
        ] {
            assert_eq!(logins.decide(&login, NOW), expected, "{}", login.user);
        }
    }

    #[tokio::test]
    async fn whoever_is_shut_out_is_told_so_only_after_proving_who_it_is() {
        let (logins, registry, key) = logins().await;
        let (good, bad) = (login("wallet", &key.text, "any", THERE), login("wallet", "no key", "any", THERE));
        for (state, is_allowed) in
            [(ServiceState::Suspended, false), (ServiceState::Banned, false), (ServiceState::Active, true)]
        {
            registry.set_state(wallet(), state);
            let expected = Identity::Service { service: wallet(), key: key.record.key };
            let expected = if is_allowed { Ok(expected) } else { Err(LoginRefused::NotAllowed) };
            assert_eq!(logins.decide(&good, NOW), expected, "{state}");
            assert_eq!(logins.decide(&bad, NOW), Err(LoginRefused::BadCredentials), "{state}");
        }
        registry.expire_key(key.record.key, NOW + Duration::from_secs(1));
        assert!(logins.decide(&good, NOW).is_ok());
        let refused = logins.decide(&good, NOW + Duration::from_secs(1));
        assert_eq!(refused, Err(LoginRefused::BadCredentials));

        let (id, account) = (WorkerId::of_secret(&[10; 32]), ADDRESS.parse().unwrap());
        let worker = login(ADDRESS, &"0a".repeat(32), &id.to_string(), THERE);
        let stranger = login(ADDRESS, &"0b".repeat(32), &id.to_string(), THERE);
        for subject in [WorkerSubject::Worker(id), WorkerSubject::Account(account)] {
            let reason = "test".parse().unwrap();
            let until = NOW + Duration::from_secs(1);
            registry.ban(&WorkerBan { subject, reason, at: NOW, until: Some(until) });
            assert_eq!(logins.decide(&worker, NOW), Err(LoginRefused::NotAllowed));
            assert_eq!(logins.decide(&stranger, NOW), Err(LoginRefused::BadCredentials));
            assert!(logins.decide(&worker, until).is_ok(), "a ban ends by itself");
            registry.unban(subject);
            assert!(logins.decide(&worker, NOW).is_ok());
        }
    }
}
