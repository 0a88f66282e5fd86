//! What the owner wants of the processor.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;

use super::{Instructions, fastest};

/// How the processor is used.
#[derive(Debug, Clone)]
pub struct Settings {
    /// With which instruction set.
    pub instructions: Arc<dyn Instructions>,
    /// How many threads search.
    pub threads: NonZeroUsize,
    /// Whether each thread stays on a core of its own. Only on Linux.
    pub is_pinned: bool,
    /// Whether everything else on the machine goes before. Only on Linux.
    pub has_low_priority: bool,
}

impl Default for Settings {
    /// The fastest instruction set, one thread for each core that this process may use, at low priority.
    fn default() -> Self {
        Self {
            instructions: fastest(),
            threads: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            is_pinned: false,
            has_low_priority: true,
        }
    }
}
