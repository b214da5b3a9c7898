//! Writing the pod's status, only when it changed.

use std::sync::Arc;

use api::{Object, Patch, Status};
use jiff::Timestamp;
use serde_json::{Value, json};
use tracing::debug;

use super::Worker;
use crate::patch;
use crate::pods::observed::Observed;
use crate::pods::pod::Pod;
use crate::pods::status::{self, Inputs};
use crate::resources;

/// Another writer may come first this often in a row.
const ATTEMPTS: usize = 8;

impl Worker {
    /// Brings the API's status to what is observed. A pod the API no longer has is no error.
    pub(super) async fn report(&mut self, pod: &Pod, observed: &Observed, terminating: bool) -> Result<(), Status> {
        let desired = self.desired.borrow().clone();
        let is_static = pod.is_static();
        let Some(mut target) = (if is_static { desired.mirror } else { Some(desired.object) }) else { return Ok(()) };
        if let Some(told) = self
            .told
            .as_ref()
            .filter(|t| t.meta.uid == target.meta.uid && t.meta.resource_version > target.meta.resource_version)
        {
            target = told.clone();
        }
        for _ in 0..ATTEMPTS {
            let value = target.to_value().map_err(Status::internal)?;
            let wanted = self.status_for(pod, &target, observed, terminating)?;
            let Some(change) = patch::merge(&value["status"], &wanted) else { return Ok(()) };
            let meta = &target.meta;
            let body = json!({
                "metadata": {"uid": &*meta.uid, "resourceVersion": meta.resource_version.to_string()},
                "status": change,
            });
            let answer = self
                .agent
                .client
                .patch(resources::pods(), &meta.namespace, &meta.name, "status", Patch::Merge(body))
                .await;
            match answer {
                Ok(object) => {
                    debug!(phase = wanted["phase"].as_str(), "status written");
                    self.told = Some(object);
                    return Ok(());
                }
                Err(error) if error.is_not_found() => return Ok(()),
                Err(error) if error.is_conflict() => {
                    let fresh = match self.agent.client.get(resources::pods(), &meta.namespace, &meta.name).await {
                        Err(error) if error.is_not_found() => return Ok(()),
                        other => other?,
                    };
                    if fresh.meta.uid != target.meta.uid {
                        return Ok(());
                    }
                    self.raced = true;
                    target = fresh;
                }
                Err(error) => return Err(error),
            }
        }
        Err(Status::conflict("", "pods", &pod.name, "others keep changing it"))
    }

    fn status_for(
        &self,
        pod: &Pod,
        target: &Arc<Object>,
        observed: &Observed,
        terminating: bool,
    ) -> Result<Value, Status> {
        let mut pod = pod.clone();
        let seen = Pod::decode(target).map_err(Status::internal)?;
        pod.status = seen.status;
        pod.generation = seen.generation.max(if pod.is_static() { 0 } else { pod.generation });
        let status = status::status(&Inputs {
            pod: &pod,
            observed,
            waiting: &self.waiting,
            probes: &self.probes,
            messages: &self.messages,
            verdict: self.verdict.as_ref(),
            host_ips: &self.agent.config.node_ips,
            terminating,
            now: Timestamp::now(),
        });
        serde_json::to_value(status).map_err(Status::internal)
    }
}
