//! node-ipam-controller: gives every node its share of the cluster's pod network.
//!
//! Watches: nodes.
//! Writes: `spec.podCIDR` and `spec.podCIDRs` of nodes that have none.
//! Invariant: no two nodes share an address; a share is free again when its node is deleted. What nodes hold is the
//! truth: the map in memory is rebuilt from them at every start.

mod cidr;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use api::Patch;
use client::Client;
use client::controller::{Controller, Error, Outcome, Result, itself};
use client::events::{EventType, Recorder, Reference};
use client::kinds;
use client::queue::Key;
use parking_lot::Mutex;
use serde_json::json;
use watch_cache::Cache;

use crate::expectations::seen;
use crate::nodes::NodeView;
use crate::{Options, Setup};
use cidr::Network;

pub(crate) fn controller(setup: &Setup) -> Controller<Ipam> {
    let client = setup.client.clone();
    let state = Ipam {
        nodes: client.cache(&kinds::nodes()),
        events: setup.events_as("cidrAllocator"),
        shares: Mutex::new(Shares::new(&setup.options)),
        client,
    };
    Controller::new("node-ipam-controller", Arc::new(state), reconcile).watch(&kinds::nodes(), itself)
}

pub(crate) struct Ipam {
    client: Client,
    nodes: Arc<Cache>,
    events: Recorder,
    shares: Mutex<Shares>,
}

/// Who has which share of which network.
#[derive(Debug, Default)]
struct Shares {
    networks: Vec<(Network, BTreeSet<u64>)>,
    by_node: HashMap<String, Vec<u64>>,
    /// Whether the nodes present at the start are known: before, nothing may be given away.
    counted: bool,
}

async fn reconcile(state: Arc<Ipam>, name: Key) -> Result {
    state.count_present()?;
    let Some(node) = state.nodes.get_key(&name) else {
        state.shares.lock().release(&name);
        return Ok(Outcome::Done);
    };
    let view: NodeView = node.view()?;
    let held = view.pod_cidrs();
    if !held.is_empty() {
        state.shares.lock().occupy(&name, &held);
        return Ok(Outcome::Done);
    }
    let cidrs = match state.shares.lock().allocate(&name) {
        Some(cidrs) if cidrs.is_empty() => return Ok(Outcome::Done),
        Some(cidrs) => cidrs,
        None => {
            let about = Reference::to(state.nodes.resource(), &node);
            let message = format!("Node {name} status is now: CIDRNotAvailable");
            state.events.event(about, EventType::Normal, "CIDRNotAvailable", message);
            return Err(Error::Other("the cluster's pod network has no share left for the node".into()));
        }
    };
    let patch = json!({ "metadata": { "uid": node.meta.uid }, "spec": { "podCIDR": cidrs[0], "podCIDRs": cidrs } });
    let written = state.client.patch(state.nodes.resource(), "", &name, "", Patch::Merge(patch)).await?;
    tracing::info!(node = &*name, ?cidrs, "node has its pod network");
    seen(&state.nodes, &written).await;
    Ok(Outcome::Done)
}

impl Ipam {
    /// Counts, once, what the nodes of the cache hold already.
    fn count_present(&self) -> std::result::Result<(), Error> {
        let mut shares = self.shares.lock();
        if !shares.counted {
            for node in self.nodes.list("") {
                let view: NodeView = node.view()?;
                shares.occupy(&node.meta.name, &view.pod_cidrs());
            }
            shares.counted = true;
        }
        Ok(())
    }
}

impl Shares {
    fn new(options: &Options) -> Self {
        let network = |cidr: &String| {
            let network = Network::parse(cidr, options.node_cidr_mask_v4, options.node_cidr_mask_v6);
            if network.is_none() {
                tracing::error!(cidr, "the cluster's pod network cannot be divided among nodes, it is not used");
            }
            network.map(|network| (network, BTreeSet::new()))
        };
        Self { networks: options.cluster_cidrs.iter().filter_map(network).collect(), ..Self::default() }
    }

    fn occupy(&mut self, node: &str, cidrs: &[&str]) {
        let mut indices = Vec::new();
        for cidr in cidrs {
            // A network of another configuration is the node's own matter.
            let place = self.networks.iter_mut().find_map(|(network, used)| Some((network.index(cidr)?, used)));
            if let Some((index, used)) = place {
                used.insert(index);
                indices.push(index);
            }
        }
        if indices.len() == self.networks.len() && !indices.is_empty() {
            self.by_node.insert(node.to_owned(), indices);
        }
    }

    /// A share of every network; the same again for a node that has one. `None` when a network is exhausted.
    fn allocate(&mut self, node: &str) -> Option<Vec<String>> {
        let indices = match self.by_node.get(node) {
            Some(indices) => indices.clone(),
            None => self.networks.iter().map(|(network, used)| network.free(used)).collect::<Option<Vec<u64>>>()?,
        };
        for ((_, used), index) in self.networks.iter_mut().zip(&indices) {
            used.insert(*index);
        }
        let cidrs = self.networks.iter().zip(&indices).map(|((network, _), index)| network.share(*index)).collect();
        self.by_node.insert(node.to_owned(), indices);
        Some(cidrs)
    }

    fn release(&mut self, node: &str) {
        for ((_, used), index) in self.networks.iter_mut().zip(self.by_node.remove(node).unwrap_or_default()) {
            used.remove(&index);
        }
    }
}
