//! The control loops of a cluster: what upstream's kube-controller-manager runs.
//!
//! One table names them all. A controller is one file: a header (what it watches, what it writes, what it keeps true), a
//! function that builds its loop, `reconcile`, and pure `plan` functions tested as tables. Queues, caches, backoff and
//! panic containment are the harness's (`client::controller`); pods and owners have one place each for all workloads.
//!
//! Every loop acts under its own service account in `kube-system`, with upstream's names, so that RBAC, audit and
//! managed fields look as on any cluster.

mod certificates;
mod cronjob;
mod daemonset;
mod deployment;
mod disruption;
mod endpoints;
mod endpointslice;
mod endpointslicemirroring;
mod eviction;
mod expectations;
mod garbage_collector;
mod job;
mod metrics;
mod namespace;
mod node_ipam;
mod node_lifecycle;
mod nodes;
mod options;
mod ownership;
mod persistent_volume;
mod pod_control;
mod pod_gc;
mod pods;
mod replicaset;
mod resource_quota;
mod revisions;
mod root_ca;
mod service_cidr;
mod service_endpoints;
mod serviceaccount;
mod serviceaccount_token;
mod slices;
mod statefulset;
mod taint_eviction;
#[cfg(test)]
mod testing;
mod ttl_after_finished;
mod volume_protection;

use std::sync::Arc;

use api::User;
use client::Client;
use client::controller::{Controller, Gauge};
use client::events::Recorder;
use futures::future::{BoxFuture, join_all};
use tokio_util::sync::CancellationToken;

pub use metrics::metrics;
pub use options::{MakeToken, Options, SecretTokens, SignRequest, Signer};

/// The table: a loop's name, its service account, how it is built.
const CONTROLLERS: &[Row] = &[
    row("certificatesigningrequest-approving-controller", "certificate-controller", |s| {
        s.start(certificates::approving(s))
    }),
    row("certificatesigningrequest-cleaner-controller", "certificate-controller", |s| {
        s.start(certificates::cleaner(s))
    }),
    row("certificatesigningrequest-signing-controller", "certificate-controller", |s| {
        s.start(certificates::signing(s))
    }),
    row("cronjob-controller", "cronjob-controller", |s| s.start(cronjob::controller(s))),
    row("daemonset-controller", "daemon-set-controller", |s| s.start(daemonset::controller(s))),
    row("deployment-controller", "deployment-controller", |s| s.start(deployment::deployments(s))),
    row("disruption-controller", "disruption-controller", |s| s.start(disruption::controller(s))),
    row("endpoints-controller", "endpoint-controller", |s| s.start(endpoints::controller(s))),
    row("endpointslice-controller", "endpointslice-controller", |s| s.start(endpointslice::controller(s))),
    row("endpointslice-mirroring-controller", "endpointslicemirroring-controller", |s| {
        s.start(endpointslicemirroring::controller(s))
    }),
    row("garbage-collector-controller", "generic-garbage-collector", garbage_collector::start),
    row("job-controller", "job-controller", |s| s.start(job::controller(s))),
    row("namespace-controller", "namespace-controller", |s| s.start(namespace::controller(s))),
    row("node-ipam-controller", "node-controller", |s| s.start(node_ipam::controller(s))),
    row("node-lifecycle-controller", "node-controller", |s| s.start(node_lifecycle::controller(s))),
    row("persistentvolume-binder-controller", "persistent-volume-binder", |s| {
        s.start(persistent_volume::controller(s))
    }),
    row("persistentvolume-protection-controller", "pv-protection-controller", |s| {
        s.start(volume_protection::volumes(s))
    }),
    row("persistentvolumeclaim-protection-controller", "pvc-protection-controller", |s| {
        s.start(volume_protection::claims(s))
    }),
    row("pod-garbage-collector-controller", "pod-garbage-collector", |s| s.start(pod_gc::controller(s))),
    row("replicaset-controller", "replicaset-controller", |s| s.start(replicaset::replica_sets(s))),
    row("replicationcontroller-controller", "replication-controller", |s| {
        s.start(replicaset::replication_controllers(s))
    }),
    row("resourcequota-controller", "resourcequota-controller", resource_quota::start),
    row("root-ca-certificate-publisher-controller", "root-ca-cert-publisher", |s| s.start(root_ca::controller(s))),
    row("service-cidr-controller", "service-cidrs-controller", |s| s.start(service_cidr::controller(s))),
    row("serviceaccount-controller", "service-account-controller", |s| s.start(serviceaccount::controller(s))),
    // As upstream: it acts as the controller manager itself.
    row("serviceaccount-token-controller", "service-account-controller", |s| {
        s.start(serviceaccount_token::controller(s))
    }),
    row("statefulset-controller", "statefulset-controller", |s| s.start(statefulset::controller(s))),
    // As upstream: it has no role of its own.
    row("taint-eviction-controller", "node-controller", |s| s.start(taint_eviction::controller(s))),
    row("ttl-after-finished-controller", "ttl-after-finished-controller", |s| {
        s.start(ttl_after_finished::controller(s))
    }),
    row("volumeattributesclass-protection-controller", "volumeattributesclass-protection-controller", |s| {
        s.start(volume_protection::classes(s))
    }),
];

