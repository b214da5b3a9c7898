use super::attempt::{Owner, Verdict, judge};
use super::*;
use crate::Options;
use crate::testing::Running;
use ::client::kinds;
use ::client::testing::Cluster;
use api::{DeleteOptions, Propagation};
use serde_json::{Value, json};

const NAMES: &[&str] = &["garbage-collector-controller"];

/// A config map owned by others, each given as (kind, name, uid).
fn owned(name: &str, owners: &[(&str, &str, &str)]) -> Value {
    let api_version = |kind: &str| match kind {
        "ReplicaSet" | "Deployment" => "apps/v1",
        "Widget" => "x.io/v1",
        _ => "v1",
    };
    let reference = |(kind, name, uid): &(&str, &str, &str)| json!({ "apiVersion": api_version(kind), "kind": kind, "name": name, "uid": uid, "blockOwnerDeletion": true });
    let owners: Vec<Value> = owners.iter().map(reference).collect();
    json!({ "metadata": { "namespace": "a", "name": name, "uid": format!("uid-{name}"), "ownerReferences": owners } })
}

fn set(name: &str) -> Value {
    owned(name, &[])
}

async fn delete(cluster: &Cluster, resource: &Arc<Resource>, name: &str, propagation: Propagation) {
    let options = DeleteOptions { propagation: Some(propagation), ..DeleteOptions::default() };
    cluster.client().delete(resource, "a", name, options).await.unwrap();
}

