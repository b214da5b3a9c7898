//! Addresses on `lo` that the node itself answers for: that of cluster DNS.

use std::net::Ipv4Addr;

use crate::cidr::Ipv4Cidr;
use crate::error::{Doing, Error, Result};
use crate::netlink::{Socket, route};

/// Puts `address` on `lo`, unless it is there.
pub fn ensure(address: Ipv4Addr) -> Result<()> {
    let (mut socket, lo) = loopback()?;
    route::add_address(&mut socket, lo, Ipv4Cidr::new(address, 32)).doing(|| format!("giving {address} to lo"))
}

/// Takes `address` from `lo`, if it is there.
pub fn remove(address: Ipv4Addr) -> Result<()> {
    let (mut socket, lo) = loopback()?;
    route::delete_address(&mut socket, lo, Ipv4Cidr::new(address, 32)).doing(|| format!("taking {address} from lo"))
}

fn loopback() -> Result<(Socket, u32)> {
    let mut socket = Socket::route().doing(|| "opening a route socket".into())?;
    let lo = route::link(&mut socket, "lo").doing(|| "reading link lo".into())?;
    let lo = lo.ok_or_else(|| Error::Invalid("there is no link lo".into()))?;
    if !lo.up {
        route::set_up(&mut socket, lo.index).doing(|| "bringing lo up".into())?;
    }
    Ok((socket, lo.index))
}
