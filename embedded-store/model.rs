//! What every driver is compared with: a plain model of the contract, and random runs against both.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use proptest::prelude::*;

use crate::{
    Change, Durability, Entry, Event, EventKind, Expect, Page, Range, Revision, Store, StoreError, Watch, Write,
    Written,
};

pub(crate) type State = BTreeMap<String, Entry>;

/// The contract with nothing clever in it: every past state is kept whole.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) revision: Revision,
    pub(crate) oldest: Revision,
    pub(crate) states: BTreeMap<Revision, State>,
    events: Vec<Event>,
}

impl Model {
    pub(crate) fn new() -> Model {
        Model { revision: 1, oldest: 1, states: BTreeMap::from([(1, State::new())]), events: Vec::new() }
    }

    /// The model of a store that was just opened.
    pub(crate) fn reopened(revision: Revision, state: State) -> Model {
        Model { revision, oldest: revision, states: BTreeMap::from([(revision, state)]), events: Vec::new() }
    }

    pub(crate) fn state(&self) -> &State {
        &self.states[&self.revision]
    }

    pub(crate) fn write(&mut self, write: &Write) -> Result<Written, Option<Entry>> {
        let mut state = self.state().clone();
        let revision = self.revision + 1;
        let previous = state.get(&write.key).cloned();
        let expected = match write.expect {
            Expect::Any => true,
            Expect::Absent => previous.is_none(),
            Expect::Revision(revision) => previous.as_ref().is_some_and(|entry| entry.revision == revision),
        };
        if !expected || (write.change == Change::Delete && previous.is_none()) {
            return Err(previous);
        }
        let create_revision = previous.as_ref().map_or(revision, |entry| entry.create_revision);
        let (kind, value) = match &write.change {
            Change::Put(value) => (EventKind::Put, value.clone()),
            Change::Delete => (EventKind::Delete, previous.as_ref().expect("checked above").value.clone()),
        };
        let entry = Entry { key: write.key.as_str().into(), value, create_revision, revision };
        match kind {
            EventKind::Put => state.insert(write.key.clone(), entry.clone()),
            EventKind::Delete => state.remove(&write.key),
        };
        self.revision = revision;
        self.states.insert(revision, state);
        self.events.push(Event { kind, revision, entry: entry.clone(), previous: previous.clone() });
        Ok(Written { entry, previous })
    }

    fn list(&self, range: Range<'_>) -> Page {
        let revision = range.at.unwrap_or(self.revision);
        let mut entries: Vec<Entry> = self.states[&revision]
            .values()
            .filter(|entry| entry.key.starts_with(range.prefix))
            .filter(|entry| range.start_after.is_none_or(|after| *entry.key > *after))
            .cloned()
            .collect();
        let cut = if range.limit == 0 { entries.len() } else { range.limit.min(entries.len()) };
        let remaining = entries.split_off(cut).len() as u64;
        Page { entries, more: remaining > 0, remaining, revision }
    }

    fn events(&self, prefix: &str, after: Revision) -> Vec<Event> {
        let seen = |event: &&Event| event.revision > after && event.entry.key.starts_with(prefix);
        self.events.iter().filter(seen).cloned().collect()
    }
}

/// One step of a random run. Revisions are named by how far they lie back from the current one.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Write { key: usize, expect: u8, put: Option<(u8, u16)>, deferred: bool },
    Abandon { key: usize, put: Option<(u8, u16)> },
    List { prefix: usize, limit: usize, back: u64 },
    Watch { prefix: usize, back: u64 },
    Drain,
    Compact { back: u64 },
    Reopen,
}

const KEYS: [&str; 9] = [
    "/registry/pods/a/1",
    "/registry/pods/a/2",
    "/registry/pods/a/20",
    "/registry/pods/b/1",
    "/registry/podtemplates/a/1",
    "/registry/leases/x",
    "/registry/leases/y",
    "/registry/émigré",
    "/z",
];
const PREFIXES: [&str; 6] = ["", "/registry/", "/registry/pods/", "/registry/pods/a/", "/registry/leases/x", "/none"];

pub(crate) fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let write = (0..KEYS.len(), 0..4u8, proptest::option::weighted(0.75, (any::<u8>(), 0..600u16)), any::<bool>())
        .prop_map(|(key, expect, put, deferred)| Step::Write { key, expect, put, deferred });
    let step = prop_oneof![
        12 => write,
        2 => (0..KEYS.len(), proptest::option::weighted(0.75, (any::<u8>(), 0..600u16)))
            .prop_map(|(key, put)| Step::Abandon { key, put }),
        4 => (0..PREFIXES.len(), 0..4usize, 0..8u64)
            .prop_map(|(prefix, limit, back)| Step::List { prefix, limit, back }),
        2 => (0..PREFIXES.len(), 0..8u64).prop_map(|(prefix, back)| Step::Watch { prefix, back }),
        2 => Just(Step::Drain),
        1 => (0..12u64).prop_map(|back| Step::Compact { back }),
        1 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..most)
}

