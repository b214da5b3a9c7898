//! The `scale` subresource: any replicated kind seen as an `autoscaling/v1` Scale.

use api::custom::Scale;
use api::selector::LabelSelector;
use api::validation::field::{Error, ErrorList, Path};
use api::{Resource, Status};
use serde_json::{Value, json};

use crate::registry::error;
use crate::tree::Tree;

/// The scale of an object.
pub(super) fn of(resource: &Resource, object: &Value) -> Value {
    let paths = paths(resource);
    let mut metadata = json!({});
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        metadata.put_or_remove(field, object.at("metadata").and_then(|m| m.at(field)).cloned());
    }
    let mut scale = json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": {},
        "status": {"replicas": object.int(&paths.status_replicas).unwrap_or(0)},
    });
    if let Some(replicas) = object.int(&paths.spec_replicas).filter(|replicas| *replicas != 0) {
        scale.put("spec.replicas", replicas);
    }
    let selector = match resource.builtin {
        true => selector(object),
        false => object.text(&paths.selector).to_owned(),
    };
    if !selector.is_empty() {
        scale.put("status.selector", selector);
    }
    scale
}

pub(super) fn refuse_without_replicas(resource: &Resource, object: &Value) -> Result<(), Status> {
    let path = paths(resource).spec_replicas;
    if resource.custom.is_none() || object.at(&path).is_some() {
        return Ok(());
    }
    Err(Status::internal(format!("the spec replicas field \".{path}\" does not exist")))
}

/// Where replicas are: definitions of custom kinds say it.
fn paths(resource: &Resource) -> Scale {
    let custom = resource.custom.as_ref().and_then(|custom| custom.version().scale.clone());
    custom.unwrap_or_else(|| Scale {
        spec_replicas: "spec.replicas".into(),
        status_replicas: "status.replicas".into(),
        selector: "".into(),
    })
}

/// The selector in the form of a query. ReplicationControllers have a map of labels where the others have a selector.
fn selector(object: &Value) -> String {
    let selector = object.at("spec.selector");
    if object.text("kind") == "ReplicationController" {
        let labels = object.entries("spec.selector").map(|(k, v)| (k.as_str(), v.as_str().unwrap_or_default()));
        return LabelSelector::from_labels(labels).to_string();
    }
    // It was validated when it was written.
    LabelSelector::from_object(selector).map(|selector| selector.to_string()).unwrap_or_default()
}

/// The object with the replicas of the scale.
pub(super) fn apply(resource: &Resource, scale: &Value, old: &Value) -> Result<Value, Status> {
    let replicas = scale.int("spec.replicas").unwrap_or(0);
    if replicas < 0 {
        let mut errors = ErrorList::new();
        let why = "must be greater than or equal to 0";
        errors.push(Error::invalid(&Path::root("spec").child("replicas"), replicas, why));
        let name = old.text("metadata.name");
        return Err(Status::invalid("autoscaling", "Scale", name, error::causes(&errors)));
    }
    let mut merged = old.clone();
    merged.put(&paths(resource).spec_replicas, replicas);
    if let Some(version) = scale.at("metadata.resourceVersion") {
        merged.put("metadata.resourceVersion", version.clone());
    } else {
        merged.cut("metadata.resourceVersion");
    }
    if let Some(uid) = scale.at("metadata.uid").filter(|uid| *uid != &old["metadata"]["uid"]) {
        let (namespace, name) = (old.text("metadata.namespace"), old.text("metadata.name"));
        let uids = ("UID", uid.as_str().unwrap_or_default(), old.text("metadata.uid"));
        return Err(error::unmet(resource, namespace, name, uids));
    }
    Ok(merged)
}
