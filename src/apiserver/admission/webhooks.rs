//! MutatingAdmissionWebhook and ValidatingAdmissionWebhook: webhooks that configurations name are shown what is about to be
//! written, and may change or refuse it.
//!
//! Configurations are compiled once for each state of their cache; a request that no rule is about costs a look at the rules.

mod hook;
mod mutating;
mod review;
#[cfg(test)]
mod tests;
mod validating;

use std::sync::{Arc, OnceLock};

use api::Object;
use arc_swap::ArcSwapOption;
use futures::FutureExt;
use watch_cache::Cache;

use super::matching::{Equivalents, GROUP, is_exempt};
use super::{Attributes, Plugin, Step};
use crate::Registry;
use hook::Hook;

pub(super) fn mutating() -> Plugin {
    let source = Arc::new(Source::new("mutatingwebhookconfigurations"));
    let step = Step::Later(Arc::new(move |registry, attributes| {
        let Some(hooks) = source.hooks(registry, attributes) else { return futures::future::ready(Ok(())).boxed() };
        async move { mutating::dispatch(&hooks, registry, attributes).await }.boxed()
    }));
    Plugin::mutating(mutating::NAME, step)
}

pub(super) fn validating() -> Plugin {
    let source = Arc::new(Source::new("validatingwebhookconfigurations"));
    let step = Step::Later(Arc::new(move |registry, attributes| {
        let Some(hooks) = source.hooks(registry, attributes) else { return futures::future::ready(Ok(())).boxed() };
        async move { validating::dispatch(&hooks, registry, attributes).await }.boxed()
    }));
    Plugin::validating("ValidatingAdmissionWebhook", step)
}

/// One kind of configurations, compiled as often as they change.
struct Source {
    plural: &'static str,
    cache: OnceLock<Arc<Cache>>,
    hooks: ArcSwapOption<Hooks>,
}

/// All webhooks of one kind of configuration, in the order of the configurations' names.
struct Hooks {
    /// What they were made from: the configurations and the catalog.
    state: (u64, u64),
    hooks: Arc<Vec<Hook>>,
    equivalents: Equivalents,
}

impl Source {
    fn new(plural: &'static str) -> Self {
        Self { plural, cache: OnceLock::new(), hooks: ArcSwapOption::empty() }
    }

    /// The webhooks as they are now; `None` when none of them is about such a write.
    fn hooks(&self, registry: &Registry, attributes: &Attributes) -> Option<Arc<Hooks>> {
        let cache = self.cache.get_or_init(|| registry.cached(GROUP, "v1", self.plural));
        if cache.is_empty() || is_exempt(attributes) {
            return None;
        }
        let state = (cache.revision(), registry.catalog().generation());
        let before = self.hooks.load_full();
        let hooks = match before {
            Some(before) if before.state == state => before,
            before => {
                // Kinds come and go more often than configurations change.
                let equivalents =
                    Equivalents::new(registry.catalog(), before.as_ref().map(|before| &before.equivalents));
                let compiled = before.filter(|before| before.state.0 == state.0).map(|before| before.hooks.clone());
                let compiled = compiled.unwrap_or_else(|| Arc::new(compile(registry, &cache.list(""))));
                let hooks = Arc::new(Hooks { state, hooks: compiled, equivalents });
                self.hooks.store(Some(hooks.clone()));
                hooks
            }
        };
        hooks.hooks.iter().any(|hook| hook.row(attributes, &hooks.equivalents).is_some()).then_some(hooks)
    }
}

/// The webhooks of all configurations, in their order.
fn compile(registry: &Registry, configurations: &[Arc<Object>]) -> Vec<Hook> {
    let mut hooks = Vec::new();
    for configuration in configurations {
        match Hook::compile(configuration, registry.webhooks()) {
            Ok(more) => hooks.extend(more),
            // It was decoded when it was written.
            Err(error) => tracing::error!(%error, name = &*configuration.meta.name, "webhooks cannot be read"),
        }
    }
    hooks
}
