//! `dpow service`.

use std::time::Duration;

use anyhow::anyhow;
use clap::{Args, Subcommand, ValueEnum};
use shared::{Millicredits, ServiceId};

use super::key::{self, NewKeyFlags};
use super::table::{Side, Table};
use super::{Office, foreign_reply, snippets, wording};
use crate::administration::{Change, Read, Reply, reply};
use crate::store::{PrecacheTerms, Reason, ServiceState};

#[derive(Debug, Subcommand)]
pub(super) enum ServiceCommand {
    /// Make a service known, and print a key for it, once
    Add(Add),
    /// List all services
    List {
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Show a service: its state, its credits and its keys
    Show {
        /// Which service
        service: ServiceId,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Say what may be spent for a service ahead of its demand
    Set(Set),
    /// Show what working ahead has come to since the start: hits, misses, cost and time saved
    Usage {
        /// Which service; all without it
        service: Option<ServiceId>,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Let a service ask no more, for now: its open requests end, its credits stay
    Suspend {
        #[command(flatten)]
        set: SetState,
        /// Why: up to 200 characters, for other operators
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        reason: Reason,
    },
    /// Let a suspended or banned service ask again
    Resume {
        #[command(flatten)]
        set: SetState,
    },
    /// Let a service ask no more, for good: its open requests end, its credits stay
    Ban {
        #[command(flatten)]
        set: SetState,
        /// Why: up to 200 characters, for other operators
        #[arg(long, value_name = "TEXT")]
        reason: Reason,
    },
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// 1 to 32 of a-z, 0-9 and -
    service: ServiceId,
    #[command(flatten)]
    key: NewKeyFlags,
    /// Also print how to ask for work with it: with curl, in Python and in JavaScript
    #[arg(long, conflicts_with = "json")]
    snippets: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Set {
    /// Which service
    service: ServiceId,
    /// Whether work for its accounts' next blocks is computed and paid for as soon as a block is confirmed
    #[arg(long, value_name = "on|off")]
    precache: Switch,
    /// The most that this may cost it in a day (UTC), in credits
    #[arg(long, value_name = "CREDITS", default_value_t = 100)]
    budget_per_day: u64,
    /// The most works that are under way at a time
    #[arg(long, value_name = "WORKS", default_value_t = 16)]
    in_flight: u32,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

#[derive(Debug, Args)]
pub(super) struct SetState {
    /// Which service
    service: ServiceId,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl ServiceCommand {
    /// Does it.
    ///
    /// # Errors
    /// In one sentence, what is wrong and what to do.
    pub(super) async fn run(self, office: &Office<'_>) -> anyhow::Result<()> {
        match self {
            Self::Add(add) => add.run(office).await,
            Self::List { json } => list(office, json).await,
            Self::Show { service, json } => show(office, service, json).await,
            Self::Set(set) => set.run(office).await,
            Self::Usage { service, json } => usage(office, service, json).await,
            Self::Suspend { set, reason } => set.run(office, ServiceState::Suspended, reason).await,
            Self::Resume { set } => set.run(office, ServiceState::Active, Reason::default()).await,
            Self::Ban { set, reason } => set.run(office, ServiceState::Banned, reason).await,
        }
    }
}

impl Add {
    async fn run(self, office: &Office<'_>) -> anyhow::Result<()> {
        let wanted = self.key.wanted()?;
        let text = wanted.text.clone();
        let change = Change::AddService { service: self.service, key: wanted };
        let Reply::ServiceAdded(added) = office.change(change).await? else { return Err(foreign_reply()) };
        key::print_new(office, &text, &added, None, self.json)?;
        if self.snippets {
            let url = office.http_url().await;
            office.console.lines(snippets::of(&url, text.as_str())?);
        }
        Ok(())
    }
}

impl Set {
    async fn run(self, office: &Office<'_>) -> anyhow::Result<()> {
        let budget = Millicredits::from_credits(self.budget_per_day)
            .filter(|budget| *budget <= Millicredits::MAX)
            .ok_or_else(|| anyhow!("a budget is at most {} credits", Millicredits::MAX.as_u64() / 1000))?;
        let terms = PrecacheTerms { budget_per_day: budget, in_flight_max: self.in_flight };
        let terms = (self.precache == Switch::On).then_some(terms);
        let change = Change::SetPrecache { service: self.service, terms };
        let Reply::PrecacheSet(set) = office.change(change).await? else { return Err(foreign_reply()) };
        if self.json {
            return office.console.json(&set);
        }
        office.console.line(&match (set.budget_per_day_mc, set.in_flight_max) {
            (Some(budget), Some(in_flight)) => {
                format!("{} is precached for: at most {budget} a day, {in_flight} at a time", set.service)
            }
            _ => format!("{} is not precached for", set.service),
        });
        Ok(())
    }
}

impl SetState {
    async fn run(self, office: &Office<'_>, state: ServiceState, reason: Reason) -> anyhow::Result<()> {
        let change = Change::SetServiceState { service: self.service, state, reason };
        let Reply::ServiceStateSet { service, changed } = office.change(change).await? else {
            return Err(foreign_reply());
        };
        if self.json {
            return office.console.json(&service);
        }
        let since = wording::time(service.state_at_us);
        office.console.line(&if changed {
            format!("{} is {state} now", service.service)
        } else {
            format!("{} is {state} since {since}{}; nothing has changed", service.service, because(&service))
        });
        Ok(())
    }
}

async fn list(office: &Office<'_>, json: bool) -> anyhow::Result<()> {
    let Reply::Services(services) = office.read(Read::Services).await? else { return Err(foreign_reply()) };
    if json {
        return office.console.json_lines(&services);
    }
    if services.is_empty() {
        office.console.line("there are no services yet; add one with `dpow service add NAME`");
        return Ok(());
    }
    let mut table = Table::new([
        ("SERVICE", Side::Left),
        ("STATE", Side::Left),
        ("CREDITS", Side::Right),
        ("HELD", Side::Right),
        ("KEYS", Side::Right),
        ("ADDED", Side::Left),
    ]);
    for service in services {
        table.row([
            service.service.to_string(),
            service.state.to_string(),
            service.credits.available().to_string(),
            held(&service.credits),
            service.keys_valid.to_string(),
            wording::time(service.added_at_us),
        ]);
    }
    office.console.lines(table.lines());
    Ok(())
}

async fn show(office: &Office<'_>, service: ServiceId, json: bool) -> anyhow::Result<()> {
    let Reply::Service { service, keys } = office.read(Read::Service { service }).await? else {
        return Err(foreign_reply());
    };
    if json {
        return office.console.json(&serde_json::json!({ "service": service, "keys": keys }));
    }
    let reply::ServiceCredits { granted_mc, paid_mc, .. } = service.credits;
    let credits = service.credits.available();
    office.console.lines([
        format!("service  {}", service.service),
        format!(
            "state    {} since {}{}",
            service.state,
            wording::time(service.state_at_us),
            because(&service)
        ),
        format!("added    {}", wording::time(service.added_at_us)),
        format!("credits  {credits} ({granted_mc} granted, {paid_mc} paid)"),
        format!("held     {}", held(&service.credits)),
        String::new(),
    ]);
    office.console.lines(key::lines(&keys));
    Ok(())
}

async fn usage(office: &Office<'_>, service: Option<ServiceId>, json: bool) -> anyhow::Result<()> {
    let Reply::Usage(usage) = office.read(Read::Usage { service }).await? else {
        return Err(foreign_reply());
    };
    if json {
        return office.console.json_lines(&usage);
    }
    if usage.is_empty() {
        office.console.line("no service has opted in; do so with `dpow service set NAME --precache on`");
        return Ok(());
    }
    let mut table = Table::new([
        ("SERVICE", Side::Left),
        ("BUDGET", Side::Right),
        ("TODAY", Side::Right),
        ("ACCOUNTS", Side::Right),
        ("COMPUTED", Side::Right),
        ("HITS", Side::Right),
        ("LATE", Side::Right),
        ("MISSED", Side::Right),
        ("HIT RATE", Side::Right),
        ("COST", Side::Right),
        ("SAVED", Side::Right),
    ]);
    for used in usage {
        let asked = used.hits + used.late + used.missed;
        let rate =
            (used.hits * 100).checked_div(asked).map_or_else(|| "-".into(), |rate| format!("{rate} %"));
        table.row([
            used.service.to_string(),
            used.budget_per_day_mc.map_or_else(|| "off".into(), |budget| budget.to_string()),
            used.spent_today_mc.to_string(),
            used.accounts.to_string(),
            used.computed.to_string(),
            used.hits.to_string(),
            used.late.to_string(),
            used.missed.to_string(),
            rate,
            used.charged_mc.to_string(),
            wording::age(Duration::from_millis(used.saved_ms)),
        ]);
    }
    office.console.lines(table.lines());
    Ok(())
}

/// Why a service is in its state, if somebody has said so.
fn because(service: &reply::Service) -> String {
    if service.reason.as_str().is_empty() { String::new() } else { format!(": {}", service.reason) }
}

/// What is held; only a running server knows.
fn held(credits: &reply::ServiceCredits) -> String {
    credits.held_mc.map_or_else(|| "-".into(), |held| held.to_string())
}
