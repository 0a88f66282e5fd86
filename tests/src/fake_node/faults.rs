//! What can go wrong with a node.

use std::collections::BTreeMap;
use std::time::Duration;

use shared::Account;
use shared::pow::Root;

/// Faults, all off at the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Faults {
    /// Confirmations are not sent over WebSocket.
    pub drops_confirmations: bool,
    /// Callbacks are not sent.
    pub drops_callbacks: bool,
    /// Every confirmation is sent twice.
    pub repeats: bool,
    /// Confirmations are kept back, and leave in the opposite order once this is switched off.
    pub reorders: bool,
    /// Confirmations leave so much later.
    pub delay: Duration,
    /// Subscriptions are acknowledged as something else.
    pub acknowledges_wrongly: bool,
    /// Connections are taken, and nothing is ever said on them: neither answers, nor acknowledgements, nor pongs.
    pub is_silent: bool,
    /// RPC answers with a text that is no JSON.
    pub babbles: bool,
    /// What it says of the frontiers of accounts instead of the truth: a hash and a height.
    pub lies: BTreeMap<Account, (Root, u64)>,
}
