//! Every protocol a client may speak, against a runtime in memory, over an in-memory connection.

use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderValue};
use runtime::spdy::{Connection, Headers, Stream};
use runtime::types::{ContainerMetadata, ContainerSpec, ExecOutput, SandboxSpec};
use runtime::{FakeRuntime, Runtime, StreamOptions};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::upgrade::{TUNNEL, negotiate};
use super::*;

async fn fake() -> (FakeRuntime, String, String) {
    let fake = FakeRuntime::new();
    fake.add_image("web:1");
    let sandbox = fake.run_sandbox(&SandboxSpec::default()).await.unwrap();
    let spec = ContainerSpec {
        metadata: ContainerMetadata { name: "web".into(), attempt: 0 },
        image: "web:1".into(),
        ..Default::default()
    };
    let container = fake.create_container(&sandbox, &spec, &SandboxSpec::default()).await.unwrap();
    fake.start_container(&container).await.unwrap();
    (fake, sandbox, container)
}

fn prepared(fake: &FakeRuntime) {
    fake.on_exec(|_, _| ExecOutput { stdout: b"out".to_vec(), stderr: b"err".to_vec(), exit_code: 3 });
}

fn exec(fake: &FakeRuntime, container: &str, protocol: Protocol, options: StreamOptions) -> DuplexStream {
    let (near, far) = tokio::io::duplex(64 << 10);
    let (runtime, target): (Arc<dyn Runtime>, _) =
        (Arc::new(fake.clone()), Target::Exec { container: container.into(), command: vec!["x".into()] });
    tokio::spawn(async move { serve(far, &protocol, runtime, target, options).await });
    near
}

async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), work).await.expect("this should not take so long")
}

fn both() -> StreamOptions {
    StreamOptions { stdout: true, stderr: true, ..Default::default() }
}

#[tokio::test]
async fn websocket_carries_output_and_exit_code() {
    let check = async |name: &str, expect_json: bool| {
        let (fake, _, container) = fake().await;
        prepared(&fake);
        let io = exec(&fake, &container, Protocol::WebSocket { name: name.into() }, both());
        let mut socket = WebSocketStream::from_raw_socket(io, Role::Client, None).await;
        let mut channels = std::collections::BTreeMap::<u8, Vec<u8>>::new();
        while let Some(Ok(message)) = soon(socket.next()).await {
            let bytes = match message {
                Message::Binary(bytes) => bytes,
                Message::Text(text) => text.into(),
                _ => continue,
            };
            let (channel, data) = websocket::Form::of(name).parse(&bytes).unwrap();
            channels.entry(channel).or_default().extend(data);
        }
        assert_eq!((channels[&1].as_slice(), channels[&2].as_slice()), (&b"out"[..], &b"err"[..]), "{name}");
        let last = String::from_utf8(channels[&3].clone()).unwrap();
        if expect_json {
            let last: Value = serde_json::from_str(&last).unwrap();
            assert_eq!(last["details"]["causes"][0], json!({"reason": "ExitCode", "message": "3"}));
        } else {
            assert!(last.ends_with("command terminated with exit code 3"), "{name}: {last}");
        }
    };
    check("v5.channel.k8s.io", true).await;
    check("v4.channel.k8s.io", true).await;
    check("v4.base64.channel.k8s.io", true).await;
    check("channel.k8s.io", false).await;
    check("base64.channel.k8s.io", false).await;
    check("", false).await;
}

#[tokio::test]
async fn websocket_stdin_ends_with_its_close_message() {
    let (fake, _, container) = fake().await;
    let options = StreamOptions { stdin: true, stdout: true, ..Default::default() };
    let io = exec(&fake, &container, Protocol::WebSocket { name: "v5.channel.k8s.io".into() }, options);
    let mut socket = WebSocketStream::from_raw_socket(io, Role::Client, None).await;
    socket.send(Message::binary(b"\0echo me".to_vec())).await.unwrap();
    socket.send(Message::binary(vec![255, 0])).await.unwrap();
    let mut output = Vec::new();
    while let Some(Ok(message)) = soon(socket.next()).await {
        if let Message::Binary(bytes) = message
            && bytes[0] == 1
        {
            output.extend_from_slice(&bytes[1..]);
        }
    }
    assert_eq!(output, b"echo me");
}

async fn stream(connection: &Connection, kind: &str) -> Stream {
    soon(connection.open_stream(Headers::new().with("streamtype", kind))).await.unwrap()
}

async fn rest(mut stream: Stream) -> String {
    let mut text = String::new();
    soon(stream.read_to_string(&mut text)).await.unwrap();
    text
}

