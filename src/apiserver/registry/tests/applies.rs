//! Server-side apply through the registry.

use super::owners::{by, owned, owners};
use super::*;

fn applied(body: Value, manager: &str) -> Operation {
    Operation::Patch(Patch::Apply(body), by(manager))
}

fn forced(body: Value, manager: &str) -> Operation {
    Operation::Patch(Patch::Apply(body), WriteOptions { force: true, ..by(manager) })
}

fn map(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": data})
}

fn deployment(replicas: Option<i32>) -> Value {
    let mut body = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}},
    }});
    if let Some(replicas) = replicas {
        body["spec"]["replicas"] = replicas.into();
    }
    body
}

#[tokio::test]
async fn apply_creates_changes_and_takes_away() {
    let server = server().await;
    let Reply::Object { object, created, .. } =
        server.call("configmaps/m", applied(map(json!({"a": "1", "b": "1"})), "one")).await.unwrap()
    else {
        panic!("no object")
    };
    let made = object.to_value().unwrap();
    assert!(created && made["metadata"]["uid"].is_string());
    assert_eq!(owners(&made), [r#"one Apply v1 {"f:data":{"f:a":{},"f:b":{}}}"#]);
    // The same again writes nothing.
    let same = server.object("configmaps/m", applied(map(json!({"a": "1", "b": "1"})), "one")).await.unwrap();
    assert_eq!(same, made);
    let Reply::Object { object, created, .. } =
        server.call("configmaps/m", applied(map(json!({"b": "2", "c": "1"})), "one")).await.unwrap()
    else {
        panic!("no object")
    };
    let changed = object.to_value().unwrap();
    assert!(!created);
    assert_eq!(changed["data"], json!({"b": "2", "c": "1"}));
    assert_eq!(owners(&changed), [r#"one Apply v1 {"f:data":{"f:b":{},"f:c":{}}}"#]);
    // Nothing at all is applied: nothing is owned, and nothing stays.
    let empty = json!({"apiVersion": "v1", "kind": "ConfigMap"});
    let emptied = server.object("configmaps/m", applied(empty, "one")).await.unwrap();
    assert_eq!((emptied.get("data"), owners(&emptied)), (None, vec![]));
}

#[tokio::test]
async fn defaults_are_nobodys() {
    let server = server().await;
    let made = server.object("deployments/d", applied(deployment(None), "one")).await.unwrap();
    assert_eq!(made["spec"]["replicas"], 1);
    assert_eq!(
        owners(&made),
        [concat!(
            r#"one Apply apps/v1 {"f:spec":{"f:selector":{},"f:template":{"f:metadata":{"f:labels":{"f:a":{}}},"#,
            r#""f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:image":{},"f:name":{}}}}}}}"#
        )]
    );
    // So they can be set by another.
    let more = json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 4}});
    let scaled = server.object("deployments/d", applied(more, "two")).await.unwrap();
    assert_eq!(scaled["spec"]["replicas"], 4);
    // What nobody applies any more is as by default.
    let none = json!({"apiVersion": "apps/v1", "kind": "Deployment"});
    let unscaled = server.object("deployments/d", applied(none, "two")).await.unwrap();
    assert_eq!(unscaled["spec"]["replicas"], 1);
    assert_eq!(owners(&unscaled).len(), 1);
}

#[tokio::test]
async fn what_others_own_is_a_conflict() {
    let server = server().await;
    server.object("deployments/d", applied(deployment(Some(2)), "one")).await.unwrap();
    let scale = Operation::Patch(Patch::Merge(json!({"spec": {"replicas": 5}})), by("hpa"));
    server.object("deployments/d/scale", scale).await.unwrap();
    let status = server.object("deployments/d", applied(deployment(Some(2)), "one")).await.unwrap_err();
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    assert_eq!(
        status.message,
        r#"Apply failed with 1 conflict: conflict with "hpa" with subresource "scale" using apps/v1: .spec.replicas"#
    );
    let cause = &status.details.unwrap().causes[0];
    assert_eq!(
        (cause.reason.as_str(), cause.message.as_str(), cause.field.as_str()),
        ("FieldManagerConflict", r#"conflict with "hpa" with subresource "scale" using apps/v1"#, ".spec.replicas")
    );
    // Not asking for it gives it up, and it stays.
    let given = server.object("deployments/d", applied(deployment(None), "one")).await.unwrap();
    assert_eq!(given["spec"]["replicas"], 5);
    let taken = server.object("deployments/d", forced(deployment(Some(2)), "one")).await.unwrap();
    assert_eq!(taken["spec"]["replicas"], 2);
    assert!(owners(&taken).iter().all(|owner| !owner.contains("hpa")), "{:?}", owners(&taken));
}

#[tokio::test]
async fn the_scale_can_be_applied() {
    let server = server().await;
    server.object("deployments/d", applied(deployment(Some(2)), "one")).await.unwrap();
    let scale = |replicas: i32| json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d"}, "spec": {"replicas": replicas}});
    let status = server.object("deployments/d/scale", applied(scale(3), "two")).await.unwrap_err();
    assert_eq!(status.message, r#"Apply failed with 1 conflict: conflict with "one": .spec.replicas"#);
    let scaled = server.object("deployments/d/scale", forced(scale(3), "two")).await.unwrap();
    assert_eq!((&scaled["kind"], &scaled["spec"]["replicas"]), (&json!("Scale"), &json!(3)));
    let whole = server.get("deployments/d").await.unwrap();
    assert!(
        owners(&whole).contains(&r#"two Apply apps/v1/scale {"f:spec":{"f:replicas":{}}}"#.to_owned()),
        "{:?}",
        owners(&whole)
    );
    let again = server.object("deployments/d/scale", applied(scale(4), "two")).await.unwrap();
    assert_eq!(again["spec"]["replicas"], 4);
    assert_eq!(owners(&server.get("deployments/d").await.unwrap()).len(), 2);
}

#[tokio::test]
async fn whoever_updated_replicas_has_them_apart_once_the_scale_is_written() {
    let server = server().await;
    server.object("deployments", Operation::Create(deployment(Some(2)), by("one"))).await.unwrap();
    let same = || Operation::Patch(Patch::Merge(json!({"spec": {"replicas": 2}})), by("hpa"));
    let apart = r#"one Update apps/v1 {"f:spec":{"f:replicas":{}}}"#;
    let count = |object: &Value| owners(object).iter().filter(|owner| owner.contains("f:replicas")).count();
    // Nothing changes, and yet that is upstream's way; the next writer of anything reads one of the two entries.
    server.object("deployments/d/scale", same()).await.unwrap();
    let once = server.get("deployments/d").await.unwrap();
    assert!(owners(&once).iter().any(|owner| owner == apart) && count(&once) == 1, "{:?}", owners(&once));
    let label = Operation::Patch(Patch::Merge(json!({})), by("hpa"));
    let twice = server.object("deployments/d", label).await.unwrap();
    assert_eq!((count(&twice), owners(&twice).len()), (0, 1));
    assert_ne!(twice["metadata"]["resourceVersion"], once["metadata"]["resourceVersion"]);
    // Who applies is the same manager in both.
    server.object("deployments/d", forced(deployment(Some(2)), "two")).await.unwrap();
    server.object("deployments/d/scale", same()).await.unwrap();
    let applied = server.get("deployments/d").await.unwrap();
    assert!(owned(&applied, "two Apply").contains("f:replicas") && count(&applied) == 1);
}

#[tokio::test]
async fn an_element_without_its_key_is_nobodys_and_nothing_else_is_somebodys() {
    let server = server().await;
    let account = |secrets: Value| json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "a"}, "secrets": secrets});
    let made =
        server.object("serviceaccounts", Operation::Create(account(json!([{"name": "x"}])), by("one"))).await.unwrap();
    assert_eq!(owners(&made).len(), 1);
    let keyless = Operation::Patch(Patch::Merge(json!({"secrets": [{"namespace": "n"}]})), by("two"));
    let lost = server.object("serviceaccounts/a", keyless).await.unwrap();
    assert_eq!(owners(&lost), Vec::<String>::new());
    let status = server.object("serviceaccounts/a", applied(account(json!([])), "one")).await.unwrap_err();
    let told = "failed to create manager for existing fields: failed to convert new object (a/a; /v1, Kind=ServiceAccount) to smd typed: .secrets: element 0: associative list with keys has an element that omits all key fields [\"name\"] (and doesn't have default values for any key fields)";
    assert_eq!((status.code, &*status.message), (500, told));
}

#[tokio::test]
async fn status_and_main_are_applied_apart() {
    let server = server().await;
    let mut body = deployment(Some(2));
    body["status"] = json!({"replicas": 7});
    let made = server.object("deployments/d", applied(body.clone(), "one")).await.unwrap();
    assert_eq!(made["status"], json!({}));
    assert!(!owners(&made)[0].contains("f:status"), "{:?}", owners(&made));
    body["spec"]["replicas"] = 9.into();
    let status = server.object("deployments/d/status", applied(body, "ctl")).await.unwrap();
    assert_eq!((&status["spec"]["replicas"], &status["status"]["replicas"]), (&json!(2), &json!(7)));
    assert_eq!(owned(&status, "ctl"), r#"ctl Apply apps/v1/status {"f:status":{"f:replicas":{}}}"#);
    let missing = server.object("deployments/x/status", applied(deployment(None), "ctl")).await.unwrap_err();
    assert_eq!(missing.code, 404);
}

#[tokio::test]
async fn what_cannot_be_applied_is_refused() {
    let server = server().await;
    let check = async |body: Value, code: u16, expect: &str| {
        let status = server.object("configmaps/m", applied(body, "one")).await.unwrap_err();
        assert_eq!((status.code, status.message.as_str()), (code, expect));
    };
    let owned = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"managedFields": []}});
    check(owned, 400, "metadata.managedFields must be nil").await;
    check(json!({"data": {}}), 400, "invalid object type: /, Kind=").await;
    check(json!({"apiVersion": "v1", "kind": "Pod"}), 400, "invalid object type: /v1, Kind=Pod").await;
    check(
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "namespace": "a"}, "colour": 1}),
        500,
        "failed to create typed patch object (a/m; /v1, Kind=ConfigMap): .colour: field not declared in schema",
    )
    .await;
    check(
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other"}}),
        400,
        "the name of the object (other) does not match the name on the URL (m)",
    )
    .await;
    check(
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"uid": "u"}}),
        409,
        "Operation cannot be fulfilled on configmaps \"m\": uid mismatch: the provided object specified uid u, and no \
         existing object was found",
    )
    .await;
    server.object("configmaps/m", applied(map(json!({"a": "1"})), "one")).await.unwrap();
    let stale = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"resourceVersion": "1"}});
    assert_eq!(server.object("configmaps/m", applied(stale, "one")).await.unwrap_err().code, 409);
}

