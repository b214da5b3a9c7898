use api::Patch;
use client::kinds;
use client::testing::Cluster;
use serde_json::{Value, json};

use crate::Options;
use crate::testing::Running;

#[tokio::test(start_paused = true)]
async fn pods_come_and_go_behind_a_service() {
    let cluster = Cluster::new();
    let running = Running::start(&cluster, &["endpointslice-controller", "endpoints-controller"], Options::default());
    let client = cluster.client();
    let service = json!({
        "metadata": {"name": "web", "labels": {"team": "x"}},
        "spec": {"selector": {"app": "web"}, "clusterIP": "10.43.0.9", "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": "main"}]},
    });
    client.create(&kinds::services(), "a", service).await.unwrap();
    running
        .until(&kinds::endpoint_slices(), |s| s.len() == 1 && s[0]["endpoints"].as_array().is_none_or(Vec::is_empty))
        .await;
    for (name, ready) in [("one", "True"), ("two", "False")] {
        cluster.seed(
            &kinds::pods(),
            json!({
                "metadata": {"namespace": "a", "name": name, "labels": {"app": "web"}},
                "spec": {"nodeName": "n", "containers": [{"name": "c", "ports": [{"name": "main", "containerPort": 8080, "protocol": "TCP"}]}]},
                "status": {"phase": "Running", "podIP": format!("10.42.0.{}", name.len() + usize::from(ready == "True")),
                           "conditions": [{"type": "Ready", "status": ready}]},
            }),
        );
    }
    let slices = running
        .until(&kinds::endpoint_slices(), |all| {
            all.iter()
                .filter(|s| s["ports"][0]["port"] == 8080)
                .flat_map(|s| s["endpoints"].as_array().cloned().unwrap_or_default())
                .count()
                == 2
        })
        .await;
    let slice = slices.iter().find(|s| s["ports"][0]["port"] == 8080).unwrap();
    assert_eq!(slice["metadata"]["labels"]["kubernetes.io/service-name"], "web");
    assert_eq!(slice["metadata"]["labels"]["team"], "x");
    let ready =
        |all: &Value| all["endpoints"].as_array().unwrap().iter().filter(|e| e["conditions"]["ready"] == true).count();
    assert_eq!(ready(slice), 1);
    let endpoints = running.until(&kinds::endpoints(), |all| all.len() == 1 && all[0]["subsets"].is_array()).await;
    assert_eq!(endpoints[0]["subsets"][0]["addresses"].as_array().map(Vec::len), Some(1));
    assert_eq!(endpoints[0]["subsets"][0]["notReadyAddresses"].as_array().map(Vec::len), Some(1));
    assert_eq!(endpoints[0]["subsets"][0]["ports"], json!([{"name": "http", "port": 8080, "protocol": "TCP"}]));
    let unlabel = Patch::Merge(json!({"metadata": {"labels": {"app": "other"}}}));
    client.patch(&kinds::pods(), "a", "one", "", unlabel).await.unwrap();
    running.until(&kinds::endpoints(), |all| all[0]["subsets"][0]["addresses"].is_null()).await;
    client.delete(&kinds::services(), "a", "web", Default::default()).await.unwrap();
    running.until(&kinds::endpoints(), |all| all.is_empty()).await;
    running.stop().await;
}
