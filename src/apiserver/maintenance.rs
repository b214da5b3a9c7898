//! What the registry does by the clock: forgets history, lets events expire, puts back what every cluster has.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use embedded_store::{Change, Durability, Expect, Revision, StoreError, Write};
use tokio::time::{Instant, MissedTickBehavior};

use crate::{Registry, bootstrap_objects};

/// How often it looks. An idle server finds nothing to do.
const TICK: Duration = Duration::from_secs(60);

/// Works until the registry is gone.
pub(crate) async fn run(registry: Weak<Registry>) {
    let mut ticks = tokio::time::interval_at(Instant::now() + TICK, TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut past = Past::default();
    loop {
        ticks.tick().await;
        let Some(registry) = registry.upgrade() else { return };
        let now = Instant::now();
        past.note(now, registry.applied());
        if let Err(error) = compact(&registry, &mut past, now).await {
            if matches!(error, StoreError::Closed) {
                return;
            }
            tracing::warn!(%error, "history cannot be compacted, will try again");
        }
        expire_events(&registry, &past, now).await;
        past.trim(now, registry.config().event_ttl.max(registry.config().compaction));
        registry.allocators().settle(now, || registry.services());
        if let Err(status) = bootstrap_objects::ensure(&registry).await {
            tracing::warn!(%status, "an object that every cluster has is missing, will try again");
        }
    }
}

/// Which revision the store was at, minute by minute, as far back as anyone asks. Quiet minutes take no place.
#[derive(Debug, Default)]
struct Past {
    notes: VecDeque<(Instant, Revision)>,
    compacted: Revision,
}

impl Past {
    fn note(&mut self, now: Instant, revision: Revision) {
        if self.notes.back().is_none_or(|(_, last)| *last != revision) {
            self.notes.push_back((now, revision));
        }
    }

    /// The last revision noted at least `age` ago.
    fn at(&self, now: Instant, age: Duration) -> Option<Revision> {
        self.notes.iter().rev().find(|(then, _)| now.duration_since(*then) >= age).map(|(_, revision)| *revision)
    }

    /// Forgets what is older than `age`, except the newest of it.
    fn trim(&mut self, now: Instant, age: Duration) {
        while self.notes.get(1).is_some_and(|(then, _)| now.duration_since(*then) >= age) {
            self.notes.pop_front();
        }
    }
}

async fn compact(registry: &Registry, past: &mut Past, now: Instant) -> Result<(), StoreError> {
    let Some(before) = past.at(now, registry.config().compaction).filter(|before| *before > past.compacted) else {
        return Ok(());
    };
    registry.store().compact(before).await?;
    tracing::debug!(before, "history is compacted");
    past.compacted = before;
    Ok(())
}

/// Deletes the events nobody wrote for the time they live. A restart gives all events that time again.
async fn expire_events(registry: &Arc<Registry>, past: &Past, now: Instant) {
    let ttl = registry.config().event_ttl;
    let Some(before) = past.at(now, ttl) else { return };
    let Some(events) = api::resource::find("", "v1", "events") else { return };
    let expired = registry.cache(events).snapshot();
    for event in expired.range("", None).filter(|event| event.meta.resource_version <= before) {
        let write = Write {
            key: events.store_key(&event.meta.namespace, &event.meta.name),
            expect: Expect::Revision(event.meta.resource_version),
            change: Change::Delete,
            durability: Durability::Deferred,
        };
        match registry.store().write(write).await {
            // Written again, or deleted, in between.
            Ok(_) | Err(StoreError::Conflict { .. }) => {}
            Err(error) => {
                tracing::warn!(%error, "events cannot be expired, will try again");
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn history_is_found_by_age() {
        let (start, minute) = (Instant::now(), Duration::from_secs(60));
        let mut past = Past::default();
        for (minutes, revision) in [(0, 5), (1, 5), (2, 9), (6, 12)] {
            past.note(start + minute * minutes, revision);
        }
        let now = start + minute * 7;
        assert_eq!(past.at(now, minute * 5), Some(9));
        assert_eq!(past.at(now, minute), Some(12));
        assert_eq!(past.at(now, minute * 60), None);
        past.trim(now, minute * 4);
        assert_eq!(past.notes.len(), 2);
    }
}
