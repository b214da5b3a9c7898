//! PersistentVolumeClaimResize: a claim grows only where its class says that volumes can.

use api::Status;
use api::quantity::Quantity;
use serde_json::Value;

use super::{Attributes, Plugin, Step, Verb};
use crate::Registry;
use crate::tree::Tree;

pub(super) fn plugin() -> Plugin {
    Plugin::validating("PersistentVolumeClaimResize", Step::Now(admit))
}

fn admit(registry: &Registry, attributes: &mut Attributes) -> Result<(), Status> {
    if !attributes.is("", "persistentvolumeclaims") || attributes.verb != Verb::Update {
        return Ok(());
    }
    let size = |claim: &Value| {
        claim.at("spec.resources.requests.storage").and_then(|size| Quantity::from_json(size).ok()).unwrap_or_default()
    };
    if size(&attributes.object) <= size(&attributes.old) {
        return Ok(());
    }
    if attributes.old.text("status.phase") != "Bound" {
        return Err(attributes.forbidden("Only bound persistent volume claims can be expanded"));
    }
    let name = attributes.object.text("spec.storageClassName");
    let class = registry.cached("storage.k8s.io", "v1", "storageclasses").get("", name);
    let class = class.map(|class| class.to_value().map_err(Status::internal)).transpose()?;
    if class.is_some_and(|class| class.truth("allowVolumeExpansion")) {
        return Ok(());
    }
    Err(attributes.forbidden(
        "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize",
    ))
}
