//! Watches: a place in the cache's ring of changes, seen through selectors.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use api::object::LOOKS;
use api::validation::field::{Error, ErrorList, Path};
use api::{Object, Operation, Request, Resource, Status, WatchEvent, WatchOptions, WatchStream};
use tokio::time::{Instant, Sleep};
use watch_cache::{Change, ChangeKind, Subscription};

use super::read::late_version;
use super::selection::Selection;
use super::{Registry, custom, error, versions};
use crate::catalog::CatalogChanges;
use crate::feed::Feed;

/// At most so many objects of the present state are handed out at once.
const BATCH: usize = 256;

/// How often a watcher that wants bookmarks gets one.
const BOOKMARK: Duration = Duration::from_secs(60);

/// How long before its end a watch sends a last bookmark.
const FAREWELL: Duration = Duration::from_secs(2);

/// What a change means to one watcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The object came into view: `ADDED` with the object.
    Added,
    /// It changed in view: `MODIFIED` with the object.
    Modified,
    /// It was deleted while in view: `DELETED` with the object.
    Deleted,
    /// It changed and left the view: `DELETED` with the change's `previous`, at the revision of the change.
    Left,
}

/// One thing a watcher is told.
#[derive(Clone, Debug)]
pub enum Delivery {
    /// A change, shared with all other watchers of the kind, and what it means to this one.
    Change {
        /// The change.
        change: Arc<Change>,
        /// What it means here.
        verdict: Verdict,
    },
    /// An object of the state the watch begins with: `ADDED`.
    Initial(Arc<Object>),
    /// Nothing of interest happened up to this revision.
    Bookmark {
        /// Where a new watch may begin.
        revision: u64,
        /// Whether this marks the end of the initial state.
        initial_events_end: bool,
    },
    /// The watch is over.
    Error(Box<Status>),
}

impl Delivery {
    /// The change, if this watcher sees it as it happened. Its `frames` then serve all such watchers.
    pub fn shared(&self) -> Option<&Arc<Change>> {
        match self {
            Self::Change { change, verdict } => {
                let as_it_happened = match verdict {
                    Verdict::Added => change.kind == ChangeKind::Added,
                    Verdict::Modified => change.kind == ChangeKind::Modified,
                    Verdict::Deleted => true,
                    Verdict::Left => false,
                };
                as_it_happened.then_some(change)
            }
            _ => None,
        }
    }

    /// The same as an event of its own.
    pub fn into_event(self) -> WatchEvent {
        match self {
            Self::Initial(object) => WatchEvent::Added(object),
            Self::Bookmark { revision, initial_events_end } => WatchEvent::Bookmark { revision, initial_events_end },
            Self::Error(status) => WatchEvent::Error(status),
            Self::Change { change, verdict } => match verdict {
                Verdict::Added => WatchEvent::Added(change.object.clone()),
                Verdict::Modified => WatchEvent::Modified(change.object.clone()),
                Verdict::Deleted => WatchEvent::Deleted(change.object.clone()),
                Verdict::Left => {
                    let last = change.previous.as_ref().unwrap_or(&change.object);
                    WatchEvent::Deleted(Arc::new(last.at_revision(change.revision)))
                }
            },
        }
    }
}

/// A watch in progress: [`Registry::watch`] makes it. Dropping it ends it.
#[derive(Debug)]
pub struct Watch {
    /// `None` when the watch is over.
    subscription: Option<Subscription>,
    resource: Arc<Resource>,
    namespace: Box<str>,
    selection: Selection,
    initial: VecDeque<Arc<Object>>,
    /// Changes that were taken and not yet handed out: they may have to be converted first, which takes time.
    pending: VecDeque<Arc<Change>>,
    /// Wakes a watcher of a custom kind when the kinds served have changed: its own may be gone.
    catalog: Option<CatalogChanges>,
    /// The bookmark that follows the initial state.
    initial_end: Option<u64>,
    /// The version it was asked to begin behind, which may be yet to come.
    after: u64,
    failed: Option<Box<Status>>,
    feed: Arc<Feed>,
    /// The next bookmark or the end, whichever comes first.
    alarm: Pin<Box<Sleep>>,
    bookmarks: bool,
    end: Instant,
}

