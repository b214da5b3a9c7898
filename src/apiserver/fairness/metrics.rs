//! `apiserver_flowcontrol_*`. What every request counts is looked up once per flow, not once per request.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::level::Level;
use super::shares::Demand;

/// Upstream's buckets for how long requests take and wait, in seconds.
const DURATIONS: [f64; 13] = [0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0];
const LENGTHS: [f64; 8] = [0.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0];
const SEATS: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 100.0];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct FlowLabels {
    priority_level: String,
    flow_schema: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RejectLabels {
    priority_level: String,
    flow_schema: String,
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct WaitLabels {
    priority_level: String,
    flow_schema: String,
    execute: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ExecutionLabels {
    priority_level: String,
    flow_schema: String,
    r#type: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct LevelLabels {
    priority_level: String,
}

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// All flows' metrics.
#[derive(Debug)]
pub(crate) struct Metrics {
    dispatched: Family<FlowLabels, Counter>,
    rejected: Family<RejectLabels, Counter>,
    in_queue: Family<FlowLabels, Gauge>,
    seats_in_queue: Family<FlowLabels, Gauge>,
    executing: Family<FlowLabels, Gauge>,
    seats_executing: Family<FlowLabels, Gauge>,
    queue_length: Histograms<FlowLabels>,
    waited: Histograms<WaitLabels>,
    executed: Histograms<ExecutionLabels>,
    estimated: Histograms<FlowLabels>,
    nominal: Family<LevelLabels, Gauge>,
    lower: Family<LevelLabels, Gauge>,
    upper: Family<LevelLabels, Gauge>,
    current: Family<LevelLabels, Gauge>,
    demand_highest: Family<LevelLabels, Gauge>,
    demand_smoothed: Family<LevelLabels, Gauge<f64, std::sync::atomic::AtomicU64>>,
    target: Family<LevelLabels, Gauge<f64, std::sync::atomic::AtomicU64>>,
    fair: Gauge<f64, std::sync::atomic::AtomicU64>,
}

/// The metrics of one flow.
#[derive(Clone, Debug)]
pub(super) struct FlowMetrics {
    pub dispatched: Counter,
    pub in_queue: Gauge,
    pub seats_in_queue: Gauge,
    pub executing: Gauge,
    pub seats_executing: Gauge,
    pub queue_length: Histogram,
    pub waited: Histogram,
    pub gave_up: Histogram,
    pub executed: Histogram,
    pub initialized: Histogram,
    pub estimated: Histogram,
}

fn durations() -> Histogram {
    Histogram::new(DURATIONS)
}

fn lengths() -> Histogram {
    Histogram::new(LENGTHS)
}

fn seats() -> Histogram {
    Histogram::new(SEATS)
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            dispatched: Family::default(),
            rejected: Family::default(),
            in_queue: Family::default(),
            seats_in_queue: Family::default(),
            executing: Family::default(),
            seats_executing: Family::default(),
            queue_length: Family::new_with_constructor(lengths as fn() -> Histogram),
            waited: Family::new_with_constructor(durations as fn() -> Histogram),
            executed: Family::new_with_constructor(durations as fn() -> Histogram),
            estimated: Family::new_with_constructor(seats as fn() -> Histogram),
            nominal: Family::default(),
            lower: Family::default(),
            upper: Family::default(),
            current: Family::default(),
            demand_highest: Family::default(),
            demand_smoothed: Family::default(),
            target: Family::default(),
            fair: Gauge::default(),
        }
    }
}

impl Metrics {
    /// Adds them to what `/metrics` shows.
    pub(crate) fn register(&self, to: &mut Registry) {
        let to = to.sub_registry_with_prefix("apiserver_flowcontrol");
        to.register(
            "dispatched_requests",
            "Number of requests executed by API Priority and Fairness subsystem",
            self.dispatched.clone(),
        );
        to.register(
            "rejected_requests",
            "Number of requests rejected by API Priority and Fairness subsystem",
            self.rejected.clone(),
        );
        to.register(
            "current_inqueue_requests",
            "Number of requests currently pending in queues",
            self.in_queue.clone(),
        );
        to.register(
            "current_inqueue_seats",
            "Number of seats currently pending in queues",
            self.seats_in_queue.clone(),
        );
        to.register(
            "current_executing_requests",
            "Number of requests in initial (for a WATCH) or any (for a non-WATCH) execution stage",
            self.executing.clone(),
        );
        to.register(
            "current_executing_seats",
            "Concurrency (number of seats) occupied by the currently executing requests",
            self.seats_executing.clone(),
        );
        to.register(
            "request_queue_length_after_enqueue",
            "Length of queue as seen by each request after it is enqueued",
            self.queue_length.clone(),
        );
        to.register(
            "request_wait_duration_seconds",
            "Length of time a request spent waiting in its queue",
            self.waited.clone(),
        );
        to.register("request_execution_seconds", "Duration of request execution", self.executed.clone());
        to.register("work_estimated_seats", "Number of estimated seats of requests", self.estimated.clone());
        to.register("nominal_limit_seats", "Nominal number of seats of each priority level", self.nominal.clone());
        to.register("lower_limit_seats", "Lower bound on seats of each priority level", self.lower.clone());
        to.register("upper_limit_seats", "Upper bound on seats of each priority level", self.upper.clone());
        to.register("current_limit_seats", "Seats available to each priority level now", self.current.clone());
        to.register(
            "demand_seats_high_watermark",
            "High watermark, over last adjustment period, of seats wanted",
            self.demand_highest.clone(),
        );
        to.register("demand_seats_smoothed", "Smoothed seat demands", self.demand_smoothed.clone());
        to.register("target_seats", "Seat allocation targets", self.target.clone());
        to.register("seat_fair_frac", "Fair fraction of server's concurrency to allocate", self.fair.clone());
    }

    /// The metrics of one flow schema in its level.
    pub(super) fn flow(&self, level: &str, schema: &str) -> FlowMetrics {
        let flow = FlowLabels { priority_level: level.into(), flow_schema: schema.into() };
        let waited = |execute| WaitLabels { priority_level: level.into(), flow_schema: schema.into(), execute };
        let executed = |r#type| ExecutionLabels { priority_level: level.into(), flow_schema: schema.into(), r#type };
        FlowMetrics {
            dispatched: of(&self.dispatched, &flow),
            in_queue: of(&self.in_queue, &flow),
            seats_in_queue: of(&self.seats_in_queue, &flow),
            executing: of(&self.executing, &flow),
            seats_executing: of(&self.seats_executing, &flow),
            queue_length: of(&self.queue_length, &flow),
            waited: of(&self.waited, &waited("true")),
            gave_up: of(&self.waited, &waited("false")),
            executed: of(&self.executed, &executed("regular")),
            initialized: of(&self.executed, &executed("watch")),
            estimated: of(&self.estimated, &flow),
        }
    }

    /// One refused request.
    pub(super) fn rejected(&self, level: &str, schema: &str, reason: &'static str) {
        let labels = RejectLabels { priority_level: level.into(), flow_schema: schema.into(), reason };
        self.rejected.get_or_create(&labels).inc();
    }

    /// What an adjustment found.
    pub(super) fn adjusted(&self, level: &str, demand: &Demand) {
        let labels = LevelLabels { priority_level: level.into() };
        self.demand_highest.get_or_create(&labels).set(demand.highest as i64);
        self.demand_smoothed.get_or_create(&labels).set(demand.smoothed);
        self.target.get_or_create(&labels).set(demand.target());
    }

    /// The fair fraction of the last adjustment.
    pub(super) fn fair(&self, fraction: f64) {
        self.fair.set(fraction);
    }

    /// Brings what levels know themselves up to date, before it is shown.
    pub(super) fn refresh<'a>(&self, levels: impl Iterator<Item = &'a Level>) {
        for family in [&self.nominal, &self.lower, &self.upper, &self.current] {
            family.clear();
        }
        for level in levels {
            let (numbers, labels) = (level.numbers(), LevelLabels { priority_level: level.name.to_string() });
            let set = |family: &Family<LevelLabels, Gauge>, value: u64| {
                family.get_or_create(&labels).set(i64::try_from(value).unwrap_or(i64::MAX));
            };
            set(&self.nominal, numbers.limits.nominal);
            set(&self.lower, numbers.limits.lower);
            set(&self.upper, numbers.limits.upper);
            set(&self.current, numbers.limit);
        }
    }
}

/// One metric of a family. The family is locked as long as the reference lives, so none may leave here.
fn of<L, M, C>(family: &Family<L, M, C>, labels: &L) -> M
where
    L: Clone + std::hash::Hash + Eq,
    M: Clone,
    C: prometheus_client::metrics::family::MetricConstructor<M>,
{
    family.get_or_create(labels).clone()
}
