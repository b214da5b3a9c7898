//! endpoints-controller: the older form of endpoint slices, one object a service.
//!
//! Watches: services, pods they select, endpoints.
//! Writes: endpoints (create, patch, delete).
//! Invariant: the endpoints of a service with a selector list its pods, ready ones apart from the others.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{DeleteOptions, Object, Patch};
use client::Client;
use client::controller::{Controller, Error, Keys, Outcome, itself};
use client::kinds;
use client::queue::Key;
use serde_json::{Map, Value, json};
use watch_cache::{Cache, Change};

use crate::Setup;
use crate::expectations::{seen, seen_deleted};
use crate::service_endpoints::{Endpoint, Port, Selectors, ServiceView, endpoint};

const MANAGED_BY: (&str, &str) = ("endpoints.kubernetes.io/managed-by", "endpoint-controller");
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
/// The most addresses in one object: upstream's limit.
const CAPACITY: usize = 1000;

/// The loop.
pub(crate) fn controller(setup: &Setup) -> Controller<Endpoints> {
    let cache = |kind| setup.client.cache(&kind);
    let state = Endpoints {
        client: setup.client.clone(),
        services: cache(kinds::services()),
        pods: cache(kinds::pods()),
        endpoints: cache(kinds::endpoints()),
        selectors: Selectors::default(),
    };
    Controller::new("endpoints-controller", Arc::new(state), reconcile)
        .workers(5)
        .watch(&kinds::services(), itself)
        .watch(&kinds::endpoints(), itself)
        .watch(&kinds::pods(), |state: &Endpoints, change: &Change, keys: &mut Keys<'_>| {
            state.selectors.services_of(&state.services, change, keys);
        })
}

/// What the loop works with.
pub(crate) struct Endpoints {
    client: Client,
    services: Arc<Cache>,
    pods: Arc<Cache>,
    endpoints: Arc<Cache>,
    selectors: Selectors,
}

async fn reconcile(state: Arc<Endpoints>, key: Key) -> Result<Outcome, Error> {
    let current = state.endpoints.get_key(&key);
    let Some(service) = state.services.get_key(&key) else {
        state.selectors.forget(&key);
        // Only what we made goes with the service: others' endpoints are theirs.
        if let Some(ours) = current.filter(|e| e.meta.labels.get(MANAGED_BY.0) == Some(MANAGED_BY.1)) {
            state.delete(&ours).await?;
        }
        return Ok(Outcome::Done);
    };
    let view: ServiceView = service.view()?;
    let Some(selector) = view.selector() else { return Ok(Outcome::Done) };
    let mut found = Vec::new();
    for pod in state.pods.list(&service.meta.namespace).iter().filter(|pod| selector.matches(&pod.meta.labels)) {
        let endpoint = endpoint(&service, &view, pod)?;
        found.extend(endpoint.filter(|e| !e.terminating || view.spec.publish_not_ready_addresses));
    }
    let over = found.len() > CAPACITY;
    found.truncate(CAPACITY);
    state.write(&service, &view, subsets(&view, &found), over, current.as_deref()).await?;
    Ok(Outcome::Done)
}

