use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::{Object, resource};
use serde_json::{Value, json};

use crate::algorithm::choose;
use crate::cluster::Cluster;
use crate::node::NodeSpec;
use crate::pod::Pod;
use crate::queue::Queue;

fn pod(name: &str, spec: Value) -> Arc<Pod> {
    let pods = resource::find("", "v1", "pods").unwrap();
    let object = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": name, "namespace": "a", "uid": name}, "spec": spec});
    Arc::new(Pod::read(&Arc::new(Object::encode(&object, 1, pods).unwrap())).unwrap())
}

fn node(name: &str, more: Value) -> NodeSpec {
    let nodes = resource::find("", "v1", "nodes").unwrap();
    let mut object = json!({
        "kind": "Node", "apiVersion": "v1", "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "status": {"allocatable": {"cpu": "2", "memory": "4Gi", "pods": "3"}},
    });
    json_patch::merge(&mut object, &more);
    NodeSpec::read(&Object::encode(&object, 1, nodes).unwrap()).unwrap()
}

fn cluster(nodes: impl IntoIterator<Item = NodeSpec>) -> Cluster {
    let mut cluster = Cluster::default();
    nodes.into_iter().for_each(|node| assert!(cluster.put_node(node)));
    cluster
}

fn requests(cpu: &str) -> Value {
    json!({"containers": [{"image": "x", "resources": {"requests": {"cpu": cpu}}}]})
}

#[test]
fn pods_wait_with_upstreams_words() {
    let tainted = json!({"spec": {"taints": [{"key": "drunk", "value": "true", "effect": "NoSchedule"}]}});
    let cluster =
        cluster([node("a", tainted), node("b", json!({})), node("c", json!({"spec": {"unschedulable": true}}))]);
    let check = |spec: Value, expect: &str| {
        let message = choose(&pod("p", spec), cluster.nodes(), &mut 0).map_err(|o| o.message()).unwrap_err();
        assert_eq!(message, expect);
    };
    let tail = "preemption: 0/3 nodes are available:";
    check(
        requests("3"),
        &format!(
            "0/3 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s), \
             1 node(s) were unschedulable. {tail} 3 Preemption is not helpful for scheduling."
        ),
    );
    check(
        json!({"nodeSelector": {"disk": "ssd"}, "tolerations": [{"operator": "Exists"}]}),
        &format!(
            "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector. \
             {tail} 3 Preemption is not helpful for scheduling."
        ),
    );
    let nobody = choose(&pod("p", json!({})), &[], &mut 0).map_err(|o| o.message()).unwrap_err();
    assert_eq!(nobody, "no nodes available to schedule pods");
}

#[test]
fn room_runs_out() {
    let mut cluster = cluster([node("a", json!({}))]);
    cluster.place(pod("big", requests("1500m")), "a");
    let check = |cluster: &Cluster, pod: &Pod, expect: &str| {
        let message = choose(pod, cluster.nodes(), &mut 0).map_err(|o| o.message()).unwrap_err();
        assert!(message.contains(expect), "{message}");
        assert!(message.ends_with("1 No preemption victims found for incoming pod."), "{message}");
    };
    check(&cluster, &pod("p", requests("600m")), "1 Insufficient cpu");
    assert!(choose(&pod("p", requests("500m")), cluster.nodes(), &mut 0).is_ok());
    cluster.place(pod("x", requests("0")), "a");
    cluster
        .place(pod("y", json!({"containers": [{"image": "x", "ports": [{"containerPort": 1, "hostPort": 80}]}]})), "a");
    check(&cluster, &pod("p", requests("0")), "1 Too many pods");
    cluster.remove_pod("a/x");
    let port = |ip: &str| json!({"containers": [{"image": "x", "ports": [{"containerPort": 1, "hostPort": 80, "hostIP": ip}]}]});
    check(&cluster, &pod("p", port("10.0.0.1")), "1 node(s) didn't have free ports for the requested pod ports");
    cluster.remove_pod("a/y");
    assert!(choose(&pod("p", port("10.0.0.1")), cluster.nodes(), &mut 0).is_ok());
    cluster.remove_pod("a/big");
    assert_eq!(cluster.nodes()[0].requested, Default::default());
}

