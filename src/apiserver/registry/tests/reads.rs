use super::*;

async fn filled() -> Server {
    let server = server().await;
    for (name, label) in [("m1", "x"), ("m2", "y"), ("m3", "x"), ("m4", "x"), ("m5", "y")] {
        server.create("configmaps", config_map(name, label)).await.unwrap();
    }
    server
}

#[tokio::test]
async fn lists_what_selectors_ask_for() {
    let server = filled().await;
    let check = async |labels: &str, fields: &str, expect: &[&str]| {
        let options =
            ListOptions { label_selector: labels.into(), field_selector: fields.into(), ..ListOptions::default() };
        assert_eq!(names(&server.list("configmaps", options).await.unwrap()), expect, "{labels} {fields}");
    };
    check("", "", &["m1", "m2", "m3", "m4", "m5"]).await;
    check("k=x", "", &["m1", "m3", "m4"]).await;
    check("k!=x", "metadata.name=m5", &["m5"]).await;
    check("k=x", "metadata.name=m5", &[]).await;
    check("", "metadata.namespace=b", &[]).await;
    check("", "metadata.name!=m1,metadata.name!=m2", &["m3", "m4", "m5"]).await;
    let options = ListOptions { field_selector: "spec.x=1".into(), ..ListOptions::default() };
    let status = server.list("configmaps", options).await.unwrap_err();
    let expect = "\"spec.x\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"";
    assert_eq!((status.code, status.message.as_str()), (400, expect));
}

#[tokio::test]
async fn pages_show_one_revision() {
    let server = filled().await;
    let page = |token: &str| ListOptions { limit: 2, continue_token: token.into(), ..ListOptions::default() };
    let first = server.list("configmaps", page("")).await.unwrap();
    assert_eq!((names(&first), first.remaining), (vec!["m1".into(), "m2".into()], Some(3)));
    server.delete("configmaps/m3", DeleteOptions::default()).await.unwrap();
    server.create("configmaps", config_map("m6", "x")).await.unwrap();
    let second = server.list("configmaps", page(&first.continue_token)).await.unwrap();
    assert_eq!((names(&second), second.remaining), (vec!["m3".into(), "m4".into()], Some(1)));
    let third = server.list("configmaps", page(&second.continue_token)).await.unwrap();
    assert_eq!((names(&third), third.continue_token.as_str()), (vec!["m5".into()], ""));
    assert_eq!((first.revision, first.revision), (second.revision, third.revision));

    // With a selector nobody can say how many follow.
    let options = ListOptions { label_selector: "k=x".into(), ..page("") };
    let selected = server.list("configmaps", options).await.unwrap();
    assert_eq!((names(&selected), selected.remaining), (vec!["m1".into(), "m4".into()], None));
    assert!(!selected.continue_token.is_empty());
}

#[tokio::test]
async fn an_expired_token_comes_with_a_fresh_one() {
    let server = filled().await;
    let options = ListOptions { limit: 2, ..ListOptions::default() };
    let first = server.list("configmaps", options.clone()).await.unwrap();
    server.create("configmaps", config_map("m0", "x")).await.unwrap();
    server.create("configmaps", config_map("m6", "x")).await.unwrap();
    let store = &server.registry.store.0;
    store.compact(store.revision().await.unwrap()).await.unwrap();
    let status =
        server.list("configmaps", ListOptions { continue_token: first.continue_token, ..options }).await.unwrap_err();
    assert_eq!((status.code, status.reason.as_str()), (410, "Expired"));
    let token = status.metadata["continue"].as_str().unwrap().to_owned();
    let rest =
        server.list("configmaps", ListOptions { continue_token: token, ..ListOptions::default() }).await.unwrap();
    assert_eq!(names(&rest), ["m3", "m4", "m5", "m6"]);
}

