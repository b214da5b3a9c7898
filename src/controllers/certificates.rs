//! The controllers of certificate requests: certificatesigningrequest-approving-controller, -signing-controller and
//! -cleaner-controller.
//!
//! Watches: certificate requests.
//! Writes: approves what node agents ask for themselves; signs what is approved for the signers `kubernetes.io/…`, or says
//! why not; deletes requests that are over.
//! Invariant: a signer signs only what its rules let through, whoever approved it.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use api::certificate_request::{CertificateRequest, check_client_usages};
use api::tree::Tree;
use api::{DeleteOptions, Patch, Resource};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use client::Client;
use client::controller::{Controller, Error, Outcome, Result, itself};
use client::kinds;
use client::queue::Key;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use watch_cache::Cache;
use x509_parser::pem::Pem;

use crate::{Setup, Signer};

const GROUP: &str = "certificates.k8s.io";
const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
/// The shortest life of a certificate.
const SHORTEST: Duration = Duration::from_secs(600);
/// How long requests stay that were decided, and those that were not.
const DECIDED: SignedDuration = SignedDuration::from_hours(1);
const PENDING: SignedDuration = SignedDuration::from_hours(24);

/// Whether a signer signs a request for these usages; else why not.
type Rules = fn(&CertificateRequest, &[&str]) -> std::result::Result<(), String>;

/// The signers, and what each asks of a request.
const SIGNERS: [(&str, Rules); 4] = [
    ("kubernetes.io/kube-apiserver-client", |_, usages| check_client_usages(usages)),
    (KUBELET_CLIENT, |request, usages| request.check_kubelet_client(usages)),
    ("kubernetes.io/kubelet-serving", |request, usages| request.check_kubelet_serving(usages)),
    ("kubernetes.io/legacy-unknown", |_, _| Ok(())),
];

pub(crate) fn approving(setup: &Setup) -> Controller<Requests> {
    controller(setup, "certificatesigningrequest-approving-controller", approve)
}

pub(crate) fn signing(setup: &Setup) -> Controller<Requests> {
    controller(setup, "certificatesigningrequest-signing-controller", sign)
}

pub(crate) fn cleaner(setup: &Setup) -> Controller<Requests> {
    controller(setup, "certificatesigningrequest-cleaner-controller", clean)
}

fn controller<F>(setup: &Setup, name: &'static str, reconcile: fn(Arc<Requests>, Key) -> F) -> Controller<Requests>
where
    F: Future<Output = Result> + Send + 'static,
{
    let client = setup.client.clone();
    let state = Requests {
        kind: kinds::certificate_signing_requests(),
        requests: client.cache(&kinds::certificate_signing_requests()),
        signer: setup.options.signer.clone(),
        longest: setup.options.signing_duration,
        client,
    };
    Controller::new(name, Arc::new(state), reconcile).watch(&kinds::certificate_signing_requests(), itself)
}

pub(crate) struct Requests {
    client: Client,
    kind: Arc<Resource>,
    requests: Arc<Cache>,
    signer: Option<Signer>,
    longest: Duration,
}

impl Requests {
    /// A request that is to stay.
    fn find(&self, key: &Key) -> std::result::Result<Option<Value>, Error> {
        let found = self.requests.get_key(key).filter(|request| !request.meta.is_deleting());
        Ok(found.map(|request| request.to_value()).transpose()?)
    }

    /// Adds a condition to what the request has, and `more` to its status. Nothing of it holds for another version.
    async fn write(&self, request: &Value, part: &str, more: Value, condition: Option<Value>) -> Result {
        let mut status = more;
        if let Some(mut condition) = condition {
            let now = api::time::format(Timestamp::now());
            condition["status"] = "True".into();
            condition["lastUpdateTime"] = now.as_str().into();
            let had = request.items("status.conditions").iter().cloned();
            status["conditions"] = had.chain([condition]).collect();
        }
        let metadata = json!({ "resourceVersion": request.text("metadata.resourceVersion") });
        let patch = Patch::Merge(json!({ "metadata": metadata, "status": status }));
        match self.client.patch(&self.kind, "", request.text("metadata.name"), part, patch).await {
            Err(status) if !status.is_not_found() => Err(status.into()),
            _ => Ok(Outcome::Done),
        }
    }
}

fn usages(request: &Value) -> Vec<&str> {
    request.items("spec.usages").iter().filter_map(Value::as_str).collect()
}

fn has(request: &Value, condition: &str) -> bool {
    request.items("status.conditions").iter().any(|c| c.text("type") == condition)
}

fn read(request: &Value) -> std::result::Result<CertificateRequest, String> {
    let pem = STANDARD.decode(request.text("spec.request")).map_err(|error| error.to_string())?;
    CertificateRequest::parse(&pem)
}

/// The permissions with which a request approves itself, and the words for it.
fn grounds(request: &Value) -> &'static [(&'static str, &'static str)] {
    const SELF: (&str, &str) =
        ("selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview.");
    const ANY: (&str, &str) = ("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview.");
    if request.text("spec.signerName") != KUBELET_CLIENT {
        return &[];
    }
    match read(request) {
        Ok(asked) if asked.check_kubelet_client(&usages(request)).is_ok() => {
            if asked.common_name == request.text("spec.username") { &[SELF, ANY] } else { &[ANY] }
        }
        _ => &[],
    }
}

