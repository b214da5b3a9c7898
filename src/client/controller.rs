//! The harness every control loop runs in: caches, key mapping, queue, workers, backoff, spans, panic containment.
//!
//! A loop states which kinds it watches and how a change becomes keys, and a reconcile function that takes one key and
//! looks at the world anew. Events are hints: when history was lost, or after the resync period, every key comes again.

#[cfg(test)]
mod tests;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use api::{Object, ObjectError, Resource, Status, meta};
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use watch_cache::{Cache, Change, ChangeKind};

use crate::Client;
use crate::queue::{Key, Queue, QueueStats};

/// How long reconciles under way may take to finish after shutdown was asked for.
const DRAIN: Duration = Duration::from_secs(5);
/// Every key comes again after this time, in case a mapping missed something.
const RESYNC: Duration = Duration::from_secs(10 * 3600);

/// What a reconcile that succeeded wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing until something changes.
    Done,
    /// To look at the key again after this time, even if nothing changes.
    After(Duration),
}

/// Why a reconcile did not come through. The key is retried with backoff, whatever the variant.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused. Conflicts are everyday and logged as such.
    #[error("the API server refused: {0}")]
    Api(Box<Status>),
    /// An object does not decode into the view the controller needs.
    #[error("an object does not decode")]
    Object(#[from] ObjectError),
    /// Anything else, in words for the log.
    #[error("{0}")]
    Other(String),
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        Self::Api(Box::new(status))
    }
}

/// What reconcile functions return.
pub type Result = std::result::Result<Outcome, Error>;

type Reconcile<S> = Box<dyn Fn(Arc<S>, Key) -> BoxFuture<'static, Result> + Send + Sync>;
type Map<S> = Box<dyn Fn(&S, &Change, &mut Keys<'_>) + Send + Sync>;

/// One control loop over a state of its own type (its client, caches, and what it remembers).
pub struct Controller<S> {
    name: &'static str,
    state: Arc<S>,
    reconcile: Reconcile<S>,
    watches: Vec<(Arc<Resource>, Map<S>)>,
    needs: Vec<Arc<Resource>>,
    workers: usize,
    resync: Duration,
    queue: Arc<Queue>,
    stats: Arc<Stats>,
}

/// What a controller has done so far.
#[derive(Debug, Default)]
pub struct Stats {
    /// Reconciles that came to an end, well or not.
    pub reconciles: AtomicU64,
    /// Reconciles that returned an error.
    pub errors: AtomicU64,
    /// Reconciles that panicked.
    pub panics: AtomicU64,
}

/// A running or ended controller's figures, for metrics.
#[derive(Clone, Debug)]
pub struct Gauge {
    /// The controller's name.
    pub name: &'static str,
    stats: Arc<Stats>,
    queue: Arc<Queue>,
}

impl Gauge {
    /// What the workers have done.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// How the queue stands.
    pub fn queue(&self) -> QueueStats {
        self.queue.stats()
    }
}

/// Where a mapping puts the keys a change is about.
pub struct Keys<'a>(&'a Queue);

impl Keys<'_> {
    /// A key as it is.
    pub fn add(&mut self, key: impl Into<Key>) {
        self.0.add(key);
    }

    /// The key of an object by namespace (empty for objects of the cluster) and name.
    pub fn named(&mut self, namespace: &str, name: &str) {
        self.0.add(meta::key(namespace, name));
    }

    /// The key of an object at hand.
    pub fn object(&mut self, object: &Object) {
        self.0.add(object.meta.key());
    }

    /// A key, when the delay has passed: for mappings whose changes come in bursts.
    pub fn add_after(&mut self, key: impl Into<Key>, delay: Duration) {
        self.0.add_after(key, delay);
    }
}

/// The mapping for the kind a controller is about: the changed object's own key.
pub fn itself<S>(_: &S, change: &Change, keys: &mut Keys<'_>) {
    keys.object(&change.object);
}

/// The mapping for objects a controller makes: the key of the owner that manages them, before and after the change, if
/// it is of the given kind.
pub fn controlled_by<S>(owner: &Resource) -> impl Fn(&S, &Change, &mut Keys<'_>) + Send + Sync + use<S> {
    let (group, kind, namespaced) = (owner.group.clone(), owner.kind.clone(), owner.is_namespaced());
    move |_, change, keys| {
        for object in [Some(&change.object), change.previous.as_ref()].into_iter().flatten() {
            let Some(reference) = object.meta.controller() else { continue };
            if reference.kind == kind && group_of(&reference.api_version) == &*group {
                keys.named(if namespaced { &object.meta.namespace } else { "" }, &reference.name);
            }
        }
    }
}

