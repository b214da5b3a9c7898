//! Port-forward: pairs of data and error streams over SPDY, or pairs of channels over an old WebSocket protocol.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use runtime::spdy::{Connection, Stream};
use runtime::{Reader, Runtime, Session, Writer};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tracing::debug;

use super::websocket::{Form, accept};
use super::{Io, bridge};

/// The second stream of a pair must come by then.
const PAIR: Duration = Duration::from_secs(30);
/// Pairs that wait for their second stream at the same time.
const WAITING: usize = 128;

/// Serves pairs of streams, each a connection to a port, until the client is gone.
pub(super) async fn spdy(io: impl Io, runtime: Arc<dyn Runtime>, sandbox: String) {
    let mut connection = Connection::server(io);
    let mut waiting: HashMap<String, (Stream, tokio::time::Instant)> = HashMap::new();
    let mut tasks = tokio::task::JoinSet::new();
    while let Some(stream) = connection.accept_stream().await {
        while tasks.try_join_next().is_some() {}
        waiting.retain(|_, (_, since)| since.elapsed() < PAIR);
        let Some(port) = stream.headers().get("port").and_then(|p| p.parse::<u16>().ok()).filter(|p| *p > 0) else {
            stream.reset();
            continue;
        };
        // Old clients send no request id: the error stream comes first and has the id before the data stream's.
        let kind = stream.headers().get("streamtype").unwrap_or_default().to_owned();
        let request = match stream.headers().get("requestid") {
            Some(id) => id.to_owned(),
            None if kind == "error" => stream.id().to_string(),
            None => stream.id().saturating_sub(2).to_string(),
        };
        let pair = match (waiting.remove(&request), kind.as_str()) {
            (Some((error, _)), "data") => Some((stream, error)),
            (Some((data, _)), "error") => Some((data, stream)),
            (None, "data" | "error") if waiting.len() < WAITING => {
                waiting.insert(request, (stream, tokio::time::Instant::now()));
                None
            }
            _ => {
                stream.reset();
                None
            }
        };
        if let Some((data, error)) = pair {
            tasks.spawn(connect(data, error, runtime.clone(), sandbox.clone(), port));
        }
    }
    // The client is gone: its connections go with it.
    tasks.shutdown().await;
}

async fn connect(data: Stream, mut error: Stream, runtime: Arc<dyn Runtime>, sandbox: String, port: u16) {
    let result = match runtime.port_forward(&sandbox, port).await {
        Ok(session) => {
            let (from, to) = tokio::io::split(data);
            relay(session, Box::pin(from), Box::pin(to)).await
        }
        Err(failure) => Err(failure.to_string()),
    };
    if let Err(why) = result {
        debug!(port, why, "port-forward failed");
        let text = format!(
            "an error occurred forwarding {port} -> {port}: error forwarding port {port} to pod {sandbox}, uid : {why}"
        );
        let _ = error.write_all(text.as_bytes()).await;
    }
    let _ = error.shutdown().await;
}

/// Copies both ways until both are done.
async fn relay(session: Session, from: Reader, to: Writer) -> Result<(), String> {
    let Session { stdin, stdout, status, .. } = session;
    let (Some(stdin), Some(stdout)) = (stdin, stdout) else { return Err("the runtime gave no streams".into()) };
    let inward = bridge::copy(from, stdin);
    let outward = bridge::copy(stdout, to);
    let ended = async {
        match status.await {
            Ok(runtime::SessionEnd::Failed(why)) => Err(why),
            Ok(runtime::SessionEnd::Exited(_)) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    };
    let both = async {
        tokio::pin!(inward);
        tokio::pin!(outward);
        tokio::select! {
            // The server's side ended: what the client still sends has no reader.
            () = &mut outward => {}
            () = &mut inward => outward.await,
        }
    };
    let (result, ()) = tokio::join!(ended, both);
    result
}

/// The protocol before tunnels: channel 2n carries data of the n-th port of the query, channel 2n+1 its errors; both begin with the port in two
/// little-endian bytes.
pub(super) async fn websocket(
    io: impl Io,
    protocol: &str,
    runtime: Arc<dyn Runtime>,
    sandbox: String,
    ports: Vec<u16>,
) {
    let form = Form::of(protocol);
    let (mut sink, mut source) = accept(io).await.split();
    let (out, mut queue) = mpsc::channel::<(u8, Vec<u8>)>(16);
    let mut inputs: Vec<Option<DuplexStream>> = Vec::new();
    let mut tasks = tokio::task::JoinSet::new();
    for (index, port) in ports.iter().copied().enumerate().take(100) {
        let channel = index as u8 * 2;
        for c in [channel, channel + 1] {
            let _ = out.send((c, port.to_le_bytes().to_vec())).await;
            // The queue is short; what is in it goes out below.
            while let Ok((c, bytes)) = queue.try_recv() {
                if sink.send(form.message(c, &bytes)).await.is_err() {
                    return;
                }
            }
        }
        let (near, far) = tokio::io::duplex(64 << 10);
        inputs.push(Some(near));
        let (out, runtime, sandbox) = (out.clone(), runtime.clone(), sandbox.clone());
        tasks.spawn(async move {
            let failed = match runtime.port_forward(&sandbox, port).await {
                Err(error) => Some(error.to_string()),
                Ok(session) => {
                    let (to, mut output) = tokio::io::duplex(64 << 10);
                    let data = out.clone();
                    let pump = async move {
                        let mut buffer = vec![0; 32 << 10];
                        while let Ok(n @ 1..) = output.read(&mut buffer).await {
                            if data.send((channel, buffer[..n].to_vec())).await.is_err() {
                                return;
                            }
                        }
                    };
                    let (result, ()) = tokio::join!(relay(session, Box::pin(far), Box::pin(to)), pump);
                    result.err()
                }
            };
            if let Some(why) = failed {
                let _ = out.send((channel + 1, why.into_bytes())).await;
            }
        });
    }
    drop(out);
    loop {
        tokio::select! {
            outgoing = queue.recv() => match outgoing {
                Some((channel, bytes)) => if sink.send(form.message(channel, &bytes)).await.is_err() { break },
                None => break,
            },
            incoming = source.next() => {
                let bytes = match incoming {
                    Some(Ok(Message::Binary(bytes))) => bytes,
                    Some(Ok(Message::Text(text))) => text.into(),
                    Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                    Some(Ok(_)) => continue,
                };
                let Some((channel, data)) = form.parse(&bytes) else { continue };
                if channel % 2 == 0
                    && let Some(slot) = inputs.get_mut(usize::from(channel / 2))
                    && let Some(pipe) = slot
                    && pipe.write_all(&data).await.is_err()
                {
                    *slot = None;
                }
            }
        }
    }
    super::websocket::close(&mut sink).await;
    tasks.shutdown().await;
}
