//! What may change in a pod that exists.

use std::collections::{HashMap, HashSet};

use api::schema;
use api::validation::field::{Error, ErrorList, Path};
use api::validation::in_range;
use serde_json::{Value, json};

use super::annotations;
use crate::strategy::at::At;
use crate::strategy::{semantic, upstream_form};
use crate::tree::Tree;

/// How upstream writes the place of what is wrong with all of a pod.
pub(super) const NOWHERE: &str = "[]";

/// Complaints about a change of a pod's spec by a main write.
pub(in crate::strategy) fn validate_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    let (root, before) = (At::root(new), At::root(old));
    annotations::validate_update(&root.get("metadata"), &before.get("metadata"), errors);
    let spec = root.get("spec");
    for list in ["containers", "initContainers"] {
        if spec.items(list).len() != before.get("spec").items(list).len() {
            spec.get(list).forbidden(errors, "pod updates may not add or remove containers");
            return;
        }
    }
    if !deadline(&spec, old.int("spec.activeDeadlineSeconds"), errors) {
        return;
    }
    tolerations(&spec, old, errors);
    gates(&spec, old, errors);
    let fixed = fixed_spec(new, old, &spec, errors);
    let before = old.at("spec").unwrap_or(&Value::Null);
    if !semantic::same_as_written(schema::message("core/v1.PodSpec"), &fixed, before) {
        let why = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,\
                   `spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),\
                   `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
        spec.forbidden(errors, format!("{why}{}", upstream_form::difference("PodSpec", before, &fixed)));
    }
}

/// The new spec with the old values of all that may change.
fn fixed_spec(new: &Value, old: &Value, spec: &At, errors: &mut ErrorList) -> Value {
    let mut fixed = spec.value().clone();
    for list in ["containers", "initContainers"] {
        let before = old.at("spec").map_or(&[] as &[Value], |spec| spec.items(list));
        for (container, before) in fixed.items_mut(list).iter_mut().zip(before) {
            container.put_or_remove("image", before.at("image").cloned());
        }
    }
    for field in ["activeDeadlineSeconds", "tolerations", "schedulingGates"] {
        fixed.put_or_remove(field, old.at("spec").and_then(|spec| spec.at(field)).cloned());
    }
    let was_negative = old.int("spec.terminationGracePeriodSeconds").filter(|seconds| *seconds < 0);
    if let Some(seconds) = was_negative.filter(|_| new.int("spec.terminationGracePeriodSeconds") == Some(1)) {
        fixed.put("terminationGracePeriodSeconds", seconds);
    }
    // As long as nobody may place the pod, what narrows its places down may be added to.
    if !old.items("spec.schedulingGates").is_empty() {
        node_selector(spec, old, errors);
        node_affinity(spec, old, errors);
        fixed.put_or_remove("nodeSelector", old.at("spec.nodeSelector").cloned());
        fixed.put_or_remove("affinity.nodeAffinity", old.at("spec.affinity.nodeAffinity").cloned());
        if old.at("spec.affinity").is_none() && fixed.at("affinity").is_some_and(|a| *a == json!({})) {
            fixed.cut("affinity");
        }
    }
    fixed
}

/// Says whether the other checks make sense.
fn deadline(spec: &At, old: Option<i64>, errors: &mut ErrorList) -> bool {
    let at = spec.get("activeDeadlineSeconds");
    match (at.value().as_i64(), old) {
        (Some(now), _) if !(0..=i64::from(i32::MAX)).contains(&now) => {
            in_range(now, 0, i64::from(i32::MAX)).into_iter().for_each(|why| at.wrong(errors, now, why));
            false
        }
        (Some(now), Some(old)) if now > old => {
            at.wrong(errors, now, "must be less than or equal to previous value");
            false
        }
        (None, Some(_)) => {
            at.wrong(errors, Value::Null, "must not update from a positive integer to nil value");
            true
        }
        _ => true,
    }
}

