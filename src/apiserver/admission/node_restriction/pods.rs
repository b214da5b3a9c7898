//! Pods as a node agent writes them: mirrors of its static pods, the status of its pods, their eviction.

use api::Status;
use serde_json::Value;

use super::super::{Attributes, Verb};
use crate::Registry;
use crate::authorization::uses_of_pod;
use crate::tree::Tree;

const MIRROR: &str = "kubernetes.io/config.mirror";

pub(super) fn admit(registry: &Registry, attributes: &Attributes, node: &str) -> Result<(), Status> {
    let quoted = api::quote::quote(node);
    let mine = |pod: &Value| pod.text("spec.nodeName") == node;
    let refuse = |why: String| Err(attributes.forbidden(why));
    match (attributes.verb, attributes.subresource.as_str()) {
        (Verb::Create, "") => admit_mirror(registry, attributes, node),
        (Verb::Delete, "") if mine(&attributes.old) => Ok(()),
        (Verb::Delete, "") => refuse(format!("node {quoted} can only delete pods with spec.nodeName set to itself")),
        (Verb::Update, "status") => {
            let (new, old) = (&attributes.object, &attributes.old);
            if !mine(old) {
                let why = format!("node {quoted} can only update pod status for pods with spec.nodeName set to itself");
                return refuse(why);
            }
            if new.at("metadata.labels") != old.at("metadata.labels") {
                return refuse(format!("node {quoted} cannot update labels through pod status"));
            }
            if claims(new) != claims(old) {
                return refuse(format!("node {quoted} cannot update resource claim statues"));
            }
            Ok(())
        }
        (Verb::Create, "eviction") => {
            let pod = registry.cached("", "v1", "pods").get(&attributes.namespace, &attributes.name);
            // The row's first selectable field is the node's name.
            let pod = pod.ok_or_else(|| Status::not_found("", "pods", &attributes.name))?;
            if pod.meta.fields.first().is_some_and(|name| **name == *node) {
                return Ok(());
            }
            refuse(format!("node {node} can only evict pods with spec.nodeName set to itself"))
        }
        (_, "") => refuse(format!("unexpected operation {}", api::quote::quote(attributes.verb.name()))),
        (_, subresource) => refuse(format!("unexpected pod subresource {}", api::quote::quote(subresource))),
    }
}

/// Which claims were made for a pod.
fn claims(pod: &Value) -> Vec<(&str, Option<&Value>)> {
    let made = pod.items("status.resourceClaimStatuses");
    made.iter().map(|claim| (claim.text("name"), claim.get("resourceClaimName"))).collect()
}

fn admit_mirror(registry: &Registry, attributes: &Attributes, node: &str) -> Result<(), Status> {
    let pod = &attributes.object;
    let quoted = api::quote::quote(node);
    let refuse = |why: String| Err(attributes.forbidden(why));
    if pod.at("metadata.annotations").is_none_or(|notes| notes.get(MIRROR).is_none()) {
        let mirror = api::quote::quote(MIRROR);
        return refuse(format!("pod does not have {mirror} annotation, node {quoted} can only create mirror pods"));
    }
    if pod.text("spec.nodeName") != node {
        return refuse(format!("node {quoted} can only create pods with spec.nodeName set to itself"));
    }
    match pod.items("metadata.ownerReferences") {
        [] => return refuse(format!("node {quoted} can only create pods with an owner reference set to itself")),
        [owner] => check_owner(registry, attributes, node, owner)?,
        _ => {
            return refuse(format!("node {quoted} can only create pods with a single owner reference set to itself"));
        }
    }
    // Not any object that the agent could then read because its pod uses it.
    let used = uses_of_pod(&attributes.namespace, pod);
    let kinds = [
        ("serviceaccounts", "a service account"),
        ("secrets", "secrets"),
        ("configmaps", "configmaps"),
        ("persistentvolumeclaims", "persistentvolumeclaims"),
        ("resourceclaims", "resourceclaims"),
    ];
    let named = |kind: &str| used.iter().any(|key| key.split('/').next() == Some(kind));
    if let Some((_, what)) = kinds.into_iter().find(|(kind, _)| named(kind)) {
        return refuse(format!("node {quoted} can not create pods that reference {what}"));
    }
    let sources = pod.items("spec.volumes").iter().flat_map(|volume| volume.items("projected.sources"));
    if sources.into_iter().any(|source| source.get("clusterTrustBundle").is_some()) {
        return refuse(format!("node {quoted} can not create pods that reference clustertrustbundles"));
    }
    Ok(())
}

fn check_owner(registry: &Registry, attributes: &Attributes, node: &str, owner: &Value) -> Result<(), Status> {
    let quoted = api::quote::quote(node);
    let refuse = |why: String| Err(attributes.forbidden(why));
    if (owner.text("apiVersion"), owner.text("kind"), owner.text("name")) != ("v1", "Node", node) {
        return refuse(format!("node {quoted} can only create pods with an owner reference set to itself"));
    }
    if !owner.truth("controller") {
        return refuse(format!("node {quoted} can only create pods with a controller owner reference set to itself"));
    }
    if owner.truth("blockOwnerDeletion") {
        return refuse(format!("node {quoted} must not set blockOwnerDeletion on an owner reference"));
    }
    let found = registry.cached("", "v1", "nodes").get("", node);
    let uid = found.ok_or_else(|| Status::not_found("", "nodes", node))?.meta.uid.clone();
    if owner.text("uid") == &*uid {
        return Ok(());
    }
    refuse(format!("node {node} UID mismatch: expected {} got {uid}", owner.text("uid")))
}
