//! What the API refuses: bodies that are too large, too deep or malformed, and callers with the wrong certificate.

use std::io::Write;
use std::process::Stdio;
use std::time::SystemTime;

use bootstrap::kubeconfig;
use bootstrap::pki::{Authority, Leaf};

use crate::kubectl::Kubectl;
use crate::lab::{Background, Lab, Machine, wait};

/// Refused with a Status that says why; nothing is made, and the server goes on.
pub(crate) fn bodies_and_certificates_are_refused(lab: &Lab) {
    let machine = lab.machine("strict");
    machine.start_server(&["--disable-agent"]);
    let kubectl = Kubectl::new(&machine);
    wait("the API", || kubectl.attempt("get --raw /readyz").ok());
    bodies(&machine, &kubectl);
    certificates(lab, &kubectl);
    assert_eq!(kubectl.run("get configmaps -o name"), "configmap/kube-root-ca.crt");
    machine.kill();
}

fn bodies(machine: &Machine, kubectl: &Kubectl) {
    let _proxy = Background(kubectl.command("proxy --port=8001").stdout(Stdio::null()).spawn().unwrap());
    wait("kubectl proxy", || {
        let listening = machine.run("busybox", &["netstat", "-ltn"]);
        String::from_utf8_lossy(&listening.stdout).contains(":8001").then_some(())
    });
    let check = |kind: &str, body: &str, code: &str, words: &str| {
        // A proxy that closes with something unread resets the connection, and what it had answered may be lost.
        let answer = wait("an answer", || Some(post(machine, kind, body)).filter(|answer| !answer.is_empty()));
        let shown: String = body.chars().take(60).collect();
        assert!(answer.starts_with(&format!("HTTP/1.1 {code}")), "{shown}: {answer}");
        assert!(
            answer.contains(r#""kind":"Status""#) && answer.contains(words),
            "{shown} should say {words:?}: {answer}"
        );
    };
    let json = "application/json";
    let map =
        |data: &str| format!(r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"x"}},"data":{data}}}"#);
    check(json, &map(&format!(r#"{{"a":"{}"}}"#, "x".repeat(4 << 20))), "413", "limit is 3145728");
    check(json, &map(&("[".repeat(100_000) + &"]".repeat(100_000))), "400", "exceeded max depth");
    check(json, &map("{"), "400", "unexpected end of JSON input");
    check(json, "not json", "400", "json parse error");
    check(json, "", "400", "");
    check(json, &map(r#"{"a":1}"#), "400", "data");
    check(json, &map(r#"["a"]"#), "400", "data");
    check("application/yaml", "apiVersion: v1\nkind: [", "400", "yaml: line 2: did not find expected node content");
    check("application/yaml", &format!("kind: ConfigMap\na: {}", "{a: ".repeat(100_000)), "400", "");
    check("application/yaml", "a: &a [1]\nb: *nobody\n", "400", "");
    check("application/x-www-form-urlencoded", "a=b", "415", "the body of the request was in an unknown format");
    check("application/vnd.kubernetes.protobuf", "k8s\0nonsense", "400", "");
}

/// Posts a body as it is, through kubectl's proxy; the whole answer.
fn post(machine: &Machine, kind: &str, body: &str) -> String {
    let mut nc = machine.command("timeout");
    nc.args(["20", "busybox", "nc", "127.0.0.1", "8001"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut nc = nc.spawn().unwrap();
    let head = format!(
        "POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut input = nc.stdin.take().unwrap();
    // The server may have said no before it has read everything.
    let _ = input.write_all(head.as_bytes()).and_then(|()| input.write_all(body.as_bytes()));
    let output = nc.wait_with_output().unwrap();
    drop(input);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn certificates(lab: &Lab, kubectl: &Kubectl) {
    let kubeconfig = kubectl.run("config view --raw -o json");
    let own: serde_json::Value = serde_json::from_str(&kubeconfig).unwrap();
    let cluster = &own["clusters"][0]["cluster"];
    let url = cluster["server"].as_str().unwrap();
    let ca = bootstrap::pki::decode_base64(cluster["certificate-authority-data"].as_str().unwrap()).unwrap();
    let stranger = Authority::ensure(&lab.dir().join("stranger-ca"), "ca", "another-ca").unwrap();
    let admin = stranger.issue(&Leaf::client("kubernetes-admin", "system:masters"), SystemTime::now()).unwrap();
    let with = |name: &str, ca: &str| {
        let path = lab.dir().join(name);
        std::fs::write(&path, kubeconfig::render("isopod", url, ca, "admin", &admin).unwrap()).unwrap();
        kubectl.with_kubeconfig(path)
    };
    // A certificate that another authority signed, whatever it says; and a server that another authority vouches for.
    let refused = with("wrong-client.yaml", &ca).refused("get nodes");
    assert!(
        refused.contains("Unauthorized") || refused.contains("must be logged in") || refused.contains("certificate"),
        "{refused}"
    );
    let refused = with("wrong-ca.yaml", stranger.cert()).refused("get nodes");
    assert!(refused.contains("certificate signed by unknown authority"), "{refused}");
}