/// Tolerations may be added, and the seconds of those there may change.
fn tolerations(spec: &At, old: &Value, errors: &mut ErrorList) {
    let without_seconds = |toleration: &Value| {
        let mut toleration = toleration.clone();
        toleration.cut("tolerationSeconds");
        toleration
    };
    let kept: HashSet<Value> = spec.items("tolerations").iter().map(without_seconds).collect();
    if !old.items("spec.tolerations").iter().all(|toleration| kept.contains(&without_seconds(toleration))) {
        let why = "existing toleration can not be modified except its tolerationSeconds";
        spec.get("tolerations").forbidden(errors, why);
    }
}

fn gates(spec: &At, old: &Value, errors: &mut ErrorList) {
    let had: HashSet<&str> = old.items("spec.schedulingGates").iter().map(|gate| gate.text("name")).collect();
    let gates = spec.items("schedulingGates");
    // One that is said twice is complained of where it is said last.
    let last: HashMap<&str, usize> = gates.iter().enumerate().map(|(at, gate)| (gate.text("name"), at)).collect();
    let is_new = |at: usize, name: &str| !had.contains(name) && last.get(name) == Some(&at);
    for (_, gate) in spec.each("schedulingGates").enumerate().filter(|(at, gate)| is_new(*at, gate.text("name"))) {
        let why = format!("only deletion is allowed, but found new scheduling gate '{}'", gate.text("name"));
        gate.get("name").forbidden(errors, why);
    }
}

fn node_selector(spec: &At, old: &Value, errors: &mut ErrorList) {
    let selector = spec.get("nodeSelector");
    if old.entries("spec.nodeSelector").any(|(key, value)| selector.value().get(key) != Some(value)) {
        let value = if selector.is_set() { selector.value().clone() } else { json!({}) };
        selector.wrong(errors, value, "only additions to spec.nodeSelector are allowed (no mutations or deletions)");
    }
}

fn node_affinity(spec: &At, old: &Value, errors: &mut ErrorList) {
    let terms = "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
    let before = old.at("spec").map_or(&[] as &[Value], |spec| spec.items(terms));
    let now = spec.items(terms);
    if before.is_empty() {
        return;
    }
    if now.len() != before.len() {
        let why = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        spec.get(terms).wrong(errors, Value::Array(now.to_vec()), why);
        return;
    }
    for (term, before) in spec.each(terms).zip(before) {
        let lists = ["matchExpressions", "matchFields"];
        let grew = lists.iter().all(|list| term.items(list).starts_with(before.items(list)));
        let was_empty = lists.iter().all(|list| before.items(list).is_empty());
        let is_empty = lists.iter().all(|list| term.items(list).is_empty());
        if !grew || was_empty && !is_empty {
            term.invalid(errors, "only additions are allowed (no mutations or deletions)");
        }
    }
}

/// Complaints about a write of a pod's ephemeral containers: they are added, and that is all.
pub(crate) fn validate_ephemeral(new: &Value, old: &Value, errors: &mut ErrorList) {
    let (root, before) = (At::root(new), At::root(old));
    if annotations::is_mirror(&before.get("metadata")) {
        errors.clear();
        errors.push(Error::forbidden(&Path::root(NOWHERE), "static pods do not support ephemeral containers"));
        return;
    }
    let list = root.get("spec.ephemeralContainers");
    for container in old.items("spec.ephemeralContainers") {
        let name = container.text("name");
        let quoted = api::quote::quote(name);
        match new.items("spec.ephemeralContainers").iter().find(|now| now.text("name") == name) {
            None => {
                let why = format!("existing ephemeral containers {quoted} may not be removed\n");
                errors.push(Error::forbidden(&list.path(), why));
            }
            Some(now) if now != container => {
                let difference = upstream_form::difference("EphemeralContainer", container, now);
                let why = format!("existing ephemeral containers {quoted} may not be changed{difference}");
                errors.push(Error::forbidden(&list.path(), why));
            }
            Some(_) => {}
        }
    }
}
