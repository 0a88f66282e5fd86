//! How a device is made ready: its kernel built or taken from the last time, tried, and tuned.

use std::time::Duration;

use ocl::core::{self, Context, Program};

use super::check::check;
use super::device_queue::DeviceQueue;
use super::error::{DeviceError, call};
use super::kernel;
use super::pace::Pace;
use super::program::{self, Source};
use super::queue::Queue;
use super::store::{Key, Store};
use super::survey::Description;
use super::tuning::{NONCES_PER_ITEM, Tuning, WORK_GROUPS, measure};

/// What is made of a device.
#[derive(Debug, Clone)]
pub(super) struct Recipe {
    /// The kernel.
    pub(super) text: &'static str,
    /// How launches are divided; tried out where it is not given.
    pub(super) tuning: Option<Tuning>,
    /// How long a launch takes.
    pub(super) launch: Duration,
    /// Where programs and tunings are remembered.
    pub(super) store: Store,
}

/// Opens the device, with a queue whose results have been checked.
///
/// # Errors
/// When it cannot be used.
pub(super) fn open(device: &Description, recipe: &Recipe) -> Result<(DeviceQueue, Pace), DeviceError> {
    let context = call("clCreateContext", core::create_context(None, &[device.id], None, None))?;
    let workshop = Workshop { device, recipe, context, identity: device.identity() };
    let queue = match recipe.tuning.or_else(|| workshop.remembered_tuning()) {
        Some(tuning) => workshop.queue(tuning)?,
        None => workshop.tune()?,
    };
    let pace = Pace::new(recipe.launch, queue.granule());
    Ok((queue, pace))
}

struct Workshop<'a> {
    device: &'a Description,
    recipe: &'a Recipe,
    context: Context,
    identity: Vec<String>,
}

impl Workshop<'_> {
    /// A queue whose results are right. A program from the last time that goes wrong is built anew.
    fn queue(&self, tuning: Tuning) -> Result<DeviceQueue, DeviceError> {
        let options = kernel::options(tuning.work_group, self.device.rotation());
        let source = Source { text: self.recipe.text, options, identity: &self.identity };
        let (id, store) = (self.device.id, &self.recipe.store);
        if let Some(program) = program::remembered(&self.context, id, &source, store) {
            match self.checked(&program, tuning) {
                Ok(queue) => return Ok(queue),
                Err(error) => tracing::warn!(%error, "the program from the last time is made anew"),
            }
        }
        let program = program::build(&self.context, id, &source, store)?;
        self.checked(&program, tuning)
    }

    fn checked(&self, program: &Program, tuning: Tuning) -> Result<DeviceQueue, DeviceError> {
        let Tuning { work_group, nonces_per_item } = tuning;
        let mut queue =
            DeviceQueue::open(&self.context, self.device.id, program, work_group, nonces_per_item)?;
        check(&mut queue)?;
        Ok(queue)
    }

    fn tuning_key(&self) -> Key {
        let parts = self.identity.iter().cloned().chain([self.recipe.text.into()]);
        Key { kind: "tuning", parts: parts.collect() }
    }

    fn remembered_tuning(&self) -> Option<Tuning> {
        String::from_utf8(self.recipe.store.load(&self.tuning_key())?).ok()?.parse().ok()
    }

    /// Tries all there is, and remembers what was fastest.
    fn tune(&self) -> Result<DeviceQueue, DeviceError> {
        let mut best: Option<(u64, Tuning)> = None;
        let mut failure = None;
        for work_group in WORK_GROUPS {
            if work_group as usize > self.device.work_group_max {
                continue;
            }
            match self.try_out(work_group) {
                Ok(tried) => best = faster(best, tried),
                // The kernel may need more registers than so many items have.
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        let Some((rate, tuning)) = best else {
            return Err(failure.unwrap_or(DeviceError::Build { log: "its work groups are too small".into() }));
        };
        tracing::info!(device.name = self.device.name, rate, %tuning, "a device has been tuned");
        self.recipe.store.save(&self.tuning_key(), tuning.to_string().as_bytes());
        self.queue(tuning)
    }

    /// The fastest number of nonces for each item in a work group of this size.
    fn try_out(&self, work_group: u32) -> Result<Option<(u64, Tuning)>, DeviceError> {
        let [fewest, ..] = NONCES_PER_ITEM;
        let mut queue = self.queue(Tuning { work_group, nonces_per_item: fewest })?;
        let mut best = None;
        for nonces_per_item in NONCES_PER_ITEM {
            queue.set_nonces_per_item(nonces_per_item)?;
            // On a slow device the smallest launch would take longer than a launch is to take.
            if best.is_some_and(|(rate, _)| !self.is_short(queue.granule(), rate)) {
                break;
            }
            let rate = measure(&mut queue, self.recipe.launch)?;
            tracing::debug!(device.name = self.device.name, work_group, nonces_per_item, rate, "tried");
            let tuning = Tuning { work_group, nonces_per_item };
            best = faster(best, Some((rate, tuning)));
        }
        Ok(best)
    }

    /// Whether a launch of this size takes no longer than one is to take, at this rate.
    fn is_short(&self, size: u64, rate: u64) -> bool {
        u128::from(size) * 1_000_000 <= u128::from(rate) * self.recipe.launch.as_micros()
    }
}

/// The one with the higher rate; of equal ones the first.
fn faster(one: Option<(u64, Tuning)>, other: Option<(u64, Tuning)>) -> Option<(u64, Tuning)> {
    match (one, other) {
        (Some(one), Some(other)) => Some(if other.0 > one.0 { other } else { one }),
        (one, other) => one.or(other),
    }
}
