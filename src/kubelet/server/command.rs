//! exec, attach, run and port-forward.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use runtime::StreamOptions;
use runtime::types::{ContainerFilter, ContainerState, Map, SandboxFilter, SandboxState};
use tracing::debug;

use super::{Answer, query, text, value};
use crate::agent::Agent;
use crate::pods::observed::{CONTAINER_NAME, POD_UID};
use crate::streaming::upgrade::{self, Upgrade};
use crate::streaming::{self, Protocol, Target};

type Pairs = Vec<(String, String)>;

/// What a call comes to: either kind is an answer, and a refusal ends the work early.
type Outcome = Result<Answer, Answer>;

/// `/exec/{namespace}/{pod}[/{uid}]/{container}?command=…&input=1&output=1&error=1&tty=1`
pub(super) async fn exec(
    agent: &Arc<Agent>,
    namespace: &str,
    pod: &str,
    rest: &[&str],
    request: Request<Incoming>,
) -> Outcome {
    let query = query(&request);
    let container = running(agent, namespace, pod, rest).await?;
    let command: Vec<String> = query.iter().filter(|(k, _)| k == "command").map(|(_, v)| v.clone()).collect();
    if command.is_empty() {
        return Err(text(StatusCode::BAD_REQUEST, "you must specify at least 1 command for the container\n"));
    }
    stream(agent, request, &query, Target::Exec { container, command })
}

/// `/attach/{namespace}/{pod}[/{uid}]/{container}?input=1&output=1&error=1&tty=1`
pub(super) async fn attach(
    agent: &Arc<Agent>,
    namespace: &str,
    pod: &str,
    rest: &[&str],
    request: Request<Incoming>,
) -> Outcome {
    let query = query(&request);
    let container = running(agent, namespace, pod, rest).await?;
    stream(agent, request, &query, Target::Attach { container })
}

/// `/run/{namespace}/{pod}[/{uid}]/{container}?cmd=…`: the output as the answer's body.
pub(super) async fn run(
    agent: &Arc<Agent>,
    namespace: &str,
    pod: &str,
    rest: &[&str],
    request: Request<Incoming>,
) -> Outcome {
    let query = query(&request);
    let container = running(agent, namespace, pod, rest).await?;
    let command: Vec<String> =
        value(&query, "cmd").unwrap_or_default().split(' ').filter(|w| !w.is_empty()).map(str::to_owned).collect();
    if command.is_empty() {
        return Err(text(StatusCode::BAD_REQUEST, "cmd is missing\n"));
    }
    let output = agent.runtime.exec_sync(&container, &command, Some(Duration::from_secs(600))).await.map_err(failed)?;
    let mut body = output.stdout;
    body.extend(output.stderr);
    Ok(match output.exit_code {
        0 => text(StatusCode::OK, body),
        code => text(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("command '{}' exited with {code}: {}", command.join(" "), String::from_utf8_lossy(&body)),
        ),
    })
}

/// `/portForward/{namespace}/{pod}[/{uid}]`
pub(super) async fn port_forward(
    agent: &Arc<Agent>,
    namespace: &str,
    pod: &str,
    request: Request<Incoming>,
) -> Outcome {
    let Some(object) = agent.find_pod(namespace, pod) else { return Err(missing_pod(pod)) };
    let labels = Map::from([(POD_UID.to_owned(), object.meta.uid.to_string())]);
    let filter = SandboxFilter { labels, state: Some(SandboxState::Ready), ..SandboxFilter::default() };
    let sandboxes = agent.runtime.list_sandboxes(&filter).await.map_err(failed)?;
    let Some(sandbox) = sandboxes.into_iter().max_by_key(|s| s.created_at).map(|s| s.id) else {
        let phase = phase(agent, namespace, pod);
        let why = format!("unable to forward port because pod is not running. Current status={phase}\n");
        return Err(text(StatusCode::BAD_REQUEST, why));
    };
    let ports = query(&request)
        .iter()
        .filter(|(k, _)| k == "port" || k == "ports")
        .flat_map(|(_, v)| v.split(',').map(str::parse).collect::<Vec<_>>())
        .collect::<Result<Vec<u16>, _>>();
    let ports = ports.map_err(|_| text(StatusCode::BAD_REQUEST, "invalid port\n"))?;
    let agreed = agree(&request, true)?;
    let needs_ports = matches!(&agreed.protocol, Protocol::WebSocket { name } if name != upgrade::TUNNEL);
    if needs_ports && ports.is_empty() {
        return Err(text(StatusCode::BAD_REQUEST, "query parameter \"port\" is required\n"));
    }
    let runtime = agent.runtime.clone();
    Ok(upgraded(request, agreed, move |io, protocol| async move {
        streaming::forward(io, &protocol, runtime, sandbox, ports).await;
    }))
}

