use std::sync::Arc;

use api::{Object, User};
use serde_json::{Value, json};
use watch_cache::Cache;

use super::*;

fn caches() -> Caches {
    ["clusterroles", "roles", "clusterrolebindings", "rolebindings"].map(|plural| {
        let row = api::resource::find("rbac.authorization.k8s.io", "v1", plural).unwrap();
        let cache = Cache::new(row.clone(), 1000);
        cache.replace([], 1);
        cache
    })
}

fn put(caches: &Caches, kind: usize, revision: u64, value: Value) {
    caches[kind].put(Arc::new(Object::encode(&value, revision, caches[kind].resource()).unwrap()));
}

fn check(rbac: &Rbac, user: &User, request: &str, expect: &str) {
    let parts: Vec<&str> = request.split(' ').collect();
    let what = match parts.as_slice() {
        [verb, path] if path.starts_with('/') => Attributes { verb, path, ..Attributes::default() },
        [verb, resource, rest @ ..] => {
            let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
            let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
            let namespace = rest.first().unwrap_or(&"").trim_matches('-');
            let name = rest.get(1).copied().unwrap_or("");
            Attributes {
                verb,
                resource,
                subresource,
                group,
                namespace,
                name,
                is_resource: true,
                ..Attributes::default()
            }
        }
        _ => unreachable!(),
    };
    let seen = match rbac.decide(user, &what) {
        Decision::Allow(_) => "yes".to_owned(),
        Decision::NoOpinion(why) => format!("no {why}").trim().to_owned(),
        other => panic!("{other:?}"),
    };
    assert_eq!(seen, expect, "{request}");
}

#[test]
fn bindings_grant_what_their_roles_say() {
    let caches = caches();
    let rbac = Rbac::new(caches.clone());
    let alice = User::new("alice", ["dev"]);
    check(&rbac, &alice, "get pods a", "no");
    let bind = |subjects: Value, kind: &str, role: &str, name: &str| {
        json!({"kind": "RoleBinding", "metadata": {"name": name, "namespace": "a"},
               "subjects": subjects, "roleRef": {"kind": kind, "name": role}})
    };
    put(
        &caches,
        1,
        2,
        json!({"kind": "Role", "metadata": {"name": "r", "namespace": "a"}, "rules": [
        {"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get"]},
        {"apiGroups": ["apps"], "resources": ["*/scale"], "verbs": ["*"]},
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["s"], "verbs": ["get"]}]}),
    );
    put(&caches, 3, 3, bind(json!([{"kind": "Group", "name": "dev"}]), "Role", "r", "b"));
    for (request, expect) in [
        ("get pods a", "yes"),
        ("get pods b", "no"),
        ("get pods -", "no"),
        ("list pods a", "no"),
        ("get pods/log a x", "yes"),
        ("get pods/exec a x", "no"),
        ("patch deployments.apps/scale a x", "yes"),
        ("patch deployments.apps a x", "no"),
        ("get secrets a s", "yes"),
        ("get secrets a t", "no"),
    ] {
        check(&rbac, &alice, request, expect);
    }
    put(&caches, 3, 4, bind(json!([{"kind": "User", "name": "alice"}]), "ClusterRole", "gone", "c"));
    check(&rbac, &alice, "list pods a", "no RBAC: clusterrole.rbac.authorization.k8s.io \"gone\" not found");
    caches[3].remove("a", "b", 5);
    check(&rbac, &alice, "get pods a", "no RBAC: clusterrole.rbac.authorization.k8s.io \"gone\" not found");
    let robot = User::service_account("a", "robot");
    put(&caches, 3, 6, bind(json!([{"kind": "ServiceAccount", "name": "robot", "namespace": "a"}]), "Role", "r", "d"));
    check(&rbac, &robot, "get pods a", "yes");
}

#[test]
fn aggregates_add_up() {
    let caches = caches();
    let rbac = Rbac::new(caches.clone());
    let role = |name: &str, label: &str, selects: &str, verb: &str| {
        let mut role =
            json!({"kind": "ClusterRole", "metadata": {"name": name, "labels": {label: "true"}}, "rules": []});
        if selects.is_empty() {
            role["rules"] = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": [verb]}]);
        } else {
            role["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": {selects: "true"}}]});
        }
        role
    };
    put(&caches, 0, 2, role("admin", "x", "to-admin", ""));
    put(&caches, 0, 3, role("edit", "to-admin", "to-edit", ""));
    put(&caches, 0, 4, role("e1", "to-edit", "", "update"));
    put(&caches, 0, 5, role("circle", "to-edit", "to-edit", ""));
    put(
        &caches,
        2,
        6,
        json!({"kind": "ClusterRoleBinding", "metadata": {"name": "b"},
        "subjects": [{"kind": "User", "name": "alice"}], "roleRef": {"kind": "ClusterRole", "name": "admin"}}),
    );
    check(&rbac, &User::new("alice", [""; 0]), "update pods a", "yes");
    check(&rbac, &User::new("alice", [""; 0]), "get pods a", "no");
    let mut stale: Vec<_> = rbac.compiled().stale.iter().map(|(name, rules)| (name.clone(), rules.len())).collect();
    stale.sort();
    assert_eq!(stale, [("admin".into(), 1), ("circle".into(), 1), ("edit".into(), 1)]);
}

#[test]
fn rules_cover_their_atoms() {
    let rule = |text: &str| serde_json::from_str::<Rule>(text).unwrap();
    let all = rule(r#"{"apiGroups":["*"],"resources":["*"],"verbs":["*"]}"#);
    let pods = rule(r#"{"apiGroups":["","apps"],"resources":["pods","pods/log"],"verbs":["get","list"]}"#);
    let named = rule(r#"{"apiGroups":[""],"resources":["pods"],"resourceNames":["x"],"verbs":["get"]}"#);
    let covers = |mine: &Rule, theirs: &Rule| theirs.atoms().iter().all(|atom| mine.covers(atom));
    assert_eq!(pods.atoms().len(), 8);
    assert!(covers(&all, &pods) && !covers(&pods, &all));
    assert!(covers(&pods, &named) && !covers(&named, &pods));
}