#[tokio::test]
async fn spdy_carries_output_and_exit_code() {
    let check = async |name: &str, expect: &str| {
        let (fake, _, container) = fake().await;
        prepared(&fake);
        let connection = Connection::client(exec(&fake, &container, Protocol::Spdy { name: name.into() }, both()));
        let error = stream(&connection, "error").await;
        let stdout = stream(&connection, "stdout").await;
        let stderr = stream(&connection, "stderr").await;
        let (out, err, last) = tokio::join!(rest(stdout), rest(stderr), rest(error));
        assert_eq!((out.as_str(), err.as_str()), ("out", "err"));
        assert!(last.contains(expect), "{name}: {last}");
    };
    check("v4.channel.k8s.io", r#""reason":"ExitCode""#).await;
    check("channel.k8s.io", "command terminated with exit code 3").await;
}

#[tokio::test]
async fn terminals_are_resized() {
    let (fake, _, container) = fake().await;
    let options = StreamOptions { stdin: true, stdout: true, stderr: false, tty: true };
    let connection =
        Connection::client(exec(&fake, &container, Protocol::Spdy { name: "v4.channel.k8s.io".into() }, options));
    let _error = stream(&connection, "error").await;
    let mut stdin = stream(&connection, "stdin").await;
    let stdout = stream(&connection, "stdout").await;
    let mut resize = stream(&connection, "resize").await;
    resize.write_all(br#"{"Width":80,"Height":24}{"Width":100,"Height":30}"#).await.unwrap();
    let resized = async {
        while fake.resizes().len() < 2 {
            tokio::task::yield_now().await;
        }
    };
    soon(resized).await;
    assert_eq!((fake.resizes()[1].width, fake.resizes()[1].height), (100, 30));
    stdin.shutdown().await.unwrap();
    rest(stdout).await;
}

async fn forwarded(connection: &Connection) {
    for request in ["0", "1"] {
        let headers =
            |kind: &str| Headers::new().with("streamtype", kind).with("port", "80").with("requestid", request);
        let error = soon(connection.open_stream(headers("error"))).await.unwrap();
        let mut data = soon(connection.open_stream(headers("data"))).await.unwrap();
        data.write_all(b"through the port").await.unwrap();
        data.shutdown().await.unwrap();
        assert_eq!(rest(data).await, "through the port");
        assert_eq!(rest(error).await, "");
    }
}

fn forward_to(fake: FakeRuntime, sandbox: String, protocol: Protocol, ports: Vec<u16>) -> DuplexStream {
    let (near, far) = tokio::io::duplex(64 << 10);
    tokio::spawn(async move { forward(far, &protocol, Arc::new(fake), sandbox, ports).await });
    near
}

#[tokio::test]
async fn ports_are_forwarded_over_spdy() {
    let (fake, sandbox, _) = fake().await;
    let io = forward_to(fake, sandbox, Protocol::Spdy { name: "portforward.k8s.io".into() }, vec![]);
    forwarded(&Connection::client(io)).await;
}

#[tokio::test]
async fn ports_are_forwarded_over_a_tunnel_in_a_websocket() {
    let (fake, sandbox, _) = fake().await;
    let io = forward_to(fake, sandbox, Protocol::WebSocket { name: TUNNEL.into() }, vec![]);
    let socket = WebSocketStream::from_raw_socket(io, Role::Client, None).await;
    let (mut sink, mut source) = socket.split();
    let (near, far) = tokio::io::duplex(64 << 10);
    let (mut from, mut to) = tokio::io::split(far);
    tokio::spawn(async move {
        let mut buffer = vec![0; 4096];
        while let Ok(n @ 1..) = from.read(&mut buffer).await {
            sink.send(Message::binary(buffer[..n].to_vec())).await.unwrap();
        }
    });
    tokio::spawn(async move {
        while let Some(Ok(Message::Binary(bytes))) = source.next().await {
            to.write_all(&bytes).await.unwrap();
        }
    });
    forwarded(&Connection::client(near)).await;
}

#[tokio::test]
async fn ports_are_forwarded_over_channels() {
    let (fake, sandbox, _) = fake().await;
    let io = forward_to(fake, sandbox, Protocol::WebSocket { name: "v4.channel.k8s.io".into() }, vec![80]);
    let mut socket = WebSocketStream::from_raw_socket(io, Role::Client, None).await;
    socket.send(Message::binary(b"\0ping".to_vec())).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 3 {
        if let Some(Ok(Message::Binary(bytes))) = soon(socket.next()).await {
            seen.push(bytes.to_vec());
        }
    }
    assert_eq!(seen, [vec![0, 80, 0], vec![1, 80, 0], b"\0ping".to_vec()]);
}

#[test]
fn protocols_are_agreed_on() {
    let check = |pairs: &[(&'static str, &str)], is_forward: bool, expect: Result<Protocol, u16>| {
        let mut headers = HeaderMap::new();
        for (key, value) in pairs {
            headers.append(*key, HeaderValue::from_str(value).unwrap());
        }
        let agreed = negotiate(&headers, is_forward).map(|u| u.protocol).map_err(|(status, _)| status.as_u16());
        assert_eq!(agreed, expect, "{pairs:?}");
    };
    let websocket = [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-key", "x"),
        ("sec-websocket-version", "13"),
    ];
    let with = |protocol: &'static str| [&websocket[..], &[("sec-websocket-protocol", protocol)]].concat();
    let ws = |name: &str| Ok(Protocol::WebSocket { name: name.into() });
    check(&with("v4.channel.k8s.io, v5.channel.k8s.io"), false, ws("v5.channel.k8s.io"));
    check(&with(TUNNEL), true, ws(TUNNEL));
    check(&websocket, false, ws(""));
    check(&with("v9.channel.k8s.io"), false, Err(403));
    let spdy = [
        ("connection", "Upgrade"),
        ("upgrade", "SPDY/3.1"),
        ("x-stream-protocol-version", "v4.channel.k8s.io"),
        ("x-stream-protocol-version", "channel.k8s.io"),
    ];
    check(&spdy, false, Ok(Protocol::Spdy { name: "v4.channel.k8s.io".into() }));
    check(&spdy, true, Err(403));
    check(&[("host", "x")], false, Err(400));
}
