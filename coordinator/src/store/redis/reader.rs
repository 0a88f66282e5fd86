//! Reading a ledger in Redis, beside its writer or without one.

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use marketplace::ledger::{JournalEntry, Party, Posting, PostingKind, WorkKey};
use redis::{Cmd, FromRedisValue, Pipeline, RedisResult, Value};
use shared::{Payee, ServiceId, Timestamp, TransferId, WorkerId};
use tokio::sync::Mutex;

use super::attachment::Claim;
use super::call::{number, reading_function};
use super::key::{Key, Keys};
use super::row::{self, StreamEntry};
use super::server::{Link, Server};
use super::trouble::{OpenError, Trouble};
use crate::store::{
    Answer, Balance, DaySpent, KnownKey, LimitedKey, Numbered, PrecacheTerms, ServiceRecord, SettledWork,
    Settlement, Watch, WorkerBan, WorkerSubject, WorkerTotal,
};

/// Entries of a stream that are read at a time.
pub(super) const PAGE: usize = 1000;
/// Pages that are asked for at a time.
const PAGES_AHEAD: usize = 3;

/// What reads. Copies share its connection, which is made anew after anything has gone wrong with it.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    server: Server,
    keys: Keys,
    link: Arc<Mutex<Option<Link>>>,
}

impl Reader {
    /// Of a ledger that is known to be there.
    pub(super) fn new(claim: &Claim) -> Self {
        Self { server: claim.server.clone(), keys: claim.keys.clone(), link: Arc::default() }
    }

    /// Of a ledger that is looked for.
    pub(super) async fn open(claim: &Claim) -> Result<Self, OpenError> {
        let (link, _) = claim.look().await?;
        let reader = Self::new(claim);
        *reader.link.lock().await = Some(link);
        Ok(reader)
    }

    pub(super) const fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Sends commands, and returns what came of each. Reading once more does no harm, so a connection that has ended is made anew.
    pub(super) async fn send(&self, pipeline: &mut Pipeline) -> Result<Vec<RedisResult<Value>>, Trouble> {
        let sent = self.link().await?.send(pipeline).await;
        match sent {
            Ok(results) => Ok(results),
            Err(error) => {
                *self.link.lock().await = None;
                if error.is_timeout() {
                    return Err(error.into());
                }
                Ok(self.link().await?.send(pipeline).await?)
            }
        }
    }

    async fn link(&self) -> Result<Link, Trouble> {
        let mut shared = self.link.lock().await;
        if let Some(link) = &*shared {
            return Ok(link.clone());
        }
        let link = self.server.connect(&self.keys).await?;
        *shared = Some(link.clone());
        Ok(link)
    }

    /// Sends one command, and reads its answer.
    pub(super) async fn ask<T: FromRedisValue>(&self, command: Cmd) -> Result<T, Trouble> {
        let mut pipeline = redis::pipe();
        pipeline.add_command(command);
        let value = self.send(&mut pipeline).await?.pop().unwrap_or(Ok(Value::Nil))?;
        redis::from_redis_value(value).map_err(|error| Trouble::Garbled(error.to_string()))
    }

    fn command(&self, name: &str, key: Key) -> Cmd {
        let mut command = redis::cmd(name);
        command.arg(self.keys.name(key));
        command
    }

    /// A page of a stream: entries from this number to that one, at most [`PAGE`].
    pub(super) async fn range(&self, key: Key, from: u64, to: u64) -> Result<Vec<StreamEntry>, Trouble> {
        let mut range = self.command("XRANGE", key);
        range.arg(format!("{}-0", from.max(1))).arg(format!("{to}-0")).arg("COUNT").arg(PAGE);
        row::entries(self.ask(range).await?)
    }

    /// Values of some fields of a hash.
    pub(super) async fn values(&self, key: Key, fields: &[String]) -> Result<Vec<Option<String>>, Trouble> {
        if fields.is_empty() {
            return Ok(Vec::new());
        }
        let mut find = self.command("HMGET", key);
        find.arg(fields);
        self.ask(find).await
    }

    /// What a service has; `None` when it is not known.
    pub(super) async fn balance(&self, service: ServiceId) -> Result<Option<Balance>, Trouble> {
        let keys = [Key::Services, Key::Parties, Key::Held];
        let mut find = reading_function("balance", &self.keys, &keys);
        find.arg(service.as_str());
        let values: Vec<Value> = self.ask(find).await?;
        let amount = |value: &Value| Some(shared::Millicredits::new(u64::try_from(number(value)?).ok()?));
        match values.iter().map(amount).collect::<Option<Vec<_>>>().as_deref() {
            Some([]) => Ok(None),
            Some([granted, paid, held]) => Ok(Some(Balance { granted: *granted, paid: *paid, held: *held })),
            _ => Err(Trouble::Garbled(format!("{values:?}"))),
        }
    }

