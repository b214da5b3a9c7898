//! Bad input gets a clear error and changes nothing.

use std::process::Command;

use crate::lab::{ISOPOD, Lab};

/// Each command line fails, names its reason, and leaves no data directory behind.
pub(crate) fn is_named_and_changes_nothing(lab: &Lab) {
    let machine = lab.machine("bad");
    let config = lab.dir().join("bad-config.yaml");
    let check = |args: &[&str], expect: &str| {
        let output = machine.command(ISOPOD).args(args).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{args:?} should fail");
        assert!(said.contains(expect), "{args:?} should say {expect:?}, said: {said}");
        assert!(!machine.data.exists(), "{args:?} left a data directory");
    };
    let data = machine.data.to_str().unwrap();
    let server = ["server", "--node-ip", "10.99.0.1", "--data-dir", data];
    let with = |extra: &[&'static str]| -> Vec<&str> { server.iter().copied().chain(extra.iter().copied()).collect() };
    check(&with(&["--no-such-flag"]), "--no-such-flag");
    check(&with(&["--cluster-cidr", "10.42.0.0/99"]), "10.42.0.0/99");
    check(&with(&["--service-node-port-range", "9-1"]), "9-1");
    check(&with(&["--node-name", "Not_A_Name"]), "Not_A_Name");
    check(&with(&["--flannel-backend", "pigeons"]), "pigeons");
    check(&with(&["--disable", "nothing-we-have"]), "nothing-we-have");
    check(&with(&["--token-file", "/nonexistent"]), "/nonexistent");
    let mut holder = machine.command("busybox").args(["nc", "-l", "-p", "6443"]).spawn().unwrap();
    crate::lab::wait("the port to be taken", || {
        let listening = machine.run("busybox", &["netstat", "-ltn"]);
        String::from_utf8_lossy(&listening.stdout).contains(":6443").then_some(())
    });
    check(&with(&[]), "6443 is taken");
    let _ = holder.kill();
    let _ = holder.wait();
    for (text, expect) in
        [("no-such-key: 1", "no-such-key"), ("a: [", "bad-config.yaml"), ("disable-agent: maybe", "maybe")]
    {
        std::fs::write(&config, text).unwrap();
        let mut args = with(&[]);
        args.extend(["--config", config.to_str().unwrap()]);
        check(&args, expect);
    }
    check(&with(&["--kubelet-arg", "no-such-argument=1"]), "no-such-argument");
    check(&with(&["--datastore-endpoint", "etcd://10.99.0.9:2379"]), "no driver");
    check(&with(&["--write-kubeconfig-group", "nobody-knows"]), "nobody-knows");
    check(&with(&["--private-registry", "/nonexistent.yaml"]), "/nonexistent.yaml");
    // A machine without containerd; one whose control groups are not mounted.
    let run = |program: &str, args: &[&str], expect: &str| {
        let output = machine.command(program).args(args).arg(ISOPOD).args(with(&[])).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(expect), "should say {expect:?}, said: {said}");
        assert!(!machine.data.exists(), "{program} {args:?} left a data directory");
    };
    run("env", &["PATH=/nonexistent"], "not found on PATH: containerd");
    let hide = r#"mount -t tmpfs tmpfs /sys/fs/cgroup && exec "$@""#;
    run("unshare", &["--mount", "sh", "-c", hide, "sh"], "cgroup controllers are missing: cpu");
    let freeze =
        r#"for group in /sys/fs/cgroup /sys/fs/cgroup/*/; do mount -o remount,bind,ro "$group"; done; exec "$@""#;
    run("unshare", &["--mount", "sh", "-c", freeze, "sh"], "mounted read-only");
    run(
        "unshare",
        &["--mount", "sh", "-c", r#"mount -t tmpfs tmpfs /etc && exec "$@""#, "sh"],
        "there is no /etc/hosts",
    );
    check(&["agent", "--data-dir", data], "--server");
    check(&["agent", "--data-dir", data, "--server", "http://10.99.0.1", "--token", "x"], "https://");
    check(&["agent", "--data-dir", data, "--server", "https://10.99.0.1:6443"], "--token");
    check(&["agent", "--data-dir", data, "--server", "https://10.99.0.1:6443", "--token", "K10abc::x"], "malformed");
    // Not root: as nobody, through setpriv.
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--clear-groups", ISOPOD, "server", "--data-dir", data])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let unreadable = said.contains("Permission denied") || said.contains("failed to execute");
    assert!(!output.status.success() && (said.contains("root") || unreadable), "{said}");
}

/// A wrong token, another CA's hash, a name that is taken: refused, with the reason.
pub(crate) fn wrong_credentials_are_refused(lab: &Lab) {
    let pair = lab.pair();
    crate::workloads::both_nodes_become_ready(lab);
    let token = std::fs::read_to_string(pair.server.data.join("server/token")).unwrap();
    let token = token.trim();
    let stranger = lab.machine("stranger");
    let check = |token: &str, name: &str, expect: &str| {
        let mut command = stranger.command(ISOPOD);
        let url = format!("https://{}:6443", pair.server.address);
        command.args([
            "agent",
            "--server",
            &url,
            "--token",
            token,
            "--node-name",
            name,
            "--node-ip",
            &stranger.address,
        ]);
        let output = command.arg("--data-dir").arg(&stranger.data).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(expect), "should say {expect:?}, said: {said}");
    };
    check(&format!("{token}x"), "stranger", "token is not valid");
    let other = format!("K10{}::server:x", "0".repeat(64));
    check(&other, "stranger", "is not the one the token was made for");
    check(token, "worker", "has joined before with another password");
    assert_eq!(pair.kubectl.run("get nodes -o name"), "node/server\nnode/worker");
}
