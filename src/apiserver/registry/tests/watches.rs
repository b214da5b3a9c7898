use std::collections::BTreeMap;

use super::*;

fn from(version: impl ToString) -> WatchOptions {
    let list = ListOptions { resource_version: Some(version.to_string()), ..ListOptions::default() };
    WatchOptions { list, ..WatchOptions::default() }
}

fn labelled(options: WatchOptions, labels: &str) -> WatchOptions {
    let list = ListOptions { label_selector: labels.into(), ..options.list };
    WatchOptions { list, ..options }
}

#[tokio::test]
async fn changes_come_into_view_and_leave_it() {
    let server = server().await;
    let start = server.list("configmaps", ListOptions::default()).await.unwrap().revision;
    let mut all = server.watch("configmaps", from(start)).await.unwrap();
    let mut some = server.watch("configmaps", labelled(from(start), "k=x")).await.unwrap();
    server.create("configmaps", config_map("m", "y")).await.unwrap();
    for label in ["x", "x2", "x"] {
        server.merge("configmaps/m", json!({"metadata": {"labels": {"k": label}}})).await.unwrap();
    }
    server.merge("configmaps/m", json!({"data": {"a": "b"}})).await.unwrap();
    server.delete("configmaps/m", DeleteOptions::default()).await.unwrap();
    let expect = ["ADDED m", "MODIFIED m", "MODIFIED m", "MODIFIED m", "MODIFIED m", "DELETED m"];
    assert_eq!(take(&mut all, 6).await, expect);
    assert_eq!(take(&mut some, 5).await, ["ADDED m", "DELETED m", "ADDED m", "MODIFIED m", "DELETED m"]);
    assert!(quiet(&mut all) && quiet(&mut some));
}

#[tokio::test]
async fn an_object_that_leaves_view_is_shown_as_it_was_at_the_new_version() {
    let server = server().await;
    server.create("configmaps", config_map("m", "x")).await.unwrap();
    let mut some = server.watch("configmaps", labelled(from(0), "k=x")).await.unwrap();
    assert_eq!(take(&mut some, 1).await, ["ADDED m"]);
    let left = server.merge("configmaps/m", json!({"metadata": {"labels": {"k": "y"}}})).await.unwrap();
    let Some(WatchEvent::Deleted(object)) = some.next().await else { panic!("no deletion") };
    assert_eq!(object.meta.labels.get("k"), Some("x"));
    assert_eq!(left["metadata"]["resourceVersion"], object.meta.resource_version.to_string());
}

#[tokio::test]
async fn the_present_state_comes_first_when_asked_for() {
    let server = server().await;
    server.create("configmaps", config_map("m1", "x")).await.unwrap();
    server.create("configmaps", config_map("m2", "x")).await.unwrap();
    let mut stream = server.watch("configmaps", WatchOptions::default()).await.unwrap();
    assert_eq!(take(&mut stream, 2).await, ["ADDED m1", "ADDED m2"]);
    let list = ListOptions { resource_version_match: "NotOlderThan".into(), ..ListOptions::default() };
    let options = WatchOptions { list, initial_events: Some(true), bookmarks: true, ..WatchOptions::default() };
    let mut stream = server.watch("configmaps", options.clone()).await.unwrap();
    assert_eq!(take(&mut stream, 3).await, ["ADDED m1", "ADDED m2", "END"]);
    let mut none = server.watch("configmaps", WatchOptions { initial_events: Some(false), ..options }).await.unwrap();
    assert!(quiet(&mut none));
}

#[tokio::test]
async fn a_version_that_is_gone_is_an_error_in_the_stream() {
    let server = server_with(RegistryConfig { history: 2, ..RegistryConfig::default() }).await;
    let start = server.list("configmaps", ListOptions::default()).await.unwrap().revision;
    for name in ["m1", "m2", "m3"] {
        server.create("configmaps", config_map(name, "x")).await.unwrap();
    }
    server.registry.catch_up().await.unwrap();
    let mut stream = server.watch("configmaps", from(start)).await.unwrap();
    let expect = format!("ERROR 410 too old resource version: {start} ({})", start + 1);
    assert_eq!(take(&mut stream, 1).await, [expect]);
    assert!(stream.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn bookmarks_and_the_end_come_by_the_clock() {
    let server = server().await;
    let options = WatchOptions { bookmarks: true, timeout_seconds: Some(100), ..WatchOptions::default() };
    let mut stream = server.watch("configmaps", options).await.unwrap();
    // The kind has not changed, the store has.
    server.create("secrets", json!({"metadata": {"name": "s"}})).await.unwrap();
    server.registry.catch_up().await.unwrap();
    let applied = server.registry.feed.applied();
    let all: Vec<WatchEvent> = (&mut stream).collect().await;
    // Who names no version begins with the state, and is told when that was all.
    assert_eq!(all.iter().map(shown).collect::<Vec<_>>(), ["END", "BOOKMARK", "BOOKMARK"]);
    assert!(matches!(all[0], WatchEvent::Bookmark { initial_events_end: true, .. }));
    assert!(all[1..].iter().all(|e| matches!(e, WatchEvent::Bookmark { revision, .. } if *revision == applied)));
}

#[tokio::test]
async fn a_list_and_a_watch_from_it_tell_the_state() {
    let server = server().await;
    let list = server.list("configmaps", ListOptions::default()).await.unwrap();
    let mut stream = server.watch("configmaps", labelled(from(list.revision), "k in (0,1,2)")).await.unwrap();
    let writer = async {
        for _ in 0..300 {
            let name = format!("m{}", rand::random_range(0..8));
            let body = config_map(&name, &rand::random_range(0..5).to_string());
            let path = format!("configmaps/{name}");
            let outcome = match rand::random_range(0..3) {
                0 => server.create("configmaps", body).await,
                1 => server.merge(&path, body).await,
                _ => server.delete(&path, DeleteOptions::default()).await,
            };
            if let Err(status) = outcome {
                assert!(matches!(status.code, 404 | 409), "{status}");
            }
        }
        server.create("configmaps", config_map("last", "0")).await.unwrap();
    };
    let reader = async {
        let mut seen = BTreeMap::new();
        while let Some(event) = stream.next().await {
            match event {
                WatchEvent::Added(object) => {
                    let name = object.meta.name.clone();
                    let before = seen.insert(name.clone(), object.meta.resource_version);
                    assert!(before.is_none(), "added twice");
                    if &*name == "last" {
                        break;
                    }
                }
                WatchEvent::Modified(object) => {
                    let before = seen.insert(object.meta.name.clone(), object.meta.resource_version);
                    assert!(before.unwrap() < object.meta.resource_version);
                }
                WatchEvent::Deleted(object) => drop(seen.remove(&object.meta.name).unwrap()),
                event => panic!("{event:?}"),
            }
        }
        seen
    };
    let ((), seen) = tokio::join!(writer, reader);
    let options = ListOptions { label_selector: "k in (0,1,2)".into(), ..ListOptions::default() };
    let list = server.list("configmaps", options).await.unwrap();
    let expect: BTreeMap<_, _> =
        list.items.iter().map(|object| (object.meta.name.clone(), object.meta.resource_version)).collect();
    assert_eq!(seen, expect);
}
