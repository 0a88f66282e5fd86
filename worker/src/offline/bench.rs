//! `dpow-worker bench`.

use anyhow::ensure;
use serde::Serialize;
use shared::Network;
use worker::backend::opencl::Usage;
use worker::backend::{Device, measure};

use super::selftest::fault_of;
use super::table::{Side, table};
use super::{Opened, PROCESSOR, open, print};
use crate::cli;
use crate::configuration::DeviceSettings;

/// A device, or all of them together.
#[derive(Debug, Serialize)]
struct Row {
    /// `cpu`, the number of a device of OpenCL, or `all`.
    device: String,
    name: String,
    /// Why it was not measured.
    failure: Option<String>,
    hashes_per_second: Option<u64>,
    /// Seconds on average.
    receive_s: Option<f64>,
    /// Seconds on average.
    send_s: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Report {
    network: &'static str,
    devices: Vec<Row>,
}

impl Row {
    #[expect(clippy::cast_precision_loss, reason = "an estimate for people")]
    fn measured(device: impl Into<String>, name: impl Into<String>, rate: u64, network: Network) -> Self {
        let seconds = |hashes: f64| (rate > 0).then(|| hashes / rate as f64);
        Self {
            device: device.into(),
            name: name.into(),
            failure: None,
            hashes_per_second: Some(rate),
            receive_s: seconds(network.receive_threshold().expected_hashes()),
            send_s: seconds(network.send_threshold().expected_hashes()),
        }
    }

    fn failed(device: impl Into<String>, name: impl Into<String>, failure: impl Into<String>) -> Self {
        Self {
            device: device.into(),
            name: name.into(),
            failure: Some(failure.into()),
            hashes_per_second: None,
            receive_s: None,
            send_s: None,
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "for people")]
    fn cells(&self) -> [String; 5] {
        let Self { device, name, failure, hashes_per_second, receive_s, send_s } = self;
        let seconds =
            |seconds: &Option<f64>| seconds.map(|seconds| format!("{seconds:.3} s")).unwrap_or_default();
        let rate = match (failure, hashes_per_second) {
            (Some(failure), _) => failure.clone(),
            (None, rate) => format!("{:.2} MH/s", rate.unwrap_or_default() as f64 / 1e6),
        };
        [device.clone(), name.clone(), seconds(receive_s), seconds(send_s), rate]
    }
}

/// Tests each device, measures those that pass, one after the other, and then all of them at once.
pub(super) async fn run(settings: &DeviceSettings, bench: cli::Bench) -> anyhow::Result<()> {
    let fault = fault_of(settings.processor.instructions.as_ref());
    let Opened { processor, others, survey } = open(settings).await?;
    let (network, time) = (settings.network, bench.time());
    let mut rows = Vec::new();
    let mut sound: Vec<(String, Box<dyn Device>)> = Vec::new();
    match fault {
        Some(fault) => rows.push(Row::failed(PROCESSOR, processor.name(), fault)),
        None => sound.push((PROCESSOR.into(), processor)),
    }
    sound.extend(others.into_iter().map(|(number, device)| (number.to_string(), device)));
    let mut devices = Vec::new();
    for (device, opened) in sound {
        let name = opened.name();
        let alone = [opened];
        let rates = measure(&alone, time).await;
        let [opened] = alone;
        rows.push(match opened.failure() {
            Some(failure) => Row::failed(device, name, failure),
            None => Row::measured(device, name, rates.iter().sum(), network),
        });
        devices.push(opened);
    }
    for device in survey.iter().flat_map(|survey| &survey.devices) {
        if let Usage::Failed(reason) = &device.usage {
            rows.push(Row::failed(device.number.to_string(), device.name.clone(), reason.clone()));
        }
    }
    if devices.len() > 1 {
        let rate = measure(&devices, time).await.iter().sum();
        rows.push(Row::measured("all", "at once", rate, network));
    }
    let failed = rows.iter().filter(|row| row.failure.is_some()).count();
    let text = text(&rows, survey.err().map(|reason| reason.to_string()));
    print(bench.form, &Report { network: network.name(), devices: rows }, &text)?;
    ensure!(failed == 0, "{failed} of the devices must not be used: see above");
    Ok(())
}

fn text(rows: &[Row], remark: Option<String>) -> String {
    let headings = [
        ("DEVICE", Side::Left),
        ("NAME", Side::Left),
        ("RECEIVE", Side::Right),
        ("SEND", Side::Right),
        ("RATE", Side::Left),
    ];
    let mut text = table(headings, &rows.iter().map(Row::cells).collect::<Vec<_>>());
    if let Some(remark) = remark {
        text.push_str(&remark);
        text.push('\n');
    }
    text
}
