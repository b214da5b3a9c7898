//! DefaultTolerationSeconds: a pod stays five minutes on a node that is not ready or out of reach, unless it says otherwise.

use api::Status;
use serde_json::{Value, json};

use super::{Attributes, Plugin, Step, Verb};
use crate::Registry;
use crate::tree::Tree;

const SECONDS: u32 = 300;

pub(super) fn plugin() -> Plugin {
    Plugin::mutating("DefaultTolerationSeconds", Step::Now(admit))
}

fn admit(_: &Registry, attributes: &mut Attributes) -> Result<(), Status> {
    if !attributes.is("", "pods") || attributes.verb == Verb::Delete {
        return Ok(());
    }
    let pod = &mut attributes.object;
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let tolerated = |toleration: &Value| {
            matches!(toleration.text("key"), "") && toleration.text("operator") == "Exists"
                || toleration.text("key") == key
        };
        let effective = |toleration: &Value| matches!(toleration.text("effect"), "" | "NoExecute");
        let mut all = pod.items("spec.tolerations").to_vec();
        if all.iter().any(|toleration| tolerated(toleration) && effective(toleration)) {
            continue;
        }
        all.push(json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECONDS}));
        pod.put("spec.tolerations", all);
    }
    Ok(())
}
