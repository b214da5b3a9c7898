//! Discovery: which groups, versions and resources there are. Derived from the
//! catalog and from what aggregated servers say, and kept until either changes.

mod aggregated;
mod legacy;
pub(crate) mod subresource;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::Arc;

use api::version::rank as version_rank;
use api::{Resource, Status};
use arc_swap::ArcSwapOption;
use aws_lc_rs::digest::{SHA256, SHA512, digest};
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header};

use crate::Catalog;
use crate::aggregation::discovered::{Discovered, RemoteVersion};
use crate::aggregation::listed::{self, Listed};
use crate::aggregation::{Aggregator, priorities};
use crate::http::accept::{self, Accepted, Encoding};
use crate::http::respond::{self, Form};
use crate::http::{protobuf, yaml};

/// One group, and its versions in order of preference.
pub(crate) struct Group {
    pub name: Box<str>,
    pub versions: Vec<(Box<str>, Content)>,
}

/// What is served of a group at one version.
pub(crate) enum Content {
    /// By this server.
    Rows(Vec<Arc<Resource>>),
    /// By another one.
    Remote(Arc<RemoteVersion>),
}

impl Group {
    fn listed(&self) -> (String, Vec<String>) {
        (self.name.to_string(), self.versions.iter().map(|(version, _)| version.to_string()).collect())
    }

    fn served_here(&self) -> (String, Vec<String>) {
        let here = self.versions.iter().filter(|(_, content)| matches!(content, Content::Rows(_)));
        (self.name.to_string(), here.map(|(version, _)| version.to_string()).collect())
    }
}

impl Content {
    fn is_custom(&self) -> bool {
        matches!(self, Self::Rows(rows) if rows.iter().any(|row| !row.builtin))
    }

    pub(crate) fn into_remote(self) -> Option<Arc<RemoteVersion>> {
        match self {
            Self::Remote(remote) => Some(remote),
            Self::Rows(_) => None,
        }
    }
}

/// The discovery documents of one state of the catalog.
pub(crate) struct Discovery {
    advertised: String,
    cached: ArcSwapOption<Documents>,
}

struct Documents {
    /// The catalog's, and that of what others serve.
    generation: (u64, u64),
    groups: Vec<Group>,
    core: Aggregated,
    rest: Aggregated,
}

struct Aggregated {
    json: Bytes,
    etag: HeaderValue,
}

impl Discovery {
    /// `advertised` is the `host:port` that clients are told.
    pub(crate) fn new(advertised: String) -> Self {
        Self { advertised, cached: ArcSwapOption::empty() }
    }

    /// Answers `/api`, `/apis` and what is below them; `None` for paths that lead nowhere.
    pub(crate) fn answer(
        &self,
        catalog: &Catalog,
        aggregator: &Aggregator,
        path: &str,
        headers: &HeaderMap,
        form: &Form,
    ) -> Option<Result<Response<Body>, Status>> {
        let documents = self.documents(catalog, &aggregator.discovered());
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (document, routed, aggregated) = match parts.as_slice() {
            ["api"] => (legacy::versions(&self.advertised), true, Some(&documents.core)),
            ["apis"] => {
                (legacy::group_list(&documents.listed(aggregator.listed(), None)), false, Some(&documents.rest))
            }
            ["apis", group] => {
                let group = documents.listed(aggregator.listed(), Some(group)).pop()?;
                (legacy::group(&group), false, None)
            }
            ["api", version] => (legacy::resources(documents.rows("", version)?, "", version), true, None),
            ["apis", group, version] => {
                let rows = documents.rows(group, version)?;
                let routed = rows.iter().any(|row| row.builtin);
                (legacy::resources(rows, group, version), routed, None)
            }
            _ => return None,
        };
        let accepted = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
        Some(match (preferred(accepted, aggregated.is_some()), aggregated) {
            (Some(Preferred::Aggregated(encoding)), Some(aggregated)) => aggregated.response(encoding, headers),
            (Some(Preferred::Plain(encoding) | Preferred::Aggregated(encoding)), _) => {
                let accepted = Accepted { encoding, ..Accepted::JSON };
                Ok(respond::value(200, &document, &Form { accepted, ..form.clone() }))
            }
            (None, _) => {
                let known = accept::clauses(accepted).iter().any(|c| accept::known_encoding(c.media_type).is_some());
                Err(accept::refusal(known || !routed))
            }
        })
    }

