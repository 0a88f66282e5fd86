//! Ranges of addresses, as operators write them.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A range of addresses that share their first bits, such as `10.0.0.0/8`. An IPv4 address that comes in IPv6 clothes is taken
/// as IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AddressPrefix {
    network: IpAddr,
    bits: u8,
}

/// A text that is no address prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an address prefix is an address, `/` and a number of bits that it has, such as 10.0.0.0/8")]
pub struct BadAddressPrefix;

impl AddressPrefix {
    /// This machine.
    pub const LOOPBACK: [Self; 2] = [
        Self { network: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), bits: 8 },
        Self { network: IpAddr::V6(Ipv6Addr::LOCALHOST), bits: 128 },
    ];

    /// Whether the address lies in the range.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.network, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let differing = network.to_bits() ^ address.to_bits();
                differing.leading_zeros() >= u32::from(self.bits)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let differing = network.to_bits() ^ address.to_bits();
                differing.leading_zeros() >= u32::from(self.bits)
            }
            _ => false,
        }
    }
}

impl fmt::Display for AddressPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.bits)
    }
}

impl From<AddressPrefix> for String {
    fn from(prefix: AddressPrefix) -> Self {
        prefix.to_string()
    }
}

impl TryFrom<String> for AddressPrefix {
    type Error = BadAddressPrefix;

    fn try_from(text: String) -> Result<Self, BadAddressPrefix> {
        text.parse()
    }
}

impl FromStr for AddressPrefix {
    type Err = BadAddressPrefix;

    fn from_str(text: &str) -> Result<Self, BadAddressPrefix> {
        let (network, bits) = text.split_once('/').ok_or(BadAddressPrefix)?;
        let network: IpAddr = network.parse().map_err(|_| BadAddressPrefix)?;
        let bits: u8 = bits.parse().map_err(|_| BadAddressPrefix)?;
        let bits_max = if network.is_ipv4() { 32 } else { 128 };
        if bits > bits_max { Err(BadAddressPrefix) } else { Ok(Self { network, bits }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_covers_the_addresses_that_share_its_bits() {
        for (prefix, address, inside) in [
            ("127.0.0.0/8", "127.255.0.9", true),
            ("127.0.0.0/8", "::ffff:127.0.0.1", true),
            ("127.0.0.0/8", "128.0.0.1", false),
            ("10.1.0.0/16", "10.2.0.0", false),
            ("0.0.0.0/0", "200.1.1.1", true),
            ("0.0.0.0/0", "::1", false),
            ("::1/128", "::1", true),
            ("::1/128", "::2", false),
            ("2001:db8::/32", "2001:db8:1::7", true),
        ] {
            let text = prefix;
            let prefix: AddressPrefix = prefix.parse().unwrap();
            assert_eq!(prefix.to_string(), text);
            assert_eq!(prefix.contains(address.parse().unwrap()), inside, "{prefix:?} {address}");
        }
        for bad in ["", "10.0.0.0", "10.0.0.0/33", "::1/129", "ten/8", "10.0.0.0/-1"] {
            assert_eq!(bad.parse::<AddressPrefix>(), Err(BadAddressPrefix), "{bad}");
        }
    }
}
