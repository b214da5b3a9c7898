//! Who this node is: its name and its address.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

use anyhow::{Context, Result, bail};
use bootstrap::data_dir::{DataDir, read, write};
use bootstrap::join::server::is_node_name;
use nix::unistd::{Gid, Group};

use crate::cli::NodeArgs;

/// Whether the node can be called as it is to be; makes nothing.
pub(crate) fn check(args: &NodeArgs) -> Result<()> {
    said(args).map(drop)
}

/// The node's name: as said, else the host's; lower case, as upstream makes it. With `--with-node-id` the id is made and kept.
pub(crate) fn name(args: &NodeArgs, data: &DataDir) -> Result<String> {
    let said = said(args)?;
    Ok(if args.with_node_id { format!("{said}-{}", node_id(data)?) } else { said })
}

fn said(args: &NodeArgs) -> Result<String> {
    let name = match &args.node_name {
        Some(name) => name.clone(),
        None => read("/proc/sys/kernel/hostname".as_ref())?.unwrap_or_default().trim().to_ascii_lowercase(),
    };
    if !is_node_name(&name) {
        bail!("{name:?} is no node name (a lowercase RFC 1123 subdomain): choose one with --node-name");
    }
    Ok(name)
}

fn node_id(data: &DataDir) -> Result<String> {
    let path = data.agent("node-id");
    if let Some(kept) = read(&path)? {
        return Ok(kept.trim().to_owned());
    }
    let id = bootstrap::token::random_hex(4);
    write(&path, format!("{id}\n").as_bytes(), 0o644)?;
    Ok(id)
}

/// A group of this machine, by name or number.
pub(crate) fn group(said: &str) -> Result<Gid> {
    if let Ok(number) = said.parse() {
        return Ok(Gid::from_raw(number));
    }
    let found = Group::from_name(said).context("cannot look up the groups of this machine")?;
    found.map(|group| group.gid).with_context(|| format!("--write-kubeconfig-group {said}: there is no such group"))
}

/// The node's address: as said, else the one the default route would use, else the first of an interface that is up.
pub(crate) fn address(args: &NodeArgs) -> Result<IpAddr> {
    if let Some(said) = args.node_ip {
        return Ok(said);
    }
    if let Some(routed) = default_route_source() {
        return Ok(routed);
    }
    let first = network::addresses::local().context("cannot list this machine's addresses")?.into_iter().next();
    first.context("this machine has no address but loopback: name one with --node-ip")
}

/// Asks the kernel which address it would send from; a UDP "connection" sends nothing.
fn default_route_source() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(198, 51, 100, 1), 9)).ok()?;
    socket.local_addr().ok().map(|at| at.ip()).filter(|ip| !ip.is_unspecified() && !ip.is_loopback())
}