    fn documents(&self, catalog: &Catalog, others: &Discovered) -> Arc<Documents> {
        // Taken first: a change in between makes the documents look older than they are, and they are made once more.
        let generation = (catalog.generation(), others.generation);
        if let Some(documents) = self.cached.load_full().filter(|documents| documents.generation == generation) {
            return documents;
        }
        let groups = grouped(catalog.all(), &others.versions);
        let (core, rest): (Vec<&Group>, Vec<&Group>) = groups.iter().partition(|group| group.name.is_empty());
        let (core, rest) = (Aggregated::new(&core), Aggregated::new(&rest));
        let documents = Arc::new(Documents { generation, core, rest, groups });
        self.cached.store(Some(documents.clone()));
        documents
    }
}

impl Documents {
    /// The groups that clients are told of, or one of them: those that APIServices are for, this server's own group first. Custom
    /// kinds that have none yet have it in a moment, and so are told of at once.
    fn listed(&self, services: Option<Vec<Arc<Listed>>>, only: Option<&str>) -> Vec<(String, Vec<String>)> {
        let asked = |name: &str| !name.is_empty() && only.is_none_or(|only| only == name);
        let groups = || self.groups.iter().filter(|group| asked(&group.name));
        let Some(mut services) = services else { return groups().map(Group::listed).collect() };
        services.retain(|service| asked(&service.group));
        let known: HashSet<(String, String)> =
            services.iter().map(|service| (service.group.clone(), service.version.clone())).collect();
        for group in groups() {
            let custom = group.versions.iter().filter(|(_, content)| content.is_custom());
            let new = custom.filter(|(version, _)| !known.contains(&(group.name.to_string(), version.to_string())));
            services.extend(new.map(|(version, _)| Arc::new(Listed::of_custom(&group.name, version))));
        }
        let own = groups().find(|group| *group.name == *priorities::OWN_GROUP.0).map(Group::listed);
        let mut listed = listed::by_group(services);
        match (own, only) {
            (Some(own), None) => listed.insert(0, own),
            (Some(own), Some(_)) => listed = vec![own],
            // Whoever asks for a group by its name is told of what is served, if no APIService says otherwise.
            (None, Some(_)) if listed.is_empty() => {
                let served = groups().map(|group| group.served_here()).filter(|(_, versions)| !versions.is_empty());
                listed = served.collect();
            }
            (None, _) => {}
        }
        listed
    }

    fn rows(&self, group: &str, version: &str) -> Option<&[Arc<Resource>]> {
        let group = self.groups.iter().find(|g| *g.name == *group)?;
        match group.versions.iter().find(|(v, _)| **v == *version)? {
            (_, Content::Rows(rows)) => Some(rows),
            // Requests for it do not come here.
            (_, Content::Remote(_)) => None,
        }
    }
}

impl Aggregated {
    fn new(groups: &[&Group]) -> Self {
        let (json, content) = aggregated::document(groups);
        let hash = digest(&SHA512, content.as_bytes());
        let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
        let etag = HeaderValue::from_str(&format!("\"{hex}\"")).unwrap_or_else(|_| HeaderValue::from_static("\"\""));
        Self { json: json.into(), etag }
    }

    /// The tag is the same for all encodings.
    fn response(&self, encoding: Encoding, headers: &HeaderMap) -> Result<Response<Body>, Status> {
        let known = headers.get(header::IF_NONE_MATCH).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let same = known.split(',').any(|tag| tag.trim().as_bytes() == self.etag.as_bytes());
        let body = match encoding {
            _ if same => Bytes::new(),
            Encoding::Json => self.json.clone(),
            Encoding::Protobuf => protobuf::encode(&self.json)?,
            Encoding::Yaml => {
                let text = yaml::text(serde_json::from_slice(&self.json).unwrap_or_default());
                text.map_err(|_| Status::internal("the answer cannot be written as YAML"))?.into()
            }
        };
        let content_type = format!("{};{}", encoding.content_type(), aggregated::PARAMETERS);
        let mut response = respond::whole(if same { 304 } else { 200 }, &content_type, body);
        response.headers_mut().insert(header::ETAG, self.etag.clone());
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public"));
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
        Ok(response)
    }
}

enum Preferred {
    Aggregated(Encoding),
    Plain(Encoding),
}

