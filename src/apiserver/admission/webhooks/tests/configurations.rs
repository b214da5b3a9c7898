//! Mutating configurations that change and go, and webhooks that take their time.

use tokio::sync::Notify;

use super::*;

#[tokio::test]
async fn changed_mutating_configurations_count_at_once() {
    let (server, reviewer) = (server().await, Reviewer::new(stages).await);
    configure(&server, MUTATING, "m", &[reviewer.entry("m")]).await;
    // How many entries a map that is made with one ends up with.
    let entries = async |name: &str| {
        server.registry.catch_up().await.unwrap();
        let made = server.create("configmaps", config_map(name, "mutation-start", "yes")).await.unwrap();
        made["data"].as_object().unwrap().len()
    };
    assert_eq!(entries("a").await, 2);
    let one = "mutatingwebhookconfigurations/m";
    let mut now = server.get(one).await.unwrap();
    now["webhooks"][0]["rules"][0]["operations"] = json!(["UPDATE"]);
    assert_eq!(server.update(one, now).await.unwrap()["metadata"]["generation"], 2);
    assert_eq!(entries("b").await, 1);
    let rules = json!([{"op": "replace", "path": "/webhooks/0/rules/0/operations", "value": ["CREATE"]}]);
    server.object(one, Operation::Patch(Patch::Json(rules), WriteOptions::default())).await.unwrap();
    assert_eq!(entries("c").await, 2);

    // Of several those go that are chosen.
    let labelled = json!({"metadata": {"name": "n", "labels": {"e2e": "yes"}}, "webhooks": [reviewer.entry("n")]});
    server.create(MUTATING, labelled).await.unwrap();
    assert_eq!(entries("d").await, 3);
    let chosen = || ListOptions { label_selector: "e2e=yes".into(), ..ListOptions::default() };
    assert_eq!(server.list(MUTATING, chosen()).await.unwrap().items.len(), 1);
    server.call(MUTATING, Operation::DeleteCollection(DeleteOptions::default(), chosen())).await.unwrap();
    assert_eq!(entries("e").await, 2);
    server.delete(one, DeleteOptions::default()).await.unwrap();
    assert_eq!(entries("f").await, 1);
}

#[tokio::test]
async fn a_write_waits_for_its_webhook_as_long_as_it_may() {
    let (server, ca) = (server().await, Ca::new("ca"));
    let (asked, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (was_asked, may_go) = (asked.clone(), go.clone());
    let hook = Hook::serve(&ca, "127.0.0.1", move |question: Asked| {
        let (asked, go) = (was_asked.clone(), may_go.clone());
        async move {
            // The default is told like any other.
            assert!(question.line.ends_with("?timeout=10s") || question.line.ends_with("?timeout=30s"));
            asked.notify_one();
            go.notified().await;
            let response = json!({"allowed": true, "uid": question.json()["request"]["uid"]});
            answer(&json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}))
        }
    })
    .await;
    let slow = Reviewer { hook, ca, asked: Arc::default() };
    for (name, entry) in
        [("default", slow.entry("slow")), ("long", with(slow.entry("slow"), json!({"timeoutSeconds": 30})))]
    {
        configure(&server, VALIDATING, name, &[entry]).await;
        let made = server.create("configmaps", config_map(name, "k", "v"));
        let mut made = Box::pin(made);
        tokio::select! {
            biased;
            early = &mut made => panic!("the webhook was not waited for: {early:?}"),
            () = asked.notified() => {}
        }
        assert!(server.get(&format!("configmaps/{name}")).await.unwrap_err().is_not_found());
        go.notify_one();
        made.await.unwrap();
        server.delete(&format!("{VALIDATING}/{name}"), DeleteOptions::default()).await.unwrap();
        server.registry.catch_up().await.unwrap();
    }
}
