//! Mutating webhooks, one after the other: each sees what those before it made of the object.

use std::sync::Arc;
use std::time::Instant;

use api::{Patch, Resource, Status};
use serde_json::{Value, json};

use super::Hooks;
use super::hook::{Failure, Hook};
use crate::Registry;
use crate::admission::Attributes;
use crate::notes;

pub(super) const NAME: &str = "MutatingAdmissionWebhook";

pub(super) async fn dispatch(hooks: &Hooks, registry: &Registry, attributes: &mut Attributes) -> Result<(), Status> {
    let second = attributes.reinvocation.second;
    let mut called = attributes.reinvocation.plugins.remove(NAME).unwrap_or_default();
    if second && called.left != attributes.object {
        // Other plugins changed the object in the second round.
        called.changed();
    }
    for (index, hook) in hooks.hooks.iter().enumerate() {
        let Some(row) = hook.row(attributes, &hooks.equivalents).cloned() else { continue };
        if !hook.selects(registry, attributes).await? || second && !called.must.contains(&hook.id) {
            continue;
        }
        let (object, old) = registry.show_both(attributes, &row).await.map_err(Status::internal)?;
        if !hook.meets(registry, attributes, &row, &object, &old).await? {
            continue;
        }
        let place = format!("round_{}_index_{index}", u8::from(second));
        let began = Instant::now();
        let outcome = change(hook, registry, attributes, &row, (object, old), &place).await;
        hook.count("admit", registry, attributes, &outcome, began.elapsed());
        let about =
            json!({"configuration": hook.configuration, "webhook": hook.name, "mutated": matches!(outcome, Ok(true))});
        notes::annotate(format!("mutation.webhook.admission.k8s.io/{place}"), about.to_string());
        if matches!(outcome, Ok(true)) {
            called.changed();
            attributes.reinvocation.wanted = true;
        }
        if hook.reinvocable {
            called.may.insert(hook.id.clone());
        }
        match outcome {
            Ok(_) => {}
            Err(Failure::Call { why, .. }) if hook.fails_open => {
                tracing::warn!(webhook = hook.name, why, "a webhook failed, and the write goes on");
                notes::annotate(format!("failed-open.mutation.webhook.admission.k8s.io/{place}"), hook.name.clone());
            }
            Err(Failure::Call { why, .. }) => return Err(Status::internal(why)),
            Err(Failure::Refusal(status) | Failure::Broken(status)) => return Err(*status),
        }
    }
    if !called.may.is_empty() && !second {
        called.left = attributes.object.clone();
    }
    attributes.reinvocation.plugins.insert(NAME, called);
    Ok(())
}

/// Asks one webhook and does to the object what it says. Says whether that changed anything.
async fn change(
    hook: &Hook,
    registry: &Registry,
    attributes: &mut Attributes,
    row: &Arc<Resource>,
    (object, old): (Value, Value),
    place: &str,
) -> Result<bool, Failure> {
    let answer = hook.ask(attributes, row, &object, &old, true).await?;
    let Some(bytes) = answer.patch else { return Ok(false) };
    let undecodable = |error: &dyn std::fmt::Display| {
        Failure::call(&hook.name, 503, format!("received undecodable patch in webhook response: {error}"))
    };
    let operations: Value = serde_json::from_slice(&bytes).map_err(|error| undecodable(&error))?;
    let count = operations.as_array().ok_or_else(|| undecodable(&"it is no list of operations"))?.len();
    if count == 0 {
        return Ok(false);
    }
    let failed = |why: &dyn std::fmt::Display| Failure::Broken(Box::new(Status::internal(why)));
    if object.is_null() {
        let name = api::quote::quote(&hook.name);
        let why = format!(
            "admission webhook {name} attempted to modify the object, which is not supported for this operation"
        );
        return Err(failed(&why));
    }
    let mut patched = object;
    Patch::Json(operations.clone()).apply(&mut patched, None).map_err(|error| failed(&error))?;
    let taken = registry.take_admitted(attributes, row, patched).await.map_err(|status| failed(&status))?;
    let about = json!({"configuration": hook.configuration, "webhook": hook.name, "patch": operations, "patchType": "JSONPatch"});
    notes::annotate(format!("patch.webhook.admission.k8s.io/{place}"), about.to_string());
    Ok(attributes.put_whole(taken))
}
