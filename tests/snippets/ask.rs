//! What `docs/services.md` shows of the crate `client`.

use client::{Client, Settings};
use shared::network::BlockKind;
use shared::pow::{Nonce, Root};
use shared::protocol::{ServiceDemand, ServiceRequest};
use shared::{Network, RequestId};

/// `server` is such as `mqtt://127.0.0.1:1883`.
pub async fn ask(server: &str, key: String, network: Network) -> Result<Nonce, Box<dyn std::error::Error>> {
    let service = "my-wallet".parse()?;
    let client = Client::start(Settings { server: server.parse()?, service, key: key.into(), network });
    let request = ServiceRequest {
        // A name of your own: asked again under the same name, it is never paid for twice.
        request: RequestId::from_u128(0x0123_4567_89ab_cdef),
        root: Root::new([0x44; 32]),
        demand: ServiceDemand::Subtype(BlockKind::Receive),
        account: None,
        timeout_ms: Some(30_000),
        class: None,
    };
    Ok(client.ask(request).await?.work.nonce())
}
