//! `log`, `exec`, `attach` and `portforward`: at the kubelet of the pod's node.

use std::sync::Arc;

use api::validation::field::{Error, ErrorList, Path};
use api::{Cause, Object, Status};
use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use base64::Engine;
use futures::StreamExt;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::{Link, Proxy, Target, forward};
use crate::http::Incoming;
use crate::http::query::Query;
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
        end: CancellationToken,
        counted: Option<LongRunning>,
    ) -> Result<Response<Body>, Status> {
        let (info, query) = (incoming.info, incoming.query);
        check_log_options(&info.name, query)?;
        let (_, pod) = self.pod(&info.namespace, &info.name)?;
        let container = choose(&info.name, &pod.spec, query.get("container").unwrap_or_default())?;
        let plain = |mut answer: Response<Body>| {
            answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
            answer
        };
        if pod.spec.node_name.is_empty() {
            // Nowhere yet: nothing was logged.
            return Ok(plain(Response::new(Body::empty())));
        }
        let asked =
            ["follow", "previous", "timestamps", "sinceSeconds", "sinceTime", "tailLines", "limitBytes", "stream"];
        let mut parameters = String::new();
        for name in asked {
            if let Some(value) = query.text(name) {
                append(&mut parameters, name, value);
            }
        }
        let path = format!("/containerLogs/{}/{}/{container}{parameters}", info.namespace, info.name);
        let target = self.kubelet_target(&pod.spec.node_name, path)?;
        let (mut head, _) = incoming.request.into_parts();
        let onward = Request::new(Body::empty());
        let answer = forward::refusal(forward::forward(&target, onward, None, counted).await?).await?;
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
        counted: Option<LongRunning>,
    ) -> Result<Response<Body>, Status> {
        let (info, query) = (incoming.info, incoming.query);
        let (_, pod) = self.pod(&info.namespace, &info.name)?;
        let (place, container) = match &*info.subresource {
            "portforward" => ("portForward", String::new()),
            sub => (sub, format!("/{}", choose(&info.name, &pod.spec, query.get("container").unwrap_or_default())?)),
        };
        if pod.spec.node_name.is_empty() {
            return Err(Status::bad_request(format!("pod {} does not have a host assigned", info.name)));
        }
        let parameters = session_parameters(&info.subresource, query)?;
        let path = format!("/{place}/{}/{}{container}{parameters}", info.namespace, info.name);
        let target = self.kubelet_target(&pod.spec.node_name, path)?;
        if !incoming.request.headers().contains_key(header::UPGRADE) {
            return Err(Status::bad_request("Upgrade request required"));
        }
        forward::forward(&target, incoming.request, None, counted).await
    }

    fn pod(&self, namespace: &str, name: &str) -> Result<(Arc<Object>, Pod), Status> {
        let object = self.pods.get(namespace, name).ok_or_else(|| Status::not_found("", "pods", name))?;
        let pod = object.view().map_err(Status::internal)?;
        Ok((object, pod))
    }

    /// A path at the kubelet of a node.
    pub(super) fn kubelet_target(&self, node: &str, path: String) -> Result<Target, Status> {
        let (host, port) = self.kubelet_address(node)?;
        let authority = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        Ok(Target {
            authority,
            link: Link::Tls(self.kubelet.tls()),
            path,
            below: String::new(),
            headers: HeaderMap::new(),
        })
    }

    /// Where the kubelet of a node answers.
    pub(super) fn kubelet_address(&self, node: &str) -> Result<(String, u16), Status> {
        let object = self.nodes.get("", node).ok_or_else(|| Status::not_found("", "nodes", node))?;
        let view: Node = object.view().map_err(Status::internal)?;
        let find = |kind: &str| view.status.addresses.iter().find(|a| a.kind == kind && !a.address.is_empty());
        let address = ["InternalIP", "ExternalIP", "Hostname"].iter().find_map(|kind| find(kind));
        let address = address.ok_or_else(|| {
            Status::unavailable(format!("no preferred addresses found; known addresses: [] of node {node}"))
        })?;
        let port = match view.status.daemon_endpoints.kubelet_endpoint.port {
            0 => KUBELET_PORT,
            port => port,
        };
        Ok((address.address.clone(), port))
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

/// What a session asks of the kubelet, under the kubelet's names.
fn session_parameters(subresource: &str, query: &Query) -> Result<String, Status> {
    let mut parameters = String::new();
    if subresource == "portforward" {
        for ports in query.all("ports") {
            for port in ports.split(',').filter(|port| !port.is_empty()) {
                port.parse::<u16>().map_err(|_| {
                    Status::bad_request(format!("unable to parse {} as a port", api::quote::quote(port)))
                })?;
                append(&mut parameters, "port", port);
            }
        }
        return Ok(parameters);
    }
    let (stdin, tty) = (query.flag("stdin"), query.flag("tty"));
    // Both default to true upstream, where the query says nothing of them.
    let unless_denied = |name: &str| query.get(name).is_none() || query.flag(name);
    let (stdout, stderr) = match subresource {
        "attach" => (unless_denied("stdout"), unless_denied("stderr") && !tty),
        _ => (query.flag("stdout"), query.flag("stderr") && !tty),
    };
    if !stdin && !stdout && !stderr {
        return Err(Status::bad_request("you must specify at least 1 of stdin, stdout, stderr"));
    }
    let commands: Vec<&str> = query.all("command").collect();
    if subresource == "exec" && commands.is_empty() {
        let cause =
            Cause { reason: "FieldValueRequired".into(), message: "Required value".into(), field: "command".into() };
        return Err(Status::invalid("", "PodExecOptions", "", vec![cause]));
    }
    for (name, wanted) in [("input", stdin), ("output", stdout), ("error", stderr), ("tty", tty)] {
        if wanted {
            append(&mut parameters, name, "1");
        }
    }
    commands.iter().for_each(|command| append(&mut parameters, "command", command));
    Ok(parameters)
}

fn check_log_options(pod: &str, query: &Query) -> Result<(), Status> {
    let mut errors = ErrorList::new();
    let mut number = |name: &str, least: i64, why: &str| -> Result<(), Status> {
        let Some(text) = query.text(name) else { return Ok(()) };
        let value: i64 = text.parse().map_err(|_| {
            Status::bad_request(format!("strconv.ParseInt: parsing {}: invalid syntax", api::quote::quote(text)))
        })?;
        if value < least {
            errors.push(Error::invalid(&Path::root(name), value, why));
        }
        Ok(())
    };
    number("tailLines", 0, "must be greater than or equal to 0")?;
    number("limitBytes", 1, "must be greater than 0")?;
    number("sinceSeconds", 1, "must be greater than 0")?;
    if query.text("sinceSeconds").is_some() && query.text("sinceTime").is_some() {
        errors.push(Error::forbidden(
            &Path::root("sinceSeconds"),
            "at most one of `sinceTime` or `sinceSeconds` may be specified",
        ));
    }
    if errors.is_empty() {
        return Ok(());
    }
    let cause = |e: Error| Cause { reason: e.kind.reason().into(), message: e.body(), field: e.field };
    Err(Status::invalid("", "PodLogOptions", pod, errors.into_iter().map(cause).collect()))
}

/// Adds one parameter to a query.
fn append(query: &mut String, name: &str, value: &str) {
    query.push(if query.is_empty() { '?' } else { '&' });
    query.push_str(name);
    query.push('=');
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            query.push(byte as char);
        } else {
            query.push_str(&format!("%{byte:02X}"));
        }
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
