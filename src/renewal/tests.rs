use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Result, anyhow};
use api::User;
use apiserver::ServingCertificate;
use bootstrap::join::agent::{Membership, keep, prepare};
use bootstrap::pki::Pair;
use bootstrap::token::Token;
use client::{Client, Https};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::json;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::sync::CancellationToken;

use super::{EVERY, NodeCertificates, RETRY, Renew, Signer, run};
use crate::server::testing::{Running, SECRET, free_port, start};

const DAY: Duration = Duration::from_secs(86_400);
const NODE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

fn der(pem: &str) -> Vec<u8> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
}

/// The certificate a server shows, after it has proven itself to the CA.
async fn shown(address: &str, ca: &str) -> Vec<u8> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
    let tls = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let tcp = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(tls)).connect(name, tcp).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

/// Who the API server takes a caller for: its name, and the certificate that proves it.
async fn recognized(transport: Https) -> (String, String) {
    let client = Client::new(Arc::new(transport), User::new("whoever", Vec::<String>::new()));
    let review = api::resource::find("authentication.k8s.io", "v1", "selfsubjectreviews").unwrap();
    let asked = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let answer = client.create(review, "", asked).await.unwrap().to_value().unwrap();
    let info = &answer["status"]["userInfo"];
    let credential = &info["extra"]["authentication.kubernetes.io/credential-id"][0];
    (info["username"].as_str().unwrap().into(), credential.as_str().unwrap().into())
}

#[tokio::test]
async fn the_servers_certificates_are_renewed_while_it_runs() {
    let (dir, now) = (tempfile::tempdir().unwrap(), SystemTime::now());
    let born = now - DAY * 300;
    let mut server = start(free_port(), dir.path(), born).await;
    let (address, ca) = (server.url.authority().unwrap().to_string(), server.leaves.certificates.ca.cert().to_owned());
    let kubeconfig = server.leaves.kubeconfig.path.clone();
    let open = Https::from_kubeconfig(&kubeconfig).await.unwrap();
    let old = server.leaves.certificates.leaves.clone();
    let (admin, old_credential) = recognized(open.clone()).await;
    assert_eq!(admin, "kubernetes-admin");
    assert_eq!(shown(&address, &ca).await, der(&old.apiserver.cert));

    server.leaves.renew(born + DAY * 200).await.unwrap();
    assert_eq!(shown(&address, &ca).await, der(&old.apiserver.cert), "it is not time yet");

    server.leaves.renew(now).await.unwrap();
    let new = server.leaves.certificates.leaves.clone();
    assert_eq!(shown(&address, &ca).await, der(&new.apiserver.cert));
    for (old, new) in [
        (&old.apiserver, &new.apiserver),
        (&old.kubelet_client, &new.kubelet_client),
        (&old.front_proxy_client, &new.front_proxy_client),
        (&old.admin, &new.admin),
    ] {
        assert!(old != new && old.is_due(now) && !new.is_due(now));
    }
    assert_eq!(recognized(open).await, (admin.clone(), old_credential.clone()), "open connections stay");
    let (again, credential) = recognized(Https::from_kubeconfig(&kubeconfig).await.unwrap()).await;
    assert!(again == admin && credential != old_credential, "the kubeconfig holds the new certificate");

    server.leaves.renew(now).await.unwrap();
    assert_eq!(shown(&address, &ca).await, der(&new.apiserver.cert), "once is enough");
}

/// A node whose certificates were made at `born`, and where the kubelet would listen.
async fn node(server: &Running, dir: &TempDir, token: &str, born: SystemTime) -> (NodeCertificates, String) {
    let joins = &server.plane.joins;
    let (request, keys) = prepare(dir.path(), "n1", &[NODE]).unwrap();
    joins.claim("n1", &request.node_password).await.unwrap();
    let ca = joins.ca.cert().to_owned();
    let membership = keep(dir.path(), ca, keys, joins.issue(&request, born).unwrap()).unwrap();
    let Membership { ca, client: Pair { cert, key }, serving, .. } = &membership;
    let client = Https::new(&server.url.to_string(), ca.as_bytes(), cert.as_bytes(), key.as_bytes()).unwrap();
    let serving = Arc::new(ServingCertificate::from_pem(&serving.cert, &serving.key).unwrap());
    let tls = rustls::ServerConfig::builder().with_no_client_auth().with_cert_resolver(serving.clone());
    let kubelet = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = kubelet.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let tls = TlsAcceptor::from(Arc::new(tls));
        while let Ok((stream, _)) = kubelet.accept().await {
            // The client has seen what it wants to and goes.
            let _ = tls.accept(stream).await;
        }
    });
    let node = NodeCertificates {
        signer: Signer::Elsewhere(server.url.clone(), Token::parse(token).unwrap()),
        dir: dir.path().into(),
        name: "n1".into(),
        addresses: vec![NODE],
        membership,
        client,
        serving,
    };
    (node, address)
}

