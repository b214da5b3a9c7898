use api::validation::field::ErrorList;
use serde_json::json;

use super::*;

fn strategy(group: &str, plural: &str) -> &'static Strategy {
    let row = api::resource::builtin().iter().find(|r| *r.group == *group && *r.plural == *plural).unwrap();
    of(row)
}

fn filled(group: &str, plural: &str, mut object: Value) -> Value {
    strategy(group, plural).fill_in(&mut object);
    object
}

#[test]
fn every_row_of_the_table_is_a_kind_and_its_tables_parse() {
    for (group, plural, strategy) in rows() {
        assert!(api::resource::builtin().iter().any(|r| *r.group == *group && *r.plural == *plural), "{plural}");
        if let Some(status) = strategy.status {
            serde_json::from_str::<Value>(status).unwrap();
        }
        strategy.fill_in(&mut json!({}));
    }
}

#[test]
fn deployments_are_filled_in() {
    let template = json!({"spec": {"containers": [{"name": "c", "image": "nginx:1", "ports": [{"containerPort": 80}],
        "livenessProbe": {"httpGet": {"port": 80}}}], "volumes": [{"name": "v"}, {"name": "s", "secret": {"secretName": "x"}}]}});
    let got = filled("apps", "deployments", json!({"spec": {"template": template}}));
    let expect = json!({
        "template": {"spec": {
            "containers": [{
                "name": "c", "image": "nginx:1", "imagePullPolicy": "IfNotPresent", "resources": {},
                "ports": [{"containerPort": 80, "protocol": "TCP"}],
                "livenessProbe": {
                    "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
                    "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3,
                },
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
            }],
            "volumes": [{"name": "v", "emptyDir": {}}, {"name": "s", "secret": {"secretName": "x", "defaultMode": 420}}],
            "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
            "securityContext": {}, "schedulerName": "default-scheduler",
        }},
        "replicas": 1,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
        "revisionHistoryLimit": 10,
        "progressDeadlineSeconds": 600,
    });
    assert_eq!(got["spec"], expect);
    let recreate = filled("apps", "deployments", json!({"spec": {"strategy": {"type": "Recreate"}}}));
    assert_eq!(recreate["spec"]["strategy"], json!({"type": "Recreate"}));
}

#[test]
fn kinds_are_filled_in() {
    let check = |group: &str, plural: &str, object: Value, pointer: &str, expect: Value| {
        let got = filled(group, plural, object);
        assert_eq!(got.pointer(pointer).cloned().unwrap_or_default(), expect, "{plural} {pointer}");
    };
    let limited = json!({"spec": {"containers": [{"resources": {"limits": {"cpu": "1"}}}]}});
    check("", "pods", limited, "/spec/containers/0/resources/requests", json!({"cpu": "1"}));
    check("", "pods", json!({"spec": {"serviceAccount": "x"}}), "/spec/serviceAccountName", json!("x"));
    let host = json!({"spec": {"hostNetwork": true, "containers": [{"ports": [{"containerPort": 80}]}]}});
    check("", "pods", host, "/spec/containers/0/ports/0/hostPort", json!(80));
    check("", "services", json!({"spec": {"ports": [{"port": 80}]}}), "/spec/ports/0/targetPort", json!(80));
    check("", "services", json!({}), "/spec/internalTrafficPolicy", json!("Cluster"));
    check("", "services", json!({"spec": {"type": "ExternalName"}}), "/spec/internalTrafficPolicy", Value::Null);
    check("batch", "jobs", json!({"spec": {}}), "/spec/completions", json!(1));
    check("batch", "jobs", json!({"spec": {"parallelism": 2}}), "/spec/completions", Value::Null);
    check("batch", "jobs", json!({"spec": {"backoffLimitPerIndex": 1}}), "/spec/backoffLimit", json!(i32::MAX));
    check("", "secrets", json!({"stringData": {"a": "b"}}), "/data", json!({"a": "Yg=="}));
    check(
        "networking.k8s.io",
        "networkpolicies",
        json!({"spec": {"egress": [{}]}}),
        "/spec/policyTypes",
        json!(["Ingress", "Egress"]),
    );
    let subjects = json!({"subjects": [{"kind": "User"}, {"kind": "ServiceAccount"}]});
    check(
        "rbac.authorization.k8s.io",
        "rolebindings",
        subjects,
        "/subjects/0/apiGroup",
        json!("rbac.authorization.k8s.io"),
    );
    let limits = json!({"spec": {"limits": [{"type": "Container", "max": {"cpu": "2"}}]}});
    check("", "limitranges", limits, "/spec/limits/0/defaultRequest", json!({"cpu": "2"}));
}

#[test]
fn complaints_are_upstreams() {
    let check = |group: &str, plural: &str, object: Value, expect: &str| {
        let object = filled(group, plural, object);
        let mut errors = ErrorList::new();
        (strategy(group, plural).validate)(&object, &mut errors);
        assert_eq!(errors.to_string(), expect, "{plural}");
    };
    let pod = |container: Value| json!({"spec": {"containers": [container]}});
    check("", "pods", pod(json!({"name": "c", "image": "i"})), "[]");
    check("", "pods", json!({"spec": {}}), "spec.containers: Required value");
    check("", "pods", pod(json!({"name": "c"})), "spec.containers[0].image: Required value");
    check(
        "",
        "pods",
        json!({"spec": {"containers": [{"name": "c", "image": "i"}, {"name": "c", "image": "i"}]}}),
        "spec.containers[1].name: Duplicate value: \"c\"",
    );
    check(
        "",
        "pods",
        pod(json!({"name": "c", "image": "i", "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}})),
        "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
    );
    check(
        "",
        "pods",
        pod(json!({"name": "c", "image": "i", "volumeMounts": [{"name": "v", "mountPath": "/v"}]})),
        "spec.containers[0].volumeMounts[0].name: Not found: \"v\"",
    );
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    check(
        "apps",
        "deployments",
        json!({"spec": {"selector": {"matchLabels": {"a": "c"}}, "template": template}}),
        "spec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match template `labels`",
    );
    let mut never = template.clone();
    never["spec"]["restartPolicy"] = "Never".into();
    check(
        "apps",
        "daemonsets",
        json!({"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": never}}),
        "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"",
    );
    check(
        "",
        "services",
        json!({"spec": {"ports": [{"port": 80}, {"port": 81}]}}),
        "[spec.ports[0].name: Required value, spec.ports[1].name: Required value]",
    );
}

#[test]
fn pods_change_only_where_they_may() {
    let pod = json!({"spec": {"containers": [{"name": "c", "image": "i"}], "nodeName": "n"}});
    let check = |pointer: &str, value: Value, expect: bool| {
        let (old, mut new) = (filled("", "pods", pod.clone()), filled("", "pods", pod.clone()));
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        new.pointer_mut(parent).unwrap()[key] = value;
        let mut errors = ErrorList::new();
        (strategy("", "pods").validate_update)(&new, &old, &mut errors);
        assert_eq!(errors.is_empty(), expect, "{pointer}: {errors}");
    };
    check("/spec/containers/0/image", json!("j"), true);
    check("/spec/activeDeadlineSeconds", json!(5), true);
    check("/spec/tolerations", json!([{"key": "a", "operator": "Exists"}]), true);
    check("/spec/containers/0/command", json!(["x"]), false);
    check("/spec/nodeName", json!("m"), false);
    check("/spec/containers", json!([]), false);
    check("/spec/schedulingGates", json!([{"name": "g"}]), false);
}
