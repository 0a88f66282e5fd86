//! `dpow worker`.

use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use shared::protocol::{Backend, DeviceReport};
use shared::{Network, Payee, WorkerId};

use super::table::{Side, Table};
use super::{Office, foreign_reply, wording};
use crate::administration::reply::{Ban, Worker};
use crate::administration::{Change, Read, Reply};
use crate::sessions::ResultCounts;
use crate::store::{Reason, WorkerSubject};

#[derive(Debug, Subcommand)]
pub(super) enum WorkerCommand {
    /// List the workers that are connected
    List(List),
    /// Show a worker, or all that are paid to an address: connections, earnings and bans
    Show {
        /// The id of a worker, or an address
        worker: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Shut out a worker, or all that are paid to an address; what they have earned stays theirs
    Ban {
        /// The id of a worker, or an address
        worker: String,
        /// Why: up to 200 characters, for other operators
        #[arg(long, value_name = "TEXT")]
        reason: Reason,
        /// For how long, such as 7d [default: until the ban is lifted]
        #[arg(long = "for", value_name = "TIME", value_parser = wording::duration)]
        duration: Option<Duration>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Lift a ban
    Unban {
        /// The id of a worker, or an address, as it was banned
        worker: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Also those that have earned something and are not connected; reads every settlement
    #[arg(long, conflicts_with = "banned")]
    all: bool,
    /// Those that are shut out instead
    #[arg(long)]
    banned: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

impl WorkerCommand {
    /// Does it.
    ///
    /// # Errors
    /// In one sentence, what is wrong and what to do.
    pub(super) async fn run(self, office: &Office<'_>) -> anyhow::Result<()> {
        match self {
            Self::List(list) => list.run(office).await,
            Self::Show { worker, json } => show(office, subject(&worker, office.network())?, json).await,
            Self::Ban { worker, reason, duration, json } => {
                ban(office, subject(&worker, office.network())?, reason, duration, json).await
            }
            Self::Unban { worker, json } => unban(office, subject(&worker, office.network())?, json).await,
        }
    }
}

/// Reads a worker's id or an address of this network; an address that is wrong is told where.
fn subject(text: &str, network: Network) -> anyhow::Result<WorkerSubject> {
    if let Ok(worker) = text.parse() {
        return Ok(WorkerSubject::Worker(worker));
    }
    match network.parse_address(text) {
        Ok(account) => Ok(WorkerSubject::Account(account)),
        Err(error) if text.contains('_') => Err(error).context(format!("{text} is no address")),
        Err(_) => bail!(
            "{text} names no worker: that is an id of {} characters, as `dpow worker list` shows it, or an address",
            WorkerId::LENGTH
        ),
    }
}

impl List {
    async fn run(self, office: &Office<'_>) -> anyhow::Result<()> {
        if self.banned {
            let Reply::Bans(bans) = office.read(Read::Bans).await? else { return Err(foreign_reply()) };
            if self.json {
                return office.console.json_lines(&bans);
            }
            office.console.lines(ban_lines(&bans, office.network()));
            return Ok(());
        }
        let answered = office.destination.read(Read::Workers { all: self.all }).await?;
        let Reply::Workers(workers) = answered.reply else { return Err(foreign_reply()) };
        if self.json {
            return office.console.json_lines(&workers);
        }
        if workers.is_empty() {
            office.console.line(match (answered.by_server, self.all) {
                (_, true) => "no worker has ever earned anything here",
                (true, false) => "no worker is connected; see those that were with `--all`",
                (false, false) => {
                    "no server runs, so no worker is connected; see those that were with `--all`"
                }
            });
            return Ok(());
        }
        office.console.lines(worker_lines(&workers, office.network()));
        Ok(())
    }
}

async fn show(office: &Office<'_>, subject: WorkerSubject, json: bool) -> anyhow::Result<()> {
    let Reply::Worker { workers, bans } = office.read(Read::Worker { subject }).await? else {
        return Err(foreign_reply());
    };
    if json {
        return office.console.json(&serde_json::json!({ "workers": workers, "bans": bans }));
    }
    for worker in &workers {
        office.console.lines(portrait(worker, office.network()));
    }
    if !bans.is_empty() {
        office.console.lines(ban_lines(&bans, office.network()));
    }
    Ok(())
}

async fn ban(
    office: &Office<'_>,
    subject: WorkerSubject,
    reason: Reason,
    duration: Option<Duration>,
    json: bool,
) -> anyhow::Result<()> {
    let for_s = duration.map(|duration| duration.as_secs());
    let reply = office.change(Change::BanWorker { subject, reason, for_s }).await?;
    let Reply::WorkerBanned(ban) = reply else { return Err(foreign_reply()) };
    if json {
        return office.console.json(&ban);
    }
    let until = wording::time_or(ban.ends_at_us, "the ban is lifted");
    office.console.line(&format!("{} is banned until {until}", subject_text(ban.subject, office.network())));
    Ok(())
}

async fn unban(office: &Office<'_>, subject: WorkerSubject, json: bool) -> anyhow::Result<()> {
    let Reply::WorkerUnbanned { subject, changed } = office.change(Change::UnbanWorker { subject }).await?
    else {
        return Err(foreign_reply());
    };
    if json {
        return office.console.json(&serde_json::json!({ "subject": subject, "changed": changed }));
    }
    let text = subject_text(subject, office.network());
    office.console.line(&if changed {
        format!("the ban of {text} is lifted")
    } else {
        format!("{text} was not banned; nothing has changed. Bans: `dpow worker list --banned`")
    });
    Ok(())
}

fn subject_text(subject: WorkerSubject, network: Network) -> String {
    match subject {
        WorkerSubject::Worker(worker) => worker.to_string(),
        WorkerSubject::Account(account) => network.format_address(account),
    }
}

fn worker_lines(workers: &[Worker], network: Network) -> Vec<String> {
    let mut table = Table::new([
        ("WORKER", Side::Left),
        ("PAID TO", Side::Left),
        ("RATE", Side::Right),
        ("CONNECTED", Side::Left),
        ("WORKS", Side::Right),
        ("EARNED", Side::Right),
    ]);
    for Worker { worker, payee, connection, total } in workers {
        let of_connection = |text: fn(&crate::administration::reply::Connection) -> String| {
            connection.as_ref().map_or_else(|| "-".into(), text)
        };
        table.row([
            worker.to_string(),
            match payee {
                Payee::Account(account) => wording::short_address(*account, network),
                Payee::House => payee.to_string(),
            },
            of_connection(|connection| wording::rate(connection.hashes_per_second)),
            of_connection(|connection| wording::time(connection.connected_at_us)),
            total.map_or_else(|| "-".into(), |total| total.works.to_string()),
            total.map_or_else(|| "-".into(), |total| total.earned_mc.to_string()),
        ]);
    }
    table.lines()
}

fn portrait(worker: &Worker, network: Network) -> Vec<String> {
    let mut lines = vec![
        format!("worker     {}", worker.worker),
        match worker.payee {
            Payee::Account(account) => format!("paid to    {}", network.format_address(account)),
            Payee::House => "paid to    the house: it is the one built in".into(),
        },
    ];
    match &worker.connection {
        Some(connection) => {
            let since = wording::time(connection.connected_at_us);
            let rate = wording::rate(connection.hashes_per_second);
            let doing = match (connection.ready, connection.paused) {
                (false, _) => ", which has not said yet what it is willing to do".into(),
                (true, true) => ", paused".into(),
                (true, false) => format!(", {rate}, {} jobs on its list", connection.jobs),
            };
            lines.push(format!("connected  since {since} from {}{doing}", connection.address));
            lines.extend(connection.devices.iter().map(device_line));
            lines.push(format!("results    {} since then", results_text(&connection.results)));
        }
        None => lines.push("connected  no".into()),
    }
    lines.push(match worker.total {
        Some(total) => format!(
            "earned     {} credits with {} works, the last at {}",
            total.earned_mc,
            total.works,
            wording::time(total.last_at_us)
        ),
        None => "earned     nothing yet".into(),
    });
    lines.push(String::new());
    lines
}

fn device_line(device: &DeviceReport) -> String {
    let backend = match device.backend {
        Backend::Cpu => "processor",
        Backend::OpenCl => "OpenCL",
        Backend::WebGpu => "WebGPU",
        Backend::Wasm => "WebAssembly",
    };
    // The worker's own word, which may not move the cursor of the terminal.
    let name = device.name.escape_debug();
    format!("device     {name} ({backend}), {}", wording::rate(device.hashes_per_second))
}

fn results_text(results: &ResultCounts) -> String {
    let ResultCounts { accepted, late, cancelled, duplicate, unknown_job, below_threshold, never_given } =
        *results;
    let counts = [
        (accepted, "accepted"),
        (late, "late"),
        (cancelled, "cancelled"),
        (duplicate, "duplicate"),
        (unknown_job, "for an unknown job"),
        (below_threshold, "BELOW THE THRESHOLD"),
        (never_given, "NEVER GIVEN"),
    ];
    let counts = counts.into_iter().filter(|(count, _)| *count > 0);
    let counts: Vec<_> = counts.map(|(count, verdict)| format!("{count} {verdict}")).collect();
    if counts.is_empty() { "none".into() } else { counts.join(", ") }
}

fn ban_lines(bans: &[Ban], network: Network) -> Vec<String> {
    if bans.is_empty() {
        return vec!["nobody is banned".into()];
    }
    // An address is long: it has a line of its own.
    let mut lines = Vec::new();
    for ban in bans {
        let ends = match (ban.ends_at_us, ban.holds) {
            (None, _) => "until it is lifted".into(),
            (Some(ends), true) => format!("until {}", wording::time(ends)),
            (Some(ended), false) => format!("over since {}", wording::time(ended)),
        };
        lines.push(format!("banned     {}", subject_text(ban.subject, network)));
        lines.push(format!("           since {}, {ends}", wording::time(ban.banned_at_us)));
        lines.push(format!("           {}", ban.reason));
    }
    lines
}
