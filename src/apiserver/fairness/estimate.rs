//! How much work a request is, in seats, before it is done.

use std::time::Duration;

use api::Operation;

use super::level::{Response, Work};
use crate::Registry;
use crate::authorization::Attributes;
use crate::http::query::Query;

/// So many objects of a list are one seat's work, as upstream counts.
const OBJECTS_PER_SEAT: usize = 100;
/// So many watchers of a change are one seat's work.
const WATCHERS_PER_SEAT: usize = 10;
/// How long those watchers keep a seat busy. Upstream encodes the change for each watcher and says 5 ms; here they share the
/// bytes.
const EVENT_TIME: Duration = Duration::from_micros(500);
/// No request takes more seats.
const SEATS_MAX: u64 = 10;

/// What a list or watch is asked to show.
#[derive(Clone, Copy)]
pub(crate) enum Asked<'a> {
    Query(&'a Query),
    Operation(&'a Operation),
}

/// At most so many seats of a level go to one request: a seventh of them, and no more than the hand of a flow can serve.
pub(super) fn widest(nominal: u64, response: Response) -> u64 {
    let Response::Queue(queuing) = response else { return SEATS_MAX };
    let part = nominal.saturating_mul(15).div_ceil(100).min(nominal / queuing.hand_size.max(1) as u64);
    part.clamp(1, SEATS_MAX)
}

/// What a request is going to cost.
pub(super) fn work(registry: &Registry, what: &Attributes<'_>, asked: Asked<'_>, widest: u64) -> Work {
    let one = Work { seats: 1, lingering: Duration::ZERO };
    if !what.is_resource {
        return one;
    }
    let cache = || {
        let row = registry.catalog().get(what.group, what.version, what.resource)?;
        row.stored.then(|| registry.cache(&row))
    };
    match what.verb {
        "list" | "watch" => {
            let shown = asked.shown(what);
            if what.verb == "watch" && !shown.sends_state || shown.single {
                return one;
            }
            let Some(objects) = cache().map(|cache| cache.len()) else { return one };
            let seen = if shown.limit > 0 && !shown.selected { objects.min(shown.limit) } else { objects };
            Work { seats: (seen.div_ceil(OBJECTS_PER_SEAT) as u64).clamp(1, widest), ..one }
        }
        "create" | "update" | "patch" | "delete" if what.subresource != "token" => {
            let watchers = cache().map_or(0, |cache| cache.watchers());
            if watchers < WATCHERS_PER_SEAT {
                return one;
            }
            // The same work, on fewer seats for longer where it would take too many.
            let wanted = watchers.div_ceil(WATCHERS_PER_SEAT) as u64;
            let seats = wanted.min(widest);
            Work { seats, lingering: EVENT_TIME.mul_f64(wanted as f64 / seats as f64) }
        }
        _ => one,
    }
}

/// What matters for the cost of a list.
#[derive(Debug, Default, PartialEq)]
struct Shown {
    limit: usize,
    selected: bool,
    /// One object at most.
    single: bool,
    /// For watches: whether it begins with the present state.
    sends_state: bool,
}

impl Asked<'_> {
    fn shown(self, what: &Attributes<'_>) -> Shown {
        let state = |initial: Option<bool>, version: &str| initial.unwrap_or(matches!(version, "" | "0"));
        let selects_one = |fields: &str| fields.split(',').any(|field| field.starts_with("metadata.name="));
        match self {
            Asked::Query(query) => {
                let text = |name| query.get(name).unwrap_or_default();
                let initial = query.text("sendInitialEvents").map(|_| query.flag("sendInitialEvents"));
                Shown {
                    limit: text("limit").parse().unwrap_or(0),
                    selected: !text("labelSelector").is_empty() || !text("fieldSelector").is_empty(),
                    single: !what.name.is_empty() || selects_one(text("fieldSelector")),
                    sends_state: state(initial, text("resourceVersion")),
                }
            }
            Asked::Operation(operation) => {
                let (list, initial) = match operation {
                    Operation::List(list) => (list, None),
                    Operation::Watch(watch) => (&watch.list, watch.initial_events),
                    _ => return Shown::default(),
                };
                Shown {
                    limit: list.limit,
                    selected: !list.label_selector.is_empty() || !list.field_selector.is_empty(),
                    single: !what.name.is_empty() || selects_one(&list.field_selector),
                    sends_state: state(initial, list.resource_version.as_deref().unwrap_or_default()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fairness::queues::Queuing;
    use crate::registry::tests::{config_map, server};

    fn check(registry: &Registry, verb: &str, query: &str, expect: (u64, u64)) {
        let what =
            Attributes { verb, version: "v1", resource: "configmaps", is_resource: true, ..Attributes::default() };
        let work = work(registry, &what, Asked::Query(&Query::parse(query)), SEATS_MAX);
        assert_eq!((work.seats, work.lingering.as_micros() as u64), expect, "{verb} {query}");
    }

    #[tokio::test]
    async fn lists_cost_by_what_they_show_and_writes_by_who_watches() {
        let server = server().await;
        let one = server.create("configmaps", config_map("x", "1")).await.unwrap();
        assert_eq!(one["metadata"]["name"], "x");
        for n in 0..400 {
            server.create("configmaps", config_map(&format!("c{n}"), "1")).await.unwrap();
        }
        server.registry.catch_up().await.unwrap();
        let registry = &*server.registry;
        check(registry, "get", "", (1, 0));
        check(registry, "list", "", (5, 0));
        check(registry, "list", "limit=150", (2, 0));
        check(registry, "list", "limit=150&labelSelector=a", (5, 0));
        check(registry, "list", "fieldSelector=metadata.name%3Dx", (1, 0));
        check(registry, "watch", "resourceVersion=5", (1, 0));
        check(registry, "watch", "resourceVersion=5&sendInitialEvents=true", (5, 0));
        check(registry, "watch", "resourceVersion=0", (5, 0));
        check(registry, "update", "", (1, 0));
        let row = server.row("configmaps");
        let watchers: Vec<_> = (0..25).map(|_| registry.cache(&row).subscribe()).collect();
        check(registry, "update", "", (3, 500));
        let more: Vec<_> = (0..175).map(|_| registry.cache(&row).subscribe()).collect();
        check(registry, "update", "", (10, 1000));
        drop((watchers, more));
        check(registry, "update", "", (1, 0));
    }

    #[test]
    fn no_request_takes_a_whole_level() {
        let queue = |hand_size| Response::Queue(Queuing { queues: 64, hand_size, length_limit: 50 });
        assert_eq!(widest(600, queue(6)), 10);
        assert_eq!(widest(25, queue(4)), 4);
        assert_eq!(widest(13, queue(8)), 1);
        assert_eq!(widest(13, Response::Reject), 10);
    }
}
