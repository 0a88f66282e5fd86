//! The networks whose blocks need work, and what each asks for.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::account::{Account, AccountError, Prefix};
use crate::pow::Threshold;

/// A block-lattice network. It fixes the thresholds and the prefix of its addresses.
///
/// # Source
/// nanocurrency/nano-node `nano/lib/config.cpp` (`work_thresholds`); Banano asks the same of every block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// Nano's main network.
    #[default]
    Live,
    /// Nano's beta network.
    Beta,
    /// Nano's test network: thresholds of the main one.
    Test,
    /// A developer's own network: trivial thresholds.
    Dev,
    /// Banano's main network.
    Banano,
}

/// The kinds of block, as far as work depends on them. The words are those of a state block's `subtype`.
///
/// # Source
/// nanocurrency/nano-node `nano/lib/config.cpp`, `threshold` of the work thresholds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BlockKind {
    /// Lowers the balance.
    Send,
    /// Raises the balance.
    Receive,
    /// First block of an account; a receive.
    Open,
    /// Names another representative.
    Change,
    /// Upgrade signed by the network.
    Epoch,
}

/// A name that is not a network's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("unknown network `{0}`: use live, beta, test, dev or banano")]
pub struct UnknownNetwork(String);

impl Network {
    /// All networks, in the order of their documentation.
    pub const ALL: [Self; 5] = [Self::Live, Self::Beta, Self::Test, Self::Dev, Self::Banano];

    /// The name on the command line, in configuration and in the ledger.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Beta => "beta",
            Self::Test => "test",
            Self::Dev => "dev",
            Self::Banano => "banano",
        }
    }

    /// What a send or change block must meet: the *base* that multipliers and prices refer to.
    pub const fn send_threshold(self) -> Threshold {
        Threshold::new(match self {
            Self::Live | Self::Test => 0xffff_fff8_0000_0000,
            Self::Beta => 0xffff_f000_0000_0000,
            Self::Dev => 0xffc0_0000_0000_0000,
            Self::Banano => 0xffff_fe00_0000_0000,
        })
    }

    /// What a receive, open or epoch block must meet: the *entry*, below which no node takes a block.
    pub const fn receive_threshold(self) -> Threshold {
        Threshold::new(match self {
            Self::Live | Self::Test | Self::Banano => 0xffff_fe00_0000_0000,
            Self::Beta => 0xffff_e000_0000_0000,
            Self::Dev => 0xf000_0000_0000_0000,
        })
    }

    /// What any block of an account below epoch 2 must meet. No account of the main network is one today.
    pub const fn epoch_1_threshold(self) -> Threshold {
        Threshold::new(match self {
            Self::Live | Self::Test => 0xffff_ffc0_0000_0000,
            Self::Beta => 0xffff_f000_0000_0000,
            Self::Dev => 0xfe00_0000_0000_0000,
            Self::Banano => 0xffff_fe00_0000_0000,
        })
    }

    /// What a block of this kind must meet.
    pub const fn threshold_of(self, kind: BlockKind) -> Threshold {
        match kind {
            BlockKind::Send | BlockKind::Change => self.send_threshold(),
            BlockKind::Receive | BlockKind::Open | BlockKind::Epoch => self.receive_threshold(),
        }
    }

    /// Reads an address of this network.
    ///
    /// # Errors
    /// [`AccountError`] when it is malformed, or another network's: coins of one sent to the key of another may be lost.
    pub fn parse_address(self, text: &str) -> Result<Account, AccountError> {
        let (account, prefix) = Account::parse_with_prefix(text)?;
        if (prefix == Prefix::Ban) == (self == Self::Banano) {
            Ok(account)
        } else {
            Err(AccountError::Network { expected: self.prefix().as_str() })
        }
    }

    /// Writes an account as an address of this network.
    pub fn format_address(self, account: Account) -> String {
        account.to_address(self.prefix())
    }

    const fn prefix(self) -> Prefix {
        match self {
            Self::Banano => Prefix::Ban,
            Self::Live | Self::Beta | Self::Test | Self::Dev => Prefix::Nano,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Network {
    type Err = UnknownNetwork;

    fn from_str(text: &str) -> Result<Self, UnknownNetwork> {
        Self::ALL
            .into_iter()
            .find(|network| network.name() == text)
            .ok_or_else(|| UnknownNetwork(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GENESIS: &str = "3t6k35gi95xu6tergt6p69ck76ogmitsa8mnijtpxm9fkcm736xtoncuohr3";

    #[test]
    fn every_network_asks_for_what_its_nodes_check() {
        for (network, send, receive, epoch_1) in [
            (Network::Live, 0xffff_fff8_0000_0000, 0xffff_fe00_0000_0000, 0xffff_ffc0_0000_0000),
            (Network::Beta, 0xffff_f000_0000_0000, 0xffff_e000_0000_0000, 0xffff_f000_0000_0000),
            (Network::Test, 0xffff_fff8_0000_0000, 0xffff_fe00_0000_0000, 0xffff_ffc0_0000_0000),
            (Network::Dev, 0xffc0_0000_0000_0000, 0xf000_0000_0000_0000, 0xfe00_0000_0000_0000),
            (Network::Banano, 0xffff_fe00_0000_0000, 0xffff_fe00_0000_0000, 0xffff_fe00_0000_0000),
        ] {
            let (send, receive) = (Threshold::new(send), Threshold::new(receive));
            for kind in [BlockKind::Send, BlockKind::Change] {
                assert_eq!(network.threshold_of(kind), send, "{network} {kind:?}");
            }
            for kind in [BlockKind::Receive, BlockKind::Open, BlockKind::Epoch] {
                assert_eq!(network.threshold_of(kind), receive, "{network} {kind:?}");
            }
            assert_eq!(network.epoch_1_threshold(), Threshold::new(epoch_1), "{network}");
            assert!(receive <= send);
        }
    }

    #[test]
    fn names_read_back_and_nothing_else_is_a_network() {
        for network in Network::ALL {
            assert_eq!(network.to_string().parse(), Ok(network));
            assert_eq!(serde_json::to_value(network).unwrap(), network.name());
        }
        for bad in ["", "Live", "live ", "main", "nano"] {
            assert_eq!(bad.parse::<Network>(), Err(UnknownNetwork(bad.into())));
        }
    }

    #[test]
    fn an_address_belongs_to_the_network_of_its_prefix() {
        let account: Account = format!("nano_{GENESIS}").parse().unwrap();
        for network in Network::ALL {
            let is_banano = network == Network::Banano;
            for (prefix, is_ours) in [("nano_", !is_banano), ("xrb_", !is_banano), ("ban_", is_banano)] {
                let expected = if is_banano { "ban_" } else { "nano_" };
                let read = network.parse_address(&format!("{prefix}{GENESIS}"));
                assert_eq!(read, if is_ours { Ok(account) } else { Err(AccountError::Network { expected }) });
            }
            let address = network.format_address(account);
            assert_eq!(address, format!("{}{GENESIS}", network.prefix().as_str()));
            assert_eq!(network.parse_address(&address), Ok(account));
        }
    }
}
