//! flannel, as the node agent has it: routes to the other nodes' pods, and the word about ours in our Node's annotations.
//!
//! Reads Nodes; writes annotations and one condition of our own Node. Whatever happens, the same thing is done: look at
//! all Nodes, work out all kernel state, compare with the kernel's, change the difference.

mod act;
mod node;
mod plan;
#[cfg(test)]
mod tests;
mod underlay;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::{Object, Patch};
use client::Client;
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::cidr::Ipv4Cidr;
use crate::config::{Backend, Config};
use crate::error::{Error, Result, chain};
use crate::subnet_env::SubnetEnv;
use crate::{cni, masquerade, sysctl};

pub(crate) use act::remove_routes;
pub(crate) use plan::DEVICE;

use node::NodeView;
use plan::Plan;

/// Somebody may have changed the kernel's state behind our back: look again this often.
const RESYNC: Duration = Duration::from_secs(10);
/// Between a failure and the next attempt.
const RETRY: Duration = Duration::from_secs(2);
/// Nodes come in bursts: wait a moment for the rest.
const COALESCE: Duration = Duration::from_millis(50);

/// Keeps the pod network up until `shutdown`. `ready` becomes true when the node's own part stands: `subnet.env` and the
/// CNI configuration are written and the condition `NetworkUnavailable` is false. Nothing is taken down at shutdown: running pods keep their
/// network while the agent restarts.
pub async fn run(config: Arc<Config>, client: Client, shutdown: CancellationToken, ready: watch::Sender<bool>) {
    let nodes = client.cache(&client::kinds::nodes());
    tokio::select! {
        () = nodes.synced() => {}
        () = shutdown.cancelled() => return,
    }
    let mut subscription = nodes.subscribe().1;
    let mut network = Network { config, client, masquerade: None };
    loop {
        let views = nodes.list("").iter().filter_map(|object| view(object)).collect();
        let pause = match network.reconcile(views).await {
            Ok(()) => {
                ready.send_if_modified(|ready| !std::mem::replace(ready, true));
                RESYNC
            }
            Err(Error::NotReady(why)) => {
                tracing::debug!(why, "pod network not ready");
                RESYNC
            }
            Err(error) => {
                tracing::warn!(error = chain(&error), "pod network not as it should be, will try again");
                RETRY
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
            changes = subscription.next() => if changes.is_err() {
                subscription = nodes.subscribe().1;
            }
        }
        tokio::time::sleep(COALESCE).await;
        if subscription.ready().is_err() {
            subscription = nodes.subscribe().1;
        }
    }
}

fn view(node: &Object) -> Option<NodeView> {
    let view = node.view();
    view.inspect_err(|error| tracing::warn!(node = %node.meta.name, error = chain(error), "node not understood")).ok()
}

struct Network {
    config: Arc<Config>,
    client: Client,
    /// The masquerade table as last written; it is replaced only when it must change.
    masquerade: Option<masquerade::Scope>,
}

impl Network {
    async fn reconcile(&mut self, nodes: Vec<NodeView>) -> Result<()> {
        let own = nodes.iter().find(|node| node.metadata.name == self.config.node_name);
        let own = own.ok_or_else(|| Error::NotReady(format!("node {} does not exist", self.config.node_name)))?;
        if self.config.backend == Backend::None {
            let config = self.config.clone();
            return blocking(move || act::apply(&Plan::none(), config.cluster_cidr)).await;
        }
        let subnet = own
            .pod_cidr()
            .ok_or_else(|| Error::NotReady(format!("node {} has no pod CIDR yet", self.config.node_name)))?;
        let (annotations, available) = (own.metadata.annotations.clone(), own.network_available());
        let config = self.config.clone();
        let last = self.masquerade.take();
        let (wanted, scope) = blocking(move || establish(&config, subnet, &nodes, last)).await?;
        self.masquerade = Some(scope);
        self.publish(&annotations, wanted).await?;
        if !available {
            self.announce().await?;
        }
        Ok(())
    }

    /// Writes our annotations, where they differ.
    async fn publish(&self, present: &BTreeMap<String, String>, wanted: BTreeMap<&str, String>) -> Result<()> {
        if wanted.iter().all(|(key, value)| present.get(*key) == Some(value)) {
            return Ok(());
        }
        let patch = Patch::Merge(json!({ "metadata": { "annotations": wanted } }));
        self.patch("", patch, "annotating the node").await?;
        tracing::info!(node = self.config.node_name, "flannel annotations written");
        Ok(())
    }

    /// Says that the node's network is there.
    async fn announce(&self) -> Result<()> {
        let now = node::now();
        let condition = json!({
            "type": "NetworkUnavailable",
            "status": "False",
            "reason": "FlannelIsUp",
            "message": "Flannel is running on this node",
            "lastHeartbeatTime": now,
            "lastTransitionTime": now,
        });
        let patch = Patch::Strategic(json!({ "status": { "conditions": [condition] } }));
        self.patch("status", patch, "writing the node's NetworkUnavailable condition").await?;
        tracing::info!(node = self.config.node_name, "node network available");
        Ok(())
    }

    async fn patch(&self, subresource: &str, patch: Patch, action: &str) -> Result<()> {
        let done = self.client.patch(&client::kinds::nodes(), "", &self.config.node_name, subresource, patch).await;
        done.map(drop).map_err(|status| Error::Api { action: action.into(), source: Box::new(status) })
    }
}

/// Brings this node's kernel and files to where they should be. Returns the annotations our Node should have.
fn establish(
    config: &Config,
    subnet: Ipv4Cidr,
    nodes: &[NodeView],
    last: Option<masquerade::Scope>,
) -> Result<(BTreeMap<&'static str, String>, masquerade::Scope)> {
    let bridge_filter = sysctl::prepare_node()?;
    let underlay = underlay::choose(config)?;
    let plan = plan::plan(config, &underlay, subnet, nodes);
    act::apply(&plan, config.cluster_cidr)?;
    let scope =
        masquerade::Scope { cluster: config.cluster_cidr, subnet, masquerade: config.masquerade, bridge_filter };
    masquerade::ensure(&scope, last.as_ref())?;
    // Last: from this file on, pods are attached.
    let env = SubnetEnv {
        network: config.cluster_cidr,
        subnet: Ipv4Cidr::new(subnet.nth(1), subnet.prefix),
        mtu: plan.pod_mtu,
        masquerade: config.masquerade,
    };
    env.write(&config.subnet_env)?;
    cni::write_conflist(config)?;
    Ok((plan.annotations, scope))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(Error::Invalid(format!("the network thread did not finish: {error}"))))
}
