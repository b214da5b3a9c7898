//! Links: bridges, veth pairs, vxlan devices.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::{ipv4, tolerate};
use crate::netlink::{Buffer, CREATE, EXCLUSIVE, Socket, attribute, attributes, cstr, is, ne32};

const NEW_LINK: u16 = 16;
const DELETE_LINK: u16 = 17;
const GET_LINK: u16 = 18;
const IFF_UP: u32 = 1;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_MASTER: u16 = 10;
const IFLA_OPERSTATE: u16 = 16;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_INFO_SLAVE_KIND: u16 = 4;
const IFLA_INFO_SLAVE_DATA: u16 = 5;
const IFLA_BRPORT_STATE: u16 = 1;
const IFLA_BRPORT_MODE: u16 = 4;
const BR_STATE_FORWARDING: u8 = 3;
const IF_OPER_UP: u8 = 6;
const VETH_INFO_PEER: u16 = 1;
const IFLA_VXLAN_ID: u16 = 1;
const IFLA_VXLAN_LINK: u16 = 3;
const IFLA_VXLAN_LOCAL: u16 = 4;
const IFLA_VXLAN_LEARNING: u16 = 7;
const IFLA_VXLAN_PORT: u16 = 15;

/// A hardware address.
pub(crate) type Mac = [u8; 6];

/// What is known of a link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) mac: Mac,
    pub(crate) mtu: u32,
    pub(crate) up: bool,
    pub(crate) loopback: bool,
    pub(crate) master: u32,
    /// The kernel has noticed that there is somebody at the other end, and sends.
    pub(crate) operational: bool,
    /// The bridge it is a port of forwards to it.
    pub(crate) forwarding: bool,
    pub(crate) vxlan: Option<Vxlan>,
}

/// The properties of a vxlan device that cannot be changed after it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Vxlan {
    pub(crate) vni: u32,
    pub(crate) device: u32,
    pub(crate) local: Ipv4Addr,
    pub(crate) port: u16,
    pub(crate) learning: bool,
}

fn interface(family: u8, index: u32, flags: u32, change: u32) -> [u8; 16] {
    let mut header = [0; 16];
    header[0] = family;
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..16].copy_from_slice(&change.to_ne_bytes());
    header
}

/// All links.
pub(crate) fn links(socket: &mut Socket) -> io::Result<Vec<Link>> {
    let answers = socket.dump(GET_LINK, |m| m.raw(&interface(0, 0, 0, 0)))?;
    Ok(answers.iter().filter_map(|payload| parse_link(payload)).collect())
}

