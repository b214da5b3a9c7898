use std::collections::HashSet;

use serde_json::json;

use super::*;

fn allocators() -> Allocators {
    Allocators::new(("10.0.0.0".parse().unwrap(), 24), &(30000..=30099))
}

fn service(spec: Value) -> Value {
    json!({"metadata": {"name": "s"}, "spec": spec})
}

fn created(allocators: &Allocators, spec: Value) -> Result<Value, String> {
    let mut new = service(spec);
    allocators.allocate(&mut new, None).map_err(|errors| errors.to_string())?.keep();
    Ok(new)
}

#[test]
fn gives_addresses_and_ports() {
    let allocators = allocators();
    let one = created(
        &allocators,
        json!({"type": "NodePort", "clusterIP": "10.0.0.10", "ports": [{"port": 80, "nodePort": 30050}]}),
    )
    .unwrap();
    assert_eq!(one["spec"]["clusterIPs"], json!(["10.0.0.10"]));
    assert_eq!((&one["spec"]["ipFamilies"], &one["spec"]["ipFamilyPolicy"]), (&json!(["IPv4"]), &json!("SingleStack")));
    let check = |spec: Value, expect: &str| assert_eq!(created(&allocators, spec).unwrap_err(), expect);
    check(
        json!({"type": "ClusterIP", "clusterIP": "10.0.0.10"}),
        "spec.clusterIPs: Invalid value: [\"10.0.0.10\"]: failed to allocate IP 10.0.0.10: provided IP is already allocated",
    );
    check(
        json!({"type": "ClusterIP", "clusterIP": "10.1.0.10"}),
        "spec.clusterIPs: Invalid value: [\"10.1.0.10\"]: failed to allocate IP 10.1.0.10: the provided IP (10.1.0.10) is not \
         in the valid range. The range of valid IPs is 10.0.0.0/24",
    );
    check(
        json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30050}]}),
        "spec.ports[0].nodePort: Invalid value: 30050: provided port is already allocated",
    );
    check(
        json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 80}]}),
        "spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is \
         30000-30099",
    );
    let two = created(
        &allocators,
        json!({"type": "NodePort", "ports": [{"port": 53, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]}),
    )
    .unwrap();
    assert_eq!(two["spec"]["ports"][0]["nodePort"], two["spec"]["ports"][1]["nodePort"]);
    let headless =
        created(&allocators, json!({"type": "ClusterIP", "clusterIP": "None", "selector": {"a": "b"}})).unwrap();
    assert_eq!(headless["spec"]["clusterIPs"], json!(["None"]));
}

