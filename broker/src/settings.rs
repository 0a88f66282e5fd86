//! What a gate is started with.

use std::net::{Ipv4Addr, SocketAddr};

use crate::limits::Limits;

/// Settings of a gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateSettings {
    /// Where to listen for MQTT over TCP: 127.0.0.1:1883. Port 0 takes any free one.
    pub listen: SocketAddr,
    /// Where to listen for MQTT over WebSocket: nowhere.
    pub listen_websocket: Option<SocketAddr>,
    /// Whether operators may log in from this machine only, and not over WebSocket, where the
    /// address may be that of a proxy: yes.
    pub operator_loopback_only: bool,
    /// All bounds.
    pub limits: Limits,
}

impl Default for GateSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 1883)),
            listen_websocket: None,
            operator_loopback_only: true,
            limits: Limits::default(),
        }
    }
}
