//! Images from archives of every form, and from a registry of our own on the loopback. Needs the package docker-registry besides what the others need.

mod node;
mod registry;

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use node::{Node, busybox, until};
use registry::{find_manifest, unpack};
use runtime::images::ImportOptions;
use runtime::types::RegistryAuth;
use runtime::{Error, Runtime};

#[tokio::test(flavor = "multi_thread")]
async fn compressed_archives_and_indexes_with_gaps_are_imported() {
    let node = Node::start().await;
    let images = node.supervisor().images().unwrap();
    let import = async |bytes: Vec<u8>, name: Option<&str>| {
        let options = ImportOptions { name: name.map(str::to_owned), pinned: false };
        images.import(std::io::Cursor::new(bytes), options).await
    };
    let named = |name: &str| runtime::images::archive::Archive { name: name.into(), ..busybox() }.build();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&named("gzip:1")).unwrap();
    assert_eq!(import(gzip.finish().unwrap(), None).await.unwrap(), ["docker.io/library/gzip:1"]);
    let zstd = zstd::encode_all(named("r.io/zstd:1").as_slice(), 1).unwrap();
    assert_eq!(import(zstd, None).await.unwrap(), ["r.io/zstd:1"]);

    // As `docker save` writes it since version 25: an index of an index, of which only our platform's part is there.
    let files = unpack(&named("ignored:1"));
    let ours = find_manifest(&files);
    let arch = runtime::pause::Arch::HOST.oci_name();
    let absent = format!("sha256:{}", "1".repeat(64));
    let descriptor = |digest: &str, size: usize, media: &str, rest: &str| {
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.{media}.v1+json","digest":"{digest}","size":{size}{rest}}}"#
        )
    };
    let platform = |arch: &str| format!(r#","platform":{{"os":"linux","architecture":"{arch}"}}"#);
    let inner = format!(
        r#"{{"schemaVersion":2,"manifests":[{},{}]}}"#,
        descriptor(&absent, 9, "manifest", &platform("riscv64")),
        descriptor(&ours.0, ours.1, "manifest", &platform(arch)),
    );
    let inner_digest = digest(inner.as_bytes());
    let annotations = r#","annotations":{"io.containerd.image.name":"docker.io/library/multi:1","org.opencontainers.image.ref.name":"1"}"#;
    let attestation = descriptor(&absent, 9, "manifest", &platform("unknown"));
    let outer = format!(
        r#"{{"schemaVersion":2,"manifests":[{},{attestation}]}}"#,
        descriptor(&inner_digest, inner.len(), "index", annotations)
    );
    let mut multi: Vec<(String, Vec<u8>)> = files.iter().filter(|(path, _)| path != "index.json").cloned().collect();
    multi.push((format!("blobs/sha256/{}", &inner_digest[7..]), inner.clone().into_bytes()));
    multi.push(("index.json".into(), outer.into_bytes()));
    assert_eq!(import(pack(&multi), None).await.unwrap(), ["docker.io/library/multi:1"]);
    let listed = images.list().await.unwrap();
    assert!(listed.iter().any(|image| image.name == "docker.io/library/multi:1" && image.digest == inner_digest));

    // The import's lease is gone and collection has run: what an image needs must have been protected.
    let sandbox = node.sandbox("multi");
    let pod = node.cri.run_sandbox(&sandbox).await.unwrap();
    let mut spec = node.container("web", "echo it runs");
    spec.image = "docker.io/library/multi:1".into();
    node.run(&pod, &sandbox, &spec).await;
    node.logged(&sandbox, "web", "it runs").await;

    // A name only when the archive has none; an image with a blob missing is none.
    let unnamed: Vec<(String, Vec<u8>)> = files
        .iter()
        .map(|(path, bytes)| match path.as_str() {
            "index.json" => {
                (path.clone(), String::from_utf8(bytes.clone()).unwrap().replace("ignored:1", "").into_bytes())
            }
            _ => (path.clone(), bytes.clone()),
        })
        .collect();
    assert_eq!(import(pack(&unnamed), Some("given:2")).await.unwrap(), ["docker.io/library/given:2"]);
    let fresh =
        runtime::images::archive::Archive { name: "broken:1".into(), env: vec!["X=1".into()], ..busybox() }.build();
    let config_first =
        unpack(&fresh).into_iter().filter(|(_, bytes)| !bytes.windows(8).any(|part| part == b"diff_ids"));
    let error = import(pack(&config_first.collect::<Vec<_>>()), None).await.unwrap_err();
    assert!(matches!(&error, Error::Archive(text) if text.contains("incomplete")), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn images_are_pulled_with_credentials_and_only_with_them() {
    let node = Node::start().await;
    // Another image than the one that is there already.
    let app = runtime::images::archive::Archive { env: vec!["PATH=/bin".into(), "APP=1".into()], ..busybox() };
    let registry = Registry::start(&node.path().join("registry"), &app.build()).await;
    let name = format!("{}/team/app:1", registry.address);
    let denied = node.cri.pull_image(&name, None, None).await.unwrap_err();
    assert!(!denied.is_transient() && !denied.is_not_found(), "{denied:?}");
    let auth = RegistryAuth { username: "user".into(), password: "secret".into(), ..RegistryAuth::default() };
    assert!(!format!("{auth:?}").contains("secret"));
    let wrong = RegistryAuth { password: "other".into(), ..auth.clone() };
    node.cri.pull_image(&name, Some(&wrong), None).await.unwrap_err();
    let absent = node.cri.pull_image(&format!("{}/team/app:2", registry.address), Some(&auth), None).await.unwrap_err();
    assert!(absent.is_not_found(), "{absent:?}");

    let reference = node.cri.pull_image(&name, Some(&auth), None).await.unwrap();
    let image = node.cri.image_status(&name).await.unwrap().unwrap();
    assert_eq!((&image.id, image.repo_tags.as_slice()), (&reference, std::slice::from_ref(&name)));
    assert!(image.repo_digests[0].starts_with(&format!("{}/team/app@sha256:", registry.address)), "{image:?}");
    assert!(image.size > 100_000);
    let sandbox = node.sandbox("pulled");
    let pod = node.cri.run_sandbox(&sandbox).await.unwrap();
    let mut spec = node.container("web", "echo pulled");
    spec.image = reference;
    let web = node.run(&pod, &sandbox, &spec).await;
    node.logged(&sandbox, "web", "stdout F pulled").await;
    assert_eq!(node.cri.container_status(&web).await.unwrap().image_ref, image.repo_digests[0]);
}

/// Debian's registry with one image, `team/app:1`, for the user `user` with the password `secret`.
struct Registry {
    process: Child,
    address: String,
}

impl Registry {
    async fn start(dir: &Path, archive: &[u8]) -> Registry {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let file = registry::prepare(dir, archive, &address, None);
        let mut command = Command::new("docker-registry");
        let command = command.arg("serve").arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().expect("these tests need the package docker-registry");
        let registry = Registry { process, address };
        until("the registry", async || tokio::net::TcpStream::connect(&registry.address).await.is_ok()).await;
        registry
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn pack(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        archive.append_data(&mut header, path, bytes.as_slice()).unwrap();
    }
    archive.into_inner().unwrap()
}

fn digest(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    digest.as_ref().iter().fold("sha256:".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}
