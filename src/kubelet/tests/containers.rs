//! The whole agent on a real containerd: pods that run, tell, log, answer on port 10250 and go.
//!
//! Needs root, containerd and runc. The API is in memory; the network is the node's own (pod networks are the network's tests).

#[path = "../../runtime/tests/node/mod.rs"]
mod node;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use api::{Object, Operation, Reply, Request, Resource, Status, User};
use bytes::Bytes;
use client::testing::Cluster;
use client::{Client, Transport};
use futures::future::BoxFuture;
use futures::{SinkExt, StreamExt};
use node::{BUSYBOX, Node};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::ResolvesServerCertUsingSni;
use rustls::sign::CertifiedKey;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_util::sync::CancellationToken;

/// The API in memory, with an authorizer that lets `admin` do everything.
struct Api(Cluster);

impl Transport for Api {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Reply, Status>> {
        if &*request.resource.plural == "subjectaccessreviews"
            && let Operation::Create(review, _) = &request.operation
        {
            let mut answer = review.clone();
            answer["status"] = json!({"allowed": review["spec"]["user"] == "admin"});
            let object = Object::received(Bytes::from(answer.to_string()), &request.resource).unwrap();
            return Box::pin(
                async move { Ok(Reply::Object { object: Arc::new(object), created: true, warnings: vec![] }) },
            );
        }
        self.0.call(request)
    }

    fn cache(&self, resource: &Arc<Resource>) -> Arc<watch_cache::Cache> {
        self.0.cache(resource)
    }

    fn resources(&self) -> Vec<Arc<Resource>> {
        self.0.resources()
    }
}

/// The cgroups the agent made for this test's pods.
struct Cgroups;

impl Drop for Cgroups {
    fn drop(&mut self) {
        node::remove_cgroups();
    }
}

struct Agent {
    cluster: Cluster,
    address: SocketAddr,
    ca: rcgen::CertifiedIssuer<'static, rcgen::KeyPair>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<kubelet::Result<()>>,
}

fn find(group: &str, plural: &str) -> &'static Arc<Resource> {
    api::resource::find(group, "v1", plural).unwrap()
}

