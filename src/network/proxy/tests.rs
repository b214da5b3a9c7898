//! Plans as data; traffic through them is in `tests/kernel.rs`.

mod kernel;

use serde_json::{Value, json};

use super::plan::{Context, plan};
use super::rules::{Rules, ServiceKey};

/// The rules for one service and its slices, printed; the service is `default/web` at 10.43.0.9.
fn print(spec: Value, status: Value, slices: &[Value]) -> String {
    let mut service = json!({ "spec": { "type": "ClusterIP", "clusterIP": "10.43.0.9" }, "status": status });
    service["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    let context =
        Context { node_name: "n1".into(), zone: Some("z1".into()), cluster_cidr: "10.42.0.0/16".parse().unwrap() };
    let slices: Vec<_> = slices.iter().map(|slice| serde_json::from_value(slice.clone()).unwrap()).collect();
    let plan = plan(&context, "default", "web", &serde_json::from_value(service).unwrap(), &slices);
    let mut rules = Rules::new("10.43.0.0/16".parse().unwrap());
    rules.set(&ServiceKey::from("default/web"), Some(plan));
    rules.to_string()
}

/// A slice with port 8080 named `http`; endpoints as `address node condition`.
fn slice(endpoints: &[&str]) -> Value {
    let endpoints: Vec<_> = endpoints
        .iter()
        .map(|text| {
            let mut words = text.split(' ');
            let mut word = || words.next().unwrap_or_default();
            let (address, node, state) = (word(), word(), word());
            let conditions = match state {
                "terminating" => json!({ "ready": false, "serving": true, "terminating": true }),
                "unready" => json!({ "ready": false, "serving": false, "terminating": false }),
                "gone" => json!({ "ready": false, "serving": false, "terminating": true }),
                _ => json!({ "ready": true }),
            };
            let mut endpoint = json!({ "addresses": [address], "nodeName": node, "conditions": conditions });
            if let Some(zone) = state.strip_prefix("zone=") {
                endpoint["hints"] = json!({ "forZones": [{ "name": zone }] });
            }
            endpoint
        })
        .collect();
    json!({
        "addressType": "IPv4",
        "ports": [{ "name": "http", "protocol": "TCP", "port": 8080 }],
        "endpoints": endpoints,
    })
}

fn check(spec: Value, slices: &[Value], expect: &str) {
    check_status(spec, json!({}), slices, expect);
}

fn check_status(spec: Value, status: Value, slices: &[Value], expect: &str) {
    let lines = |text: &str| text.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>().join("\n");
    let found = print(spec, status, slices);
    assert_eq!(lines(found.trim()), lines(expect.trim()), "\nfound:\n{found}");
}

fn port() -> Value {
    json!([{ "name": "http", "port": 80, "protocol": "TCP" }])
}

fn node_port() -> Value {
    json!([{ "name": "http", "port": 80, "nodePort": 30080 }])
}

#[test]
fn endpoints_are_the_ready_ones_else_those_that_still_serve() {
    let balance = |slices: &[Value]| {
        let text = print(json!({ "ports": port() }), json!({}), slices);
        let behind = |prefix: &str| {
            let lines = text.lines().filter_map(|line| line.trim().strip_prefix(prefix));
            lines.map(|rest| rest.split(" : ").last().unwrap_or_default().replace(" . ", ":")).collect::<Vec<_>>()
        };
        let (one, many, unserved) = (behind("dnat to "), behind("endpoints: "), behind("unserved: "));
        if !many.is_empty() {
            assert!(one[0].contains(&format!("random mod {} offset 0", many.len())), "{text}");
            return many.join(" ");
        }
        one.into_iter().chain(unserved).collect()
    };
    let check = |slices: &[&[&str]], expect: &str| {
        let slices: Vec<_> = slices.iter().map(|endpoints| slice(endpoints)).collect();
        assert_eq!(balance(&slices), expect);
    };
    let refused = "goto reject";
    check(&[], refused);
    check(&[&[]], refused);
    check(&[&["10.42.1.1 n1"]], "10.42.1.1:8080");
    check(
        &[&["10.42.1.2 n1", "10.42.1.1 n2"], &["10.42.1.3 n1", "10.42.1.1 n2"]],
        "10.42.1.1:8080 10.42.1.2:8080 10.42.1.3:8080",
    );
    check(&[&["10.42.1.1 n1", "10.42.1.2 n1 terminating", "10.42.1.3 n1 unready"]], "10.42.1.1:8080");
    check(&[&["10.42.1.2 n1 terminating", "10.42.1.3 n1 unready", "10.42.1.4 n1 gone"]], "10.42.1.2:8080");
    check(&[&["10.42.1.3 n1 unready", "10.42.1.4 n1 gone"]], refused);
    check(&[&["10.42.1.1 n1 terminating"], &["10.42.1.1 n1"]], "10.42.1.1:8080");
    check(&[&["10.42.1.1 n1 zone=z1", "10.42.1.2 n2 zone=z2"]], "10.42.1.1:8080");
    let both = "10.42.1.1:8080 10.42.1.2:8080";
    check(&[&["10.42.1.1 n1 zone=z3", "10.42.1.2 n2 zone=z2"]], both);
    check(&[&["10.42.1.1 n1 zone=z1", "10.42.1.2 n2"]], both);

    let mut other = slice(&["10.42.1.1 n1"]);
    other["addressType"] = "IPv6".into();
    assert_eq!(balance(&[other]), refused);
    let mut other = slice(&["10.42.1.1 n1"]);
    other["ports"][0]["name"] = "https".into();
    assert_eq!(balance(&[other]), refused);
    let mut other = slice(&["10.42.1.1 n1"]);
    other["ports"][0]["protocol"] = "UDP".into();
    assert_eq!(balance(&[other]), refused);
}

#[test]
fn a_cluster_ip_has_one_chain() {
    check(
        json!({ "ports": port() }),
        &[slice(&["10.42.1.1 n1", "10.42.2.1 n2"])],
        "endpoints: 10.43.0.9 . tcp . 80 . 0 : 10.42.1.1 . 8080
         endpoints: 10.43.0.9 . tcp . 80 . 1 : 10.42.2.1 . 8080
         hairpin: 10.42.1.1 . 10.42.1.1
         services: 10.43.0.9 . tcp . 80 : goto cluster/default/web/tcp/http
         chain cluster/default/web/tcp/http {
           ip daddr 10.43.0.9 ip saddr != 10.42.0.0/16 jump mark-for-masquerade
           dnat to 10.43.0.9 . tcp . 80 . numgen random mod 2 offset 0 map @endpoints-38
         }",
    );
}

#[test]
fn services_without_a_virtual_address_need_nothing() {
    for spec in [
        json!({ "ports": port(), "clusterIP": "None" }),
        json!({ "ports": port(), "clusterIP": "" }),
        json!({ "ports": port(), "clusterIP": "fd00::1" }),
        json!({ "ports": port(), "type": "ExternalName" }),
    ] {
        check(spec, &[slice(&["10.42.1.1 n1"])], "");
    }
}

#[test]
fn internal_policy_local_stays_on_the_node_or_drops() {
    let spec = || json!({ "ports": port(), "internalTrafficPolicy": "Local" });
    check(
        spec(),
        &[slice(&["10.42.1.1 n1", "10.42.2.1 n2"])],
        "hairpin: 10.42.1.1 . 10.42.1.1
         services: 10.43.0.9 . tcp . 80 : goto local/default/web/tcp/http
         chain local/default/web/tcp/http {
           ip daddr 10.43.0.9 ip saddr != 10.42.0.0/16 jump mark-for-masquerade
           dnat to 10.42.1.1:8080
         }",
    );
    check(spec(), &[slice(&["10.42.2.1 n2"])], "unserved: 10.43.0.9 . tcp . 80 : drop");
    check(spec(), &[], "unserved: 10.43.0.9 . tcp . 80 : goto reject");
}

#[test]
fn traffic_from_outside_is_masqueraded_or_stays_on_the_node() {
    let cluster_chain = "chain cluster/default/web/tcp/http {
           ip daddr 10.43.0.9 ip saddr != 10.42.0.0/16 jump mark-for-masquerade
           dnat to 10.42.2.1:8080
         }";
    check(
        json!({ "ports": node_port(), "type": "NodePort", "externalIPs": ["198.51.100.7", "fd00::7"] }),
        &[slice(&["10.42.2.1 n2"])],
        &format!(
            "nodeports: tcp . 30080 : goto external/default/web/tcp/http
         services: 10.43.0.9 . tcp . 80 : goto cluster/default/web/tcp/http
         services: 198.51.100.7 . tcp . 80 : goto external/default/web/tcp/http
         {cluster_chain}
         chain external/default/web/tcp/http {{
           jump mark-for-masquerade
           goto cluster/default/web/tcp/http
         }}"
        ),
    );
    check(
        json!({ "ports": node_port(), "type": "NodePort", "externalTrafficPolicy": "Local" }),
        &[slice(&["10.42.2.1 n2"])],
        &format!(
            "nodeports: tcp . 30080 : goto external/default/web/tcp/http
         services: 10.43.0.9 . tcp . 80 : goto cluster/default/web/tcp/http
         unserved-nodeports: tcp . 30080 : drop
         {cluster_chain}
         chain external/default/web/tcp/http {{
           ip saddr 10.42.0.0/16 goto cluster/default/web/tcp/http
           fib saddr type local jump mark-for-masquerade
           fib saddr type local goto cluster/default/web/tcp/http
         }}"
        ),
    );
    check(
        json!({ "ports": node_port(), "type": "NodePort" }),
        &[],
        "unserved: 10.43.0.9 . tcp . 80 : goto reject
         unserved-nodeports: tcp . 30080 : goto reject",
    );
}