    /// What every party holds.
    pub(super) async fn parties(&self) -> Result<BTreeMap<Party, i64>, Trouble> {
        let kept: BTreeMap<String, i64> = self.ask(self.command("HGETALL", Key::Parties)).await?;
        let party = |(name, balance): (String, i64)| Ok((row::parsed("a party", &name)?, balance));
        kept.into_iter().map(party).collect::<Result<_, String>>().map_err(Trouble::Broken)
    }

    /// Postings from this number on, at most `count`.
    pub(super) async fn journal(&self, from: u64, count: usize) -> Result<Vec<JournalEntry>, Trouble> {
        let mut entries = Vec::new();
        let mut from = from;
        while entries.len() < count {
            let mut page = self.range(Key::Journal, from, u64::MAX).await?;
            let Some(last) = page.last() else { break };
            from = last.sequence + 1;
            page.truncate(count - entries.len());
            entries.extend(self.with_works(&page).await?);
        }
        Ok(entries)
    }

    /// Postings with the works that their settlements name. Settlements are in the order of the journal.
    async fn with_works(&self, page: &[StreamEntry]) -> Result<Vec<JournalEntry>, Trouble> {
        let postings = page.iter().map(|entry| Ok((entry.sequence, entry.posting()?)));
        let postings: Vec<(u64, Posting)> =
            postings.collect::<Result<_, String>>().map_err(Trouble::Broken)?;
        let mut transfers: Vec<String> = postings
            .iter()
            .filter(|(_, posting)| posting.kind != PostingKind::Grant)
            .map(|(_, posting)| posting.transfer.to_string())
            .collect();
        transfers.dedup();
        let numbers = self.values(Key::Settled, &transfers).await?;
        let numbers = numbers.into_iter().flatten().filter_map(|number| number.parse::<u64>().ok());
        let numbers: Vec<u64> = numbers.collect();
        let mut works: HashMap<TransferId, WorkKey> = HashMap::new();
        if let (Some(first), Some(last)) = (numbers.iter().min(), numbers.iter().max()) {
            let mut from = *first;
            while from <= *last {
                let settlements = self.range(Key::Settlements, from, *last).await?;
                let Some(end) = settlements.last() else { break };
                from = end.sequence + 1;
                for entry in &settlements {
                    let (Settlement { hold, root, nonce, .. }, _) =
                        entry.settlement().map_err(Trouble::Broken)?;
                    works.insert(TransferId::of_hold(hold), WorkKey { root, nonce });
                }
            }
        }
        let entry = |(sequence, posting): (u64, Posting)| {
            let work = works.get(&posting.transfer).copied().filter(|_| posting.kind != PostingKind::Grant);
            JournalEntry { sequence, posting: Posting { work, ..posting } }
        };
        Ok(postings.into_iter().map(entry).collect())
    }

    /// All services, in the order of their names.
    pub(super) async fn services(&self) -> Result<Vec<ServiceRecord>, Trouble> {
        let mut services = self.records(Key::Services, row::service).await?;
        services.sort_by_key(|record| record.service);
        Ok(services)
    }

    /// All keys: by service, then oldest first, then in the order of their text.
    pub(super) async fn api_keys(&self) -> Result<Vec<KnownKey>, Trouble> {
        let mut keys = self.records(Key::ApiKeys, row::key).await?;
        keys.sort_by_key(|known| (known.record.service, known.record.at, known.record.key.to_string()));
        Ok(keys)
    }

    /// All bans, in the order of their subjects' text.
    pub(super) async fn worker_bans(&self) -> Result<Vec<WorkerBan>, Trouble> {
        let mut bans = self.records(Key::Bans, row::ban).await?;
        bans.sort_by_key(|ban| ban.subject.to_string());
        Ok(bans)
    }

    /// What was said of keys' use, in the order of their text.
    pub(super) async fn key_limits(&self) -> Result<Vec<LimitedKey>, Trouble> {
        let mut limits = self.records(Key::Limits, row::limited_key).await?;
        limits.sort_by_key(|limited| limited.key.to_string());
        Ok(limits)
    }

    /// Services whose credits may be spent ahead of their demand, in the order of their names.
    pub(super) async fn precache_terms(&self) -> Result<Vec<(ServiceId, PrecacheTerms)>, Trouble> {
        let mut terms = self.records(Key::Precache, row::terms).await?;
        terms.sort_by_key(|(service, _)| *service);
        Ok(terms)
    }

    /// Accounts that are watched, in the order of service, then public key.
    pub(super) async fn watches(&self) -> Result<Vec<Watch>, Trouble> {
        let mut watches = self.records(Key::Watches, row::watch).await?;
        watches.sort_by_key(|watch| (watch.service, watch.account));
        Ok(watches)
    }

