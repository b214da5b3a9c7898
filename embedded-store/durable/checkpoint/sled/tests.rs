use super::*;

fn entry(key: &str, revision: u64) -> Entry {
    Entry { key: key.into(), value: vec![revision as u8; 300].into(), create_revision: 2, revision }
}

fn entries(of: &[(&str, u64)]) -> Entries {
    of.iter().map(|&(key, revision)| (Arc::from(key), entry(key, revision))).collect()
}

fn mark(entries: &Entries) -> Mark {
    Mark { sequence: 5, revision: 9, ceiling: 77, digest: Digest::of(entries) }
}

fn changed(keys: &[&str]) -> Changed {
    keys.iter().map(|&key| Arc::from(key)).collect()
}

fn loaded(parent: &Path) -> Result<Option<(Entries, Mark)>, StoreError> {
    let mut entries = Entries::new();
    let mark = SledCheckpoint::new(parent).load(&mut |entry| {
        entries.insert(entry.key.clone(), entry);
    })?;
    Ok(mark.map(|mark| (entries, mark)))
}

#[test]
fn loads_what_it_saved() {
    let directory = tempfile::tempdir().unwrap();
    let parent = directory.path();
    assert_eq!(loaded(parent).unwrap(), None);
    let mut checkpoint = SledCheckpoint::new(parent);
    let first = entries(&[("", 3), ("/a", 4), ("/b", 5)]);
    checkpoint.save(&first, &changed(&["", "/a", "/b"]), mark(&first)).unwrap();
    checkpoint.rest();
    assert_eq!(loaded(parent).unwrap(), Some((first.clone(), mark(&first))));
    let second = entries(&[("", 3), ("/b", 7), ("/c", 8)]);
    checkpoint.save(&second, &changed(&["/a", "/b", "/c"]), mark(&second)).unwrap();
    checkpoint.rest();
    assert_eq!(loaded(parent).unwrap(), Some((second.clone(), mark(&second))));
}

#[test]
fn after_a_failure_it_starts_over_in_a_fresh_directory() {
    let directory = tempfile::tempdir().unwrap();
    let parent = directory.path();
    let mut checkpoint = SledCheckpoint::new(parent);
    let first = entries(&[("/a", 4), ("/b", 5)]);
    checkpoint.save(&first, &changed(&["/a", "/b"]), mark(&first)).unwrap();
    checkpoint.rest();
    checkpoint.failed = true;
    let second = entries(&[("/a", 4), ("/c", 8)]);
    checkpoint.save(&second, &changed(&["/b", "/c"]), mark(&second)).unwrap();
    checkpoint.rest();
    assert_eq!(checkpoint.generations().unwrap(), [2]);
    assert_eq!(loaded(parent).unwrap(), Some((second.clone(), mark(&second))));

    // One that a crash cut short has no mark, and does not count.
    drop(checkpoint.open(3).unwrap());
    assert_eq!(loaded(parent).unwrap(), Some((second.clone(), mark(&second))));
    assert_eq!(checkpoint.generations().unwrap(), [2]);
}

#[test]
fn an_entry_lost_by_sled_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let parent = directory.path();
    let mut checkpoint = SledCheckpoint::new(parent);
    let all = entries(&[("/a", 4), ("/b", 5)]);
    // Told of one key only, as if the other had been lost.
    checkpoint.save(&Entries::new(), &changed(&[]), mark(&Entries::new())).unwrap();
    checkpoint.save(&all, &changed(&["/a"]), mark(&all)).unwrap();
    checkpoint.rest();
    match loaded(parent) {
        Err(StoreError::Corrupt { what, .. }) => assert_eq!(what, "2 entries belong there, 1 are there"),
        other => panic!("{other:?}"),
    }
}
