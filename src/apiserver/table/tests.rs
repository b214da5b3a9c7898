use std::path::PathBuf;
use std::sync::Arc;

use api::Object;
use api::resource::{PrinterColumn, find};

use super::json_path::JsonPath;
use super::*;

mod pods;

/// What `now` is: an hour after the objects below were made.
fn now() -> Timestamp {
    "2026-01-01T01:00:00Z".parse().unwrap()
}

fn object(resource: &Resource, mut value: Value) -> Object {
    let metadata = &mut value["metadata"];
    if metadata.is_null() {
        *metadata = json!({ "name": "it" });
    }
    if metadata["creationTimestamp"].is_null() {
        metadata["creationTimestamp"] = "2026-01-01T00:00:00Z".into();
    }
    Object::encode(&value, 7, resource).unwrap()
}

/// The cells as a reader has them.
fn cells_at(resource: &Resource, object: &Object, now: Timestamp) -> Vec<Value> {
    let (mut made, mut kept) = (Vec::new(), Vec::new());
    write_cells(resource, object, now, &mut made);
    write_cells(resource, object, now, &mut kept);
    assert_eq!(made, kept);
    serde_json::from_slice(&made).unwrap()
}

/// `resource` is `group/version/plural`; the expected cells leave out the name, which comes first, and the age.
#[track_caller]
fn check(resource: &str, value: Value, expect: Value) {
    let parts: Vec<&str> = resource.split('/').collect();
    let resource = find(parts[0], parts[1], parts[2]).unwrap();
    let columns = columns(resource);
    let cells = cells_at(resource, &object(resource, value), now());
    assert_eq!(cells.len(), columns.as_array().unwrap().len(), "{resource:?}");
    let cells = columns.as_array().unwrap().iter().zip(cells);
    let cells: Vec<Value> = cells
        .filter(|(column, cell)| match column["name"].as_str() {
            Some("Name") => {
                assert!(cell.as_str().unwrap().starts_with("it"));
                cell != "it"
            }
            Some("Age") => {
                assert_eq!(cell, "60m");
                false
            }
            _ => true,
        })
        .map(|(_, cell)| cell)
        .collect();
    assert_eq!(Value::from(cells), expect, "{}", resource.plural);
}

