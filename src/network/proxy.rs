//! The service proxy: Services and EndpointSlices in, one nftables table out.
//!
//! Reads Services, EndpointSlices and the zone of our Node; writes the table `ip isopod-proxy` and nothing else of the
//! API. The table is written whole when the proxy starts (in one transaction, so that there is no moment without
//! rules) and from then on changed where services change. It stays when the process ends: connections and new
//! clients are served while the agent restarts.

mod base;
mod endpoints;
mod health;
mod plan;
mod rules;
mod source;
#[cfg(test)]
mod tests;
mod view;

use std::sync::Arc;
use std::time::{Duration, Instant};

use client::Client;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::cidr::Ipv4Cidr;
use crate::config::Config;
use crate::error::{Doing, Result, chain};
use crate::netlink::Socket;
use crate::netlink::route::{self, Route};
use crate::sysctl;

use health::HealthPorts;
use plan::{Context, ServicePlan};
use rules::{Rules, ServiceKey, Written};
use source::Source;

/// The table's name.
pub(crate) const TABLE: &str = "isopod-proxy";
/// Changes come in bursts; one transaction takes all that arrive within this time.
const COALESCE: Duration = Duration::from_millis(5);
/// Between the ends of two transactions, however much changes.
const PAUSE: Duration = Duration::from_millis(50);
/// Somebody may have deleted the table: look this often.
const RESYNC: Duration = Duration::from_secs(30);
/// Between a failure and the next attempt.
const RETRY: Duration = Duration::from_secs(2);

/// What was brought to the kernel so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Synced {
    /// How many transactions there were: above 0, every service there was at the start is served.
    pub transactions: u64,
    /// How many services the last one changed.
    pub services: usize,
    /// Its size in bytes.
    pub bytes: usize,
    /// How long it took, its preparation and the cleanup after it included.
    pub took: Duration,
}

/// Keeps the rules up to date until `shutdown`, and tells `synced` about every transaction.
pub async fn run(config: Arc<Config>, client: Client, shutdown: CancellationToken, synced: watch::Sender<Synced>) {
    let work = async {
        let context = Context { node_name: config.node_name.clone(), zone: None, cluster_cidr: config.cluster_cidr };
        let mut source = Source::new(&client, context).await;
        let mut rules = Rules::new(config.service_cidr);
        let mut health = HealthPorts::default();
        loop {
            let changes = source.collect(rules.services());
            let outcome;
            (rules, outcome) = match apply(rules, changes, &config).await {
                Ok((rules, outcome)) => (rules, outcome),
                Err(error) => {
                    // The rules went down with their thread: everything is planned and written again.
                    source.look_again();
                    (Rules::new(config.service_cidr), Err(error))
                }
            };
            health.update(rules.health()).await;
            let pause = match outcome {
                Ok(written) => {
                    if let Some((Written { services, bytes, .. }, took)) = written {
                        let transactions = synced.borrow().transactions + 1;
                        synced.send_replace(Synced { transactions, services, bytes, took });
                    }
                    tokio::time::sleep(PAUSE).await;
                    RESYNC
                }
                Err(error) => {
                    tracing::warn!(error = chain(&error), "service rules not as they should be, will try again");
                    RETRY
                }
            };
            tokio::select! {
                () = source.changed() => tokio::time::sleep(COALESCE).await,
                () = tokio::time::sleep(pause) => {}
            }
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = work => {}
    }
}

/// Takes the changes over and brings the kernel up to date, on a thread that may block. An error outside means that the
/// rules are lost.
async fn apply(
    mut rules: Rules,
    changes: Vec<(ServiceKey, Option<ServicePlan>)>,
    config: &Arc<Config>,
) -> Result<(Rules, Result<Option<(Written, Duration)>>)> {
    let config = config.clone();
    let work = move || {
        for (key, plan) in changes {
            rules.set(&key, plan);
        }
        let started = Instant::now();
        let outcome = prepare(&config).and_then(|mut socket| {
            rules.lost(&mut socket)?;
            rules.commit(&mut socket)
        });
        let outcome = outcome.map(|written| written.map(|written| (written, started.elapsed())));
        if let Ok(Some((Written { services, bytes, whole }, took))) = outcome {
            let took = took.as_micros() as u64;
            tracing::info!(services, bytes, whole, microseconds = took, "service rules written");
        }
        (rules, outcome)
    };
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| crate::Error::Invalid(format!("the proxy's thread failed: {error}")))
}

/// Switches and routes that services need, beside the table.
fn prepare(config: &Config) -> Result<Socket> {
    sysctl::prepare_node()?;
    ensure_route(config.service_cidr, config)?;
    Socket::netfilter().doing(|| "opening a netfilter socket".into())
}

/// The node's own packets to a service are translated only after a route was found for them. Without a default route
/// there must be one to the service CIDR; where it leads does not matter.
fn ensure_route(services: Ipv4Cidr, config: &Config) -> Result<()> {
    let Some(source) = config.node_ip else { return Ok(()) };
    let mut socket = Socket::route().doing(|| "opening a route socket".into())?;
    let routes = route::routes(&mut socket).doing(|| "reading routes".into())?;
    if routes.iter().any(|route| route.destination.covers(&services)) {
        return Ok(());
    }
    let lo = route::link(&mut socket, "lo").doing(|| "reading link lo".into())?;
    let Some(lo) = lo else { return Ok(()) };
    let route = Route {
        destination: services.network(),
        gateway: None,
        device: lo.index,
        onlink: false,
        source: Some(source),
        metric: 0,
        kernel: false,
    };
    route::add_route(&mut socket, &route).doing(|| format!("adding a route to {services}"))
}

/// Removes the route to the service CIDR, if it is ours.
pub(crate) fn remove_route(services: Ipv4Cidr) -> Result<()> {
    let mut socket = Socket::route().doing(|| "opening a route socket".into())?;
    let Some(lo) = route::link(&mut socket, "lo").doing(|| "reading link lo".into())? else { return Ok(()) };
    let routes = route::routes(&mut socket).doing(|| "reading routes".into())?;
    for route in routes.iter().filter(|r| r.destination == services.network() && r.device == lo.index) {
        route::delete_route(&mut socket, route).doing(|| format!("deleting the route to {services}"))?;
    }
    Ok(())
}
