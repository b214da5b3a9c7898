//! The one client for all webhooks: admission, conversion, token review, subject access review.
//!
//! A webhook is named by URL or by a Service. For a Service every call goes to one of the endpoints that are ready now, so
//! that calls are spread and none goes to an endpoint that is gone; connections are kept by endpoint.

mod access;
mod client_config;
mod kubeconfig;
mod metrics;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use api::Status;
use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, Uri, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use parking_lot::Mutex;

use crate::endpoints::{PortRef, ServiceEndpoints};
use crate::trust::{self, Trust};

pub use crate::trust::TrustError;
pub use access::{Access, Identity, Place};
pub(crate) use client_config::ClientConfig;
pub use kubeconfig::KubeconfigError;
pub(crate) use metrics::{AdmissionCounters, Called, ConversionCounters};

/// An answer may be so much longer than twice the request (conversions answer with as much as they were asked).
const ANSWER_MAX: usize = 3 << 20;
/// How many idle connections are kept to one endpoint, and for how long (client-go's figures).
const IDLE_CONNECTIONS: usize = 25;
const IDLE_TIME: Duration = Duration::from_secs(90);
/// How much of a refusal is told.
const REFUSAL_SHOWN: usize = 2048;

/// Why a call gave no answer. Displayed in the words of upstream's client, to be put after `failed to call webhook: `.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody was reached, or no whole answer came in time.
    #[error("{verb} {}: {why}", api::quote::quote(url))]
    NoAnswer {
        /// `Post` or `Get`.
        verb: &'static str,
        /// What was asked.
        url: String,
        /// `context deadline exceeded`, `dial tcp …: connect: connection refused` …
        why: String,
        /// Whether another try may have better luck: the connection broke.
        transient: bool,
    },
    /// The webhook answered with something else than success.
    #[error("{0}")]
    Refused(Box<Status>),
}

impl CallError {
    /// What the failure counts as: the webhook's own code, or that it is not there.
    pub fn code(&self) -> u16 {
        match self {
            Self::NoAnswer { .. } => 503,
            Self::Refused(status) => status.code,
        }
    }

    /// Whether upstream would try again, where it tries again at all (authentication and authorization).
    pub fn is_transient(&self) -> bool {
        match self {
            Self::NoAnswer { transient, .. } => *transient,
            Self::Refused(status) => {
                matches!(&*status.reason, "InternalError" | "Timeout" | "TooManyRequests")
                    || status.details.as_ref().is_some_and(|details| details.retry_after_seconds > 0)
            }
        }
    }
}

/// The client. Equal [`Access`] shares one [`Target`], and its connections, as long as somebody holds it.
#[derive(Debug)]
pub struct Client {
    endpoints: ServiceEndpoints,
    targets: Mutex<HashMap<Access, Weak<Target>>>,
    conversions: ConversionCounters,
    admissions: AdmissionCounters,
}

/// One webhook, ready to be called.
pub struct Target {
    place: Place,
    /// `https://host:port/path`, as errors show it.
    url: String,
    /// `host:port` or `host`, what the webhook is told it was asked as.
    host: HeaderValue,
    scheme: String,
    path: String,
    authorization: access::Authorization,
    pool: Pool<HttpsConnector<HttpConnector>, Full<Bytes>>,
    endpoints: ServiceEndpoints,
    resolved: ArcSwapOption<Resolved>,
}

