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
    let behavior = json!({"scaleDown": {"stabilizationWindowSeconds": 2, "selectPolicy": "Max", "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}]}});
    check(
        "autoscaling",
        "v1",
        "horizontalpodautoscalers",
        json!({"apiVersion": "autoscaling/v2", "metadata": {"name": "a"}, "spec": {"maxReplicas": 3, "metrics": [memory, cpu], "behavior": behavior}}),
        json!({
            "apiVersion": "autoscaling/v1",
            "metadata": {"name": "a", "annotations": {
                METRICS: r#"[{"type":"Resource","resource":{"name":"memory","targetAverageUtilization":70}}]"#,
                BEHAVIOR: r#"{"ScaleUp":null,"ScaleDown":{"StabilizationWindowSeconds":2,"SelectPolicy":"Max","Policies":[{"Type":"Pods","Value":4,"PeriodSeconds":15}],"Tolerance":null}}"#,
            }},
            "spec": {"maxReplicas": 3, "targetCPUUtilizationPercentage": 80},
        }),
    );
}

#[test]
fn autoscaling_v1_has_words_of_its_own_for_metrics() {
    let metric = |v2: Value, v1: &str| {
        let whole = json!({"apiVersion": "autoscaling/v2", "metadata": {"name": "a"}, "spec": {"metrics": [v2]}});
        let shown = json!({"apiVersion": "autoscaling/v1", "metadata": {"name": "a", "annotations": {METRICS: format!("[{v1}]")}}, "spec": {}});
        check("autoscaling", "v1", "horizontalpodautoscalers", whole, shown);
    };
    let object = json!({"kind": "Service", "name": "s"});
    let selected = json!({"name": "m", "selector": {"matchLabels": {"a": "b"}}});
    metric(
        json!({"type": "Pods", "pods": {"metric": selected, "target": {"type": "AverageValue", "averageValue": "1k"}}}),
        r#"{"type":"Pods","pods":{"metricName":"m","targetAverageValue":"1k","selector":{"matchLabels":{"a":"b"}}}}"#,
    );
    metric(
        json!({"type": "Object", "object": {"describedObject": object, "metric": {"name": "m"}, "target": {"type": "Value", "value": "2"}}}),
        r#"{"type":"Object","object":{"target":{"kind":"Service","name":"s"},"metricName":"m","targetValue":"2"}}"#,
    );
    metric(
        json!({"type": "External", "external": {"metric": selected, "target": {"type": "AverageValue", "averageValue": "3"}}}),
        r#"{"type":"External","external":{"metricName":"m","metricSelector":{"matchLabels":{"a":"b"}},"targetAverageValue":"3"}}"#,
    );
    metric(
        json!({"type": "ContainerResource", "containerResource": {"name": "cpu", "container": "c", "target": {"type": "Utilization", "averageUtilization": 5}}}),
        r#"{"type":"ContainerResource","containerResource":{"name":"cpu","targetAverageUtilization":5,"container":"c"}}"#,
    );
}

const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";
const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