#[test]
fn durations_read_as_kubectl_writes_them() {
    for (seconds, expect) in [
        (-2, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (200, "3m20s"),
        (599, "9m59s"),
        (600, "10m"),
        (10_799, "179m"),
        (10_800, "3h"),
        (11_520, "3h12m"),
        (28_800, "8h"),
        (172_799, "47h"),
        (172_800, "2d"),
        (187_200, "2d4h"),
        (691_200, "8d"),
        (63_071_999, "729d"),
        (63_072_000, "2y"),
        (64_000_000, "2y10d"),
        (252_288_000, "8y"),
    ] {
        assert_eq!(duration::human(seconds), expect, "{seconds}");
    }
}

#[test]
fn rows_that_are_kept_tell_the_time_all_the_same() {
    let resource = find("", "v1", "pods").unwrap();
    let pod = |padding: usize| {
        let ended = json!({ "terminated": { "exitCode": 1, "finishedAt": "2026-01-01T00:30:00Z" } });
        let container = json!({ "name": "c", "restartCount": 2, "state": { "running": {} }, "lastState": ended });
        object(
            resource,
            json!({
                "spec": { "containers": [{ "name": "c", "image": "i".repeat(padding) }] },
                "status": { "phase": "Running", "containerStatuses": [container] },
            }),
        )
    };
    let (large, small) = (pod(2000), pod(1));
    for (now, restarted, age) in [
        ("2026-01-01T01:00:00Z", "2 (30m ago)", "60m"),
        ("2026-01-01T04:00:00.9Z", "2 (3h30m ago)", "4h"),
        ("2025-12-31T23:59:58.5Z", "2 (<invalid> ago)", "0s"),
    ] {
        for pod in [&large, &small] {
            let cells = cells_at(resource, pod, now.parse().unwrap());
            assert_eq!((&cells[3], &cells[4]), (&restarted.into(), &age.into()));
        }
    }
    assert!(large.row().is_some() && small.row().is_none(), "rows are kept where they are small beside their objects");
    let stranger = Object::encode(&json!({ "metadata": { "name": "x" } }), 1, resource).unwrap();
    assert_eq!(cells_at(resource, &stranger, now())[4], "<unknown>");
}

#[test]
fn workloads_show_their_pods() {
    let template = json!({
        "metadata": { "labels": { "b": "2", "a": "1" }, "creationTimestamp": null },
        "spec": { "containers": [{ "name": "one", "image": "i:1" }, { "name": "two", "image": "i:2" }], "nodeSelector": { "disk": "ssd" } },
    });
    let selector = json!({ "matchLabels": { "app": "web" }, "matchExpressions": [{ "key": "tier", "operator": "In", "values": ["b", "a"] }] });
    let shown = "app=web,tier in (a,b)";
    let spec = json!({ "replicas": 5, "selector": selector, "template": template });
    let status = json!({ "replicas": 4, "readyReplicas": 2, "updatedReplicas": 3, "availableReplicas": 1 });
    let value = json!({ "spec": spec, "status": status });
    check("apps/v1/deployments", value.clone(), json!(["2/5", 3, 1, "one,two", "i:1,i:2", shown]));
    check("apps/v1/replicasets", value.clone(), json!([5, 4, 2, "one,two", "i:1,i:2", shown]));
    check("apps/v1/statefulsets", value, json!(["2/5", "one,two", "i:1,i:2"]));
    let value = json!({ "spec": { "replicas": 0, "selector": { "x": "y" }, "template": template } });
    check("/v1/replicationcontrollers", value, json!([0, 0, 0, "one,two", "i:1,i:2", "x=y"]));
    check("/v1/podtemplates", json!({ "template": template }), json!(["one,two", "i:1,i:2", "a=1,b=2"]));
    let status = json!({
        "desiredNumberScheduled": 6, "currentNumberScheduled": 5, "numberReady": 4,
        "updatedNumberScheduled": 3, "numberAvailable": 2,
    });
    let value = json!({ "spec": { "selector": {}, "template": template }, "status": status });
    check("apps/v1/daemonsets", value, json!([6, 5, 4, 3, 2, "disk=ssd", "one,two", "i:1,i:2", "<none>"]));
    let owner = json!([{ "apiVersion": "apps/v1", "kind": "DaemonSet", "name": "ds", "uid": "u", "controller": true }]);
    let value = json!({ "metadata": { "name": "it", "ownerReferences": owner }, "revision": 3 });
    check("apps/v1/controllerrevisions", value, json!(["daemonset.apps/ds", 3]));
    check("apps/v1/controllerrevisions", json!({ "revision": 1 }), json!(["<none>", 1]));
}

#[test]
fn jobs_show_how_far_they_are() {
    let job = |spec: Value, status: Value, expect: [&str; 3]| {
        let mut cells: Vec<&str> = expect.to_vec();
        cells.extend(["", "", "<none>"]);
        check("batch/v1/jobs", json!({ "spec": spec, "status": status }), json!(cells));
    };
    let condition = |ty: &str| json!([{ "type": ty, "status": "True" }]);
    job(json!({ "completions": 2 }), json!({ "succeeded": 1 }), ["Running", "1/2", ""]);
    job(json!({}), json!({}), ["Running", "0/1", ""]);
    job(json!({ "parallelism": 20 }), json!({ "succeeded": 3 }), ["Running", "3/1 of 20", ""]);
    let running = json!({ "startTime": "2026-01-01T00:40:00Z" });
    job(json!({ "completions": 1 }), running, ["Running", "0/1", "20m"]);
    let done = json!({
        "startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:00:32Z",
        "succeeded": 1, "conditions": condition("Complete"),
    });
    job(json!({ "completions": 1 }), done, ["Complete", "1/1", "32s"]);
    job(json!({ "completions": 1 }), json!({ "conditions": condition("Failed") }), ["Failed", "0/1", ""]);
    job(json!({ "completions": 1 }), json!({ "conditions": condition("Suspended") }), ["Suspended", "0/1", ""]);
    job(json!({ "completions": 1 }), json!({ "conditions": condition("FailureTarget") }), ["FailureTarget", "0/1", ""]);
    let refuted = json!({ "conditions": [{ "type": "Complete", "status": "False" }] });
    job(json!({ "completions": 1 }), refuted, ["Running", "0/1", ""]);

    let spec = json!({ "schedule": "0/5 * * * ?", "suspend": false, "jobTemplate": { "spec": { "template": { "spec": {
        "containers": [{ "name": "c", "image": "i" }] } } } } });
    let status = json!({ "lastScheduleTime": "2026-01-01T00:59:00Z", "active": [{}, {}] });
    check(
        "batch/v1/cronjobs",
        json!({ "spec": spec, "status": status }),
        json!(["0/5 * * * ?", "<none>", "False", 2, "60s", "c", "i", "<none>"]),
    );
    let spec = json!({ "schedule": "@daily", "timeZone": "Etc/UTC", "suspend": true });
    check(
        "batch/v1/cronjobs",
        json!({ "spec": spec }),
        json!(["@daily", "Etc/UTC", "True", 0, "<none>", "", "", "<none>"]),
    );
}

#[test]
fn services_show_how_they_are_reached() {
    let service = |spec: Value, status: Value, expect: Value| {
        check("/v1/services", json!({ "spec": spec, "status": status }), expect);
    };
    let ports = json!([{ "port": 80, "protocol": "TCP" }, { "port": 53, "nodePort": 30053, "protocol": "UDP" }]);
    let spec = json!({ "type": "ClusterIP", "clusterIPs": ["10.43.0.9"], "ports": ports, "selector": { "a": "b" } });
    service(spec, json!({}), json!(["ClusterIP", "10.43.0.9", "<none>", "80/TCP,53:30053/UDP", "a=b"]));
    let spec = json!({ "type": "NodePort", "clusterIPs": ["10.43.0.9"], "externalIPs": ["1.1.1.1", "2.2.2.2"], "ports": ports });
    service(spec, json!({}), json!(["NodePort", "10.43.0.9", "1.1.1.1,2.2.2.2", "80/TCP,53:30053/UDP", "<none>"]));
    let spec = json!({ "type": "LoadBalancer", "clusterIPs": ["10.43.0.9"], "externalIPs": ["3.3.3.3"] });
    let balanced = json!({ "loadBalancer": { "ingress": [{ "ip": "2.2.2.2" }, { "hostname": "a.example" }] } });
    service(spec, balanced, json!(["LoadBalancer", "10.43.0.9", "2.2.2.2,a.example,3.3.3.3", "<none>", "<none>"]));
    let spec = json!({ "type": "LoadBalancer", "clusterIPs": ["None"] });
    service(spec, json!({}), json!(["LoadBalancer", "None", "<pending>", "<none>", "<none>"]));
    let spec = json!({ "type": "ExternalName", "externalName": "my.example" });
    service(spec, json!({}), json!(["ExternalName", "<none>", "my.example", "<none>", "<none>"]));
}

#[test]
fn endpoints_show_three_and_count_the_rest() {
    let endpoints =
        |subsets: Value, expect: &str| check("/v1/endpoints", json!({ "subsets": subsets }), json!([expect]));
    let addresses = |ips: &[&str]| ips.iter().map(|ip| json!({ "ip": ip })).collect::<Value>();
    endpoints(json!([]), "<none>");
    endpoints(json!([{ "addresses": addresses(&["10.42.0.2"]), "ports": [{ "port": 80 }] }]), "10.42.0.2:80");
    endpoints(json!([{ "addresses": addresses(&["fd00::2"]), "ports": [{ "port": 80 }] }]), "[fd00::2]:80");
    endpoints(json!([{ "addresses": addresses(&["10.42.0.2", "10.42.0.3"]) }]), "10.42.0.2,10.42.0.3");
    endpoints(
        json!([{ "addresses": addresses(&["10.42.0.2", "10.42.0.3"]), "ports": [{ "port": 80 }, { "port": 81 }] }]),
        "10.42.0.2:80,10.42.0.3:80,10.42.0.2:81 + 1 more...",
    );

    let slice = |ports: Value, endpoints: Value, expect: [&str; 2]| {
        let value = json!({ "addressType": "IPv4", "ports": ports, "endpoints": endpoints });
        check("discovery.k8s.io/v1/endpointslices", value, json!(["IPv4", expect[0], expect[1]]));
    };
    slice(json!([{ "port": 80 }]), json!([{ "addresses": ["10.42.0.2"] }]), ["80", "10.42.0.2"]);
    slice(json!([{ "name": "web" }, {}]), json!(null), ["web,*", "<unset>"]);
    slice(
        json!([{ "port": 1 }, { "port": 2 }, { "port": 3 }, { "port": 4 }]),
        json!([{ "addresses": ["a", "b"] }, { "addresses": ["c", "d", "e"] }]),
        ["1,2,3 + 1 more...", "a,b,c + 2 more..."],
    );
}

#[test]
fn ingresses_and_policies() {
    let ingress = |rules: &[&str], expect: &str| {
        let rules: Value = rules.iter().map(|host| json!({ "host": host })).collect();
        let value = json!({ "spec": { "ingressClassName": "nginx", "rules": rules, "tls": [{}] } });
        check("networking.k8s.io/v1/ingresses", value, json!(["nginx", expect, "", "80, 443"]));
    };
    ingress(&[], "*");
    ingress(&["a", "b"], "a,b");
    ingress(&["a", "b", "c"], "a,b,c");
    ingress(&["a", "b", "c", "d"], "a,b,c + 1 more...");
    ingress(&["a", "b", "", "c", ""], "a,b,c + 2 more...");
    let value = json!({ "status": { "loadBalancer": { "ingress": [{ "ip": "10.0.0.1" }] } } });
    check("networking.k8s.io/v1/ingresses", value, json!(["<none>", "*", "10.0.0.1", "80"]));

    let parameters = json!({ "apiGroup": "example.com", "kind": "Deck", "name": "a" });
    let value = json!({ "spec": { "controller": "example.com/c", "parameters": parameters } });
    check("networking.k8s.io/v1/ingressclasses", value, json!(["example.com/c", "Deck.example.com/a"]));
    let value = json!({ "spec": { "podSelector": { "matchLabels": { "app": "db" } } } });
    check("networking.k8s.io/v1/networkpolicies", value, json!(["app=db"]));
    check("networking.k8s.io/v1/networkpolicies", json!({ "spec": { "podSelector": {} } }), json!(["<none>"]));
    check(
        "networking.k8s.io/v1/servicecidrs",
        json!({ "spec": { "cidrs": ["10.43.0.0/16", "fd00::/112"] } }),
        json!(["10.43.0.0/16,fd00::/112"]),
    );
    let parent = json!({ "group": "", "resource": "services", "namespace": "ns", "name": "web" });
    check("networking.k8s.io/v1/ipaddresses", json!({ "spec": { "parentRef": parent } }), json!(["services/ns/web"]));
}

#[test]
fn volumes_show_size_and_class() {
    let spec = json!({
        "capacity": { "storage": "10Gi" }, "accessModes": ["ReadOnlyMany", "ReadWriteOnce", "ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Delete", "storageClassName": "fast", "volumeMode": "Filesystem",
        "claimRef": { "namespace": "default", "name": "data" },
    });
    check(
        "/v1/persistentvolumes",
        json!({ "spec": spec, "status": { "phase": "Bound" } }),
        json!(["10Gi", "RWO,ROX", "Delete", "Bound", "default/data", "fast", "<unset>", "", "Filesystem"]),
    );
    let spec =
        json!({ "volumeName": "pv-1", "storageClassName": "fast", "resources": { "requests": { "storage": "1Gi" } } });
    let status = json!({ "phase": "Bound", "capacity": { "storage": "2Gi" }, "accessModes": ["ReadWriteMany"] });
    check(
        "/v1/persistentvolumeclaims",
        json!({ "spec": spec, "status": status }),
        json!(["Bound", "pv-1", "2Gi", "RWX", "fast", "<unset>", "<unset>"]),
    );
    let deleting = json!({ "name": "it", "deletionTimestamp": "2026-01-01T00:30:00Z" });
    check(
        "/v1/persistentvolumeclaims",
        json!({ "metadata": deleting, "status": { "phase": "Pending" } }),
        json!(["Terminating", "", "", "", "", "<unset>", "<unset>"]),
    );
    let metadata = json!({ "name": "it", "annotations": { "storageclass.kubernetes.io/is-default-class": "true" } });
    check(
        "storage.k8s.io/v1/storageclasses",
        json!({ "metadata": metadata, "provisioner": "p", "volumeBindingMode": "WaitForFirstConsumer" }),
        json!(["it (default)", "p", "Delete", "WaitForFirstConsumer", false]),
    );
    check("storage.k8s.io/v1/volumeattributesclasses", json!({ "driverName": "d" }), json!(["d"]));
    let spec = json!({ "attacher": "a", "nodeName": "n", "source": { "persistentVolumeName": "pv" } });
    check(
        "storage.k8s.io/v1/volumeattachments",
        json!({ "spec": spec, "status": { "attached": true } }),
        json!(["a", "pv", "n", true]),
    );
    check("storage.k8s.io/v1/csinodes", json!({ "spec": { "drivers": [{}, {}] } }), json!([2]));
    check(
        "storage.k8s.io/v1/csidrivers",
        json!({ "spec": {} }),
        json!([true, false, false, "<unset>", false, "<none>"]),
    );
}

#[test]
fn nodes_show_roles_and_readiness() {
    let node = |labels: Value, spec: Value, conditions: Value, expect: [&str; 2]| {
        let info = json!({ "kubeletVersion": "v1.35.0", "osImage": "Debian", "kernelVersion": "6.1" });
        let addresses =
            json!([{ "type": "Hostname", "address": "it" }, { "type": "InternalIP", "address": "10.0.0.1" }]);
        let status = json!({ "conditions": conditions, "nodeInfo": info, "addresses": addresses });
        let value = json!({ "metadata": { "name": "it", "labels": labels }, "spec": spec, "status": status });
        let rest = ["v1.35.0", "10.0.0.1", "<none>", "Debian", "6.1", "<unknown>"];
        check("/v1/nodes", value, json!([expect.as_slice(), rest.as_slice()].concat()));
    };
    let ready = |status: &str| json!([{ "type": "Ready", "status": status }]);
    node(json!({}), json!({}), json!([]), ["Unknown", "<none>"]);
    node(json!({ "node-role.kubernetes.io/": "" }), json!({}), ready("True"), ["Ready", "<none>"]);
    node(json!({}), json!({}), ready("Unknown"), ["NotReady", "<none>"]);
    let roles = json!({ "node-role.kubernetes.io/control-plane": "", "node-role.kubernetes.io/etcd": "true", "kubernetes.io/role": "a" });
    node(roles, json!({ "unschedulable": true }), ready("True"), ["Ready,SchedulingDisabled", "a,control-plane,etcd"]);
}

#[test]
fn events_of_both_groups_read_alike() {
    let value = json!({
        "involvedObject": { "kind": "Pod", "name": "web", "fieldPath": "spec.containers{c}" }, "type": "Normal",
        "reason": "Pulled", "message": " done \n", "count": 6, "source": { "component": "kubelet", "host": "n1" },
        "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:57:00Z",
    });
    let expect = json!(["3m", "Normal", "Pulled", "pod/web", "spec.containers{c}", "kubelet, n1", "done", "60m", 6]);
    check("/v1/events", value, expect);
    let value = json!({
        "regarding": { "kind": "Node", "name": "n1" }, "type": "Warning", "reason": "R", "note": "it is so",
        "eventTime": "2026-01-01T00:59:00.000000Z", "reportingController": "c", "reportingInstance": "c-1",
    });
    check(
        "events.k8s.io/v1/events",
        value,
        json!(["60s", "Warning", "R", "node/n1", "", "c, c-1", "it is so", "60s", 1]),
    );
    let value = json!({
        "involvedObject": { "kind": "Pod" }, "eventTime": "2026-01-01T00:00:00.000000Z", "reportingComponent": "c",
        "series": { "count": 9, "lastObservedTime": "2026-01-01T00:59:30.000000Z" },
    });
    check("/v1/events", value, json!(["30s", "", "", "pod", "", "c", "", "60m", 9]));
}

#[test]
fn autoscalers_show_metrics_beside_targets() {
    let autoscaler = |metrics: Value, current: Value, expect: &str| {
        let spec =
            json!({ "scaleTargetRef": { "kind": "Deployment", "name": "web" }, "maxReplicas": 5, "metrics": metrics });
        let value = json!({ "spec": spec, "status": { "currentReplicas": 2, "currentMetrics": current } });
        check("autoscaling/v2/horizontalpodautoscalers", value, json!(["Deployment/web", expect, "<unset>", 5, 2]));
    };
    let cpu = json!({ "type": "Resource", "resource": { "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 80 } } });
    let pods = json!({ "type": "Pods", "pods": { "metric": { "name": "m" }, "target": { "averageValue": "100m" } } });
    let external =
        json!({ "type": "External", "external": { "metric": { "name": "m" }, "target": { "averageValue": "50" } } });
    let object = json!({ "type": "Object", "object": { "metric": { "name": "m" }, "target": { "value": "2k" } } });
    autoscaler(json!([]), json!([]), "<none>");
    autoscaler(json!([cpu]), json!([]), "cpu: <unknown>/80%");
    let current =
        json!([{ "type": "Resource", "resource": { "name": "cpu", "current": { "averageUtilization": 50 } } }]);
    autoscaler(json!([cpu]), current, "cpu: 50%/80%");
    autoscaler(json!([pods]), json!([{ "pods": { "current": { "averageValue": "0.05" } } }]), "50m/100m");
    autoscaler(json!([external]), json!([]), "<unknown>/50 (avg)");
    autoscaler(json!([object]), json!([{ "object": { "current": { "value": "1500" } } }]), "1500/2k");
    autoscaler(json!([cpu, pods, external]), json!([]), "cpu: <unknown>/80%, <unknown>/100m + 1 more...");
    let spec = json!({ "scaleTargetRef": { "kind": "RC", "name": "a" }, "minReplicas": 1, "maxReplicas": 2, "targetCPUUtilizationPercentage": 60 });
    let status = json!({ "currentReplicas": 1, "currentCPUUtilizationPercentage": 30 });
    let value =
        json!({ "kind": "HorizontalPodAutoscaler", "apiVersion": "autoscaling/v1", "spec": spec, "status": status });
    check("autoscaling/v1/horizontalpodautoscalers", value.clone(), json!(["RC/a", "cpu: 30%/60%", "1", 2, 1]));
    let mut noted = value;
    let metrics = json!([{ "type": "Pods", "pods": { "metricName": "m", "targetAverageValue": "10" } }]).to_string();
    noted["metadata"] = json!({ "name": "it", "annotations": { "autoscaling.alpha.kubernetes.io/metrics": metrics } });
    let expect = "<unknown>/10, cpu: <unknown>/60%";
    noted["status"] = json!({ "currentReplicas": 1 });
    check("autoscaling/v1/horizontalpodautoscalers", noted, json!(["RC/a", expect, "1", 2, 1]));
}

#[test]
fn rules_and_requests() {
    let subjects = json!([
        { "kind": "User", "name": "u1" }, { "kind": "User", "name": "u2" }, { "kind": "Group", "name": "g" },
        { "kind": "ServiceAccount", "namespace": "ns", "name": "sa" },
    ]);
    let value = json!({ "roleRef": { "kind": "ClusterRole", "name": "admin" }, "subjects": subjects });
    for kind in ["rolebindings", "clusterrolebindings"] {
        let resource = format!("rbac.authorization.k8s.io/v1/{kind}");
        check(&resource, value.clone(), json!(["ClusterRole/admin", "u1, u2", "g", "ns/sa"]));
    }
    let request = |conditions: Value, certificate: &str, expect: &str| {
        let value = json!({
            "spec": { "signerName": "s/n", "username": "u", "expirationSeconds": 3600 },
            "status": { "conditions": conditions, "certificate": certificate },
        });
        check("certificates.k8s.io/v1/certificatesigningrequests", value, json!(["s/n", "u", "60m", expect]));
    };
    request(json!([]), "", "Pending");
    request(json!([{ "type": "Approved" }]), "Y2E=", "Approved,Issued");
    request(json!([{ "type": "Approved" }, { "type": "Denied" }, { "type": "Failed" }]), "", "Denied,Failed");
    let budget = json!({ "spec": { "minAvailable": "50%" }, "status": { "disruptionsAllowed": 3 } });
    check("policy/v1/poddisruptionbudgets", budget, json!(["50%", "N/A", 3]));
    check("policy/v1/poddisruptionbudgets", json!({ "spec": { "maxUnavailable": 1 } }), json!(["N/A", "1", 0]));
    let status = json!({
        "hard": { "pods": "10", "limits.cpu": "2", "requests.memory": "1Gi" }, "used": { "pods": "3", "limits.cpu": "1500m" },
    });
    check(
        "/v1/resourcequotas",
        json!({ "status": status }),
        json!(["pods: 3/10, requests.memory: 0/1Gi", "limits.cpu: 1500m/2"]),
    );
    let spec = json!({ "priorityLevelConfiguration": { "name": "exempt" }, "matchingPrecedence": 1 });
    check("flowcontrol.apiserver.k8s.io/v1/flowschemas", json!({ "spec": spec }), json!(["exempt", 1, "<none>", "?"]));
    let limited = json!({ "nominalConcurrencyShares": 30, "limitResponse": { "type": "Queue", "queuing": { "queues": 64, "handSize": 6, "queueLengthLimit": 50 } } });
    let level = "flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations";
    check(level, json!({ "spec": { "type": "Limited", "limited": limited } }), json!(["Limited", 30, 64, 6, 50]));
    check(level, json!({ "spec": { "type": "Exempt" } }), json!(["Exempt", "<none>", "<none>", "<none>", "<none>"]));
    let binding = json!({ "spec": { "policyName": "p", "paramRef": { "name": "n" } } });
    let bindings = "admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";
    check(bindings, binding, json!(["p", "*/n"]));
    let selector = json!({ "matchLabels": { "k": "v", "a": "b" }, "matchExpressions": [{ "key": "e", "operator": "In", "values": ["x", "y"] }] });
    let binding = json!({ "spec": { "policyName": "p", "paramRef": { "selector": selector } } });
    let expect = "&LabelSelector{MatchLabels:map[string]string{a: b,k: v,},\
                  MatchExpressions:[]LabelSelectorRequirement{LabelSelectorRequirement{Key:e,Operator:In,Values:[x y],},},}";
    check(bindings, binding, json!(["p", expect]));
}

#[test]
fn plain_kinds() {
    check("/v1/configmaps", json!({ "data": { "a": "1" }, "binaryData": { "b": "AA==" } }), json!([2]));
    check("/v1/secrets", json!({ "type": "Opaque", "data": { "a": "AA==" } }), json!(["Opaque", 1]));
    check("/v1/serviceaccounts", json!({ "secrets": [{ "name": "s" }] }), json!([]));
    check("/v1/namespaces", json!({ "status": { "phase": "Active" } }), json!(["Active"]));
    check("coordination.k8s.io/v1/leases", json!({ "spec": { "holderIdentity": "me" } }), json!(["me"]));
    check("node.k8s.io/v1/runtimeclasses", json!({ "handler": "runc" }), json!(["runc"]));
    check(
        "scheduling.k8s.io/v1/priorityclasses",
        json!({ "value": 7, "preemptionPolicy": "Never" }),
        json!([7, false, "Never"]),
    );
    check("/v1/limitranges", json!({}), json!(["2026-01-01T00:00:00Z"]));
    check("rbac.authorization.k8s.io/v1/roles", json!({}), json!(["2026-01-01T00:00:00Z"]));
    check("apiextensions.k8s.io/v1/customresourcedefinitions", json!({}), json!(["2026-01-01T00:00:00Z"]));
    check(
        "resource.k8s.io/v1/resourceclaims",
        json!({ "status": { "allocation": {}, "reservedFor": [{}] } }),
        json!(["allocated,reserved"]),
    );
    let available = json!([{ "type": "Available", "status": "False", "reason": "MissingEndpoints" }]);
    let value =
        json!({ "spec": { "service": { "namespace": "ns", "name": "s" } }, "status": { "conditions": available } });
    check("apiregistration.k8s.io/v1/apiservices", value, json!(["ns/s", "False (MissingEndpoints)"]));
    check("apiregistration.k8s.io/v1/apiservices", json!({ "spec": {} }), json!(["Local", "Unknown"]));
}

/// Upstream's golden samples fill every field there is: each must give a whole row.
#[test]
#[allow(clippy::print_stderr)]
fn samples_of_every_kind_give_whole_rows() {
    let data = std::env::var_os("ISOPOD_TESTDATA")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/testdata")), PathBuf::from);
    if !data.join("kubernetes-api").is_dir() {
        eprintln!("no golden samples here: set ISOPOD_TESTDATA to the folder that has kubernetes-api/");
        return;
    }
    // Upstream keeps no samples of the kinds of the extension and aggregation servers.
    let sampled = |resource: &&Arc<Resource>| {
        resource.verbs.contains(&"get")
            && !["apiextensions.k8s.io", "apiregistration.k8s.io"].contains(&&*resource.group)
    };
    for resource in api::resource::builtin().iter().filter(sampled) {
        let group = if resource.is_core() { "core" } else { &*resource.group };
        let file = data.join("kubernetes-api").join(format!("{group}.{}.{}.json", resource.version, resource.kind));
        let bytes = std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let sample: Value = serde_json::from_slice(&bytes).unwrap();
        let object = Object::encode(&sample, 1, resource).unwrap();
        let columns = columns(resource);
        let cells = cells_at(resource, &object, now());
        assert_eq!(cells.len(), columns.as_array().unwrap().len(), "{}", resource.plural);
        // Not what stands in for a row that could not be read.
        assert!(cells.iter().filter(|cell| *cell == "<unknown>").count() < 2, "{} {cells:?}", resource.plural);
        if let Some((_, fill)) = kind(resource) {
            assert!(fill(&object).is_ok(), "{}", resource.plural);
        }
    }
}

/// What kube-apiserver 1.35 shows.
#[test]
fn paths_lead_to_the_first_value() {
    let object = json!({
        "spec": {
            "ports": [
                { "name": "a", "port": 1, "on": true, "x": [1], "l": [1], "twin": 1 },
                { "name": "b", "port": 2, "l": [1, 2], "twin": 3 },
                { "name": "it's", "port": 4 },
            ],
            "l": [1, 2, 3], "empty": [], "text": "hello", "f": 1.5, "nul": null, "o": { "k": "v" },
        },
        "metadata": { "labels": { "a.b/c": "x" } },
        "status": { "conditions": [{ "type": "Synced", "status": "False" }, { "type": "Ready", "status": "True" }] },
    });
    for (path, expect) in [
        (".spec.ports[0].name", Some(json!("a"))),
        (".spec.ports[-1].port", Some(json!(4))),
        (".spec.ports[*].port", Some(json!(1))),
        (".spec.ports[9]", None),
        (".spec.missing.deep", None),
        (".", None),
        // Names.
        (r".metadata.labels.a\.b/c", Some(json!("x"))),
        (r".metadata.labels['a\.b/c']", Some(json!("x"))),
        (".metadata.labels['a.b/c']", None),
        (".spec['text']", Some(json!("hello"))),
        (".spec['f','text']", Some(json!(1.5))),
        (".spec.$.text", None),
        (".spec$ .text", Some(json!("hello"))),
        (".spec.text}{.spec.f", Some(json!("hello"))),
        // Places.
        (".spec.l[]", Some(json!(1))),
        (".spec.l[1:]", Some(json!(2))),
        (".spec.l[-2:]", Some(json!(2))),
        (".spec.l[:-1]", Some(json!(1))),
        (".spec.l[1,0]", Some(json!(2))),
        (".spec.l[1:1]", None),
        (".spec.l[2:1]", None),
        (".spec.l[0:9]", None),
        (".spec.l[0:3:0]", None),
        (".spec.l[::2]", Some(json!(1))),
        (".spec.empty[0]", None),
        (".spec.empty[:]", None),
        (".spec.text[0]", None),
        (".spec.o.*", Some(json!("v"))),
        (".spec.text.*", Some(json!(104))),
        (".spec.text.x", None),
        // Whatever is within.
        ("..port", Some(json!(1))),
        (".spec...l", Some(json!([1, 2, 3]))),
        // Conditions.
        (r#".status.conditions[?(@.type=="Ready")].status"#, Some(json!("True"))),
        (r#".status.conditions[?(@.type=="Gone")].status"#, None),
        (".spec.ports[?(@.port>1)].name", Some(json!("b"))),
        (".spec.ports[?(@.port>1.0)].name", None),
        (".spec.ports[?( @.name != 'a' )].port", Some(json!(2))),
        (r".spec.ports[?(@.name=='it\'s')].port", Some(json!(4))),
        (".spec.ports[?(@.name!=5)].port", None),
        (".spec.ports[?(@.name==b)].port", None),
        (".spec.ports[?(@.port=<1)].name", None),
        (".spec.ports[?(@.port==@.twin)].name", Some(json!("a"))),
        (".spec.ports[?(@.port!=@.twin)].name", Some(json!("b"))),
        (".spec.ports[?(@.on==true)].port", Some(json!(1))),
        (".spec.ports[?(@.on<true)].port", None),
        (".spec.ports[?(@.l[*]==1)].port", None),
        (".spec.ports[?(@.on)].port", Some(json!(1))),
        (".spec.ports[?(@.x[3])].port", Some(json!(1))),
        (".spec.l[?(@>1)]", Some(json!(2))),
        // What stands in the path itself.
        (r#".spec "x""#, Some(json!("x"))),
        (r#".spec "\x41\u00e9\101""#, Some(json!("A\u{e9}A"))),
        (".spec -5", Some(json!(-5))),
        (".spec 1.5", Some(json!(1.5))),
        (".spec true", Some(json!(true))),
        (".spec word", None),
        (".spec.nul", Some(json!(null))),
    ] {
        let path_read = JsonPath::parse(path).unwrap_or_else(|| panic!("{path}"));
        assert_eq!(path_read.first(&object).as_deref(), expect.as_ref(), "{path}");
    }
    for path in [
        ".a[",
        ".a[x]",
        ".a[+1]",
        ".a[1:2:3:4]",
        ".a]",
        ".a,",
        ".a[?(@]",
        ".{a}",
        ".a\tb",
        ".a\nb",
        ".a....b",
        ".a..*",
        "=",
        ".a \"x",
        ".a 1.2.3",
        r#".a "\q""#,
    ] {
        assert_eq!(JsonPath::parse(path), None, "{path}");
    }
}

/// Each step finds more than there was.
#[test]
fn what_a_path_finds_is_bounded() {
    let mut deep = json!({});
    for _ in 0..100 {
        deep = json!({ "a": deep });
    }
    for path in ["[*,*]".repeat(60), "..a".repeat(60)] {
        let _ = JsonPath::parse(&path).unwrap().first(&deep);
    }
    let wide = json!([[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]);
    assert_eq!(JsonPath::parse(&"[*,*]".repeat(4)).unwrap().first(&wide).as_deref(), wide.pointer("/0/0/0/0"));
    assert_eq!(JsonPath::parse(&"[*,*]".repeat(22)).unwrap().first(&wide), None);
    let nested = (0..1000).fold(json!([]), |inside, _| json!([inside]));
    assert_eq!(JsonPath::parse("..[?(@..[*].a==1)]").unwrap().first(&nested), None);
    // Many lists, each of them long.
    let list = json!({ "a": vec![Value::Null; 50_000] });
    let same = vec!["'a'"; 50_000].join(",");
    assert_eq!(JsonPath::parse(&format!("[{same}][*]")).unwrap().first(&list), None);
}

#[test]
fn custom_resources_show_the_columns_of_their_definition() {
    let column = |name: &str, ty: &str, path: &str| PrinterColumn {
        name: name.into(),
        ty: ty.into(),
        json_path: path.into(),
        ..PrinterColumn::default()
    };
    let row = |columns: Vec<PrinterColumn>| {
        let pods = find("", "v1", "configmaps").unwrap();
        Arc::new(Resource { group: "example.com".into(), builtin: false, columns, ..(**pods).clone() })
    };
    let value = json!({
        "metadata": { "name": "it", "creationTimestamp": "2026-01-01T00:00:00Z" },
        "spec": { "text": "t", "number": 3, "float": 1.5, "flag": true, "list": [1, 2], "none": null, "marks": ["<&>"],
            "large": 12345678901234567890_u64, "never": "" },
    });
    let plain = row(Vec::new());
    let made = Object::encode(&value, 1, &plain).unwrap();
    assert_eq!(cells_at(&plain, &made, now()), [json!("it"), json!("60m")]);
    assert_eq!(columns(&plain)[1]["name"], "Age");
    let full = row(vec![
        column("Text", "string", ".spec.text"),
        column("Number", "integer", ".spec.number"),
        column("Cut", "integer", ".spec.float"),
        column("Float", "number", ".spec.float"),
        column("Flag", "boolean", ".spec.flag"),
        column("List", "string", ".spec.list"),
        column("Made", "date", ".metadata.creationTimestamp"),
        column("Wrong", "integer", ".spec.text"),
        column("Missing", "string", ".spec.missing"),
        column("None", "string", ".spec.none"),
        column("Marks", "string", ".spec.marks"),
        column("Large", "string", ".spec.large"),
        column("Never", "date", ".spec.never"),
        column("Unread", "string", ".spec[unread]"),
        column("After it", "string", ".spec.text"),
    ]);
    let expect = json!([
        "it",
        "t",
        3,
        1,
        1.5,
        true,
        "[1,2]",
        "60m",
        null,
        null,
        "<no value>",
        r#"["\u003c\u0026\u003e"]"#,
        "1.2345678901234567e+19",
        "<unknown>"
    ]);
    assert_eq!(Value::from(cells_at(&full, &made, now())), expect);
    assert_eq!(columns(&full)[13]["name"], "Never");
    assert_eq!(columns(&full)[14], Value::Null);
}

proptest::proptest! {
    #[test]
    fn paths_are_read_or_refused(path in r#"[a-c.\[\]*?()@<>=!'"0-9:,-]{0,40}"#, text in r"\PC{0,40}") {
        let value = json!({"a": {"b": [1, {"c": "x"}, [2]]}, "b": [[[[]]]], "c": null});
        for path in [path, text] {
            if let Some(path) = JsonPath::parse(&path) {
                let _ = path.first(&value);
            }
        }
    }
}

#[test]
fn flow_schemas_stand_in_the_order_in_which_they_are_tried() {
    let row = find("flowcontrol.apiserver.k8s.io", "v1", "flowschemas").unwrap();
    let schema = |name: &str, precedence: i64| {
        let value = json!({ "metadata": { "name": name }, "spec": { "matchingPrecedence": precedence } });
        Arc::new(object(row, value))
    };
    let mut schemas = [schema("a", 10), schema("c", 2), schema("b", 2)];
    arrange(row, &mut schemas);
    assert_eq!(schemas.map(|schema| schema.meta.name.to_string()), ["b", "c", "a"]);
}