    /// What was spent of each purse on the last day of its settlements, in the order of their text.
    pub(super) async fn spent(&self) -> Result<Vec<DaySpent>, Trouble> {
        self.records(Key::Spent, row::spent).await
    }

    async fn records<T>(
        &self,
        key: Key,
        read: impl Fn(&str, &str) -> Result<T, String>,
    ) -> Result<Vec<T>, Trouble> {
        let kept: BTreeMap<String, String> = self.ask(self.command("HGETALL", key)).await?;
        let records = kept.iter().map(|(name, record)| read(name, record));
        records.collect::<Result<_, _>>().map_err(Trouble::Broken)
    }

    /// Every settlement, page by page.
    pub(super) async fn each_settlement(
        &self,
        mut each: impl FnMut(Settlement, Answer),
    ) -> Result<(), Trouble> {
        let mut from = 1;
        loop {
            let page = self.range(Key::Settlements, from, u64::MAX).await?;
            let Some(last) = page.last() else { return Ok(()) };
            from = last.sequence + 1;
            for entry in &page {
                let (settlement, answer) = entry.settlement().map_err(Trouble::Broken)?;
                each(settlement, answer);
            }
        }
    }

    /// Settlements from this number on, at most `count`.
    pub(super) async fn settlements(&self, from: u64, count: usize) -> Result<Vec<Numbered>, Trouble> {
        let (mut settlements, mut from) = (Vec::new(), from);
        while settlements.len() < count {
            let page = self.range(Key::Settlements, from, u64::MAX).await?;
            let Some(last) = page.last() else { break };
            from = last.sequence + 1;
            for entry in page.iter().take(count - settlements.len()) {
                let (settlement, answer) = entry.settlement().map_err(Trouble::Broken)?;
                settlements.push(Numbered { sequence: entry.sequence, settlement, answer });
            }
        }
        Ok(settlements)
    }

    /// What workers' results have come to.
    pub(super) async fn worker_totals(&self, of: Option<WorkerSubject>) -> Result<Vec<WorkerTotal>, Trouble> {
        let mut totals: BTreeMap<(WorkerId, Payee), WorkerTotal> = BTreeMap::new();
        self.each_settlement(|Settlement { worker, payee, at: last, .. }, answer| {
            let Answer::Settled { earned, .. } = answer else { return };
            let is_meant = of.is_none_or(|subject| subject.covers(worker, payee));
            if is_meant && earned > shared::Millicredits::ZERO {
                let new = WorkerTotal { worker, payee, works: 0, earned: shared::Millicredits::ZERO, last };
                let total = totals.entry((worker, payee)).or_insert(new);
                total.works += 1;
                total.earned = [total.earned, earned].into_iter().sum();
                total.last = total.last.max(last);
            }
        })
        .await?;
        Ok(totals.into_values().collect())
    }

    /// The latest settlements at or after `since`, newest first, at most `count`. Reads back from the end, until no earlier one can
    /// be as late; the next pages are on their way while one is read.
    pub(super) async fn settled_since(
        &self,
        since: Timestamp,
        count: usize,
    ) -> Result<Vec<SettledWork>, Trouble> {
        let newest = self.settlements_back(u64::MAX, 1, 1).await?.first().map_or(0, |entry| entry.sequence);
        let page = |top: u64| self.settlements_back(top, top.saturating_sub(PAGE as u64 - 1), PAGE);
        let pages = stream::iter((1..=newest).rev().step_by(PAGE)).map(page).buffered(PAGES_AHEAD);
        let mut pages = pin!(pages);
        let mut settled: Vec<(Timestamp, u64, SettledWork)> = Vec::new();
        while let Some(page) = pages.next().await.transpose()? {
            for entry in &page {
                let (settlement, answer) = entry.settlement().map_err(Trouble::Broken)?;
                if let Some(work) = SettledWork::of(&settlement, &answer).filter(|work| work.at >= since) {
                    settled.push((work.at, entry.sequence, work));
                }
            }
            let Some(last) = page.last() else { continue };
            if last.latest().map_err(Trouble::Broken)? < since {
                break;
            }
        }
        settled.sort_unstable_by_key(|(at, sequence, _)| std::cmp::Reverse((*at, *sequence)));
        settled.truncate(count);
        Ok(settled.into_iter().map(|(_, _, work)| work).collect())
    }

    /// Settlements from this number down to that one, at most so many.
    async fn settlements_back(&self, from: u64, to: u64, count: usize) -> Result<Vec<StreamEntry>, Trouble> {
        let mut range = self.command("XREVRANGE", Key::Settlements);
        range.arg(format!("{from}-0")).arg(format!("{}-0", to.max(1))).arg("COUNT").arg(count);
        row::entries(self.ask(range).await?)
    }
}
