//! Which slices to make, change and delete.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{Object, ObjectError};
use serde_json::{Map, Value};

use crate::service_endpoints::Port;

/// The most endpoints in a slice.
const SLICE: usize = 100;

/// A slice there is.
pub(super) struct Existing {
    object: Arc<Object>,
    labels: Value,
    ports: Value,
    endpoints: Vec<Value>,
}

impl Existing {
    pub(super) fn read(object: Arc<Object>) -> Result<Self, ObjectError> {
        let mut value = object.to_value()?;
        let endpoints = value["endpoints"].take();
        Ok(Self {
            labels: value["metadata"]["labels"].take(),
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
        endpoints: Vec<Value>,
        ports: Value,
        labels: Value,
    },
    /// `labels` holds what to merge: `null` removes one.
    Change {
        slice: SliceRef,
        endpoints: Vec<Value>,
        labels: Value,
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

/// The writes that make the slices hold exactly these endpoints (ports, address, rendered form). Endpoints with the same ports share
/// slices; one that has a slice stays there.
pub(super) fn steps(endpoints: Vec<(Vec<Port>, String, Value)>, existing: &[Existing], labels: &Value) -> Vec<Step> {
    let mut groups: BTreeMap<Vec<Port>, BTreeMap<String, Value>> = BTreeMap::new();
    for (mut ports, address, rendered) in endpoints {
        ports.sort();
        groups.entry(ports).or_default().insert(address, rendered);
    }
    if groups.is_empty() {
        // A service without pods has one slice without endpoints.
        groups.insert(Vec::new(), BTreeMap::new());
    }
    let mut steps = Vec::new();
    let mut used = vec![false; existing.len()];
    for (ports, mut wanted) in groups {
        let ports = normalized(Value::Array(ports.iter().map(Port::render).collect()));
        let mine: Vec<usize> = (0..existing.len()).filter(|at| existing[*at].ports == ports).collect();
        mine.iter().for_each(|at| used[*at] = true);
        let mut contents: Vec<Vec<Value>> = mine
            .iter()
            .map(|at| existing[*at].endpoints.iter().filter_map(|old| wanted.remove(address(old))).collect())
            .collect();
        let mut new = wanted.into_values();
        // The fullest slices first: few slices, few changes.
        let mut order: Vec<usize> = (0..contents.len()).collect();
        order.sort_by_key(|at| std::cmp::Reverse(contents[*at].len()));
        for at in order {
            let room = SLICE.saturating_sub(contents[at].len());
            contents[at].extend(new.by_ref().take(room));
        }
        let keep = contents.iter().any(|c| !c.is_empty());
        let mut kept_empty = false;
        for (at, content) in mine.iter().zip(contents) {
            let slice = &existing[*at];
            if content.is_empty() && (keep || new.len() > 0 || kept_empty) {
                steps.push(Step::Delete { slice: SliceRef(slice.object.clone()) });
                continue;
            }
            kept_empty |= content.is_empty();
            let changed = label_changes(&slice.labels, labels);
            if content != slice.endpoints || !changed.is_empty() {
                let slice = SliceRef(slice.object.clone());
                steps.push(Step::Change { slice, endpoints: content, labels: changed.into() });
            }
        }
        let mut made = mine.len();
        loop {
            let endpoints: Vec<Value> = new.by_ref().take(SLICE).collect();
            if endpoints.is_empty() && made > 0 {
                break;
            }
            made += 1;
            steps.push(Step::Create { endpoints, ports: ports.clone(), labels: labels.clone() });
        }
    }
    let unused = existing.iter().zip(used).filter(|(_, used)| !used);
    steps.extend(unused.map(|(slice, _)| Step::Delete { slice: SliceRef(slice.object.clone()) }));
    steps
}

fn address(endpoint: &Value) -> &str {
    endpoint.pointer("/addresses/0").and_then(Value::as_str).unwrap_or_default()
}

/// Ports as the API server gives them back: names and protocols there, sorted.
fn normalized(ports: Value) -> Value {
    let Value::Array(mut ports) = ports else { return Value::Array(Vec::new()) };
    ports.sort_by_key(|port| (port["name"].to_string(), port["protocol"].to_string(), port["port"].to_string()));
    for port in &mut ports {
        if port["name"].is_null() {
            port["name"] = "".into();
        }
    }
    Value::Array(ports)
}

fn label_changes(have: &Value, want: &Value) -> Map<String, Value> {
    let (none, empty) = (Map::new(), Map::new());
    let (have, want) = (have.as_object().unwrap_or(&none), want.as_object().unwrap_or(&empty));
    let set = want.iter().filter(|(key, value)| have.get(*key) != Some(value)).map(|(k, v)| (k.clone(), v.clone()));
    let gone = have.keys().filter(|key| !want.contains_key(*key)).map(|key| (key.clone(), Value::Null));
    set.chain(gone).collect()
}
