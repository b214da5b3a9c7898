//! The documents of `/api`, `/apis` and below, as every client since 1.0 reads them.

use std::sync::Arc;

use api::Resource;
use serde_json::{Value, json};

use super::{storage_version_hash, subresource, verbs};

pub(super) fn versions(advertised: &str) -> Value {
    json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{ "clientCIDR": "0.0.0.0/0", "serverAddress": advertised }],
    })
}

/// A group and its versions, the preferred one first.
type Listed = (String, Vec<String>);

pub(super) fn group_list(groups: &[Listed]) -> Value {
    json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups.iter().map(entry).collect::<Vec<_>>() })
}

pub(super) fn group(group: &Listed) -> Value {
    let mut document = json!({ "kind": "APIGroup", "apiVersion": "v1" });
    if let (Value::Object(document), Value::Object(entry)) = (&mut document, entry(group)) {
        document.extend(entry);
    }
    document
}

fn entry((name, versions): &Listed) -> Value {
    let versions: Vec<Value> =
        versions.iter().map(|v| json!({ "groupVersion": format!("{name}/{v}"), "version": v })).collect();
    json!({ "name": name, "versions": versions, "preferredVersion": versions.first() })
}

pub(super) fn resources(rows: &[Arc<Resource>], group: &str, version: &str) -> Value {
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let mut resources = Vec::new();
    for row in rows {
        let mut whole = json!({
            "name": row.plural,
            "singularName": row.singular,
            "namespaced": row.is_namespaced(),
            "kind": row.kind,
            "verbs": verbs(row),
        });
        if !row.short_names.is_empty() {
            whole["shortNames"] = json!(row.short_names);
        }
        if !row.categories.is_empty() {
            whole["categories"] = json!(row.categories);
        }
        if row.stored {
            whole["storageVersionHash"] = json!(storage_version_hash(row));
        }
        resources.push(whole);
        for name in &row.subresources {
            let sub = subresource::describe(row, name);
            let mut entry = json!({
                "name": format!("{}/{name}", row.plural),
                "singularName": "",
                "namespaced": row.is_namespaced(),
            });
            match sub.kind {
                Some((g, v, kind)) => {
                    if g != group || v != version {
                        entry["group"] = json!(g);
                        entry["version"] = json!(v);
                    }
                    entry["kind"] = json!(kind);
                }
                None => entry["kind"] = json!(row.kind),
            }
            entry["verbs"] = json!(sub.verbs);
            resources.push(entry);
        }
    }
    if group.is_empty() {
        // Upstream leaves the version of the list itself to the reader here.
        return json!({ "kind": "APIResourceList", "groupVersion": group_version, "resources": resources });
    }
    json!({ "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources })
}
