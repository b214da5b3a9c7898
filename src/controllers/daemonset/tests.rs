use std::sync::Arc;

use api::{Object, Patch};
use client::kinds;
use client::testing::Cluster;
use serde_json::{Value, json};

use super::place::{self, Node, Placement};
use super::plan::{self, Changes, Daemon, DaemonPod, Ended};
use crate::Options;
use crate::testing::{Running, text};

const NAMES: &[&str] = &["daemonset-controller"];

fn node(name: &str, labels: Value, taints: Value) -> Value {
    json!({ "metadata": { "name": name, "labels": labels }, "spec": { "taints": taints } })
}

fn read(node: &Value) -> Node {
    Node::of(&Object::encode(node, 1, &kinds::nodes()).unwrap()).unwrap()
}

#[test]
fn nodes_are_chosen_by_name_selector_affinity_and_taints() {
    let taint = |key: &str, effect: &str| json!([{ "key": key, "effect": effect }]);
    let check = |spec: Value, labels: Value, taints: Value, expect: Placement| {
        let spec: place::PodSpec = serde_json::from_value(spec.clone()).unwrap();
        assert_eq!(spec.placement(&read(&node("n1", labels.clone(), taints.clone()))), expect, "{labels} {taints}");
    };
    check(json!({}), json!({}), json!([]), Placement::Run);
    check(json!({ "nodeName": "n2" }), json!({}), json!([]), Placement::Never);
    check(json!({ "nodeName": "n1" }), json!({}), json!([]), Placement::Run);
    let selector = json!({ "nodeSelector": { "disk": "ssd" } });
    check(selector.clone(), json!({}), json!([]), Placement::Never);
    check(selector, json!({ "disk": "ssd" }), json!([]), Placement::Run);
    let terms = |terms: Value| {
        let required = json!({ "nodeSelectorTerms": terms });
        json!({ "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": required } } })
    };
    let by_name = |name: &str| {
        terms(json!([{ "matchFields": [{ "key": "metadata.name", "operator": "In", "values": [name] }] }]))
    };
    check(by_name("n1"), json!({}), json!([]), Placement::Run);
    check(by_name("n2"), json!({}), json!([]), Placement::Never);
    // Taints: what is not tolerated keeps new pods away, and with NoExecute those that are there too.
    check(json!({}), json!({}), taint("a", "NoSchedule"), Placement::Keep);
    check(json!({}), json!({}), taint("a", "NoExecute"), Placement::Never);
    check(json!({}), json!({}), taint("a", "PreferNoSchedule"), Placement::Run);
    let tolerant = json!({ "tolerations": [{ "key": "a", "operator": "Exists" }] });
    check(tolerant, json!({}), taint("a", "NoExecute"), Placement::Run);
    // What every daemon pod tolerates.
    for key in ["not-ready", "unreachable"] {
        check(json!({}), json!({}), taint(&format!("node.kubernetes.io/{key}"), "NoExecute"), Placement::Run);
    }
    for key in ["disk-pressure", "memory-pressure", "pid-pressure", "unschedulable"] {
        check(json!({}), json!({}), taint(&format!("node.kubernetes.io/{key}"), "NoSchedule"), Placement::Run);
    }
    let unconnected = || taint("node.kubernetes.io/network-unavailable", "NoSchedule");
    check(json!({}), json!({}), unconnected(), Placement::Keep);
    check(json!({ "hostNetwork": true }), json!({}), unconnected(), Placement::Run);
}