/// The write a step stands for, given the state it meets.
pub(crate) fn write(state: &State, key: usize, expect: u8, put: Option<(u8, u16)>, deferred: bool) -> Write {
    let current = state.get(KEYS[key]).map_or(7, |entry| entry.revision);
    Write {
        key: KEYS[key].to_owned(),
        expect: match expect {
            0 => Expect::Any,
            1 => Expect::Absent,
            2 => Expect::Revision(current),
            _ => Expect::Revision(current.saturating_sub(1)),
        },
        change: match put {
            Some((byte, len)) => Change::Put(Bytes::from(vec![byte; len.into()])),
            None => Change::Delete,
        },
        durability: if deferred { Durability::Deferred } else { Durability::Synced },
    }
}

/// Runs `steps` on a store and on the model; any difference panics. `reopen` closes the store and opens it again, or
/// returns `None` where that makes no sense.
pub(crate) async fn check(
    mut store: Arc<dyn Store>,
    steps: &[Step],
    mut reopen: impl AsyncFnMut(&Arc<dyn Store>) -> Option<Arc<dyn Store>>,
) {
    let mut model = Model::new();
    let mut watches: Vec<Watched> = Vec::new();
    for step in steps {
        match *step {
            Step::Abandon { key, put } => {
                let write = write(model.state(), key, 0, put, false);
                let _ = model.write(&write);
                // Whoever asked has gone, but the store was asked.
                drop(store.write(write).now_or_never());
                store.settle().await.expect("settle");
                assert_eq!(store.revision().await.expect("revision"), model.revision);
                let current = store.get(KEYS[key]).await.expect("get");
                assert_eq!(current.as_ref(), model.state().get(KEYS[key]));
            }
            Step::Write { key, expect, put, deferred } => {
                let write = write(model.state(), key, expect, put, deferred);
                let expected = model.write(&write);
                let happened = match store.write(write).await {
                    Err(StoreError::Conflict { current }) => Err(current),
                    other => Ok(other.expect("only conflicts can happen")),
                };
                assert_eq!(happened, expected);
                assert_eq!(store.revision().await.expect("revision"), model.revision);
            }
            Step::List { prefix, limit, back } => list(&*store, &model, PREFIXES[prefix], limit, back).await,
            Step::Watch { prefix, back } => {
                let (prefix, after) = (PREFIXES[prefix], model.revision.saturating_sub(back));
                match store.watch(prefix, after).await {
                    Ok(watch) if after >= model.oldest => watches.push(Watched { watch, prefix, after }),
                    Err(StoreError::Compacted { oldest }) if after < model.oldest => assert_eq!(oldest, model.oldest),
                    other => panic!("watch after {after}, oldest {}: {other:?}", model.oldest),
                }
                let future = store.watch(prefix, model.revision + 1).await;
                assert!(matches!(future, Err(StoreError::Future { current }) if current == model.revision));
            }
            Step::Drain => watches.retain_mut(|watched| watched.drain(&model)),
            Step::Compact { back } => {
                let before = model.revision.saturating_sub(back);
                store.compact(before).await.expect("compact");
                model.oldest = model.oldest.max(before);
                assert_eq!(store.oldest(), model.oldest);
            }
            Step::Reopen => {
                watches.retain_mut(|watched| watched.drain(&model));
                if let Some(opened) = reopen(&store).await {
                    for Watched { mut watch, .. } in watches.drain(..) {
                        assert!(matches!(watch.next().await, Some(Err(StoreError::Closed))));
                        assert!(watch.next().await.is_none());
                    }
                    store = opened;
                    // The history is not kept, but the revision it led to is.
                    model.oldest = model.revision;
                }
            }
        }
    }
    watches.retain_mut(|watched| watched.drain(&model));
    for (key, entry) in model.state() {
        assert_eq!(store.get(key).await.expect("get").as_ref(), Some(entry));
    }
    list(&*store, &model, "", 0, 0).await;
}

/// Walks a whole list page by page.
async fn list(store: &dyn Store, model: &Model, prefix: &str, limit: usize, back: u64) {
    let at = model.revision.saturating_sub(back);
    let mut range = Range { prefix, start_after: None, limit, at: (back > 0).then_some(at) };
    if at < model.oldest {
        let compacted = store.list(range).await;
        assert!(matches!(compacted, Err(StoreError::Compacted { oldest }) if oldest == model.oldest));
        return;
    }
    let mut last: Option<Arc<str>> = None;
    loop {
        let asked = Range { start_after: last.as_deref(), ..range };
        let page = store.list(asked).await.expect("list");
        assert_eq!(page, model.list(asked));
        range.at = Some(page.revision);
        match page.entries.last() {
            Some(entry) if page.more => last = Some(entry.key.clone()),
            _ => return,
        }
    }
}

struct Watched {
    watch: Watch,
    prefix: &'static str,
    after: Revision,
}

impl Watched {
    /// Reads all there is; whether the watch goes on.
    fn drain(&mut self, model: &Model) -> bool {
        let mut seen = Vec::new();
        loop {
            match self.watch.next().now_or_never() {
                Some(Some(Ok(batch))) => seen.extend(batch),
                Some(Some(Err(StoreError::Compacted { oldest }))) => {
                    assert!(self.after < model.oldest && oldest == model.oldest);
                    assert!(self.watch.next().now_or_never().expect("ended").is_none());
                    return false;
                }
                Some(other) => panic!("{other:?}"),
                None => break,
            }
        }
        assert_eq!(seen, model.events(self.prefix, self.after));
        self.after = model.revision;
        true
    }
}
