//! What is asked of the kinds that keep pods running, and of their statuses.

use std::collections::HashSet;

use api::selector::LabelSelector;
use api::validation::dns1123_label;
use api::validation::field::{Error, ErrorList};
use api::validation::{percent, validate_label_selector};
use serde_json::{Value, json};

use crate::strategy::at::{At, Rule};
use crate::strategy::{pod_validation, storage, upstream_form};
use crate::tree::Tree;

pub(super) fn deployment(object: &Value, errors: &mut ErrorList) {
    let root = At::root(object);
    let spec = root.get("spec");
    spec.get("replicas").not_negative(errors);
    if selector(&spec, "deployment", errors) {
        matching_template(&spec, "ReplicaSet", errors);
    }
    let strategy = spec.get("strategy");
    let rolling = strategy.get("rollingUpdate");
    match strategy.text("type") {
        "Recreate" if rolling.is_set() => {
            rolling.forbidden(errors, "may not be specified when strategy `type` is 'Recreate'");
        }
        "Recreate" => {}
        "RollingUpdate" if !rolling.is_set() => {
            rolling.required(errors, "this should be defaulted and never be nil");
        }
        "RollingUpdate" => {
            let (unavailable, surge) = (rolling.get("maxUnavailable"), rolling.get("maxSurge"));
            int_or_percent(&unavailable, errors);
            int_or_percent(&surge, errors);
            if amount(&unavailable) == 0 && amount(&surge) == 0 {
                let value = if unavailable.is_set() { unavailable.value().clone() } else { 0.into() };
                unavailable.wrong(errors, value, "may not be 0 when `maxSurge` is 0");
            }
            at_most_all(&unavailable, errors);
        }
        _ => unknown_strategy(&strategy, &["Recreate", "RollingUpdate"], errors),
    }
    spec.check(&[("minReadySeconds", Rule::NotNegative), ("revisionHistoryLimit", Rule::NotNegative)], errors);
    let deadline = spec.get("progressDeadlineSeconds");
    deadline.not_negative(errors);
    let ready = spec.int("minReadySeconds").unwrap_or(0);
    if deadline.value().as_i64().is_some_and(|deadline| deadline <= ready) {
        deadline.invalid(errors, "must be greater than minReadySeconds");
    }
}

/// A strategy is shown as upstream shows it, by the names its fields have in Go.
fn unknown_strategy(strategy: &At, known: &[&str], errors: &mut ErrorList) {
    let kind = if known.contains(&"Recreate") { "DeploymentStrategy" } else { "DaemonSetUpdateStrategy" };
    errors.push(Error::not_supported(&strategy.path(), strategy.as_upstream(kind), known));
}

pub(super) fn replica_set(object: &Value, errors: &mut ErrorList) {
    let root = At::root(object);
    let spec = root.get("spec");
    spec.check(&[("replicas", Rule::NotNegative), ("minReadySeconds", Rule::NotNegative)], errors);
    // Upstream says deployment here, too.
    if selector(&spec, "deployment", errors) {
        matching_template(&spec, "ReplicaSet", errors);
    }
}

pub(super) fn replication_controller(object: &Value, errors: &mut ErrorList) {
    let root = At::root(object);
    let spec = root.get("spec");
    spec.get("minReadySeconds").not_negative(errors);
    let selector = spec.get("selector");
    if selector.is_empty() {
        selector.required(errors, "");
    }
    match spec.int("replicas") {
        None => spec.get("replicas").required(errors, ""),
        Some(_) => spec.get("replicas").not_negative(errors),
    }
    let template = spec.get("template");
    if !template.is_set() {
        template.required(errors, "");
        return;
    }
    let labels = selector.value().as_object().into_iter().flatten();
    let pairs = labels.map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default()));
    match_labels(&LabelSelector::from_labels(pairs), &template, errors);
    pod_validation::validate_template(&template, errors);
    always_restarts(&template, "ReplicationController", errors);
}

