//! `dpow-worker selftest`.

use anyhow::ensure;
use serde::Serialize;
use worker::backend::cpu::{self, InstructionSet, Instructions};
use worker::backend::opencl::Usage;

use super::{Opened, PROCESSOR, open, print};
use crate::cli::Form;
use crate::configuration::DeviceSettings;

/// What has come of the test of one device, or of one of the processor's instruction sets.
#[derive(Debug, Serialize)]
struct Verdict {
    /// `cpu`, or the number of a device of OpenCL.
    device: String,
    name: String,
    has_passed: bool,
    /// What is wrong.
    reason: Option<String>,
}

impl Verdict {
    fn new(device: impl Into<String>, name: impl Into<String>, reason: Option<String>) -> Self {
        Self { device: device.into(), name: name.into(), has_passed: reason.is_none(), reason }
    }

    fn line(&self) -> String {
        let Self { device, name, reason, .. } = self;
        match reason {
            None => format!("{device} {name}: passed\n"),
            Some(reason) => format!("{device} {name}: failed: {reason}\n"),
        }
    }
}

#[derive(Debug, Serialize)]
struct Report {
    has_passed: bool,
    devices: Vec<Verdict>,
}

/// Tests all instruction sets of the processor, also those that are not used, and all devices of OpenCL that are to be used.
pub(super) async fn run(settings: &DeviceSettings, form: Form) -> anyhow::Result<()> {
    let mut devices: Vec<_> = cpu::available().iter().map(|set| of_processor(set.as_ref())).collect();
    devices.extend(of_opencl(&open(settings).await?));
    let failed = devices.iter().filter(|device| !device.has_passed).count();
    let text: String = devices.iter().map(Verdict::line).collect();
    print(form, &Report { has_passed: failed == 0, devices }, &text)?;
    ensure!(failed == 0, "{failed} of the devices must not be used: see above");
    Ok(())
}

/// The test of an instruction set.
pub(super) fn fault_of(instructions: &dyn Instructions) -> Option<String> {
    cpu::selftest(instructions).err().map(|fault| fault.to_string())
}

fn of_processor(instructions: &dyn Instructions) -> Verdict {
    let set: InstructionSet = instructions.set();
    Verdict::new(PROCESSOR, set.name(), fault_of(instructions))
}

/// A device of OpenCL has been tested when it is open: else it would not be.
fn of_opencl(opened: &Opened) -> Vec<Verdict> {
    let devices = opened.survey.iter().flat_map(|survey| &survey.devices);
    let tested = devices.filter_map(|device| {
        let reason = match &device.usage {
            Usage::Used => None,
            Usage::Failed(reason) => Some(reason.clone()),
            Usage::NotUsed(_) => return None,
        };
        Some(Verdict::new(device.number.to_string(), device.name.clone(), reason))
    });
    tested.collect()
}
