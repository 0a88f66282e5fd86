//! Waiting for the answer to something that was sent to a task or thread which may end meanwhile.

use tokio::sync::oneshot;

/// The answer, or `None` when whoever was to give it has ended without. `has_ended` is the `closed` of the channel by which it was
/// asked.
///
/// Waiting for the answer alone could last for ever: what is sent at the very moment in which a receiver goes away stays in the
/// channel, with the means to answer it, for as long as anybody may still send there.
pub(crate) async fn answer<T>(
    mut answer: oneshot::Receiver<T>,
    has_ended: impl Future<Output = ()>,
) -> Option<T> {
    tokio::select! {
        biased;
        answer = &mut answer => answer.ok(),
        // It may have answered just before.
        () = has_ended => answer.try_recv().ok(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    type Question = oneshot::Sender<u8>;

    #[tokio::test]
    async fn a_question_that_is_left_in_the_channel_is_not_answered() {
        let (questions, taker) = mpsc::channel::<Question>(1);
        let (reply, answered) = oneshot::channel();
        // Sent after the taker has gone, by somebody who had a place in the queue before.
        let place = questions.reserve().await.unwrap();
        drop(taker);
        place.send(reply);
        assert_eq!(answer(answered, questions.closed()).await, None);
    }

    #[tokio::test]
    async fn an_answer_given_before_the_end_counts() {
        let (questions, mut taker) = mpsc::channel::<Question>(1);
        let (reply, answered) = oneshot::channel();
        questions.send(reply).await.unwrap();
        taker.recv().await.unwrap().send(7).unwrap();
        drop(taker);
        assert_eq!(answer(answered, questions.closed()).await, Some(7));
    }

    #[tokio::test]
    async fn a_question_that_is_dropped_is_not_answered() {
        let (questions, mut taker) = mpsc::channel::<Question>(1);
        let (reply, answered) = oneshot::channel();
        questions.send(reply).await.unwrap();
        drop(taker.recv().await);
        assert_eq!(answer(answered, questions.closed()).await, None);
    }
}
