//! A ledger in a server that is made from another ledger. Its description says so until it is whole, and nobody can open it.

use std::collections::BTreeMap;

use marketplace::ledger::{JournalEntry, Party, PostingKind, WorkKey};
use redis::Pipeline;
use shared::{Millicredits, Timestamp};

use super::Access;
use super::attachment::Claim;
use super::key::Key;
use super::mark::random_id;
use super::row;
use super::server::Link;
use super::trouble::{OpenError, Trouble};
use crate::store::copy::{Registered, Target};
use crate::store::{Answer, Later, Numbered, StoreError};

/// See the module.
#[derive(Debug)]
pub(in crate::store) struct RedisTarget {
    claim: Claim,
    link: Link,
    latest: Timestamp,
    settlements: u64,
    entries: u64,
}

impl RedisTarget {
    /// Begins a ledger where there is nothing of one.
    pub(in crate::store) async fn begin(access: &Access) -> Result<Self, OpenError> {
        let claim = access.claim();
        let (mut link, refused) =
            (claim.connect(super::writer::MENDED_AT_START).await?, |trouble: &Trouble| {
                claim.refused(trouble)
            });
        let id = random_id().map_err(|error| refused(&Trouble::Other(error.to_string())))?;
        let mut exist = redis::cmd("EXISTS");
        exist.arg(Key::ALL.map(|key| claim.keys.name(key).to_owned()).to_vec());
        let found = link.ask(exist).await.map_err(|error| refused(&error.into()))?;
        if super::call::number(&found) != Some(0) {
            let (server, key) = (claim.server.clone(), claim.keys.name(Key::Meta).replace("meta", "*"));
            return Err(OpenError::Foreign { server, key, found: "something is there already".into() });
        }
        let mut describe = redis::cmd("HSET");
        describe.arg(claim.keys.name(Key::Meta)).arg("copying").arg(1).arg("format").arg(1);
        describe.arg("network").arg(claim.network.name()).arg("ledger").arg(id);
        link.ask(describe).await.map_err(|error| refused(&error.into()))?;
        Ok(Self { claim, link, latest: Timestamp::default(), settlements: 0, entries: 0 })
    }

    fn name(&self, key: Key) -> &str {
        self.claim.keys.name(key)
    }

    async fn send(&mut self, mut pipeline: Pipeline) -> Result<(), StoreError> {
        if pipeline.is_empty() {
            return Ok(());
        }
        let results = self.link.send(&mut pipeline).await.map_err(Trouble::from)?;
        for result in results {
            result.map_err(Trouble::from)?;
        }
        Ok(())
    }

    fn register(&self, registered: &Registered) -> Pipeline {
        let mut pipeline = redis::pipe();
        let mut keep = |key: Key, field: String, value: String| {
            pipeline.cmd("HSET").arg(self.name(key)).arg(field).arg(value);
        };
        for record in &registered.services {
            keep(Key::Services, record.service.to_string(), row::service_text(record));
        }
        for known in &registered.keys {
            keep(Key::ApiKeys, known.record.key.to_string(), row::key_text(known));
        }
        for limited in &registered.key_limits {
            keep(Key::Limits, limited.key.to_string(), row::limits_text(limited));
        }
        for ban in &registered.bans {
            keep(Key::Bans, ban.subject.to_string(), row::ban_text(ban));
        }
        for (service, terms) in &registered.precache {
            keep(Key::Precache, service.to_string(), row::terms_text(*terms));
        }
        for watch in &registered.watches {
            keep(Key::Watches, row::watch_name(watch.service, watch.account), row::watch_text(watch));
        }
        for spent in &registered.spent {
            keep(Key::Spent, spent.purse.to_string(), row::spent_text(spent));
        }
        for (party, balance) in &registered.parties {
            keep(Key::Parties, party.to_string(), balance.to_string());
        }
        pipeline
    }

