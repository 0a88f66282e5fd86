//! The ledger of a fake node: a chain of blocks for each account.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use anyhow::{Context, bail, ensure};
use shared::pow::{Nonce, Root, difficulty};
use shared::{Account, Network};

use super::block::{Block, Body, NewBlock, ZERO};

/// What the first account that sends has without having received it, in raw.
const SUPPLY: u128 = 1 << 100;

/// A block and what the node knows of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The block.
    pub block: Block,
    /// Whether it is confirmed.
    pub is_confirmed: bool,
}

/// All accounts and blocks.
#[derive(Debug, Default)]
pub struct Chain {
    blocks: BTreeMap<Root, Entry>,
    accounts: BTreeMap<Account, Vec<Root>>,
    /// Sends that nobody has taken, by whom they go to.
    receivable: BTreeMap<Account, BTreeMap<Root, u128>>,
}

impl Chain {
    /// Adds a block to an account. It is not confirmed yet.
    ///
    /// # Errors
    /// When the account cannot have such a block.
    pub fn append(&mut self, account: Account, body: Body) -> anyhow::Result<Root> {
        let last = self.frontier(account).and_then(|hash| self.blocks.get(&hash)).map(|entry| entry.block);
        let (previous, balance) = last.map_or((ZERO, 0), |block| (block.hash(), block.balance));
        let amount = match body {
            Body::Send { amount, .. } | Body::LegacySend { amount, .. } => amount,
            Body::Receive { source } | Body::LegacyReceive { source } | Body::LegacyOpen { source } => {
                let sends = self.receivable.entry(account).or_default();
                sends.remove(&source).context("there is no such send to this account")?
            }
            Body::Change | Body::Epoch | Body::LegacyChange => 0,
        };
        let balance = match body {
            Body::Send { .. } | Body::LegacySend { .. } => {
                let has = if last.is_none() { SUPPLY } else { balance };
                has.checked_sub(amount).context("it has not so much")?
            }
            Body::Receive { .. } | Body::LegacyReceive { .. } => balance + amount,
            Body::LegacyOpen { .. } => {
                ensure!(last.is_none(), "it is open already");
                amount
            }
            Body::Change | Body::Epoch | Body::LegacyChange => balance,
        };
        let height = last.map_or(1, |block| block.height + 1);
        let (representative, work) = (account, Nonce::new(0));
        let block = Block { account, previous, representative, body, balance, amount, height, work };
        Ok(self.insert(block))
    }

    /// Takes in a state block that somebody has made, as a node does, but for the signature, which nobody here looks at.
    ///
    /// # Errors
    /// What a node says of a block that does not fit.
    pub(super) fn process(&mut self, new: &NewBlock) -> Result<Root, &'static str> {
        if self.blocks.values().any(|entry| new.is(&entry.block)) {
            return Err("Old block");
        }
        let last = self.frontier(new.account).and_then(|hash| self.entry(hash)).map(|entry| entry.block);
        let balance = last.map_or(0, |block| block.balance);
        let amount = new.balance.abs_diff(balance);
        let body = match new.balance.cmp(&balance) {
            Ordering::Less => Body::Send { to: Account::from_public_key(*new.link.as_bytes()), amount },
            Ordering::Equal if new.link == ZERO => Body::Change,
            Ordering::Equal => return Err("Balance and amount delta do not match"),
            Ordering::Greater => Body::Receive { source: new.link },
        };
        let NewBlock { account, previous, representative, balance, work, .. } = *new;
        let height = last.map_or(1, |block| block.height + 1);
        let block = Block { account, previous, representative, body, balance, amount, height, work };
        self.check(&block, last.map_or(ZERO, |block| block.hash()))?;
        Ok(self.insert(block))
    }

    /// Whether a block can follow the one with this hash.
    fn check(&mut self, block: &Block, last: Root) -> Result<(), &'static str> {
        let worked_for = if last == ZERO { Root::new(*block.account.public_key()) } else { last };
        // A fake node is one of the network `dev`, where receives are easier.
        let threshold = match block.body {
            Body::Receive { .. } => Network::Dev.receive_threshold(),
            _ => Network::Dev.send_threshold(),
        };
        if block.previous != last {
            let is_known = block.previous == ZERO || self.blocks.contains_key(&block.previous);
            return Err(if is_known { "Fork" } else { "Gap previous block" });
        }
        if !difficulty(&worked_for, block.work).meets(threshold) {
            return Err("Block work is less than threshold");
        }
        if let Body::Receive { source } = block.body {
            let sends = self.receivable.entry(block.account).or_default();
            match sends.get(&source) {
                None if self.blocks.contains_key(&source) => return Err("Unreceivable"),
                None => return Err("Gap source block"),
                Some(amount) if *amount != block.amount => {
                    return Err("Balance and amount delta do not match");
                }
                Some(_) => sends.remove(&source),
            };
        }
        Ok(())
    }

    /// Puts a block at the end of its account's chain.
    fn insert(&mut self, block: Block) -> Root {
        let (hash, account) = (block.hash(), block.account);
        self.blocks.insert(hash, Entry { block, is_confirmed: false });
        self.accounts.entry(account).or_default().push(hash);
        if let Body::Send { to, amount } | Body::LegacySend { to, amount } = block.body {
            self.receivable.entry(to).or_default().insert(hash, amount);
        }
        hash
    }

    /// Confirms a block and all before it in its chain.
    pub(super) fn confirm(&mut self, hash: Root) -> anyhow::Result<()> {
        let account = self.block(hash)?.account;
        for earlier in self.accounts.get(&account).into_iter().flatten() {
            if let Some(entry) = self.blocks.get_mut(earlier) {
                entry.is_confirmed = true;
            }
            if *earlier == hash {
                return Ok(());
            }
        }
        bail!("{hash} is in no chain")
    }

    /// A block by its hash.
    ///
    /// # Errors
    /// When there is none.
    pub fn block(&self, hash: Root) -> anyhow::Result<Block> {
        self.entry(hash).map(|entry| entry.block).context("there is no such block")
    }

    pub(super) fn entry(&self, hash: Root) -> Option<Entry> {
        self.blocks.get(&hash).copied()
    }

    /// The last block of an account.
    pub fn frontier(&self, account: Account) -> Option<Root> {
        self.accounts.get(&account)?.last().copied()
    }

    /// The last confirmed block of an account.
    pub fn confirmed_frontier(&self, account: Account) -> Option<Root> {
        let chain = self.accounts.get(&account)?;
        chain.iter().rev().find(|hash| self.entry(**hash).is_some_and(|entry| entry.is_confirmed)).copied()
    }

    /// Sends to an account that nobody has taken, with their amounts in raw.
    pub fn receivable(&self, account: Account) -> Vec<(Root, u128)> {
        let sends = self.receivable.get(&account).into_iter().flatten();
        sends.map(|(hash, amount)| (*hash, *amount)).collect()
    }

    pub(super) fn blocks_count(&self) -> usize {
        self.blocks.len()
    }

    pub(super) fn confirmed_count(&self) -> usize {
        self.blocks.values().filter(|entry| entry.is_confirmed).count()
    }
}
