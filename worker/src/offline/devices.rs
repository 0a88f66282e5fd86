//! `dpow-worker devices`.

use serde::Serialize;
use worker::backend::cpu;
use worker::backend::opencl::{Description, Survey, Usage};

use super::table::{Side, table};
use super::{PROCESSOR, available_sets, open, print, processor_name};
use crate::cli::Form;
use crate::configuration::DeviceSettings;

/// What is printed as JSON.
#[derive(Debug, Serialize)]
struct Report {
    processor: Processor,
    opencl: OpenCl,
}

#[derive(Debug, Serialize)]
struct Processor {
    name: Option<String>,
    threads: usize,
    /// The instruction set that is used.
    instructions: &'static str,
    /// Those that the processor has, the fastest first.
    available: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
struct OpenCl {
    /// Why there is no device.
    problem: Option<String>,
    devices: Vec<Row>,
    /// What has been named and is not there.
    missing: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Row {
    number: usize,
    name: String,
    vendor: String,
    platform: String,
    driver: String,
    version: String,
    kind: String,
    compute_units: u32,
    memory_bytes: u64,
    is_used: bool,
    /// Why it is not used.
    reason: Option<String>,
}

/// Opens all devices, for what cannot be opened cannot be used, and prints them.
pub(super) async fn run(settings: &DeviceSettings, form: Form) -> anyhow::Result<()> {
    let opened = open(settings).await?;
    let cpu::Settings { instructions, threads, .. } = &settings.processor;
    let processor = Processor {
        name: processor_name(),
        threads: threads.get(),
        instructions: instructions.set().as_str(),
        available: available_sets(),
    };
    let opencl = match &opened.survey {
        Ok(survey) => OpenCl {
            problem: None,
            devices: survey.devices.iter().map(row).collect(),
            missing: survey.missing.iter().map(ToString::to_string).collect(),
        },
        Err(reason) => OpenCl { problem: Some(reason.to_string()), devices: Vec::new(), missing: Vec::new() },
    };
    let text = text(&processor, instructions.set().name(), opened.survey.as_ref().ok(), &opencl);
    print(form, &Report { processor, opencl }, &text)
}

fn row(device: &Description) -> Row {
    Row {
        number: device.number,
        name: device.name.clone(),
        vendor: device.vendor.clone(),
        platform: device.platform.clone(),
        driver: device.driver.clone(),
        version: device.version.clone(),
        kind: device.kind.to_string(),
        compute_units: device.compute_units,
        memory_bytes: device.memory_bytes,
        is_used: device.usage == Usage::Used,
        reason: match &device.usage {
            Usage::Used => None,
            Usage::NotUsed(reason) => Some(reason.to_string()),
            Usage::Failed(reason) => Some(reason.clone()),
        },
    }
}

fn text(processor: &Processor, instructions: &str, survey: Option<&Survey>, opencl: &OpenCl) -> String {
    let Processor { name, threads, available, .. } = processor;
    let mut rows = vec![[
        PROCESSOR.to_owned(),
        name.clone().unwrap_or_else(|| "processor".into()),
        String::new(),
        String::new(),
        format!("used: {threads} threads, {instructions} (it has {})", available.join(", ")),
    ]];
    let devices = survey.map(|survey| survey.devices.as_slice()).unwrap_or_default();
    rows.extend(devices.iter().map(|device| {
        let Description { number, name, platform, driver, compute_units, usage, .. } = device;
        [
            number.to_string(),
            name.clone(),
            format!("{platform}, driver {driver}"),
            compute_units.to_string(),
            usage.to_string(),
        ]
    }));
    let headings = [
        ("DEVICE", Side::Left),
        ("NAME", Side::Left),
        ("DRIVER", Side::Left),
        ("UNITS", Side::Right),
        ("USE", Side::Left),
    ];
    let mut text = table(headings, &rows);
    let remarks = opencl.missing.iter().map(|name| format!("no device is called `{name}`"));
    for remark in opencl.problem.iter().cloned().chain(remarks) {
        text.push_str(&remark);
        text.push('\n');
    }
    text
}
