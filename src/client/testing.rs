//! An API server in memory, for the component tests of everything that is a client.
//!
//! It keeps the promises clients build on: revisions, conflicts, uid preconditions, generations, the status subresource,
//! finalizers, graceful deletion of pods, terminating namespaces. It neither validates nor defaults nor authorizes, and
//! it refuses what it does not do. Caches can be held back, to show what a client does on a stale view.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use api::selector::{FieldSelector, LabelSelector};
use api::{
    DeleteOptions, List, ListOptions, Object, Operation, Patch, Propagation, Reply, Request, Resource, Status, User,
    WatchEvent, WatchOptions, meta,
};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;
use watch_cache::{Cache, ChangeKind};

use crate::{Client, Elsewhere, Transport};

/// The cluster: a [`Transport`] that every clone shares.
#[derive(Clone, Default)]
pub struct Cluster {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    revision: u64,
    kinds: HashMap<String, Kind>,
    extra: Vec<Arc<Resource>>,
    served: watch::Sender<u64>,
    elsewhere: Elsewhere,
    elsewhere_changed: watch::Sender<u64>,
    /// Changes that held caches have not seen yet, by kind.
    held: HashMap<String, Vec<Change>>,
    faults: Vec<Fault>,
    log: Vec<String>,
}

#[derive(Default)]
struct Kind {
    objects: BTreeMap<String, Arc<Object>>,
    cache: Option<Arc<Cache>>,
}

enum Change {
    Put(Arc<Object>),
    Remove { namespace: String, name: String, revision: u64 },
}

struct Fault {
    verb: String,
    plural: String,
    times: usize,
    status: Status,
}

impl Cluster {
    /// An empty cluster.
    pub fn new() -> Self {
        Self::default()
    }

    /// A client of it.
    pub fn client(&self) -> Client {
        Client::new(Arc::new(self.clone()), User::new("tester", [api::user::MASTERS]))
    }

    /// Stores an object as it stands, status and timestamps included, and returns it with what every object gets.
    pub fn seed(&self, resource: &Arc<Resource>, object: Value) -> Arc<Object> {
        let mut state = self.state.lock();
        let value = state.complete(resource, object);
        state.commit(resource, value)
    }

    /// Serves one more kind: a custom resource.
    pub fn serve(&self, resource: Arc<Resource>) {
        let mut state = self.state.lock();
        state.extra.push(resource);
        state.served.send_modify(|served| *served += 1);
    }

    /// Serves a kind no longer, whatever its versions; its objects and its cache are gone.
    pub fn withdraw(&self, resource: &Arc<Resource>) {
        let mut state = self.state.lock();
        state.extra.retain(|row| row.qualified() != resource.qualified());
        state.kinds.remove(&resource.storage().qualified());
        state.served.send_modify(|served| *served += 1);
    }

    /// Says so of what other API servers serve.
    pub fn set_elsewhere(&self, elsewhere: Elsewhere) {
        let mut state = self.state.lock();
        state.elsewhere = elsewhere;
        state.elsewhere_changed.send_modify(|changed| *changed += 1);
    }

    /// The stored object as a tree, or null.
    pub fn value(&self, resource: &Arc<Resource>, namespace: &str, name: &str) -> Value {
        let object = self.state.lock().get(resource, &meta::key(namespace, name)).cloned();
        object.map_or(Value::Null, |object| object.to_value().expect("stored objects parse"))
    }

    /// The names of the stored objects of a kind, as keys, in order.
    pub fn keys(&self, resource: &Arc<Resource>) -> Vec<String> {
        self.state.lock().kind(resource).objects.keys().cloned().collect()
    }

    /// From now on the cache of a kind sees nothing, until [`Cluster::release`].
    pub fn hold(&self, resource: &Arc<Resource>) {
        self.state.lock().held.entry(resource.storage().qualified()).or_default();
    }

    /// The cache sees what it missed, and everything from now on.
    pub fn release(&self, resource: &Arc<Resource>) {
        let kind = resource.storage().qualified();
        let mut state = self.state.lock();
        for change in state.held.remove(&kind).unwrap_or_default() {
            state.feed(&kind, change);
        }
    }

