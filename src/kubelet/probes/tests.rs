use std::time::Duration;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::check::port_of;
use crate::http::{Get, get};

#[test]
fn ports_go_by_number_or_name() {
    let container =
        serde_json::from_value(json!({"name": "a", "ports": [{"name": "web", "containerPort": 8080}]})).unwrap();
    let check = |port: IntOrString, expect: Option<u16>| assert_eq!(port_of(&port, &container), expect);
    check(IntOrString::Int(80), Some(80));
    check(IntOrString::String("web".into()), Some(8080));
    check(IntOrString::String("81".into()), Some(81));
    check(IntOrString::String("none".into()), None);
    check(IntOrString::Int(0), None);
}

#[tokio::test]
async fn http_answers_and_failures_come_in_gos_words() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 4096];
            let n = stream.read(&mut request).await.unwrap_or(0);
            let answer = if request[..n].starts_with(b"GET /moved ") {
                "HTTP/1.1 302 Found\r\nLocation: /fine\r\nContent-Length: 0\r\n\r\n"
            } else if request[..n].starts_with(b"GET /fine ") {
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
            } else {
                "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"
            };
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    let ask = async |path: &str, port: u16| {
        let request = Get { https: false, host: "127.0.0.1".into(), port, path: path.into(), headers: vec![] };
        get(&request, Duration::from_secs(5)).await
    };
    assert_eq!(ask("/fine", port).await, Ok((200, "ok".into())));
    assert_eq!(ask("moved", port).await, Ok((200, "ok".into())));
    assert_eq!(ask("/else", port).await.unwrap().0, 503);
    let closed = { TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port() };
    let why = ask("/x", closed).await.unwrap_err();
    assert_eq!(
        why,
        format!("Get \"http://127.0.0.1:{closed}/x\": dial tcp 127.0.0.1:{closed}: connect: connection refused")
    );
}
