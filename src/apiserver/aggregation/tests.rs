//! An aggregated API server that the tests serve, behind this one.

mod hostile;
mod listed;
mod openapi;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::FrontProxyIdentity;
use crate::testing::{Ca, TestClient, TestServer};
use crate::tree::Tree;

const SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// TLS by which the extension proves itself, for those with a certificate of `clients`.
fn extension_tls(ca: &Ca, clients: &Ca) -> tokio_rustls::TlsAcceptor {
    let (chain, key) = ca.issue("extension", &[], &["extension.default.svc"]);
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(clients.pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier =
        rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_client_cert_verifier(verifier).with_single_cert(chain, key).unwrap()).into()
}

/// Serves `things` of `agg.example.com/v1`.
struct Extension {
    address: SocketAddr,
    /// How many connections it has had.
    connections: Arc<AtomicUsize>,
}

async fn extension(ca: &Ca, clients: &Ca, legacy: bool) -> Extension {
    let tls = extension_tls(ca, clients);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            let tls = tls.clone();
            tokio::spawn(async move {
                let Ok(stream) = tls.accept(stream).await else { return };
                let service = service_fn(move |request| answer(request, legacy));
                let server = hyper::server::conn::http1::Builder::new();
                drop(server.serve_connection(TokioIo::new(stream), service).with_upgrades().await);
            });
        }
    });
    Extension { address, connections }
}

async fn answer(
    mut request: Request<hyper::body::Incoming>,
    legacy: bool,
) -> Result<Response<Body>, std::convert::Infallible> {
    if request.headers().contains_key("upgrade") {
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut stream = TokioIo::new(upgrade.await.unwrap());
            let mut heard = [0; 4];
            stream.read_exact(&mut heard).await.unwrap();
            stream.write_all(&heard).await.unwrap();
        });
        let response = Response::builder().status(101).header("connection", "Upgrade").header("upgrade", "echo");
        return Ok(response.body(Body::empty()).unwrap());
    }
    let headers: Vec<(String, String)> =
        request.headers().iter().map(|(k, v)| (k.to_string(), v.to_str().unwrap().to_owned())).collect();
    let path = request.uri().path_and_query().unwrap().to_string();
    let json = |value: Value, kind: &str| {
        Response::builder().header("content-type", kind.to_owned()).body(Body::from(value.to_string())).unwrap()
    };
    let thing = json!({"name": "things", "singularName": "thing", "namespaced": true, "kind": "Thing", "verbs": ["get", "list"]});
    Ok(match &*path {
        "/apis" if !legacy => {
            let resource = json!({"resource": "things", "responseKind": {"group": "agg.example.com", "version": "v1", "kind": "Thing"},
                "scope": "Namespaced", "singularResource": "thing", "verbs": ["get", "list"]});
            let versions = json!([{"version": "v1", "resources": [resource], "freshness": "Current"}]);
            let items = json!([{"metadata": {"name": "agg.example.com"}, "versions": versions}]);
            json(
                json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "items": items}),
                AGGREGATED,
            )
        }
        "/apis/agg.example.com/v1" => json(
            json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "agg.example.com/v1", "resources":
                [thing, {"name": "things/status", "namespaced": true, "kind": "Thing", "verbs": ["get"]}]}),
            "application/json",
        ),
        "/openapi/v3" => {
            let url = json!({"serverRelativeURL": "/openapi/v3/apis/agg.example.com/v1?hash=ABC"});
            json(json!({"paths": {"apis/agg.example.com/v1": url, "apis": url}}), "application/json")
        }
        "/openapi/v2" => {
            let schema = json!({"schema": {"$ref": "#/definitions/com.example.agg.v1.Thing"}});
            let things = json!({"get": {"responses": {"200": schema}}});
            let paths = json!({"/apis/agg.example.com/v1/things": things, "/version/": {}});
            let part = json!({"$ref": "#/definitions/com.example.agg.v1.Part"});
            let thing = json!({"type": "object", "description": "a thing", "properties": {"part": part}});
            let part = json!({"properties": {"whole": {"$ref": "#/definitions/com.example.agg.v1.Thing"}}});
            let known = json!({"type": "object", "description": "another one"});
            let definitions = json!({"com.example.agg.v1.Thing": thing, "com.example.agg.v1.Part": part,
                "com.example.agg.v1.Unused": known, "io.k8s.api.core.v1.Pod": known});
            json(json!({"swagger": "2.0", "paths": paths, "definitions": definitions}), "application/json")
        }
        path if path.ends_with("/elsewhere") => {
            Response::builder().status(302).header("location", "https://example.com").body(Body::empty()).unwrap()
        }
        path if path.contains("watch=true") => {
            // The first event comes, and then nothing more does.
            let first =
                futures::stream::once(async { Ok::<_, std::io::Error>(Bytes::from_static(b"{\"type\":\"ADDED\"}\n")) });
            Response::new(Body::from_stream(first.chain(futures::stream::pending())))
        }
        path => {
            json(json!({"path": path, "method": request.method().as_str(), "headers": headers}), "application/json")
        }
    })
}

