//! The flow schemas and priority levels of a cluster nobody has configured: upstream's names and numbers.
//!
//! Those of the mandatory ones are always so. The others are kept up to date until an administrator takes them over, which
//! their annotation says.

use api::{DeleteOptions, Operation, Patch, Status};
use serde_json::{Value, json};

use super::{find, options, present, request};
use crate::Registry;
use crate::tree::Tree;

/// Says whether the server keeps the specification of an object up to date.
const AUTO_UPDATE: &str = "apf.kubernetes.io/autoupdate-spec";
const MANDATORY: [&str; 2] = ["exempt", "catch-all"];
pub(super) const GROUP: &str = "flowcontrol.apiserver.k8s.io";

/// Makes what is missing, corrects what is the server's, and takes away what it made once and makes no longer.
pub(super) async fn ensure(registry: &Registry) -> Result<(), Status> {
    for (plural, objects) in [("prioritylevelconfigurations", priority_levels()), ("flowschemas", schemas())] {
        let names: Vec<String> = objects.iter().map(|object| object.text("metadata.name").to_owned()).collect();
        for mut object in objects {
            object["metadata"]["annotations"] = json!({ AUTO_UPDATE: "true" });
            present(registry, (GROUP, "v1", plural), "", object.clone()).await?;
            keep(registry, plural, object).await?;
        }
        let row = find((GROUP, "v1", plural))?;
        for object in registry.cache(row).list("") {
            if names.iter().any(|name| **name == *object.meta.name) {
                continue;
            }
            if annotation(&object.to_value().map_err(Status::internal)?) == Some("true") {
                let operation = Operation::Delete(DeleteOptions::default());
                registry.call(&request(row, "", &object.meta.name, operation)).await?;
                tracing::info!(kind = &*row.kind, name = &*object.meta.name, "removed");
            }
        }
    }
    Ok(())
}

fn annotation(object: &Value) -> Option<&str> {
    object.at("metadata.annotations")?.get(AUTO_UPDATE)?.as_str()
}

/// Corrects the specification of an object that is the server's to correct.
async fn keep(registry: &Registry, plural: &str, object: Value) -> Result<(), Status> {
    let row = find((GROUP, "v1", plural))?;
    let name = object.text("metadata.name");
    let mandatory = MANDATORY.contains(&name);
    let Some(stored) = registry.cache(row).get("", name) else { return Ok(()) };
    let current = stored.to_value().map_err(Status::internal)?;
    let said = annotation(&current);
    let ours = match said {
        _ if mandatory => true,
        Some(said) => said == "true",
        // Nobody but the server has ever changed it.
        None => current.int("metadata.generation") == Some(1),
    };
    let mut wanted = object.at("spec").cloned().unwrap_or_default();
    let mut stands = current.at("spec").cloned().unwrap_or_default();
    if name == "exempt" {
        // What the level counts for is the administrator's to say.
        wanted.cut("exempt");
        stands.cut("exempt");
    }
    let differs = ours && !covers(&stands, &wanted);
    let unsaid = said != Some(if ours { "true" } else { "false" });
    if !differs && !unsaid {
        return Ok(());
    }
    let mut patch = json!({"metadata": {"annotations": {AUTO_UPDATE: if ours { "true" } else { "false" }}}});
    if differs {
        patch["spec"] = wanted;
    }
    let operation = Operation::Patch(Patch::Merge(patch), options(row));
    registry.call(&request(row, "", name, operation)).await?;
    tracing::info!(kind = &*row.kind, name, "corrected");
    Ok(())
}

/// Whether `stored` says all that `wanted` says; it may hold more, which are defaults.
fn covers(stored: &Value, wanted: &Value) -> bool {
    match (stored, wanted) {
        (Value::Object(stored), Value::Object(wanted)) => {
            wanted.iter().all(|(key, value)| stored.get(key).is_some_and(|stored| covers(stored, value)))
        }
        (Value::Array(stored), Value::Array(wanted)) => {
            stored.len() == wanted.len() && stored.iter().zip(wanted).all(|(stored, wanted)| covers(stored, wanted))
        }
        (stored, wanted) => stored == wanted,
    }
}

/// An object whose specification nobody may change.
pub(crate) fn mandatory(kind: &str, name: &str) -> Option<Value> {
    if !MANDATORY.contains(&name) {
        return None;
    }
    let objects = if kind == "FlowSchema" { schemas() } else { priority_levels() };
    objects.into_iter().find(|object| object.text("metadata.name") == name)
}

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

#[cfg(test)]
mod tests {
    use api::DeleteOptions;

    use super::*;
    use crate::registry::tests::server;

    #[tokio::test]
    async fn objects_are_kept_until_somebody_takes_them_over() {
        let server = server().await;
        let again = async || {
            server.registry.catch_up().await.unwrap();
            ensure(&server.registry).await.unwrap();
        };
        let level = "prioritylevelconfigurations/workload-low";
        let shares = |object: &Value| object.int("spec.limited.nominalConcurrencyShares").unwrap();
        let before = server.get(level).await.unwrap();
        assert_eq!((annotation(&before), shares(&before)), (Some("true"), 100));
        again().await;
        assert_eq!(server.get(level).await.unwrap(), before);

        let change = json!({"spec": {"limited": {"nominalConcurrencyShares": 7}}});
        server.merge(level, change.clone()).await.unwrap();
        again().await;
        assert_eq!(shares(&server.get(level).await.unwrap()), 100);

        server.merge(level, json!({"metadata": {"annotations": {AUTO_UPDATE: "false"}}})).await.unwrap();
        server.merge(level, change).await.unwrap();
        again().await;
        assert_eq!(shares(&server.get(level).await.unwrap()), 7);

        server.delete("flowschemas/catch-all", DeleteOptions::default()).await.unwrap();
        again().await;
        assert!(server.get("flowschemas/catch-all").await.is_ok());

        let mut old = server.get("flowschemas/probes").await.unwrap();
        old["metadata"] = json!({"name": "of-an-older-version", "annotations": {AUTO_UPDATE: "true"}});
        server.create("flowschemas", old).await.unwrap();
        again().await;
        assert!(server.get("flowschemas/of-an-older-version").await.unwrap_err().is_not_found());
    }
}
