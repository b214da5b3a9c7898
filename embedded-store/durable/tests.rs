mod crash;
mod damage;
mod faults;

use std::error::Error as _;
use std::os::unix::fs::PermissionsExt;

use futures::StreamExt;
use futures::executor::block_on;
use futures::future::join_all;
use proptest::prelude::*;

use super::*;
use crate::model::{check, steps};
use crate::{Change, Durability, Expect};
use faults::{FaultyCheckpoint, FaultyDisk};

/// So small that a few writes seal segments and make checkpoints due.
fn small() -> DurableOptions {
    DurableOptions {
        segment_bytes: 1024,
        checkpoint_bytes: 3000,
        deferred_delay: Duration::from_secs(3600),
        ..DurableOptions::default()
    }
}

fn start(disk: &FaultyDisk, options: DurableOptions) -> Arc<DurableStore> {
    disk.assert_sound();
    let checkpoint = Box::new(FaultyCheckpoint(disk.clone()));
    DurableStore::start(Arc::new(disk.clone()), checkpoint, options, None).expect("opens")
}

fn put(key: &str, bytes: usize, durability: Durability) -> Write {
    Write { key: key.to_owned(), expect: Expect::Any, change: Change::Put(vec![7; bytes].into()), durability }
}

fn synced(store: &DurableStore, key: &str, bytes: usize) -> Result<Written, StoreError> {
    block_on(store.write(put(key, bytes, Durability::Synced)))
}

fn deferred(store: &DurableStore, key: &str, bytes: usize) -> Result<Written, StoreError> {
    block_on(store.write(put(key, bytes, Durability::Deferred)))
}

fn get(store: &DurableStore, key: &str) -> Option<Entry> {
    block_on(store.get(key)).unwrap()
}

fn wait_until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        std::thread::yield_now();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]
    #[test]
    fn agrees_with_the_model(steps in steps(80)) {
        let disk = FaultyDisk::new(1);
        block_on(check(start(&disk, small()), &steps, async |store| {
            store.close().await.unwrap();
            Some(start(&disk, small()) as Arc<dyn Store>)
        }));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4) })]
    #[test]
    fn agrees_with_the_model_on_real_files(steps in steps(60)) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        block_on(check(DurableStore::open(&path, small()).unwrap(), &steps, async |store| {
            store.close().await.unwrap();
            Some(DurableStore::open(&path, small()).unwrap() as Arc<dyn Store>)
        }));
    }
}

#[test]
fn a_drop_keeps_everything_too() {
    let disk = FaultyDisk::new(1);
    let store = start(&disk, small());
    synced(&store, "/a", 10).unwrap();
    let last = deferred(&store, "/b", 10).unwrap().entry;
    drop(store);
    let store = start(&disk, small());
    assert_eq!(get(&store, "/b"), Some(last));
    assert_eq!(block_on(store.revision()).unwrap(), 3);
}

#[test]
fn is_silent_when_nothing_happens() {
    let disk = FaultyDisk::new(1);
    let store = start(&disk, small());
    synced(&store, "/a", 10).unwrap();
    block_on(store.close()).unwrap();
    let steps = disk.steps();
    let store = start(&disk, small());
    assert!(matches!(synced_if_absent(&store, "/a"), Err(StoreError::Conflict { current: Some(_) })));
    block_on(store.compact(2)).unwrap();
    block_on(store.close()).unwrap();
    assert_eq!(disk.steps(), steps);
}

fn synced_if_absent(store: &DurableStore, key: &str) -> Result<Written, StoreError> {
    block_on(store.write(Write { expect: Expect::Absent, ..put(key, 1, Durability::Synced) }))
}

