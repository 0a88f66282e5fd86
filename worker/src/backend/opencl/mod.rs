//! Graphics cards and whatever else speaks OpenCL.
//!
//! [`survey`] lists the devices, [`start`] makes the chosen ones ready. Each has a thread of its own, which alone speaks with
//! the driver (`pilot` is its loop, over the trait of `queue`), and one that watches it. What goes wrong with a device puts
//! that device out of service and nothing else.

mod check;
mod choice;
mod desk;
mod device;
mod device_queue;
mod error;
mod kernel;
mod open;
mod pace;
mod pilot;
mod program;
mod queue;
mod store;
mod survey;
mod tuning;

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

pub use choice::{Choice, Pick};
pub use device::Opencl;
pub use error::DeviceError;
pub use survey::{Description, Kind, NoDevices, Reason, Survey, Usage, survey};

use self::device::Patience;
use self::open::{Recipe, open};
use self::store::Store;
use super::Found;

/// How long a launch takes unless the owner says otherwise: two are under way, so an order to stop is obeyed within 10 ms.
pub const LAUNCH_DEFAULT: Duration = Duration::from_millis(5);

/// What the owner wants.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Which devices are used.
    pub devices: Choice,
    /// The library; the system's when absent.
    pub library: Option<PathBuf>,
    /// How long a launch takes. Longer ones are no faster by more than a hundredth; shorter ones leave more of a card to the
    /// display.
    pub launch: Duration,
    /// Where built programs and tunings are remembered; nowhere when absent.
    pub folder: Option<PathBuf>,
}

impl Default for Settings {
    /// Graphics cards, and nothing remembered.
    fn default() -> Self {
        Self { devices: Choice::Auto, library: None, launch: LAUNCH_DEFAULT, folder: None }
    }
}

/// Opens the devices of the survey that are used, all at the same time, and waits until each is ready or has failed. That takes
/// seconds when a device is new, for its compiler is slow and launches are tried out; what has come of it is remembered.
pub fn start(
    survey: &Survey,
    settings: &Settings,
    found: &UnboundedSender<Found>,
) -> Vec<(Description, Result<Opencl, DeviceError>)> {
    let recipe = Recipe {
        text: kernel::TEXT,
        tuning: None,
        launch: settings.launch,
        store: Store::new(settings.folder.as_deref()),
    };
    let used = survey.devices.iter().filter(|device| device.usage == Usage::Used);
    thread::scope(|scope| {
        let starting: Vec<_> = used
            .map(|device| (device, scope.spawn(|| start_one(device.clone(), recipe.clone(), found.clone()))))
            .collect();
        let started = starting.into_iter().map(|(device, thread)| {
            let opened = thread
                .join()
                .unwrap_or_else(|_| Err(DeviceError::Panicked { message: "at its start".into() }));
            if let Err(error) = &opened {
                tracing::error!(device.name = device.name, reason = %error, "a device is not used");
            }
            (device.clone(), opened)
        });
        started.collect()
    })
}

fn start_one(
    device: Description,
    recipe: Recipe,
    found: UnboundedSender<Found>,
) -> Result<Opencl, DeviceError> {
    Opencl::start(device.name.clone(), Patience::default(), found, move || open(&device, &recipe))
}

#[cfg(test)]
mod tests;
