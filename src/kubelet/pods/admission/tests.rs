use serde_json::{Value, json};

use super::*;

fn pod(spec: Value) -> Pod {
    Pod::from_api(serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap())
}

#[test]
fn what_does_not_fit_is_named() {
    let check = |cpu: &str, room: Room, expect: Option<&str>| {
        let spec = json!({"containers": [{"name": "a", "resources": {"requests": {"cpu": cpu, "memory": "1Mi"}}}]});
        assert_eq!(fits(&pod(spec), &room).map(|v| v.reason).as_deref(), expect);
    };
    let room = Room { pods: 0, max_pods: 2, cpu: (500, 1000), memory: (0, 10 << 20) };
    check("500m", room, None);
    check("501m", room, Some("OutOfcpu"));
    check("1m", Room { pods: 2, ..room }, Some("OutOfpods"));
    check("1m", Room { memory: (10 << 20, 10 << 20), ..room }, Some("OutOfmemory"));
}

#[test]
fn nodes_are_selected_by_label_and_name() {
    let labels = BTreeMap::from([("disk".to_owned(), "ssd".to_owned()), ("cores".to_owned(), "8".to_owned())]);
    let check = |expression: Value, expect: bool| {
        let terms = json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}});
        let found = selected(&pod(json!({"containers": [], "affinity": {"nodeAffinity": terms}})), &labels, "n1");
        assert_eq!(found, expect, "{expression}");
    };
    check(json!({"key": "disk", "operator": "In", "values": ["ssd", "nvme"]}), true);
    check(json!({"key": "disk", "operator": "NotIn", "values": ["ssd"]}), false);
    check(json!({"key": "gpu", "operator": "DoesNotExist"}), true);
    check(json!({"key": "cores", "operator": "Gt", "values": ["4"]}), true);
    check(json!({"key": "cores", "operator": "Lt", "values": ["4"]}), false);
    assert!(!selected(&pod(json!({"containers": [], "nodeSelector": {"disk": "hdd"}})), &labels, "n1"));
}

#[test]
fn ports_of_the_node_are_held_once() {
    let check = |one: Value, other: Value, expect: bool| {
        let held = |port: &Value| ports(&pod(json!({"containers": [{"name": "a", "ports": [port]}]})));
        let (a, b) = (held(&one), held(&other));
        assert_eq!(a.iter().any(|a| b.iter().any(|b| a.conflicts(b))), expect, "{one} {other}");
    };
    let port = |number: i32| json!({"containerPort": 80, "hostPort": number});
    check(port(8080), port(8080), true);
    check(port(8080), port(8081), false);
    check(json!({"containerPort": 80}), json!({"containerPort": 80}), false);
    check(port(53), json!({"containerPort": 80, "hostPort": 53, "protocol": "UDP"}), false);
    check(port(53), json!({"containerPort": 80, "hostPort": 53, "hostIP": "10.0.0.1"}), true);
    let at = |ip: &str| json!({"containerPort": 80, "hostPort": 53, "hostIP": ip});
    check(at("10.0.0.2"), at("10.0.0.1"), false);
    check(at("0.0.0.0"), at("10.0.0.1"), true);
}
