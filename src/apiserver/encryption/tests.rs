//! Encryption as users of a registry and readers of its disk see it.

use std::sync::Arc;

use api::validation::field::Path;
use embedded_store::{Change, Durability, Expect, Store, Write, memory};
use serde_json::{Value, json};

use super::*;
use crate::registry::tests::{Server, names as listed};
use crate::{Registry, RegistryConfig};

const SECRET: &str = "/registry/secrets/a/s";

/// A configuration for `resources` with keys of the given names, the first of which writes.
fn file(resources: &str, keys: &[&str]) -> String {
    let keys: Vec<Value> = keys
        .iter()
        .map(|name| json!({"name": name, "secret": base64::Engine::encode(&base64::prelude::BASE64_STANDARD, name.repeat(32).as_bytes().get(..32).unwrap())}))
        .collect();
    let providers = json!([{"secretbox": {"keys": keys}}, {"identity": {}}]);
    json!({"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration",
        "resources": [{"resources": [resources], "providers": providers}]})
    .to_string()
}

async fn server(store: &Arc<dyn Store>, file: Option<String>) -> Server {
    let encryption = file.map(|file| Encryption::parse(&file).unwrap());
    let config = RegistryConfig { encryption, ..RegistryConfig::default() };
    let server = Server { registry: Registry::start(store.clone(), config).await.unwrap() };
    // There may be one from before.
    let _ = server.create("namespaces", json!({"metadata": {"name": "a"}})).await;
    server
}

async fn disk(store: &Arc<dyn Store>, key: &str) -> String {
    String::from_utf8_lossy(&store.get(key).await.unwrap().unwrap().value).into_owned()
}

fn secret(name: &str) -> Value {
    json!({"metadata": {"name": name}, "data": {"password": "aHVudGVyMg=="}})
}

