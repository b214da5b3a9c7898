use std::net::SocketAddr;
use std::sync::Arc;

use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::backend::{Place, place};
use crate::testing::{Ca, TestServer};

#[test]
fn places_are_taken_apart() {
    for (text, expect) in [
        ("web", Some((false, "web", ""))),
        ("web:80", Some((false, "web", "80"))),
        ("https:web:", Some((true, "web", ""))),
        ("http:web:http", Some((false, "web", "http"))),
        ("ftp:web:21", None),
        ("a:b:c:d", None),
        (":80", None),
    ] {
        assert_eq!(place(text), expect.map(|(https, name, port)| Place { https, name, port }), "{text}");
    }
}

/// Answers what kubelets and pods are asked: tells the request line, echoes on upgraded connections.
async fn far_end(tls: Option<Arc<rustls::ServerConfig>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let tls = tls.clone();
            tokio::spawn(async move {
                let service = hyper::service::service_fn(answer);
                let builder = hyper::server::conn::http1::Builder::new();
                match tls {
                    Some(tls) => {
                        let stream = tokio_rustls::TlsAcceptor::from(tls).accept(stream).await.unwrap();
                        assert!(stream.get_ref().1.peer_certificates().is_some(), "kubelets see our certificate");
                        drop(builder.serve_connection(TokioIo::new(stream), service).with_upgrades().await);
                    }
                    None => drop(builder.serve_connection(TokioIo::new(stream), service).with_upgrades().await),
                }
            });
        }
    });
    address
}

async fn answer(
    mut request: http::Request<hyper::body::Incoming>,
) -> Result<http::Response<String>, std::convert::Infallible> {
    assert!(!request.headers().contains_key("authorization"), "credentials stay with us");
    let line = format!("{} {}", request.method(), request.uri());
    let response = http::Response::builder();
    Ok(if request.headers().contains_key("upgrade") {
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let (mut reader, mut writer) = tokio::io::split(TokioIo::new(upgrade.await.unwrap()));
            drop(tokio::io::copy(&mut reader, &mut writer).await);
        });
        response
            .status(101)
            .header("connection", "Upgrade")
            .header("upgrade", "SPDY/3.1")
            .header("x-line", line)
            .body(String::new())
    } else if line.contains("tailLines=7") {
        response.status(400).body("container \"a\" in pod \"p\" is waiting to start: ContainerCreating".to_owned())
    } else if line.contains("/moved") {
        response.status(302).header("location", "/there").body(String::new())
    } else if line.contains("/page") {
        let told = |name: &str| request.headers()[name].to_str().unwrap().to_owned();
        let page = format!("<a href=\"/here\">{} {}</a>", told("host"), told("x-forwarded-uri"));
        response.header("content-type", "text/html").header("access-control-allow-origin", "*").body(page)
    } else {
        response.body(line)
    }
    .unwrap())
}

/// The first message that comes over a WebSocket.
pub(crate) async fn websocket(server: &TestServer, path: &str, protocol: &str) -> String {
    messages::<1>(server, path, protocol).await.concat()
}

