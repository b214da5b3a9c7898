//! Service-account tokens that a node agent asks for: of its own pods, for audiences these pods name.

use api::Status;
use serde_json::Value;

use super::super::{Attributes, Verb};
use crate::Registry;
use crate::authorization;
use crate::tree::Tree;

pub(super) async fn admit(registry: &Registry, attributes: &Attributes, node: &str) -> Result<(), Status> {
    if attributes.verb != Verb::Create || attributes.subresource != "token" {
        return Ok(());
    }
    let to = |field: &str| attributes.object.text(&format!("spec.boundObjectRef.{field}"));
    if to("apiVersion") != "v1" || to("kind") != "Pod" || to("name").is_empty() {
        return Err(attributes.forbidden("node requested token not bound to a pod"));
    }
    if to("uid").is_empty() {
        return Err(attributes.forbidden("node requested token with a pod binding without a uid"));
    }
    let pod = registry.cached("", "v1", "pods").get(&attributes.namespace, to("name"));
    let pod = pod.ok_or_else(|| Status::not_found("", "pods", to("name")))?;
    if to("uid") != &*pod.meta.uid {
        let why = format!(
            "the UID in the bound object reference ({}) does not match the UID in record. The object might have been deleted and then recreated",
            to("uid")
        );
        return Err(attributes.forbidden(why));
    }
    // The row's first selectable field is the node's name.
    if pod.meta.fields.first().is_none_or(|name| **name != *node) {
        return Err(attributes.forbidden("node requested token bound to a pod scheduled on a different node"));
    }
    let audience = match attributes.object.items("spec.audiences") {
        [] => "",
        [one] => one.as_str().unwrap_or_default(),
        _ => return Err(attributes.forbidden("node may only request 0 or 1 audiences")),
    };
    let pod = pod.to_value().map_err(Status::internal)?;
    if names(registry, &attributes.namespace, &pod, audience) || may_ask(registry, attributes, audience).await {
        return Ok(());
    }
    let (audience, user) = (api::quote::quote(audience), api::quote::quote(&attributes.user.name));
    let why = format!(
        "audience {audience} not found in pod spec volume, {user} is not authorized to request tokens for this audience"
    );
    Err(attributes.forbidden(why))
}

/// Whether one of the pod's volumes wants a token for the audience; the empty one is the API server's.
fn names(registry: &Registry, namespace: &str, pod: &Value, audience: &str) -> bool {
    pod.items("spec.volumes").iter().any(|volume| {
        let projected = volume.items("projected.sources").iter().filter_map(|source| source.get("serviceAccountToken"));
        projected.into_iter().any(|token| token.text("audience") == audience)
            || driver(registry, namespace, pod, volume).is_some_and(|driver| wants(registry, &driver, audience))
    })
}

/// The CSI driver of a volume, if it has one.
fn driver(registry: &Registry, namespace: &str, pod: &Value, volume: &Value) -> Option<String> {
    if let Some(csi) = volume.get("csi") {
        return Some(csi.text("driver").to_owned());
    }
    let claim = if volume.get("ephemeral").is_some() {
        format!("{}-{}", pod.text("metadata.name"), volume.text("name"))
    } else {
        volume.text("persistentVolumeClaim.claimName").to_owned()
    };
    if claim.is_empty() {
        return None;
    }
    let claim = registry.cached("", "v1", "persistentvolumeclaims").get(namespace, &claim)?.to_value().ok()?;
    let name = claim.text("spec.volumeName");
    let volume = registry.cached("", "v1", "persistentvolumes").get("", name)?.to_value().ok()?;
    Some(volume.text("spec.csi.driver").to_owned()).filter(|driver| !driver.is_empty())
}

fn wants(registry: &Registry, driver: &str, audience: &str) -> bool {
    let found = registry.cached("storage.k8s.io", "v1", "csidrivers").get("", driver);
    let driver = found.and_then(|driver| driver.to_value().ok()).unwrap_or_default();
    driver.items("spec.tokenRequests").iter().any(|request| request.text("audience") == audience)
}

/// Whether the node was allowed the audience by name.
async fn may_ask(registry: &Registry, attributes: &Attributes, audience: &str) -> bool {
    let Some(authorizer) = registry.authorizer() else { return false };
    let what = authorization::Attributes {
        verb: "request-serviceaccounts-token-audience",
        version: "v1",
        resource: audience,
        namespace: &attributes.namespace,
        name: &attributes.name,
        is_resource: true,
        ..authorization::Attributes::default()
    };
    authorizer.decide(&attributes.user, &what).await.allows()
}
