//! Graphics cards and whatever else speaks OpenCL.
//!
//! [`survey()`] lists the devices, [`start`] makes the chosen ones ready. Each has a thread of its own, which alone speaks with
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
use std::time::Duration;
use std::{io, thread};

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

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
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// The devices that are ready, and what has become of the others.
#[derive(Debug)]
pub struct Started {
    /// Those that are ready: those of the survey that are used, in its order.
    pub devices: Vec<Opencl>,
    /// All devices, or why there is none.
    pub survey: Result<Survey, NoDevices>,
}

impl Started {
    /// A line for people about each device and about what is missing.
    pub fn lines(&self) -> Vec<String> {
        match &self.survey {
            Ok(survey) => survey.lines(),
            Err(reason) => vec![reason.to_string()],
        }
    }
}

/// Loads OpenCL and opens the devices that are used, on threads of their own. What they find goes to `found`. All are opened at
/// the same time, and that takes seconds when a device is new, for its compiler is slow and launches are tried out; what has come
/// of it is remembered. Nothing that goes wrong is an error: it is a line.
///
/// # Errors
/// When the system refuses a thread.
pub fn start(
    settings: Settings,
    found: UnboundedSender<Found>,
) -> io::Result<impl Future<Output = Started> + Send + use<>> {
    let (sender, started) = oneshot::channel();
    // Not tokio's threads for blocking work, which the end of a program would wait for.
    thread::Builder::new().name("opencl-start".into()).spawn(move || {
        // Whoever asked may have left.
        let _ = sender.send(start_blocking(&settings, &found));
    })?;
    Ok(async move {
        started.await.unwrap_or_else(|_| Started { devices: Vec::new(), survey: Err(NoDevices::Panicked) })
    })
}

fn start_blocking(settings: &Settings, found: &UnboundedSender<Found>) -> Started {
    let mut survey = match survey(&settings.devices, settings.library.as_deref()) {
        Ok(survey) => survey,
        Err(reason) => return Started { devices: Vec::new(), survey: Err(reason) },
    };
    let recipe = Recipe {
        text: kernel::TEXT,
        tuning: None,
        launch: settings.launch,
        store: Store::new(settings.folder.as_deref()),
    };
    let mut devices = Vec::new();
    thread::scope(|scope| {
        let starting = survey.devices.iter_mut().filter(|device| device.usage == Usage::Used).map(|device| {
            let (copy, recipe, found) = (device.clone(), recipe.clone(), found.clone());
            (device, scope.spawn(move || start_one(copy, recipe, found)))
        });
        for (device, thread) in starting.collect::<Vec<_>>() {
            match thread.join() {
                Ok(Ok(opened)) => devices.push(opened),
                Ok(Err(error)) => device.usage = Usage::Failed(error.to_string()),
                Err(_) => device.usage = Usage::Failed("its start has failed".into()),
            }
        }
    });
    Started { devices, survey: Ok(survey) }
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
