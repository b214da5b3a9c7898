//! API priority and fairness: room in the server, shared out by who asks for what.
//!
//! A request belongs to the first FlowSchema that matches it ([`rules`], [`flow`]) and so to a priority level, which has
//! seats ([`shares`]). It takes as many as its work is estimated at ([`estimate`]), at once where they are free and waiting
//! in a queue where they are not ([`level`], [`queues`]); who finds the queue full, or waits too long, is told to come back
//! later. Nothing is queued, spawned or locked for a request that finds its seats free.

mod dropped;
mod dump;
mod estimate;
mod flow;
mod level;
mod metrics;
mod queues;
mod rules;
mod shares;
mod shuffle;
pub(crate) mod upkeep;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use api::{Status, User};
use http::HeaderValue;
use tokio::time::Instant;

use crate::Registry;
use crate::authorization::Attributes;
use crate::chain::Asking;

pub(crate) use dump::PREFIX as DEBUG_PREFIX;
pub(crate) use estimate::Asked;
pub(crate) use flow::{Flow, Flows};
pub(crate) use metrics::Metrics;
pub(crate) use shuffle::{HASH_BITS, entropy_bits};

use level::{Refusal, Seats, Told};

/// A request waits for its seats at most this part of the time it has, and a minute at most, as upstream.
const WAIT_PART: u32 = 4;
const WAIT_MAX: Duration = Duration::from_secs(60);

/// How many requests are carried out at once: the sum is what priority levels share. The defaults are upstream's.
#[derive(Clone, Copy, Debug)]
pub struct InFlight {
    /// Reads.
    pub reads: usize,
    /// Writes.
    pub writes: usize,
}

impl Default for InFlight {
    fn default() -> Self {
        Self { reads: 400, writes: 200 }
    }
}

/// The room, and who has it.
pub(crate) struct Fairness {
    flows: Flows,
    metrics: Arc<Metrics>,
    reads: Arc<AtomicUsize>,
    writes: Arc<AtomicUsize>,
}

/// A place in the server; given back when dropped. Long-running requests need none, except watches until they have begun.
#[must_use]
#[derive(Default)]
pub(crate) struct Permit {
    _taken: Option<Taken>,
}

struct Taken {
    flow: Arc<Flow>,
    _seats: Seats,
    seats: u64,
    began: Instant,
    watch: bool,
    counter: Arc<AtomicUsize>,
}

