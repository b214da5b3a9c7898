//! Following the kinds that are served: those of CustomResourceDefinitions come and go at run time, and so do those of other
//! API servers.

use std::collections::HashMap;
use std::future::{Future, pending};
use std::sync::Arc;
use std::time::Duration;

use api::Resource;
use tokio::task::{AbortHandle, JoinSet};
use watch_cache::Cache;

use crate::{Client, Elsewhere};

/// How often it is looked what other API servers serve, if nobody says that it changes; upstream's controllers do it as often.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// A kind that is followed.
struct Followed {
    /// The row it was found by last.
    row: Arc<Resource>,
    /// The row its task was begun with.
    resource: Arc<Resource>,
    cache: Arc<Cache>,
    task: AbortHandle,
}

/// Keeps a task running for every kind that is `wanted`, as long as it is served; for ever. `begin` makes the task of a kind
/// from one of its rows and its cache; `end` is told of a kind that has gone, whose task has been stopped. A kind that was
/// taken away and came back is another one.
pub async fn follow<F>(
    client: &Client,
    wanted: impl Fn(&Resource) -> bool,
    mut begin: impl FnMut(Arc<Resource>, Arc<Cache>) -> F,
    mut end: impl FnMut(&Arc<Resource>),
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut changes = client.transport.served();
    let mut tasks = JoinSet::new();
    let mut followed: HashMap<String, Followed> = HashMap::new();
    loop {
        if let Some(changes) = &mut changes {
            // Before the table is read: what changes meanwhile is seen in the next round.
            changes.borrow_and_update();
        }
        let mut served: HashMap<(&str, &str), &Arc<Resource>> = HashMap::new();
        let rows = client.resources();
        for row in rows.iter().filter(|row| wanted(row)) {
            // Any version reaches all objects; the first is as good as another.
            served.entry((&*row.group, &*row.plural)).or_insert(row);
        }
        followed.retain(|_, one| {
            let row = served.get(&(&*one.row.group, &*one.row.plural)).copied();
            // What is found as it was left needs no second look: there may be thousands.
            let stays = row.is_some_and(|row| {
                Arc::ptr_eq(row, &one.row) || {
                    one.row = row.clone();
                    Arc::ptr_eq(&client.cache(row), &one.cache)
                }
            });
            if let (true, Some(row)) = (stays, row) {
                served.remove(&(&*row.group, &*row.plural));
            } else {
                tracing::debug!(kind = one.resource.qualified(), "kind is no longer served");
                one.task.abort();
                end(&one.resource);
            }
            stays
        });
        for row in served.into_values() {
            let cache = client.cache(row);
            let task = tasks.spawn(begin(row.clone(), cache.clone()));
            followed.insert(row.qualified(), Followed { row: row.clone(), resource: row.clone(), cache, task });
        }
        while tasks.try_join_next().is_some() {}
        let changed = match &mut changes {
            Some(changes) => changes.changed().await.is_ok(),
            None => false,
        };
        if !changed {
            // The table is fixed, or whoever changed it is gone.
            return pending().await;
        }
    }
}

/// The same for the kinds that other API servers serve behind the one that is called, whose caches this makes: each is filled
/// through requests of this client. What a server holds that does not answer now stays as it was, because nobody knows better.
pub async fn follow_elsewhere<F>(
    client: &Client,
    wanted: impl Fn(&Resource) -> bool,
    mut begin: impl FnMut(Arc<Resource>, Arc<Cache>) -> F,
    mut end: impl FnMut(&Arc<Resource>),
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut changes = client.transport.elsewhere_changed();
    let mut tasks = JoinSet::new();
    let mut followed: HashMap<String, (Arc<Resource>, AbortHandle)> = HashMap::new();
    loop {
        if let Some(changes) = &mut changes {
            changes.borrow_and_update();
        }
        let Elsewhere { resources, stale } = client.elsewhere();
        let mut served: HashMap<String, Arc<Resource>> = HashMap::new();
        // The preferred version of each kind comes first.
        for row in resources.into_iter().filter(|row| wanted(row)) {
            served.entry(row.qualified()).or_insert(row);
        }
        followed.retain(|name, (known, task)| {
            let stays = match served.get(name) {
                Some(row) => row.kind == known.kind && row.scope == known.scope,
                None => stale.iter().any(|version| *version == known.api_version()),
            };
            if stays {
                served.remove(name);
            } else {
                tracing::debug!(kind = name, "kind is no longer served elsewhere");
                task.abort();
                end(known);
            }
            stays
        });
        for (name, row) in served {
            let task = tasks.spawn(begin(row.clone(), client.reflected(&row)));
            followed.insert(name, (row, task));
        }
        while tasks.try_join_next().is_some() {}
        let changed = async {
            let said = match &mut changes {
                Some(changes) => changes.changed().await.is_ok(),
                None => false,
            };
            if !said {
                // Nobody says so, or whoever did is gone.
                pending().await
            }
        };
        tokio::select! {
            () = changed => {}
            () = tokio::time::sleep(LOOK_AGAIN) => {}
        }
    }
}
