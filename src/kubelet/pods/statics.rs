//! Static pods: manifests in a folder of the node, and the mirrors that show them in the API.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use api::{DeleteOptions, Object};
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tracing::{debug, info, warn};

use super::Dispatcher;
use super::pod::{CONFIG_HASH, CONFIG_MIRROR, CONFIG_SEEN, CONFIG_SOURCE, fingerprint};
use super::worker::Desired;
use crate::agent::Agent;
use crate::resources;

/// How often the folder is looked at.
const PERIOD: Duration = Duration::from_secs(5);
/// No manifest is larger.
const LARGEST: u64 = 1 << 20;

/// A pod from a manifest.
#[derive(Clone)]
pub(super) struct Static {
    pub(super) object: Arc<Object>,
    pub(super) mirror: Option<Arc<Object>>,
}

/// Follows the folder: every message holds all pods that are there.
pub(super) fn watch(agent: Arc<Agent>) -> mpsc::Receiver<Vec<Arc<Object>>> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let Some(dir) = agent.config.manifest_dir.clone() else {
            // The channel stays open and silent.
            sender.closed().await;
            return;
        };
        let mut seen = None;
        loop {
            let listing = listing(&dir);
            if seen.as_ref() != Some(&listing) {
                let pods = listing.keys().filter_map(|name| read(&agent, &dir.join(name))).collect();
                seen = Some(listing);
                if sender.send(pods).await.is_err() {
                    return;
                }
            }
            tokio::select! {
                () = tokio::time::sleep(PERIOD) => {}
                () = sender.closed() => return,
            }
        }
    });
    receiver
}

type Listing = BTreeMap<String, (Option<SystemTime>, u64)>;

fn listing(dir: &Path) -> Listing {
    let mut files = Listing::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(metadata) = std::fs::metadata(entry.path()) else { continue };
        // Editors' and tools' half-written files begin with a dot.
        if metadata.is_file() && !name.starts_with('.') {
            files.insert(name, (metadata.modified().ok(), metadata.len()));
        }
    }
    files
}

fn read(agent: &Agent, path: &Path) -> Option<Arc<Object>> {
    let parsed = || -> Result<Object, String> {
        if std::fs::metadata(path).map_err(|e| e.to_string())?.len() > LARGEST {
            return Err("larger than 1 MiB".into());
        }
        let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
        let value = serde_saphyr::from_str(&text).map_err(|e| e.to_string())?;
        pod(&agent.config.node_name, value)
    };
    match parsed() {
        Ok(object) => Some(Arc::new(object)),
        Err(error) => {
            warn!(file = %path.display(), error, "a static pod's manifest cannot be used");
            None
        }
    }
}

/// The pod a manifest means on this node: named after the node, its uid made from its content.
pub(super) fn pod(node: &str, mut value: Value) -> Result<Object, String> {
    if value["kind"] != "Pod" || value["apiVersion"] != "v1" {
        return Err("not a v1 Pod".into());
    }
    let name =
        value["metadata"]["name"].as_str().filter(|n| !n.is_empty()).ok_or("metadata.name is missing")?.to_owned();
    if value["spec"]["containers"].as_array().is_none_or(Vec::is_empty) {
        return Err("spec.containers is missing".into());
    }
    let text = value.to_string();
    let halves =
        [fingerprint(&[text.as_bytes(), node.as_bytes()]), fingerprint(&[node.as_bytes(), text.as_bytes(), b"2"])];
    let uid = format!("{:016x}{:016x}", halves[0], halves[1]);
    let metadata = &mut value["metadata"];
    metadata["name"] = format!("{name}-{node}").into();
    metadata["uid"] = uid.as_str().into();
    if metadata["namespace"].as_str().is_none_or(str::is_empty) {
        metadata["namespace"] = "default".into();
    }
    metadata["annotations"][CONFIG_HASH] = uid.as_str().into();
    metadata["annotations"][CONFIG_SOURCE] = "file".into();
    metadata["annotations"][CONFIG_SEEN] = api::time::format(Timestamp::now()).into();
    let spec = &mut value["spec"];
    spec["nodeName"] = node.into();
    // The node's own pods outlive its taints.
    let tolerate = json!({"operator": "Exists", "effect": "NoExecute"});
    match spec["tolerations"].as_array_mut() {
        Some(all) => all.push(tolerate),
        None => spec["tolerations"] = json!([tolerate]),
    }
    Object::received(Bytes::from(value.to_string()), resources::pods()).map_err(|e| e.to_string())
}

impl Dispatcher {
    /// The uid of the static pod an API object mirrors.
    pub(super) fn mirrored(&self, object: &Object) -> Option<String> {
        #[derive(serde::Deserialize)]
        struct View {
            metadata: Metadata,
        }
        #[derive(serde::Deserialize)]
        struct Metadata {
            #[serde(default)]
            annotations: Option<HashMap<String, String>>,
        }
        // Looking into every pod would be a waste: few bytes tell.
        let marker = CONFIG_MIRROR.as_bytes();
        if !object.stored_bytes().windows(marker.len()).any(|w| w == marker) {
            return None;
        }
        let view: View = object.view().ok()?;
        view.metadata.annotations?.get(CONFIG_MIRROR).cloned()
    }

