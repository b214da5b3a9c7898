//! What becomes of a new pod: what it says about its own labels and by annotations is written out in its fields.

use serde_json::{Value, json};

use super::pod_validation::app_armor_of;
use super::{Creation, pod_quality};
use crate::tree::Tree;

const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

pub(super) fn prepare_create(pod: &mut Value, _: &Creation<'_>) {
    // Upstream keeps the class of a pod that comes with one, as those do that were read elsewhere.
    let class = match pod.text("status.qosClass") {
        "" => pod_quality(pod).to_owned(),
        class => class.to_owned(),
    };
    pod.put("status", json!({"phase": "Pending", "qosClass": class}));
    if !pod.items("spec.schedulingGates").is_empty() {
        let condition = json!([{
            "type": "PodScheduled",
            "status": "False",
            "lastTransitionTime": api::time::format(jiff::Timestamp::now()),
            "reason": "SchedulingGated",
            "message": "Scheduling is blocked due to non-empty scheduling gates",
        }]);
        pod.put("status.conditions", condition);
    }
    merge_label_keys(pod);
    if pod.text("spec.os.name") != "windows" {
        app_armor(pod);
    }
}

/// Terms that name keys of the pod's labels mean pods with, or without, its values.
fn merge_label_keys(pod: &mut Value) {
    let Some(labels) = pod.at("metadata.labels").cloned() else { return };
    for kind in ["podAffinity", "podAntiAffinity"] {
        let list = |strength: &str| format!("spec.affinity.{kind}.{strength}DuringSchedulingIgnoredDuringExecution");
        for term in pod.items_mut(&list("preferred")) {
            if let Some(term) = term.at_mut("podAffinityTerm") {
                merge_term(term, &labels);
            }
        }
        pod.items_mut(&list("required")).iter_mut().for_each(|term| merge_term(term, &labels));
    }
    pod.items_mut("spec.topologySpreadConstraints").iter_mut().for_each(|constraint| merge_term(constraint, &labels));
}

fn merge_term(term: &mut Value, labels: &Value) {
    // Who has no selector selects nothing, and keys do not change that.
    if term.at("labelSelector").is_none() {
        return;
    }
    for (field, operator) in [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")] {
        let named = term.items(field).iter().filter_map(|key| Some((key.clone(), labels.get(key.as_str()?)?.clone())));
        let more: Vec<Value> =
            named.map(|(key, value)| json!({"key": key, "operator": operator, "values": [value]})).collect();
        if !more.is_empty() {
            let all = [term.items("labelSelector.matchExpressions"), &more].concat();
            term.put("labelSelector.matchExpressions", all);
        }
    }
}

/// Profiles that annotations name become fields, unless the pod's own profile says the same.
fn app_armor(pod: &mut Value) {
    let annotations = pod.at("metadata.annotations").and_then(Value::as_object);
    let named: Vec<(String, Value)> = annotations
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.strip_prefix(APP_ARMOR)?.to_owned(), app_armor_of(value.as_str()?)?)))
        .collect();
    if named.is_empty() {
        return;
    }
    let of_pod = pod.at("spec.securityContext.appArmorProfile").cloned();
    for list in ["spec.initContainers", "spec.containers", "spec.ephemeralContainers"] {
        for container in pod.items_mut(list) {
            let Some((_, profile)) = named.iter().find(|(name, _)| name == container.text("name")) else { continue };
            if of_pod.as_ref() != Some(profile) {
                container.default_to("securityContext.appArmorProfile", profile.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pod: Value, path: &str, expect: Value) {
        let mut pod = pod;
        pod.default_to("spec", json!({}));
        let user = api::User::new("alice", ["devs"]);
        prepare_create(&mut pod, &Creation { user: &user, labels_defaulted: true });
        assert_eq!(pod.at(path).cloned().unwrap_or_default(), expect);
    }

    #[test]
    fn label_keys_become_requirements() {
        let term = |selector: Value| {
            json!({"topologyKey": "zone", "labelSelector": selector,
            "matchLabelKeys": ["a", "none"], "mismatchLabelKeys": ["b"]})
        };
        let pod = |spec: Value| json!({"metadata": {"labels": {"a": "1", "b": "2"}}, "spec": spec});
        let merged = json!({"matchLabels": {"x": "y"}, "matchExpressions": [
            {"key": "a", "operator": "In", "values": ["1"]}, {"key": "b", "operator": "NotIn", "values": ["2"]}]});
        let (required, preferred) =
            ("requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution");
        let from = term(json!({"matchLabels": {"x": "y"}}));
        check(
            pod(json!({"affinity": {"podAffinity": {required: [from]}}})),
            &format!("spec.affinity.podAffinity.{required}"),
            json!([term(merged.clone())]),
        );
        check(
            pod(json!({"affinity": {"podAntiAffinity": {preferred: [{"weight": 1, "podAffinityTerm": from}]}}})),
            &format!("spec.affinity.podAntiAffinity.{preferred}"),
            json!([{"weight": 1, "podAffinityTerm": term(merged.clone())}]),
        );
        check(
            pod(json!({"topologySpreadConstraints": [from, term(Value::Null)]})),
            "spec.topologySpreadConstraints",
            json!([term(merged), term(Value::Null)]),
        );
    }

    #[test]
    fn annotated_profiles_become_fields() {
        let pod = |profile: &str, spec: Value| json!({"metadata": {"annotations": {format!("{APP_ARMOR}c"): profile}}, "spec": spec});
        let plain = json!({"containers": [{"name": "c"}, {"name": "d"}]});
        let with =
            |profile: Value| json!([{"name": "c", "securityContext": {"appArmorProfile": profile}}, {"name": "d"}]);
        let list = "spec.containers";
        check(pod("unconfined", plain.clone()), list, with(json!({"type": "Unconfined"})));
        let local = json!({"type": "Localhost", "localhostProfile": "p"});
        check(pod("localhost/p", plain.clone()), list, with(local));
        check(pod("localhost/", plain.clone()), list, plain["containers"].clone());
        check(pod("localhost/ p", plain.clone()), list, plain["containers"].clone());
        let own = with(json!({"type": "RuntimeDefault"}));
        check(pod("unconfined", json!({"containers": own})), list, own);
        let whole =
            json!({"securityContext": {"appArmorProfile": {"type": "RuntimeDefault"}}, "containers": [{"name": "c"}]});
        check(pod("runtime/default", whole), list, json!([{"name": "c"}]));
    }
}
