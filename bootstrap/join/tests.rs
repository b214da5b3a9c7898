//! The join over TLS on loopback: the server's router, the node's side, and an API server in memory behind both.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use api::{DeleteOptions, User};
use axum::Extension;
use axum::http::{Method, StatusCode, Uri};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use client::kinds;
use client::testing::Cluster;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::agent::{Membership, fetch_ca, join, keep, kept, prepare, renew, send, trust};
use super::server::Joins;
use super::{CA_PATH, ClusterSettings, JOIN_PATH, JoinRequest, claims};
use crate::certificates::Names;
use crate::pki::{self, Authority, Leaf, Pair};
use crate::token::{Token, TokenFile};
use crate::{Error, Result};

const YEAR: Duration = Duration::from_secs(365 * 86_400);

struct Server {
    cluster: Cluster,
    joins: Arc<Joins>,
    address: SocketAddr,
    serving: JoinHandle<()>,
    dir: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Server {
    async fn start() -> Self {
        Self::naming(&["127.0.0.1"], SystemTime::now()).await
    }

    /// A server whose certificate names these addresses and was made at `born`.
    async fn naming(addresses: &[&str], born: SystemTime) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ca = Arc::new(Authority::ensure(dir.path(), "ca", "test-ca").unwrap());
        let cluster = Cluster::new();
        let settings = ClusterSettings {
            cluster_cidr: "10.42.0.0/16".into(),
            service_cidr: "10.43.0.0/16".into(),
            cluster_dns: "10.43.0.10".parse().unwrap(),
            cluster_domain: "cluster.local".into(),
            flannel_backend: "vxlan".into(),
            dns: true,
            kube_proxy: true,
        };
        let token = TokenFile::ensure(&dir.path().join("token"), "server", ca.cert(), Some("right")).unwrap();
        let names = Names {
            node_name: "s1".into(),
            addresses: vec!["198.51.100.1".parse().unwrap()],
            extra: vec!["api.example.com".into()],
            cluster_domain: "cluster.local".into(),
        };
        let joins = Arc::new(Joins { ca: ca.clone(), token, names, cluster: settings, client: cluster.client() });
        let addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
        let shown = ca.issue(&Leaf::server("kube-apiserver", "", Vec::new(), addresses), born).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(serve(listener, tls(&ca, &shown), joins.clone()));
        Self { cluster, joins, address, serving, dir }
    }

    fn url(&self) -> Uri {
        format!("https://{}", self.address).parse().unwrap()
    }

    /// The token with a hash.
    fn token(&self) -> Token {
        self.joins.token.token().unwrap()
    }

    async fn join(&self, token: &str, dir: &TempDir, name: &str) -> Result<Membership> {
        let token = Token::parse(token).unwrap();
        join(&self.url(), &token, dir.path(), name, &["192.0.2.7".parse().unwrap()]).await
    }

    fn bootstrap_token(&self, id: &str, kind: &str, data: &[(&str, &str)]) {
        let data: Value = data.iter().map(|(key, value)| ((*key).to_owned(), json!(STANDARD.encode(value)))).collect();
        let name = format!("bootstrap-token-{id}");
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "type": kind, "data": data,
            "metadata": {"name": name, "namespace": "kube-system"}});
        self.cluster.seed(&kinds::secrets(), secret);
    }

    async fn delete_secret(&self, name: &str) {
        let options = DeleteOptions::default();
        self.cluster.client().delete(&kinds::secrets(), "kube-system", name, options).await.unwrap();
    }

    /// One raw request to the join.
    async fn post(&self, bearer: Option<&str>, body: impl Into<Vec<u8>>) -> (StatusCode, String) {
        let tls = trust(self.joins.ca.cert(), None).unwrap();
        let (status, body) = send(&self.url(), tls, Method::POST, JOIN_PATH, bearer, body.into()).await.unwrap();
        (status, String::from_utf8(body).unwrap())
    }
}

