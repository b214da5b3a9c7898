use super::*;
use crate::Options;
use crate::testing::Running;
use client::testing::Cluster;
use rcgen::{CertificateParams, DnType, KeyPair};

fn request(name: &str, group: &str, signer: &str, usages: &[&str]) -> Value {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.distinguished_name.push(DnType::OrganizationName, group);
    params.distinguished_name.push(DnType::CommonName, name);
    let pem = params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap();
    json!({
        "metadata": { "name": "r", "creationTimestamp": "2026-01-01T00:00:00Z" },
        "spec": { "request": STANDARD.encode(pem), "signerName": signer, "usages": usages, "username": name },
    })
}

const CLIENT: [&str; 2] = ["client auth", "digital signature"];

#[test]
fn nodes_approve_themselves() {
    let subresources = |request: &Value| grounds(request).iter().map(|(name, _)| *name).collect::<Vec<_>>();
    let node = request("system:node:n", "system:nodes", KUBELET_CLIENT, &CLIENT);
    assert_eq!(subresources(&node), ["selfnodeclient", "nodeclient"]);
    let mut joining = node.clone();
    joining["spec"]["username"] = "system:bootstrap:abcdef".into();
    assert_eq!(subresources(&joining), ["nodeclient"]);
    assert!(grounds(&request("alice", "system:nodes", KUBELET_CLIENT, &CLIENT)).is_empty());
    let serving = "kubernetes.io/kubelet-serving";
    assert!(grounds(&request("system:node:n", "system:nodes", serving, &CLIENT)).is_empty());
}

#[test]
fn certificates_live_as_long_as_was_asked() {
    let year = Duration::from_secs(365 * 86_400);
    assert_eq!(life(None, year), year);
    assert_eq!(life(Some(3600), year), Duration::from_secs(3600));
    assert_eq!(life(Some(1), year), SHORTEST);
    assert_eq!(life(Some(1 << 40), year), year);
}

#[test]
fn requests_end() {
    let mut one = request("alice", "dev", "example.com/x", &CLIENT);
    let expect = |request: &Value, at: Option<&str>| {
        assert_eq!(over(request).map(|at| at.to_string()), at.map(str::to_owned), "{}", request["status"]);
    };
    expect(&one, Some("2026-01-02T00:00:00Z"));
    let condition = |kind: &str| json!([{ "type": kind, "status": "True", "lastUpdateTime": "2026-01-01T05:00:00Z" }]);
    one["status"] = json!({ "conditions": condition("Approved") });
    expect(&one, None);
    one["status"] = json!({ "conditions": condition("Denied") });
    expect(&one, Some("2026-01-01T06:00:00Z"));
    one["status"] = json!({ "conditions": condition("Approved"), "certificate": "LS0t" });
    expect(&one, Some("2026-01-01T06:00:00Z"));
}

#[tokio::test(start_paused = true)]
async fn what_is_approved_is_signed_or_told_why_not() {
    let cluster = Cluster::new();
    let kind = kinds::certificate_signing_requests();
    let signer = Signer(Arc::new(|_, usages, life| Ok(format!("{usages:?} {life:?}"))));
    let options = Options { signer: Some(signer), ..Options::default() };
    let running = Running::start(&cluster, &["certificatesigningrequest-signing-controller"], options);
    let approved = json!({ "conditions": [{ "type": "Approved", "status": "True" }] });
    let mut good = request("alice", "dev", "kubernetes.io/kube-apiserver-client", &CLIENT);
    good["status"] = approved.clone();
    cluster.seed(&kind, good);
    let certificate = STANDARD.encode(r#"["client auth", "digital signature"] 31536000s"#);
    running.until(&kind, |all| all[0].text("status.certificate") == certificate).await;
    let mut bad = request("alice", "dev", "kubernetes.io/kube-apiserver-client", &["server auth"]);
    bad["metadata"]["name"] = "bad".into();
    bad["status"] = approved;
    cluster.seed(&kind, bad);
    let failed = |request: &Value| {
        request.items("status.conditions").iter().any(|c| {
            c.text("reason") == "SignerValidationFailure"
                && c.text("message") == "invalid usage for client certificate: server auth"
        })
    };
    running.until(&kind, |all| all.iter().any(failed)).await;
    running.stop().await;
}
