use std::collections::BTreeMap;
use std::sync::Arc;

use api::Object;
use client::kinds;
use serde_json::{Map, Value, json};

use super::plan::{Desired, Existing, Group, Step, steps};
use crate::service_endpoints::Port;

fn group(port: i64) -> Group {
    let port = Port { name: "http".into(), protocol: "TCP".into(), port, app_protocol: None };
    Group { address_type: "IPv4", ports: vec![port] }
}

fn endpoints(addresses: std::ops::Range<u32>) -> Vec<Value> {
    addresses.map(|n| json!({"addresses": [format!("10.0.0.{n}")]})).collect()
}

fn map(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

/// Endpoints on port 80.
fn wanted(addresses: std::ops::Range<u32>) -> Desired {
    let groups = BTreeMap::from([(group(80), endpoints(addresses))]);
    Desired { labels: map(json!({"l": "1"})), annotations: None, groups, room: 100, spread: usize::MAX }
}

fn slice_on(port: u16, name: &str, addresses: std::ops::Range<u32>) -> Existing {
    let owner = json!({"apiVersion": "v1", "kind": "Service", "name": "web", "uid": "u", "controller": true});
    let value = json!({
        "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1",
        "metadata": {"name": name, "namespace": "a", "labels": {"l": "1"}, "annotations": {"a": "1"}, "ownerReferences": [owner]},
        "addressType": "IPv4", "endpoints": endpoints(addresses), "ports": [{"name": "http", "protocol": "TCP", "port": port}],
    });
    Existing::read(Arc::new(Object::encode(&value, 1, &kinds::endpoint_slices()).unwrap())).unwrap()
}

fn slice(name: &str, addresses: std::ops::Range<u32>) -> Existing {
    slice_on(80, name, addresses)
}

fn new_metadata() -> Map<String, Value> {
    map(json!({"ownerReferences": [{"uid": "new"}]}))
}

#[test]
fn a_change_touches_as_few_slices_as_it_can() {
    let check = |wanted: Desired, existing: &[Existing], expect: &[&str]| {
        let show = |step: &Step| match step {
            Step::Create { endpoints, .. } => format!("create {}", endpoints.len()),
            Step::Change { slice, endpoints, ports: None, .. } => {
                format!("change {} {}", slice.meta.name, endpoints.len())
            }
            Step::Change { slice, endpoints, .. } => format!("reuse {} {}", slice.meta.name, endpoints.len()),
            Step::Delete { slice } => format!("delete {}", slice.meta.name),
        };
        let shown: Vec<String> = steps(wanted, "u", &new_metadata(), existing).iter().map(show).collect();
        assert_eq!(shown, expect);
    };
    check(wanted(0..0), &[], &["create 0"]);
    check(wanted(0..3), &[], &["create 3"]);
    check(wanted(0..3), &[slice("s", 0..3)], &[]);
    check(wanted(0..4), &[slice("s", 0..3)], &["change s 4"]);
    check(wanted(0..230), &[], &["create 100", "create 100", "create 30"]);
    check(wanted(0..101), &[slice("s", 0..100)], &["create 1"]);
    check(wanted(0..3), &[slice("s", 0..3), slice("t", 3..4)], &["delete t"]);
    check(wanted(0..3), &[slice_on(81, "s", 0..3)], &["reuse s 3"]);
    check(wanted(0..3), &[slice_on(81, "s", 0..3), slice_on(82, "t", 0..1)], &["reuse s 3", "delete t"]);
    check(Desired { groups: BTreeMap::new(), ..wanted(0..0) }, &[slice("s", 0..3)], &["delete s"]);
    check(wanted(0..4), &[slice("s", 0..3), slice("t", 3..4)], &[]);
    check(Desired { spread: 1, ..wanted(0..4) }, &[slice("s", 0..3), slice("t", 3..4)], &["change s 4", "delete t"]);
    let other_family = Group { address_type: "IPv6", ..group(80) };
    let groups = BTreeMap::from([(other_family, endpoints(0..1))]);
    check(Desired { groups, ..wanted(0..0) }, &[slice("s", 0..3)], &["create 1", "delete s"]);
}

#[test]
fn metadata_follows() {
    let check = |desired: Desired, owner: &str, expect: Value| {
        let steps = steps(desired, owner, &new_metadata(), &[slice("s", 0..1)]);
        let [Step::Change { metadata, .. }] = steps.as_slice() else { panic!("{steps:?}") };
        assert_eq!(Value::Object(metadata.clone()), expect);
    };
    check(Desired { labels: map(json!({"m": "2"})), ..wanted(0..1) }, "u", json!({"labels": {"m": "2", "l": null}}));
    let annotations = Some(map(json!({"b": "2"})));
    check(Desired { annotations, ..wanted(0..1) }, "u", json!({"annotations": {"b": "2", "a": null}}));
    check(wanted(0..1), "new", json!({"ownerReferences": [{"uid": "new"}]}));
}