/// The first messages that come over a WebSocket.
async fn messages<const COUNT: usize>(server: &TestServer, path: &str, protocol: &str) -> [String; COUNT] {
    let client = server.admin().with("connection", "Upgrade").with("upgrade", "websocket");
    let client = client.with("sec-websocket-version", "13").with("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let client = client.with("sec-websocket-protocol", protocol);
    let mut response = client.open(&format!("GET {path}"), "").await;
    assert_eq!(response.status(), 101);
    let mut stream = TokioIo::new(hyper::upgrade::on(&mut response).await.unwrap());
    let mut messages = [const { String::new() }; COUNT];
    for place in &mut messages {
        let (_, mut length) = (stream.read_u8().await.unwrap(), usize::from(stream.read_u8().await.unwrap()));
        if length == 126 {
            length = usize::from(stream.read_u16().await.unwrap());
        }
        let mut message = vec![0; length];
        stream.read_exact(&mut message).await.unwrap();
        *place = String::from_utf8(message).unwrap();
    }
    messages
}

/// A node whose kubelet is `kubelet`, a pod on it that serves at `pod`, and a pod of two containers that is nowhere.
async fn populate(server: &TestServer, kubelet: SocketAddr, pod: SocketAddr) {
    let admin = server.admin();
    let merge = server.admin().with("content-type", "application/merge-patch+json");
    let create = async |path: &str, body: serde_json::Value| {
        let answer = admin.send(&format!("POST {path}"), body.to_string()).await;
        assert_eq!(answer.code, 201, "{}", answer.text());
    };
    let patch = async |path: &str, body: serde_json::Value| {
        let answer = merge.send(&format!("PATCH {path}"), body.to_string()).await;
        assert_eq!(answer.code, 200, "{}", answer.text());
    };
    let space = "/api/v1/namespaces/default";
    create("/api/v1/nodes", json!({"metadata": {"name": "n"}})).await;
    let status = json!({"status": {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet.port()}}}});
    patch("/api/v1/nodes/n/status", status).await;
    create(&format!("{space}/serviceaccounts"), json!({"metadata": {"name": "default"}})).await;
    let spec =
        json!({"nodeName": "n", "containers": [{"name": "a", "image": "i", "ports": [{"containerPort": pod.port()}]}]});
    create(&format!("{space}/pods"), json!({"metadata": {"name": "p"}, "spec": spec})).await;
    patch(
        &format!("{space}/pods/p/status"),
        json!({"status": {"podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]}}),
    )
    .await;
    let spec = json!({"containers": [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}]});
    create(&format!("{space}/pods"), json!({"metadata": {"name": "two"}, "spec": spec})).await;
    let ports = json!([{"name": "http", "port": 80}]);
    create(&format!("{space}/services"), json!({"metadata": {"name": "web"}, "spec": {"ports": ports}})).await;
    // A slice on loopback is nothing that a client may write.
    let slice = json!({"metadata": {"name": "web-1", "namespace": "default", "labels": {"kubernetes.io/service-name": "web"}}, "addressType": "IPv4",
        "endpoints": [{"addresses": ["127.0.0.1"], "targetRef": {"kind": "Pod", "namespace": "default", "name": "p"}}], "ports": [{"name": "http", "port": pod.port()}]});
    let slices = api::resource::find("discovery.k8s.io", "v1", "endpointslices").unwrap();
    server.registry.seed(slices, &slice).await;
}

fn serving_tls(ca: &Ca) -> Arc<rustls::ServerConfig> {
    let (chain, key) = ca.issue("system:node:n", &["system:nodes"], &["127.0.0.1"]);
    let serving = crate::ServingCertificate::from_pem(&chain, &key).unwrap();
    let mut tls = crate::http::tls::config(Arc::new(serving)).unwrap();
    tls.alpn_protocols.clear();
    Arc::new(tls)
}

#[test]
fn what_only_a_machine_can_reach_is_not_proxied_to() {
    let check = |address: &str, expect| {
        assert_eq!(crate::is_global_unicast(address.parse().unwrap()), expect, "{address}");
    };
    for address in ["10.42.0.7", "192.168.1.1", "8.8.8.8", "fd00::1", "2001:db8::1", "::ffff:10.0.0.1"] {
        check(address, true);
    }
    for address in [
        "127.0.0.1",
        "127.8.9.1",
        "::1",
        "::ffff:127.0.0.1",
        "0.0.0.0",
        "::",
        "169.254.169.254",
        "fe80::1",
        "224.0.0.1",
        "ff02::1",
        "255.255.255.255",
    ] {
        check(address, false);
    }
}

#[tokio::test]
async fn nobody_borrows_the_servers_place() {
    let server = TestServer::with(|config| config.proxied = crate::is_global_unicast).await;
    let kubelet = far_end(Some(serving_tls(&server.ca))).await;
    let pod = far_end(None).await;
    populate(&server, kubelet, pod).await;
    let slice = json!({"metadata": {"name": "free-1", "labels": {"kubernetes.io/service-name": "free"}},
        "addressType": "IPv4", "endpoints": [{"addresses": ["10.9.9.9"]}], "ports": [{"name": "", "port": 80}]});
    let (admin, space) = (server.admin(), "/api/v1/namespaces/default");
    let created =
        admin.send("POST /apis/discovery.k8s.io/v1/namespaces/default/endpointslices", slice.to_string()).await;
    assert_eq!(created.code, 201, "{}", created.text());
    for (name, spec) in [
        ("free", json!({"ports": [{"port": 80}]})),
        ("none", json!({"ports": [{"port": 80}]})),
        ("other", json!({"type": "ExternalName", "externalName": "a.b"})),
    ] {
        let service = json!({"metadata": {"name": name}, "spec": spec}).to_string();
        assert_eq!(admin.send(&format!("POST {space}/services"), service).await.code, 201);
    }
    let nowhere = "no endpoints available for service";
    for (path, code, told) in [
        (format!("{space}/pods/p/proxy/"), 400, "address not allowed".to_owned()),
        (format!("{space}/pods/two/proxy/"), 400, "address not allowed".to_owned()),
        ("/api/v1/nodes/n/proxy/healthz".to_owned(), 400, "address not allowed".to_owned()),
        (format!("/api/v1/nodes/n:{}/proxy/", pod.port()), 400, "address not allowed".to_owned()),
        // An endpoint that is no pod's.
        (format!("{space}/services/free/proxy/"), 503, format!("{nowhere} \\\"free\\\"")),
        (format!("{space}/services/free:80/proxy/"), 503, format!("{nowhere} \\\"free:80\\\"")),
        (format!("{space}/services/http:free:x/proxy/"), 503, format!("{nowhere} \\\"http:free:x\\\"")),
        (format!("{space}/services/none/proxy/"), 404, "services \\\"none\\\" not found".to_owned()),
        (format!("{space}/services/other/proxy/"), 404, "services \\\"other\\\" not found".to_owned()),
    ] {
        let answer = admin.get(&path).await;
        assert_eq!(answer.code, code, "{path}: {}", answer.text());
        assert!(answer.text().contains(&told), "{path}: {}", answer.text());
    }
    // What kubelets are asked in the server's own words is.
    assert_eq!(admin.get(&format!("{space}/pods/p/log")).await.code, 200);
}

#[tokio::test]
async fn kubelets_that_cannot_be_reached_are_told_as_upstream_does() {
    let server = TestServer::start().await;
    let gone = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    populate(&server, gone, gone).await;
    let (admin, space) = (server.admin(), "/api/v1/namespaces/default/pods");
    let refused = format!("dial tcp {gone}: connect: connection refused");
    let log = admin.get(&format!("{space}/p/log?tailLines=1")).await;
    let url = format!("https://{gone}/containerLogs/default/p/a?tailLines=1");
    assert_eq!((log.code, log.json()["message"].clone()), (500, json!(format!("Get \"{url}\": {refused}"))));
    let upgrading = server.admin().with("connection", "Upgrade").with("upgrade", "SPDY/3.1");
    let exec = upgrading.send(&format!("POST {space}/p/exec?command=ls&stdout=1"), "").await;
    assert_eq!((exec.code, exec.json()["message"].clone()), (500, json!(format!("error dialing backend: {refused}"))));
    assert!(exec.json().get("reason").is_none());
    // Whoever speaks what upstream translates is told in the session, after that it is open.
    let path = format!("{space}/p/exec?command=ls&stderr=1");
    let [open, why] = messages(&server, &path, "v4.channel.k8s.io, v5.channel.k8s.io").await;
    let told: serde_json::Value = serde_json::from_str(why.strip_prefix('\u{3}').unwrap()).unwrap();
    let url = format!("https://{gone}/exec/default/p/a?command=ls&error=1");
    let expect = format!("Internal error occurred: error sending request: Post \"{url}\": {refused}");
    assert_eq!((&*open, &told["message"], &told["code"]), ("\u{2}", &json!(expect), &json!(500)));
    let merge = server.admin().with("content-type", "application/merge-patch+json");
    let patch = json!({"status": {"addresses": [{"type": "InternalDNS", "address": "x"}]}}).to_string();
    assert_eq!(merge.send("PATCH /api/v1/nodes/n/status", patch).await.code, 200);
    let log = admin.get(&format!("{space}/p/log")).await;
    let expect = json!("no preferred addresses found; known addresses: [{InternalDNS x}]");
    assert_eq!((log.code, log.json()["message"].clone()), (500, expect));
    assert_eq!(admin.send("DELETE /api/v1/nodes/n", "").await.code, 200);
    let log = admin.get(&format!("{space}/p/log")).await;
    assert_eq!((log.code, log.json()["message"].clone()), (404, json!("pods \"n\" not found")));
}

#[tokio::test]
async fn requests_reach_kubelets_pods_and_services() {
    let server = TestServer::start().await;
    let kubelet = far_end(Some(serving_tls(&server.ca))).await;
    let pod = far_end(None).await;
    populate(&server, kubelet, pod).await;
    let admin = server.admin();
    let space = "/api/v1/namespaces/default";
    for (request, code, told) in [
        (format!("GET {space}/pods/p/log"), 200, "GET /containerLogs/default/p/a".to_owned()),
        (
            format!("GET {space}/pods/p/log?follow=1&tailLines=3&container=a"),
            200,
            "/containerLogs/default/p/a?follow=true&tailLines=3".into(),
        ),
        (format!("GET {space}/pods/p/log?container=z"), 400, "container z is not valid for pod p".into()),
        (format!("GET {space}/pods/p/log?tailLines=7"), 400, "is waiting to start: ContainerCreating".into()),
        (format!("GET {space}/pods/p/log?tailLines=-1"), 422, "must be greater than or equal to 0".into()),
        (
            format!("GET {space}/pods/two/log"),
            400,
            "a container name must be specified for pod two, choose one of: [a b]".into(),
        ),
        (format!("GET {space}/pods/two/log?container=a"), 204, String::new()),
        (
            format!("POST {space}/pods/two/exec?container=a&command=ls&stdout=1"),
            400,
            "pod two does not have a host assigned".into(),
        ),
        (format!("POST {space}/pods/p/exec?command=ls"), 400, "Upgrade request required".into()),
        (format!("GET {space}/pods/p/proxy"), 301, String::new()),
        (format!("GET {space}/pods/z/proxy"), 404, "pods \\\"z\\\" not found".into()),
        (format!("GET {space}/pods/p/proxy/a/b?c=d"), 200, "GET /a/b?c=d".into()),
        (format!("POST {space}/pods/p/proxy"), 200, "POST /".into()),
        (format!("OPTIONS {space}/pods/p/proxy/x"), 200, "OPTIONS /x".into()),
        (format!("OPTIONS {space}/pods/p"), 405, String::new()),
        (format!("PUT {space}/pods/http:p:{}/proxy/x", pod.port()), 200, "PUT /x".into()),
        (format!("GET {space}/services/web:http/proxy/y"), 200, "GET /y".into()),
        (
            format!("GET {space}/services/web:81/proxy/y"),
            503,
            "no service port 81 found for service \\\"web\\\"".into(),
        ),
        (format!("GET {space}/services/kubernetes2/proxy/y"), 404, "not found".into()),
        ("GET /api/v1/nodes/n/proxy/healthz".into(), 200, "GET /healthz".into()),
        ("GET /api/v1/nodes/z/proxy/healthz".into(), 404, "nodes \\\"z\\\" not found".into()),
    ] {
        let answer = admin.send(&request, "").await;
        assert_eq!(answer.code, code, "{request}: {}", answer.text());
        assert!(answer.text().contains(&told), "{request}: {}", answer.text());
    }
    let moved = admin.get(&format!("{space}/pods/p/proxy/moved")).await;
    assert_eq!(moved.headers["location"], format!("{space}/pods/p/proxy/there"));
    let page = admin.get(&format!("{space}/pods/p/proxy/page?a=b")).await;
    let below = format!("{space}/pods/p/proxy");
    assert_eq!(page.text(), format!("<a href=\"{below}/here\">localhost {below}/page</a>"));
    assert!(!page.headers.contains_key("access-control-allow-origin"), "{:?}", page.headers);
}

#[tokio::test]
async fn upgraded_connections_pass_through() {
    let server = TestServer::start().await;
    let kubelet = far_end(Some(serving_tls(&server.ca))).await;
    populate(&server, kubelet, kubelet).await;
    let client = server.admin().with("connection", "Upgrade").with("upgrade", "SPDY/3.1");
    let request =
        "POST /api/v1/namespaces/default/pods/p/exec?command=echo&command=a%20b&stdin=1&stdout=1&stderr=1&tty=1";
    let mut response = client.open(request, "").await;
    assert_eq!(response.status(), 101);
    assert_eq!(
        response.headers()["x-line"],
        "POST /exec/default/p/a?command=echo&command=a+b&error=1&input=1&output=1&tty=1"
    );
    let mut stream = TokioIo::new(hyper::upgrade::on(&mut response).await.unwrap());
    stream.write_all(b"hello").await.unwrap();
    let mut echo = [0; 5];
    stream.read_exact(&mut echo).await.unwrap();
    assert_eq!(&echo, b"hello");
    drop(response.into_body().collect().await);
    let log = websocket(&server, "/api/v1/namespaces/default/pods/p/log", "base64.binary.k8s.io").await;
    assert_eq!(log, "R0VUIC9jb250YWluZXJMb2dzL2RlZmF1bHQvcC9h", "GET /containerLogs/default/p/a");
    let refused = client.send("GET /api/v1/namespaces/default/pods/p/portforward?ports=x", "").await;
    let expect = "cannot convert to []int32: strconv.ParseUint: parsing \\\"x\\\": invalid syntax";
    assert!(refused.text().contains(expect), "{}", refused.text());
}
