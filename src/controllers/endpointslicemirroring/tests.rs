use std::sync::Arc;

use api::{Patch, Resource};
use client::kinds;
use client::testing::Cluster;
use serde_json::{Value, json};

use super::plan::{Mirrored, mirrored};
use crate::Options;
use crate::testing::{Running, text};

/// The groups, one a line: type, ports, addresses (`!` where not ready).
fn shown(mirrored: &Mirrored) -> Vec<String> {
    let endpoint = |e: &Value| {
        let mark = if e["conditions"]["ready"] == true { "" } else { "!" };
        format!("{mark}{}", text(e, "/addresses/0"))
    };
    let group = |(group, endpoints): (&crate::slices::Group, &Vec<Value>)| {
        let ports: Vec<String> = group.ports.iter().map(|port| port.port.to_string()).collect();
        let endpoints: Vec<String> = endpoints.iter().map(endpoint).collect();
        format!("{} {}: {}", group.address_type, ports.join("+"), endpoints.join(" "))
    };
    mirrored.groups.iter().map(group).collect()
}

#[test]
fn addresses_are_grouped_by_family_and_ports() {
    let check = |subsets: Value, most: usize, expect: &[&str], invalid: usize, skipped: usize| {
        let mirrored = mirrored(serde_json::from_value(subsets).unwrap(), most);
        assert_eq!(shown(&mirrored), expect);
        assert_eq!((mirrored.invalid, mirrored.skipped), (invalid, skipped));
    };
    let ips = |ips: &[&str]| Value::Array(ips.iter().map(|ip| json!({"ip": ip})).collect());
    let ports = |ports: &[u32]| Value::Array(ports.iter().map(|p| json!({"name": p.to_string(), "port": p})).collect());
    check(json!([]), 9, &[], 0, 0);
    check(json!([{"addresses": null, "ports": ports(&[80])}]), 9, &[], 0, 0);
    check(json!([{"addresses": ips(&["10.0.0.1"])}]), 9, &["IPv4 : 10.0.0.1"], 0, 0);
    let subset = json!({"addresses": ips(&["10.0.0.2", "fd00::1"]), "notReadyAddresses": ips(&["10.0.0.1"]), "ports": ports(&[80, 443])});
    check(json!([subset]), 9, &["IPv4 443+80: 10.0.0.2 !10.0.0.1", "IPv6 443+80: fd00::1"], 0, 0);
    check(json!([subset]), 2, &["IPv4 443+80: 10.0.0.2", "IPv6 443+80: fd00::1"], 0, 1);
    // The same ports in two subsets are one group; the same addresses with other ports are another subset's ports.
    let one = |ip: &str, port: u32| json!({"addresses": ips(&[ip]), "ports": ports(&[port])});
    check(json!([one("10.0.0.1", 80), one("10.0.0.2", 80)]), 9, &["IPv4 80: 10.0.0.1 10.0.0.2"], 0, 0);
    check(json!([one("10.0.0.1", 80), one("10.0.0.1", 81)]), 9, &["IPv4 80+81: 10.0.0.1"], 0, 0);
    check(json!([one("10.0.0.1", 80), one("10.0.0.2", 81)]), 9, &["IPv4 80: 10.0.0.1", "IPv4 81: 10.0.0.2"], 0, 0);
    // Not being ready outweighs being ready.
    let torn = json!([one("10.0.0.1", 80), {"notReadyAddresses": ips(&["10.0.0.1"]), "ports": ports(&[80])}]);
    check(torn, 9, &["IPv4 80: !10.0.0.1"], 0, 0);
    // Addresses in forms that only old fields accept.
    check(json!([one("010.001.000.1", 80)]), 9, &["IPv4 80: 10.1.0.1"], 0, 0);
    check(json!([one("::ffff:10.0.0.1", 80)]), 9, &["IPv4 80: 10.0.0.1"], 0, 0);
    check(json!([one("nonsense", 80), one("10.0.0.1", 80)]), 9, &["IPv4 80: 10.0.0.1"], 1, 1);
}

