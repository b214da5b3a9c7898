//! What may change in a pod that exists.

use api::validation::field::{Error, ErrorList, Path};
use serde_json::Value;

use crate::tree::Tree;

/// Complaints about a change of a pod's spec by a main write.
pub(in crate::strategy) fn validate_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    let spec = Path::root("spec");
    for list in ["containers", "initContainers"] {
        let path = format!("spec.{list}");
        if new.items(&path).len() != old.items(&path).len() {
            errors.push(Error::forbidden(&spec.child(list), "pod updates may not add or remove containers"));
            return;
        }
        for (at, container) in new.items(&path).iter().enumerate() {
            if container.text("image").is_empty() {
                errors.push(Error::required(&spec.child(list).index(at).child("image"), ""));
            }
        }
    }
    let gates = old.items("spec.schedulingGates");
    for gate in new.items("spec.schedulingGates").iter().filter(|gate| !gates.contains(gate)) {
        let why = format!("only deletion is allowed, but found new scheduling gate '{}'", gate.text("name"));
        errors.push(Error::forbidden(&spec.child("schedulingGates"), why));
    }
    deadline(new, old, &spec.child("activeDeadlineSeconds"), errors);
    tolerations(new, old, &spec.child("tolerations"), errors);
    if mutable_aside(new) != mutable_aside(old) {
        errors.push(Error::forbidden(
            &spec,
            "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,\
             `spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),\
             `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
        ));
    }
}

/// The spec without what may change.
fn mutable_aside(pod: &Value) -> Value {
    let mut spec = pod.at("spec").cloned().unwrap_or_default();
    for list in ["containers", "initContainers"] {
        for container in spec.items_mut(list) {
            container.cut("image");
        }
    }
    for field in ["activeDeadlineSeconds", "tolerations"] {
        spec.cut(field);
    }
    if spec.int("terminationGracePeriodSeconds").is_some_and(|seconds| seconds < 0) {
        spec.put("terminationGracePeriodSeconds", 1);
    }
    spec.cut("schedulingGates");
    spec
}

fn deadline(new: &Value, old: &Value, path: &Path, errors: &mut ErrorList) {
    let of = |pod: &Value| pod.int("spec.activeDeadlineSeconds");
    match (of(new), of(old)) {
        (Some(new), Some(old)) if new > old => {
            errors.push(Error::invalid(path, new, "must be less than or equal to previous value"));
        }
        (None, Some(_)) => {
            errors.push(Error::invalid(path, Value::Null, "must not update from a positive integer to nil value"))
        }
        _ => {}
    }
}

/// Tolerations may be added, and the seconds of those there may change.
fn tolerations(new: &Value, old: &Value, path: &Path, errors: &mut ErrorList) {
    let without_seconds = |toleration: &Value| {
        let mut toleration = toleration.clone();
        toleration.cut("tolerationSeconds");
        toleration
    };
    let kept: Vec<Value> = new.items("spec.tolerations").iter().map(without_seconds).collect();
    if !old.items("spec.tolerations").iter().all(|toleration| kept.contains(&without_seconds(toleration))) {
        errors.push(Error::forbidden(path, "existing toleration can not be modified except its tolerationSeconds"));
    }
}
