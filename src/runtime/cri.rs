//! [`Runtime`](crate::Runtime) over the Container Runtime Interface v1, as containerd serves it on its socket.

mod calls;
mod events;
mod read;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use k8s_cri::v1::image_service_client::ImageServiceClient;
use k8s_cri::v1::runtime_service_client::RuntimeServiceClient;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};

use crate::{Error, Result};

/// The largest answer taken; lists of many containers are large, and an `exec_sync` carries up to twice 16 MiB.
pub(crate) const MAX_MESSAGE: usize = 40 << 20;

/// How long calls may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// Most calls. Upstream's `runtimeRequestTimeout`.
    pub request: Duration,
    /// Making a sandbox, which waits for the network plugins.
    pub sandbox: Duration,
    /// Pulling an image.
    pub pull: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            request: Duration::from_secs(120),
            sandbox: Duration::from_secs(240),
            pull: Duration::from_secs(3600),
        }
    }
}

/// A client of containerd's CRI. Cheap to clone; clones share one connection.
///
/// It connects when first used and again whenever the connection broke, so it may be made before containerd runs and lives through its
/// restarts: meanwhile calls answer [`Error::Unavailable`].
#[derive(Debug, Clone)]
pub struct Cri {
    runtime: RuntimeServiceClient<Channel>,
    images: ImageServiceClient<Channel>,
    channel: Channel,
    timeouts: Timeouts,
    pinned: Arc<[String]>,
}

impl Cri {
    /// A client for the socket at `path`. Nothing is connected yet.
    pub fn new(path: impl AsRef<Path>, timeouts: Timeouts) -> Result<Cri> {
        let channel = channel(path.as_ref())?;
        Ok(Cri {
            runtime: RuntimeServiceClient::new(channel.clone()).max_decoding_message_size(MAX_MESSAGE),
            images: ImageServiceClient::new(channel.clone()).max_decoding_message_size(MAX_MESSAGE),
            channel,
            timeouts,
            pinned: Arc::default(),
        })
    }

    /// Images of these full names show as pinned, which containerd itself does only since 1.7.
    pub fn pinning(self, names: impl IntoIterator<Item = String>) -> Cri {
        Cri { pinned: names.into_iter().collect(), ..self }
    }
}

/// A gRPC channel to a Unix socket that connects when used.
pub(crate) fn channel(path: &Path) -> Result<Channel> {
    // tonic wants a URI; the connector ignores it.
    let endpoint = Endpoint::from_static("http://containerd.invalid").connect_timeout(Duration::from_secs(5));
    let path: PathBuf = path.to_owned();
    if path.as_os_str().len() > crate::SOCKET_PATH_MAX {
        return Err(Error::Config(crate::socket_path_too_long(&path)));
    }
    Ok(endpoint.connect_with_connector_lazy(tower::service_fn(move |_| {
        let path = path.clone();
        async move { Ok::<_, std::io::Error>(TokioIo::new(UnixStream::connect(path).await?)) }
    })))
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::UnixListener;

    use super::*;
    use crate::Runtime;

    /// What a call says about the socket of a test.
    async fn call(path: &Path) -> Error {
        let timeouts = Timeouts { request: Duration::from_millis(300), ..Timeouts::default() };
        let cri = Cri::new(path, timeouts).unwrap();
        tokio::time::timeout(Duration::from_secs(20), cri.version()).await.expect("calls are bounded").unwrap_err()
    }

    #[tokio::test]
    async fn servers_that_are_absent_silent_or_mad_are_errors_in_time() {
        let dir = tempfile::tempdir().unwrap();
        let absent = call(&dir.path().join("absent")).await;
        assert!(matches!(absent, Error::Unavailable(_)), "{absent:?}");

        let listener = UnixListener::bind(dir.path().join("silent")).unwrap();
        let held = tokio::spawn(async move {
            let _stream = listener.accept().await.unwrap();
            std::future::pending::<()>().await;
        });
        let silent = call(&dir.path().join("silent")).await;
        assert!(matches!(silent, Error::DeadlineExceeded { what: "version", .. }), "{silent:?}");
        held.abort();

        let listener = UnixListener::bind(dir.path().join("mad")).unwrap();
        let mad = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nwhat?").await;
            }
        });
        let answer = call(&dir.path().join("mad")).await;
        assert!(answer.is_transient(), "{answer:?}");
        mad.abort();
    }

    #[test]
    fn a_path_no_socket_can_have_is_told_at_once() {
        let error = Cri::new(format!("/{}", "x".repeat(200)), Timeouts::default()).unwrap_err();
        assert!(matches!(error, Error::Config(text) if text.contains("107")));
    }
}
