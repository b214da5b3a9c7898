//! One priority level at work: its seats, who sits, who waits.
//!
//! As long as there are seats and nobody waits, a request takes its seats with one compare-and-swap and gives them back
//! with one subtraction. Only behind that comes a lock, and the queues.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::dropped::Dropped;
use super::queues::{Queues, Queuing};
use super::shares::Limits;

/// What happens to requests that find no seat, and to all of an exempt level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Response {
    /// Nobody is ever without a seat.
    Exempt,
    /// They are refused.
    Reject,
    /// They wait.
    Queue(Queuing),
}

/// What a request asks of its level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Work {
    /// Seats, at least one.
    pub seats: u64,
    /// How long the seats stay taken after the answer: what the change does to watchers.
    pub lingering: Duration,
}

/// Why a request got no seat, in the words of the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    QueueFull,
    NoSeat,
    TimedOut,
}

impl Refusal {
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::QueueFull => "queue-full",
            Self::NoSeat => "concurrency-limit",
            Self::TimedOut => "time-out",
        }
    }
}

/// What dumps show of a request that waits.
#[derive(Debug)]
pub(super) struct Told {
    pub schema: Arc<str>,
    pub distinguisher: String,
    pub arrived: jiff::Timestamp,
    pub lingering: Duration,
    /// User, verb, path, namespace, name, group and version, resource, subresource.
    pub details: [String; 8],
}

/// How a waiting request is woken: the message is the queue it was dispatched from.
#[derive(Debug)]
pub(super) struct Waiter {
    wake: oneshot::Sender<usize>,
    pub(super) told: Told,
}

/// A priority level. It outlives its object as long as requests sit or wait in it.
#[derive(Debug)]
pub(super) struct Level {
    pub(super) name: Arc<str>,
    /// Seats there are.
    limit: AtomicU64,
    /// Seats taken, those of requests that linger included.
    taken: AtomicU64,
    /// Requests that sit.
    executing: AtomicUsize,
    /// Requests that wait. Raised before a waiter looks for a seat once more, and read after a seat is given back: one of
    /// the two sees the other.
    waiting: AtomicUsize,
    /// The most seats wanted at once since the last adjustment.
    highest: AtomicU64,
    waited_for: AtomicU64,
    dispatched: AtomicU64,
    refused: AtomicU64,
    timed_out: AtomicU64,
    cancelled: AtomicU64,
    sweeping: AtomicBool,
    began: Instant,
    state: Mutex<State>,
    pub(super) dropped: Dropped,
}

#[derive(Debug)]
struct State {
    response: Response,
    limits: Limits,
    smoothed: f64,
    queues: Option<Queues<Waiter>>,
    /// When seats that linger come free, and how many.
    lingering: BinaryHeap<Reverse<(Instant, u64)>>,
    next_id: u64,
}

/// What the numbers of a level are at a moment, for metrics and dumps.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Numbers {
    pub limits: Limits,
    pub limit: u64,
    pub waiting: usize,
    pub executing: usize,
    pub dispatched: u64,
    pub refused: u64,
    pub timed_out: u64,
    pub cancelled: u64,
}

/// Seats in a level, given back when dropped.
#[derive(Debug)]
#[must_use]
pub(super) struct Seats {
    level: Arc<Level>,
    work: Work,
    /// The queue it came from, if it waited.
    queue: Option<usize>,
    began: Option<Instant>,
}

impl Level {
    pub(super) fn new(name: &str, response: Response, limits: Limits) -> Arc<Self> {
        let state = State { response, limits, smoothed: 0.0, queues: None, lingering: BinaryHeap::new(), next_id: 0 };
        let level = Self {
            name: name.into(),
            limit: AtomicU64::new(limits.initial()),
            taken: AtomicU64::new(0),
            executing: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            highest: AtomicU64::new(0),
            waited_for: AtomicU64::new(0),
            dispatched: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            timed_out: AtomicU64::new(0),
            cancelled: AtomicU64::new(0),
            sweeping: AtomicBool::new(false),
            began: Instant::now(),
            state: Mutex::new(state),
            dropped: Dropped::default(),
        };
        level.configure(response, limits);
        Arc::new(level)
    }

    /// Takes over a change of the object.
    pub(super) fn configure(&self, response: Response, limits: Limits) {
        let mut state = self.state.lock();
        if state.limits != limits {
            state.limits = limits;
            self.limit.store(limits.initial(), Ordering::SeqCst);
        }
        state.response = response;
        match (response, &mut state.queues) {
            (Response::Queue(queuing), Some(queues)) => queues.configure(queuing),
            (Response::Queue(queuing), none) => *none = Some(Queues::new(queuing)),
            // Requests that wait may come to their end.
            (_, Some(queues)) if queues.waiting() > 0 => {}
            (_, some) => *some = None,
        }
        self.dispatch(&mut state);
    }

