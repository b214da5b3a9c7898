use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use api::{DeleteOptions, ListOptions, Patch, Propagation, User, WatchOptions, WriteOptions};
use bytes::Bytes;
use futures::channel::mpsc;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::*;
use crate::{Client, kinds};

fn request(resource: Arc<Resource>, namespace: &str, name: &str, subresource: &str, operation: Operation) -> Request {
    let (namespace, name, subresource) = (namespace.into(), name.into(), subresource.into());
    Request { user: Arc::new(User::default()), resource, namespace, name, subresource, operation }
}

#[tokio::test]
async fn requests_become_paths_queries_and_bodies() {
    async fn check(request: Request, line: &str, body: Value) {
        let http = path::http_request(&request).unwrap();
        assert_eq!(format!("{} {}", http.method(), http.uri()), line);
        let sent = http.into_body();
        let sent = if sent.is_empty() { Value::Null } else { serde_json::from_slice(&sent).unwrap() };
        assert_eq!(sent, body);
    }
    let (pods, nodes, sets) = (kinds::pods, kinds::nodes, kinds::replica_sets);
    let get = || Operation::Get { resource_version: None };
    check(request(nodes(), "", "n1", "", get()), "GET /api/v1/nodes/n1", Value::Null).await;
    let role = request(kinds::cluster_roles(), "", "system:a/b", "", get());
    check(role, "GET /apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Aa%2Fb", Value::Null).await;
    let list = ListOptions { label_selector: "a in (b,c)".into(), limit: 5, ..ListOptions::default() };
    let line = "GET /apis/apps/v1/namespaces/x/replicasets?labelSelector=a%20in%20%28b%2Cc%29&limit=5";
    check(request(sets(), "x", "", "", Operation::List(list)), line, Value::Null).await;
    let watch = WatchOptions {
        list: ListOptions {
            resource_version: Some("7".into()),
            field_selector: "spec.nodeName=n".into(),
            ..Default::default()
        },
        bookmarks: true,
        initial_events: None,
        timeout_seconds: Some(300),
    };
    let line = "GET /api/v1/pods?watch=1&fieldSelector=spec.nodeName%3Dn&resourceVersion=7&allowWatchBookmarks=true&timeoutSeconds=300";
    check(request(pods(), "", "", "", Operation::Watch(watch)), line, Value::Null).await;
    let options = || WriteOptions { field_manager: "m".into(), ..WriteOptions::default() };
    let body = json!({ "metadata": { "name": "p" } });
    let create = Operation::Create(body.clone(), options());
    check(request(pods(), "x", "p", "", create.clone()), "POST /api/v1/namespaces/x/pods?fieldManager=m", body.clone())
        .await;
    let line = "POST /api/v1/namespaces/x/pods/p/binding?fieldManager=m";
    check(request(pods(), "x", "p", "binding", create), line, body.clone()).await;
    let apply = WriteOptions { force: true, dry_run: true, ..options() };
    let line = "PATCH /api/v1/namespaces/x/pods/p/status?dryRun=All&fieldManager=m&force=true";
    check(request(pods(), "x", "p", "status", Operation::Patch(Patch::Apply(body.clone()), apply)), line, body).await;
    let delete = DeleteOptions {
        grace_period_seconds: Some(0),
        propagation: Some(Propagation::Foreground),
        uid: Some("u".into()),
        ..DeleteOptions::default()
    };
    let body = json!({
        "kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0, "propagationPolicy": "Foreground",
        "preconditions": { "uid": "u" },
    });
    check(request(pods(), "x", "p", "", Operation::Delete(delete)), "DELETE /api/v1/namespaces/x/pods/p", body).await;
}

/// What the server on loopback answers to the next request.
enum Answer {
    Json(u16, Value),
    /// A watch: the lines that come through the channel; it ends when the sender is dropped.
    Lines(mpsc::UnboundedReceiver<String>),
}

/// An HTTPS server that answers from a script, asks clients for a certificate, and notes what it was asked.
#[derive(Default)]
struct Script {
    answers: Mutex<VecDeque<Answer>>,
    asked: Mutex<Vec<String>>,
    moved: Notify,
}

impl Script {
    fn push(&self, answer: Answer) {
        self.answers.lock().push_back(answer);
        self.moved.notify_one();
    }

    fn watch(&self) -> mpsc::UnboundedSender<String> {
        let (lines, receiver) = mpsc::unbounded();
        self.push(Answer::Lines(receiver));
        lines
    }

