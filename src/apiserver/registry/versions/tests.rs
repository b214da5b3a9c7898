use serde_json::json;

use super::*;

fn check(group: &str, version: &str, plural: &str, stored: Value, shown: Value) {
    let row = api::resource::find(group, version, plural).unwrap();
    assert_eq!(from_storage(row, stored.clone()), shown);
    assert_eq!(into_storage(row, shown), stored);
}

#[test]
fn events_have_two_sets_of_names() {
    check(
        "events.k8s.io",
        "v1",
        "events",
        json!({"apiVersion": "v1", "kind": "Event", "message": "m", "involvedObject": {"name": "p"}, "count": 2}),
        json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "note": "m", "regarding": {"name": "p"}, "deprecatedCount": 2}),
    );
}

#[test]
fn autoscaling_v1_keeps_what_it_has_no_words_for() {
    let memory = json!({"type": "Resource", "resource": {"name": "memory", "target": {"type": "Utilization", "averageUtilization": 70}}});
    let cpu = json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}});
    check(
        "autoscaling",
        "v1",
        "horizontalpodautoscalers",
        json!({"apiVersion": "autoscaling/v2", "metadata": {"name": "a"}, "spec": {"maxReplicas": 3, "metrics": [cpu, memory]}}),
        json!({
            "apiVersion": "autoscaling/v1",
            "metadata": {"name": "a", "annotations": {METRICS: json!([memory]).to_string()}},
            "spec": {"maxReplicas": 3, "targetCPUUtilizationPercentage": 80},
        }),
    );
}

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
