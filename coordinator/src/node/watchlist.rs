//! Which accounts are of interest, and which are to be read.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use shared::Account;
use tokio::sync::{Notify, broadcast};

/// Changes that a feed may be behind before it is told everything anew.
const CHANGES_MAX: usize = 4096;

/// An account that has become of interest, or is no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) account: Account,
    pub(super) is_watched: bool,
}

/// The accounts that are watched. All clones are one.
#[derive(Debug, Clone)]
pub(crate) struct Watchlist(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    watched: RwLock<BTreeSet<Account>>,
    changes: broadcast::Sender<Change>,
    to_read: Mutex<ToRead>,
    is_more_to_read: Notify,
}

/// What nodes are to be asked. Always: only what is or was watched, so no more than that.
#[derive(Debug, Default)]
struct ToRead {
    /// Of these, the last block.
    frontiers: BTreeSet<Account>,
    /// Of these, the last confirmed block and its height.
    heights: BTreeSet<Account>,
}

/// What a node is asked next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NextRead {
    Frontiers(Vec<Account>),
    Height(Account),
}

impl Watchlist {
    /// Of these accounts.
    pub(crate) fn new(watched: impl IntoIterator<Item = Account>) -> Self {
        Self(Arc::new(Inner {
            watched: RwLock::new(watched.into_iter().collect()),
            changes: broadcast::channel(CHANGES_MAX).0,
            to_read: Mutex::default(),
            is_more_to_read: Notify::new(),
        }))
    }

    /// An account is of interest from now on, or no longer.
    pub(crate) fn set(&self, account: Account, is_watched: bool) {
        let mut watched = self.0.watched.write().unwrap_or_else(PoisonError::into_inner);
        if is_watched {
            watched.insert(account);
            self.to_read().frontiers.insert(account);
            self.0.is_more_to_read.notify_one();
        } else {
            watched.remove(&account);
        }
        // Without a feed nobody is told.
        let _ = self.0.changes.send(Change { account, is_watched });
    }

    /// A node is to be asked for the height of an account's last confirmed block.
    pub(crate) fn look_up(&self, account: Account) {
        self.to_read().heights.insert(account);
        self.0.is_more_to_read.notify_one();
    }

    /// All frontiers are to be read.
    pub(super) fn read_all(&self) {
        let watched = self.all();
        self.to_read().frontiers.extend(watched);
        self.0.is_more_to_read.notify_one();
    }

    pub(super) fn contains(&self, account: Account) -> bool {
        self.0.watched.read().unwrap_or_else(PoisonError::into_inner).contains(&account)
    }

    pub(super) fn all(&self) -> Vec<Account> {
        self.0.watched.read().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }

    /// How many accounts are watched.
    pub(crate) fn len(&self) -> usize {
        self.0.watched.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Changes from now on.
    pub(super) fn changes(&self) -> broadcast::Receiver<Change> {
        self.0.changes.subscribe()
    }

    /// Takes what is to be read next, at most so many frontiers at a time.
    pub(super) fn take_read(&self, count: usize) -> Option<NextRead> {
        let mut to_read = self.to_read();
        if let Some(account) = to_read.heights.pop_first() {
            return Some(NextRead::Height(account));
        }
        let accounts: Vec<Account> = to_read.frontiers.iter().copied().take(count).collect();
        for account in &accounts {
            to_read.frontiers.remove(account);
        }
        (!accounts.is_empty()).then_some(NextRead::Frontiers(accounts))
    }

    /// Puts back what could not be read.
    pub(super) fn put_back(&self, read: NextRead) {
        let mut to_read = self.to_read();
        match read {
            NextRead::Frontiers(accounts) => to_read.frontiers.extend(accounts),
            NextRead::Height(account) => {
                to_read.heights.insert(account);
            }
        }
        drop(to_read);
        // For a node that does answer.
        self.0.is_more_to_read.notify_one();
    }

    /// Waits until there may be something to read.
    pub(super) async fn more_to_read(&self) {
        self.0.is_more_to_read.notified().await;
    }

    fn to_read(&self) -> MutexGuard<'_, ToRead> {
        // Sets that no panic leaves half changed.
        self.0.to_read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_read_once_and_what_decides_first_goes_first() {
        let account = |number| Account::from_public_key([number; 32]);
        let list = Watchlist::new([account(1), account(2)]);
        assert_eq!(list.take_read(9), None);
        list.set(account(3), true);
        list.set(account(1), false);
        list.read_all();
        list.look_up(account(2));
        list.look_up(account(2));
        assert_eq!(list.take_read(1), Some(NextRead::Height(account(2))));
        assert_eq!(list.take_read(1), Some(NextRead::Frontiers(vec![account(2)])));
        list.put_back(NextRead::Frontiers(vec![account(2)]));
        assert_eq!(list.take_read(9), Some(NextRead::Frontiers(vec![account(2), account(3)])));
        assert_eq!(list.take_read(9), None);
        assert!(list.contains(account(3)) && !list.contains(account(1)));
        assert_eq!(list.len(), 2);
    }
}
