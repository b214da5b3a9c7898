use futures::executor::block_on;
use futures::{FutureExt, StreamExt};
use proptest::prelude::*;

use super::*;
use crate::model::{check, steps};
use crate::{Change, Durability, Expect};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]
    #[test]
    fn agrees_with_the_model(steps in steps(80)) {
        block_on(check(memory(), &steps, async |_| None));
    }
}

fn put(key: &str, bytes: usize) -> Write {
    Write {
        key: key.to_owned(),
        expect: Expect::Any,
        change: Change::Put(vec![0; bytes].into()),
        durability: Durability::Synced,
    }
}

#[test]
fn starts_at_one_as_etcd_does() {
    let store = memory();
    assert_eq!(block_on(store.revision()).unwrap(), 1);
    assert_eq!(block_on(store.write(put("/a", 1))).unwrap().entry.revision, 2);
}

#[test]
fn refuses_what_is_too_large() {
    let limits = Limits { key: 3, value: 5, ..Limits::default() };
    let store = MemoryStore::new(limits);
    let check = |write, expect: &str| {
        let error = block_on(store.write(write)).unwrap_err();
        assert_eq!(error.to_string(), expect);
    };
    check(put("/abc", 5), "the key has 4 bytes, the limit is 3");
    check(put("/ab", 6), "the value has 6 bytes, the limit is 5");
    assert!(block_on(store.write(put("/ab", 5))).is_ok());
}

#[test]
fn forgets_the_oldest_history_when_it_grows_too_large() {
    let store = MemoryStore::new(Limits { history: 10_000, ..Limits::default() });
    let mut behind = block_on(store.watch("/", 1)).unwrap();
    for _ in 0..100 {
        block_on(store.write(put("/a", 1000))).unwrap();
    }
    assert!(store.oldest() > 90 && store.oldest() < 101, "{}", store.oldest());
    assert!(matches!(block_on(behind.next()), Some(Err(StoreError::Compacted { oldest })) if oldest == store.oldest()));
    let range = Range { at: Some(store.oldest()), ..Range::default() };
    assert_eq!(block_on(store.list(range)).unwrap().entries[0].revision, store.oldest());
}

#[test]
fn wakes_a_waiting_watch() {
    let store = memory();
    let mut watch = block_on(store.watch("/a", 1)).unwrap();
    assert!(watch.next().now_or_never().is_none());
    let writer = std::thread::spawn({
        let store = store.clone();
        move || {
            block_on(store.write(put("/b", 1))).unwrap();
            block_on(store.write(put("/a", 1))).unwrap();
        }
    });
    let batch = block_on(watch.next()).unwrap().unwrap();
    assert_eq!(batch.iter().map(|event| event.revision).collect::<Vec<_>>(), [3]);
    writer.join().unwrap();
}

#[test]
fn a_long_watch_skips_what_it_does_not_match() {
    let store = memory();
    for _ in 0..10_000 {
        block_on(store.write(put("/other", 1))).unwrap();
    }
    block_on(store.write(put("/a", 1))).unwrap();
    let mut watch = block_on(store.watch("/a", 1)).unwrap();
    assert_eq!(block_on(watch.next()).unwrap().unwrap()[0].revision, 10_002);
}

#[test]
fn closing_ends_watches_and_calls() {
    let store = memory();
    let mut watch = block_on(store.watch("", 1)).unwrap();
    block_on(store.write(put("/a", 1))).unwrap();
    block_on(store.close()).unwrap();
    assert_eq!(block_on(watch.next()).unwrap().unwrap().len(), 1);
    assert!(matches!(block_on(watch.next()), Some(Err(StoreError::Closed))));
    assert!(block_on(watch.next()).is_none());
    assert!(matches!(block_on(store.write(put("/a", 1))), Err(StoreError::Closed)));
    assert!(matches!(block_on(store.get("/a")), Err(StoreError::Closed)));
}
