//! Wakes the subscribers of a cache by their places: in the order in which they came, or took over the places of those who left.
//! Watches of one connection mostly came one behind the other; woken one behind the other, what they are told travels together.

use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use slab::Slab;

/// Rung with the sequence number of the next change.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    sequence: AtomicU64,
    /// Who came, with the waker of those who wait.
    places: Mutex<Slab<Option<Waker>>>,
}

impl Bell {
    /// A place for one who will wait. Whoever took it gives it back with [`Bell::leave`].
    pub(crate) fn come(&self) -> usize {
        self.places.lock().insert(None)
    }

    pub(crate) fn leave(&self, place: usize) {
        // A waker may run code of its own when it is dropped, so the lock is given back first.
        let waker = self.places.lock().try_remove(place);
        drop(waker);
    }

    /// How many have a place.
    pub(crate) fn len(&self) -> usize {
        self.places.lock().len()
    }

    /// Ready as soon as a change with this sequence number is there; until then the task is woken by the next one.
    pub(crate) fn poll(&self, place: usize, sequence: u64, cx: &Context<'_>) -> Poll<()> {
        if self.sequence.load(Ordering::Acquire) > sequence {
            return Poll::Ready(());
        }
        let mut places = self.places.lock();
        // Rung in between: whoever rings raises the number before it takes the lock.
        if self.sequence.load(Ordering::Acquire) > sequence {
            return Poll::Ready(());
        }
        let waker = &mut places[place];
        match waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Says that all changes before `next` are there.
    pub(crate) fn ring(&self, next: u64) {
        if self.sequence.fetch_max(next, Ordering::AcqRel) >= next {
            return;
        }
        let waiting: Vec<Waker> = self.places.lock().iter_mut().filter_map(|(_, waker)| waker.take()).collect();
        waiting.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::Wake;

    use super::*;

    /// Writes down that it was woken.
    struct Note(usize, Arc<Mutex<Vec<usize>>>);

    impl Wake for Note {
        fn wake(self: Arc<Self>) {
            self.1.lock().push(self.0);
        }
    }

    #[test]
    fn those_who_wait_are_woken_once_in_the_order_they_came() {
        let (bell, woken) = (Bell::default(), Arc::<Mutex<Vec<usize>>>::default());
        let waker = |number| Waker::from(Arc::new(Note(number, woken.clone())));
        let places: Vec<usize> = (0..4).map(|_| bell.come()).collect();
        let poll = |at: usize, sequence| bell.poll(places[at], sequence, &Context::from_waker(&waker(at)));
        for at in [2, 0, 3, 1, 0] {
            assert!(poll(at, 0).is_pending());
        }
        bell.leave(places[3]);
        assert_eq!(bell.len(), 3);
        bell.ring(1);
        assert_eq!(std::mem::take(&mut *woken.lock()), [0, 1, 2]);
        assert!(poll(0, 0).is_ready() && poll(1, 1).is_pending());
        bell.ring(1);
        assert!(woken.lock().is_empty(), "nothing came");
        bell.ring(5);
        assert_eq!(*woken.lock(), [1]);
        assert!(poll(1, 4).is_ready());
    }
}
