//! Who owns what after the writes of every sort.

use super::*;

pub(super) fn by(manager: &str) -> WriteOptions {
    WriteOptions { field_manager: manager.into(), ..WriteOptions::default() }
}

/// `manager operation version[/subresource] fields`, one each.
pub(super) fn owners(object: &Value) -> Vec<String> {
    let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let show = |entry: &Value| {
        let text = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
        let part = if text("subresource").is_empty() { String::new() } else { format!("/{}", text("subresource")) };
        let (manager, operation, version) = (text("manager"), text("operation"), text("apiVersion"));
        assert_eq!(entry["fieldsType"], "FieldsV1");
        format!("{manager} {operation} {version}{part} {}", entry["fieldsV1"])
    };
    entries.iter().map(show).collect()
}

/// What one manager owns: the entry that begins with these words. Within one second entries are sorted by name.
pub(super) fn owned(object: &Value, who: &str) -> String {
    let all = owners(object);
    let found = all.iter().find(|owner| owner.starts_with(who));
    found.unwrap_or_else(|| panic!("{who} owns nothing: {all:?}")).clone()
}

fn pod() -> Value {
    json!({"metadata": {"name": "p", "labels": {"a": "b"}}, "spec": {
        "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}], "nodeName": "n"}})
}

#[tokio::test]
async fn a_new_object_is_its_makers_defaults_and_all() {
    let server = server().await;
    server.create("serviceaccounts", json!({"metadata": {"name": "default"}})).await.unwrap();
    let made = server.object("pods", Operation::Create(pod(), by("kubectl"))).await.unwrap();
    // As upstream has it for the same pod: what admission adds is nobody's.
    assert_eq!(
        owners(&made),
        [concat!(
            r#"kubectl Update v1 {"f:metadata":{"f:labels":{".":{},"f:a":{}}},"f:spec":{"#,
            r#""f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:image":{},"f:imagePullPolicy":{},"f:name":{},"#,
            r#""f:ports":{".":{},"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{},"f:protocol":{}}},"#,
            r#""f:resources":{},"f:terminationMessagePath":{},"f:terminationMessagePolicy":{}}},"#,
            r#""f:dnsPolicy":{},"f:enableServiceLinks":{},"f:nodeName":{},"f:restartPolicy":{},"f:schedulerName":{},"#,
            r#""f:securityContext":{},"f:terminationGracePeriodSeconds":{}}}"#
        )]
    );
    let unnamed = server.create("configmaps", config_map("m", "x")).await.unwrap();
    assert_eq!(owners(&unnamed), [r#"unknown Update v1 {"f:metadata":{"f:labels":{".":{},"f:k":{}}}}"#]);
}

#[tokio::test]
async fn every_writer_and_part_has_an_entry() {
    let server = server().await;
    server.create("serviceaccounts", json!({"metadata": {"name": "default"}})).await.unwrap();
    server.object("pods", Operation::Create(pod(), by("kubectl"))).await.unwrap();
    let condition = |ready: &str| {
        json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready, "lastProbeTime": null}],
               "podIPs": [{"ip": "10.0.0.1"}]}})
    };
    let status = Operation::Patch(Patch::Strategic(condition("True")), by("kubelet"));
    let running = server.object("pods/p/status", status).await.unwrap();
    let kubelet = concat!(
        r#"kubelet Update v1/status {"f:status":{"f:conditions":{"k:{\"type\":\"Ready\"}":"#,
        r#"{".":{},"f:lastProbeTime":{},"f:lastTransitionTime":{},"f:status":{},"f:type":{}}},"#,
        r#""f:phase":{},"f:podIP":{},"f:podIPs":{".":{},"k:{\"ip\":\"10.0.0.1\"}":{".":{},"f:ip":{}}}}}"#
    );
    assert_eq!([owned(&running, "kubelet")], [kubelet.replace(r#""f:conditions":{"#, r#""f:conditions":{".":{},"#)]);
    let label = Operation::Patch(Patch::Merge(json!({"metadata": {"labels": {"a": "c"}}})), by("labeller"));
    let labelled = server.object("pods/p", label).await.unwrap();
    assert_eq!(owners(&labelled).len(), 3);
    owned(&labelled, r#"kubectl Update v1 {"f:metadata":{"f:labels":{}},"f:spec""#);
    assert_eq!(owned(&labelled, "labeller"), r#"labeller Update v1 {"f:metadata":{"f:labels":{"f:a":{}}}}"#);
    // The object is stored with its owners.
    assert_eq!(server.get("pods/p").await.unwrap(), labelled);
}

#[tokio::test]
async fn what_changes_nothing_is_not_written() {
    let server = server().await;
    let made = server.object("configmaps", Operation::Create(config_map("m", "x"), by("one"))).await.unwrap();
    for operation in [
        Operation::Update(made.clone(), by("two")),
        Operation::Patch(Patch::Merge(json!({"metadata": {"labels": {"k": "x"}}})), by("two")),
        Operation::Patch(Patch::Json(json!([{"op": "test", "path": "/metadata/name", "value": "m"}])), by("two")),
    ] {
        assert_eq!(server.object("configmaps/m", operation).await.unwrap(), made);
    }
}

#[tokio::test]
async fn clients_may_change_who_owns_what_and_forget_it() {
    let server = server().await;
    let made = server.object("configmaps", Operation::Create(config_map("m", "x"), by("one"))).await.unwrap();
    let entry = made["metadata"]["managedFields"][0].clone();
    let renamed = {
        let mut entry = entry.clone();
        entry["manager"] = "other".into();
        entry["operation"] = "Apply".into();
        entry
    };
    let patch = json!([
        {"op": "test", "path": "/metadata/managedFields/0/manager", "value": "one"},
        {"op": "replace", "path": "/metadata/managedFields", "value": [renamed]},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": made["metadata"]["resourceVersion"]},
    ]);
    let patched = server.object("configmaps/m", Operation::Patch(Patch::Json(patch), by("two"))).await.unwrap();
    assert_eq!(owners(&patched), [r#"other Apply v1 {"f:metadata":{"f:labels":{".":{},"f:k":{}}}}"#]);
    assert_ne!(patched["metadata"]["resourceVersion"], made["metadata"]["resourceVersion"]);
    // What cannot be read is as if it had not been sent; so is nothing.
    for wrong in [json!(null), json!([{"manager": "x"}])] {
        let patch = json!({"metadata": {"managedFields": wrong, "labels": {"k": "y"}}});
        let patched = server.object("configmaps/m", Operation::Patch(Patch::Merge(patch), by("two"))).await.unwrap();
        assert_eq!(owned(&patched, "other"), r#"other Apply v1 {"f:metadata":{"f:labels":{}}}"#);
    }
    for (path, forget) in [("configmaps/m", json!([])), ("configmaps/m", json!([{}]))] {
        let patch = json!({"metadata": {"managedFields": forget}});
        let patched = server.object(path, Operation::Patch(Patch::Merge(patch), by("two"))).await.unwrap();
        assert_eq!(owners(&patched), Vec::<String>::new());
    }
    // Nobody is recorded until somebody applies.
    let patched = server.merge("configmaps/m", json!({"data": {"a": "b"}})).await.unwrap();
    assert_eq!(owners(&patched), Vec::<String>::new());
    let mut whole = patched;
    whole["metadata"]["managedFields"] = json!([entry]);
    let updated = server.object("configmaps/m", Operation::Update(whole, by("two"))).await.unwrap();
    assert_eq!(owners(&updated), [r#"one Update v1 {"f:metadata":{"f:labels":{".":{},"f:k":{}}}}"#]);
}

#[tokio::test]
async fn the_scale_is_owned_in_the_object() {
    let server = server().await;
    let row = server.row("deployments");
    let mut body = sample(&row);
    body["spec"]["replicas"] = 1.into();
    server.object("deployments", Operation::Create(body, by("one"))).await.unwrap();
    let replicas = |object: &Value| -> Vec<String> {
        owners(object)
            .into_iter()
            .filter(|owner| owner.contains("f:replicas"))
            .map(|o| o.split(" {").next().unwrap().to_owned())
            .collect()
    };
    let made = server.get("deployments/sample").await.unwrap();
    assert_eq!(replicas(&made), ["one Update apps/v1"]);
    let scale = |replicas: i32| Patch::Merge(json!({"spec": {"replicas": replicas}}));
    server.object("deployments/sample/scale", Operation::Patch(scale(3), by("two"))).await.unwrap();
    let scaled = server.get("deployments/sample").await.unwrap();
    assert_eq!(replicas(&scaled), ["two Update apps/v1/scale"]);
    assert_eq!(owners(&scaled).len(), 2);
    // Whose first change it is has no time, and comes first.
    assert_eq!(scaled["metadata"]["managedFields"][0].get("time"), None);
    assert_eq!(owners(&scaled)[0], r#"two Update apps/v1/scale {"f:spec":{"f:replicas":{}}}"#);
}

#[tokio::test]
async fn the_other_version_of_a_kind_keeps_its_owners() {
    let server = server().await;
    let body = sample(&server.row("horizontalpodautoscalers"));
    let row = |version: &str| api::resource::find("autoscaling", version, "horizontalpodautoscalers").unwrap().clone();
    let call = async |version: &str, name: &str, operation: Operation| {
        let request = Request { resource: row(version), ..server.request(&format!("configmaps/{name}"), operation) };
        match server.registry.call(&request).await.unwrap() {
            Reply::Object { object, .. } => object.to_value().unwrap(),
            _ => panic!("no object"),
        }
    };
    call("v2", "", Operation::Create(body, by("two"))).await;
    let patch = Patch::Merge(json!({"spec": {"maxReplicas": 5, "targetCPUUtilizationPercentage": 40}}));
    let patched = call("v1", "sample", Operation::Patch(patch, by("one"))).await;
    assert_eq!(
        owned(&patched, "one"),
        r#"one Update autoscaling/v1 {"f:spec":{"f:maxReplicas":{},"f:targetCPUUtilizationPercentage":{}}}"#
    );
    assert!(!owned(&patched, "two").contains("f:maxReplicas"));
    // Seen at the other version it is the metrics that were changed.
    let patch = Patch::Merge(json!({"spec": {"metrics": null}}));
    let patched = call("v2", "sample", Operation::Patch(patch, by("two"))).await;
    assert_eq!(owned(&patched, "one"), r#"one Update autoscaling/v1 {"f:spec":{"f:maxReplicas":{}}}"#);
}

#[tokio::test]
async fn too_many_updaters_become_one() {
    let server = server().await;
    server.object("configmaps", Operation::Create(config_map("m", "x"), by("maker"))).await.unwrap();
    for at in 0..12 {
        let patch = Patch::Merge(json!({"data": {format!("k{at}"): "v"}}));
        server.object("configmaps/m", Operation::Patch(patch, by(&format!("m{at:02}")))).await.unwrap();
    }
    let all = owners(&server.get("configmaps/m").await.unwrap());
    assert_eq!(all.len(), 10);
    assert!(all.iter().any(|owner| owner.starts_with("ancient-changes Update v1 ")), "{all:?}");
}

#[tokio::test]
async fn an_object_too_large_with_its_owners_is_kept_without_them() {
    let server = server().await;
    let data: serde_json::Map<String, Value> =
        (0..40_000).map(|at| (format!("key-number-{at:06}"), "".into())).collect();
    let body = json!({"metadata": {"name": "m"}, "data": data});
    let made = server.object("configmaps", Operation::Create(body, by("one"))).await.unwrap();
    assert_eq!(owners(&made), Vec::<String>::new());
}

#[tokio::test]
async fn a_deletion_keeps_the_owners() {
    let server = server().await;
    let mut body = config_map("m", "x");
    body["metadata"]["finalizers"] = json!(["e.io/f"]);
    let made = server.object("configmaps", Operation::Create(body, by("one"))).await.unwrap();
    server.delete("configmaps/m", DeleteOptions::default()).await.unwrap();
    let marked = server.get("configmaps/m").await.unwrap();
    assert!(marked["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(owners(&marked), owners(&made));
}
