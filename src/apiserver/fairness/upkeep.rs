//! What priority and fairness does by itself: seats move between levels, and flow schemas are told whether their level is
//! there.

use std::sync::Arc;
use std::time::Duration;

use api::{Object, Operation, Patch, Request, Status, User, WriteOptions, user};
use serde_json::{Value, json};

use super::Fairness;
use crate::Registry;
use crate::tree::Tree;

/// How often seats are given to where they are wanted, as upstream.
const REBALANCE: Duration = Duration::from_secs(10);
/// How long a write that failed waits for its next try.
const AGAIN: Duration = Duration::from_secs(5);
const GROUP: &str = "flowcontrol.apiserver.k8s.io";

/// Moves seats between levels until it is dropped. While nobody asks for anything, it finds nothing to do.
pub(crate) async fn rebalance(fairness: Arc<Fairness>) {
    let mut ticks = tokio::time::interval(REBALANCE);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        fairness.flows.rebalance();
    }
}

/// Keeps the `Dangling` condition of all flow schemas true, until it is dropped.
pub(crate) async fn tell(registry: Arc<Registry>, fairness: Arc<Fairness>) {
    let schemas = registry.cached(GROUP, "v1", "flowschemas");
    let levels = registry.cached(GROUP, "v1", "prioritylevelconfigurations");
    loop {
        let ((_, mut schemas), (_, mut levels)) = (schemas.subscribe(), levels.subscribe());
        let mut failed = false;
        for (object, level, dangling) in fairness.flows.references() {
            if let Err(status) = tell_one(&registry, &object, &level, dangling).await
                && !status.is_not_found()
            {
                tracing::warn!(schema = &*object.meta.name, %status, "the status of a flow schema cannot be written, will try again");
                failed = true;
            }
        }
        if failed {
            tokio::time::sleep(AGAIN).await;
        } else {
            // Falling behind is a reason to look, too.
            tokio::select! {
                _ = schemas.next() => {}
                _ = levels.next() => {}
            }
        }
    }
}

async fn tell_one(registry: &Registry, object: &Arc<Object>, level: &str, dangling: bool) -> Result<(), Status> {
    let current = object.to_value().map_err(Status::internal)?;
    let wanted = condition(level, dangling);
    let same = |condition: &Value| ["type", "status", "reason", "message"].iter().all(|f| condition[f] == wanted[f]);
    if current.items("status.conditions").iter().any(same) {
        return Ok(());
    }
    let Some(row) = api::resource::find(GROUP, "v1", "flowschemas").cloned() else { return Ok(()) };
    let options = WriteOptions {
        field_manager: "api-priority-and-fairness-config-consumer-v1".into(),
        force: true,
        ..WriteOptions::default()
    };
    let patch = Patch::Apply(json!({
        "apiVersion": row.api_version(),
        "kind": &*row.kind,
        "metadata": { "name": &*object.meta.name },
        "status": { "conditions": [wanted] },
    }));
    let request = Request {
        user: Arc::new(User::new("system:apiserver", [user::MASTERS])),
        resource: row,
        namespace: String::new(),
        name: object.meta.name.to_string(),
        subresource: "status".into(),
        operation: Operation::Patch(patch, options),
    };
    registry.call(&request).await.map(drop)
}

fn condition(level: &str, dangling: bool) -> Value {
    let of =
        format!("This FlowSchema references the PriorityLevelConfiguration object named {}", api::quote::quote(level));
    let (status, reason, message) = match dangling {
        true => ("True", "NotFound", format!("{of} but there is no such object")),
        false => ("False", "Found", format!("{of} and it exists")),
    };
    json!({
        "type": "Dangling",
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": api::time::format(jiff::Timestamp::now()),
    })
}