#[tokio::test]
async fn what_is_applied_twice_in_a_body_is_told() {
    let server = server().await;
    let keys = vec!["line 11: key \"a\" already set in map".to_owned()];
    let operation = |field_validation| {
        let options = WriteOptions { field_validation, duplicate_keys: keys.clone(), ..by("one") };
        Operation::Patch(Patch::Apply(map(json!({"a": "1"}))), options)
    };
    let status = server.object("configmaps/m", operation(FieldValidation::Strict)).await.unwrap_err();
    assert_eq!(
        (status.code, status.message.as_str()),
        (
            400,
            "error strict decoding patch: error converting YAML to JSON: yaml: unmarshal errors:\n  line 11: key \"a\" already set in map"
        )
    );
    for (how, expect) in [(FieldValidation::Warn, keys.clone()), (FieldValidation::Ignore, vec![])] {
        let Reply::Object { warnings, .. } = server.call("configmaps/m", operation(how)).await.unwrap() else {
            panic!("no object")
        };
        assert_eq!(warnings, expect);
    }
}

#[tokio::test]
async fn a_dry_apply_leaves_everything_as_it_is() {
    let server = server().await;
    let dry = |body: Value| Operation::Patch(Patch::Apply(body), WriteOptions { dry_run: true, ..by("one") });
    let made = server.object("configmaps/m", dry(map(json!({"a": "1"})))).await.unwrap();
    assert_eq!(made["data"]["a"], "1");
    assert_eq!(server.get("configmaps/m").await.unwrap_err().code, 404);
    let first = server.object("configmaps/m", applied(map(json!({"a": "1"})), "one")).await.unwrap();
    let changed = server.object("configmaps/m", dry(map(json!({"b": "1"})))).await.unwrap();
    assert_eq!(changed["data"], json!({"b": "1"}));
    assert_eq!(server.get("configmaps/m").await.unwrap(), first);
}

