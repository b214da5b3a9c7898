//! This machine's own addresses.

use std::net::IpAddr;

use crate::error::{Doing, Result};
use crate::flannel;
use crate::netlink::{Socket, route};

/// The addresses that this machine may be reached at: those of all links that are up, IPv4 before IPv6, each in the
/// kernel's order. Left out are loopback links with everything on them, where cluster DNS has its address, too; the pod
/// network's own links, which an earlier start may have left; and link-local IPv6 addresses, which mean nothing without a link.
pub fn local() -> Result<Vec<IpAddr>> {
    let mut socket = Socket::route().doing(|| "opening a route socket".into())?;
    let links = route::links(&mut socket).doing(|| "reading links".into())?;
    let v4 = route::addresses(&mut socket).doing(|| "reading addresses".into())?;
    let v6 = route::addresses_v6(&mut socket).doing(|| "reading addresses".into())?;
    let all = || {
        let v4 = v4.iter().map(|(index, cidr)| (*index, IpAddr::V4(cidr.address)));
        v4.chain(v6.iter().map(|(index, ip)| (*index, IpAddr::V6(*ip))))
    };
    let loopback = |index: u32| all().any(|(on, ip)| on == index && ip.is_loopback());
    let ours = ["cni0", flannel::DEVICE];
    let reached = |index: u32| {
        links.iter().any(|link| link.index == index && link.up && !ours.contains(&link.name.as_str()))
            && !loopback(index)
    };
    let local_to_link = |ip: &IpAddr| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    Ok(all().filter(|(index, ip)| reached(*index) && !local_to_link(ip)).map(|(_, ip)| ip).collect())
}

#[cfg(test)]
mod tests;