    /// The next `times` requests of that verb on that plural fail.
    pub fn fail(&self, verb: &str, plural: &str, times: usize, status: Status) {
        self.state.lock().faults.push(Fault { verb: verb.into(), plural: plural.into(), times, status });
    }

    /// The writes so far, as `verb plural[/subresource] namespace/name`, and forgets them.
    pub fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().log)
    }
}

impl Cluster {
    /// The changes of a kind behind a revision, whatever their namespace. Never ends.
    fn watch(&self, resource: &Arc<Resource>, options: &WatchOptions) -> Result<Reply, Status> {
        let after = options.list.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0);
        let changes = self.cache(resource).subscribe_after(after).map_err(|gone| Status::expired(gone.to_string()))?;
        let batches = futures::stream::unfold(changes, |mut changes| async move {
            let batch = changes.next().await.ok()?;
            let event = |change: Arc<watch_cache::Change>| match change.kind {
                ChangeKind::Added => WatchEvent::Added(change.object.clone()),
                ChangeKind::Modified => WatchEvent::Modified(change.object.clone()),
                ChangeKind::Deleted => WatchEvent::Deleted(change.object.clone()),
            };
            Some((futures::stream::iter(batch.into_iter().map(event)), changes))
        });
        Ok(Reply::Watch(Box::pin(futures::StreamExt::flatten(batches))))
    }
}

impl Transport for Cluster {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Reply, Status>> {
        let reply = match &request.operation {
            Operation::Watch(options) => self.watch(&request.resource, options),
            _ => self.state.lock().handle(request),
        };
        // A real call is never ready at once: let other tasks run in between.
        Box::pin(async move {
            tokio::task::yield_now().await;
            reply
        })
    }

    fn cache(&self, resource: &Arc<Resource>) -> Arc<Cache> {
        let mut state = self.state.lock();
        let revision = state.revision;
        let kind = state.kind(resource);
        let storage = resource.storage();
        let objects = || kind.objects.values().cloned().collect::<Vec<_>>();
        if let Some(cache) = &kind.cache {
            return cache.clone();
        }
        let cache = Cache::new(storage, 10_000);
        cache.replace(objects(), revision);
        kind.cache = Some(cache.clone());
        cache
    }

    fn resources(&self) -> Vec<Arc<Resource>> {
        api::resource::builtin().iter().chain(&self.state.lock().extra).cloned().collect()
    }

    fn served(&self) -> Option<watch::Receiver<u64>> {
        Some(self.state.lock().served.subscribe())
    }

    fn elsewhere(&self) -> Elsewhere {
        self.state.lock().elsewhere.clone()
    }

    fn elsewhere_changed(&self) -> Option<watch::Receiver<u64>> {
        Some(self.state.lock().elsewhere_changed.subscribe())
    }
}

impl State {
    fn kind(&mut self, resource: &Arc<Resource>) -> &mut Kind {
        self.kinds.entry(resource.storage().qualified()).or_default()
    }

    fn get(&mut self, resource: &Arc<Resource>, key: &str) -> Option<&Arc<Object>> {
        self.kind(resource).objects.get(key)
    }

    fn handle(&mut self, request: Request) -> Result<Reply, Status> {
        let Request { resource, namespace, name, subresource, operation, .. } = request;
        let verb = operation.verb();
        let slash = if subresource.is_empty() { "" } else { "/" };
        if !matches!(operation, Operation::Get { .. } | Operation::List(_)) {
            self.log.push(format!("{verb} {}{slash}{subresource} {}", resource.plural, meta::key(&namespace, &name)));
        }
        if let Some(fault) =
            self.faults.iter_mut().find(|f| f.times > 0 && f.verb == verb && *f.plural == *resource.plural)
        {
            fault.times -= 1;
            return Err(fault.status.clone());
        }
        match operation {
            Operation::Get { .. } => self.found(&resource, &namespace, &name).map(whole),
            Operation::List(options) => self.list(&resource, &namespace, &options).map(Reply::List),
            Operation::Watch(_) => Err(Status::method_not_allowed()),
            Operation::Create(object, _) if subresource.is_empty() => {
                let object = self.create(&resource, &namespace, object)?;
                Ok(Reply::Object { object, created: true, warnings: Vec::new() })
            }
            Operation::Create(object, _) => self.create_sub(&resource, &namespace, &name, &subresource, &object),
            Operation::Update(object, _) => {
                let old = self.found(&resource, &namespace, &name)?;
                self.write(&resource, &old, object, &subresource).map(whole)
            }
            Operation::Patch(patch, _) => {
                let old = self.found(&resource, &namespace, &name)?;
                let new = patched(&resource, old.to_value().map_err(Status::internal)?, &patch)?;
                self.write(&resource, &old, new, &subresource).map(whole)
            }
            Operation::Delete(options) => {
                let old = self.found(&resource, &namespace, &name)?;
                self.delete(&resource, &old, &options)
            }
            Operation::DeleteCollection(options, list) => {
                let list = self.list(&resource, &namespace, &list)?;
                for object in &list.items {
                    self.delete(&resource, object, &options)?;
                }
                Ok(Reply::List(list))
            }
        }
    }

