//! `dpow credit`.

use clap::{Args, Subcommand};
use marketplace::ledger::{JournalEntry, Party};
use shared::{Millicredits, Network, Payee, ServiceId, TransferId};

use super::{Office, foreign_reply, wording};
use crate::administration::reply::{Granted, ServiceBalance};
use crate::administration::request::JOURNAL_MAX;
use crate::administration::{Change, Read, Reply, WayError};
use crate::entropy;
use crate::store::Bucket;

#[derive(Debug, Subcommand)]
pub(super) enum CreditCommand {
    /// Give a service credits
    Grant(Grant),
    /// Show what a service has
    Balance {
        /// Which service
        service: ServiceId,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Print every posting, oldest first
    Journal {
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct Grant {
    /// Which service
    service: ServiceId,
    /// How many whole credits; one is the price of a send
    #[arg(value_parser = whole_credits)]
    credits: Millicredits,
    /// They were paid for: what workers earn from them is paid out
    #[arg(long)]
    paid: bool,
    /// Names the grant, as 32 hexadecimal digits: with the same name, it is given once [default: a new name]
    #[arg(long, value_name = "ID")]
    transfer: Option<TransferId>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// A number of whole credits.
pub(super) fn whole_credits(text: &str) -> Result<Millicredits, &'static str> {
    let credits = text.parse().map_err(|_| "it has to be a whole number of credits, such as 500")?;
    Millicredits::from_credits(credits).ok_or("these are more credits than a ledger holds")
}

impl CreditCommand {
    /// Does it.
    ///
    /// # Errors
    /// In one sentence, what is wrong and what to do.
    pub(super) async fn run(self, office: &Office<'_>) -> anyhow::Result<()> {
        match self {
            Self::Grant(grant) => grant.run(office).await,
            Self::Balance { service, json } => balance(office, service, json).await,
            Self::Journal { json } => journal(office, json).await,
        }
    }
}

impl Grant {
    async fn run(self, office: &Office<'_>) -> anyhow::Result<()> {
        let Self { service, credits: amount_mc, paid, transfer, json } = self;
        let transfer = match transfer {
            Some(transfer) => transfer,
            None => TransferId::from_u128(u128::from_be_bytes(entropy::bytes()?)),
        };
        let bucket = if paid { Bucket::Paid } else { Bucket::Granted };
        let change = Change::Grant { transfer, service, amount_mc, bucket };
        let reply = office.change(change).await.map_err(|error| uncertain(error, transfer))?;
        let Reply::Granted(granted) = reply else { return Err(foreign_reply()) };
        if json {
            return office.console.json(&granted);
        }
        let Granted { service, amount_mc, credits, .. } = granted;
        let available = credits.available();
        office.console.line(&format!("{amount_mc} credits for {service}, which has {available} now"));
        Ok(())
    }
}

/// Says how to try again where it is not known whether the credits were given.
fn uncertain(error: WayError, transfer: TransferId) -> anyhow::Error {
    if !error.is_uncertain() {
        return error.into();
    }
    anyhow::anyhow!(
        "{:#}; it is not known whether the credits were given: give them again with `--transfer {transfer}`, which gives them \
         once",
        anyhow::Error::from(error)
    )
}

async fn balance(office: &Office<'_>, service: ServiceId, json: bool) -> anyhow::Result<()> {
    let Reply::Balance(balance) = office.read(Read::Balance { service }).await? else {
        return Err(foreign_reply());
    };
    if json {
        return office.console.json(&balance);
    }
    let ServiceBalance { service, credits } = balance;
    let held = credits.held_mc.filter(|held| *held > Millicredits::ZERO);
    let held = held.map_or_else(String::new, |held| format!("; {held} more are held for open requests"));
    office.console.line(&format!(
        "{service} has {} credits ({} granted, {} paid){held}",
        credits.available(),
        credits.granted_mc,
        credits.paid_mc
    ));
    Ok(())
}

async fn journal(office: &Office<'_>, json: bool) -> anyhow::Result<()> {
    let mut from = 1;
    loop {
        let Reply::Journal(page) = office.read(Read::Journal { from, count: JOURNAL_MAX }).await? else {
            return Err(foreign_reply());
        };
        let Some(last) = page.last() else { return Ok(()) };
        from = last.sequence + 1;
        if json {
            office.console.json_lines(&page)?;
        } else {
            office.console.lines(page.iter().map(|entry| posting_line(entry, office.network())));
        }
    }
}

fn posting_line(JournalEntry { sequence, posting }: &JournalEntry, network: Network) -> String {
    format!(
        "{sequence:>8}  {}  {:<7}  {:>12}  {} -> {}",
        wording::time(posting.at),
        posting.kind.name(),
        posting.amount.to_string(),
        party(posting.debit, network),
        party(posting.credit, network)
    )
}

/// Who gives or receives, with addresses as short as wallets show them.
fn party(party: Party, network: Network) -> String {
    match party {
        Party::Payable(account) => format!("payable:{}", wording::short_address(account, network)),
        Party::NonPayable(Payee::Account(account)) => {
            format!("nonpayable:{}", wording::short_address(account, network))
        }
        other => other.to_string(),
    }
}