pub(super) fn daemon_set(object: &Value, errors: &mut ErrorList) {
    let root = At::root(object);
    let spec = root.get("spec");
    let (of, template) = (spec.get("selector"), spec.get("template"));
    if of.is_set() {
        errors.extend(validate_label_selector(of.value(), &of.path()));
    }
    selected(&spec, &template, errors);
    if of.is_set() && is_everything(&of) {
        of.invalid(errors, "empty selector is invalid for daemonset");
    }
    pod_validation::validate_template(&template, errors);
    always_restarts(&template, "DaemonSet", errors);
    spec.get("minReadySeconds").not_negative(errors);
    let strategy = spec.get("updateStrategy");
    let rolling = strategy.get("rollingUpdate");
    match strategy.text("type") {
        "OnDelete" => {}
        "RollingUpdate" if !rolling.is_set() => rolling.required(errors, ""),
        "RollingUpdate" => {
            let (unavailable, surge) = (rolling.get("maxUnavailable"), rolling.get("maxSurge"));
            int_or_percent(&unavailable, errors);
            int_or_percent(&surge, errors);
            at_most_all(&unavailable, errors);
            at_most_all(&surge, errors);
            match (amount(&unavailable) != 0, amount(&surge) != 0) {
                (true, true) => surge.invalid(errors, "may not be set when maxUnavailable is non-zero"),
                (false, false) => unavailable.required(errors, "cannot be 0 when maxSurge is 0"),
                _ => {}
            }
        }
        _ => unknown_strategy(&strategy, &["RollingUpdate", "OnDelete"], errors),
    }
    spec.get("revisionHistoryLimit").not_negative(errors);
}

pub(super) fn stateful_set(object: &Value, errors: &mut ErrorList) {
    let root = At::root(object);
    let spec = root.get("spec");
    let policy = spec.get("podManagementPolicy");
    match policy.str() {
        "" => policy.required(errors, ""),
        "OrderedReady" | "Parallel" => {}
        _ => policy.invalid(errors, "must be 'OrderedReady' or 'Parallel'"),
    }
    let strategy = spec.get("updateStrategy");
    let rolling = strategy.get("rollingUpdate");
    match strategy.text("type") {
        "" => strategy.required(errors, ""),
        "OnDelete" if rolling.is_set() => {
            let shown = rolling.as_upstream("RollingUpdateStatefulSetStrategy");
            rolling.wrong(errors, shown, "only allowed for updateStrategy 'RollingUpdate'");
        }
        "OnDelete" => {}
        "RollingUpdate" => {
            rolling.get("partition").not_negative(errors);
            let unavailable = rolling.get("maxUnavailable");
            if unavailable.is_set() {
                int_or_percent(&unavailable, errors);
                if amount(&unavailable) == 0 {
                    unavailable.invalid(errors, "cannot be 0");
                }
                at_most_all(&unavailable, errors);
            }
        }
        _ => {
            let shown = strategy.as_upstream("StatefulSetUpdateStrategy");
            strategy.wrong(errors, shown, "must be 'RollingUpdate' or 'OnDelete'");
        }
    }
    let retention = spec.get("persistentVolumeClaimRetentionPolicy");
    for field in ["whenDeleted", "whenScaled"] {
        if retention.is_set() && !matches!(retention.text(field), "Retain" | "Delete") {
            retention.get(field).unsupported(errors, &["Retain", "Delete"]);
        }
    }
    spec.check(
        &[
            ("replicas", Rule::NotNegative),
            ("minReadySeconds", Rule::NotNegative),
            ("ordinals.start", Rule::NotNegative),
        ],
        errors,
    );
    if selector(&spec, "statefulset", errors) {
        stateful_template(&spec, errors);
    }
    always_restarts(&spec.get("template"), "StatefulSet", errors);
}

/// Complaints about a stateful set that is new; those there already keep what they have.
pub(super) fn new_stateful_set(object: &Value, errors: &mut ErrorList) {
    let root = At::root(object);
    root.check(&[("spec.serviceName", Rule::Name(dns1123_label))], errors);
    for claim in root.each("spec.volumeClaimTemplates") {
        storage::validate_claim_spec(&claim.get("spec"), errors);
    }
}

