//! Removing everything the node's network made, and nothing else.

use std::fs;

use crate::cni;
use crate::config::Config;
use crate::error::{Doing, Error, Result, chain};
use crate::netlink::{Socket, route};
use crate::nft::Batch;
use crate::{flannel, forward, local_address, masquerade, proxy};

/// Removes tables, links, routes, `subnet.env`, the recorded addresses, plugin and configuration. Goes on after a
/// failure; [`Error::Several`] names them all. Calling it again, or where nothing is, is fine.
///
/// Works on the calling thread's network namespace. Pods still attached lose their network.
pub fn teardown(config: &Config) -> Result<()> {
    let mut failures = Vec::new();
    let mut step = |done: Result<()>| {
        if let Err(error) = done {
            failures.push(chain(&error));
        }
    };
    for table in [proxy::TABLE, masquerade::TABLE, cni::HOST_PORT_TABLE] {
        step(netfilter().and_then(|mut socket| Batch::drop_table(&mut socket, table)));
    }
    step(netfilter().and_then(|mut socket| forward::close(&mut socket)));
    step(flannel::remove_routes(config.cluster_cidr));
    step(proxy::remove_route(config.service_cidr));
    step(delete_pods(&config.bridge));
    step(delete_link(flannel::DEVICE, "vxlan"));
    step(delete_link(&config.bridge, "bridge"));
    if let Some(address) = config.cluster_dns {
        step(local_address::remove(address));
    }
    step(cni::remove_file(&config.subnet_env));
    step(cni::remove_file(&config.cni_conf_dir.join(cni::CONFLIST_FILE)));
    step(cni::uninstall(&config.cni_bin_dir));
    step(cni::remove_addresses(&config.cni_state_dir, &config.cni_network));
    if let Some(directory) = config.subnet_env.parent() {
        // Only when it is empty: others may keep their things there.
        let _ = fs::remove_dir(directory);
    }
    if failures.is_empty() { Ok(()) } else { Err(Error::Several(failures)) }
}

fn netfilter() -> Result<Socket> {
    Socket::netfilter().doing(|| "opening a netfilter socket".into())
}

fn rtnetlink() -> Result<Socket> {
    Socket::route().doing(|| "opening a route socket".into())
}

/// Deletes a link, if it is of the kind we make.
fn delete_link(name: &str, kind: &str) -> Result<()> {
    let mut socket = rtnetlink()?;
    match route::link(&mut socket, name).doing(|| format!("reading link {name}"))? {
        Some(link) if link.kind == kind => {
            route::delete_link(&mut socket, name).map(drop).doing(|| format!("deleting link {name}"))
        }
        _ => Ok(()),
    }
}

/// Deletes the veth pairs that are ports of the bridge.
fn delete_pods(bridge: &str) -> Result<()> {
    let mut socket = rtnetlink()?;
    let links = route::links(&mut socket).doing(|| "reading links".into())?;
    let Some(index) = links.iter().find(|link| link.name == bridge && link.kind == "bridge").map(|l| l.index) else {
        return Ok(());
    };
    for link in links.iter().filter(|link| link.master == index && link.kind == "veth") {
        route::delete_link(&mut socket, &link.name).doing(|| format!("deleting link {}", link.name))?;
    }
    Ok(())
}
