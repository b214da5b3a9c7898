//! Client of containerd's streaming server: the URL a CRI exec or attach call answers becomes a [`Session`].

use std::io;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::spdy::{Connection, Headers, Stream};
use crate::{Error, Result, Session, SessionEnd, StreamOptions, TerminalSize};

/// With the exit code as a Status on the error stream. containerd does not know v5.
const REMOTE_COMMAND: &str = "v4.channel.k8s.io";
/// The most an error stream may say.
const ERROR_LIMIT: u64 = 64 << 10;

/// Joins the exec or attach waiting behind `url`.
pub(crate) async fn remote_command(url: &str, options: StreamOptions) -> Result<Session> {
    let connection = upgrade(url).await?;
    let open = async |kind: &str, wanted: bool| match wanted {
        true => connection.open_stream(Headers::new().with("streamtype", kind)).await.map(Some).map_err(lost),
        false => Ok(None),
    };
    let errors = connection.open_stream(Headers::new().with("streamtype", "error")).await.map_err(lost)?;
    let stdin = open("stdin", options.stdin).await?;
    let stdout = open("stdout", options.stdout).await?;
    let stderr = open("stderr", options.stderr && !options.tty).await?;
    let resize = open("resize", options.tty).await?;
    Ok(Session {
        stdin: stdin.map(|stream| Box::pin(stream) as crate::Writer),
        stdout: stdout.map(|stream| Box::pin(stream) as crate::Reader),
        stderr: stderr.map(|stream| Box::pin(stream) as crate::Reader),
        resize: resize.map(send_sizes),
        status: background(async move {
            let text = read_all(errors).await.map_err(lost)?;
            session_end(&text)
        }),
    })
}

async fn upgrade(url: &str) -> Result<Connection> {
    let uri: http::Uri = url.parse().map_err(|_| Error::Other(format!("the streaming URL {url:?} is malformed")))?;
    let address = match (uri.scheme_str(), uri.authority()) {
        (Some("http"), Some(authority)) => authority.as_str(),
        _ => return Err(Error::Other("the streaming server does not serve plain HTTP".to_owned())),
    };
    let tcp = TcpStream::connect(address).await.map_err(lost)?;
    tcp.set_nodelay(true).map_err(lost)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tcp)).await.map_err(lost)?;
    // Ends with the upgraded stream, or with the request's failure.
    tokio::spawn(connection.with_upgrades());
    let request = http::Request::post(uri.path_and_query().map_or("/", |path| path.as_str()))
        .header(http::header::HOST, address)
        .header(http::header::CONNECTION, "Upgrade")
        .header(http::header::UPGRADE, "SPDY/3.1")
        .header("X-Stream-Protocol-Version", REMOTE_COMMAND)
        .body(Empty::<Bytes>::new())
        .map_err(|_| Error::Other(format!("the streaming URL {url:?} is malformed")))?;
    let response = sender.send_request(request).await.map_err(lost)?;
    if response.status() != http::StatusCode::SWITCHING_PROTOCOLS {
        let status = response.status();
        let body = Limited::new(response.into_body(), ERROR_LIMIT as usize).collect().await;
        let text = body.map(|body| String::from_utf8_lossy(&body.to_bytes()).trim().to_owned()).unwrap_or_default();
        return Err(Error::Other(format!("the streaming server answered {status}: {text}")));
    }
    let upgraded = hyper::upgrade::on(response).await.map_err(lost)?;
    Ok(Connection::client(TokioIo::new(upgraded)))
}

/// Runs now, so that the error stream never holds up the others; ends when nobody wants the result any more.
fn background<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> BoxFuture<'static, Result<T>> {
    let task = AbortOnDropHandle::new(tokio::spawn(work));
    async move { task.await.unwrap_or_else(|error| Err(lost(error))) }.boxed()
}

fn send_sizes(mut stream: Stream) -> mpsc::Sender<TerminalSize> {
    let (sender, mut receiver) = mpsc::channel::<TerminalSize>(4);
    tokio::spawn(async move {
        while let Some(size) = receiver.recv().await {
            let text = format!("{{\"Width\":{},\"Height\":{}}}\n", size.width, size.height);
            if stream.write_all(text.as_bytes()).await.is_err() {
                return;
            }
        }
    });
    sender
}

async fn read_all(stream: Stream) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    stream.take(ERROR_LIMIT).read_to_end(&mut text).await?;
    Ok(text)
}

/// Reads the Status that ends a remote command.
fn session_end(text: &[u8]) -> Result<SessionEnd> {
    #[derive(serde::Deserialize, Default)]
    #[serde(default)]
    struct Status {
        status: String,
        reason: String,
        message: String,
        details: Details,
    }
    #[derive(serde::Deserialize, Default)]
    #[serde(default)]
    struct Details {
        causes: Vec<Cause>,
    }
    #[derive(serde::Deserialize, Default)]
    #[serde(default)]
    struct Cause {
        reason: String,
        message: String,
    }
    if text.is_empty() {
        return Err(Error::Unavailable("the session was cut off".to_owned()));
    }
    let status: Status = serde_json::from_slice(text)
        .map_err(|_| Error::Other(format!("the session ended with {:?}", String::from_utf8_lossy(text))))?;
    if status.status == "Success" {
        return Ok(SessionEnd::Exited(0));
    }
    let code = status
        .details
        .causes
        .iter()
        .find(|cause| cause.reason == "ExitCode")
        .and_then(|cause| cause.message.parse().ok());
    Ok(match code {
        Some(code) if status.reason == "NonZeroExitCode" => SessionEnd::Exited(code),
        _ => SessionEnd::Failed(status.message),
    })
}

fn lost(error: impl std::fmt::Display) -> Error {
    Error::Unavailable(format!("the streaming connection failed: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_status_becomes_the_end_of_the_session() {
        let check =
            |text: &str, expect: SessionEnd| assert_eq!(session_end(text.as_bytes()).unwrap(), expect, "{text}");
        check(r#"{"metadata":{},"status":"Success"}"#, SessionEnd::Exited(0));
        check(
            r#"{"metadata":{},"status":"Failure","message":"command terminated with non-zero exit code","reason":"NonZeroExitCode",
               "details":{"causes":[{"reason":"ExitCode","message":"42"}]}}"#,
            SessionEnd::Exited(42),
        );
        check(
            r#"{"status":"Failure","message":"no such file","reason":"InternalError","details":{"causes":[{"message":"x"}]}}"#,
            SessionEnd::Failed("no such file".to_owned()),
        );
        assert!(matches!(session_end(b""), Err(Error::Unavailable(_))));
        assert!(matches!(session_end(b"garbage"), Err(Error::Other(_))));
    }
}
