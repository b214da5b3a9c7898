//! What scheduling needs to know of a node, and what is placed on it.

use std::collections::HashMap;
use std::sync::Arc;

use api::{Labels, Object, ObjectError};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::pod::{Pod, Taint};
use crate::resources::Resources;

/// A node with its pods. Amounts are kept up as pods come and go.
#[derive(Debug, Default)]
pub(crate) struct Node {
    pub(crate) spec: Arc<NodeSpec>,
    pub(crate) requested: Resources,
    pub(crate) weight: (i64, i64),
    pub(crate) pods: HashMap<Box<str>, Arc<Pod>>,
    /// Pods per owner, to keep siblings apart.
    pub(crate) owners: HashMap<Box<str>, u32>,
}

/// The part of a node that comes from its object.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct NodeSpec {
    pub(crate) name: Box<str>,
    pub(crate) labels: Labels,
    pub(crate) taints: Vec<Taint>,
    pub(crate) unschedulable: bool,
    pub(crate) allocatable: Resources,
    pub(crate) allocatable_pods: i64,
    /// Image names and their bytes.
    pub(crate) images: HashMap<Box<str>, i64>,
}

impl NodeSpec {
    /// Reads a node.
    pub(crate) fn read(object: &Object) -> Result<Self, ObjectError> {
        let view: NodeView = object.view()?;
        let allocatable = view.status.allocatable.or(view.status.capacity).unwrap_or_default();
        let pods = allocatable.get("pods").and_then(|v| api::quantity::Quantity::from_json(v).ok());
        let images = view.status.images.into_iter().flat_map(|image| {
            let size = image.size_bytes;
            image.names.unwrap_or_default().into_iter().map(move |name| (name, size))
        });
        Ok(Self {
            name: object.meta.name.clone(),
            labels: object.meta.labels.clone(),
            taints: view.spec.taints,
            unschedulable: view.spec.unschedulable,
            allocatable: Resources::parse(&allocatable),
            allocatable_pods: pods.map_or(0, |pods| pods.value()),
            images: images.collect(),
        })
    }
}

impl Node {
    pub(crate) fn add(&mut self, pod: Arc<Pod>) {
        self.remove(&pod.key);
        self.requested.add(&pod.requests);
        self.weight.0 += pod.weight.0;
        self.weight.1 += pod.weight.1;
        if !pod.owner.is_empty() {
            *self.owners.entry(pod.owner.clone()).or_default() += 1;
        }
        self.pods.insert(pod.key.clone(), pod);
    }

    pub(crate) fn remove(&mut self, key: &str) -> Option<Arc<Pod>> {
        let pod = self.pods.remove(key)?;
        self.requested.subtract(&pod.requests);
        self.weight.0 -= pod.weight.0;
        self.weight.1 -= pod.weight.1;
        if let Some(count) = self.owners.get_mut(&pod.owner) {
            *count -= 1;
            if *count == 0 {
                self.owners.remove(&pod.owner);
            }
        }
        Some(pod)
    }
}

#[derive(Deserialize)]
struct NodeView {
    #[serde(default)]
    spec: SpecView,
    #[serde(default)]
    status: StatusView,
}

#[derive(Deserialize, Default)]
struct SpecView {
    #[serde(default)]
    taints: Vec<Taint>,
    #[serde(default)]
    unschedulable: bool,
}

#[derive(Deserialize, Default)]
struct StatusView {
    allocatable: Option<Map<String, Value>>,
    capacity: Option<Map<String, Value>>,
    #[serde(default)]
    images: Vec<ImageView>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ImageView {
    names: Option<Vec<Box<str>>>,
    #[serde(default)]
    size_bytes: i64,
}
