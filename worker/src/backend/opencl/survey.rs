//! Which devices OpenCL has, and which of them are used.

use std::fmt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use ocl::core::{self, DeviceId, PlatformId, PlatformInfo, Status};
use ocl::ffi;
use opencl_loader::NotOpened;
use thiserror::Error;

use super::choice::{Choice, Pick};
use super::error::{DeviceError, call};
use super::kernel::Rotation;

/// Held during a survey: some libraries are not up to being asked for their drivers for the first time by several threads at once.
static SURVEY: Mutex<()> = Mutex::new(());

/// Where a device is plugged in (extension `cl_khr_pci_bus_info`).
const PCI_BUS_INFO: u32 = 0x410F;
/// AMD's number as a vendor of PCI devices.
const VENDOR_AMD: u32 = 0x1002;

/// What OpenCL has.
#[derive(Debug, Clone)]
pub struct Survey {
    /// All devices, in the order that their drivers have them.
    pub devices: Vec<Description>,
    /// What the owner has named and is not there.
    pub missing: Vec<Pick>,
}

impl Survey {
    /// A line for people about each device and about what is missing.
    pub fn lines(&self) -> Vec<String> {
        let devices = self.devices.iter().map(|device| format!("{device}: {}", device.usage));
        devices.chain(self.missing.iter().map(|pick| format!("no device is called `{pick}`"))).collect()
    }
}

/// Why OpenCL has no device.
#[derive(Debug, Error)]
pub enum NoDevices {
    /// The owner does not want it.
    #[error("OpenCL is switched off: `opencl.devices` is `off`")]
    Off,
    /// There is no library.
    #[error(transparent)]
    NotOpened(#[from] NotOpened),
    /// There is a library, but no driver.
    #[error(
        "OpenCL is installed, but no driver for it: install the driver of your graphics card with its OpenCL part"
    )]
    NoDriver,
    /// There are drivers, but no devices.
    #[error(
        "OpenCL's drivers ({platforms}) have no device: is the card plugged in, and may this user use it?"
    )]
    NoDevice {
        /// The drivers' names.
        platforms: String,
    },
    /// The library fails.
    #[error("OpenCL does not answer: {0}")]
    Driver(#[from] DeviceError),
    /// The thread that asks it has ended by a panic.
    #[error("OpenCL's start has failed: its library and `ocl` do not understand each other")]
    Panicked,
}

/// A device, for people, and for whoever starts it.
#[derive(Debug, Clone)]
pub struct Description {
    /// Its place in the table, from 0.
    pub number: usize,
    /// What its driver calls it.
    pub name: String,
    /// Who made it.
    pub vendor: String,
    /// The driver's name.
    pub platform: String,
    /// The driver's version.
    pub driver: String,
    /// The version of OpenCL that it speaks.
    pub version: String,
    /// What it is.
    pub kind: Kind,
    /// How many units compute.
    pub compute_units: u32,
    /// Bytes of its memory.
    pub memory_bytes: u64,
    /// Whether it is used.
    pub usage: Usage,
    pub(super) id: DeviceId,
    pub(super) work_group_max: usize,
    vendor_id: u32,
    platform_version: String,
    /// Where it is plugged in, if its driver says so.
    slot: Option<Vec<u8>>,
}

/// What a device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A graphics card.
    Graphics,
    /// Something made for computing.
    Accelerator,
    /// The cores that the worker runs on itself.
    Processor,
    /// Something else.
    Other,
}

/// Whether a device is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Usage {
    /// It is.
    Used,
    /// It is not.
    NotUsed(Reason),
    /// It was to be, but cannot be: a clause for people.
    Failed(String),
}

