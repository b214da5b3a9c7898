//! Calls to webhooks that the tests serve themselves, over TLS.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::KeyPair;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::access::Authorization;
use super::*;
use crate::registry::tests::{Server, server};
use crate::testing::Ca;

/// What a webhook is asked, and answers.
pub(crate) type Answers = dyn Fn(Asked) -> BoxFuture<'static, Response<Full<Bytes>>> + Send + Sync;

/// One request as the webhook sees it.
pub(crate) struct Asked {
    pub(crate) line: String,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Bytes,
    /// The port the client called from: one a connection.
    pub(crate) peer: SocketAddr,
    pub(crate) version: http::Version,
}

impl Asked {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// A webhook on a port of its own, until it is dropped.
pub(crate) struct Hook {
    pub(crate) address: SocketAddr,
    pub(crate) connections: Arc<AtomicUsize>,
    task: AbortHandle,
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Hook {
    /// Serves with a certificate of `ca` for `host`.
    pub(crate) async fn serve<F, R>(ca: &Ca, host: &str, answer: F) -> Self
    where
        F: Fn(Asked) -> R + Send + Sync + 'static,
        R: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        let (chain, key) = ca.issue(host, &[], &[host]);
        Self::with(&chain, &key, answer).await
    }

    pub(crate) async fn with<F, R>(chain: &str, key: &str, answer: F) -> Self
    where
        F: Fn(Asked) -> R + Send + Sync + 'static,
        R: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<_, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder =
            rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut tls = builder.with_no_client_auth().with_single_cert(chain, key).unwrap();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let answer: Arc<Answers> = Arc::new(move |asked| Box::pin(answer(asked)));
        let task = tokio::spawn(accept(listener, Arc::new(tls), connections.clone(), answer)).abort_handle();
        Self { address, connections, task }
    }

    pub(crate) fn url(&self, path: &str) -> Place {
        Place::Url(format!("https://127.0.0.1:{}{path}", self.address.port()).parse().unwrap())
    }
}