    fn found(&mut self, resource: &Arc<Resource>, namespace: &str, name: &str) -> Result<Arc<Object>, Status> {
        let found = self.get(resource, &meta::key(namespace, name)).cloned();
        found.ok_or_else(|| Status::not_found(&resource.group, &resource.plural, name))
    }

    fn list(&mut self, resource: &Arc<Resource>, namespace: &str, options: &ListOptions) -> Result<List, Status> {
        let bad = |error: api::selector::SelectorError| Status::bad_request(error.to_string());
        let labels = LabelSelector::parse(&options.label_selector).map_err(bad)?;
        let fields = FieldSelector::parse(&options.field_selector).map_err(bad)?;
        let shown = |object: &&Arc<Object>| {
            (namespace.is_empty() || *object.meta.namespace == *namespace)
                && labels.matches(&object.meta.labels)
                && fields.matches(|path| match path {
                    "metadata.name" => Some(&*object.meta.name),
                    "metadata.namespace" => Some(&*object.meta.namespace),
                    path => resource.field(path).map(|at| &*object.meta.fields[at]),
                })
        };
        let revision = self.revision;
        let items = self.kind(resource).objects.values().filter(shown).cloned().collect();
        Ok(List { items, revision, ..List::default() })
    }

    fn create(&mut self, resource: &Arc<Resource>, namespace: &str, mut object: Value) -> Result<Arc<Object>, Status> {
        if !namespace.is_empty() {
            object["metadata"]["namespace"] = namespace.into();
            let home = self.get(&crate::kinds::namespaces(), namespace);
            if home.is_some_and(|home| home.meta.is_deleting()) {
                let why =
                    format!("unable to create new content in namespace {namespace} because it is being terminated");
                return Err(Status::forbidden(&resource.group, &resource.plural, "", why));
            }
        }
        if resource.has_subresource("status")
            && let Some(object) = object.as_object_mut()
        {
            object.remove("status");
        }
        match &*resource.plural {
            "pods" => object["status"] = json!({ "phase": "Pending" }),
            "namespaces" => {
                object["status"] = json!({ "phase": "Active" });
                object["spec"] = json!({ "finalizers": ["kubernetes"] });
            }
            _ => {}
        }
        let value = self.complete(resource, object);
        let name = value["metadata"]["name"].as_str().unwrap_or_default();
        if self.get(resource, &meta::key(namespace, name)).is_some() {
            return Err(Status::already_exists(&resource.group, &resource.plural, name));
        }
        Ok(self.commit(resource, value))
    }

    /// What every new object gets.
    fn complete(&self, resource: &Resource, mut object: Value) -> Value {
        object["kind"] = (&*resource.kind).into();
        object["apiVersion"] = resource.api_version().into();
        let metadata = &mut object["metadata"];
        if metadata["name"].as_str().unwrap_or_default().is_empty() {
            let base = metadata["generateName"].as_str().unwrap_or_default().to_owned();
            metadata["name"] = format!("{base}{:05x}", self.revision + 1).into();
        }
        let defaults = [
            ("uid", json!(uuid::Uuid::new_v4().to_string())),
            ("creationTimestamp", json!(api::time::format(jiff::Timestamp::now()))),
            ("generation", json!(1)),
        ];
        for (field, value) in defaults {
            if metadata[field].is_null() {
                metadata[field] = value;
            }
        }
        object
    }

