//! Pods and configuration as this node knows them.

use std::sync::Arc;

use http::StatusCode;
use runtime::types::{ContainerFilter, ContainerState};
use serde_json::{Value, json};

use super::{Answer, json as json_answer, respond, text};
use crate::agent::Agent;
use crate::pods::observed::{CONTAINER_NAME, POD_NAME, POD_NAMESPACE, POD_UID};

/// `/pods`: the pods bound to this node.
pub(super) fn pods(agent: &Agent) -> Answer {
    let mut all: Vec<_> = agent.pods.lock().values().cloned().collect();
    all.sort_by_key(|o| o.meta.key());
    // The objects' own bytes, never decoded.
    let mut body = br#"{"kind":"PodList","apiVersion":"v1","metadata":{},"items":["#.to_vec();
    for (at, object) in all.iter().enumerate() {
        if at > 0 {
            body.push(b',');
        }
        object.write_json(&mut body);
    }
    body.extend_from_slice(b"]}\n");
    respond(StatusCode::OK, "application/json", body)
}

/// `/runningpods/`: what the runtime runs.
pub(super) async fn running_pods(agent: &Arc<Agent>) -> Answer {
    let filter = ContainerFilter { state: Some(ContainerState::Running), ..ContainerFilter::default() };
    let containers = match agent.runtime.list_containers(&filter).await {
        Ok(all) => all,
        Err(error) => return text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    };
    let mut pods = std::collections::BTreeMap::<String, Value>::new();
    for container in containers {
        let label = |key: &str| container.labels.get(key).cloned().unwrap_or_default();
        let pod = pods.entry(label(POD_UID)).or_insert_with(|| {
            json!({
                "metadata": {"name": label(POD_NAME), "namespace": label(POD_NAMESPACE), "uid": label(POD_UID), "creationTimestamp": null},
                "spec": {"containers": []}, "status": {},
            })
        });
        if let Some(list) = pod["spec"]["containers"].as_array_mut() {
            list.push(json!({"name": label(CONTAINER_NAME), "image": container.image_ref, "resources": {}}));
        }
    }
    let items: Vec<Value> = pods.into_values().collect();
    json_answer(&json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}))
}

/// `/configz`: the settings that differ from one node to the next, under upstream's names.
pub(super) fn configz(agent: &Agent) -> Answer {
    let config = &agent.config;
    let duration = |d: std::time::Duration| format!("{}s", d.as_secs());
    let dns: Vec<String> = config.cluster_dns.iter().map(ToString::to_string).collect();
    json_answer(&json!({"kubeletconfig": {
        "kind": "KubeletConfiguration", "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "address": config.listen.ip().to_string(), "port": agent.port(), "healthzPort": config.healthz.map_or(0, |a| a.port()),
        "staticPodPath": config.manifest_dir, "clusterDomain": config.cluster_domain, "clusterDNS": dns,
        "maxPods": config.max_pods, "resolvConf": config.resolv_conf, "cgroupRoot": config.cgroup_root, "cgroupDriver": "cgroupfs",
        "nodeStatusUpdateFrequency": duration(config.timing.node_status), "nodeStatusReportFrequency": duration(config.timing.node_report),
        "nodeLeaseDurationSeconds": 40, "containerLogMaxSize": "10Mi", "containerLogMaxFiles": 5, "podLogsDir": config.log_dir,
        "authentication": {"anonymous": {"enabled": false}, "webhook": {"enabled": true, "cacheTTL": "2m0s"}, "x509": {}},
        "authorization": {"mode": "Webhook"},
    }}))
}
