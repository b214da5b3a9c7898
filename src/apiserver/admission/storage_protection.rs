//! StorageObjectInUseProtection: volumes, claims and classes of their attributes stay as long as somebody uses them.

use api::Status;

use super::{Attributes, Plugin, Step, Verb};
use crate::Registry;
use crate::tree::Tree;

pub(super) fn plugin() -> Plugin {
    Plugin::mutating("StorageObjectInUseProtection", Step::Now(admit))
}

fn admit(_: &Registry, attributes: &mut Attributes) -> Result<(), Status> {
    if attributes.verb != Verb::Create {
        return Ok(());
    }
    let finalizer = if attributes.is("", "persistentvolumes") {
        "kubernetes.io/pv-protection"
    } else if attributes.is("", "persistentvolumeclaims") {
        "kubernetes.io/pvc-protection"
    } else if attributes.is("storage.k8s.io", "volumeattributesclasses") {
        "kubernetes.io/vac-protection"
    } else {
        return Ok(());
    };
    let mut finalizers = attributes.object.items("metadata.finalizers").to_vec();
    if !finalizers.iter().any(|f| f == finalizer) {
        finalizers.push(finalizer.into());
        attributes.object.put("metadata.finalizers", finalizers);
    }
    Ok(())
}
