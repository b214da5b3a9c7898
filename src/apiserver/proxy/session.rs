//! `log`, `exec`, `attach` and `portforward`: at the kubelet of the pod's node.

use std::sync::Arc;

use api::quote::quote;
use api::{Object, Status};
use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use base64::Engine;
use futures::StreamExt;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use rustls::ClientConfig;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::dial::UNREACHED;
use super::options::{self, ConnectOptions, LogOptions};
use super::{Link, Proxy, Target, forward, unreached};
use crate::endpoints::authority;
use crate::http::Incoming;
use crate::metrics::requests::LongRunning;

/// Who reads a log has nothing to say.
const SAID_MAX: usize = 4096;
/// Where kubelets answer when their node does not say.
const KUBELET_PORT: u16 = 10250;
/// Log lines are bytes; these protocols carry them as messages of that form.
const LOG_PROTOCOLS: [&str; 2] = ["binary.k8s.io", "base64.binary.k8s.io"];

#[derive(Deserialize)]
struct Pod {
    spec: PodSpec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodSpec {
    #[serde(default)]
    node_name: String,
    #[serde(default)]
    init_containers: Vec<Container>,
    #[serde(default)]
    containers: Vec<Container>,
    #[serde(default)]
    ephemeral_containers: Vec<Container>,
}

#[derive(Deserialize)]
struct Container {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    #[serde(default)]
    status: NodeStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NodeStatus {
    addresses: Vec<Address>,
    daemon_endpoints: DaemonEndpoints,
}

#[derive(Deserialize)]
struct Address {
    #[serde(rename = "type")]
    kind: String,
    address: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DaemonEndpoints {
    kubelet_endpoint: Endpoint,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Endpoint {
    port: u16,
}

impl Proxy {
    /// A container's log, as a body or as WebSocket messages.
    pub(super) async fn log(
        &self,
        incoming: Incoming<'_>,
        options: &LogOptions,
        end: CancellationToken,
        counted: Option<LongRunning>,
    ) -> Result<Response<Body>, Status> {
        let info = incoming.info;
        let pod = self.pod(&info.namespace, &info.name)?;
        let container = choose(&info.name, &pod.spec, &options.container)?;
        let plain = |mut answer: Response<Body>| {
            answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
            answer
        };
        if pod.spec.node_name.is_empty() {
            // Nowhere yet: nothing was logged.
            let mut nothing = Response::new(Body::empty());
            *nothing.status_mut() = StatusCode::NO_CONTENT;
            return Ok(nothing);
        }
        let path = format!("/containerLogs/{}/{}/{container}{}", info.namespace, info.name, options.parameters());
        let tls = if options.insecure { self.kubelet.tls_to_anyone() } else { self.kubelet.tls() };
        let target = self.kubelet_target(&pod.spec.node_name, path, tls)?;
        let (mut head, _) = incoming.request.into_parts();
        let onward = Request::new(Body::empty());
        let answer = forward::forward(&target, onward, None, counted).await.map_err(|status| {
            undialed(status, |why| {
                format!("Get {}: {why}", quote(&format!("https://{}{}", target.authority, target.path)))
            })
        })?;
        let answer = forward::refusal(answer).await?;
        if head.headers.get(header::UPGRADE).is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"websocket")) {
            let upgrade = WebSocketUpgrade::from_request_parts(&mut head, &())
                .await
                .map_err(|refused| Status::bad_request(format!("the WebSocket upgrade was refused: {refused}")))?;
            let log = answer.into_body();
            let upgrade = upgrade.max_message_size(SAID_MAX).max_frame_size(SAID_MAX);
            return Ok(upgrade.protocols(LOG_PROTOCOLS).on_upgrade(move |socket| log_messages(socket, log, end)));
        }
        Ok(plain(answer))
    }