    /// The level takes no place of its own any more: whoever still waits shares what is left.
    pub(super) fn is_idle(&self) -> bool {
        self.executing.load(Ordering::SeqCst) == 0 && self.waiting.load(Ordering::SeqCst) == 0
    }

    /// Sets how many seats there are, and serves whoever waited for them.
    pub(super) fn set_limit(&self, limit: u64) {
        self.limit.store(limit, Ordering::SeqCst);
        self.dispatch(&mut self.state.lock());
    }

    /// The limits, the highest demand since the last call, and what it comes to with the past.
    pub(super) fn take_demand(&self) -> (Limits, u64, f64) {
        let mut state = self.state.lock();
        self.sweep(&mut state);
        let now = self.taken.load(Ordering::SeqCst) + self.waited_for.load(Ordering::SeqCst);
        let highest = self.highest.swap(now, Ordering::SeqCst).max(now);
        // Upstream's half-life of demand: five minutes of adjustments every ten seconds.
        state.smoothed = (highest as f64).max(0.977 * state.smoothed + 0.023 * highest as f64);
        (state.limits, highest, state.smoothed)
    }

    /// Seats at once, or `None`.
    pub(super) fn try_seats(self: &Arc<Self>, work: Work, exempt: bool) -> Option<Seats> {
        let free = exempt || self.waiting.load(Ordering::SeqCst) == 0;
        (free && self.take(work.seats, exempt)).then(|| self.seated(work, None))
    }

    /// Seats, waited for until `deadline`. `told` is asked for only if it has to wait, and `hash` is that of the flow;
    /// `queued` is told how long the queue is with this request in it.
    pub(super) async fn seats(
        self: &Arc<Self>,
        work: Work,
        hash: u64,
        deadline: Instant,
        told: impl FnOnce() -> Told,
        queued: impl FnOnce(usize),
    ) -> Result<Seats, Refusal> {
        let (wake, mut woken) = oneshot::channel();
        let mut place = {
            let mut state = self.state.lock();
            self.sweep(&mut state);
            let now = self.now();
            let id = state.next_id;
            state.next_id += 1;
            let limit = self.limit.load(Ordering::SeqCst);
            let full = self.taken.load(Ordering::SeqCst) >= limit;
            let Some(queues) = state.queues.as_mut() else {
                // Without seats one at a time is let in all the same, as upstream: it takes queues to make a jail.
                let alone = limit == 0 && self.executing.load(Ordering::SeqCst) == 0;
                if self.take(work.seats, alone) {
                    return Ok(self.seated(work, None));
                }
                self.refused.fetch_add(1, Ordering::Relaxed);
                return Err(Refusal::NoSeat);
            };
            queues.advance(now, limit);
            let extra = work.seats as f64 * work.lingering.as_secs_f64();
            let Ok(length) = queues.enqueue(hash, full, id, work.seats, extra, Waiter { wake, told: told() }) else {
                self.refused.fetch_add(1, Ordering::Relaxed);
                return Err(Refusal::QueueFull);
            };
            self.waiting.fetch_add(1, Ordering::SeqCst);
            let wanted = self.waited_for.fetch_add(work.seats, Ordering::SeqCst) + work.seats;
            self.highest.fetch_max(self.taken.load(Ordering::SeqCst) + wanted, Ordering::Relaxed);
            queued(length);
            self.dispatch(&mut state);
            self.keep_sweeping(&state);
            Place { level: self, id, work, woken: &mut woken, settled: false }
        };
        match tokio::time::timeout_at(deadline, &mut *place.woken).await {
            Ok(Ok(queue)) => {
                place.settled = true;
                Ok(self.seated(work, Some(queue)))
            }
            _ => match place.leave() {
                Some(queue) => Ok(self.seated(work, Some(queue))),
                None => {
                    self.refused.fetch_add(1, Ordering::Relaxed);
                    self.timed_out.fetch_add(1, Ordering::Relaxed);
                    Err(Refusal::TimedOut)
                }
            },
        }
    }

    /// The numbers as they are now.
    pub(super) fn numbers(&self) -> Numbers {
        let state = self.state.lock();
        Numbers {
            limits: state.limits,
            limit: self.limit.load(Ordering::Relaxed),
            waiting: self.waiting.load(Ordering::Relaxed),
            executing: self.executing.load(Ordering::Relaxed),
            dispatched: self.dispatched.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            timed_out: self.timed_out.load(Ordering::Relaxed),
            cancelled: self.cancelled.load(Ordering::Relaxed),
        }
    }

    /// Shows the queues to `look`; not at all where there are none.
    pub(super) fn with_queues(&self, look: impl FnOnce(&Queues<Waiter>)) {
        if let Some(queues) = &self.state.lock().queues {
            look(queues);
        }
    }

