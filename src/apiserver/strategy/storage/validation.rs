//! What is asked of volumes and claims.

use api::quantity::Quantity;
use api::schema;
use api::validation::dns1123_subdomain;
use api::validation::field::{Error, ErrorList, Path};
use serde_json::{Value, json};

use crate::strategy::at::{At, Rule};
use crate::strategy::{pod_validation, resource_names as names, semantic, upstream_form};
use crate::tree::Tree;

const MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
const VOLUME_MODES: [&str; 2] = ["Block", "Filesystem"];

fn access_modes(spec: &At, required: &str, errors: &mut ErrorList) {
    let list = spec.get("accessModes");
    let modes = spec.items("accessModes");
    if modes.is_empty() {
        list.required(errors, required);
    }
    for mode in modes.iter().filter_map(Value::as_str).filter(|mode| !MODES.contains(mode)) {
        errors.push(Error::not_supported(&list.path(), mode, &MODES));
    }
    let (alone, shared): (Vec<_>, Vec<_>) =
        modes.iter().filter_map(Value::as_str).filter(|m| MODES.contains(m)).partition(|m| *m == "ReadWriteOncePod");
    if !alone.is_empty() && !shared.is_empty() {
        list.forbidden(errors, "may not use ReadWriteOncePod with other access modes");
    }
}

/// Complaints about the spec of a claim, or of a template for one.
pub(in crate::strategy) fn claim_spec(spec: &At, errors: &mut ErrorList) {
    access_modes(spec, "at least 1 access mode is required", errors);
    spec.check(&[("selector", Rule::Selector)], errors);
    let storage = spec.entry("resources", "storage");
    match spec.quantity("resources.requests.storage") {
        None => storage.required(errors, ""),
        Some(amount) if amount.signum() <= 0 => {
            storage.wrong(errors, amount.to_string(), "must be greater than zero");
        }
        Some(_) => {}
    }
    spec.check(
        &[("storageClassName", Rule::Name(dns1123_subdomain)), ("volumeMode", Rule::MaybeOneOf(&VOLUME_MODES))],
        errors,
    );
    let (source, reference) = (spec.get("dataSource"), spec.get("dataSourceRef"));
    for at in [&source, &reference] {
        if at.is_set() {
            data_source(at, errors);
        }
    }
    if source.is_set() && reference.is_set() {
        let same = ["apiGroup", "kind", "name"].iter().all(|field| source.text(field) == reference.text(field));
        let why = if !reference.text("namespace").is_empty() {
            Some("may not be specified when dataSourceRef.namespace is specified")
        } else {
            (!same).then_some("must match dataSourceRef")
        };
        if let Some(why) = why {
            // Upstream shows a place here, which has nothing to show.
            spec.wrong(errors, json!({}), why);
        }
    }
    spec.check(&[("volumeAttributesClassName", Rule::Name(dns1123_subdomain))], errors);
}

