//! NodeRestriction: a node agent writes about itself and its pods, and about nothing else.

mod pods;
mod tokens;

use std::sync::Arc;

use api::certificate_request::CertificateRequest;
use api::{Status, user};
use base64::Engine;
use serde_json::Value;

use super::{Attributes, Plugin, Step, Verb};
use crate::Registry;
use crate::tree::Tree;

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
    let admit = Step::Later(Arc::new(|registry, attributes| Box::pin(admit(registry, attributes))));
    Plugin::validating("NodeRestriction", admit)
}

async fn admit(registry: &Registry, attributes: &mut Attributes) -> Result<(), Status> {
    let user = attributes.user.clone();
    let Some(node) = user.name.strip_prefix("system:node:").filter(|_| user.in_group(user::NODES)) else {
        return Ok(());
    };
    match (&*attributes.resource.group, &*attributes.resource.plural) {
        ("", "pods") => pods::admit(registry, attributes, node),
        ("", "nodes") => admit_node(attributes, node),
        ("", "persistentvolumeclaims") => admit_claim(attributes, node),
        ("", "serviceaccounts") => tokens::admit(registry, attributes, node).await,
        ("coordination.k8s.io", "leases") => {
            if attributes.namespace != "kube-node-lease" {
                let quoted = api::quote::quote("kube-node-lease");
                return Err(attributes.forbidden(format!("can only access leases in the {quoted} system namespace")));
            }
            own(attributes, node, "can only access node lease with the same name as the requesting node")
        }
        ("storage.k8s.io", "csinodes") => {
            own(attributes, node, "can only access CSINode with the same name as the requesting node")
        }
        ("resource.k8s.io", "resourceslices") => admit_slice(attributes, node),
        ("certificates.k8s.io", "certificatesigningrequests") => admit_request(attributes, node),
        _ => Ok(()),
    }
}

/// The name of what is written, which stands in the object alone when that is new.
fn name(attributes: &Attributes) -> &str {
    match attributes.verb {
        Verb::Create if attributes.name.is_empty() => attributes.object.text("metadata.name"),
        _ => &attributes.name,
    }
}

fn own(attributes: &Attributes, node: &str, why: &str) -> Result<(), Status> {
    if name(attributes) == node { Ok(()) } else { Err(attributes.forbidden(why)) }
}

fn admit_node(attributes: &Attributes, node: &str) -> Result<(), Status> {
    let quoted = api::quote::quote(node);
    let name = name(attributes);
    if name != node {
        let other = api::quote::quote(name);
        return Err(attributes.forbidden(format!("node {quoted} is not allowed to modify node {other}")));
    }
    if !matches!(attributes.verb, Verb::Create | Verb::Update) {
        return Ok(());
    }
    let (new, old) = (&attributes.object, &attributes.old);
    let source = new.at("spec.configSource");
    if attributes.verb == Verb::Create && source.is_some() {
        let why = format!("node {quoted} is not allowed to create pods with a non-nil configSource");
        return Err(attributes.forbidden(why));
    }
    if source.is_some() && source != old.at("spec.configSource") {
        let why = format!("node {quoted} is not allowed to update configSource to a new non-nil configSource");
        return Err(attributes.forbidden(why));
    }
    if attributes.verb == Verb::Update && new.at("spec.taints") != old.at("spec.taints") {
        return Err(attributes.forbidden(format!("node {quoted} is not allowed to modify taints")));
    }
    if attributes.verb == Verb::Update && new.items("metadata.ownerReferences") != old.items("metadata.ownerReferences")
    {
        return Err(attributes.forbidden(format!("node {quoted} is not allowed to modify ownerReferences")));
    }
    let refused = refused_labels(new, old);
    if refused.is_empty() {
        return Ok(());
    }
    let refused = refused.join(", ");
    Err(attributes.forbidden(match attributes.verb {
        Verb::Create => format!("node {quoted} is not allowed to set the following labels: {refused}"),
        _ => format!("is not allowed to modify labels: {refused}"),
    }))
}

/// The labels that differ and that an agent may not touch, in order.
fn refused_labels<'a>(new: &'a Value, old: &'a Value) -> Vec<&'a str> {
    let labels = |object: &'a Value| object.at("metadata.labels").and_then(Value::as_object);
    let value = |object: &'a Value, key: &str| labels(object).and_then(|labels| labels.get(key));
    let keys = [new, old].into_iter().filter_map(labels).flat_map(|labels| labels.keys());
    let mut refused: Vec<&str> =
        keys.map(String::as_str).filter(|key| value(new, key) != value(old, key) && !may_set(key)).collect();
    refused.sort_unstable();
    refused.dedup();
    refused
}

