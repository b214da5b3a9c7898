use bytes::Bytes;

use super::*;

fn pod(name: &str, revision: u64) -> Arc<Object> {
    let pods = api::resource::find("", "v1", "pods").unwrap();
    let json = format!(r#"{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"{name}","namespace":"a"}}}}"#);
    Arc::new(Object::stored(Bytes::from(json), revision, pods).unwrap())
}

fn cache(history: usize) -> Arc<Cache> {
    let cache = Cache::new(api::resource::find("", "v1", "pods").unwrap().clone(), history);
    cache.replace([pod("old", 3)], 5);
    cache
}

fn seen(changes: &[Arc<Change>]) -> Vec<(ChangeKind, String, u64)> {
    changes.iter().map(|c| (c.kind, c.object.meta.name.to_string(), c.revision)).collect()
}

#[tokio::test]
async fn subscribers_see_every_change_once_and_in_order() {
    use ChangeKind::{Added, Deleted, Modified};
    let cache = cache(100);
    let (snapshot, mut subscription) = cache.subscribe();
    assert_eq!((snapshot.len(), snapshot.revision), (1, 5));
    cache.put(pod("x", 6));
    cache.put(pod("old", 7));
    cache.remove("a", "x", 8);
    let expect = vec![(Added, "x".into(), 6), (Modified, "old".into(), 7), (Deleted, "x".into(), 8)];
    assert_eq!(seen(&subscription.next().await.unwrap()), expect);
    assert_eq!(subscription.caught_up(), Some(8));
    assert_eq!(seen(&cache.subscribe_after(6).unwrap().next().await.unwrap()), expect[1..]);
    assert_eq!(cache.subscribe_after(4).unwrap_err(), TooOld { asked: 4, oldest: 5 });
    assert_eq!(snapshot.len(), 1, "a snapshot does not move");
}

#[tokio::test]
async fn a_reader_that_falls_behind_is_told() {
    let cache = cache(2);
    let (_, mut subscription) = cache.subscribe();
    for revision in 6..10 {
        cache.put(pod("x", revision));
    }
    assert_eq!(subscription.next().await.unwrap_err(), Lagged);
    assert_eq!(cache.oldest(), 7);
}

#[tokio::test]
async fn a_second_fill_shows_as_changes() {
    use ChangeKind::{Added, Deleted};
    let cache = cache(100);
    let (_, mut subscription) = cache.subscribe();
    cache.replace([pod("new", 9)], 9);
    assert_eq!(seen(&subscription.next().await.unwrap()), [(Added, "new".into(), 9), (Deleted, "old".into(), 9)]);
    cache.progress(12);
    cache.wait_for(12).await;
}

#[test]
fn ranges_keep_to_their_namespace() {
    let cache = cache(10);
    assert_eq!(cache.list("a").len(), 1);
    assert_eq!(cache.list("").len(), 1);
    assert_eq!(cache.list("b").len(), 0);
    assert_eq!(cache.snapshot().range("a", Some("a/old")).count(), 0);
}

#[test]
fn objects_are_found_by_their_controller() {
    let cache = cache(100);
    let put = |namespace: &str, name: &str, controller: Option<&str>, revision: u64| {
        let owners = controller.map_or(String::new(), |uid| {
            format!(
                r#","ownerReferences":[{{"apiVersion":"v1","kind":"X","name":"x","uid":"{uid}","controller":true}}]"#
            )
        });
        let json = format!(
            r#"{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"{name}","namespace":"{namespace}"{owners}}}}}"#
        );
        let object = Object::stored(Bytes::from(json), revision, cache.resource()).unwrap();
        cache.put(Arc::new(object));
    };
    let names = |objects: Vec<Arc<Object>>| objects.iter().map(|o| o.meta.name.to_string()).collect::<Vec<_>>();
    let check = |controlled: &[&str], claimable: &[&str]| {
        assert_eq!(names(cache.controlled_by("a", "u1")), controlled);
        assert_eq!(names(cache.claimable("a", "u1")), claimable);
    };
    put("a", "x", Some("u1"), 6);
    put("a", "y", Some("u2"), 7);
    check(&["x"], &["x", "old"]);
    // The index follows: new objects, other owners, elsewhere, gone.
    put("a", "z", Some("u1"), 8);
    put("b", "z", Some("u1"), 9);
    put("aa", "free", None, 10);
    check(&["x", "z"], &["x", "z", "old"]);
    put("a", "y", Some("u1"), 11);
    put("a", "x", None, 12);
    check(&["y", "z"], &["y", "z", "old", "x"]);
    cache.remove("a", "old", 13);
    cache.remove("a", "z", 14);
    check(&["y"], &["y", "x"]);
    cache.replace([pod("alone", 15)], 20);
    check(&[], &["alone"]);
}
