//! Which events are new, which repeat an earlier one, and which are too many.

use std::collections::HashSet;
use std::hash::Hash;
use std::time::Duration;

use indexmap::IndexMap;
use tokio::time::Instant;

use super::{EventType, Recorded, Reference};

/// How many objects and events are remembered (upstream's cache size).
const REMEMBERED: usize = 4096;
/// So many different messages of one object and reason, within the interval, fall together.
const SIMILAR: usize = 10;
const SIMILAR_WITHIN: Duration = Duration::from_secs(600);
/// One object's allowance: so many at once, and another one per period.
const BURST: f64 = 25.0;
const REFILL: Duration = Duration::from_secs(300);

/// What makes two events the same; the message is left out when similar ones fall together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct EventKey {
    about: Reference,
    kind: EventType,
    reason: String,
    message: Option<String>,
}

/// What to do with an event.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    Drop,
    /// Write it, then report it to [`Correlator::wrote`].
    New {
        key: EventKey,
        message: String,
    },
    /// Raise the count of one written before.
    Again {
        key: EventKey,
        name: String,
        count: u64,
        message: String,
    },
}

#[derive(Default)]
pub(super) struct Correlator {
    allowance: IndexMap<Reference, (f64, Instant)>,
    similar: IndexMap<EventKey, (HashSet<String>, Instant)>,
    written: IndexMap<EventKey, (String, u64)>,
}

impl Correlator {
    pub(super) fn judge(&mut self, event: &Recorded, now: Instant) -> Verdict {
        // The version differs from event to event; it is the same object.
        let about = Reference { resource_version: String::new(), ..event.about.clone() };
        let group = EventKey { about, kind: event.kind, reason: event.reason.clone(), message: None };
        let (key, message) = self.aggregate(group, event, now);
        if !self.allowed(&key.about, now) {
            return Verdict::Drop;
        }
        match self.written.get_mut(&key) {
            None => Verdict::New { key, message },
            Some((name, count)) => {
                *count += 1;
                Verdict::Again { name: name.clone(), count: *count, message, key }
            }
        }
    }

    pub(super) fn wrote(&mut self, key: EventKey, name: String, count: u64) {
        remember(&mut self.written, key, (name, count));
    }

    fn aggregate(&mut self, group: EventKey, event: &Recorded, now: Instant) -> (EventKey, String) {
        let (messages, since) = remember_or(&mut self.similar, group.clone(), || (HashSet::new(), now));
        if now.duration_since(*since) > SIMILAR_WITHIN {
            messages.clear();
        }
        *since = now;
        if messages.len() < SIMILAR {
            messages.insert(event.message.clone());
        }
        if messages.len() < SIMILAR {
            return (EventKey { message: Some(event.message.clone()), ..group }, event.message.clone());
        }
        (group, format!("(combined from similar events): {}", event.message))
    }

    fn allowed(&mut self, about: &Reference, now: Instant) -> bool {
        let about = Reference { field_path: String::new(), ..about.clone() };
        let (tokens, at) = remember_or(&mut self.allowance, about, || (BURST, now));
        *tokens = (*tokens + now.duration_since(*at).as_secs_f64() / REFILL.as_secs_f64()).min(BURST);
        *at = now;
        let allowed = *tokens >= 1.0;
        if allowed {
            *tokens -= 1.0;
        }
        allowed
    }
}

fn remember<K: Hash + Eq, V>(map: &mut IndexMap<K, V>, key: K, value: V) {
    map.insert(key, value);
    // The oldest half goes at once, so that the cost of shifting is spread.
    if map.len() > REMEMBERED {
        map.drain(..REMEMBERED / 2);
    }
}

fn remember_or<K: Hash + Eq + Clone, V>(map: &mut IndexMap<K, V>, key: K, new: impl FnOnce() -> V) -> &mut V {
    if !map.contains_key(&key) {
        remember(map, key.clone(), new());
    }
    map.entry(key).or_insert_with(|| unreachable!("it was just put there"))
}