    fn create_sub(
        &mut self,
        resource: &Arc<Resource>,
        namespace: &str,
        name: &str,
        subresource: &str,
        object: &Value,
    ) -> Result<Reply, Status> {
        let old = self.found(resource, namespace, name)?;
        match subresource {
            "binding" => {
                let mut value = old.to_value().map_err(Status::internal)?;
                if value["spec"]["nodeName"].as_str().is_some_and(|node| !node.is_empty()) {
                    let why = format!("pod {name} is already assigned to node {}", value["spec"]["nodeName"]);
                    return Err(Status::conflict("", "pods/binding", name, why));
                }
                value["spec"]["nodeName"] = object["target"]["name"].clone();
                let bound = json!([{ "type": "PodScheduled", "status": "True" }]);
                let patch = Patch::Strategic(json!({ "status": { "conditions": bound } }));
                let value = patched(resource, value, &patch)?;
                self.commit(resource, value);
                Ok(Reply::Status(Box::new(Status::success("", "pods", name, &old.meta.uid))))
            }
            "eviction" => self.delete(resource, &old, &DeleteOptions::default()),
            _ => Err(Status::no_such_path()),
        }
    }

    /// Puts `new` in place of `old`, as far as the subresource lets it.
    fn write(
        &mut self,
        resource: &Arc<Resource>,
        old: &Arc<Object>,
        new: Value,
        subresource: &str,
    ) -> Result<Arc<Object>, Status> {
        let was = old.to_value().map_err(Status::internal)?;
        let name = &*old.meta.name;
        let stated = |field: &str| new["metadata"][field].as_str().filter(|text| !text.is_empty());
        if stated("uid").is_some_and(|uid| uid != &*old.meta.uid) {
            let why = format!(
                "Precondition failed: UID in precondition: {}, UID in object meta: {}",
                new["metadata"]["uid"], old.meta.uid
            );
            return Err(Status::conflict(&resource.group, &resource.plural, name, why));
        }
        if stated("resourceVersion").is_some_and(|version| version != old.meta.resource_version.to_string()) {
            return Err(Status::stale(&resource.group, &resource.plural, name));
        }
        let mut now = match subresource {
            "" => {
                let mut now = new;
                if resource.has_subresource("status") {
                    set(&mut now, "status", was["status"].clone());
                }
                if now["spec"] != was["spec"] {
                    now["metadata"]["generation"] = (old.meta.generation + 1).into();
                }
                now
            }
            "finalize" => {
                let mut now = was.clone();
                now["spec"]["finalizers"] = new["spec"]["finalizers"].clone();
                now
            }
            part => {
                if !resource.has_subresource(part) {
                    return Err(Status::no_such_path());
                }
                let mut now = was.clone();
                set(&mut now, part, new[part].clone());
                now
            }
        };
        // What no client may change.
        for field in [
            "name",
            "namespace",
            "uid",
            "resourceVersion",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
        ] {
            let kept = was["metadata"][field].clone();
            set(&mut now["metadata"], field, kept);
        }
        let held = |list: &Value| list.as_array().is_some_and(|list| !list.is_empty());
        let held = held(&now["metadata"]["finalizers"])
            || *resource.plural == *"namespaces" && held(&now["spec"]["finalizers"])
            || old.meta.deletion_grace_period_seconds.unwrap_or_default() > 0;
        if old.meta.is_deleting() && !held {
            return Ok(self.remove(resource, old));
        }
        if now == was {
            return Ok(old.clone());
        }
        Ok(self.commit(resource, now))
    }

