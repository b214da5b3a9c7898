use super::*;

#[tokio::test]
async fn finalizers_hold_an_object() {
    let server = server().await;
    let body = json!({"metadata": {"name": "m", "finalizers": ["x.io/f"]}});
    server.create("configmaps", body).await.unwrap();
    let marked = server.delete("configmaps/m", DeleteOptions::default()).await.unwrap();
    assert!(marked["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 0);
    let again = server.delete("configmaps/m", DeleteOptions::default()).await.unwrap();
    assert_eq!(again["metadata"]["resourceVersion"], marked["metadata"]["resourceVersion"]);
    let added =
        server.merge("configmaps/m", json!({"metadata": {"finalizers": ["x.io/f", "x.io/g"]}})).await.unwrap_err();
    assert_eq!(
        added.message,
        "ConfigMap \"m\" is invalid: metadata.finalizers: Forbidden: no new finalizers can be added if the object is \
         being deleted, found new finalizers []string{\"x.io/g\"}"
    );
    server.merge("configmaps/m", json!({"metadata": {"finalizers": null}})).await.unwrap();
    assert_eq!(server.get("configmaps/m").await.unwrap_err().code, 404);
}

#[tokio::test]
async fn preconditions_protect_another_object() {
    let server = server().await;
    let object = server.create("configmaps", config_map("m", "x")).await.unwrap();
    let wrong = DeleteOptions { uid: Some("u".into()), ..DeleteOptions::default() };
    let status = server.delete("configmaps/m", wrong).await.unwrap_err();
    let uid = object["metadata"]["uid"].as_str().unwrap();
    assert_eq!(
        status.message,
        format!(
            "Operation cannot be fulfilled on ConfigMap \"m\": the UID in the precondition (u) does not match the UID in \
             record ({uid}). The object might have been deleted and then recreated"
        )
    );
    let old = DeleteOptions { resource_version: Some("1".into()), ..DeleteOptions::default() };
    assert_eq!(server.delete("configmaps/m", old).await.unwrap_err().code, 409);
    let right = DeleteOptions { uid: Some(uid.to_owned()), ..DeleteOptions::default() };
    let status = server.delete("configmaps/m", right).await.unwrap();
    assert_eq!((&status["status"], &status["details"]["kind"]), (&json!("Success"), &json!("configmaps")));
}

#[tokio::test]
async fn propagation_sets_finalizers() {
    let server = server().await;
    let check = async |policy: Option<Propagation>, expect: Value| {
        server.create("configmaps", config_map("m", "x")).await.unwrap();
        let options = DeleteOptions { propagation: policy, ..DeleteOptions::default() };
        let reply = server.delete("configmaps/m", options).await.unwrap();
        assert_eq!(reply["metadata"].get("finalizers").cloned().unwrap_or_default(), expect);
        if !expect.is_null() {
            server.merge("configmaps/m", json!({"metadata": {"finalizers": null}})).await.unwrap();
        }
    };
    use api::Propagation;
    check(None, Value::Null).await;
    check(Some(Propagation::Background), Value::Null).await;
    check(Some(Propagation::Orphan), json!(["orphan"])).await;
    check(Some(Propagation::Foreground), json!(["foregroundDeletion"])).await;
}

#[tokio::test]
async fn collections_go_by_selector() {
    let server = server().await;
    for (name, label) in [("m1", "x"), ("m2", "y"), ("m3", "x")] {
        server.create("configmaps", config_map(name, label)).await.unwrap();
    }
    let which = ListOptions { label_selector: "k=x".into(), ..ListOptions::default() };
    server.call("configmaps", Operation::DeleteCollection(DeleteOptions::default(), which)).await.unwrap();
    assert_eq!(names(&server.list("configmaps", ListOptions::default()).await.unwrap()), ["m2"]);
}

#[tokio::test]
async fn a_later_delete_may_say_what_becomes_of_dependents() {
    use api::Propagation;
    let server = server().await;
    let deleted = async |propagation: Option<Propagation>| {
        server.delete("configmaps/m", DeleteOptions { propagation, ..DeleteOptions::default() }).await.unwrap()
    };
    server.create("configmaps", config_map("m", "x")).await.unwrap();
    assert_eq!(deleted(Some(Propagation::Foreground)).await["metadata"]["finalizers"], json!(["foregroundDeletion"]));
    assert_eq!(deleted(None).await["metadata"]["finalizers"], json!(["foregroundDeletion"]));
    assert_eq!(deleted(Some(Propagation::Orphan)).await["metadata"]["finalizers"], json!(["orphan"]));
    assert_eq!(deleted(Some(Propagation::Background)).await["status"], "Success");
    assert_eq!(server.get("configmaps/m").await.unwrap_err().code, 404);
}

#[tokio::test]
async fn who_leaves_pods_behind_without_saying_so_is_told() {
    use api::Propagation;
    let server = server().await;
    let warned = async |path: &str, propagation: Option<Propagation>| {
        let options = DeleteOptions { propagation, ..DeleteOptions::default() };
        // Whether there is such an object does not matter.
        let (_, notes) = crate::notes::of(Box::pin(server.delete(path, options))).await;
        notes.warnings.iter().any(|warning| warning.starts_with("child pods are preserved by default"))
    };
    assert!(warned("jobs/j", None).await);
    assert!(!warned("jobs/j", Some(Propagation::Background)).await);
    assert!(!warned("jobs/j", Some(Propagation::Orphan)).await);
    assert!(!warned("replicationcontrollers/r", None).await);
}