impl Drop for Taken {
    fn drop(&mut self) {
        let metrics = &self.flow.metrics;
        metrics.executing.dec();
        metrics.seats_executing.dec_by(self.seats as i64);
        let executed = if self.watch { &metrics.initialized } else { &metrics.executed };
        executed.observe(self.began.elapsed().as_secs_f64());
        self.counter.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What answers tell of the flow of a request: the uids of its schema and level.
#[derive(Clone, Debug)]
pub(crate) struct FlowHeaders {
    pub(crate) schema: HeaderValue,
    pub(crate) level: HeaderValue,
}

impl Fairness {
    pub(crate) fn new(flows: Flows, metrics: Arc<Metrics>) -> Self {
        Self { flows, metrics, reads: Arc::default(), writes: Arc::default() }
    }

    /// Finds a place, now or within a part of the time it has, or refuses. `told` gets the flow in either case.
    pub(crate) async fn admit(
        &self,
        registry: &Registry,
        user: &User,
        Asking { what, asked, time, .. }: Asking<'_>,
        told: &mut Option<FlowHeaders>,
    ) -> Result<Permit, Status> {
        let watch = what.is_resource && what.verb == "watch";
        if is_long_running(what) && !watch {
            return Ok(Permit::default());
        }
        let Some(flow) = self.flows.classify(user, what) else { return Ok(Permit::default()) };
        *told = Some(FlowHeaders { schema: flow.schema_uid.clone(), level: flow.level_uid.clone() });
        let mut work = estimate::work(registry, what, asked, flow.widest);
        if flow.exempt {
            work.lingering = Duration::ZERO;
        }
        flow.metrics.estimated.observe(work.seats as f64);
        let seats = match flow.level.try_seats(work, flow.exempt) {
            Some(seats) => seats,
            None => Box::pin(self.wait(&flow, user, what, work, time)).await?,
        };
        Ok(self.placed(flow, seats, work.seats, what, watch))
    }

    fn placed(&self, flow: Arc<Flow>, seats: Seats, count: u64, what: &Attributes<'_>, watch: bool) -> Permit {
        flow.metrics.dispatched.inc();
        flow.metrics.executing.inc();
        flow.metrics.seats_executing.inc_by(count as i64);
        let reads = matches!(what.verb, "get" | "list" | "watch" | "head");
        let counter = if reads { &self.reads } else { &self.writes }.clone();
        counter.fetch_add(1, Ordering::Relaxed);
        let taken = Taken { flow, _seats: seats, seats: count, began: Instant::now(), watch, counter };
        Permit { _taken: Some(taken) }
    }

    async fn wait(
        &self,
        flow: &Arc<Flow>,
        user: &User,
        what: &Attributes<'_>,
        work: level::Work,
        time: Duration,
    ) -> Result<Seats, Status> {
        let began = Instant::now();
        let distinguisher = flow.distinguisher(user, what);
        let queued = InQueue::default();
        let outcome = flow
            .level
            .seats(
                work,
                flow.hash(distinguisher),
                began + (time / WAIT_PART).min(WAIT_MAX),
                || tell(flow, user, what, distinguisher, work),
                |length| queued.enter(flow, work.seats, length),
            )
            .await;
        drop(queued);
        let waited = if outcome.is_ok() { &flow.metrics.waited } else { &flow.metrics.gave_up };
        waited.observe(began.elapsed().as_secs_f64());
        outcome.map_err(|refusal| self.refuse(flow, refusal))
    }

    fn refuse(&self, flow: &Flow, refusal: Refusal) -> Status {
        let reason = refusal.reason();
        self.metrics.rejected(&flow.level.name, &flow.schema, reason);
        tracing::debug!(level = &*flow.level.name, schema = &*flow.schema, reason, "a request was turned away");
        Status::too_many_requests("Too many requests, please try again later.", flow.level.dropped.retry_after())
    }

    /// How many reads and writes are under way, and metrics brought up to date.
    pub(crate) fn in_flight(&self) -> InFlight {
        self.metrics.refresh(self.flows.now().levels.values().map(|entry| &*entry.level));
        InFlight { reads: self.reads.load(Ordering::Relaxed), writes: self.writes.load(Ordering::Relaxed) }
    }
}

fn tell(flow: &Flow, user: &User, what: &Attributes<'_>, distinguisher: &str, work: level::Work) -> Told {
    let version =
        if what.group.is_empty() { what.version.to_owned() } else { format!("{}/{}", what.group, what.version) };
    let words =
        [&*user.name, what.verb, what.path, what.namespace, what.name, &version, what.resource, what.subresource];
    Told {
        schema: flow.schema.clone(),
        distinguisher: distinguisher.to_owned(),
        arrived: jiff::Timestamp::now(),
        lingering: work.lingering,
        details: words.map(str::to_owned),
    }
}

/// Counts a request among those that wait, until it is dropped.
#[derive(Default)]
struct InQueue(std::sync::OnceLock<(Arc<Flow>, u64)>);

impl InQueue {
    fn enter(&self, flow: &Arc<Flow>, seats: u64, length: usize) {
        flow.metrics.queue_length.observe(length as f64);
        flow.metrics.in_queue.inc();
        flow.metrics.seats_in_queue.inc_by(seats as i64);
        // Entered once.
        let _ = self.0.set((flow.clone(), seats));
    }
}

impl Drop for InQueue {
    fn drop(&mut self) {
        if let Some((flow, seats)) = self.0.get() {
            flow.metrics.in_queue.dec();
            flow.metrics.seats_in_queue.dec_by(*seats as i64);
        }
    }
}

/// Whether a request lasts as long as its client likes: no timeout and no place counted.
pub(crate) fn is_long_running(what: &Attributes<'_>) -> bool {
    what.is_resource
        && (matches!(what.verb, "watch" | "proxy")
            || matches!(what.subresource, "attach" | "exec" | "log" | "portforward" | "proxy"))
}

#[cfg(test)]
mod tests;
