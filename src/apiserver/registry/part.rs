//! Which part of an object a write may touch: the object itself, or what one of its subresources stands for.

mod scale;
mod status;

use api::validation::field::ErrorList;
use api::{Resource, Status};
use serde_json::Value;

use crate::strategy;
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

    /// The version of bodies as they say it.
    pub(crate) fn api_version(self, resource: &Resource) -> String {
        match self {
            Self::Scale => "autoscaling/v1".into(),
            _ => resource.api_version(),
        }
    }

    /// What a client sees of the object through this part.
    pub(crate) fn show(self, resource: &Resource, object: Value) -> Value {
        match self {
            Self::Scale => scale::of(resource, &object),
            _ => object,
        }
    }

    /// 500 for an object of a custom kind that has no scale to show: it says nothing of replicas.
    pub(crate) fn refuse_unscalable(self, resource: &Resource, object: &Value) -> Result<(), Status> {
        if self == Self::Scale { scale::refuse_without_replicas(resource, object) } else { Ok(()) }
    }

    /// The object after a client wrote `new` through this part; `old` is the object as it is.
    pub(crate) fn merge(self, resource: &Resource, new: Value, old: &Value) -> Result<Value, Status> {
        match self {
            Self::Main => Ok(main(resource, new, old)),
            Self::Status => Ok(status::merge(resource, new, old)),
            Self::Scale => scale::apply(resource, &new, old),
            Self::Finalize => Ok(finalize(new, old)),
            Self::Approval => Ok(approval(new, old)),
            Self::EphemeralContainers => Ok(ephemeral_containers(new, old)),
            Self::Resize => Ok(resize(new, old)),
        }
    }
}

impl Part {
    /// Complaints about a change through this part, beside those about the object.
    pub(crate) fn validate(self, new: &Value, old: &Value, errors: &mut ErrorList) {
        match self {
            Self::Finalize => strategy::validate_finalize(new, errors),
            Self::EphemeralContainers => strategy::validate_ephemeral(new, old, errors),
            Self::Resize => strategy::validate_resize(new, old, errors),
            Self::Approval | Self::Status if new.text("kind") == "CertificateSigningRequest" => {
                strategy::certificates::validate_status(new, old, errors);
                if self == Self::Status {
                    strategy::certificates::validate_signing(new, old, errors);
                }
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

fn finalize(mut new: Value, old: &Value) -> Value {
    new.put_or_remove("status", old.at("status").cloned());
    new
}

/// Approvers write conditions and metadata, and nothing else.
fn approval(mut new: Value, old: &Value) -> Value {
    let mut merged = old.clone();
    if let Some(metadata) = new.cut("metadata") {
        merged.put("metadata", metadata);
    }
    let written = new.items("status.conditions").to_vec();
    put_conditions(&mut merged, written, old);
    merged
}

/// Conditions with their times filled in: one that stays as it was keeps the time of its last transition.
fn put_conditions(merged: &mut Value, mut written: Vec<Value>, old: &Value) {
    let now = api::time::format(jiff::Timestamp::now());
    for condition in &mut written {
        let same = |c: &&Value| ["type", "status"].iter().all(|field| c.text(field) == condition.text(field));
        let before = old.items("status.conditions").iter().find(same);
        let since = before.map_or("", |before| before.text("lastTransitionTime"));
        let since = if since.is_empty() { now.clone() } else { since.to_owned() };
        condition.default_to("lastTransitionTime", since);
        condition.default_to("lastUpdateTime", now.as_str());
    }
    merged.put_or_remove("status.conditions", (!written.is_empty()).then_some(Value::Array(written)));
}

/// What of the metadata a client writes along with the containers of a pod: the rest stays, or is refused.
const BESIDE_CONTAINERS: [&str; 5] =
    ["resourceVersion", "uid", "creationTimestamp", "generateName", "deletionGracePeriodSeconds"];

/// The old pod with what may be written of the new one's metadata.
fn beside_containers(new: &Value, old: &Value) -> Value {
    let mut merged = old.clone();
    for field in BESIDE_CONTAINERS {
        let said = new.at("metadata").and_then(|metadata| metadata.get(field)).cloned();
        merged.put_or_remove(&format!("metadata.{field}"), said);
    }
    merged
}

fn ephemeral_containers(mut new: Value, old: &Value) -> Value {
    let mut merged = beside_containers(&new, old);
    merged.put_or_remove("spec.ephemeralContainers", new.cut("spec.ephemeralContainers"));
    merged
}

/// The resources of the containers. Whoever writes other containers than there are means something that the validation
/// refuses, and so it sees all of what was written.
fn resize(new: Value, old: &Value) -> Value {
    const LISTS: [&str; 2] = ["spec.containers", "spec.initContainers"];
    if LISTS.iter().any(|list| new.items(list).len() != old.items(list).len()) {
        return new;
    }
    let mut merged = beside_containers(&new, old);
    for list in LISTS {
        let named = new.items(list).iter().zip(old.items(list)).all(|(new, old)| new.text("name") == old.text("name"));
        if !named {
            merged.put(list, Value::Array(new.items(list).to_vec()));
            continue;
        }
        for (container, asked) in merged.items_mut(list).iter_mut().zip(new.items(list)) {
            for field in ["resources", "resizePolicy"] {
                container.put_or_remove(field, asked.at(field).cloned());
            }
        }
    }
    merged
}
