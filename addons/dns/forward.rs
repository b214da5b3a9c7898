//! Questions about the rest of the world go to the node's own name servers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use hickory_proto::op::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

/// How long one name server may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// The largest answer by UDP.
const DATAGRAM: usize = 4096;

/// The name servers of a resolv.conf, loopback ones that would be ourselves left out.
pub(super) fn name_servers(resolv_conf: &Path, own: IpAddr) -> Vec<SocketAddr> {
    let text = std::fs::read_to_string(resolv_conf).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    let addresses = lines.filter_map(|rest| rest.trim().split('%').next()?.parse::<IpAddr>().ok());
    addresses.filter(|ip| *ip != own).map(|ip| SocketAddr::new(ip, 53)).collect()
}

/// Asks one server after the other; the first that answers wins.
pub(super) async fn ask(servers: &[SocketAddr], question: &Message) -> Option<Message> {
    let bytes = question.to_vec().ok()?;
    for server in servers {
        match tokio::time::timeout(PATIENCE, exchange(*server, &bytes, question.metadata.id)).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => tracing::debug!(%server, %error, "name server failed"),
            Err(_) => tracing::debug!(%server, "name server did not answer in time"),
        }
    }
    None
}

async fn exchange(server: SocketAddr, question: &[u8], id: u16) -> std::io::Result<Message> {
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { std::net::Ipv6Addr::UNSPECIFIED.into() };
    // A fresh port each time, and a connected socket: only this server's answers arrive.
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(question).await?;
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let length = socket.recv(&mut buffer).await?;
        match Message::from_vec(&buffer[..length]) {
            Ok(answer) if answer.metadata.id != id => {}
            Ok(answer) if answer.metadata.truncation => return by_tcp(server, question).await,
            Ok(answer) => return Ok(answer),
            Err(error) => return Err(std::io::Error::other(error)),
        }
    }
}

async fn by_tcp(server: SocketAddr, question: &[u8]) -> std::io::Result<Message> {
    let mut stream = TcpStream::connect(server).await?;
    stream.write_u16(question.len() as u16).await?;
    stream.write_all(question).await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    Message::from_vec(&answer).map_err(std::io::Error::other)
}
