//! exec, attach, run and port-forward.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use runtime::StreamOptions;
use runtime::types::{ContainerFilter, ContainerState, Map, SandboxFilter, SandboxState};
use tracing::debug;

use super::{Answer, query, text, value};
use crate::agent::Agent;
use crate::pods::observed::{CONTAINER_NAME, POD_UID};
use crate::streaming::{self, Protocol, Target, upgrade};

type Pairs = Vec<(String, String)>;

/// `/exec/{namespace}/{pod}[/{uid}]/{container}?command=…&input=1&output=1&error=1&tty=1`
pub(super) async fn exec(
    agent: &Arc<Agent>,
    namespace: &str,
    pod: &str,
    rest: &[&str],
    request: Request<Incoming>,
) -> Answer {
    let query = query(&request);
    let container = match running(agent, namespace, pod, rest).await {
        Ok(found) => found,
        Err(refusal) => return refusal,
    };
    let command: Vec<String> = query.iter().filter(|(k, _)| k == "command").map(|(_, v)| v.clone()).collect();
    if command.is_empty() {
        return text(StatusCode::BAD_REQUEST, "you must specify at least 1 command for the container\n");
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
) -> Answer {
    let query = query(&request);
    match running(agent, namespace, pod, rest).await {
        Ok(container) => stream(agent, request, &query, Target::Attach { container }),
        Err(refusal) => refusal,
    }
}

/// `/run/{namespace}/{pod}[/{uid}]/{container}?cmd=…`: the output as the answer's body.
pub(super) async fn run(
    agent: &Arc<Agent>,
    namespace: &str,
    pod: &str,
    rest: &[&str],
    request: Request<Incoming>,
) -> Answer {
    let query = query(&request);
    let container = match running(agent, namespace, pod, rest).await {
        Ok(found) => found,
        Err(refusal) => return refusal,
    };
    let command: Vec<String> =
        value(&query, "cmd").unwrap_or_default().split(' ').filter(|w| !w.is_empty()).map(str::to_owned).collect();
    if command.is_empty() {
        return text(StatusCode::BAD_REQUEST, "cmd is missing\n");
    }
    match agent.runtime.exec_sync(&container, &command, Some(Duration::from_secs(600))).await {
        Ok(output) => {
            let mut body = output.stdout;
            body.extend(output.stderr);
            match output.exit_code {
                0 => text(StatusCode::OK, body),
                code => text(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    format!("command '{}' exited with {code}: {}", command.join(" "), String::from_utf8_lossy(&body)),
                ),
            }
        }
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

/// `/portForward/{namespace}/{pod}[/{uid}]`
pub(super) async fn port_forward(
    agent: &Arc<Agent>,
    namespace: &str,
    pod: &str,
    mut request: Request<Incoming>,
) -> Answer {
    let Some(object) = agent.find_pod(namespace, pod) else { return missing_pod(pod) };
    let labels = Map::from([(POD_UID.to_owned(), object.meta.uid.to_string())]);
    let filter = SandboxFilter { labels, state: Some(SandboxState::Ready), ..SandboxFilter::default() };
    let sandbox = match agent.runtime.list_sandboxes(&filter).await {
        Ok(all) => all.into_iter().max_by_key(|s| s.created_at).map(|s| s.id),
        Err(error) => return text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    };
    let Some(sandbox) = sandbox else {
        return text(
            StatusCode::BAD_REQUEST,
            format!(
                "unable to forward port because pod is not running. Current status={}\n",
                phase(agent, namespace, pod)
            ),
        );
    };
    let ports = query(&request)
        .iter()
        .filter(|(k, _)| k == "port" || k == "ports")
        .flat_map(|(_, v)| v.split(',').map(str::parse).collect::<Vec<_>>())
        .collect::<Result<Vec<u16>, _>>();
    let Ok(ports) = ports else { return text(StatusCode::BAD_REQUEST, "invalid port\n") };
    let agreed = match upgrade::negotiate(request.headers(), true) {
        Ok(agreed) => agreed,
        Err((status, why)) => return text(status, format!("{why}\n")),
    };
    let needs_ports = matches!(&agreed.protocol, Protocol::WebSocket { name } if name != upgrade::TUNNEL);
    if needs_ports && ports.is_empty() {
        return text(StatusCode::BAD_REQUEST, "query parameter \"port\" is required\n");
    }
    let (on_upgrade, runtime, protocol) =
        (hyper::upgrade::on(&mut request), agent.runtime.clone(), agreed.protocol.clone());
    tokio::spawn(async move {
        match on_upgrade.await {
            Ok(io) => streaming::forward(TokioIo::new(io), &protocol, runtime, sandbox, ports).await,
            Err(error) => debug!(%error, "the connection was not upgraded"),
        }
    });
    agreed.response()
}

fn stream(agent: &Arc<Agent>, mut request: Request<Incoming>, query: &Pairs, target: Target) -> Answer {
    let is = |names: [&str; 2]| names.iter().any(|name| matches!(value(query, name), Some("1" | "true")));
    let tty = is(["tty", "tty"]);
    let options = StreamOptions {
        stdin: is(["input", "stdin"]),
        stdout: is(["output", "stdout"]),
        stderr: is(["error", "stderr"]) && !tty,
        tty,
    };
    if !options.stdin && !options.stdout && !options.stderr {
        return text(StatusCode::BAD_REQUEST, "you must specify at least 1 of stdin, stdout, stderr\n");
    }
    let agreed = match upgrade::negotiate(request.headers(), false) {
        Ok(agreed) => agreed,
        Err((status, why)) => return text(status, format!("{why}\n")),
    };
    let (on_upgrade, runtime, protocol) =
        (hyper::upgrade::on(&mut request), agent.runtime.clone(), agreed.protocol.clone());
    tokio::spawn(async move {
        match on_upgrade.await {
            Ok(io) => streaming::serve(TokioIo::new(io), &protocol, runtime, target, options).await,
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
    match agent.runtime.list_containers(&filter).await {
        Ok(all) => match all.into_iter().max_by_key(|c| c.created_at) {
            Some(found) => Ok(found.id),
            None => Err(text(StatusCode::NOT_FOUND, format!("container not found (\"{container}\")\n"))),
        },
        Err(error) => Err(text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"))),
    }
}

pub(super) fn missing_pod(pod: &str) -> Answer {
    text(StatusCode::NOT_FOUND, format!("pod does not exist: \"{pod}\"\n"))
}

fn phase(agent: &Agent, namespace: &str, pod: &str) -> String {
    let value = agent.find_pod(namespace, pod).and_then(|o| o.to_value().ok()).unwrap_or_default();
    value["status"]["phase"].as_str().unwrap_or("Unknown").to_owned()
}
