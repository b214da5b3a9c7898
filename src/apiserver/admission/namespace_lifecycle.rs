//! NamespaceLifecycle: nothing is made in a namespace that is missing or on its way out, and three namespaces stay.

use std::sync::Arc;

use api::{Cause, Status};
use futures::FutureExt;

use super::{Attributes, Plugin, Step, Verb};
use crate::Registry;

/// Namespaces that cannot be deleted.
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

pub(super) fn plugin() -> Plugin {
    Plugin::mutating(
        "NamespaceLifecycle",
        Step::Later(Arc::new(|registry, attributes| admit(registry, attributes).boxed())),
    )
}

async fn admit(registry: &Registry, attributes: &mut Attributes) -> Result<(), Status> {
    if attributes.is("", "namespaces") {
        if attributes.verb == Verb::Delete && IMMORTAL.contains(&attributes.name.as_str()) {
            return Err(attributes.forbidden("this namespace may not be deleted"));
        }
        return Ok(());
    }
    // Whatever exists may change and go.
    if attributes.verb != Verb::Create || attributes.namespace.is_empty() || !attributes.subresource.is_empty() {
        return Ok(());
    }
    // An answer about a namespace would tell whether it is there.
    if attributes.is("authorization.k8s.io", "localsubjectaccessreviews") {
        return Ok(());
    }
    let missing = || Status::not_found("", "namespaces", &attributes.namespace);
    let namespace = registry.namespace_now(&attributes.namespace).await?.ok_or_else(missing)?;
    if !namespace.meta.is_deleting() {
        return Ok(());
    }
    let why =
        format!("unable to create new content in namespace {} because it is being terminated", attributes.namespace);
    let mut status = attributes.forbidden(why);
    if let Some(details) = &mut status.details {
        details.causes.push(Cause {
            reason: "NamespaceTerminating".into(),
            message: format!("namespace {} is being terminated", attributes.namespace),
            field: "metadata.namespace".into(),
        });
    }
    Err(status)
}