#[test]
fn a_load_balancer_may_have_source_ranges() {
    let spec = json!({
        "ports": port(),
        "type": "LoadBalancer",
        "externalTrafficPolicy": "Local",
        "loadBalancerSourceRanges": ["203.0.113.0/24", " 198.51.100.1/32 ", "fd00::/8"],
    });
    let ingress = json!([{ "ip": "192.0.2.1" }, { "ip": "192.0.2.2", "ipMode": "Proxy" }, { "hostname": "lb" }]);
    check_status(
        spec,
        json!({ "loadBalancer": { "ingress": ingress } }),
        &[slice(&["10.42.1.1 n1"])],
        "hairpin: 10.42.1.1 . 10.42.1.1
         services: 10.43.0.9 . tcp . 80 : goto cluster/default/web/tcp/http
         services: 192.0.2.1 . tcp . 80 : goto firewall/default/web/tcp/http
         chain cluster/default/web/tcp/http {
           ip daddr 10.43.0.9 ip saddr != 10.42.0.0/16 jump mark-for-masquerade
           dnat to 10.42.1.1:8080
         }
         chain external/default/web/tcp/http {
           ip saddr 10.42.0.0/16 goto cluster/default/web/tcp/http
           fib saddr type local jump mark-for-masquerade
           fib saddr type local goto cluster/default/web/tcp/http
           goto local/default/web/tcp/http
         }
         chain firewall/default/web/tcp/http {
           ip saddr 203.0.113.0/24 goto external/default/web/tcp/http
           ip saddr 198.51.100.1 goto external/default/web/tcp/http
           drop
         }
         chain local/default/web/tcp/http {
           ip daddr 10.43.0.9 ip saddr != 10.42.0.0/16 jump mark-for-masquerade
           dnat to 10.42.1.1:8080
         }",
    );
}

