//! NodeRestriction: a node agent writes about itself and its pods, and about nothing else.

use api::{Status, user};
use serde_json::Value;

use super::{Attributes, Plugin, Step, Verb};
use crate::Registry;
use crate::tree::Tree;

const MIRROR: &str = "kubernetes.io/config.mirror";

/// Labels below this domain are the cluster operator's: workloads are kept from nodes by them.
const RESTRICTED: &str = "node-restriction.kubernetes.io";

/// Labels below `kubernetes.io` and `k8s.io` that agents do set.
const OWN_LABELS: [&str; 11] = [
    "kubernetes.io/hostname",
    "kubernetes.io/arch",
    "kubernetes.io/os",
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/instance-type",
    "node.kubernetes.io/instance-type",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
];

pub(super) fn plugin() -> Plugin {
    Plugin::validating("NodeRestriction", Step::Now(admit))
}

fn admit(registry: &Registry, attributes: &mut Attributes) -> Result<(), Status> {
    let user = attributes.user.clone();
    let Some(node) = user.name.strip_prefix("system:node:").filter(|_| user.in_group(user::NODES)) else {
        return Ok(());
    };
    match (&*attributes.resource.group, &*attributes.resource.plural) {
        ("", "pods") => pods(registry, attributes, node),
        ("", "nodes") => nodes(attributes, node),
        ("", "persistentvolumeclaims") => match attributes.subresource.as_str() {
            "status" => Ok(()),
            _ => Err(attributes.forbidden("may only update PVC status")),
        },
        ("coordination.k8s.io", "leases") => {
            if attributes.namespace != "kube-node-lease" {
                let quoted = api::quote::quote("kube-node-lease");
                return Err(attributes.forbidden(format!("can only access leases in the {quoted} system namespace")));
            }
            if attributes.name != node {
                return Err(
                    attributes.forbidden("can only access node lease with the same name as the requesting node")
                );
            }
            Ok(())
        }
        ("storage.k8s.io", "csinodes") if attributes.name != node => {
            Err(attributes.forbidden("can only access CSINode with the same name as the requesting node"))
        }
        _ => Ok(()),
    }
}

fn pods(registry: &Registry, attributes: &Attributes, node: &str) -> Result<(), Status> {
    let mine = |pod: &Value| pod.text("spec.nodeName") == node;
    let quoted = api::quote::quote(node);
    match (attributes.verb, attributes.subresource.as_str()) {
        (Verb::Create, "") => {
            let pod = &attributes.object;
            if pod.at("metadata.annotations").is_none_or(|notes| notes.get(MIRROR).is_none()) {
                let why = format!(
                    "pod does not have {} annotation, node {quoted} can only create mirror pods",
                    api::quote::quote(MIRROR)
                );
                return Err(attributes.forbidden(why));
            }
            if !mine(pod) {
                let why = format!("node {quoted} can only create pods with spec.nodeName set to itself");
                return Err(attributes.forbidden(why));
            }
            for field in ["spec.serviceAccountName", "spec.resourceClaims"] {
                if pod.at(field).is_some() {
                    let what = field.rsplit('.').next().unwrap_or_default();
                    return Err(
                        attributes.forbidden(format!("node {quoted} can not create pods that reference a {what}"))
                    );
                }
            }
            Ok(())
        }
        (Verb::Delete, "") if mine(&attributes.old) => Ok(()),
        (Verb::Delete, "") => {
            Err(attributes.forbidden(format!("node {quoted} can only delete pods with spec.nodeName set to itself")))
        }
        (Verb::Update, "status") if !mine(&attributes.old) => {
            let why = format!("node {quoted} can only update pod status for pods with spec.nodeName set to itself");
            Err(attributes.forbidden(why))
        }
        (Verb::Update, "status") if attributes.object.at("metadata.labels") != attributes.old.at("metadata.labels") => {
            Err(attributes.forbidden(format!("node {quoted} cannot update labels through pod status")))
        }
        (Verb::Update, "status") => Ok(()),
        (Verb::Create, "eviction") => {
            let pod = registry.cached("", "v1", "pods").get(&attributes.namespace, &attributes.name);
            // The row's first selectable field is the node's name.
            if pod.is_some_and(|pod| pod.meta.fields.first().is_some_and(|name| **name == *node)) {
                return Ok(());
            }
            Err(attributes.forbidden(format!("node {quoted} can only evict pods with spec.nodeName set to itself")))
        }
        (_, subresource) => {
            Err(attributes.forbidden(format!("unexpected pod subresource {}", api::quote::quote(subresource))))
        }
    }
}

fn nodes(attributes: &Attributes, node: &str) -> Result<(), Status> {
    let quoted = api::quote::quote(node);
    let name = match attributes.verb {
        Verb::Create if attributes.name.is_empty() => attributes.object.text("metadata.name"),
        _ => attributes.name.as_str(),
    };
    if name != node {
        let other = api::quote::quote(name);
        return Err(attributes.forbidden(format!("node {quoted} is not allowed to modify node {other}")));
    }
    if attributes.verb == Verb::Delete {
        return Ok(());
    }
    if attributes.verb == Verb::Update && attributes.object.at("spec.taints") != attributes.old.at("spec.taints") {
        return Err(attributes.forbidden(format!("node {quoted} is not allowed to modify taints")));
    }
    let none = serde_json::Map::new();
    let labels = |object: &'_ Value| object.at("metadata.labels").and_then(Value::as_object).unwrap_or(&none).clone();
    let (new, old) = (labels(&attributes.object), labels(&attributes.old));
    let changed = new.keys().chain(old.keys()).filter(|key| new.get(*key) != old.get(*key));
    let mut refused: Vec<&String> = changed.filter(|key| !may_set(key, attributes.verb)).collect();
    refused.sort();
    refused.dedup();
    if refused.is_empty() {
        return Ok(());
    }
    let refused: Vec<&str> = refused.into_iter().map(String::as_str).collect();
    Err(attributes.forbidden(format!("is not allowed to modify labels: {}", refused.join(", "))))
}

/// Whether an agent may set a label on its node.
fn may_set(key: &str, verb: Verb) -> bool {
    let domain = key.split_once('/').map_or("", |(domain, _)| domain);
    let below = |parent: &str| domain == parent || domain.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'));
    if below(RESTRICTED) {
        return false;
    }
    if !below("kubernetes.io") && !below("k8s.io") {
        return true;
    }
    // Registering, an agent may still name what later only operators change.
    OWN_LABELS.contains(&key) || below("kubelet.kubernetes.io") || below("node.kubernetes.io") && verb != Verb::Delete
}
