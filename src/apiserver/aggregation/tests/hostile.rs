//! Aggregated API servers that answer badly, or not at all: whoever asks for them is told so, and nobody else notices.

use tokio::io::{AsyncBufReadExt, BufReader};

use super::*;

/// What is sent instead of an answer.
pub(super) enum Says {
    /// A good answer, of a media type.
    Well(&'static str, String),
    /// These bytes, and then the end.
    Bytes(&'static [u8]),
    /// A head, and then the same for ever.
    Forever(&'static [u8]),
    Nothing,
}

const HEAD: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: ";

/// What is said to one request line and `Accept` header.
pub(super) type Script = fn(&str, &str) -> Says;

async fn hostile(ca: &Ca, clients: &Ca, script: Script) -> SocketAddr {
    let tls = extension_tls(ca, clients);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let tls = tls.clone();
            tokio::spawn(async move {
                let Ok(stream) = tls.accept(stream).await else { return };
                // Who hangs up has heard enough.
                let _ = converse(stream, script).await;
            });
        }
    });
    address
}

async fn converse(stream: impl tokio::io::AsyncRead + AsyncWriteExt + Unpin, script: Script) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut path, mut accept) = (String::new(), String::new());
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let line = line.trim();
            if line.is_empty() {
                break;
            }
            match line.split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("accept") => accept = value.to_owned(),
                None if path.is_empty() => path = line.split(' ').nth(1).unwrap_or_default().to_owned(),
                _ => {}
            }
        }
        match script(&path, &accept) {
            Says::Well(media_type, body) => {
                let head =
                    format!("HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\n\r\n", body.len());
                stream.write_all(head.as_bytes()).await?;
                stream.write_all(body.as_bytes()).await?;
                stream.flush().await?;
            }
            Says::Bytes(bytes) => {
                stream.write_all(bytes).await?;
                return stream.shutdown().await;
            }
            Says::Forever(again) => {
                stream.write_all(format!("{HEAD}{AGGREGATED}\r\n\r\n").as_bytes()).await?;
                loop {
                    stream.write_all(again).await?;
                    stream.flush().await?;
                    tokio::task::yield_now().await;
                }
            }
            Says::Nothing => std::future::pending().await,
        }
    }
}

/// A server with the hostile one behind it, which is taken to be available.
pub(super) async fn behind(script: Script) -> TestServer {
    let ((server, proxies), ca) = (server().await, Ca::new("extension-ca"));
    let (address, client) = (hostile(&ca, &proxies, script).await, admin(&server));
    create(&client, "/api/v1/namespaces/default/services", service(443)).await;
    seed(&server, slice("one", address.port(), true)).await;
    create(&client, SERVICES, api_service(&ca)).await;
    reason(&client, "Passed").await;
    server
}

pub(super) fn well() -> Says {
    let thing =
        json!({"name": "things", "singularName": "thing", "namespaced": true, "kind": "Thing", "verbs": ["get"]});
    let list = json!({"kind": "APIResourceList", "groupVersion": "agg.example.com/v1", "resources": [thing]});
    Says::Well("application/json", list.to_string())
}

#[tokio::test]
async fn requests_end_in_words_of_what_went_wrong() {
    let server = behind(|path, _| match path.split('?').next().unwrap_or_default() {
        "/apis/agg.example.com/v1/things/silence" => Says::Nothing,
        "/apis/agg.example.com/v1/things/garbage" => Says::Bytes(b"\x16\x03nonsense\r\n\r\n"),
        "/apis/agg.example.com/v1/things/gone" => Says::Bytes(b""),
        "/apis/agg.example.com/v1/things/endless" => Says::Forever(b"1\r\nx\r\n"),
        _ => well(),
    })
    .await;
    let client = admin(&server);
    let check = async |name: &str, code: u16, expect: &str| {
        let answer = client.get(&format!("/apis/agg.example.com/v1/things/{name}")).await;
        assert_eq!(answer.code, code, "{name}: {}", answer.text());
        assert!(answer.text().contains(expect), "{name}: {}", answer.text());
    };
    check("silence?timeout=500ms", 504, "Timeout: request did not complete within the allotted timeout").await;
    let garbled =
        "error trying to reach service: net/http: HTTP/1.x transport connection broken: malformed HTTP response";
    check("garbage", 503, garbled).await;
    check("gone", 503, "error trying to reach service: EOF\n").await;
    // What has begun can only break off.
    let endless = client.open("GET /apis/agg.example.com/v1/things/endless?timeout=500ms", "").await;
    assert_eq!(endless.status(), 200);
    assert!(endless.into_body().collect().await.is_err());
    // One that answers is still reached.
    check("x", 200, "APIResourceList").await;
}

/// The others' discovery is whole, and that of the hostile one is known to be missing.
async fn is_stale(server: &TestServer) {
    assert!(discovered(server, "Stale").await.items("resources").is_empty());
    let document = server.admin().with("accept", AGGREGATED).get("/apis").await.json();
    let apps = document.items("items").iter().find(|group| group.text("metadata.name") == "apps");
    assert_eq!(apps.unwrap()["versions"][0]["resources"][0]["resource"], "controllerrevisions");
    assert_eq!(server.admin().get("/openapi/v3").await.code, 200);
    assert_eq!(server.admin().get("/api/v1/namespaces").await.code, 200);
}

#[tokio::test]
async fn discovery_without_end_is_given_up() {
    let server = behind(|path, accept| match (path, accept) {
        ("/apis/agg.example.com/v1", "*/*") => well(),
        _ => Says::Forever(b"10\r\n{\"items\":[{\"xxxx\r\n"),
    })
    .await;
    is_stale(&server).await;
}

#[tokio::test]
async fn discovery_of_the_wrong_form_is_not_passed_on() {
    let server = behind(|path, accept| match (path, accept) {
        ("/apis/agg.example.com/v1", "*/*") => well(),
        ("/apis", _) => {
            let versions = json!([{"version": "v1", "resources": ["things", 1, {"resource": []}]}]);
            let items = json!([{"metadata": {"name": "agg.example.com"}, "versions": versions}]);
            Says::Well(AGGREGATED, json!({"kind": "APIGroupDiscoveryList", "items": items}).to_string())
        }
        _ => Says::Well("application/json", "[".repeat(100_000)),
    })
    .await;
    is_stale(&server).await;
    assert_eq!(server.admin().get("/openapi/v2").await.code, 200);
}

#[tokio::test]
async fn who_never_answers_keeps_nobody_waiting() {
    let server = behind(|path, accept| match (path, accept) {
        ("/apis/agg.example.com/v1", "*/*") => well(),
        _ => Says::Nothing,
    })
    .await;
    is_stale(&server).await;
    let answer = server.admin().with("accept", "application/json").get("/apis/agg.example.com/v1").await;
    let expect = "error trying to reach service: context deadline exceeded\n";
    assert_eq!((answer.code, &*answer.text()), (503, expect));
}
