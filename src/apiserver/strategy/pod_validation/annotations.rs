//! Annotations that mean something for a pod.

use api::validation::field::ErrorList;
use serde_json::{Value, json};

use super::each_container;
use crate::strategy::at::At;

const MIRROR: &str = "kubernetes.io/config.mirror";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

/// Complaints about annotations. Messages begin with `owner`'s place; the annotations are in `metadata`.
pub(super) fn validate(owner: &At, metadata: &At, spec: &At, errors: &mut ErrorList) {
    let place = owner.with(metadata.value());
    for (key, value) in place.entries("annotations") {
        let text = value.str();
        if key == MIRROR && spec.text("nodeName").is_empty() {
            value.invalid(errors, "must set spec.nodeName if mirror pod annotation is set");
        }
        if key == DELETION_COST && !is_cost(text) {
            value.invalid(errors, "must be a 32bit integer");
        }
        if key == SECCOMP_POD || key.starts_with(SECCOMP_CONTAINER) {
            let place = place.get("annotations");
            seccomp(&place.get(key).with(value.value()), text, errors);
        }
        if let Some(container) = key.strip_prefix(APP_ARMOR) {
            let mut known = false;
            each_container(spec, |other| known |= other.text("name") == container);
            if !known {
                value.wrong(errors, container, "container not found");
            }
            if !matches!(text, "" | "runtime/default" | "unconfined") && !text.starts_with("localhost/") {
                value.invalid(errors, format!("invalid AppArmor profile name: {}", api::quote::quote(text)));
            }
        }
    }
}

/// A number of 32 bits, written in one way.
fn is_cost(text: &str) -> bool {
    let canonical =
        text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    canonical && text.parse::<i32>().is_ok()
}

/// The AppArmor profile an annotation names, as the field says it; `None` if it names none that could stand there.
pub(in crate::strategy) fn app_armor_of(annotation: &str) -> Option<Value> {
    const LONGEST: usize = 4095;
    match annotation.strip_prefix("localhost/") {
        Some(local) if !local.is_empty() && local.trim() == local && local.len() <= LONGEST => {
            Some(json!({"type": "Localhost", "localhostProfile": local}))
        }
        Some(_) => None,
        None if annotation == "unconfined" => Some(json!({"type": "Unconfined"})),
        None => (annotation == "runtime/default").then(|| json!({"type": "RuntimeDefault"})),
    }
}

fn seccomp(at: &At, profile: &str, errors: &mut ErrorList) {
    match profile.strip_prefix("localhost/") {
        Some(local) => {
            if local.starts_with('/') {
                at.wrong(errors, local, "must be a relative path");
            }
            if local.split('/').any(|step| step == "..") {
                at.wrong(errors, local, "must not contain '..'");
            }
        }
        None if matches!(profile, "runtime/default" | "docker/default" | "unconfined") => {}
        None => at.invalid(errors, "must be a valid seccomp profile"),
    }
}

/// What annotations and fields both say has to be the same.
pub(super) fn match_fields(metadata: &At, spec: &At, errors: &mut ErrorList) {
    let annotation = |key: &str| metadata.get("annotations").value().get(key).and_then(|value| value.as_str());
    let of_pod = spec.get("securityContext.seccompProfile");
    if let Some(text) = annotation(SECCOMP_POD).filter(|_| of_pod.is_set()) {
        agree(&of_pod, text, "seccomp", &["runtime/default", "docker/default"], errors);
    }
    each_container(spec, |container| {
        let profile = container.get("securityContext.seccompProfile");
        let key = format!("{SECCOMP_CONTAINER}{}", container.text("name"));
        if let Some(text) = annotation(&key).filter(|_| profile.is_set()) {
            agree(&profile, text, "seccomp", &["runtime/default", "docker/default"], errors);
        }
    });
    if spec.text("os.name") == "windows" {
        return;
    }
    each_container(spec, |container| {
        let own = container.get("securityContext.appArmorProfile");
        let inherited = spec.get("securityContext.appArmorProfile");
        let profile = if own.is_set() { own } else { own.with(inherited.value()) };
        let key = format!("{APP_ARMOR}{}", container.text("name"));
        if let Some(text) = annotation(&key).filter(|_| profile.is_set()) {
            agree(&profile, text, "apparmor", &["runtime/default"], errors);
        }
    });
}

fn agree(profile: &At, annotation: &str, what: &str, default: &[&str], errors: &mut ErrorList) {
    let kinds_differ = match profile.text("type") {
        "Unconfined" => annotation != "unconfined",
        "RuntimeDefault" => !default.contains(&annotation),
        "Localhost" => !annotation.starts_with("localhost/"),
        _ => false,
    };
    if kinds_differ {
        profile.get("type").forbidden(errors, format!("{what} type in annotation and field must match"));
    } else if profile.text("type") == "Localhost"
        && annotation.strip_prefix("localhost/") != profile.get("localhostProfile").value().as_str()
    {
        profile.get("localhostProfile").forbidden(errors, format!("{what} profile in annotation and field must match"));
    }
}

/// Annotations that may neither come nor change nor go while the pod is there.
pub(super) fn validate_update(new: &At, old: &At, errors: &mut ErrorList) {
    let (now, before) = (new.get("annotations"), old.get("annotations"));
    for (key, value) in old.entries("annotations") {
        if now.value().get(key) == Some(value.value()) {
            continue;
        }
        let entry = new.entry("annotations", key);
        if key.starts_with(APP_ARMOR) {
            entry.forbidden(errors, "may not remove or update AppArmor annotations");
        }
        if key == MIRROR {
            entry.forbidden(errors, "may not remove or update mirror pod annotation");
        }
    }
    for (key, entry) in new.entries("annotations") {
        if before.value().get(key).is_some() {
            continue;
        }
        if key.starts_with(APP_ARMOR) {
            entry.forbidden(errors, "may not add AppArmor annotations");
        }
        if key == MIRROR {
            entry.forbidden(errors, "may not add mirror pod annotation");
        }
    }
}

/// Whether the pod stands for one that a node runs from a file.
pub(super) fn is_mirror(metadata: &At) -> bool {
    metadata.get("annotations").value().get(MIRROR).is_some()
}