/// Whether an agent may set a label on its node.
fn may_set(key: &str) -> bool {
    let domain = key.split_once('/').map_or("", |(domain, _)| domain);
    let below = |parent: &str| domain == parent || domain.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'));
    if below(RESTRICTED) {
        return false;
    }
    if !below("kubernetes.io") && !below("k8s.io") {
        return true;
    }
    OWN_LABELS.contains(&key) || below("kubelet.kubernetes.io") || below("node.kubernetes.io")
}

/// Of a claim an agent tells how far its resizing has come.
fn admit_claim(attributes: &Attributes, node: &str) -> Result<(), Status> {
    if attributes.subresource != "status" {
        return Err(attributes.forbidden("may only update PVC status"));
    }
    let rest = |claim: &Value| {
        let mut rest = claim.clone();
        for told in ["capacity", "conditions", "allocatedResources", "allocatedResourceStatuses"] {
            rest.cut(&format!("status.{told}"));
        }
        rest.cut("metadata.resourceVersion");
        rest.cut("metadata.managedFields");
        if rest.at("status").and_then(Value::as_object).is_some_and(serde_json::Map::is_empty) {
            rest.cut("status");
        }
        rest
    };
    if rest(&attributes.object) == rest(&attributes.old) {
        return Ok(());
    }
    let quoted = api::quote::quote(node);
    let why = format!("node {quoted} is not allowed to update fields other than status.quantity and status.conditions");
    Err(attributes.forbidden(why))
}

fn admit_slice(attributes: &Attributes, node: &str) -> Result<(), Status> {
    let (slice, verb) = match attributes.verb {
        Verb::Create => (&attributes.object, "create"),
        Verb::Delete => (&attributes.old, "delete"),
        _ => return Ok(()),
    };
    if slice.text("spec.nodeName") == node {
        return Ok(());
    }
    Err(attributes.forbidden(format!("can only {verb} ResourceSlice with the same NodeName as the requesting node")))
}

/// An agent asks for certificates in its own name.
fn admit_request(attributes: &Attributes, node: &str) -> Result<(), Status> {
    let signer = attributes.object.text("spec.signerName");
    let for_agents = ["kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet"];
    if attributes.verb != Verb::Create || !for_agents.contains(&signer) {
        return Ok(());
    }
    let pem = base64::engine::general_purpose::STANDARD.decode(attributes.object.text("spec.request"));
    let request = CertificateRequest::parse(&pem.unwrap_or_default())
        .map_err(|why| attributes.forbidden(format!("unable to parse csr: {why}")))?;
    if request.common_name.strip_prefix("system:node:") == Some(node) {
        return Ok(());
    }
    Err(attributes.forbidden(format!("can only create a node CSR with CN=system:node:{node}")))
}

#[cfg(test)]
mod tests {
    use api::{Operation, User, WriteOptions};
    use serde_json::json;

    use super::*;

    #[test]
    fn an_agent_changes_neither_taints_nor_owners_of_its_node() {
        let row = api::resource::find("", "v1", "nodes").unwrap().clone();
        let request = api::Request {
            user: Arc::new(User::new("system:node:n", [user::NODES])),
            resource: row,
            namespace: String::new(),
            name: "n".into(),
            subresource: String::new(),
            operation: Operation::Get { resource_version: None },
        };
        for (change, expect) in [
            (json!({"spec": {"unschedulable": true}}), None),
            (json!({"metadata": {"ownerReferences": []}}), None),
            (json!({"spec": {"taints": [{"key": "a"}]}}), Some("taints")),
            (json!({"metadata": {"ownerReferences": [{"name": "x"}]}}), Some("ownerReferences")),
        ] {
            let options = super::super::Options::Update(WriteOptions::default());
            let mut write = Attributes::new(&request, Verb::Update, options);
            (write.object, write.old) = (change, json!({}));
            let refused = admit_node(&write, "n").err().map(|status| status.message);
            let why = |what| format!("nodes \"n\" is forbidden: node \"n\" is not allowed to modify {what}");
            assert_eq!(refused, expect.map(why));
        }
    }
}
