//! This machine's own addresses.

use std::net::IpAddr;

use crate::error::{Doing, Result};
use crate::netlink::{Socket, route};

/// The addresses of all links that are up, IPv4 before IPv6, each in the kernel's order. Link-local IPv6 addresses,
/// which mean nothing without a link, are left out; loopback is not.
pub fn local() -> Result<Vec<IpAddr>> {
    let mut socket = Socket::route().doing(|| "opening a route socket".into())?;
    let links = route::links(&mut socket).doing(|| "reading links".into())?;
    let up = |index: u32| links.iter().any(|link| link.index == index && link.up);
    let v4 = route::addresses(&mut socket).doing(|| "reading addresses".into())?;
    let v6 = route::addresses_v6(&mut socket).doing(|| "reading addresses".into())?;
    let v4 = v4.into_iter().filter(|(index, _)| up(*index)).map(|(_, cidr)| IpAddr::V4(cidr.address));
    let v6 = v6.into_iter().filter(|(index, ip)| up(*index) && !ip.is_unicast_link_local());
    Ok(v4.chain(v6.map(|(_, ip)| IpAddr::V6(ip))).collect())
}

#[cfg(test)]
mod tests;
