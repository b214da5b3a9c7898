//! What is asked of the kinds of `storage.k8s.io`.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use api::validation::field::{Error, ErrorList};
use api::validation::{dns1123_subdomain, qualified_name};
use serde_json::Value;

use super::validation;
use crate::strategy::at::{At, Rule};
use crate::strategy::upstream_form;
use crate::strategy::workloads::immutable_of;
use crate::strategy::{pod_validation, semantic};
use crate::tree::Tree;

/// Most parameters of a class, and most bytes in them; also most bytes of an attachment's metadata.
const PARAMETERS: usize = 512;
const PARAMETER_BYTES: usize = 256 << 10;

pub(super) fn storage_class(object: &Value, errors: &mut ErrorList) {
    let root = At::root(object);
    provisioner(&root.get("provisioner"), errors);
    parameters(&root.get("parameters"), true, errors);
    let policy = root.get("reclaimPolicy");
    if !policy.is_empty() && !matches!(policy.str(), "Delete" | "Retain") {
        policy.unsupported(errors, &["Delete", "Retain"]);
    }
    let mode = root.get("volumeBindingMode");
    if !mode.is_set() {
        mode.required(errors, "");
    } else if !matches!(mode.str(), "Immediate" | "WaitForFirstConsumer") {
        mode.unsupported(errors, &["Immediate", "WaitForFirstConsumer"]);
    }
    topologies(&root, errors);
}

fn topologies(root: &At, errors: &mut ErrorList) {
    let mut seen = Vec::new();
    for term in root.each("allowedTopologies") {
        let mut keys = HashSet::new();
        let mut means: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for expression in term.each("matchLabelExpressions") {
            expression.check(&[("values", Rule::Need)], errors);
            let values = expression.items("values");
            let mut seen = HashSet::new();
            for value in expression.each("values") {
                if !seen.insert(value.value()) {
                    value.duplicate(errors);
                }
            }
            let key = expression.get("key");
            key.complain(errors, qualified_name(key.str()));
            if !keys.insert(key.str()) {
                key.duplicate(errors);
            }
            means.insert(key.str(), values.iter().filter_map(Value::as_str).collect());
        }
        let expressions = term.get("matchLabelExpressions");
        // Upstream finds a term that says nothing twice, even alone.
        if expressions.is_empty() || seen.contains(&means) {
            errors.push(Error::duplicate(&expressions.path(), ""));
        }
        seen.push(means);
    }
}

fn provisioner(at: &At, errors: &mut ErrorList) {
    match at.str() {
        "" => at.required(errors, ""),
        name => {
            let name = name.to_lowercase();
            qualified_name(&name).into_iter().for_each(|why| at.wrong(errors, name.as_str(), why));
        }
    }
}

fn parameters(at: &At, may_be_empty: bool, errors: &mut ErrorList) {
    let map = at.value().as_object();
    if map.is_some_and(|map| map.len() > PARAMETERS) {
        at.too_long(errors, PARAMETERS);
        return;
    }
    let mut size = 0;
    for (key, value) in map.into_iter().flatten() {
        if key.is_empty() {
            at.wrong(errors, "", "field can not be empty.");
        }
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > PARAMETER_BYTES {
        at.too_long(errors, PARAMETER_BYTES);
    }
    if !may_be_empty && at.is_empty() {
        at.required(errors, "must contain at least one key/value pair");
    }
}

pub(super) fn storage_class_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    let root = At::root(new);
    for field in ["parameters", "provisioner", "reclaimPolicy"] {
        if new.at(field) != old.at(field) {
            root.get(field).forbidden(errors, format!("updates to {field} are forbidden."));
        }
    }
    root.get("volumeBindingMode").unchanged(old.at("volumeBindingMode"), errors);
}

pub(super) fn attributes_class(object: &Value, errors: &mut ErrorList) {
    let root = At::root(object);
    provisioner(&root.get("driverName"), errors);
    parameters(&root.get("parameters"), false, errors);
}

pub(super) fn attributes_class_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    let root = At::root(new);
    for field in ["driverName", "parameters"] {
        if new.at(field) != old.at(field) {
            root.get(field).forbidden(errors, format!("updates to {field} are forbidden."));
        }
    }
}

pub(super) fn attachment(object: &Value, errors: &mut ErrorList) {
    let root = At::root(object);
    let spec = root.get("spec");
    spec.check(&[("attacher", Rule::Need)], errors);
    let source = spec.get("source");
    let (inline, name) = (source.get("inlineVolumeSpec"), source.get("persistentVolumeName"));
    let why = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    match (inline.is_set(), name.is_set()) {
        (false, false) => source.required(errors, why),
        (true, true) => source.forbidden(errors, why),
        (false, true) if name.is_empty() => name.required(errors, "must specify non empty persistentVolumeName"),
        (false, true) => {}
        (true, false) => validation::volume_spec(&inline, true, errors),
    }
    let node = spec.get("nodeName");
    node.complain(errors, dns1123_subdomain(node.str()));
    attachment_status(object, object, errors);
}

/// What v1 asks of a new attachment beyond the versions before it.
pub(super) fn new_attachment(object: &Value, errors: &mut ErrorList) {
    let root = At::root(object);
    let attacher = root.get("spec.attacher");
    if !attacher.is_empty() {
        pod_validation::csi_driver(&attacher, errors);
    }
    let name = root.get("spec.source.persistentVolumeName");
    if name.is_set() {
        name.complain(errors, dns1123_subdomain(name.str()));
    }
}

