//! The registry over the memory store, driven as its callers drive it.

mod applies;
mod clock;
mod deletes;
mod kinds;
mod owners;
mod preparation;
mod reads;
mod robustness;
mod subresources;
mod watches;
mod writes;

use api::{
    DeleteOptions, FieldValidation, ListOptions, Patch, User, WatchEvent, WatchOptions, WatchStream, WriteOptions,
};
use embedded_store::memory;
use futures::{FutureExt, StreamExt};
use serde_json::{Value, json};

use super::*;

/// A registry and short words for what tests ask of it.
pub(crate) struct Server {
    pub(crate) registry: Arc<Registry>,
}

/// A registry with the namespace `a`.
pub(crate) async fn server() -> Server {
    // Everything there is.
    server_with(RegistryConfig { served: "api/all=true".parse().unwrap(), ..RegistryConfig::default() }).await
}

pub(crate) async fn server_with(config: RegistryConfig) -> Server {
    let server = Server { registry: Registry::start(memory(), config).await.unwrap() };
    server.create("namespaces", json!({"metadata": {"name": "a"}})).await.unwrap();
    server
}

/// The kind `widgets.example.com` by these rows.
fn widgets(rows: Vec<Arc<Resource>>) -> [CustomKind; 1] {
    [CustomKind { name: "widgets.example.com".into(), rows }]
}

impl Server {
    pub(crate) fn row(&self, plural: &str) -> Arc<Resource> {
        let (plural, group) = plural.split_once('.').unwrap_or((plural, ""));
        let all = self.registry.catalog().all();
        let found = all.iter().find(|r| *r.plural == *plural && (group.is_empty() || *r.group == *group));
        found.unwrap_or_else(|| panic!("no row {plural}")).clone()
    }

    /// `path` is `plural[/name[/subresource]]`, with `plural` or `plural.group`; the namespace is `a`.
    pub(crate) fn request(&self, path: &str, operation: Operation) -> Request {
        let mut words = path.split('/');
        let resource = self.row(words.next().unwrap_or_default());
        let namespace = if resource.is_namespaced() { "a".to_owned() } else { String::new() };
        let mut word = || words.next().unwrap_or_default().to_owned();
        let user = Arc::new(User::new("alice", ["devs"]));
        Request { user, resource, namespace, name: word(), subresource: word(), operation }
    }

    pub(crate) async fn call(&self, path: &str, operation: Operation) -> Result<Reply, Status> {
        self.registry.call(&self.request(path, operation)).await
    }

    pub(crate) async fn object(&self, path: &str, operation: Operation) -> Result<Value, Status> {
        match self.call(path, operation).await? {
            Reply::Object { object, .. } => Ok(object.to_value().unwrap()),
            Reply::Status(status) => Ok(serde_json::to_value(status).unwrap()),
            _ => panic!("neither object nor status"),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, Status> {
        self.object(path, Operation::Get { resource_version: None }).await
    }

    pub(crate) async fn create(&self, path: &str, body: Value) -> Result<Value, Status> {
        self.object(path, Operation::Create(body, WriteOptions::default())).await
    }

    pub(crate) async fn update(&self, path: &str, body: Value) -> Result<Value, Status> {
        self.object(path, Operation::Update(body, WriteOptions::default())).await
    }

    pub(crate) async fn merge(&self, path: &str, patch: Value) -> Result<Value, Status> {
        self.object(path, Operation::Patch(Patch::Merge(patch), WriteOptions::default())).await
    }

    pub(crate) async fn delete(&self, path: &str, options: DeleteOptions) -> Result<Value, Status> {
        self.object(path, Operation::Delete(options)).await
    }

    pub(crate) async fn list(&self, path: &str, options: ListOptions) -> Result<List, Status> {
        match self.call(path, Operation::List(options)).await? {
            Reply::List(list) => Ok(list),
            _ => panic!("no list"),
        }
    }

    pub(crate) async fn watch(&self, path: &str, options: WatchOptions) -> Result<WatchStream, Status> {
        match self.call(path, Operation::Watch(options)).await? {
            Reply::Watch(stream) => Ok(stream),
            _ => panic!("no watch"),
        }
    }
}

/// A ConfigMap of a name, with labels `k=v`.
pub(crate) fn config_map(name: &str, label: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"k": label}}})
}

pub(crate) fn names(list: &List) -> Vec<String> {
    list.items.iter().map(|object| object.meta.name.to_string()).collect()
}

/// `ADDED x`, `BOOKMARK` …
pub(crate) fn shown(event: &WatchEvent) -> String {
    match event {
        WatchEvent::Added(object) => format!("ADDED {}", object.meta.name),
        WatchEvent::Modified(object) => format!("MODIFIED {}", object.meta.name),
        WatchEvent::Deleted(object) => format!("DELETED {}", object.meta.name),
        WatchEvent::Bookmark { initial_events_end: true, .. } => "END".into(),
        WatchEvent::Bookmark { .. } => "BOOKMARK".into(),
        WatchEvent::Error(status) => format!("ERROR {} {}", status.code, status.message),
    }
}

/// The next `count` events.
pub(crate) async fn take(stream: &mut WatchStream, count: usize) -> Vec<String> {
    stream.take(count).map(|event| shown(&event)).collect().await
}

/// Whether nothing is there to read.
pub(crate) fn quiet(stream: &mut WatchStream) -> bool {
    stream.next().now_or_never().is_none()
}

pub(crate) fn strict() -> WriteOptions {
    WriteOptions { field_validation: FieldValidation::Strict, ..WriteOptions::default() }
}

