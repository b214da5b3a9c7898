use super::*;
use serde_json::{Value, json};

#[test]
fn tolerations_match_by_key_value_and_effect() {
    let check = |toleration: Value, expect: bool| {
        let toleration: Toleration = serde_json::from_value(toleration).unwrap();
        let taint = Taint { key: "k".into(), value: "v".into(), effect: "NoExecute".into(), time_added: None };
        assert_eq!(toleration.tolerates(&taint), expect, "{toleration:?}");
    };
    check(json!({ "operator": "Exists" }), true);
    check(json!({ "key": "k", "operator": "Exists", "effect": "NoExecute" }), true);
    check(json!({ "key": "k", "operator": "Exists", "effect": "NoSchedule" }), false);
    check(json!({ "key": "k", "value": "v" }), true);
    check(json!({ "key": "k", "operator": "Equal", "value": "w" }), false);
    check(json!({ "key": "other", "operator": "Exists" }), false);
}

#[test]
fn pod_networks_come_in_two_fields() {
    let check = |spec: Value, expect: &[&str]| {
        let view: NodeView = serde_json::from_value(json!({ "spec": spec })).unwrap();
        assert_eq!(view.pod_cidrs(), expect);
    };
    check(json!({}), &[]);
    check(json!({ "podCIDR": "10.0.0.0/24" }), &["10.0.0.0/24"]);
    check(json!({ "podCIDR": "10.0.0.0/24", "podCIDRs": ["10.0.0.0/24", "fd00::/64"] }), &["10.0.0.0/24", "fd00::/64"]);
}