pub(super) fn attachment_status(new: &Value, _: &Value, errors: &mut ErrorList) {
    let root = At::root(new);
    let status = root.get("status");
    let size: usize = status.entries("attachmentMetadata").map(|(key, value)| key.len() + value.str().len()).sum();
    if size > PARAMETER_BYTES {
        status.get("attachmentMetadata").too_long(errors, PARAMETER_BYTES);
    }
    for error in ["attachError", "detachError"] {
        let error = status.get(error);
        if error.text("message").len() > 1024 {
            error.get("message").too_long(errors, PARAMETER_BYTES);
        }
        let code = error.get("errorCode");
        if code.value().as_i64().is_some_and(|code| code < 0) {
            code.number(|code| api::validation::in_range(code, 0, i64::from(i32::MAX)), errors);
        }
    }
}

pub(super) fn node(object: &Value, errors: &mut ErrorList) {
    let root = At::root(object);
    let mut names = HashSet::new();
    for driver in root.each("spec.drivers") {
        let (name, id) = (driver.get("name"), driver.get("nodeID"));
        pod_validation::csi_driver(&name, errors);
        if id.is_empty() {
            id.required(errors, "");
        }
        if id.str().len() > 256 {
            id.invalid(errors, "must be 256 characters or less");
        }
        driver.get("allocatable.count").not_negative(errors);
        if !names.insert(name.str()) {
            name.duplicate(errors);
        }
        let keys = driver.items("topologyKeys");
        let mut seen = HashSet::new();
        for key in keys {
            let text = key.as_str().unwrap_or_default();
            if text.is_empty() {
                driver.required(errors, "");
            }
            if !seen.insert(key) {
                errors.push(Error::duplicate(&driver.path(), text));
            }
            qualified_name(text).into_iter().for_each(|why| driver.wrong(errors, text, why));
        }
    }
}

/// What a driver says of a node stays, but for how many volumes fit.
pub(super) fn node_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    let root = At::root(new);
    let list = root.get("spec.drivers");
    let fixed = |driver: &Value| {
        let mut driver = driver.clone();
        driver.cut("allocatable");
        driver
    };
    for before in old.items("spec.drivers") {
        for driver in new.items("spec.drivers").iter().filter(|driver| driver["name"] == before["name"]) {
            if !semantic::same(&fixed(driver), &fixed(before)) {
                errors.push(Error::immutable(&list.path(), upstream_form::of("CSINodeDriver", &fixed(driver))));
            }
        }
    }
}

pub(super) fn driver(object: &Value, errors: &mut ErrorList) {
    let root = At::root(object);
    let spec = root.get("spec");
    for (field, name) in [
        ("attachRequired", "attachedRequired"),
        ("podInfoOnMount", "podInfoOnMount"),
        ("storageCapacity", "storageCapacity"),
    ] {
        if !spec.has(field) {
            spec.get(name).required(errors, "");
        }
    }
    spec.check(&[("fsGroupPolicy", Rule::MaybeOneOf(&["File", "None", "ReadWriteOnceWithFSType"]))], errors);
    token_requests(&spec, errors);
    let modes = spec.get("volumeLifecycleModes");
    for mode in spec.items("volumeLifecycleModes").iter().filter_map(Value::as_str) {
        if !matches!(mode, "Persistent" | "Ephemeral") {
            errors.push(Error::not_supported(&modes.path(), mode, &["Persistent", "Ephemeral"]));
        }
    }
    let period = spec.get("nodeAllocatableUpdatePeriodSeconds");
    if period.value().as_i64().is_some_and(|seconds| seconds < 10) {
        period.invalid(errors, "must be greater than or equal to 10 seconds");
    }
    let secrets = spec.get("serviceAccountTokenInSecrets");
    if secrets.is_set() && spec.items("tokenRequests").is_empty() {
        secrets.invalid(errors, "serviceAccountTokenInSecrets is set but no tokenRequests are specified");
    }
}

fn token_requests(spec: &At, errors: &mut ErrorList) {
    let mut audiences = HashSet::new();
    for request in spec.each("tokenRequests") {
        let audience = request.text("audience");
        if !audiences.insert(audience) {
            errors.push(Error::duplicate(&request.get("audience").path(), audience));
            continue;
        }
        let seconds = request.get("expirationSeconds");
        match seconds.value().as_i64() {
            Some(short) if short < 600 => {
                seconds.invalid(errors, "may not specify a duration less than 10 minutes");
            }
            Some(long) if long > 1 << 32 => {
                seconds.invalid(errors, "may not specify a duration larger than 2^32 seconds");
            }
            _ => {}
        }
    }
}

pub(super) fn driver_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    let root = At::root(new);
    let required = root.get("spec.attachedRequired").with(root.get("spec.attachRequired").value());
    required.unchanged(old.at("spec.attachRequired"), errors);
    root.get("spec.volumeLifecycleModes").unchanged(old.at("spec.volumeLifecycleModes"), errors);
}

pub(super) fn capacity(object: &Value, errors: &mut ErrorList) {
    let root = At::root(object);
    root.check(&[("nodeTopology", Rule::Selector)], errors);
    let class = root.get("storageClassName");
    class.complain(errors, dns1123_subdomain(class.str()));
    let amount = root.quantity("capacity");
    if let Some(amount) = amount.filter(|amount| amount.signum() < 0) {
        root.get("capacity").wrong(errors, amount.to_string(), crate::strategy::at::NEGATIVE);
    }
}

pub(super) fn capacity_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    let root = At::root(new);
    immutable_of("LabelSelector", new, old, "nodeTopology", errors);
    root.get("storageClassName").unchanged(old.at("storageClassName"), errors);
}