/// What is accepted first of what there is; `v2beta1` is served no more, and who asks for it takes the plain form.
fn preferred(accepted: &str, aggregated: bool) -> Option<Preferred> {
    accept::clauses(accepted).into_iter().find_map(|clause| {
        let encoding = accept::known_encoding(clause.media_type)?;
        match (clause.param("g"), clause.param("v"), clause.param("as")) {
            (_, _, "") => Some(Preferred::Plain(encoding)),
            ("apidiscovery.k8s.io", "v2", "APIGroupDiscoveryList") if aggregated => {
                Some(Preferred::Aggregated(encoding))
            }
            _ => None,
        }
    })
}

/// The catalog's rows and what others serve by group and version, in the order of preference.
pub(crate) fn grouped(rows: Vec<Arc<Resource>>, others: &[Arc<RemoteVersion>]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for row in rows {
        match version(&mut groups, &row.group, &row.version) {
            Content::Rows(rows) => rows.push(row),
            Content::Remote(_) => {}
        }
    }
    for other in others {
        *version(&mut groups, &other.group, &other.version) = Content::Remote(other.clone());
    }
    let priorities = |group: &str, version: &str, content: &Content| match content {
        Content::Rows(_) => priorities::local(group, version),
        Content::Remote(remote) => (remote.group_priority, remote.version_priority),
    };
    for group in &mut groups {
        let name = &group.name;
        let rank =
            |(version, content): &(Box<str>, Content)| (priorities(name, version, content).1, version_rank(version));
        group.versions.sort_by(|a, b| rank(b).cmp(&rank(a)).then_with(|| a.0.cmp(&b.0)));
        for (_, content) in &mut group.versions {
            if let Content::Rows(rows) = content {
                rows.sort_by(|a, b| a.plural.cmp(&b.plural));
            }
        }
    }
    let place = |group: &Group| {
        let most = group.versions.iter().map(|(version, content)| priorities(&group.name, version, content).0).max();
        (!group.name.is_empty(), std::cmp::Reverse(most))
    };
    groups.sort_by(|a, b| place(a).cmp(&place(b)).then_with(|| a.name.cmp(&b.name)));
    groups
}

fn version<'a>(groups: &'a mut Vec<Group>, group: &str, version: &str) -> &'a mut Content {
    let at = groups.iter().position(|known| *known.name == *group).unwrap_or_else(|| {
        groups.push(Group { name: group.into(), versions: Vec::new() });
        groups.len() - 1
    });
    let versions = &mut groups[at].versions;
    let at = versions.iter().position(|(known, _)| **known == *version).unwrap_or_else(|| {
        versions.push((version.into(), Content::Rows(Vec::new())));
        versions.len() - 1
    });
    &mut versions[at].1
}

/// What can be done with a resource. Those of custom kinds come in another order.
fn verbs(resource: &Resource) -> Vec<&'static str> {
    const OF_CUSTOM: [&str; 8] = ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];
    match resource.builtin {
        true => resource.verbs.to_vec(),
        false => OF_CUSTOM.into_iter().filter(|verb| resource.verbs.contains(verb)).collect(),
    }
}

/// Kinds that upstream keeps in another version than those that are served, and so are their hashes.
const KEPT_AS: [(&str, &str); 2] = [("CustomResourceDefinition", "v1beta1"), ("VolumeAttributesClass", "v1beta1")];

/// What changes when the stored form of a kind does: clients compare it.
fn storage_version_hash(resource: &Resource) -> String {
    use base64::Engine;
    let version = match &resource.custom {
        Some(custom) => &*custom.definition.storage,
        None => KEPT_AS.iter().find(|(kind, _)| *kind == &*resource.kind).map_or(&*resource.version, |(_, kept)| *kept),
    };
    let (group, version) =
        resource.stored_as.map_or((&*resource.group, version), |(group, version, _)| (group, version));
    let stored = format!("{group}/{version}/{}", resource.kind);
    base64::engine::general_purpose::STANDARD.encode(&digest(&SHA256, stored.as_bytes()).as_ref()[..8])
}

/// The rows of a version as legacy discovery shows them, for tests of what clients depend on.
#[cfg(test)]
fn legacy_rows(catalog: &Catalog, group: &str, version: &str) -> serde_json::Value {
    let discovery = Discovery::new(String::new());
    let documents = discovery.documents(catalog, &Discovered::default());
    legacy::resources(documents.rows(group, version).unwrap(), group, version)
}
