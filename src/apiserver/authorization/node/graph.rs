//! Which node uses which objects.

use std::collections::{HashMap, HashSet};

use api::Object;
use serde_json::Value;
use watch_cache::{Change, ChangeKind, Subscription};

use super::Caches;

/// `resource/namespace/name`
pub(crate) type Key = Box<str>;

/// The index, and its places in the caches' changes.
pub(super) struct Graph {
    caches: Caches,
    following: [Subscription; 3],
    /// What each pod uses, and where it is: to undo it when the pod goes.
    pods: HashMap<Box<str>, PodUse>,
    /// Object → nodes → how many pods there use it.
    users: HashMap<Key, HashMap<Box<str>, usize>>,
    /// Volume → the claim bound to it, as `namespace/name`, and the secrets its driver needs.
    volumes: HashMap<Box<str>, (Box<str>, Vec<Key>)>,
    /// Attachment → node.
    attachments: HashMap<Box<str>, Box<str>>,
}

struct PodUse {
    node: Box<str>,
    /// Of the spec it was read from: ephemeral containers may come later.
    generation: i64,
    objects: HashSet<Key>,
}

fn key(resource: &str, namespace: &str, name: &str) -> Key {
    format!("{resource}/{namespace}/{name}").into()
}

impl Graph {
    pub(super) fn new(caches: Caches) -> Self {
        let (pods, s0) = caches.pods.subscribe();
        let (volumes, s1) = caches.volumes.subscribe();
        let (attachments, s2) = caches.attachments.subscribe();
        let mut graph = Self {
            caches,
            following: [s0, s1, s2],
            pods: HashMap::new(),
            users: HashMap::new(),
            volumes: HashMap::new(),
            attachments: HashMap::new(),
        };
        for (kind, snapshot) in [pods, volumes, attachments].iter().enumerate() {
            for object in snapshot.range("", None) {
                graph.put(kind, object);
            }
        }
        graph
    }

    /// The graph, with every change in it that the caches show.
    pub(super) fn current(&mut self) -> &Self {
        for kind in 0..3 {
            loop {
                match self.following[kind].ready() {
                    Ok(changes) if changes.is_empty() => break,
                    Ok(changes) => changes.iter().for_each(|change| self.apply(kind, change)),
                    Err(_) => {
                        *self = Self::new(self.caches.clone());
                        return self;
                    }
                }
            }
        }
        self
    }

    pub(super) fn uses(&self, node: &str, resource: &str, namespace: &str, name: &str) -> bool {
        let direct = |key: &str| self.users.get(key).is_some_and(|nodes| nodes.contains_key(node));
        match resource {
            "pods" => self.pod_is_on(namespace, name, node),
            // There are few, and nodes seldom ask.
            "resourceslices" => self.caches.slices.get("", name).is_some_and(|slice| {
                let slice = slice.to_value().unwrap_or_default();
                slice.pointer("/spec/nodeName").and_then(Value::as_str) == Some(node)
            }),
            "volumeattachments" => self.attachments.get(name).is_some_and(|at| **at == *node),
            "persistentvolumes" => self.volumes.get(name).is_some_and(|(claim, _)| {
                let (namespace, name) = api::meta::split_key(claim);
                direct(&key("persistentvolumeclaims", namespace, name))
            }),
            _ => {
                let wanted = key(resource, namespace, name);
                // A secret may be a volume's, and the volume a pod's.
                direct(&wanted)
                    || (resource == "secrets"
                        && self.volumes.iter().any(|(volume, (_, secrets))| {
                            secrets.contains(&wanted) && self.uses(node, "persistentvolumes", "", volume)
                        }))
            }
        }
    }

    fn pod_is_on(&self, namespace: &str, name: &str, node: &str) -> bool {
        let key = api::meta::key(namespace, name);
        self.pods.get(key.as_str()).is_some_and(|pod| *pod.node == *node)
    }

    fn apply(&mut self, kind: usize, change: &Change) {
        match change.kind {
            ChangeKind::Deleted => self.remove(kind, &change.object),
            _ => self.put(kind, &change.object),
        }
    }

    fn remove(&mut self, kind: usize, object: &Object) {
        let key = object.meta.key();
        match kind {
            0 => {
                let Some(pod) = self.pods.remove(key.as_str()) else { return };
                for object in &pod.objects {
                    let Some(nodes) = self.users.get_mut(object) else { continue };
                    if let Some(count) = nodes.get_mut(&pod.node) {
                        *count -= 1;
                        if *count == 0 {
                            nodes.remove(&pod.node);
                        }
                    }
                    if nodes.is_empty() {
                        self.users.remove(object);
                    }
                }
            }
            1 => {
                self.volumes.remove(key.as_str());
            }
            _ => drop(self.attachments.remove(key.as_str())),
        }
    }

