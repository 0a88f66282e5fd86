//! What an audit says.

use super::violation::Violation;

/// How many violations are kept word for word; further ones are counted only.
pub const VIOLATIONS_KEPT: usize = 1000;

/// What an audit has looked at, since its first entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Checked {
    /// Postings replayed.
    pub postings: u64,
    /// Grants among the transfers.
    pub grants: u64,
    /// Settlements, free ones included.
    pub settlements: u64,
    /// Settlements that charged nothing.
    pub free: u64,
    /// Works that paid their worker.
    pub works_paid: u64,
    /// Works hashed again, one for each settlement.
    pub works_hashed: u64,
    /// Parties whose balances were compared.
    pub parties: u64,
}

/// The verdict on a ledger.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// What was looked at.
    pub checked: Checked,
    /// What was found, at most [`VIOLATIONS_KEPT`], in the order of the search.
    pub violations: Vec<Violation>,
    /// How many were found.
    pub violations_found: u64,
    /// The absolute differences between balances as kept and as the journal comes to, summed up, in millicredits.
    pub imbalance: u64,
}

impl Report {
    /// Whether nothing was found.
    pub const fn is_green(&self) -> bool {
        self.violations_found == 0
    }

    /// Adds a finding.
    pub fn found(&mut self, violation: Violation) {
        if self.violations.len() < VIOLATIONS_KEPT {
            self.violations.push(violation);
        }
        self.violations_found += 1;
    }
}
