//! What a node may call itself: a serving certificate for another's name or address would let it stand in for the other.

use std::net::IpAddr;

use api::validation::ip::{mask, parse_cidr};
use client::{Client, kinds};
use serde::Deserialize;

use super::{ClusterSettings, JoinRequest};
use crate::certificates::Names;

/// Whether a name is one that pods or the server's clients know as something else; what is wrong with it.
pub(super) fn name(request: &JoinRequest, server: &Names) -> Option<String> {
    let name = request.node_name.as_str();
    let reserved = ["kubernetes", "localhost"].contains(&name)
        || ["kubernetes.", "localhost."].iter().any(|first| name.starts_with(first))
        || name.split('.').any(|label| label == "svc");
    if reserved || server.extra.iter().any(|own| own.eq_ignore_ascii_case(name)) {
        return Some(format!("the name {name:?} cannot be a node's: the cluster itself answers there"));
    }
    None
}

/// Whether an address is that of something of the cluster: the API server, a service, a pod, nobody.
pub(super) fn address(request: &JoinRequest, server: &Names, cluster: &ClusterSettings) -> Option<String> {
    let ranges: Vec<_> =
        [&cluster.service_cidr, &cluster.cluster_cidr].into_iter().filter_map(|c| parse_cidr(c)).collect();
    let taken = |ip: &&IpAddr| {
        let in_range = ranges.iter().any(|(network, bits)| mask(**ip, *bits) == mask(*network, *bits));
        // The server's own node has the server's name, and gets its certificates without asking.
        let of_server = server.addresses.contains(ip);
        in_range || of_server || ip.is_loopback() || ip.is_unspecified() || ip.is_multicast()
    };
    let claimed = request.addresses.iter().find(taken)?;
    Some(format!("the address {claimed} cannot be a node's: the cluster itself answers there"))
}

/// Whether an address is one of another node's. One that the request comes from is the asking node's, whoever had it before.
pub(super) async fn of_another(
    request: &JoinRequest,
    peer: Option<IpAddr>,
    client: &Client,
) -> Result<Option<String>, api::Status> {
    let doubtful: Vec<IpAddr> = request.addresses.iter().copied().filter(|ip| Some(*ip) != peer).collect();
    if doubtful.is_empty() {
        return Ok(None);
    }
    let nodes = client.list(&kinds::nodes(), "", api::ListOptions::default()).await?;
    for node in nodes.items.iter().filter(|node| *node.meta.name != *request.node_name) {
        let Ok(View { status: Some(status) }) = node.view::<View>() else { continue };
        let its = |ip: &&IpAddr| status.addresses.iter().flatten().any(|a| a.address.parse() == Ok(**ip));
        if let Some(claimed) = doubtful.iter().find(its) {
            let other = &node.meta.name;
            return Ok(Some(format!(
                "the address {claimed} is that of node {other:?}; if that node is gone: kubectl delete node {other}"
            )));
        }
    }
    Ok(None)
}

#[derive(Deserialize)]
struct View {
    status: Option<Status>,
}

#[derive(Deserialize)]
struct Status {
    addresses: Option<Vec<Address>>,
}

#[derive(Deserialize)]
struct Address {
    #[serde(default)]
    address: String,
}
