//! Health check node ports: how a load balancer learns which nodes have an endpoint (external policy Local).

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use super::rules::ServiceKey;

/// A client that takes longer is not a load balancer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Requests answered at once on one port.
const CONCURRENT: usize = 64;
/// A request's head is not read beyond this.
const HEAD_LIMIT: usize = 8 << 10;

/// What one port answers.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer {
    service: ServiceKey,
    local_endpoints: usize,
}

/// The listeners, one a service.
#[derive(Default)]
pub(super) struct HealthPorts {
    listeners: HashMap<u16, (watch::Sender<Answer>, JoinHandle<()>)>,
}

impl HealthPorts {
    /// Listens where it should and nowhere else, and answers with these counts from now on.
    pub(super) async fn update<'a>(&mut self, wanted: impl Iterator<Item = (u16, &'a ServiceKey, usize)>) {
        let wanted: HashMap<u16, Answer> = wanted
            .map(|(port, service, local_endpoints)| (port, Answer { service: service.clone(), local_endpoints }))
            .collect();
        self.listeners.retain(|port, (_, task)| {
            let keep = wanted.contains_key(port) && !task.is_finished();
            if !keep {
                task.abort();
            }
            keep
        });
        for (port, answer) in wanted {
            if let Some((sender, _)) = self.listeners.get(&port) {
                sender.send_if_modified(|old| std::mem::replace(old, answer.clone()) != answer);
                continue;
            }
            match TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await {
                Ok(listener) => {
                    let (sender, receiver) = watch::channel(answer);
                    self.listeners.insert(port, (sender, tokio::spawn(serve(listener, receiver))));
                }
                Err(error) => tracing::warn!(port, service = %answer.service, %error, "health check port not bound"),
            }
        }
    }
}

impl Drop for HealthPorts {
    fn drop(&mut self) {
        self.listeners.values().for_each(|(_, task)| task.abort());
    }
}

async fn serve(listener: TcpListener, answer: watch::Receiver<Answer>) {
    let slots = Arc::new(Semaphore::new(CONCURRENT));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let response = response(&answer.borrow());
                tokio::spawn(async move {
                    let _slot = slot;
                    let _ = tokio::time::timeout(PATIENCE, reply(stream, &response)).await;
                });
            }
            // Out of descriptors, most likely: wait for some to come back.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Reads a request's head, whatever it asks for, and answers.
async fn reply(mut stream: TcpStream, response: &str) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < HEAD_LIMIT {
        if stream.read_buf(&mut head).await? == 0 {
            break;
        }
    }
    stream.write_all(response.as_bytes()).await?;
    stream.shutdown().await
}

fn response(answer: &Answer) -> String {
    let (namespace, name) = answer.service.split_once('/').unwrap_or(("", &answer.service));
    let status = if answer.local_endpoints > 0 { "200 OK" } else { "503 Service Unavailable" };
    let body = json!({
        "service": { "namespace": namespace, "name": name },
        "localEndpoints": answer.local_endpoints,
        "serviceProxyHealthy": true,
    })
    .to_string();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nX-Content-Type-Options: nosniff\r\n\
         X-Load-Balancing-Endpoint-Weight: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        answer.local_endpoints,
        body.len()
    )
}
