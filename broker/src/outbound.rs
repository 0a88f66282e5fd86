//! What waits to be written to one session: bounded, never blocking whoever adds to it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;

use crate::ending::Ending;

/// Bytes that are taken for one write, at most, unless a single message is larger.
const BATCH_SIZE: usize = 16 * 1024;
/// Bytes of acknowledgements that may wait before the client is not read any further.
const REPLIES_MAX: usize = 4 * 1024;
/// Places that an empty queue keeps.
const IDLE_CAPACITY: usize = 8;

/// What happens to a session whose queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overflow {
    /// The oldest messages give way. Right for lists of work, where only the newest counts.
    DropOldest,
    /// The session ends: its client must not believe that it has seen everything.
    Disconnect,
}

/// What became of a message that was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Queued {
    /// It waits to be written.
    Waiting,
    /// It waits to be written; this many older ones were dropped for it.
    Dropped(u64),
    /// There is no room; it was not added.
    Full,
    /// The session has ended; it was not added.
    Ended,
}

/// The queue of one session. Any number of tasks add; one writes, one waits for room, one waits for the end.
#[derive(Debug)]
pub(crate) struct Outbound {
    overflow: Overflow,
    bytes_max: usize,
    messages_max: usize,
    state: Mutex<State>,
    readable: Notify,
    drained: Notify,
    ended: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Acknowledgements, encoded. They go first and are never dropped.
    replies: Vec<u8>,
    /// Acknowledgements of messages among `replies`.
    publish_acks: u16,
    /// Messages, encoded.
    messages: VecDeque<Bytes>,
    /// Bytes of `messages`.
    bytes: usize,
    /// Nothing is added any more; what waits is still written.
    finishing: bool,
    ending: Option<Ending>,
}

impl Outbound {
    pub(crate) fn new(overflow: Overflow, bytes_max: usize, messages_max: usize) -> Self {
        Self {
            overflow,
            bytes_max,
            messages_max,
            state: Mutex::default(),
            readable: Notify::new(),
            drained: Notify::new(),
            ended: Notify::new(),
        }
    }

    /// Adds an encoded message.
    pub(crate) fn push(&self, message: Bytes) -> Queued {
        let mut state = self.state();
        if state.finishing || state.ending.is_some() {
            return Queued::Ended;
        }
        if message.len() > self.bytes_max {
            return Queued::Full;
        }
        let mut dropped = 0;
        while state.messages.len() >= self.messages_max || state.bytes + message.len() > self.bytes_max {
            let oldest = match self.overflow {
                Overflow::DropOldest => state.messages.pop_front(),
                Overflow::Disconnect => None,
            };
            let Some(oldest) = oldest else { return Queued::Full };
            state.bytes -= oldest.len();
            dropped += 1;
        }
        state.bytes += message.len();
        state.messages.push_back(message);
        drop(state);
        self.readable.notify_one();
        if dropped == 0 { Queued::Waiting } else { Queued::Dropped(dropped) }
    }

    /// Adds an encoded acknowledgement.
    pub(crate) fn push_reply(&self, reply: &[u8]) {
        self.state().replies.extend_from_slice(reply);
        self.readable.notify_one();
    }

    /// Adds the encoded acknowledgement of a message.
    pub(crate) fn push_publish_ack(&self, reply: &[u8]) {
        {
            let mut state = self.state();
            state.replies.extend_from_slice(reply);
            state.publish_acks = state.publish_acks.saturating_add(1);
        }
        self.readable.notify_one();
    }

    /// Acknowledgements of messages that have not begun their way to the client. It cannot have seen them.
    pub(crate) fn publish_acks_waiting(&self) -> u16 {
        self.state().publish_acks
    }

    /// Takes the acknowledgements that wait, for the last write of all.
    pub(crate) fn take_replies(&self) -> Vec<u8> {
        std::mem::take(&mut self.state().replies)
    }

    /// Waits until there is room for acknowledgements.
    pub(crate) async fn reply_room(&self) {
        while self.state().replies.len() > REPLIES_MAX {
            self.drained.notified().await;
        }
    }

    /// The next bytes to write; `None` once everything is written and no more will come.
    pub(crate) async fn next_batch(&self) -> Option<Bytes> {
        loop {
            {
                let mut state = self.state();
                if let Some(batch) = state.take_batch() {
                    self.drained.notify_one();
                    return Some(batch);
                }
                if state.finishing {
                    return None;
                }
            }
            self.readable.notified().await;
        }
    }

