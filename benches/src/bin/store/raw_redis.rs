//! Redis alone: the same functions with the same arguments, each caller on a connection of its own, and nothing in between.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::ensure;
use coordinator::store::{Settlement, Verb};
use redis::aio::MultiplexedConnection;
use redis::{Client, Cmd, Value};

use crate::load::Seller;
use crate::sales::{self, PRICE, SERVICE};

/// See the module.
pub(crate) struct RawRedis {
    connections: Vec<MultiplexedConnection>,
    next: AtomicUsize,
    token: String,
}

impl RawRedis {
    /// Connects to the server of a ledger that a store has opened.
    pub(crate) async fn open(url: &str, callers: usize) -> anyhow::Result<Self> {
        let client = Client::open(url)?;
        let mut connections = Vec::new();
        for _ in 0..callers {
            connections.push(client.get_multiplexed_async_connection().await?);
        }
        let find = redis::cmd("HGET").arg("{dpow}:meta").arg("token").clone();
        let token = find.query_async(&mut connections[0]).await?;
        Ok(Self { connections, next: AtomicUsize::new(0), token })
    }

    fn call(&self, function: &str, keys: &[&str]) -> Cmd {
        let mut call = redis::cmd("FCALL");
        call.arg(format!("dpow_1_{function}")).arg(keys.len());
        for key in keys {
            call.arg(format!("{{dpow}}:{key}"));
        }
        call.arg(&self.token).arg(0);
        call
    }

    async fn send(&self, call: Cmd, wanted: &[u8]) -> anyhow::Result<()> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.connections.len();
        let mut connection = self.connections[turn].clone();
        let answer: Value = call.query_async(&mut connection).await?;
        let Value::Array(values) = &answer else { anyhow::bail!("{answer:?}") };
        ensure!(matches!(&values[1], Value::BulkString(word) if word == wanted), "{answer:?}");
        Ok(())
    }
}

impl Seller for RawRedis {
    async fn hold(&self, number: u64) -> anyhow::Result<()> {
        let Verb::Hold { hold, amount, expires, .. } = sales::hold(number)? else { anyhow::bail!("no hold") };
        let keys = ["meta", "services", "parties", "held", "holds", "due", "settled", "grants"];
        let mut call = self.call("hold", &keys);
        call.arg(hold.to_string()).arg(SERVICE).arg(amount.as_u64()).arg(expires.as_micros());
        self.send(call, b"held").await
    }

    async fn settle(&self, number: u64) -> anyhow::Result<()> {
        let Settlement { hold, root, nonce, difficulty, threshold, worker, payee, at, .. } =
            sales::sale(number)?;
        let keys = [
            "meta",
            "parties",
            "held",
            "holds",
            "due",
            "settled",
            "settlements",
            "roots",
            "works",
            "journal",
        ];
        let mut call = self.call("settle", &keys);
        call.arg(hold.to_string()).arg(SERVICE).arg(root.to_string()).arg(nonce.to_string());
        call.arg(difficulty.to_string()).arg(threshold.to_string()).arg(worker.to_string());
        call.arg(payee.to_string()).arg(at.as_micros()).arg(86_400_000_000_u64).arg(0).arg(PRICE);
        call.arg(format!("earning paid:{SERVICE} payable:{payee} 14 fee paid:{SERVICE} house 2"));
        call.arg(format!("resale paid:{SERVICE} house {PRICE}"));
        self.send(call, b"settled").await
    }
}
