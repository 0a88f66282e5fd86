//! The device that the tests use.

use std::io::{Write, stderr};
use std::path::Path;
use std::time::Duration;

use ocl::core;
use shared::pow::{Nonce, Root, Threshold};

use crate::backend::opencl::device_queue::DeviceQueue;
use crate::backend::opencl::kernel::{self, Rotation};
use crate::backend::opencl::open::Recipe;
use crate::backend::opencl::program::{self, Source};
use crate::backend::opencl::queue::{Job, Queue};
use crate::backend::opencl::store::Store;
use crate::backend::opencl::tuning::Tuning;
use crate::backend::opencl::{Choice, Description, survey};

/// `PoCL`, which `./check` installs. Where it is not, it is said aloud that `what` is not tested.
pub(super) fn pocl(what: &str) -> Option<Description> {
    let survey = survey(&Choice::All, None);
    let devices = survey.as_ref().map(|survey| survey.devices.clone()).unwrap_or_default();
    let pocl = devices.into_iter().find(|device| device.platform == "Portable Computing Language");
    if pocl.is_none() {
        assert!(!Path::new("/etc/OpenCL/vendors/pocl.icd").exists(), "PoCL is installed, but: {survey:?}");
        // Past the test harness, which would keep it. If nobody can hear it, nobody misses it.
        let _ = writeln!(stderr(), "SKIPPED for want of PoCL (Debian: pocl-opencl-icd): {what}");
    }
    pocl
}

/// The kernel as it is used, with small work groups, for `PoCL` is slow.
pub(super) fn recipe() -> Recipe {
    let tuning = Tuning { work_group: 64, nonces_per_item: 16 };
    Recipe {
        text: kernel::TEXT,
        tuning: Some(tuning),
        launch: Duration::from_millis(5),
        store: Store::new(None),
    }
}

/// A queue for trying single ranges.
pub(super) struct Range {
    queue: DeviceQueue,
    jobs: u32,
}

impl Range {
    /// Launches with this many items in a group and nonces for each item.
    pub(super) fn open(
        device: &Description,
        work_group: u32,
        nonces_per_item: u32,
        rotation: Rotation,
    ) -> Self {
        let context = core::create_context(None, &[device.id], None, None).unwrap();
        let options = kernel::options(work_group, rotation);
        let source = Source { text: kernel::TEXT, options, identity: &[] };
        let program = program::build(&context, device.id, &source, &Store::new(None)).unwrap();
        let queue = DeviceQueue::open(&context, device.id, &program, work_group, nonces_per_item).unwrap();
        Self { queue, jobs: 0 }
    }

    /// The hit that the device reports of `size` nonces from `start` on.
    pub(super) fn search(
        &mut self,
        root: &Root,
        threshold: Threshold,
        start: Nonce,
        size: u64,
    ) -> Option<Nonce> {
        self.jobs += 1;
        self.queue.take_up(&Job { number: self.jobs, root: *root, threshold }).unwrap();
        self.queue.enqueue(start, size).unwrap();
        self.queue.wait().unwrap().hit
    }

    /// What sizes are multiples of.
    pub(super) fn granule(&self) -> u64 {
        self.queue.granule()
    }
}