struct Resolved {
    generation: (u64, u64),
    addresses: Vec<String>,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Client {
    pub(crate) fn new(endpoints: ServiceEndpoints) -> Self {
        Self {
            endpoints,
            targets: Mutex::default(),
            conversions: ConversionCounters::default(),
            admissions: AdmissionCounters::default(),
        }
    }

    /// Adds what is counted to what `/metrics` shows.
    pub(crate) fn register(&self, to: &mut prometheus_client::registry::Registry) {
        self.conversions.register(to);
        self.admissions.register(to);
    }

    /// What calls of admission webhooks are counted by.
    pub(crate) fn admissions(&self) -> &AdmissionCounters {
        &self.admissions
    }

    /// What reviews of conversions are counted by.
    pub(crate) fn conversions(&self) -> &ConversionCounters {
        &self.conversions
    }

    /// What `access` describes, ready to be called. Connects to nobody yet.
    pub fn target(&self, access: &Access) -> Result<Arc<Target>, TrustError> {
        if let Some(target) = self.targets.lock().get(access).and_then(Weak::upgrade) {
            return Ok(target);
        }
        let target = Arc::new(Target::new(access, self.endpoints.clone())?);
        let mut targets = self.targets.lock();
        targets.retain(|_, target| target.strong_count() > 0);
        targets.insert(access.clone(), Arc::downgrade(&target));
        Ok(target)
    }
}

impl Target {
    fn new(access: &Access, endpoints: ServiceEndpoints) -> Result<Self, TrustError> {
        let trust = match (&access.ca, access.insecure) {
            (_, true) => Trust::Anyone,
            (Some(pem), _) => Trust::Bundle(pem),
            (None, _) => Trust::Machine,
        };
        let identity = access.identity.as_ref().map(|identity| (&*identity.chain, &*identity.key));
        let mut tls = trust::client_config(trust, identity)?;
        let (scheme, host, path) = access.place.parts();
        tls.alpn_protocols.push(b"http/1.1".to_vec());
        if access.http2 {
            tls.alpn_protocols.insert(0, b"h2".to_vec());
        }
        let name = access.server_name.clone().unwrap_or_else(|| access.place.server_name());
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        // Connections go to endpoints by address; whoever answers there has to be the one that was meant.
        let connector = HttpsConnector::new(tcp, tls, false, Arc::new(access::ServerNamed(name)));
        let pool = Pool::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIME)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .set_host(false)
            .build(connector);
        Ok(Self {
            url: format!("{scheme}://{host}{path}"),
            host: HeaderValue::from_str(&host).unwrap_or_else(|_| HeaderValue::from_static("webhook")),
            scheme: scheme.to_owned(),
            path,
            place: access.place.clone(),
            authorization: access.authorization.clone(),
            pool,
            endpoints,
            resolved: ArcSwapOption::empty(),
        })
    }

    /// Posts a JSON document and gives the JSON of the answer. The whole call takes at most `timeout`, which the webhook is
    /// told in whole seconds.
    pub async fn post(&self, body: Bytes, timeout: Duration) -> Result<Bytes, CallError> {
        let query = format!("{}timeout={}", if self.path.contains('?') { '&' } else { '?' }, seconds(timeout));
        self.send(Some(body), &query, timeout).await
    }

    /// Gets a document: an identity provider's, which is asked as webhooks are.
    pub async fn get(&self, timeout: Duration) -> Result<Bytes, CallError> {
        self.send(None, "", timeout).await
    }