impl Registry {
    /// Begins a watch. A version that history no longer holds is no error here: as upstream does it, the watch begins and
    /// its first event says so.
    pub async fn watch(&self, request: &Request) -> Result<Watch, Status> {
        let Operation::Watch(options) = &request.operation else {
            return Err(Status::bad_request("the request is no watch"));
        };
        let options = &with_defaults(options);
        check(options)?;
        let selection = Selection::parse(&request.resource, &options.list)?;
        let version = late_version(options.list.resource_version.as_deref())?;
        let with_state = options.initial_events == Some(true);
        let mut failed = None;
        match version {
            None => self.catch_up().await?,
            Some(at_least) if with_state => failed = self.reach(at_least).await.err().map(Box::new),
            // What is yet to come is waited for, and what precedes it is not told.
            Some(_) => {}
        }
        let end = Instant::now() + timeout(options.timeout_seconds);
        let mut watch = Watch {
            subscription: None,
            resource: request.resource.clone(),
            namespace: request.namespace.as_str().into(),
            selection,
            initial: VecDeque::new(),
            pending: VecDeque::new(),
            catalog: (!request.resource.builtin).then(|| self.catalog.changes(&request.resource)),
            initial_end: None,
            after: version.unwrap_or(0),
            failed,
            feed: self.feed.clone(),
            alarm: Box::pin(tokio::time::sleep_until(end)),
            bookmarks: options.bookmarks,
            end,
        };
        watch.set_alarm();
        if watch.failed.is_some() {
            return Ok(watch);
        }
        let cache = self.cache(&request.resource);
        if with_state {
            let applied = self.feed.applied();
            let (snapshot, subscription) = cache.subscribe();
            let all = snapshot.range(&request.namespace, None);
            let stored = watch.selection.of_stored();
            watch.initial = all.filter(|object| stored.matches(object)).cloned().collect();
            watch.initial_end = options.bookmarks.then_some(applied.max(snapshot.revision));
            watch.subscription = Some(subscription);
            return Ok(watch);
        }
        match version {
            None | Some(0) => watch.subscription = Some(cache.subscribe().1),
            Some(after) => match cache.subscribe_after(after) {
                Ok(subscription) => watch.subscription = Some(subscription),
                Err(gone) => watch.failed = Some(too_old(gone.asked, gone.oldest)),
            },
        }
        Ok(watch)
    }
}

impl Watch {
    /// Waits for what comes next, at least one delivery; `None` when the watch is over. Safe to drop and call again.
    pub async fn next_batch(&mut self) -> Option<Vec<Delivery>> {
        if let Some(status) = self.failed.take() {
            return Some(self.ended(status));
        }
        if let Some(batch) = self.initial_batch().await {
            return Some(batch);
        }
        loop {
            if !self.pending.is_empty() {
                let batch = self.judge().await;
                if !batch.is_empty() {
                    return Some(batch);
                }
            }
            let subscription = self.subscription.as_mut()?;
            tokio::select! {
                biased;
                () = &mut self.alarm => {
                    if Instant::now() >= self.end {
                        self.subscription = None;
                        return None;
                    }
                    // The number is taken first: what the subscriber has seen then covers it.
                    let applied = self.feed.applied();
                    let seen = subscription.caught_up();
                    self.set_alarm();
                    if let Some(revision) = seen.map(|seen| applied.max(seen)).filter(|revision| *revision >= self.after) {
                        return Some(vec![Delivery::Bookmark { revision, initial_events_end: false }]);
                    }
                }
                // What happened before its kind went is told first.
                changes = subscription.next() => match changes {
                    Ok(changes) if self.shows_as_stored() => {
                        let batch: Vec<Delivery> = changes.into_iter().filter_map(|change| self.delivery(change)).collect();
                        if !batch.is_empty() {
                            return Some(batch);
                        }
                    }
                    Ok(changes) => self.pending = changes.into(),
                    Err(_) => {
                        let status = Status::expired("too old resource version: the watch fell behind the history");
                        return Some(self.ended(Box::new(status)));
                    }
                },
                () = replaced(self.catalog.as_mut()) => {
                    self.subscription = None;
                    return None;
                }
            }
        }
    }

    /// Whether some of the state it begins with is still to be told.
    pub fn is_beginning(&self) -> bool {
        !self.initial.is_empty()
    }

