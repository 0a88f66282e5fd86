//! Double entry: who holds credits, what moves them, and the proof that nothing appears or vanishes.
//!
//! Pure arithmetic on integers. A store decides *whether* a movement happens (is the hold open, has the work been paid
//! before) and applies the postings that this module computes; it never computes one itself. All amounts are millicredits.
//!
//! What always holds, and the test that proves it:
//!
//! | invariant | test |
//! |---|---|
//! | every posting moves one amount from one party to another, so all balances sum to zero | `audit::tests::random_ledgers_are_green_and_sum_to_zero` |
//! | what a settlement moves is what it charges, mc for mc | `transfer::tests::a_settlement_moves_exactly_what_it_charges` |
//! | a worker earns less than its service was charged: no mix of own services and own workers profits | `transfer::tests::a_worker_always_earns_less_than_was_charged` |
//! | granted credits never become payable earnings | `transfer::tests::granted_credits_never_become_payable` |
//! | a work pays its worker once; later settlements on it are the house's | `transfer::tests::later_settlements_are_the_houses`, `audit::tests::whatever_is_changed_is_found` |
//! | no party but the issuance is ever below zero; a transfer is carried out once; asking again is free | `audit::tests::whatever_is_changed_is_found` |

pub mod audit;
mod party;
mod posting;
mod purse;
mod transfer;

pub use audit::Audit;
pub use party::{BadParty, Bucket, Party};
pub use posting::{JournalEntry, Posting, PostingError, PostingKind, WorkKey};
pub use purse::{BadPurse, DaySpent, Purse};
pub use transfer::{Charge, REPEAT_WINDOW, Sale, Split, Standing, fee, grant, is_repeat, settle, split};
