//! Every bound of the gate, with its default.

use std::time::Duration;

use shared::link::AddressPrefix;

use crate::identity::Role;

/// How often something may happen: `per_second` in the long run, `burst` at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Tokens that come back each second. 0 counts as 1.
    pub per_second: u32,
    /// Tokens that are there at first, and at most. 0 counts as 1.
    pub burst: u32,
}

/// The bounds of a gate. Sizes are in bytes; a packet's size is its remaining length (MQTT 3.1.1 section 2.2.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections, logged in or not: 12,000.
    pub connections_max: usize,
    /// Connections that have not logged in yet: 500. Each of them costs a stranger nothing.
    pub unauthenticated_max: usize,
    /// Connections from one address (IPv4) or one /64 (IPv6): 32.
    pub connections_per_address_max: usize,
    /// New connections from one address: 10 a second, 50 at once. A refused login costs as much as five of them.
    pub connect_rate_per_address: Rate,
    /// Addresses to which the two limits per address do not apply, and which are never shut out: loopback. Farms behind one address belong here.
    pub trusted_prefixes: Vec<AddressPrefix>,
    /// From the start of a connection to its complete CONNECT: 5 s.
    pub connect_timeout: Duration,
    /// From the start of a connection to the end of its handshake below MQTT, such as that of TLS: 10 s.
    pub handshake_timeout: Duration,
    /// How long the authenticator is waited for: 3 s.
    pub authenticate_timeout: Duration,
    /// How long a good answer of the authenticator holds for the same login from the same address: 5 s.
    pub login_cache_ttl: Duration,
    /// Wrong logins with one user name, from addresses that it has not logged in from within a day: 1 a second, 20 at once.
    /// Beyond it they are refused without being looked at.
    pub login_failure_rate_per_account: Rate,
    /// How long a client waits for the refusal of its login: 250 ms.
    pub refusal_delay: Duration,
    /// The longest keep-alive; a longer one, and 0, count as this: 120 s. Silence of one and a half times as long ends a session.
    pub keep_alive_max: Duration,
    /// How long a write may make no progress: 10 s.
    pub write_stall_max: Duration,
    /// Size of a CONNECT: 2 kB.
    pub connect_packet_max: usize,
    /// Size of a packet from a worker or an operator: 2 kB.
    pub worker_packet_max: usize,
    /// Size of a packet from a service: 8 kB.
    pub service_packet_max: usize,
    /// Messages from one worker: 20 a second, 100 at once. Beyond it the connection is not read until there is a token; nothing
    /// is dropped. Each list sent to the worker brings as many tokens as it may have jobs, so that answers to offered work
    /// never wait. `None` for no limit.
    pub worker_publish_rate: Option<Rate>,
    /// Messages from one service: `None`, no limit. Limits per service are the coordinator's, and sessions that wait for room in
    /// the way up are served in turn.
    pub service_publish_rate: Option<Rate>,
    /// Messages at `QoS` 1 that a client of MQTT 5 may have on the way without an acknowledgement: 100, as many as a worker may
    /// send at once. Each costs the gate the four bytes of its acknowledgement.
    pub receive_max: u16,
    /// Filters of one SUBSCRIBE that are looked at: 8. The others are refused.
    pub filters_per_subscribe_max: usize,
    /// Filters of one session: 32.
    pub filters_per_session_max: usize,
    /// Bytes that wait for one session: 256 kB. Some 16 kB more may be on their way to the system.
    pub queue_bytes_max: usize,
    /// Messages that wait for one session: 1,024.
    pub queue_messages_max: usize,
    /// Messages that wait for the coordinator: 4,096. While they do, sessions that send more are not read.
    pub up_messages_max: usize,
    /// How long a stopping gate tries to write what is queued: 2 s.
    pub flush_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 12_000,
            unauthenticated_max: 500,
            connections_per_address_max: 32,
            connect_rate_per_address: Rate { per_second: 10, burst: 50 },
            trusted_prefixes: AddressPrefix::LOOPBACK.to_vec(),
            connect_timeout: Duration::from_secs(5),
            handshake_timeout: Duration::from_secs(10),
            authenticate_timeout: Duration::from_secs(3),
            login_cache_ttl: Duration::from_secs(5),
            login_failure_rate_per_account: Rate { per_second: 1, burst: 20 },
            refusal_delay: Duration::from_millis(250),
            keep_alive_max: Duration::from_mins(2),
            write_stall_max: Duration::from_secs(10),
            connect_packet_max: 2 * 1024,
            worker_packet_max: 2 * 1024,
            service_packet_max: 8 * 1024,
            worker_publish_rate: Some(Rate { per_second: 20, burst: 100 }),
            service_publish_rate: None,
            receive_max: 100,
            filters_per_subscribe_max: 8,
            filters_per_session_max: 32,
            queue_bytes_max: 256 * 1024,
            queue_messages_max: 1024,
            up_messages_max: 4096,
            flush_timeout: Duration::from_secs(2),
        }
    }
}

impl Limits {
    /// Size of a packet from somebody who has logged in, in bytes.
    pub(crate) fn packet_max(&self, role: Role) -> usize {
        match role {
            Role::Worker | Role::Operator => self.worker_packet_max,
            Role::Service => self.service_packet_max,
        }
    }

    /// Messages from one session. Operators have no right to send any.
    pub(crate) fn publish_rate(&self, role: Role) -> Option<Rate> {
        match role {
            Role::Worker => self.worker_publish_rate,
            Role::Service => self.service_publish_rate,
            Role::Operator => None,
        }
    }

    /// How long a session may be silent that announced this keep-alive, in seconds.
    pub(crate) fn silence_max(&self, keep_alive: u16) -> Duration {
        let announced = Duration::from_secs(u64::from(keep_alive));
        let kept = if keep_alive == 0 { self.keep_alive_max } else { announced.min(self.keep_alive_max) };
        kept * 3 / 2
    }

    /// The keep-alive that holds instead of the announced one, in seconds, if another does.
    pub(crate) fn keep_alive_instead(&self, announced: u16) -> Option<u16> {
        let longest = u16::try_from(self.keep_alive_max.as_secs()).unwrap_or(u16::MAX);
        (announced == 0 || announced > longest).then_some(longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_one_and_a_half_keep_alives_and_bounded() {
        let limits = Limits::default();
        assert_eq!(limits.silence_max(10), Duration::from_secs(15));
        assert_eq!(limits.silence_max(1), Duration::from_millis(1500));
        assert_eq!(limits.silence_max(0), Duration::from_mins(3));
        assert_eq!(limits.silence_max(u16::MAX), Duration::from_mins(3));
    }
}
