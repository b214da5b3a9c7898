//! What others serve: asked in the aggregated form, and in the old form of those who know no other.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use http::StatusCode;
use serde_json::Value;
use tokio::time::Instant;

use super::resources::{self, Resource};
use super::{Aggregator, Remote};
use crate::openapi::OtherDocuments;
use crate::tree::Tree;

/// How old an answer may be.
const FRESH: Duration = Duration::from_secs(60);
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
                          application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";

/// All groups and versions that others serve.
#[derive(Debug, Default)]
pub(crate) struct Discovered {
    /// Rises with every change.
    pub(crate) generation: u64,
    pub(crate) versions: Vec<Arc<RemoteVersion>>,
    asked: HashMap<String, Instant>,
}

/// One group and version that another server serves.
#[derive(Debug, PartialEq)]
pub(crate) struct RemoteVersion {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) group_priority: i64,
    pub(crate) version_priority: i64,
    /// As the aggregated form has them; none where it is not known what the server says now.
    pub(crate) resources: Vec<Resource>,
    /// Whether this is what the server says now.
    pub(crate) fresh: bool,
    documents: Arc<OtherDocuments>,
}

impl RemoteVersion {
    pub(super) fn is_of(&self, remote: &Remote) -> bool {
        self.group == remote.group && self.version == remote.version
    }

    /// The resources as rows, for those who ask for them here. What is only there for its subresources has no kind.
    pub(super) fn rows(&self) -> impl Iterator<Item = Arc<api::Resource>> {
        let wholes = self.resources.iter().filter(|resource| !resource.response_kind.kind.is_empty());
        wholes.map(|resource| Arc::new(resource.row(&self.group, &self.version)))
    }
}

/// What came of a look at an API server.
pub(super) struct Checked {
    pub(super) remote: Arc<Remote>,
    pub(super) answers: bool,
    /// Whether something about it was new.
    pub(super) changed: bool,
}

impl Aggregator {
    /// Brings what is known up to date: `checked` are those that were just asked whether they answer.
    pub(super) async fn discover(&self, remotes: &[Arc<Remote>], checked: &[Checked]) {
        let before = self.discovered.load_full();
        let learned = join_all(remotes.iter().map(async |remote| {
            let known = before.versions.iter().find(|known| known.is_of(remote));
            let was_fresh = known.is_some_and(|known| known.fresh);
            let check = checked.iter().find(|check| check.remote.name == remote.name);
            let old = before.asked.get(&remote.name).is_none_or(|asked| asked.elapsed() >= FRESH);
            let due = check.is_some_and(|check| check.answers && (check.changed || old || !was_fresh));
            let said = match due {
                true => self.ask(remote).await.inspect_err(|why| {
                    tracing::warn!(why, name = remote.name, "an aggregated API server does not say what it serves");
                }),
                false => Err(String::new()),
            };
            let said = said.ok();
            let fresh = if due { said.is_some() } else { was_fresh && check.is_none_or(|check| check.answers) };
            let asked = said.is_some();
            let documents = match known {
                _ if asked => self.documents(remote).await.into(),
                Some(known) => known.documents.clone(),
                None => Arc::default(),
            };
            let last = || known.filter(|_| fresh).map(|known| known.resources.clone());
            let resources = said.or_else(last).unwrap_or_default();
            (Arc::new(version(remote, resources, fresh, documents)), asked)
        }))
        .await;
        let mut asked: HashMap<String, Instant> =
            remotes.iter().filter_map(|r| Some((r.name.clone(), *before.asked.get(&r.name)?))).collect();
        for (remote, (_, was_asked)) in remotes.iter().zip(&learned) {
            if *was_asked {
                asked.insert(remote.name.clone(), Instant::now());
            }
        }
        let versions: Vec<Arc<RemoteVersion>> = learned.into_iter().map(|(version, _)| version).collect();
        let generation = before.generation + u64::from(versions != before.versions);
        let documents =
            |versions: &[Arc<RemoteVersion>]| versions.iter().map(|v| v.documents.clone()).collect::<Vec<_>>();
        if documents(&versions) != documents(&before.versions) {
            self.openapi.publish_others(documents(&versions));
        }
        self.discovered.store(Arc::new(Discovered { generation, versions, asked }));
        self.generation.send_if_modified(|known| std::mem::replace(known, generation) != generation);
    }

    /// What it says of itself in OpenAPI; it need not.
    async fn documents(&self, remote: &Remote) -> OtherDocuments {
        let get = async |path: &str| self.fetch(remote, false, path, "application/json").await;
        let listed = |index: Value| {
            let paths = index["paths"].as_object().into_iter().flatten();
            paths.map(|(name, path)| (name.clone(), path.text("serverRelativeURL").to_owned())).collect()
        };
        let v3 = match get("/openapi/v3").await {
            Ok(answer) if answer.status() == StatusCode::NOT_FOUND => None,
            Ok(answer) if answer.status().is_success() => {
                Some(listed(serde_json::from_slice(answer.body()).unwrap_or_default()))
            }
            _ => Some(BTreeMap::new()),
        };
        let v2 = get("/openapi/v2").await.ok().filter(|answer| answer.status().is_success());
        OtherDocuments::new(&remote.group, &remote.version, v3, v2.map(http::Response::into_body))
    }

    /// The resources of one group and version, or why they are not known.
    async fn ask(&self, remote: &Remote) -> Result<Vec<Resource>, String> {
        let (group, version) = (&remote.group, &remote.version);
        let garbled = |error: serde_json::Error| format!("the answer does not parse: {error}");
        if let Ok(answer) = self.fetch(remote, false, "/apis", AGGREGATED).await {
            let kind =
                answer.headers().get(http::header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
            if answer.status() == StatusCode::OK && kind.contains("as=APIGroupDiscoveryList") {
                return resources::from_aggregated(answer.body(), group, version).map_err(garbled);
            }
        }
        let path = format!("/apis/{group}/{version}");
        let answer = self.fetch(remote, false, &path, "application/json").await?;
        if answer.status() != StatusCode::OK {
            return Err(format!("{path} answers {}", answer.status()));
        }
        resources::from_legacy(answer.body()).map_err(garbled)
    }
}

fn version(remote: &Remote, resources: Vec<Resource>, fresh: bool, documents: Arc<OtherDocuments>) -> RemoteVersion {
    RemoteVersion {
        group: remote.group.clone(),
        version: remote.version.clone(),
        group_priority: remote.group_priority,
        version_priority: remote.version_priority,
        resources,
        fresh,
        documents,
    }
}
