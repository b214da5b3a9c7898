//! What is asked of namespaces, nodes, priorities, leases, events and runtimes.

use std::collections::HashSet;

use api::quantity::Quantity;
use api::validation::field::{Error, ErrorList};
use api::validation::{dns1123_label, ip, qualified_name};
use serde_json::Value;

use crate::strategy::at::At;
use crate::strategy::{pod_validation, resource_names as names};
use crate::tree::Tree;

/// Priorities above this are the system's.
const PRIORITY_MAX: i64 = 1_000_000_000;
/// The priorities the system has, by name.
const SYSTEM: [(&str, i64); 2] = [("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];

/// Complaints about a namespace.
pub(super) fn namespace(object: &Value, errors: &mut ErrorList) {
    let root = At::root(object);
    for finalizer in root.each("spec.finalizers") {
        self::finalizer(&root.get("spec.finalizers").with(finalizer.value()), errors);
    }
}

/// Complaints about a write of what a namespace waits for before it goes.
pub(crate) fn finalize(namespace: &Value, errors: &mut ErrorList) {
    At::root(namespace).each("spec.finalizers").for_each(|finalizer| self::finalizer(&finalizer, errors));
}

/// What an object waits for: one of the system's own, or one with a domain.
pub(super) fn finalizer(at: &At, errors: &mut ErrorList) {
    at.complain(errors, qualified_name(at.str()));
    unqualified(at, errors);
}

/// The same for one that is a name already.
pub(super) fn unqualified(at: &At, errors: &mut ErrorList) {
    if !at.str().contains('/') && !is_standard_finalizer(at.str()) {
        at.invalid(errors, "name is neither a standard finalizer name nor is it fully qualified");
    }
}

/// The finalizers that need no domain.
pub(in crate::strategy) fn is_standard_finalizer(name: &str) -> bool {
    matches!(name, "kubernetes" | "orphan" | "foregroundDeletion")
}

/// The phase says no more than what the time of deletion says.
pub(super) fn namespace_status(new: &Value, _: &Value, errors: &mut ErrorList) {
    let root = At::root(new);
    let phase = root.get("status.Phase").with(root.get("status.phase").value());
    match root.has("metadata.deletionTimestamp") {
        false if phase.str() != "Active" => {
            phase.invalid(errors, "may only be 'Active' if `deletionTimestamp` is empty");
        }
        true if phase.str() != "Terminating" => {
            phase.invalid(errors, "may only be 'Terminating' if `deletionTimestamp` is not empty");
        }
        _ => {}
    }
}

/// Complaints about a node.
pub(super) fn node(object: &Value, errors: &mut ErrorList) {
    let root = At::root(object);
    // Upstream looks for the taints of the spec under `metadata`.
    let metadata = root.get("metadata");
    pod_validation::taints(&metadata.with(root.get("spec").value()), "taints", errors);
    declared_features(&root, errors);
    for list in ["capacity", "allocatable"] {
        let status = root.get("status");
        for (name, at) in status.entries(list) {
            if let Ok(amount) = Quantity::from_json(at.value()) {
                let place = status.get(list);
                names::amount(name, &amount, &place.get(name).with(at.value()), errors);
            }
        }
    }
}

/// Names of features of the node agent: sorted, and each once.
fn declared_features(root: &At, errors: &mut ErrorList) {
    let good = |name: &str| {
        let word = |part: &str| part.bytes().all(|b| b.is_ascii_alphanumeric());
        let begins = |part: &str| part.starts_with(|c: char| c.is_ascii_alphabetic());
        name.starts_with(|c: char| c.is_ascii_uppercase()) && name.split('/').all(|part| begins(part) && word(part))
    };
    let mut before = None;
    for feature in root.each("status.declaredFeatures") {
        let name = api::quote::quote(feature.str());
        if feature.str().len() > 253 {
            feature.invalid(errors, format!("invalid feature name {name}: must be no more than 253 characters"));
        } else if !good(feature.str()) {
            let why = "must start with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., MyFeature or \
                       MyFeature/mySubFeature), and contain only alphanumeric characters and slashes";
            feature.invalid(errors, format!("invalid feature name {name}: {why}"));
        }
        match before.replace(feature.str()) {
            Some(before) if before == feature.str() => feature.duplicate(errors),
            Some(before) if before > feature.str() => feature.invalid(errors, "list must be sorted alphabetically"),
            _ => {}
        }
    }
}

/// Complaints about a node that is made or changed as a whole.
pub(super) fn whole_node(object: &Value, errors: &mut ErrorList) {
    node(object, errors);
    let root = At::root(object);
    let at = root.get("spec.podCIDRs");
    let mut families = Vec::new();
    let mut bad = None;
    for (index, range) in root.each("spec.podCIDRs").enumerate() {
        errors.extend(ip::legacy_cidr(&range.path(), range.str()));
        match ip::parse_cidr(range.str()) {
            Some((address, _)) => families.push(address.is_ipv4()),
            None if bad.is_none() => bad = Some((index, range.str())),
            None => {}
        }
    }
    let count = root.items("spec.podCIDRs").len();
    if count < 2 {
        return;
    }
    if let Some((index, text)) = bad {
        let why = format!("invalid CIDR[{index}]: <nil> (invalid CIDR address: {text})");
        let why = format!("invalid PodCIDRs. failed to check with dual stack with error:{why}");
        errors.push(Error::internal(&at.path(), why));
    }
    let both = bad.is_none() && families.contains(&true) && families.contains(&false);
    if !both || count > 2 {
        at.invalid(errors, "may specify no more than one CIDR for each IP family");
    }
}

/// Complaints about a change of a node.
pub(super) fn node_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    let root = At::root(new);
    addresses(&root, errors);
    let (now, before) = (root.get("spec.podCIDRs"), old.at("spec.podCIDRs"));
    if before.is_some_and(|before| before != now.value()) {
        now.forbidden(errors, "node updates may not change podCIDR except from \"\" to valid");
    }
    let provider = root.get("spec.providerID");
    let before = old.text("spec.providerID");
    if !before.is_empty() && before != provider.str() {
        provider.forbidden(errors, "node updates may not change providerID except from \"\" to valid");
    }
    if new.text("spec.externalID") != old.text("spec.externalID") {
        root.get("spec.externalID").forbidden(errors, "may not be updated");
    }
}

/// No address of a node is told twice.
fn addresses(root: &At, errors: &mut ErrorList) {
    let mut seen = HashSet::new();
    for address in root.each("status.addresses") {
        if !seen.insert(address.value()) {
            errors.push(Error::duplicate(&address.path(), address.as_upstream("NodeAddress")));
        }
    }
}

/// Complaints about a write of a node's status.
pub(super) fn node_status(new: &Value, old: &Value, errors: &mut ErrorList) {
    node(new, errors);
    node_update(new, old, errors);
}

/// Complaints about a PriorityClass.
pub(super) fn priority_class(object: &Value, errors: &mut ErrorList) {
    let root = At::root(object);
    let (name, value) = (root.get("metadata.name"), root.int("value").unwrap_or(0));
    if name.str().starts_with("system-") {
        if let Err(why) = is_system(name.str(), value, root.truth("globalDefault")) {
            let why =
                format!("priority class names with 'system-' prefix are reserved for system use only. error: {why}");
            name.forbidden(errors, why);
        }
    } else if value > PRIORITY_MAX {
        let why = format!("maximum allowed value of a user defined priority is {PRIORITY_MAX}");
        root.get("value").forbidden(errors, why);
    }
    pod_validation::preemption_policy(&root, errors);
}

fn is_system(name: &str, value: i64, default: bool) -> Result<(), String> {
    let Some((_, own)) = SYSTEM.iter().find(|(known, _)| *known == name) else {
        return Err(format!("{name} is not a known system priority class"));
    };
    if value != *own {
        return Err(format!("value of {name} PriorityClass must be {own}"));
    }
    if default {
        return Err(format!("globalDefault of {name} PriorityClass must be false"));
    }
    Ok(())
}

pub(super) fn priority_class_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    let root = At::root(new);
    if new.int("value").unwrap_or(0) != old.int("value").unwrap_or(0) {
        root.get("value").forbidden(errors, "may not be changed in an update.");
    }
    root.get("preemptionPolicy").unchanged(old.at("preemptionPolicy"), errors);
}