#[test]
fn endpoints_keep_what_the_address_says() {
    let target = json!({"kind": "Pod", "namespace": "a", "name": "p", "uid": "u"});
    let address = json!({"ip": "10.0.0.1", "hostname": "h", "nodeName": "n", "targetRef": target});
    let subsets = json!([{"notReadyAddresses": [address], "ports": [{"port": 80, "appProtocol": "http"}]}]);
    let mirrored = mirrored(serde_json::from_value(subsets).unwrap(), 9);
    let (group, endpoints) = mirrored.groups.first_key_value().unwrap();
    assert_eq!(group.ports[0].render(), json!({"name": "", "port": 80, "protocol": "TCP", "appProtocol": "http"}));
    let expect = json!({
        "addresses": ["10.0.0.1"], "conditions": {"ready": false}, "hostname": "h", "nodeName": "n", "targetRef": target,
    });
    assert_eq!(*endpoints, [expect]);
}

fn start(cluster: &Cluster, most: usize) -> Running {
    let options = Options { mirroring_max_endpoints_per_subset: most, ..Options::default() };
    Running::start(cluster, &["endpointslice-mirroring-controller", "endpointslice-controller"], options)
}

async fn create(running: &Running, kind: &Arc<Resource>, object: Value) {
    running.cluster.client().create(kind, "a", object).await.unwrap();
}

async fn merge(running: &Running, kind: &Arc<Resource>, patch: Value) {
    running.cluster.client().patch(kind, "a", "db", "", Patch::Merge(patch)).await.unwrap();
}

fn service() -> Value {
    json!({"metadata": {"name": "db"}, "spec": {"clusterIP": "10.43.0.9", "ports": [{"port": 80, "protocol": "TCP"}]}})
}

fn endpoints(ip: &str) -> Value {
    json!({
        "metadata": {
            "name": "db", "labels": {"team": "x", "service.kubernetes.io/headless": ""},
            "annotations": {"note": "1", "endpoints.kubernetes.io/last-change-trigger-time": "2026-01-01T00:00:00Z"},
        },
        "subsets": [{"addresses": [{"ip": ip}], "ports": [{"port": 80, "protocol": "TCP"}]}],
    })
}

fn is_one(slices: &[Value], ip: &str) -> bool {
    slices.len() == 1 && text(&slices[0], "/endpoints/0/addresses/0") == ip
}