    /// Takes seats if there are some. A request wider than the level gets it to itself.
    fn take(&self, seats: u64, exempt: bool) -> bool {
        let limit = self.limit.load(Ordering::SeqCst);
        let fits = |taken: u64| (limit > 0 && (taken == 0 || taken + seats <= limit)) || exempt;
        let taken =
            self.taken.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |taken| fits(taken).then_some(taken + seats));
        if let Ok(before) = taken {
            self.highest.fetch_max(before + seats, Ordering::Relaxed);
        }
        taken.is_ok()
    }

    fn seated(self: &Arc<Self>, work: Work, queue: Option<usize>) -> Seats {
        self.executing.fetch_add(1, Ordering::SeqCst);
        self.dispatched.fetch_add(1, Ordering::Relaxed);
        Seats { level: self.clone(), work, queue, began: queue.map(|_| Instant::now()) }
    }

    /// Serves whoever waits, as far as there are seats.
    fn dispatch(&self, state: &mut State) {
        let limit = self.limit.load(Ordering::SeqCst);
        let now = self.now();
        let Some(queues) = state.queues.as_mut().filter(|queues| queues.waiting() > 0) else { return };
        queues.advance(now, limit);
        while let Some((at, request)) = queues.next(|seats| self.take(seats, false)) {
            self.waiting.fetch_sub(1, Ordering::SeqCst);
            self.waited_for.fetch_sub(request.seats, Ordering::SeqCst);
            if request.what.wake.send(at).is_err() {
                // Its client went away a moment ago, and has nothing to give back.
                self.taken.fetch_sub(request.seats, Ordering::SeqCst);
                queues.finished(at, request.seats, 0.0);
            }
        }
    }

    /// Takes back the seats whose time is over.
    fn sweep(&self, state: &mut State) {
        let now = Instant::now();
        while let Some(Reverse((until, seats))) = state.lingering.peek().copied().filter(|last| last.0.0 <= now) {
            state.lingering.pop();
            self.taken.fetch_sub(seats, Ordering::SeqCst);
            debug_assert!(until <= now);
        }
    }

    /// Sees to it that requests which wait get the seats that linger now: one task, as long as there are both.
    fn keep_sweeping(self: &Arc<Self>, state: &State) {
        if state.lingering.is_empty() || self.waiting.load(Ordering::SeqCst) == 0 {
            return;
        }
        if self.sweeping.swap(true, Ordering::SeqCst) {
            return;
        }
        let level = self.clone();
        tokio::spawn(async move {
            loop {
                let next = {
                    let mut state = level.state.lock();
                    level.sweep(&mut state);
                    level.dispatch(&mut state);
                    let next = state.lingering.peek().map(|last| last.0.0);
                    match next.filter(|_| level.waiting.load(Ordering::SeqCst) > 0) {
                        Some(next) => next,
                        None => {
                            level.sweeping.store(false, Ordering::SeqCst);
                            return;
                        }
                    }
                };
                tokio::time::sleep_until(next).await;
            }
        });
    }

    fn now(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }
}

impl Drop for Seats {
    fn drop(&mut self) {
        let level = &self.level;
        level.executing.fetch_sub(1, Ordering::SeqCst);
        let lingers = !self.work.lingering.is_zero();
        if !lingers {
            level.taken.fetch_sub(self.work.seats, Ordering::SeqCst);
        }
        if !lingers && self.queue.is_none() && level.waiting.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut state = level.state.lock();
        if lingers {
            level.sweep(&mut state);
            state.lingering.push(Reverse((Instant::now() + self.work.lingering, self.work.seats)));
        }
        let (now, limit) = (level.now(), level.limit.load(Ordering::SeqCst));
        if let (Some(at), Some(queues)) = (self.queue, state.queues.as_mut()) {
            queues.advance(now, limit);
            let took = self.began.map_or(0.0, |began| began.elapsed().as_secs_f64());
            queues.finished(at, self.work.seats, took);
        }
        level.dispatch(&mut state);
        level.keep_sweeping(&state);
    }
}

/// A place in a queue. Dropped before it is settled, because its client went away, it is left.
struct Place<'a> {
    level: &'a Arc<Level>,
    id: u64,
    work: Work,
    woken: &'a mut oneshot::Receiver<usize>,
    settled: bool,
}

impl Place<'_> {
    /// Leaves the queue; `Some` when it was dispatched in the meantime, and from which queue.
    fn leave(&mut self) -> Option<usize> {
        self.settled = true;
        let mut state = self.level.state.lock();
        let gone = state.queues.as_mut().and_then(|queues| queues.remove(self.id));
        if gone.is_some() {
            self.level.waiting.fetch_sub(1, Ordering::SeqCst);
            self.level.waited_for.fetch_sub(self.work.seats, Ordering::SeqCst);
            // It may have kept others from their turn.
            self.level.dispatch(&mut state);
            return None;
        }
        drop(state);
        self.woken.try_recv().ok()
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        self.level.cancelled.fetch_add(1, Ordering::Relaxed);
        if let Some(queue) = self.leave() {
            drop(self.level.seated(self.work, Some(queue)));
        }
    }
}

#[cfg(test)]
mod tests;
