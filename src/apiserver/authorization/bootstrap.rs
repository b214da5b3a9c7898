//! Brings the roles and bindings every cluster has into the cluster, at every start.
//!
//! What is missing is made; what is there is topped up: rules, subjects, labels and annotations that ought to be there are
//! added, what somebody added stays. Objects annotated `rbac.authorization.kubernetes.io/autoupdate: "false"` are left alone.

use std::sync::Arc;
use std::time::Duration;

use api::{DeleteOptions, Operation, Reply, Request, Resource, Status, User, WriteOptions};
use futures::{StreamExt, stream};
use serde_json::Value;

use super::{Rule, policy};
use crate::Registry;

const GROUP: &str = "rbac.authorization.k8s.io";
/// Writes under way at once.
const SIDE_BY_SIDE: usize = 64;
const AUTOUPDATE: &str = "/metadata/annotations/rbac.authorization.kubernetes.io~1autoupdate";

/// Tries until all of it is there.
pub(crate) async fn reconcile(registry: &Registry) {
    let mut pause = Duration::from_millis(100);
    let mut objects = policy::objects();
    loop {
        let mut failed = Vec::new();
        // Side by side, so that they share the store's syncs: there are a hundred of them at the first start.
        let attempts: Vec<_> = objects.into_iter().map(|object| attempt(registry, object)).collect();
        let mut attempts = stream::iter(attempts).buffer_unordered(SIDE_BY_SIDE);
        while let Some(outcome) = attempts.next().await {
            let Some((status, object)) = outcome else { continue };
            if failed.is_empty() {
                tracing::warn!(%status, plural = object.0, "a bootstrap role or binding cannot be written, will try again");
            }
            failed.push(object);
        }
        if failed.is_empty() {
            return;
        }
        objects = failed;
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(10));
    }
}

type Bootstrap = (&'static str, &'static str, String, Value);

/// One object; what went wrong, with the object to try again.
async fn attempt(registry: &Registry, object: Bootstrap) -> Option<(Status, Bootstrap)> {
    let (plural, namespace, name, expected) = &object;
    let status = ensure(registry, plural, namespace, name, expected).await.err()?;
    Some((status, object))
}

async fn ensure(
    registry: &Registry,
    plural: &str,
    namespace: &str,
    name: &str,
    expected: &Value,
) -> Result<(), Status> {
    let Some(row) = api::resource::find(GROUP, "v1", plural).cloned() else { return Err(Status::no_such_path()) };
    let found = registry.cache(&row).get(namespace, name);
    let Some(found) = found else {
        return match write(registry, &row, namespace, name, Operation::Create(expected.clone(), options())).await {
            Err(status) if status.is_already_exists() => Ok(()),
            outcome => outcome.map(drop),
        };
    };
    let present = found.to_value().map_err(Status::internal)?;
    if present.pointer(AUTOUPDATE).and_then(Value::as_str) == Some("false") {
        return Ok(());
    }
    if expected.get("roleRef").is_some_and(|role| Some(role) != present.get("roleRef")) {
        // What a binding binds to cannot change: it is made anew.
        write(registry, &row, namespace, name, Operation::Delete(DeleteOptions::default())).await?;
        return write(registry, &row, namespace, name, Operation::Create(expected.clone(), options())).await.map(drop);
    }
    let wanted = topped_up(&present, expected);
    if wanted == present {
        return Ok(());
    }
    tracing::info!(plural, namespace, name, "a bootstrap role or binding was brought up to date");
    write(registry, &row, namespace, name, Operation::Update(wanted, options())).await.map(drop)
}

/// The present object, with everything in it that is expected.
fn topped_up(present: &Value, expected: &Value) -> Value {
    let mut wanted = present.clone();
    for words in ["labels", "annotations"] {
        for (key, value) in expected["metadata"][words].as_object().into_iter().flatten() {
            if wanted["metadata"][words].get(key).is_none() {
                wanted["metadata"][words][key] = value.clone();
            }
        }
    }
    if expected.get("aggregationRule").is_some() {
        // Its rules are the aggregation's business.
        if wanted.get("aggregationRule").is_none_or(Value::is_null) {
            wanted["aggregationRule"] = expected["aggregationRule"].clone();
        }
    } else if let Some(rules) = expected.get("rules") {
        let parse = |rules: &Value| serde_json::from_value::<Vec<Rule>>(rules.clone()).unwrap_or_default();
        let have = parse(&present["rules"]);
        let missing: Vec<Rule> = parse(rules)
            .into_iter()
            .filter(|rule| !rule.atoms().iter().all(|atom| have.iter().any(|mine| mine.covers(atom))))
            .collect();
        if !missing.is_empty() {
            let all: Vec<Rule> = have.into_iter().chain(missing).collect();
            wanted["rules"] = serde_json::json!(all);
        }
    }
    let expected_subjects = expected.get("subjects").and_then(Value::as_array);
    for subject in expected_subjects.into_iter().flatten() {
        let have = wanted.get("subjects").and_then(Value::as_array).cloned().unwrap_or_default();
        let same = |other: &Value| ["kind", "name", "namespace"].iter().all(|key| other.get(key) == subject.get(key));
        if !have.iter().any(same) {
            wanted["subjects"] = Value::Array(have.into_iter().chain([subject.clone()]).collect());
        }
    }
    wanted
}

/// Straight to the registry: nobody could be authorized before the roles are there.
pub(super) async fn write(
    registry: &Registry,
    resource: &Arc<Resource>,
    namespace: &str,
    name: &str,
    operation: Operation,
) -> Result<Reply, Status> {
    let request = Request {
        user: Arc::new(User::new("system:apiserver", [api::user::MASTERS])),
        resource: resource.clone(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        subresource: String::new(),
        operation,
    };
    registry.call(&request).await
}

fn options() -> WriteOptions {
    WriteOptions { field_manager: "kube-apiserver".into(), ..WriteOptions::default() }
}