fn stream(agent: &Arc<Agent>, request: Request<Incoming>, query: &Pairs, target: Target) -> Outcome {
    let is = |names: [&str; 2]| names.iter().any(|name| matches!(value(query, name), Some("1" | "true")));
    let tty = is(["tty", "tty"]);
    let options = StreamOptions {
        stdin: is(["input", "stdin"]),
        stdout: is(["output", "stdout"]),
        stderr: is(["error", "stderr"]) && !tty,
        tty,
    };
    if !options.stdin && !options.stdout && !options.stderr {
        return Err(text(StatusCode::BAD_REQUEST, "you must specify at least 1 of stdin, stdout, stderr\n"));
    }
    let agreed = agree(&request, false)?;
    let runtime = agent.runtime.clone();
    Ok(upgraded(request, agreed, move |io, protocol| async move {
        streaming::serve(io, &protocol, runtime, target, options).await;
    }))
}

fn agree(request: &Request<Incoming>, forward: bool) -> Result<Upgrade, Answer> {
    upgrade::negotiate(request.headers(), forward).map_err(|(status, why)| text(status, format!("{why}\n")))
}

/// The answer that switches protocols; the connection is served as soon as it has.
fn upgraded<F: Future<Output = ()> + Send>(
    mut request: Request<Incoming>,
    agreed: Upgrade,
    serve: impl FnOnce(TokioIo<Upgraded>, Protocol) -> F + Send + 'static,
) -> Answer {
    let on_upgrade = hyper::upgrade::on(&mut request);
    let protocol = agreed.protocol.clone();
    tokio::spawn(async move {
        match on_upgrade.await {
            Ok(io) => serve(TokioIo::new(io), protocol).await,
            Err(error) => debug!(%error, "the connection was not upgraded"),
        }
    });
    agreed.response()
}

/// The running instance of a container. `rest` is `[container]` or `[uid, container]`.
async fn running(agent: &Agent, namespace: &str, pod: &str, rest: &[&str]) -> Result<String, Answer> {
    let (uid, container) = match rest {
        [container] => (None, *container),
        [uid, container] => (Some(*uid), *container),
        _ => return Err(text(StatusCode::NOT_FOUND, "404 page not found\n")),
    };
    let Some(object) = agent.find_pod(namespace, pod).filter(|o| uid.is_none_or(|uid| *o.meta.uid == *uid)) else {
        return Err(missing_pod(pod));
    };
    let labels = Map::from([
        (POD_UID.to_owned(), object.meta.uid.to_string()),
        (CONTAINER_NAME.to_owned(), container.to_owned()),
    ]);
    let filter = ContainerFilter { labels, state: Some(ContainerState::Running), ..ContainerFilter::default() };
    let all = agent.runtime.list_containers(&filter).await.map_err(failed)?;
    let found = all.into_iter().max_by_key(|c| c.created_at).map(|c| c.id);
    found.ok_or_else(|| text(StatusCode::NOT_FOUND, format!("container not found (\"{container}\")\n")))
}

fn failed(error: runtime::Error) -> Answer {
    text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"))
}

pub(super) fn missing_pod(pod: &str) -> Answer {
    text(StatusCode::NOT_FOUND, format!("pod does not exist: \"{pod}\"\n"))
}

fn phase(agent: &Agent, namespace: &str, pod: &str) -> String {
    let value = agent.find_pod(namespace, pod).and_then(|o| o.to_value().ok()).unwrap_or_default();
    value["status"]["phase"].as_str().unwrap_or("Unknown").to_owned()
}