#[tokio::test]
async fn what_is_named_is_encrypted_on_disk_and_in_the_clear_for_users() {
    let store = memory();
    let server = server(&store, Some(file("secrets", &["k1"]))).await;
    server.create("secrets", secret("s")).await.unwrap();
    server.create("configmaps", json!({"metadata": {"name": "c"}, "data": {"a": "b"}})).await.unwrap();
    let on_disk = disk(&store, SECRET).await;
    assert!(on_disk.starts_with("k8s:enc:secretbox:v1:k1:") && !on_disk.contains("aHVudGVyMg"), "{on_disk}");
    assert!(disk(&store, "/registry/configmaps/a/c").await.starts_with('{'));
    assert_eq!(server.get("secrets/s").await.unwrap()["data"]["password"], "aHVudGVyMg==");
    let patched = server.merge("secrets/s", json!({"data": {"more": "eA=="}})).await.unwrap();
    assert_eq!(patched["data"], json!({"password": "aHVudGVyMg==", "more": "eA=="}));
    assert_eq!(listed(&server.list("secrets", Default::default()).await.unwrap()), ["s"]);
    server.delete("secrets/s", Default::default()).await.unwrap();
    server.registry.catch_up().await.unwrap();
    assert!(server.get("secrets/s").await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn a_write_that_changes_nothing_takes_the_new_key() {
    let store = memory();
    let plain = server(&store, None).await;
    plain.create("secrets", secret("s")).await.unwrap();
    drop(plain);
    for (keys, prefix) in [(&["k1"][..], "k1"), (&["k2", "k1"], "k2"), (&["k3", "k2"], "k3")] {
        let server = server(&store, Some(file("secrets", keys))).await;
        let before = server.get("secrets/s").await.unwrap();
        server.update("secrets/s", before.clone()).await.unwrap();
        let on_disk = disk(&store, SECRET).await;
        assert!(on_disk.starts_with(&format!("k8s:enc:secretbox:v1:{prefix}:")), "{on_disk}");
        server.registry.catch_up().await.unwrap();
        let after = server.get("secrets/s").await.unwrap();
        assert_eq!(after["data"], before["data"]);
        assert_ne!(after["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"]);
        // The second time there is nothing left to do.
        server.update("secrets/s", after.clone()).await.unwrap();
        server.registry.catch_up().await.unwrap();
        assert_eq!(server.get("secrets/s").await.unwrap(), after);
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_named_and_the_rest_is_served() {
    let store = memory();
    let first = server(&store, Some(file("secrets", &["k1"]))).await;
    for name in ["s", "t"] {
        first.create("secrets", secret(name)).await.unwrap();
    }
    drop(first);
    let value = store.get(SECRET).await.unwrap().unwrap().value;
    let damaged = value.iter().enumerate().map(|(at, byte)| if at == value.len() - 1 { byte ^ 1 } else { *byte });
    let write = Write {
        key: SECRET.into(),
        expect: Expect::Any,
        change: Change::Put(damaged.collect()),
        durability: Durability::Synced,
    };
    store.write(write).await.unwrap();
    let again = server(&store, Some(file("secrets", &["k1"]))).await;
    assert_eq!(listed(&again.list("secrets", Default::default()).await.unwrap()), ["t"]);
    let refused = again.get("secrets/s").await.unwrap_err();
    assert_eq!(refused.code, 500);
    assert!(
        refused.message.contains(r#"unable to transform key "/registry/secrets/a/s": the stored data"#),
        "{refused}"
    );
    drop(again);
    let lost = server(&store, Some(file("secrets", &["k9"]))).await;
    let refused = lost.get("secrets/t").await.unwrap_err();
    assert!(refused.message.contains(r#"key "/registry/secrets/a/t": no matching key"#), "{refused}");
    assert!(lost.create("secrets", secret("u")).await.is_ok());
}

#[tokio::test]
async fn watchers_see_objects_in_the_clear() {
    let store = memory();
    let server = server(&store, Some(file("*.*", &["k1"]))).await;
    server.create("configmaps", json!({"metadata": {"name": "c"}})).await.unwrap();
    assert!(disk(&store, "/registry/configmaps/a/c").await.starts_with("k8s:enc:"));
    assert!(disk(&store, "/registry/namespaces/a").await.starts_with("k8s:enc:"));
    server.registry.catch_up().await.unwrap();
    assert_eq!(server.get("configmaps/c").await.unwrap()["metadata"]["name"], "c");
}

#[test]
fn words_of_the_configuration_name_kinds() {
    let check = |word: &str, plural: &str, group: &str, expect: bool| {
        assert_eq!(names(word, plural, group), expect, "{word}: {plural}.{group}");
    };
    check("secrets", "secrets", "", true);
    check("secrets", "secrets", "x.io", false);
    check("pandas.awesome.bears.example", "pandas", "awesome.bears.example", true);
    check("*.", "secrets", "", true);
    check("*.", "deployments", "apps", false);
    check("*.apps", "deployments", "apps", true);
    check("*.*", "pandas", "awesome.bears.example", true);
    let encryption = Encryption::parse(&file("pandas.bears.example", &["k"])).unwrap();
    assert!(encryption.seal("/registry/bears.example/pandas/a/b", &"x".into()).unwrap().starts_with(b"k8s:enc:"));
    assert_eq!(encryption.seal("/registry/pods/a/b", &"x".into()).unwrap(), "x");
}

#[test]
fn complaints_are_upstreams_and_keep_secrets() {
    let path = Path::root("resources");
    assert_eq!(path.as_str(), "resources");
    let check = |change: fn(&mut Value), expect: &str| {
        let mut config: Value = serde_json::from_str(&file("secrets", &["k1"])).unwrap();
        change(&mut config);
        let error = Encryption::parse(&config.to_string()).unwrap_err().to_string();
        assert!(error.contains(expect), "{expect}: {error}");
        assert!(!error.contains("c2hvcnQ"), "{error}");
    };
    check(|c| c["resources"] = json!([]), "at least one resources is required");
    check(
        |c| c["resources"][0]["resources"] = json!(["*"]),
        "use '*.' to encrypt all the resources from core API group",
    );
    check(|c| c["resources"][0]["resources"] = json!(["secrets", "*."]), "using overlapping resources");
    check(|c| c["resources"][0]["resources"] = json!(["secrets", "secrets"]), "cannot be specified multiple times");
    check(|c| c["resources"][0]["resources"] = json!(["Secrets"]), "should not contain capital letters");
    check(|c| c["resources"][0]["resources"] = json!(["*.extensions"]), "'extensions' group has been removed");
    let twice = "error while parsing file: resources[0].resources: Invalid value: [\"a\",\"a\"]: the same resource";
    check(|c| c["resources"][0]["resources"] = json!(["a", "a"]), twice);
    let masked = "error while building transformers: resource \"secrets\" is masked by earlier rule \"*.\"";
    check(
        |c| {
            let mut first = c["resources"][0].clone();
            first["resources"] = json!(["*."]);
            c["resources"].as_array_mut().unwrap().insert(0, first);
        },
        masked,
    );
    check(|c| c["resources"][0]["providers"] = json!([]), "resources[0].providers is required");
    check(|c| c["resources"][0]["providers"] = json!([{}]), "provider does not contain any of the expected providers");
    check(
        |c| c["resources"][0]["providers"][0]["secretbox"]["keys"][0]["secret"] = "c2hvcnQ=".into(),
        "resources[0].providers[0].secretbox.keys[0].secret: Invalid value: \"REDACTED\": secret is not of the expected length, got 5, expected one of [32]",
    );
    check(|c| c["resources"][0]["providers"][0] = json!({"kms": {"name": "x"}}), "KMS plugins are not supported here");
    check(|c| c["kind"] = "Secret".into(), "no kind is registered for the type");
}

#[tokio::test(start_paused = true)]
async fn a_changed_file_is_taken_over_unless_it_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.yaml");
    let write = |text: &str, second: u64| {
        std::fs::write(&path, text).unwrap();
        let time = std::time::UNIX_EPOCH + Duration::from_secs(second);
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    };
    write(&file("secrets", &["k1"]), 1);
    let encryption = Encryption::load(&path).unwrap();
    encryption.follow(&path);
    let prefix = || encryption.seal(SECRET, &"x".into()).unwrap()[..24].to_vec();
    tokio::time::sleep(Encryption::RELOAD / 2).await;
    write(&file("secrets", &["k2", "k1"]), 2);
    tokio::time::sleep(Encryption::RELOAD).await;
    assert_eq!(prefix(), b"k8s:enc:secretbox:v1:k2:");
    write("nonsense", 3);
    tokio::time::sleep(Encryption::RELOAD).await;
    assert_eq!(prefix(), b"k8s:enc:secretbox:v1:k2:");
    assert!(Encryption::load(&dir.path().join("none")).unwrap_err().to_string().starts_with("cannot read"));
}