#[test]
fn deferred_writes_share_one_sync() {
    let disk = FaultyDisk::new(1);
    let store = start(&disk, small());
    // The first one reserves revisions, and is synced with that.
    deferred(&store, "/lease", 10).unwrap();
    assert_eq!(disk.syncs(), 1);
    for round in 0..1000 {
        assert_eq!(deferred(&store, "/lease", 10).unwrap().entry.revision, 3 + round);
    }
    assert_eq!(disk.syncs(), 1);
    synced(&store, "/pod", 10).unwrap();
    assert_eq!(disk.syncs(), 2);
    disk.crash_at(1);
    drop(store);
    disk.reboot();
    let store = start(&disk, small());
    assert_eq!(get(&store, "/lease").unwrap().revision, 1002);
}

#[test]
fn a_deferred_write_is_synced_when_it_is_due() {
    let disk = FaultyDisk::new(1);
    let store = start(&disk, DurableOptions { deferred_delay: Duration::from_millis(1), ..small() });
    deferred(&store, "/lease", 10).unwrap();
    let last = deferred(&store, "/lease", 10).unwrap().entry;
    wait_until(|| disk.syncs() == 2);
    disk.crash_at(1);
    drop(store);
    disk.reboot();
    assert_eq!(get(&start(&disk, small()), "/lease"), Some(last));
}

#[test]
fn many_deferred_bytes_do_not_wait() {
    let disk = FaultyDisk::new(1);
    let store = start(&disk, small());
    for round in 0..30 {
        deferred(&store, &format!("/event/{round}"), 100_000).unwrap();
    }
    assert!((5..=10).contains(&disk.syncs()), "{}", disk.syncs());
}

#[test]
fn a_failed_sync_ends_writing_and_nothing_else() {
    let disk = FaultyDisk::new(1);
    let store = start(&disk, small());
    let kept = synced(&store, "/a", 10).unwrap().entry;
    let mut watch = block_on(store.watch("", 2)).unwrap();
    disk.fail_syncs();
    for _ in 0..2 {
        let error = synced(&store, "/a", 20).unwrap_err();
        assert!(matches!(error, StoreError::Poisoned(_)), "{error:?}");
        assert_eq!(error.source().unwrap().to_string(), "the sync failed");
        assert!(matches!(deferred(&store, "/a", 20), Err(StoreError::Poisoned(_))));
        assert_eq!(get(&store, "/a"), Some(kept.clone()));
    }
    assert!(matches!(store.well(), Err(StoreError::Poisoned(_))));
    assert!(matches!(block_on(store.close()), Err(StoreError::Poisoned(_))));
    assert!(matches!(block_on(watch.next()), Some(Err(StoreError::Closed))), "the failed write was never seen");
    disk.reboot();
    assert!(get(&start(&disk, small()), "/a").is_some());
}

#[test]
fn a_full_disk_stops_writing_until_there_is_space() {
    let disk = FaultyDisk::new(1);
    let store = start(&disk, small());
    disk.set_full(true);
    assert!(matches!(synced(&store, "/a", 10), Err(StoreError::Full(_))));
    disk.set_full(false);
    assert_eq!(synced(&store, "/a", 10).unwrap().entry.revision, 2);
    let held = deferred(&store, "/lease", 10).unwrap().entry;
    disk.set_full(true);
    let mut last = None;
    let refused = loop {
        match synced(&store, "/b", 300) {
            Ok(written) => last = Some(written.entry),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, StoreError::Full(_)), "{refused:?}");
    assert_eq!(get(&store, "/b"), last);
    disk.set_full(false);
    let last = synced(&store, "/b", 300).unwrap().entry;
    drop(store);
    disk.reboot();
    let store = start(&disk, small());
    assert_eq!(get(&store, "/b"), Some(last));
    assert_eq!(get(&store, "/lease"), Some(held));
}

