//! Following the kinds that are served: those of CustomResourceDefinitions come and go at run time.

use std::collections::HashMap;
use std::future::{Future, pending};
use std::sync::Arc;

use api::Resource;
use tokio::task::{AbortHandle, JoinSet};
use watch_cache::Cache;

use crate::Client;

/// A kind that is followed.
struct Followed {
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
        let mut served = HashMap::new();
        for resource in client.resources().into_iter().filter(|resource| wanted(resource)) {
            // Any version reaches all objects; the first is as good as another.
            served.entry(resource.qualified()).or_insert_with(|| (client.cache(&resource), resource));
        }
        followed.retain(|name, one| {
            let stays = served.get(name).is_some_and(|(cache, _)| Arc::ptr_eq(cache, &one.cache));
            if !stays {
                tracing::debug!(kind = name, "kind is no longer served");
                one.task.abort();
                end(&one.resource);
            }
            stays
        });
        for (name, (cache, resource)) in served {
            followed.entry(name).or_insert_with(|| {
                let task = tasks.spawn(begin(resource.clone(), cache.clone()));
                Followed { resource, cache, task }
            });
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
