//! What works of the nodes and what does not.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shared::Timestamp;

use crate::clock::Clock;
use crate::metrics;

/// One door of a node, as it was found last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NodeDoor {
    /// Where it is.
    pub(crate) url: String,
    /// Whether it works.
    pub(crate) works: bool,
    /// Since when; `None`: it was not tried yet.
    pub(crate) since: Option<Timestamp>,
    /// What was wrong last, if anything was.
    pub(crate) trouble: Option<String>,
    connections: u64,
}

/// How all nodes are. All clones are one.
#[derive(Debug, Clone, Default)]
pub(crate) struct NodeStatus {
    doors: Arc<Mutex<Vec<NodeDoor>>>,
    callback: Arc<Mutex<Option<SocketAddr>>>,
}

/// The place of one door in the status.
#[derive(Debug, Clone)]
pub(crate) struct NodeState {
    status: NodeStatus,
    index: usize,
    clock: Clock,
}

impl NodeStatus {
    /// All doors, in the order of the settings.
    pub(crate) fn doors(&self) -> Vec<NodeDoor> {
        self.lock().clone()
    }

    /// Where callbacks are taken.
    pub(crate) fn callback(&self) -> Option<SocketAddr> {
        *self.callback.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_callback(&self, address: SocketAddr) {
        *self.callback.lock().unwrap_or_else(PoisonError::into_inner) = Some(address);
    }

    pub(super) fn add(&self, url: String, clock: Clock) -> NodeState {
        let mut doors = self.lock();
        doors.push(NodeDoor { url, works: false, since: None, trouble: None, connections: 0 });
        metrics::nodes(doors.iter().filter(|door| door.works).count(), doors.len());
        NodeState { status: self.clone(), index: doors.len() - 1, clock }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<NodeDoor>> {
        // Each change is one assignment after another of whole values.
        self.doors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NodeState {
    /// It works. Returns whether that is news.
    pub(super) fn found(&self) -> bool {
        self.set(|door| {
            door.connections += 1;
            !std::mem::replace(&mut door.works, true)
        })
    }

    /// It does not work. Returns whether that is news.
    pub(super) fn lost(&self, trouble: String) -> bool {
        self.set(|door| {
            let is_first = door.trouble.replace(trouble).is_none();
            std::mem::replace(&mut door.works, false) || is_first
        })
    }

    /// How often it was found to work.
    pub(super) fn connections(&self) -> u64 {
        self.status.lock().get(self.index).map_or(0, |door| door.connections)
    }

    fn set(&self, change: impl FnOnce(&mut NodeDoor) -> bool) -> bool {
        let mut doors = self.status.lock();
        let Some(door) = doors.get_mut(self.index) else { return false };
        let is_news = change(door);
        if is_news || door.since.is_none() {
            door.since = Some(self.clock.now());
        }
        metrics::nodes(doors.iter().filter(|door| door.works).count(), doors.len());
        is_news
    }
}
