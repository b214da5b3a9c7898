//! Discovery: which groups, versions and resources there are. Derived from the
//! catalog and from what aggregated servers say, and kept until either changes.

mod aggregated;
mod legacy;
pub(crate) mod subresource;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use api::Resource;
use api::version::rank as version_rank;
use arc_swap::ArcSwapOption;
use aws_lc_rs::digest::{SHA256, digest};
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header};

use crate::Catalog;
use crate::aggregation::discovered::{Discovered, RemoteVersion};
use crate::aggregation::priorities;
use crate::http::accept::{self, Clause, Encoding};
use crate::http::respond::{self, Form};

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

impl Content {
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
        others: &Discovered,
        path: &str,
        headers: &HeaderMap,
        form: &Form,
    ) -> Option<Response<Body>> {
        let documents = self.documents(catalog, others);
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let document = match parts.as_slice() {
            ["api" | "apis"] => {
                let (aggregated, plain) = if parts == ["api"] {
                    (&documents.core, legacy::versions(&self.advertised))
                } else {
                    (&documents.rest, legacy::group_list(&documents.groups))
                };
                let accepted = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
                let mut response = match preferred(accepted) {
                    Preferred::Aggregated => aggregated.response(headers),
                    Preferred::Plain => respond::value(200, &plain, form),
                    Preferred::Neither => respond::status(&api::Status::not_acceptable("application/json")),
                };
                response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
                return Some(response);
            }
            ["api", version] => legacy::resources(documents.rows("", version)?, "", version),
            ["apis", group] => legacy::group(documents.group(group)?),
            ["apis", group, version] => legacy::resources(documents.rows(group, version)?, group, version),
            _ => return None,
        };
        Some(respond::value(200, &document, form))
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
    fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|group| *group.name == *name && !name.is_empty())
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
        let json = Bytes::from(aggregated::document(groups).to_string());
        let hash = digest(&SHA256, &json);
        let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
        let etag = HeaderValue::from_str(&format!("\"{hex}\"")).unwrap_or_else(|_| HeaderValue::from_static("\"\""));
        Self { json, etag }
    }

    fn response(&self, headers: &HeaderMap) -> Response<Body> {
        let known = headers.get(header::IF_NONE_MATCH).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let same = known.split(',').any(|tag| tag.trim().as_bytes() == self.etag.as_bytes());
        let (code, body) = if same { (304, Bytes::new()) } else { (200, self.json.clone()) };
        let mut response = respond::whole(code, aggregated::CONTENT_TYPE, body);
        response.headers_mut().insert(header::ETAG, self.etag.clone());
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public"));
        response
    }
}

enum Preferred {
    Aggregated,
    Plain,
    Neither,
}

/// `v2` is served; `v2beta1` is no more, and who asks for it takes plain JSON.
fn preferred(accepted: &str) -> Preferred {
    for clause in accept::clauses(accepted) {
        let json = matches!(clause.media_type, "application/json" | "*/*" | "application/*");
        let discovery = |c: &Clause<'_>| {
            (c.param("g"), c.param("v"), c.param("as")) == ("apidiscovery.k8s.io", "v2", "APIGroupDiscoveryList")
        };
        match clause.param("as") {
            "" if json || clause.media_type == "application/yaml" => return Preferred::Plain,
            _ if json && discovery(&clause) => return Preferred::Aggregated,
            _ => {}
        }
    }
    // A client that knows nothing else gets what everybody understands.
    match accept::negotiate(accepted, accept::Offer { protobuf: false, shapes: false }) {
        Ok(accepted) if accepted.encoding == Encoding::Json => Preferred::Plain,
        _ => Preferred::Neither,
    }
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

/// What changes when the stored form of a kind does: clients compare it.
fn storage_version_hash(resource: &Resource) -> String {
    use base64::Engine;
    let version = resource.custom.as_ref().map_or(&resource.version, |custom| &custom.definition.storage);
    let stored = match resource.stored_as {
        Some((group, version, _)) => format!("{group}/{version}/{}", resource.kind),
        None => format!("{}/{version}/{}", resource.group, resource.kind),
    };
    base64::engine::general_purpose::STANDARD.encode(&digest(&SHA256, stored.as_bytes()).as_ref()[..8])
}

/// The rows of a version as legacy discovery shows them, for tests of what clients depend on.
#[cfg(test)]
fn legacy_rows(catalog: &Catalog, group: &str, version: &str) -> serde_json::Value {
    let discovery = Discovery::new(String::new());
    let documents = discovery.documents(catalog, &Discovered::default());
    legacy::resources(documents.rows(group, version).unwrap(), group, version)
}
