//! The plan and the kernel: what differs is changed.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::plan::{DEVICE, PeerRoute, Plan, Tunnel};
use crate::cidr::Ipv4Cidr;
use crate::error::{Doing, Error, Result};
use crate::netlink::route::{Entries, Entry, Link, Route};
use crate::netlink::{Socket, route};

/// Makes it so. Routes with a gateway into the cluster CIDR are ours: those the plan does not have are removed, which
/// is also how a change of backend leaves nothing behind.
pub(super) fn apply(plan: &Plan, cluster: Ipv4Cidr) -> Result<()> {
    let mut socket = Socket::route().doing(|| "opening a route socket".into())?;
    let present = route::link(&mut socket, DEVICE).doing(|| format!("reading link {DEVICE}"))?;
    let device = match &plan.tunnel {
        Some(tunnel) => {
            let link = ensure_tunnel(&mut socket, present, tunnel)?;
            // A new neighbour is of use only with its forwarding entry, and a route only with both.
            sync_entries(&mut socket, Entries::Forwarding, link.index, &plan.forwarding)?;
            sync_entries(&mut socket, Entries::Neighbours, link.index, &plan.neighbours)?;
            link.index
        }
        None => plan.device,
    };
    sync_routes(&mut socket, device, plan.tunnel.is_some(), &plan.routes, cluster)?;
    if plan.tunnel.is_none() {
        // Only a tunnel: a device of that name and another kind is somebody else's.
        let present = route::link(&mut socket, DEVICE).doing(|| format!("reading link {DEVICE}"))?;
        if present.is_some_and(|link| link.kind == "vxlan") {
            route::delete_link(&mut socket, DEVICE).doing(|| format!("deleting link {DEVICE}"))?;
            tracing::info!(link = DEVICE, "deleted");
        }
    }
    Ok(())
}

/// Removes all routes into the cluster CIDR that lead to other nodes.
pub(crate) fn remove_routes(cluster: Ipv4Cidr) -> Result<()> {
    let mut socket = Socket::route().doing(|| "opening a route socket".into())?;
    sync_routes(&mut socket, 0, false, &BTreeSet::new(), cluster)
}

fn ensure_tunnel(socket: &mut Socket, present: Option<Link>, tunnel: &Tunnel) -> Result<Link> {
    let reusable = |link: &Link| link.vxlan == Some(tunnel.vxlan) && link.mac == tunnel.mac;
    let link = match present {
        Some(link) if reusable(&link) => link,
        old => {
            if let Some(old) = old {
                if old.kind != "vxlan" {
                    return Err(Error::Invalid(format!("link {DEVICE} is not a vxlan device")));
                }
                route::delete_link(socket, DEVICE).doing(|| format!("deleting link {DEVICE}"))?;
            }
            route::add_vxlan(socket, DEVICE, tunnel.mtu, tunnel.mac, &tunnel.vxlan)
                .doing(|| format!("creating vxlan device {DEVICE}"))?;
            tracing::info!(link = DEVICE, local = %tunnel.vxlan.local, mtu = tunnel.mtu, "created");
            let made = route::link(socket, DEVICE).doing(|| format!("reading link {DEVICE}"))?;
            made.ok_or_else(|| Error::Invalid(format!("link {DEVICE} vanished")))?
        }
    };
    if link.mtu != tunnel.mtu {
        route::set_mtu(socket, link.index, tunnel.mtu).doing(|| format!("setting the MTU of {DEVICE}"))?;
    }
    if !link.up {
        route::set_up(socket, link.index).doing(|| format!("bringing {DEVICE} up"))?;
    }
    let wanted = Ipv4Cidr::new(tunnel.address, 32);
    let addresses = route::addresses(socket).doing(|| "reading addresses".into())?;
    let mine = || addresses.iter().filter(|(index, _)| *index == link.index).map(|(_, address)| *address);
    for address in mine().filter(|address| *address != wanted) {
        route::delete_address(socket, link.index, address).doing(|| format!("taking {address} from {DEVICE}"))?;
    }
    if !mine().any(|address| address == wanted) {
        route::add_address(socket, link.index, wanted).doing(|| format!("giving {wanted} to {DEVICE}"))?;
    }
    Ok(link)
}

fn sync_entries(socket: &mut Socket, kind: Entries, index: u32, wanted: &BTreeSet<Entry>) -> Result<()> {
    let doing = || format!("changing {kind:?} of {DEVICE}").to_lowercase();
    let present: BTreeSet<_> = route::entries(socket, kind, index).doing(doing)?.into_iter().collect();
    for entry in present.difference(wanted) {
        route::delete_entry(socket, kind, index, entry).doing(doing)?;
    }
    for entry in wanted.difference(&present) {
        route::add_entry(socket, kind, index, entry).doing(doing)?;
    }
    Ok(())
}

fn sync_routes(
    socket: &mut Socket,
    device: u32,
    onlink: bool,
    wanted: &BTreeSet<PeerRoute>,
    cluster: Ipv4Cidr,
) -> Result<()> {
    let ours = |route: &Route| !route.kernel && route.gateway.is_some() && cluster.covers(&route.destination);
    let present = route::routes(socket).doing(|| "reading routes".into())?;
    let mut missing = wanted.clone();
    for route in present.iter().filter(|route| ours(route)) {
        let key = PeerRoute { subnet: route.destination, gateway: route.gateway.unwrap_or(Ipv4Addr::UNSPECIFIED) };
        if route.device != device || route.onlink != onlink || route.metric != 0 || !missing.remove(&key) {
            route::delete_route(socket, route).doing(|| format!("deleting the route to {}", route.destination))?;
            tracing::info!(subnet = %route.destination, "route deleted");
        }
    }
    for PeerRoute { subnet, gateway } in missing {
        let wanted = Route {
            destination: subnet,
            gateway: Some(gateway),
            device,
            onlink,
            source: None,
            metric: 0,
            kernel: false,
        };
        route::add_route(socket, &wanted).doing(|| format!("adding the route to {subnet} via {gateway}"))?;
        tracing::info!(%subnet, %gateway, "route added");
    }
    Ok(())
}
