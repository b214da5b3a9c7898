//! LimitRanger: containers that say nothing get a namespace's defaults, and nobody leaves its bounds.

use api::Status;
use api::quantity::Quantity;
use serde_json::Value;

use super::{Attributes, Plugin, Step, Verb};
use crate::Registry;
use crate::tree::Tree;

const NOTE: &str = "kubernetes.io/limit-ranger";

pub(super) fn plugin() -> Plugin {
    Plugin { name: "LimitRanger", mutate: Some(Step::Now(fill_in)), validate: Some(Step::Now(check)) }
}

/// The entries of all limit ranges of the namespace.
fn limits(registry: &Registry, attributes: &Attributes) -> Result<Vec<Value>, Status> {
    let mut all = Vec::new();
    for range in registry.cached("", "v1", "limitranges").list(&attributes.namespace) {
        all.extend(range.to_value().map_err(Status::internal)?.items("spec.limits").iter().cloned());
    }
    Ok(all)
}

fn fill_in(registry: &Registry, attributes: &mut Attributes) -> Result<(), Status> {
    if !attributes.is_new_pod() {
        return Ok(());
    }
    let limits = limits(registry, attributes)?;
    let pod = &mut attributes.object;
    let mut notes = Vec::new();
    for item in limits.iter().filter(|item| item.text("type") == "Container") {
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
    let pod = attributes.is_new_pod();
    let claim = attributes.is("", "persistentvolumeclaims") && attributes.verb != Verb::Delete;
    if !pod && !claim {
        return Ok(());
    }
    let mut complaints = Vec::new();
    let object = &attributes.object;
    for item in limits(registry, attributes)? {
        match item.text("type") {
            "Container" if pod => {
                for container in object.items("spec.containers").iter().chain(object.items("spec.initContainers")) {
                    let resources = container.at("resources").unwrap_or(&Value::Null);
                    bounds(&item, &|kind, name| amount(resources, kind, name), &mut complaints);
                }
            }
            "Pod" if pod => bounds(&item, &|kind, name| pod_amount(object, kind, name), &mut complaints),
            "PersistentVolumeClaim" if claim => {
                let resources = object.at("spec.resources").unwrap_or(&Value::Null);
                bounds(&item, &|kind, name| amount(resources, kind, name), &mut complaints);
            }
            _ => {}
        }
    }
    match complaints.as_slice() {
        [] => Ok(()),
        [one] => Err(attributes.forbidden(one)),
        many => Err(attributes.forbidden(format!("[{}]", many.join(", ")))),
    }
}

fn amount(resources: &Value, kind: &str, name: &str) -> Option<Quantity> {
    Quantity::from_json(resources.at(kind)?.get(name)?).ok()
}

/// What a whole pod asks for: its containers together, or its largest init container.
fn pod_amount(pod: &Value, kind: &str, name: &str) -> Option<Quantity> {
    let of = |container: &Value| amount(container.at("resources")?, kind, name);
    let together = pod.items("spec.containers").iter().filter_map(of).reduce(|sum, more| sum + &more);
    let largest = pod.items("spec.initContainers").iter().filter_map(of).max();
    together.into_iter().chain(largest).max()
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
            (None, _) => complaints.push(format!("maximum {name} usage per {of} is {most}.  No limit is specified")),
            (Some(limit), _) if limit > most => {
                complaints.push(format!("maximum {name} usage per {of} is {most}, but limit is {limit}"));
            }
            (_, Some(request)) if request > most => {
                complaints.push(format!("maximum {name} usage per {of} is {most}, but request is {request}"));
            }
            _ => {}
        }
    }
    for (name, ratio) in item.entries("maxLimitRequestRatio") {
        let ratio = parse(ratio);
        match (amount("requests", name), amount("limits", name)) {
            (Some(request), Some(limit)) if !request.is_zero() => {
                let actual = limit.as_f64() / request.as_f64();
                if actual > ratio.as_f64() {
                    complaints.push(format!(
                        "{name} max limit to request ratio per {of} is {ratio}, but provided ratio is {actual:.6}"
                    ));
                }
            }
            (None, _) => complaints.push(format!(
                "{name} max limit to request ratio per {of} is {ratio}, but no request is specified or request is 0"
            )),
            _ => complaints.push(format!(
                "{name} max limit to request ratio per {of} is {ratio}, but no limit is specified or limit is 0"
            )),
        }
    }
}
