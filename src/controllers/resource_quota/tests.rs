use super::*;
use crate::Options;
use crate::testing::Running;
use api::DeleteOptions;
use client::testing::Cluster;

fn pod(name: &str, cpu: &str) -> Value {
    let container = json!({ "name": "c", "resources": { "requests": { "cpu": cpu } } });
    json!({ "metadata": { "namespace": "a", "name": name }, "spec": { "containers": [container] } })
}

#[tokio::test(start_paused = true)]
async fn what_goes_is_given_back() {
    let cluster = Cluster::new();
    let (client, quotas) = (cluster.client(), kinds::resource_quotas());
    cluster.seed(&kinds::pods(), pod("one", "500m"));
    cluster.seed(&kinds::pods(), pod("two", "1500m"));
    cluster.seed(&kinds::config_maps(), json!({ "metadata": { "namespace": "a", "name": "m" } }));
    let hard = json!({ "pods": "5", "requests.cpu": "4", "count/configmaps": "2", "count/deployments.apps": "1" });
    client.create(&quotas, "a", json!({ "metadata": { "name": "q" }, "spec": { "hard": hard } })).await.unwrap();
    let running = Running::start(&cluster, &["resourcequota-controller"], Options::default());
    let used = |pods: &str, cpu: &str| {
        let expect =
            json!({ "pods": pods, "requests.cpu": cpu, "count/configmaps": "1", "count/deployments.apps": "0" });
        move |all: &[Value]| all[0]["status"]["used"] == expect
    };
    let now = running.until(&quotas, used("2", "2")).await;
    assert_eq!(now[0]["status"]["hard"], hard);
    client.delete(&kinds::pods(), "a", "one", DeleteOptions::default()).await.unwrap();
    running.until(&quotas, used("1", "1500m")).await;
    let ended = Patch::Merge(json!({ "status": { "phase": "Succeeded" } }));
    client.patch(&kinds::pods(), "a", "two", "status", ended).await.unwrap();
    running.until(&quotas, used("0", "0")).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_custom_object_counts_once_however_many_versions_show_it() {
    let cluster = Cluster::new();
    let (client, quotas) = (cluster.client(), kinds::resource_quotas());
    let mut row = (*kinds::config_maps()).clone();
    (row.group, row.plural, row.kind, row.builtin) = ("x.io".into(), "widgets".into(), "Widget".into(), false);
    for version in ["v1", "v2"] {
        row.version = version.into();
        cluster.serve(Arc::new(row.clone()));
    }
    cluster.seed(&Arc::new(row), json!({ "metadata": { "namespace": "a", "name": "w" } }));
    let hard = json!({ "count/widgets.x.io": "2" });
    client.create(&quotas, "a", json!({ "metadata": { "name": "q" }, "spec": { "hard": hard } })).await.unwrap();
    let running = Running::start(&cluster, &["resourcequota-controller"], Options::default());
    let now = running.until(&quotas, |all| !all[0]["status"]["used"].is_null()).await;
    assert_eq!(now[0]["status"]["used"], json!({ "count/widgets.x.io": "1" }));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn custom_kinds_are_followed_as_they_come_and_go() {
    let cluster = Cluster::new();
    let (client, quotas) = (cluster.client(), kinds::resource_quotas());
    let hard = json!({ "count/widgets.x.io": "2" });
    client.create(&quotas, "a", json!({ "metadata": { "name": "q" }, "spec": { "hard": hard } })).await.unwrap();
    let running = Running::start(&cluster, &["resourcequota-controller"], Options::default());
    let used = |count: &'static str| move |all: &[Value]| all[0]["status"]["used"]["count/widgets.x.io"] == count;
    running.until(&quotas, used("0")).await;
    let began = tokio::time::Instant::now();
    let mut widgets = (*kinds::config_maps()).clone();
    (widgets.group, widgets.plural, widgets.kind) = ("x.io".into(), "widgets".into(), "Widget".into());
    widgets.builtin = false;
    let widgets = Arc::new(widgets);
    for name in ["v", "w"] {
        cluster.seed(&widgets, json!({ "metadata": { "namespace": "a", "name": name } }));
    }
    cluster.serve(widgets.clone());
    running.until(&quotas, used("2")).await;
    client.delete(&widgets, "a", "w", DeleteOptions::default()).await.unwrap();
    running.until(&quotas, used("1")).await;
    client.create(&widgets, "a", json!({ "metadata": { "name": "x" } })).await.unwrap();
    running.until(&quotas, used("2")).await;
    cluster.withdraw(&widgets);
    running.until(&quotas, used("0")).await;
    assert!(began.elapsed() < RESYNC, "all this was noticed, not merely found");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_admission_charges_is_not_taken_back_at_once() {
    let cluster = Cluster::new();
    let (client, quotas) = (cluster.client(), kinds::resource_quotas());
    let quota = json!({ "metadata": { "name": "q" }, "spec": { "hard": { "configmaps": "2" } } });
    client.create(&quotas, "a", quota).await.unwrap();
    let running = Running::start(&cluster, &["resourcequota-controller"], Options::default());
    let used = |all: &[Value]| all[0]["status"]["used"]["configmaps"].clone();
    running.until(&quotas, |all| used(all) == "0").await;
    // Charged for a write that fails: it is given back, but not before the write would have been seen.
    let charge = Patch::Merge(json!({ "status": { "used": { "configmaps": "1" } } }));
    let charged = tokio::time::Instant::now();
    client.patch(&quotas, "a", "q", "status", charge).await.unwrap();
    running.until(&quotas, |all| used(all) == "0").await;
    assert!(charged.elapsed() >= CHECK, "{:?}", charged.elapsed());
    running.stop().await;
}

#[test]
fn the_status_is_written_only_when_it_differs() {
    let check = |status: Value, expect: Option<Value>| {
        let quota = json!({ "spec": { "hard": { "cpu": "1" } }, "status": status });
        let used = Amounts::from([("cpu".to_owned(), Quantity::parse("500m").unwrap())]);
        assert_eq!(correction(&quota, &used), expect);
    };
    check(json!({ "hard": { "cpu": "1000m" }, "used": { "cpu": "0.5" } }), None);
    let status = json!({ "hard": { "cpu": "1" }, "used": { "cpu": "500m", "pods": null } });
    check(json!({ "hard": { "cpu": "1" }, "used": { "cpu": "500m", "pods": "3" } }), Some(status));
}

#[tokio::test(start_paused = true)]
async fn what_other_servers_hold_counts_as_long_as_they_answer_and_after() {
    let cluster = Cluster::new();
    let (client, quotas) = (cluster.client(), kinds::resource_quotas());
    let mut widgets = (*kinds::config_maps()).clone();
    (widgets.group, widgets.plural, widgets.kind) = ("x.io".into(), "widgets".into(), "Widget".into());
    widgets.builtin = false;
    let widgets = Arc::new(widgets);
    cluster.seed(&widgets, json!({ "metadata": { "namespace": "a", "name": "v" } }));
    let quota = json!({ "metadata": { "name": "q" }, "spec": { "hard": { "count/widgets.x.io": "2" } } });
    client.create(&quotas, "a", quota).await.unwrap();
    // A server that does not answer has not lost what was counted before.
    let charge = Patch::Merge(json!({ "status": { "used": { "count/widgets.x.io": "1" } } }));
    client.patch(&quotas, "a", "q", "status", charge).await.unwrap();
    let elsewhere = client::Elsewhere { resources: vec![widgets.clone()], stale: Vec::new() };
    cluster.set_elsewhere(elsewhere.clone());
    cluster.fail("list", "widgets", 5, api::Status::unavailable("not yet"));
    let running = Running::start(&cluster, &["resourcequota-controller"], Options::default());
    let used = |count: &'static str| move |all: &[Value]| all[0]["status"]["used"]["count/widgets.x.io"] == count;
    running.until(&quotas, |all| !all[0]["status"]["hard"].is_null()).await;
    assert!(used("1")(&[cluster.value(&quotas, "a", "q")]));
    client.create(&widgets, "a", json!({ "metadata": { "name": "w" } })).await.unwrap();
    running.until(&quotas, used("2")).await;
    cluster.set_elsewhere(client::Elsewhere { resources: Vec::new(), stale: vec!["x.io/v1".into()] });
    tokio::time::sleep(RESYNC * 2).await;
    assert!(used("2")(&[cluster.value(&quotas, "a", "q")]));
    running.stop().await;
}
