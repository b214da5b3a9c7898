//! install.sh, isopod-killall.sh and isopod-uninstall.sh, as a user runs them on a computer without an init system, and on one with systemd.

use crate::computer::Computer;
use crate::images;
use crate::lab::{ISOPOD, Lab};

const READY: &str = "kubectl get nodes -o jsonpath='{.items[*].status.conditions[?(@.type==\"Ready\")].status}'";
const PODS: &str = "kubectl get pods -l app=web --sort-by=.metadata.name -o jsonpath='{range .items[*]}{.metadata.name} \
                    {.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount}{\"\\n\"}{end}'";
const AVAILABLE: &str = "kubectl get deployment web -o jsonpath={.status.availableReplicas}";

/// install.sh with this test's binary; `settings` stand in front of it, in the words of a shell.
fn install(settings: &str) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/install.sh");
    format!("INSTALL_ISOPOD_INIT=none INSTALL_ISOPOD_BINARY={ISOPOD} INSTALL_ISOPOD_TIMEOUT=100 {settings} {script}")
}

/// Install, install again, kill -9, stop everything, install again, uninstall: nothing is lost before the end, nothing left after it.
pub(crate) fn server_from_install_to_uninstall(lab: &Lab) {
    let computer = Computer::new(lab, "fresh");
    let before = computer.traces();
    let said =
        computer.sh(&install(r#"ISOPOD_NODE_LABEL=site=home ISOPOD_NOTE='$(touch /run/oops) "`touch /run/oops`"'"#));
    assert!(said.contains("export KUBECONFIG=/etc/isopod/isopod.yaml"), "{said}");
    assert!(said.contains(&format!("ISOPOD_URL=https://{}:6443", computer.address)), "{said}");
    assert_eq!(computer.sh(READY), "True");
    assert_eq!(computer.sh("kubectl get nodes -o jsonpath='{.items[*].metadata.labels.site}'"), "home");
    assert_eq!(computer.sh("cat /run/oops 2>/dev/null || echo none"), "none", "settings are no commands");
    let modes = computer.sh("stat -c %a /etc/isopod/environment /etc/isopod/arguments /etc/isopod/isopod.yaml");
    assert_eq!(modes, "600\n600\n600");

    computer.sh(&format!("isopod images import {}", images::busybox().display()));
    computer.sh("kubectl create deployment web --image=busybox.local/busybox:1 --replicas=2 -- sleep 100000");
    computer.until_is(AVAILABLE, "2");
    let pods = computer.sh(PODS);

    // Again, with nothing said: an upgrade.
    let pid = computer.sh("cat /run/isopod/isopod.pid");
    computer.sh(&install(""));
    assert_ne!(computer.sh("cat /run/isopod/isopod.pid"), pid, "the new binary runs");
    assert_eq!(computer.sh(READY), "True");
    assert_eq!(computer.sh(PODS), pods, "the same containers, no restart counted");

    // kill -9: the loop starts it again.
    let pid = computer.sh("cat /run/isopod/isopod.pid");
    computer.sh(&format!("rm /run/isopod/ready; kill -9 {pid}"));
    computer.until_is("test -f /run/isopod/ready && echo ready", "ready");
    assert_ne!(computer.sh("cat /run/isopod/isopod.pid"), pid);
    assert_eq!(computer.sh(PODS), pods, "the same containers, no restart counted");

    // A reset under the service would make an empty cluster of it.
    assert!(computer.refused("isopod reset --yes").contains("runs as a service"));

    // Everything stops; what is left are files.
    computer.sh("isopod-killall.sh");
    let left: Vec<String> =
        computer.traces().difference(&before).filter(|line| !line.starts_with("file ")).cloned().collect();
    assert!(left.is_empty(), "isopod-killall.sh left {left:#?}");
    computer.sh("test -d /var/lib/isopod/server/db && test -f /etc/isopod/isopod.yaml");

    // The cluster comes back, with new containers for the same pods' owner.
    computer.sh(&install(""));
    computer.until_is(AVAILABLE, "2");
    computer.sh("kubectl delete deployment web");

    let said = computer.sh("isopod-uninstall.sh");
    assert!(said.ends_with("isopod is gone."), "{said}");
    let after = computer.traces();
    let left: Vec<&String> = after.difference(&before).collect();
    assert!(left.is_empty(), "isopod-uninstall.sh left {left:#?}");
}

/// A service of systemd: it tells when it is ready, containers outlive it, it is started again, and it goes without a trace.
pub(crate) fn service_of_systemd(lab: &Lab) {
    let computer = Computer::with_systemd(lab, "booted");
    // What systemd itself makes while it runs.
    const OWN: [&str; 4] = ["/run/systemd", "/run/log", "/run/credentials", "systemd-journald"];
    let traces = || -> Vec<String> {
        let own = |line: &String| OWN.iter().any(|part| line.contains(part)) || line.ends_with("/system.slice");
        computer.traces().into_iter().filter(|line| !own(line)).collect()
    };
    let before = traces();
    let install = |settings: &str| install(settings).replace("INSTALL_ISOPOD_INIT=none ", "");
    let said = computer.refused(&(install("") + " --cluster-cidr 10.42.0.0/99"));
    assert!(said.contains("10.42.0.0/99") && said.contains("isopod ended"), "the journal's last words: {said}");
    let said = computer.sh(&install("INSTALL_ISOPOD_EXEC="));
    assert!(said.contains("Your cluster is ready"), "{said}");
    assert_eq!(computer.sh("systemctl is-active isopod; systemctl is-enabled isopod"), "active\nenabled");
    computer.sh(&format!("isopod images import {}", images::busybox().display()));
    computer.sh("kubectl create deployment web --image=busybox.local/busybox:1 --replicas=2 -- sleep 100000");
    computer.until_is(AVAILABLE, "2");
    let pods = computer.sh(PODS);

    let main = "systemctl show --property=MainPID --value isopod";
    let pid = computer.sh(main);
    // Returns when it is ready.
    computer.sh("systemctl restart isopod");
    assert_ne!(computer.sh(main), pid);
    assert_eq!(computer.sh(READY), "True");
    assert_eq!(computer.sh(PODS), pods, "the same containers, no restart counted");
    computer.sh(&format!("kill -9 $({main})"));
    computer.until_is("systemctl show --property=NRestarts --value isopod; systemctl is-active isopod", "1\nactive");
    assert_eq!(computer.sh(PODS), pods, "the same containers, no restart counted");
    // A reset under the service would make an empty cluster of it.
    let said = computer.refused("isopod reset --yes");
    assert!(said.contains("runs as a service") && said.contains("isopod-uninstall.sh"), "{said}");
    assert_eq!(computer.sh(PODS), pods);
    computer.sh("systemctl stop isopod && test -n \"$(pgrep -f containerd-shim)\" && systemctl start isopod");
    assert_eq!(computer.sh(PODS), pods);

    let said = computer.sh("isopod-uninstall.sh");
    assert!(said.ends_with("isopod is gone."), "{said}");
    computer.until_is("systemctl is-system-running", "running");
    let left: Vec<String> = traces().into_iter().filter(|line| !before.contains(line)).collect();
    assert!(left.is_empty(), "isopod-uninstall.sh left {left:#?}");
}

/// The README's first command as it stands: nothing but the script, in a checkout. With the profile and the target directory of
/// this test, which cargo finds built already.
pub(crate) fn built_from_the_checkout(lab: &Lab) {
    let computer = Computer::new(lab, "maker");
    let target = std::path::Path::new(ISOPOD).ancestors().nth(2).unwrap().display();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/install.sh");
    let said = computer.sh(&format!("INSTALL_ISOPOD_PROFILE=dev CARGO_TARGET_DIR={target} {script}"));
    assert!(said.contains("Building isopod from this checkout") && said.contains("Your cluster is ready"), "{said}");
    assert_eq!(computer.sh(READY), "True");
    computer.sh("isopod-uninstall.sh");
    let said = computer.refused(&format!("INSTALL_ISOPOD_PROFILE=nothing CARGO_TARGET_DIR={target} {script}"));
    assert!(said.contains("the build failed") && said.contains("profile `nothing` is not defined"), "{said}");
}

/// Two computers, a server with its data elsewhere and a worker told by the environment; the worker goes without a trace.
pub(crate) fn worker_joins_by_environment(lab: &Lab) {
    let (server, worker) = (Computer::new(lab, "head"), Computer::new(lab, "hand"));
    let said =
        server.sh(&(install("") + " --data-dir '/var/lib/my cluster' --write-kubeconfig=/etc/isopod/isopod.yaml"));
    assert!(said.contains("/var/lib/my cluster/server/token"), "{said}");
    let token = server.sh("cat '/var/lib/my cluster/server/token'");
    let before = worker.traces();
    let url = format!("ISOPOD_URL=https://{}:6443", server.address);
    let said = worker.sh(&install(&format!("{url} ISOPOD_TOKEN={token} ISOPOD_NODE_LABEL='color=deep-red'")));
    assert!(said.contains("is a worker of"), "{said}");
    server.until_is(READY, "True True");
    assert_eq!(server.sh("kubectl get node hand -o jsonpath={.metadata.labels.color}"), "deep-red");
    // An upgrade of a worker needs neither URL nor token again, and does not make a server of it.
    let said = worker.sh(&install(""));
    assert!(said.contains("is a worker of"), "{said}");
    // The same for a server's arguments.
    server.sh(&install(""));
    assert_eq!(server.sh(READY), "True True");

    worker.sh("isopod-uninstall.sh");
    let after = worker.traces();
    let left: Vec<&String> = after.difference(&before).collect();
    assert!(left.is_empty(), "isopod-uninstall.sh left {left:#?}");
    // Its data gone, it is a stranger that claims a known name: refused, with the command that lets it in.
    let said = worker.refused(&install(&format!("{url} ISOPOD_TOKEN={token}")));
    let remedy = "kubectl delete node hand";
    assert!(said.contains(remedy), "{said}");
    server.sh(remedy);
    let forgotten =
        "until ! kubectl -n kube-system get secret hand.node-password.isopod 2>/dev/null; do sleep 0.2; done";
    server.sh(&format!("timeout 60 sh -c '{forgotten}'"));
    worker.sh(&install(""));
    server.until_is(READY, "True True");
    server.sh("isopod-uninstall.sh");
    assert_eq!(server.sh("ls -d /var/lib/my* /run/isopod* /etc/isopod 2>/dev/null || true"), "");
}

/// Whatever is wrong is said at once, with what to do, and leaves the computer as it was.
pub(crate) fn mistakes_are_named(lab: &Lab) {
    let computer = Computer::new(lab, "wrong");
    let before = computer.traces();
    let check = |command: &str, expect: &str| {
        let said = computer.refused(command);
        assert!(said.contains(expect), "{command} should say {expect:?}, said: {said}");
    };
    let untouched = |command: &str, expect: &str| {
        check(command, expect);
        let after = computer.traces();
        let left: Vec<&String> = after.difference(&before).collect();
        assert!(left.is_empty(), "{command} left {left:#?}");
    };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/install.sh");
    untouched(&format!("setpriv --reuid=65534 --clear-groups sh -s < {script}"), "as root");
    untouched(&install("ISOPOD_URL=https://10.99.0.1:6443"), "ISOPOD_TOKEN is not");
    untouched(&install("ISOPOD_URL=10.99.0.1 ISOPOD_TOKEN=x"), "https://SERVER:6443");
    untouched(&(install("") + " agent"), "ISOPOD_URL");
    untouched(&(install("") + " --data-dir here"), "absolute path");
    untouched(&install("INSTALL_ISOPOD_INIT=upstart"), "INSTALL_ISOPOD_INIT=upstart");
    untouched(&install("INSTALL_ISOPOD_TIMEOUT=soon"), "INSTALL_ISOPOD_TIMEOUT=soon");
    untouched(&install("INSTALL_ISOPOD_BINARY=/nonexistent"), "/nonexistent");
    untouched(&install("INSTALL_ISOPOD_BINARY=/etc/hostname"), "does not run on this machine");
    // A distribution nobody knows: the usual commands, but neither containerd nor a package manager.
    let tools = "mkdir -p /run/tools && for tool in sh id uname dirname cat sed tail mktemp rm env; do \
                 ln -sf $(command -v $tool) /run/tools; done";
    computer.sh(tools);
    check(&install("PATH=/run/tools"), "install these programs first: containerd runc");
    computer.sh("rm -r /run/tools");

    // A flag that isopod refuses: its own words, and no wait for the timeout.
    check(&(install("") + " --cluster-cidr 10.42.0.0/99"), "10.42.0.0/99");
    // A server that does not answer: the timeout, with the log.
    let away = install("ISOPOD_URL=https://127.0.0.1:6443 ISOPOD_TOKEN=x INSTALL_ISOPOD_EXEC=")
        .replace("TIMEOUT=100", "TIMEOUT=3");
    check(&away, "will try again");
    check(&away, "not Ready after 3 s");
    computer.sh("isopod-uninstall.sh");
    let after = computer.traces();
    let left: Vec<&String> = after.difference(&before).collect();
    assert!(left.is_empty(), "isopod-uninstall.sh left {left:#?}");
}
