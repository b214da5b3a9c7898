//! TaintNodesByCondition: a new node takes no pods until its conditions are known.

use api::Status;
use serde_json::json;

use super::{Attributes, Plugin, Step, Verb};
use crate::Registry;
use crate::tree::Tree;

pub(super) fn plugin() -> Plugin {
    Plugin::mutating("TaintNodesByCondition", Step::Now(admit))
}

fn admit(_: &Registry, attributes: &mut Attributes) -> Result<(), Status> {
    if !attributes.is("", "nodes") || attributes.verb != Verb::Create {
        return Ok(());
    }
    let node = &mut attributes.object;
    let taint = json!({"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"});
    let mut taints = node.items("spec.taints").to_vec();
    if !taints.iter().any(|t| t.text("key") == taint.text("key") && t.text("effect") == taint.text("effect")) {
        taints.push(taint);
        node.put("spec.taints", taints);
    }
    Ok(())
}