#[test]
fn one_family_is_all_there_is() {
    let check = |spec: Value, old: Option<Value>, expect: &str| {
        let mut new = service(spec.clone());
        let said = allocators().allocate(&mut new, old.map(service).as_ref()).map(|_| ());
        assert_eq!(said.map_err(|errors| errors.to_string()).err().unwrap_or_default(), expect, "{spec}");
    };
    let several = "spec.ipFamilyPolicy: Invalid value: \"SingleStack\": must be 'RequireDualStack' or 'PreferDualStack' \
                   when multiple IP families are specified";
    check(json!({"type": "ClusterIP", "ipFamilies": ["IPv4", "IPv6"]}), None, several);
    let both = json!({"type": "ClusterIP", "ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "SingleStack"});
    // Who says one family and leaves the list as it was means the first.
    check(both.clone(), Some(both), "");
    let elsewhere = "spec.clusterIPs[0]: Invalid value: [\"fd00::1\"]: IPv6 is not configured on this cluster";
    check(json!({"type": "ClusterIP", "clusterIP": "fd00::1"}), None, elsewhere);
    let wrong =
        json!({"type": "ClusterIP", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.2"], "ipFamilies": ["IPv6"]});
    let mismatch = "[spec.clusterIPs: Invalid value: [\"10.0.0.2\"]: first value must match `clusterIP`, spec.clusterIPs[0]: \
                    Invalid value: \"10.0.0.2\": expected an IPv6 value as indicated by `ipFamilies[0]`]";
    check(wrong, None, mismatch);
    let twice =
        json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30001}, {"port": 81, "nodePort": 30001}]});
    check(twice, None, "spec.ports[1].nodePort: Invalid value: 30001: provided port is already allocated");
    // An address that changes, and a port that has no use, are refused by the validation.
    let has = json!({"type": "ClusterIP", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"]});
    check(json!({"type": "ClusterIP", "clusterIP": "10.1.0.1", "clusterIPs": ["10.1.0.1"]}), Some(has), "");
    check(json!({"type": "ClusterIP", "ports": [{"port": 80, "nodePort": 1}]}), None, "");
}

#[test]
fn what_is_given_up_can_be_had_again() {
    let allocators = allocators();
    let asks = json!({"type": "NodePort", "clusterIP": "10.0.0.10", "ports": [{"port": 80, "nodePort": 30050}]});
    let old = created(&allocators, asks.clone()).unwrap();
    // A write that fails leaves everything as it was.
    let mut new = service(json!({"type": "ClusterIP", "clusterIP": "10.0.0.10", "ports": [{"port": 80}]}));
    drop(allocators.allocate(&mut new, Some(&old)).unwrap());
    assert!(created(&allocators, asks.clone()).is_err());
    // One that succeeds frees the port and keeps the address.
    allocators.allocate(&mut new, Some(&old)).unwrap().keep();
    let port = json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30050}]});
    let other = created(&allocators, port).unwrap();
    assert!(created(&allocators, asks.clone()).is_err());
    allocators.giving_up(&new).keep();
    allocators.giving_up(&other).keep();
    created(&allocators, asks).unwrap();
}

#[test]
fn nothing_is_given_twice() {
    let allocators = allocators();
    let all: Vec<Vec<Value>> = std::thread::scope(|scope| {
        let one = || {
            (0..40)
                .map_while(|_| created(&allocators, json!({"type": "NodePort", "ports": [{"port": 1}]})).ok())
                .collect()
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let all: Vec<Value> = all.into_iter().flatten().collect();
    assert_eq!(all.len(), 100, "there are a hundred ports");
    let ports: HashSet<i64> = all.iter().filter_map(|s| s["spec"]["ports"][0]["nodePort"].as_i64()).collect();
    let addresses: HashSet<&str> = all.iter().map(|s| s.text("spec.clusterIP")).collect();
    assert_eq!((ports.len(), addresses.len()), (100, 100));
}

#[test]
fn numbers_the_network() {
    let allocators = allocators();
    assert_eq!(allocators.first_address().to_string(), "10.0.0.1");
    assert_eq!((allocators.network.usable, allocators.network.place("10.0.0.255".parse().unwrap())), (254, None));
    let v6 = Network::new(("fd00::".parse().unwrap(), 108));
    assert_eq!((v6.address(0).to_string(), v6.family()), ("fd00::1".into(), "IPv6"));
}

#[tokio::test(start_paused = true)]
async fn a_write_that_nobody_saw_end_keeps_its_numbers_until_it_is_looked_for() {
    let allocators = allocators();
    let asks = |address: &str| json!({"type": "ClusterIP", "clusterIP": address});
    let (mut made, mut unmade) = (service(asks("10.0.0.10")), service(asks("10.0.0.11")));
    for new in [&mut made, &mut unmade] {
        let mut hold = allocators.allocate(new, None).unwrap();
        hold.begin();
        drop(hold);
    }
    assert!(created(&allocators, asks("10.0.0.11")).is_err());
    allocators.settle(Instant::now(), || panic!("it is too early to look"));
    tokio::time::advance(DOUBT).await;
    allocators.settle(Instant::now(), || vec![made]);
    created(&allocators, asks("10.0.0.11")).unwrap();
    assert!(created(&allocators, asks("10.0.0.10")).is_err());
}
