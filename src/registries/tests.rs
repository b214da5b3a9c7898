use super::{MARK, Registries};

const FILE: &str = r#"
mirrors:
  docker.io:
    endpoint: ["https://mirror.example.com:5000", "http://10.0.0.1/proxy/docker/"]
  "*":
    endpoint: ["https://all.example.com/v2"]
configs:
  mirror.example.com:5000:
    auth: {username: me, password: secret}
    tls: {ca_file: /etc/ca.crt, cert_file: /etc/a.crt, key_file: /etc/a.key}
  own.example.com:
    auth: {identity_token: it}
    tls: {insecure_skip_verify: true}
"#;

#[test]
fn mirrors_and_certificates_become_files_for_containerd() {
    let files = Registries::parse(FILE).unwrap().files().unwrap();
    let check = |name: &str, expect: &str| assert_eq!(files[name], format!("{MARK}{expect}"), "{name}");
    check(
        "docker.io",
        r#"server = "https://registry-1.docker.io"
[host."https://mirror.example.com:5000"]
  capabilities = ["pull", "resolve"]
  ca = "/etc/ca.crt"
  client = [["/etc/a.crt", "/etc/a.key"]]
[host."http://10.0.0.1/proxy/docker"]
  capabilities = ["pull", "resolve"]
  override_path = true
"#,
    );
    check("_default", "[host.\"https://all.example.com\"]\n  capabilities = [\"pull\", \"resolve\"]\n");
    check(
        "own.example.com",
        "server = \"https://own.example.com\"\n[host.\"https://own.example.com\"]\n  capabilities = [\"pull\", \"resolve\"]\n  skip_verify = true\n",
    );
    assert!(files["mirror.example.com:5000"].contains("\n  ca = \"/etc/ca.crt\"\n"), "for pulls by its own name");
    assert_eq!(files.len(), 4);
}

#[test]
fn credentials_go_with_their_host_and_are_not_shown() {
    let registries = Registries::parse(FILE).unwrap();
    let all = registries.credentials();
    assert_eq!(all.iter().map(|one| &*one.host).collect::<Vec<_>>(), ["mirror.example.com:5000", "own.example.com"]);
    assert_eq!((&*all[0].username, &*all[0].password, &*all[1].identity_token), ("me", "secret", "it"));
    let shown = format!("{registries:?} {all:?}");
    assert!(!shown.contains("secret") && !shown.contains("\"it\""), "{shown}");
}

#[test]
fn what_is_wrong_is_named() {
    let check = |text: &str, expect: &str| {
        let outcome = Registries::parse(text).and_then(|registries| registries.files());
        let error = format!("{:#}", outcome.unwrap_err());
        assert!(error.contains(expect), "{error}");
    };
    check("mirror: {}", "mirror");
    check("mirrors: {a.b: {endpoint: [\"ftp://x\"]}}", "ftp://x");
    check("mirrors: {a.b: {rewrite: {a: b}}}", "rewrite");
    check("mirrors: {../../etc: {endpoint: []}}", "../../etc");
    check("configs: {a.b: {tls: {cert_file: /x}}}", "belong together");
    check("- a", "registries.yaml");
    assert!(Registries::parse("").unwrap().files().unwrap().is_empty());
    assert!(Registries::read("/nonexistent/registries.yaml".as_ref()).is_err());
}

#[test]
fn files_of_registries_that_are_gone_go_and_those_of_others_stay() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name).join("hosts.toml");
    Registries::parse(FILE).unwrap().write(dir.path()).unwrap();
    std::fs::create_dir(dir.path().join("theirs.example.com")).unwrap();
    std::fs::write(file("theirs.example.com"), "server = \"https://x\"\n").unwrap();
    Registries::parse("mirrors: {docker.io: {endpoint: [\"https://b\"]}}").unwrap().write(dir.path()).unwrap();
    assert!(std::fs::read_to_string(file("docker.io")).unwrap().contains("https://b"));
    assert!(!file("own.example.com").exists() && !file("_default").exists());
    assert!(file("theirs.example.com").exists());
}