/// Complaints about a Lease.
pub(super) fn lease(object: &Value, errors: &mut ErrorList) {
    let root = At::root(object);
    let spec = root.get("spec");
    let seconds = spec.get("leaseDurationSeconds");
    if seconds.value().as_i64().is_some_and(|seconds| seconds <= 0) {
        seconds.invalid(errors, "must be greater than 0");
    }
    spec.get("leaseTransitions").not_negative(errors);
    let strategy = spec.get("strategy");
    let at = strategy.get("strategy").with(strategy.value());
    if strategy.is_set() && strategy.str().contains('/') {
        at.complain(errors, qualified_name(strategy.str()));
    } else if strategy.is_set() && strategy.str() != "OldestEmulationVersion" {
        at.unsupported(errors, &["OldestEmulationVersion"]);
    }
    if !spec.text("preferredHolder").is_empty() && strategy.is_empty() {
        let why = "may only be specified if `strategy` is defined";
        spec.get("preferredHolder").forbidden(errors, why);
    }
}

/// Complaints about a RuntimeClass.
pub(super) fn runtime_class(object: &Value, errors: &mut ErrorList) {
    let root = At::root(object);
    root.get("handler").complain(errors, dns1123_label(root.text("handler")));
    let overhead = root.get("overhead");
    if overhead.is_set() {
        pod_validation::of_overhead(overhead.get("podFixed").value(), &overhead, errors);
    }
    let scheduling = root.get("scheduling");
    scheduling.get("nodeSelector").labels(errors);
    pod_validation::tolerations(&scheduling, errors);
    let key = |toleration: &Value| {
        let mut toleration = toleration.clone();
        toleration.cut("tolerationSeconds");
        toleration
    };
    let all: Vec<Value> = scheduling.items("tolerations").iter().map(key).collect();
    let mut seen = HashSet::new();
    for (toleration, same) in scheduling.each("tolerations").zip(&all) {
        if !seen.insert(same) {
            errors.push(Error::duplicate(&toleration.path(), toleration.as_upstream("Toleration")));
        }
    }
}
