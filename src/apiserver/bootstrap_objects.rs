//! Objects every cluster has, made at the start and put back when somebody takes them away.

pub(crate) mod flow_control;

use std::sync::Arc;

use api::{Operation, Reply, Request, Resource, Status, User, WriteOptions, resource, user};
use serde_json::{Value, json};

use crate::Registry;
use crate::tree::Tree;

const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

/// Makes what is missing, and corrects what has to be exactly so.
pub(crate) async fn ensure(registry: &Registry) -> Result<(), Status> {
    for name in NAMESPACES {
        present(registry, ("", "v1", "namespaces"), "", json!({"metadata": {"name": name}})).await?;
    }
    for class in priority_classes() {
        present(registry, ("scheduling.k8s.io", "v1", "priorityclasses"), "", class).await?;
    }
    service(registry).await?;
    service_network(registry).await?;
    flow_control::ensure(registry).await
}

fn priority_classes() -> [Value; 2] {
    let class = |name: &str, value: i64, description: &str| json!({"metadata": {"name": name}, "value": value, "description": description});
    [
        class(
            "system-cluster-critical",
            2_000_000_000,
            "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
        ),
        class(
            "system-node-critical",
            2_000_001_000,
            "Used for system critical pods that must not be moved from their current node.",
        ),
    ]
}

/// The Service by which pods find the API server, and its endpoints, which are this server.
async fn service(registry: &Registry) -> Result<(), Status> {
    let (address, port) = (registry.config().advertise.ip(), registry.config().advertise.port());
    let labels = json!({"component": "apiserver", "provider": "kubernetes"});
    let body = json!({
        "metadata": {"name": "kubernetes", "labels": labels},
        "spec": {
            "type": "ClusterIP",
            "clusterIP": registry.allocators().first_address().to_string(),
            "ipFamilyPolicy": "SingleStack",
            "ports": [{"name": "https", "port": 443, "targetPort": port, "protocol": "TCP"}],
        },
    });
    present(registry, ("", "v1", "services"), "default", body).await?;
    let endpoints = json!({
        "metadata": {"name": "kubernetes", "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
        "subsets": [{
            "addresses": [{"ip": address.to_string()}],
            "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
        }],
    });
    exactly(registry, ("", "v1", "endpoints"), "default", endpoints, "subsets").await?;
    let slice = json!({
        "metadata": {"name": "kubernetes", "labels": {"kubernetes.io/service-name": "kubernetes"}},
        "addressType": if address.is_ipv6() { "IPv6" } else { "IPv4" },
        "endpoints": [{"addresses": [address.to_string()], "conditions": {"ready": true}}],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    });
    exactly(registry, ("discovery.k8s.io", "v1", "endpointslices"), "default", slice, "endpoints").await
}

/// The network services get their addresses from.
async fn service_network(registry: &Registry) -> Result<(), Status> {
    let (address, bits) = registry.config().service_cidr;
    let row = ("networking.k8s.io", "v1", "servicecidrs");
    let body = json!({"metadata": {"name": "kubernetes"}, "spec": {"cidrs": [format!("{address}/{bits}")]}});
    present(registry, row, "", body).await?;
    registry.catch_up().await?;
    let row = find(row)?;
    let Some(network) = registry.cache(row).get("", "kubernetes") else { return Ok(()) };
    let current = network.to_value().map_err(Status::internal)?;
    if !current.items("status.conditions").is_empty() {
        return Ok(());
    }
    let condition = json!({
        "type": "Ready",
        "status": "True",
        "message": "Kubernetes default Service CIDR is ready",
        "lastTransitionTime": api::time::format(jiff::Timestamp::now()),
    });
    let patch = api::Patch::Apply(json!({
        "apiVersion": row.api_version(),
        "kind": &*row.kind,
        "metadata": {"name": "kubernetes", "uid": &*network.meta.uid},
        "status": {"conditions": [condition]},
    }));
    let field_manager = "kubernetes-service-cidr-controller".into();
    let options = WriteOptions { field_manager, force: true, ..WriteOptions::default() };
    let mut request = request(row, "", "kubernetes", Operation::Patch(patch, options));
    request.subresource = "status".into();
    registry.call(&request).await.map(drop)
}

fn find((group, version, plural): (&str, &str, &str)) -> Result<&'static Arc<Resource>, Status> {
    resource::find(group, version, plural).ok_or_else(Status::no_such_path)
}

/// Writes of this server, under the names that upstream's parts of it have.
fn options(row: &Resource) -> WriteOptions {
    let manager = match &*row.group {
        flow_control::GROUP => "api-priority-and-fairness-config-producer-v1",
        _ => "kube-apiserver",
    };
    WriteOptions { field_manager: manager.into(), ..WriteOptions::default() }
}

fn request(row: &Arc<Resource>, namespace: &str, name: &str, operation: Operation) -> Request {
    Request {
        user: Arc::new(User::new("system:apiserver", [user::MASTERS])),
        resource: row.clone(),
        namespace: namespace.into(),
        name: name.into(),
        subresource: String::new(),
        operation,
    }
}

/// Makes an object if there is none of its name.
async fn present(registry: &Registry, row: (&str, &str, &str), namespace: &str, body: Value) -> Result<(), Status> {
    let row = find(row)?;
    let name = body.text("metadata.name").to_owned();
    if registry.cache(row).get(namespace, &name).is_some() {
        return Ok(());
    }
    let operation = Operation::Create(body, options(row));
    match registry.call(&request(row, namespace, &name, operation)).await {
        Err(status) if !status.is_already_exists() => Err(status),
        Err(_) => Ok(()),
        Ok(_) => {
            tracing::info!(kind = &*row.kind, namespace, name, "created");
            Ok(())
        }
    }
}

/// Makes an object, or corrects it where `part` differs.
async fn exactly(
    registry: &Registry,
    row: (&str, &str, &str),
    namespace: &str,
    body: Value,
    part: &str,
) -> Result<(), Status> {
    present(registry, row, namespace, body.clone()).await?;
    let row = find(row)?;
    let name = body.text("metadata.name");
    let Some(current) = registry.cache(row).get(namespace, name) else { return Ok(()) };
    let current = current.to_value().map_err(Status::internal)?;
    if current.at(part) == body.at(part) {
        return Ok(());
    }
    let operation = Operation::Update(body.clone(), options(row));
    match registry.call(&request(row, namespace, name, operation)).await? {
        Reply::Object { .. } => tracing::info!(kind = &*row.kind, namespace, name, "corrected"),
        _ => return Err(Status::internal("an update answered with no object")),
    }
    Ok(())
}