fn data_source(at: &At, errors: &mut ErrorList) {
    at.check(&[("name", Rule::Need), ("kind", Rule::Need)], errors);
    let (group, kind) = (at.get("apiGroup"), at.text("kind"));
    if group.is_empty() && kind != "PersistentVolumeClaim" {
        at.wrong(errors, kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup");
    }
    at.check(&[("apiGroup", Rule::Name(dns1123_subdomain))], errors);
    at.check(&[("namespace", Rule::Name(api::validation::dns1123_label))], errors);
}

/// Complaints about a claim.
pub(super) fn claim(object: &Value, errors: &mut ErrorList) {
    claim_spec(&At::root(object).get("spec"), errors);
}

/// Complaints about a change of a claim.
pub(super) fn claim_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    let root = At::root(new);
    // Whose data source had a group may have any: such groups were once not looked at.
    if ["spec.dataSource.apiGroup", "spec.dataSourceRef.apiGroup"].iter().any(|group| old.at(group).is_some()) {
        errors.retain(|error| !matches!(&*error.field, "spec.dataSource.apiGroup" | "spec.dataSourceRef.apiGroup"));
    }
    let spec = |claim: &Value| {
        let mut claim = claim.clone();
        super::name_both_sources(&mut claim);
        claim.cut("spec").unwrap_or_default()
    };
    let (mut now, mut before) = (spec(new), spec(old));
    // A claim learns its volume, and its class, once.
    if before.text("volumeName").is_empty() {
        before.put_or_remove("volumeName", now.at("volumeName").cloned());
    }
    learned_class(&mut now, new, old, errors);
    if new.text("status.phase") == "Bound" {
        if now.at("resources.requests").is_some() {
            now.put_or_remove("resources.requests.storage", before.at("resources.requests.storage").cloned());
        }
        now.put_or_remove("volumeAttributesClassName", before.at("volumeAttributesClassName").cloned());
    }
    if !semantic::same_as_written(schema::message("core/v1.PersistentVolumeClaimSpec"), &now, &before) {
        let why =
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        let difference = upstream_form::difference("PersistentVolumeClaimSpec", &before, &now);
        root.get("spec").forbidden(errors, format!("{why}{difference}"));
    }
    let amount = |claim: &Value, path: &str| claim.at(path).and_then(|amount| Quantity::from_json(amount).ok());
    let amount = |claim: &Value, path: &str| amount(claim, path).unwrap_or_else(Quantity::zero);
    let now = amount(new, "spec.resources.requests.storage");
    if now < amount(old, "spec.resources.requests.storage") && now <= amount(old, "status.capacity.storage") {
        let at = root.get("spec.resources.requests.storage");
        at.forbidden(errors, "field can not be less than status.capacity");
    }
    root.get("volumeMode").with(root.get("spec.volumeMode").value()).unchanged(old.at("spec.volumeMode"), errors);
    let class = root.get("spec.volumeAttributesClassName");
    let changed = old.at("spec.volumeAttributesClassName") != new.at("spec.volumeAttributesClassName");
    if changed && old.at("status.currentVolumeAttributesClassName").is_some() && class.is_empty() {
        let to = if class.is_set() { "empty string" } else { "nil" };
        let why = format!("update to {to} is forbidden when status.currentVolumeAttributesClassName is not nil");
        class.forbidden(errors, why);
    }
}

/// The annotation that said the class before there was a field.
const CLASS: &str = "volume.beta.kubernetes.io/storage-class";

/// Takes the class out of what is compared where the claim may learn it: from nothing, or from the annotation, which is
/// otherwise as fixed as the field.
fn learned_class(now: &mut Value, new: &Value, old: &Value, errors: &mut ErrorList) {
    fn annotated(claim: &Value) -> Option<&str> {
        claim.at("metadata.annotations")?.get(CLASS)?.as_str()
    }
    let class = new.at("spec.storageClassName").and_then(Value::as_str);
    let (before, after) = (annotated(old), annotated(new));
    let unsaid = old.at("spec.storageClassName").is_none();
    if unsaid && before.is_some() && class == before && (after.is_none() || after == before) {
        now.cut("storageClassName");
        return;
    }
    if before.unwrap_or_default() != after.unwrap_or_default() {
        let at = Path::root("metadata.annotations").child(CLASS);
        errors.push(Error::invalid(&at, after.unwrap_or_default(), "field is immutable"));
    }
    if unsaid && class.is_some() && (before.is_none() || class == before) {
        now.cut("storageClassName");
    }
}

/// Complaints about a claim's status.
pub(super) fn claim_status(new: &Value, _: &Value, errors: &mut ErrorList) {
    let root = At::root(new);
    if root.items("spec.accessModes").is_empty() {
        root.get("Spec.accessModes").required(errors, "");
    }
    for (_, at) in root.entries("status.capacity") {
        basic(&at, errors);
    }
    let states = [
        "ControllerResizeInProgress",
        "ControllerResizeInfeasible",
        "NodeResizeInProgress",
        "NodeResizeInfeasible",
        "NodeResizePending",
    ];
    let statuses = root.get("status.allocatedResourceStatuses");
    for (name, at) in root.entries("status.allocatedResourceStatuses") {
        resource_key(name, &statuses, errors);
        if !states.contains(&at.str()) {
            errors.push(Error::not_supported(&statuses.path(), name, &states));
        }
    }
    let allocated = root.get("status.allocatedResources");
    for (name, at) in root.entries("status.allocatedResources") {
        if resource_key(name, &allocated, errors) {
            let before = errors.len();
            basic(&at, errors);
            if let Some(amount) = Quantity::from_json(at.value()).ok().filter(|_| errors.len() == before) {
                names::amount("storage", &amount, &at, errors);
            }
        }
    }
}

