//! The commands: a pod's interface comes, is checked, and goes.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::Path;

use nix::errno::Errno;

use super::host_port;
use super::ipam::{Addresses, Owner};
use super::protocol::{Failure, Interface, Outcome, Request, added};
use crate::cidr::Ipv4Cidr;
use crate::config::Config;
use crate::error::{Doing, Error, Result};
use crate::netlink::route::{self, Mac, Route, VethEnd};
use crate::netlink::{Socket, is, namespace};
use crate::subnet_env::SubnetEnv;
use crate::sysctl;

const EVERYWHERE: Ipv4Cidr = Ipv4Cidr { address: Ipv4Addr::UNSPECIFIED, prefix: 0 };

/// ADD. What was made is taken back on failure.
pub(super) fn add(request: &Request) -> Result<Outcome, Failure> {
    let network = &request.network;
    let subnet = SubnetEnv::read(&network.subnet_file)?;
    let namespace = open(&request.namespace)?;
    let addresses = Addresses::lock(&network.data_dir, &network.name)?;
    let address = addresses.allocate(subnet.subnet, owner(request), &request.namespace)?;
    let done = connect(request, &subnet, &namespace, address).and_then(|result| {
        let mappings = network.runtime_config.port_mappings.as_deref().unwrap_or_default();
        let add = || host_port::add(mappings, owner(request), address, &network.bridge);
        add().or_else(|first| {
            // Taken, maybe by a container that went without DEL: whoever has no address any more has no ports either.
            let owners = addresses.owners()?;
            let alive = |name: &str| {
                owners.iter().any(|(c, i)| host_port::owner_name(Owner { container: c, interface: i }) == name)
            };
            if host_port::remove(|owner| !alive(owner))? { add() } else { Err(first) }
        })?;
        Ok(result)
    });
    done.map_err(|error| {
        // The first failure is the one to report; what cannot be undone now is undone by the runtime's DEL.
        let _ = disconnect(request);
        let _ = addresses.release(owner(request));
        error.into()
    })
}

/// DEL. Succeeds when there is nothing, or nothing left, to do.
pub(super) fn delete(request: &Request) -> Result<Outcome, Failure> {
    let network = &request.network;
    let name = host_port::owner_name(owner(request));
    let addresses = Addresses::lock(&network.data_dir, &network.name)?;
    let ports = host_port::remove(|owner| owner == name);
    let link = disconnect(request);
    // The address is free only when nothing leads to it any more.
    ports?;
    link?;
    addresses.release(owner(request))?;
    Ok(Outcome::Nothing)
}

/// CHECK: interface, address, route and host ports are as ADD left them.
pub(super) fn check(request: &Request) -> Result<Outcome, Failure> {
    let network = &request.network;
    let addresses = Addresses::lock(&network.data_dir, &network.name)?;
    let missing = |what: String| Failure::new(100, what);
    let Some(address) = addresses.find(owner(request))? else {
        return Err(missing(format!("container {} has no address", request.container)));
    };
    let namespace = open(&request.namespace)?;
    let problem = namespace::inside(&namespace, || inspect(&request.interface, address))
        .doing(|| format!("looking into {}", request.namespace))?;
    if let Some(problem) = problem {
        return Err(missing(problem));
    }
    let mut socket = route_socket()?;
    if route::link(&mut socket, &host_name(request)).doing(|| "reading links".into())?.is_none() {
        return Err(missing(format!("link {} is gone", host_name(request))));
    }
    let mappings = network.runtime_config.port_mappings.as_deref().unwrap_or_default();
    if !host_port::complete(mappings, owner(request), address)? {
        return Err(missing("a host port is gone".into()));
    }
    Ok(Outcome::Nothing)
}

/// GC: everything that belongs to none of the valid attachments goes.
pub(super) fn collect_garbage(request: &Request) -> Result<Outcome, Failure> {
    let network = &request.network;
    let Some(valid) = &network.valid_attachments else {
        return Err(Failure::new(7, "GC without cni.dev/valid-attachments"));
    };
    let wanted =
        |owner: Owner<'_>| valid.iter().any(|a| a.container_id == owner.container && a.ifname == owner.interface);
    collect(&network.data_dir, &network.name, wanted)?;
    Ok(Outcome::Nothing)
}

/// Takes back addresses, links and host ports of pod sandboxes that are not among `live` (the runtime's sandbox ids), for
/// the agent's start: after a crash or a reboot nobody calls DEL for them. Returns the sandboxes that had an address.
pub fn reclaim(config: &Config, live: &HashSet<String>) -> Result<Vec<String>> {
    if !config.cni_state_dir.join(&config.cni_network).exists() {
        return Ok(Vec::new());
    }
    collect(&config.cni_state_dir, &config.cni_network, |owner| live.contains(owner.container))
}

