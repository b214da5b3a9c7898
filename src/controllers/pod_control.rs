//! Making and deleting the pods of workloads, with the events people look for.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use api::{DeleteOptions, Object, Patch, Status};
use client::Client;
use client::events::{EventType, Recorder, Reference};
use client::kinds;
use futures::future::join_all;
use serde_json::{Value, json};
use watch_cache::Cache;

use crate::expectations::{seen, seen_deleted};
use crate::ownership::Owner;

/// Writes pods on behalf of workloads. Every method returns only when the pod cache has seen what was written.
#[derive(Clone)]
pub(crate) struct PodControl {
    client: Client,
    events: Recorder,
    pods: Arc<Cache>,
}

impl PodControl {
    pub(crate) fn new(client: &Client, events: &Recorder) -> Self {
        Self { client: client.clone(), events: events.clone(), pods: client.cache(&kinds::pods()) }
    }

    /// The cache of all pods.
    pub(crate) fn pods(&self) -> &Arc<Cache> {
        &self.pods
    }

    /// Creates a pod as [`pod_from_template`] made it (and the caller may have changed it).
    pub(crate) async fn create(&self, owner: Owner<'_>, pod: Value) -> Result<Arc<Object>, Status> {
        let about = || Reference::to(owner.resource, owner.object);
        match self.client.create(self.pods.resource(), &owner.object.meta.namespace, pod).await {
            Ok(pod) => {
                let message = format!("Created pod: {}", pod.meta.name);
                self.events.event(about(), EventType::Normal, "SuccessfulCreate", message);
                seen(&self.pods, &pod).await;
                Ok(pod)
            }
            Err(status) => {
                if !is_namespace_terminating(&status) {
                    self.events.event(about(), EventType::Warning, "FailedCreate", format!("Error creating: {status}"));
                }
                Err(status)
            }
        }
    }

    /// Creates `count` pods in batches of 1, 2, 4 …, and stops behind the first batch with a failure: a quota or a broken
    /// template then costs a few requests, not thousands. Returns how many were made, and the first failure.
    pub(crate) async fn create_many(
        &self,
        owner: Owner<'_>,
        count: usize,
        mut pod: impl FnMut(usize) -> Value,
    ) -> (usize, Option<Status>) {
        let (mut made, mut batch, mut next) = (0, 1, 0);
        while next < count {
            let size = batch.min(count - next);
            let creates = (next..next + size).map(|at| self.create(owner, pod(at))).collect::<Vec<_>>();
            let mut failure = None;
            for result in join_all(creates).await {
                match result {
                    Ok(_) => made += 1,
                    Err(status) => failure = failure.or(Some(status)),
                }
            }
            if failure.is_some() {
                return (made, failure);
            }
            next += size;
            batch *= 2;
        }
        (made, None)
    }

    /// Deletes a pod. One that is gone already is no failure.
    pub(crate) async fn delete(&self, owner: Owner<'_>, pod: &Object) -> Result<(), Status> {
        let about = || Reference::to(owner.resource, owner.object);
        let options = DeleteOptions { uid: Some(pod.meta.uid.to_string()), ..DeleteOptions::default() };
        match self.client.delete(self.pods.resource(), &pod.meta.namespace, &pod.meta.name, options).await {
            Ok(()) => {
                let message = format!("Deleted pod: {}", pod.meta.name);
                self.events.event(about(), EventType::Normal, "SuccessfulDelete", message);
            }
            // Gone, or another pod of the same name: the one meant is no more.
            Err(status) if status.is_not_found() || status.is_conflict() => {}
            Err(status) => {
                self.events.event(about(), EventType::Warning, "FailedDelete", format!("Error deleting: {status}"));
                return Err(status);
            }
        }
        seen_deleted(&self.pods, pod).await;
        Ok(())
    }

    /// Deletes pods at once; the first failure is returned after all have been tried.
    pub(crate) async fn delete_many(&self, owner: Owner<'_>, pods: &[Arc<Object>]) -> Result<(), Status> {
        join_all(pods.iter().map(|pod| self.delete(owner, pod))).await.into_iter().collect()
    }

    /// Changes a pod, or its `status`. The patch should carry the pod's uid.
    pub(crate) async fn patch(&self, pod: &Object, subresource: &str, patch: Patch) -> Result<Arc<Object>, Status> {
        let (namespace, name) = (&pod.meta.namespace, &pod.meta.name);
        let written = self.client.patch(self.pods.resource(), namespace, name, subresource, patch).await?;
        seen(&self.pods, &written).await;
        Ok(written)
    }
}

/// A pod of a workload's template: the template's labels, annotations, finalizers and spec; a name generated from the
/// owner's; and the owner's reference.
pub(crate) fn pod_from_template(owner: Owner<'_>, template: &Value) -> Value {
    let mut metadata = json!({
        "generateName": name_prefix(&owner.object.meta.name),
        "namespace": owner.object.meta.namespace,
        "ownerReferences": [owner.reference()],
    });
    for field in ["labels", "annotations", "finalizers"] {
        if let Some(value) = template.pointer(&format!("/metadata/{field}")) {
            metadata[field] = value.clone();
        }
    }
    json!({ "kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": template["spec"] })
}

/// `owner-`, or the owner's bare name where the dash would make it invalid.
fn name_prefix(owner: &str) -> String {
    let prefix = format!("{owner}-");
    let valid = api::validation::prefix(api::validation::dns1123_subdomain, &prefix).is_empty();
    if valid { prefix } else { owner.to_owned() }
}

/// Whether a create was refused because its namespace is going away: no reason to retry or to tell anybody.
pub(crate) fn is_namespace_terminating(status: &Status) -> bool {
    let caused = status.details.iter().flat_map(|d| &d.causes).any(|cause| cause.reason == "NamespaceTerminating");
    caused || status.code == 403 && status.message.contains("because it is being terminated")
}
