use super::*;
use crate::kinds;
use crate::testing::Cluster;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Notify;

/// A state that records the keys it was given, and answers as the test wants.
#[derive(Default)]
struct Seen {
    keys: Mutex<Vec<String>>,
    moved: Notify,
}

impl Seen {
    fn note(&self, key: &Key) -> usize {
        let mut keys = self.keys.lock();
        keys.push(key.to_string());
        self.moved.notify_one();
        keys.iter().filter(|k| ***k == **key).count()
    }

    async fn wait(&self, count: usize) -> Vec<String> {
        loop {
            if self.keys.lock().len() >= count {
                return self.keys.lock().clone();
            }
            self.moved.notified().await;
        }
    }
}

fn set(name: &str) -> Value {
    json!({ "metadata": { "name": name } })
}

fn owned(name: &str, kind: &str, owner: &str) -> Value {
    let owner = json!([{ "apiVersion": "apps/v1", "kind": kind, "name": owner, "uid": "u", "controller": true }]);
    json!({ "metadata": { "name": name, "ownerReferences": owner } })
}

#[tokio::test(start_paused = true)]
async fn present_and_changed_objects_reach_the_reconcile_function() {
    let cluster = Cluster::new();
    let client = cluster.client();
    client.create(&kinds::replica_sets(), "a", set("old")).await.unwrap();
    let seen = Arc::new(Seen::default());
    let controller = Controller::new("t", seen.clone(), |seen: Arc<Seen>, key| async move {
        seen.note(&key);
        Ok(Outcome::Done)
    })
    .watch(&kinds::replica_sets(), itself)
    .watch(&kinds::pods(), controlled_by(&kinds::replica_sets()));
    let (gauge, stop) = (controller.gauge(), CancellationToken::new());
    let running = tokio::spawn({
        let (client, stop) = (client.clone(), stop.clone());
        async move { controller.run(&client, stop).await }
    });
    assert_eq!(seen.wait(1).await, ["a/old"]);
    client.create(&kinds::pods(), "a", owned("p", "ReplicaSet", "mine")).await.unwrap();
    client.create(&kinds::pods(), "a", owned("q", "DaemonSet", "other")).await.unwrap();
    client.create(&kinds::replica_sets(), "b", set("new")).await.unwrap();
    let mut keys = seen.wait(3).await;
    keys.sort();
    assert_eq!(keys, ["a/mine", "a/old", "b/new"]);
    stop.cancel();
    running.await.unwrap();
    assert_eq!(gauge.stats().reconciles.load(Ordering::Relaxed), 3);
}

/// Runs one key through a reconcile function that is told which call this is, until it was called so often.
async fn calls(count: usize, answer: fn(usize) -> Result) -> (Gauge, Duration) {
    let cluster = Cluster::new();
    cluster.seed(&kinds::nodes(), set("n"));
    let seen = Arc::new(Seen::default());
    let controller =
        Controller::new("t", seen.clone(), move |seen: Arc<Seen>, key| async move { answer(seen.note(&key)) })
            .watch(&kinds::nodes(), itself);
    let (gauge, stop) = (controller.gauge(), CancellationToken::new());
    let start = tokio::time::Instant::now();
    let running = tokio::spawn({
        let (client, stop) = (cluster.client(), stop.clone());
        async move { controller.run(&client, stop).await }
    });
    seen.wait(count).await;
    let took = start.elapsed();
    stop.cancel();
    running.await.unwrap();
    (gauge, took)
}

#[tokio::test(start_paused = true)]
async fn errors_and_panics_are_contained_and_retried_with_backoff() {
    let (gauge, took) = calls(3, |call| match call {
        1 => Err(Error::Other("not yet".into())),
        2 => panic!("a reconcile may panic"),
        _ => Ok(Outcome::Done),
    })
    .await;
    assert_eq!(gauge.stats().errors.load(Ordering::Relaxed), 1);
    assert_eq!(gauge.stats().panics.load(Ordering::Relaxed), 1);
    assert_eq!(gauge.queue().retries, 2);
    assert!(took >= Duration::from_millis(15), "5 ms, then 10 ms: {took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_reconcile_may_ask_to_be_called_again() {
    let (gauge, took) = calls(3, |_| Ok(Outcome::After(Duration::from_secs(60)))).await;
    assert_eq!(took.as_secs(), 120);
    assert_eq!(gauge.queue().retries, 0);
}

#[tokio::test(start_paused = true)]
async fn shutdown_lets_a_reconcile_finish() {
    let cluster = Cluster::new();
    cluster.seed(&kinds::nodes(), set("n"));
    let seen = Arc::new(Seen::default());
    let controller = Controller::new("t", seen.clone(), |seen: Arc<Seen>, key| async move {
        seen.note(&key);
        tokio::time::sleep(Duration::from_secs(1)).await;
        seen.note(&"end".into());
        Ok(Outcome::Done)
    })
    .watch(&kinds::nodes(), itself);
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (client, stop) = (cluster.client(), stop.clone());
        async move { controller.run(&client, stop).await }
    });
    seen.wait(1).await;
    stop.cancel();
    running.await.unwrap();
    assert_eq!(*seen.keys.lock(), ["n", "end"]);
}
