//! One probe's question and its answer.

use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, HTTPGetAction, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use runtime::Error;

use crate::agent::Agent;
use crate::http::{self, Get};
use crate::pods::spec::env;

/// The answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    Success,
    /// Why, for the event.
    Failure(String),
    /// The question could not be asked: neither success nor failure.
    Unknown(String),
}

/// More of a command's output is of no use in an event.
const OUTPUT_LIMIT: usize = 10 << 10;

pub(super) async fn check(
    agent: &Agent,
    container: &Container,
    id: &str,
    probe: &Probe,
    ip: Option<IpAddr>,
    timeout: Duration,
) -> Outcome {
    if let Some(exec) = &probe.exec {
        return run(agent, container, id, exec.command.as_deref().unwrap_or_default(), timeout).await;
    }
    let Some(ip) = ip else { return Outcome::Unknown("the pod has no address yet".into()) };
    if let Some(action) = &probe.http_get {
        let Some(get) = http_get(action, container, ip) else { return Outcome::Unknown("invalid port".into()) };
        return match http::get(&get, timeout).await {
            Ok((200..=399, _)) => Outcome::Success,
            Ok((status, _)) => Outcome::Failure(format!("HTTP probe failed with statuscode: {status}")),
            Err(why) => Outcome::Failure(why),
        };
    }
    if let Some(action) = &probe.tcp_socket {
        let host = action.host.clone().filter(|h| !h.is_empty()).unwrap_or_else(|| ip.to_string());
        let Some(port) = port_of(&action.port, container) else { return Outcome::Unknown("invalid port".into()) };
        return match tokio::time::timeout(timeout, http::connect(&host, port)).await {
            Ok(Ok(_)) => Outcome::Success,
            Ok(Err(why)) => Outcome::Failure(why),
            Err(_) => Outcome::Failure(format!("dial tcp {host}:{port}: i/o timeout")),
        };
    }
    if let Some(action) = &probe.grpc {
        let Ok(port) = u16::try_from(action.port) else { return Outcome::Unknown("invalid port".into()) };
        return match http::grpc_health(&ip.to_string(), port, action.service.as_deref().unwrap_or_default(), timeout)
            .await
        {
            Ok(()) => Outcome::Success,
            Err(why) => Outcome::Failure(why),
        };
    }
    Outcome::Unknown("missing probe handler".into())
}

async fn run(agent: &Agent, container: &Container, id: &str, command: &[String], timeout: Duration) -> Outcome {
    let known = container.env.iter().flatten().filter_map(|e| Some((e.name.clone(), e.value.clone()?))).collect();
    let command: Vec<String> = command.iter().map(|word| env::expand(word, &known)).collect();
    match agent.runtime.exec_sync(id, &command, Some(timeout)).await {
        Ok(output) if output.exit_code == 0 => Outcome::Success,
        Ok(output) => {
            let mut bytes = output.stdout;
            bytes.extend(output.stderr);
            bytes.truncate(OUTPUT_LIMIT);
            Outcome::Failure(String::from_utf8_lossy(&bytes).into_owned())
        }
        Err(Error::DeadlineExceeded { .. }) => Outcome::Failure(format!(
            "command timed out: \"{}\" timed out after {}s",
            command.join(" "),
            timeout.as_secs()
        )),
        Err(error) => Outcome::Unknown(format!("rpc error: code = Unknown desc = {error}")),
    }
}

/// The request an `httpGet` action means; None without a port.
pub(crate) fn http_get(action: &HTTPGetAction, container: &Container, ip: IpAddr) -> Option<Get> {
    Some(Get {
        https: action.scheme.as_deref().is_some_and(|s| s.eq_ignore_ascii_case("https")),
        host: action.host.clone().filter(|h| !h.is_empty()).unwrap_or_else(|| ip.to_string()),
        port: port_of(&action.port, container)?,
        path: action.path.clone().unwrap_or_default(),
        headers: action.http_headers.iter().flatten().map(|h| (h.name.clone(), h.value.clone())).collect(),
    })
}

/// A port by number or by its name in the container.
pub(crate) fn port_of(port: &IntOrString, container: &Container) -> Option<u16> {
    match port {
        IntOrString::Int(number) => u16::try_from(*number).ok().filter(|p| *p > 0),
        IntOrString::String(name) => match name.parse() {
            Ok(number) => Some(number),
            Err(_) => {
                let named = container.ports.iter().flatten().find(|p| p.name.as_deref() == Some(name))?;
                u16::try_from(named.container_port).ok()
            }
        },
    }
}
