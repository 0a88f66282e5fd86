//! Frontiers over RPC: one connection for each call, as a node closes it.
//!
//! # Source
//! nanocurrency/nano-node `nano/node/json_handler.cpp`: `accounts_frontiers`, `account_info`.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use hyper::Request;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use marketplace::precache::{Frontier, Sight};
use serde::Deserialize;
use serde_json::{Value, json};
use shared::{Account, Network};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::endpoint::Endpoint;
use super::message::{BadMessage, height, root};

/// How long a call may take, from the connection to the last byte.
const PATIENCE: Duration = Duration::from_secs(20);
/// The longest answer that is read, in bytes.
const ANSWER_MAX: usize = 4 << 20;

/// Why a node has not answered.
#[derive(Debug, Error)]
pub(super) enum RpcError {
    #[error("its RPC cannot be connected to ({0})")]
    Connect(#[source] std::io::Error),
    #[error("its RPC does not answer as HTTP does")]
    Http,
    #[error("its RPC has not answered in time")]
    Silent,
    #[error("what its RPC says is not understood: {0}")]
    Foreign(#[from] BadMessage),
    #[error("its RPC says: {0}")]
    Refused(String),
}

/// Asks one node.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) endpoint: Endpoint,
    network: Network,
}

#[derive(Deserialize)]
struct AccountInfo {
    confirmed_frontier: String,
    confirmed_height: String,
}

impl Client {
    pub(super) fn new(endpoint: Endpoint, network: Network) -> Self {
        Self { endpoint, network }
    }

    /// The last blocks of these accounts, confirmed or not.
    pub(super) async fn frontiers(&self, accounts: &[Account]) -> Result<Vec<Frontier>, RpcError> {
        let names = accounts.iter().map(|account| self.network.format_address(*account));
        let names: Vec<String> = names.collect();
        let answer = self.call(&json!({ "action": "accounts_frontiers", "accounts": names })).await?;
        // A node writes an empty object as an empty text.
        let frontiers = match &answer["frontiers"] {
            Value::Object(frontiers) => frontiers.clone(),
            Value::String(text) if text.is_empty() => serde_json::Map::new(),
            _ => return Err(BadMessage::Field("frontiers").into()),
        };
        let mut known = BTreeMap::new();
        for (name, hash) in &frontiers {
            let account = self.network.parse_address(name).map_err(|_| BadMessage::Field("frontiers"))?;
            let hash = hash.as_str().ok_or(BadMessage::Field("frontiers"))?;
            known.insert(account, root("frontiers", hash)?);
        }
        let sight = Sight::CatchUp;
        let frontier = |account: &Account| Frontier {
            account: *account,
            hash: known.get(account).copied(),
            previous: None,
            height: None,
            sight,
        };
        Ok(accounts.iter().map(frontier).collect())
    }

    /// The last confirmed block of an account, and its height.
    pub(super) async fn confirmed(&self, account: Account) -> Result<Frontier, RpcError> {
        let name = self.network.format_address(account);
        let call = json!({ "action": "account_info", "account": name, "include_confirmed": "true" });
        let nothing = Frontier { account, hash: None, previous: None, height: Some(0), sight: Sight::LookUp };
        let answer = match self.call(&call).await {
            Err(RpcError::Refused(text)) if text == "Account not found" => return Ok(nothing),
            other => other?,
        };
        let info: AccountInfo = serde_json::from_value(answer).map_err(BadMessage::Json)?;
        let height = height(&info.confirmed_height)?;
        if height == 0 {
            return Ok(nothing);
        }
        let hash = Some(root("confirmed_frontier", &info.confirmed_frontier)?);
        Ok(Frontier { hash, height: Some(height), ..nothing })
    }

    async fn call(&self, call: &Value) -> Result<Value, RpcError> {
        let body =
            timeout(PATIENCE, self.exchange(call.to_string())).await.map_err(|_| RpcError::Silent)??;
        let answer: Value = serde_json::from_slice(&body).map_err(BadMessage::Json)?;
        match answer["error"].as_str() {
            Some(error) => Err(RpcError::Refused(error.chars().take(200).collect())),
            None => Ok(answer),
        }
    }

    async fn exchange(&self, body: String) -> Result<Vec<u8>, RpcError> {
        let stream = TcpStream::connect(self.endpoint.authority()).await.map_err(RpcError::Connect)?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|_| RpcError::Http)?;
        // It ends with the exchange.
        let connection = tokio::spawn(connection);
        let request = Request::post(self.endpoint.path.as_str())
            .header(HOST, self.endpoint.authority())
            .header(CONTENT_TYPE, "application/json")
            .body(Body::from(body))
            .map_err(|_| RpcError::Http)?;
        let response = sender.send_request(request).await.map_err(|_| RpcError::Http)?;
        let body = axum::body::to_bytes(Body::new(response.into_body()), ANSWER_MAX).await;
        connection.abort();
        Ok(body.map_err(|_| RpcError::Http)?.to_vec())
    }
}
