//! A real process writes with many threads and is killed; every write it acknowledged is found again.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write as _, stdout};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use embedded_store::{Change, Durability, DurableOptions, DurableStore, Entry, Expect, Range, Store, Write};
use futures::executor::block_on;

const CHILD: &str = "STORE_KILL_TEST_DIRECTORY";
const ROUNDS: usize = 5;
const THREADS: usize = 8;
/// How many acknowledgements to wait for before the kill: enough for several segments and a checkpoint or two.
const ACKNOWLEDGED: usize = 1500;

#[test]
fn every_acknowledged_write_survives_a_kill() {
    match std::env::var_os(CHILD) {
        Some(directory) => write_until_killed(Path::new(&directory)),
        None => kill_and_check(),
    }
}

fn options() -> DurableOptions {
    DurableOptions {
        segment_bytes: 64 << 10,
        checkpoint_bytes: 512 << 10,
        deferred_delay: Duration::from_millis(20),
        ..DurableOptions::default()
    }
}

/// The child: each thread creates keys, and moves a counter of its own by compare-and-swap. A line per acknowledgement.
fn write_until_killed(directory: &Path) {
    let store = DurableStore::open(directory, options()).expect("opens");
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let store = store.clone();
            scope.spawn(move || count(&store, thread));
        }
    });
}

fn count(store: &Arc<DurableStore>, thread: usize) {
    let counter = format!("/counter/{thread}");
    let current = block_on(store.get(&counter)).expect("reads");
    let mut number = current.as_ref().map_or(0, number);
    let mut expect = current.map_or(Expect::Absent, |entry| Expect::Revision(entry.revision));
    // The last thread's counter is the lease: its writes may be lost, their revisions may not come again.
    let durability = if thread + 1 == THREADS { Durability::Deferred } else { Durability::Synced };
    loop {
        number += 1;
        let key = format!("/created/{thread}/{number}");
        acknowledge(store, key, Expect::Any, number, Durability::Synced);
        expect = Expect::Revision(acknowledge(store, counter.clone(), expect, number, durability));
    }
}

/// Writes, and says so on a line of its own once it is acknowledged.
fn acknowledge(store: &DurableStore, key: String, expect: Expect, number: u64, durability: Durability) -> u64 {
    let mut value = number.to_le_bytes().to_vec();
    value.resize(8 + number as usize % 700, 7);
    let write = Write { key: key.clone(), expect, change: Change::Put(value.into()), durability };
    let revision = block_on(store.write(write)).expect("writes").entry.revision;
    // Should the parent be gone, this fails and ends the child.
    writeln!(stdout(), "ack {key} {number} {revision}").expect("the parent reads");
    revision
}

fn number(entry: &Entry) -> u64 {
    u64::from_le_bytes(*entry.value.first_chunk().expect("a number"))
}

fn kill_and_check() {
    let parent = tempfile::tempdir().expect("a directory");
    let directory = parent.path().join("store");
    let mut writers: HashMap<u64, String> = HashMap::new();
    let mut last: HashMap<String, (u64, u64)> = HashMap::new();
    for round in 0..ROUNDS {
        let before = writers.len();
        for (key, number, revision) in run_and_kill(&directory, ACKNOWLEDGED + 97 * round) {
            let other = writers.insert(revision, key.clone());
            assert!(other.is_none(), "revision {revision} was given to {other:?} and again to {key}");
            last.insert(key, (number, revision));
        }
        assert!(writers.len() - before >= ACKNOWLEDGED);
        check(&directory, &last);
    }
}

/// What a child said before it was killed, after `acknowledged` lines.
fn run_and_kill(directory: &Path, acknowledged: usize) -> Vec<(String, u64, u64)> {
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "every_acknowledged_write_survives_a_kill", "--nocapture", "--test-threads=1"])
        .env(CHILD, directory)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the child starts");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut said = Vec::new();
    for line in lines {
        // The kill may cut the last line.
        let line = line.unwrap_or_default();
        let mut words = line.split(' ').skip_while(|word| !word.ends_with("ack")).skip(1);
        let (Some(key), Some(Ok(number)), Some(Ok(revision))) =
            (words.next(), words.next().map(str::parse), words.next().map(str::parse))
        else {
            continue;
        };
        said.push((key.to_owned(), number, revision));
        if said.len() == acknowledged {
            child.kill().expect("kill -9");
        }
    }
    let status = child.wait().expect("the child ends");
    assert!(said.len() >= acknowledged, "the child ended early: {status}");
    said
}

fn check(directory: &Path, last: &HashMap<String, (u64, u64)>) {
    let store = DurableStore::open(directory, options()).expect("opens after a kill");
    let revision = block_on(store.revision()).expect("revision");
    let page = block_on(store.list(Range::default())).expect("lists");
    let entries: HashMap<&str, &Entry> = page.entries.iter().map(|entry| (&*entry.key, entry)).collect();
    let lease = format!("/counter/{}", THREADS - 1);
    for (key, &(acknowledged, at)) in last {
        assert!(revision >= at, "{revision} is older than {at}, which was seen");
        if *key == lease {
            continue;
        }
        let entry = entries.get(key.as_str()).unwrap_or_else(|| panic!("{key} of revision {at} is lost"));
        assert!(entry.revision >= at, "{key} is at {}, older than {at}", entry.revision);
        // At most one further write of each thread was under way.
        assert!((acknowledged..=acknowledged + 1).contains(&number(entry)), "{key}: {acknowledged}, {}", number(entry));
    }
    for entry in &page.entries {
        let Some((thread, created)) = entry.key.strip_prefix("/created/").and_then(|rest| rest.split_once('/')) else {
            continue;
        };
        let created: u64 = created.parse().expect("a number");
        let (counted, _) = last[&format!("/counter/{thread}")];
        assert!(created <= counted + 2, "{} was never written", entry.key);
    }
}
