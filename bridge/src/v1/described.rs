//! What is read field by field in `request`, described as a whole.

use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

/// A request for work. `root` or `block` must be there.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it is described, not read: `request` says which field is wrong")]
pub(crate) struct WorkBody {
    /// What work is wanted for: the hash of the previous block, or the public key of an account's first.
    #[schema(
        required = false,
        pattern = "^[0-9a-fA-F]{64}$",
        examples("718CC2121C3E641059BC1C2CFC45666C99E8AE922F7A807B7D07B62C995D79E2")
    )]
    root: String,
    /// The block that the work is for, as a node prints it, as an object or a text; `signature` and `work` may be missing.
    #[schema(required = false, value_type = Object)]
    block: Value,
    /// What the work must meet. At most one of `threshold`, `multiplier` and `subtype`; none: as `block` says, else a send.
    #[schema(required = false, pattern = "^[0-9a-fA-F]{16}$", examples("fffffff800000000"))]
    threshold: String,
    /// The same, as a multiple of the network's send threshold.
    #[schema(required = false, exclusive_minimum = 0)]
    multiplier: f64,
    /// The same, by what the block does: `send`, `receive`, `open`, `change` or `epoch`.
    #[schema(required = false, pattern = "^(send|receive|open|change|epoch)$", examples("send"))]
    subtype: String,
    /// Whose block it is.
    #[schema(required = false)]
    account: String,
    /// Milliseconds to wait; none: 30000.
    #[schema(required = false, minimum = 1, maximum = 120_000)]
    timeout_ms: u32,
    /// How urgent it is: `precache` goes behind everything that is `ondemand`, at the same price, and is refused first when there is too
    /// much to do. None: `ondemand`.
    #[schema(required = false, pattern = "^(ondemand|precache)$", examples("ondemand"))]
    class: String,
    /// A name of your own: 32 hexadecimal digits or a UUID. The header `Idempotency-Key` is the same.
    #[schema(
        required = false,
        pattern = "^[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}$"
    )]
    request_id: String,
    /// Whether the answer is fetched later.
    #[schema(required = false)]
    r#async: bool,
}

/// Several requests for work.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it is described, not read: `batch` reads each request on its own")]
pub(crate) struct BatchBody {
    /// Each as for one, but for `async`.
    #[schema(min_items = 1, max_items = 64)]
    requests: Vec<WorkBody>,
    /// Whether all answers are fetched later.
    #[schema(required = false)]
    r#async: bool,
}

/// How a request is named and answered, by headers.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it is described, not read")]
pub(crate) struct Naming {
    /// The name of the request: 32 hexadecimal digits or a UUID, in quotes or without.
    #[param(rename = "Idempotency-Key", required = false)]
    idempotency_key: String,
    /// `respond-async`: the answer is fetched later.
    #[param(rename = "Prefer", required = false)]
    prefer: String,
}