fn names(objects: &[Value]) -> Vec<&str> {
    objects.iter().map(|object| object["metadata"]["name"].as_str().unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn dependents_of_absent_owners_go_and_others_stay() {
    let cluster = Cluster::new();
    let (sets, maps) = (kinds::replica_sets(), kinds::config_maps());
    cluster.seed(&sets, set("web"));
    cluster.seed(&maps, owned("child", &[("ReplicaSet", "web", "uid-web")]));
    cluster.seed(&maps, owned("grandchild", &[("ConfigMap", "child", "uid-child")]));
    cluster.seed(&maps, owned("dangling", &[("ReplicaSet", "never", "uid-never")]));
    cluster.seed(&maps, owned("reborn", &[("ReplicaSet", "web", "uid-of-an-earlier-web")]));
    cluster.seed(&maps, owned("shared", &[("ReplicaSet", "web", "uid-web"), ("ReplicaSet", "never", "uid-never")]));
    cluster.seed(&maps, set("free"));
    let running = Running::start(&cluster, NAMES, Options::default());
    running.until(&maps, |maps| names(maps) == ["child", "free", "grandchild", "shared"]).await;
    let one_owner = |maps: &[Value]| maps[3]["metadata"]["ownerReferences"].as_array().map(Vec::len) == Some(1);
    running.until(&maps, one_owner).await;
    delete(&cluster, &sets, "web", Propagation::Background).await;
    running.until(&maps, |maps| names(maps) == ["free"]).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_foreground_owner_goes_last() {
    let cluster = Cluster::new();
    let (sets, maps) = (kinds::replica_sets(), kinds::config_maps());
    cluster.seed(&sets, set("web"));
    let mut held = owned("held", &[("ReplicaSet", "web", "uid-web")]);
    held["metadata"]["finalizers"] = json!(["x.io/f"]);
    cluster.seed(&maps, held);
    cluster.seed(&maps, owned("child", &[("ReplicaSet", "web", "uid-web")]));
    let running = Running::start(&cluster, NAMES, Options::default());
    delete(&cluster, &sets, "web", Propagation::Foreground).await;
    running.until(&maps, |maps| names(maps) == ["held"] && !maps[0]["metadata"]["deletionTimestamp"].is_null()).await;
    assert_eq!(cluster.keys(&sets), ["a/web"], "it waits for what blocks it");
    let free = api::Patch::Merge(json!({ "metadata": { "finalizers": null } }));
    cluster.client().patch(&maps, "a", "held", "", free).await.unwrap();
    running.until(&sets, <[Value]>::is_empty).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn orphans_stay_without_their_owner() {
    let cluster = Cluster::new();
    let (sets, maps) = (kinds::replica_sets(), kinds::config_maps());
    cluster.seed(&sets, set("web"));
    cluster.seed(&maps, owned("child", &[("ReplicaSet", "web", "uid-web")]));
    let running = Running::start(&cluster, NAMES, Options::default());
    delete(&cluster, &sets, "web", Propagation::Orphan).await;
    running.until(&sets, <[Value]>::is_empty).await;
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    let child = cluster.value(&maps, "a", "child");
    assert_eq!(child["metadata"]["ownerReferences"], json!([]));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_circle_of_waiting_owners_is_broken() {
    let cluster = Cluster::new();
    let maps = kinds::config_maps();
    cluster.seed(&maps, owned("one", &[("ConfigMap", "two", "uid-two")]));
    cluster.seed(&maps, owned("two", &[("ConfigMap", "one", "uid-one")]));
    let running = Running::start(&cluster, NAMES, Options::default());
    delete(&cluster, &maps, "one", Propagation::Foreground).await;
    running.until(&maps, <[Value]>::is_empty).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn custom_resources_are_collected_once_they_are_served() {
    let cluster = Cluster::new();
    let maps = kinds::config_maps();
    let mut widgets = (*kinds::config_maps()).clone();
    (widgets.group, widgets.plural, widgets.kind) = ("x.io".into(), "widgets".into(), "Widget".into());
    widgets.builtin = false;
    let widgets = Arc::new(widgets);
    let running = Running::start(&cluster, NAMES, Options::default());
    cluster.seed(&widgets, set("w"));
    cluster.seed(&maps, owned("child", &[("Widget", "w", "uid-w")]));
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert_eq!(cluster.keys(&maps), ["a/child"], "nothing is concluded from a kind that is not known");
    cluster.serve(widgets.clone());
    cluster.seed(&kinds::custom_resource_definitions(), json!({ "metadata": { "name": "widgets.x.io" } }));
    tokio::time::sleep(std::time::Duration::from_secs(2000)).await;
    assert_eq!(cluster.keys(&maps), ["a/child"]);
    delete(&cluster, &widgets, "w", Propagation::Background).await;
    running.until(&maps, <[Value]>::is_empty).await;
    running.stop().await;
}

#[test]
fn verdicts_follow_the_owners() {
    use Owner::{Dangling, Invalid, Solid, Waiting};
    let check = |owners: &[Owner], has_dependents, expect| assert_eq!(judge(owners, has_dependents), expect);
    check(&[], true, Verdict::Keep);
    check(&[Solid], true, Verdict::Keep);
    check(&[Solid, Dangling], true, Verdict::Detach);
    check(&[Solid, Waiting], false, Verdict::Detach);
    check(&[Dangling], true, Verdict::Delete);
    check(&[Waiting], false, Verdict::Delete);
    check(&[Waiting, Dangling], true, Verdict::DeleteForeground);
    check(&[Dangling, Invalid], false, Verdict::Keep);
}

#[test]
fn the_graph_holds_only_what_has_an_owner() {
    let mut graph = Graph::default();
    let (one, two): (Arc<str>, Arc<str>) = ("configmaps|a|one|1".into(), "configmaps|a|two|2".into());
    graph.set(&one, ["x".into(), "y".into()].into_iter());
    graph.set(&two, ["1".into()].into_iter());
    assert_eq!(graph.size(), (2, 3));
    assert_eq!(graph.dependents_of("1"), std::slice::from_ref(&two));
    graph.set(&one, ["x".into()].into_iter());
    assert_eq!((graph.size(), graph.dependents_of("y").len()), ((2, 2), 0));
    assert_eq!(
        graph.retain(&kinds::config_maps(), |_, name| (name == "two").then(|| "2".into())),
        std::slice::from_ref(&two)
    );
    graph.set(&two, [].into_iter());
    assert_eq!(graph.size(), (0, 0));
}

/// A kind that another API server may serve.
fn widgets() -> Arc<Resource> {
    let mut widgets = (*kinds::config_maps()).clone();
    (widgets.group, widgets.plural, widgets.kind) = ("x.io".into(), "widgets".into(), "Widget".into());
    widgets.builtin = false;
    Arc::new(widgets)
}

#[tokio::test(start_paused = true)]
async fn what_other_servers_hold_is_collected_like_the_rest() {
    let cluster = Cluster::new();
    let (maps, widgets) = (kinds::config_maps(), widgets());
    cluster.seed(&maps, set("owner"));
    cluster.seed(&widgets, owned("child", &[("ConfigMap", "owner", "uid-owner")]));
    cluster.seed(&widgets, owned("dangling", &[("ConfigMap", "never", "uid-never")]));
    cluster.set_elsewhere(::client::Elsewhere { resources: vec![widgets.clone()], stale: Vec::new() });
    let running = Running::start(&cluster, NAMES, Options::default());
    running.until(&widgets, |widgets| names(widgets) == ["child"]).await;
    // A server that does not answer keeps what it has, and what it had is known.
    let stale = vec!["x.io/v1".to_owned()];
    cluster.set_elsewhere(::client::Elsewhere { resources: Vec::new(), stale });
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    delete(&cluster, &maps, "owner", Propagation::Foreground).await;
    running.until(&widgets, <[Value]>::is_empty).await;
    running.until(&maps, <[Value]>::is_empty).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_holds_nobody_up() {
    let cluster = Cluster::new();
    let (maps, widgets) = (kinds::config_maps(), widgets());
    cluster.fail("list", "widgets", usize::MAX, api::Status::unavailable("gone"));
    cluster.set_elsewhere(::client::Elsewhere { resources: vec![widgets], stale: Vec::new() });
    cluster.seed(&maps, set("owner"));
    cluster.seed(&maps, owned("child", &[("ConfigMap", "owner", "uid-owner")]));
    let running = Running::start(&cluster, NAMES, Options::default());
    delete(&cluster, &maps, "owner", Propagation::Orphan).await;
    running.until(&maps, |maps| names(maps) == ["child"]).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn owners_that_other_servers_hold_are_asked_for() {
    let cluster = Cluster::new();
    let (maps, widgets) = (kinds::config_maps(), widgets());
    cluster.seed(&widgets, owned("w", &[]));
    cluster.seed(&maps, owned("child", &[("Widget", "w", "uid-w")]));
    cluster.seed(&maps, owned("dangling", &[("Widget", "never", "uid-never")]));
    // As long as nobody says what there is, nothing goes.
    let stale = vec!["x.io/v1".to_owned()];
    cluster.set_elsewhere(::client::Elsewhere { resources: Vec::new(), stale });
    let running = Running::start(&cluster, NAMES, Options::default());
    tokio::time::sleep(std::time::Duration::from_secs(600)).await;
    assert_eq!(cluster.keys(&maps), ["a/child", "a/dangling"]);
    cluster.set_elsewhere(::client::Elsewhere { resources: vec![widgets.clone()], stale: Vec::new() });
    tokio::time::sleep(std::time::Duration::from_secs(2000)).await;
    running.until(&maps, |maps| names(maps) == ["child"]).await;
    delete(&cluster, &widgets, "w", Propagation::Background).await;
    running.until(&maps, <[Value]>::is_empty).await;
    running.stop().await;
}
