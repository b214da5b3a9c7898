//! Namespaces, nodes, quotas and limits, priorities, leases, certificates: kinds about the cluster itself.

mod events;
mod limits;
mod validation;

use api::validation::dns1123_label;
use embedded_store::Durability;
use serde_json::{Value, json};

use super::warnings;
use super::workloads::immutable_text;
use super::{Garbage, Generation, Strategy, off};
use crate::defaults::Defaults;
use crate::tree::Tree;
pub(crate) use validation::finalize;

pub(super) const NAMESPACE: Strategy = Strategy {
    name: dns1123_label,
    status: Some(r#"{"phase":"Active"}"#),
    default: |namespace| {
        namespace.default_to("status.phase", "Active");
        // The label lets selectors name a namespace.
        let name = namespace.text("metadata.name").to_owned();
        if !name.is_empty() {
            namespace.map_mut("metadata.labels").insert("kubernetes.io/metadata.name".into(), name.into());
        }
    },
    prepare_create: |namespace, _| {
        let name = namespace.text("metadata.name").to_owned();
        namespace.map_mut("metadata.labels").insert("kubernetes.io/metadata.name".into(), name.into());
        let mut finalizers = namespace.items("spec.finalizers").to_vec();
        if !finalizers.iter().any(|finalizer| finalizer == "kubernetes") {
            finalizers.push("kubernetes".into());
        }
        namespace.put("spec.finalizers", finalizers);
    },
    prepare_update: |new, old| new.put_or_remove("spec", old.at("spec").cloned()),
    validate: validation::namespace,
    validate_status: validation::namespace_status,
    returns_deleted: true,
    ..Strategy::DEFAULT
};

pub(super) const NODE: Strategy = Strategy {
    default: |node| {
        match (node.text("spec.podCIDR").to_owned(), node.items("spec.podCIDRs").first().cloned()) {
            // The older field wins, as with addresses of pods.
            (one, first) if !one.is_empty() && first.as_ref().is_none_or(|first| *first != one) => {
                node.put("spec.podCIDRs", json!([one]));
            }
            (one, Some(first)) if one.is_empty() => node.put("spec.podCIDR", first),
            _ => {}
        }
        if node.at("status.allocatable").is_none() {
            node.put_or_remove("status.allocatable", node.at("status.capacity").cloned());
        }
    },
    prepare_create: |node, _| off::take_out(node, None, off::NEW_NODE),
    validate: validation::whole_node,
    validate_update: validation::node_update,
    validate_status: validation::node_status,
    warnings: warnings::node,
    off: off::NODE,
    ..Strategy::DEFAULT
};

pub(super) const LIMIT_RANGE: Strategy = Strategy {
    default: |range| {
        for item in range.items_mut("spec.limits") {
            if item.text("type") != "Container" {
                continue;
            }
            // What is left unsaid follows from what is said: most → usual → asked for; least → asked for.
            for (from, to) in [("max", "default"), ("default", "defaultRequest"), ("min", "defaultRequest")] {
                let given = item.at(from).and_then(Value::as_object).cloned().unwrap_or_default();
                for (resource, amount) in given {
                    item.map_mut(to).entry(resource).or_insert(amount);
                }
            }
        }
    },
    prepare_create: |range, _| range.default_to("metadata.name", uuid::Uuid::new_v4().to_string()),
    validate: limits::range,
    create_on_update: true,
    ..Strategy::DEFAULT
};

pub(super) const RESOURCE_QUOTA: Strategy = Strategy {
    status: Some("{}"),
    validate: limits::quota,
    validate_update: limits::quota_update,
    validate_status: limits::quota_status,
    returns_deleted: true,
    ..Strategy::DEFAULT
};

pub(super) const PRIORITY_CLASS: Strategy = Strategy {
    generation: Generation::One,
    defaults: Some(|| Defaults::new(&[("preemptionPolicy", r#""PreemptLowerPriority""#), ("value", "0")])),
    validate_create: validation::priority_class,
    validate_update: validation::priority_class_update,
    ..Strategy::DEFAULT
};

pub(super) const LEASE: Strategy = Strategy {
    validate: validation::lease,
    create_on_update: true,
    unconditional_update: false,
    durability: Durability::Deferred,
    off: off::LEASE,
    ..Strategy::DEFAULT
};

pub(super) const EVENT: Strategy = Strategy {
    create_on_update: true,
    garbage: Garbage::Unsupported,
    durability: Durability::Deferred,
    name: |_| Vec::new(),
    metadata_last: true,
    validate: events::event,
    ..Strategy::DEFAULT
};

/// The same objects, written by those who know the newer group.
pub(super) const EVENT_V1: Strategy = Strategy {
    name: Strategy::DEFAULT.name,
    metadata_last: false,
    validate: events::event_v1,
    validate_create: events::new_event_v1,
    validate_update: events::event_v1_update,
    ..EVENT
};

pub(super) const RUNTIME_CLASS: Strategy = Strategy {
    validate: validation::runtime_class,
    validate_update: |new, old, errors| immutable_text(new, old, "handler", errors),
    warnings: warnings::runtime_class,
    create_on_update: true,
    unconditional_update: false,
    ..Strategy::DEFAULT
};
