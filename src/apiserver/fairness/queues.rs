//! Fair queuing of one priority level, as data: who waits where, and who is next.
//!
//! Time runs in seat-seconds per queue ("virtual time"), at the rate at which each of the queues that want seats would get
//! them if all were served at once. The queue whose oldest request would be done first by that clock is served first; that
//! is upstream's algorithm. Requests that find room without waiting never come here: while there is room for all, there is
//! nothing to be fair about.

use std::collections::VecDeque;

use super::shuffle;

/// What a request is taken to last until it is known, in seconds. Upstream's guess.
const SERVICE_TIME: f64 = 0.003;

/// How a level queues: the fields of its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Queuing {
    pub queues: usize,
    pub hand_size: usize,
    pub length_limit: usize,
}

/// One request that waits.
#[derive(Debug)]
pub(super) struct Waiting<T> {
    /// Tells it apart from all others of the level.
    pub id: u64,
    /// Seats it takes.
    pub seats: u64,
    /// Seat-seconds it is taken to cost.
    pub work: f64,
    arrival: f64,
    /// How to wake it, and what is told of it.
    pub what: T,
}

#[derive(Debug)]
struct Queue<T> {
    waiting: VecDeque<Waiting<T>>,
    /// The virtual time at which the next request is dispatched.
    next: f64,
    executing: usize,
    seats: u64,
}

/// The queues of one level.
#[derive(Debug)]
pub(super) struct Queues<T> {
    queues: Vec<Queue<T>>,
    config: Queuing,
    /// The virtual time, and the real one that belongs to it, in seconds.
    now: f64,
    at: f64,
    robin: usize,
    enqueued: usize,
    waiting: usize,
}

/// A queue as a person sees it.
#[derive(Debug)]
pub(super) struct QueueDump<'a, T> {
    pub waiting: &'a VecDeque<Waiting<T>>,
    pub executing: usize,
    pub seats: u64,
    pub next: f64,
}

impl<T> Queues<T> {
    pub(super) fn new(config: Queuing) -> Self {
        let mut new = Self { queues: Vec::new(), config, now: 0.0, at: 0.0, robin: 0, enqueued: 0, waiting: 0 };
        new.configure(config);
        new
    }

    /// Takes another configuration. Queues that are too many go when the last request has left them.
    pub(super) fn configure(&mut self, config: Queuing) {
        self.config = config;
        while self.queues.len() < config.queues {
            self.queues.push(Queue { waiting: VecDeque::new(), next: 0.0, executing: 0, seats: 0 });
        }
        self.shrink();
    }

    fn shrink(&mut self) {
        while self.queues.len() > self.config.queues
            && self.queues.last().is_some_and(|queue| queue.waiting.is_empty() && queue.executing == 0)
        {
            self.queues.pop();
        }
    }

    /// How many requests wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Moves the virtual clock to `time` (seconds on any steady clock), `limit` being the seats there are.
    pub(super) fn advance(&mut self, time: f64, limit: u64) {
        let (mut active, mut wanted) = (0_u32, 0);
        for queue in &self.queues {
            if !queue.waiting.is_empty() || queue.executing > 0 {
                active += 1;
                wanted += queue.seats + queue.waiting.iter().map(|request| request.seats).sum::<u64>();
            }
        }
        let passed = (time - self.at).max(0.0);
        self.at = time;
        if active == 0 {
            // Nobody remembers anything: the clock starts again, and stays exact however long the server runs.
            self.now = 0.0;
            self.queues.iter_mut().for_each(|queue| queue.next = 0.0);
        } else {
            self.now += passed * wanted.min(limit) as f64 / f64::from(active);
        }
    }

    /// Puts a request into the queue of its hand that has the least work; `Err` when that is full. `full` says whether all
    /// seats are taken.
    pub(super) fn enqueue(
        &mut self,
        hash: u64,
        full: bool,
        id: u64,
        seats: u64,
        extra_work: f64,
        what: T,
    ) -> Result<usize, T> {
        let hand = shuffle::deal(hash, self.config.queues.max(1), self.config.hand_size.max(1));
        let first = self.enqueued % hand.len();
        self.enqueued = self.enqueued.wrapping_add(1);
        let work_of = |at: usize| self.queues[at].waiting.iter().map(|request| request.work).sum::<f64>();
        let in_turn = (0..hand.len()).map(|at| hand[(first + at) % hand.len()]).filter(|at| *at < self.queues.len());
        let Some(best) = in_turn.min_by(|a, b| work_of(*a).total_cmp(&work_of(*b))) else { return Err(what) };
        let queue = &mut self.queues[best];
        if full && queue.waiting.len() >= self.config.length_limit {
            return Err(what);
        }
        if queue.waiting.is_empty() && queue.executing == 0 {
            queue.next = self.now;
        }
        let work = seats as f64 * SERVICE_TIME + extra_work;
        queue.waiting.push_back(Waiting { id, seats, work, arrival: self.now, what });
        queue.bound();
        self.waiting += 1;
        Ok(queue.waiting.len())
    }

