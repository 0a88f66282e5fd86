//! An instruction set that writes down when it begins and ends with which root.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Instant;

use shared::pow::{Nonce, Root, Threshold};
use worker::backend::cpu::{InstructionSet, Instructions, fastest};

/// What one thread did for one root, without a break.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stint {
    pub(crate) thread: ThreadId,
    pub(crate) root: Root,
    /// When its first nonce was tried.
    pub(crate) began: Instant,
    /// When its last call ended.
    pub(crate) ended: Instant,
    /// Whether that call has found something.
    pub(crate) has_found: bool,
}

/// The fastest instruction set, observed. What it costs is two looks at the clock and a lock for each call, which takes a millisecond.
#[derive(Debug)]
pub(crate) struct Observed {
    real: Arc<dyn Instructions>,
    stints: Mutex<Vec<Stint>>,
}

impl Observed {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { real: fastest(), stints: Mutex::default() })
    }

    /// What has been done since the last time.
    pub(crate) fn take(&self) -> Vec<Stint> {
        core::mem::take(&mut self.stints.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Instructions for Observed {
    fn set(&self) -> InstructionSet {
        self.real.set()
    }

    fn search(&self, root: &Root, threshold: Threshold, start: Nonce, count: u32) -> Option<Nonce> {
        let (began, thread) = (Instant::now(), thread::current().id());
        let found = self.real.search(root, threshold, start, count);
        let (ended, has_found) = (Instant::now(), found.is_some());
        let mut stints = self.stints.lock().unwrap_or_else(PoisonError::into_inner);
        match stints.iter_mut().rev().find(|stint| stint.thread == thread) {
            Some(stint) if stint.root == *root && !stint.has_found => {
                (stint.ended, stint.has_found) = (ended, has_found);
            }
            _ => stints.push(Stint { thread, root: *root, began, ended, has_found }),
        }
        found
    }
}
