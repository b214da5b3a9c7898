//! Admission: what may change or refuse a write between authorization and the store, as one visible list.

mod default_classes;
mod default_tolerations;
mod escalation;
mod limit_ranger;
mod namespace_lifecycle;
mod node_restriction;
mod pod_security;
mod priority;
mod resource_quota;
mod runtime_class;
mod service_account;
mod storage_protection;
mod taint_nodes;
#[cfg(test)]
mod tests;
mod volume_resize;

use std::fmt;
use std::sync::Arc;

use api::{Resource, Status, User};
use futures::future::BoxFuture;
use serde_json::Value;

use crate::Registry;

/// What kind of write is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// A new object, or a new sub-object (`binding`, `eviction`).
    Create,
    /// A change of an object or of one of its subresources.
    Update,
    /// An object's removal.
    Delete,
}

/// One write as admission sees it.
#[derive(Debug)]
pub struct Attributes {
    /// Who writes.
    pub user: Arc<User>,
    /// The row objects are stored under.
    pub resource: Arc<Resource>,
    /// The namespace; empty for objects of the cluster.
    pub namespace: String,
    /// The object's name; empty while a generated name is still to come.
    pub name: String,
    /// The subresource; empty for the object itself.
    pub subresource: String,
    /// What is asked.
    pub verb: Verb,
    /// The object to be written, in stored form, which mutating plugins change; null for a delete. For a sub-object that is
    /// not stored (`binding`, `eviction`) the sub-object.
    pub object: Value,
    /// The object as it is; null for a create.
    pub old: Value,
    /// Whether nothing will be persisted: side effects are out.
    pub dry_run: bool,
    /// Warnings for the answer.
    pub warnings: Vec<String>,
}

impl Attributes {
    /// Whether this is a write of objects of the kind themselves, not of a subresource.
    pub fn is(&self, group: &str, plural: &str) -> bool {
        self.subresource.is_empty() && *self.resource.group == *group && *self.resource.plural == *plural
    }

    /// Whether this is a new pod.
    pub(crate) fn is_new_pod(&self) -> bool {
        self.verb == Verb::Create && self.is("", "pods")
    }

    /// 403 for this write.
    pub fn forbidden(&self, why: impl fmt::Display) -> Status {
        Status::forbidden(&self.resource.group, &self.resource.plural, &self.name, why)
    }
}

/// What a plugin does at one of its two turns.
#[derive(Clone)]
pub enum Step {
    /// Decides from the caches, at once.
    Now(fn(&Registry, &mut Attributes) -> Result<(), Status>),
    /// May wait: for the store, for a webhook.
    Later(Arc<LaterFn>),
}

/// A step that may wait.
pub type LaterFn = dyn for<'a> Fn(&'a Registry, &'a mut Attributes) -> BoxFuture<'a, Result<(), Status>> + Send + Sync;

/// One admission plugin, by upstream's name.
#[derive(Clone)]
pub struct Plugin {
    /// `NamespaceLifecycle` …
    pub name: &'static str,
    /// Its turn before the object is prepared and validated: may change it.
    pub mutate: Option<Step>,
    /// Its turn after that: may only refuse.
    pub validate: Option<Step>,
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Plugin {
    /// A plugin that only refuses.
    pub fn validating(name: &'static str, step: Step) -> Self {
        Self { name, mutate: None, validate: Some(step) }
    }

    /// A plugin that only changes.
    pub fn mutating(name: &'static str, step: Step) -> Self {
        Self { name, mutate: Some(step), validate: None }
    }
}

/// Every plugin, in the order of its turns. `more` follows the built-in ones; ResourceQuota stays last, because it counts
/// what all others let pass. Those named in `disabled` are left out.
pub(crate) fn plugins(more: &[Plugin], disabled: &[String]) -> Vec<Plugin> {
    let mut all = vec![
        namespace_lifecycle::plugin(),
        limit_ranger::plugin(),
        service_account::plugin(),
        node_restriction::plugin(),
        taint_nodes::plugin(),
        pod_security::plugin(),
        priority::plugin(),
        default_tolerations::plugin(),
        default_classes::storage(),
        default_classes::ingress(),
        storage_protection::plugin(),
        volume_resize::plugin(),
        runtime_class::plugin(),
    ];
    all.extend(more.iter().cloned());
    all.push(escalation::plugin());
    all.push(resource_quota::plugin());
    all.retain(|plugin| !disabled.iter().any(|name| name == plugin.name));
    all
}

/// The mutating turns, in order; the first refusal ends them.
pub(crate) async fn mutate(registry: &Registry, attributes: &mut Attributes) -> Result<(), Status> {
    for step in registry.plugins().iter().filter_map(|plugin| plugin.mutate.as_ref()) {
        take(step, registry, attributes).await?;
    }
    Ok(())
}

/// The validating turns, in order; the first refusal ends them.
pub(crate) async fn validate(registry: &Registry, attributes: &mut Attributes) -> Result<(), Status> {
    for step in registry.plugins().iter().filter_map(|plugin| plugin.validate.as_ref()) {
        take(step, registry, attributes).await?;
    }
    Ok(())
}

async fn take(step: &Step, registry: &Registry, attributes: &mut Attributes) -> Result<(), Status> {
    match step {
        Step::Now(decide) => decide(registry, attributes),
        Step::Later(decide) => decide(registry, attributes).await,
    }
}
