use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::pods::pod::Pod;
use crate::pods::spec::fields::NodeAmounts;
use crate::resources;

#[test]
fn variables_expand_where_they_are_known() {
    let known = BTreeMap::from([("A".to_owned(), "1".to_owned()), ("B".to_owned(), "$(A)".to_owned())]);
    let check = |text: &str, expect: &str| assert_eq!(expand(text, &known), expect);
    check("x$(A)y", "x1y");
    check("$(B)", "$(A)");
    check("$(NOPE)", "$(NOPE)");
    check("$$(A)", "$(A)");
    check("$A ${A} $", "$A ${A} $");
    check("$(A", "$(A");
    check("$$$(A)", "$1");
}

fn environment_of(container: Value, pod: Value) -> std::result::Result<Vec<(String, String)>, String> {
    let pod = Pod::from_api(serde_json::from_value(pod).unwrap());
    let container: Container = serde_json::from_value(container).unwrap();
    let data = |pairs: &[(&str, &str)]| {
        Some(pairs.iter().map(|(k, v)| ((*k).to_owned(), v.as_bytes().to_vec())).collect::<Data>())
    };
    let references = References {
        config_maps: HashMap::from([("conf".into(), data(&[("k", "v"), ("other", "w")])), ("none".into(), None)]),
        secrets: HashMap::from([("key".into(), data(&[("token", "s")]))]),
    };
    let context = Context {
        pod: &pod,
        pod_ips: &["10.0.0.9".parse().unwrap()],
        host_ips: &["192.0.2.1".parse().unwrap()],
        node: NodeAmounts { cpu_milli: 4000, memory: 8 << 30, ephemeral_storage: 0 },
    };
    let services = [("S_HOST".to_owned(), "10.43.0.1".to_owned())];
    let all = environment(&container, &references, &services, &context).map_err(|e| e.to_string())?;
    Ok(all.into_iter().map(|e| (e.name, e.value)).collect())
}

#[test]
fn every_source_gives_variables() {
    let check = |env: Value, from: Value, expect: std::result::Result<&[(&str, &str)], &str>| {
        let pod = json!({"metadata": {"name": "p", "namespace": "ns", "uid": "u", "labels": {"app": "x"}}, "spec": {"nodeName": "n1", "containers": []}});
        let container = json!({"name": "c", "env": env, "envFrom": from, "resources": {"limits": {"memory": "1Gi"}, "requests": {"cpu": "250m"}}});
        let result = environment_of(container, pod);
        match expect {
            Ok(pairs) => {
                let mut pairs: Vec<(String, String)> =
                    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
                if !pairs.iter().any(|(k, _)| k == "S_HOST") {
                    pairs.push(("S_HOST".into(), "10.43.0.1".into()));
                }
                assert_eq!(result.unwrap(), pairs);
            }
            Err(why) => assert_eq!(result.unwrap_err(), why),
        }
    };
    let none = json!([]);
    check(json!([{"name": "A", "value": "$(S_HOST)"}]), none.clone(), Ok(&[("A", "10.43.0.1")]));
    check(json!([{"name": "S_HOST", "value": "own"}]), none.clone(), Ok(&[("S_HOST", "own")]));
    check(
        none.clone(),
        json!([{"prefix": "P_", "configMapRef": {"name": "conf"}}]),
        Ok(&[("P_k", "v"), ("P_other", "w")]),
    );
    check(
        json!([{"name": "k", "value": "mine"}]),
        json!([{"configMapRef": {"name": "conf"}}]),
        Ok(&[("k", "mine"), ("other", "w")]),
    );
    check(none.clone(), json!([{"configMapRef": {"name": "none", "optional": true}}]), Ok(&[]));
    check(none.clone(), json!([{"configMapRef": {"name": "none"}}]), Err("configmap \"none\" not found"));
    let from = |source: Value| json!([{"name": "A", "valueFrom": source}]);
    check(from(json!({"secretKeyRef": {"name": "key", "key": "token"}})), none.clone(), Ok(&[("A", "s")]));
    check(from(json!({"secretKeyRef": {"name": "key", "key": "x", "optional": true}})), none.clone(), Ok(&[]));
    check(
        from(json!({"secretKeyRef": {"name": "key", "key": "x"}})),
        none.clone(),
        Err("couldn't find key x in Secret ns/key"),
    );
    for (path, value) in [
        ("metadata.labels['app']", "x"),
        ("metadata.name", "p"),
        ("spec.nodeName", "n1"),
        ("status.podIP", "10.0.0.9"),
        ("status.hostIP", "192.0.2.1"),
    ] {
        check(from(json!({"fieldRef": {"fieldPath": path}})), none.clone(), Ok(&[("A", value)]));
    }
    for (resource, divisor, value) in [
        ("limits.memory", "1Mi", "1024"),
        ("limits.cpu", "1", "4"),
        ("requests.cpu", "1m", "250"),
        ("requests.cpu", "1", "1"),
        ("requests.memory", "1Gi", "1"),
    ] {
        check(
            from(json!({"resourceFieldRef": {"resource": resource, "divisor": divisor}})),
            none.clone(),
            Ok(&[("A", value)]),
        );
    }
}

#[test]
fn services_of_the_namespace_and_the_api_show() {
    let service = |namespace: &str, name: &str, ip: &str| {
        let object = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace},
            "spec": {"clusterIP": ip, "ports": [{"name": "web", "port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"}]}});
        Object::received(Bytes::from(object.to_string()), resources::services()).unwrap()
    };
    let all = [
        service("default", "kubernetes", "10.43.0.1"),
        service("ns", "my-db", "10.43.0.2"),
        service("other", "x", "10.43.0.3"),
        service("ns", "headless", "None"),
    ];
    let names = |links: bool| service_variables(all.iter(), "ns", links);
    assert!(names(false).iter().all(|(k, _)| k.starts_with("KUBERNETES_")));
    let with = names(true);
    let get = |key: &str| with.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
    assert_eq!(get("MY_DB_SERVICE_HOST"), Some("10.43.0.2"));
    assert_eq!(get("MY_DB_SERVICE_PORT_DNS"), Some("53"));
    assert_eq!(get("MY_DB_PORT"), Some("tcp://10.43.0.2:80"));
    assert_eq!(get("MY_DB_PORT_53_UDP"), Some("udp://10.43.0.2:53"));
    assert_eq!(get("MY_DB_PORT_53_UDP_ADDR"), Some("10.43.0.2"));
    assert!(with.iter().all(|(k, _)| !k.starts_with("X_") && !k.starts_with("HEADLESS")));
}
