use bytes::Bytes;
use embedded_store::{Change, Durability, Expect, Write, memory};

use super::*;

async fn put(store: &Arc<dyn Store>, key: &str, name: &str) -> Revision {
    let json = format!(r#"{{"kind":"X","apiVersion":"v1","metadata":{{"name":"{name}","namespace":"a"}}}}"#);
    let change = Change::Put(Bytes::from(json));
    let write = Write { key: key.into(), expect: Expect::Any, change, durability: Durability::Synced };
    store.write(write).await.unwrap().entry.revision
}

fn row(plural: &str) -> Arc<Resource> {
    api::resource::find("", "v1", plural).unwrap().clone()
}

#[tokio::test]
async fn deals_each_change_to_its_kind() {
    let store = memory();
    put(&store, "/registry/pods/a/old", "old").await;
    let feed = Feed::start(store.clone(), [row("pods"), row("services")], 10).await.unwrap();
    let pods = feed.cache("/registry/pods/").unwrap();
    assert_eq!(pods.len(), 1);
    put(&store, "/registry/services/specs/a/web", "web").await;
    put(&store, "/registry/unknown/a/x", "x").await;
    let last = put(&store, "/registry/pods/a/new", "new").await;
    feed.wait_for(last).await;
    assert_eq!((pods.len(), feed.cache("/registry/services/specs/").unwrap().len()), (2, 1));
    let delete = Write {
        key: "/registry/pods/a/old".into(),
        expect: Expect::Any,
        change: Change::Delete,
        durability: Durability::Synced,
    };
    feed.wait_for(store.write(delete).await.unwrap().entry.revision).await;
    assert!(pods.get("a", "old").is_none());
}

#[tokio::test]
async fn a_kind_can_be_added_later() {
    let store = memory();
    let feed = Feed::start(store.clone(), [row("pods")], 10).await.unwrap();
    put(&store, "/registry/secrets/a/x", "x").await;
    let secrets = feed.add(row("secrets"), 10).await.unwrap();
    let last = put(&store, "/registry/secrets/a/y", "y").await;
    feed.wait_for(last).await;
    assert_eq!(secrets.len(), 2);
    feed.remove("/registry/secrets/");
    assert!(feed.cache("/registry/secrets/").is_none());
}

#[tokio::test]
async fn caches_are_filled_again_when_history_has_passed_them() {
    let limits = embedded_store::Limits { history: 1, ..embedded_store::Limits::default() };
    let store: Arc<dyn Store> = Arc::new(embedded_store::MemoryStore::new(limits));
    put(&store, "/registry/pods/a/old", "old").await;
    let feed = Feed::start(store.clone(), [row("pods")], 100).await.unwrap();
    let pods = feed.cache("/registry/pods/").unwrap();
    let (_, mut changes) = pods.subscribe();
    // The feed's task gets no turn while these are written, and all but the last is forgotten at once.
    let mut last = 0;
    for n in 0..50 {
        last = put(&store, &format!("/registry/pods/a/p{n}"), &format!("p{n}")).await;
    }
    feed.wait_for(last).await;
    assert_eq!(pods.len(), 51);
    assert_eq!(changes.ready().unwrap().len(), 50, "whoever watches sees each of them");
}
