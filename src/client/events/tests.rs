use super::*;
use crate::testing::Cluster;
use std::time::Duration;

fn recorded(name: &str, message: &str) -> Recorded {
    let about = Reference { kind: "Pod".into(), namespace: "a".into(), name: name.into(), ..Reference::default() };
    Recorded { about, kind: EventType::Normal, reason: "R".into(), message: message.into() }
}

fn judge(correlator: &mut Correlator, event: &Recorded, at: Instant) -> &'static str {
    match correlator.judge(event, at) {
        Verdict::Drop => "drop",
        Verdict::New { key, .. } => {
            correlator.wrote(key, "n".into(), 1);
            "new"
        }
        Verdict::Again { .. } => "again",
    }
}

#[test]
fn repeats_raise_the_count_and_floods_are_dropped() {
    let (mut correlator, now) = (Correlator::default(), Instant::now());
    assert_eq!(judge(&mut correlator, &recorded("p", "m"), now), "new");
    for _ in 0..24 {
        assert_eq!(judge(&mut correlator, &recorded("p", "m"), now), "again");
    }
    assert_eq!(judge(&mut correlator, &recorded("p", "m"), now), "drop");
    assert_eq!(judge(&mut correlator, &recorded("q", "m"), now), "new", "each object has an allowance of its own");
    assert_eq!(judge(&mut correlator, &recorded("p", "m"), now + Duration::from_secs(301)), "again");
}

#[test]
fn similar_events_fall_together() {
    let (mut correlator, now) = (Correlator::default(), Instant::now());
    for n in 0..9 {
        assert_eq!(judge(&mut correlator, &recorded("p", &n.to_string()), now), "new");
    }
    let Verdict::New { message, key } = correlator.judge(&recorded("p", "9"), now) else { panic!() };
    assert_eq!(message, "(combined from similar events): 9");
    correlator.wrote(key, "n".into(), 1);
    assert_eq!(judge(&mut correlator, &recorded("p", "10"), now), "again");
}

#[tokio::test]
async fn events_are_written_and_counted() {
    let cluster = Cluster::new();
    let recorder = Recorder::start(cluster.client(), "tester", "n1");
    let about = recorded("p", "").about;
    for _ in 0..3 {
        recorder.event(about.clone(), EventType::Warning, "Failed", "it broke");
    }
    let events = cluster.client().cache(&crate::kinds::events());
    let counted = |c: &watch_cache::Cache| c.list("a").iter().any(|e| e.to_value().unwrap()["count"] == 3);
    events.until(counted).await;
    let event = events.list("a")[0].to_value().unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(event["involvedObject"]["name"], "p");
    assert_eq!(event["source"], json!({ "component": "tester", "host": "n1" }));
    assert_eq!((&event["reportingComponent"], &event["type"]), (&json!("tester"), &json!("Warning")));
}
