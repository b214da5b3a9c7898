//! Admission: what may change or refuse a write between authorization and the store, as one visible list.

mod attributes;
mod certificates;
mod default_classes;
mod default_tolerations;
mod escalation;
pub(crate) mod expressions;
mod limit_ranger;
pub(crate) mod matching;
mod namespace_lifecycle;
mod node_restriction;
mod owners;
mod pod_security;
mod pod_topology_labels;
pub(crate) mod policy;
mod priority;
mod resource_quota;
mod runtime_class;
mod service_account;
mod storage_protection;
mod taint_nodes;
#[cfg(test)]
mod tests;
mod volume_resize;
mod webhooks;

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use api::Status;
use futures::future::BoxFuture;

use crate::metrics::writes::Turn;
use crate::{Catalog, Registry};

pub use attributes::{Attributes, Called, Options, Reinvocation, Verb};
pub use owners::Owners;

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
        certificates::approval(),
        certificates::signing(),
        certificates::subject_restriction(),
        pod_topology_labels::plugin(),
    ];
    all.extend(more.iter().cloned());
    all.push(policy::mutating());
    all.push(webhooks::mutating());
    all.push(policy::validating());
    all.push(webhooks::validating());
    all.push(escalation::plugin());
    all.push(resource_quota::plugin());
    // Nobody may hand out what they do not have, whatever configuration says.
    all.retain(|plugin| plugin.name == escalation::NAME || !disabled.iter().any(|name| name == plugin.name));
    all
}

/// The names of the plugins that can be switched off.
pub fn names() -> Vec<&'static str> {
    plugins(&[], &[]).iter().map(|plugin| plugin.name).filter(|name| *name != escalation::NAME).collect()
}

/// The name of the plugin whose kinds are not served, if that is so: what the store may still hold of them is not acted on.
pub(crate) fn idle(catalog: &Catalog) -> Option<&'static str> {
    catalog.get(matching::GROUP, "v1beta1", "mutatingadmissionpolicies").is_none().then_some(policy::MUTATING)
}

/// The mutating turns, in order, and once more if a plugin asks for it; the first refusal ends them.
pub(crate) async fn mutate(registry: &Registry, attributes: &mut Attributes) -> Result<(), Status> {
    mutate_once(registry, attributes).await?;
    if attributes.reinvocation.wanted {
        attributes.reinvocation.second = true;
        mutate_once(registry, attributes).await?;
    }
    Ok(())
}

async fn mutate_once(registry: &Registry, attributes: &mut Attributes) -> Result<(), Status> {
    turn(Turn::Admit, |plugin| plugin.mutate.as_ref(), registry, attributes).await
}

/// The validating turns, in order; the first refusal ends them.
pub(crate) async fn validate(registry: &Registry, attributes: &mut Attributes) -> Result<(), Status> {
    turn(Turn::Validate, |plugin| plugin.validate.as_ref(), registry, attributes).await
}

/// One turn of every plugin that has it, timed.
async fn turn(
    turn: Turn,
    step: fn(&Plugin) -> Option<&Step>,
    registry: &Registry,
    attributes: &mut Attributes,
) -> Result<(), Status> {
    let (writes, verb, begun) = (registry.writes(), attributes.verb, Instant::now());
    let mut at = begun;
    for (place, plugin) in registry.plugins().iter().enumerate() {
        let Some(step) = step(plugin) else { continue };
        let outcome = take(step, registry, attributes).await;
        let now = Instant::now();
        writes.plugin(place, turn, verb, outcome.is_err(), now - at);
        at = now;
        if outcome.is_err() {
            writes.step(turn, verb, true, at - begun);
            return outcome;
        }
    }
    writes.step(turn, verb, false, at - begun);
    Ok(())
}

async fn take(step: &Step, registry: &Registry, attributes: &mut Attributes) -> Result<(), Status> {
    match step {
        Step::Now(decide) => decide(registry, attributes),
        Step::Later(decide) => decide(registry, attributes).await,
    }
}
