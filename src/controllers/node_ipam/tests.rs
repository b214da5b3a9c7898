use super::*;
use crate::testing::Running;
use api::DeleteOptions;
use client::testing::Cluster;
use serde_json::Value;

#[test]
fn networks_are_divided_without_overlap() {
    let check = |cidr: &str, index: u64, expect: &str| {
        let network = Network::parse(cidr, 24, 64).unwrap();
        assert_eq!(network.share(index), expect);
        assert_eq!(network.index(expect), Some(index));
    };
    check("10.42.0.0/16", 0, "10.42.0.0/24");
    check("10.42.0.0/16", 255, "10.42.255.0/24");
    check("10.42.7.1/16", 1, "10.42.1.0/24");
    check("192.168.1.0/24", 0, "192.168.1.0/24");
    check("fd00:42::/48", 5, "fd00:42:0:5::/64");
    assert_eq!(Network::parse("10.0.0.0/25", 24, 64), None);
    assert_eq!(Network::parse("10.0.0.0", 24, 64), None);
    assert_eq!(Network::parse("fd00::/32", 24, 64), None);
    let network = Network::parse("10.42.0.0/16", 24, 64).unwrap();
    assert_eq!(network.index("10.43.0.0/24"), None);
    assert_eq!(network.index("10.41.0.0/24"), None);
    assert_eq!(network.index("fd00::/64"), None);
    assert_eq!(network.free(&BTreeSet::from([0, 1, 3])), Some(2));
    assert_eq!(network.free(&(0..256).collect()), None);
}

#[tokio::test(start_paused = true)]
async fn nodes_get_shares_and_give_them_back() {
    let cluster = Cluster::new();
    let (client, nodes) = (cluster.client(), kinds::nodes());
    cluster.seed(&nodes, json!({ "metadata": { "name": "old" }, "spec": { "podCIDR": "10.42.0.0/24", "podCIDRs": ["10.42.0.0/24", "fd00::/64"] } }));
    let options = Options { cluster_cidrs: vec!["10.42.0.0/23".into(), "fd00::/63".into()], ..Options::default() };
    let running = Running::start(&cluster, &["node-ipam-controller"], options);
    let new = |name: &str| json!({ "metadata": { "name": name } });
    client.create(&nodes, "", new("one")).await.unwrap();
    let held = |all: &[Value], name: &str| {
        all.iter()
            .find(|n| n["metadata"]["name"] == name)
            .is_some_and(|n| n["spec"]["podCIDRs"] == json!(["10.42.1.0/24", "fd00:0:0:1::/64"]))
    };
    running.until(&nodes, |all| held(all, "one")).await;
    client.create(&nodes, "", new("two")).await.unwrap();
    running.until(&kinds::events(), |events| events.iter().any(|e| e["reason"] == "CIDRNotAvailable")).await;
    client.delete(&nodes, "", "one", DeleteOptions::default()).await.unwrap();
    running.until(&nodes, |all| held(all, "two")).await;
    running.stop().await;
}
