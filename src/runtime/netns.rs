//! Connections that begin inside a pod's network namespace.

use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use tokio::sync::oneshot;

use crate::{Error, Result};

const CONNECT: Duration = Duration::from_secs(10);

/// Connects to a port on the loopback of a network namespace, IPv4 first; None is our own namespace.
///
/// containerd can do this as well, but does not pass on a half-closed stream: requests that end with their input would never be answered.
pub(crate) async fn connect(netns: Option<PathBuf>, port: u16) -> Result<tokio::net::TcpStream> {
    let (sender, receiver) = oneshot::channel();
    // A thread of its own, because it may not serve anything else once it has entered the namespace. A socket stays in the one it was made in.
    std::thread::Builder::new()
        .name("netns-connect".into())
        .spawn(move || drop(sender.send(connect_here(netns.as_deref(), port))))
        .map_err(Error::io("cannot start a thread for", "port-forward"))?;
    let connected = receiver.await.unwrap_or_else(|_| Err(io::Error::other("the connecting thread died")));
    connected
        .and_then(tokio::net::TcpStream::from_std)
        .map_err(|error| Error::Other(format!("cannot connect to port {port} in the pod: {error}")))
}

fn connect_here(netns: Option<&Path>, port: u16) -> io::Result<TcpStream> {
    if let Some(path) = netns {
        setns(File::open(path)?, CloneFlags::CLONE_NEWNET)?;
    }
    let try_at = |ip: IpAddr| TcpStream::connect_timeout(&SocketAddr::new(ip, port), CONNECT);
    let stream = try_at(Ipv4Addr::LOCALHOST.into()).or_else(|v4| try_at(Ipv6Addr::LOCALHOST.into()).map_err(|_| v4))?;
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    struct Namespace(String);

    impl Namespace {
        fn new() -> Namespace {
            let namespace = Namespace(format!("isopod-rt-{}", std::process::id()));
            namespace.ip(&["netns", "add", &namespace.0]);
            namespace.ip(&["-n", &namespace.0, "link", "set", "lo", "up"]);
            namespace
        }

        fn ip(&self, arguments: &[&str]) {
            assert!(Command::new("ip").args(arguments).status().expect("these tests need iproute2").success());
        }
    }

    impl Drop for Namespace {
        fn drop(&mut self) {
            self.ip(&["netns", "delete", &self.0]);
        }
    }

    #[tokio::test]
    async fn the_connection_is_made_inside_and_used_outside() {
        let namespace = Namespace::new();
        let path = PathBuf::from(format!("/run/netns/{}", namespace.0));
        let inside = path.clone();
        let listener = std::thread::spawn(move || {
            setns(File::open(inside).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
            std::net::TcpListener::bind("[::1]:0").unwrap()
        });
        let listener = listener.join().unwrap();
        let port = listener.local_addr().unwrap().port();
        let stream = connect(Some(path), port).await.unwrap();
        assert_eq!(listener.accept().unwrap().1, stream.local_addr().unwrap());
        let refused = connect(None, port).await;
        assert!(matches!(refused, Err(Error::Other(text)) if text.contains("refused")));
        assert!(connect(Some("/nowhere".into()), port).await.is_err());
    }
}
