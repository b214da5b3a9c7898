//! Pods that wait for a node.
//!
//! Three places: ready to be tried, in back-off after a failure, and set aside until something changes that could help.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::pod::Pod;

/// First and longest back-off: upstream's.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));
/// A pod set aside is tried again after so long, whatever happened.
const ASIDE: Duration = Duration::from_secs(300);

#[derive(Debug)]
struct Waiting {
    pod: Arc<Pod>,
    attempts: u32,
    /// The place in the order of arrival.
    arrival: u64,
    place: Place,
}

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Place {
    Ready,
    BackOff(Instant),
    Aside(Instant),
    /// Taken by the loop.
    Taken,
}

/// The queue. Entries of the heaps may be out of date: the map is what counts.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    pods: HashMap<Box<str>, Waiting>,
    ready: BinaryHeap<(i32, Reverse<u64>, Box<str>)>,
    timers: BinaryHeap<Reverse<(Instant, Box<str>)>>,
    arrivals: u64,
}

impl Queue {
    /// Takes in a pod, or its new version. A pod that is new is ready; one that waits keeps its place, unless its spec
    /// changed, which may help.
    pub(crate) fn put(&mut self, pod: Arc<Pod>) {
        if let Some(waiting) = self.pods.get_mut(&pod.key) {
            let changed = waiting.pod.object.meta.generation != pod.object.meta.generation
                || waiting.pod.object.meta.labels != pod.object.meta.labels
                || waiting.pod.object.meta.uid != pod.object.meta.uid;
            waiting.pod = pod.clone();
            if changed && matches!(waiting.place, Place::Aside(_)) {
                self.make_ready(&pod.key);
            }
            return;
        }
        self.arrivals += 1;
        let key = pod.key.clone();
        self.pods.insert(key.clone(), Waiting { pod, attempts: 0, arrival: self.arrivals, place: Place::Taken });
        self.make_ready(&key);
    }

    pub(crate) fn remove(&mut self, key: &str) {
        self.pods.remove(key);
    }

    /// The pod to try next: by priority, then by arrival.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Arc<Pod>> {
        while let Some(Reverse((at, _))) = self.timers.peek()
            && *at <= now
        {
            if let Some(Reverse((at, key))) = self.timers.pop() {
                let due = self
                    .pods
                    .get(&key)
                    .is_some_and(|w| matches!(w.place, Place::BackOff(t) | Place::Aside(t) if t == at));
                if due {
                    self.make_ready(&key);
                }
            }
        }
        while let Some((_, _, key)) = self.ready.pop() {
            if let Some(waiting) = self.pods.get_mut(&key).filter(|w| w.place == Place::Ready) {
                waiting.place = Place::Taken;
                waiting.attempts += 1;
                return Some(waiting.pod.clone());
            }
        }
        None
    }

    /// No node would do: set aside until something changes.
    pub(crate) fn set_aside(&mut self, key: &str, now: Instant) {
        self.wait(key, |_| Place::Aside(now + ASIDE));
    }

    /// The attempt went wrong: try again soon.
    pub(crate) fn back_off(&mut self, key: &str, now: Instant) {
        self.wait(key, |attempts| Place::BackOff(now + delay(attempts)));
    }

    fn wait(&mut self, key: &str, place: impl FnOnce(u32) -> Place) {
        let Some(waiting) = self.pods.get_mut(key) else { return };
        waiting.place = place(waiting.attempts);
        if let Place::BackOff(at) | Place::Aside(at) = waiting.place {
            self.timers.push(Reverse((at, key.into())));
        }
    }

    /// Something changed that could help those set aside: they are tried again, each after its back-off.
    pub(crate) fn something_changed(&mut self, now: Instant) {
        let aside: Vec<Box<str>> =
            self.pods.iter().filter(|(_, w)| matches!(w.place, Place::Aside(_))).map(|(key, _)| key.clone()).collect();
        for key in aside {
            self.back_off(&key, now);
        }
    }

    /// When the next pod is due that is not ready now.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.timers.peek().map(|Reverse((at, _))| *at)
    }

    fn make_ready(&mut self, key: &str) {
        if let Some(waiting) = self.pods.get_mut(key) {
            waiting.place = Place::Ready;
            self.ready.push((waiting.pod.priority, Reverse(waiting.arrival), key.into()));
        }
    }
}

fn delay(attempts: u32) -> Duration {
    let (first, longest) = BACKOFF;
    first.saturating_mul(1 << attempts.saturating_sub(1).min(8)).min(longest)
}
