//! One cache of a kind's objects: the API server's watch cache, and everybody's informer.
//!
//! It has two feeders. In the server it is fed from the store; in an agent it is fed by a reflector over HTTPS. Readers see
//! the same thing either way: the present objects, shared and never copied, and the changes since a revision.
//!
//! Changes are kept in one ring; a subscriber holds a place in it, not a queue. A slow reader therefore costs nothing and
//! delays nobody: when the ring has passed it by, it is told so and starts again from a snapshot.

mod bell;
mod counts;
mod frames;
mod owners;
mod ring;
mod subscription;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use api::{Object, Resource, meta};
use imbl::OrdMap;
use parking_lot::{RwLock, RwLockWriteGuard};
use tokio::sync::watch;

use bell::Bell;
pub use counts::{Counts, Lists};
pub use frames::{Form, Frames};
use owners::Owners;
use ring::Ring;
pub use subscription::{Lagged, Subscription};

/// What happened to one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It was there and differs now.
    Modified,
    /// It is gone; `object` is its last state, at the revision of the deletion.
    Deleted,
}

/// One change, shared by all subscribers.
#[derive(Debug)]
pub struct Change {
    /// What happened.
    pub kind: ChangeKind,
    /// The object after the change; for a deletion its last state.
    pub object: Arc<Object>,
    /// The object before the change.
    pub previous: Option<Arc<Object>>,
    /// When, in the store's revisions.
    pub revision: u64,
    /// The change as watchers send it: made by the first one that needs it and shared with the others.
    pub frames: Frames,
}

/// The asked-for history is gone: list again and watch from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too old resource version: {asked} ({oldest})")]
pub struct TooOld {
    /// The revision the watch was to start after.
    pub asked: u64,
    /// The oldest one possible.
    pub oldest: u64,
}

/// The present objects of one kind and their recent changes.
#[derive(Debug)]
pub struct Cache {
    resource: Arc<Resource>,
    state: RwLock<State>,
    /// Raised after every change and progress note; waiters sleep on it.
    moved: watch::Sender<Moved>,
    /// Rung after every change; subscribers sleep on it.
    bell: Bell,
    counts: Counts,
}

#[derive(Debug)]
struct State {
    objects: OrdMap<Arc<str>, Arc<Object>>,
    revision: u64,
    ring: Ring,
    /// Once somebody has asked.
    owners: Option<Owners>,
}

/// How far the cache is: the revision it is complete up to (0: never filled).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Moved {
    revision: u64,
    synced: bool,
}

/// All objects at one revision. Cheap to take and to hold.
#[derive(Clone, Debug)]
pub struct Snapshot {
    objects: OrdMap<Arc<str>, Arc<Object>>,
    /// The revision the objects are complete up to.
    pub revision: u64,
}

impl Cache {
    /// An empty cache, not synced, that remembers at most `history` changes.
    pub fn new(resource: Arc<Resource>, history: usize) -> Arc<Self> {
        Arc::new(Self {
            resource,
            state: RwLock::new(State { objects: OrdMap::new(), revision: 0, ring: Ring::new(history), owners: None }),
            moved: watch::Sender::new(Moved::default()),
            bell: Bell::default(),
            counts: Counts::default(),
        })
    }

    /// The kind it holds.
    pub fn resource(&self) -> &Arc<Resource> {
        &self.resource
    }

    /// What it has done so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// How many changes it remembers at most.
    pub fn history(&self) -> usize {
        self.state.read().ring.capacity()
    }

