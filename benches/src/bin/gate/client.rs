//! How the load logs in. The gate believes everybody here, so one name does for all workers.

use std::io;
use std::net::SocketAddr;

use benches::mqtt;
use shared::WorkerId;
use tokio::net::TcpStream;

/// The user name of all workers here.
pub(crate) const WORKER_USER: &str = "worker";
/// The service that asks, and its user name.
pub(crate) const SERVICE: &str = "bench";
/// As long as a worker's secret.
const PASSWORD: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Logs in over a stream.
pub(crate) async fn log_in(stream: &mut TcpStream, user: &str, client_id: &str) -> io::Result<()> {
    mqtt::log_in(stream, user, PASSWORD, client_id).await
}

/// Connects and logs in as a worker, and subscribes to all that workers do.
pub(crate) async fn join_as_worker(address: SocketAddr, worker: WorkerId) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    log_in(&mut stream, WORKER_USER, &worker.to_string()).await?;
    mqtt::subscribe_as_worker(&mut stream, worker).await?;
    Ok(stream)
}
