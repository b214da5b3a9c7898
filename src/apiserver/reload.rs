//! Configuration files that are read again when they change, as upstream does it with those of authentication and
//! authorization. A file that is of no use changes nothing.

use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::io::AsyncReadExt;

use crate::authentication::{Authentication, Authenticator};
use crate::authorization::{Authorizer, read_authorization};
use crate::webhook;

/// How often files are looked at.
const EVERY: Duration = Duration::from_millis(if cfg!(test) { 10 } else { 10_000 });
/// The largest file. Bytes.
const LARGEST: u64 = 1 << 20;

/// A configuration file, and what it said when the server was told of it.
#[derive(Clone)]
pub struct ConfigFile {
    /// Where it lies.
    pub path: PathBuf,
    /// What it said.
    pub text: String,
}

impl fmt::Debug for ConfigFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigFile").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The files that are followed.
#[derive(Clone, Debug, Default)]
pub struct ConfigFiles {
    /// `--authentication-config`.
    pub authentication: Option<ConfigFile>,
    /// `--authorization-config`.
    pub authorization: Option<ConfigFile>,
}

/// Why what a file says now is not taken.
pub(crate) enum Refused {
    /// It will never be.
    ForGood(String),
    /// It may be, later.
    ForNow(String),
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Labels {
    status: &'static str,
}

/// What `/metrics` tells of one file.
#[derive(Clone, Default)]
pub(crate) struct Reloads {
    count: Family<Labels, Counter>,
    last: Family<Labels, Gauge<f64, AtomicU64>>,
}

impl Reloads {
    /// Under upstream's names; `what` is `authentication` or `authorization`.
    pub(crate) fn register(&self, what: &str, to: &mut Registry) {
        let name = |rest: &str| format!("apiserver_{what}_config_controller_automatic_{rest}");
        to.register(name("reloads"), "Reloads of the configuration file by outcome", self.count.clone());
        let last = name("reload_last_timestamp_seconds");
        to.register(last, "When the configuration file was last reloaded, by outcome", self.last.clone());
    }

    fn add(&self, status: &'static str) {
        let labels = Labels { status };
        self.count.get_or_create(&labels).inc();
        self.last.get_or_create(&labels).set(jiff::Timestamp::now().as_second() as f64);
    }
}

/// Hands on what a file says whenever that changes. Ends when it is dropped.
pub(crate) async fn follow<F>(file: ConfigFile, reloads: Reloads, mut take: impl FnMut(String) -> F)
where
    F: Future<Output = Result<(), Refused>>,
{
    let ConfigFile { path, text: mut known } = file;
    // What was complained of is not complained of again every few seconds.
    let mut complaint = String::new();
    loop {
        tokio::time::sleep(EVERY).await;
        let outcome = match read(&path).await {
            Ok(text) if text == known => continue,
            Ok(text) => match take(text.clone()).await {
                Ok(()) => {
                    known = text;
                    Ok(())
                }
                Err(Refused::ForGood(why)) => {
                    known = text;
                    Err(why)
                }
                Err(Refused::ForNow(why)) => Err(why),
            },
            Err(error) => Err(error.to_string()),
        };
        match outcome {
            Ok(()) => {
                reloads.add("success");
                tracing::info!(path = %path.display(), "a configuration file was reloaded");
                complaint.clear();
            }
            Err(why) => {
                reloads.add("failure");
                if why != complaint {
                    tracing::error!(path = %path.display(), why, "a configuration file is not taken, what it said before holds");
                    complaint = why;
                }
            }
        }
    }
}

/// Follows the file of `--authentication-config`. `base` is what was made of it at the start, and `own` are the issuers whose
/// tokens are the cluster's own.
pub(crate) async fn authentication(
    file: ConfigFile,
    base: Authentication,
    own: Vec<String>,
    authenticator: Arc<Authenticator>,
    client: Arc<webhook::Client>,
    reloads: Reloads,
) {
    let take = |text: String| {
        let mut fresh = base.clone();
        let read = fresh.read(&text, &own).map_err(|error| Refused::ForGood(error.to_string()));
        let same = fresh.anonymous == base.anonymous;
        let (authenticator, client) = (authenticator.clone(), client.clone());
        async move {
            read?;
            if !same {
                return Err(Refused::ForGood("anonymous: Forbidden: changed from initial configuration file".into()));
            }
            authenticator.replace_issuers(fresh.issuers, &client).await.map_err(Refused::ForNow)
        }
    };
    follow(file, reloads, take).await;
}

/// Follows the file of `--authorization-config`.
pub(crate) async fn authorization(
    file: ConfigFile,
    authorizer: Arc<Authorizer>,
    client: Arc<webhook::Client>,
    reloads: Reloads,
) {
    let take = |text: String| {
        let modes =
            read_authorization(&text, authorizer.policies()).map_err(|error| Refused::ForGood(error.to_string()));
        let replaced = modes
            .and_then(|modes| authorizer.replace(modes, &client).map_err(|error| Refused::ForGood(error.to_string())));
        std::future::ready(replaced)
    };
    follow(file, reloads, take).await;
}

async fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    tokio::fs::File::open(path).await?.take(LARGEST).read_to_string(&mut text).await?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::TestServer;

    /// A server that follows a file; and a way to ask whether somebody may list config maps.
    async fn may(server: &TestServer) -> u16 {
        server.nobody().send("GET /api/v1/namespaces/default/configmaps", "").await.code
    }

    async fn until(server: &TestServer, code: u16) {
        let changed = async {
            while may(server).await != code {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), changed).await.expect("the file is never taken");
    }

    #[tokio::test]
    async fn authorizers_change_with_their_file_and_not_with_nonsense() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("authorization.yaml");
        let text = |kind: &str| {
            let all = json!([{"type": "Node", "name": "node"}, {"type": "RBAC", "name": "rbac"}, {"type": kind, "name": kind.to_lowercase()}]);
            json!({"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthorizationConfiguration", "authorizers": all}).to_string()
        };
        std::fs::write(&path, text("AlwaysDeny")).unwrap();
        let file = ConfigFile { path: path.clone(), text: text("AlwaysDeny") };
        let server = TestServer::with(|config| config.files.authorization = Some(file)).await;
        until(&server, 403).await;
        std::fs::write(&path, text("AlwaysAllow")).unwrap();
        until(&server, 200).await;
        std::fs::write(&path, text("Sometimes")).unwrap();
        let failed = async {
            loop {
                let metrics = server.admin().send("GET /metrics", "").await.text();
                if metrics.contains(r#"authorization_config_controller_automatic_reloads_total{status="failure"} 1"#) {
                    return metrics;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let metrics = tokio::time::timeout(Duration::from_secs(30), failed).await.expect("nobody complains");
        assert!(
            metrics
                .contains(r#"apiserver_authorization_config_controller_automatic_reloads_total{status="success"} 1"#)
        );
        assert_eq!(may(&server).await, 200);
        std::fs::write(&path, text("AlwaysDeny")).unwrap();
        until(&server, 403).await;
    }
}
