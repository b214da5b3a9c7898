//! RuntimeClass: a pod that names one gets its overhead and goes where it is served.

use api::Status;
use serde_json::Value;

use super::{Attributes, Plugin, Step};
use crate::Registry;
use crate::tree::Tree;

pub(super) fn plugin() -> Plugin {
    Plugin { name: "RuntimeClass", mutate: Some(Step::Now(admit)), validate: None }
}

fn admit(registry: &Registry, attributes: &mut Attributes) -> Result<(), Status> {
    if !attributes.is_new_pod() {
        return Ok(());
    }
    let name = attributes.object.text("spec.runtimeClassName").to_owned();
    if name.is_empty() {
        return match attributes.object.at("spec.overhead") {
            Some(_) => Err(attributes
                .forbidden("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")),
            None => Ok(()),
        };
    }
    let Some(class) = registry.cached("node.k8s.io", "v1", "runtimeclasses").get("", &name) else {
        let quoted = api::quote::quote(&name);
        return Err(attributes.forbidden(format!("pod rejected: RuntimeClass {quoted} not found")));
    };
    let class = class.to_value().map_err(Status::internal)?;
    let pod = &mut attributes.object;
    if let Some(overhead) = class.at("overhead.podFixed") {
        if pod.at("spec.overhead").is_some_and(|given| given != overhead) {
            return Err(
                attributes.forbidden("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
            );
        }
        pod.put("spec.overhead", overhead.clone());
    }
    for (key, value) in class.entries("scheduling.nodeSelector") {
        let given = pod.at("spec.nodeSelector").and_then(|selector| selector.get(key));
        if given.is_some_and(|given| given != value) {
            let why = "conflict: runtimeClass.scheduling.nodeSelector and pod.spec.nodeSelector differ";
            return Err(attributes.forbidden(why));
        }
        pod.map_mut("spec.nodeSelector").insert(key.clone(), value.clone());
    }
    let mut tolerations = pod.items("spec.tolerations").to_vec();
    let more: Vec<&Value> = class.items("scheduling.tolerations").iter().filter(|t| !tolerations.contains(t)).collect();
    if !more.is_empty() {
        let more: Vec<Value> = more.into_iter().cloned().collect();
        tolerations.extend(more);
        pod.put("spec.tolerations", tolerations);
    }
    Ok(())
}
