//! What operators do from the command line, on the data directory of a coordinator that is not running.

use serde_json::json;
use shared::{Millicredits, ServiceId, TransferId};

use crate::cli::Console;
use crate::clock::Clock;
use crate::config::Settings;
use crate::coordinator::Ledger;
use crate::entropy;
use crate::home::{Home, ledger_in};
use crate::intake::keys::{self, KeyTerms};
use crate::store::sqlite::Reader;
use crate::store::{Answer, Bucket, Verb};

/// How many postings are read at a time.
const PAGE: usize = 1000;

/// Makes a service known, and gives it a key, which is printed once.
///
/// # Errors
/// In one sentence, what is wrong and what to do.
pub(crate) async fn add_service(
    settings: &Settings,
    service: ServiceId,
    console: &Console,
) -> anyhow::Result<()> {
    let home = Home::open(&settings.data_dir)?;
    let ledger = Ledger::open(settings, &home).await?;
    let at = Clock::start().now();
    let key = keys::issue(&ledger.pepper, service, KeyTerms::default(), at)?;
    let answers =
        ledger.store.execute(vec![Verb::AddService { service, at }, Verb::AddKey(key.record)]).await?;
    all_done(&answers)?;
    console.line(&key.text);
    Ok(())
}

/// Gives a service credits.
///
/// # Errors
/// In one sentence, what is wrong and what to do.
pub(crate) async fn grant(
    settings: &Settings,
    service: ServiceId,
    credits: u64,
    bucket: Bucket,
    console: &Console,
) -> anyhow::Result<()> {
    let home = Home::open(&settings.data_dir)?;
    let ledger = Ledger::open(settings, &home).await?;
    let amount = Millicredits::from_credits(credits);
    let amount = amount.ok_or_else(|| anyhow::anyhow!("{credits} credits are more than a ledger holds"))?;
    let transfer = TransferId::of_cause(&format!("grant-{}", entropy::base32(&entropy::bytes::<16>()?)));
    let at = Clock::start().now();
    all_done(&ledger.store.execute(vec![Verb::Grant { transfer, service, amount, bucket, at }]).await?)?;
    let balance = ledger.store.balance(service).await?.unwrap_or_default();
    console.line(&format!("{service} has {} credits", balance.available()));
    Ok(())
}

/// Demands that every registration and grant was taken, now or earlier.
///
/// # Errors
/// The first refusal, in its own words.
pub(crate) fn all_done(answers: &[Answer]) -> anyhow::Result<()> {
    for answer in answers {
        match answer {
            Answer::Done => {}
            Answer::Refused(why) => anyhow::bail!("{why}"),
            other => anyhow::bail!("the ledger gave an answer that does not belong here: {other:?}"),
        }
    }
    Ok(())
}

/// Prints what a service has. Works beside a running coordinator; credits that it holds are not seen then.
///
/// # Errors
/// In one sentence, what is wrong and what to do.
pub(crate) fn balance(
    settings: &Settings,
    service: ServiceId,
    as_json: bool,
    console: &Console,
) -> anyhow::Result<()> {
    let reader = Reader::open(&ledger_in(&settings.data_dir), settings.network)?;
    let balance = reader.balance(service)?;
    let balance = balance.ok_or_else(|| {
        anyhow::anyhow!("there is no service {service}; add it with `dpow service add {service}`")
    })?;
    if as_json {
        console.line(
            &json!({ "service": service, "granted_mc": balance.granted, "paid_mc": balance.paid })
                .to_string(),
        );
    } else {
        console.line(&format!(
            "{service} has {} credits ({} granted, {} paid)",
            balance.available(),
            balance.granted,
            balance.paid
        ));
    }
    Ok(())
}

/// Prints every posting, oldest first. Works beside a running coordinator.
///
/// # Errors
/// In one sentence, what is wrong and what to do.
pub(crate) fn journal(settings: &Settings, as_json: bool, console: &Console) -> anyhow::Result<()> {
    let reader = Reader::open(&ledger_in(&settings.data_dir), settings.network)?;
    let mut from = 1;
    loop {
        let page = reader.journal(from, PAGE)?;
        let Some(last) = page.last() else { return Ok(()) };
        from = last.sequence + 1;
        for entry in &page {
            let posting = &entry.posting;
            console.line(&if as_json {
                serde_json::to_string(entry)?
            } else {
                format!(
                    "{:>8} {} {:>8} {:>12} {} -> {}",
                    entry.sequence,
                    posting.at,
                    posting.kind.name(),
                    posting.amount,
                    posting.debit,
                    posting.credit
                )
            });
        }
    }
}
