//! What waits to be written to one session: bounded, never blocking whoever adds to it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;

use crate::direct::DirectStream;
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
    /// It was written at once.
    Written,
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
    /// The rest of a message whose beginning was written at once. It goes before all else.
    torn: Option<Bytes>,
    /// Whether the session's task has a batch that is not wholly written.
    is_writing: bool,
    /// Acknowledgements, encoded. They go first and are never dropped.
    replies: Vec<u8>,
    /// Acknowledgements of messages among `replies`.
    publish_acks: u16,
    /// Messages, encoded.
    messages: VecDeque<Bytes>,
    /// Bytes of `messages`.
    bytes: usize,
    /// By which a message need not wait while nothing else does. Gone with the session's end, so that the connection closes.
    direct: Option<DirectStream>,
    /// Nothing is added any more; what waits is still written.
    finishing: bool,
    ending: Option<Ending>,
}

impl Outbound {
    pub(crate) fn new(
        overflow: Overflow,
        bytes_max: usize,
        messages_max: usize,
        direct: Option<DirectStream>,
    ) -> Self {
        Self {
            overflow,
            bytes_max,
            messages_max,
            state: Mutex::new(State { direct, ..State::default() }),
            readable: Notify::new(),
            drained: Notify::new(),
            ended: Notify::new(),
        }
    }

    /// Adds an encoded message, or writes it at once where nothing is before it.
    pub(crate) fn push(&self, message: Bytes) -> Queued {
        let mut state = self.state();
        if state.finishing || state.ending.is_some() {
            return Queued::Ended;
        }
        if message.len() > self.bytes_max {
            return Queued::Full;
        }
        if state.is_idle()
            && let Some(direct) = &state.direct
        {
            match direct.write_now(&message) {
                0 => {}
                written if written == message.len() => return Queued::Written,
                written => {
                    state.torn = Some(message.slice(written..));
                    drop(state);
                    self.readable.notify_one();
                    return Queued::Waiting;
                }
            }
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

    /// Whether a message has gone out in part and its rest has not been taken.
    pub(crate) fn is_torn(&self) -> bool {
        self.state().torn.is_some()
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

    /// The next bytes to write, now that those of the last call are written; `None` once everything is written and no more will
    /// come.
    pub(crate) async fn next_batch(&self) -> Option<Bytes> {
        loop {
            {
                let mut state = self.state();
                let batch = state.take_batch();
                state.is_writing = batch.is_some();
                if let Some(batch) = batch {
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
        let mut state = self.state();
        state.ending.get_or_insert(reason);
        state.direct = None;
        drop(state);
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
    /// Whether everything that was added is written.
    fn is_idle(&self) -> bool {
        !self.is_writing && self.torn.is_none() && self.replies.is_empty() && self.messages.is_empty()
    }

    /// Takes what is to be written next: one message as it is, or acknowledgements and messages copied together.
    fn take_batch(&mut self) -> Option<Bytes> {
        if self.torn.is_some() {
            return self.torn.take();
        }
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
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    fn message(content: &'static str) -> Bytes {
        Bytes::from_static(content.as_bytes())
    }

    #[test]
    fn the_oldest_give_way_where_only_the_newest_counts() {
        let queue = Outbound::new(Overflow::DropOldest, 6, 3, None);
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
        let queue = Outbound::new(Overflow::Disconnect, 100, 2, None);
        assert_eq!(queue.push(message("a")), Queued::Waiting);
        assert_eq!(queue.push(message("b")), Queued::Waiting);
        assert_eq!(queue.push(message("c")), Queued::Full);
        assert_eq!(queue.next_batch().now_or_never(), Some(Some(message("ab"))));
    }

    #[test]
    fn acknowledgements_go_first_and_batches_are_bounded() {
        let queue = Outbound::new(Overflow::Disconnect, 1 << 20, 100, None);
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
        let queue = Outbound::new(Overflow::Disconnect, 100, 2, None);
        queue.push_reply(&[0; REPLIES_MAX + 1]);
        assert!(queue.reply_room().now_or_never().is_none());
        assert!(queue.next_batch().now_or_never().is_some());
        assert!(queue.reply_room().now_or_never().is_some());
    }

    /// What is written at once and what is written by the session's task arrive as one stream, whole and in order, though the
    /// system takes only a part of a message now and then.
    #[tokio::test]
    async fn messages_written_at_once_and_later_arrive_in_order() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (ours, theirs) =
            tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        let (mut reader, stream) = (ours.unwrap(), DirectStream::new(theirs.unwrap().0));
        stream.writable().await;
        let queue = Outbound::new(Overflow::Disconnect, 64 << 20, 10_000, Some(stream.clone()));
        let (mut sent, mut was_written, mut was_torn) = (Vec::new(), false, false);
        let mut writer = stream;
        for round in 0..300_u32 {
            let message = Bytes::from(round.to_be_bytes().repeat(25_000));
            sent.extend_from_slice(&message);
            was_written |= queue.push(message) == Queued::Written;
            was_torn |= queue.is_torn();
            if round % 100 != 99 {
                continue;
            }
            let write = async {
                while let Some(Some(batch)) = queue.next_batch().now_or_never() {
                    writer.write_all(&batch).await.unwrap();
                }
            };
            let mut received = vec![0; sent.len()];
            let read = reader.read_exact(&mut received);
            tokio::join!(write, async { read.await.unwrap() });
            assert!(received == sent, "round {round}");
            sent.clear();
        }
        assert!(was_written && was_torn, "both ways were taken");
    }

    #[test]
    fn the_end_comes_after_everything_or_at_once() {
        let queue = Outbound::new(Overflow::Disconnect, 100, 2, None);
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