    /// A session with a container, or a pod's ports.
    pub(super) async fn session(
        &self,
        incoming: Incoming<'_>,
        options: &ConnectOptions,
        counted: Option<LongRunning>,
    ) -> Result<Response<Body>, Status> {
        let info = incoming.info;
        let pod = self.pod(&info.namespace, &info.name)?;
        let (place, rest) = match options {
            ConnectOptions::Streams(options) => {
                let container = choose(&info.name, &pod.spec, &options.container)?;
                (&*info.subresource, format!("/{container}{}", options.parameters()))
            }
            ConnectOptions::PortForward(ports) => ("portForward", options::port_parameters(ports)),
            ConnectOptions::Log(_) | ConnectOptions::Proxy => return Err(Status::internal("this is no session")),
        };
        if pod.spec.node_name.is_empty() {
            return Err(Status::bad_request(format!("pod {} does not have a host assigned", info.name)));
        }
        let path = format!("/{place}/{}/{}{rest}", info.namespace, info.name);
        let target = self.kubelet_target(&pod.spec.node_name, path, self.kubelet.tls())?;
        if !incoming.request.headers().contains_key(header::UPGRADE) {
            return Err(Status::bad_request("Upgrade request required"));
        }
        let (head, body) = incoming.request.into_parts();
        let opened = match options {
            ConnectOptions::Streams(options) if unreached::opens_first(&head) => {
                Some((head.clone(), options.first_output()))
            }
            _ => None,
        };
        let request = Request::from_parts(head, body);
        let status = match forward::forward(&target, request, incoming.from, counted).await {
            Ok(answer) => return Ok(answer),
            Err(status) => status,
        };
        match (opened, status.message.strip_prefix(UNREACHED)) {
            (Some((head, channel)), Some(why)) => {
                let url = quote(&format!("https://{}{}", target.authority, target.path));
                unreached::tell(head, channel, format!("error sending request: Post {url}: {why}")).await
            }
            _ => Err(undialed(status, |why| format!("error dialing backend: {why}"))),
        }
    }

    fn pod(&self, namespace: &str, name: &str) -> Result<Pod, Status> {
        let object = self.pods.get(namespace, name).ok_or_else(|| Status::not_found("", "pods", name))?;
        object.view().map_err(Status::internal)
    }

    /// A path at the kubelet of a pod's node.
    fn kubelet_target(&self, node: &str, path: String, tls: Arc<ClientConfig>) -> Result<Target, Status> {
        // Upstream names what was asked for, which is a pod, and says of it that it is not there.
        let object = self.nodes.get("", node).ok_or_else(|| Status::not_found("", "pods", node))?;
        let (host, port) = kubelet_address(&object)?;
        let (authority, below) = (authority(&host, port), String::new());
        Ok(Target { authority, link: Link::Tls(tls), path, below, headers: HeaderMap::new() })
    }
}

/// Where the kubelet of a node answers.
pub(super) fn kubelet_address(node: &Object) -> Result<(String, u16), Status> {
    let status = node.view::<Node>().map_err(Status::internal)?.status;
    let find = |kind: &str| status.addresses.iter().find(|a| a.kind == kind && !a.address.is_empty());
    let address = ["InternalIP", "ExternalIP", "Hostname"].iter().find_map(|kind| find(kind));
    let address = address.ok_or_else(|| {
        let known: Vec<String> = status.addresses.iter().map(|a| format!("{{{} {}}}", a.kind, a.address)).collect();
        let known = known.join(" ");
        Status::failure(500, "", format!("no preferred addresses found; known addresses: [{known}]"))
    })?;
    let port = match status.daemon_endpoints.kubelet_endpoint.port {
        0 => KUBELET_PORT,
        port => port,
    };
    Ok((address.address.clone(), port))
}

/// What is said of a kubelet that cannot be reached: `words` of why, without the reason that other far ends are given.
fn undialed(status: Status, words: impl FnOnce(&str) -> String) -> Status {
    match status.message.strip_prefix(UNREACHED) {
        Some(why) => Status::failure(500, "", words(why)),
        None => status,
    }
}

/// The container that is meant; where none is named the pod's only one.
fn choose(pod: &str, spec: &PodSpec, named: &str) -> Result<String, Status> {
    let all = spec.init_containers.iter().chain(&spec.containers).chain(&spec.ephemeral_containers);
    let names: Vec<&str> = all.map(|container| &*container.name).collect();
    if !named.is_empty() {
        return match names.contains(&named) {
            true => Ok(named.to_owned()),
            false => Err(Status::bad_request(format!("container {named} is not valid for pod {pod}"))),
        };
    }
    match (spec.containers.as_slice(), names.len()) {
        ([one], _) => Ok(one.name.clone()),
        ([], _) => Err(Status::bad_request(format!("a container name must be specified for pod {pod}"))),
        _ => Err(Status::bad_request(format!(
            "a container name must be specified for pod {pod}, choose one of: [{}]",
            names.join(" ")
        ))),
    }
}

async fn log_messages(mut socket: WebSocket, log: Body, end: CancellationToken) {
    let base64 = socket.protocol().is_some_and(|p| p.as_bytes().starts_with(b"base64."));
    let mut log = log.into_data_stream();
    loop {
        tokio::select! {
            biased;
            () = end.cancelled() => break,
            said = socket.recv() => match said {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
            chunk = log.next() => {
                let Some(Ok(chunk)) = chunk else { break };
                let message = if base64 {
                    Message::Text(base64::engine::general_purpose::STANDARD.encode(&chunk).into())
                } else {
                    Message::Binary(chunk)
                };
                if socket.send(message).await.is_err() {
                    return;
                }
            }
        }
    }
    // The client may have gone first.
    let _ = socket.send(Message::Close(None)).await;
}