/// Why a device is not used: a clause for people.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Reason {
    /// It is a processor, and nobody has asked for it.
    #[error("a processor: the worker's own code makes more of it")]
    Processor,
    /// It is neither a graphics card nor an accelerator, and nobody has asked for it.
    #[error("no graphics card")]
    Other,
    /// Others have been named.
    #[error("not among `opencl.devices`")]
    NotChosen,
    /// Another driver has the same card.
    #[error("the same card as number {0}")]
    SameAs(usize),
    /// Its driver says that it cannot be used.
    #[error("not available, says its driver")]
    NotAvailable,
    /// Its driver builds no programs.
    #[error("its driver has no compiler")]
    NoCompiler,
    /// Its words are the other way round.
    #[error("it is big-endian")]
    BigEndian,
}

impl Description {
    /// All that makes a difference to what is built and tuned for it.
    pub(super) fn identity(&self) -> Vec<String> {
        let Self { platform, platform_version, name, vendor, driver, version, .. } = self;
        [platform, platform_version, name, vendor, driver, version].map(Clone::clone).into()
    }

    /// AMD's cards rotate 32 bits in one instruction; for the others the compiler knows best.
    pub(super) fn rotation(&self) -> Rotation {
        if self.kind == Kind::Graphics && self.vendor_id == VENDOR_AMD {
            Rotation::Halves
        } else {
            Rotation::Whole
        }
    }
}

/// As it is told from the others in a line for people.
impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, name, platform, driver, .. } = self;
        write!(f, "{number} {name} ({platform}, driver {driver})")
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Graphics => "graphics card",
            Self::Accelerator => "accelerator",
            Self::Processor => "processor",
            Self::Other => "other",
        })
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Used => f.write_str("used"),
            Self::NotUsed(reason) => write!(f, "not used: {reason}"),
            Self::Failed(reason) => write!(f, "not used: {reason}"),
        }
    }
}

/// Loads OpenCL, from this library or from where the system has it, and lists its devices.
///
/// # Errors
/// [`NoDevices`], if there is none; a sentence for a person.
pub fn survey(choice: &Choice, library: Option<&Path>) -> Result<Survey, NoDevices> {
    if *choice == Choice::Off {
        return Err(NoDevices::Off);
    }
    opencl_loader::open(library)?;
    let _guard = SURVEY.lock().unwrap_or_else(PoisonError::into_inner);
    let platforms = call("clGetPlatformIDs", core::get_platform_ids())?;
    if platforms.is_empty() {
        return Err(NoDevices::NoDriver);
    }
    let mut devices: Vec<Description> = Vec::new();
    for &platform in &platforms {
        for id in device_ids(platform)? {
            let mut device = describe(platform, id, devices.len());
            device.usage = match unusable(&device, id, &devices).or_else(|| unwanted(&device, choice)) {
                Some(reason) => Usage::NotUsed(reason),
                None => Usage::Used,
            };
            devices.push(device);
        }
    }
    if devices.is_empty() {
        let platforms: Vec<_> = platforms.iter().map(|id| platform_text(*id, PlatformInfo::Name)).collect();
        return Err(NoDevices::NoDevice { platforms: platforms.join(", ") });
    }
    let missing = match choice {
        Choice::Listed(picks) => {
            let is_missing = |pick: &&Pick| !devices.iter().any(|device| is_named(device, pick));
            picks.iter().filter(is_missing).cloned().collect()
        }
        Choice::Auto | Choice::All | Choice::Off => Vec::new(),
    };
    Ok(Survey { devices, missing })
}

/// A driver without a device for it answers with an error.
fn device_ids(platform: PlatformId) -> Result<Vec<DeviceId>, DeviceError> {
    let ids = core::get_device_ids(platform, Some(ocl::flags::DeviceType::ALL), None);
    match ids {
        Err(error) if error.api_status() == Some(Status::CL_DEVICE_NOT_FOUND) => Ok(Vec::new()),
        ids => call("clGetDeviceIDs", ids),
    }
}