async fn accept(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    connections: Arc<AtomicUsize>,
    answer: Arc<Answers>,
) {
    let mut serving = tokio::task::JoinSet::new();
    while let Ok((stream, peer)) = listener.accept().await {
        let (tls, answer, connections) = (tls.clone(), answer.clone(), connections.clone());
        serving.spawn(async move {
            let Ok(stream) = tokio_rustls::TlsAcceptor::from(tls).accept(stream).await else { return };
            connections.fetch_add(1, Ordering::SeqCst);
            let service = service_fn(move |request: Request<Incoming>| {
                let answer = answer.clone();
                async move {
                    let (head, body) = request.into_parts();
                    let body = body.collect().await.unwrap().to_bytes();
                    let line = format!("{} {}", head.method, head.uri.path_and_query().unwrap());
                    let asked = Asked { line, headers: head.headers, body, peer, version: head.version };
                    Ok::<_, std::convert::Infallible>(answer(asked).await)
                }
            });
            let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            drop(server.serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

pub(crate) fn answer(value: &Value) -> Response<Full<Bytes>> {
    Response::builder().header("content-type", "application/json").body(Full::from(value.to_string())).unwrap()
}

/// Tells what was asked.
async fn echo(asked: Asked) -> Response<Full<Bytes>> {
    let header = |name: &str| asked.headers.get(name).map(|v| v.to_str().unwrap().to_owned());
    answer(&json!({
        "line": asked.line, "host": header("host"), "type": header("content-type"),
        "authorization": header("authorization"), "peer": asked.peer.to_string(),
        "version": format!("{:?}", asked.version), "body": asked.json(),
    }))
}

async fn call(target: &Target) -> Result<Value, String> {
    let answer = target.post(Bytes::from_static(b"{}"), Duration::from_secs(10)).await;
    answer.map(|body| serde_json::from_slice(&body).unwrap()).map_err(|error| error.to_string())
}

/// A service `hook` in the namespace `a`, with endpoints at these ports of this machine.
pub(crate) async fn service(server: &Server, ports: &[u16]) {
    let service = json!({"metadata": {"name": "hook"}, "spec": {"ports": [{"port": 443}]}});
    server.create("services", service).await.unwrap();
    for port in ports {
        seed(server, slice(&format!("hook-{port}"), *port, true)).await;
    }
    server.registry.catch_up().await.unwrap();
}

/// A slice on loopback is nothing that a client may write.
async fn seed(server: &Server, slice: Value) {
    server.registry.seed(&server.row("endpointslices"), &slice).await;
}

pub(crate) fn slice(name: &str, port: u16, ready: bool) -> Value {
    json!({"metadata": {"name": name, "namespace": "a", "labels": {"kubernetes.io/service-name": "hook"}}, "addressType": "IPv4",
        "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": ready}}],
        "ports": [{"name": "", "port": port}]})
}

pub(crate) fn hook_place(path: &str) -> Place {
    Place::Service { namespace: "a".into(), name: "hook".into(), path: path.into(), port: 443 }
}

#[tokio::test]
async fn a_url_is_called_on_one_connection() {
    let (ca, server) = (Ca::new("ca"), server().await);
    let hook = Hook::serve(&ca, "127.0.0.1", echo).await;
    let access = Access::new(hook.url("/check"), ca.pem.as_bytes());
    let target = server.registry.webhooks().target(&access).unwrap();
    let first = call(&target).await.unwrap();
    assert_eq!(first["line"], "POST /check?timeout=10s");
    assert_eq!(first["type"], "application/json");
    assert_eq!(first["authorization"], Value::Null);
    // On this machine HTTP/2 is spoken.
    assert_eq!(first["version"], "HTTP/2.0");
    let again = server.registry.webhooks().target(&access).unwrap();
    assert!(Arc::ptr_eq(&target, &again), "equal access shares connections");
    assert_eq!(call(&again).await.unwrap()["peer"], first["peer"]);
    assert_eq!(hook.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_service_is_called_at_its_ready_endpoints() {
    let (ca, server) = (Ca::new("ca"), server().await);
    let hooks = [Hook::serve(&ca, "hook.a.svc", echo).await, Hook::serve(&ca, "hook.a.svc", echo).await];
    let ports = hooks.each_ref().map(|hook| hook.address.port());
    let access = Access::new(hook_place("path"), ca.pem.as_bytes());
    let target = server.registry.webhooks().target(&access).unwrap();
    let post = "Post \"https://hook.a.svc:443/path?timeout=10s\": ";
    assert_eq!(call(&target).await.unwrap_err(), format!("{post}service \"hook\" not found"));
    service(&server, &[]).await;
    assert_eq!(call(&target).await.unwrap_err(), format!("{post}no endpoints available for service \"hook\""));
    seed(&server, slice("one", ports[0], true)).await;
    seed(&server, slice("two", ports[1], true)).await;
    seed(&server, slice("three", 1, false)).await;
    server.registry.catch_up().await.unwrap();
    for _ in 0..64 {
        let said = call(&target).await.unwrap();
        assert_eq!((&said["host"], &said["version"]), (&"hook.a.svc:443".into(), &"HTTP/1.1".into()));
    }
    // Both are asked, each on a connection that is kept.
    assert!(hooks.iter().all(|hook| hook.connections.load(Ordering::SeqCst) == 1));
    server.delete("endpointslices/one", api::DeleteOptions::default()).await.unwrap();
    server.registry.catch_up().await.unwrap();
    let left = hooks[1].address.port();
    assert_eq!(*target.authority().unwrap(), format!("127.0.0.1:{left}"), "endpoints that are gone are not asked");
    let other = Place::Service { namespace: "a".into(), name: "hook".into(), path: String::new(), port: 8443 };
    let other = server.registry.webhooks().target(&Access::new(other, ca.pem.as_bytes())).unwrap();
    assert!(call(&other).await.unwrap_err().ends_with(": no service port 8443 found for service \"hook\""));
}

#[tokio::test]
async fn what_is_no_answer_is_told_in_gos_words() {
    let (ca, stranger, server) = (Ca::new("ca"), Ca::new("stranger"), server().await);
    let hook = Hook::serve(&ca, "127.0.0.1", |asked: Asked| async move {
        match &*asked.line {
            "POST /late?timeout=1s" => std::future::pending().await,
            "POST /refused?timeout=10s" => {
                let status = Status::forbidden("", "pods", "x", "I say so");
                let mut answer = answer(&serde_json::to_value(status).unwrap());
                *answer.status_mut() = StatusCode::FORBIDDEN;
                answer
            }
            "POST /broken?timeout=10s" => {
                Response::builder().status(500).header("content-type", "text/plain").body(Full::from("oh\n")).unwrap()
            }
            "POST /long?timeout=10s" => Response::new(Full::from(vec![b' '; ANSWER_MAX + 100])),
            line => panic!("{line}"),
        }
    })
    .await;
    let client = server.registry.webhooks();
    let target = |path: &str, ca: &Ca| client.target(&Access::new(hook.url(path), ca.pem.as_bytes())).unwrap();
    let at = format!("https://{}", hook.address);
    let late = target("/late", &ca).post(Bytes::new(), Duration::from_millis(900)).await.unwrap_err();
    assert_eq!(late.to_string(), format!("Post \"{at}/late?timeout=1s\": context deadline exceeded"));
    for (path, ca, expect, transient) in [
        ("/refused", &ca, "pods \"x\" is forbidden: I say so".to_owned(), false),
        ("/broken", &ca, "an error on the server (\"oh\") has prevented the request from succeeding".to_owned(), true),
        ("/long", &ca, format!("Post \"{at}/long?timeout=10s\": the answer is longer than 3145728 bytes"), false),
        (
            "/x",
            &stranger,
            format!(
                "Post \"{at}/x?timeout=10s\": tls: failed to verify certificate: x509: certificate signed by unknown authority"
            ),
            false,
        ),
    ] {
        let error = target(path, ca).post(Bytes::new(), Duration::from_secs(10)).await.unwrap_err();
        assert_eq!((error.to_string(), error.is_transient()), (expect, transient), "{path}");
    }
    let address = hook.address;
    drop(hook);
    let gone = Place::Url(format!("https://{address}/").parse().unwrap());
    let gone = client.target(&Access::new(gone, ca.pem.as_bytes())).unwrap();
    let began = std::time::Instant::now();
    loop {
        let error = call(&gone).await.unwrap_err();
        if error == format!("Post \"https://{address}/?timeout=10s\": dial tcp {address}: connect: connection refused")
        {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{error}");
    }
}

#[tokio::test]
async fn certificates_have_to_be_for_the_service() {
    let (ca, server) = (Ca::new("ca"), server().await);
    let hook = Hook::serve(&ca, "other.a.svc", echo).await;
    service(&server, &[hook.address.port()]).await;
    let target = server.registry.webhooks().target(&Access::new(hook_place(""), ca.pem.as_bytes())).unwrap();
    assert_eq!(
        call(&target).await.unwrap_err(),
        "Post \"https://hook.a.svc:443/?timeout=10s\": tls: failed to verify certificate: x509: certificate is valid for \
         other.a.svc, not hook.a.svc"
    );
}

#[tokio::test]
async fn a_certificate_may_be_its_own_authority() {
    let server = server().await;
    for ca in [true, false] {
        let mut params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        if ca {
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        }
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let hook = Hook::with(&pem, &key.serialize_pem(), echo).await;
        let target = server.registry.webhooks().target(&Access::new(hook.url("/"), pem.as_bytes())).unwrap();
        call(&target).await.unwrap();
    }
}

#[test]
fn a_bundle_without_certificates_is_refused() {
    let why = trust::client_config(Trust::Bundle(b"nothing"), None).unwrap_err();
    assert_eq!(why.to_string(), "unable to load root certificates: unable to parse bytes as PEM block");
}

#[tokio::test]
async fn kubeconfigs_describe_webhooks() {
    let (ca, server) = (Ca::new("ca"), server().await);
    let hook = Hook::serve(&ca, "other.name", echo).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), &ca.pem).unwrap();
    std::fs::write(folder.path().join("token"), "from-a-file\n").unwrap();
    let config = |user: &str| {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n\
             clusters: [{{name: k, cluster: {{server: 'https://{}/authn', certificate-authority: ca.pem, \
             tls-server-name: other.name}}}}]\nusers: [{{name: u, user: {{{user}}}}}]\n",
            hook.address
        )
    };
    let access = |user: &str| Access::from_kubeconfig(&config(user), folder.path());
    let expected: BTreeMap<&str, Value> = BTreeMap::from([
        ("", Value::Null),
        ("token: t", "Bearer t".into()),
        ("tokenFile: token", "Bearer from-a-file".into()),
        ("username: u, password: p", "Basic dTpw".into()),
    ]);
    for (user, expect) in expected {
        let target = server.registry.webhooks().target(&access(user).unwrap()).unwrap();
        let said = call(&target).await.unwrap();
        assert_eq!((&said["authorization"], &said["line"]), (&expect, &"POST /authn?timeout=10s".into()));
    }
    assert_eq!(
        access("exec: {command: x}").unwrap_err().to_string(),
        "exec in the kubeconfig of a webhook is not supported"
    );
    let shown = format!("{:?}", access("token: secret").unwrap());
    assert!(!shown.contains("secret"), "{shown}");
    assert_eq!(access("token: t").unwrap().authorization.clone().header().await.unwrap().unwrap(), "Bearer t");
    assert!(matches!(access("tokenFile: token").unwrap().authorization, Authorization::BearerFile(_)));
}

#[test]
fn durations_are_gos() {
    let said = [1, 1000, 1001, 30_000, 60_000, 90_500].map(|ms| seconds(Duration::from_millis(ms)));
    assert_eq!(said, ["1s", "1s", "2s", "30s", "1m0s", "1m31s"]);
}