    /// The watch as a stream of events.
    pub fn into_stream(self) -> WatchStream {
        let batches = futures::stream::unfold(self, |mut watch| async move {
            let batch = watch.next_batch().await?;
            Some((futures::stream::iter(batch.into_iter().map(Delivery::into_event)), watch))
        });
        Box::pin(futures::StreamExt::flatten(batches))
    }

    async fn initial_batch(&mut self) -> Option<Vec<Delivery>> {
        while !self.initial.is_empty() {
            let many = self.initial.len().min(BATCH);
            let batch: Vec<Arc<Object>> = self.initial.iter().take(many).cloned().collect();
            let shown = versions::show_all(&self.resource, batch).await;
            // Only now: whoever stopped waiting above finds them where they were.
            self.initial.drain(..many);
            let mut shown = match shown {
                Ok(shown) => shown,
                Err(status) => return Some(self.ended(Box::new(status))),
            };
            if self.selection.is_of_version() {
                shown.retain(|object| self.selection.matches(object));
            }
            if !shown.is_empty() {
                shown.chunks(LOOKS).for_each(Object::look_at);
                return Some(shown.into_iter().map(Delivery::Initial).collect());
            }
        }
        let revision = self.initial_end.take()?;
        Some(vec![Delivery::Bookmark { revision, initial_events_end: true }])
    }

    /// The changes this watcher sees, of those that are pending. One that cannot be converted ends the watch.
    async fn judge(&mut self) -> Vec<Delivery> {
        let many = self.pending.len().min(BATCH);
        let batch: Vec<Arc<Change>> = self.pending.iter().take(many).cloned().collect();
        let judged = self.judged(batch).await;
        // Only now: whoever stopped waiting above finds them where they were.
        self.pending.drain(..many);
        judged.unwrap_or_else(|status| self.ended(status))
    }

    /// Ends the watch with an error: whoever watches has to begin anew.
    fn ended(&mut self, status: Box<Status>) -> Vec<Delivery> {
        (self.subscription, self.initial_end) = (None, None);
        self.initial.clear();
        self.pending.clear();
        vec![Delivery::Error(status)]
    }

    async fn judged(&self, changes: Vec<Arc<Change>>) -> Result<Vec<Delivery>, Box<Status>> {
        // Selectors mean the version that is watched.
        if self.selection.is_of_version() {
            let wanted =
                changes.into_iter().filter(|change| self.is_within(change)).map(|change| (change, true)).collect();
            return Ok(self.converted(wanted).await?.into_iter().filter_map(|change| self.delivery(change)).collect());
        }
        let seen: Vec<(Arc<Change>, Verdict)> =
            changes.into_iter().filter_map(|change| self.verdict(&change).map(|verdict| (change, verdict))).collect();
        // What was there before is told of what has left the view, and else of nothing.
        let wanted = seen.iter().map(|(change, verdict)| (change.clone(), *verdict == Verdict::Left)).collect();
        let shown = self.converted(wanted).await?;
        let verdicts = seen.into_iter().map(|(_, verdict)| verdict);
        Ok(shown.into_iter().zip(verdicts).map(|(change, verdict)| Delivery::Change { change, verdict }).collect())
    }

    fn is_within(&self, change: &Change) -> bool {
        self.namespace.is_empty() || *change.object.meta.namespace == *self.namespace
    }

    /// Whether objects are shown as the cache has them, whatever they are.
    fn shows_as_stored(&self) -> bool {
        self.resource.stored_as.is_none() && self.resource.custom.is_none()
    }

    fn delivery(&self, change: Arc<Change>) -> Option<Delivery> {
        self.verdict(&change).map(|verdict| Delivery::Change { change, verdict })
    }

    fn verdict(&self, change: &Change) -> Option<Verdict> {
        if !self.is_within(change) || change.revision <= self.after {
            return None;
        }
        let is = || self.selection.matches(&change.object);
        let was = || change.previous.as_ref().is_some_and(|previous| self.selection.matches(previous));
        match change.kind {
            ChangeKind::Added => is().then_some(Verdict::Added),
            ChangeKind::Deleted => was().then_some(Verdict::Deleted),
            ChangeKind::Modified if self.selection.is_everything() => Some(Verdict::Modified),
            ChangeKind::Modified => match (was(), is()) {
                (true, true) => Some(Verdict::Modified),
                (false, true) => Some(Verdict::Added),
                (true, false) => Some(Verdict::Left),
                (false, false) => None,
            },
        }
    }