#[test]
fn a_checkpoint_makes_space_for_the_log() {
    let check = |segments: usize| {
        let disk = FaultyDisk::new(1);
        let options = DurableOptions { checkpoint_bytes: u64::MAX / 16, ..small() };
        let store = start(&disk, options.clone());
        let count = || disk.list().unwrap().iter().filter(|name| name.starts_with("log-")).count();
        while count() < segments {
            synced(&store, "/first", 300).unwrap();
        }
        disk.set_tight();
        for n in 0..50 {
            synced(&store, &format!("/{n}"), 300).unwrap();
            deferred(&store, "/lease", n).unwrap();
        }
        assert!(disk.saves().0 > 0);
        drop(store);
        let store = start(&disk, options);
        (0..50).for_each(|n| assert!(get(&store, &format!("/{n}")).is_some()));
        assert_eq!(get(&store, "/lease").unwrap().value.len(), 49);
    };
    check(1);
    check(3);
}

#[test]
fn a_checkpoint_that_failed_is_made_up_for() {
    let disk = FaultyDisk::new(1);
    let store = start(&disk, small());
    let write = |key: &str| drop(synced(&store, key, 300).unwrap());
    disk.fail_saves(true);
    (0..20).for_each(|n| write(&format!("/refused/{n}")));
    wait_until(|| disk.saves().1 > 0);
    disk.fail_saves(false);
    wait_until(|| {
        write("/saved");
        disk.saves().0 > 0
    });
    block_on(store.close()).unwrap();
    let segments = disk.list().unwrap().into_iter().filter(|name| name.starts_with("log-")).count();
    assert_eq!(segments, 1, "the log is let go of");
    let store = start(&disk, small());
    (0..20).for_each(|n| assert!(get(&store, &format!("/refused/{n}")).is_some()));
}

#[test]
fn a_commit_larger_than_a_segment_has_one_of_its_own() {
    let disk = FaultyDisk::new(1);
    let store = start(&disk, small());
    for bytes in [10, 5000, 20, 100_000, 30] {
        synced(&store, &format!("/{bytes}"), bytes).unwrap();
    }
    drop(store);
    let store = start(&disk, small());
    for bytes in [10, 5000, 20, 100_000, 30] {
        assert_eq!(get(&store, &format!("/{bytes}")).unwrap().value.len(), bytes);
    }
}

#[test]
fn concurrent_writers_share_syncs_and_lose_no_update() {
    let directory = tempfile::tempdir().unwrap();
    let store = DurableStore::open(directory.path().join("store"), small()).unwrap();
    synced(&store, "/counter", 0).unwrap();
    let increment = async || {
        loop {
            let current = store.get("/counter").await.unwrap().unwrap();
            let value = vec![1; current.value.len() + 1].into();
            let expect = Expect::Revision(current.revision);
            let write =
                Write { key: "/counter".into(), expect, change: Change::Put(value), durability: Durability::Synced };
            match store.write(write).await {
                Ok(_) => return,
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| block_on(join_all((0..25).map(|_| increment()))));
        }
    });
    let counter = get(&store, "/counter").unwrap();
    assert_eq!((counter.value.len(), counter.create_revision, counter.revision), (100, 2, 102));
}

#[test]
fn one_process_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let store = DurableStore::open(&path, small()).unwrap();
    assert!(matches!(DurableStore::open(&path, small()), Err(StoreError::Locked { path: locked }) if locked == path));
    block_on(store.close()).unwrap();
    DurableStore::open(&path, small()).unwrap();
}

#[test]
fn nobody_else_may_read_its_files() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let store = DurableStore::open(&path, small()).unwrap();
    (0..30).for_each(|n| drop(synced(&store, &format!("/{n}"), 500).unwrap()));
    block_on(store.close()).unwrap();
    fn walk(path: &Path, seen: &mut usize) {
        let metadata = path.symlink_metadata().unwrap();
        let expected = if metadata.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(metadata.permissions().mode() & 0o777, expected, "{}", path.display());
        *seen += 1;
        if metadata.is_dir() {
            std::fs::read_dir(path).unwrap().for_each(|entry| walk(&entry.unwrap().path(), seen));
        }
    }
    let mut seen = 0;
    walk(&path, &mut seen);
    assert!(seen > 10, "a log, a lock and a checkpoint are there");
}
