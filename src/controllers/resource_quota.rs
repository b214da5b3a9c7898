//! resourcequota-controller: sums up what a namespace uses of its quotas.
//!
//! Watches: resource quotas; every kind in namespaces, custom resources that appear at run time included, and what other API
//! servers hold of the kinds that some quota counts.
//! Writes: the quotas' status.
//! Invariant: `status.used` is what the objects that exist count for. Admission charges what comes as it comes; this loop
//! gives back what goes, and corrects what was charged for writes that failed.

mod custom;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use api::quantity::{Format, Quantity};
use api::quota::{self, Amounts};
use api::{ObjectError, Patch, Resource};
use client::Client;
use client::controller::{Controller, Keys, Outcome, Result};
use client::kinds;
use client::queue::Key;
use custom::Others;
use serde_json::{Map, Value, json};
use watch_cache::{Cache, Change, ChangeKind};

use crate::expectations::seen;
use crate::{Loop, Setup};

/// New objects were charged by admission; the sum is only checked, after those that come with them.
const CHECK: Duration = Duration::from_secs(5);
/// Whatever was missed is noticed after this time.
const RESYNC: Duration = Duration::from_secs(300);

/// The loop, and what wakes it for custom resources beside it.
pub(crate) fn start(setup: &Setup) -> Loop {
    let others = Others::default();
    let controller = controller(setup, others.clone());
    let beside = custom::follow(setup.client.clone(), others, controller.queue().clone());
    setup.start_with(controller, beside)
}

fn controller(setup: &Setup, others: Others) -> Controller<Quotas> {
    let client = setup.client.clone();
    let quotas = kinds::resource_quotas();
    let state = Arc::new(Quotas { quotas: client.cache(&quotas), client, others });
    let counted = |kind: &&Arc<Resource>| {
        let event = &*kind.plural == "events";
        kind.is_namespaced() && kind.stored && kind.stored_as.is_none() && !event && kind.plural != quotas.plural
    };
    let controller = Controller::new("resourcequota-controller", state, reconcile)
        .workers(5)
        .resync(RESYNC)
        .watch(&quotas, of_quota)
        .watch(&quotas, of_object);
    let watched = api::resource::builtin().iter().filter(counted);
    watched.fold(controller, |controller, kind| {
        let measured = kind.is_core() && MEASURED.contains(&&*kind.plural);
        controller.watch(kind, if measured { of_measured } else { of_object })
    })
}

pub(crate) struct Quotas {
    client: Client,
    quotas: Arc<Cache>,
    others: Others,
}

/// The kinds of which quotas limit more than the number: what one counts for may change while it lives.
const MEASURED: [&str; 3] = ["pods", "services", "persistentvolumeclaims"];

/// A quota itself, at once when its limits are new. Admission changes it with every charge, which need not be checked one by one.
fn of_quota(_: &Quotas, change: &Change, keys: &mut Keys<'_>) {
    let quota = change.object.to_value();
    let in_step = quota.is_ok_and(|quota| quota.pointer("/spec/hard") == quota.pointer("/status/hard"));
    match change.kind {
        ChangeKind::Modified if in_step => keys.add_after(change.object.meta.key(), CHECK),
        _ => keys.object(&change.object),
    }
}

/// The quotas of an object's namespace, when the sum may have changed.
fn of_object(state: &Quotas, change: &Change, keys: &mut Keys<'_>) {
    for quota in state.quotas.list(&change.object.meta.namespace) {
        match change.kind {
            ChangeKind::Deleted => keys.object(&quota),
            ChangeKind::Modified => {}
            ChangeKind::Added => keys.add_after(quota.meta.key(), CHECK),
        }
    }
}

fn of_measured(state: &Quotas, change: &Change, keys: &mut Keys<'_>) {
    of_object(state, change, keys);
    let Some(old) = change.previous.as_ref().filter(|_| change.kind == ChangeKind::Modified) else { return };
    // A write of the spec raises the generation where a kind has one; the phase of a pod is one of its fields.
    let (old, new) = (&old.meta, &change.object.meta);
    if old.fields != new.fields || old.generation != new.generation || new.generation == 0 {
        state.quotas.list(&new.namespace).iter().for_each(|quota| keys.object(quota));
    }
}

