use serde_json::{Value, json};

use super::*;

fn pod(spec: Value) -> Pod {
    let mut spec = spec;
    spec["containers"] = json!([]);
    Pod::from_api(
        serde_json::from_value(json!({"metadata": {"name": "web-0", "namespace": "ns"}, "spec": spec})).unwrap(),
    )
}

#[test]
fn host_names_follow_spec_and_limits() {
    let check = |spec: Value, name: &str, domain: &str| {
        assert_eq!(hostname(&pod(spec), "n1", "cluster.local").unwrap(), (name.to_owned(), domain.to_owned()));
    };
    check(json!({}), "web-0", "");
    check(json!({"hostname": "h", "subdomain": "s"}), "h", "s.ns.svc.cluster.local");
    check(
        json!({"hostname": "h", "subdomain": "s", "setHostnameAsFQDN": true}),
        "h.s.ns.svc.cluster.local",
        "s.ns.svc.cluster.local",
    );
    check(json!({"hostNetwork": true}), "n1", "");
    assert!(
        hostname(
            &pod(json!({"hostname": "h".repeat(60), "subdomain": "s", "setHostnameAsFQDN": true})),
            "n1",
            "cluster.local"
        )
        .is_err()
    );
}

#[test]
fn dns_follows_its_policy() {
    let host = || parse_resolv_conf("nameserver 9.9.9.9\nsearch corp.example.\noptions timeout:1 # comment\n");
    let check = |spec: Value, servers: &[&str], searches: &[&str], options: &[&str]| {
        let (found, _) = dns(&pod(spec), &["10.43.0.10".parse().unwrap()], "cluster.local", host());
        assert_eq!((found.servers, found.searches, found.options), (owned(servers), owned(searches), owned(options)));
    };
    fn owned(all: &[&str]) -> Vec<String> {
        all.iter().map(|s| (*s).to_owned()).collect()
    }
    let cluster = ["ns.svc.cluster.local", "svc.cluster.local", "cluster.local", "corp.example"];
    check(json!({}), &["10.43.0.10"], &cluster, &["ndots:5"]);
    check(json!({"hostNetwork": true}), &["9.9.9.9"], &["corp.example"], &["timeout:1"]);
    check(
        json!({"hostNetwork": true, "dnsPolicy": "ClusterFirstWithHostNet"}),
        &["10.43.0.10"],
        &cluster,
        &["ndots:5"],
    );
    check(json!({"dnsPolicy": "Default"}), &["9.9.9.9"], &["corp.example"], &["timeout:1"]);
    let own = json!({"nameservers": ["1.1.1.1"], "searches": ["x"], "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]});
    check(json!({"dnsPolicy": "None", "dnsConfig": own}), &["1.1.1.1"], &["x"], &["ndots:2", "edns0"]);
    let both: Vec<&str> = cluster.iter().copied().chain(["x"]).collect();
    check(json!({"dnsConfig": own}), &["10.43.0.10", "1.1.1.1"], &both, &["ndots:2", "edns0"]);
}

#[test]
fn the_hosts_file_names_the_pod_and_its_aliases() {
    let aliased = pod(json!({"hostAliases": [{"ip": "1.2.3.4", "hostnames": ["a", "b"]}]}));
    let text = hosts_file(&aliased, &["10.0.0.1".parse().unwrap()], "h", "s.ns.svc.cluster.local", "");
    assert!(text.starts_with("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n"));
    assert!(text.contains("\n10.0.0.1\th.s.ns.svc.cluster.local\th\n"));
    assert!(text.ends_with("\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n"));
    let host = hosts_file(&pod(json!({"hostNetwork": true})), &[], "n1", "", "127.0.0.1 n1\n");
    assert_eq!(host, "# Kubernetes-managed hosts file (host network).\n127.0.0.1 n1\n");
}
