//! What the program does with the devices without a server.

mod bench;
mod devices;
mod selftest;
mod table;

use std::io::{Write, stdout};

use serde::Serialize;
use tokio::sync::mpsc::unbounded_channel;
use worker::backend::Device;
use worker::backend::cpu::{self, Pool};
use worker::backend::opencl::{self, NoDevices, Survey, Usage};

use crate::cli::{Form, Offline};
use crate::configuration::DeviceSettings;

/// Does it, and prints what has come of it.
pub(crate) async fn run(task: Offline, settings: DeviceSettings) -> anyhow::Result<()> {
    match task {
        Offline::Devices(form) => devices::run(&settings, form).await,
        Offline::Selftest(form) => selftest::run(&settings, form).await,
        Offline::Bench(bench) => bench::run(&settings, bench).await,
    }
}

/// All devices, opened as a worker opens them.
struct Opened {
    processor: Box<dyn Device>,
    /// Those of OpenCL that are used, with their number and their name.
    others: Vec<(usize, Box<dyn Device>)>,
    survey: Result<Survey, NoDevices>,
}

/// Opens the processor's threads and the devices of OpenCL. What they would find goes nowhere, for they are given nothing to find.
async fn open(settings: &DeviceSettings) -> anyhow::Result<Opened> {
    let (found, _) = unbounded_channel();
    let processor = Box::new(Pool::start(&settings.processor, found.clone())?);
    let started = opencl::start(settings.opencl.clone(), found)?.await;
    let used =
        started.survey.iter().flat_map(|survey| &survey.devices).filter(|device| device.usage == Usage::Used);
    let numbers: Vec<usize> = used.map(|device| device.number).collect();
    let others =
        numbers.into_iter().zip(started.devices.into_iter().map(|device| Box::new(device) as _)).collect();
    Ok(Opened { processor, others, survey: started.survey })
}

/// The processor, as devices are told from each other.
const PROCESSOR: &str = "cpu";

/// What the processor calls itself; nothing where it is not known how it is asked.
fn processor_name() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    name.map(|(_, name)| name.trim().to_owned())
}

/// The words of the instruction sets that the processor has.
fn available_sets() -> Vec<&'static str> {
    cpu::available().iter().map(|instructions| instructions.set().as_str()).collect()
}

/// Prints a report in the form that is wanted. A reader that has gone away does not mind.
fn print(form: Form, json: &impl Serialize, text: &str) -> anyhow::Result<()> {
    let text = if form.json { serde_json::to_string(json)? + "\n" } else { text.to_owned() };
    let _ = stdout().write_all(text.as_bytes());
    Ok(())
}
