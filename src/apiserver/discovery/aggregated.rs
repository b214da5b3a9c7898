//! `APIGroupDiscoveryList`: everything in two documents, so that a client needs two requests and not forty.

use api::{Resource, Scope};
use serde_json::{Value, json};

use super::{Content, Group, storage_version_hash, subresource};

pub(super) const CONTENT_TYPE: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

pub(super) fn document(groups: &[&Group]) -> Value {
    let items: Vec<Value> = groups.iter().map(|group| entry(group)).collect();
    json!({ "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items })
}

fn entry(group: &Group) -> Value {
    let versions = group.versions.iter().map(|(version, content)| {
        let (resources, fresh): (Vec<Value>, bool) = match content {
            Content::Rows(rows) => (rows.iter().map(|row| resource(row)).collect(), true),
            Content::Remote(remote) => {
                (remote.resources.iter().map(|resource| json!(resource)).collect(), remote.fresh)
            }
        };
        json!({ "version": version, "resources": resources, "freshness": if fresh { "Current" } else { "Stale" } })
    });
    let metadata = if group.name.is_empty() { json!({}) } else { json!({ "name": group.name }) };
    json!({ "metadata": metadata, "versions": versions.collect::<Vec<_>>() })
}

fn resource(row: &Resource) -> Value {
    let kind = |group: &str, version: &str, kind: &str| json!({ "group": group, "version": version, "kind": kind });
    let own = kind(&row.group, &row.version, &row.kind);
    let mut entry = json!({
        "resource": row.plural,
        "responseKind": own,
        "scope": if row.scope == Scope::Namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": row.singular,
        "verbs": row.verbs,
    });
    if !row.short_names.is_empty() {
        entry["shortNames"] = json!(row.short_names);
    }
    if !row.categories.is_empty() {
        entry["categories"] = json!(row.categories);
    }
    if row.stored {
        entry["storageVersionHash"] = json!(storage_version_hash(row));
    }
    let subresources: Vec<Value> = row
        .subresources
        .iter()
        .map(|name| {
            let sub = subresource::describe(row, name);
            let response = sub.kind.map_or_else(|| own.clone(), |(g, v, k)| kind(g, v, k));
            json!({ "subresource": name, "responseKind": response, "verbs": sub.verbs })
        })
        .collect();
    if !subresources.is_empty() {
        entry["subresources"] = json!(subresources);
    }
    entry
}
