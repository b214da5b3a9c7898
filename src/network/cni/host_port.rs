//! Host ports: ports of the node that lead to one pod, in an nftables table of their own.
//!
//! The kernel's maps are the only state: an element's comment says whose it is, so nothing can disagree with them.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddrV4};

use super::ipam::Owner;
use super::protocol::PortMapping;
use crate::cidr::Ipv4Cidr;
use crate::error::{Doing, Error, Result};
use crate::netlink::Socket;
use crate::nft::{self, Batch, Chain, Data, Element, Field, Hook, HookPoint, Key, Set, Statement, Table, Value};
use crate::sysctl;

/// The table's name.
pub(crate) const TABLE: &str = "isopod-hostport";
/// Ports on every address of the node.
const ANY: &str = "ports";
/// Ports on one address of the node.
const ONE: &str = "address-ports";
/// Pods that may reach themselves through the node.
const HAIRPIN: &str = "hairpin";
const SETS: [&str; 3] = [ANY, ONE, HAIRPIN];

const ANY_KEY: &[Field] = &[Field::Protocol, Field::DestinationPort];
const ONE_KEY: &[Field] = &[Field::DestinationAddress, Field::Protocol, Field::DestinationPort];
const PAIR: &[Field] = &[Field::SourceAddress, Field::DestinationAddress];
const LOOPBACK: Ipv4Cidr = Ipv4Cidr { address: Ipv4Addr::new(127, 0, 0, 0), prefix: 8 };

/// Leads the mapped ports to `address`. Fails without a change when one is taken.
pub(super) fn add(mappings: &[PortMapping], owner: Owner<'_>, address: Ipv4Addr, bridge: &str) -> Result<()> {
    let elements = plan(mappings, owner, address)?;
    if elements.is_empty() {
        return Ok(());
    }
    // Lets the node's own processes reach the ports on 127.0.0.1; the table's input chain keeps pods from doing so.
    sysctl::set(&format!("net/ipv4/conf/{bridge}/route_localnet"), "1")?;
    let mut socket = Socket::netfilter().doing(|| "opening a netfilter socket".into())?;
    let table = table(bridge);
    let mut batch = Batch::new(TABLE);
    batch.add_table();
    table.sets.iter().for_each(|set| batch.add_set(set));
    for chain in &table.chains {
        batch.add_chain(chain);
        batch.flush_chain(&chain.name);
        batch.add_rules(chain);
    }
    for name in SETS {
        batch.add_elements(name, elements.iter().filter(|(set, _)| *set == name).map(|(_, element)| element));
    }
    batch.commit(&mut socket)
}

/// Removes every port `gone` says so of, by its owner's name (see [`owner_name`]). Returns whether there were any.
pub(super) fn remove(gone: impl Fn(&str) -> bool) -> Result<bool> {
    let mut socket = Socket::netfilter().doing(|| "opening a netfilter socket".into())?;
    let reading = || format!("reading nftables table ip {TABLE}");
    if nft::table_handle(&mut socket, TABLE).doing(reading)?.is_none() {
        return Ok(false);
    }
    let mut batch = Batch::new(TABLE);
    let mut any = false;
    for set in SETS {
        let elements = nft::elements(&mut socket, TABLE, set).doing(reading)?;
        let keys: Vec<_> =
            elements.into_iter().filter(|e| e.comment.as_deref().is_some_and(&gone)).map(|e| e.key).collect();
        any |= !keys.is_empty();
        batch.delete_elements(set, keys.iter());
    }
    batch.commit(&mut socket).map(|()| any)
}

