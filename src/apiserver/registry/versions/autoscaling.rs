//! HorizontalPodAutoscalers of `autoscaling/v1` and `v2`. What v1 has no words for travels in annotations, so that nothing
//! is lost when a v1 client writes back what it has read.

use serde_json::{Map, Value, json};

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";

pub(super) fn into_v2(hpa: &mut Value) {
    let metrics = take_annotation(hpa, METRICS);
    let behavior = take_annotation(hpa, BEHAVIOR);
    let current = take_annotation(hpa, CURRENT_METRICS);
    let conditions = take_annotation(hpa, CONDITIONS);
    if let Some(spec) = hpa.get_mut("spec").and_then(Value::as_object_mut) {
        let cpu = spec.shift_remove("targetCPUUtilizationPercentage").filter(|cpu| !cpu.is_null());
        let cpu = cpu.map(|percent| {
            let target = json!({"type": "Utilization", "averageUtilization": percent});
            json!({"type": "Resource", "resource": {"name": "cpu", "target": target}})
        });
        // The CPU target stands first when v1 shows it; it goes back to where it was.
        let mut all: Vec<Value> = cpu.into_iter().collect();
        all.extend(metrics.as_ref().and_then(Value::as_array).into_iter().flatten().cloned());
        if !all.is_empty() {
            spec.insert("metrics".into(), all.into());
        }
        if let Some(behavior) = behavior {
            spec.insert("behavior".into(), behavior);
        }
    }
    if let Some(status) = hpa.get_mut("status").and_then(Value::as_object_mut) {
        let cpu = status.shift_remove("currentCPUUtilizationPercentage").filter(|cpu| !cpu.is_null());
        let mut all: Vec<Value> = current.as_ref().and_then(Value::as_array).cloned().unwrap_or_default();
        if let Some(percent) = cpu
            && !all.iter().any(is_cpu)
        {
            let current = json!({"averageUtilization": percent});
            all.push(json!({"type": "Resource", "resource": {"name": "cpu", "current": current}}));
        }
        if !all.is_empty() {
            status.insert("currentMetrics".into(), all.into());
        }
        if let Some(conditions) = conditions {
            status.insert("conditions".into(), conditions);
        }
    }
}

pub(super) fn from_v2(hpa: &mut Value) {
    let mut notes = Vec::new();
    if let Some(spec) = hpa.get_mut("spec").and_then(Value::as_object_mut) {
        if let Some(Value::Array(mut metrics)) = spec.shift_remove("metrics") {
            let cpu =
                metrics.iter().position(|m| is_cpu(m) && m.pointer("/resource/target/averageUtilization").is_some());
            if let Some(at) = cpu {
                let percent = metrics.remove(at)["resource"]["target"]["averageUtilization"].take();
                spec.insert("targetCPUUtilizationPercentage".into(), percent);
            }
            if !metrics.is_empty() {
                notes.push((METRICS, Value::Array(metrics)));
            }
        }
        if let Some(behavior) = spec.shift_remove("behavior") {
            notes.push((BEHAVIOR, behavior));
        }
    }
    if let Some(status) = hpa.get_mut("status").and_then(Value::as_object_mut) {
        // In v2 what is zero need not be said, in v1 it is.
        status.entry("currentReplicas").or_insert_with(|| json!(0));
        if let Some(current) = status.shift_remove("currentMetrics").filter(|c| !c.is_null()) {
            let cpu = current.as_array().into_iter().flatten().find(|m| is_cpu(m));
            if let Some(percent) = cpu.and_then(|m| m.pointer("/resource/current/averageUtilization")) {
                status.insert("currentCPUUtilizationPercentage".into(), percent.clone());
            }
            notes.push((CURRENT_METRICS, current));
        }
        if let Some(conditions) = status.shift_remove("conditions") {
            notes.push((CONDITIONS, conditions));
        }
    }
    for (key, note) in notes {
        let metadata = &mut hpa["metadata"];
        if !metadata["annotations"].is_object() {
            metadata["annotations"] = Value::Object(Map::new());
        }
        metadata["annotations"][key] = note.to_string().into();
    }
}

fn is_cpu(metric: &Value) -> bool {
    metric["type"] == "Resource" && metric["resource"]["name"] == "cpu"
}

fn take_annotation(hpa: &mut Value, key: &str) -> Option<Value> {
    let annotations = hpa.pointer_mut("/metadata/annotations")?.as_object_mut()?;
    let text = annotations.shift_remove(key)?;
    if annotations.is_empty() {
        hpa.get_mut("metadata")?.as_object_mut()?.shift_remove("annotations");
    }
    serde_json::from_str(text.as_str()?).ok()
}