/// The template as its pods will be: names are given to them, and claims become volumes.
fn stateful_template(spec: &At, errors: &mut ErrorList) {
    let template = spec.get("template");
    selected(spec, &template, errors);
    let mut whole = template.value().clone();
    for field in ["spec.subdomain", "spec.hostname"] {
        whole.cut(field);
    }
    let mut claims = HashSet::new();
    let names = spec.items("volumeClaimTemplates").iter().map(|claim| claim.text("metadata.name"));
    let mut volumes: Vec<Value> = names
        .filter(|name| claims.insert(*name))
        .map(|name| json!({"name": name, "persistentVolumeClaim": {"claimName": name}}))
        .collect();
    volumes.extend(template.items("spec.volumes").iter().filter(|v| !claims.contains(&v.text("name"))).cloned());
    if !volumes.is_empty() {
        whole.put("spec.volumes", volumes);
    }
    pod_validation::validate_template(&template.with(&whole), errors);
}

/// The selector has to be there, well formed, and to select something less than all. Says whether it is there.
fn selector(spec: &At, kind: &str, errors: &mut ErrorList) -> bool {
    let selector = spec.get("selector");
    if !selector.is_set() {
        selector.required(errors, "");
        return true;
    }
    errors.extend(validate_label_selector(selector.value(), &selector.path()));
    if is_everything(&selector) {
        selector.invalid(errors, format!("empty selector is invalid for {kind}"));
    }
    match LabelSelector::from_object(Some(selector.value())) {
        Ok(_) => true,
        Err(_) => {
            // Upstream gives no reason here.
            let why = if kind == "statefulset" { "" } else { "invalid label selector" };
            selector.wrong(errors, selector.as_upstream("LabelSelector"), why);
            false
        }
    }
}

fn is_everything(selector: &At) -> bool {
    selector.get("matchLabels").is_empty() && selector.get("matchExpressions").is_empty()
}

/// The template of pods that the selector finds.
fn matching_template(spec: &At, kind: &str, errors: &mut ErrorList) {
    let template = spec.get("template");
    selected(spec, &template, errors);
    pod_validation::validate_template(&template, errors);
    always_restarts(&template, kind, errors);
}

/// The selector finds the template's pods; one that is not there finds none.
fn selected(spec: &At, template: &At, errors: &mut ErrorList) {
    let of = spec.get("selector");
    match LabelSelector::from_object(Some(of.value())) {
        Ok(selector) if of.is_set() => match_labels(&selector, template, errors),
        Ok(_) => mismatch(template, errors),
        Err(_) => {}
    }
}

/// A selector that selects anything at all selects the template's pods.
pub(in crate::strategy) fn match_labels(selector: &LabelSelector, template: &At, errors: &mut ErrorList) {
    let none = serde_json::Map::new();
    let labels = template.get("metadata.labels");
    if !selector.is_everything() && !selector.matches(labels.value().as_object().unwrap_or(&none)) {
        mismatch(template, errors);
    }
}

fn mismatch(template: &At, errors: &mut ErrorList) {
    let labels = template.get("metadata.labels");
    labels.wrong(errors, upstream_form::sorted(labels.value()), "`selector` does not match template `labels`");
}

fn always_restarts(template: &At, kind: &str, errors: &mut ErrorList) {
    let policy = template.get("spec.restartPolicy");
    if policy.str() != "Always" {
        policy.unsupported(errors, &["Always"]);
    }
    let deadline = template.get("spec.activeDeadlineSeconds");
    if deadline.is_set() {
        deadline.forbidden(errors, format!("activeDeadlineSeconds in {kind} is not Supported"));
    }
}

/// A number of pods, or a part of them.
pub(in crate::strategy) fn int_or_percent(at: &At, errors: &mut ErrorList) {
    match at.value() {
        Value::String(text) => at.complain(errors, percent(text)),
        _ => at.not_negative(errors),
    }
}

