//! What subsets of addresses and ports are as groups of endpoints.

use std::collections::BTreeMap;
use std::net::IpAddr;

use api::validation::ip::parse_ip;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::service_endpoints::{Port, ServicePort};
use crate::slices::Group;

/// One of the endpoints' `subsets`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Subset {
    addresses: Option<Vec<Address>>,
    not_ready_addresses: Option<Vec<Address>>,
    ports: Option<Vec<ServicePort>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Address {
    ip: String,
    hostname: String,
    node_name: Option<String>,
    target_ref: Option<Value>,
}

/// What is in the slices.
#[derive(Debug, Default)]
pub(super) struct Mirrored {
    pub(super) groups: BTreeMap<Group, Vec<Value>>,
    /// How many addresses are none.
    pub(super) invalid: usize,
    /// How many addresses are left out, the invalid ones among them.
    pub(super) skipped: usize,
}

/// Address and target's uid: what makes two addresses the same one.
type Identity = (String, String);
/// Addresses, and whether they are ready.
type Readiness = BTreeMap<Identity, bool>;

/// The endpoints of some subsets, of each set of ports so many at most, ready ones first.
pub(super) fn mirrored(subsets: Vec<Subset>, most: usize) -> Mirrored {
    let mut mirrored = Mirrored::default();
    let mut addresses = BTreeMap::new();
    for (readiness, ports) in repacked(subsets, &mut addresses) {
        let (ready, others): (Vec<_>, Vec<_>) = readiness.iter().partition(|(_, ready)| **ready);
        let mut taken = 0;
        for (identity, ready) in ready.into_iter().chain(others) {
            if taken == most {
                break;
            }
            match addresses.get(identity).and_then(|address| endpoint(address, *ready)) {
                Some((address_type, endpoint)) => {
                    taken += 1;
                    let group = Group { address_type, ports: ports.clone() };
                    mirrored.groups.entry(group).or_default().push(endpoint);
                }
                None => mirrored.invalid += 1,
            }
        }
        mirrored.skipped += readiness.len() - taken;
    }
    mirrored
}

/// The subsets anew, so that each address has all of its ports in one of them. Who is ready in one place and not in another, for the
/// same port, is not ready.
fn repacked(subsets: Vec<Subset>, addresses: &mut BTreeMap<Identity, Address>) -> BTreeMap<Readiness, Vec<Port>> {
    let mut by_port: BTreeMap<Option<Port>, Readiness> = BTreeMap::new();
    for subset in subsets {
        let ports = subset.ports.unwrap_or_default();
        // Addresses without ports are endpoints, too.
        let ports: Vec<Option<Port>> =
            if ports.is_empty() { vec![None] } else { ports.into_iter().map(|p| Some(port(p))).collect() };
        let ready = subset.addresses.into_iter().flatten().map(|address| (address, true));
        let others = subset.not_ready_addresses.into_iter().flatten().map(|address| (address, false));
        for (address, ready) in ready.chain(others) {
            let uid = address.target_ref.as_ref().and_then(|target| target["uid"].as_str()).unwrap_or_default();
            let identity = (address.ip.clone(), uid.to_owned());
            for port in &ports {
                *by_port.entry(port.clone()).or_default().entry(identity.clone()).or_insert(true) &= ready;
            }
            addresses.entry(identity).or_insert(address);
        }
    }
    let mut by_addresses: BTreeMap<Readiness, Vec<Port>> = BTreeMap::new();
    for (port, readiness) in by_port {
        by_addresses.entry(readiness).or_default().extend(port);
    }
    by_addresses
}

fn port(port: ServicePort) -> Port {
    Port {
        name: port.name.unwrap_or_default(),
        protocol: port.protocol.unwrap_or_else(|| "TCP".into()),
        port: port.port,
        app_protocol: port.app_protocol,
    }
}

/// An address as an endpoint, and of which type; `None` if it is no address.
fn endpoint(address: &Address, ready: bool) -> Option<(&'static str, Value)> {
    let ip = parse_ip(&address.ip)?;
    let mut endpoint = json!({"addresses": [ip.to_string()], "conditions": {"ready": ready}});
    if let Some(target) = &address.target_ref {
        endpoint["targetRef"] = target.clone();
    }
    if let Some(node) = &address.node_name {
        endpoint["nodeName"] = node.as_str().into();
    }
    if !address.hostname.is_empty() {
        endpoint["hostname"] = address.hostname.as_str().into();
    }
    let address_type = match ip {
        IpAddr::V4(_) => "IPv4",
        IpAddr::V6(_) => "IPv6",
    };
    Some((address_type, endpoint))
}
