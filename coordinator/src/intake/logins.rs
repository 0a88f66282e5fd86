//! Who a client of the gate is.

use std::net::SocketAddr;

use broker::identity::{Authenticator, Identity, Login, LoginAnswer, LoginRefused};
use data_encoding::HEXLOWER;
use shared::{Network, Payee, ServiceId, Timestamp, WorkerId};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

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
    operator_token: Zeroizing<String>,
    /// The built-in worker, if there is one.
    house: Option<WorkerId>,
}

impl Logins {
    /// Decides by this registry and this token.
    pub(crate) const fn new(
        network: Network,
        registry: Registry,
        clock: Clock,
        operator_token: Zeroizing<String>,
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
                (Ok(service), _) => self.service(service, &login.password, now),
                (_, Ok(account)) => self.worker(worker_id(login)?, Payee::Account(account), now),
                _ => Err(LoginRefused::BadCredentials),
            },
        }
    }

    fn operator(&self, token: &str, remote: SocketAddr) -> Result<Identity, LoginRefused> {
        if !remote.ip().is_loopback() {
            return Err(LoginRefused::NotAllowed);
        }
        let is_equal = bool::from(token.as_bytes().ct_eq(self.operator_token.as_bytes()));
        is_equal.then_some(Identity::Operator).ok_or(LoginRefused::BadCredentials)
    }

    /// A worker that has proven its id.
    fn worker(&self, worker: WorkerId, payee: Payee, now: Timestamp) -> Result<Identity, LoginRefused> {
        let is_banned = self.registry.is_banned(worker, payee, now);
        if is_banned { Err(LoginRefused::NotAllowed) } else { Ok(Identity::Worker { worker, payee }) }
    }

    fn service(&self, service: ServiceId, key: &str, now: Timestamp) -> Result<Identity, LoginRefused> {
        // Another service's key is a wrong one, and not in use here.
        let proven = self.registry.prove(key, now).filter(|proven| proven.service == service);
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
    use shared::Timestamp;

    use super::super::keys::{Pepper, issue};
    use super::*;

    const ADDRESS: &str = "nano_3t6k35gi95xu6tergt6p69ck76ogmitsa8mnijtpxm9fkcm736xtoncuohr3";

    fn login(user: &str, password: &str, client_id: &str, remote: &str) -> Login {
        Login {
            user: user.into(),
            password: password.into(),
            client_id: client_id.into(),
            remote: remote.parse().unwrap(),
        }
    }

    #[test]
    fn each_login_is_who_it_can_prove_to_be() {
        let (wallet, secret, house) = ("wallet".parse().unwrap(), "0a".repeat(32), "08".repeat(32));
        let (id, house_id) = (WorkerId::of_secret(&[10; 32]), WorkerId::of_secret(&[8; 32]));
        let pepper = Pepper::new(Zeroizing::new("p".into()));
        let key = issue(&pepper, wallet, Timestamp::default()).unwrap();
        let keys = Arc::new(RwLock::new(Keys::new(pepper, vec![key.record])));
        let logins = Logins::new(Network::Live, keys, Zeroizing::new("token".into()), Some(house_id));
        let (here, there) = ("127.0.0.1:5", "192.0.2.1:5");
        let worker = Identity::Worker { worker: id, payee: Payee::Account(ADDRESS.parse().unwrap()) };
        let old_address = ADDRESS.replace("nano_", "xrb_");
        let banano = ADDRESS.replace("nano_", "ban_");
        let bad = Err(LoginRefused::BadCredentials);
        for (login, expected) in [
            (login(ADDRESS, &secret, &id.to_string(), there), Ok(worker)),
            (login(&old_address, &secret, &id.to_string(), there), Ok(worker)),
            (login(&banano, &secret, &id.to_string(), there), bad),
            (login(ADDRESS, &secret, &house_id.to_string(), there), bad),
            (login(ADDRESS, &secret.to_uppercase(), &id.to_string(), there), bad),
            (login(ADDRESS, "07", &id.to_string(), there), bad),
            (login(ADDRESS, &"zz".repeat(32), &id.to_string(), there), bad),
            (login(&ADDRESS.replace('3', "1"), &secret, &id.to_string(), there), bad),
            (
                login("house", &house, &house_id.to_string(), here),
                Ok(Identity::Worker { worker: house_id, payee: Payee::House }),
            ),
            (login("house", &secret, &id.to_string(), here), Err(LoginRefused::NotAllowed)),
            (login("wallet", &key.text, "any", there), Ok(Identity::Service { service: wallet })),
            (login("exchange", &key.text, "any", there), bad),
            (login("wallet", "", "any", there), bad),
            (login("operator", "token", "any", here), Ok(Identity::Operator)),
            (login("operator", "token", "any", there), Err(LoginRefused::NotAllowed)),
            (login("operator", "tokem", "any", here), bad),
            (login("", "", "", here), bad),
        ] {
            assert_eq!(logins.decide(&login), expected, "{}", login.user);
        }
    }
}
