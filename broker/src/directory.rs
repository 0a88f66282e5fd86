//! The live sessions, and the rule that each login has one at most.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shared::SessionId;
use tokio::sync::oneshot;

use crate::ending::{Ending, Refused};
use crate::penalty::Offender;
use crate::session::{Session, SessionKey};

/// Workers that are remembered after their sessions. Verdicts follow their results within milliseconds.
const DEPARTED_MAX: usize = 1024;

/// All sessions of a gate.
#[derive(Default)]
pub(crate) struct Directory {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    sessions: HashMap<SessionId, Arc<Session>>,
    holders: HashMap<SessionKey, Holder>,
    /// The workers that were the last to leave, since a verdict on a result may come later than the end of its session.
    departed: VecDeque<(SessionId, Offender)>,
    closed: bool,
}

/// Who has a login now.
struct Holder {
    session: Arc<Session>,
    /// Resolves, with an error, when the session has left.
    left: oneshot::Receiver<()>,
}

/// A session's place in the directory. Always: dropped only when the coordinator has been told of the session's end, or was
/// never told of the session, since that is what the next session of the same login waits for.
pub(crate) struct Place {
    directory: Arc<Directory>,
    session: Arc<Session>,
    previous: Option<oneshot::Receiver<()>>,
    /// Its being dropped is the signal.
    _left: oneshot::Sender<()>,
}

impl Directory {
    /// Enters a session, and ends the one that has the same login.
    ///
    /// # Errors
    /// [`Refused::ShuttingDown`] when the directory is closed.
    pub(crate) fn enter(self: &Arc<Self>, session: &Arc<Session>) -> Result<Place, Refused> {
        let mut state = self.state();
        if state.closed {
            return Err(Refused::ShuttingDown);
        }
        let (sender, left) = oneshot::channel();
        let holder = Holder { session: Arc::clone(session), left };
        let previous = state.holders.insert(session.key.clone(), holder).map(|previous| {
            previous.session.outbound.end(Ending::TakenOver);
            previous.left
        });
        state.sessions.insert(session.id, Arc::clone(session));
        drop(state);
        Ok(Place { directory: Arc::clone(self), session: Arc::clone(session), previous, _left: sender })
    }

    /// A live session.
    pub(crate) fn find(&self, session: SessionId) -> Option<Arc<Session>> {
        self.state().sessions.get(&session).cloned()
    }

    /// Whom a result of this session counts against; `None` if it is no worker's, or of long ago.
    pub(crate) fn offender(&self, session: SessionId) -> Option<Offender> {
        let state = self.state();
        match state.sessions.get(&session) {
            Some(session) => session.offender(),
            None => state.departed.iter().find(|(id, _)| *id == session).map(|(_, offender)| *offender),
        }
    }

    /// Ends all sessions of a kind at once.
    pub(crate) fn end_where(&self, reason: Ending, is_meant: impl Fn(&Session) -> bool) {
        for session in self.state().sessions.values().filter(|session| is_meant(session)) {
            session.outbound.end(reason);
        }
    }

    /// Lets nobody in any more, and each session end when everything queued for it is written.
    pub(crate) fn finish_all(&self) {
        let mut state = self.state();
        state.closed = true;
        for session in state.sessions.values() {
            session.outbound.finish();
        }
    }

    /// Lets nobody in any more and ends all sessions at once.
    pub(crate) fn end_all(&self, reason: Ending) {
        let mut state = self.state();
        state.closed = true;
        for session in state.sessions.values() {
            session.outbound.end(reason);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Waits until the session that had this login before has left. Must come before the coordinator is told of this one,
    /// and may not be given up: whoever comes next relies on it.
    pub(crate) async fn previous_left(&mut self) {
        if let Some(previous) = &mut self.previous {
            let _ = previous.await;
            self.previous = None;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.directory.state();
        state.sessions.remove(&self.session.id);
        if let Some(offender) = self.session.offender() {
            if state.departed.len() >= DEPARTED_MAX {
                state.departed.pop_front();
            }
            state.departed.push_back((self.session.id, offender));
        }
        if state.holders.get(&self.session.key).is_some_and(|holder| holder.session.id == self.session.id) {
            state.holders.remove(&self.session.key);
        }
    }
}