/// As the API server does: a certificate is asked for, and its user told to the routes.
async fn serve(listener: TcpListener, tls: TlsAcceptor, joins: Arc<Joins>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, router) = (tls.clone(), joins.clone().router());
        tokio::spawn(async move {
            let Ok(stream) = tls.accept(stream).await else { return };
            let user = stream.get_ref().1.peer_certificates().and_then(|chain| user(&chain[0]));
            let router = match user {
                Some(user) => router.layer(Extension(Arc::new(user))),
                None => router,
            };
            let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            // A client that goes away is none of the test's business.
            let _ = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).await;
        });
    }
}

fn tls(ca: &Authority, shown: &Pair) -> TlsAcceptor {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.cert().as_bytes()).unwrap()).unwrap();
    let clients = WebPkiClientVerifier::builder(Arc::new(roots)).allow_unauthenticated().build().unwrap();
    let chain = vec![CertificateDer::from_pem_slice(shown.cert.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(shown.key.as_bytes()).unwrap();
    let config = rustls::ServerConfig::builder().with_client_cert_verifier(clients).with_single_cert(chain, key);
    TlsAcceptor::from(Arc::new(config.unwrap()))
}

fn user(certificate: &CertificateDer<'_>) -> Option<User> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let name = certificate.subject().iter_common_name().next()?.as_str().ok()?.to_owned();
    let groups = certificate.subject().iter_organization().filter_map(|o| o.as_str().ok());
    Some(User::new(name, groups))
}

fn dir() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// The words of a refusal that no waiting helps.
fn refusal(outcome: Result<Membership>) -> String {
    match outcome {
        Err(error @ (Error::Refused { .. } | Error::OtherCa { .. })) => {
            assert!(!error.may_pass(), "{error}");
            error.to_string()
        }
        Err(other) => panic!("not a refusal: {other:?}"),
        Ok(_) => panic!("joined"),
    }
}

#[tokio::test]
async fn whoever_has_a_valid_token_joins() {
    let server = Server::start().await;
    let kind = "bootstrap.kubernetes.io/token";
    let (usage, yes) = ("usage-bootstrap-authentication", "true");
    let (past, future) = ("2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z");
    server.bootstrap_token("aaaaaa", kind, &[("token-secret", "s"), (usage, yes), ("expiration", future)]);
    server.bootstrap_token("bbbbbb", kind, &[("token-secret", "s"), (usage, yes), ("expiration", past)]);
    server.bootstrap_token("cccccc", kind, &[("token-secret", "s"), (usage, yes)]);
    server.bootstrap_token("dddddd", kind, &[("token-secret", "s")]);
    server.bootstrap_token("eeeeee", "Opaque", &[("token-secret", "s"), (usage, yes)]);
    server.bootstrap_token("ffffff", kind, &[("token-secret", "s"), (usage, yes), ("expiration", "soon")]);
    let hash = server.token().ca_hash.unwrap();
    let check = async |token: &str, expect: Option<&str>| {
        let dir = dir();
        let name = format!("n{}", pki::hash(token));
        let outcome = server.join(token, &dir, &name[..20]).await;
        match expect {
            None => assert!(outcome.unwrap().is_of(&name[..20]), "{token}"),
            Some(words) => {
                let said = refusal(outcome);
                assert!(said.contains(words), "{token}: {said}");
                assert!(kept(dir.path()).unwrap().is_none(), "{token}: nothing is kept of a failed join");
            }
        }
    };
    let invalid = Some("the token is not valid here");
    check(&server.token().render(), None).await;
    check("right", None).await;
    check("server:right", None).await;
    check("wrong", invalid).await;
    check("other:right", invalid).await;
    check(&format!("K10{hash}::server:wrong"), invalid).await;
    check(&format!("K10{}::server:right", "ab".repeat(32)), Some("is not the one the token was made for")).await;
    check(&format!("K10{hash}::aaaaaa.s"), None).await;
    check("aaaaaa.other", invalid).await;
    check("bbbbbb.s", invalid).await;
    check("cccccc.s", None).await;
    check("dddddd.s", invalid).await;
    check("eeeeee.s", invalid).await;
    check("ffffff.s", invalid).await;
    check("gggggg.s", invalid).await;
    server.delete_secret("bootstrap-token-aaaaaa").await;
    check("aaaaaa.s", invalid).await;
}

#[tokio::test]
async fn a_member_comes_back_without_its_token() {
    let server = Server::start().await;
    let yes = [("token-secret", "s"), ("usage-bootstrap-authentication", "true")];
    server.bootstrap_token("aaaaaa", "bootstrap.kubernetes.io/token", &yes);
    let dir = dir();
    let first = server.join("aaaaaa.s", &dir, "n1").await.unwrap();
    server.delete_secret("bootstrap-token-aaaaaa").await;

    let again = server.join("aaaaaa.s", &dir, "n1").await.unwrap();
    assert_ne!(first.client.cert, again.client.cert);
    assert_ne!(first.client.key, again.client.key, "keys are new, too");
    assert_eq!(kept(dir.path()).unwrap().unwrap().client.cert, again.client.cert);

    let renamed = refusal(server.join("aaaaaa.s", &dir, "n2").await);
    assert!(renamed.contains(r#"is that of node "n1", not of "n2""#), "{renamed}");

    // A certificate of the cluster that is no node's is no membership.
    let admin = server.joins.ca.issue(&Leaf::client("kubernetes-admin", "system:masters"), SystemTime::now()).unwrap();
    let pretender = Membership { client: admin, ..again.clone() };
    let addresses = ["192.0.2.7".parse().unwrap()];
    let token = Token::parse("aaaaaa.s").unwrap();
    let outcome = renew(&server.url(), &token, dir.path(), "n1", &addresses, &pretender).await;
    assert!(refusal(outcome).contains("the token is not valid here"));
}

#[tokio::test]
async fn a_node_renews_before_its_certificates_expire() {
    let server = Server::start().await;
    let (dir, now) = (dir(), SystemTime::now());
    let addresses = ["192.0.2.7".parse().unwrap()];
    let (request, keys) = prepare(dir.path(), "n1", &addresses).unwrap();
    let born = now - Duration::from_secs(300 * 86_400);
    let ca = server.joins.ca.cert().to_owned();
    let old = keep(dir.path(), ca, keys, server.joins.issue(&request, born).unwrap()).unwrap();
    let check = |at: SystemTime, expect| assert_eq!(old.is_due(at), expect, "{at:?}");
    check(born, false);
    check(born + YEAR - pki::RENEW_BEFORE - Duration::from_secs(60), false);
    check(born + YEAR - pki::RENEW_BEFORE + Duration::from_secs(60), true);
    check(now, true);
    check(now + YEAR, true);

    let gone = Token::parse("gone").unwrap();
    let new = renew(&server.url(), &gone, dir.path(), "n1", &addresses, &old).await.unwrap();
    assert!(!new.is_due(now) && new.client.belongs_together() && new.serving.belongs_together());
    assert_eq!(kept(dir.path()).unwrap().unwrap().client.cert, new.client.cert);
}

#[tokio::test]
async fn a_name_belongs_to_whom_it_was_given_first() {
    let server = Server::start().await;
    let (a, b) = (dir(), dir());
    server.join("right", &a, "n1").await.unwrap();
    server.join("right", &a, "n1").await.unwrap();
    let taken = refusal(server.join("right", &b, "n1").await);
    assert!(taken.contains("delete secret n1.node-password.isopod"), "{taken}");

    server.delete_secret("n1.node-password.isopod").await;
    server.join("right", &b, "n1").await.unwrap();
    refusal(server.join("right", &a, "n1").await);

    // The machine may have another name, with the same data directory.
    let renamed = server.join("right", &a, "n2").await.unwrap();
    assert!(renamed.is_of("n2") && kept(a.path()).unwrap().unwrap().is_of("n2"));
}

#[tokio::test]
async fn an_address_belongs_to_the_node_that_has_it_or_asks_from_it() {
    let server = Server::start().await;
    let node = |name: &str, address: &str| {
        let addresses = json!([{"type": "Hostname", "address": name}, {"type": "InternalIP", "address": address}]);
        server.cluster.seed(&kinds::nodes(), json!({"metadata": {"name": name}, "status": {"addresses": addresses}}));
    };
    node("n1", "192.0.2.7");
    // Its own.
    server.join("right", &dir(), "n1").await.unwrap();
    let taken = refusal(server.join("right", &dir(), "n2").await);
    assert!(taken.contains(r#"192.0.2.7 is that of node "n1""#) && taken.contains("kubectl delete node n1"), "{taken}");
    let secrets = server.cluster.keys(&kinds::secrets());
    assert_eq!(secrets, ["kube-system/n1.node-password.isopod"], "who is refused takes no name");
    // A machine that was given the address since, and asks from it.
    let (request, _) = prepare(dir().path(), "n2", &["192.0.2.7".parse().unwrap()]).unwrap();
    let request = JoinRequest { node_name: "n2".into(), ..request };
    let of_another = |peer: &str| {
        let (request, peer) = (&request, peer.parse().unwrap());
        let client = server.cluster.client();
        async move { claims::of_another(request, Some(peer), &client).await.unwrap() }
    };
    assert!(of_another("192.0.2.8").await.is_some());
    assert!(of_another("192.0.2.7").await.is_none());
}

#[tokio::test]
async fn a_rotated_token_admits_and_the_old_one_does_not() {
    let server = Server::start().await;
    let old = server.token();
    let path = server.dir.path().join("token");
    let new = TokenFile::rotate(&path, "server", server.joins.ca.cert(), None).unwrap();
    assert_ne!(new.password, old.password);
    assert!(refusal(server.join(&old.render(), &dir(), "n1").await).contains("the token is not valid here"));
    server.join(&new.render(), &dir(), "n1").await.unwrap();
    std::fs::remove_file(path).unwrap();
    let error = server.join(&new.render(), &dir(), "n2").await.err().unwrap();
    assert!(error.may_pass() && error.to_string().contains("token cannot be read"), "{error}");
}

#[tokio::test]
async fn the_servers_own_name_is_its_own() {
    let server = Server::start().await;
    let clone = dir();
    server.join("right", &clone, "n1").await.unwrap();
    // The first attempt takes the name away, the second one has it.
    assert!(server.joins.claim("n1", "own").await.unwrap_err().may_pass());
    server.joins.claim("n1", "own").await.unwrap();
    server.joins.claim("n1", "own").await.unwrap();
    refusal(server.join("right", &clone, "n1").await);
}

#[tokio::test]
async fn what_is_no_request_is_refused() {
    let server = Server::start().await;
    let (request, _) = prepare(dir().path(), "n1", &[]).unwrap();
    let good = serde_json::to_value(&request).unwrap();
    let with = |field: &str, value: Value| {
        let mut request = good.clone();
        request[field] = value;
        request.to_string()
    };
    let check = async |bearer: Option<&str>, body: String, code: u16, words: &str| {
        let shown: String = body.chars().take(60).collect();
        let (status, said) = server.post(bearer, body).await;
        assert_eq!(status.as_u16(), code, "{shown}: {said}");
        assert!(said.contains(words), "{shown}: {said}");
    };
    let token = Some("server:right");
    check(token, String::new(), 400, "EOF").await;
    check(token, "{".into(), 400, "EOF").await;
    check(token, "[]".into(), 400, "").await;
    check(token, "[".repeat(50_000), 400, "").await;
    check(token, with("more", json!(1)), 400, "unknown field `more`").await;
    check(token, with("addresses", json!(["nowhere"])), 400, "invalid IP address").await;
    check(token, with("clientRequest", json!("nothing")), 400, "a certificate request cannot be read").await;
    for name in ["", "Bad_Name", "-n", "a..b", "n/../m", &"n".repeat(254)] {
        check(token, with("nodeName", json!(name)), 400, "is no node name").await;
    }
    for name in ["kubernetes", "kubernetes.default", "web.shop.svc", "localhost", "api.example.com"] {
        check(token, with("nodeName", json!(name)), 400, "cannot be a node's").await;
    }
    for address in ["10.43.0.1", "10.42.3.4", "198.51.100.1", "127.0.0.1", "0.0.0.0", "::1"] {
        check(token, with("addresses", json!([address])), 400, "cannot be a node's").await;
    }
    check(token, "x".repeat(65 << 10), 413, "").await;
    // Who may not join is not read.
    check(None, "{".into(), 401, "the token is not valid here").await;
    check(Some("wrong"), "{".into(), 401, "the token is not valid here").await;
    check(Some(""), "{".into(), 401, "the token is not valid here").await;
    assert_eq!(server.cluster.keys(&kinds::secrets()), Vec::<String>::new(), "and no name was given away");
    check(token, good.to_string(), 200, "BEGIN CERTIFICATE").await;
}

#[tokio::test]
async fn a_store_that_is_not_ready_is_worth_waiting_for() {
    let server = Server::start().await;
    let dir = dir();
    server.cluster.fail("create", "secrets", 1, api::Status::unavailable("the store is starting"));
    let error = server.join("right", &dir, "n1").await.err().unwrap();
    assert!(error.may_pass() && error.to_string().contains("the store is starting"), "{error}");
    server.join("right", &dir, "n1").await.unwrap();
}

#[tokio::test]
async fn a_server_that_cannot_be_trusted_is_told_apart() {
    let check = async |addresses: &[&str], born: SystemTime, words: &str| {
        let server = Server::naming(addresses, born).await;
        let error = server.join("right", &dir(), "n1").await.err().unwrap();
        assert!(error.may_pass() && error.to_string().contains(words), "{error}");
        assert!(!server.cluster.keys(&kinds::secrets()).contains(&"kube-system/n1.node-password.isopod".into()));
    };
    let now = SystemTime::now();
    check(&["192.0.2.1"], now, "start the server with --tls-san 127.0.0.1").await;
    check(&["127.0.0.1"], now - 2 * YEAR, "are both clocks right?").await;
    check(&["127.0.0.1"], now + YEAR, "are both clocks right?").await;
}

#[tokio::test]
async fn a_server_that_is_away_or_something_else_is_worth_waiting_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: Uri = format!("https://{}", listener.local_addr().unwrap()).parse().unwrap();
    let token = Token::parse("right").unwrap();
    let speaks_no_tls = tokio::spawn(async move {
        let (stream, _): (TcpStream, _) = listener.accept().await.unwrap();
        drop(stream);
    });
    let error = fetch_ca(&url, &token).await.unwrap_err();
    assert!(error.may_pass() && error.to_string().starts_with(&format!("cannot talk to {url}")), "{error}");
    speaks_no_tls.await.unwrap();
    let error = fetch_ca(&url, &token).await.unwrap_err();
    assert!(error.may_pass() && error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn anyone_may_read_the_ca() {
    let server = Server::start().await;
    let pem = fetch_ca(&server.url(), &server.token()).await.unwrap();
    assert_eq!(pem, server.joins.ca.cert());
    let tls = trust(&pem, None).unwrap();
    let (status, _) = send(&server.url(), tls, Method::POST, CA_PATH, None, Vec::new()).await.unwrap();
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
}

#[test]
fn what_is_kept_is_whole_or_nothing() {
    let dir = dir();
    let ca = Authority::ensure(dir.path(), "ca", "test-ca").unwrap();
    let (a, b) = (Leaf::client("system:node:n1", "system:nodes"), Leaf::server("n1", "", Vec::new(), Vec::new()));
    let now = SystemTime::now();
    let (client, serving, other) = (ca.issue(&a, now).unwrap(), ca.issue(&b, now).unwrap(), ca.issue(&a, now).unwrap());
    let file = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    let settings = r#"{"clusterCidr":"","serviceCidr":"","clusterDns":"10.43.0.10","clusterDomain":"","flannelBackend":"","dns":true,"kubeProxy":true}"#;
    let whole = [
        ("client-ca.crt", ca.cert()),
        ("client-kubelet.crt", &client.cert),
        ("client-kubelet.key", &client.key),
        ("serving-kubelet.crt", &serving.cert),
        ("serving-kubelet.key", &serving.key),
        ("cluster.json", settings),
    ];
    whole.iter().for_each(|(name, text)| file(name, text));
    assert!(kept(dir.path()).unwrap().unwrap().is_of("n1"));
    // Cut off in between: the key is new, the certificate is not yet.
    file("client-kubelet.key", &other.key);
    assert!(kept(dir.path()).unwrap().is_none());
    file("client-kubelet.key", &client.key);
    for (name, text) in whole {
        std::fs::remove_file(dir.path().join(name)).unwrap();
        assert!(kept(dir.path()).unwrap().is_none(), "{name}");
        file(name, text);
    }
    assert!(kept(dir.path()).unwrap().is_some());
}

#[tokio::test]
async fn a_node_that_was_deleted_meanwhile_may_be_installed_anew() {
    let server = Server::start().await;
    let password = |node: &str, since: &str| {
        let meta = json!({"name": format!("{node}.node-password.isopod"), "namespace": "kube-system",
            "creationTimestamp": since});
        server.cluster.seed(&kinds::secrets(), json!({"metadata": meta, "data": {"hash": ""}}));
    };
    password("gone", "2020-01-01T00:00:00Z");
    password("there", "2020-01-01T00:00:00Z");
    password("joining", &jiff::Timestamp::now().to_string());
    server.cluster.seed(&kinds::nodes(), json!({"metadata": {"name": "there"}}));
    let joins = server.joins.clone();
    let forgetting = tokio::spawn(async move { joins.forget_deleted_nodes().await });
    let gone = "kube-system/gone.node-password.isopod".to_owned();
    while server.cluster.keys(&kinds::secrets()).contains(&gone) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let left = ["kube-system/joining.node-password.isopod", "kube-system/there.node-password.isopod"];
    assert_eq!(server.cluster.keys(&kinds::secrets()), left);
    forgetting.abort();
}

#[tokio::test]
async fn a_deleted_node_may_be_installed_anew() {
    let server = Server::start().await;
    let secrets = || server.cluster.keys(&kinds::secrets());
    server.join("right", &dir(), "n1").await.unwrap();
    server.cluster.seed(&kinds::nodes(), json!({"metadata": {"name": "n1"}}));
    let joins = server.joins.clone();
    let forgetting = tokio::spawn(async move { joins.forget_deleted_nodes().await });
    refusal(server.join("right", &dir(), "n1").await);
    let client = server.cluster.client();
    // Until the task has looked for the first time, a deletion is none of its business: repeat it.
    while secrets().contains(&"kube-system/n1.node-password.isopod".to_owned()) {
        let _ = client.delete(&kinds::nodes(), "", "n1", Default::default()).await;
        server.cluster.seed(&kinds::nodes(), json!({"metadata": {"name": "n1"}}));
        let _ = client.delete(&kinds::nodes(), "", "n1", Default::default()).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.join("right", &dir(), "n1").await.unwrap();
    forgetting.abort();
}