#[tokio::test]
async fn an_object_nobody_owned_belongs_to_whoever_was_before() {
    let server = server().await;
    server.create("configmaps", map(json!({"a": "1"}))).await.unwrap();
    server.merge("configmaps/m", json!({"metadata": {"managedFields": []}})).await.unwrap();
    let status = server.object("configmaps/m", applied(map(json!({"a": "2"})), "one")).await.unwrap_err();
    assert_eq!(status.message, r#"Apply failed with 1 conflict: conflict with "before-first-apply" using v1: .data.a"#);
    let taken = server.object("configmaps/m", forced(map(json!({"a": "2"})), "one")).await.unwrap();
    assert_eq!(
        owners(&taken),
        [r#"one Apply v1 {"f:data":{"f:a":{}}}"#, r#"before-first-apply Update v1 {"f:data":{}}"#]
    );
}

#[tokio::test]
async fn kubectl_takes_over_what_it_applied_before() {
    let server = server().await;
    let mut body = map(json!({"a": "1", "b": "1"}));
    body["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/last-applied-configuration": body.to_string()});
    server.object("configmaps", Operation::Create(body, by("kubectl-client-side-apply"))).await.unwrap();
    let status = server.object("configmaps/m", applied(map(json!({"a": "2"})), "somebody")).await.unwrap_err();
    assert_eq!(status.code, 409);
    let taken = server.object("configmaps/m", applied(map(json!({"a": "2"})), "kubectl")).await.unwrap();
    assert_eq!(taken["data"], json!({"a": "2", "b": "1"}));
    let last = taken["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(last).unwrap(), map(json!({"a": "2"})));
}

#[tokio::test]
async fn lists_of_applied_objects_are_merged_by_their_keys() {
    let server = server().await;
    let service = |ports: Value| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": ports}});
    server.object("services/s", applied(service(json!([{"name": "a", "port": 80}])), "one")).await.unwrap();
    let both = server
        .object("services/s", applied(service(json!([{"name": "b", "port": 81, "protocol": "UDP"}])), "two"))
        .await
        .unwrap();
    assert_eq!(both["spec"]["ports"].as_array().unwrap().len(), 2);
    let one = server.object("services/s", applied(service(json!([])), "one")).await.unwrap();
    assert_eq!(one["spec"]["ports"].as_array().unwrap().len(), 1);
    assert_eq!(one["spec"]["ports"][0]["name"], "b");
    let mixed = service(json!([{"name": "a", "port": 80}, {"name": "c", "port": 80, "protocol": "TCP"}]));
    let status = server.object("services/s", applied(mixed, "one")).await.unwrap_err();
    assert_eq!(
        status.message,
        r#"failed to create typed patch object (/s; /v1, Kind=Service): .spec.ports: duplicate entries for key [port=80,protocol="TCP"]"#
    );
}

#[tokio::test]
async fn custom_objects_are_applied_too() {
    let server = server().await;
    let custom = Resource {
        group: "example.com".into(),
        plural: "widgets".into(),
        kind: "Widget".into(),
        builtin: false,
        subresources: vec!["status".into()],
        ..(*server.row("configmaps")).clone()
    };
    server.registry.serve(&widgets(vec![Arc::new(custom)])).await.unwrap();
    let widget = |spec: Value| json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec});
    let path = "widgets.example.com/w";
    server.object(path, applied(widget(json!({"a": 1, "m": {"x": 1}})), "one")).await.unwrap();
    server.object(path, applied(widget(json!({"m": {"y": 1}})), "two")).await.unwrap();
    let status = server.object(path, applied(widget(json!({"m": {"y": 2}})), "one")).await.unwrap_err();
    assert_eq!(status.message, r#"Apply failed with 1 conflict: conflict with "two": .spec.m.y"#);
    let one = server.object(path, applied(widget(json!({"m": {"x": 1}})), "one")).await.unwrap();
    assert_eq!(one["spec"], json!({"m": {"x": 1, "y": 1}}));
    let patch = Operation::Patch(Patch::Merge(json!({"status": {"ready": true}})), by("ctl"));
    let status = server.object("widgets.example.com/w/status", patch).await.unwrap();
    assert_eq!(owned(&status, "ctl"), r#"ctl Update example.com/v1/status {"f:status":{".":{},"f:ready":{}}}"#);
}

#[tokio::test]
async fn an_object_on_its_way_out_can_be_applied_to() {
    let server = server().await;
    let mut body = map(json!({"a": "1"}));
    body["metadata"]["finalizers"] = json!(["e.io/f"]);
    server.object("configmaps/m", applied(body.clone(), "one")).await.unwrap();
    server.delete("configmaps/m", DeleteOptions::default()).await.unwrap();
    body["data"]["a"] = "2".into();
    let changed = server.object("configmaps/m", applied(body.clone(), "one")).await.unwrap();
    assert!(changed["metadata"]["deletionTimestamp"].is_string() && changed["data"]["a"] == "2");
    // Without its finalizer it goes.
    body["metadata"]["finalizers"] = json!([]);
    server.object("configmaps/m", applied(body, "one")).await.unwrap();
    assert_eq!(server.get("configmaps/m").await.unwrap_err().code, 404);
}