    async fn answer(&self, line: String) -> http::Response<StreamBody<Stream>> {
        self.asked.lock().push(line);
        let answer = loop {
            let next = self.answers.lock().pop_front();
            match next {
                Some(answer) => break answer,
                None => self.moved.notified().await,
            }
        };
        let (code, lines): (u16, Stream) = match answer {
            Answer::Json(code, body) => (code, Box::pin(futures::stream::iter([frame(body.to_string())]))),
            Answer::Lines(lines) => (200, Box::pin(futures::StreamExt::map(lines, frame))),
        };
        http::Response::builder().status(code).body(StreamBody::new(lines)).unwrap()
    }
}

type Stream = std::pin::Pin<Box<dyn futures::Stream<Item = Result<Frame<Bytes>, Infallible>> + Send>>;

fn frame(text: String) -> Result<Frame<Bytes>, Infallible> {
    Ok(Frame::data(Bytes::from(text + "\n")))
}

struct Server {
    script: Arc<Script>,
    url: String,
    ca: String,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new([]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca = params.self_signed(&key).unwrap();
        let issuer = rcgen::Issuer::new(params, key);
        let key = rcgen::KeyPair::generate().unwrap();
        let cert = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(ca.der().clone()).unwrap();
        let clients = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let mut tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(clients.build().unwrap())
            .with_single_cert(
                vec![cert.der().clone()],
                rustls_pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .unwrap();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let script = Arc::new(Script::default());
        let task = tokio::spawn(serve(listener, tokio_rustls::TlsAcceptor::from(Arc::new(tls)), script.clone()));
        Self { script, url, ca: ca.pem(), issuer, task }
    }

    /// A certificate and its key, PEM.
    fn identity(&self) -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let cert = rcgen::CertificateParams::new([]).unwrap().signed_by(&key, &self.issuer).unwrap();
        (cert.pem(), key.serialize_pem())
    }

    fn connect(&self) -> Https {
        let (cert, key) = self.identity();
        Https::new(&self.url, self.ca.as_bytes(), cert.as_bytes(), key.as_bytes()).unwrap()
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.script.asked.lock())
    }
}

