//! Ending pods on behalf of the cluster: the DisruptionTarget condition first, so that job policies and people see why.

use api::{DeleteOptions, Object, Patch, Status};
use client::Client;
use client::kinds;
use jiff::Timestamp;
use serde_json::json;

use crate::pods;

/// Why a pod is ended.
#[derive(Clone, Copy)]
pub(crate) struct Disruption {
    pub(crate) reason: &'static str,
    pub(crate) message: &'static str,
}

/// Marks a pod as disrupted and deletes it, with its own grace period. One that is gone is no failure.
pub(crate) async fn evict(client: &Client, pod: &Object, why: Disruption) -> Result<(), Status> {
    let status = json!({ "conditions": [condition(why)] });
    gone_is_fine(patch_status(client, pod, status).await)?;
    delete(client, pod, None).await
}

/// Marks a pod that nobody runs any more as failed, and deletes it at once.
pub(crate) async fn force_delete(client: &Client, pod: &Object, why: Option<Disruption>) -> Result<(), Status> {
    if !pods::is_terminated(pod) {
        let mut status = json!({ "phase": "Failed" });
        if let Some(why) = why {
            status["conditions"] = json!([condition(why)]);
        }
        gone_is_fine(patch_status(client, pod, status).await)?;
    }
    delete(client, pod, Some(0)).await
}

fn condition(why: Disruption) -> serde_json::Value {
    json!({
        "type": "DisruptionTarget", "status": "True", "reason": why.reason, "message": why.message,
        "lastTransitionTime": api::time::format(Timestamp::now()),
    })
}

async fn patch_status(client: &Client, pod: &Object, status: serde_json::Value) -> Result<(), Status> {
    let patch = Patch::Strategic(json!({ "metadata": { "uid": pod.meta.uid }, "status": status }));
    client.patch(&kinds::pods(), &pod.meta.namespace, &pod.meta.name, "status", patch).await.map(drop)
}

async fn delete(client: &Client, pod: &Object, grace_period_seconds: Option<i64>) -> Result<(), Status> {
    let options =
        DeleteOptions { grace_period_seconds, uid: Some(pod.meta.uid.to_string()), ..DeleteOptions::default() };
    gone_is_fine(client.delete(&kinds::pods(), &pod.meta.namespace, &pod.meta.name, options).await)
}

/// Gone, or another pod of the same name: the one meant is no more.
fn gone_is_fine(result: Result<(), Status>) -> Result<(), Status> {
    result.or_else(|status| if status.is_not_found() || status.is_conflict() { Ok(()) } else { Err(status) })
}
