use std::time::{Duration, SystemTime};

use crate::certificates::{Leaves, Names, ServerCertificates};
use crate::data_dir::DataDir;
use crate::pki::{Authority, Leaf, Pair};
use crate::token::{SERVER_USER, Token, TokenFile};
use crate::{kubeconfig, node_password, pki};

fn names() -> Names {
    Names {
        node_name: "n1".into(),
        addresses: vec!["127.0.0.1".parse().unwrap(), "10.43.0.1".parse().unwrap()],
        extra: vec!["cluster.example".into()],
        cluster_domain: "cluster.local".into(),
    }
}

#[test]
fn a_second_start_finds_everything() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let (data, now) = (DataDir::new(dir.path()), SystemTime::now());
    let first = ServerCertificates::ensure(&data, &names(), now).unwrap();
    let again = ServerCertificates::ensure(&data, &names(), now).unwrap();
    assert_eq!(first.ca.cert(), again.ca.cert());
    assert_eq!(first.leaves.apiserver.cert, again.leaves.apiserver.cert);
    assert_eq!(first.service_account.key, again.service_account.key);
    for file in std::fs::read_dir(data.server("tls")).unwrap().map(Result::unwrap) {
        let private = file.path().extension().is_some_and(|e| e == "key");
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, if private { 0o600 } else { 0o644 }, "{:?}", file.path());
    }
    let mut other = names();
    other.addresses.push("192.0.2.7".parse().unwrap());
    let moved = ServerCertificates::ensure(&data, &other, now).unwrap();
    assert_ne!(first.leaves.apiserver.cert, moved.leaves.apiserver.cert, "a new address needs a new certificate");
    assert_eq!(first.leaves.admin.cert, moved.leaves.admin.cert, "and only that");
}

#[test]
fn a_lost_ca_key_is_an_error_and_not_a_new_cluster() {
    let dir = tempfile::tempdir().unwrap();
    Authority::ensure(dir.path(), "ca", "x").unwrap();
    std::fs::remove_file(dir.path().join("ca.key")).unwrap();
    let error = Authority::ensure(dir.path(), "ca", "x").err().unwrap().to_string();
    assert!(error.contains("key of this CA is missing"), "{error}");
}

#[test]
fn leaves_say_what_they_should() {
    let dir = tempfile::tempdir().unwrap();
    let (ca, other) =
        (Authority::ensure(dir.path(), "ca", "a").unwrap(), Authority::ensure(dir.path(), "b", "b").unwrap());
    let leaf = Leaf::server("n1", "system:nodes", vec!["n1".into()], vec!["10.0.0.1".parse().unwrap()]);
    let now = SystemTime::now();
    let (request, _) = pki::request("evil", "system:masters").unwrap();
    let cert = ca.sign(&request, &leaf, now).unwrap();
    assert!(leaf.is_met_by(&cert, &ca, now));
    assert!(!leaf.is_met_by(&cert, &other, now), "another CA");
    assert!(!leaf.is_met_by(&cert, &ca, now + pki::RENEW_BEFORE * 4), "about to expire");
    assert!(!Leaf::client("evil", "").is_met_by(&cert, &ca, now), "what the request says does not count");
}

#[test]
fn tokens_read_back() {
    let hash = "ab".repeat(32);
    let check = |text: &str, expect: Option<(Option<&str>, &str, &str)>| {
        let token = Token::parse(text).ok();
        let parts = token.as_ref().map(|t| (t.ca_hash.as_deref(), t.user.as_str(), t.password.as_str()));
        assert_eq!(parts, expect, "{text}");
        if let Some(token) = token {
            assert_eq!(token.render(), text.trim());
        }
    };
    check(&format!("K10{hash}::server:pw\n"), Some((Some(&hash), "server", "pw")));
    check(&format!("K10{hash}::abcdef.0123456789abcdef"), Some((Some(&hash), "abcdef", "0123456789abcdef")));
    check("secret", Some((None, "", "secret")));
    check("abcdef.0123456789abcdef", Some((None, "abcdef", "0123456789abcdef")));
    check("", None);
    check("K10abc::server:pw", None);
    check(&format!("K10{hash}"), None);
    check(&format!("K10{hash}::"), None);
}

