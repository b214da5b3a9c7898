//! Which slices to make, change and delete.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{Object, ObjectError};
use serde_json::{Map, Value, json};

use crate::ownership::Owner;
use crate::service_endpoints::Port;

/// What the slices of a service shall be.
pub(crate) struct Desired {
    /// All of the slices' labels.
    pub(crate) labels: Map<String, Value>,
    /// All of the slices' annotations; `None` leaves them to others.
    pub(crate) annotations: Option<Map<String, Value>>,
    /// The endpoints. A group without any has one empty slice.
    pub(crate) groups: BTreeMap<Group, Vec<Value>>,
    /// The most endpoints in a slice.
    pub(crate) room: usize,
    /// The most slices of a group that are kept; others are given up even if they are in order.
    pub(crate) spread: usize,
}

/// What endpoints have in common that share slices.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Group {
    pub(crate) address_type: &'static str,
    /// Sorted.
    pub(crate) ports: Vec<Port>,
}

impl Desired {
    /// The slices' metadata.
    pub(super) fn metadata(&self, owner: Owner<'_>) -> Map<String, Value> {
        let mut metadata = Map::new();
        metadata.insert("labels".into(), self.labels.clone().into());
        metadata.insert("ownerReferences".into(), json!([owner.reference()]));
        if let Some(annotations) = self.annotations.clone().filter(|a| !a.is_empty()) {
            metadata.insert("annotations".into(), annotations.into());
        }
        metadata
    }

    /// What to merge into a slice's metadata: `null` removes.
    fn changes(&self, slice: &Existing, owner: &str, metadata: &Map<String, Value>) -> Map<String, Value> {
        let mut changes = Map::new();
        let mut differ = |name: &str, want: &Map<String, Value>| {
            let changed = differences(&slice.metadata[name], want);
            if !changed.is_empty() {
                changes.insert(name.into(), changed.into());
            }
        };
        differ("labels", &self.labels);
        if let Some(annotations) = &self.annotations {
            differ("annotations", annotations);
        }
        // The slices of one who was there before and had the same name become the new one's.
        if slice.object.meta.controller().is_none_or(|controller| *controller.uid != *owner) {
            changes.insert("ownerReferences".into(), metadata["ownerReferences"].clone());
        }
        changes
    }
}

/// A slice there is.
pub(super) struct Existing {
    object: Arc<Object>,
    address_type: String,
    metadata: Value,
    ports: Value,
    endpoints: Vec<Value>,
}

impl Existing {
    pub(super) fn read(object: Arc<Object>) -> Result<Self, ObjectError> {
        let mut value = object.to_value()?;
        let endpoints = value["endpoints"].take();
        Ok(Self {
            address_type: value["addressType"].as_str().unwrap_or_default().to_owned(),
            metadata: value["metadata"].take(),
            ports: normalized(value["ports"].take()),
            endpoints: if let Value::Array(endpoints) = endpoints { endpoints } else { Vec::new() },
            object,
        })
    }
}

/// One write.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    Create {
        address_type: &'static str,
        endpoints: Vec<Value>,
        ports: Value,
        metadata: Map<String, Value>,
    },
    /// `metadata` holds what to merge; without `ports` they stay.
    Change {
        slice: SliceRef,
        endpoints: Vec<Value>,
        ports: Option<Value>,
        metadata: Map<String, Value>,
    },
    Delete {
        slice: SliceRef,
    },
}

/// A slice to write to, compared by name.
#[derive(Clone, Debug)]
pub(super) struct SliceRef(Arc<Object>);

impl PartialEq for SliceRef {
    fn eq(&self, other: &Self) -> bool {
        self.0.meta.name == other.0.meta.name
    }
}

impl std::ops::Deref for SliceRef {
    type Target = Object;

    fn deref(&self) -> &Object {
        &self.0
    }
}