async fn approve(state: Arc<Requests>, key: Key) -> Result {
    let Some(request) = state.find(&key)? else { return Ok(Outcome::Done) };
    if !request.text("status.certificate").is_empty() || has(&request, "Approved") || has(&request, "Denied") {
        return Ok(Outcome::Done);
    }
    for (subresource, message) in grounds(&request) {
        if may(&state.client, &request, subresource).await? {
            tracing::info!(request = &*key, "approving a node's certificate request");
            let condition = json!({ "type": "Approved", "reason": "AutoApproved", "message": message });
            return state.write(&request, "approval", json!({}), Some(condition)).await;
        }
    }
    Ok(Outcome::Done)
}

/// Whether the requester may ask for such a certificate.
async fn may(client: &Client, request: &Value, subresource: &str) -> std::result::Result<bool, Error> {
    let Some(reviews) = api::resource::find("authorization.k8s.io", "v1", "subjectaccessreviews") else {
        return Ok(false);
    };
    let mut spec = json!({
        "user": request.text("spec.username"),
        "groups": request.at("spec.groups"),
        "resourceAttributes": {
            "group": GROUP, "resource": "certificatesigningrequests", "verb": "create",
            "subresource": subresource, "version": "*",
        },
    });
    for field in ["uid", "extra"] {
        if let Some(value) = request["spec"].get(field) {
            spec[field] = value.clone();
        }
    }
    let review = client.create(reviews, "", json!({ "spec": spec })).await?.to_value()?;
    Ok(review.truth("status.allowed"))
}

async fn sign(state: Arc<Requests>, key: Key) -> Result {
    let (Some(request), Some(signer)) = (state.find(&key)?, &state.signer) else { return Ok(Outcome::Done) };
    let rules = SIGNERS.iter().find(|(name, _)| *name == request.text("spec.signerName"));
    let Some((_, check)) = rules.filter(|_| is_to_be_signed(&request)) else { return Ok(Outcome::Done) };
    let asked = read(&request).map_err(Error::Other)?;
    if let Err(why) = check(&asked, &usages(&request)) {
        let condition = json!({ "type": "Failed", "reason": "SignerValidationFailure", "message": why });
        return state.write(&request, "status", json!({}), Some(condition)).await;
    }
    let life = life(request.int("spec.expirationSeconds"), state.longest);
    let pem = STANDARD.decode(request.text("spec.request")).unwrap_or_default();
    let usages: Vec<String> = usages(&request).into_iter().map(str::to_owned).collect();
    let certificate = (signer.0)(&String::from_utf8_lossy(&pem), &usages, life).map_err(Error::Other)?;
    tracing::info!(request = &*key, signer = request.text("spec.signerName"), "signed a certificate");
    state.write(&request, "status", json!({ "certificate": STANDARD.encode(certificate) }), None).await
}

fn is_to_be_signed(request: &Value) -> bool {
    let open = request.text("status.certificate").is_empty();
    open && has(request, "Approved") && !has(request, "Denied") && !has(request, "Failed")
}

fn life(asked: Option<i64>, longest: Duration) -> Duration {
    let Some(seconds) = asked.and_then(|seconds| u64::try_from(seconds).ok()) else { return longest };
    Duration::from_secs(seconds).min(longest).max(SHORTEST)
}

async fn clean(state: Arc<Requests>, key: Key) -> Result {
    let Some(request) = state.find(&key)? else { return Ok(Outcome::Done) };
    let Some(over) = over(&request) else { return Ok(Outcome::Done) };
    if let Ok(left) = Duration::try_from(over.duration_since(Timestamp::now()))
        && !left.is_zero()
    {
        return Ok(Outcome::After(left));
    }
    tracing::info!(request = &*key, "deleting a certificate request that is over");
    let options = DeleteOptions { uid: Some(request.text("metadata.uid").to_owned()), ..DeleteOptions::default() };
    match state.client.delete(&state.kind, "", &key, options).await {
        Err(status) if !status.is_not_found() && !status.is_conflict() => Err(status.into()),
        _ => Ok(Outcome::Done),
    }
}

/// When a request is over; `None` while it waits for a signer of somebody else's.
fn over(request: &Value) -> Option<Timestamp> {
    let parse = |text: &str| text.parse::<Timestamp>().ok();
    let certificate = request.text("status.certificate");
    let since = |kind: &str| {
        let conditions = request.items("status.conditions").iter().filter(|c| c.text("type") == kind);
        let at = |c: &Value| parse(c.text("lastUpdateTime")).or_else(|| parse(c.text("lastTransitionTime")));
        conditions.filter_map(at).min()?.checked_add(DECIDED).ok()
    };
    let issued = if certificate.is_empty() { None } else { since("Approved") };
    let undecided = request.items("status.conditions").is_empty();
    let pending = parse(request.text("metadata.creationTimestamp")).and_then(|at| at.checked_add(PENDING).ok());
    let ends = [issued, since("Denied"), since("Failed"), expiry(certificate), pending.filter(|_| undecided)];
    ends.into_iter().flatten().min()
}

/// When a certificate expires.
fn expiry(certificate: &str) -> Option<Timestamp> {
    let pem = STANDARD.decode(certificate).ok()?;
    let block = Pem::iter_from_buffer(&pem).next()?.ok()?;
    Timestamp::from_second(block.parse_x509().ok()?.validity().not_after.timestamp()).ok()
}
