//! The configuration, compiled: flow schemas in the order they are asked, each with its level.
//!
//! It is compiled again when the first request comes after a change. Levels live on through that, with whoever sits and
//! waits in them.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{Object, User};
use arc_swap::ArcSwap;
use http::HeaderValue;
use parking_lot::Mutex;
use serde::Deserialize;
use watch_cache::Cache;

use super::level::{Level, Response};
use super::metrics::{FlowMetrics, Metrics};
use super::queues::Queuing;
use super::rules::{Distinguisher, Spec};
use super::shares::{Demand, Limits, Shares, adjust};
use super::{estimate, shuffle};
use crate::authorization::Attributes;

/// Follows the FlowSchemas and PriorityLevelConfigurations.
pub(crate) struct Flows {
    schemas: Arc<Cache>,
    levels: Arc<Cache>,
    /// Seats of the whole server.
    total: u64,
    metrics: Arc<Metrics>,
    compiled: ArcSwap<Compiled>,
    /// Held while compiling and adjusting.
    changing: Mutex<()>,
}

#[derive(Default)]
pub(super) struct Compiled {
    /// Revisions of the two caches that this was made from.
    of: (u64, u64),
    flows: Vec<(Spec, Arc<Flow>)>,
    pub(super) levels: BTreeMap<Arc<str>, Entry>,
}

/// A level and what its object says.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) level: Arc<Level>,
    spec: LevelSpec,
    /// Its object is gone, and it is kept for those who are still in it.
    pub(super) quiescing: bool,
}

/// A flow schema and its level, as requests need them.
pub(crate) struct Flow {
    pub(super) schema: Arc<str>,
    pub(super) level: Arc<Level>,
    pub(super) exempt: bool,
    queues: bool,
    distinguisher: Option<Distinguisher>,
    /// At most so many seats for one request.
    pub(super) widest: u64,
    pub(super) metrics: FlowMetrics,
    pub(super) schema_uid: HeaderValue,
    pub(super) level_uid: HeaderValue,
}

#[derive(Clone, Copy, PartialEq)]
struct LevelSpec {
    response: Response,
    shares: Shares,
}

#[derive(Deserialize)]
struct FlowSchema {
    spec: Spec,
}

