//! Links, addresses, routes, neighbours and forwarding entries: the requests of rtnetlink a node needs.
//!
//! Every `add` here is "make it so": an object that is already there is replaced or left, never an error. Every
//! `delete` accepts that the object is gone.

mod link;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};

use nix::errno::Errno;

use super::{Buffer, CREATE, EXCLUSIVE, REPLACE, Socket, attribute, attributes, is, ne32};
use crate::cidr::Ipv4Cidr;

pub(crate) use link::{
    Link, Mac, VethEnd, Vxlan, add_bridge, add_veth, add_vxlan, delete_link, link, links, set_bridge_port, set_mtu,
    set_up, settle,
};

const NEW_ADDRESS: u16 = 20;
const DELETE_ADDRESS: u16 = 21;
const GET_ADDRESS: u16 = 22;
const NEW_ROUTE: u16 = 24;
const DELETE_ROUTE: u16 = 25;
const GET_ROUTE: u16 = 26;
const NEW_NEIGHBOUR: u16 = 28;
const DELETE_NEIGHBOUR: u16 = 29;
const GET_NEIGHBOUR: u16 = 30;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const AF_BRIDGE: u8 = 7;

const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_PREFSRC: u16 = 7;
const RTNH_F_ONLINK: u32 = 4;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_BOOT: u8 = 3;
const RT_SCOPE_UNIVERSE: u8 = 0;
const RT_SCOPE_LINK: u8 = 253;
const RT_SCOPE_HOST: u8 = 254;
const RTN_UNICAST: u8 = 1;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;

const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
const NUD_PERMANENT: u16 = 0x80;
const NTF_SELF: u8 = 2;

/// A route of the main table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) destination: Ipv4Cidr,
    pub(crate) gateway: Option<Ipv4Addr>,
    pub(crate) device: u32,
    pub(crate) onlink: bool,
    pub(crate) source: Option<Ipv4Addr>,
    pub(crate) metric: u32,
    /// Made by the kernel itself, for an address on a link.
    pub(crate) kernel: bool,
}

/// A permanent entry that says which hardware address (neighbour) or node (forwarding entry) answers for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Entry {
    pub(crate) address: Ipv4Addr,
    pub(crate) mac: Mac,
}

/// Which of the two tables an [`Entry`] is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entries {
    /// `address` is a neighbour's protocol address.
    Neighbours,
    /// `address` is the tunnel endpoint frames for `mac` go to.
    Forwarding,
}

fn address_header(index: u32, address: Ipv4Cidr) -> [u8; 8] {
    let scope = if address.address.is_loopback() { RT_SCOPE_HOST } else { RT_SCOPE_UNIVERSE };
    let mut header = [AF_INET, address.prefix, 0, scope, 0, 0, 0, 0];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header
}

/// All IPv4 addresses, with the index of their link.
pub(crate) fn addresses(socket: &mut Socket) -> io::Result<Vec<(u32, Ipv4Cidr)>> {
    let answers = socket.dump(GET_ADDRESS, |m| m.raw(&[AF_INET, 0, 0, 0, 0, 0, 0, 0]))?;
    Ok(answers
        .iter()
        .filter_map(|payload| {
            let header = payload.get(..8)?;
            let attributes = &payload[8..];
            let local = attribute(attributes, IFA_LOCAL).or_else(|| attribute(attributes, IFA_ADDRESS))?;
            Some((ne32(&header[4..8]), Ipv4Cidr::new(ipv4(local)?, header[1])))
        })
        .collect())
}

/// All IPv6 addresses, with the index of their link.
pub(crate) fn addresses_v6(socket: &mut Socket) -> io::Result<Vec<(u32, Ipv6Addr)>> {
    let answers = socket.dump(GET_ADDRESS, |m| m.raw(&[AF_INET6, 0, 0, 0, 0, 0, 0, 0]))?;
    Ok(answers
        .iter()
        .filter_map(|payload| {
            let (header, attributes) = payload.split_at_checked(8)?;
            let octets = attribute(attributes, IFA_ADDRESS)?.first_chunk::<16>()?;
            Some((ne32(&header[4..8]), Ipv6Addr::from(*octets)))
        })
        .collect())
}

/// Gives a link an address.
pub(crate) fn add_address(socket: &mut Socket, index: u32, address: Ipv4Cidr) -> io::Result<()> {
    let done = socket.execute(NEW_ADDRESS, CREATE | EXCLUSIVE, |m| {
        m.raw(&address_header(index, address));
        m.attr(IFA_LOCAL, &address.address.octets());
        m.attr(IFA_ADDRESS, &address.address.octets());
        if address.prefix < 31 {
            m.attr(IFA_BROADCAST, &address.last().octets());
        }
    });
    tolerate(done, &[Errno::EEXIST])
}

/// Takes an address from a link.
pub(crate) fn delete_address(socket: &mut Socket, index: u32, address: Ipv4Cidr) -> io::Result<()> {
    let done = socket.execute(DELETE_ADDRESS, 0, |m| {
        m.raw(&address_header(index, address));
        m.attr(IFA_LOCAL, &address.address.octets());
    });
    tolerate(done, &[Errno::EADDRNOTAVAIL, Errno::ENODEV])
}

/// The IPv4 unicast routes of the main table.
pub(crate) fn routes(socket: &mut Socket) -> io::Result<Vec<Route>> {
    let mut header = [0; 12];
    header[0] = AF_INET;
    let answers = socket.dump(GET_ROUTE, |m| m.raw(&header))?;
    Ok(answers.iter().filter_map(|payload| parse_route(payload)).collect())
}