/// Endpoints with the same ports share a subset, in a fixed order.
fn subsets(view: &ServiceView, found: &[Endpoint]) -> Value {
    let mut groups: BTreeMap<Vec<Port>, (Vec<&Endpoint>, Vec<&Endpoint>)> = BTreeMap::new();
    for endpoint in found {
        // Ports that a pod does not name are not its; a service with ports none of which it has is not, either.
        if endpoint.ports.is_empty() && !view.spec.ports.is_empty() {
            continue;
        }
        let mut ports = endpoint.ports.clone();
        ports.sort();
        let (ready, others) = groups.entry(ports).or_default();
        if endpoint.serving || view.spec.publish_not_ready_addresses {
            ready.push(endpoint)
        } else {
            others.push(endpoint)
        }
    }
    let render = |mut endpoints: Vec<&Endpoint>| {
        endpoints.sort_by(|a, b| a.address.cmp(&b.address));
        Value::Array(endpoints.into_iter().map(address).collect())
    };
    let mut subsets = Vec::new();
    for (ports, (ready, others)) in groups {
        let mut subset = Map::new();
        if !ready.is_empty() {
            subset.insert("addresses".into(), render(ready));
        }
        if !others.is_empty() {
            subset.insert("notReadyAddresses".into(), render(others));
        }
        if !ports.is_empty() {
            let unnamed = |mut port: Value| {
                if port["name"] == ""
                    && let Some(port) = port.as_object_mut()
                {
                    port.shift_remove("name");
                }
                port
            };
            subset.insert("ports".into(), ports.iter().map(|port| unnamed(port.render())).collect());
        }
        subsets.push(subset.into());
    }
    Value::Array(subsets)
}

fn address(endpoint: &Endpoint) -> Value {
    let mut address = json!({"ip": endpoint.address, "targetRef": endpoint.target});
    if !endpoint.node.is_empty() {
        address["nodeName"] = endpoint.node.as_str().into();
    }
    if let Some(hostname) = &endpoint.hostname {
        address["hostname"] = hostname.as_str().into();
    }
    address
}

impl Endpoints {
    async fn write(
        &self,
        service: &Object,
        view: &ServiceView,
        subsets: Value,
        over: bool,
        current: Option<&Object>,
    ) -> Result<(), Error> {
        let (kind, namespace, name) = (kinds::endpoints(), &service.meta.namespace, &service.meta.name);
        let mut labels = Value::Object(view.labels());
        labels[MANAGED_BY.0] = MANAGED_BY.1.into();
        let capacity = if over { Value::from("truncated") } else { Value::Null };
        let Some(current) = current else {
            let mut endpoints = json!({
                "apiVersion": "v1", "kind": "Endpoints",
                "metadata": {"name": name, "namespace": namespace, "labels": labels}, "subsets": subsets,
            });
            if over {
                endpoints["metadata"]["annotations"] = json!({OVER_CAPACITY: capacity});
            }
            let made = self.client.create(&kind, namespace, endpoints).await?;
            seen(&self.endpoints, &made).await;
            return Ok(());
        };
        let value = current.to_value()?;
        let same = |path: &str, wanted: &Value| {
            let have = value.pointer(path).unwrap_or(&Value::Null);
            have == wanted || have.is_null() && wanted.as_array().is_some_and(Vec::is_empty)
        };
        let annotation = format!("/metadata/annotations/{}", OVER_CAPACITY.replace('/', "~1"));
        if same("/subsets", &subsets) && same("/metadata/labels", &labels) && same(&annotation, &capacity) {
            return Ok(());
        }
        for old in value.pointer("/metadata/labels").and_then(Value::as_object).into_iter().flat_map(|l| l.keys()) {
            if labels.get(old).is_none() {
                labels[old] = Value::Null;
            }
        }
        let metadata = json!({"uid": current.meta.uid, "labels": labels, "annotations": {OVER_CAPACITY: capacity}});
        let patch = Patch::Merge(json!({"metadata": metadata, "subsets": subsets}));
        let written = self.client.patch(&kind, namespace, name, "", patch).await?;
        seen(&self.endpoints, &written).await;
        Ok(())
    }

    async fn delete(&self, endpoints: &Object) -> Result<(), Error> {
        let options = DeleteOptions { uid: Some(endpoints.meta.uid.to_string()), ..DeleteOptions::default() };
        match self.client.delete(&kinds::endpoints(), &endpoints.meta.namespace, &endpoints.meta.name, options).await {
            Ok(()) => seen_deleted(&self.endpoints, endpoints).await,
            Err(status) if status.is_not_found() => {}
            Err(status) => return Err(status.into()),
        }
        Ok(())
    }
}
