use std::sync::Arc;

use api::{Object, resource};
use serde_json::{Value, json};
use watch_cache::Cache;

use super::index::Index;
use super::records::{Answer, Asked, Data, answer};

fn cache(group: &str, version: &str, plural: &str, objects: &[Value]) -> Arc<Cache> {
    let row = resource::find(group, version, plural).unwrap();
    let cache = Cache::new(row.clone(), 16);
    let each = objects.iter().enumerate().map(|(n, o)| Arc::new(Object::encode(o, n as u64 + 1, row).unwrap()));
    cache.replace(each.collect::<Vec<_>>(), 100);
    cache
}

fn service(name: &str, spec: Value) -> Value {
    json!({"kind": "Service", "apiVersion": "v1", "metadata": {"name": name, "namespace": "a"}, "spec": spec})
}

fn index() -> (Index, Arc<Cache>) {
    let services = cache(
        "",
        "v1",
        "services",
        &[
            service(
                "web",
                json!({"clusterIP": "10.43.0.7", "clusterIPs": ["10.43.0.7"], "ports": [{"name": "http", "port": 80}]}),
            ),
            service(
                "db",
                json!({"clusterIP": "None", "clusterIPs": ["None"], "ports": [{"name": "sql", "port": 5432, "protocol": "TCP"}]}),
            ),
            service("out", json!({"type": "ExternalName", "externalName": "example.org"})),
            service("empty", json!({"clusterIP": "None"})),
        ],
    );
    let slice = json!({
        "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1",
        "metadata": {"name": "db-1", "namespace": "a", "labels": {"kubernetes.io/service-name": "db"}},
        "endpoints": [
            {"addresses": ["10.42.0.5"], "hostname": "db-0", "conditions": {"ready": true}},
            {"addresses": ["10.42.0.6"], "conditions": {"ready": true}},
            {"addresses": ["10.42.0.9"], "conditions": {"ready": false}},
        ],
        "ports": [{"name": "sql", "port": 5432, "protocol": "TCP"}],
    });
    let slices = cache("discovery.k8s.io", "v1", "endpointslices", &[slice]);
    (Index::new(services.clone(), slices), services)
}

fn ip(text: &str) -> Data {
    Data::Address(text.parse().unwrap())
}

#[test]
fn names_of_the_cluster() {
    let (mut index, _) = index();
    let mut check = |name: &str, asked: Asked, expect: Option<Vec<Data>>| {
        let found = match answer(index.current(), "cluster.local", name, asked) {
            Answer::Found { records, .. } => Some(records.into_iter().map(|(_, data)| data).collect()),
            Answer::NoSuchName | Answer::NotOurs => None,
        };
        assert_eq!(found, expect, "{name} {asked:?}");
    };
    check("web.a.svc.cluster.local", Asked::A, Some(vec![ip("10.43.0.7")]));
    check("web.a.svc.cluster.local", Asked::Aaaa, Some(vec![]));
    check("nope.a.svc.cluster.local", Asked::A, None);
    check("db.a.svc.cluster.local", Asked::A, Some(vec![ip("10.42.0.5"), ip("10.42.0.6")]));
    check("db-0.db.a.svc.cluster.local", Asked::A, Some(vec![ip("10.42.0.5")]));
    check("10-42-0-6.db.a.svc.cluster.local", Asked::A, Some(vec![ip("10.42.0.6")]));
    check("db-7.db.a.svc.cluster.local", Asked::A, None);
    check("empty.a.svc.cluster.local", Asked::A, None);
    check("out.a.svc.cluster.local", Asked::A, Some(vec![Data::Cname("example.org".into())]));
    check("10-42-0-8.a.pod.cluster.local", Asked::A, Some(vec![ip("10.42.0.8")]));
    check("x-y.a.pod.cluster.local", Asked::A, None);
    let srv = |port, target: &str| Data::Srv { port, target: target.into() };
    check("_http._tcp.web.a.svc.cluster.local", Asked::Srv, Some(vec![srv(80, "web.a.svc.cluster.local")]));
    let hosts = ["10-42-0-6.db.a.svc.cluster.local", "db-0.db.a.svc.cluster.local"];
    check("_sql._tcp.db.a.svc.cluster.local", Asked::Srv, Some(hosts.iter().map(|h| srv(5432, h)).collect()));
    check("_sql._udp.db.a.svc.cluster.local", Asked::Srv, None);
    check("7.0.43.10.in-addr.arpa", Asked::Ptr, Some(vec![Data::Ptr("web.a.svc.cluster.local".into())]));
    check("5.0.42.10.in-addr.arpa", Asked::Ptr, Some(vec![Data::Ptr("db-0.db.a.svc.cluster.local".into())]));
    check("8.8.8.8.in-addr.arpa", Asked::Ptr, None);
    check("dns-version.cluster.local", Asked::Txt, Some(vec![Data::Text("1.1.0".into())]));
    check("a.svc.cluster.local", Asked::A, Some(vec![]));
    check("example.org", Asked::A, None);
    check("", Asked::A, None);
}

#[test]
fn an_answer_is_never_older_than_the_cache() {
    let (mut index, services) = index();
    let row = resource::find("", "v1", "services").unwrap();
    assert_eq!(answer(index.current(), "c", "new.a.svc.c", Asked::A), Answer::NoSuchName);
    let new = service("new", json!({"clusterIP": "10.43.0.8"}));
    services.put(Arc::new(Object::encode(&new, 101, row).unwrap()));
    let found = Answer::Found { records: vec![("new.a.svc.c".into(), ip("10.43.0.8"))], additional: vec![] };
    assert_eq!(answer(index.current(), "c", "new.a.svc.c", Asked::A), found);
    services.remove("a", "new", 102);
    assert_eq!(answer(index.current(), "c", "new.a.svc.c", Asked::A), Answer::NoSuchName);
    assert_eq!(answer(index.current(), "c", "8.0.43.10.in-addr.arpa", Asked::Ptr), Answer::NotOurs);
}
