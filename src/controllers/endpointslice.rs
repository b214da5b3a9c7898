//! endpointslice-controller: which pods stand behind each service, in slices.
//!
//! Watches: services, pods they select, the slices themselves, nodes (for zones).
//! Writes: endpoint slices (create, patch, delete).
//! Invariant: the union of a service's slices is the set of its pods with an address; an endpoint stays in its slice as long as
//! it can, so that a change touches few slices.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use client::controller::{Controller, Error, Keys, Outcome, itself};
use client::kinds;
use client::queue::Key;
use serde_json::{Value, json};
use watch_cache::{Cache, Change};

use crate::Setup;
use crate::ownership::Owner;
use crate::service_endpoints::{Endpoint, Selectors, ServiceView, endpoint};
use crate::slices::{Desired, Group, Slices};

/// The name the slices carry.
const CONTROLLER: &str = "endpointslice-controller.k8s.io";
/// The most endpoints in a slice.
const ROOM: usize = 100;

/// The loop.
pub(crate) fn controller(setup: &Setup) -> Controller<State> {
    let cache = |kind| setup.client.cache(&kind);
    let state = State {
        services: cache(kinds::services()),
        pods: cache(kinds::pods()),
        nodes: cache(kinds::nodes()),
        slices: Slices::of(setup, CONTROLLER),
        selectors: Selectors::default(),
    };
    Controller::new("endpointslice-controller", Arc::new(state), reconcile)
        .workers(5)
        .watch(&kinds::services(), itself)
        .watch(&kinds::pods(), |state: &State, change: &Change, keys: &mut Keys<'_>| {
            state.selectors.services_of(&state.services, change, keys);
        })
        .watch(&kinds::endpoint_slices(), |state: &State, change: &Change, keys: &mut Keys<'_>| {
            state.slices.services_of(change, keys);
        })
        .needs(&kinds::nodes())
}

/// What the loop works with.
pub(crate) struct State {
    services: Arc<Cache>,
    pods: Arc<Cache>,
    nodes: Arc<Cache>,
    slices: Slices,
    selectors: Selectors,
}

async fn reconcile(state: Arc<State>, key: Key) -> Result<Outcome, Error> {
    let Some(service) = state.services.get_key(&key) else {
        // Its slices are its own: the garbage collector takes them.
        state.selectors.forget(&key);
        return Ok(Outcome::Done);
    };
    let view: ServiceView = service.view()?;
    let Some(selector) = view.selector().filter(|_| !service.meta.is_deleting()) else { return Ok(Outcome::Done) };
    let mut groups: BTreeMap<Group, Vec<Value>> = BTreeMap::new();
    for pod in state.pods.list(&service.meta.namespace).iter().filter(|pod| selector.matches(&pod.meta.labels)) {
        if let Some(mut endpoint) = endpoint(&service, &view, pod)? {
            let rendered = state.render(&view, &endpoint);
            endpoint.ports.sort();
            groups.entry(Group { address_type: "IPv4", ports: endpoint.ports }).or_default().push(rendered);
        }
    }
    if groups.is_empty() {
        // A service without pods has one slice without endpoints.
        groups.insert(Group { address_type: "IPv4", ports: Vec::new() }, Vec::new());
    }
    let desired = Desired { labels: view.labels(), annotations: None, groups, room: ROOM, spread: usize::MAX };
    state.slices.keep(Owner { resource: &kinds::services(), object: &service }, desired).await?;
    Ok(Outcome::Done)
}

impl State {
    fn render(&self, view: &ServiceView, endpoint: &Endpoint) -> Value {
        let ready = view.spec.publish_not_ready_addresses || (endpoint.serving && !endpoint.terminating);
        let mut rendered = json!({
            "addresses": [endpoint.address],
            "conditions": {"ready": ready, "serving": endpoint.serving, "terminating": endpoint.terminating},
            "targetRef": endpoint.target,
        });
        if let Some(hostname) = &endpoint.hostname {
            rendered["hostname"] = hostname.as_str().into();
        }
        if !endpoint.node.is_empty() {
            rendered["nodeName"] = endpoint.node.as_str().into();
            let node = self.nodes.get("", &endpoint.node);
            if let Some(zone) = node.as_ref().and_then(|node| node.meta.labels.get("topology.kubernetes.io/zone")) {
                rendered["zone"] = zone.into();
            }
        }
        rendered
    }
}
