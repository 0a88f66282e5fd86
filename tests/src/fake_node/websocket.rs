//! Sessions over WebSocket, and their filters.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use serde_json::Value;
use shared::Account;
use tungstenite::{Message, WebSocket};

use super::confirmation::{Confirmation, now_ms};
use super::{Inner, LOOK_EVERY, lock};

/// All open sessions.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    pub(super) open: Vec<Session>,
    pub(super) opened: u64,
}

/// One session, as whoever has news sees it.
#[derive(Debug)]
pub(super) struct Session {
    number: u64,
    frames: Sender<String>,
    filter: Option<Filter>,
}

/// What a session has subscribed to.
#[derive(Debug, Clone, Default)]
struct Filter {
    /// `None`: everything.
    accounts: Option<BTreeSet<Account>>,
    with_block: bool,
    with_sideband: bool,
}

impl Session {
    pub(super) fn send(&self, frame: String) {
        // Whoever has hung up is told nothing.
        let _ = self.frames.send(frame);
    }

    pub(super) fn tell(&self, confirmation: &Confirmation) {
        let Some(filter) = &self.filter else { return };
        let passes = filter.accounts.as_ref().is_none_or(|accounts| {
            filter.with_block && accounts.iter().any(|account| confirmation.concerns(*account))
        });
        if passes {
            self.send(confirmation.frame(filter.with_sideband));
        }
    }

    pub(super) fn wants_all(&self, wanted: &[Account]) -> bool {
        let accounts = self.filter.as_ref().map(|filter| &filter.accounts);
        accounts.is_some_and(|accounts| {
            accounts.as_ref().is_none_or(|accounts| wanted.iter().all(|account| accounts.contains(account)))
        })
    }
}

impl Filter {
    fn of(options: &Value) -> Self {
        let flag = |name: &str, default| match &options[name] {
            Value::Bool(is) => *is,
            Value::String(text) => text == "true" || text == "1",
            _ => default,
        };
        let accounts = options["accounts"].as_array().map(|accounts| accounts_of(accounts).collect());
        Self {
            accounts,
            with_block: flag("include_block", true),
            with_sideband: flag("include_sideband_info", false),
        }
    }
}

/// Those of them that are addresses; a node ignores the others as well.
fn accounts_of(texts: &[Value]) -> impl Iterator<Item = Account> {
    texts.iter().filter_map(|text| text.as_str()?.parse().ok())
}

/// Serves a connection to its end.
pub(super) fn serve(inner: &Arc<Inner>, stopping: &AtomicBool, stream: TcpStream) {
    if stream.set_nonblocking(false).is_err() {
        return;
    }
    if lock(&inner.faults).is_silent {
        return super::rpc::be_silent(inner, stopping, &stream);
    }
    let Ok(mut socket) = tungstenite::accept(stream) else { return };
    if socket.get_mut().set_read_timeout(Some(LOOK_EVERY)).is_err() {
        return;
    }
    let (frames, to_send) = channel();
    let number = {
        let mut sessions = lock(&inner.sessions);
        sessions.opened += 1;
        let number = sessions.opened;
        sessions.open.push(Session { number, frames, filter: None });
        number
    };
    inner.sessions_changed.notify_all();
    converse(inner, stopping, &mut socket, number, &to_send);
    lock(&inner.sessions).open.retain(|session| session.number != number);
    inner.sessions_changed.notify_all();
}

fn converse(
    inner: &Inner,
    stopping: &AtomicBool,
    socket: &mut WebSocket<TcpStream>,
    number: u64,
    to_send: &Receiver<String>,
) {
    while !stopping.load(Ordering::Relaxed) {
        match socket.read() {
            Ok(Message::Text(text)) => {
                // What is no JSON ends the session.
                let Ok(call) = serde_json::from_str::<Value>(&text) else { return };
                take(inner, number, &call);
            }
            Ok(_) => {}
            Err(tungstenite::Error::Io(error))
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return,
        }
        if lock(&inner.faults).is_silent {
            continue;
        }
        while let Ok(frame) = to_send.try_recv() {
            if socket.send(Message::text(frame)).is_err() {
                return;
            }
        }
    }
}

/// Carries out what a client says.
fn take(inner: &Inner, number: u64, call: &Value) {
    let (action, topic) = (call["action"].as_str().unwrap_or_default(), &call["topic"]);
    let is_wrong = lock(&inner.faults).acknowledges_wrongly;
    let mut sessions = lock(&inner.sessions);
    let Some(session) = sessions.open.iter_mut().find(|session| session.number == number) else { return };
    match (action, topic.as_str()) {
        ("ping", _) => return session.send(format!(r#"{{"ack":"pong","time":"{}"}}"#, now_ms())),
        ("subscribe", Some("confirmation")) => session.filter = Some(Filter::of(&call["options"])),
        ("update", Some("confirmation")) => {
            let accounts = session.filter.as_mut().and_then(|filter| filter.accounts.as_mut());
            let Some(accounts) = accounts else { return };
            let listed = |name: &str| call["options"][name].as_array().map_or(&[][..], Vec::as_slice);
            accounts.extend(accounts_of(listed("accounts_add")));
            accounts_of(listed("accounts_del")).for_each(|account| {
                accounts.remove(&account);
            });
        }
        ("unsubscribe", Some("confirmation")) => session.filter = None,
        // A node says nothing to what it does not know.
        _ => return,
    }
    if matches!(&call["ack"], Value::Bool(true)) || call["ack"] == "true" {
        let id = call["id"].as_str().map_or_else(String::new, |id| format!(r#","id":"{id}""#));
        let (action, id) = if is_wrong { ("unsubscribe", String::new()) } else { (action, id) };
        session.send(format!(r#"{{"ack":"{action}","time":"{}"{id}}}"#, now_ms()));
    }
    drop(sessions);
    inner.sessions_changed.notify_all();
}
