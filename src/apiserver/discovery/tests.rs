use super::*;

#[test]
fn versions_rank_as_clients_expect() {
    let mut versions = ["v1alpha1", "v2beta1", "v1", "foo", "v10", "v2beta2", "v2"];
    versions.sort_by_key(|v| std::cmp::Reverse(version_rank(v)));
    assert_eq!(versions, ["v10", "v2", "v1", "v2beta2", "v2beta1", "v1alpha1", "foo"]);
}

#[test]
fn groups_come_in_upstreams_order() {
    let groups = grouped(Catalog::default().all(), &[]);
    assert_eq!(&*groups[0].name, "");
    assert_eq!(&*groups[2].name, "apps");
    let autoscaling = groups.iter().find(|g| &*g.name == "autoscaling").unwrap();
    assert_eq!(autoscaling.versions.iter().map(|(v, _)| &**v).collect::<Vec<_>>(), ["v2", "v1"]);
}

#[test]
fn the_versions_served_unasked_are_upstreams() {
    let expect = "admissionregistration.k8s.io/v1 apiextensions.k8s.io/v1 apiregistration.k8s.io/v1 apps/v1 \
        authentication.k8s.io/v1 authorization.k8s.io/v1 autoscaling/v1 autoscaling/v2 batch/v1 certificates.k8s.io/v1 \
        coordination.k8s.io/v1 discovery.k8s.io/v1 events.k8s.io/v1 flowcontrol.apiserver.k8s.io/v1 networking.k8s.io/v1 \
        node.k8s.io/v1 policy/v1 rbac.authorization.k8s.io/v1 resource.k8s.io/v1 scheduling.k8s.io/v1 storage.k8s.io/v1 v1";
    let served: std::collections::BTreeSet<String> =
        Catalog::default().all().iter().map(|row| row.api_version()).collect();
    assert_eq!(served.into_iter().collect::<Vec<_>>().join(" "), expect);
}

#[test]
fn subresources_name_their_kinds() {
    let catalog = Catalog::default();
    let core = legacy_rows(&catalog, "", "v1");
    let find = |list: &serde_json::Value, name: &str| {
        list["resources"].as_array().unwrap().iter().find(|r| r["name"] == name).unwrap().clone()
    };
    assert_eq!(find(&core, "pods")["shortNames"], serde_json::json!(["po"]));
    let eviction = find(&core, "pods/eviction");
    assert_eq!((&eviction["group"], &eviction["kind"]), (&"policy".into(), &"Eviction".into()));
    let apps = legacy_rows(&catalog, "apps", "v1");
    let scale = find(&apps, "deployments/scale");
    assert_eq!(
        (&scale["group"], &scale["version"], &scale["kind"]),
        (&"autoscaling".into(), &"v1".into(), &"Scale".into())
    );
    assert_eq!(find(&core, "pods/exec")["kind"], "PodExecOptions");
    assert!(find(&core, "pods/exec").get("group").is_none());
}