/// Removes what belongs to those who are not wanted; returns their containers.
fn collect(data_dir: &Path, network: &str, wanted: impl Fn(Owner<'_>) -> bool) -> Result<Vec<String>> {
    let addresses = Addresses::lock(data_dir, network)?;
    let all = addresses.owners()?;
    let owner = |(container, interface): &(String, String)| wanted(Owner { container, interface });
    let kept: Vec<_> = all
        .iter()
        .filter(|pair| owner(pair))
        .map(|(container, interface)| host_port::owner_name(Owner { container, interface }))
        .collect();
    host_port::remove(|owner| !kept.iter().any(|name| name == owner))?;
    let mut socket = route_socket()?;
    let gone: Vec<_> = all.into_iter().filter(|pair| !owner(pair)).collect();
    for (container, interface) in &gone {
        let name = veth_name(container, interface);
        route::delete_link(&mut socket, &name).doing(|| format!("deleting link {name}"))?;
        addresses.release(Owner { container, interface })?;
    }
    Ok(gone.into_iter().map(|(container, _)| container).collect())
}

/// STATUS: whether an ADD could work.
pub(super) fn status(request: &Request) -> Result<Outcome, Failure> {
    match SubnetEnv::read(&request.network.subnet_file) {
        Ok(_) => Ok(Outcome::Nothing),
        Err(error) => Err(Failure::new(50, crate::error::chain(&error))),
    }
}

/// ADD of the loopback plugin: `lo` up.
pub(super) fn loopback(request: &Request) -> Result<Outcome, Failure> {
    let namespace = open(&request.namespace)?;
    namespace::inside(&namespace, || bring_up_loopback(&mut Socket::route()?))
        .doing(|| format!("bringing lo up in {}", request.namespace))?;
    let lo = Interface { name: "lo", mac: [0; 6], sandbox: Some(&request.namespace) };
    let address = Ipv4Cidr::new(Ipv4Addr::LOCALHOST, 8);
    Ok(Outcome::Json(added(&request.network.cni_version, &[lo], address, None)))
}

fn owner(request: &Request) -> Owner<'_> {
    Owner { container: &request.container, interface: &request.interface }
}

fn open(path: &str) -> Result<File> {
    File::open(path).doing(|| format!("opening network namespace {path}"))
}

fn route_socket() -> Result<Socket> {
    Socket::route().doing(|| "opening a route socket".into())
}

/// Bridge, veth pair, address and routes.
fn connect(request: &Request, subnet: &SubnetEnv, namespace: &File, address: Ipv4Addr) -> Result<Outcome> {
    let network = &request.network;
    let mut socket = route_socket()?;
    let bridge = ensure_bridge(&mut socket, &network.bridge, subnet)?;
    let host = host_name(request);
    let (host_mac, pod_mac) = (hashed_mac(&host), address_mac(address));
    let mut pair = || {
        let host = VethEnd { name: &host, mac: host_mac };
        let peer = VethEnd { name: &request.interface, mac: pod_mac };
        route::add_veth(&mut socket, &host, &peer, subnet.mtu, namespace.as_fd())
    };
    let made = match pair() {
        // Left over from an attempt that died half-way: the name belongs to this container alone.
        Err(error) if is(&error, Errno::EEXIST) => {
            disconnect(request)?;
            pair()
        }
        made => made,
    };
    made.doing(|| format!("creating veth pair {host} and {}", request.interface))?;
    let index = find(&mut socket, &host)?.index;
    route::set_bridge_port(&mut socket, index, bridge.index, network.hairpin_mode)
        .doing(|| format!("making {host} a port of {}", network.bridge))?;
    let subnet = subnet.subnet;
    namespace::inside(namespace, || configure(&request.interface, address, subnet))
        .doing(|| format!("configuring {} in {}", request.interface, request.namespace))?;
    route::settle(&mut socket, &host, |link| link.operational && link.forwarding)
        .doing(|| format!("reading link {host}"))?;
    let interfaces = [
        Interface { name: &network.bridge, mac: bridge.mac, sandbox: None },
        Interface { name: &host, mac: host_mac, sandbox: None },
        Interface { name: &request.interface, mac: pod_mac, sandbox: Some(&request.namespace) },
    ];
    let cidr = Ipv4Cidr::new(address, subnet.prefix);
    Ok(Outcome::Json(added(&network.cni_version, &interfaces, cidr, Some(subnet.address))))
}