    /// The next request to be served and its queue, if `fits` says that there are seats for it. A request that does not fit
    /// keeps its turn: else wide requests would never get one.
    pub(super) fn next(&mut self, fits: impl FnOnce(u64) -> bool) -> Option<(usize, Waiting<T>)> {
        let count = self.queues.len();
        let mut best: Option<(usize, f64)> = None;
        for step in 1..=count {
            let at = (self.robin + step) % count;
            let queue = &self.queues[at];
            let Some(oldest) = queue.waiting.front() else { continue };
            let finish = queue.next + oldest.work;
            if best.is_none_or(|(_, least)| finish < least) {
                best = Some((at, finish));
            }
        }
        let (at, _) = best?;
        let queue = &mut self.queues[at];
        if !fits(queue.waiting.front()?.seats) {
            return None;
        }
        let request = queue.waiting.pop_front()?;
        self.waiting -= 1;
        self.robin = at;
        queue.executing += 1;
        queue.seats += request.seats;
        queue.next += request.work;
        queue.bound();
        Some((at, request))
    }

    /// A request that was dispatched from queue `at` is done, after `took` seconds; its seats may be held on.
    pub(super) fn finished(&mut self, at: usize, seats: u64, took: f64) {
        let Some(queue) = self.queues.get_mut(at) else { return };
        queue.executing = queue.executing.saturating_sub(1);
        queue.seats = queue.seats.saturating_sub(seats);
        // It was charged the guess; now the truth is known.
        queue.next += seats as f64 * (took - SERVICE_TIME);
        queue.bound();
        self.shrink();
    }

    /// Takes out a request that no longer waits; `None` when it is not there.
    pub(super) fn remove(&mut self, id: u64) -> Option<Waiting<T>> {
        for queue in &mut self.queues {
            if let Some(at) = queue.waiting.iter().position(|request| request.id == id) {
                let removed = queue.waiting.remove(at);
                queue.bound();
                self.waiting -= 1;
                self.shrink();
                return removed;
            }
        }
        None
    }

    /// The queues as they are.
    pub(super) fn dump(&self) -> impl Iterator<Item = QueueDump<'_, T>> {
        self.queues.iter().map(|queue| QueueDump {
            waiting: &queue.waiting,
            executing: queue.executing,
            seats: queue.seats,
            next: queue.next,
        })
    }
}

impl<T> Queue<T> {
    /// No request is dispatched before it came: a queue that was idle saves nothing up.
    fn bound(&mut self) {
        if let Some(oldest) = self.waiting.front() {
            self.next = self.next.max(oldest.arrival);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queues(queues: usize, length_limit: usize) -> Queues<&'static str> {
        Queues::new(Queuing { queues, hand_size: 1, length_limit })
    }

    /// The hash that deals exactly queue `at` of a deck with hand size one.
    fn flow(at: u64) -> u64 {
        at
    }

    /// Serves one after the other on one seat, each for a second, and says who came when.
    fn served(queues: &mut Queues<&'static str>) -> Vec<&'static str> {
        let (mut order, mut time) = (Vec::new(), 0.0);
        while let Some((at, request)) = queues.next(|_| true) {
            order.push(request.what);
            time += 1.0;
            queues.advance(time, 1);
            queues.finished(at, request.seats, 1.0);
        }
        order
    }

    #[test]
    fn a_flood_does_not_keep_others_waiting() {
        let mut all = queues(2, 50);
        for id in 0..4 {
            all.enqueue(flow(0), true, id, 1, 0.0, "flood").unwrap();
        }
        for id in 4..6 {
            all.enqueue(flow(1), true, id, 1, 0.0, "mouse").unwrap();
        }
        let order = served(&mut all);
        assert_eq!(order.iter().take(4).filter(|who| **who == "mouse").count(), 2, "{order:?}");
        assert_eq!((order.len(), all.waiting()), (6, 0));
    }

    #[test]
    fn wide_requests_cost_their_queue_more() {
        let mut all = queues(2, 50);
        for id in 0..3 {
            all.enqueue(flow(0), true, id, 10, 0.0, "wide").unwrap();
        }
        for id in 3..9 {
            all.enqueue(flow(1), true, id, 1, 0.0, "narrow").unwrap();
        }
        let order = served(&mut all);
        let wide_done = order.iter().rposition(|who| *who == "wide").unwrap();
        assert_eq!(wide_done, 8, "{order:?}");
    }

    #[test]
    fn a_full_queue_takes_no_more() {
        let mut all = queues(1, 2);
        assert_eq!(all.enqueue(0, true, 1, 1, 0.0, "a"), Ok(1));
        assert_eq!(all.enqueue(0, true, 2, 1, 0.0, "b"), Ok(2));
        assert_eq!(all.enqueue(0, true, 3, 1, 0.0, "c"), Err("c"));
        // Whoever finds a seat free is about to be served, however long the queue.
        assert_eq!(all.enqueue(0, false, 4, 1, 0.0, "d"), Ok(3));
        assert_eq!(all.remove(1).map(|gone| gone.what), Some("a"));
        assert_eq!(all.remove(1).map(|gone| gone.what), None);
        assert_eq!(all.waiting(), 2);
    }

    #[test]
    fn what_does_not_fit_keeps_its_turn() {
        let mut all = queues(2, 50);
        all.enqueue(flow(0), true, 1, 5, 0.0, "wide").unwrap();
        assert!(all.next(|seats| seats <= 4).is_none());
        assert_eq!(all.next(|seats| seats <= 5).map(|(_, request)| request.what), Some("wide"));
    }

    #[test]
    fn fewer_queues_go_when_they_are_empty() {
        let mut all = queues(4, 50);
        all.enqueue(flow(3), true, 1, 1, 0.0, "a").unwrap();
        all.configure(Queuing { queues: 2, hand_size: 1, length_limit: 50 });
        assert_eq!(all.dump().count(), 4);
        let (at, _) = all.next(|_| true).unwrap();
        all.finished(at, 1, 0.0);
        assert_eq!(all.dump().count(), 2);
    }
}