#[tokio::test]
async fn a_node_shows_new_certificates_without_a_restart() {
    let (dirs, now) = ([(); 2].map(|()| tempfile::tempdir().unwrap()), SystemTime::now());
    let server = start(free_port(), dirs[0].path(), now).await;
    let signers: [fn(&Running, &str) -> Signer; 3] = [
        |server, token| Signer::Elsewhere(server.url.clone(), Token::parse(token).unwrap()),
        // The token is gone: the certificate that is about to expire will do.
        |server, _| Signer::Elsewhere(server.url.clone(), Token::parse("abcdef.0123456789abcdef").unwrap()),
        |server, _| Signer::Own(server.plane.joins.clone()),
    ];
    for signer in signers {
        let (mut node, kubelet) = node(&server, &dirs[1], SECRET, now - DAY * 300).await;
        node.signer = signer(&server, SECRET);
        let old = node.membership.clone();
        let before = recognized(node.client.clone()).await;
        assert_eq!(before.0, "system:node:n1");
        assert_eq!(shown(&kubelet, &old.ca).await, der(&old.serving.cert));

        node.renew(now - DAY * 100).await.unwrap();
        assert_eq!(node.membership.client, old.client, "it is not time yet");

        node.renew(now).await.unwrap();
        assert_eq!(shown(&kubelet, &old.ca).await, der(&node.membership.serving.cert));
        let after = recognized(node.client.clone()).await;
        assert!(after.0 == before.0 && after.1 != before.1, "{after:?}");
        assert!(!node.membership.is_due(now) && node.membership.client != old.client);
    }
}

#[tokio::test]
async fn an_expired_certificate_proves_nothing() {
    let (dirs, now) = ([(); 2].map(|()| tempfile::tempdir().unwrap()), SystemTime::now());
    let server = start(free_port(), dirs[0].path(), now).await;
    let (mut node, _) = node(&server, &dirs[1], "gone", now - DAY * 400).await;
    let old = node.membership.clone();
    let error = format!("{:#}", node.renew(now).await.unwrap_err());
    assert!(error.contains("the token is not valid here"), "{error}");
    assert_eq!(node.membership.client, old.client);
    // With a token it comes back.
    node.signer = Signer::Elsewhere(server.url.clone(), Token::parse(SECRET).unwrap());
    node.renew(now).await.unwrap();
    assert_eq!(recognized(node.client).await.0, "system:node:n1");
}

/// Answers as it is told, and says when it was asked.
struct Told {
    outcomes: VecDeque<Result<()>>,
    asked: mpsc::UnboundedSender<tokio::time::Instant>,
}

impl Renew for Told {
    const WHOSE: &'static str = "the test";

    async fn renew(&mut self, _: SystemTime) -> Result<()> {
        self.asked.send(tokio::time::Instant::now()).unwrap();
        self.outcomes.pop_front().unwrap_or(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn looks_twice_a_day_and_sooner_after_a_failure() {
    let (asked, mut looks) = mpsc::unbounded_channel();
    let failed = || Err(anyhow!("away"));
    let outcomes = [Ok(()), failed(), failed(), failed(), Ok(()), failed(), Ok(())].into();
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(run(Told { outcomes, asked }, shutdown.clone()));
    let mut last = looks.recv().await.unwrap();
    for expect in [EVERY, RETRY, RETRY * 2, RETRY * 4, EVERY, RETRY, EVERY, EVERY] {
        let next = looks.recv().await.unwrap();
        // Timers are rounded up to a millisecond.
        assert_eq!((next - last).as_secs(), expect.as_secs());
        last = next;
    }
    shutdown.cancel();
    running.await.unwrap();
}
