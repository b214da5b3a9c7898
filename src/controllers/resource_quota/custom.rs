//! Custom resources, and what other API servers hold: what is new or gone of them changes what the quotas that count them have
//! left.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{Object, Resource};
use client::kinds::resource_quotas;
use client::queue::Queue;
use client::{Client, served};
use parking_lot::Mutex;
use watch_cache::{Cache, ChangeKind};

use super::{CHECK, hard};

/// The kinds of other API servers that quotas count, by `plural.group`, and their objects.
#[derive(Clone, Default)]
pub(super) struct Others(Arc<Mutex<BTreeMap<String, Counted>>>);

type Counted = (Arc<Resource>, Arc<Cache>);

impl Others {
    pub(super) fn all(&self) -> Vec<Counted> {
        self.0.lock().values().cloned().collect()
    }
}

/// Puts quotas into the queue when the number of the custom resources they count may have changed, for ever.
pub(super) async fn follow(client: Client, others: Others, queue: Arc<Queue>) {
    let quotas = client.cache(&resource_quotas());
    quotas.synced().await;
    let wanted = |row: &Resource| !row.builtin && row.is_namespaced();
    let counting = |resource: &Resource| Counting {
        name: format!("count/{}", resource.qualified()),
        quotas: quotas.clone(),
        queue: queue.clone(),
    };
    let begin = |resource: Arc<Resource>, objects| feed(counting(&resource), objects);
    // Nothing is left of a kind that is gone.
    let end = |resource: &Arc<Resource>| counting(resource).all("").for_each(|quota| queue.add(quota.meta.key()));
    let own = served::follow(&client, wanted, begin, end);

    // Others are asked for what somebody wants counted, and for nothing else.
    let counted = |row: &Resource| {
        let listed = ["list", "watch"].iter().all(|verb| row.verbs.contains(verb));
        row.is_namespaced() && listed && counting(row).all("").next().is_some()
    };
    let begin_elsewhere = |row: Arc<Resource>, objects: Arc<Cache>| {
        others.0.lock().insert(row.qualified(), (row.clone(), objects.clone()));
        begin(row, objects)
    };
    let end_elsewhere = |row: &Arc<Resource>| {
        others.0.lock().remove(&row.qualified());
        end(row);
    };
    let elsewhere = served::follow_elsewhere(&client, counted, begin_elsewhere, end_elsewhere);
    tokio::join!(own, elsewhere);
}

/// The quotas that count the objects of one kind.
struct Counting {
    /// `count/widgets.example.com`.
    name: String,
    quotas: Arc<Cache>,
    queue: Arc<Queue>,
}

impl Counting {
    fn all(&self, namespace: &str) -> impl Iterator<Item = Arc<Object>> {
        let counts = |quota: &Arc<Object>| {
            let limits = quota.to_value();
            limits.is_ok_and(|quota| hard(&quota).any(|(name, _)| *name == self.name))
        };
        self.quotas.list(namespace).into_iter().filter(counts)
    }
}

async fn feed(counting: Counting, objects: Arc<Cache>) {
    objects.synced().await;
    loop {
        let (_, mut changes) = objects.subscribe();
        // What was there before, or went while nobody looked, counts too.
        counting.all("").for_each(|quota| counting.queue.add(quota.meta.key()));
        while let Ok(changes) = changes.next().await {
            for change in changes.iter().filter(|change| change.kind != ChangeKind::Modified) {
                for quota in counting.all(&change.object.meta.namespace) {
                    match change.kind {
                        ChangeKind::Deleted => counting.queue.add(quota.meta.key()),
                        _ => counting.queue.add_after(quota.meta.key(), CHECK),
                    }
                }
            }
        }
    }
}
