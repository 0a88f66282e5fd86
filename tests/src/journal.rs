//! The ledger's journal as the program prints it, and a replay that shares nothing with the ledger's own.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use shared::pow::{Nonce, Root};

/// One movement between two parties.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Posting {
    sequence: u64,
    transfer: String,
    position: u64,
    kind: String,
    debit: String,
    credit: String,
    amount: u64,
    work: Option<(Root, Nonce)>,
}

/// Every posting, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journal(Vec<Posting>);

/// What a journal comes to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Replay {
    /// Of every party that ever moved credits, in millicredits. They sum to zero.
    pub balances: BTreeMap<String, i64>,
    /// What services were given or have bought, in millicredits, by the party that holds it.
    pub granted: BTreeMap<String, u64>,
    /// Every work that was paid for, in order.
    pub settlements: Vec<Settlement>,
}

/// A work that a service has paid for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// Who paid: `granted:<service>` or `paid:<service>`.
    pub payer: String,
    /// For what root.
    pub root: Root,
    /// For what nonce.
    pub nonce: Nonce,
    /// Whom the worker's share went to; `None` where the house sold a work again.
    pub payee: Option<String>,
    /// The worker's share, in millicredits.
    pub earned: u64,
    /// The house's share.
    pub kept: u64,
}

impl Settlement {
    /// What was charged.
    pub const fn charged(&self) -> u64 {
        self.earned + self.kept
    }
}

impl Journal {
    /// Reads one JSON object from each line.
    pub(crate) fn parse(lines: &str) -> anyhow::Result<Self> {
        lines
            .lines()
            .map(|line| Posting::parse(line).with_context(|| line.to_owned()))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Reads `dpow ledger export --format jsonl`.
    ///
    /// # Errors
    /// When a line is no posting.
    pub fn exported(lines: &str) -> anyhow::Result<Self> {
        let posting = |line: &str| -> anyhow::Result<Posting> {
            let fields: Value = serde_json::from_str(line)?;
            let work = match &fields["root"] {
                Value::Null => Value::Null,
                root => json!({ "root": root, "nonce": fields["nonce"] }),
            };
            let amount = &fields["amount_mc"];
            Posting::read(&fields["sequence"], &fields, amount, &work)
        };
        lines
            .lines()
            .map(|line| posting(line).with_context(|| line.to_owned()))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Carries out every posting.
    ///
    /// # Errors
    /// When one is missing, a transfer is carried out twice or torn, or a party other than the issuance falls below zero.
    pub fn replay(&self) -> anyhow::Result<Replay> {
        let mut replay = Replay::default();
        let mut transfers = BTreeSet::new();
        for (index, postings) in self.0.chunk_by(|one, next| one.transfer == next.transfer).enumerate() {
            ensure!(transfers.insert(&postings[0].transfer), "transfer {index} is carried out twice");
            for (position, posting) in (0..).zip(postings) {
                ensure!(posting.position == position, "transfer {index} is torn: {postings:?}");
                replay.carry_out(posting)?;
            }
            if let Some(settlement) = Settlement::of(postings)? {
                replay.settlements.push(settlement);
            }
        }
        for (expected, posting) in (1..).zip(&self.0) {
            ensure!(posting.sequence == expected, "posting {expected} is missing");
        }
        ensure!(replay.balances.values().sum::<i64>() == 0, "the balances do not sum to zero");
        Ok(replay)
    }
}

impl Replay {
    fn carry_out(&mut self, posting: &Posting) -> anyhow::Result<()> {
        let amount = i64::try_from(posting.amount)?;
        for (party, amount) in [(&posting.debit, -amount), (&posting.credit, amount)] {
            let balance = self.balances.entry(party.clone()).or_default();
            *balance += amount;
            ensure!(*balance >= 0 || party == "issuance", "{party} falls to {balance}: {posting:?}");
        }
        if posting.kind == "grant" {
            ensure!(posting.debit == "issuance", "a grant out of nothing: {posting:?}");
            *self.granted.entry(posting.credit.clone()).or_default() += posting.amount;
        }
        Ok(())
    }
}

impl Settlement {
    /// The settlement that a transfer is, if it is one.
    fn of(postings: &[Posting]) -> anyhow::Result<Option<Self>> {
        let first = &postings[0];
        if first.kind == "grant" {
            return Ok(None);
        }
        let (root, nonce) = first.work.context("a settlement without a work")?;
        let payer = first.debit.clone();
        let mut settlement = Self { payer, root, nonce, payee: None, earned: 0, kept: 0 };
        for posting in postings {
            ensure!(posting.work == first.work && posting.debit == first.debit, "two in one: {postings:?}");
            match (posting.kind.as_str(), posting.credit.as_str()) {
                ("earning", payee) => {
                    settlement.payee = Some(payee.to_owned());
                    settlement.earned += posting.amount;
                }
                (kind, payee) => {
                    ensure!(matches!(kind, "fee" | "resale") && payee == "house", "not a sale: {posting:?}");
                    settlement.kept += posting.amount;
                }
            }
        }
        Ok(Some(settlement))
    }
}

impl Posting {
    fn parse(line: &str) -> anyhow::Result<Self> {
        let entry: Value = serde_json::from_str(line)?;
        let posting = &entry["posting"];
        Self::read(&entry["sequence"], posting, &posting["amount"], &posting["work"])
    }

    fn read(sequence: &Value, posting: &Value, amount: &Value, work: &Value) -> anyhow::Result<Self> {
        let text =
            |field: &str| posting[field].as_str().map(str::to_owned).with_context(|| format!("no {field}"));
        let number = |value: &Value| value.as_u64().context("a number is none");
        let work = match work {
            Value::Null => None,
            work => Some((
                work["root"].as_str().context("a work without a root")?.parse()?,
                work["nonce"].as_str().context("a work without a nonce")?.parse()?,
            )),
        };
        Ok(Self {
            sequence: number(sequence)?,
            transfer: text("transfer")?,
            position: number(&posting["position"])?,
            kind: text("kind")?,
            debit: text("debit")?,
            credit: text("credit")?,
            amount: number(amount)?,
            work,
        })
    }
}
