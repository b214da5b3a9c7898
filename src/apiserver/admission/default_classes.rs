//! DefaultStorageClass and DefaultIngressClass: claims and ingresses that name no class get the one marked as default.

use std::sync::Arc;

use api::{Object, Status};
use serde_json::Value;

use super::{Attributes, Plugin, Step, Verb};
use crate::Registry;
use crate::tree::Tree;

pub(super) fn storage() -> Plugin {
    Plugin::mutating("DefaultStorageClass", Step::Now(admit_claim))
}

pub(super) fn ingress() -> Plugin {
    Plugin::mutating("DefaultIngressClass", Step::Now(admit_ingress))
}

fn admit_claim(registry: &Registry, attributes: &mut Attributes) -> Result<(), Status> {
    if !attributes.is("", "persistentvolumeclaims") || attributes.verb != Verb::Create {
        return Ok(());
    }
    let claim = &mut attributes.object;
    // An empty class is a choice: a volume without a class.
    let chosen = claim.pointer("/spec/storageClassName").is_some_and(|class| !class.is_null())
        || note(claim, "volume.beta.kubernetes.io/storage-class").is_some();
    if chosen {
        return Ok(());
    }
    let classes = registry.cached("storage.k8s.io", "v1", "storageclasses").list("");
    let marks = ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
    if let Some(class) = defaults(&classes, &marks)?.first() {
        claim.put("spec.storageClassName", &*class.meta.name);
    }
    Ok(())
}

fn admit_ingress(registry: &Registry, attributes: &mut Attributes) -> Result<(), Status> {
    if !attributes.is("networking.k8s.io", "ingresses") || attributes.verb != Verb::Create {
        return Ok(());
    }
    let ingress = &mut attributes.object;
    if ingress.at("spec.ingressClassName").is_some() || note(ingress, "kubernetes.io/ingress.class").is_some() {
        return Ok(());
    }
    let classes = registry.cached("networking.k8s.io", "v1", "ingressclasses").list("");
    if let Some(class) = defaults(&classes, &["ingressclass.kubernetes.io/is-default-class"])?.first() {
        ingress.put("spec.ingressClassName", &*class.meta.name);
    }
    Ok(())
}

/// The classes marked as default, the newest first.
fn defaults(classes: &[Arc<Object>], marks: &[&str]) -> Result<Vec<Arc<Object>>, Status> {
    let mut found = Vec::new();
    for class in classes {
        let tree = class.to_value().map_err(Status::internal)?;
        if marks.iter().any(|mark| note(&tree, mark) == Some("true")) {
            found.push(class.clone());
        }
    }
    found.sort_by(|a, b| {
        let age = |class: &Object| std::cmp::Reverse(class.meta.creation_timestamp);
        age(a).cmp(&age(b)).then_with(|| a.meta.name.cmp(&b.meta.name))
    });
    Ok(found)
}

fn note<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.at("metadata.annotations")?.get(key)?.as_str()
}
