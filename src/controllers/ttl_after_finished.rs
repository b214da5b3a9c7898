//! ttl-after-finished-controller: removes finished jobs when their time to live is over.
//!
//! Watches: jobs.
//! Writes: deletes jobs, their pods after them.
//! Invariant: a job with `spec.ttlSecondsAfterFinished` is gone that long after it completed or failed, and not earlier:
//! the server is asked again before the deletion, as the time may have been extended.

use std::sync::Arc;
use std::time::Duration;

use api::tree::Tree;
use api::{DeleteOptions, Propagation};
use client::Client;
use client::controller::{Controller, Outcome, Result, itself};
use client::kinds;
use client::queue::Key;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use watch_cache::Cache;

use crate::Setup;

pub(crate) fn controller(setup: &Setup) -> Controller<Jobs> {
    let client = setup.client.clone();
    let state = Jobs { jobs: client.cache(&kinds::jobs()), client };
    Controller::new("ttl-after-finished-controller", Arc::new(state), reconcile)
        .workers(5)
        .watch(&kinds::jobs(), itself)
}

pub(crate) struct Jobs {
    client: Client,
    jobs: Arc<Cache>,
}

async fn reconcile(state: Arc<Jobs>, key: Key) -> Result {
    let Some(job) = state.jobs.get_key(&key).filter(|job| !job.meta.is_deleting()) else { return Ok(Outcome::Done) };
    let Some(left) = left(&job.to_value()?, Timestamp::now()) else { return Ok(Outcome::Done) };
    if !left.is_zero() {
        return Ok(Outcome::After(left));
    }
    let (namespace, name) = (&job.meta.namespace, &job.meta.name);
    let fresh = match state.client.get(state.jobs.resource(), namespace, name).await {
        Ok(fresh) if fresh.meta.uid == job.meta.uid => fresh,
        Err(status) if !status.is_not_found() => return Err(status.into()),
        _ => return Ok(Outcome::Done),
    };
    match self::left(&fresh.to_value()?, Timestamp::now()) {
        Some(left) if left.is_zero() => {}
        Some(left) => return Ok(Outcome::After(left)),
        None => return Ok(Outcome::Done),
    }
    tracing::info!(job = &*key, "deleting a finished job whose time is over");
    let options = DeleteOptions {
        propagation: Some(Propagation::Foreground),
        uid: Some(fresh.meta.uid.to_string()),
        resource_version: Some(fresh.meta.resource_version.to_string()),
        ..DeleteOptions::default()
    };
    match state.client.delete(state.jobs.resource(), namespace, name, options).await {
        Err(status) if !status.is_not_found() => Err(status.into()),
        _ => Ok(Outcome::Done),
    }
}

/// How long the job may still stay; `None` when it has not finished, or no limit.
fn left(job: &Value, now: Timestamp) -> Option<Duration> {
    let seconds = job.int("spec.ttlSecondsAfterFinished")?;
    let ended = |condition: &&Value| {
        matches!(condition.text("type"), "Complete" | "Failed") && condition.text("status") == "True"
    };
    let finished = job.items("status.conditions").iter().find(ended)?;
    let finished: Timestamp = finished.text("lastTransitionTime").parse().ok()?;
    let over = finished.checked_add(SignedDuration::from_secs(seconds)).ok()?;
    Some(Duration::try_from(over.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;
    use crate::testing::Running;
    use client::testing::Cluster;
    use serde_json::json;

    fn job(ttl: Value, kind: &str) -> Value {
        let condition = json!({ "type": kind, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z" });
        let spec = json!({ "ttlSecondsAfterFinished": ttl });
        json!({ "metadata": { "namespace": "a", "name": "j" }, "spec": spec, "status": { "conditions": [condition] } })
    }

    #[test]
    fn time_runs_from_the_end_of_the_job() {
        let check = |job: Value, expect: Option<u64>| {
            let left = left(&job, "2026-01-01T00:00:20Z".parse().unwrap());
            assert_eq!(left.map(|left| left.as_secs()), expect);
        };
        check(job(json!(60), "Complete"), Some(40));
        check(job(json!(60), "Failed"), Some(40));
        check(job(json!(10), "Complete"), Some(0));
        check(job(json!(0), "Complete"), Some(0));
        check(job(json!(60), "Suspended"), None);
        check(job(Value::Null, "Complete"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_finished_job_is_deleted_after_its_dependents() {
        let cluster = Cluster::new();
        let mut done = job(json!(1), "Complete");
        done["status"]["conditions"][0]["lastTransitionTime"] = "2020-01-01T00:00:00Z".into();
        cluster.seed(&kinds::jobs(), done);
        let running = Running::start(&cluster, &["ttl-after-finished-controller"], Options::default());
        let waits = |jobs: &[Value]| jobs[0]["metadata"]["finalizers"] == json!(["foregroundDeletion"]);
        running.until(&kinds::jobs(), waits).await;
        running.stop().await;
    }
}