struct Row {
    name: &'static str,
    account: &'static str,
    build: fn(&Setup) -> Loop,
}

const fn row(name: &'static str, account: &'static str, build: fn(&Setup) -> Loop) -> Row {
    Row { name, account, build }
}

/// What a controller is built from: its client, already under its own account, and the cluster's options.
pub(crate) struct Setup {
    pub(crate) client: Client,
    pub(crate) options: Arc<Options>,
    name: &'static str,
    shutdown: CancellationToken,
}

/// A loop ready to run, and its figures.
pub(crate) struct Loop {
    gauge: Gauge,
    run: BoxFuture<'static, ()>,
}

impl Setup {
    /// A recorder under the controller's own name.
    pub(crate) fn events(&self) -> Recorder {
        self.events_as(self.name)
    }

    /// A recorder under another name, where upstream's component differs from the controller's.
    pub(crate) fn events_as(&self, component: &str) -> Recorder {
        Recorder::start(self.client.clone(), component, "")
    }

    /// Makes a loop of a controller.
    pub(crate) fn start<S: Send + Sync + 'static>(&self, controller: Controller<S>) -> Loop {
        let (client, shutdown) = (self.client.clone(), self.shutdown.clone());
        Loop { gauge: controller.gauge(), run: Box::pin(async move { controller.run(&client, shutdown).await }) }
    }

    /// Makes a loop of a controller and of what goes on beside it until shutdown.
    pub(crate) fn start_with<S: Send + Sync + 'static>(
        &self,
        controller: Controller<S>,
        beside: impl Future<Output = ()> + Send + 'static,
    ) -> Loop {
        let Loop { gauge, run } = self.start(controller);
        let shutdown = self.shutdown.clone();
        let beside = async move { shutdown.run_until_cancelled(beside).await.unwrap_or_default() };
        Loop { gauge, run: Box::pin(async move { ((), ()) = tokio::join!(run, beside) }) }
    }
}

/// All loops, built and not yet running.
pub struct Controllers {
    loops: Vec<Loop>,
}

impl Controllers {
    /// Builds every loop of the table that the options do not switch off. Must be called within a tokio runtime.
    pub fn build(client: &Client, options: Options, shutdown: &CancellationToken) -> Self {
        let options = Arc::new(options);
        let rows = CONTROLLERS.iter().filter(|row| !options.disabled.iter().any(|name| name == row.name));
        let build = |row: &Row| {
            let setup = Setup {
                client: client.acting_as(User::controller(row.account), "kube-controller-manager"),
                options: options.clone(),
                name: row.name,
                shutdown: shutdown.clone(),
            };
            (row.build)(&setup)
        };
        Self { loops: rows.map(build).collect() }
    }

    /// The figures of every loop, for metrics. They stay readable while the loops run.
    pub fn gauges(&self) -> Vec<Gauge> {
        self.loops.iter().map(|each| each.gauge.clone()).collect()
    }

    /// Runs all loops until shutdown.
    pub async fn run(self) {
        let tasks = self.loops.into_iter().map(|each| tokio::spawn(each.run));
        for ended in join_all(tasks).await {
            if let Err(error) = ended {
                tracing::error!(%error, "a controller ended; please report this");
            }
        }
    }
}

/// The names of all controllers, as `disabled` takes them.
pub fn names() -> impl Iterator<Item = &'static str> {
    CONTROLLERS.iter().map(|row| row.name)
}