fn parse_route(payload: &[u8]) -> Option<Route> {
    let header = payload.get(..12)?;
    if header[4] != RT_TABLE_MAIN || header[7] != RTN_UNICAST {
        return None;
    }
    let mut route = Route {
        destination: Ipv4Cidr::new(Ipv4Addr::UNSPECIFIED, header[1]),
        gateway: None,
        device: 0,
        onlink: ne32(&header[8..12]) & RTNH_F_ONLINK != 0,
        source: None,
        metric: 0,
        kernel: header[5] == 2,
    };
    for (kind, value) in attributes(&payload[12..]) {
        match kind {
            RTA_DST => route.destination.address = ipv4(value)?,
            RTA_OIF => route.device = ne32(value),
            RTA_GATEWAY => route.gateway = ipv4(value),
            RTA_PRIORITY => route.metric = ne32(value),
            RTA_PREFSRC => route.source = ipv4(value),
            _ => {}
        }
    }
    Some(route)
}

fn write_route(m: &mut Buffer, route: &Route) {
    let scope = if route.gateway.is_some() { RT_SCOPE_UNIVERSE } else { RT_SCOPE_LINK };
    let mut header =
        [AF_INET, route.destination.prefix, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, scope, RTN_UNICAST, 0, 0, 0, 0];
    header[8..12].copy_from_slice(&(if route.onlink { RTNH_F_ONLINK } else { 0 }).to_ne_bytes());
    m.raw(&header);
    m.attr(RTA_DST, &route.destination.address.octets());
    if let Some(gateway) = route.gateway {
        m.attr(RTA_GATEWAY, &gateway.octets());
    }
    if let Some(source) = route.source {
        m.attr(RTA_PREFSRC, &source.octets());
    }
    if route.metric != 0 {
        m.ne32(RTA_PRIORITY, route.metric);
    }
    m.ne32(RTA_OIF, route.device);
}

/// Adds a route, in place of one with the same destination and metric.
pub(crate) fn add_route(socket: &mut Socket, route: &Route) -> io::Result<()> {
    socket.execute(NEW_ROUTE, CREATE | REPLACE, |m| write_route(m, route))
}

/// Deletes a route.
pub(crate) fn delete_route(socket: &mut Socket, route: &Route) -> io::Result<()> {
    let done = socket.execute(DELETE_ROUTE, 0, |m| {
        write_route(m, route);
    });
    tolerate(done, &[Errno::ESRCH, Errno::ENODEV])
}

fn entry_header(entries: Entries, index: u32) -> [u8; 12] {
    let (family, flags) = match entries {
        Entries::Neighbours => (AF_INET, 0),
        Entries::Forwarding => (AF_BRIDGE, NTF_SELF),
    };
    let mut header = [family, 0, 0, 0, 0, 0, 0, 0, 0, 0, flags, 0];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..10].copy_from_slice(&NUD_PERMANENT.to_ne_bytes());
    header
}

/// The permanent entries of a device.
pub(crate) fn entries(socket: &mut Socket, entries: Entries, index: u32) -> io::Result<Vec<Entry>> {
    let family = if entries == Entries::Neighbours { AF_INET } else { AF_BRIDGE };
    let answers = socket.dump(GET_NEIGHBOUR, |m| m.raw(&[family, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]))?;
    Ok(answers
        .iter()
        .filter_map(|payload| {
            let header = payload.get(..12)?;
            let state = u16::from_ne_bytes([header[8], header[9]]);
            if header[0] != family || ne32(&header[4..8]) != index || state & NUD_PERMANENT == 0 {
                return None;
            }
            let address = ipv4(attribute(&payload[12..], NDA_DST)?)?;
            let mac = *attribute(&payload[12..], NDA_LLADDR)?.first_chunk()?;
            Some(Entry { address, mac })
        })
        .collect())
}

/// Adds a permanent entry, in place of one with the same key (address for neighbours, MAC for forwarding).
pub(crate) fn add_entry(socket: &mut Socket, entries: Entries, index: u32, entry: &Entry) -> io::Result<()> {
    socket.execute(NEW_NEIGHBOUR, CREATE | REPLACE, |m| {
        m.raw(&entry_header(entries, index));
        m.attr(NDA_DST, &entry.address.octets());
        m.attr(NDA_LLADDR, &entry.mac);
    })
}

/// Deletes a permanent entry.
pub(crate) fn delete_entry(socket: &mut Socket, entries: Entries, index: u32, entry: &Entry) -> io::Result<()> {
    let done = socket.execute(DELETE_NEIGHBOUR, 0, |m| {
        m.raw(&entry_header(entries, index));
        m.attr(NDA_DST, &entry.address.octets());
        m.attr(NDA_LLADDR, &entry.mac);
    });
    tolerate(done, &[Errno::ENOENT, Errno::ENODEV])
}

fn ipv4(bytes: &[u8]) -> Option<Ipv4Addr> {
    bytes.first_chunk::<4>().map(|octets| Ipv4Addr::from(*octets))
}

fn tolerate(done: io::Result<()>, accepted: &[Errno]) -> io::Result<()> {
    match done {
        Err(error) if accepted.iter().any(|errno| is(&error, *errno)) => Ok(()),
        done => done,
    }
}
