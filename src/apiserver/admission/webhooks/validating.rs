//! Validating webhooks, all at once: the object is final, and one refusal is enough.

use std::sync::Arc;
use std::time::Instant;

use api::{Resource, Status};
use futures::future::join_all;
use serde_json::Value;

use super::Hooks;
use super::hook::{Failure, Hook};
use crate::Registry;
use crate::admission::Attributes;
use crate::notes;

/// One webhook that is to be asked, and the object as it wants to see it.
struct Call<'a> {
    hook: &'a Hook,
    seen: Arc<Seen>,
}

struct Seen {
    row: Arc<Resource>,
    object: Value,
    old: Value,
}

pub(super) async fn dispatch(hooks: &Hooks, registry: &Registry, attributes: &Attributes) -> Result<(), Status> {
    let mut calls: Vec<Call<'_>> = Vec::new();
    for hook in hooks.hooks.iter() {
        let Some(row) = hook.row(attributes, &hooks.equivalents) else { continue };
        if !hook.selects(registry, attributes).await? {
            continue;
        }
        let known = calls.iter().find(|call| Arc::ptr_eq(&call.seen.row, row)).map(|call| call.seen.clone());
        let seen = match known {
            Some(known) => known,
            None => {
                let (object, old) = registry.show_both(attributes, row).await.map_err(Status::internal)?;
                Arc::new(Seen { row: row.clone(), object, old })
            }
        };
        if hook.meets(registry, attributes, row, &seen.object, &seen.old).await? {
            calls.push(Call { hook, seen });
        }
    }
    let asked = calls.iter().enumerate().map(async |(index, Call { hook, seen })| {
        let began = Instant::now();
        let outcome = hook.ask(attributes, &seen.row, &seen.object, &seen.old, false).await;
        hook.count("validating", registry, attributes, &outcome, began.elapsed());
        match outcome {
            Ok(_) => Ok(()),
            Err(Failure::Call { why, .. }) if hook.fails_open => {
                tracing::warn!(webhook = hook.name, why, "a webhook failed, and the write goes on");
                let key = format!("failed-open.validating.webhook.admission.k8s.io/round_0_index_{index}");
                notes::annotate(key, hook.name.clone());
                Ok(())
            }
            Err(Failure::Call { why, .. }) => Err(Status::internal(why)),
            Err(Failure::Refusal(status) | Failure::Broken(status)) => Err(*status),
        }
    });
    join_all(asked).await.into_iter().collect()
}