/// The writes that make the slices hold exactly these endpoints. One that has a slice stays there, and a slice that is given up
/// becomes one that is missing. `owner` is the uid of the slices' owner, `metadata` what new slices have.
pub(super) fn steps(
    mut desired: Desired,
    owner: &str,
    metadata: &Map<String, Value>,
    existing: &[Existing],
) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut missing: Vec<(&'static str, Vec<Value>, Value)> = Vec::new();
    let mut surplus = vec![true; existing.len()];
    for (Group { address_type, ports }, endpoints) in std::mem::take(&mut desired.groups) {
        let ports = normalized(Value::Array(ports.iter().map(Port::render).collect()));
        let mut wanted: BTreeMap<String, Value> = endpoints.into_iter().map(|e| (identity(&e), e)).collect();
        let alike = |at: &usize| existing[*at].ports == ports && existing[*at].address_type == address_type;
        let mine: Vec<usize> = (0..existing.len()).filter(alike).take(desired.spread).collect();
        let mut contents: Vec<Vec<Value>> = mine
            .iter()
            .map(|at| existing[*at].endpoints.iter().filter_map(|old| wanted.remove(&identity(old))).collect())
            .collect();
        let mut new = wanted.into_values();
        // The fullest slices first: few slices, few changes.
        let mut order: Vec<usize> = (0..contents.len()).collect();
        order.sort_by_key(|at| std::cmp::Reverse(contents[*at].len()));
        for at in order {
            let room = desired.room.saturating_sub(contents[at].len());
            contents[at].extend(new.by_ref().take(room));
        }
        let keep = contents.iter().any(|c| !c.is_empty());
        let mut kept_empty = false;
        for (at, content) in mine.iter().zip(contents) {
            if content.is_empty() && (keep || new.len() > 0 || kept_empty) {
                continue;
            }
            surplus[*at] = false;
            kept_empty |= content.is_empty();
            let slice = &existing[*at];
            let changes = desired.changes(slice, owner, metadata);
            if content != slice.endpoints || !changes.is_empty() {
                let slice = SliceRef(slice.object.clone());
                steps.push(Step::Change { slice, endpoints: content, ports: None, metadata: changes });
            }
        }
        let mut made = mine.len();
        loop {
            let endpoints: Vec<Value> = new.by_ref().take(desired.room).collect();
            if endpoints.is_empty() && made > 0 {
                break;
            }
            made += 1;
            missing.push((address_type, endpoints, ports.clone()));
        }
    }
    let mut deletes = Vec::new();
    for (slice, _) in existing.iter().zip(surplus).filter(|(_, surplus)| *surplus) {
        let object = SliceRef(slice.object.clone());
        match missing.iter().position(|(address_type, ..)| *address_type == slice.address_type) {
            Some(at) => {
                let (_, endpoints, ports) = missing.remove(at);
                let metadata = desired.changes(slice, owner, metadata);
                steps.push(Step::Change { slice: object, endpoints, ports: Some(ports), metadata });
            }
            None => deletes.push(Step::Delete { slice: object }),
        }
    }
    let create = |(address_type, endpoints, ports)| {
        let metadata = metadata.clone();
        Step::Create { address_type, endpoints, ports, metadata }
    };
    missing.into_iter().map(create).chain(steps).chain(deletes).collect()
}

/// What makes two endpoints the same one: address, node and target.
fn identity(endpoint: &Value) -> String {
    let text = |path: &str| endpoint.pointer(path).and_then(Value::as_str).unwrap_or_default();
    [text("/addresses/0"), text("/nodeName"), text("/targetRef/namespace"), text("/targetRef/name")].join(" ")
}

/// Ports as the API server gives them back: names and protocols there, sorted.
fn normalized(ports: Value) -> Value {
    let Value::Array(mut ports) = ports else { return Value::Array(Vec::new()) };
    for port in &mut ports {
        if port["name"].is_null() {
            port["name"] = "".into();
        }
    }
    ports.sort_by_key(|port| (port["name"].to_string(), port["protocol"].to_string(), port["port"].to_string()));
    Value::Array(ports)
}

fn differences(have: &Value, want: &Map<String, Value>) -> Map<String, Value> {
    let none = Map::new();
    let have = have.as_object().unwrap_or(&none);
    let set = want.iter().filter(|(key, value)| have.get(*key) != Some(value)).map(|(k, v)| (k.clone(), v.clone()));
    let gone = have.keys().filter(|key| !want.contains_key(*key)).map(|key| (key.clone(), Value::Null));
    set.chain(gone).collect()
}
