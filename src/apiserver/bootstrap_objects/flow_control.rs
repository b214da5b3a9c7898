//! The flow schemas and priority levels of a cluster nobody has configured: upstream's names and numbers.

use serde_json::{Value, json};

/// The priority levels.
pub(super) fn priority_levels() -> Vec<Value> {
    let limited = |name: &str, shares: u32, lendable: u32, queues: u32, hand: u32| {
        json!({"metadata": {"name": name}, "spec": {"type": "Limited", "limited": {
            "nominalConcurrencyShares": shares,
            "lendablePercent": lendable,
            "limitResponse": match queues {
                0 => json!({"type": "Reject"}),
                _ => json!({"type": "Queue", "queuing": {"queues": queues, "handSize": hand, "queueLengthLimit": 50}}),
            },
        }}})
    };
    vec![
        json!({"metadata": {"name": "exempt"}, "spec": {"type": "Exempt"}}),
        limited("catch-all", 5, 0, 0, 0),
        limited("system", 30, 33, 64, 6),
        limited("node-high", 40, 25, 64, 6),
        limited("leader-election", 10, 0, 16, 4),
        limited("workload-high", 40, 50, 128, 6),
        limited("workload-low", 100, 90, 128, 6),
        limited("global-default", 20, 50, 128, 6),
    ]
}

/// The flow schemas.
pub(super) fn schemas() -> Vec<Value> {
    let group = |name: &str| json!({"kind": "Group", "group": {"name": name}});
    let user = |name: &str| json!({"kind": "User", "user": {"name": name}});
    let accounts =
        |namespace: &str| json!({"kind": "ServiceAccount", "serviceAccount": {"namespace": namespace, "name": "*"}});
    let everyone = || json!([group("system:unauthenticated"), group("system:authenticated")]);
    let rule = |subjects: Value| {
        json!({
            "subjects": subjects,
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": true, "namespaces": ["*"]}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        })
    };
    let some = |subjects: Value, rules: Value| json!({"subjects": subjects, "resourceRules": rules});
    let schema = |name: &str, level: &str, precedence: u32, distinguisher: &str, rules: Value| {
        let mut schema = json!({"metadata": {"name": name}, "spec": {
            "priorityLevelConfiguration": {"name": level},
            "matchingPrecedence": precedence,
            "rules": [rules],
        }});
        if !distinguisher.is_empty() {
            schema["spec"]["distinguisherMethod"] = json!({"type": distinguisher});
        }
        schema
    };
    let probes = json!({
        "subjects": everyone(),
        "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]}],
    });
    let leases = json!([{
        "verbs": ["get", "create", "update"], "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "namespaces": ["*"],
    }]);
    let heartbeats = json!([
        {"verbs": ["*"], "apiGroups": [""], "resources": ["nodes", "nodes/status"], "clusterScope": true, "namespaces": ["*"]},
        {"verbs": ["*"], "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "namespaces": ["*"]},
    ]);
    let leaders =
        json!([user("system:kube-controller-manager"), user("system:kube-scheduler"), accounts("kube-system")]);
    vec![
        schema("exempt", "exempt", 1, "", rule(json!([group("system:masters")]))),
        schema("probes", "exempt", 2, "", probes),
        schema("system-leader-election", "leader-election", 100, "ByUser", some(leaders, leases)),
        schema("system-node-high", "node-high", 400, "ByUser", some(json!([group("system:nodes")]), heartbeats)),
        schema("system-nodes", "system", 500, "ByUser", rule(json!([group("system:nodes")]))),
        schema(
            "kube-controller-manager",
            "workload-high",
            800,
            "ByNamespace",
            rule(json!([user("system:kube-controller-manager")])),
        ),
        schema("kube-scheduler", "workload-high", 800, "ByNamespace", rule(json!([user("system:kube-scheduler")]))),
        schema(
            "kube-system-service-accounts",
            "workload-high",
            900,
            "ByNamespace",
            rule(json!([accounts("kube-system")])),
        ),
        schema("service-accounts", "workload-low", 9000, "ByUser", rule(json!([group("system:serviceaccounts")]))),
        schema("global-default", "global-default", 9900, "ByUser", rule(everyone())),
        schema("catch-all", "catch-all", 10000, "ByUser", rule(everyone())),
    ]
}
