//! endpointslice-controller: which pods stand behind each service, in slices.
//!
//! Watches: services, pods they select, the slices themselves, nodes (for zones).
//! Writes: endpoint slices (create, patch, delete).
//! Invariant: the union of a service's slices is the set of its pods with an address; an endpoint stays in its slice as long as
//! it can, so that a change touches few slices.

mod plan;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use api::{DeleteOptions, Object, Patch};
use client::Client;
use client::controller::{Controller, Error, Keys, Outcome, itself};
use client::kinds;
use client::queue::Key;
use serde_json::{Value, json};
use watch_cache::{Cache, Change};

use crate::Setup;
use crate::expectations::{seen, seen_deleted};
use crate::ownership::Owner;
use crate::service_endpoints::{Selectors, ServiceView, endpoint};
use plan::{Existing, Step};

const SERVICE_NAME: &str = "kubernetes.io/service-name";
const MANAGED_BY: (&str, &str) = ("endpointslice.kubernetes.io/managed-by", "endpointslice-controller.k8s.io");

/// The loop.
pub(crate) fn controller(setup: &Setup) -> Controller<Slices> {
    let cache = |kind| setup.client.cache(&kind);
    let state = Slices {
        client: setup.client.clone(),
        services: cache(kinds::services()),
        pods: cache(kinds::pods()),
        nodes: cache(kinds::nodes()),
        slices: cache(kinds::endpoint_slices()),
        selectors: Selectors::default(),
    };
    Controller::new("endpointslice-controller", Arc::new(state), reconcile)
        .workers(5)
        .watch(&kinds::services(), itself)
        .watch(&kinds::pods(), |state: &Slices, change: &Change, keys: &mut Keys<'_>| {
            state.selectors.services_of(&state.services, change, keys);
        })
        .watch(&kinds::endpoint_slices(), |_: &Slices, change: &Change, keys: &mut Keys<'_>| {
            let labels = &change.object.meta.labels;
            if labels.get(MANAGED_BY.0) == Some(MANAGED_BY.1)
                && let Some(service) = labels.get(SERVICE_NAME)
            {
                keys.named(&change.object.meta.namespace, service);
            }
        })
        .needs(&kinds::nodes())
}

/// What the loop works with.
pub(crate) struct Slices {
    client: Client,
    services: Arc<Cache>,
    pods: Arc<Cache>,
    nodes: Arc<Cache>,
    slices: Arc<Cache>,
    selectors: Selectors,
}

async fn reconcile(state: Arc<Slices>, key: Key) -> Result<Outcome, Error> {
    let Some(service) = state.services.get_key(&key) else {
        // Its slices are its own: the garbage collector takes them.
        state.selectors.forget(&key);
        return Ok(Outcome::Done);
    };
    let view: ServiceView = service.view()?;
    let Some(selector) = view.selector().filter(|_| !service.meta.is_deleting()) else { return Ok(Outcome::Done) };
    let mut endpoints = Vec::new();
    for pod in state.pods.list(&service.meta.namespace).iter().filter(|pod| selector.matches(&pod.meta.labels)) {
        if let Some(endpoint) = endpoint(&service, &view, pod)? {
            let rendered = state.render(&view, &endpoint);
            endpoints.push((endpoint.ports, endpoint.address, rendered));
        }
    }
    let labels = state.labels(&service, &view);
    let existing = state.existing(&service)?;
    for step in plan::steps(endpoints, &existing, &labels) {
        state.act(&service, step).await?;
    }
    Ok(Outcome::Done)
}

impl Slices {
    fn labels(&self, service: &Object, view: &ServiceView) -> Value {
        let mut labels = view.labels(MANAGED_BY);
        labels.insert(SERVICE_NAME.into(), service.meta.name.to_string().into());
        labels.into()
    }

    fn render(&self, view: &ServiceView, endpoint: &crate::service_endpoints::Endpoint) -> Value {
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

    fn existing(&self, service: &Object) -> Result<Vec<Existing>, Error> {
        let ours = self.slices.list(&service.meta.namespace).into_iter().filter(|slice| {
            slice.meta.labels.get(SERVICE_NAME) == Some(&*service.meta.name)
                && slice.meta.labels.get(MANAGED_BY.0) == Some(MANAGED_BY.1)
                && !slice.meta.is_deleting()
        });
        ours.map(|slice| Existing::read(slice).map_err(Error::from)).collect()
    }

    async fn act(&self, service: &Object, step: Step) -> Result<(), Error> {
        let (kind, namespace) = (kinds::endpoint_slices(), &service.meta.namespace);
        match step {
            Step::Create { endpoints, ports, labels } => {
                let owner = Owner { resource: &kinds::services(), object: service }.reference();
                let slice = json!({
                    "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                    "metadata": {
                        "generateName": format!("{}-", service.meta.name), "namespace": namespace,
                        "labels": labels, "ownerReferences": [owner],
                    },
                    "addressType": "IPv4", "endpoints": endpoints, "ports": ports,
                });
                let made = self.client.create(&kind, namespace, slice).await?;
                seen(&self.slices, &made).await;
            }
            Step::Change { slice, endpoints, labels } => {
                let patch = json!({"metadata": {"uid": slice.meta.uid, "labels": labels}, "endpoints": endpoints});
                let written = self.client.patch(&kind, namespace, &slice.meta.name, "", Patch::Merge(patch)).await?;
                seen(&self.slices, &written).await;
            }
            Step::Delete { slice } => {
                let options = DeleteOptions { uid: Some(slice.meta.uid.to_string()), ..DeleteOptions::default() };
                match self.client.delete(&kind, namespace, &slice.meta.name, options).await {
                    Ok(()) => seen_deleted(&self.slices, &slice).await,
                    Err(status) if status.is_not_found() => {}
                    Err(status) => return Err(status.into()),
                }
            }
        }
        Ok(())
    }
}
