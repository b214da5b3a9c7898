//! HorizontalPodAutoscalers of `autoscaling/v1` and `v2`. What v1 has no words for travels in annotations, so that nothing
//! is lost when a v1 client writes back what it has read.

mod words;

use serde_json::{Map, Value, json};

use words::{CURRENTS, TARGETS};

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";

/// What is aimed at where nothing is said.
const DEFAULT_PERCENT: i64 = 80;

/// An object of `autoscaling/v1` as one of `v2`.
pub(crate) fn into_v2(hpa: &mut Value) {
    let metrics = take_annotation(hpa, METRICS);
    let behavior = take_annotation(hpa, BEHAVIOR);
    let current = take_annotation(hpa, CURRENT_METRICS);
    let conditions = take_annotation(hpa, CONDITIONS);
    // Of an object that is there, what v1 leaves unsaid is no list that somebody took away.
    if hpa.get("metadata").is_some() && hpa.get("spec").is_none_or(Value::is_null) {
        hpa["spec"] = json!({});
    }
    if let Some(spec) = hpa.get_mut("spec").and_then(Value::as_object_mut) {
        let of_cpu = |percent: Value| {
            let target = json!({"type": "Utilization", "averageUtilization": percent});
            json!({"type": "Resource", "resource": {"name": "cpu", "target": target}})
        };
        let cpu = spec.shift_remove("targetCPUUtilizationPercentage").filter(|cpu| !cpu.is_null());
        let others = metrics.and_then(|metrics| words::metrics_of_v2(&metrics, TARGETS));
        let mut all = others.unwrap_or_default();
        all.extend(cpu.map(of_cpu));
        if all.is_empty() {
            all.push(of_cpu(DEFAULT_PERCENT.into()));
        }
        spec.insert("metrics".into(), all.into());
        if let Some(behavior) = behavior.and_then(|behavior| words::behavior_of_v2(&behavior)) {
            spec.insert("behavior".into(), behavior);
        }
    }
    if let Some(status) = hpa.get_mut("status").and_then(Value::as_object_mut) {
        let cpu = status.shift_remove("currentCPUUtilizationPercentage").filter(|cpu| !cpu.is_null());
        let measured = current.and_then(|current| words::metrics_of_v2(&current, CURRENTS));
        let all = measured.unwrap_or_else(|| {
            let of_cpu = |percent| {
                let current = json!({"averageUtilization": percent});
                json!({"type": "Resource", "resource": {"name": "cpu", "current": current}})
            };
            cpu.map(of_cpu).into_iter().collect()
        });
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
            let percent = |metric: &Value| {
                metric.pointer("/resource/target/averageUtilization").filter(|_| is_cpu(metric)).cloned()
            };
            if let Some(percent) = metrics.iter().find_map(percent) {
                spec.insert("targetCPUUtilizationPercentage".into(), percent);
            }
            metrics.retain(|metric| percent(metric).is_none());
            if !metrics.is_empty() {
                notes.push((METRICS, words::metrics_of_v1(&metrics, TARGETS)));
            }
        }
        if let Some(behavior) = spec.shift_remove("behavior") {
            notes.push((BEHAVIOR, words::behavior_of_v1(&behavior)));
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
            notes
                .push((CURRENT_METRICS, words::metrics_of_v1(current.as_array().map_or(&[], Vec::as_slice), CURRENTS)));
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