    /// The changes in the form of the watched row, all that is not in it converted at once; the states before only where it
    /// says so. Rows that show another's objects have few watchers: each makes its own.
    async fn converted(&self, changes: Vec<(Arc<Change>, bool)>) -> Result<Vec<Arc<Change>>, Box<Status>> {
        let foreign = |object: &Object| self.resource.stored_as.is_some() || custom::is_foreign(&self.resource, object);
        let before = |(change, before): &(Arc<Change>, bool)| change.previous.clone().filter(|_| *before);
        let is_foreign = |one: &(Arc<Change>, bool)| foreign(&one.0.object) || before(one).is_some_and(|o| foreign(&o));
        let mut objects = Vec::new();
        for one in changes.iter().filter(|one| is_foreign(one)) {
            objects.push(one.0.object.clone());
            objects.extend(before(one));
        }
        if objects.is_empty() {
            return Ok(changes.into_iter().map(|(change, _)| change).collect());
        }
        let shown = versions::show_all(&self.resource, objects).await.map_err(Box::new)?;
        let mut shown = shown.into_iter();
        let mut own = |one: (Arc<Change>, bool)| {
            if !is_foreign(&one) {
                return one.0;
            }
            let object = shown.next().unwrap_or_else(|| one.0.object.clone());
            let previous = before(&one).map(|previous| shown.next().unwrap_or(previous));
            let (kind, revision) = (one.0.kind, one.0.revision);
            Arc::new(Change { kind, object, previous, revision, frames: watch_cache::Frames::default() })
        };
        Ok(changes.into_iter().map(&mut own).collect())
    }

    fn set_alarm(&mut self) {
        let now = Instant::now();
        let farewell = self.end - FAREWELL;
        let next = match self.bookmarks {
            // Spread, so that many watches that began together do not all wake together.
            true if now < farewell => (now + BOOKMARK.mul_f64(rand::random_range(0.85..1.0))).min(farewell),
            _ => self.end,
        };
        self.alarm.as_mut().reset(next);
    }
}

/// Returns when the kind of a watch is no longer served as it was; never for built-in kinds.
async fn replaced(catalog: Option<&mut CatalogChanges>) {
    match catalog {
        Some(changes) => changes.replaced().await,
        None => std::future::pending().await,
    }
}

/// How long a watch lasts; one that does not say gets between 30 and 60 minutes, so that not all end together.
fn timeout(seconds: Option<i64>) -> Duration {
    match seconds {
        // What is below zero is over.
        Some(seconds) if seconds != 0 => Duration::from_secs(u64::try_from(seconds).unwrap_or(0).min(365 * 24 * 3600)),
        _ => Duration::from_secs(rand::random_range(1800..3600)),
    }
}

/// A watch that names no version begins with the present state, as if it had asked for it.
fn with_defaults(options: &WatchOptions) -> WatchOptions {
    let mut options = options.clone();
    let unnamed = matches!(options.list.resource_version.as_deref(), None | Some("" | "0"));
    if unnamed && options.initial_events.is_none() && options.list.resource_version_match.is_empty() {
        options.initial_events = Some(true);
        options.list.resource_version_match = "NotOlderThan".into();
    }
    options
}

fn too_old(asked: u64, oldest: u64) -> Box<Status> {
    Box::new(Status::expired(format!("too old resource version: {asked} ({oldest})")))
}

fn check(options: &WatchOptions) -> Result<(), Status> {
    let (path, mut errors) = (Path::root("resourceVersionMatch"), ErrorList::new());
    let matching = options.list.resource_version_match.as_str();
    if options.initial_events.is_some() && matching != "NotOlderThan" {
        let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
        errors.push(Error::forbidden(&path, why));
    }
    if !matching.is_empty() {
        if options.initial_events.is_none() {
            let why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
            errors.push(Error::forbidden(&path, why));
        }
        if matching != "NotOlderThan" {
            errors.push(Error::not_supported(&path, matching, &["NotOlderThan"]));
        }
        if !options.list.continue_token.is_empty() {
            errors.push(Error::forbidden(&path, "resourceVersionMatch is forbidden when continue is provided"));
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(error::invalid_options(&errors)) }
}
