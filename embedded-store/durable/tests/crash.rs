//! Crashes at every step: what was acknowledged as synced is there again, and what is there is a state the store was in.

use super::*;
use crate::Revision;
use crate::model::{Model, State, write};

type Issued = (usize, u8, Option<(u8, u16)>, bool);

fn issued() -> impl Strategy<Value = Vec<Issued>> {
    let put = proptest::option::weighted(0.8, (any::<u8>(), 0..600u16));
    proptest::collection::vec((0..9usize, 0..4u8, put, any::<bool>()), 1..60)
}

fn state(store: &DurableStore) -> State {
    let page = block_on(store.list(Range::default())).unwrap();
    page.entries.into_iter().map(|entry| (entry.key.to_string(), entry)).collect()
}

/// Writes until the crash, if it comes. Returns what the disk must hold at least, as a revision.
fn write_until_crash(store: &DurableStore, model: &mut Model, issued: &[Issued]) -> Revision {
    let mut synced = model.revision;
    for &(key, expect, put, deferred) in issued {
        let write = write(model.state(), key, expect, put, deferred);
        match block_on(store.write(write.clone())) {
            Ok(written) => {
                assert_eq!(model.write(&write).as_ref(), Ok(&written));
                if !deferred {
                    synced = model.revision;
                }
            }
            Err(StoreError::Conflict { current }) => assert_eq!(model.write(&write), Err(current)),
            Err(StoreError::Poisoned(_)) => {
                // Nobody knows whether this one happened, if it was not a conflict.
                let _ = model.write(&write);
                break;
            }
            // So little space that not even a checkpoint helped.
            Err(StoreError::Full(_)) => {}
            // No segment could be made for it, so nothing happened.
            Err(StoreError::Io { doing: "create", .. }) => break,
            Err(other) => panic!("{other:?}"),
        }
    }
    synced
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]
    #[test]
    fn survives_a_crash_at_any_step(
        rounds in proptest::collection::vec((issued(), 1..120u64), 1..5),
        soon in any::<bool>(),
        tight in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let disk = FaultyDisk::new(seed);
        let delay = if soon { Duration::ZERO } else { Duration::from_secs(3600) };
        let options = DurableOptions { deferred_delay: delay, ..small() };
        let mut model = Model::new();
        for (issued, crash_at) in rounds {
            let store = start(&disk, options.clone());
            disk.crash_at(crash_at);
            if tight && model.revision > 1 {
                disk.set_tight();
            }
            let synced = write_until_crash(&store, &mut model, &issued);
            drop(store);
            // Without a crash the drop has synced everything.
            let synced = if disk.crashed() { synced } else { model.revision };
            disk.reboot();

            let store = start(&disk, options.clone());
            let survived = state(&store);
            let possible = model.states.range(synced..);
            assert!(
                possible.clone().any(|(_, state)| *state == survived),
                "{survived:#?}\nis none of\n{:#?}",
                possible.collect::<Vec<_>>()
            );
            let revision = block_on(store.revision()).unwrap();
            // The last write, if it was refused, was never handed out; its revision may come again.
            assert!(revision + 1 >= model.revision, "{revision} after {}", model.revision);
            model = Model::reopened(revision, survived);
        }
    }
}

#[test]
fn a_revision_seen_before_a_crash_never_comes_again() {
    let disk = FaultyDisk::new(1);
    let mut seen = 1;
    for round in 0..3 {
        let store = start(&disk, small());
        for write in 0..=round {
            let entry = deferred(&store, "/lease", write).unwrap().entry;
            assert!(entry.revision > seen);
            seen = entry.revision;
        }
        disk.crash_at(1);
        drop(store);
        disk.reboot();
    }
    let store = start(&disk, small());
    let revision = block_on(store.revision()).unwrap();
    assert!(revision >= seen);
    // A client that saw a lost write must list again. The last one may have survived in the crash of its sync.
    let watch = block_on(store.watch("", seen));
    match revision == seen {
        true => assert_eq!(get(&store, "/lease").unwrap().revision, seen),
        false => assert!(matches!(watch, Err(StoreError::Compacted { oldest }) if oldest == revision)),
    }
}
