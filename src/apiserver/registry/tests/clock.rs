use std::time::Duration;

use super::*;

/// Lets the paused clock run, a minute at a time, with room for the tasks it wakes.
async fn minutes(count: u32) {
    for _ in 0..count {
        tokio::time::sleep(Duration::from_secs(60)).await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn events_expire_and_history_is_compacted() {
    let server = server_with(RegistryConfig { event_ttl: Duration::from_secs(600), ..RegistryConfig::default() }).await;
    let event = |name: &str| json!({"metadata": {"name": name}, "involvedObject": {"name": "p", "namespace": "a"}});
    server.create("events", event("old")).await.unwrap();
    server.create("events", event("kept")).await.unwrap();
    let written = server.registry.store().revision().await.unwrap();
    minutes(7).await;
    assert!(server.registry.store().oldest() >= written, "five minutes of history are kept");
    server.merge("events/kept", json!({"count": 2})).await.unwrap();
    minutes(5).await;
    assert_eq!(server.get("events/old").await.unwrap_err().code, 404);
    server.get("events/kept").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_idle_server_writes_nothing() {
    let server = server().await;
    let before = server.registry.store().revision().await.unwrap();
    minutes(120).await;
    assert_eq!(server.registry.store().revision().await.unwrap(), before);
}

#[tokio::test(start_paused = true)]
async fn what_every_cluster_has_comes_back() {
    let server = server().await;
    server.delete("priorityclasses/system-node-critical", DeleteOptions::default()).await.unwrap();
    minutes(2).await;
    server.get("priorityclasses/system-node-critical").await.unwrap();
}

#[tokio::test]
async fn a_restart_changes_nothing() {
    let store = memory();
    let start = async || Server { registry: Registry::start(store.clone(), RegistryConfig::default()).await.unwrap() };
    let first = start().await;
    first.create("namespaces", json!({"metadata": {"name": "a"}})).await.unwrap();
    let service = json!({"metadata": {"name": "s"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}});
    let made = first.create("services", service).await.unwrap();
    drop(first);
    let before = store.revision().await.unwrap();
    let second = start().await;
    assert_eq!(store.revision().await.unwrap(), before);
    assert_eq!(second.get("services/s").await.unwrap(), made);
    // What the service holds is still its own.
    let port = &made["spec"]["ports"][0]["nodePort"];
    let other =
        json!({"metadata": {"name": "t"}, "spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]}});
    let status = second.create("services", other).await.unwrap_err();
    assert!(status.message.ends_with("provided port is already allocated"), "{}", status.message);
}