#[test]
fn the_server_token_stays_and_admits_only_itself() {
    let dir = tempfile::tempdir().unwrap();
    let path = DataDir::new(dir.path()).token();
    let ensure = |wanted| TokenFile::ensure(&path, SERVER_USER, "ca", wanted).unwrap().token().unwrap();
    let token = ensure(None);
    assert_eq!(token, ensure(None));
    let check = |text: &str, expect: bool| assert_eq!(token.admits(&Token::parse(text).unwrap()), expect);
    check(&token.render(), true);
    check(&token.password, true);
    check("wrong", false);
    check(&format!("other:{}", token.password), false);
    let wanted = ensure(Some("chosen"));
    assert_eq!(wanted.password, "chosen");
}

#[test]
fn node_passwords_are_kept_as_salted_hashes() {
    let hash = node_password::hash("secret");
    assert!(node_password::verify("secret", &hash) && !node_password::verify("other", &hash));
    assert_ne!(hash, node_password::hash("secret"));
    assert!(!node_password::verify("secret", "damaged"));
}

#[test]
fn kubeconfigs_hold_cluster_user_and_context() {
    let pair = Pair { cert: "c".into(), key: "k".into() };
    let text = kubeconfig::render("isopod", "https://127.0.0.1:6443", "ca", "admin", &pair).unwrap();
    let read: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(read["current-context"], "isopod");
    assert_eq!(read["clusters"][0]["cluster"]["server"], "https://127.0.0.1:6443");
    assert_eq!(read["users"][0]["user"]["client-key-data"], "aw==");
}

#[test]
fn leaves_are_renewed_in_their_last_quarter_and_authorities_stay() {
    let dir = tempfile::tempdir().unwrap();
    let (data, now) = (DataDir::new(dir.path()), SystemTime::now());
    let certificates = ServerCertificates::ensure(&data, &names(), now).unwrap();
    let all = |leaves: &Leaves| {
        [&leaves.apiserver, &leaves.kubelet_client, &leaves.front_proxy_client, &leaves.admin].map(Pair::clone)
    };
    let first = all(&certificates.leaves);
    let day = Duration::from_secs(86_400);
    // Days from the first start to the look, and whether it renews. Each look finds what the one before left.
    let mut shown = first;
    for (days, renews) in [(0, false), (200, false), (274, false), (276, true), (277, false), (800, true), (801, false)]
    {
        let leaves = all(&certificates.leaves_at(&data, &names(), now + day * days).unwrap());
        for (old, new) in shown.iter().zip(&leaves) {
            assert_eq!(old != new, renews, "after {days} days");
            assert!(new.belongs_together() && !new.is_due(now + day * days));
        }
        shown = leaves;
    }
    let after = ServerCertificates::ensure(&data, &names(), now + day * 802).unwrap();
    assert_eq!(all(&after.leaves), shown, "a restart finds them");
    assert_eq!(after.ca.cert(), certificates.ca.cert());
}

#[test]
fn a_renewal_that_was_cut_off_is_done_again() {
    let dir = tempfile::tempdir().unwrap();
    let (data, now) = (DataDir::new(dir.path()), SystemTime::now());
    let first = ServerCertificates::ensure(&data, &names(), now).unwrap();
    // The key is written first: it is new, the certificate still the old one.
    std::fs::write(data.server("tls").join("apiserver.key"), &first.leaves.admin.key).unwrap();
    let again = ServerCertificates::ensure(&data, &names(), now).unwrap();
    assert!(again.leaves.apiserver.belongs_together());
    assert_ne!(first.leaves.apiserver, again.leaves.apiserver);
    assert_eq!(first.leaves.admin, again.leaves.admin);
}