    /// Lets the session end when everything that waits is written.
    pub(crate) fn finish(&self) {
        self.state().finishing = true;
        self.readable.notify_one();
    }

    /// Ends the session at once. The first reason stays.
    pub(crate) fn end(&self, reason: Ending) {
        self.state().ending.get_or_insert(reason);
        self.ended.notify_one();
    }

    /// Waits for the end.
    pub(crate) async fn ended(&self) -> Ending {
        loop {
            if let Some(reason) = self.state().ending {
                return reason;
            }
            self.ended.notified().await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes what is to be written next: one message as it is, or acknowledgements and messages copied together.
    fn take_batch(&mut self) -> Option<Bytes> {
        if self.replies.is_empty() {
            let only = if self.messages.len() == 1 { self.take_message() } else { None };
            if only.is_some() {
                return only;
            }
        }
        let mut batch = BytesMut::from(std::mem::take(&mut self.replies).as_slice());
        self.publish_acks = 0;
        while let Some(next) = self.messages.front() {
            if !batch.is_empty() && batch.len() + next.len() > BATCH_SIZE {
                break;
            }
            batch.extend_from_slice(next);
            self.take_message();
        }
        (!batch.is_empty()).then(|| batch.freeze())
    }

    fn take_message(&mut self) -> Option<Bytes> {
        let message = self.messages.pop_front()?;
        self.bytes -= message.len();
        if self.messages.is_empty() && self.messages.capacity() > IDLE_CAPACITY {
            self.messages = VecDeque::new();
        }
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn message(content: &'static str) -> Bytes {
        Bytes::from_static(content.as_bytes())
    }

    #[test]
    fn the_oldest_give_way_where_only_the_newest_counts() {
        let queue = Outbound::new(Overflow::DropOldest, 6, 3);
        assert_eq!(queue.push(message("aa")), Queued::Waiting);
        assert_eq!(queue.push(message("bb")), Queued::Waiting);
        assert_eq!(queue.push(message("cccc")), Queued::Dropped(1), "by bytes");
        assert_eq!(queue.push(message("")), Queued::Waiting);
        assert_eq!(queue.push(message("")), Queued::Dropped(1), "by messages");
        assert_eq!(queue.push(message("too large")), Queued::Full);
        assert_eq!(queue.next_batch().now_or_never(), Some(Some(message("cccc"))), "nothing gave way for it");
    }

    #[test]
    fn nothing_gives_way_where_everything_counts() {
        let queue = Outbound::new(Overflow::Disconnect, 100, 2);
        assert_eq!(queue.push(message("a")), Queued::Waiting);
        assert_eq!(queue.push(message("b")), Queued::Waiting);
        assert_eq!(queue.push(message("c")), Queued::Full);
        assert_eq!(queue.next_batch().now_or_never(), Some(Some(message("ab"))));
    }

    #[test]
    fn acknowledgements_go_first_and_batches_are_bounded() {
        let queue = Outbound::new(Overflow::Disconnect, 1 << 20, 100);
        let large = Bytes::from(vec![0; BATCH_SIZE]);
        queue.push(large.clone());
        queue.push_reply(b"ack");
        queue.push(message("small"));
        assert_eq!(queue.next_batch().now_or_never(), Some(Some(message("ack"))));
        assert_eq!(queue.next_batch().now_or_never(), Some(Some(large)));
        assert_eq!(queue.next_batch().now_or_never(), Some(Some(message("small"))));
        assert_eq!(queue.next_batch().now_or_never(), None);
        assert_eq!(queue.state().bytes, 0);
    }

    #[test]
    fn a_client_that_reads_no_acknowledgements_is_not_read() {
        let queue = Outbound::new(Overflow::Disconnect, 100, 2);
        queue.push_reply(&[0; REPLIES_MAX + 1]);
        assert!(queue.reply_room().now_or_never().is_none());
        assert!(queue.next_batch().now_or_never().is_some());
        assert!(queue.reply_room().now_or_never().is_some());
    }

    #[test]
    fn the_end_comes_after_everything_or_at_once() {
        let queue = Outbound::new(Overflow::Disconnect, 100, 2);
        queue.push(message("last"));
        queue.finish();
        assert_eq!(queue.push(message("too late")), Queued::Ended);
        assert_eq!(queue.next_batch().now_or_never(), Some(Some(message("last"))));
        assert_eq!(queue.next_batch().now_or_never(), Some(None));
        queue.end(Ending::TakenOver);
        queue.end(Ending::Overflow);
        assert_eq!(queue.ended().now_or_never(), Some(Ending::TakenOver));
    }
}