#[tokio::test]
async fn versions_mean_what_upstream_says() {
    let server = filled().await;
    let before = server.list("configmaps", ListOptions::default()).await.unwrap().revision;
    server.create("configmaps", config_map("m6", "x")).await.unwrap();
    server.registry.catch_up().await.unwrap();
    let check = async |version: &str, matching: &str, limit: usize, expect: Result<usize, &str>| {
        let options = ListOptions {
            resource_version: Some(version.into()),
            resource_version_match: matching.into(),
            limit,
            ..ListOptions::default()
        };
        let got = server.list("configmaps", options).await.map(|list| list.items.len()).map_err(|s| s.message);
        assert_eq!(got, expect.map_err(ToOwned::to_owned), "{version} {matching} {limit}");
    };
    let then = before.to_string();
    check(&then, "Exact", 0, Ok(5)).await;
    check(&then, "NotOlderThan", 0, Ok(6)).await;
    check(&then, "", 0, Ok(6)).await;
    check(&then, "", 100, Ok(5)).await;
    check("", "", 0, Ok(6)).await;
    let forbidden = "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch \
                     is forbidden unless resourceVersion is provided";
    check("", "Exact", 0, Err(forbidden)).await;
    let forbidden = "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch \
                     \"exact\" is forbidden for resourceVersion \"0\"";
    check("0", "Exact", 0, Err(forbidden)).await;
}

#[tokio::test(start_paused = true)]
async fn a_version_to_come_is_not_waited_for_long() {
    let server = filled().await;
    let future = Some("1000000".to_owned());
    let status = server.object("configmaps/m1", Operation::Get { resource_version: future }).await.unwrap_err();
    assert_eq!((status.code, status.reason.as_str()), (504, "Timeout"));
    assert_eq!(status.details.unwrap().causes[0].reason, "ResourceVersionTooLarge");
}

#[tokio::test]
async fn two_rows_show_the_same_events() {
    let server = server().await;
    let event = json!({"metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "p", "namespace": "a"},
        "message": "hello", "reason": "Started", "type": "Normal"});
    server.create("events", event).await.unwrap();
    let shown = server.get("events.events.k8s.io/e").await.unwrap();
    assert_eq!((&shown["apiVersion"], &shown["note"]), (&json!("events.k8s.io/v1"), &json!("hello")));
    let series = json!({"count": 2, "lastObservedTime": "2024-01-02T00:00:00.000001Z"});
    server.merge("events.events.k8s.io/e", json!({"series": series})).await.unwrap();
    assert_eq!(server.get("events/e").await.unwrap()["series"], series);
    // What the one group may change, the other may not.
    let refused = server.merge("events.events.k8s.io/e", json!({"note": "bye"})).await.unwrap_err();
    assert!(refused.message.contains("message: Invalid value: \"bye\": field is immutable"), "{}", refused.message);
    server.merge("events/e", json!({"message": "bye"})).await.unwrap();
    assert_eq!(server.get("events.events.k8s.io/e").await.unwrap()["note"], "bye");
    let options = ListOptions { field_selector: "involvedObject.name=p".into(), ..ListOptions::default() };
    assert_eq!(server.list("events", options).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn parts_of_the_control_plane_are_healthy_where_they_are_asked() {
    let server = server().await;
    let named = |list: List| list.items.iter().map(|one| one.meta.name.to_string()).collect::<Vec<_>>();
    let all = server.list("componentstatuses", ListOptions::default()).await.unwrap();
    assert_eq!(named(all), ["controller-manager", "etcd-0", "scheduler"]);
    let options = ListOptions { field_selector: "metadata.name=scheduler".into(), ..ListOptions::default() };
    assert_eq!(named(server.list("componentstatuses", options).await.unwrap()), ["scheduler"]);
    let one = server.get("componentstatuses/etcd-0").await.unwrap();
    assert_eq!(one["conditions"][0]["message"], "ok");
    assert!(server.get("componentstatuses/x").await.unwrap_err().is_not_found());
}
