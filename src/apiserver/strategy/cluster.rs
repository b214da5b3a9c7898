//! Namespaces, nodes, quotas and limits, priorities, leases, certificates: kinds about the cluster itself.

use api::quantity::Quantity;
use api::validation::field::{Error, Path};
use api::validation::{dns1123_label, qualified_name};
use embedded_store::Durability;
use serde_json::{Value, json};

use super::workloads::immutable;
use super::{Garbage, Strategy};
use crate::defaults::Defaults;
use crate::tree::Tree;

pub(super) const NAMESPACE: Strategy = Strategy {
    name: dns1123_label,
    status: Some(r#"{"phase":"Active"}"#),
    default: |namespace| {
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
    returns_deleted: true,
    ..Strategy::DEFAULT
};

pub(super) const NODE: Strategy = Strategy {
    default: |node| {
        match (node.text("spec.podCIDR").to_owned(), node.items("spec.podCIDRs").first().cloned()) {
            (one, None) if !one.is_empty() => node.put("spec.podCIDRs", json!([one])),
            (one, Some(first)) if one.is_empty() => node.put("spec.podCIDR", first),
            _ => {}
        }
        if node.at("status.allocatable").is_none() {
            node.put_or_remove("status.allocatable", node.at("status.capacity").cloned());
        }
    },
    validate: |node, errors| {
        let path = Path::root("spec").child("taints");
        let mut seen: Vec<(&str, &str)> = Vec::new();
        for (at, taint) in node.items("spec.taints").iter().enumerate() {
            let path = path.index(at);
            let (key, effect) = (taint.text("key"), taint.text("effect"));
            errors.invalid_each(&path.child("key"), key, qualified_name(key));
            if !matches!(effect, "NoSchedule" | "PreferNoSchedule" | "NoExecute") {
                let all = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
                errors.push(Error::not_supported(&path.child("effect"), effect, &all));
            }
            if seen.contains(&(key, effect)) {
                errors.push(Error::duplicate(&path, taint.clone()));
            }
            seen.push((key, effect));
        }
    },
    validate_update: |new, old, errors| {
        for field in ["spec.podCIDRs", "spec.providerID"] {
            let unset = old.at(field).is_none_or(|value| value == "");
            if !unset && new.at(field) != old.at(field) {
                let why = "node updates may not change podCIDR except from \"\" to valid";
                let why = if field == "spec.providerID" {
                    "node updates may not change providerID except from \"\" to valid"
                } else {
                    why
                };
                errors.push(Error::forbidden(&Path::root(field), why));
            }
        }
    },
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
    validate: |range, errors| {
        for (at, item) in range.items("spec.limits").iter().enumerate() {
            let path = Path::root("spec").child("limits").index(at);
            if item.text("type").is_empty() {
                errors.push(Error::required(&path.child("type"), ""));
            }
            // Each bound may not exceed those that follow it.
            let order = ["min", "defaultRequest", "default", "max"];
            for (at, low) in order.iter().enumerate() {
                for (name, amount) in item.entries(low) {
                    let Ok(amount) = Quantity::from_json(amount) else { continue };
                    for high in &order[at + 1..] {
                        let above =
                            item.at(high).and_then(|all| all.get(name)).and_then(|q| Quantity::from_json(q).ok());
                        if let Some(above) = above.filter(|above| amount > *above) {
                            let words = |word: &str| match word {
                                "defaultRequest" => "default request".to_owned(),
                                word => word.to_owned(),
                            };
                            let (low_word, high_word) = (words(low), words(high));
                            let why = format!("{low_word} value {amount} is greater than {high_word} value {above}");
                            errors.push(Error::invalid(&path.child(low).key(name), amount.to_string(), why));
                        }
                    }
                }
            }
        }
    },
    create_on_update: true,
    ..Strategy::DEFAULT
};

pub(super) const RESOURCE_QUOTA: Strategy = Strategy {
    status: Some("{}"),
    validate: |quota, errors| {
        for (name, amount) in quota.entries("spec.hard") {
            let path = Path::root("spec").child("hard").key(name);
            errors.invalid_each(&path, name, qualified_name(name));
            if Quantity::from_json(amount).is_ok_and(|amount| amount.signum() < 0) {
                let value = amount.as_str().unwrap_or_default();
                errors.push(Error::invalid(&path, value, "must be greater than or equal to 0"));
            }
        }
    },
    validate_update: |new, old, errors| immutable(new, old, "spec.scopes", errors),
    create_on_update: true,
    returns_deleted: true,
    ..Strategy::DEFAULT
};

pub(super) const PRIORITY_CLASS: Strategy = Strategy {
    generation: true,
    defaults: Some(|| Defaults::new(&[("preemptionPolicy", r#""PreemptLowerPriority""#), ("value", "0")])),
    validate: |class, errors| {
        let (name, value) = (class.text("metadata.name"), class.int("value").unwrap_or(0));
        let system = matches!(name, "system-node-critical" | "system-cluster-critical");
        if name.starts_with("system-") && !system {
            let why = "priority class names with 'system-' prefix are reserved for system use only";
            errors.push(Error::forbidden(&Path::root("metadata.name"), why));
        }
        if value > 1_000_000_000 && !system {
            let why = format!("maximum allowed value of a user defined priority is {}", 1_000_000_000);
            errors.push(Error::forbidden(&Path::root("value"), why));
        }
    },
    validate_update: |new, old, errors| {
        for (field, why) in
            [("value", "may not be changed in an update."), ("preemptionPolicy", "may not be changed in an update.")]
        {
            if new.at(field) != old.at(field) {
                errors.push(Error::forbidden(&Path::root(field), why));
            }
        }
    },
    ..Strategy::DEFAULT
};

pub(super) const LEASE: Strategy = Strategy {
    validate: |lease, errors| {
        let spec = Path::root("spec");
        if let Some(seconds) = lease.int("spec.leaseDurationSeconds").filter(|seconds| *seconds <= 0) {
            errors.push(Error::invalid(&spec.child("leaseDurationSeconds"), seconds, "must be greater than 0"));
        }
        if let Some(count) = lease.int("spec.leaseTransitions").filter(|count| *count < 0) {
            let why = "must be greater than or equal to 0";
            errors.push(Error::invalid(&spec.child("leaseTransitions"), count, why));
        }
    },
    create_on_update: true,
    unconditional_update: false,
    durability: Durability::Deferred,
    ..Strategy::DEFAULT
};

pub(super) const EVENT: Strategy = Strategy {
    create_on_update: true,
    garbage: Garbage::Unsupported,
    durability: Durability::Deferred,
    validate: |event, errors| {
        let (namespace, about) = (event.text("metadata.namespace"), event.text("involvedObject.namespace"));
        let fits = if about.is_empty() {
            matches!(namespace, "default" | "kube-system") || namespace.is_empty()
        } else {
            namespace == about
        };
        if !fits {
            let why = "does not match event.namespace";
            errors.push(Error::invalid(&Path::root("involvedObject.namespace"), about, why));
        }
    },
    ..Strategy::DEFAULT
};

pub(super) const RUNTIME_CLASS: Strategy = Strategy {
    validate: |class, errors| {
        let handler = class.text("handler");
        if handler.is_empty() {
            errors.push(Error::required(&Path::root("handler"), ""));
        } else {
            errors.invalid_each(&Path::root("handler"), handler, dns1123_label(handler));
        }
    },
    validate_update: |new, old, errors| immutable(new, old, "handler", errors),
    ..Strategy::DEFAULT
};