    fn delete(
        &mut self,
        resource: &Arc<Resource>,
        old: &Arc<Object>,
        options: &DeleteOptions,
    ) -> Result<Reply, Status> {
        let name = &*old.meta.name;
        let stale_uid = options.uid.as_ref().is_some_and(|uid| **uid != *old.meta.uid);
        let version = old.meta.resource_version.to_string();
        if stale_uid || options.resource_version.as_ref().is_some_and(|asked| *asked != version) {
            return Err(Status::conflict(&resource.group, &resource.plural, name, "Precondition failed"));
        }
        let mut value = old.to_value().map_err(Status::internal)?;
        let waits = match options.propagation {
            Some(Propagation::Foreground) => Some("foregroundDeletion"),
            Some(Propagation::Orphan) => Some("orphan"),
            _ => None,
        };
        if let Some(finalizer) = waits {
            let finalizers = &mut value["metadata"]["finalizers"];
            let mut list = finalizers.as_array().cloned().unwrap_or_default();
            if !list.iter().any(|present| present == finalizer) {
                list.push(finalizer.into());
            }
            *finalizers = list.into();
        }
        let mut grace = 0;
        if *resource.plural == *"pods" {
            let ended = matches!(value["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
            let bound = value["spec"]["nodeName"].as_str().is_some_and(|node| !node.is_empty());
            if bound && !ended {
                let usual = value["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(30);
                grace = options.grace_period_seconds.unwrap_or(usual);
            }
            // A grace period under way only ever becomes shorter.
            grace = grace.min(old.meta.deletion_grace_period_seconds.unwrap_or(i64::MAX));
        }
        let listed = |list: &Value| list.as_array().is_some_and(|list| !list.is_empty());
        let namespace = *resource.plural == *"namespaces";
        let held =
            grace > 0 || listed(&value["metadata"]["finalizers"]) || namespace && listed(&value["spec"]["finalizers"]);
        if !held {
            self.remove(resource, old);
            let status = Status::success(&resource.group, &resource.plural, name, &old.meta.uid);
            return Ok(Reply::Status(Box::new(status)));
        }
        if old.meta.is_deleting() && waits.is_none() && old.meta.deletion_grace_period_seconds == Some(grace) {
            return Ok(whole(old.clone()));
        }
        let at = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(grace);
        value["metadata"]["deletionTimestamp"] = api::time::format(at).into();
        value["metadata"]["deletionGracePeriodSeconds"] = grace.into();
        if namespace {
            value["status"]["phase"] = "Terminating".into();
        }
        Ok(whole(self.commit(resource, value)))
    }

    fn commit(&mut self, resource: &Arc<Resource>, value: Value) -> Arc<Object> {
        self.revision += 1;
        let storage = resource.storage();
        let object = Object::encode(&value, self.revision, &storage).expect("a tree encodes");
        let object = Arc::new(object);
        self.kind(resource).objects.insert(object.meta.key(), object.clone());
        self.show(resource, Change::Put(object.clone()));
        object
    }

    fn remove(&mut self, resource: &Arc<Resource>, old: &Object) -> Arc<Object> {
        self.revision += 1;
        let revision = self.revision;
        self.kind(resource).objects.remove(&old.meta.key());
        let (namespace, name) = (old.meta.namespace.to_string(), old.meta.name.to_string());
        self.show(resource, Change::Remove { namespace, name, revision });
        Arc::new(old.at_revision(revision))
    }

    fn show(&mut self, resource: &Arc<Resource>, change: Change) {
        let kind = resource.storage().qualified();
        match self.held.get_mut(&kind) {
            Some(held) => held.push(change),
            None => self.feed(&kind, change),
        }
    }

    fn feed(&mut self, kind: &str, change: Change) {
        let Some(cache) = self.kinds.get(kind).and_then(|kind| kind.cache.as_ref()) else { return };
        match change {
            // A cache made while the caches were held has it already.
            Change::Put(object) if object.meta.resource_version <= cache.revision() => {}
            Change::Put(object) => cache.put(object),
            Change::Remove { namespace, name, revision } => cache.remove(&namespace, &name, revision),
        }
    }
}

fn patched(resource: &Resource, mut object: Value, patch: &Patch) -> Result<Value, Status> {
    let message =
        resource.builtin.then(|| api::schema::for_kind(&resource.group, &resource.version, &resource.kind)).flatten();
    patch.apply(&mut object, message).map_err(|error| Status::failure(422, "Invalid", error.to_string()))?;
    Ok(object)
}

fn whole(object: Arc<Object>) -> Reply {
    Reply::Object { object, created: false, warnings: Vec::new() }
}

/// Sets a member, or removes it where there is nothing to set.
fn set(object: &mut Value, member: &str, value: Value) {
    if !value.is_null() {
        object[member] = value;
    } else if let Some(object) = object.as_object_mut() {
        object.remove(member);
    }
}
