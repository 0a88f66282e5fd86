//! The market as it is when the coordinator starts, with what the ledger has kept.

use std::io;
use std::net::SocketAddr;

use marketplace::limits::{SETTLED_MAX, WORK_KEPT};
use marketplace::precache::{Frontier, PrecacheStart, Precached};
use marketplace::{Found, Marketplace, Policy, Start};
use shared::Timestamp;
use shared::pow::{Threshold, Work};
use tokio::sync::mpsc;

use super::{Ledger, StartError, listen_error};
use crate::clock::Clock;
use crate::config::Settings;
use crate::entropy;
use crate::node::{NodeSettings, Nodes, Watchlist};
use crate::store::{SettledWork, Store, StoreError};

/// The market with what is kept, and what listens to nodes for it.
pub(super) async fn start(
    settings: &Settings,
    ledger: &Ledger,
    clock: Clock,
) -> Result<(Marketplace, Nodes, mpsc::Receiver<Frontier>), StartError> {
    let (policy, instance) = (settings.policy()?, u64::from_be_bytes(entropy::bytes()?));
    let market = Marketplace::new(start_of(ledger.store.as_ref(), clock.now(), instance, policy).await?);
    let (watchlist, nodes) = (Watchlist::new(market.watched_accounts()), settings.nodes());
    let started = Nodes::start(&nodes, watchlist, clock).await;
    let (nodes, frontiers) = started.map_err(|source| node_listen_error(&nodes, source))?;
    Ok((market, nodes, frontiers))
}

fn node_listen_error(settings: &NodeSettings, source: io::Error) -> StartError {
    let listen = settings.callback.as_ref().map_or(SocketAddr::from(([0; 4], 0)), |(address, _)| *address);
    listen_error(listen, "DPOW_NODE__CALLBACK_LISTEN")(source)
}

/// What the market begins with: the works that were settled lately, so that asking again stays free after a restart, the accounts
/// that were watched, and what was spent today of what is bounded by the day.
async fn start_of(
    store: &dyn Store,
    now: Timestamp,
    instance: u64,
    policy: Policy,
) -> Result<Start, StoreError> {
    let works = store.settled_since(now - WORK_KEPT, SETTLED_MAX).await?;
    let precached = works.iter().filter(|work| work.hold.is_precache()).map(|work| {
        let SettledWork { service, root, at, .. } = *work;
        Precached { service, root, at }
    });
    let precache = PrecacheStart {
        terms: store.precache_terms().await?,
        watches: store.watches().await?,
        settled: precached.collect(),
    };
    let settled = works.iter().filter_map(|work| Some((work.service, found(work)?, work.at)));
    let (settled, spent) = (settled.collect(), store.spent().await?);
    Ok(Start { instance, policy, now, settled, precache, spent })
}

/// The work of a settlement. It was verified before it was settled; hashing it again is what makes it work here.
fn found(settled: &SettledWork) -> Option<Found> {
    let work = Work::verify(settled.root, settled.nonce, Threshold::new(0))?;
    Some(Found { work, worker: settled.worker, payee: settled.payee })
}