/// The link of that name.
pub(crate) fn link(socket: &mut Socket, name: &str) -> io::Result<Option<Link>> {
    let answer = socket.get(GET_LINK, 0, |m| {
        m.raw(&interface(0, 0, 0, 0));
        m.text(IFLA_IFNAME, name);
    });
    match answer {
        Ok(payloads) => Ok(payloads.iter().find_map(|payload| parse_link(payload))),
        Err(error) if is(&error, Errno::ENODEV) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Waits until the kernel has worked off what follows a link's coming up, which it does a little later: until then
/// packets are lost, and a lost ARP request is asked again only after a second. Gives up in silence after a second.
pub(crate) fn settle(socket: &mut Socket, name: &str, settled: impl Fn(&Link) -> bool) -> io::Result<()> {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(1) {
        if link(socket, name)?.is_none_or(|link| settled(&link)) {
            break;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    Ok(())
}

fn parse_link(payload: &[u8]) -> Option<Link> {
    let header = payload.get(..16)?;
    let flags = ne32(&header[8..12]);
    let mut link =
        Link { index: ne32(&header[4..8]), up: flags & IFF_UP != 0, loopback: flags & 8 != 0, ..Link::default() };
    for (kind, value) in attributes(&payload[16..]) {
        match kind {
            IFLA_IFNAME => link.name = cstr(value),
            IFLA_MTU => link.mtu = ne32(value),
            IFLA_ADDRESS => link.mac = *value.first_chunk().unwrap_or(&[0; 6]),
            IFLA_MASTER => link.master = ne32(value),
            IFLA_OPERSTATE => link.operational = value.first() == Some(&IF_OPER_UP),
            IFLA_LINKINFO => {
                let port = attribute(value, IFLA_INFO_SLAVE_DATA).and_then(|data| attribute(data, IFLA_BRPORT_STATE));
                link.forwarding = port.and_then(|state| state.first()) == Some(&BR_STATE_FORWARDING);
                link.kind = attribute(value, IFLA_INFO_KIND).map(cstr).unwrap_or_default();
                if link.kind == "vxlan" {
                    link.vxlan = attribute(value, IFLA_INFO_DATA).map(parse_vxlan);
                }
            }
            _ => {}
        }
    }
    Some(link)
}

fn parse_vxlan(data: &[u8]) -> Vxlan {
    let mut vxlan = Vxlan { vni: 0, device: 0, local: Ipv4Addr::UNSPECIFIED, port: 0, learning: false };
    for (kind, value) in attributes(data) {
        match kind {
            IFLA_VXLAN_ID => vxlan.vni = ne32(value),
            IFLA_VXLAN_LINK => vxlan.device = ne32(value),
            IFLA_VXLAN_LOCAL => vxlan.local = ipv4(value).unwrap_or(Ipv4Addr::UNSPECIFIED),
            IFLA_VXLAN_LEARNING => vxlan.learning = value.first() == Some(&1),
            IFLA_VXLAN_PORT => vxlan.port = value.first_chunk().map_or(0, |port| u16::from_be_bytes(*port)),
            _ => {}
        }
    }
    vxlan
}

/// Creates a bridge, up, with that hardware address.
pub(crate) fn add_bridge(socket: &mut Socket, name: &str, mtu: u32, mac: Mac) -> io::Result<()> {
    create_link(socket, |m| {
        m.raw(&interface(0, 0, IFF_UP, IFF_UP));
        m.text(IFLA_IFNAME, name);
        m.ne32(IFLA_MTU, mtu);
        m.attr(IFLA_ADDRESS, &mac);
        m.nest(IFLA_LINKINFO, |m| m.text(IFLA_INFO_KIND, "bridge"));
    })
}

/// Creates a vxlan device, up, with that hardware address.
pub(crate) fn add_vxlan(socket: &mut Socket, name: &str, mtu: u32, mac: Mac, vxlan: &Vxlan) -> io::Result<()> {
    create_link(socket, |m| {
        m.raw(&interface(0, 0, IFF_UP, IFF_UP));
        m.text(IFLA_IFNAME, name);
        m.ne32(IFLA_MTU, mtu);
        m.attr(IFLA_ADDRESS, &mac);
        m.nest(IFLA_LINKINFO, |m| {
            m.text(IFLA_INFO_KIND, "vxlan");
            m.nest(IFLA_INFO_DATA, |m| {
                m.ne32(IFLA_VXLAN_ID, vxlan.vni);
                m.ne32(IFLA_VXLAN_LINK, vxlan.device);
                m.attr(IFLA_VXLAN_LOCAL, &vxlan.local.octets());
                m.attr(IFLA_VXLAN_LEARNING, &[u8::from(vxlan.learning)]);
                m.attr(IFLA_VXLAN_PORT, &vxlan.port.to_be_bytes());
            });
        });
    })
}

/// One end of a veth pair.
pub(crate) struct VethEnd<'a> {
    pub(crate) name: &'a str,
    pub(crate) mac: Mac,
}

/// Creates a veth pair: `host` here, `peer` in `namespace`. Fails when either name is taken.
pub(crate) fn add_veth(
    socket: &mut Socket,
    host: &VethEnd<'_>,
    peer: &VethEnd<'_>,
    mtu: u32,
    namespace: BorrowedFd<'_>,
) -> io::Result<()> {
    socket.execute(NEW_LINK, CREATE | EXCLUSIVE, |m| {
        m.raw(&interface(0, 0, 0, 0));
        m.text(IFLA_IFNAME, host.name);
        m.ne32(IFLA_MTU, mtu);
        m.attr(IFLA_ADDRESS, &host.mac);
        m.nest(IFLA_LINKINFO, |m| {
            m.text(IFLA_INFO_KIND, "veth");
            m.nest(IFLA_INFO_DATA, |m| {
                m.nest(VETH_INFO_PEER, |m| {
                    m.raw(&interface(0, 0, 0, 0));
                    m.text(IFLA_IFNAME, peer.name);
                    m.ne32(IFLA_MTU, mtu);
                    m.attr(IFLA_ADDRESS, &peer.mac);
                    m.ne32(IFLA_NET_NS_FD, namespace.as_raw_fd() as u32);
                });
            });
        });
    })
}

fn create_link(socket: &mut Socket, body: impl FnOnce(&mut Buffer)) -> io::Result<()> {
    tolerate(socket.execute(NEW_LINK, CREATE | EXCLUSIVE, body), &[Errno::EEXIST])
}

/// Makes a link a port of a bridge, with or without hairpin (a frame may leave through the port it came from).
pub(crate) fn set_bridge_port(socket: &mut Socket, index: u32, bridge: u32, hairpin: bool) -> io::Result<()> {
    socket.execute(NEW_LINK, 0, |m| {
        m.raw(&interface(0, index, IFF_UP, IFF_UP));
        m.ne32(IFLA_MASTER, bridge);
    })?;
    socket.execute(NEW_LINK, 0, |m| {
        m.raw(&interface(0, index, 0, 0));
        m.nest(IFLA_LINKINFO, |m| {
            m.text(IFLA_INFO_SLAVE_KIND, "bridge");
            m.nest(IFLA_INFO_SLAVE_DATA, |m| m.attr(IFLA_BRPORT_MODE, &[u8::from(hairpin)]));
        });
    })
}

/// Brings a link up.
pub(crate) fn set_up(socket: &mut Socket, index: u32) -> io::Result<()> {
    socket.execute(NEW_LINK, 0, |m| m.raw(&interface(0, index, IFF_UP, IFF_UP)))
}

/// Sets a link's MTU.
pub(crate) fn set_mtu(socket: &mut Socket, index: u32, mtu: u32) -> io::Result<()> {
    socket.execute(NEW_LINK, 0, |m| {
        m.raw(&interface(0, index, 0, 0));
        m.ne32(IFLA_MTU, mtu);
    })
}

/// Deletes a link by name; for a veth its peer goes too. Returns whether there was one.
pub(crate) fn delete_link(socket: &mut Socket, name: &str) -> io::Result<bool> {
    let done = socket.execute(DELETE_LINK, 0, |m| {
        m.raw(&interface(0, 0, 0, 0));
        m.text(IFLA_IFNAME, name);
    });
    match done {
        Err(error) if is(&error, Errno::ENODEV) => Ok(false),
        done => done.map(|()| true),
    }
}
