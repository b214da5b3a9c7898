//! PodTopologyLabels: a pod learns, when it gets its node, in which zone and region that is.

use api::Status;
use serde_json::Value;

use super::{Attributes, Plugin, Step, Verb};
use crate::Registry;
use crate::tree::Tree;

const LABELS: [&str; 2] = ["topology.kubernetes.io/zone", "topology.kubernetes.io/region"];

pub(super) fn plugin() -> Plugin {
    Plugin::mutating("PodTopologyLabels", Step::Now(admit))
}

fn admit(registry: &Registry, attributes: &mut Attributes) -> Result<(), Status> {
    let pods = attributes.resource.group.is_empty() && &*attributes.resource.plural == "pods";
    if attributes.verb != Verb::Create || !pods {
        return Ok(());
    }
    let object = &attributes.object;
    let node = match attributes.subresource.as_str() {
        "" => object.text("spec.nodeName"),
        "binding" if matches!(object.text("target.kind"), "" | "Node") => object.text("target.name"),
        _ => return Ok(()),
    };
    if node.is_empty() {
        return Ok(());
    }
    let Some(node) = registry.cached("", "v1", "nodes").get("", node) else { return Ok(()) };
    for label in LABELS {
        if let Some(value) = node.meta.labels.get(label) {
            attributes.object.map_mut("metadata.labels").insert(label.to_owned(), Value::from(value));
        }
    }
    Ok(())
}