/// The group of an `apiVersion`; empty for core.
pub fn group_of(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

impl<S: Send + Sync + 'static> Controller<S> {
    /// A loop with one worker that watches nothing yet.
    pub fn new<F, R>(name: &'static str, state: Arc<S>, reconcile: F) -> Self
    where
        F: Fn(Arc<S>, Key) -> R + Send + Sync + 'static,
        R: Future<Output = Result> + Send + 'static,
    {
        Self {
            name,
            state,
            reconcile: Box::new(move |state, key| reconcile(state, key).boxed()),
            watches: Vec::new(),
            needs: Vec::new(),
            workers: 1,
            resync: RESYNC,
            queue: Queue::new(),
            stats: Arc::default(),
        }
    }

    /// Watches a kind; `map` names the keys a change of it is about.
    #[must_use]
    pub fn watch(
        mut self,
        resource: &Arc<Resource>,
        map: impl Fn(&S, &Change, &mut Keys<'_>) + Send + Sync + 'static,
    ) -> Self {
        self.watches.push((resource.clone(), Box::new(map)));
        self
    }

    /// Reads the cache of a kind without being woken by it: work starts when the cache is filled.
    #[must_use]
    pub fn needs(mut self, resource: &Arc<Resource>) -> Self {
        self.needs.push(resource.clone());
        self
    }

    /// How many keys are worked on at once.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers.max(1);
        self
    }

    /// After what time every key comes again (default ten hours).
    #[must_use]
    pub fn resync(mut self, every: Duration) -> Self {
        self.resync = every;
        self
    }

    /// The queue, for states that name keys on their own.
    pub fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// The figures; they stay readable while the controller runs.
    pub fn gauge(&self) -> Gauge {
        Gauge { name: self.name, stats: self.stats.clone(), queue: self.queue.clone() }
    }

    /// Runs until shutdown. Reconciles under way may then finish, for a few seconds.
    pub async fn run(self, client: &Client, shutdown: CancellationToken) {
        let watched: Vec<Arc<Cache>> = self.watches.iter().map(|(resource, _)| client.cache(resource)).collect();
        let needed = self.needs.iter().map(|resource| client.cache(resource));
        let all: Vec<Arc<Cache>> = watched.iter().cloned().chain(needed).collect();
        let (workers, this) = (self.workers, Arc::new(self));
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = join_all(all.iter().map(|cache| cache.synced())) => {}
        }
        tracing::debug!(controller = this.name, "caches are filled");
        let mut tasks = JoinSet::new();
        for at in 0..watched.len() {
            let (this, watched, shutdown) = (this.clone(), watched.clone(), shutdown.clone());
            tasks.spawn(async move { shutdown.run_until_cancelled(this.feed(at, &watched)).await.unwrap_or_default() });
        }
        for _ in 0..workers {
            tasks.spawn(this.clone().work(shutdown.clone()));
        }
        shutdown.cancelled().await;
        this.queue.close();
        let drained = tokio::time::timeout(DRAIN, async { while tasks.join_next().await.is_some() {} }).await;
        if drained.is_err() {
            tracing::warn!(controller = this.name, "reconciles under way were cut off");
            tasks.shutdown().await;
        }
    }

    /// Turns the changes of one watched kind into keys, for ever.
    async fn feed(&self, at: usize, caches: &[Arc<Cache>]) {
        let (_, map) = &self.watches[at];
        let mut again = tokio::time::interval_at(tokio::time::Instant::now() + self.resync, self.resync);
        loop {
            let (_, mut changes) = caches[at].subscribe();
            self.remap(at, &caches[at]);
            loop {
                tokio::select! {
                    changes = changes.next() => match changes {
                        Ok(changes) => {
                            for change in changes {
                                map(&self.state, &change, &mut Keys(&self.queue));
                            }
                        }
                        Err(lagged) => {
                            // Deletions may be among the lost changes; their owners are found through the other kinds.
                            tracing::debug!(controller = self.name, reason = %lagged, "every key comes again");
                            for (other, cache) in caches.iter().enumerate().filter(|(other, _)| *other != at) {
                                self.remap(other, cache);
                            }
                            break;
                        }
                    },
                    _ = again.tick() => self.remap(at, &caches[at]),
                }
            }
        }
    }

    /// Maps every present object of a kind, as if it had just come.
    fn remap(&self, at: usize, cache: &Cache) {
        let snapshot = cache.snapshot();
        for object in snapshot.range("", None) {
            let change = Change {
                kind: ChangeKind::Added,
                object: object.clone(),
                previous: None,
                revision: snapshot.revision,
                frames: Default::default(),
            };
            (self.watches[at].1)(&self.state, &change, &mut Keys(&self.queue));
        }
    }

    async fn work(self: Arc<Self>, shutdown: CancellationToken) {
        while let Some(Some(key)) = shutdown.run_until_cancelled(self.queue.next()).await {
            let attempt = self.queue.failures(&key) + 1;
            let span = tracing::debug_span!("reconcile", controller = self.name, %key, attempt);
            // Inside the async block, so that a panic while the future is made is caught too.
            let reconcile = async { (self.reconcile)(self.state.clone(), key.clone()).await };
            let result = AssertUnwindSafe(reconcile).catch_unwind().instrument(span.clone()).await;
            span.in_scope(|| self.settle(&key, result));
            self.queue.done(&key);
        }
    }

    fn settle(&self, key: &Key, result: std::thread::Result<Result>) {
        self.stats.reconciles.fetch_add(1, Ordering::Relaxed);
        match result {
            Ok(Ok(outcome)) => {
                self.queue.forget(key);
                if let Outcome::After(delay) = outcome {
                    self.queue.add_after(key.clone(), delay);
                }
            }
            Ok(Err(error)) => {
                self.stats.errors.fetch_add(1, Ordering::Relaxed);
                let delay = self.queue.retry(key);
                match &error {
                    // The object changed or went away since it was read: the next look will tell.
                    Error::Api(status) if status.is_conflict() || status.is_not_found() => {
                        tracing::debug!(%error, ?delay, "will retry");
                    }
                    error => tracing::warn!(error = chain(error), ?delay, "will retry"),
                }
            }
            Err(panic) => {
                self.stats.panics.fetch_add(1, Ordering::Relaxed);
                let delay = self.queue.retry(key);
                let said = panic.downcast_ref::<&str>().copied().map(str::to_owned);
                let said = said.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
                tracing::error!(panic = said, ?delay, "reconcile panicked; please report this");
            }
        }
    }
}

/// An error and its causes, for the log.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}