    async fn send(&self, body: Option<Bytes>, query: &str, timeout: Duration) -> Result<Bytes, CallError> {
        let verb = if body.is_some() { "Post" } else { "Get" };
        let url = || format!("{}{query}", self.url);
        let no_answer = |why: String, transient| CallError::NoAnswer { verb, url: url(), why, transient };
        let call = async {
            let authority = self.authority().map_err(|why| no_answer(why, false))?;
            let uri: Uri = format!("{}://{authority}{}{query}", self.scheme, self.path)
                .parse()
                .map_err(|_| no_answer("invalid URL".to_owned(), false))?;
            let max = ANSWER_MAX + 2 * body.as_ref().map_or(0, Bytes::len);
            let request = self.request(uri, body).await.map_err(|why| no_answer(why, false))?;
            let response = self.pool.request(request).await.map_err(|error| {
                let (why, transient) = access::explain(&error, &authority);
                no_answer(why, transient)
            })?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, max).collect().await.map_err(|error| {
                match error.downcast_ref::<LengthLimitError>() {
                    Some(_) => no_answer(format!("the answer is longer than {max} bytes"), false),
                    None => no_answer(format!("unexpected error when reading response body: {error}"), true),
                }
            })?;
            let answer = Response::from_parts(head, body.to_bytes());
            if answer.status().is_success() { Ok(answer.into_body()) } else { Err(refused(&answer)) }
        };
        match tokio::time::timeout(timeout, call).await {
            Ok(outcome) => outcome,
            Err(_) => Err(no_answer("context deadline exceeded".to_owned(), false)),
        }
    }

    async fn request(&self, uri: Uri, body: Option<Bytes>) -> Result<Request<Full<Bytes>>, String> {
        let posts = body.is_some();
        let mut request = Request::new(Full::new(body.unwrap_or_default()));
        *request.method_mut() = if posts { Method::POST } else { Method::GET };
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert(header::HOST, self.host.clone());
        if posts {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, */*"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static("kube-apiserver-admission"));
        if let Some(value) = self.authorization.header().await? {
            headers.insert(header::AUTHORIZATION, value);
        }
        Ok(request)
    }

    /// `host:port` to connect to, now.
    fn authority(&self) -> Result<String, String> {
        let (namespace, name, port) = match &self.place {
            Place::Url(_) => return Ok(self.host.to_str().unwrap_or_default().to_owned()),
            Place::Service { namespace, name, port, .. } => (namespace, name, *port),
        };
        let generation = self.endpoints.generation();
        let known = self.resolved.load_full().filter(|resolved| resolved.generation == generation);
        let resolved = match known {
            Some(resolved) => resolved,
            None => {
                let found = self.endpoints.addresses(namespace, name, PortRef::Number(port));
                let addresses = found.map_err(|error| error.to_string())?;
                let resolved = Arc::new(Resolved { generation, addresses });
                self.resolved.store(Some(resolved.clone()));
                resolved
            }
        };
        Ok(resolved.addresses[rand::random_range(0..resolved.addresses.len())].clone())
    }
}

/// A duration as Go writes it, rounded up to whole seconds.
fn seconds(timeout: Duration) -> String {
    let seconds = timeout.as_millis().div_ceil(1000);
    match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds}s"),
        (minutes, seconds) => format!("{minutes}m{seconds}s"),
    }
}

/// An answer that is no success: the Status it holds, or what upstream's client makes of its code.
fn refused(answer: &Response<Bytes>) -> CallError {
    if let Ok(status) = serde_json::from_slice::<Status>(answer.body())
        && status.kind == "Status"
        && status.status != "Success"
    {
        return CallError::Refused(Box::new(status));
    }
    let media_type = answer.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let textual = media_type.is_none_or(|media_type| media_type.starts_with("text/"));
    let shown = &answer.body()[..answer.body().len().min(REFUSAL_SHOWN)];
    let text = if textual { String::from_utf8_lossy(shown).trim().to_owned() } else { "unknown".to_owned() };
    let code = answer.status().as_u16();
    let (reason, message) = match code {
        400 => ("BadRequest", "the server rejected our request for an unknown reason".into()),
        401 => ("Unauthorized", "the server has asked for the client to provide credentials".into()),
        403 => ("Forbidden", text),
        404 => ("NotFound", "the server could not find the requested resource".into()),
        405 => ("MethodNotAllowed", "the server does not allow this method on the requested resource".into()),
        406 => ("NotAcceptable", text),
        409 => ("AlreadyExists", "the server reported a conflict".into()),
        415 => ("UnsupportedMediaType", text),
        422 => ("Invalid", "the server rejected our request due to an error in our request".into()),
        429 => {
            ("TooManyRequests", "the server has received too many requests and has asked us to try again later".into())
        }
        503 => ("ServiceUnavailable", "the server is currently unable to handle the request".into()),
        504 => (
            "Timeout",
            "the server was unable to return a response in the time allotted, but may still be processing the request"
                .into(),
        ),
        500.. => {
            let quoted = api::quote::quote(&text);
            ("InternalError", format!("an error on the server ({quoted}) has prevented the request from succeeding"))
        }
        _ => ("", format!("the server responded with the status code {code} but did not return more information")),
    };
    let mut status = Status::failure(code, reason, message);
    let after = answer.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    if let Some(seconds) = after {
        status.details.get_or_insert_default().retry_after_seconds = seconds;
    }
    CallError::Refused(Box::new(status))
}
