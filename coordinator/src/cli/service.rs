//! `dpow service`.

use clap::{Args, Subcommand};
use shared::ServiceId;

use super::key::{self, NewKeyFlags};
use super::table::{Side, Table};
use super::{Office, foreign_reply, snippets, wording};
use crate::administration::{Change, Read, Reply, reply};
use crate::store::{Reason, ServiceState};

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

/// Why a service is in its state, if somebody has said so.
fn because(service: &reply::Service) -> String {
    if service.reason.as_str().is_empty() { String::new() } else { format!(": {}", service.reason) }
}

/// What is held; only a running server knows.
fn held(credits: &reply::ServiceCredits) -> String {
    credits.held_mc.map_or_else(|| "-".into(), |held| held.to_string())
}
