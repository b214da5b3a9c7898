//! LimitRanger: containers that say nothing get a namespace's defaults, and nobody leaves its bounds.

use api::Status;
use api::quantity::Quantity;
use api::quota as usage;
use serde_json::Value;

use super::{Attributes, Plugin, Step, Verb};
use crate::Registry;
use crate::tree::Tree;

const NOTE: &str = "kubernetes.io/limit-ranger";

pub(super) fn plugin() -> Plugin {
    Plugin { name: "LimitRanger", mutate: Some(Step::Now(fill_in)), validate: Some(Step::Now(check)) }
}

/// The limit ranges of the namespace.
fn ranges(registry: &Registry, attributes: &Attributes) -> Result<Vec<Value>, Status> {
    let ranges = registry.cached("", "v1", "limitranges").list(&attributes.namespace);
    ranges.iter().map(|range| range.to_value().map_err(Status::internal)).collect()
}

fn fill_in(registry: &Registry, attributes: &mut Attributes) -> Result<(), Status> {
    if !attributes.is_new_pod() {
        return Ok(());
    }
    let ranges = ranges(registry, attributes)?;
    let limits = ranges.iter().flat_map(|range| range.items("spec.limits"));
    let pod = &mut attributes.object;
    let mut notes = Vec::new();
    for item in limits.filter(|item| item.text("type") == "Container") {
        for (list, what) in [("spec.containers", "container"), ("spec.initContainers", "init container")] {
            for container in pod.items_mut(list) {
                for (from, to, word) in [("defaultRequest", "requests", "request"), ("default", "limits", "limit")] {
                    let mut set = Vec::new();
                    for (resource, amount) in item.entries(from) {
                        let given = container.at("resources").and_then(|r| r.at(to)).and_then(|r| r.get(resource));
                        if given.is_none() {
                            container.map_mut(&format!("resources.{to}")).insert(resource.clone(), amount.clone());
                            set.push(resource.as_str());
                        }
                    }
                    if !set.is_empty() {
                        set.sort_unstable();
                        notes.push(format!("{} {word} for {what} {}", set.join(", "), container.text("name")));
                    }
                }
            }
        }
    }
    if !notes.is_empty() {
        let note = format!("LimitRanger plugin set: {}", notes.join("; "));
        pod.map_mut("metadata.annotations").insert(NOTE.into(), note.into());
    }
    Ok(())
}

fn check(registry: &Registry, attributes: &mut Attributes) -> Result<(), Status> {
    let resized = attributes.resource.is_core() && attributes.subresource == "resize";
    let pod = attributes.is_new_pod() || resized && &*attributes.resource.plural == "pods";
    let claim = attributes.is("", "persistentvolumeclaims") && attributes.verb != Verb::Delete;
    if !pod && !claim || attributes.old.at("metadata.deletionTimestamp").is_some() {
        return Ok(());
    }
    for range in ranges(registry, attributes)? {
        let mut complaints = Vec::new();
        for item in range.items("spec.limits") {
            outside(item, &attributes.object, pod, &mut complaints);
        }
        let mut once: Vec<String> = Vec::new();
        for complaint in complaints {
            if !once.contains(&complaint) {
                once.push(complaint);
            }
        }
        match once.as_slice() {
            [] => {}
            [one] => return Err(attributes.forbidden(one)),
            many => return Err(attributes.forbidden(format!("[{}]", many.join(", ")))),
        }
    }
    Ok(())
}

/// Complaints about a pod, or about a claim, that is outside the bounds of one entry.
fn outside(item: &Value, object: &Value, is_pod: bool, complaints: &mut Vec<String>) {
    match item.text("type") {
        "Container" if is_pod => {
            for container in object.items("spec.containers").iter().chain(object.items("spec.initContainers")) {
                let resources = container.at("resources").unwrap_or(&Value::Null);
                bounds(item, &|kind, name| amount(resources, kind, name), complaints);
            }
        }
        "Pod" if is_pod => {
            let spec = object.at("spec").unwrap_or(&Value::Null);
            let (requests, limits) = (usage::whole(spec, "requests"), usage::whole(spec, "limits"));
            let amount = |kind: &str, name: &str| match kind {
                "requests" => requests.get(name).cloned(),
                _ => limits.get(name).cloned(),
            };
            bounds(item, &amount, complaints);
        }
        "PersistentVolumeClaim" if !is_pod => {
            let resources = object.at("spec.resources").unwrap_or(&Value::Null);
            bounds(item, &|kind, name| amount(resources, kind, name).filter(|_| kind == "requests"), complaints);
        }
        _ => {}
    }
}

fn amount(resources: &Value, kind: &str, name: &str) -> Option<Quantity> {
    Quantity::from_json(resources.at(kind)?.get(name)?).ok()
}

fn bounds(item: &Value, amount: &dyn Fn(&str, &str) -> Option<Quantity>, complaints: &mut Vec<String>) {
    let of = item.text("type");
    let parse = |bound: &Value| Quantity::from_json(bound).unwrap_or_default();
    for (name, least) in item.entries("min") {
        let (least, request, limit) = (parse(least), amount("requests", name), amount("limits", name));
        match (request, limit) {
            (None, _) => complaints.push(format!("minimum {name} usage per {of} is {least}.  No request is specified")),
            (Some(request), _) if request < least => {
                complaints.push(format!("minimum {name} usage per {of} is {least}, but request is {request}"));
            }
            (_, Some(limit)) if limit < least => {
                complaints.push(format!("minimum {name} usage per {of} is {least}, but limit is {limit}"));
            }
            _ => {}
        }
    }
    for (name, most) in item.entries("max") {
        let (most, request, limit) = (parse(most), amount("requests", name), amount("limits", name));
        match (limit, request) {
            // Claims have no limits: what they request is what they get.
            (None, Some(request)) if of == "PersistentVolumeClaim" => {
                let why = || format!("maximum {name} usage per {of} is {most}, but request is {request}");
                complaints.extend((request > most).then(why));
            }
            (None, _) => {
                let what = if of == "PersistentVolumeClaim" { "request" } else { "limit" };
                complaints.push(format!("maximum {name} usage per {of} is {most}.  No {what} is specified"));
            }
            (Some(limit), _) if limit > most => {
                complaints.push(format!("maximum {name} usage per {of} is {most}, but limit is {limit}"));
            }
            (_, Some(request)) if request > most => {
                complaints.push(format!("maximum {name} usage per {of} is {most}, but request is {request}"));
            }
            _ => {}
        }
    }
    for (name, ratio) in item.entries("maxLimitRequestRatio").filter(|_| of != "PersistentVolumeClaim") {
        let ratio = parse(ratio);
        match (amount("requests", name), amount("limits", name)) {
            (Some(request), Some(limit)) if !request.is_zero() && !limit.is_zero() => {
                let actual = limit.as_f64() / request.as_f64();
                if actual > ratio.as_f64() {
                    complaints.push(format!(
                        "{name} max limit to request ratio per {of} is {ratio}, but provided ratio is {actual:.6}"
                    ));
                }
            }
            (request, _) if request.as_ref().is_none_or(Quantity::is_zero) => complaints.push(format!(
                "{name} max limit to request ratio per {of} is {ratio}, but no request is specified or request is 0"
            )),
            _ => complaints.push(format!(
                "{name} max limit to request ratio per {of} is {ratio}, but no limit is specified or limit is 0"
            )),
        }
    }
}