/// A part of the pods is no more than all of them.
pub(in crate::strategy) fn at_most_all(at: &At, errors: &mut ErrorList) {
    if at.value().as_str().and_then(part).is_some_and(|part| part > 100) {
        at.invalid(errors, "must not be greater than 100%");
    }
}

fn part(text: &str) -> Option<u64> {
    text.strip_suffix('%')?.parse().ok()
}

fn amount(at: &At) -> i64 {
    match at.value() {
        Value::String(text) => part(text).map_or(0, |part| i64::try_from(part).unwrap_or(i64::MAX)),
        number => number.as_i64().unwrap_or(0),
    }
}

/// What is asked of a status: numbers that are zero or more, and numbers that are no more than another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counts {
    numbers: &'static [&'static str],
    /// What may not exceed what, and what is said about it.
    bounds: &'static [(&'static str, &'static str, &'static str)],
}

const OF_ALL: &str = "cannot be greater than status.replicas";
const OF_READY: &str = "cannot be greater than readyReplicas";

pub(super) const DEPLOYMENT: Counts = Counts {
    numbers: &[
        "observedGeneration",
        "replicas",
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
        "unavailableReplicas",
        "terminatingReplicas",
        "collisionCount",
    ],
    bounds: &[
        ("updatedReplicas", "replicas", OF_ALL),
        ("readyReplicas", "replicas", OF_ALL),
        ("availableReplicas", "replicas", OF_ALL),
        ("availableReplicas", "readyReplicas", OF_READY),
    ],
};

pub(super) const REPLICA_SET: Counts = Counts {
    numbers: &[
        "replicas",
        "fullyLabeledReplicas",
        "readyReplicas",
        "availableReplicas",
        "observedGeneration",
        "terminatingReplicas",
    ],
    bounds: &[
        ("fullyLabeledReplicas", "replicas", OF_ALL),
        ("readyReplicas", "replicas", OF_ALL),
        ("availableReplicas", "replicas", OF_ALL),
        ("availableReplicas", "readyReplicas", OF_READY),
    ],
};

pub(super) const DAEMON_SET: Counts = Counts {
    numbers: &[
        "currentNumberScheduled",
        "numberMisscheduled",
        "desiredNumberScheduled",
        "numberReady",
        "observedGeneration",
        "updatedNumberScheduled",
        "numberAvailable",
        "numberUnavailable",
        "collisionCount",
    ],
    bounds: &[],
};

pub(super) const STATEFUL_SET: Counts = Counts {
    numbers: &[
        "replicas",
        "readyReplicas",
        "currentReplicas",
        "updatedReplicas",
        "availableReplicas",
        "observedGeneration",
        "collisionCount",
    ],
    bounds: &[
        ("readyReplicas", "replicas", OF_ALL),
        ("currentReplicas", "replicas", OF_ALL),
        ("updatedReplicas", "replicas", OF_ALL),
        ("availableReplicas", "replicas", OF_ALL),
        ("availableReplicas", "readyReplicas", "cannot be greater than status.readyReplicas"),
    ],
};

/// Complaints about a status. How often names collided is only ever counted up.
pub(super) fn status(counts: &Counts, new: &Value, old: &Value, errors: &mut ErrorList) {
    let root = At::root(new);
    let status = root.get("status");
    let number = |field: &str| status.int(field).unwrap_or(0);
    counts.numbers.iter().for_each(|field| status.get(field).not_negative(errors));
    for (field, bound, why) in counts.bounds {
        if number(field) > number(bound) {
            status.get(field).wrong(errors, number(field), *why);
        }
    }
    let (now, before) = (status.int("collisionCount"), old.int("status.collisionCount"));
    if counts.numbers.contains(&"collisionCount") && before.is_some_and(|before| now.is_none_or(|now| now < before)) {
        status.get("collisionCount").wrong(errors, now.unwrap_or(0), "cannot be decremented");
    }
}
