//! One account: which block is its last one, and how often it has a new one.

use core::time::Duration;
use std::collections::BTreeMap;

use shared::pow::Root;
use shared::{Account, ServiceId, Timestamp};

use super::{Frontier, Sight, Watch};
use crate::limits::{GAP_MAX, RHYTHM_MAX};

/// An account that at least one service is interested in.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// Who is interested, and since when each has not used it.
    pub(super) users: BTreeMap<ServiceId, Timestamp>,
    frontier: Option<Root>,
    height: Option<u64>,
    pub(super) confirmed: Option<Timestamp>,
    gap: Option<Duration>,
    pub(super) unused: u32,
    /// For which root it was decided whether to compute it.
    pub(super) planned: Option<Root>,
}

/// What news of an account come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// Its last block is what it was.
    Same,
    /// It has a later one.
    Forward,
    /// They are of an earlier one.
    Older,
    /// They do not tell which one is later.
    Unclear,
}

impl Watched {
    /// Over what the work of its next block is computed: its last block, or its public key if it has none.
    pub(super) fn next_root(&self, account: Account) -> Root {
        self.frontier.unwrap_or(Root::new(*account.public_key()))
    }

    /// Takes in what a node says. Whatever it says, the frontier stays or moves forward: to a block whose predecessor it is, or
    /// that is higher.
    pub(super) fn see(&mut self, now: Timestamp, seen: &Frontier) -> News {
        let news = self.compare(seen);
        match news {
            News::Same => self.height = self.height.or(seen.height.filter(|_| seen.hash.is_some())),
            News::Forward => {
                let height = seen.height.or(self.height.map(|height| height.saturating_add(1)));
                self.keep_rhythm(now, height);
                (self.frontier, self.height) = (seen.hash, height);
                self.unused = self.unused.saturating_add(1);
            }
            News::Older | News::Unclear => {}
        }
        news
    }

    fn compare(&self, seen: &Frontier) -> News {
        let (known, hash) = match (self.frontier, seen.hash) {
            (known, hash) if known == hash => return News::Same,
            (_, None) => return News::Older,
            // The last block of a catch-up need not be confirmed.
            (None, Some(_)) if seen.sight == Sight::CatchUp => return News::Unclear,
            (None, Some(_)) => return News::Forward,
            (Some(known), Some(hash)) => (known, hash),
        };
        if seen.sight != Sight::CatchUp && seen.previous == Some(known) && hash != known {
            return News::Forward;
        }
        match (self.height, seen.height, seen.sight) {
            (Some(known), Some(height), _) if height > known => News::Forward,
            (None, Some(_), Sight::LookUp) => News::Forward,
            (Some(_), Some(_), _) | (_, _, Sight::LookUp) => News::Older,
            _ => News::Unclear,
        }
    }

    /// A service says which block it is building on. It knows better than a node, and pays for it.
    pub(super) fn told(&mut self, account: Account, root: Root) {
        self.frontier = Some(root).filter(|root| root.as_bytes() != account.public_key());
        self.height = None;
    }

    /// Learns from the time between two blocks, each new one counting a quarter. Blocks that were not seen one by one share it.
    fn keep_rhythm(&mut self, now: Timestamp, height: Option<u64>) {
        if let Some(before) = self.confirmed.replace(now) {
            let blocks = height.zip(self.height).map_or(1, |(new, old)| new.saturating_sub(old).max(1));
            let blocks = u32::try_from(blocks).unwrap_or(u32::MAX);
            let gap = (now.since(before) / blocks).min(GAP_MAX);
            self.gap = Some(self.gap.map_or(gap, |usual| (usual * 3 + gap) / 4));
        }
    }

    /// Whether its next block is expected while a work for it is still free.
    pub(super) fn is_regular(&self) -> bool {
        self.gap.is_none_or(|gap| gap <= RHYTHM_MAX)
    }

    /// What is to be kept of it for a service.
    pub(super) fn record(&self, service: ServiceId, account: Account) -> Watch {
        Watch {
            service,
            account,
            used: self.users.get(&service).copied().unwrap_or_default(),
            frontier: self.frontier,
            height: self.height,
            confirmed: self.confirmed,
            gap: self.gap,
            unused: self.unused,
        }
    }

    /// Takes in what was kept. Of two services' records, the one with the later block counts.
    pub(super) fn restore(&mut self, kept: &Watch) {
        let is_later = self.users.is_empty() || self.confirmed < kept.confirmed;
        self.users.insert(kept.service, kept.used);
        if is_later {
            (self.frontier, self.height) = (kept.frontier, kept.height);
            (self.confirmed, self.gap, self.unused) = (kept.confirmed, kept.gap, kept.unused);
        }
    }
}
