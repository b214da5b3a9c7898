use super::*;
use crate::Options;
use crate::testing::{Running, pod, text};
use api::Patch;
use client::testing::Cluster;
use serde_json::{Value, json};

const NAMES: &[&str] = &["taint-eviction-controller"];

fn tolerating(name: &str, tolerations: Value) -> Value {
    let mut pod = pod("a", name, json!({}), "n1", "Running");
    pod["spec"]["tolerations"] = tolerations;
    pod
}

async fn taint(cluster: &Cluster, taints: Value) {
    let patch = Patch::Merge(json!({ "spec": { "taints": taints } }));
    cluster.client().patch(&kinds::nodes(), "", "n1", "", patch).await.unwrap();
}

fn staying(pods: &[Value]) -> Vec<&str> {
    let stays = |pod: &&Value| pod["metadata"]["deletionTimestamp"].is_null();
    pods.iter().filter(stays).map(|pod| text(pod, "/metadata/name")).collect()
}

#[tokio::test(start_paused = true)]
async fn pods_stay_as_long_as_they_tolerate() {
    let cluster = Cluster::new();
    cluster.seed(&kinds::nodes(), json!({ "metadata": { "name": "n1" } }));
    let exists = |seconds: Value| json!([{ "key": "k", "operator": "Exists", "tolerationSeconds": seconds }]);
    cluster.seed(&kinds::pods(), tolerating("forever", exists(Value::Null)));
    cluster.seed(&kinds::pods(), tolerating("minute", exists(json!(60))));
    cluster.seed(&kinds::pods(), tolerating("none", json!([])));
    let running = Running::start(&cluster, NAMES, Options::default());
    let start = Instant::now();
    taint(&cluster, json!([{ "key": "k", "effect": "NoExecute" }])).await;
    let pods = running.until(&kinds::pods(), |pods| staying(pods) == ["forever", "minute"]).await;
    let gone = pods.iter().find(|pod| text(pod, "/metadata/name") == "none").unwrap();
    let target =
        gone["status"]["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "DisruptionTarget").unwrap();
    assert_eq!(target["reason"], "DeletionByTaintManager");
    assert!(start.elapsed().as_secs() < 5);
    running.until(&kinds::pods(), |pods| staying(pods) == ["forever"]).await;
    assert!((60..65).contains(&start.elapsed().as_secs()));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_taint_that_goes_in_time_spares_the_pod() {
    let cluster = Cluster::new();
    cluster.seed(&kinds::nodes(), json!({ "metadata": { "name": "n1" } }));
    cluster.seed(&kinds::pods(), tolerating("p", json!([{ "operator": "Exists", "tolerationSeconds": 60 }])));
    let running = Running::start(&cluster, NAMES, Options::default());
    taint(&cluster, json!([{ "key": "k", "effect": "NoExecute" }])).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    taint(&cluster, json!([])).await;
    let events = running.until(&kinds::events(), |events| !events.is_empty()).await;
    assert_eq!(text(&events[0], "/message"), "Cancelling deletion of Pod a/p");
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert!(cluster.value(&kinds::pods(), "a", "p")["metadata"]["deletionTimestamp"].is_null());
    running.stop().await;
}

#[test]
fn the_shortest_toleration_counts() {
    let taint = |key: &str| Taint { key: key.into(), effect: "NoExecute".into(), ..Taint::default() };
    let check = |keys: &[&str], tolerations: Value, expect: Stay| {
        let taints: Vec<Taint> = keys.iter().map(|key| taint(key)).collect();
        let tolerations: Vec<Toleration> = serde_json::from_value(tolerations).unwrap();
        assert_eq!(stay(&taints, &tolerations), expect);
    };
    let both = json!([{ "key": "a", "operator": "Exists", "tolerationSeconds": 9 }, { "key": "b", "operator": "Exists", "tolerationSeconds": 5 }]);
    check(&[], json!([]), Stay::Forever);
    check(&["a"], both.clone(), Stay::For(Duration::from_secs(9)));
    check(&["a", "b"], both.clone(), Stay::For(Duration::from_secs(5)));
    check(&["a", "c"], both, Stay::For(Duration::ZERO));
    check(&["a"], json!([{ "operator": "Exists" }]), Stay::Forever);
    check(&["a"], json!([{ "operator": "Exists", "tolerationSeconds": -1 }]), Stay::For(Duration::ZERO));
}
