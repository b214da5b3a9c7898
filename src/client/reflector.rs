//! Fills a cache by requests: list, then watch; resumes after a disconnect, lists again when history was lost.

use std::sync::{Arc, Weak};
use std::time::Duration;

use api::{ListOptions, Object, Operation, Reply, Request, Status, User, WatchEvent, WatchOptions};
use futures::StreamExt;
use tokio_util::sync::CancellationToken;
use watch_cache::Cache;

use crate::Transport;
use crate::https::{Selection, Shared};

/// Objects a page.
const PAGE: usize = 500;
/// Watches end by themselves after this many seconds up to twice as many, so that servers and load balancers can shift
/// them (client-go's figures).
const WATCH_SECONDS: i64 = 300;
const FIRST_DELAY: Duration = Duration::from_millis(200);
const LAST_DELAY: Duration = Duration::from_secs(30);

/// Who is asked.
pub(crate) enum Source {
    /// A server, until the transport is dropped. The certificate says who asks.
    Https(Arc<Shared>),
    /// Whatever transport, in somebody's name.
    Transport(Arc<dyn Transport>, Arc<User>),
}

/// Starts to fill `cache` and goes on until it, or the transport, is dropped.
pub(crate) fn start(source: Source, cache: &Arc<Cache>, selection: Selection) {
    let stop = match &source {
        Source::Https(shared) => shared.stop.clone(),
        Source::Transport(..) => CancellationToken::new(),
    };
    let gone = cache.gone();
    let reflector = Reflector { source, cache: Arc::downgrade(cache), resource: cache.resource().clone(), selection };
    tokio::spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = gone => {}
            () = reflector.run() => {}
        }
    });
}

struct Reflector {
    source: Source,
    /// Weak, so that the readers alone decide how long the cache lives.
    cache: Weak<Cache>,
    resource: Arc<api::Resource>,
    selection: Selection,
}

impl Reflector {
    async fn run(self) {
        // The revision to watch from; unknown at first and when the server no longer has it.
        let mut from = None;
        let mut delay = FIRST_DELAY;
        loop {
            let result = match from {
                None => self.list().await.map(|revision| from = Some(revision)),
                Some(ref mut revision) => self.watch(revision).await,
            };
            match result {
                Ok(()) => delay = FIRST_DELAY,
                Err(status) if status.is_expired() => {
                    tracing::debug!(kind = %self.resource.kind, "history was lost, listing again");
                    from = None;
                }
                Err(status) => {
                    // Agents that lost a server must not come back at the same moment.
                    let pause = crate::jittered(delay);
                    tracing::warn!(kind = %self.resource.kind, error = %status, ?pause, "cannot list or watch, will retry");
                    tokio::time::sleep(pause).await;
                    delay = (delay * 2).min(LAST_DELAY);
                }
            }
        }
    }

    /// Lists in pages and replaces the cache's content. Returns the revision to watch from.
    async fn list(&self) -> Result<u64, Status> {
        let mut objects: Vec<Arc<Object>> = Vec::new();
        let mut options = ListOptions { limit: PAGE, ..self.options() };
        loop {
            let page = match self.call(Operation::List(options.clone())).await {
                Ok(Reply::List(page)) => page,
                Ok(_) => return Err(Status::internal("the answer was no list")),
                // The pages outlived the server's history: all at once, then.
                Err(status) if status.is_expired() && options.limit > 0 => {
                    objects.clear();
                    options = self.options();
                    continue;
                }
                Err(status) => return Err(status),
            };
            objects.extend(page.items);
            if page.continue_token.is_empty() {
                if let Some(cache) = self.cache.upgrade() {
                    cache.replace(objects, page.revision);
                }
                return Ok(page.revision);
            }
            options.continue_token = page.continue_token;
        }
    }

    /// Follows one watch to its end. `revision` is how far the cache has come.
    async fn watch(&self, revision: &mut u64) -> Result<(), Status> {
        let options = WatchOptions {
            list: ListOptions { resource_version: Some(revision.to_string()), ..self.options() },
            bookmarks: true,
            initial_events: None,
            timeout_seconds: Some(rand::random_range(WATCH_SECONDS..2 * WATCH_SECONDS)),
        };
        let started = tokio::time::Instant::now();
        let Reply::Watch(mut events) = self.call(Operation::Watch(options)).await? else {
            return Err(Status::internal("the answer was no watch"));
        };
        let mut any = false;
        while let Some(event) = events.next().await {
            let Some(cache) = self.cache.upgrade() else { return Ok(()) };
            any = true;
            match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    *revision = object.meta.resource_version.max(*revision);
                    cache.put(object);
                }
                WatchEvent::Deleted(object) => {
                    *revision = object.meta.resource_version.max(*revision);
                    cache.remove(&object.meta.namespace, &object.meta.name, object.meta.resource_version);
                }
                WatchEvent::Bookmark { revision: at, .. } => {
                    *revision = at.max(*revision);
                    cache.progress(at);
                }
                WatchEvent::Error(status) => return Err(*status),
            }
        }
        if !any && started.elapsed() < Duration::from_secs(1) {
            return Err(Status::unavailable("the server ended the watch at once"));
        }
        Ok(())
    }

    fn options(&self) -> ListOptions {
        ListOptions {
            label_selector: self.selection.label_selector.clone(),
            field_selector: self.selection.field_selector.clone(),
            ..ListOptions::default()
        }
    }

    async fn call(&self, operation: Operation) -> Result<Reply, Status> {
        let user = match &self.source {
            Source::Https(_) => Arc::new(User::default()),
            Source::Transport(_, user) => user.clone(),
        };
        let request = Request {
            user,
            resource: self.resource.clone(),
            namespace: self.selection.namespace.clone(),
            name: String::new(),
            subresource: String::new(),
            operation,
        };
        match &self.source {
            Source::Https(shared) => shared.call(request).await,
            Source::Transport(transport, _) => transport.call(request).await,
        }
    }
}