fn basic(at: &At, errors: &mut ErrorList) {
    if let Some(amount) = Quantity::from_json(at.value()).ok().filter(|amount| amount.value() < 0) {
        at.wrong(errors, amount.value(), "must be a valid resource quantity");
    }
}

fn resource_key(name: &str, at: &At, errors: &mut ErrorList) -> bool {
    let complaints = api::validation::qualified_name(name);
    if !complaints.is_empty() {
        complaints.into_iter().for_each(|why| at.wrong(errors, name, why));
        return false;
    }
    if names::is_native(name) && name != "storage" {
        errors.push(Error::not_supported(&at.path(), name, &["storage"]));
        return false;
    }
    true
}

/// Complaints about a volume.
pub(super) fn volume(object: &Value, errors: &mut ErrorList) {
    let root = At::root(object);
    volume_spec(&root.get("spec"), false, errors);
    let (name, portal) =
        (root.text("metadata.name"), root.get("spec.iscsi.targetPortal").called("spec.iscsi.targetportal"));
    if root.has("spec.iscsi.initiatorName") && name.len() + 1 + portal.str().len() > 64 {
        let why = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.";
        portal.invalid(errors, why);
    }
}

/// Complaints about a volume's spec, of an object of its own or, `inline`, of a volume inside an attachment.
pub(super) fn volume_spec(spec: &At, inline: bool, errors: &mut ErrorList) {
    if inline {
        for field in ["claimRef", "capacity"] {
            if spec.get(field).is_set() {
                spec.get(field).forbidden(errors, "may not be specified in the context of inline volumes");
            }
        }
        if !spec.has("csi") {
            spec.get("csi").required(errors, "has to be specified in the context of inline volumes");
        }
    }
    access_modes(spec, "", errors);
    if !inline {
        capacity(spec, errors);
    }
    let policy = spec.get("persistentVolumeReclaimPolicy");
    if inline && !matches!(policy.str(), "" | "Retain") {
        policy.forbidden(errors, "may only be Retain in the context of inline volumes");
    } else if !inline && !policy.is_empty() && !matches!(policy.str(), "Delete" | "Recycle" | "Retain") {
        policy.unsupported(errors, &["Delete", "Recycle", "Retain"]);
    }
    let affinity = spec.get("nodeAffinity");
    let required = affinity.get("required");
    if affinity.is_set() && inline {
        affinity.forbidden(errors, "may not be specified in the context of inline volumes");
    } else if affinity.is_set() && required.is_set() {
        pod_validation::node_selector(&required, errors);
    } else if affinity.is_set() {
        required.required(errors, "must specify required node constraints");
    }
    sources(spec, inline, errors);
    let path = spec.text("hostPath.path");
    let is_root = path.starts_with('/') && path.split('/').all(|step| matches!(step, "" | "."));
    if spec.has("hostPath") && is_root && policy.str() == "Recycle" {
        policy.forbidden(errors, "may not be 'recycle' for a hostPath mount of '/'");
    }
    let class = spec.get("storageClassName");
    if inline && !class.is_empty() {
        class.forbidden(errors, "may not be specified in the context of inline volumes");
    } else {
        spec.check(&[("storageClassName", Rule::Name(dns1123_subdomain))], errors);
    }
    let mode = spec.get("volumeMode");
    if inline && mode.is_set() && mode.str() != "Filesystem" {
        let why = "may not specify volumeMode other than Filesystem in the context of inline volumes";
        mode.forbidden(errors, why);
    } else {
        spec.check(&[("volumeMode", Rule::MaybeOneOf(&VOLUME_MODES))], errors);
    }
    let class = spec.get("volumeAttributesClassName");
    if class.is_set() && !inline {
        match class.str() {
            "" => class.required(errors, "an empty string is disallowed"),
            name => class.complain(errors, dns1123_subdomain(name)),
        }
        if !spec.has("csi") {
            spec.get("csi").required(errors, "has to be specified when using volumeAttributesClassName");
        }
    }
}

fn capacity(spec: &At, errors: &mut ErrorList) {
    let capacity = spec.get("capacity");
    if capacity.is_empty() {
        capacity.required(errors, "");
    }
    let count = capacity.value().as_object().map_or(0, serde_json::Map::len);
    if !capacity.has("storage") || count > 1 {
        errors.push(Error::not_supported(&capacity.path(), upstream_form::sorted(capacity.value()), &["storage"]));
    }
    for (_, at) in spec.entries("capacity") {
        basic(&at, errors);
        if let Some(amount) = Quantity::from_json(at.value()).ok().filter(|amount| amount.signum() <= 0) {
            at.wrong(errors, amount.to_string(), "must be greater than zero");
        }
    }
}

