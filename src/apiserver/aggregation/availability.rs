//! Who answers: the condition `Available` of every APIService. Others are asked when something about them changes and, since
//! not everything that can break is seen from here, every half minute.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use api::{Object, time};
use futures::StreamExt;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::discovered::Checked;
use super::fetch::no_response;
use super::{Aggregator, Remote, Settled};
use crate::Registry;
use crate::endpoints::{NoEndpoint, PortRef};
use crate::tree::Tree;

/// How often those are asked who answered.
const AGAIN: Duration = Duration::from_secs(30);
/// When those are asked first who did not.
const RETRY: Duration = Duration::from_secs(1);
/// How many endpoints are tried before a service is given up.
const ATTEMPTS: usize = 5;
/// Changes of endpoints come in swarms.
const PAUSE: Duration = Duration::from_millis(100);

/// What the last look at an API server was about, and when the next one is due.
struct Looked {
    spec: Value,
    addresses: Result<Vec<String>, NoEndpoint>,
    /// Whether that was another than the time before.
    changed: bool,
    due: Instant,
    failures: u32,
}

/// A condition: status, reason, message.
struct Verdict(&'static str, &'static str, String);

/// Keeps the conditions, and what is known of others' discovery; until it is dropped.
pub(crate) async fn run(aggregator: Arc<Aggregator>, registry: Arc<Registry>) {
    let mut looked: HashMap<String, Looked> = HashMap::new();
    let mut told = Settled::default();
    loop {
        let seen = (aggregator.services.revision(), aggregator.endpoints.generation());
        tell_local(&aggregator, &registry, &mut told).await;
        let remotes = aggregator.remotes();
        looked.retain(|name, _| remotes.all.iter().any(|remote| remote.name == *name));
        let due: Vec<(&Arc<Remote>, Looked)> =
            remotes.all.iter().filter_map(|remote| Some((remote, look(&aggregator, remote, &looked)?))).collect();
        let checks = due.into_iter().map(async |(remote, mut now)| {
            let verdict = check(&aggregator, remote, &now.addresses).await;
            let answers = verdict.0 == "True";
            now.failures = if answers { 0 } else { now.failures + 1 };
            let wait = if answers { AGAIN } else { RETRY * 2_u32.pow(now.failures.min(6) - 1) };
            now.due = Instant::now() + wait.min(AGAIN);
            if tell(&registry, &remote.name, &verdict).await {
                aggregator.broken.add([&remote.name, verdict.1]);
            }
            (remote.clone(), now, answers)
        });
        let checked = join_all(checks).await;
        let outcome = |(remote, now, answers): &(Arc<Remote>, Looked, bool)| Checked {
            remote: remote.clone(),
            answers: *answers,
            changed: now.changed,
        };
        let outcomes: Vec<Checked> = checked.iter().map(outcome).collect();
        looked.extend(checked.into_iter().map(|(remote, now, _)| (remote.name.clone(), now)));
        aggregator.discover(&remotes.all, &outcomes).await;

        let next = looked.values().map(|looked| looked.due).min();
        let changed = aggregator.services.until(|cache| cache.revision() != seen.0);
        match next {
            // With nobody to look after, nothing but a new APIService matters.
            None => changed.await,
            Some(next) => {
                let services = aggregator.endpoints.services.until(|cache| cache.revision() != seen.1.0);
                let slices = aggregator.endpoints.slices.until(|cache| cache.revision() != seen.1.1);
                tokio::select! {
                    () = changed => {}
                    () = services => {}
                    () = slices => {}
                    () = tokio::time::sleep_until(next) => {}
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Whether to look at an API server now: something changed, or it is time.
fn look(aggregator: &Aggregator, remote: &Remote, looked: &HashMap<String, Looked>) -> Option<Looked> {
    let port = PortRef::Number(remote.port);
    let addresses = aggregator.endpoints.addresses(&remote.namespace, &remote.service, port);
    let last = looked.get(&remote.name).filter(|last| last.spec == remote.spec && last.addresses == addresses);
    if last.is_some_and(|last| last.due > Instant::now()) {
        return None;
    }
    let (changed, failures) = (last.is_none(), last.map_or(0, |last| last.failures));
    Some(Looked { spec: remote.spec.clone(), addresses, changed, due: Instant::now(), failures })
}

async fn check(aggregator: &Aggregator, remote: &Remote, addresses: &Result<Vec<String>, NoEndpoint>) -> Verdict {
    let (service, namespace) = (&remote.service, api::quote::quote(&remote.namespace));
    let refused = |reason, message| Verdict("False", reason, message);
    match addresses {
        Ok(_) => {}
        // Upstream looks at the parts of services of the usual type alone.
        Err(error @ (NoEndpoint::NoPort { .. } | NoEndpoint::NoneReady { .. }))
            if !aggregator.endpoints.is_cluster_ip(&remote.namespace, service) =>
        {
            return refused("FailedDiscoveryCheck", error.to_string());
        }
        Err(NoEndpoint::NoService(_)) => {
            return refused("ServiceNotFound", format!("service/{service} in {namespace} is not present"));
        }
        Err(NoEndpoint::NoPort { .. }) => {
            let port = remote.port;
            let why = format!("service/{service} in {namespace} is not listening on port {port}");
            return refused("ServicePortError", why);
        }
        Err(NoEndpoint::NoneReady { sliced: false, .. }) => {
            let why = format!("cannot find endpointslices for service/{service} in {namespace}");
            return refused("EndpointsNotFound", why);
        }
        Err(NoEndpoint::NoneReady { port_name, .. }) => {
            let port = api::quote::quote(port_name);
            let why =
                format!("endpointslices for service/{service} in {namespace} have no addresses with port name {port}");
            return refused("MissingEndpoints", why);
        }
        Err(error) => return refused("FailedDiscoveryCheck", error.to_string()),
    }
    let path = format!("/apis/{}/{}", remote.group, remote.version);
    let attempt = async || {
        let (url, answer) = aggregator.fetch_from(remote, true, &path, "*/*").await?;
        match answer.status() {
            code if code.is_success() => Ok(()),
            code => Err(no_response(&url, format_args!("bad status from {url}: {}", code.as_u16()))),
        }
    };
    let mut attempts: FuturesUnordered<_> = (0..ATTEMPTS).map(|_| attempt()).collect();
    let mut last = String::new();
    while let Some(outcome) = attempts.next().await {
        match outcome {
            Ok(()) => return Verdict("True", "Passed", "all checks passed".into()),
            Err(why) => last = why,
        }
    }
    refused("FailedDiscoveryCheck", last)
}

/// What this server serves itself is always there. `told` are those of which it need not be said again.
async fn tell_local(aggregator: &Aggregator, registry: &Registry, told: &mut Settled) {
    let untold = |object: &Arc<Object>| {
        let Ok(value) = object.to_value() else { return false };
        let told = value
            .items("status.conditions")
            .iter()
            .any(|c| c.text("type") == "Available" && c.text("reason") == "Local");
        value.at("spec.service").is_none() && !told
    };
    let before = std::mem::take(told);
    let mut settled = before.again();
    for object in aggregator.services.list("") {
        if settled.has(&object) || !untold(&object) {
            told.push(object, ());
        } else {
            tell(registry, &object.meta.name, &local()).await;
        }
    }
}

fn local() -> Verdict {
    Verdict("True", "Local", "Local APIServices are always available".into())
}

/// Writes a condition, and says whether it was well before and is not now.
async fn tell(registry: &Registry, name: &str, verdict: &Verdict) -> bool {
    let Some(row) = api::resource::find("apiregistration.k8s.io", "v1", "apiservices").cloned() else { return false };
    let broke = AtomicBool::new(false);
    let change = |service: &mut Value| {
        let conditions = service.items("status.conditions");
        let well = conditions.iter().any(|c| c.text("type") == "Available" && c.text("status") == "True");
        broke.store(well && verdict.0 != "True", Ordering::Relaxed);
        set_condition(service, verdict);
        Ok(())
    };
    match registry.change_own(&row, "", name, false, &change).await {
        Err(status) if !status.is_not_found() => {
            tracing::warn!(%status, name, "an APIService's condition cannot be written");
            false
        }
        outcome => outcome.is_ok() && broke.load(Ordering::Relaxed),
    }
}

/// The time is that of the last change of the status proper.
fn set_condition(service: &mut Value, Verdict(status, reason, message): &Verdict) {
    let mut conditions = service.items("status.conditions").to_vec();
    let now = time::format(Timestamp::now());
    let before = conditions.iter_mut().find(|condition| condition.text("type") == "Available");
    let since = match &before {
        Some(before) if before.text("status") == *status => before.text("lastTransitionTime").to_owned(),
        _ => now,
    };
    let condition = json!({
        "type": "Available", "status": status, "lastTransitionTime": since, "reason": reason, "message": message,
    });
    match before {
        Some(before) => *before = condition,
        None => conditions.push(condition),
    }
    service.put("status.conditions", conditions);
}

/// Makes a new local APIService available from its first moment.
pub(crate) fn prepare(service: &mut Value) {
    service.put("status", json!({}));
    if service.at("spec.service").is_none() {
        set_condition(service, &local());
    }
}
