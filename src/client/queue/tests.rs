use super::*;

async fn next(queue: &Queue) -> String {
    queue.next().await.unwrap().to_string()
}

#[tokio::test(start_paused = true)]
async fn a_key_waits_once_and_never_runs_beside_itself() {
    let queue = Queue::new();
    queue.add("a");
    queue.add("a");
    queue.add("b");
    assert_eq!(queue.stats().depth, 2);
    assert_eq!(next(&queue).await, "a");
    queue.add("a");
    assert_eq!(next(&queue).await, "b");
    // "a" was added while it runs: it is not handed out before it is done.
    assert_eq!(queue.stats().depth, 0);
    tokio::time::advance(Duration::from_millis(20)).await;
    let stats = queue.stats();
    assert_eq!((stats.running, stats.longest.as_millis(), stats.unfinished.as_millis()), (2, 20, 40));
    queue.done(&"a".into());
    assert_eq!(queue.stats().works.sum.as_millis(), 20);
    assert_eq!(next(&queue).await, "a");
}

#[tokio::test(start_paused = true)]
async fn the_shorter_of_two_delays_wins() {
    let queue = Queue::new();
    let start = Instant::now();
    queue.add_after("a", Duration::from_secs(10));
    queue.add_after("a", Duration::from_secs(3));
    queue.add_after("a", Duration::from_secs(30));
    queue.add_after("b", Duration::from_secs(5));
    assert_eq!(next(&queue).await, "a");
    assert_eq!(start.elapsed().as_secs(), 3);
    assert_eq!(next(&queue).await, "b");
    assert_eq!(start.elapsed().as_secs(), 5);
    let nothing = tokio::time::timeout(Duration::from_secs(100), queue.next()).await;
    assert!(nothing.is_err(), "each key came once");
}

#[tokio::test(start_paused = true)]
async fn a_sleeper_wakes_for_a_key_that_is_due_earlier() {
    let queue = Queue::new();
    queue.add_after("late", Duration::from_secs(60));
    let sleeper = tokio::spawn({
        let queue = queue.clone();
        async move { next(&queue).await }
    });
    tokio::task::yield_now().await;
    queue.add_after("soon", Duration::from_secs(1));
    assert_eq!(sleeper.await.unwrap(), "soon");
}

#[tokio::test(start_paused = true)]
async fn every_worker_wakes_when_many_keys_come_due() {
    let queue = Queue::new();
    for key in ["a", "b", "c"] {
        queue.add_after(key, Duration::from_secs(1));
    }
    let workers: Vec<_> = (0..3)
        .map(|_| {
            let queue = queue.clone();
            tokio::spawn(async move { next(&queue).await })
        })
        .collect();
    let mut keys = Vec::new();
    for worker in workers {
        keys.push(worker.await.unwrap());
    }
    keys.sort();
    assert_eq!(keys, ["a", "b", "c"]);
}

#[test]
fn backoff_doubles_up_to_a_bound() {
    let millis: Vec<u128> = [1, 2, 3, 10, 18, 19, 1000].map(|n| backoff(n).as_millis()).to_vec();
    assert_eq!(millis, [5, 10, 20, 2560, 655_360, 1_000_000, 1_000_000]);
}

#[tokio::test(start_paused = true)]
async fn success_resets_the_backoff_and_closing_ends_the_wait() {
    let queue = Queue::new();
    let key: Key = "a".into();
    assert_eq!(queue.retry(&key), Duration::from_millis(5));
    assert_eq!(queue.retry(&key), Duration::from_millis(10));
    assert_eq!(queue.failures("a"), 2);
    queue.forget("a");
    assert_eq!(queue.retry(&key), Duration::from_millis(5));
    assert_eq!(queue.stats().retries, 3);
    assert_eq!(next(&queue).await, "a");
    let waiting = tokio::spawn({
        let queue = queue.clone();
        async move { queue.next().await }
    });
    tokio::task::yield_now().await;
    queue.close();
    assert_eq!(waiting.await.unwrap(), None);
}