/// A server with a front proxy's certificate, and the CA that vouches for that.
async fn server() -> (TestServer, Ca) {
    let ca = Ca::new("front-proxy-ca");
    let (chain, key) = ca.issue("front-proxy-client", &[], &[]);
    let identity = Arc::new(FrontProxyIdentity::from_pem(&chain, &key).unwrap());
    let server = TestServer::with(|config| config.front_proxy_client = Some(identity)).await;
    (server, ca)
}

fn admin(server: &TestServer) -> TestClient {
    server.admin().with("content-type", "application/json")
}

async fn create(client: &TestClient, path: &str, body: Value) {
    let answer = client.send(&format!("POST {path}"), body.to_string()).await;
    assert_eq!(answer.code, 201, "{}", answer.text());
}

fn api_service(ca: &Ca) -> Value {
    use base64::Engine;
    let bundle = base64::engine::general_purpose::STANDARD.encode(&ca.pem);
    json!({"metadata": {"name": "v1.agg.example.com"}, "spec": {"group": "agg.example.com", "version": "v1",
        "groupPriorityMinimum": 2000, "versionPriority": 10, "caBundle": bundle,
        "service": {"namespace": "default", "name": "extension", "port": 443}}})
}

fn service(port: u16) -> Value {
    json!({"metadata": {"name": "extension"}, "spec": {"ports": [{"name": "https", "port": port}]}})
}

fn slice(name: &str, port: u16, ready: bool) -> Value {
    json!({"metadata": {"name": name, "namespace": "default", "labels": {"kubernetes.io/service-name": "extension"}}, "addressType": "IPv4",
        "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": ready}}], "ports": [{"name": "https", "port": port}]})
}

/// Endpoints on loopback, as no client may make them.
async fn seed(server: &TestServer, slice: Value) {
    let slices = api::resource::find("discovery.k8s.io", "v1", "endpointslices").unwrap();
    server.registry.seed(slices, &slice).await;
}