#[test]
fn a_pod_is_bound_to_its_node_by_affinity() {
    let theirs = json!({ "key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5 });
    let pod = json!({ "metadata": { "labels": { "app": "d" } }, "spec": { "tolerations": [theirs] } });
    let pod = place::pod_for(pod, "n1", "abc");
    assert_eq!(pod["metadata"]["labels"], json!({ "app": "d", "controller-revision-hash": "abc" }));
    let tolerations = pod["spec"]["tolerations"].as_array().unwrap();
    assert_eq!(tolerations.len(), 6);
    assert_eq!(tolerations[0]["tolerationSeconds"], Value::Null, "daemon pods stay for ever");
    let object = Object::encode(&pod, 1, &kinds::pods()).unwrap();
    assert_eq!(place::target(&object).unwrap().as_deref(), Some("n1"));
}

/// A pod as `node hash age state`: state is `ok`, `new` (not ready), `failed`, `done` or `gone` (on its way out).
fn pods(list: &[(&str, &str, &str)]) -> Vec<DaemonPod> {
    let one = |(at, (node, hash, state)): (usize, &(&str, &str, &str))| {
        let phase = match *state {
            "failed" => "Failed",
            "done" => "Succeeded",
            _ => "Running",
        };
        let mut pod = json!({
            "metadata": {
                "name": format!("p{at}"), "labels": { "controller-revision-hash": hash },
                "creationTimestamp": format!("2026-01-01T00:00:{at:02}Z"),
            },
            "spec": { "nodeName": node },
            "status": { "phase": phase, "conditions": [{ "type": "Ready", "status": if *state == "ok" { "True" } else { "False" } }] },
        });
        if *state == "gone" {
            pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:01:00Z".into();
        }
        let object = Arc::new(Object::encode(&pod, 1, &kinds::pods()).unwrap());
        DaemonPod::read(&object, 0, jiff::Timestamp::UNIX_EPOCH).unwrap().unwrap()
    };
    list.iter().enumerate().map(one).collect()
}

fn nodes(list: &[(&str, Placement)]) -> Vec<(Node, Placement)> {
    list.iter().map(|(name, placement)| (Node { name: (*name).to_owned(), ..Node::default() }, *placement)).collect()
}

fn changes(create: &[&str], delete: &[usize]) -> Changes {
    Changes { create: create.iter().map(|name| (*name).to_owned()).collect(), delete: delete.to_vec(), ended: vec![] }
}

#[test]
fn every_node_gets_one_pod() {
    use Placement::{Keep, Never, Run};
    let check =
        |surges: bool, placement: Placement, there: &[(&str, &str, &str)], create: &[&str], delete: &[usize]| {
            let made = plan::manage(&nodes(&[("n1", placement)]), &pods(there), "h", surges, |_| true);
            assert_eq!((made.create, made.delete), (changes(create, delete).create, delete.to_vec()), "{there:?}");
        };
    check(false, Run, &[], &["n1"], &[]);
    check(false, Keep, &[], &[], &[]);
    check(false, Never, &[], &[], &[]);
    check(false, Run, &[("n1", "h", "ok")], &[], &[]);
    check(false, Keep, &[("n1", "h", "ok")], &[], &[]);
    check(false, Never, &[("n1", "h", "ok"), ("n1", "h", "gone")], &[], &[0]);
    // The place of a pod that is going is taken only when it is gone, unless the set surges.
    check(false, Run, &[("n1", "h", "gone")], &[], &[]);
    check(true, Run, &[("n1", "h", "gone")], &["n1"], &[]);
    check(false, Run, &[("n1", "h", "ok"), ("n1", "h", "ok")], &[], &[1]);
    check(false, Run, &[("n1", "h", "failed")], &[], &[0]);
    check(false, Run, &[("n1", "h", "done")], &[], &[0]);
    // Surging: one old and one new, until the new one is available or the old one is not ready.
    check(true, Run, &[("n1", "o", "ok"), ("n1", "h", "new")], &[], &[]);
    check(true, Run, &[("n1", "o", "ok"), ("n1", "h", "ok")], &[], &[0]);
    check(true, Run, &[("n1", "o", "new"), ("n1", "h", "new")], &[], &[0]);
    check(true, Run, &[("n1", "o", "ok"), ("n1", "o", "ok"), ("n1", "h", "new"), ("n1", "h", "new")], &[], &[3, 1]);
    // A bound pod of a node that is gone is the pod garbage collector's.
    check(false, Never, &[("n9", "h", "ok")], &[], &[]);
}

#[test]
fn a_failed_pod_stays_through_its_backoff() {
    let (nodes, pods) = (nodes(&[("n1", Placement::Run)]), pods(&[("n1", "h", "failed")]));
    assert!(plan::manage(&nodes, &pods, "h", false, |_| false).is_empty());
    assert_eq!(plan::manage(&nodes, &pods, "h", false, |_| true).ended, [(0, Ended::Failed)]);
}

#[test]
fn updates_keep_within_their_limits() {
    let check = |strategy: Value, there: &[(&str, &str, &str)], create: &[&str], delete: &[usize]| {
        let spec = json!({ "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": strategy } });
        let daemon: Daemon = serde_json::from_value(json!({ "spec": spec })).unwrap();
        let nodes = nodes(&[("n1", Placement::Run), ("n2", Placement::Run), ("n3", Placement::Run)]);
        assert_eq!(plan::roll(&daemon, &nodes, &pods(there), "h"), changes(create, delete), "{there:?}");
    };
    let old = [("n1", "o", "ok"), ("n2", "o", "ok"), ("n3", "o", "ok")];
    let one = json!({ "maxUnavailable": 1 });
    check(one.clone(), &old, &[], &[0]);
    check(json!({}), &old, &[], &[0]);
    check(json!({ "maxUnavailable": 2 }), &old, &[], &[0, 1]);
    check(json!({ "maxUnavailable": "50%" }), &old, &[], &[0, 1]);
    check(one.clone(), &[("n1", "h", "new"), ("n2", "o", "ok"), ("n3", "o", "ok")], &[], &[]);
    check(one.clone(), &[("n1", "h", "ok"), ("n2", "o", "ok"), ("n3", "o", "ok")], &[], &[1]);
    // A node without a pod counts as unavailable; an old pod that does not work goes in any case.
    check(one.clone(), &[("n2", "o", "ok"), ("n3", "o", "ok")], &[], &[]);
    check(one.clone(), &[("n1", "o", "new"), ("n2", "o", "new"), ("n3", "o", "ok")], &[], &[0, 1]);
    check(one, &[("n1", "h", "ok"), ("n2", "h", "ok"), ("n3", "h", "ok")], &[], &[]);
    let surge = json!({ "maxSurge": 1, "maxUnavailable": 0 });
    check(surge.clone(), &old, &["n1"], &[]);
    check(json!({ "maxSurge": "50%", "maxUnavailable": 0 }), &old, &["n1", "n2"], &[]);
    let begun = [old[0], old[1], old[2], ("n1", "h", "new")];
    check(surge.clone(), &begun, &[], &[]);
    let come = [old[0], old[1], old[2], ("n1", "h", "ok")];
    check(surge.clone(), &come, &["n2"], &[0]);
    check(surge, &[("n1", "o", "new"), old[1], old[2]], &["n1", "n2"], &[]);
}

#[test]
fn a_surging_set_leaves_a_node_only_for_one_where_it_is_available() {
    let spec = json!({ "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 0 } } });
    let daemon: Daemon = serde_json::from_value(json!({ "spec": spec })).unwrap();
    let nodes = nodes(&[("n1", Placement::Keep), ("n2", Placement::Run)]);
    let check = |state: &str, delete: &[usize]| {
        let there = pods(&[("n1", "o", "ok"), ("n2", "h", state)]);
        assert_eq!(plan::roll(&daemon, &nodes, &there, "h"), changes(&[], delete), "{state}");
    };
    check("new", &[]);
    check("ok", &[0]);
}

fn daemon_set() -> Value {
    json!({
        "metadata": { "name": "d", "annotations": { "kubernetes.io/change-cause": "first" } },
        "spec": {
            "selector": { "matchLabels": { "app": "d" } },
            "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 1, "maxSurge": 0 } },
            "template": {
                "metadata": { "labels": { "app": "d" } },
                "spec": { "containers": [{ "name": "c", "image": "one" }] },
            },
        },
    })
}

/// The scheduler and the kubelet, in one: binds what wants a node, and runs it.
async fn run_pods(cluster: &Cluster) {
    let pods = kinds::pods();
    for key in cluster.keys(&pods) {
        let (namespace, name) = api::meta::split_key(&key);
        let pod = cluster.value(&pods, namespace, name);
        if pod["metadata"]["deletionTimestamp"].is_string() || pod["status"]["phase"] != "Pending" {
            continue;
        }
        let object = Object::encode(&pod, 1, &pods).unwrap();
        let node = place::target(&object).unwrap().expect("the pod wants a node");
        let binding = json!({ "target": { "name": node } });
        let client = cluster.client();
        let bind = api::Operation::Create(binding, api::WriteOptions::default());
        client.call(&pods, namespace, name, "binding", bind).await.unwrap();
        let ready = json!([{ "type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z" }]);
        let patch = Patch::Merge(json!({ "status": { "phase": "Running", "conditions": ready } }));
        client.patch(&pods, namespace, name, "status", patch).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn nodes_come_and_go_and_so_do_their_pods() {
    let cluster = Cluster::new();
    for name in ["n1", "n2"] {
        cluster.seed(&kinds::nodes(), node(name, json!({ "role": "worker" }), json!([])));
    }
    let running = Running::start(&cluster, NAMES, Options::default());
    let (client, sets) = (cluster.client(), kinds::daemon_sets());
    client.create(&sets, "a", daemon_set()).await.unwrap();
    running.until(&kinds::pods(), |pods| pods.len() == 2).await;
    run_pods(&cluster).await;
    let now = running.until(&sets, |sets| sets[0]["status"]["numberAvailable"] == 2).await;
    assert_eq!(
        now[0]["status"],
        json!({
            "desiredNumberScheduled": 2, "currentNumberScheduled": 2, "numberMisscheduled": 0, "numberReady": 2,
            "updatedNumberScheduled": 2, "numberAvailable": 2, "observedGeneration": 1,
        })
    );
    let revisions = running.until(&kinds::controller_revisions(), |all| all.len() == 1).await;
    assert_eq!(revisions[0]["revision"], 1);
    assert_eq!(text(&revisions[0], "/metadata/annotations/kubernetes.io~1change-cause"), "first");
    let data = revisions[0]["data"].to_string();
    assert!(
        data.starts_with(r#"{"spec":{"template":{"$patch":"replace","metadata":"#),
        "in order, as upstream has it: {data}"
    );

    client.create(&kinds::nodes(), "", node("n3", json!({}), json!([]))).await.unwrap();
    running.until(&kinds::pods(), |pods| pods.len() == 3).await;
    let full = json!({ "spec": { "taints": [{ "key": "full", "effect": "NoExecute" }] } });
    client.patch(&kinds::nodes(), "", "n1", "", Patch::Merge(full)).await.unwrap();
    let gone = |pod: &Value| pod["spec"]["nodeName"] == "n1" && pod["metadata"]["deletionTimestamp"].is_string();
    running.until(&kinds::pods(), |pods| pods.iter().any(gone)).await;
    running.until(&sets, |sets| sets[0]["status"]["desiredNumberScheduled"] == 2).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_new_template_rolls_out_node_by_node_and_back() {
    let cluster = Cluster::new();
    for name in ["n1", "n2"] {
        cluster.seed(&kinds::nodes(), node(name, json!({}), json!([])));
    }
    let running = Running::start(&cluster, NAMES, Options::default());
    let (client, sets, pods) = (cluster.client(), kinds::daemon_sets(), kinds::pods());
    client.create(&sets, "a", daemon_set()).await.unwrap();
    running.until(&pods, |pods| pods.len() == 2).await;
    run_pods(&cluster).await;
    running.until(&sets, |sets| sets[0]["status"]["numberAvailable"] == 2).await;
    let first = cluster.value(&kinds::controller_revisions(), "a", &name_of_revision(&cluster, 1));

    let two = json!({ "spec": { "template": { "spec": { "containers": [{ "name": "c", "image": "two" }] } } } });
    client.patch(&sets, "a", "d", "", Patch::Merge(two)).await.unwrap();
    roll_through(&running, "two").await;
    assert!(!name_of_revision(&cluster, 2).is_empty());

    // What `kubectl rollout undo` sends: the old revision's data.
    client.patch(&sets, "a", "d", "", Patch::Strategic(first["data"].clone())).await.unwrap();
    roll_through(&running, "one").await;
    assert_eq!(name_of_revision(&cluster, 3), text(&first, "/metadata/name"));
    assert_eq!(cluster.keys(&kinds::controller_revisions()).len(), 2);
    running.stop().await;
}

fn name_of_revision(cluster: &Cluster, number: i64) -> String {
    let all = cluster.keys(&kinds::controller_revisions());
    let read = |key: &String| cluster.value(&kinds::controller_revisions(), "a", api::meta::split_key(key).1);
    let found = all.iter().map(read).find(|revision| revision["revision"] == number);
    found.map(|revision| text(&revision, "/metadata/name").to_owned()).unwrap_or_default()
}

/// Plays kubelet until both nodes run the image; there is never more than one node without an available pod.
async fn roll_through(running: &Running, image: &str) {
    let pods = kinds::pods();
    let updated = |pod: &Value| pod["spec"]["containers"][0]["image"] == image;
    let going = |pod: &Value| pod["metadata"]["deletionTimestamp"].is_string();
    for done in 1..=2 {
        let now = running.until(&pods, |pods| pods.iter().any(going)).await;
        assert_eq!(now.iter().filter(|pod| going(pod)).count(), 1);
        let doomed = now.iter().find(|pod| going(pod)).unwrap();
        let options = api::DeleteOptions { grace_period_seconds: Some(0), ..Default::default() };
        let client = running.cluster.client();
        client.delete(&pods, "a", text(doomed, "/metadata/name"), options).await.unwrap();
        running.until(&pods, |pods| pods.iter().filter(|pod| updated(pod)).count() == done).await;
        run_pods(&running.cluster).await;
    }
    let complete = |sets: &[Value]| {
        let status = &sets[0]["status"];
        status["updatedNumberScheduled"] == 2 && status["numberAvailable"] == 2
    };
    running.until(&kinds::daemon_sets(), complete).await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_pod_is_replaced_and_the_next_one_later() {
    let cluster = Cluster::new();
    cluster.seed(&kinds::nodes(), node("n1", json!({}), json!([])));
    let running = Running::start(&cluster, NAMES, Options::default());
    let (client, pods) = (cluster.client(), kinds::pods());
    client.create(&kinds::daemon_sets(), "a", daemon_set()).await.unwrap();
    let start = tokio::time::Instant::now();
    let mut last = String::new();
    for _ in 0..4 {
        let fresh = |pods: &[Value]| pods.len() == 1 && pods[0]["metadata"]["name"] != last.as_str();
        let now = running.until(&pods, fresh).await;
        last = text(&now[0], "/metadata/name").to_owned();
        let failed = Patch::Merge(json!({ "status": { "phase": "Failed" } }));
        client.patch(&pods, "a", &last, "status", failed).await.unwrap();
    }
    // The first goes at once, the second after one second, the third after two more.
    assert!(start.elapsed() >= std::time::Duration::from_secs(3), "{:?}", start.elapsed());
    let events = running.until(&kinds::events(), |all| all.iter().any(|e| e["reason"] == "FailedDaemonPod")).await;
    let told = events.iter().find(|event| event["reason"] == "FailedDaemonPod").unwrap();
    assert!(text(told, "/message").contains("on node n1, will try to kill it"));
    running.stop().await;
}
