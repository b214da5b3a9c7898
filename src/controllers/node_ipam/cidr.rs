//! A network divided into equal shares.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The pod network of one address family, and how large a node's share is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    base: u128,
    prefix: u8,
    share: u8,
    v6: bool,
}

impl Network {
    /// Reads a CIDR; `None` when it is none, or smaller than one share.
    pub(super) fn parse(cidr: &str, share_v4: u8, share_v6: u8) -> Option<Self> {
        let (base, prefix, v6) = split(cidr)?;
        let share = if v6 { share_v6 } else { share_v4 };
        let bits = if v6 { 128 } else { 32 };
        // Upstream bounds the number of shares to 2^16 for a reason: they are counted.
        (prefix <= share && share <= bits && share - prefix <= 16).then(|| {
            let host = bits - prefix;
            let base = if host >= 128 { 0 } else { base >> host << host };
            Self { base, prefix, share, v6 }
        })
    }

    /// The lowest share that is not used.
    pub(super) fn free(&self, used: &BTreeSet<u64>) -> Option<u64> {
        let mut candidate = 0;
        for index in used {
            if *index != candidate {
                break;
            }
            candidate += 1;
        }
        (candidate < 1 << (self.share - self.prefix)).then_some(candidate)
    }

    /// A share as CIDR.
    pub(super) fn share(&self, index: u64) -> String {
        let bits = if self.v6 { 128 } else { 32 };
        let shift = bits - u32::from(self.share);
        let address = self.base + u128::from(index).checked_shl(shift).unwrap_or_default();
        let address: IpAddr =
            if self.v6 { Ipv6Addr::from_bits(address).into() } else { Ipv4Addr::from_bits(address as u32).into() };
        format!("{address}/{}", self.share)
    }

    /// Which share a CIDR is, or lies in; `None` when it is outside this network.
    pub(super) fn index(&self, cidr: &str) -> Option<u64> {
        let (address, _, v6) = split(cidr)?;
        let bits = if self.v6 { 128 } else { 32 };
        let offset = address.checked_sub(self.base)?;
        let index = offset.checked_shr(bits - u32::from(self.share)).unwrap_or_default();
        (v6 == self.v6 && index < 1 << (self.share - self.prefix)).then_some(index as u64)
    }
}

fn split(cidr: &str) -> Option<(u128, u8, bool)> {
    let (address, prefix) = cidr.split_once('/')?;
    let prefix: u8 = prefix.parse().ok()?;
    match address.parse().ok()? {
        IpAddr::V4(address) => (prefix <= 32).then(|| (u128::from(address.to_bits()), prefix, false)),
        IpAddr::V6(address) => (prefix <= 128).then(|| (address.to_bits(), prefix, true)),
    }
}
