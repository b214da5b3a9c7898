//! Which part of an object a write may touch: the object itself, or what one of its subresources stands for.

mod scale;

use api::validation::field::{Error, ErrorList, Path};
use api::{Resource, Status};
use serde_json::Value;

use crate::tree::Tree;

/// A writable part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Everything but the status (where the kind has that subresource).
    Main,
    /// The status, and metadata.
    Status,
    /// The number of replicas, seen as a `Scale`.
    Scale,
    /// A namespace's `spec.finalizers`.
    Finalize,
    /// The approving and denying conditions of a CertificateSigningRequest.
    Approval,
    /// A pod's ephemeral containers.
    EphemeralContainers,
    /// The resources of a pod's containers.
    Resize,
}

impl Part {
    /// The part a subresource stands for; `None` where it stands for none, or the row has no such subresource.
    pub(crate) fn of(resource: &Resource, subresource: &str) -> Option<Self> {
        if subresource.is_empty() {
            return Some(Self::Main);
        }
        if !resource.has_subresource(subresource) {
            return None;
        }
        match subresource {
            "status" => Some(Self::Status),
            "scale" => Some(Self::Scale),
            "finalize" => Some(Self::Finalize),
            "approval" => Some(Self::Approval),
            "ephemeralcontainers" => Some(Self::EphemeralContainers),
            "resize" => Some(Self::Resize),
            _ => None,
        }
    }

    /// The group, version and kind of bodies: the row's own, except for scales.
    pub(crate) fn kind(self, resource: &Resource) -> (&str, &str, &str) {
        match self {
            Self::Scale => ("autoscaling", "v1", "Scale"),
            _ => (&resource.group, &resource.version, &resource.kind),
        }
    }

    /// What a client sees of the object through this part.
    pub(crate) fn show(self, resource: &Resource, object: Value) -> Value {
        match self {
            Self::Scale => scale::of(resource, &object),
            _ => object,
        }
    }

    /// The object after a client wrote `new` through this part; `old` is the object as it is.
    pub(crate) fn merge(self, resource: &Resource, new: Value, old: &Value) -> Result<Value, Status> {
        match self {
            Self::Main => Ok(main(resource, new, old)),
            Self::Status => Ok(status(resource, new, old)),
            Self::Scale => scale::apply(resource, &new, old),
            Self::Finalize => Ok(finalize(new, old)),
            Self::Approval => Ok(approval(&new, old)),
            Self::EphemeralContainers => Ok(ephemeral_containers(new, old)),
            Self::Resize => Ok(resize(&new, old)),
        }
    }
}

impl Part {
    /// Complaints about a change through this part, beside those about the object.
    pub(crate) fn validate(self, new: &Value, old: &Value, errors: &mut ErrorList) {
        match self {
            Self::EphemeralContainers => {
                let path = Path::root("spec").child("ephemeralContainers");
                for before in old.items("spec.ephemeralContainers") {
                    let name = before.text("name");
                    let quoted = api::quote::quote(name);
                    match new.items("spec.ephemeralContainers").iter().find(|now| now.text("name") == name) {
                        None => {
                            let why = format!("existing ephemeral containers {quoted} may not be removed\n");
                            errors.push(Error::forbidden(&path, why));
                        }
                        Some(now) if now != before => {
                            let why = format!("existing ephemeral containers {quoted} may not be changed\n");
                            errors.push(Error::forbidden(&path, why));
                        }
                        Some(_) => {}
                    }
                }
            }
            Self::Resize if crate::strategy::pod_quality(new) != old.text("status.qosClass") => {
                let why = "Pod QOS Class may not change as a result of resizing";
                errors.push(Error::invalid(&Path::root("spec"), crate::strategy::pod_quality(new), why));
            }
            _ => {}
        }
    }
}

/// Main writes never alter the status.
fn main(resource: &Resource, mut new: Value, old: &Value) -> Value {
    if resource.has_subresource("status") {
        new.put_or_remove("status", old.at("status").cloned());
    }
    new
}

/// Status writes alter nothing but status and, of built-in kinds, metadata.
fn status(resource: &Resource, mut new: Value, old: &Value) -> Value {
    let mut merged = old.clone();
    if !resource.builtin {
        merged.put_or_remove("status", new.cut("status"));
        merged.put_or_remove("metadata.resourceVersion", new.at("metadata.resourceVersion").cloned());
        merged.put_or_remove("metadata.uid", new.at("metadata.uid").cloned());
        return merged;
    }
    let map = merged.map_mut("");
    for part in ["metadata", "status"] {
        match new.cut(part) {
            Some(value) => drop(map.insert(part.to_owned(), value)),
            None => drop(map.shift_remove(part)),
        }
    }
    // Who owns an object is no part of its state.
    merged.put_or_remove("metadata.ownerReferences", old.at("metadata.ownerReferences").cloned());
    if old.text("kind") == "CertificateSigningRequest" {
        // Signers may not approve.
        let kept =
            conditions(old, is_approval).chain(conditions(&merged, |kind| !is_approval(kind))).collect::<Vec<_>>();
        merged.put_or_remove("status.conditions", (!kept.is_empty()).then_some(Value::Array(kept)));
    }
    merged
}

fn finalize(mut new: Value, old: &Value) -> Value {
    new.put_or_remove("status", old.at("status").cloned());
    new
}

fn is_approval(kind: &str) -> bool {
    matches!(kind, "Approved" | "Denied")
}

fn conditions(object: &Value, wanted: fn(&str) -> bool) -> impl Iterator<Item = Value> + use<'_> {
    object.items("status.conditions").iter().filter(move |condition| wanted(condition.text("type"))).cloned()
}

/// Approvers may do nothing but approve or deny.
fn approval(new: &Value, old: &Value) -> Value {
    let mut merged = old.clone();
    if let Some(version) = new.at("metadata.resourceVersion") {
        merged.put("metadata.resourceVersion", version.clone());
    }
    let now = api::time::format(jiff::Timestamp::now());
    let mut kept: Vec<Value> = conditions(old, |kind| !is_approval(kind)).collect();
    kept.extend(conditions(new, is_approval).map(|mut condition| {
        let before = old.items("status.conditions").iter().find(|c| c.text("type") == condition.text("type"));
        match before {
            Some(before) => condition.put_or_remove("lastTransitionTime", before.at("lastTransitionTime").cloned()),
            None => condition.default_to("lastTransitionTime", now.as_str()),
        }
        condition.default_to("lastUpdateTime", now.as_str());
        condition
    }));
    merged.put_or_remove("status.conditions", (!kept.is_empty()).then_some(Value::Array(kept)));
    merged
}

fn ephemeral_containers(mut new: Value, old: &Value) -> Value {
    let mut merged = old.clone();
    if let Some(version) = new.at("metadata.resourceVersion") {
        merged.put("metadata.resourceVersion", version.clone());
    }
    merged.put_or_remove("spec.ephemeralContainers", new.cut("spec.ephemeralContainers"));
    merged
}

/// Containers are matched by name; those that are not there stay away.
fn resize(new: &Value, old: &Value) -> Value {
    let mut merged = old.clone();
    if let Some(version) = new.at("metadata.resourceVersion") {
        merged.put("metadata.resourceVersion", version.clone());
    }
    for list in ["spec.containers", "spec.initContainers"] {
        for container in merged.items_mut(list) {
            let asked = new.items(list).iter().find(|c| c.text("name") == container.text("name"));
            if let Some(asked) = asked {
                container.put_or_remove("resources", asked.at("resources").cloned());
                container.put_or_remove("resizePolicy", asked.at("resizePolicy").cloned());
            }
        }
    }
    merged
}
