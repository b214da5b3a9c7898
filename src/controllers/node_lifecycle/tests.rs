use super::*;
use crate::Options;
use crate::testing::{Running, pod};
use client::testing::Cluster;
use serde_json::Value;

const NAMES: &[&str] = &["node-lifecycle-controller"];

fn node(name: &str, ready: &str) -> Value {
    json!({
        "metadata": { "name": name },
        "status": { "conditions": [{ "type": "Ready", "status": ready, "lastHeartbeatTime": "2026-01-01T00:00:00Z" }] },
    })
}

fn taints(node: &Value) -> Vec<String> {
    let taints = node["spec"]["taints"].as_array().into_iter().flatten();
    let word = |v: &Value| v.as_str().unwrap_or_default().trim_start_matches("node.kubernetes.io/").to_owned();
    taints.map(|taint| format!("{}:{}", word(&taint["key"]), word(&taint["effect"]))).collect()
}

fn named<'a>(nodes: &'a [Value], name: &str) -> &'a Value {
    nodes.iter().find(|node| node["metadata"]["name"] == name).unwrap()
}

/// Renews a node's lease every ten seconds, as a kubelet does.
fn renew(cluster: &Cluster, name: &'static str) -> tokio::task::JoinHandle<()> {
    let cluster = cluster.clone();
    tokio::spawn(async move {
        for n in 0.. {
            cluster.seed(
                &kinds::leases(),
                json!({ "metadata": { "namespace": LEASES, "name": name }, "spec": { "leaseTransitions": n } }),
            );
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_silent_node_becomes_unknown_and_comes_back() {
    let cluster = Cluster::new();
    cluster.seed(&kinds::nodes(), node("alive", "True"));
    cluster.seed(&kinds::nodes(), node("silent", "True"));
    cluster.seed(&kinds::pods(), pod("a", "p", json!({}), "silent", "Running"));
    cluster.seed(&kinds::pods(), pod("a", "q", json!({}), "alive", "Running"));
    let alive = renew(&cluster, "alive");
    let start = Instant::now();
    let running = Running::start(&cluster, NAMES, Options::default());
    let nodes = running.until(&kinds::nodes(), |nodes| taints(named(nodes, "silent")).len() == 2).await;
    assert!((40..50).contains(&start.elapsed().as_secs()), "after 40 s: {:?}", start.elapsed());
    assert_eq!(taints(named(&nodes, "silent")), ["unreachable:NoSchedule", "unreachable:NoExecute"]);
    let conditions = named(&nodes, "silent")["status"]["conditions"].as_array().unwrap();
    assert!(conditions.iter().all(|c| c["status"] == "Unknown"));
    assert_eq!(conditions.len(), 4);
    let ready = |pods: &[Value]| -> Vec<bool> {
        pods.iter().map(|p| p["status"]["conditions"][0]["status"] == "True").collect()
    };
    running.until(&kinds::pods(), |pods| ready(pods) == [false, true]).await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(taints(&cluster.value(&kinds::nodes(), "", "alive")), Vec::<String>::new(), "its lease is enough");

    let back = json!({ "type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-01T01:00:00Z" });
    let patch = Patch::Strategic(json!({ "status": { "conditions": [back] } }));
    cluster.client().patch(&kinds::nodes(), "", "silent", "status", patch).await.unwrap();
    running.until(&kinds::nodes(), |nodes| taints(named(nodes, "silent")).is_empty()).await;
    alive.abort();
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_evicted_while_no_node_is_healthy() {
    let cluster = Cluster::new();
    cluster.seed(&kinds::nodes(), node("only", "True"));
    let running = Running::start(&cluster, NAMES, Options::default());
    running.until(&kinds::nodes(), |nodes| !taints(&nodes[0]).is_empty()).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(taints(&cluster.value(&kinds::nodes(), "", "only")), ["unreachable:NoSchedule"]);
    running.stop().await;
}

#[test]
fn taints_say_what_the_conditions_say() {
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let check = |ready: &str, present: Value, evict, expect: Option<&[&str]>| {
        let mut node = node("n", ready);
        node["spec"] = json!({ "taints": present });
        let view: NodeView = serde_json::from_value(node).unwrap();
        let (list, _) = plan::taints(&view, evict, now);
        let list = list.map(|list| taints(&json!({ "spec": { "taints": list } })));
        assert_eq!(list, expect.map(|e| e.iter().map(|t| (*t).to_owned()).collect()));
    };
    let taint = |key: &str, effect: &str| json!({ "key": key, "effect": effect });
    let unreachable = taint("node.kubernetes.io/unreachable", "NoExecute");
    let mine = taint("mine", "NoExecute");
    check("True", json!([]), Evict::Now, None);
    check("False", json!([]), Evict::Now, Some(&["not-ready:NoSchedule", "not-ready:NoExecute"]));
    check("False", json!([]), Evict::Later, Some(&["not-ready:NoSchedule"]));
    check("False", json!([unreachable]), Evict::Later, Some(&["not-ready:NoSchedule", "not-ready:NoExecute"]));
    check("Unknown", json!([unreachable]), Evict::Never, Some(&["unreachable:NoSchedule"]));
    check("True", json!([mine, unreachable]), Evict::Now, Some(&["mine:NoExecute"]));
}

#[test]
fn eviction_slows_down_where_much_is_lost() {
    let check = |zone: (usize, usize), cluster: (usize, usize), expect: Option<u64>| {
        let pace = plan::pace(ZoneHealth::of(zone.0, zone.1), ZoneHealth::of(cluster.0, cluster.1));
        assert_eq!(pace, expect.map_or(Pace::Stop, |seconds| Pace::Every(Duration::from_secs(seconds))));
    };
    check((3, 1), (3, 1), Some(10));
    check((1, 2), (1, 2), Some(10));
    check((2, 3), (2, 3), None);
    check((20, 40), (20, 40), Some(100));
    check((0, 3), (5, 3), Some(10));
    check((0, 3), (0, 3), None);
}
