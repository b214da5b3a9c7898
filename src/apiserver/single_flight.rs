//! Questions that cost much and are asked once, however many wait for the answer.
//!
//! The asking goes on when those who wait have gone away, so that who comes next finds the answer; it has an end in time, and
//! there are never more than [`MOST`] different questions under way.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use parking_lot::Mutex;

use crate::digest_cache::Digest;

/// How many different questions may be under way.
const MOST: usize = 1024;
/// How long one may take, as upstream.
const TIME: Duration = Duration::from_secs(30);

type UnderWay<T> = Arc<Mutex<HashMap<Digest, Shared<BoxFuture<'static, Option<T>>>>>>;

/// What is being asked right now.
pub(crate) struct SingleFlight<T> {
    under_way: UnderWay<T>,
}

/// Takes a question out when it has its answer, or has failed.
struct Done<T> {
    under_way: UnderWay<T>,
    digest: Digest,
}

impl<T> Drop for Done<T> {
    fn drop(&mut self) {
        self.under_way.lock().remove(&self.digest);
    }
}

impl<T: Clone + Send + Sync + 'static> SingleFlight<T> {
    pub(crate) fn new() -> Self {
        Self { under_way: Arc::default() }
    }

    /// The answer to a question: of those who ask for it already, or of `question`. `None` if there is none in time, or too
    /// much is asked. Needs a Tokio runtime.
    pub(crate) async fn ask<F>(&self, digest: Digest, question: impl FnOnce() -> F) -> Option<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let answer = {
            let mut under_way = self.under_way.lock();
            match under_way.get(&digest) {
                Some(answer) => answer.clone(),
                None if under_way.len() >= MOST => return None,
                None => {
                    let done = Done { under_way: self.under_way.clone(), digest };
                    let question = question();
                    let task = tokio::spawn(async move {
                        let answer = tokio::time::timeout(TIME, question).await.ok();
                        drop(done);
                        answer
                    });
                    let answer = async move { task.await.ok().flatten() }.boxed().shared();
                    under_way.insert(digest, answer.clone());
                    answer
                }
            }
        };
        answer.await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn many_ask_and_one_is_sent() {
        let flight = Arc::new(SingleFlight::<usize>::new());
        let sent = Arc::new(AtomicUsize::new(0));
        let (open, gate) = tokio::sync::watch::channel(false);
        let ask = |digest: u8| {
            let (flight, sent, mut gate) = (flight.clone(), sent.clone(), gate.clone());
            tokio::spawn(async move {
                let question = || async move {
                    sent.fetch_add(1, Ordering::SeqCst);
                    let _ = gate.wait_for(|open| *open).await;
                    7
                };
                flight.ask([digest; 32], question).await
            })
        };
        // Somebody who goes away takes nothing along.
        let gone = ask(1);
        while sent.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        gone.abort();
        let waiting: Vec<_> = (0..10).map(|_| ask(1)).collect();
        let other = ask(2);
        while sent.load(Ordering::SeqCst) < 2 {
            tokio::task::yield_now().await;
        }
        open.send(true).unwrap();
        for answer in waiting.into_iter().chain([other]) {
            assert_eq!(answer.await.unwrap(), Some(7));
        }
        assert_eq!(sent.load(Ordering::SeqCst), 2);
        assert_eq!(ask(1).await.unwrap(), Some(7));
        assert_eq!(sent.load(Ordering::SeqCst), 3, "answers are nobody's to keep");
    }

    #[tokio::test]
    async fn there_are_never_too_many_and_a_panic_blocks_nobody() {
        let flight = Arc::new(SingleFlight::<usize>::new());
        let digest = |n: usize| {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&n.to_le_bytes());
            digest
        };
        let waiting: Vec<_> = (0..MOST)
            .map(|n| {
                let flight = flight.clone();
                tokio::spawn(async move { flight.ask(digest(n), std::future::pending).await })
            })
            .collect();
        while flight.under_way.lock().len() < MOST {
            tokio::task::yield_now().await;
        }
        assert_eq!(flight.ask(digest(MOST), || async { 1 }).await, None);
        waiting.iter().for_each(|task| task.abort());
        let flight = SingleFlight::<usize>::new();
        assert_eq!(flight.ask([3; 32], || async { panic!("on purpose") }).await, None);
        assert_eq!(flight.ask([3; 32], || async { 4 }).await, Some(4));
    }
}