#[test]
fn init_containers_and_sidecars_count_as_they_run() {
    let check = |init: &[(&str, bool)], main: &str, expect: i64| {
        let of = |cpu: &str| json!({"image": "x", "resources": {"requests": {"cpu": cpu}}});
        let init: Vec<Value> = init
            .iter()
            .map(|(cpu, sidecar)| {
                let mut container = of(cpu);
                if *sidecar {
                    container["restartPolicy"] = "Always".into();
                }
                container
            })
            .collect();
        let pod = pod("p", json!({"initContainers": init, "containers": [of(main)]}));
        assert_eq!(pod.requests.milli_cpu, expect, "{init:?}");
    };
    check(&[], "1", 1000);
    check(&[("3", false)], "1", 3000);
    check(&[("1", true)], "1", 2000);
    check(&[("1", true), ("3", false)], "1", 4000);
    check(&[("3", false), ("1", true)], "1", 3000);
}

#[test]
fn affinity_terms_and_tolerations() {
    let labelled = node("a", json!({"metadata": {"labels": {"zone": "z1", "cores": "8"}}}));
    let cluster = cluster([labelled]);
    let check = |expressions: Value, expect: bool| {
        let term = json!({"matchExpressions": expressions});
        let affinity =
            json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}});
        let fits = choose(&pod("p", json!({"affinity": affinity})), cluster.nodes(), &mut 0).is_ok();
        assert_eq!(fits, expect, "{expressions}");
    };
    check(json!([{"key": "zone", "operator": "In", "values": ["z1", "z2"]}]), true);
    check(json!([{"key": "zone", "operator": "NotIn", "values": ["z1"]}]), false);
    check(json!([{"key": "none", "operator": "NotIn", "values": ["z1"]}]), true);
    check(json!([{"key": "none", "operator": "Exists"}]), false);
    check(json!([{"key": "none", "operator": "DoesNotExist"}]), true);
    check(json!([{"key": "cores", "operator": "Gt", "values": ["4"]}]), true);
    check(json!([{"key": "cores", "operator": "Lt", "values": ["4"]}]), false);
    check(json!([{"key": "zone", "operator": "Gt", "values": ["4"]}]), false);
    check(json!([]), false);
}

#[test]
fn siblings_spread_over_nodes() {
    let mut cluster = cluster((0..4).map(|n| node(&format!("n{n}"), json!({}))));
    let pods = resource::find("", "v1", "pods").unwrap();
    let mut used = HashSet::new();
    for n in 0..4 {
        let owner =
            json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "r", "controller": true}]);
        let object = json!({
            "kind": "Pod", "apiVersion": "v1", "spec": {"containers": [{"image": "x"}]},
            "metadata": {"name": format!("p{n}"), "namespace": "a", "ownerReferences": owner},
        });
        let pod = Arc::new(Pod::read(&Arc::new(Object::encode(&object, 1, pods).unwrap())).unwrap());
        let at = choose(&pod, cluster.nodes(), &mut 0).unwrap();
        let name = cluster.nodes()[at].spec.name.clone();
        cluster.place(pod, &name);
        used.insert(name);
    }
    assert_eq!(used.len(), 4);
}

#[test]
fn pods_of_a_node_that_comes_later_count() {
    let mut cluster = Cluster::default();
    cluster.place(pod("early", requests("2")), "a");
    cluster.put_node(node("a", json!({})));
    assert!(choose(&pod("p", requests("1")), cluster.nodes(), &mut 0).is_err());
    cluster.remove_node("a");
    assert!(!cluster.remove_pod("a/early"), "a pod of a node that is gone frees nothing");
}

#[test]
fn the_queue_orders_by_priority_and_backs_off() {
    let mut queue = Queue::default();
    let now = Instant::now();
    queue.put(pod("low", json!({"priority": 1})));
    queue.put(pod("high", json!({"priority": 9})));
    queue.put(pod("low2", json!({"priority": 1})));
    let mut take = |at: Duration| queue.take(now + at).map(|pod| pod.key.to_string());
    assert_eq!(take(Duration::ZERO).as_deref(), Some("a/high"));
    assert_eq!(take(Duration::ZERO).as_deref(), Some("a/low"));
    assert_eq!(take(Duration::ZERO).as_deref(), Some("a/low2"));
    assert_eq!(take(Duration::ZERO), None);
    queue.set_aside("a/high", now);
    queue.back_off("a/low", now);
    assert_eq!(queue.take(now + Duration::from_millis(900)).map(|p| p.key.to_string()), None);
    assert_eq!(queue.take(now + Duration::from_millis(1100)).map(|p| p.key.to_string()).as_deref(), Some("a/low"));
    queue.something_changed(now);
    assert_eq!(queue.take(now + Duration::from_millis(1100)).map(|p| p.key.to_string()).as_deref(), Some("a/high"));
    queue.remove("a/low2");
    queue.set_aside("a/low", now);
    assert_eq!(queue.take(now + Duration::from_secs(301)).map(|p| p.key.to_string()).as_deref(), Some("a/low"));
}