impl Agent {
    async fn start(node: &Node, cluster: Cluster) -> Agent {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec![]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca = rcgen::CertifiedIssuer::self_signed(params, key).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let served = rcgen::CertificateParams::new(vec!["n1".to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let key = CertifiedKey::from_der(vec![served.der().clone()], key, &provider).unwrap();
        let mut serving = ResolvesServerCertUsingSni::new();
        serving.add("n1", key).unwrap();
        let dir = node.path();
        let watched = cluster.client();
        let config = kubelet::Config {
            node_name: "n1".into(),
            node_ips: vec!["127.0.0.1".parse().unwrap()],
            external_ips: vec![],
            labels: Default::default(),
            taints: vec![],
            register: true,
            root_dir: dir.join("agent"),
            log_dir: dir.join("pod-logs"),
            log_links: None,
            manifest_dir: Some(dir.join("manifests")),
            cluster_dns: vec!["10.43.0.10".parse().unwrap()],
            cluster_domain: "cluster.local".into(),
            resolv_conf: "/etc/resolv.conf".into(),
            listen: "127.0.0.1:0".parse().unwrap(),
            healthz: None,
            serving: Arc::new(serving),
            client_ca: vec![ca.der().clone()],
            cgroup_root: format!("/isopod-test-{}", std::process::id()),
            max_pods: 110,
            provider_id: String::new(),
            version: "v1.35.0".into(),
            caches: Arc::new(move |resource, _, _| watched.cache(resource)),
            max_parallel_pulls: 2,
            limits: kubelet::Limits::default(),
            timing: kubelet::Timing::default(),
        };
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        let stop = CancellationToken::new();
        let client = Client::new(Arc::new(Api(cluster.clone())), User::new("system:node:n1", ["system:nodes"]));
        let task = tokio::spawn(kubelet::run(config, client, Arc::new(node.cri.clone()), ready, stop.clone()));
        let port = is_ready.await.expect("the agent starts");
        Agent { cluster, address: SocketAddr::from(([127, 0, 0, 1], port)), ca, stop, task }
    }

    /// A TLS connection as a user of this name; without one nobody.
    async fn connect(&self, user: Option<&str>) -> tokio_rustls::client::TlsStream<TcpStream> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.ca.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match user {
            None => builder.with_no_client_auth(),
            Some(user) => {
                let key = rcgen::KeyPair::generate().unwrap();
                let mut params = rcgen::CertificateParams::new(vec![]).unwrap();
                params.distinguished_name.push(rcgen::DnType::CommonName, user);
                let certificate: CertificateDer<'static> = params.signed_by(&key, &self.ca).unwrap().der().clone();
                let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
                builder.with_client_auth_cert(vec![certificate], key).unwrap()
            }
        };
        let stream = TcpStream::connect(self.address).await.unwrap();
        tokio_rustls::TlsConnector::from(Arc::new(config)).connect("n1".try_into().unwrap(), stream).await.unwrap()
    }

    /// Status line and body of a GET.
    async fn get(&self, user: Option<&str>, path: &str) -> (String, String) {
        let mut stream = self.connect(user).await;
        let request = format!("GET {path} HTTP/1.0\r\nHost: n1\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // The server may close without a TLS goodbye.
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        (head.lines().next().unwrap_or_default().to_owned(), body.to_owned())
    }

    /// Runs a command as kubectl does since 1.31; its output by channel, 3 being the last word.
    async fn exec(&self, path: &str, stdin: Option<&[u8]>) -> Vec<(u8, String)> {
        let mut request = format!("wss://n1{path}").into_client_request().unwrap();
        request.headers_mut().insert("Sec-WebSocket-Protocol", "v5.channel.k8s.io".parse().unwrap());
        let stream = self.connect(Some("admin")).await;
        let (mut socket, answer) = tokio_tungstenite::client_async(request, stream).await.unwrap();
        assert_eq!(answer.headers()["sec-websocket-protocol"], "v5.channel.k8s.io");
        if let Some(bytes) = stdin {
            socket.send(Message::binary([&[0], bytes].concat())).await.unwrap();
            socket.send(Message::binary(vec![255, 0])).await.unwrap();
        }
        let mut output = std::collections::BTreeMap::<u8, Vec<u8>>::new();
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Binary(bytes) = message {
                output.entry(bytes[0]).or_default().extend_from_slice(&bytes[1..]);
            }
        }
        output
            .into_iter()
            .map(|(channel, bytes)| (channel, String::from_utf8(bytes).unwrap()))
            .filter(|(_, text)| !text.is_empty())
            .collect()
    }

    async fn pod(&self, name: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let look = async {
            loop {
                let pod = self.cluster.value(find("", "pods"), "default", name);
                if wanted(&pod) {
                    return pod;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        match tokio::time::timeout(Duration::from_secs(60), look).await {
            Ok(pod) => pod,
            Err(_) => panic!("{what} never came; {:#}", self.cluster.value(find("", "pods"), "default", name)),
        }
    }

    fn run(&self, name: &str, spec: Value) {
        let mut spec = spec;
        spec["nodeName"] = "n1".into();
        spec["hostNetwork"] = true.into();
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": spec});
        self.cluster.seed(find("", "pods"), pod);
    }

    async fn stop(self) -> Cluster {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
        self.cluster
    }
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

fn running(pod: &Value) -> bool {
    pod["status"]["phase"] == "Running" && pod["status"]["containerStatuses"][0]["ready"] == true
}

fn shell(script: &str) -> Value {
    json!({"terminationGracePeriodSeconds": 1, "containers": [{
        "name": "main", "image": BUSYBOX, "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", script],
    }]})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_lives_its_life() {
    // Dropped last, when no container is left.
    let _cgroups = Cgroups;
    let node = Node::start().await;
    std::fs::create_dir_all(node.path().join("manifests")).unwrap();
    let agent = Agent::start(&node, Cluster::new()).await;
    agent.cluster.seed(find("", "configmaps"), json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "conf", "namespace": "default"}, "data": {"greeting": "hello"},
    }));
    agent.cluster.seed(find("", "secrets"), json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key", "namespace": "default"}, "data": {"token": "c2VjcmV0"},
    }));
    let mut spec =
        shell("echo begun $GREETING $(cat /key/token); trap 'echo bye; exit 0' TERM; while true; do sleep 0.1; done");
    spec["volumes"] = json!([
        {"name": "conf", "configMap": {"name": "conf"}}, {"name": "key", "secret": {"secretName": "key"}},
        {"name": "scratch", "emptyDir": {}}, {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
    ]);
    spec["containers"][0]["volumeMounts"] = json!([
        {"name": "conf", "mountPath": "/conf"}, {"name": "key", "mountPath": "/key"}, {"name": "memory", "mountPath": "/memory"},
        {"name": "scratch", "mountPath": "/scratch", "subPath": "a/b"},
    ]);
    spec["containers"][0]["env"] =
        json!([{"name": "GREETING", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "greeting"}}}]);
    spec["containers"][0]["resources"] = json!({"limits": {"cpu": "200m", "memory": "32Mi"}});
    spec["securityContext"] = json!({"fsGroup": 4000});
    agent.run("a", spec);
    let pod = agent.pod("a", "a running pod", running).await;
    assert_eq!(pod["status"]["qosClass"], "Guaranteed");

    let logs = agent.get(Some("admin"), "/containerLogs/default/a/main").await;
    assert_eq!(logs, ("HTTP/1.0 200 OK".into(), "begun hello secret\n".into()));
    assert_eq!(
        agent.get(Some("eve"), "/pods").await.1,
        "Forbidden (user=eve, verb=get, resource=nodes, subresource(s)=[pods proxy])\n"
    );
    assert_eq!(agent.get(None, "/pods").await, ("HTTP/1.0 401 Unauthorized".into(), "Unauthorized".into()));
    let metrics = agent.get(Some("admin"), "/metrics/resource").await.1;
    assert!(
        metrics.contains("container_memory_working_set_bytes{container=\"main\",namespace=\"default\",pod=\"a\"}"),
        "{metrics}"
    );

    let exec = async |command: &str| {
        let path = format!("/exec/default/a/main?command=sh&command=-c&command={}&output=1&error=1", encoded(command));
        agent.exec(&path, None).await
    };
    let success = r#"{"metadata":{},"status":"Success"}"#.to_owned();
    assert_eq!(exec("echo out; id -G").await, [(1, "out\n0 4000\n".to_owned()), (3, success.clone())]);
    assert_eq!(exec("echo x > /scratch/f; ls -l /conf/greeting").await.len(), 2);
    assert!(
        node.path()
            .join(format!(
                "agent/pods/{}/volumes/kubernetes.io~empty-dir/scratch/a/b/f",
                pod["metadata"]["uid"].as_str().unwrap()
            ))
            .exists()
    );
    let failed = exec("echo err >&2; exit 3").await;
    assert_eq!(failed[0], (2, "err\n".to_owned()));
    let last: Value = serde_json::from_str(&failed[1].1).unwrap();
    assert_eq!((&last["reason"], &last["details"]["causes"][0]["message"]), (&json!("NonZeroExitCode"), &json!("3")));
    let echoed = agent.exec("/exec/default/a/main?command=cat&input=1&output=1", Some(b"through stdin")).await;
    assert_eq!(echoed, [(1, "through stdin".to_owned()), (3, success)]);

    // A source that changes shows in the volume.
    let change = api::Patch::Merge(json!({"data": {"greeting": "good day"}}));
    agent.cluster.client().patch(find("", "configmaps"), "default", "conf", "", change).await.unwrap();
    let seen = async {
        while exec("cat /conf/greeting").await[0].1 != "good day" {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), seen).await.expect("the new content");

    // Another agent finds the same container.
    let cluster = agent.stop().await;
    let agent = Agent::start(&node, cluster).await;
    agent.run("b", shell("echo to stderr >&2; exit 7"));
    let ended = agent
        .pod("b", "a crash", |p| {
            p["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "CrashLoopBackOff"
        })
        .await;
    assert_eq!(ended["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"], 7);
    let now = agent.cluster.value(find("", "pods"), "default", "a");
    assert_eq!(now["status"]["containerStatuses"], pod["status"]["containerStatuses"]);
    assert_eq!(agent.get(Some("admin"), "/containerLogs/default/b/main?previous=true").await.1, "to stderr\n");

    // Static pods show as mirrors.
    let manifest = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "static"}, "spec": {
        "hostNetwork": true, "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "main", "image": BUSYBOX, "imagePullPolicy": "Never", "command": ["sleep", "1000"]}],
    }});
    std::fs::write(node.path().join("manifests/static.yaml"), manifest.to_string()).unwrap();
    agent.pod("static-n1", "a running mirror", running).await;
    std::fs::remove_file(node.path().join("manifests/static.yaml")).unwrap();
    agent.pod("static-n1", "no mirror", Value::is_null).await;

    for name in ["a", "b"] {
        agent.cluster.client().delete(find("", "pods"), "default", name, Default::default()).await.unwrap();
        agent.pod(name, "no pod", Value::is_null).await;
    }
    let pods = node.path().join("agent/pods");
    node::until("no directory of a pod", async || std::fs::read_dir(&pods).unwrap().next().is_none()).await;
    agent.stop().await;
}
