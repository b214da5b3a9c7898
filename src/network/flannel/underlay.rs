//! Which interface pod traffic to other nodes leaves through.

use crate::cidr::Ipv4Cidr;
use crate::config::Config;
use crate::error::{Doing, Error, Result};
use crate::netlink::route::{Link, Route};
use crate::netlink::{Socket, route};

/// The interface and the address on it other nodes reach us at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Underlay {
    pub(super) index: u32,
    pub(super) mtu: u32,
    pub(super) address: Ipv4Cidr,
}

/// Reads links, addresses and routes, and chooses.
pub(super) fn choose(config: &Config) -> Result<Underlay> {
    let mut socket = Socket::route().doing(|| "opening a route socket".into())?;
    let links = route::links(&mut socket).doing(|| "reading links".into())?;
    let addresses = route::addresses(&mut socket).doing(|| "reading addresses".into())?;
    let routes = route::routes(&mut socket).doing(|| "reading routes".into())?;
    select(config, &links, &addresses, &routes)
}

/// The interface the user names, else the one that holds the node's address, else the one of the default route, else
/// the only one there is: a machine without a default route is fine.
pub(super) fn select(
    config: &Config,
    links: &[Link],
    addresses: &[(u32, Ipv4Cidr)],
    routes: &[Route],
) -> Result<Underlay> {
    let on = |index: u32| addresses.iter().filter(move |(at, _)| *at == index).map(|(_, address)| *address);
    let index = if let Some(name) = &config.interface {
        let link = links.iter().find(|link| link.name == *name);
        link.ok_or_else(|| Error::Invalid(format!("there is no interface {name}")))?.index
    } else if let Some(holder) = addresses.iter().find(|(_, address)| Some(address.address) == config.node_ip) {
        holder.0
    } else if let Some(ip) = config.node_ip {
        return Err(Error::NotReady(format!("no interface holds the node's address {ip}")));
    } else if let Some(default) = routes.iter().filter(|r| r.destination.prefix == 0).min_by_key(|r| r.metric) {
        default.device
    } else {
        let mut usable = links.iter().filter(|link| {
            link.up
                && !link.loopback
                && link.name != super::DEVICE
                && link.name != config.bridge
                && on(link.index).next().is_some()
        });
        match (usable.next(), usable.next()) {
            (Some(link), None) => link.index,
            (None, _) => return Err(Error::NotReady("no interface has an IPv4 address".into())),
            _ => {
                return Err(Error::Invalid(
                    "there is no default route and several interfaces: name one with --flannel-iface or --node-ip"
                        .into(),
                ));
            }
        }
    };
    let link = links.iter().find(|link| link.index == index);
    let link = link.ok_or_else(|| Error::NotReady(format!("interface {index} is gone")))?;
    let address = on(index).find(|address| Some(address.address) == config.node_ip).or_else(|| on(index).next());
    let address = address.ok_or_else(|| Error::NotReady(format!("interface {} has no IPv4 address", link.name)))?;
    Ok(Underlay { index, mtu: link.mtu, address })
}