#[tokio::test(start_paused = true)]
async fn slices_follow_endpoints_through_create_update_and_delete() {
    let running = start(&Cluster::new(), 1000);
    create(&running, &kinds::endpoints(), endpoints("10.1.2.3")).await;
    create(&running, &kinds::services(), service()).await;
    let slices = running.until(&kinds::endpoint_slices(), |all| is_one(all, "10.1.2.3")).await;
    let metadata = &slices[0]["metadata"];
    let labels = json!({
        "kubernetes.io/service-name": "db", "team": "x", "service.kubernetes.io/headless": "",
        "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io",
    });
    assert_eq!(metadata["labels"], labels);
    assert_eq!(metadata["annotations"], json!({"note": "1"}));
    assert!(text(metadata, "/name").starts_with("db-"));
    let owner = &metadata["ownerReferences"][0];
    assert_eq!((text(owner, "/kind"), text(owner, "/name"), &owner["controller"]), ("Endpoints", "db", &json!(true)));
    assert_eq!(slices[0]["addressType"], "IPv4");
    assert_eq!(slices[0]["ports"], json!([{"name": "", "port": 80, "protocol": "TCP"}]));

    // Addresses, ports and metadata follow, in the slice there is.
    let name = text(metadata, "/name").to_owned();
    merge(
        &running,
        &kinds::endpoints(),
        json!({
            "metadata": {"labels": {"team": null}, "annotations": {"note": "2"}},
            "subsets": [{"addresses": [{"ip": "10.2.3.4"}], "ports": [{"port": 81, "protocol": "TCP"}]}],
        }),
    )
    .await;
    let slices = running.until(&kinds::endpoint_slices(), |all| is_one(all, "10.2.3.4")).await;
    let metadata = &slices[0]["metadata"];
    assert_eq!(text(metadata, "/name"), name);
    assert_eq!(metadata["labels"].get("team"), None);
    assert_eq!(metadata["annotations"], json!({"note": "2"}));
    assert_eq!(slices[0]["ports"][0]["port"], 81);

    // What somebody else does to the slices is undone.
    running.cluster.client().delete(&kinds::endpoint_slices(), "a", &name, Default::default()).await.unwrap();
    running
        .until(&kinds::endpoint_slices(), |all| is_one(all, "10.2.3.4") && text(&all[0], "/metadata/name") != name)
        .await;

    running.cluster.client().delete(&kinds::endpoints(), "a", "db", Default::default()).await.unwrap();
    running.until(&kinds::endpoint_slices(), |all| all.is_empty()).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn endpoints_that_are_not_to_be_mirrored_have_no_slices() {
    let skip = json!({"metadata": {"labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}}});
    let leader = json!({"metadata": {"annotations": {"control-plane.alpha.kubernetes.io/leader": "{}"}}});
    // What is patched, and how it is taken back.
    let check = async |kind: Arc<Resource>, patch: Value, back: Value| {
        let running = start(&Cluster::new(), 1000);
        create(&running, &kinds::services(), service()).await;
        create(&running, &kinds::endpoints(), endpoints("10.1.2.3")).await;
        running.until(&kinds::endpoint_slices(), |all| is_one(all, "10.1.2.3")).await;
        merge(&running, &kind, patch).await;
        let mirrored = |slice: &Value| text(slice, "/endpoints/0/addresses/0") == "10.1.2.3";
        running.until(&kinds::endpoint_slices(), |all| !all.iter().any(mirrored)).await;
        merge(&running, &kind, back).await;
        running.until(&kinds::endpoint_slices(), |all| all.iter().any(mirrored)).await;
        running.stop().await;
    };
    let unskip = json!({"metadata": {"labels": {"endpointslice.kubernetes.io/skip-mirror": "no"}}});
    check(kinds::endpoints(), skip, unskip).await;
    let unlead = json!({"metadata": {"annotations": {"control-plane.alpha.kubernetes.io/leader": null}}});
    check(kinds::endpoints(), leader, unlead).await;
    let selector = |selector: Value| json!({"spec": {"selector": selector}});
    check(kinds::services(), selector(json!({"app": "x"})), selector(Value::Null)).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_left_out_is_said() {
    let running = start(&Cluster::new(), 2);
    create(&running, &kinds::services(), service()).await;
    let mut endpoints = endpoints("10.0.0.1");
    let more = ["10.0.0.2", "10.0.0.3", "10.0.0.4", "0"].map(|ip| json!({"ip": ip}));
    endpoints["subsets"][0]["addresses"] = json!(more);
    create(&running, &kinds::endpoints(), endpoints).await;
    let events = running.until(&kinds::events(), |all| all.len() == 2).await;
    let mut said: Vec<(&str, &str)> = events.iter().map(|e| (text(e, "/reason"), text(e, "/message"))).collect();
    said.sort_unstable();
    let many = "A max of 2 addresses can be mirrored to EndpointSlices per Endpoints subset. 2 addresses were skipped";
    let expect = [
        ("InvalidIPAddress", "Skipped 1 invalid IP addresses when mirroring to EndpointSlices"),
        ("TooManyAddressesToMirror", many),
    ];
    assert_eq!(said, expect);
    assert_eq!(text(&events[0], "/source/component"), "endpoint-slice-mirroring-controller");
    let slices = running.until(&kinds::endpoint_slices(), |all| all.len() == 1).await;
    assert_eq!(slices[0]["endpoints"].as_array().map(Vec::len), Some(2));
    running.stop().await;
}