async fn reconcile(state: Arc<Quotas>, key: Key) -> Result {
    let Some(quota) = state.quotas.get_key(&key) else { return Ok(Outcome::Done) };
    let value = quota.to_value()?;
    let sum = || state.used(&value, &quota.meta.namespace);
    if correction(&value, &sum()?).is_none() {
        return Ok(Outcome::Done);
    }
    // What the quota was charged for and is not there yet would be missing in the sum.
    state.client.settled().await?;
    let Some(status) = correction(&value, &sum()?) else { return Ok(Outcome::Done) };
    // Admission may have charged the quota meanwhile: then the sum is made anew.
    let metadata = json!({ "resourceVersion": quota.meta.resource_version.to_string() });
    let patch = Patch::Merge(json!({ "metadata": metadata, "status": status }));
    let (namespace, name) = (&quota.meta.namespace, &quota.meta.name);
    let written = state.client.patch(state.quotas.resource(), namespace, name, "status", patch).await?;
    seen(&state.quotas, &written).await;
    Ok(Outcome::Done)
}

impl Quotas {
    /// What the namespace's objects count for, of what the quota limits.
    fn used(&self, quota: &Value, namespace: &str) -> std::result::Result<Amounts, ObjectError> {
        let limited = hard(quota).map(|(name, _)| (name.clone(), Quantity::zero()));
        let mut used: Amounts = limited.collect();
        // A custom kind has a row for each of its versions, and the same objects in all of them.
        let mut seen = HashSet::new();
        for (kind, objects) in self.others.all() {
            let name = format!("count/{}", kind.qualified());
            let Some(sum) = used.get_mut(&name) else { continue };
            match objects.is_synced() {
                true => *sum = Quantity::new(objects.list(namespace).len() as i64, Format::DecimalSI),
                // Nobody knows better than whoever summed up last.
                false => {
                    let last =
                        quota.pointer("/status/used").and_then(|used| Quantity::from_json(used.get(&name)?).ok());
                    *sum = last.unwrap_or_else(Quantity::zero);
                }
            }
        }
        for kind in self.client.resources() {
            if !kind.is_namespaced() || !kind.stored || kind.stored_as.is_some() || !counts(&kind, &used) {
                continue;
            }
            if !seen.insert(kind.store_prefix()) {
                continue;
            }
            for object in self.client.cache(&kind).list(namespace) {
                let object = object.to_value()?;
                if quota::in_scope(quota, &kind, &object) {
                    for (name, amount) in quota::of(&kind, &object) {
                        if let Some(sum) = used.get_mut(&name) {
                            *sum += &amount;
                        }
                    }
                }
            }
        }
        Ok(used)
    }
}

/// Whether objects of a kind can count for any of the names.
fn counts(kind: &Resource, names: &Amounts) -> bool {
    let count = format!("count/{}", kind.qualified());
    names.keys().any(|name| match name.strip_prefix("count/") {
        Some(_) => *name == count,
        None if !kind.is_core() => false,
        None => match &*kind.plural {
            "services" => name.starts_with("services"),
            "persistentvolumeclaims" => name.contains("storage") || name == "persistentvolumeclaims",
            // Whatever pods ask for, extended resources too.
            "pods" => !name.starts_with("services") && !name.contains("storageclass"),
            plural => name == plural,
        },
    })
}

fn hard(quota: &Value) -> impl Iterator<Item = (&String, &Value)> {
    quota.pointer("/spec/hard").and_then(Value::as_object).into_iter().flatten()
}

/// The merge patch of the status; `None` when it says all this already.
fn correction(quota: &Value, used: &Amounts) -> Option<Value> {
    let limits: Map<String, Value> = hard(quota).map(|(name, limit)| (name.clone(), limit.clone())).collect();
    let used: Map<String, Value> = used.iter().map(|(name, sum)| (name.clone(), sum.to_string().into())).collect();
    let part = |name: &str, new: Map<String, Value>| {
        let old = quota["status"][name].as_object().cloned().unwrap_or_default();
        let same = old.len() == new.len() && new.iter().all(|(name, amount)| is_same(&old, name, amount));
        let gone = old.into_iter().filter(|(name, _)| !new.contains_key(name)).map(|(name, _)| (name, Value::Null));
        let gone: Map<String, Value> = gone.collect();
        (same, new.into_iter().chain(gone).collect::<Map<String, Value>>())
    };
    let (same_limits, limits) = part("hard", limits);
    let (same_used, used) = part("used", used);
    (!same_limits || !same_used).then(|| json!({ "hard": limits, "used": used }))
}

/// Amounts are compared, not their words: `1000m` is `1`.
fn is_same(old: &Map<String, Value>, name: &str, amount: &Value) -> bool {
    let parse = |value: &Value| Quantity::from_json(value).ok();
    old.get(name).is_some_and(|old| old == amount || parse(old).is_some_and(|old| Some(old) == parse(amount)))
}
