//! Damaged files: a crash's marks are mended, everything else is reported with file and place.

use std::fs;
use std::path::PathBuf;

use super::*;

/// A store with `writes` writes and no checkpoint, and its log segments.
fn logged(writes: usize) -> (tempfile::TempDir, PathBuf, Vec<PathBuf>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let options = DurableOptions { segment_bytes: 4096, ..DurableOptions::default() };
    let store = DurableStore::open(&path, options).unwrap();
    (0..writes).for_each(|n| drop(synced(&store, &format!("/{n}"), 500).unwrap()));
    drop(store);
    let files = fs::read_dir(path.join("log")).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<PathBuf> = files.filter(|path| path.to_string_lossy().contains("log-")).collect();
    segments.sort();
    (directory, path, segments)
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x40;
    fs::write(path, bytes).unwrap();
}

fn count(store: &DurableStore) -> usize {
    block_on(store.list(Range::default())).unwrap().entries.len()
}

#[test]
fn damage_is_reported_where_it_is() {
    // 500 bytes of value, a key of 2 to 3 bytes: the first frame is at 32, the second at 32 + 32 + 25 + 2 + 500.
    let check = |segment: usize, at: usize, offset: u64, expect: &str| {
        let (_directory, path, segments) = logged(20);
        flip(&segments[segment], at);
        match DurableStore::open(&path, small()) {
            Err(StoreError::Corrupt { path, offset: found, what }) => {
                assert_eq!((path, found), (segments[segment].clone(), offset), "{what}");
                assert!(what.contains(expect), "{what}");
            }
            other => panic!("{other:?}"),
        }
    };
    check(0, 32 + 100, 32, "commit 1 cannot be read, but one at byte 591 can");
    check(0, 32 + 559 + 2, 591, "commit 2 cannot be read");
    check(0, 10, 0, "the head of the segment is damaged");
    check(2, 10, 0, "the head of the segment is damaged");
    // The last frame of a segment that another one follows.
    check(0, 32 + 6 * 559 + 300, 32 + 6 * 559, "commit 7 is missing");
}

#[test]
fn a_missing_segment_is_reported() {
    let check = |segment: usize, expect: &str| {
        let (_directory, path, segments) = logged(20);
        fs::remove_file(&segments[segment]).unwrap();
        match DurableStore::open(&path, small()) {
            Err(StoreError::Corrupt { what, .. }) => assert!(what.contains(expect), "{what}"),
            other => panic!("{other:?}"),
        }
    };
    check(0, "the log starts at commit 8, commit 1 is missing");
    check(1, "commit 8 is missing");
}

#[test]
fn a_log_lost_behind_a_checkpoint_is_reported() {
    let (_directory, path, _) = logged(20);
    block_on(DurableStore::open(&path, small()).unwrap().close()).unwrap();
    assert_eq!(count(&DurableStore::open(&path, small()).unwrap()), 20);
    fs::remove_dir_all(path.join("log")).unwrap();
    match DurableStore::open(&path, small()) {
        Err(StoreError::Corrupt { what, .. }) => assert!(what.contains("the log behind it is missing"), "{what}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_torn_last_commit_is_cut() {
    let (_directory, path, segments) = logged(20);
    let last = segments.last().unwrap();
    // The 20 commits fill segments of seven; the last one holds six.
    flip(last, 32 + 5 * 560 + 300);
    let store = DurableStore::open(&path, small()).unwrap();
    assert_eq!(count(&store), 19);
    synced(&store, "/again", 10).unwrap();
    drop(store);
    assert_eq!(count(&DurableStore::open(&path, small()).unwrap()), 20);
}

#[test]
fn a_value_that_looks_like_a_log_is_no_log() {
    let disk = FaultyDisk::new(1);
    let store = start(&disk, small());
    // Write a segment full, read it back, and store it as a value, which later lies behind the end of a reused segment.
    for round in 0..200 {
        let frozen = disk.duplicate();
        let name = frozen.list().unwrap().into_iter().find(|name| name.starts_with("log-"));
        let value = name.map_or_else(Vec::new, |name| frozen.read(&name).unwrap());
        let key = format!("/{}", round % 3);
        let change = Change::Put(value[..value.len().min(700)].to_vec().into());
        let write = Write { key, expect: Expect::Any, change, durability: Durability::Synced };
        block_on(store.write(write)).unwrap();
        if round % 10 == 9 {
            let store = start(&disk.duplicate(), small());
            assert_eq!(block_on(store.revision()).unwrap(), round + 2);
        }
    }
}

#[test]
fn what_a_segment_held_before_is_not_read() {
    let disk = FaultyDisk::new(1);
    let store = start(&disk, small());
    // All commits have one length, so those of an earlier use stand exactly where the next ones go.
    for round in 0..100 {
        synced(&store, &format!("/{}", round % 3), 100).unwrap();
        let store = start(&disk.duplicate(), small());
        assert_eq!(block_on(store.revision()).unwrap(), round + 2);
    }
}
