use std::net::{IpAddr, Ipv4Addr};
use std::time::SystemTime;

use clap::Parser;
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::*;
use crate::cli::{Cli, Command};
use crate::server::testing::{SECRET, free_port, start};

const NODE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

fn url(port: u16) -> http::Uri {
    format!("https://127.0.0.1:{port}").parse().unwrap()
}

async fn member(port: u16, token: &str, dir: &TempDir, name: &str) -> Result<Membership> {
    let progress = Progress::begin("");
    membership(&url(port), &Token::parse(token).unwrap(), dir.path(), name, &[NODE], &progress).await
}

/// Answers so many attempts with a closed connection.
async fn turn_away(port: u16, attempts: usize) {
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    for _ in 0..attempts {
        drop(listener.accept().await.unwrap());
    }
}

fn dirs<const N: usize>() -> [TempDir; N] {
    [(); N].map(|()| tempfile::tempdir().unwrap())
}

#[test]
fn flags_that_cannot_work_are_named() {
    let check = |flags: &[&str], expect: Result<&str, &str>| {
        let Command::Agent(args) = Cli::parse_from([&["isopod", "agent"], flags].concat()).command else { panic!() };
        let outcome = server_and_token(&args).map(|(url, _)| url.to_string()).map_err(|e| format!("{e:#}"));
        match (outcome, expect) {
            (Ok(url), Ok(expect)) => assert_eq!(url, expect, "{flags:?}"),
            (Err(error), Err(expect)) => assert!(error.contains(expect), "{flags:?}: {error}"),
            (outcome, _) => panic!("{flags:?}: {outcome:?}"),
        }
    };
    let token = ["--token", "t"];
    check(&["--server", "https://h:6443/", "--token", "t"], Ok("https://h:6443/"));
    check(&token, Err("--server is missing"));
    check(&["--server", "http://h:6443", "--token", "t"], Err("must be of the form https://HOST:6443"));
    check(&["--server", "h:6443", "--token", "t"], Err("must be of the form https://HOST:6443"));
    check(&["--server", "https://a b", "--token", "t"], Err("is no URL"));
    check(&["--server", "https://h:6443"], Err("--token is missing"));
    check(&["--server", "https://h:6443", "--token", ""], Err("it is empty"));
    check(&["--server", "https://h:6443", "--token", "K10ab::x"], Err("not 64 hexadecimal digits"));
    check(&["--server", "https://h:6443", "--token-file", "/nowhere"], Err("--token-file /nowhere"));
}

#[tokio::test]
async fn waits_for_a_server_that_is_away() {
    let [data, agent] = dirs();
    let port = free_port();
    let away = tokio::spawn(turn_away(port, 1));
    let joining = async {
        tokio::task::yield_now().await;
        member(port, SECRET, &agent, "n1").await
    };
    let coming_back = async {
        away.await.unwrap();
        start(port, data.path(), SystemTime::now()).await
    };
    let (joined, _server) = tokio::join!(joining, coming_back);
    assert!(joined.unwrap().is_of("n1"));
}

#[tokio::test]
async fn a_refusal_ends_it_with_the_servers_words() {
    let [data, agent, other] = dirs();
    let port = free_port();
    let server = start(port, data.path(), SystemTime::now()).await;
    let check = async |token: &str, dir: &TempDir, words: &str| {
        let error = format!("{:#}", member(port, token, dir, "n1").await.err().unwrap());
        assert!(error.contains(words), "{error}");
    };
    check("wrong", &agent, "refused the join: the token is not valid here").await;
    check(&format!("K10{}::server:{SECRET}", "ab".repeat(32)), &agent, "the token was made for").await;
    member(port, SECRET, &agent, "n1").await.unwrap();
    check(SECRET, &other, "use another --node-name").await;
    assert!(kept(other.path()).unwrap().is_none());
    let error = first_contact(&server.url, &Token::parse(&format!("K10{}::x", "ab".repeat(32))).unwrap()).await;
    assert!(format!("{:#}", error.unwrap_err()).contains("the token was made for"));
}

#[tokio::test]
async fn a_member_starts_while_its_server_is_away_but_not_under_another_name() {
    let [data, agent] = dirs();
    let port = free_port();
    let server = start(port, data.path(), SystemTime::now()).await;
    let joined = member(port, SECRET, &agent, "n1").await.unwrap();
    drop(server);
    // The listener goes with the server, a moment later.
    while TcpListener::bind(("127.0.0.1", port)).await.is_err() {
        tokio::task::yield_now().await;
    }
    let kept = member(port, SECRET, &agent, "n1").await.unwrap();
    assert_eq!((kept.client, kept.cluster), (joined.client, joined.cluster));
    // Turned away twice means that it came again.
    tokio::select! {
        outcome = member(port, SECRET, &agent, "n2") => panic!("took another node's membership: {}", outcome.is_ok()),
        () = turn_away(port, 2) => {}
    }
}
