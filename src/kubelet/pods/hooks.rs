//! Lifecycle hooks: postStart and preStop.

use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, LifecycleHandler};

use crate::agent::Agent;
use crate::http;
use crate::probes::http_get;

/// No hook outlives this; its caller may give it less.
const LONGEST: Duration = Duration::from_secs(30 * 60);

/// Runs one hook to its end; the error is why it failed, for an event.
pub(crate) async fn run(
    agent: &Agent,
    container: &Container,
    id: &str,
    ip: Option<IpAddr>,
    hook: &LifecycleHandler,
) -> Result<(), String> {
    if let Some(exec) = &hook.exec {
        let command = exec.command.clone().unwrap_or_default();
        return match agent.runtime.exec_sync(id, &command, Some(LONGEST)).await {
            Ok(output) if output.exit_code == 0 => Ok(()),
            Ok(output) => Err(format!(
                "command '{}' exited with {}: {}{}",
                command.join(" "),
                output.exit_code,
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            )),
            Err(error) => Err(error.to_string()),
        };
    }
    if let Some(action) = &hook.http_get {
        let ip = ip.ok_or("the pod has no address")?;
        let get = http_get(action, container, ip).ok_or("invalid port")?;
        return match http::get(&get, LONGEST).await? {
            (200..=399, _) => Ok(()),
            (status, _) => Err(format!("HTTP request failed with statuscode: {status}")),
        };
    }
    if let Some(sleep) = &hook.sleep {
        tokio::time::sleep(Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0))).await;
        return Ok(());
    }
    Err("invalid handler: no action that this node knows".into())
}
