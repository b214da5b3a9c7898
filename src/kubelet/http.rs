//! A small HTTP client for probes and hooks: one request a connection, bounded, certificates not checked (upstream does not either).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;

/// More of a body is of no use to a probe.
const BODY_LIMIT: usize = 10 << 10;
const REDIRECTS: usize = 10;

/// What to ask for.
#[derive(Clone, Debug)]
pub(crate) struct Get {
    pub(crate) https: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
}

impl Get {
    pub(crate) fn url(&self) -> String {
        let scheme = if self.https { "https" } else { "http" };
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let slash = if self.path.starts_with('/') { "" } else { "/" };
        format!("{scheme}://{host}:{}{slash}{}", self.port, self.path)
    }
}

/// Status and the beginning of the body; or why there is none, in Go's words. Redirects on the same host are followed.
pub(crate) async fn get(request: &Get, timeout: Duration) -> Result<(u16, String), String> {
    let first = request.url();
    match tokio::time::timeout(timeout, follow(request.clone())).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(why)) => Err(format!("Get \"{first}\": {why}")),
        Err(_) => {
            Err(format!("Get \"{first}\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"))
        }
    }
}

async fn follow(mut request: Get) -> Result<(u16, String), String> {
    for _ in 0..REDIRECTS {
        let (status, location, body) = once(&request).await?;
        let Some(location) = location.filter(|_| (300..400).contains(&status)) else { return Ok((status, body)) };
        let Ok(uri) = location.parse::<Uri>() else { return Ok((status, body)) };
        // A redirect to elsewhere says the server is up; where it leads is not the probe's concern.
        if uri.host().is_some_and(|host| host != request.host) {
            return Ok((status, body));
        }
        if let Some(scheme) = uri.scheme_str() {
            request.https = scheme == "https";
            request.port = uri.port_u16().unwrap_or(if request.https { 443 } else { 80 });
        }
        request.path = uri.path_and_query().map_or("/".into(), ToString::to_string);
    }
    Err("stopped after 10 redirects".into())
}

async fn once(request: &Get) -> Result<(u16, Option<String>, String), String> {
    let stream = connect(&request.host, request.port).await?;
    if request.https {
        let name = ServerName::try_from(request.host.clone()).map_err(|error| error.to_string())?;
        // Probes ask whether a server answers, not who it is.
        let tls = client::trust::anyone().map_err(|error| error.to_string())?;
        let tls = tokio_rustls::TlsConnector::from(Arc::new(tls))
            .connect(name, stream)
            .await
            .map_err(|error| error.to_string())?;
        exchange(request, tls).await
    } else {
        exchange(request, stream).await
    }
}

/// A TCP connection, with Go's words for its failure.
pub(crate) async fn connect(host: &str, port: u16) -> Result<TcpStream, String> {
    TcpStream::connect((host, port)).await.map_err(|error| {
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let why = match error.kind() {
            std::io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
            std::io::ErrorKind::TimedOut => "i/o timeout".to_owned(),
            std::io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
            _ => error.to_string(),
        };
        format!("dial tcp {host}:{port}: {why}")
    })
}

async fn exchange<S>(request: &Get, stream: S) -> Result<(u16, Option<String>, String), String>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let driver = tokio::spawn(connection);
    let answer = async {
        let path = if request.path.is_empty() { "/" } else { &request.path };
        let mut builder = Request::builder().method(Method::GET).uri(if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/{path}")
        });
        let named = |name: &str| request.headers.iter().any(|(key, _)| key.eq_ignore_ascii_case(name));
        if !named("host") {
            builder = builder.header(header::HOST, format!("{}:{}", request.host, request.port));
        }
        if !named("user-agent") {
            builder = builder.header(header::USER_AGENT, "kube-probe/1.35");
        }
        if !named("accept") {
            builder = builder.header(header::ACCEPT, "*/*");
        }
        for (key, value) in &request.headers {
            builder = builder.header(key, value);
        }
        let sent = builder.body(Full::<Bytes>::default()).map_err(|error| error.to_string())?;
        let response = sender
            .send_request(sent)
            .await
            .map_err(|error| if error.is_incomplete_message() { "EOF".to_owned() } else { error.to_string() })?;
        let status = response.status().as_u16();
        let location = response.headers().get(header::LOCATION).and_then(|l| l.to_str().ok()).map(str::to_owned);
        // A body beyond the limit is cut off, which is no failure of the probe.
        let body =
            Limited::new(response.into_body(), BODY_LIMIT).collect().await.map(|b| b.to_bytes()).unwrap_or_default();
        Ok((status, location, String::from_utf8_lossy(&body).into_owned()))
    }
    .await;
    driver.abort();
    answer
}

/// grpc.health.v1.Health/Check; Ok when SERVING, else why not, in upstream's words.
pub(crate) async fn grpc_health(host: &str, port: u16, service: &str, timeout: Duration) -> Result<(), String> {
    match tokio::time::timeout(timeout, check(host, port, service)).await {
        Ok(answer) => answer,
        Err(_) => Err(format!(
            "timeout: failed to connect service \"{host}:{port}\" within {timeout:?}: context deadline exceeded"
        )),
    }
}

async fn check(host: &str, port: u16, service: &str) -> Result<(), String> {
    let stream = connect(host, port)
        .await
        .map_err(|why| format!("error: failed to connect service at \"{host}:{port}\": {why}"))?;
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    let driver = tokio::spawn(connection);
    let answer = async {
        // The request is one message with one string field; five bytes of gRPC framing stand before it.
        let mut message = Vec::new();
        if !service.is_empty() {
            message.extend([0x0a, u8::try_from(service.len()).map_err(|_| "service name too long")?]);
            message.extend(service.as_bytes());
        }
        let mut body = vec![0];
        body.extend((message.len() as u32).to_be_bytes());
        body.extend(message);
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://{host}:{port}/grpc.health.v1.Health/Check"))
            .header(header::CONTENT_TYPE, "application/grpc")
            .header(header::TE, "trailers")
            .header(header::USER_AGENT, "kube-probe/1.35")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| error.to_string())?;
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let early = response.headers().get("grpc-status").cloned();
        let collected =
            Limited::new(response.into_body(), BODY_LIMIT).collect().await.map_err(|error| error.to_string())?;
        let trailers = collected.trailers().cloned().unwrap_or_default();
        let code = early.or_else(|| trailers.get("grpc-status").cloned());
        match code.as_ref().and_then(|c| c.to_str().ok()).unwrap_or("2") {
            "0" => {}
            "12" => {
                return Err(
                    "error: this server does not implement the grpc health protocol (grpc.health.v1.Health)".into()
                );
            }
            code => return Err(format!("error: health rpc probe failed with status {code}")),
        }
        let bytes = collected.to_bytes();
        match bytes.get(5..) {
            Some([0x08, 1, ..]) => Ok(()),
            Some([0x08, status, ..]) => Err(format!(
                "service unhealthy (responded with \"{}\")",
                ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"]
                    .get(usize::from(*status))
                    .unwrap_or(&"UNKNOWN")
            )),
            _ => Err("service unhealthy (responded with \"UNKNOWN\")".into()),
        }
    }
    .await;
    driver.abort();
    answer
}
