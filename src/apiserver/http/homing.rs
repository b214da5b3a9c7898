//! Long answers are made where they are sent. Over HTTP/2 every request is a task of its own, which is right while it is worked on;
//! but a list that one processor makes piece by piece and another one encrypts travels between their caches, which takes longer
//! than all the rest. So an answer that turns out to be long moves to its connection's task.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use futures::task::AtomicWaker;
use parking_lot::Mutex;

type Answer = Pin<Box<dyn Future<Output = ()> + Send>>;

thread_local! {
    /// Whether a piece of a long answer was made in the current turn of this thread's task.
    static LONG: Cell<bool> = const { Cell::new(false) };
}

/// Says that the answer which is being made is a long one.
pub(super) fn long() {
    LONG.set(true);
}

/// Where the long answers of one connection go to.
#[derive(Clone, Default)]
pub(crate) struct Home(Arc<Arrivals>);

#[derive(Default)]
struct Arrivals {
    answers: Mutex<Vec<Answer>>,
    connection: AtomicWaker,
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Home {
    fn execute(&self, answer: F) {
        tokio::spawn(Away { answer: Some(Box::pin(answer)), home: self.clone() });
    }
}

/// A request in a task of its own, until its answer is a long one.
struct Away {
    answer: Option<Answer>,
    home: Home,
}

impl Future for Away {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { answer, home } = &mut *self;
        let Some(begun) = answer else { return Poll::Ready(()) };
        LONG.set(false);
        if begun.as_mut().poll(cx).is_pending() {
            if !LONG.get() {
                return Poll::Pending;
            }
            home.0.answers.lock().extend(answer.take());
            home.0.connection.wake();
        }
        Poll::Ready(())
    }
}

/// The long answers of a connection. Its task polls them, before it sends.
pub(crate) struct AtHome {
    home: Home,
    answers: FuturesUnordered<Answer>,
}

impl AtHome {
    pub(crate) fn new(home: Home) -> Self {
        Self { home, answers: FuturesUnordered::new() }
    }

    /// Lets all that can go on do so.
    pub(crate) fn go_on(&mut self, cx: &mut Context<'_>) {
        self.home.0.connection.register(cx.waker());
        self.answers.extend(self.home.0.answers.lock().drain(..));
        while let Poll::Ready(Some(())) = self.answers.poll_next_unpin(cx) {}
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use hyper::rt::Executor;
    use tokio::sync::oneshot;
    use tokio::task::{Id, try_id};

    use super::*;

    /// Runs an answer that waits once; the task in which it ended.
    async fn ended_in(is_long: bool) -> Option<Id> {
        let home = Home::default();
        let mut at_home = AtHome::new(home.clone());
        let (go_on, wait) = oneshot::channel();
        let (ended, mut where_to) = oneshot::channel();
        home.execute(async move {
            if is_long {
                long();
            }
            let _ = wait.await;
            let _ = ended.send(try_id());
        });
        tokio::task::yield_now().await;
        go_on.send(()).unwrap();
        poll_fn(|cx| {
            at_home.go_on(cx);
            Pin::new(&mut where_to).poll(cx)
        })
        .await
        .unwrap()
    }

    #[tokio::test]
    async fn long_answers_come_home_and_others_stay() {
        assert_eq!(ended_in(true).await, None, "the test itself is no task");
        assert!(ended_in(false).await.is_some());
    }
}