/// Waits until the condition's reason is the expected one; gives its status and message.
async fn reason(client: &TestClient, expected: &str) -> (String, String) {
    let began = std::time::Instant::now();
    loop {
        let object = client.get(&format!("{SERVICES}/v1.agg.example.com")).await.json();
        let condition = object["status"]["conditions"][0].clone();
        if condition.text("reason") == expected {
            return (condition.text("status").to_owned(), condition.text("message").to_owned());
        }
        assert!(began.elapsed().as_secs() < 30, "{condition} is not {expected}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The group's versions in aggregated discovery, once they are what is waited for.
async fn discovered(server: &TestServer, freshness: &str) -> Value {
    let client = server.admin().with("accept", AGGREGATED);
    let began = std::time::Instant::now();
    loop {
        let document = client.get("/apis").await.json();
        let group = document.items("items").iter().find(|g| g.text("metadata.name") == "agg.example.com").cloned();
        let version = group.unwrap_or_default()["versions"][0].clone();
        if version.text("freshness") == freshness {
            return version;
        }
        assert!(began.elapsed().as_secs() < 30, "{version}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn an_extension_is_reached_through_its_api_service() {
    let ((server, proxies), ca) = (server().await, Ca::new("extension-ca"));
    let (Extension { address, .. }, client) = (extension(&ca, &proxies, false).await, admin(&server));
    create(&client, "/api/v1/namespaces/default/services", service(443)).await;
    seed(&server, slice("one", address.port(), true)).await;
    create(&client, SERVICES, api_service(&ca)).await;
    assert_eq!(reason(&client, "Passed").await, ("True".into(), "all checks passed".into()));

    // The user is told in headers, and nothing that the client says of it itself.
    let asks = server
        .client("admin", &["system:masters"])
        .with("authorization", "Bearer x")
        .with("x-remote-user", "mallory")
        .with("x-remote-extra-a", "b");
    let told = asks.get("/apis/agg.example.com/v1/namespaces/default/things/x?a=b").await.json();
    assert_eq!(told["path"], "/apis/agg.example.com/v1/namespaces/default/things/x?a=b");
    let header = |name: &str| {
        let all = told["headers"].as_array().unwrap().iter().filter(|h| h[0] == name);
        all.map(|h| h[1].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(header("x-remote-user"), ["admin"]);
    assert_eq!(header("x-remote-group"), ["system:masters", "system:authenticated"]);
    assert!(header("authorization").is_empty() && header("x-remote-extra-a").is_empty());
    assert_eq!(header("x-forwarded-uri"), ["/apis/agg.example.com/v1/namespaces/default/things/x"]);
    assert_eq!(header("audit-id").len(), 1);

    // It reads what was decided about, and leads nobody elsewhere.
    let odd = client.get("/apis/agg.example.com/v1/things/a%2Fb?c=d%20e&b&a=1").await.json();
    assert_eq!(odd["path"], "/apis/agg.example.com/v1/things/a/b?a=1&b=&c=d+e");
    let elsewhere = client.get("/apis/agg.example.com/v1/things/elsewhere").await;
    assert_eq!(elsewhere.text(), "the backend attempted to redirect this request, which is not permitted");
    assert_eq!((elsewhere.code, elsewhere.headers.get("location")), (502, None));

    // Who may not ask is not passed on.
    let refused = server.client("bob", &[]).get("/apis/agg.example.com/v1/namespaces/default/things").await;
    assert_eq!(refused.code, 403, "{}", refused.text());

    // Discovery shows both of them, in either form, by priority.
    let version = discovered(&server, "Current").await;
    assert_eq!(version["resources"][0]["resource"], "things");
    let groups = client.get("/apis").await.json();
    let names: Vec<&str> = groups.items("groups").iter().map(|group| group.text("name")).collect();
    assert_eq!((names[0], *names.last().unwrap()), ("apiregistration.k8s.io", "agg.example.com"));
    assert_eq!(client.get("/apis/agg.example.com").await.json()["preferredVersion"]["version"], "v1");
    assert_eq!(client.get("/apis/agg.example.com/v1").await.json()["resources"][0]["kind"], "Thing");

    // So does OpenAPI.
    let index = client.get("/openapi/v3").await.json();
    let url = index["paths"]["apis/agg.example.com/v1"].text("serverRelativeURL");
    assert_eq!(url, "/openapi/v3/apis/agg.example.com/v1?hash=ABC");
    assert_eq!(client.get(url).await.json()["path"], url);
    let whole = client.get("/openapi/v2").await.json();
    assert_eq!(whole["definitions"]["com.example.agg.v1.Thing"]["description"], "a thing");
    assert!(whole["definitions"]["com.example.agg.v1.Part"].is_object());
    assert!(whole["definitions"]["com.example.agg.v1.Unused"].is_object());
    assert_ne!(whole["definitions"]["io.k8s.api.core.v1.Pod"]["description"], "another one");
    assert!(whole["paths"]["/apis/agg.example.com/v1/things"].is_object());

    // Watches and upgrades go through.
    let watch = client.open("GET /apis/agg.example.com/v1/things?watch=true", "").await;
    let first = watch.into_body().frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(&first[..], b"{\"type\":\"ADDED\"}\n");
    let upgrading = server.admin().with("connection", "Upgrade").with("upgrade", "echo");
    let mut answer = upgrading.open("GET /apis/agg.example.com/v1/namespaces/default/things/x/connect", "").await;
    assert_eq!(answer.status(), 101);
    let mut stream = TokioIo::new(hyper::upgrade::on(&mut answer).await.unwrap());
    stream.write_all(b"ping").await.unwrap();
    let mut heard = [0; 4];
    stream.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"ping");

    // Without its APIService it is gone.
    client.send(&format!("DELETE {SERVICES}/v1.agg.example.com"), "").await;
    server.api.registry().catch_up().await.unwrap();
    assert_eq!(client.get("/apis/agg.example.com/v1").await.code, 404);
}

#[tokio::test]
async fn connections_are_used_again() {
    let ((server, proxies), ca) = (server().await, Ca::new("extension-ca"));
    let (extension, client) = (extension(&ca, &proxies, false).await, admin(&server));
    create(&client, "/api/v1/namespaces/default/services", service(443)).await;
    seed(&server, slice("one", extension.address.port(), true)).await;
    create(&client, SERVICES, api_service(&ca)).await;
    discovered(&server, "Current").await;
    let things = "/apis/agg.example.com/v1/namespaces/default/things";
    assert_eq!(client.get(things).await.code, 200);
    let before = extension.connections.load(Ordering::Relaxed);
    for _ in 0..20 {
        assert_eq!(client.get(things).await.code, 200);
        let body = json!({"kind": "Thing"}).to_string();
        assert_eq!(client.send(&format!("POST {things}"), body).await.code, 200);
    }
    assert_eq!(extension.connections.load(Ordering::Relaxed), before);

    // However many watches there are, nobody waits for them.
    let mut watches = Vec::new();
    for _ in 0..120 {
        let mut watch = client.open(&format!("GET {things}?watch=true"), "").await.into_body();
        assert!(watch.frame().await.unwrap().is_ok());
        watches.push(watch);
    }
    assert_eq!(client.get(things).await.code, 200);
    assert_eq!(extension.connections.load(Ordering::Relaxed), before + watches.len());
}

#[tokio::test]
async fn this_process_reaches_extensions_too() {
    let ((server, proxies), ca) = (server().await, Ca::new("extension-ca"));
    let (extension, client) = (extension(&ca, &proxies, false).await, admin(&server));
    create(&client, "/api/v1/namespaces/default/services", service(443)).await;
    create(&client, SERVICES, api_service(&ca)).await;
    reason(&client, "EndpointsNotFound").await;
    let (rows, stale) = server.api.elsewhere();
    assert!(rows.is_empty());
    assert_eq!(stale, ["agg.example.com/v1"]);

    seed(&server, slice("one", extension.address.port(), true)).await;
    discovered(&server, "Current").await;
    let (rows, stale) = server.api.elsewhere();
    assert_eq!((stale.len(), rows.len()), (0, 1));
    let things = &rows[0];
    assert_eq!((&*things.qualified(), things.verbs), ("things.agg.example.com", &["get", "list"] as &[&str]));
    assert!(things.is_namespaced() && server.api.is_elsewhere(things));
    assert!(!server.api.is_elsewhere(api::resource::find("", "v1", "pods").unwrap()));

    let ask = async |user: &str, groups: &[&str]| {
        let user = Arc::new(api::User::new(user, groups.iter().copied()));
        let request = Request::get("/apis/agg.example.com/v1/namespaces/default/things").body(Bytes::new());
        let answer = server.api.pass_on(user, request.unwrap()).await;
        let (head, body) = answer.into_parts();
        (head.status.as_u16(), body.collect().await.unwrap().to_bytes())
    };
    let (code, told) = ask("system:serviceaccount:kube-system:namespace-controller", &["system:masters"]).await;
    let told: Value = serde_json::from_slice(&told).unwrap();
    let name = told["headers"].as_array().unwrap().iter().find(|header| header[0] == "x-remote-user");
    assert_eq!(
        (code, name.unwrap()[1].as_str()),
        (200, Some("system:serviceaccount:kube-system:namespace-controller"))
    );
    assert_eq!(ask("bob", &[]).await.0, 403);
}

#[tokio::test]
async fn policies_have_parameters_that_others_hold() {
    const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
    const BINDINGS: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";
    let ((server, proxies), ca) = (server().await, Ca::new("extension-ca"));
    let extension = extension(&ca, &proxies, false).await;
    let client = admin(&server);
    create(&client, "/api/v1/namespaces/default/services", service(443)).await;
    create(&client, SERVICES, api_service(&ca)).await;
    seed(&server, slice("one", extension.address.port(), true)).await;
    discovered(&server, "Current").await;
    let rule = json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]});
    let validation =
        json!({"expression": "object.metadata.name == params.path", "messageExpression": "string(params.path)"});
    let spec = json!({"paramKind": {"apiVersion": "agg.example.com/v1", "kind": "Thing"},
        "matchConstraints": {"resourceRules": [rule]}, "validations": [validation]});
    create(&client, POLICIES, json!({"metadata": {"name": "p"}, "spec": spec})).await;
    let reference = json!({"name": "limits", "parameterNotFoundAction": "Deny"});
    let spec = json!({"policyName": "p", "validationActions": ["Deny"], "paramRef": reference});
    create(&client, BINDINGS, json!({"metadata": {"name": "b"}, "spec": spec})).await;
    let map = json!({"metadata": {"name": "m"}}).to_string();
    let refused = client.send("POST /api/v1/namespaces/default/configmaps", map).await;
    let message = refused.json()["message"].as_str().unwrap_or_default().to_owned();
    assert!(message.contains("/apis/agg.example.com/v1/namespaces/default/things/limits"), "{message}");
}

#[tokio::test]
async fn conditions_say_what_is_missing() {
    let ((server, proxies), ca) = (server().await, Ca::new("extension-ca"));
    let client = admin(&server);
    create(&client, SERVICES, api_service(&ca)).await;
    let expect = "service/extension in \"default\" is not present";
    assert_eq!(reason(&client, "ServiceNotFound").await, ("False".into(), expect.into()));
    let answer = client.get("/apis/agg.example.com/v1").await;
    assert_eq!((answer.code, &*answer.text()), (503, "service unavailable\n"));
    assert!(discovered(&server, "Stale").await.items("resources").is_empty());

    let services = "/api/v1/namespaces/default/services";
    create(&client, services, service(8443)).await;
    let expect = "service/extension in \"default\" is not listening on port 443";
    assert_eq!(reason(&client, "ServicePortError").await.1, expect);
    let change = json!([{"op": "replace", "path": "/spec/ports/0/port", "value": 443}]).to_string();
    let patching = server.admin().with("content-type", "application/json-patch+json");
    assert_eq!(patching.send(&format!("PATCH {services}/extension"), change).await.code, 200);
    let expect = "cannot find endpointslices for service/extension in \"default\"";
    assert_eq!(reason(&client, "EndpointsNotFound").await.1, expect);

    let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
    seed(&server, slice("sleeping", 1, false)).await;
    let expect = "endpointslices for service/extension in \"default\" have no addresses with port name \"https\"";
    assert_eq!(reason(&client, "MissingEndpoints").await.1, expect);
    seed(&server, slice("deaf", 1, true)).await;
    let message = reason(&client, "FailedDiscoveryCheck").await.1;
    let url = "https://127.0.0.1:1/apis/agg.example.com/v1";
    let refused = "dial tcp 127.0.0.1:1: connect: connection refused";
    assert_eq!(message, format!("failing or missing response from {url}: Get \"{url}\": {refused}"));

    // One that knows the old form of discovery only.
    let Extension { address, .. } = extension(&ca, &proxies, true).await;
    seed(&server, slice("good", address.port(), true)).await;
    client.send(&format!("DELETE {slices}/deaf"), "").await;
    reason(&client, "Passed").await;
    let version = discovered(&server, "Current").await;
    let thing = &version["resources"][0];
    assert_eq!((thing.text("scope"), thing.text("responseKind.group")), ("Namespaced", ""));
    assert_eq!(thing["subresources"][0]["subresource"], "status");
}

#[tokio::test]
async fn what_this_server_serves_has_api_services() {
    let (server, _) = server().await;
    let client = admin(&server);
    let wait = async |name: &str, there: bool| {
        let began = std::time::Instant::now();
        loop {
            let answer = client.get(&format!("{SERVICES}/{name}")).await;
            if (answer.code == 200) == there {
                return answer.json();
            }
            assert!(began.elapsed().as_secs() < 30, "{name}: {}", answer.text());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let core = wait("v1.", true).await;
    assert_eq!(core["spec"], json!({"version": "v1", "groupPriorityMinimum": 18000, "versionPriority": 1}));
    let condition = &core["status"]["conditions"][0];
    assert_eq!((condition.text("status"), condition.text("reason")), ("True", "Local"));
    assert_eq!(condition.text("message"), "Local APIServices are always available");
    let scaling = wait("v2.autoscaling", true).await;
    assert_eq!(scaling["metadata"]["labels"], json!({"kube-aggregator.kubernetes.io/automanaged": "onstart"}));

    let definition = crate::registry::tests::sample(
        api::resource::find("apiextensions.k8s.io", "v1", "customresourcedefinitions").unwrap(),
    );
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    create(&client, definitions, definition).await;
    let custom = wait("v1.e.io", true).await;
    assert_eq!(custom["spec"]["groupPriorityMinimum"], 1000);
    assert_eq!(custom["metadata"]["managedFields"][0]["manager"], "kube-apiserver");
    assert_eq!(custom["metadata"]["labels"], json!({"kube-aggregator.kubernetes.io/automanaged": "true"}));
    // A definition goes when its objects are gone, which is another's business; here it is only no longer served.
    let change = json!([{"op": "replace", "path": "/spec/versions/0/served", "value": false}]).to_string();
    let patching = server.admin().with("content-type", "application/json-patch+json");
    let answer = patching.send(&format!("PATCH {definitions}/xs.e.io"), change).await;
    assert_eq!(answer.code, 200, "{}", answer.text());
    wait("v1.e.io", false).await;
}

#[tokio::test]
async fn api_services_are_checked_in_upstreams_words() {
    let (server, _) = server().await;
    let client = admin(&server);
    let check = async |change: Value, expect: &str| {
        let mut body = json!({"metadata": {"name": "v1.x.io"}, "spec": {"group": "x.io", "version": "v1",
            "groupPriorityMinimum": 100, "versionPriority": 10}});
        for (key, value) in change.as_object().unwrap() {
            body["spec"][key] = value.clone();
        }
        let answer = client.send(&format!("POST {SERVICES}"), body.to_string()).await;
        let prefix = "APIService.apiregistration.k8s.io \"v1.x.io\" is invalid: ";
        assert_eq!(answer.json()["message"].as_str().unwrap().strip_prefix(prefix), Some(expect));
    };
    check(
        json!({"versionPriority": 1001}),
        "spec.versionPriority: Invalid value: 1001: must be positive and less than 1000",
    )
    .await;
    check(
        json!({"caBundle": "eA=="}),
        "spec.caBundle: Invalid value: \"1 bytes\": local APIServices may not have a caBundle",
    )
    .await;
    let both = json!({"service": {"namespace": "a", "name": "b"}, "insecureSkipTLSVerify": true, "caBundle": "eA=="});
    check(both, "spec.insecureSkipTLSVerify: Invalid value: true: may not be true if caBundle is present").await;
}