    fn put(&mut self, kind: usize, object: &Object) {
        let key_text: Box<str> = object.meta.key().into();
        match kind {
            0 => {
                let at = object.meta.fields.first().cloned().unwrap_or_default();
                let generation = object.meta.generation;
                // Most changes are of the status, and say nothing new.
                if self.pods.get(&key_text).is_some_and(|pod| pod.node == at && pod.generation == generation) {
                    return;
                }
                self.remove(0, object);
                if at.is_empty() {
                    return;
                }
                let objects = object.to_value().map(|pod| pod_uses(&object.meta.namespace, &pod)).unwrap_or_default();
                for used in &objects {
                    *self.users.entry(used.clone()).or_default().entry(at.clone()).or_default() += 1;
                }
                self.pods.insert(key_text, PodUse { node: at, generation, objects });
            }
            1 => {
                let Ok(volume) = object.to_value() else { return };
                let text = |path: &str| volume.pointer(path).and_then(Value::as_str).unwrap_or_default();
                let claim: Box<str> =
                    api::meta::key(text("/spec/claimRef/namespace"), text("/spec/claimRef/name")).into();
                let secrets = volume_secrets(&volume, text("/spec/claimRef/namespace"));
                self.volumes.insert(key_text, (claim, secrets));
            }
            _ => {
                let node = object.to_value().ok();
                let node =
                    node.as_ref().and_then(|a| a.pointer("/spec/nodeName")).and_then(Value::as_str).unwrap_or_default();
                self.attachments.insert(key_text, node.into());
            }
        }
    }
}

/// The objects a pod names: secrets, config maps, claims, its service account.
pub(crate) fn pod_uses(namespace: &str, pod: &Value) -> HashSet<Key> {
    let mut used = HashSet::new();
    let Some(spec) = pod.get("spec") else { return used };
    let account = spec.get("serviceAccountName").and_then(Value::as_str).unwrap_or_default();
    if !account.is_empty() {
        used.insert(key("serviceaccounts", namespace, account));
    }
    let pod_name = pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    walk(spec, &mut |field, value| {
        let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
        let (resource, name) = match field {
            "secretKeyRef" | "secretRef" => ("secrets", text("name")),
            "configMapKeyRef" | "configMapRef" => ("configmaps", text("name")),
            "configMap" => ("configmaps", text("name")),
            // A projected source says `name`, a volume says `secretName`.
            "secret" if value.get("secretName").is_some() => ("secrets", text("secretName")),
            "secret" => ("secrets", text("name")),
            "nodePublishSecretRef" => ("secrets", text("name")),
            "persistentVolumeClaim" => ("persistentvolumeclaims", text("claimName")),
            _ => return,
        };
        if !name.is_empty() {
            used.insert(key(resource, namespace, name));
        }
    });
    for volume in spec.get("volumes").and_then(Value::as_array).into_iter().flatten() {
        if volume.get("ephemeral").is_some()
            && let Some(name) = volume.get("name").and_then(Value::as_str)
        {
            used.insert(key("persistentvolumeclaims", namespace, &format!("{pod_name}-{name}")));
        }
    }
    for pull in spec.get("imagePullSecrets").and_then(Value::as_array).into_iter().flatten() {
        if let Some(name) = pull.get("name").and_then(Value::as_str) {
            used.insert(key("secrets", namespace, name));
        }
    }
    for status in pod.pointer("/status/resourceClaimStatuses").and_then(Value::as_array).into_iter().flatten() {
        if let Some(name) = status.get("resourceClaimName").and_then(Value::as_str) {
            used.insert(key("resourceclaims", namespace, name));
        }
    }
    for claim in spec.get("resourceClaims").and_then(Value::as_array).into_iter().flatten() {
        if let Some(name) = claim.get("resourceClaimName").and_then(Value::as_str) {
            used.insert(key("resourceclaims", namespace, name));
        }
    }
    used
}

/// Secrets a volume's driver needs on the node; the namespace defaults to the claim's.
fn volume_secrets(volume: &Value, claim_namespace: &str) -> Vec<Key> {
    let mut secrets = Vec::new();
    let Some(spec) = volume.get("spec") else { return secrets };
    walk(spec, &mut |field, value| {
        if matches!(field, "secretRef" | "nodePublishSecretRef" | "nodeStageSecretRef" | "nodeExpandSecretRef") {
            let text = |name: &str| value.get(name).and_then(Value::as_str).filter(|t| !t.is_empty());
            if let Some(name) = text("name") {
                secrets.push(key("secrets", text("namespace").unwrap_or(claim_namespace), name));
            }
        }
    });
    secrets
}

/// Visits every member of every object below a value. Depth is bounded by what bodies may have.
fn walk(value: &Value, visit: &mut impl FnMut(&str, &Value)) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                visit(name, member);
                walk(member, visit);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| walk(item, visit)),
        _ => {}
    }
}
