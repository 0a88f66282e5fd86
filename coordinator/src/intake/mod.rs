//! The ways in: who may ask, and how what they say becomes an input of the market.

pub(crate) mod admission;
pub(crate) mod congestion;
pub(crate) mod http;
pub(crate) mod keys;
pub(crate) mod logins;
pub(crate) mod mqtt;
pub(crate) mod node_peer;
pub(crate) mod operator_token;
pub(crate) mod own;
pub(crate) mod rates;
pub(crate) mod registration;
pub(crate) mod registry;
pub(crate) mod served;
pub(crate) mod throttle;
pub(crate) mod websocket;
