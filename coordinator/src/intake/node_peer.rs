//! The listener for Nano nodes that have this server among their `work_peers`.

use std::net::SocketAddr;

use bridge::Screened;
use shared::ServiceId;
use tokio::task::JoinHandle;

use super::http::InProcess;
use super::served::Served;
use crate::config::NodePeer;
use crate::coordinator::{Ledger, StartError, listen};

/// A running listener.
#[derive(Debug)]
pub(crate) struct NodePeers {
    address: SocketAddr,
    service: ServiceId,
    served: Served,
}

impl NodePeers {
    /// Opens it, if there is a service that pays.
    ///
    /// # Errors
    /// When there is no such service, or the port is taken.
    pub(crate) async fn start(
        settings: &NodePeer,
        ledger: &Ledger,
        source: &InProcess,
    ) -> Result<Option<Self>, StartError> {
        let Some(service) = settings.service else { return Ok(None) };
        if !ledger.store.services().await?.iter().any(|known| known.service == service) {
            return Err(StartError::NodePeerService { service });
        }
        let (listener, address) = listen(settings.listen, "DPOW_NODE_PEER__LISTEN").await?;
        let allowed = settings.allow.clone();
        let allows = move |address| allowed.iter().any(|prefix| prefix.contains(address));
        let router = bridge::node_peer(source.clone(), service);
        let served = Served::start(Screened { listener, allows }, router, bridge::Settings::default());
        Ok(Some(Self { address, service, served }))
    }

    /// Where nodes ask.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Who pays.
    pub(crate) const fn service(&self) -> ServiceId {
        self.service
    }

    /// Has it stop; the task ends when its connections have.
    pub(crate) fn stop(self) -> JoinHandle<()> {
        self.served.stop()
    }
}