fn describe(platform: PlatformId, id: DeviceId, number: usize) -> Description {
    let kind = match number_of(id, ffi::CL_DEVICE_TYPE) {
        kind if kind & ffi::CL_DEVICE_TYPE_GPU != 0 => Kind::Graphics,
        kind if kind & ffi::CL_DEVICE_TYPE_ACCELERATOR != 0 => Kind::Accelerator,
        kind if kind & ffi::CL_DEVICE_TYPE_CPU != 0 => Kind::Processor,
        _ => Kind::Other,
    };
    let narrow = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    Description {
        number,
        name: text_of(id, ffi::CL_DEVICE_NAME),
        vendor: text_of(id, ffi::CL_DEVICE_VENDOR),
        platform: platform_text(platform, PlatformInfo::Name),
        driver: text_of(id, ffi::CL_DRIVER_VERSION),
        version: text_of(id, ffi::CL_DEVICE_VERSION),
        kind,
        compute_units: narrow(number_of(id, ffi::CL_DEVICE_MAX_COMPUTE_UNITS)),
        memory_bytes: number_of(id, ffi::CL_DEVICE_GLOBAL_MEM_SIZE),
        usage: Usage::Used,
        id,
        work_group_max: usize::try_from(number_of(id, ffi::CL_DEVICE_MAX_WORK_GROUP_SIZE))
            .unwrap_or(usize::MAX),
        vendor_id: narrow(number_of(id, ffi::CL_DEVICE_VENDOR_ID)),
        platform_version: platform_text(platform, PlatformInfo::Version),
        slot: Some(bytes_of(id, PCI_BUS_INFO)).filter(|slot| !slot.is_empty()),
    }
}

/// Why nobody can use the device.
fn unusable(device: &Description, id: DeviceId, before: &[Description]) -> Option<Reason> {
    // What the driver does not answer is taken for good; opening the device will show.
    let is_false = |name| bytes_of(id, name).first() == Some(&0);
    let is_same = |other: &&Description| {
        device.slot.is_some() && other.slot == device.slot && other.usage == Usage::Used
    };
    if is_false(ffi::CL_DEVICE_AVAILABLE) {
        return Some(Reason::NotAvailable);
    }
    if is_false(ffi::CL_DEVICE_COMPILER_AVAILABLE) {
        return Some(Reason::NoCompiler);
    }
    if is_false(ffi::CL_DEVICE_ENDIAN_LITTLE) {
        return Some(Reason::BigEndian);
    }
    before.iter().find(is_same).map(|other| Reason::SameAs(other.number))
}

/// Why the owner does not want it to be used.
fn unwanted(device: &Description, choice: &Choice) -> Option<Reason> {
    match choice {
        Choice::All => None,
        Choice::Listed(picks) => {
            (!picks.iter().any(|pick| is_named(device, pick))).then_some(Reason::NotChosen)
        }
        Choice::Off => Some(Reason::NotChosen),
        Choice::Auto => match device.kind {
            Kind::Graphics | Kind::Accelerator => None,
            Kind::Processor => Some(Reason::Processor),
            Kind::Other => Some(Reason::Other),
        },
    }
}

fn is_named(device: &Description, pick: &Pick) -> bool {
    pick.names(device.number, &[&device.name, &device.platform, &device.vendor])
}

/// What the driver answers, or nothing if it does not.
fn bytes_of(id: DeviceId, name: u32) -> Vec<u8> {
    core::get_device_info_raw(id, name).unwrap_or_default()
}

/// A number of 4 or 8 bytes; 0 if there is none.
fn number_of(id: DeviceId, name: u32) -> u64 {
    let mut bytes = bytes_of(id, name);
    bytes.resize(8, 0);
    bytes.try_into().map_or(0, u64::from_le_bytes)
}

fn text_of(id: DeviceId, name: u32) -> String {
    trimmed(&String::from_utf8_lossy(&bytes_of(id, name)))
}

fn platform_text(platform: PlatformId, name: PlatformInfo) -> String {
    core::get_platform_info(platform, name).map_or_else(|_| String::new(), |text| trimmed(&text.to_string()))
}

/// Drivers pad their texts with zeros and spaces.
fn trimmed(text: &str) -> String {
    text.split(['\0', ' ', '\n', '\t']).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}
