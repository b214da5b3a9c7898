//! Changing what a running pod's containers ask for.

use api::schema;
use api::validation::field::{Error, ErrorList, Path};
use serde_json::Value;

use super::annotations;
use super::update::NOWHERE;
use crate::strategy::at::At;
use crate::strategy::{pod_quality, semantic};
use crate::tree::Tree;

/// Complaints about a write of a pod's resources.
pub(crate) fn validate_resize(new: &Value, old: &Value, errors: &mut ErrorList) {
    let (root, before) = (At::root(new), At::root(old));
    let whole = |pod: &Value| {
        ["requests", "limits"].iter().any(|list| {
            pod.at("spec.resources")
                .and_then(|resources| resources.at(list)?.as_object())
                .is_some_and(|all| !all.is_empty())
        })
    };
    let refusal = if annotations::is_mirror(&before.get("metadata")) {
        Some("static pods cannot be resized")
    } else if old.text("spec.os.name") == "windows" {
        Some("windows pods cannot be resized")
    } else {
        None
    };
    if let Some(why) = refusal {
        errors.clear();
        errors.push(Error::forbidden(&Path::root(NOWHERE), why));
        return;
    }
    let spec = root.get("spec");
    let class = match old.text("status.qosClass") {
        "" => pod_quality(old),
        class => class,
    };
    if pod_quality(new) != class {
        spec.wrong(errors, new.text("status.qosClass"), "Pod QOS Class may not change as a result of resizing");
    }
    let running = old.items("status.containerStatuses").iter().find(|status| status.at("state.running").is_some());
    if running.is_some_and(|status| status.at("resources").is_none()) {
        spec.forbidden(errors, "Pod running on node without support for resize");
    }
    if whole(old) || whole(new) {
        let why = "resize of pods with pod-level resources is forbidden when InPlacePodLevelResourcesVerticalScalingEnabled \
                   feature gate is disabled";
        errors.push(Error::forbidden(&Path::root(NOWHERE), why));
        return;
    }
    if !same_containers(&spec, old, errors) {
        return;
    }
    for list in ["initContainers", "containers"] {
        let olds = old.at("spec").map_or(&[] as &[Value], |spec| spec.items(list));
        for (container, old) in spec.each(list).zip(olds) {
            if list == "containers" || old.text("restartPolicy") == "Always" {
                removed(&container, old, errors);
            }
        }
    }
    mutable(&spec, old, errors);
}

fn same_containers(spec: &At, old: &Value, errors: &mut ErrorList) -> bool {
    let mut same = true;
    for list in ["containers", "initContainers"] {
        let olds = old.at("spec").map_or(&[] as &[Value], |spec| spec.items(list));
        if spec.items(list).len() != olds.len() {
            same = false;
            spec.get(list).forbidden(errors, format!("{list} may not be added or removed on resize"));
            continue;
        }
        for (container, old) in spec.each(list).zip(olds) {
            if container.text("name") != old.text("name") {
                same = false;
                let why = format!("{list} may not be renamed or reordered on resize");
                container.get("name").forbidden(errors, why);
            }
        }
    }
    same
}

/// What was asked for may change, and not end.
fn removed(container: &At, old: &Value, errors: &mut ErrorList) {
    for list in ["requests", "limits"] {
        let path = format!("resources.{list}");
        let gone = old.entries(&path).any(|(name, _)| container.get(&path).value().get(name).is_none());
        if gone {
            container.get(&path).forbidden(errors, format!("resource {list} cannot be removed"));
        }
    }
}

/// Nothing but processors and memory changes, and that only where containers keep running. Upstream
/// forgets the claims of what is written, so no container that has some is resized.
fn mutable(spec: &At, old: &Value, errors: &mut ErrorList) {
    for list in ["containers", "initContainers"] {
        let olds = old.at("spec").map_or(&[] as &[Value], |spec| spec.items(list));
        for (container, old) in spec.items(list).iter().zip(olds) {
            let sidecar = container.text("restartPolicy") == "Always";
            let why = match list {
                "containers" => "only cpu and memory resources are mutable",
                _ if sidecar => "only cpu and memory resources for sidecar containers are mutable",
                _ => "resources for non-sidecar init containers are immutable",
            };
            let free = list == "containers" || sidecar;
            let mut fixed_now = fixed(container, free);
            if free {
                fixed_now.cut("resources.claims");
            }
            if !semantic::same_as_written(schema::message("core/v1.Container"), &fixed_now, &fixed(old, free)) {
                spec.forbidden(errors, why);
            }
        }
    }
}

/// What of a container stays as it is.
fn fixed(container: &Value, free: bool) -> Value {
    let mut container = container.clone();
    if free {
        for list in ["requests", "limits"] {
            for name in ["cpu", "memory"] {
                container.cut(&format!("resources.{list}.{name}"));
            }
            let path = format!("resources.{list}");
            if container.at(&path).and_then(Value::as_object).is_some_and(serde_json::Map::is_empty) {
                container.cut(&path);
            }
        }
    }
    container
}
