//! From caches to plans: which services changed, and what they look like now.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use api::{Labels, Object, meta};
use client::{Client, kinds};
use watch_cache::{Cache, Change, ChangeKind, Lagged, Subscription};

use super::plan::{Context, ServicePlan, plan};
use super::rules::ServiceKey;
use super::view::{HEADLESS_LABEL, PROXY_NAME_LABEL, SERVICE_NAME_LABEL, ServiceView, SliceView};
use crate::error::chain;

/// On a Node: where it stands.
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";

/// The objects the proxy works from.
pub(super) struct Source {
    services: Arc<Cache>,
    slices: Arc<Cache>,
    nodes: Arc<Cache>,
    service_changes: Subscription,
    slice_changes: Subscription,
    node_changes: Subscription,
    /// The keys of each service's slices.
    slices_of: HashMap<ServiceKey, HashSet<String>>,
    dirty: HashSet<ServiceKey>,
    context: Context,
}

impl Source {
    /// Waits until all caches were filled once; every service is changed then.
    pub(super) async fn new(client: &Client, context: Context) -> Self {
        let services = client.cache(&kinds::services());
        let slices = client.cache(&kinds::endpoint_slices());
        let nodes = client.cache(&kinds::nodes());
        services.synced().await;
        slices.synced().await;
        nodes.synced().await;
        let mut source = Self {
            service_changes: services.subscribe().1,
            slice_changes: slices.subscribe().1,
            node_changes: nodes.subscribe().1,
            services,
            slices,
            nodes,
            slices_of: HashMap::new(),
            dirty: HashSet::new(),
            context,
        };
        source.start_over(std::iter::empty());
        source
    }

    /// Waits until something changed that matters here. Safe to drop and call again.
    pub(super) async fn changed(&mut self) {
        // Nodes report every few seconds; only our zone is of interest.
        while self.dirty.is_empty() && self.zone() == self.context.zone {
            let changes = tokio::select! {
                changes = self.service_changes.next() => changes.map(|changes| (Kind::Service, changes)),
                changes = self.slice_changes.next() => changes.map(|changes| (Kind::Slice, changes)),
                changes = self.node_changes.next() => changes.map(|changes| (Kind::Node, changes)),
            };
            self.take(changes);
        }
    }

    /// Takes everything that happened meanwhile, and returns what became of the services it concerns. `known` are the
    /// services there were, for when the history is lost.
    pub(super) fn collect<'a>(
        &mut self,
        known: impl Iterator<Item = &'a ServiceKey>,
    ) -> Vec<(ServiceKey, Option<ServicePlan>)> {
        for kind in [Kind::Service, Kind::Slice, Kind::Node] {
            loop {
                let subscription = match kind {
                    Kind::Service => &mut self.service_changes,
                    Kind::Slice => &mut self.slice_changes,
                    Kind::Node => &mut self.node_changes,
                };
                let changes = subscription.ready();
                if changes.as_ref().is_ok_and(Vec::is_empty) {
                    break;
                }
                self.take(changes.map(|changes| (kind, changes)));
            }
        }
        let zone = self.zone();
        if zone != self.context.zone || self.lost() {
            self.context.zone = zone;
            self.start_over(known);
        }
        let dirty: Vec<_> = self.dirty.drain().collect();
        dirty.into_iter().map(|key| (key.clone(), self.plan(&key))).collect()
    }

    /// Takes every service for changed.
    pub(super) fn look_again(&mut self) {
        self.dirty.insert(LOST.into());
    }

    fn lost(&self) -> bool {
        self.dirty.contains(LOST)
    }

    fn take(&mut self, changes: Result<(Kind, Vec<Arc<Change>>), Lagged>) {
        match changes {
            Ok((kind, changes)) => changes.iter().for_each(|change| self.note(kind, change)),
            Err(Lagged) => {
                // Continue from now on; everything is looked at again.
                self.service_changes = self.services.subscribe().1;
                self.slice_changes = self.slices.subscribe().1;
                self.node_changes = self.nodes.subscribe().1;
                self.look_again();
            }
        }
    }

    fn note(&mut self, kind: Kind, change: &Change) {
        match kind {
            Kind::Service => {
                self.dirty.insert(change.object.meta.key().into());
            }
            Kind::Slice => {
                for slice in change.previous.iter().chain([&change.object]) {
                    self.index(slice, false);
                }
                self.index(&change.object, change.kind != ChangeKind::Deleted);
            }
            // The zone is compared when changes are collected.
            Kind::Node => {}
        }
    }

    fn index(&mut self, slice: &Object, present: bool) {
        let Some(service) = service_of(slice) else { return };
        let keys = self.slices_of.entry(service.clone()).or_default();
        if present {
            keys.insert(slice.meta.key());
        } else {
            keys.remove(&slice.meta.key());
            if keys.is_empty() {
                self.slices_of.remove(&service);
            }
        }
        self.dirty.insert(service);
    }

    fn start_over<'a>(&mut self, known: impl Iterator<Item = &'a ServiceKey>) {
        self.dirty = known.cloned().collect();
        self.slices_of.clear();
        for slice in self.slices.list("") {
            self.index(&slice, true);
        }
        let services = self.services.snapshot();
        self.dirty.extend(services.range("", None).map(|service| ServiceKey::from(service.meta.key())));
        self.context.zone = self.zone();
    }

    fn zone(&self) -> Option<String> {
        let node = self.nodes.get("", &self.context.node_name)?;
        label(&node.meta.labels, ZONE_LABEL).map(str::to_owned)
    }

    /// What a service needs now; `None` when there is no such service for us.
    fn plan(&self, key: &ServiceKey) -> Option<ServicePlan> {
        let object = self.services.get_key(key)?;
        let labels = &object.meta.labels;
        if label(labels, PROXY_NAME_LABEL).is_some() || label(labels, HEADLESS_LABEL).is_some() {
            return None;
        }
        let service: ServiceView = view(&object)?;
        service.cluster_ip()?;
        let keys = self.slices_of.get(key);
        let slices = keys.into_iter().flatten().filter_map(|key| self.slices.get_key(key));
        let slices: Vec<SliceView> = slices.filter_map(|slice| view(&slice)).collect();
        let (namespace, name) = meta::split_key(key);
        Some(plan(&self.context, namespace, name, &service, &slices))
    }
}

/// Stands in the set of changed services for "all of them"; no service has such a key.
const LOST: &str = "*";

#[derive(Clone, Copy, Debug)]
enum Kind {
    Service,
    Slice,
    Node,
}

fn service_of(slice: &Object) -> Option<ServiceKey> {
    let name = label(&slice.meta.labels, SERVICE_NAME_LABEL)?;
    Some(meta::key(&slice.meta.namespace, name).into())
}

fn label<'a>(labels: &'a Labels, name: &str) -> Option<&'a str> {
    labels.get(name)
}

fn view<T: serde::de::DeserializeOwned>(object: &Object) -> Option<T> {
    let view = object.view();
    view.inspect_err(|error| tracing::warn!(object = object.meta.key(), error = chain(error), "object not understood"))
        .ok()
}
