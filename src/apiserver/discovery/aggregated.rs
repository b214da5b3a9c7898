//! `APIGroupDiscoveryList`: everything in two documents, so that a client needs two requests and not forty.

use api::{Resource, Scope};
use serde_json::{Value, json};

use super::{Content, Group, subresource, verbs};

/// What stands behind the encoding in the type of the content.
pub(super) const PARAMETERS: &str = "g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// The document, and what of it upstream's tags are made from.
pub(super) fn document(groups: &[&Group]) -> (String, String) {
    let items: Vec<Value> = groups.iter().map(|group| entry(group)).collect();
    let content = json!({ "metadata": {}, "items": items }).to_string();
    let kind = r#"{"kind":"APIGroupDiscoveryList","apiVersion":"apidiscovery.k8s.io/v2","#;
    (format!("{kind}{}\n", &content[1..]), content)
}

fn entry(group: &Group) -> Value {
    let versions = group.versions.iter().map(|(version, content)| {
        let (resources, fresh): (Vec<Value>, bool) = match content {
            Content::Rows(rows) => (rows.iter().map(|row| resource(row)).collect(), true),
            Content::Remote(remote) => {
                (remote.resources.iter().map(|resource| json!(resource)).collect(), remote.fresh)
            }
        };
        let freshness = if fresh { "Current" } else { "Stale" };
        // Nothing is left out where there is nothing to say.
        match resources.is_empty() {
            true => json!({ "version": version, "freshness": freshness }),
            false => json!({ "version": version, "resources": resources, "freshness": freshness }),
        }
    });
    let metadata = if group.name.is_empty() { json!({}) } else { json!({ "name": group.name }) };
    json!({ "metadata": metadata, "versions": versions.collect::<Vec<_>>() })
}

fn resource(row: &Resource) -> Value {
    let kind = |group: &str, version: &str, kind: &str| json!({ "group": group, "version": version, "kind": kind });
    // Upstream says no more than the kind of what is of the same group and version, but for custom kinds.
    let own = if row.builtin { kind("", "", &row.kind) } else { kind(&row.group, &row.version, &row.kind) };
    let mut entry = json!({
        "resource": row.plural,
        "responseKind": own,
        "scope": if row.scope == Scope::Namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": row.singular,
        "verbs": verbs(row),
    });
    if !row.short_names.is_empty() {
        entry["shortNames"] = json!(row.short_names);
    }
    if !row.categories.is_empty() {
        entry["categories"] = json!(row.categories);
    }
    let subresources: Vec<Value> = row
        .subresources
        .iter()
        .map(|name| {
            let sub = subresource::describe(row, name);
            let response = match sub.kind {
                None => own.clone(),
                Some((g, v, k)) if *g == *row.group && *v == *row.version => kind("", "", k),
                Some((g, v, k)) => kind(g, v, k),
            };
            json!({ "subresource": name, "responseKind": response, "verbs": sub.verbs })
        })
        .collect();
    if !subresources.is_empty() {
        entry["subresources"] = json!(subresources);
    }
    entry
}