/// The least body a kind takes.
pub(crate) fn sample(row: &Resource) -> Value {
    let pod = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let selector = json!({"matchLabels": {"a": "b"}});
    let mut body = match (&*row.group, &*row.plural) {
        ("", "pods") => json!({"spec": pod["spec"]}),
        ("", "podtemplates") => json!({"template": pod}),
        ("", "replicationcontrollers") => json!({"spec": {"template": pod}}),
        ("", "services") => json!({"spec": {"ports": [{"port": 80}]}}),
        ("", "persistentvolumes") => json!({"spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}}),
        ("", "persistentvolumeclaims") => json!({"spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}),
        ("", "events") => json!({"involvedObject": {"kind": "Pod", "name": "p", "namespace": "a"}}),
        ("admissionregistration.k8s.io", "validatingadmissionpolicies") => {
            let rule = json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["secrets"]});
            json!({"spec": {"matchConstraints": {"resourceRules": [rule]}, "validations": [{"expression": "true"}]}})
        }
        ("admissionregistration.k8s.io", "mutatingadmissionpolicies") => {
            let rule = json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["secrets"]});
            let mutation = json!({"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{}"}});
            json!({"spec": {"matchConstraints": {"resourceRules": [rule]}, "mutations": [mutation],
                "reinvocationPolicy": "Never"}})
        }
        ("admissionregistration.k8s.io", "mutatingadmissionpolicybindings") => json!({"spec": {"policyName": "p"}}),
        ("admissionregistration.k8s.io", "validatingadmissionpolicybindings") => {
            json!({"spec": {"policyName": "p", "validationActions": ["Deny"]}})
        }
        ("networking.k8s.io", "networkpolicies") => json!({"spec": {"podSelector": {}}}),
        ("events.k8s.io", "events") => json!({
            "regarding": {"kind": "Pod", "name": "p", "namespace": "a"}, "eventTime": "2024-01-02T00:00:00.000001Z",
            "type": "Normal", "reason": "r", "action": "a", "reportingController": "c", "reportingInstance": "i"}),
        ("apps", "deployments" | "daemonsets" | "replicasets") => {
            json!({"spec": {"selector": selector, "template": pod}})
        }
        ("apps", "statefulsets") => json!({"spec": {"selector": selector, "serviceName": "s", "template": pod}}),
        ("apps", "controllerrevisions") => json!({"data": {}, "revision": 1}),
        ("autoscaling", _) => json!({"spec": {
            "maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}}}),
        ("batch", "jobs") => {
            let mut pod = pod;
            pod["spec"]["restartPolicy"] = "Never".into();
            json!({"spec": {"template": pod}})
        }
        ("batch", "cronjobs") => {
            let mut pod = pod;
            pod["spec"]["restartPolicy"] = "Never".into();
            json!({"spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": pod}}}})
        }
        ("certificates.k8s.io", _) => json!({"spec": {
            "request": crate::testing::certificate_request("x", &[]), "signerName": "example.com/x", "usages": ["client auth"]}}),
        ("discovery.k8s.io", _) => json!({"addressType": "IPv4", "endpoints": []}),
        ("networking.k8s.io", "ingresses") => {
            json!({"spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}})
        }
        ("networking.k8s.io", "ingressclasses") => json!({"spec": {"controller": "x.io/c"}}),
        ("networking.k8s.io", "ipaddresses") => {
            json!({"metadata": {"name": "10.0.0.1"}, "spec": {"parentRef": {"resource": "services", "name": "x", "namespace": "a"}}})
        }
        ("networking.k8s.io", "servicecidrs") => json!({"spec": {"cidrs": ["10.7.0.0/24"]}}),
        ("node.k8s.io", _) => json!({"handler": "runc"}),
        ("policy", _) => json!({"spec": {"minAvailable": 1, "selector": selector}}),
        ("rbac.authorization.k8s.io", "clusterrolebindings" | "rolebindings") => {
            json!({"roleRef": {"kind": "ClusterRole", "name": "r"}})
        }
        ("scheduling.k8s.io", _) => json!({"value": 5}),
        ("storage.k8s.io", "storageclasses") => json!({"provisioner": "x.io/p"}),
        ("storage.k8s.io", "csistoragecapacities") => json!({"storageClassName": "s"}),
        ("storage.k8s.io", "csinodes") => json!({"spec": {"drivers": []}}),
        ("storage.k8s.io", "volumeattachments") => {
            json!({"spec": {"attacher": "x", "nodeName": "n", "source": {"persistentVolumeName": "p"}}})
        }
        ("storage.k8s.io", "volumeattributesclasses") => json!({"driverName": "x.io/d", "parameters": {"a": "b"}}),
        ("apiextensions.k8s.io", _) => {
            json!({"metadata": {"name": "xs.e.io"}, "spec": {"group": "e.io", "scope": "Namespaced",
            "names": {"plural": "xs", "singular": "x", "kind": "X", "listKind": "XList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}]}})
        }
        ("apiregistration.k8s.io", _) => json!({"metadata": {"name": "v1.e.io"}, "spec": {
            "group": "e.io", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 10}}),
        ("flowcontrol.apiserver.k8s.io", "flowschemas") => {
            json!({"spec": {"priorityLevelConfiguration": {"name": "exempt"}}})
        }
        ("flowcontrol.apiserver.k8s.io", _) => {
            json!({"spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}}})
        }
        ("resource.k8s.io", "resourceclaimtemplates") => json!({"spec": {"spec": {}}}),
        ("resource.k8s.io", "resourceclaims" | "deviceclasses") => json!({"spec": {}}),
        ("resource.k8s.io", _) => {
            json!({"spec": {"driver": "d.io", "nodeName": "n", "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1}}})
        }
        _ => json!({}),
    };
    if body["metadata"]["name"].is_null() {
        body["metadata"]["name"] = "sample".into();
    }
    body
}