    /// One object; the namespace is empty for objects of the cluster.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<Object>> {
        self.get_key(&meta::key(namespace, name))
    }

    /// One object by its key (`namespace/name`, or the name).
    pub fn get_key(&self, key: &str) -> Option<Arc<Object>> {
        self.state.read().objects.get(key).cloned()
    }

    /// All objects of a namespace, or of all (`""`), by namespace and name.
    pub fn list(&self, namespace: &str) -> Vec<Arc<Object>> {
        self.snapshot().range(namespace, None).cloned().collect()
    }

    /// The objects of a namespace whose controller has this UID.
    pub fn controlled_by(&self, namespace: &str, uid: &str) -> Vec<Arc<Object>> {
        self.with_owners(|owners, objects| {
            owners.controlled(namespace, uid).filter_map(|k| objects.get(k)).cloned().collect()
        })
    }

    /// What a controller has to look at: [`Cache::controlled_by`] it, and the objects of the namespace that nobody controls.
    pub fn claimable(&self, namespace: &str, uid: &str) -> Vec<Arc<Object>> {
        self.with_owners(|owners, objects| {
            let keys = owners.controlled(namespace, uid).chain(owners.nobodys(namespace));
            keys.filter_map(|key| objects.get(key)).cloned().collect()
        })
    }

    fn with_owners<T>(&self, read: impl Fn(&Owners, &OrdMap<Arc<str>, Arc<Object>>) -> T) -> T {
        {
            let state = self.state.read();
            if let Some(owners) = &state.owners {
                return read(owners, &state.objects);
            }
        }
        let mut state = self.state.write();
        let State { objects, owners, .. } = &mut *state;
        read(owners.get_or_insert_with(|| Owners::of(objects)), objects)
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.state.read().objects.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All objects as they are now.
    pub fn snapshot(&self) -> Snapshot {
        let state = self.state.read();
        Snapshot { objects: state.objects.clone(), revision: state.revision }
    }

    /// The revision the cache is complete up to.
    pub fn revision(&self) -> u64 {
        self.moved.borrow().revision
    }

    /// The revision after which [`Cache::subscribe_after`] can still start.
    pub fn oldest(&self) -> u64 {
        self.state.read().ring.oldest()
    }

    /// Whether the cache was filled once.
    pub fn is_synced(&self) -> bool {
        self.moved.borrow().synced
    }

    /// Waits until the cache was filled once.
    pub async fn synced(&self) {
        let mut moved = self.moved.subscribe();
        // The sender lives in `self`, so the wait cannot fail.
        let _ = moved.wait_for(|m| m.synced).await;
    }

    /// Waits until the cache is complete up to `revision`.
    pub async fn wait_for(&self, revision: u64) {
        let mut moved = self.moved.subscribe();
        let _ = moved.wait_for(|m| m.synced && m.revision >= revision).await;
    }

    /// Waits until `condition` holds, looking again after every change.
    pub async fn until(&self, mut condition: impl FnMut(&Self) -> bool) {
        let mut moved = self.moved.subscribe();
        while !condition(self) {
            // The sender lives in `self`, so the wait cannot fail.
            let _ = moved.changed().await;
        }
    }

    /// How many read its changes at the moment.
    pub fn watchers(&self) -> usize {
        self.bell.len()
    }

    /// Waits until the cache is dropped, without keeping it: how a feeder learns that nobody reads any more.
    pub fn gone(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut moved = self.moved.subscribe();
        async move { while moved.changed().await.is_ok() {} }
    }

    /// The present objects, and all changes after them.
    pub fn subscribe(self: &Arc<Self>) -> (Snapshot, Subscription) {
        let state = self.state.read();
        let snapshot = Snapshot { objects: state.objects.clone(), revision: state.revision };
        (snapshot, Subscription::new(self.clone(), state.ring.next()))
    }

    /// All changes after `revision`.
    pub fn subscribe_after(self: &Arc<Self>, revision: u64) -> Result<Subscription, TooOld> {
        let state = self.state.read();
        let at = state.ring.after(revision).ok_or(TooOld { asked: revision, oldest: state.ring.oldest() })?;
        Ok(Subscription::new(self.clone(), at))
    }

    // What feeders do.

    /// Takes over one written object.
    pub fn put(&self, object: Arc<Object>) {
        let (key, revision) = (Arc::<str>::from(object.meta.key()), object.meta.resource_version);
        let mut state = self.state.write();
        let previous = state.objects.insert(key.clone(), object.clone());
        if let Some(owners) = &mut state.owners {
            owners.change(&key, previous.as_deref(), &object);
        }
        let kind = if previous.is_some() { ChangeKind::Modified } else { ChangeKind::Added };
        record(&mut state, kind, object, previous, revision);
        self.counts.changes.fetch_add(1, Ordering::Relaxed);
        self.announce(state);
    }

    /// Takes over one deletion, made at `revision`.
    pub fn remove(&self, namespace: &str, name: &str, revision: u64) {
        let mut state = self.state.write();
        let key = meta::key(namespace, name);
        if let Some(previous) = state.objects.remove(&*key) {
            if let Some(owners) = &mut state.owners {
                owners.remove(&key, &previous);
            }
            let last = Arc::new(previous.at_revision(revision));
            record(&mut state, ChangeKind::Deleted, last, Some(previous), revision);
            self.counts.changes.fetch_add(1, Ordering::Relaxed);
        } else {
            state.revision = state.revision.max(revision);
        }
        self.announce(state);
    }

    /// Notes that nothing of this kind changed up to `revision`.
    pub fn progress(&self, revision: u64) {
        let mut state = self.state.write();
        state.revision = state.revision.max(revision);
        self.announce(state);
    }

    /// Takes over the whole state of the kind as of `revision`: at the first fill, and when a reflector lists again.
    /// Subscribers see the differences as changes.
    pub fn replace(&self, objects: impl IntoIterator<Item = Arc<Object>>, revision: u64) {
        let objects: OrdMap<Arc<str>, Arc<Object>> =
            objects.into_iter().map(|o| (Arc::<str>::from(o.meta.key()), o)).collect();
        self.counts.fills.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state.write();
        if !self.moved.borrow().synced {
            state.objects = objects;
            state.ring.start(revision);
        } else {
            let before = std::mem::take(&mut state.objects);
            for (key, object) in &objects {
                match before.get(key) {
                    Some(old) if old.meta.resource_version == object.meta.resource_version => {}
                    Some(old) => {
                        record(&mut state, ChangeKind::Modified, object.clone(), Some(old.clone()), revision);
                    }
                    None => record(&mut state, ChangeKind::Added, object.clone(), None, revision),
                }
            }
            for (_, old) in before.iter().filter(|(key, _)| !objects.contains_key(*key)) {
                let last = Arc::new(old.at_revision(revision));
                record(&mut state, ChangeKind::Deleted, last, Some(old.clone()), revision);
            }
            state.objects = objects;
        }
        if state.owners.is_some() {
            state.owners = Some(Owners::of(&state.objects));
        }
        state.revision = revision;
        let next = state.ring.next();
        drop(state);
        self.moved.send_modify(|moved| *moved = Moved { revision: moved.revision.max(revision), synced: true });
        self.bell.ring(next);
    }

    /// Wakes everybody who waits, after the lock is given back: many wake at once, and all want to read.
    fn announce(&self, state: RwLockWriteGuard<'_, State>) {
        let (next, revision) = (state.ring.next(), state.revision);
        drop(state);
        self.moved.send_modify(|moved| moved.revision = moved.revision.max(revision));
        self.bell.ring(next);
    }
}