#[derive(Deserialize)]
struct PriorityLevel {
    spec: PriorityLevelSpec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PriorityLevelSpec {
    #[serde(rename = "type")]
    kind: String,
    limited: Option<LimitedSpec>,
    exempt: Option<LimitedSpec>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct LimitedSpec {
    nominal_concurrency_shares: u32,
    lendable_percent: u32,
    borrowing_limit_percent: Option<u32>,
    limit_response: LimitResponse,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct LimitResponse {
    queuing: Option<QueuingSpec>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct QueuingSpec {
    queues: usize,
    hand_size: usize,
    queue_length_limit: usize,
}

impl Flows {
    pub(crate) fn new(schemas: Arc<Cache>, levels: Arc<Cache>, total: u64, metrics: Arc<Metrics>) -> Self {
        Self { schemas, levels, total, metrics, compiled: ArcSwap::default(), changing: Mutex::default() }
    }

    /// The flow of a request: the first schema that matches; the last of all where none does. `None` only before the objects
    /// every cluster has were made.
    pub(super) fn classify(&self, user: &User, what: &Attributes<'_>) -> Option<Arc<Flow>> {
        let compiled = self.now();
        let matching = |(spec, _): &&(Spec, Arc<Flow>)| spec.matches(user, what);
        compiled.flows.iter().find(matching).or(compiled.flows.last()).map(|(_, flow)| flow.clone())
    }

    /// The configuration as it is now.
    pub(super) fn now(&self) -> arc_swap::Guard<Arc<Compiled>> {
        let compiled = self.compiled.load();
        if compiled.of == self.revisions() {
            return compiled;
        }
        let _changing = self.changing.lock();
        let of = self.revisions();
        if self.compiled.load().of != of {
            self.compiled.store(Arc::new(self.compile(of)));
        }
        self.compiled.load()
    }

    /// Which schemas name a level that does not exist, and the level each names.
    pub(super) fn references(&self) -> Vec<(Arc<Object>, String, bool)> {
        let judge = |object: Arc<Object>| {
            let level = object.view::<FlowSchema>().ok()?.spec.level().to_owned();
            let dangling = self.levels.get("", &level).is_none();
            Some((object, level, dangling))
        };
        self.schemas.list("").into_iter().filter_map(judge).collect()
    }

    /// Gives seats from levels that do not need them to levels that do.
    pub(super) fn rebalance(&self) {
        let compiled = self.now();
        let _changing = self.changing.lock();
        let demand = |entry: &Entry| {
            let (limits, highest, smoothed) = entry.level.take_demand();
            Demand { limits, exempt: entry.spec.response == Response::Exempt, highest, smoothed }
        };
        let demands: Vec<Demand> = compiled.levels.values().map(demand).collect();
        let (seats, fair) = adjust(&demands);
        for ((entry, demand), seats) in compiled.levels.values().zip(&demands).zip(seats) {
            entry.level.set_limit(seats);
            self.metrics.adjusted(&entry.level.name, demand);
        }
        self.metrics.fair(fair);
        let gone = |entry: &Entry| entry.quiescing && entry.level.is_idle();
        if compiled.levels.values().any(gone) {
            // The next request compiles without them.
            self.compiled.store(Arc::new(Compiled { of: (0, 0), flows: Vec::new(), levels: compiled.levels.clone() }));
        }
    }

    fn revisions(&self) -> (u64, u64) {
        (self.schemas.revision(), self.levels.revision())
    }

    fn compile(&self, of: (u64, u64)) -> Compiled {
        let before = self.compiled.load();
        let levels = self.compile_levels(&before.levels);
        let mut flows = Vec::new();
        for object in self.schemas.list("") {
            let Ok(FlowSchema { spec }) = object.view::<FlowSchema>() else { continue };
            let Some(entry) = levels.get(spec.level()).filter(|entry| !entry.quiescing) else { continue };
            let level_uid = self.levels.get("", spec.level()).map(|level| level.meta.uid.to_string());
            let uid = |uid: &str| HeaderValue::from_str(uid).unwrap_or(HeaderValue::from_static(""));
            let queues = match entry.spec.response {
                Response::Queue(queuing) => queuing.queues > 1,
                _ => false,
            };
            let flow = Flow {
                schema: (*object.meta.name).into(),
                level: entry.level.clone(),
                exempt: entry.spec.response == Response::Exempt,
                queues,
                distinguisher: spec.distinguisher(),
                widest: estimate::widest(entry.level.numbers().limits.nominal, entry.spec.response),
                metrics: self.metrics.flow(&entry.level.name, &object.meta.name),
                schema_uid: uid(&object.meta.uid),
                level_uid: uid(&level_uid.unwrap_or_default()),
            };
            flows.push((spec, Arc::new(flow)));
        }
        flows.sort_by(|(a, left), (b, right)| {
            a.precedence().cmp(&b.precedence()).then_with(|| left.schema.cmp(&right.schema))
        });
        Compiled { of, flows, levels }
    }

    fn compile_levels(&self, before: &BTreeMap<Arc<str>, Entry>) -> BTreeMap<Arc<str>, Entry> {
        let mut specs: Vec<(Arc<str>, LevelSpec, bool)> = Vec::new();
        for object in self.levels.list("") {
            match object.view::<PriorityLevel>() {
                Ok(level) => specs.push(((*object.meta.name).into(), level.spec.read(), false)),
                Err(error) => tracing::warn!(level = &*object.meta.name, %error, "a priority level cannot be read"),
            }
        }
        for (name, entry) in before {
            if !entry.level.is_idle() && !specs.iter().any(|(other, ..)| other == name) {
                specs.push((name.clone(), entry.spec, true));
            }
        }
        let shares: Vec<Shares> = specs.iter().map(|(_, spec, _)| spec.shares).collect();
        let limits = Limits::of(self.total, &shares);
        let level = |(name, spec, quiescing): (Arc<str>, LevelSpec, bool), limits: Limits| {
            let level = match before.get(&name) {
                Some(entry) => {
                    entry.level.configure(spec.response, limits);
                    entry.level.clone()
                }
                None => Level::new(&name, spec.response, limits),
            };
            (name, Entry { level, spec, quiescing })
        };
        specs.into_iter().zip(limits).map(|(spec, limits)| level(spec, limits)).collect()
    }
}

impl Flow {
    /// Whose request it is among those of the flow schema: nobody is told apart where there is one queue or none.
    pub(super) fn distinguisher<'a>(&self, user: &'a User, what: &Attributes<'a>) -> &'a str {
        match self.distinguisher.filter(|_| self.queues) {
            Some(Distinguisher::ByUser) => &user.name,
            Some(Distinguisher::ByNamespace) => what.namespace,
            None => "",
        }
    }

    /// What the flow's queues are dealt by.
    pub(super) fn hash(&self, distinguisher: &str) -> u64 {
        if self.queues { shuffle::hash(&self.schema, distinguisher) } else { 0 }
    }
}

impl PriorityLevelSpec {
    fn read(self) -> LevelSpec {
        let exempt = self.kind == "Exempt";
        let limited = if exempt { self.exempt } else { self.limited }.unwrap_or_default();
        let queuing = limited.limit_response.queuing.map(|queuing| Queuing {
            queues: queuing.queues,
            hand_size: queuing.hand_size.min(queuing.queues),
            length_limit: queuing.queue_length_limit,
        });
        let response = match queuing {
            _ if exempt => Response::Exempt,
            Some(queuing) => Response::Queue(queuing),
            None => Response::Reject,
        };
        let shares = Shares {
            nominal: limited.nominal_concurrency_shares,
            lendable_percent: limited.lendable_percent,
            borrowing_percent: limited.borrowing_limit_percent,
        };
        LevelSpec { response, shares }
    }
}