    /// Takes over the state of the folder.
    pub(super) fn take_manifests(&mut self, pods: Vec<Arc<Object>>) {
        let now: HashMap<String, Arc<Object>> = pods.into_iter().map(|o| (o.meta.uid.to_string(), o)).collect();
        let gone: Vec<String> = self.statics.keys().filter(|uid| !now.contains_key(*uid)).cloned().collect();
        for uid in gone {
            let Some(old) = self.statics.remove(&uid) else { continue };
            info!(pod = &*old.object.meta.name, "static pod removed");
            self.agent.pods.lock().remove(&uid);
            if let Some(mirror) = &old.mirror {
                self.delete_mirror(mirror);
            }
            self.hand(uid, Desired { object: old.object, mirror: old.mirror, gone: true });
        }
        for (uid, object) in now {
            if self.statics.contains_key(&uid) {
                continue;
            }
            info!(pod = &*object.meta.name, "static pod");
            let mirror = self
                .cache
                .get(&object.meta.namespace, &object.meta.name)
                .filter(|m| self.mirrored(m).as_ref() == Some(&uid));
            self.agent.pods.lock().insert(uid.clone(), object.clone());
            self.statics.insert(uid.clone(), Static { object: object.clone(), mirror: mirror.clone() });
            if mirror.is_none() {
                self.create_mirror(uid.clone(), object.clone());
            }
            self.hand(uid, Desired { object, mirror, gone: false });
        }
    }

    /// A mirror came, changed or went.
    pub(super) fn mirror(&mut self, uid: &str, object: &Arc<Object>, deleted: bool) {
        let Some(pod) = self.statics.get_mut(uid) else {
            // A mirror of what is no longer in the folder.
            if !deleted {
                self.delete_mirror(object);
            }
            return;
        };
        if deleted {
            pod.mirror = None;
            let object = pod.object.clone();
            self.create_mirror(uid.to_owned(), object.clone());
            self.hand(uid.to_owned(), Desired { object, mirror: None, gone: false });
            return;
        }
        pod.mirror = Some(object.clone());
        let desired = Desired { object: pod.object.clone(), mirror: pod.mirror.clone(), gone: false };
        if object.meta.is_deleting() {
            self.delete_mirror(object);
        }
        self.hand(uid.to_owned(), desired);
    }

    fn delete_mirror(&self, mirror: &Arc<Object>) {
        let (agent, meta) = (self.agent.clone(), mirror.meta.clone());
        tokio::spawn(async move {
            let options =
                DeleteOptions { grace_period_seconds: Some(0), uid: Some(meta.uid.to_string()), ..Default::default() };
            if let Err(error) = agent.client.delete(resources::pods(), &meta.namespace, &meta.name, options).await {
                debug!(%error, pod = &*meta.name, "could not delete a mirror pod");
            }
        });
    }

    /// Creates the mirror, trying until it is there or its pod is not.
    fn create_mirror(&self, uid: String, object: Arc<Object>) {
        let agent = self.agent.clone();
        let cache = self.cache.clone();
        tokio::spawn(async move {
            cache.synced().await;
            while agent.pods.lock().contains_key(&uid) {
                match try_create(&agent, &uid, &object).await {
                    Ok(()) => return,
                    Err(error) if error.is_already_exists() => {
                        // An older version's mirror: it goes first.
                        if let Some(old) = cache.get(&object.meta.namespace, &object.meta.name) {
                            let options = DeleteOptions {
                                grace_period_seconds: Some(0),
                                uid: Some(old.meta.uid.to_string()),
                                ..Default::default()
                            };
                            let value = old.to_value().unwrap_or_default();
                            if value["metadata"]["annotations"][CONFIG_MIRROR] == uid.as_str() {
                                return;
                            }
                            let _ = agent
                                .client
                                .delete(resources::pods(), &object.meta.namespace, &object.meta.name, options)
                                .await;
                        }
                    }
                    Err(error) => warn!(%error, pod = &*object.meta.name, "could not create a mirror pod, will retry"),
                }
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
        });
    }
}

async fn try_create(agent: &Agent, uid: &str, object: &Object) -> Result<(), api::Status> {
    let mut value = object.to_value().map_err(api::Status::internal)?;
    if let Some(metadata) = value["metadata"].as_object_mut() {
        metadata.remove("uid");
    }
    value["metadata"]["annotations"][CONFIG_MIRROR] = uid.into();
    if let Some(node) = agent.node.get("", &agent.config.node_name) {
        value["metadata"]["ownerReferences"] = json!([{
            "apiVersion": "v1", "kind": "Node", "name": agent.config.node_name, "uid": &*node.meta.uid, "controller": true,
        }]);
    }
    agent.client.create(resources::pods(), &object.meta.namespace, value).await.map(drop)
}