#[test]
fn session_affinity_remembers_clients_in_a_set_for_each_endpoint() {
    check(
        json!({ "ports": port(), "sessionAffinity": "ClientIP" }),
        &[slice(&["10.42.2.1 n2", "10.42.2.2 n2"])],
        "services: 10.43.0.9 . tcp . 80 : goto cluster/default/web/tcp/http
         set sticky/default/web/tcp/http/10.42.2.1/8080 { type ipv4_addr; flags dynamic,timeout; timeout 10800s }
         set sticky/default/web/tcp/http/10.42.2.2/8080 { type ipv4_addr; flags dynamic,timeout; timeout 10800s }
         chain cluster/default/web/tcp/http {
           ip daddr 10.43.0.9 ip saddr != 10.42.0.0/16 jump mark-for-masquerade
           ip saddr @sticky/default/web/tcp/http/10.42.2.1/8080 goto sticky/default/web/tcp/http/10.42.2.1/8080
           ip saddr @sticky/default/web/tcp/http/10.42.2.2/8080 goto sticky/default/web/tcp/http/10.42.2.2/8080
           numgen random mod 2 vmap { 0 : goto sticky/default/web/tcp/http/10.42.2.1/8080, 1 : goto sticky/default/web/tcp/http/10.42.2.2/8080 }
         }
         chain sticky/default/web/tcp/http/10.42.2.1/8080 {
           update @sticky/default/web/tcp/http/10.42.2.1/8080 { ip saddr timeout 10800s }
           dnat to 10.42.2.1:8080
         }
         chain sticky/default/web/tcp/http/10.42.2.2/8080 {
           update @sticky/default/web/tcp/http/10.42.2.2/8080 { ip saddr timeout 10800s }
           dnat to 10.42.2.2:8080
         }",
    );
}

#[test]
fn one_number_may_be_two_ports() {
    let ports = json!([
        { "name": "dns", "port": 53, "protocol": "UDP" },
        { "name": "dns-tcp", "port": 53, "protocol": "TCP" },
        { "name": "odd", "port": 54, "protocol": "DCCP" },
    ]);
    check(
        json!({ "ports": ports }),
        &[],
        "unserved: 10.43.0.9 . tcp . 53 : goto reject
         unserved: 10.43.0.9 . udp . 53 : goto reject",
    );
}
