//! Every bound of the HTTP edge, with its reason.

use std::time::Duration;

use shared::Refusal;

use crate::source::TIMEOUT_MAX;

/// Largest body on `/v1`, in bytes: every field of a request for work at its longest is under 500 bytes.
pub const REST_BODY_BYTES_MAX: usize = 4 * 1024;

/// Largest body on `POST /`, in bytes. Wallets attach a block, as an object or as escaped text of about 1 KiB, and keys that
/// are ignored; the node itself reads 32 MiB, which no request for work needs.
pub const RPC_BODY_BYTES_MAX: usize = 32 * 1024;

/// Most opening brackets in a body on `POST /`, counted as the node counts them: all `{` and `[`, wherever they stand.
///
/// # Source
/// nanocurrency/nano-node `nano/lib/rpcconfig.hpp`, `max_json_depth`.
pub const RPC_BRACKETS_MAX: usize = 20;

/// Of a body that is too large, at most this many surplus bytes are read and dropped. Without it the connection is closed with
/// unread bytes in it, and the reset that follows overtakes the answer.
pub const DISCARDED_BYTES_MAX: usize = 1024 * 1024;

/// From a connection's opening, or the end of an answer on it, to the end of the next request's header. It is also the longest
/// that an unused connection is kept. Half a kilobyte needs far less on any line.
pub const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(5);

/// From the end of the header to the end of the body.
pub const BODY_READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest time without a byte taken by a client that has an answer to read.
pub const WRITE_STALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Most header lines of a request; browsers behind two proxies send about thirty.
pub const HEADER_LINES_MAX: usize = 64;

/// Bytes buffered per connection and direction, and so the largest header. It bounds the memory of a full house of connections
/// to some 130 MiB; a key and browser headers need 2 KiB.
pub const BUFFER_BYTES_MAX: usize = 16 * 1024;

/// Most connections at once, unless set otherwise. A waiting request occupies one, so this is also the most requests that wait.
pub const CONNECTIONS_MAX: usize = 4096;

/// How long connections have to finish once the server stops, unless set otherwise. The source answers open requests itself
/// when it drains; this is the time in which those answers are written.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);

/// How long a server that stops goes on answering before it closes connections that are not in use: a client that asks again and
/// again hears with an answer that this was the last one, and its next request does not meet a connection that is just being
/// closed.
pub const LEAVE_TAKING: Duration = Duration::from_millis(500);

/// Pause after an accept that failed for want of a resource (file descriptors, memory), so that the loop does not spin.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a request on `/v1` waits when it does not say.
pub const REST_TIMEOUT: Duration = Duration::from_secs(30);

/// Most requests of one batch: as many as its client would have to keep connections for otherwise.
pub const BATCH_MAX: usize = 64;

/// Largest body of a batch, in bytes: so many requests, each with a block.
pub const BATCH_BODY_BYTES_MAX: usize = BATCH_MAX * 2 * 1024;

/// Requests of one service that go on by themselves and have not ended.
pub const DETACHED_OPEN_MAX: usize = 1_024;

/// Requests of one service that went on by themselves, have ended and are kept; the oldest go first.
pub const DETACHED_ENDED_MAX: usize = 4_096;

/// Requests that go on by themselves or are kept, of all services: some 30 MiB.
pub const DETACHED_MAX: usize = 65_536;

/// How long a request that went on by itself is kept once it has ended: as long as the market remembers its name.
pub const DETACHED_KEPT: Duration = Duration::from_mins(10);

/// Longest time that a client may wait for news of a request with one `GET`: proxies give up after a minute.
pub const WAIT_MAX: Duration = Duration::from_mins(1);

/// How often a stream of events says that it is alive: proxies give up after a minute.
pub const EVENTS_KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How long a withdrawal waits for its request's end. Only a settlement takes longer than a moment, and that goes on.
pub const WITHDRAWAL_PATIENCE: Duration = Duration::from_secs(2);

/// For how many seconds a replaced key goes on beside the new one, unless that is said.
pub const KEY_OVERLAP_DEFAULT_S: u64 = 86_400;

/// For how many seconds it may go on at most: a month.
pub const KEY_OVERLAP_MAX_S: u64 = 30 * 86_400;

/// Most connections of `/v1/ws` at once, of all services.
pub const SOCKETS_MAX: usize = 1_024;

/// Most requests of one connection of `/v1/ws` that are not answered yet.
pub const SOCKET_IN_FLIGHT_MAX: usize = 256;

/// How long a connection of `/v1/ws` that came without a key may take to send one.
pub const SOCKET_KEY_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a connection of `/v1/ws` is asked whether it is still there.
pub const SOCKET_PING_EVERY: Duration = Duration::from_secs(20);

/// How long a connection of `/v1/ws` from which nothing comes, not even an answer to a ping, is kept: it has missed two.
pub const SOCKET_IDLE_MAX: Duration = Duration::from_mins(1);

/// How long the requests of a connection of `/v1/ws` that broke go on, for a client that comes back.
pub const SOCKET_LINGER: Duration = Duration::from_secs(5);

/// How long a request on `POST /` waits, which cannot say: a lone CPU may need it all.
pub const RPC_TIMEOUT: Duration = TIMEOUT_MAX;

/// How much later than its deadline a request may be answered before that counts as a fault of the source: a settlement in
/// flight at the deadline is waited for, up to 30 s.
pub const ANSWER_GRACE: Duration = Duration::from_secs(45);

/// Seconds after which asking again makes sense, for the statuses 429 and 503.
pub const fn retry_after_seconds(refusal: Refusal) -> Option<u32> {
    match refusal {
        // Rates are per second, and an overload passes as fast as work is found.
        Refusal::RateLimited | Refusal::Overloaded => Some(1),
        // A restart takes seconds.
        Refusal::Draining | Refusal::StoreUnavailable => Some(5),
        // The request has waited in vain already; workers reconnect with a back-off of this order.
        Refusal::NoWorkers => Some(10),
        _ => None,
    }
}