fn sources(spec: &At, inline: bool, errors: &mut ErrorList) {
    let mut found = false;
    for field in pod_validation::OF_VOLUMES {
        let at = spec.get(field);
        if !at.is_set() {
            continue;
        }
        if found && field != "flexVolume" {
            let at = if field == "cephfs" { at.called("cephFS") } else { at };
            at.forbidden(errors, "may not specify more than 1 volume type");
            continue;
        }
        found = true;
        pod_validation::validate_source(spec, field, true, errors);
        // Affinity of a volume that stands in another object is refused, and does not count.
        if field == "local" && (inline || !spec.has("nodeAffinity")) {
            spec.get("nodeAffinity").required(errors, "Local volume requires node affinity");
        }
    }
    if !found {
        spec.required(errors, "must specify a volume type");
    }
}

/// Labels of nodes that got another name when they left beta.
const RENAMED: [(&str, &str); 5] = [
    ("beta.kubernetes.io/arch", "kubernetes.io/arch"),
    ("beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type"),
    ("beta.kubernetes.io/os", "kubernetes.io/os"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
];

/// What an affinity would be if it used the new names of labels where `now` uses them.
fn renamed(before: &Value, now: &Value) -> Value {
    let mut affinity = before.clone();
    for (at, term) in affinity.items_mut("required.nodeSelectorTerms").iter_mut().enumerate() {
        for (place, expression) in term.items_mut("matchExpressions").iter_mut().enumerate() {
            let key = now.items("required.nodeSelectorTerms").get(at);
            let key = key.and_then(|term| term.items("matchExpressions").get(place)).map_or("", |e| e.text("key"));
            // Upstream finds the name of a label that has no new one to be empty.
            let kept = key.is_empty() && RENAMED.iter().all(|(old, _)| *old != expression.text("key"));
            if kept || RENAMED.contains(&(expression.text("key"), key)) {
                expression.put_or_remove("key", (!key.is_empty()).then(|| key.into()));
            }
        }
    }
    affinity
}

/// Complaints about a change of a volume.
pub(super) fn volume_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    let root = At::root(new);
    let source = |volume: &Value, learned: bool| {
        let spec = volume.at("spec").cloned().unwrap_or_default();
        let mut sources = serde_json::Map::new();
        for field in pod_validation::OF_VOLUMES {
            let Some(mut value) = spec.at(field).cloned() else { continue };
            if field == "csi" && learned {
                value.cut("controllerExpandSecretRef");
            }
            sources.insert(field.to_owned(), value);
        }
        Value::Object(sources)
    };
    // The secret for growing the volume can be given later, once.
    let learned = old.at("spec.csi").is_some_and(|csi| csi.at("controllerExpandSecretRef").is_none());
    let (now, before) = (source(new, learned), source(old, learned));
    if !semantic::same_as_written(schema::message("core/v1.PersistentVolumeSpec"), &now, &before) {
        let difference = upstream_form::difference("PersistentVolumeSource", &before, &now);
        let why = format!("spec.persistentvolumesource is immutable after creation{difference}");
        root.get("spec.persistentvolumesource").forbidden(errors, why);
    }
    root.get("volumeMode").with(root.get("spec.volumeMode").value()).unchanged(old.at("spec.volumeMode"), errors);
    let before = old.at("spec.nodeAffinity").map(|before| renamed(before, root.get("spec.nodeAffinity").value()));
    if before.is_some_and(|before| Some(&before) != new.at("spec.nodeAffinity")) {
        let affinity = root.get("spec.nodeAffinity");
        let value = if affinity.is_set() { affinity.as_upstream("VolumeNodeAffinity") } else { Value::Null };
        let why = "field is immutable, except for updating from beta label to GA";
        root.get("nodeAffinity").wrong(errors, value, why);
    }
    let class = root.get("spec.volumeAttributesClassName");
    if old.at("spec.volumeAttributesClassName").is_some() && !class.is_set() {
        class.forbidden(errors, "update from non-nil value to nil is forbidden");
    }
}
