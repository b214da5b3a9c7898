//! Every release of kubectl on this machine does a user's day.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use crate::kubectl::{Kubectl, Release, releases};
use crate::lab::{Background, Lab, wait};
use crate::workloads;

const IMAGE: &str = "busybox.local/busybox:1";

/// How many walk at the same time: much of it is waiting.
const AT_ONCE: usize = 3;

/// The same walk with each release, in a namespace of its own. Needs at least one; says which there were.
#[expect(clippy::print_stdout, reason = "which releases were tried is part of the result")]
pub(crate) fn every_kubectl_does_a_days_work(lab: &Lab) {
    workloads::both_nodes_become_ready(lab);
    let all = releases();
    assert!(!all.is_empty(), "there is no kubectl on PATH");
    for some in all.chunks(AT_ONCE) {
        std::thread::scope(|scope| {
            let walks: Vec<_> = some.iter().map(|release| (release, scope.spawn(move || walk(lab, release)))).collect();
            for (release, walk) in walks {
                if let Err(panic) = walk.join() {
                    let said = panic.downcast_ref::<String>().cloned();
                    panic!("kubectl {}: {}", release.version, said.unwrap_or_else(|| "an assertion failed".into()));
                }
            }
        });
    }
    println!("kubectl releases: {}", all.iter().map(|release| &*release.version).collect::<Vec<_>>().join(", "));
}

fn walk(lab: &Lab, release: &Release) {
    let minor = release.minor;
    let k = &lab.pair().kubectl.with_release(release);
    let ns = &format!("kubectl-1-{minor}");
    k.run(&format!("create namespace {ns}"));
    objects(k, ns);
    sessions(lab, k, ns, minor);
    rollouts(k, ns);
    k.run(&format!("delete namespace {ns} --wait=false"));
}

/// create, apply twice, diff, edit, explain, get, label, describe.
fn objects(k: &Kubectl, ns: &str) {
    let settings = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: settings, namespace: {ns}, labels: {{tier: x}}}}\ndata: {{color: blue}}\n"
    );
    assert_eq!(k.apply(&settings), "configmap/settings created");
    assert_eq!(k.apply(&settings), "configmap/settings unchanged");
    let green = settings.replace("blue", "green");
    let diff = k.pipe("diff -f -", &green);
    assert!(
        diff.as_ref().is_err_and(|error| error.is_empty()),
        "differences are exit code 1 and no complaint: {diff:?}"
    );
    assert_eq!(k.apply(&green), "configmap/settings configured");
    assert_eq!(k.edit(&format!("-n {ns} configmap settings"), "s/green/red/"), "configmap/settings edited");
    assert_eq!(k.run(&format!("-n {ns} get configmap settings -o jsonpath={{.data.color}}")), "red");
    let applied = settings.replace("settings", "shared");
    assert_eq!(k.pipe("apply --server-side -f -", &applied).unwrap(), "configmap/shared serverside-applied");
    let other = applied.replace("blue", "green");
    let conflict = k.pipe("apply --server-side --field-manager=other -f -", &other).unwrap_err();
    assert!(conflict.contains("conflict with \"kubectl\"") && conflict.contains(".data.color"), "{conflict}");
    k.pipe("apply --server-side --field-manager=other --force-conflicts -f -", &other).unwrap();
    let color = format!("-n {ns} get configmap shared -o jsonpath={{.data.color}}");
    assert_eq!(k.run(&color), "green");
    let dry = k.pipe("apply --server-side --force-conflicts --dry-run=server -f -", &applied).unwrap();
    assert!(dry.contains("serverside-applied (server dry run)") && k.run(&color) == "green", "{dry}");
    let refused = k.pipe("create -f -", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {a: {b: c}}\n");
    assert!(refused.is_err(), "a map is no string: {refused:?}");
    let explained = k.run("explain deployments.spec.strategy.rollingUpdate.maxSurge");
    assert!(explained.contains("maxSurge") && explained.contains("IntOrString"), "{explained}");
    k.run(&format!("-n {ns} create deployment web --image={IMAGE} -- /bin/sh -c 'echo started; mkdir -p /www; hostname > /www/index.html; exec httpd -f -p 8080 -h /www'"));
    k.run(&format!("-n {ns} rollout status deployment/web --timeout=90s"));
    assert!(k.run(&format!("-n {ns} get all -o wide")).contains("replicaset.apps/web-"));
    k.run(&format!("-n {ns} label deployment web season=winter"));
    assert!(k.run(&format!("-n {ns} get deployments -l season=winter")).contains("1/1"));
    let described = k.run(&format!("-n {ns} describe deployment web"));
    assert!(described.contains("ScalingReplicaSet") && described.contains("season=winter"), "{described}");
    assert_eq!(k.run(&format!("auth can-i create pods -n {ns}")), "yes");
    assert!(k.run("api-resources --api-group=apps").contains("statefulsets"));
}

