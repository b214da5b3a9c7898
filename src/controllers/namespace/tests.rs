use crate::Options;
use crate::testing::{Running, pod, text};
use api::{DeleteOptions, Patch};
use client::kinds;
use client::testing::Cluster;
use serde_json::{Value, json};

const NAMES: &[&str] = &["namespace-controller"];

async fn terminating() -> (Cluster, Running) {
    let cluster = Cluster::new();
    let client = cluster.client();
    client.create(&kinds::namespaces(), "", json!({ "metadata": { "name": "a" } })).await.unwrap();
    let running = Running::start(&cluster, NAMES, Options::default());
    (cluster, running)
}

fn condition<'a>(namespace: &'a Value, kind: &str) -> &'a Value {
    namespace["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|c| c["type"] == kind)
        .unwrap_or(&Value::Null)
}

#[tokio::test(start_paused = true)]
async fn a_namespace_goes_when_everything_in_it_is_gone_pods_first() {
    let (cluster, running) = terminating().await;
    let client = cluster.client();
    client.create(&kinds::config_maps(), "a", json!({ "metadata": { "name": "m" } })).await.unwrap();
    client.create(&kinds::config_maps(), "b", json!({ "metadata": { "name": "other" } })).await.unwrap();
    cluster.seed(&kinds::pods(), pod("a", "p", json!({}), "n1", "Running"));
    client.delete(&kinds::namespaces(), "", "a", DeleteOptions::default()).await.unwrap();
    let pods_remain = |all: &[Value]| {
        text(condition(&all[0], "NamespaceContentRemaining"), "/message").contains("pods. has 1 resource")
    };
    running.until(&kinds::namespaces(), pods_remain).await;
    assert_eq!(cluster.keys(&kinds::config_maps()), ["a/m", "b/other"], "pods may still need it");
    // The kubelet ends the pod.
    let now = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() };
    client.delete(&kinds::pods(), "a", "p", now).await.unwrap();
    running.until(&kinds::namespaces(), <[Value]>::is_empty).await;
    assert_eq!(cluster.keys(&kinds::config_maps()), ["b/other"]);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn finalizers_hold_a_namespace_and_show() {
    let (cluster, running) = terminating().await;
    let client = cluster.client();
    let held = json!({ "metadata": { "name": "m", "finalizers": ["x.io/f"] } });
    client.create(&kinds::config_maps(), "a", held).await.unwrap();
    client.delete(&kinds::namespaces(), "", "a", DeleteOptions::default()).await.unwrap();
    let shown = |all: &[Value]| condition(&all[0], "NamespaceFinalizersRemaining")["status"] == "True";
    let namespaces = running.until(&kinds::namespaces(), shown).await;
    assert!(
        text(condition(&namespaces[0], "NamespaceFinalizersRemaining"), "/message")
            .ends_with("x.io/f in 1 resource instances")
    );
    let free = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
    client.patch(&kinds::config_maps(), "a", "m", "", free).await.unwrap();
    running.until(&kinds::namespaces(), <[Value]>::is_empty).await;
    running.stop().await;
}

fn flunders(verbs: &'static [&'static str]) -> std::sync::Arc<api::Resource> {
    let config_maps = kinds::config_maps();
    let row = (*config_maps).clone();
    api::Resource {
        group: "wardle.example.com".into(),
        version: "v1alpha1".into(),
        plural: "flunders".into(),
        kind: "Flunder".into(),
        builtin: false,
        verbs,
        ..row
    }
    .into()
}

#[tokio::test(start_paused = true)]
async fn what_other_servers_hold_goes_too() {
    for verbs in [api::resource::ALL_VERBS, &["delete", "get", "list"]] {
        let (cluster, running) = terminating().await;
        let (client, flunders) = (cluster.client(), flunders(verbs));
        cluster.set_elsewhere(client::Elsewhere { resources: vec![flunders.clone()], stale: Vec::new() });
        client.create(&flunders, "a", json!({ "metadata": { "name": "f" } })).await.unwrap();
        client.create(&flunders, "b", json!({ "metadata": { "name": "other" } })).await.unwrap();
        client.delete(&kinds::namespaces(), "", "a", DeleteOptions::default()).await.unwrap();
        running.until(&kinds::namespaces(), <[Value]>::is_empty).await;
        assert_eq!(cluster.keys(&flunders), ["b/other"]);
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_namespace_stays_while_nobody_knows_what_is_in_it() {
    let (cluster, running) = terminating().await;
    let client = cluster.client();
    client.create(&kinds::config_maps(), "a", json!({ "metadata": { "name": "m" } })).await.unwrap();
    let stale = vec!["wardle.example.com/v1alpha1".to_owned()];
    cluster.set_elsewhere(client::Elsewhere { resources: Vec::new(), stale });
    client.delete(&kinds::namespaces(), "", "a", DeleteOptions::default()).await.unwrap();
    let shown = |all: &[Value]| condition(&all[0], "NamespaceDeletionDiscoveryFailure")["status"] == "True";
    let namespaces = running.until(&kinds::namespaces(), shown).await;
    let failure = condition(&namespaces[0], "NamespaceDeletionDiscoveryFailure");
    assert_eq!(failure["reason"], "DiscoveryFailed");
    assert_eq!(
        failure["message"],
        "Discovery failed for some groups, 1 failing: unable to retrieve the complete list of server APIs: \
         wardle.example.com/v1alpha1: stale GroupVersion discovery: wardle.example.com/v1alpha1"
    );
    assert!(cluster.keys(&kinds::config_maps()).is_empty(), "what is known goes all the same");
    cluster.set_elsewhere(client::Elsewhere::default());
    running.until(&kinds::namespaces(), <[Value]>::is_empty).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn custom_resources_go_with_their_namespace() {
    let (cluster, running) = terminating().await;
    let (client, custom) = (cluster.client(), flunders(api::resource::ALL_VERBS));
    cluster.serve(custom.clone());
    client.create(&custom, "a", json!({ "metadata": { "name": "f" } })).await.unwrap();
    client.delete(&kinds::namespaces(), "", "a", DeleteOptions::default()).await.unwrap();
    running.until(&kinds::namespaces(), <[Value]>::is_empty).await;
    assert!(cluster.keys(&custom).is_empty());
    running.stop().await;
}
