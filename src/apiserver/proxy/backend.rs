//! `pods/proxy`, `services/proxy`, `nodes/proxy`: HTTP to what a pod, a service or a node serves.

use std::net::IpAddr;
use std::sync::Arc;

use api::Status;
use axum::body::Body;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use serde::Deserialize;

use super::session::kubelet_address;
use super::{Proxy, Target, forward};
use crate::endpoints::{NoEndpoint, PortRef, authority};
use crate::http::Incoming;
use crate::metrics::requests::LongRunning;

/// `[scheme:]name[:port]`, as it stands in the path.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place<'a> {
    pub https: bool,
    pub name: &'a str,
    pub port: &'a str,
}

/// Takes a place apart; `None` when it is none.
pub(super) fn place(text: &str) -> Option<Place<'_>> {
    let parts: Vec<&str> = text.split(':').collect();
    let (scheme, name, port) = match *parts.as_slice() {
        [name] => ("", name, ""),
        [name, port] => ("", name, port),
        [scheme, name, port] => (scheme, name, port),
        _ => return None,
    };
    let known = matches!(scheme, "" | "http" | "https") && !name.is_empty();
    known.then_some(Place { https: scheme == "https", name, port })
}

#[derive(Deserialize)]
struct Pod {
    #[serde(default)]
    spec: PodSpec,
    #[serde(default)]
    status: PodStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PodSpec {
    containers: Vec<Container>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Container {
    ports: Vec<ContainerPort>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerPort {
    container_port: u16,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodStatus {
    #[serde(rename = "podIP")]
    pod_ip: String,
}

impl Proxy {
    /// Whether pods and nodes of an address are proxied to.
    fn allow(&self, address: IpAddr) -> Result<(), Status> {
        if (self.proxied)(address) { Ok(()) } else { Err(not_allowed()) }
    }

    pub(super) async fn backend(
        &self,
        plural: &str,
        incoming: Incoming<'_>,
        counted: Option<LongRunning>,
    ) -> Result<Response<Body>, Status> {
        let info = incoming.info;
        let invalid = || {
            Status::bad_request(format!(
                "invalid {} request {}",
                plural.trim_end_matches('s'),
                api::quote::quote(&info.name)
            ))
        };
        let place = place(&info.name).ok_or_else(invalid)?;
        let reads = matches!(*incoming.request.method(), Method::GET | Method::HEAD);
        let upgrades = forward::is_upgrade(incoming.request.headers());
        let (authority, tls) = match plural {
            "pods" => self.pod_authority(&info.namespace, &place)?,
            "services" => self.service_authority(&info.namespace, &info.name, &place)?,
            _ => self.node_authority(&place).await?,
        };
        if info.rest.is_empty() && reads && !upgrades {
            // Relative links of what is served need a directory to be relative to.
            return Ok(redirect(&incoming));
        }
        let rest = if info.rest.is_empty() { "/" } else { &*info.rest };
        let query = incoming.request.uri().query().map(|q| format!("?{q}")).unwrap_or_default();
        let path = incoming.request.uri().path();
        let below = path.strip_suffix(&*info.rest).unwrap_or(path).to_owned();
        let target =
            Target { authority, link: tls.into(), path: format!("{rest}{query}"), below, headers: HeaderMap::new() };
        forward::forward(&target, incoming.request, incoming.from, counted).await
    }

    fn pod_authority(
        &self,
        namespace: &str,
        place: &Place<'_>,
    ) -> Result<(String, Option<Arc<rustls::ClientConfig>>), Status> {
        let object = self.pods.get(namespace, place.name).ok_or_else(|| Status::not_found("", "pods", place.name))?;
        let pod: Pod = object.view().map_err(Status::internal)?;
        self.allow(pod.status.pod_ip.parse().map_err(|_| not_allowed())?)?;
        let first = pod.spec.containers.iter().find_map(|c| c.ports.first()).map(|port| port.container_port);
        let port = match place.port {
            "" => first.unwrap_or(if place.https { 443 } else { 80 }),
            port => {
                port.parse().map_err(|_| Status::bad_request(format!("invalid port {}", api::quote::quote(port))))?
            }
        };
        Ok((authority(&pod.status.pod_ip, port), place.https.then(|| self.blind.clone())))
    }

    /// `id` is the place as it stands in the path.
    fn service_authority(
        &self,
        namespace: &str,
        id: &str,
        place: &Place<'_>,
    ) -> Result<(String, Option<Arc<rustls::ClientConfig>>), Status> {
        let nowhere = || Status::unavailable(format!("no endpoints available for service {}", api::quote::quote(id)));
        let picked = self.endpoints.pick_pod(namespace, place.name, PortRef::Text(place.port), &self.pods);
        let authority = match picked {
            Ok(picked) => picked.ok_or_else(nowhere)?,
            // Upstream looks for the Endpoints, and says that the service is not there where they are not.
            Err(NoEndpoint::Unsupported(_) | NoEndpoint::NoneReady { sliced: false, .. }) => {
                return Err(Status::not_found("", "services", place.name));
            }
            Err(NoEndpoint::NoneReady { .. }) => return Err(nowhere()),
            Err(error) => return Err(error.into()),
        };
        Ok((authority, place.https.then(|| self.blind.clone())))
    }

    async fn node_authority(&self, place: &Place<'_>) -> Result<(String, Option<Arc<rustls::ClientConfig>>), Status> {
        let node = self.nodes.get("", place.name).ok_or_else(|| Status::not_found("", "nodes", place.name))?;
        let (host, kubelet) = kubelet_address(&node)?;
        let looked_up = tokio::net::lookup_host((&*host, 0)).await;
        let addresses = looked_up.map_err(|_| Status::bad_request(format!("lookup {host}: no such host")))?;
        for address in addresses {
            self.allow(address.ip())?;
        }
        let port = match place.port {
            "" => kubelet,
            port => {
                port.parse().map_err(|_| Status::bad_request(format!("invalid port {}", api::quote::quote(port))))?
            }
        };
        let tls = match port == kubelet {
            true => Some(self.kubelet.tls()),
            false => place.https.then(|| self.blind.clone()),
        };
        Ok((authority(&host, port), tls))
    }
}

fn not_allowed() -> Status {
    Status::bad_request("address not allowed")
}

fn redirect(incoming: &Incoming<'_>) -> Response<Body> {
    let query = incoming.request.uri().query().map(|q| format!("?{q}")).unwrap_or_default();
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    if let Ok(value) = HeaderValue::from_str(&format!("{}/{query}", incoming.request.uri().path())) {
        response.headers_mut().insert(header::LOCATION, value);
    }
    response
}
