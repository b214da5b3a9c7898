//! IPv4 networks in CIDR notation.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// An IPv4 address with a prefix length, such as `10.42.1.1/24`. Host bits are kept: `network` drops them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ipv4Cidr {
    /// The address as written.
    pub address: Ipv4Addr,
    /// Length of the prefix, 0 to 32.
    pub prefix: u8,
}

impl Ipv4Cidr {
    /// The address with that prefix length, which is capped at 32.
    pub fn new(address: Ipv4Addr, prefix: u8) -> Self {
        Self { address, prefix: prefix.min(32) }
    }

    /// The netmask.
    pub fn mask(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0))
    }

    /// The same network without host bits.
    pub fn network(&self) -> Self {
        Self { address: Ipv4Addr::from_bits(self.address.to_bits() & self.mask().to_bits()), prefix: self.prefix }
    }

    /// Whether `address` lies in the network.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        address.to_bits() & self.mask().to_bits() == self.network().address.to_bits()
    }

    /// Whether the whole of `other` lies in this network.
    pub fn covers(&self, other: &Self) -> bool {
        other.prefix >= self.prefix && self.contains(other.address)
    }

    /// The `n`th address of the network, counted from its first (`.0`); saturates at the last.
    pub fn nth(&self, n: u32) -> Ipv4Addr {
        let first = self.network().address.to_bits();
        Ipv4Addr::from_bits(first.saturating_add(n).min(self.last().to_bits()))
    }

    /// The last address of the network, its broadcast address.
    pub fn last(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.address.to_bits() | !self.mask().to_bits())
    }
}

impl fmt::Display for Ipv4Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// The text was no IPv4 network.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not an IPv4 network such as 10.42.0.0/16")]
pub struct ParseCidrError(String);

impl FromStr for Ipv4Cidr {
    type Err = ParseCidrError;

    fn from_str(text: &str) -> Result<Self, ParseCidrError> {
        let parsed = text.split_once('/').and_then(|(address, prefix)| {
            let prefix = prefix.parse().ok().filter(|prefix| *prefix <= 32)?;
            Some(Self { address: address.parse().ok()?, prefix })
        });
        parsed.ok_or_else(|| ParseCidrError(text.into()))
    }
}
