use super::*;
use client::testing::Cluster;

fn set(name: &str) -> Arc<Object> {
    let value = json!({ "metadata": { "name": name, "namespace": "a", "uid": "u" } });
    Arc::new(Object::encode(&value, 1, &kinds::replica_sets()).unwrap())
}

#[tokio::test]
async fn creating_many_starts_slowly_and_stops_at_a_failure() {
    let cluster = Cluster::new();
    let client = cluster.client();
    let control = PodControl::new(&client, &Recorder::start(client.clone(), "t", ""));
    let (set, kind) = (set("s"), kinds::replica_sets());
    let owner = Owner { resource: &kind, object: &set };
    let template = json!({ "spec": {} });
    let made = control.create_many(owner, 10, |_| pod_from_template(owner, &template)).await;
    assert_eq!((made.0, made.1), (10, None));
    cluster.fail("create", "pods", 1, Status::forbidden("", "pods", "", "no"));
    let made = control.create_many(owner, 10, |_| pod_from_template(owner, &template)).await;
    assert_eq!(made.0, 0, "the first batch is one pod");
    assert_eq!(made.1.unwrap().code, 403);
    assert_eq!(control.pods().len(), 10);
}

#[test]
fn names_are_prefixed_where_that_is_valid() {
    assert_eq!(name_prefix("web"), "web-");
    let long = "a".repeat(253);
    assert_eq!(name_prefix(&long), long);
}

#[test]
fn a_terminating_namespace_is_told_from_other_refusals() {
    let why = "unable to create new content in namespace a because it is being terminated";
    assert!(is_namespace_terminating(&Status::forbidden("", "pods", "p", why)));
    assert!(!is_namespace_terminating(&Status::forbidden("", "pods", "p", "exceeded quota")));
}