/// The bridge with the subnet's gateway address, and no other.
fn ensure_bridge(socket: &mut Socket, name: &str, subnet: &SubnetEnv) -> Result<route::Link> {
    let reading = || format!("reading link {name}");
    let link = match route::link(socket, name).doing(reading)? {
        Some(link) if link.kind != "bridge" => {
            return Err(Error::Invalid(format!("link {name} is not a bridge")));
        }
        Some(link) => link,
        None => {
            let mac = address_mac(subnet.subnet.address);
            route::add_bridge(socket, name, subnet.mtu, mac).doing(|| format!("creating bridge {name}"))?;
            sysctl::set("net/ipv4/ip_forward", "1")?;
            find(socket, name)?
        }
    };
    if link.mtu != subnet.mtu {
        route::set_mtu(socket, link.index, subnet.mtu).doing(|| format!("setting the MTU of {name}"))?;
    }
    if !link.up {
        route::set_up(socket, link.index).doing(|| format!("bringing {name} up"))?;
    }
    let addresses = route::addresses(socket).doing(|| "reading addresses".into())?;
    let mut present = false;
    for (_, address) in addresses.into_iter().filter(|(index, _)| *index == link.index) {
        if address == subnet.subnet {
            present = true;
        } else {
            route::delete_address(socket, link.index, address).doing(|| format!("taking {address} from {name}"))?;
        }
    }
    if !present {
        route::add_address(socket, link.index, subnet.subnet)
            .doing(|| format!("giving {} to {name}", subnet.subnet))?;
    }
    Ok(link)
}

fn find(socket: &mut Socket, name: &str) -> Result<route::Link> {
    let found = route::link(socket, name).doing(|| format!("reading link {name}"))?;
    found.ok_or_else(|| Error::Invalid(format!("link {name} vanished")))
}

/// Inside the pod's namespace.
fn configure(interface: &str, address: Ipv4Addr, subnet: Ipv4Cidr) -> io::Result<()> {
    let mut socket = Socket::route()?;
    bring_up_loopback(&mut socket)?;
    let link = route::link(&mut socket, interface)?.ok_or(Errno::ENODEV)?;
    route::add_address(&mut socket, link.index, Ipv4Cidr::new(address, subnet.prefix))?;
    route::set_up(&mut socket, link.index)?;
    let default = Route {
        destination: EVERYWHERE,
        gateway: Some(subnet.address),
        device: link.index,
        onlink: false,
        source: None,
        metric: 0,
        kernel: false,
    };
    route::add_route(&mut socket, &default)?;
    route::settle(&mut socket, interface, |link| link.operational)
}

fn bring_up_loopback(socket: &mut Socket) -> io::Result<()> {
    let lo = route::link(socket, "lo")?.ok_or(Errno::ENODEV)?;
    if lo.up { Ok(()) } else { route::set_up(socket, lo.index) }
}

/// What is wrong with the interface inside the pod's namespace, if anything.
fn inspect(interface: &str, address: Ipv4Addr) -> io::Result<Option<String>> {
    let mut socket = Socket::route()?;
    let Some(link) = route::link(&mut socket, interface)? else {
        return Ok(Some(format!("interface {interface} is gone")));
    };
    if !link.up {
        return Ok(Some(format!("interface {interface} is down")));
    }
    let addresses = route::addresses(&mut socket)?;
    if !addresses.iter().any(|(index, found)| *index == link.index && found.address == address) {
        return Ok(Some(format!("interface {interface} has no address {address}")));
    }
    let routes = route::routes(&mut socket)?;
    if !routes.iter().any(|route| route.destination == EVERYWHERE && route.device == link.index) {
        return Ok(Some(format!("there is no default route through {interface}")));
    }
    Ok(None)
}

/// Deletes the host's end, which takes the pod's end along.
fn disconnect(request: &Request) -> Result<()> {
    let name = host_name(request);
    route::delete_link(&mut route_socket()?, &name).map(drop).doing(|| format!("deleting link {name}"))
}

fn host_name(request: &Request) -> String {
    veth_name(&request.container, &request.interface)
}

/// The host's end of a container's veth pair: known without asking anybody, also when the container is gone.
pub(super) fn veth_name(container: &str, interface: &str) -> String {
    format!("veth{:011x}", hash(&[container, "/", interface]) & 0xfff_ffff_ffff)
}

/// The address of a pod makes its hardware address, so a neighbour's cache stays right when the address is used again.
pub(crate) fn address_mac(address: Ipv4Addr) -> Mac {
    let [a, b, c, d] = address.octets();
    [0x0a, 0x58, a, b, c, d]
}

/// A locally administered hardware address that is always the same for the same name.
pub(crate) fn hashed_mac(name: &str) -> Mac {
    let hash = hash(&[name]).to_be_bytes();
    [hash[0] & 0xfc | 2, hash[1], hash[2], hash[3], hash[4], hash[5]]
}

/// FNV-1a with a final mix; stable over versions, which names of links must be.
fn hash(parts: &[&str]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in parts.iter().flat_map(|part| part.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    }
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0xd6e8_feb8_6659_fd93);
    hash ^ hash >> 32
}
