use std::sync::Arc;

use api::{Object, Patch};
use client::kinds;
use client::testing::Cluster;
use serde_json::{Value, json};

use super::plan::{Existing, Step, steps};
use crate::Options;
use crate::service_endpoints::Port;
use crate::testing::Running;

fn http() -> Vec<Port> {
    vec![Port { name: "http".into(), protocol: "TCP".into(), port: 80, app_protocol: None }]
}

fn wanted(addresses: std::ops::Range<u32>) -> Vec<(Vec<Port>, String, Value)> {
    addresses.map(|n| (http(), format!("10.0.0.{n}"), json!({"addresses": [format!("10.0.0.{n}")]}))).collect()
}

fn slice(name: &str, addresses: std::ops::Range<u32>) -> Existing {
    let endpoints: Vec<Value> = wanted(addresses).into_iter().map(|(_, _, rendered)| rendered).collect();
    let value = json!({
        "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1",
        "metadata": {"name": name, "namespace": "a", "labels": {"l": "1"}},
        "endpoints": endpoints, "ports": [{"name": "http", "protocol": "TCP", "port": 80}],
    });
    Existing::read(Arc::new(Object::encode(&value, 1, &kinds::endpoint_slices()).unwrap())).unwrap()
}

#[test]
fn a_change_touches_as_few_slices_as_it_can() {
    let labels = json!({"l": "1"});
    let check = |wanted: Vec<_>, existing: &[Existing], expect: &[&str]| {
        let shown: Vec<String> = steps(wanted, existing, &labels)
            .iter()
            .map(|step| match step {
                Step::Create { endpoints, .. } => format!("create {}", endpoints.len()),
                Step::Change { slice, endpoints, .. } => format!("change {} {}", slice.meta.name, endpoints.len()),
                Step::Delete { slice } => format!("delete {}", slice.meta.name),
            })
            .collect();
        assert_eq!(shown, expect);
    };
    check(vec![], &[], &["create 0"]);
    check(wanted(0..3), &[], &["create 3"]);
    check(wanted(0..3), &[slice("s", 0..3)], &[]);
    check(wanted(0..4), &[slice("s", 0..3)], &["change s 4"]);
    check(wanted(0..230), &[], &["create 100", "create 100", "create 30"]);
    check(wanted(0..101), &[slice("s", 0..100)], &["create 1"]);
    check(wanted(0..3), &[slice("s", 0..3), slice("t", 3..4)], &["delete t"]);
    check(vec![], &[slice("s", 0..3)], &["create 0", "delete s"]);
}

#[test]
fn labels_follow_the_service() {
    let steps = steps(wanted(0..1), &[slice("s", 0..1)], &json!({"m": "2"}));
    let [Step::Change { labels, .. }] = steps.as_slice() else { panic!("{steps:?}") };
    assert_eq!(*labels, json!({"m": "2", "l": null}));
}

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
