//! registries.yaml: a node pulls from a registry that wants a password and shows a certificate of its own authority, by its
//! own name and as the mirror of another.

use std::process::Stdio;
use std::time::SystemTime;

use bootstrap::pki::{Authority, Leaf};

use crate::kubectl::Kubectl;
use crate::lab::{Background, Lab, wait};
use crate::{images, registry};

/// By name and through mirrors; without the file, refused.
pub(crate) fn mirrors_credentials_and_certificates(lab: &Lab) {
    let store = lab.machine("store");
    let dir = lab.dir().join("registry");
    std::fs::create_dir(&dir).unwrap();
    let authority = Authority::ensure(&dir, "ca", "registry-ca").unwrap();
    let leaf = Leaf::server("registry", "", Vec::new(), vec![store.address.parse().unwrap()]);
    let pair = authority.issue(&leaf, SystemTime::now()).unwrap();
    let (cert, key) = (dir.join("registry.crt"), dir.join("registry.key"));
    std::fs::write(&cert, &pair.cert).unwrap();
    std::fs::write(&key, &pair.key).unwrap();
    let address = format!("{}:5000", store.address);
    let archive = images::archive("team/app:1");
    let config = registry::prepare(&dir, &archive, &address, Some((&cert, &key)));
    let mut serving = store.command("docker-registry");
    let serving = serving.arg("serve").arg(config).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let _serving = Background(serving.expect("docker-registry is installed by tests/run"));
    wait("the registry", || {
        let listening = store.run("busybox", &["netstat", "-ltn"]);
        String::from_utf8_lossy(&listening.stdout).contains(":5000").then_some(())
    });

    let machine = lab.machine("puller");
    let file = lab.dir().join("registries.yaml");
    let configs = format!(
        "configs:\n  {address}:\n    auth: {{username: user, password: secret}}\n    tls: {{ca_file: {}}}\n",
        dir.join("ca.crt").display()
    );
    std::fs::write(
        &file,
        format!("mirrors: {{upstream.example.com: {{endpoint: [\"https://{address}\"]}}}}\n{configs}"),
    )
    .unwrap();
    machine.start_server(&["--private-registry", file.to_str().unwrap()]);
    let k = Kubectl::new(&machine);
    k.until_is(r#"get nodes -o jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}"#, "True");
    for (name, image) in
        [("direct", format!("{address}/team/app:1")), ("mirrored", "upstream.example.com/team/app:1".into())]
    {
        k.run(&format!("run {name} --image={image} -- sleep 100000"));
        k.run(&format!("wait --for=condition=Ready pod/{name} --timeout=60s"));
    }
    let secrets = machine.data.join("agent/containerd-config/config.toml");
    assert!(std::fs::read_to_string(secrets).unwrap().contains("secret"), "where containerd looks for it");
    // What the file no longer says is forgotten at the next start.
    k.run("delete pod direct mirrored --grace-period=1");
    machine.kill();
    std::fs::write(&file, "mirrors: {}\n").unwrap();
    machine.start_server(&["--private-registry", file.to_str().unwrap()]);
    wait("the API", || k.attempt("get --raw /readyz").ok());
    k.run(&format!("run refused --image={address}/team/app:1 --image-pull-policy=Always -- sleep 100000"));
    k.until("get pod refused", |text| {
        (text.contains("ErrImagePull") || text.contains("ImagePullBackOff")).then_some(())
    });
    machine.kill();
}