/// exec, logs, cp, attach, port-forward: over SPDY with old releases, over WebSockets with new ones.
fn sessions(lab: &Lab, k: &Kubectl, ns: &str, minor: u32) {
    let pod = k.run(&format!("-n {ns} get pods -o jsonpath={{.items[0].metadata.name}}"));
    assert_eq!(k.run(&format!("-n {ns} exec {pod} -- cat /www/index.html")), pod);
    assert!(k.refused(&format!("-n {ns} exec {pod} -- sh -c 'exit 7'")).contains("exit code 7"));
    assert_eq!(k.pipe(&format!("-n {ns} exec -i {pod} -- cat"), "to and fro").unwrap(), "to and fro");
    assert_eq!(k.run(&format!("-n {ns} logs deployment/web")), "started");

    let file = lab.dir().join(format!("copied-{minor}"));
    std::fs::write(&file, "content").unwrap();
    k.run(&format!("-n {ns} cp {} {pod}:/www/copied", file.display()));
    k.run(&format!("-n {ns} cp {pod}:/www/copied {}.back", file.display()));
    assert_eq!(std::fs::read_to_string(format!("{}.back", file.display())).unwrap(), "content");

    k.apply(&format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{name: echo, namespace: {ns}}}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{{name: main, image: {IMAGE}, stdin: true, command: [sh, -c, "while read a; do echo got $a; done"]}}]
"#
    ));
    k.run(&format!("-n {ns} wait --for=condition=Ready pod/echo --timeout=60s"));
    let attach = k.command(&format!("-n {ns} attach -i echo")).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut attach = Background(attach.unwrap());
    let mut lines = BufReader::new(attach.0.stdout.take().unwrap()).lines();
    let mut input = attach.0.stdin.take().unwrap();
    input.write_all(b"hello\n").unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "got hello");
    drop(attach);

    let port = 20_000 + minor as u16;
    let _forward = k.forward(&format!("-n {ns} deployment/web"), port, 8080);
    let url = format!("http://127.0.0.1:{port}/");
    wait(&url, || {
        let fetched = lab.pair().server.run("busybox", &["timeout", "5", "busybox", "wget", "-q", "-O", "-", &url]);
        (String::from_utf8_lossy(&fetched.stdout).trim() == pod).then_some(())
    });
}

/// scale, set env, rollout history, undo, restart; delete.
fn rollouts(k: &Kubectl, ns: &str) {
    k.run(&format!("-n {ns} set env deployment/web COLOR=blue"));
    k.run(&format!("-n {ns} rollout status deployment/web --timeout=90s"));
    let history = k.run(&format!("-n {ns} rollout history deployment/web"));
    assert!(history.contains("REVISION") && history.lines().any(|line| line.starts_with('2')), "{history}");
    k.run(&format!("-n {ns} rollout undo deployment/web"));
    k.run(&format!("-n {ns} rollout status deployment/web --timeout=90s"));
    k.run(&format!("-n {ns} scale deployment web --replicas=2"));
    k.until_is(&format!("-n {ns} get deployment web -o jsonpath={{.status.readyReplicas}}"), "2");
    k.run(&format!("-n {ns} delete deployment web"));
    assert!(k.refused(&format!("-n {ns} get deployment web")).contains("deployments.apps \"web\" not found"));
}
