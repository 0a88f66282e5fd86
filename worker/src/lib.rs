//! The worker: takes lists of jobs from a coordinator over MQTT, searches nonces, sends what it finds.
//!
//! [`Worker::run`] is all that a program needs. Inside, [`session`] decides (without I/O and clock), `link` talks MQTT, and
//! [`backend`] searches.
//!
//! ```no_run
//! use shared::{Network, Payee};
//! use worker::{Event, Secret, Server, Settings, Worker, threshold_max_default};
//!
//! # async fn embedded(stop: tokio::sync::oneshot::Receiver<()>) -> Result<(), Box<dyn std::error::Error>> {
//! let worker = Worker::new(Settings {
//!     server: Server::try_new("127.0.0.1", 1883)?,
//!     payee: Payee::House,
//!     secret: Secret::generate()?,
//!     network: Network::Live,
//!     processor: worker::backend::cpu::Settings::default(),
//!     opencl: None,
//!     threshold_max: threshold_max_default(Network::Live),
//!     precache: true,
//!     software: "built-in".into(),
//! });
//! let on_event = |event| match event {
//!     Event::OpenCl { line } => tracing::info!(line, "OpenCL"),
//!     Event::DeviceFailed { name, reason } => tracing::warn!(device.name = name, reason, "out of service"),
//!     Event::Measured { hashes_per_second } => tracing::info!(hashes_per_second, "measured"),
//!     Event::Connected => tracing::info!("connected"),
//!     Event::Disconnected { reason, .. } => tracing::warn!(reason, "disconnected"),
//!     Event::Judged(judgement) => tracing::debug!(verdict = judgement.verdict.as_str(), "judged"),
//! };
//! worker.run(on_event, async { drop(stop.await) }).await?;
//! # Ok(())
//! # }
//! ```

pub mod backend;
mod clock;
mod data_directory;
mod entropy;
mod link;
mod plan;
mod rates;
mod secret;
pub mod session;
mod sign_of_life;
mod worker;

pub use data_directory::{DataDirectory, DataDirectoryError};
pub use secret::{BadSecret, Secret};
pub use shared::link::{BadServer, Server};
pub use worker::{Event, Settings, Worker, WorkerError, threshold_max_default};
