//! What a write of the status changes: the status and, of built-in kinds, some of the metadata.

use api::Resource;
use serde_json::Value;

use super::put_conditions;
use crate::strategy::{self, TEMPLATE_GENERATION};
use crate::tree::Tree;

/// The metadata that `ResetObjectMetaForStatus` keeps upstream.
const RESET: &[&str] = &["deletionTimestamp", "generation", "labels", "annotations", "finalizers", "ownerReferences"];

/// The metadata that a write of the status leaves as it is: group, plural, fields. Other built-in kinds take all of it.
const KEPT: &[(&str, &str, &[&str])] = &[
    ("", "pods", &["deletionTimestamp", "ownerReferences"]),
    ("admissionregistration.k8s.io", "validatingadmissionpolicies", RESET),
    ("apiregistration.k8s.io", "apiservices", &["labels", "annotations", "finalizers", "ownerReferences"]),
    ("apps", "deployments", &["labels"]),
    ("networking.k8s.io", "servicecidrs", RESET),
    ("resource.k8s.io", "resourceclaims", RESET),
    ("storage.k8s.io", "volumeattachments", RESET),
];

/// The object after a client wrote `new` as its status.
pub(super) fn merge(resource: &Resource, mut new: Value, old: &Value) -> Value {
    let mut merged = old.clone();
    // Of flow control's kinds only who owns what is taken, which is kept apart.
    if !resource.builtin || &*resource.group == "flowcontrol.apiserver.k8s.io" {
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
    let kept = KEPT.iter().find(|(group, plural, _)| **group == *resource.group && **plural == *resource.plural);
    for field in kept.map_or(&[][..], |(_, _, fields)| fields) {
        let before = old.at("metadata").and_then(|metadata| metadata.get(field)).cloned();
        merged.put_or_remove(&format!("metadata.{field}"), before);
    }
    match (&*resource.group, &*resource.plural) {
        ("", "pods") => pod(&mut merged, old),
        ("apps", "daemonsets") => {
            // An annotation that stands for a field of the spec.
            let annotations = old.at("metadata.annotations");
            if let Some(generation) = annotations.and_then(|annotations| annotations.get(TEMPLATE_GENERATION)) {
                merged.map_mut("metadata.annotations").insert(TEMPLATE_GENERATION.into(), generation.clone());
            }
        }
        ("", "persistentvolumes") => volume(&mut merged, old),
        ("certificates.k8s.io", "certificatesigningrequests") => signing_request(&mut merged, old),
        ("resource.k8s.io", "resourceclaims") => {
            // Shares of devices are a feature that is off, and no part of what tells them apart.
            strategy::off::take_out(&mut merged, Some(old), strategy::of(resource).off);
            claim(&mut merged, old);
        }
        _ => {}
    }
    merged
}

/// Agents may leave out how well the pod is served, which is said when it is made, and which generation was observed.
fn pod(merged: &mut Value, old: &Value) {
    if merged.text("status.qosClass").is_empty() {
        merged.put_or_remove("status.qosClass", old.at("status.qosClass").cloned());
    }
    let unsaid = |status: &Value| matches!(status.int("observedGeneration"), None | Some(0));
    if merged.at("status").is_none_or(unsaid) {
        merged.put_or_remove("status.observedGeneration", old.at("status.observedGeneration").cloned());
    }
    // There may be several conditions of a type: the first takes over from the first.
    let mut before: Vec<&Value> = old.items("status.conditions").iter().collect();
    for condition in merged.items_mut("status.conditions") {
        let Some(at) = before.iter().position(|other| other.text("type") == condition.text("type")) else { continue };
        let other = before.remove(at);
        if unsaid(condition) {
            condition.put_or_remove("observedGeneration", other.at("observedGeneration").cloned());
        }
    }
}

/// A volume remembers since when it is in its phase.
fn volume(merged: &mut Value, old: &Value) {
    const SINCE: &str = "status.lastPhaseTransitionTime";
    let same = merged.text("status.phase") == old.text("status.phase");
    let said = merged.at(SINCE).is_some();
    if same && !said {
        merged.put_or_remove(SINCE, old.at(SINCE).cloned());
    } else if !same && (!said || merged.at(SINCE) == old.at(SINCE)) {
        merged.put(SINCE, api::time::format(jiff::Timestamp::now()));
    }
}

/// Signers leave approvals as they are; one that comes or goes is for the validation to complain of.
fn signing_request(merged: &mut Value, old: &Value) {
    let mut conditions = merged.items("status.conditions").to_vec();
    for kind in ["Approved", "Denied"] {
        let of_kind = |condition: &&Value| condition.text("type") == kind;
        let before: Vec<&Value> = old.items("status.conditions").iter().filter(of_kind).collect();
        if conditions.iter().filter(of_kind).count() == before.len() {
            let now = conditions.iter_mut().filter(|condition| condition.text("type") == kind);
            now.zip(before).for_each(|(now, before)| *now = before.clone());
        }
    }
    put_conditions(merged, conditions, old);
}

/// What was said about a device goes with its allocation.
fn claim(merged: &mut Value, old: &Value) {
    fn id(device: &Value) -> [&str; 4] {
        ["driver", "pool", "device", "shareID"].map(|field| device.text(field))
    }
    const RESULTS: &str = "status.allocation.devices.results";
    let now: Vec<[String; 4]> = merged.items(RESULTS).iter().map(|r| id(r).map(str::to_owned)).collect();
    let gone = |device: &Value| {
        let device = id(device);
        old.items(RESULTS).iter().any(|result| id(result) == device) && !now.iter().any(|result| *result == device)
    };
    let devices = merged.items("status.devices");
    let left: Vec<Value> = devices.iter().filter(|device| !gone(device)).cloned().collect();
    if left.len() != devices.len() {
        merged.put_or_remove("status.devices", (!left.is_empty()).then_some(Value::Array(left)));
    }
}
