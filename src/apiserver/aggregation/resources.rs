//! What another server says that it serves, read field by field: it becomes part of a document that every client reads
//! as a whole, and what one server gets wrong must not keep them from all the others.

use api::meta::or_default;
use serde::{Deserialize, Serialize};

/// A group with its versions, in the aggregated form.
#[derive(Debug, Deserialize)]
pub(super) struct Group {
    #[serde(default)]
    metadata: Metadata,
    #[serde(default, deserialize_with = "or_default")]
    versions: Vec<Version>,
}

#[derive(Debug, Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    name: String,
}

#[derive(Debug, Deserialize)]
struct Version {
    #[serde(default)]
    version: String,
    #[serde(default, deserialize_with = "or_default")]
    resources: Vec<Resource>,
}

/// A resource, in the aggregated form.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Resource {
    pub(crate) resource: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) response_kind: Kind,
    pub(crate) scope: String,
    pub(crate) singular_resource: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) verbs: Vec<String>,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub(crate) short_names: Vec<String>,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub(crate) categories: Vec<String>,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub(crate) subresources: Vec<Subresource>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Subresource {
    pub(crate) subresource: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) response_kind: Kind,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub(crate) accepted_types: Vec<Kind>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) verbs: Vec<String>,
}

/// Never left out: clients before 1.27 cannot do without.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Kind {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
}

/// A resource or subresource, in the old form.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Legacy {
    name: String,
    singular_name: String,
    namespaced: bool,
    group: String,
    version: String,
    kind: String,
    #[serde(deserialize_with = "or_default")]
    verbs: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    short_names: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    categories: Vec<String>,
}

impl Resource {
    /// A row of the resource table, as far as there is anything to say.
    pub(super) fn row(&self, group: &str, version: &str) -> api::Resource {
        let boxed = |names: &[String]| names.iter().map(|name| name.as_str().into()).collect();
        let kind = &*self.response_kind.kind;
        api::Resource {
            group: group.into(),
            version: version.into(),
            plural: self.resource.as_str().into(),
            singular: self.singular_resource.as_str().into(),
            kind: kind.into(),
            list_kind: format!("{kind}List").into(),
            scope: if self.scope == "Namespaced" { api::Scope::Namespaced } else { api::Scope::Cluster },
            short_names: boxed(&self.short_names),
            categories: boxed(&self.categories),
            subresources: self.subresources.iter().map(|part| part.subresource.as_str().into()).collect(),
            fields: Vec::new(),
            columns: Vec::new(),
            verbs: api::resource::verbs(self.verbs.iter().map(String::as_str)),
            stored_as: None,
            stored: true,
            builtin: false,
            custom: None,
        }
    }
}

/// The resources of one version in an `APIGroupDiscoveryList`; none where it does not name the version.
pub(super) fn from_aggregated(document: &[u8], group: &str, version: &str) -> Result<Vec<Resource>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Document {
        #[serde(default, deserialize_with = "or_default")]
        items: Vec<Group>,
    }
    let document: Document = serde_json::from_slice(document)?;
    let groups = document.items.into_iter().filter(|known| known.metadata.name == group);
    let mut versions = groups.flat_map(|known| known.versions).filter(|known| known.version == version);
    Ok(versions.next().map(|version| version.resources).unwrap_or_default())
}

/// The resources of an `APIResourceList`: subresources below their resource, which need not be served itself. Kinds that are of the
/// list's own group and version say no more than their name, as there.
pub(super) fn from_legacy(document: &[u8]) -> Result<Vec<Resource>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Document {
        #[serde(default, deserialize_with = "or_default")]
        resources: Vec<Legacy>,
    }
    let document: Document = serde_json::from_slice(document)?;
    let kind = |legacy: Legacy| Kind { group: legacy.group, version: legacy.version, kind: legacy.kind };
    let scope = |legacy: &Legacy| if legacy.namespaced { "Namespaced" } else { "Cluster" }.to_owned();
    let (parts, wholes): (Vec<Legacy>, Vec<Legacy>) =
        document.resources.into_iter().partition(|legacy| legacy.name.contains('/'));
    let mut resources: Vec<Resource> = Vec::new();
    for mut whole in wholes {
        resources.push(Resource {
            resource: std::mem::take(&mut whole.name),
            scope: scope(&whole),
            singular_resource: std::mem::take(&mut whole.singular_name),
            verbs: std::mem::take(&mut whole.verbs),
            short_names: std::mem::take(&mut whole.short_names),
            categories: std::mem::take(&mut whole.categories),
            subresources: Vec::new(),
            response_kind: kind(whole),
        });
    }
    for mut part in parts {
        let name = std::mem::take(&mut part.name);
        let Some((parent, name)) = name.split_once('/') else { continue };
        let at = resources.iter().position(|known| known.resource == parent).unwrap_or_else(|| {
            resources.push(Resource { resource: parent.into(), scope: scope(&part), ..Resource::default() });
            resources.len() - 1
        });
        let verbs = std::mem::take(&mut part.verbs);
        let response_kind = if part.kind.is_empty() { Kind::default() } else { kind(part) };
        let subresource = Subresource { subresource: name.into(), response_kind, accepted_types: Vec::new(), verbs };
        resources[at].subresources.push(subresource);
    }
    Ok(resources)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_is_said_is_brought_into_form() {
        let check = |document: Value, expect: Option<Value>| {
            let said = from_aggregated(document.to_string().as_bytes(), "e.io", "v1");
            assert_eq!(said.ok().map(|said| json!(said)), expect, "{document}");
        };
        let document = |resource: Value| {
            let versions =
                json!([{"version": "v2"}, {"version": "v1", "resources": [resource], "freshness": "Current"}]);
            json!({"items": [{"metadata": {"name": "other"}}, {"metadata": {"name": "e.io"}, "versions": versions}]})
        };
        let kind = json!({"group": "e.io", "version": "v1", "kind": "X"});
        let none = json!({"group": "", "version": "", "kind": ""});
        let whole = json!({"resource": "xs", "responseKind": kind, "scope": "Cluster", "singularResource": "x",
            "verbs": ["get"], "shortNames": ["x"],
            "subresources": [{"subresource": "status", "responseKind": kind, "verbs": ["get"]}]});
        check(document(whole.clone()), Some(json!([whole])));
        let bare = json!({"resource": "xs", "responseKind": null, "verbs": null, "categories": null, "odd": {"a": 1}});
        let filled = json!({"resource": "xs", "responseKind": none, "scope": "", "singularResource": "", "verbs": []});
        check(document(bare), Some(json!([filled])));
        check(json!({"items": null}), Some(json!([])));
        check(json!({}), Some(json!([])));
        for hostile in [json!("xs"), json!({"resource": 1}), json!({"verbs": "get"}), json!({"subresources": [1]})] {
            check(document(hostile), None);
        }
        check(json!("xs"), None);
    }

    #[test]
    fn subresources_of_nothing_get_a_parent() {
        // Adapters of custom metrics serve nothing else.
        let document = json!({"resources": [
            {"name": "pods/http_requests", "namespaced": true, "kind": "MetricValueList", "verbs": ["get"]}]});
        let said = from_legacy(document.to_string().as_bytes()).unwrap();
        let expect = json!([{"resource": "pods", "responseKind": {"group": "", "version": "", "kind": ""},
            "scope": "Namespaced", "singularResource": "", "verbs": [], "subresources": [{"subresource": "http_requests",
            "responseKind": {"group": "", "version": "", "kind": "MetricValueList"}, "verbs": ["get"]}]}]);
        assert_eq!(json!(said), expect);
    }
}