/// Whether every mapped port leads to `address`.
pub(super) fn complete(mappings: &[PortMapping], owner: Owner<'_>, address: Ipv4Addr) -> Result<bool> {
    let wanted = plan(mappings, owner, address)?;
    if wanted.is_empty() {
        return Ok(true);
    }
    let mut socket = Socket::netfilter().doing(|| "opening a netfilter socket".into())?;
    let mut present = HashSet::new();
    for set in SETS {
        let elements = nft::elements(&mut socket, TABLE, set).doing(|| format!("reading nftables table ip {TABLE}"))?;
        present.extend(elements.into_iter().map(|element| (set, element.key)));
    }
    Ok(wanted.iter().all(|(set, element)| present.contains(&(*set, element.key))))
}

/// How an element's comment names its owner.
pub(super) fn owner_name(owner: Owner<'_>) -> String {
    format!("{}/{}", owner.container, owner.interface).chars().take(120).collect()
}

/// The elements a container's mappings need, by set.
pub(super) fn plan(
    mappings: &[PortMapping],
    owner: Owner<'_>,
    address: Ipv4Addr,
) -> Result<Vec<(&'static str, Element)>> {
    let comment = Some(owner_name(owner));
    let mut elements = Vec::new();
    for mapping in mappings.iter().filter(|mapping| mapping.host_port != 0) {
        let protocol = match mapping.protocol.to_ascii_lowercase().as_str() {
            "" | "tcp" => 6,
            "udp" => 17,
            "sctp" => 132,
            other => return Err(Error::Invalid(format!("port mapping with unknown protocol {other:?}"))),
        };
        let (set, key) = match mapping.host_ip.as_str() {
            "" | "0.0.0.0" | "::" => (ANY, Key::port(protocol, mapping.host_port)),
            ip if ip.contains(':') => continue,
            ip => match ip.parse() {
                Ok(ip) => (ONE, Key::service(ip, protocol, mapping.host_port)),
                Err(_) => return Err(Error::Invalid(format!("port mapping with hostIP {ip:?}"))),
            },
        };
        let value = Value::Endpoint(SocketAddrV4::new(address, mapping.container_port));
        elements.push((set, Element { key, value, comment: comment.clone() }));
    }
    if !elements.is_empty() {
        elements.push((HAIRPIN, Element { key: Key::pair(address, address), value: Value::None, comment }));
    }
    Ok(elements)
}

/// The table without elements.
fn table(bridge: &str) -> Table {
    let local = || Statement::Local { field: Field::DestinationAddress, is: true };
    let translate = || {
        vec![
            vec![local(), Statement::Translate { key: ONE_KEY, map: ONE }],
            vec![local(), Statement::Translate { key: ANY_KEY, map: ANY }],
        ]
    };
    let set = |name: &'static str, key, data| Set { name: name.into(), key, data, timeout: None };
    Table {
        name: TABLE,
        sets: vec![
            set(ANY, ANY_KEY, Data::Endpoint),
            set(ONE, ONE_KEY, Data::Endpoint),
            set(HAIRPIN, PAIR, Data::None),
        ],
        chains: vec![
            Chain::new("prerouting", Hook::nat(HookPoint::Prerouting, -100), translate()),
            Chain::new("output", Hook::nat(HookPoint::Output, -100), translate()),
            Chain::new(
                "postrouting",
                Hook::nat(HookPoint::Postrouting, 100),
                vec![
                    vec![
                        Statement::Translated(true),
                        Statement::InSet { key: PAIR, set: HAIRPIN },
                        Statement::Masquerade,
                    ],
                    vec![
                        Statement::InterfaceOut { is: true, name: bridge.into() },
                        Statement::within(Field::SourceAddress, LOOPBACK),
                        Statement::Translated(true),
                        Statement::Masquerade,
                    ],
                ],
            ),
            // `route_localnet` would otherwise let pods speak to the node's loopback listeners.
            Chain::new(
                "input",
                Hook::filter(HookPoint::Input, 0),
                vec![vec![
                    Statement::InterfaceIn { is: true, name: bridge.into() },
                    Statement::within(Field::DestinationAddress, LOOPBACK),
                    Statement::Translated(false),
                    Statement::Drop,
                ]],
            ),
        ],
        elements: Vec::new(),
    }
}
