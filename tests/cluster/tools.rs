//! What isopod does beside serving: tokens, images, completion, version.

use crate::lab::{ISOPOD, Lab, Machine, wait};
use crate::{images, workloads};

/// `isopod <args>` on a machine, about its own data directory: what it printed, or what it complained about.
fn attempt(machine: &Machine, args: &[&str]) -> Result<String, String> {
    let mut command = machine.command(ISOPOD);
    let output =
        command.args(args).arg("--data-dir").arg(&machine.data).env("KUBECONFIG", machine.kubeconfig()).output();
    let output = output.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

#[track_caller]
fn run(machine: &Machine, args: &[&str]) -> String {
    attempt(machine, args).unwrap_or_else(|error| panic!("isopod {args:?}: {error}"))
}

/// A token is made, listed, used by a worker with the printed command, and deleted; a deleted or expired one admits nobody.
pub(crate) fn tokens_admit_workers_until_they_end(lab: &Lab) {
    workloads::both_nodes_become_ready(lab);
    let pair = lab.pair();
    let k = &pair.kubectl;
    let generated = run(&pair.server, &["token", "generate"]);
    assert_eq!(generated.split_once('.').map(|(id, secret)| (id.len(), secret.len())), Some((6, 16)), "{generated}");

    let join =
        run(&pair.server, &["token", "create", "--ttl", "1h", "--description", "for tests", "--print-join-command"]);
    let url = format!("https://{}:6443", pair.server.address);
    let token = join.strip_prefix(&format!("isopod agent --server {url} --token ")).expect(&join).to_owned();
    assert!(token.starts_with("K10") && !token.contains(' '), "{token}");
    let listed = run(&pair.server, &["token", "list"]);
    assert!(listed.starts_with("TOKEN") && listed.contains("for tests"), "{listed}");
    let secret = token.rsplit('.').next().unwrap();
    assert!(!listed.contains(secret), "secrets are not listed");

    // The printed command, with what every node of the lab needs.
    let third = lab.machine("third");
    third.start_agent_with(&url, &token);
    k.until_is(r#"get node third -o jsonpath={.status.conditions[?(@.type=="Ready")].status}"#, "True");

    let late = lab.machine("late");
    let refused = |token: &str| {
        let mut command = late.isopod("agent");
        let output = command.args(["--server", &url, "--token", token]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains("token is not valid"), "{said}");
    };
    run(&pair.server, &["token", "delete", &token]);
    assert!(!run(&pair.server, &["token", "list"]).contains("for tests"));
    refused(&token);
    // A second is not enough to join; the Secret is told to end, and does so by itself as well.
    let short = run(&pair.server, &["token", "create", "--ttl", "1s", "--description", "short"]);
    wait("the token to expire", || {
        let listed = run(&pair.server, &["token", "list"]);
        let line = listed.lines().find(|line| line.contains("short")).map(str::to_owned);
        line.is_none_or(|line| expired(&line)).then_some(())
    });
    refused(&short);
    assert!(attempt(&pair.server, &["token", "create", "--ttl", "soon"]).unwrap_err().contains("soon"));
    assert!(attempt(&pair.server, &["token", "delete", "abcdef"]).unwrap_err().contains("not found"));
    // A rotated token counts at once, the old one no more.
    let old = std::fs::read_to_string(pair.server.data.join("server/token")).unwrap();
    let new = run(&pair.server, &["token", "rotate"]);
    refused(old.trim());
    // A member outlives the token it came with: the worker starts again with it, by the certificate it has.
    third.kill();
    third.start_agent_with(&url, &token);
    pair.server.wait_for_log(&["node joined", "third", "by_token=false"]);
    third.kill();
    // A deleted node is no node; the one that runs registers again.
    k.run("delete node third");
    assert_eq!(k.run("get nodes -o name"), "node/server\nnode/worker");
    third.start_agent_with(&url, &new);
    k.until_is(r#"get node third -o jsonpath={.status.conditions[?(@.type=="Ready")].status}"#, "True");
    third.kill();
    k.run("delete node third");
}

/// Whether a line of `token list` lies in the past; its second column is a time in UTC.
fn expired(line: &str) -> bool {
    let at: jiff::Timestamp = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    at < jiff::Timestamp::now()
}

/// Images come in from archives, are listed and removed; a broken archive is named and brings nothing in.
pub(crate) fn images_and_the_rest(lab: &Lab) {
    workloads::both_nodes_become_ready(lab);
    let server = &lab.pair().server;
    let archive = images::busybox();
    let path = archive.to_str().unwrap();
    assert_eq!(run(server, &["images", "import", path]), "busybox.local/busybox:1");
    let listed = run(server, &["images", "list"]);
    assert!(listed.starts_with("IMAGE") && listed.contains("busybox.local/busybox:1"), "{listed}");
    let broken = lab.dir().join("broken.tar");
    std::fs::write(&broken, b"this is no archive").unwrap();
    let said = attempt(server, &["images", "import", broken.to_str().unwrap()]).unwrap_err();
    assert!(said.contains("broken.tar"), "{said}");
    assert!(attempt(server, &["images", "import", "/nonexistent.tar"]).unwrap_err().contains("/nonexistent.tar"));
    assert_eq!(run(server, &["images", "list"]), listed);
    run(server, &["images", "rm", "busybox.local/busybox:1"]);
    assert!(!run(server, &["images", "list"]).contains("busybox.local/busybox:1"));
    assert!(attempt(server, &["images", "rm", "nobody/knows:it"]).unwrap_err().contains("nobody/knows:it"));
    run(server, &["images", "import", path]);
    let away = lab.machine("away");
    assert!(attempt(&away, &["images", "list"]).unwrap_err().contains("is isopod running on this machine"));

    let print = |args: &[&str]| String::from_utf8(server.run(ISOPOD, args).stdout).unwrap();
    let version = print(&["version"]);
    assert!(version.starts_with("isopod ") && version.contains("Kubernetes v1.35"), "{version}");
    for (shell, mark) in [("bash", "complete -F"), ("zsh", "#compdef isopod"), ("fish", "complete -c isopod")] {
        let script = print(&["completion", shell]);
        assert!(script.contains(mark) && script.contains("kubelet-arg"), "{shell}: {script}");
    }
}
