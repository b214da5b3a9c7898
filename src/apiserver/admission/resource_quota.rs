//! ResourceQuota: a namespace's sum of what it asks for stays within its quotas. Each charge is a compare-and-swap of the
//! quota's status, so that writes side by side cannot both take the last of it; the quota controller corrects the sums when no charge is underway.

use std::sync::Arc;

use api::quantity::Quantity;
use api::quota::{self as usage, Amounts};
use api::{Object, Status};
use futures::FutureExt;
use serde_json::Value;

use super::{Attributes, Plugin, Step, Verb};
use crate::Registry;
use crate::tree::Tree;

pub(super) fn plugin() -> Plugin {
    Plugin::validating(
        "ResourceQuota",
        Step::Later(Arc::new(|registry, attributes| admit(registry, attributes).boxed())),
    )
}

async fn admit(registry: &Registry, attributes: &mut Attributes) -> Result<(), Status> {
    let counts =
        attributes.resource.stored && (attributes.subresource.is_empty() || attributes.subresource == "resize");
    if !counts || attributes.verb == Verb::Delete || attributes.namespace.is_empty() {
        return Ok(());
    }
    let quotas = registry.cached("", "v1", "resourcequotas").list(&attributes.namespace);
    if quotas.is_empty() {
        return Ok(());
    }
    let asked = usage::of(&attributes.resource, &attributes.object);
    let before = match attributes.verb {
        Verb::Update => usage::of(&attributes.resource, &attributes.old),
        _ => Amounts::new(),
    };
    if !attributes.dry_run {
        attributes.charge = Some(registry.charges().begin());
    }
    for quota in quotas {
        charge(registry, attributes, &quota, &asked, &before).await?;
    }
    Ok(())
}

async fn charge(
    registry: &Registry,
    attributes: &Attributes,
    quota: &Object,
    asked: &Amounts,
    before: &Amounts,
) -> Result<(), Status> {
    let name = &*quota.meta.name;
    let tree = quota.to_value().map_err(Status::internal)?;
    if !usage::in_scope(&tree, &attributes.resource, &attributes.object) {
        return Ok(());
    }
    let limited = |resource: &str| tree.at("status.hard").is_some_and(|hard| hard.get(resource).is_some());
    if let Some(missing) = usage::missing(&tree, &attributes.resource, &attributes.object) {
        return Err(attributes.forbidden(format!("failed quota: {name}: must specify {missing}")));
    }
    let more: Amounts = asked
        .iter()
        .filter(|(resource, _)| limited(resource))
        .map(|(resource, amount)| {
            let before = before.get(resource).cloned().unwrap_or_default();
            (resource.clone(), amount.clone() - &before)
        })
        .filter(|(_, amount)| !amount.is_zero())
        .collect();
    // Only what grows can be too much; what shrinks is the controller's to notice.
    if more.values().all(|amount| amount.signum() <= 0) {
        return Ok(());
    }
    let add = |quota: &mut Value| match spend(quota, &more) {
        Ok(()) => Ok(()),
        Err(why) => Err(attributes.forbidden(format!("exceeded quota: {name}, {why}"))),
    };
    let row = quota_row(registry)?;
    let spent = registry.change_own(&row, &attributes.namespace, name, attributes.dry_run, &add).await;
    match spent {
        // A quota that was deleted in between limits nothing.
        Err(status) if status.is_not_found() => Ok(()),
        other => other,
    }
}

fn quota_row(registry: &Registry) -> Result<Arc<api::Resource>, Status> {
    registry.catalog().get("", "v1", "resourcequotas").ok_or_else(Status::no_such_path)
}

/// Adds to what is used; says why if it is too much.
fn spend(quota: &mut Value, more: &Amounts) -> Result<(), String> {
    let amount = |part: &str, resource: &str| {
        let found = quota.at("status").and_then(|status| status.at(part)).and_then(|amounts| amounts.get(resource));
        found.and_then(|amount| Quantity::from_json(amount).ok())
    };
    let mut after = Amounts::new();
    let (mut requested, mut used, mut limits) = (Vec::new(), Vec::new(), Vec::new());
    for (resource, more) in more {
        let Some(hard) = amount("hard", resource) else { continue };
        let now = amount("used", resource).unwrap_or_default();
        let sum = now.clone() + more;
        if sum > hard && more.signum() > 0 {
            requested.push(format!("{resource}={more}"));
            used.push(format!("{resource}={now}"));
            limits.push(format!("{resource}={hard}"));
        }
        after.insert(resource.clone(), sum);
    }
    if !requested.is_empty() {
        let (requested, used, limits) = (requested.join(","), used.join(","), limits.join(","));
        return Err(format!("requested: {requested}, used: {used}, limited: {limits}"));
    }
    for (resource, sum) in after {
        quota.map_mut("status.used").insert(resource, sum.to_string().into());
    }
    Ok(())
}
