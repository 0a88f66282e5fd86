//! Requests without an outcome: what has to be sent, now and after each reconnect. It neither sends nor waits by itself.

use std::collections::BTreeMap;

use shared::RequestId;
use shared::protocol::{ReplyOutcome, ServiceReply, ServiceRequest};
use tokio::sync::oneshot;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    open: BTreeMap<RequestId, Open>,
}

#[derive(Debug)]
struct Open {
    request: ServiceRequest,
    /// All that wait for the outcome.
    replies: Vec<oneshot::Sender<ReplyOutcome>>,
}

impl Outbox {
    /// Takes a request, and returns whether it has to be sent: not if the same one is open already.
    pub(crate) fn ask(&mut self, request: ServiceRequest, reply: oneshot::Sender<ReplyOutcome>) -> bool {
        match self.open.get_mut(&request.request) {
            Some(open) if open.request == request => {
                open.replies.push(reply);
                false
            }
            // Another question under the same name: the coordinator says what is wrong with that, and both hear it.
            Some(open) => {
                open.request = request;
                open.replies.push(reply);
                true
            }
            None => {
                self.open.insert(request.request, Open { request, replies: vec![reply] });
                true
            }
        }
    }

    /// An outcome has come. One that nobody waits for is passed over: it was withdrawn, or came twice.
    pub(crate) fn reply(&mut self, reply: ServiceReply) {
        let Some(open) = self.open.remove(&reply.request) else { return };
        for waiting in open.replies {
            // Whoever has just left does not mind.
            let _ = waiting.send(reply.outcome);
        }
    }

    /// Somebody has stopped waiting. Returns whether nobody is left, so that the request has to be withdrawn.
    pub(crate) fn left(&mut self, request: RequestId) -> bool {
        let Some(open) = self.open.get_mut(&request) else { return false };
        open.replies.retain(|reply| !reply.is_closed());
        open.replies.is_empty() && self.open.remove(&request).is_some()
    }

    /// All that has to be sent on a new connection.
    pub(crate) fn open(&self) -> Vec<ServiceRequest> {
        self.open.values().map(|open| open.request).collect()
    }
}

#[cfg(test)]
mod tests {
    use shared::Refusal;
    use shared::pow::{Root, Threshold};
    use shared::protocol::ServiceDemand;

    use super::*;

    fn request(name: u128, root: u8) -> ServiceRequest {
        ServiceRequest {
            request: RequestId::from_u128(name),
            root: Root::new([root; 32]),
            demand: ServiceDemand::Threshold(Threshold::new(1)),
            account: None,
            timeout_ms: None,
            class: None,
        }
    }

    const fn refused(name: u128) -> ServiceReply {
        let outcome = ReplyOutcome::Refused(Refusal::NoWorkers);
        ServiceReply { request: RequestId::from_u128(name), outcome }
    }

    #[test]
    fn a_request_is_sent_again_until_it_has_its_outcome() {
        let mut outbox = Outbox::default();
        let (reply, mut outcome) = oneshot::channel();
        assert!(outbox.ask(request(1, 1), reply));
        assert_eq!(outbox.open(), [request(1, 1)]);
        outbox.reply(refused(2));
        assert_eq!(outbox.open(), [request(1, 1)]);
        outbox.reply(refused(1));
        assert_eq!(outcome.try_recv(), Ok(refused(1).outcome));
        assert_eq!(outbox.open(), []);
        outbox.reply(refused(1));
    }

    #[test]
    fn it_is_withdrawn_when_the_last_one_has_left() {
        let mut outbox = Outbox::default();
        let (first, (reply, second)) = (oneshot::channel(), oneshot::channel());
        assert!(outbox.ask(request(1, 1), first.0));
        assert!(!outbox.ask(request(1, 1), reply));
        drop(first.1);
        assert!(!outbox.left(RequestId::from_u128(1)));
        drop(second);
        assert!(outbox.left(RequestId::from_u128(1)));
        assert!(!outbox.left(RequestId::from_u128(1)));
        assert_eq!(outbox.open(), []);
    }

    #[test]
    fn another_question_under_the_same_name_is_sent() {
        let mut outbox = Outbox::default();
        let (one, other) = (oneshot::channel(), oneshot::channel());
        assert!(outbox.ask(request(1, 1), one.0));
        assert!(outbox.ask(request(1, 2), other.0));
        assert_eq!(outbox.open(), [request(1, 2)]);
    }
}
