//! endpointslice-mirroring-controller: endpoints that people write themselves, in slices.
//!
//! Watches: endpoints, services, the slices themselves.
//! Writes: endpoint slices (create, patch, delete).
//! Invariant: what the endpoints of a service without selector list is in slices of theirs, one for each address family and set of
//! ports; endpoints that are to be skipped, and those of other services, have none.

mod plan;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use api::Object;
use api::meta::split_key;
use client::controller::{Controller, Error, Keys, Outcome, itself};
use client::events::{EventType, Recorder, Reference};
use client::kinds;
use client::queue::Key;
use serde::Deserialize;
use serde_json::{Map, Value};
use watch_cache::{Cache, Change};

use crate::Setup;
use crate::ownership::Owner;
use crate::pod_control::is_namespace_terminating;
use crate::service_endpoints::ServiceView;
use crate::slices::{Desired, Slices};
use plan::{Mirrored, Subset, mirrored};

/// The name the slices carry.
const CONTROLLER: &str = "endpointslicemirroring-controller.k8s.io";
const SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";
/// Marks endpoints that are somebody's lock and no addresses.
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
/// Annotations that are about the endpoints themselves.
const THEIR_OWN: [&str; 2] =
    ["endpoints.kubernetes.io/last-change-trigger-time", "kubectl.kubernetes.io/last-applied-configuration"];

/// The loop.
pub(crate) fn controller(setup: &Setup) -> Controller<State> {
    let state = State {
        services: setup.client.cache(&kinds::services()),
        endpoints: setup.client.cache(&kinds::endpoints()),
        slices: Slices::of(setup, CONTROLLER),
        events: setup.events_as("endpoint-slice-mirroring-controller"),
        most: setup.options.mirroring_max_endpoints_per_subset,
    };
    Controller::new("endpointslice-mirroring-controller", Arc::new(state), reconcile)
        .workers(5)
        .watch(&kinds::endpoints(), itself)
        .watch(&kinds::services(), itself)
        .watch(&kinds::endpoint_slices(), |state: &State, change: &Change, keys: &mut Keys<'_>| {
            state.slices.services_of(change, keys);
        })
}

/// What the loop works with.
pub(crate) struct State {
    services: Arc<Cache>,
    endpoints: Arc<Cache>,
    slices: Slices,
    events: Recorder,
    most: usize,
}

/// The part of endpoints that matters here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct EndpointsView {
    metadata: Metadata,
    subsets: Option<Vec<Subset>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    labels: Map<String, Value>,
    annotations: Map<String, Value>,
}

async fn reconcile(state: Arc<State>, key: Key) -> Result<Outcome, Error> {
    let Some((endpoints, view)) = state.to_mirror(&key)? else {
        let (namespace, name) = split_key(&key);
        state.slices.delete(namespace, name).await?;
        return Ok(Outcome::Done);
    };
    let Mirrored { groups, invalid, skipped } = mirrored(view.subsets.unwrap_or_default(), state.most);
    state.report(&endpoints, invalid, skipped);
    let mut annotations = view.metadata.annotations;
    annotations.retain(|name, _| !THEIR_OWN.contains(&&**name));
    let desired =
        Desired { labels: view.metadata.labels, annotations: Some(annotations), groups, room: state.most, spread: 1 };
    match state.slices.keep(Owner { resource: &kinds::endpoints(), object: &endpoints }, desired).await {
        Err(Error::Api(refused)) if is_namespace_terminating(&refused) => Ok(Outcome::Done),
        kept => kept.map(|()| Outcome::Done),
    }
}

impl State {
    /// The endpoints of that name, if they are to be mirrored.
    fn to_mirror(&self, key: &str) -> Result<Option<(Arc<Object>, EndpointsView)>, Error> {
        let (Some(endpoints), Some(service)) = (self.endpoints.get_key(key), self.services.get_key(key)) else {
            return Ok(None);
        };
        if endpoints.meta.labels.get(SKIP) == Some("true")
            || service.view::<ServiceView>()?.spec.selector.is_some_and(|selector| !selector.is_empty())
        {
            return Ok(None);
        }
        let view: EndpointsView = endpoints.view()?;
        Ok((!view.metadata.annotations.contains_key(LEADER)).then_some((endpoints, view)))
    }

    fn report(&self, endpoints: &Object, invalid: usize, skipped: usize) {
        let warn = |reason: &str, message: String| {
            self.events.event(Reference::to(&kinds::endpoints(), endpoints), EventType::Warning, reason, message);
        };
        if invalid > 0 {
            let message = format!("Skipped {invalid} invalid IP addresses when mirroring to EndpointSlices");
            warn("InvalidIPAddress", message);
        }
        if skipped > invalid {
            let most = self.most;
            let message = format!(
                "A max of {most} addresses can be mirrored to EndpointSlices per Endpoints subset. {skipped} addresses were skipped"
            );
            warn("TooManyAddressesToMirror", message);
        }
    }
}
