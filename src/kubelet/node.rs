//! The Node object: registration, status, lease and CSINode.
//!
//! Owns the node's addresses, capacity, conditions MemoryPressure, DiskPressure, PIDPressure and Ready, nodeInfo and images. Leaves every other
//! condition, taint, label and annotation to its writer.

pub(crate) mod facts;
mod lease;
mod status;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use api::{Object, Patch, Status};
use jiff::Timestamp;
use runtime::types::{RuntimeStatus, Version};
use serde_json::{Value, json};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::agent::Agent;
use crate::resources;
use facts::{Facts, Pressure};

/// Registers the node, trying until it works.
pub(crate) async fn register(agent: &Agent) {
    let mut wait = Duration::from_millis(200);
    loop {
        match try_register(agent).await {
            Ok(()) => return,
            Err(error) => {
                warn!(node = agent.config.node_name, %error, "could not register the node, will retry");
                tokio::time::sleep(client::jittered(wait)).await;
                wait = (wait * 2).min(Duration::from_secs(7));
            }
        }
    }
}

async fn try_register(agent: &Agent) -> Result<(), Status> {
    let config = &agent.config;
    let nodes = resources::nodes();
    let present = match agent.client.get(nodes, "", &config.node_name).await {
        Err(error) if error.is_not_found() && config.register => {
            match agent.client.create(nodes, "", status::node(config)).await {
                Ok(object) => {
                    info!(node = config.node_name, "registered the node");
                    object
                }
                Err(error) if error.is_already_exists() => agent.client.get(nodes, "", &config.node_name).await?,
                Err(error) => return Err(error),
            }
        }
        other => other?,
    };
    // A node that was here before keeps what others put on it and gets what this agent says anew.
    let value = present.to_value().map_err(Status::internal)?;
    let mut metadata = json!({});
    for (field, wanted) in
        [("labels", Value::Object(status::labels(config))), ("annotations", status::annotations(config))]
    {
        for (key, wanted) in wanted.as_object().into_iter().flatten() {
            if value["metadata"][field][key] != *wanted {
                metadata[field][key] = wanted.clone();
            }
        }
    }
    if metadata != json!({}) {
        agent.client.patch(nodes, "", &config.node_name, "", Patch::Merge(json!({"metadata": metadata}))).await?;
    }
    Ok(())
}

/// Keeps status, lease and CSINode current until dropped.
pub(crate) async fn keep(agent: Arc<Agent>) {
    tokio::join!(keep_status(&agent), lease::keep(&agent), csi_node(&agent));
}

async fn keep_status(agent: &Agent) {
    let facts = Facts::read(&agent.config.root_dir);
    let mut version = Version::default();
    let mut reported: Option<Instant> = None;
    let mut last_ready = None;
    loop {
        if version.runtime_version.is_empty() {
            version = agent.runtime.version().await.unwrap_or_default();
        }
        let runtime = agent
            .runtime
            .status()
            .await
            .unwrap_or_else(|error| RuntimeStatus { not_ready: Some(error.to_string()), network_not_ready: None });
        let ready = runtime.not_ready.is_none() && runtime.network_not_ready.is_none();
        let due = reported.is_none_or(|at| at.elapsed() >= agent.config.timing.node_report);
        match report(agent, &facts, &version, &runtime, due).await {
            Ok(true) => reported = Some(Instant::now()),
            Ok(false) => {}
            Err(error) if error.is_not_found() => register(agent).await,
            Err(error) => warn!(%error, "could not write the node's status, will retry"),
        }
        if last_ready.replace(ready) != Some(ready) {
            info!(
                node = agent.config.node_name,
                ready,
                reason = runtime.network_not_ready.or(runtime.not_ready),
                "node readiness"
            );
        }
        // A node that is not ready yet looks more often: pods wait for it.
        let wait = if ready && reported.is_some() { agent.config.timing.node_status } else { Duration::from_secs(1) };
        tokio::time::sleep(wait.min(agent.config.timing.node_status)).await;
    }
}

/// Writes the status if it changed or is due; says whether it did.
async fn report(
    agent: &Agent,
    facts: &Facts,
    version: &Version,
    runtime: &RuntimeStatus,
    due: bool,
) -> Result<bool, Status> {
    let images = agent.runtime.list_images().await.unwrap_or_default();
    let pressure = Pressure::read(&agent.config.root_dir);
    let inputs = status::Inputs {
        config: &agent.config,
        facts,
        pressure: &pressure,
        port: agent.port(),
        version,
        runtime,
        images: &images,
        now: Timestamp::now(),
    };
    let mut present: Option<Arc<Object>> = agent.node.get("", &agent.config.node_name);
    for _ in 0..5 {
        let object = match present.take() {
            Some(object) => object,
            None => agent.client.get(resources::nodes(), "", &agent.config.node_name).await?,
        };
        let value = object.to_value().map_err(Status::internal)?;
        let wanted = status::status(&inputs, &value["status"]);
        if !due && !status::differs(&value["status"], &wanted) {
            return Ok(false);
        }
        let mut patch = crate::patch::merge(&value["status"], &wanted).unwrap_or(json!({}));
        patch = json!({"metadata": {"resourceVersion": object.meta.resource_version.to_string()}, "status": patch});
        match agent.client.patch(resources::nodes(), "", &agent.config.node_name, "status", Patch::Merge(patch)).await {
            Ok(_) => return Ok(true),
            Err(error) if error.is_conflict() => debug!("the node changed meanwhile, once more"),
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

async fn csi_node(agent: &Agent) {
    let name = &agent.config.node_name;
    loop {
        let present = agent.client.get(resources::csi_nodes(), "", name).await;
        let result = match present {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() => match agent.client.get(resources::nodes(), "", name).await {
                Ok(node) => {
                    let object = json!({
                        "apiVersion": "storage.k8s.io/v1", "kind": "CSINode",
                        "metadata": {"name": name, "ownerReferences": [
                            {"apiVersion": "v1", "kind": "Node", "name": name, "uid": &*node.meta.uid},
                        ]},
                        "spec": {"drivers": []},
                    });
                    agent.client.create(resources::csi_nodes(), "", object).await.map(drop)
                }
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        match result {
            Ok(()) => return,
            Err(error) if error.is_already_exists() => return,
            Err(error) => {
                debug!(%error, "could not create the CSINode, will retry");
                tokio::time::sleep(agent.config.timing.retry).await;
            }
        }
    }
}