async fn serve(listener: TcpListener, tls: tokio_rustls::TlsAcceptor, script: Arc<Script>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (tcp, _) = listener.accept().await.unwrap();
        let (tls, script) = (tls.clone(), script.clone());
        connections.spawn(async move {
            let Ok(stream) = tls.accept(tcp).await else { return };
            let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let script = script.clone();
                async move {
                    let line = format!("{} {} {:?}", request.method(), request.uri().path(), request.version());
                    let query = request.uri().query().unwrap_or_default().to_owned();
                    let _ = request.into_body().collect().await;
                    Ok::<_, Infallible>(script.answer(format!("{line} {query}")).await)
                }
            });
            let http = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn pod(name: &str, version: u64) -> Value {
    json!({ "kind": "Pod", "apiVersion": "v1", "metadata": { "namespace": "a", "name": name, "resourceVersion": version.to_string() } })
}

fn page(pods: &[Value], version: u64, next: &str) -> Answer {
    let metadata = json!({ "resourceVersion": version.to_string(), "continue": next });
    Answer::Json(200, json!({ "kind": "PodList", "apiVersion": "v1", "metadata": metadata, "items": pods }))
}

fn event(kind: &str, object: Value) -> String {
    json!({ "type": kind, "object": object }).to_string()
}

fn names(cache: &Cache) -> Vec<String> {
    cache.list("").iter().map(|pod| pod.meta.name.to_string()).collect()
}

#[tokio::test]
async fn objects_and_failures_come_back_over_http2() {
    let server = Server::start().await;
    let client = Client::new(Arc::new(server.connect()), User::default());
    server.script.push(Answer::Json(200, pod("p", 5)));
    let got = client.get(&kinds::pods(), "a", "p").await.unwrap();
    assert_eq!((&*got.meta.name, got.meta.resource_version), ("p", 5));
    assert_eq!(server.asked(), ["GET /api/v1/namespaces/a/pods/p HTTP/2.0 "]);
    let stale = Status::stale("", "pods", "p");
    server.script.push(Answer::Json(409, serde_json::to_value(&stale).unwrap()));
    let patch = Patch::Merge(json!({}));
    assert_eq!(client.patch(&kinds::pods(), "a", "p", "", patch).await.unwrap_err(), stale);
    server.script.push(Answer::Json(502, json!("a proxy's words")));
    let status = client.get(&kinds::pods(), "a", "p").await.unwrap_err();
    assert_eq!((status.code, &*status.reason), (502, "Unknown"));
}

#[tokio::test]
async fn an_unreachable_server_is_a_503_that_says_so() {
    let server = Server::start().await;
    let (cert, key) = server.identity();
    let https = Https::new("https://127.0.0.1:1", server.ca.as_bytes(), cert.as_bytes(), key.as_bytes()).unwrap();
    let status = Client::new(Arc::new(https), User::default()).get(&kinds::pods(), "a", "p").await.unwrap_err();
    assert_eq!(status.code, 503);
    assert!(status.message.starts_with("cannot reach the API server at https://127.0.0.1:1: "), "{status}");
    assert!(status.message.contains("refused"), "{status}");
}

#[tokio::test]
async fn another_identity_takes_over() {
    let (server, other) = (Server::start().await, Server::start().await);
    let (cert, key) = other.identity();
    let https = Https::new(&server.url, server.ca.as_bytes(), cert.as_bytes(), key.as_bytes()).unwrap();
    let client = Client::new(Arc::new(https.clone()), User::default());
    assert_eq!(
        client.get(&kinds::pods(), "a", "p").await.unwrap_err().code,
        503,
        "the server does not know the issuer"
    );
    let (cert, key) = server.identity();
    https.replace_identity(cert.as_bytes(), key.as_bytes()).unwrap();
    server.script.push(Answer::Json(200, pod("p", 5)));
    client.get(&kinds::pods(), "a", "p").await.unwrap();
    assert!(https.replace_identity(b"nonsense", b"nonsense").is_err());
}

#[tokio::test]
async fn a_reflector_lists_in_pages_resumes_and_lists_again() {
    let server = Server::start().await;
    let https = server.connect();
    server.script.push(page(&[pod("one", 3)], 7, "next"));
    server.script.push(page(&[pod("two", 4)], 7, ""));
    let watch = server.script.watch();
    let cache = https.cache_selected(&kinds::pods(), "a", "spec.nodeName=n", "");
    cache.synced().await;
    assert_eq!(names(&cache), ["one", "two"]);
    watch.unbounded_send(event("ADDED", pod("three", 8))).unwrap();
    watch.unbounded_send(event("DELETED", pod("one", 9))).unwrap();
    watch.unbounded_send(event("BOOKMARK", json!({ "kind": "Pod", "metadata": { "resourceVersion": "12" } }))).unwrap();
    cache.wait_for(12).await;
    assert_eq!(names(&cache), ["three", "two"]);

    // The stream ends: it goes on from where it was.
    let resumed = server.script.watch();
    drop(watch);
    resumed.unbounded_send(event("MODIFIED", pod("two", 13))).unwrap();
    cache.wait_for(13).await;
    // History is lost: it lists again, and readers see the difference.
    let (_, mut changes) = cache.subscribe();
    server.script.push(page(&[pod("four", 20)], 21, ""));
    let last = server.script.watch();
    resumed.unbounded_send(event("ERROR", serde_json::to_value(Status::expired("too old")).unwrap())).unwrap();
    cache.wait_for(21).await;
    assert_eq!(names(&cache), ["four"]);
    assert_eq!(changes.next().await.unwrap().len(), 3);

    last.unbounded_send(event("ADDED", pod("five", 22))).unwrap();
    cache.wait_for(22).await;
    let versions =
        |line: &String| line.split(['?', '&', ' ']).find(|part| part.starts_with("resourceVersion")).map(str::to_owned);
    let asked = server.asked();
    let watches: Vec<_> = asked.iter().filter(|line| line.contains("watch=1")).map(versions).collect();
    assert_eq!(watches, ["7", "12", "21"].map(|v| Some(format!("resourceVersion={v}"))));
    assert!(asked.iter().all(|line| line.contains("fieldSelector=spec.nodeName%3Dn")));
    assert!(asked[1].contains("continue=next"));
}

#[tokio::test]
async fn a_selection_is_shared_and_stops_with_its_last_reader() {
    let server = Server::start().await;
    let https = server.connect();
    server.script.push(page(&[], 7, ""));
    let watch = server.script.watch();
    let cache = https.cache_selected(&kinds::pods(), "a", "metadata.name=x", "");
    let again = https.cache_selected(&kinds::pods(), "a", "metadata.name=x", "");
    assert!(Arc::ptr_eq(&cache, &again));
    cache.synced().await;
    while !server.script.asked.lock().iter().any(|line| line.contains("watch=1")) {
        tokio::task::yield_now().await;
    }
    drop((cache, again));
    // The server sees the watch end: its stream is dropped, and with it the channel.
    while !watch.is_closed() {
        tokio::task::yield_now().await;
    }
}