    /// What was kept of the roots of these settlements before.
    async fn roots(&mut self, settlements: &[Numbered]) -> Result<BTreeMap<String, String>, StoreError> {
        let names: Vec<String> =
            settlements.iter().map(|numbered| row::root_name(&numbered.settlement)).collect();
        let mut find = redis::cmd("HMGET");
        find.arg(self.name(Key::Roots)).arg(&names);
        let found = self.link.ask(find).await.map_err(Trouble::from)?;
        let found: Vec<Option<String>> =
            redis::from_redis_value(found).map_err(|error| Trouble::Garbled(error.to_string()))?;
        Ok(names.into_iter().zip(found).filter_map(|(name, root)| Some((name, root?))).collect())
    }

    async fn settle(&mut self, settlements: Vec<Numbered>) -> Result<(), StoreError> {
        let mut roots = self.roots(&settlements).await?;
        let mut pipeline = redis::pipe();
        for Numbered { sequence, settlement, answer } in &settlements {
            let Answer::Settled { charged, balance, earned } = *answer else { continue };
            self.latest = self.latest.max(settlement.at);
            self.settlements = *sequence;
            let fields = row::settlement_fields(settlement, [charged, balance, earned], self.latest);
            pipeline.cmd("XADD").arg(self.name(Key::Settlements)).arg(format!("{sequence}-0")).arg(fields);
            pipeline.cmd("HSET").arg(self.name(Key::Settled)).arg(settlement.hold.to_string()).arg(sequence);
            let repeat = format!("{sequence}:{}:{}", settlement.difficulty, row::micros(settlement.at));
            let root = roots.entry(row::root_name(settlement)).or_default();
            if !root.is_empty() {
                root.push(' ');
            }
            root.push_str(&repeat);
            if charged > Millicredits::ZERO {
                let work = WorkKey { root: settlement.root, nonce: settlement.nonce };
                pipeline.cmd("HSETNX").arg(self.name(Key::Works)).arg(row::work_name(work)).arg(sequence);
            }
        }
        for (name, root) in roots {
            pipeline.cmd("HSET").arg(self.name(Key::Roots)).arg(name).arg(root);
        }
        self.send(pipeline).await
    }

    async fn post(&mut self, postings: Vec<JournalEntry>) -> Result<(), StoreError> {
        let mut pipeline = redis::pipe();
        for entry in &postings {
            self.entries = entry.sequence;
            let id = format!("{}-0", entry.sequence);
            pipeline.cmd("XADD").arg(self.name(Key::Journal)).arg(id).arg(row::posting_fields(entry));
            let posting = &entry.posting;
            if let (PostingKind::Grant, Party::Granted(_) | Party::Paid(_)) = (posting.kind, posting.credit) {
                let grant = format!("{} {}", posting.credit, posting.amount.as_u64());
                pipeline.cmd("HSET").arg(self.name(Key::Grants)).arg(posting.transfer.to_string()).arg(grant);
            }
        }
        self.send(pipeline).await
    }
}

impl Target for RedisTarget {
    fn register(&mut self, registered: Registered) -> Later<'_, ()> {
        let pipeline = Self::register(self, &registered);
        Box::pin(self.send(pipeline))
    }

    fn settlements(&mut self, settlements: Vec<Numbered>) -> Later<'_, ()> {
        Box::pin(self.settle(settlements))
    }

    fn postings(&mut self, postings: Vec<JournalEntry>) -> Later<'_, ()> {
        Box::pin(self.post(postings))
    }

    fn finish(mut self: Box<Self>) -> Later<'static, ()> {
        Box::pin(async move {
            super::library::load(&mut self.link).await?;
            let mut pipeline = redis::pipe();
            let (entries, settlements) = (self.entries, self.settlements);
            pipeline.atomic();
            pipeline.cmd("HSET").arg(self.name(Key::Meta)).arg("revision").arg(entries + settlements);
            for (field, value) in
                [("entries", entries), ("settlements", settlements), ("latest", self.latest.as_micros())]
            {
                pipeline.arg(field).arg(value);
            }
            pipeline.cmd("HDEL").arg(self.name(Key::Meta)).arg("copying");
            self.send(pipeline).await
        })
    }
}
