//! What operators ask of a network, and how it is carried out: the same by a running server, whom they reach over a socket, and
//! without one in the command's own process.
//!
//! | file | what |
//! |---|---|
//! | `request`, `reply`, `refused` | what is asked, answered and refused, as JSON |
//! | `view` | looks at things |
//! | `changes` | changes things: the store first, then the registry, then the sessions |
//! | `live` | what only a running server knows and does |
//! | `server`, `socket` | the server's side: HTTP over a Unix socket and over TCP |
//! | `client`, `way` | the command's side: whom it asks |
//!
//! Always: a request that was sent twice, because nobody knew whether it had arrived, is carried out once. A change, once it is
//! begun, is carried out to its end even when whoever asked has hung up.

mod changes;
mod client;
mod live;
pub(crate) mod refused;
pub(crate) mod reply;
pub(crate) mod request;
mod server;
mod similar;
mod socket;
#[cfg(test)]
mod tests;
mod view;
mod way;

use std::sync::Arc;

use shared::Network;
use tokio::sync::Mutex;

use crate::clock::Clock;
use crate::coordinator::Ledger;
use crate::home::Home;
use crate::intake::keys::Pepper;
use crate::intake::operator_token::OperatorToken;
use crate::intake::registry::Registry;
use crate::store::{Answer, Verb};

pub(crate) use live::Live;
pub(crate) use refused::Refused;
pub(crate) use reply::Reply;
pub(crate) use request::{Change, Read, Request};
pub(crate) use server::AdminServer;
pub(crate) use socket::SOCKET;
use view::View;
pub(crate) use way::{Destination, Token, WayError};

/// Carries out what operators ask for.
#[derive(Debug)]
pub(crate) struct Administration {
    view: View,
    registry: Registry,
    pepper: Pepper,
    home: Arc<Home>,
    /// Changes are carried out one at a time: each looks before it writes.
    turn: Mutex<()>,
}

impl Administration {
    /// On an open ledger; with `live` in a running server.
    pub(crate) fn new(
        network: Network,
        home: Arc<Home>,
        ledger: &Ledger,
        clock: Clock,
        live: Option<Live>,
    ) -> Self {
        let (store, registry) = (Arc::clone(&ledger.store), Some(ledger.registry.clone()));
        let view = View { network, clock, store, place: ledger.place.clone(), live, registry };
        Self {
            view,
            registry: ledger.registry.clone(),
            pepper: ledger.pepper.clone(),
            home,
            turn: Mutex::new(()),
        }
    }

    /// Which network this is.
    pub(crate) const fn network(&self) -> Network {
        self.view.network
    }

    /// What opens it over TCP; a server has it.
    fn operator_token(&self) -> Option<Arc<OperatorToken>> {
        self.view.live.as_ref().map(|live| Arc::clone(&live.operator_token))
    }

    /// Carries out a request.
    ///
    /// # Errors
    /// [`Refused`].
    pub(crate) async fn carry_out(&self, request: Request) -> Result<Reply, Refused> {
        match request {
            Request::Read(read) => self.view.read(read).await,
            Request::Change(change) => {
                let _turn = self.turn.lock().await;
                self.change(change).await
            }
        }
    }

    async fn execute(&self, verbs: Vec<Verb>) -> Result<(), Refused> {
        all_done(&self.view.store.execute(verbs).await?)
    }
}

/// Demands that every registration and grant was taken, now or earlier.
///
/// # Errors
/// The first refusal.
pub(crate) fn all_done(answers: &[Answer]) -> Result<(), Refused> {
    for answer in answers {
        match answer {
            Answer::Done => {}
            Answer::Refused(why) => return Err((*why).into()),
            other => {
                tracing::error!(ledger.answer = ?other, "the ledger gave an answer that does not belong to its verb");
                return Err(Refused::Fault("the ledger gave an answer that does not belong to its verb"));
            }
        }
    }
    Ok(())
}