fn record(state: &mut State, kind: ChangeKind, object: Arc<Object>, previous: Option<Arc<Object>>, revision: u64) {
    state.ring.push(Arc::new(Change { kind, object, previous, revision, frames: Frames::default() }));
    state.revision = state.revision.max(revision);
}

impl Snapshot {
    /// The objects of a namespace, or of all (`""`), in key order, from behind `start_after` (a key) on.
    pub fn range<'a>(
        &'a self,
        namespace: &str,
        start_after: Option<&str>,
    ) -> impl Iterator<Item = &'a Arc<Object>> + use<'a> {
        use std::ops::Bound;
        let prefix = if namespace.is_empty() { String::new() } else { format!("{namespace}/") };
        // Behind all keys of the namespace comes what follows the slash among characters. No key has to be looked at.
        let to: Bound<Arc<str>> =
            if namespace.is_empty() { Bound::Unbounded } else { Bound::Excluded(format!("{namespace}0").into()) };
        let from: Bound<Arc<str>> = match start_after {
            Some(key) if key >= prefix.as_str() => Bound::Excluded(key.into()),
            _ => Bound::Included(prefix.into()),
        };
        self.objects.range((from, to)).map(|(_, object)| object)
    }

    /// One object by its key.
    pub fn get_key(&self, key: &str) -> Option<&Arc<Object>> {
        self.objects.get(key)
    }

    /// How many objects there are, in all namespaces.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }
}
