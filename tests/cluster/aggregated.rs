//! Upstream's sample of an aggregated API server, built from its own sources, behind isopod.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::clients::{Running, finish, target, text};
use crate::kubectl::Kubectl;
use crate::lab::{Lab, Machine};
use crate::workloads;

/// Where the sample listens on the server's machine, and where its etcd does.
const PORT: u16 = 8443;
const ETCD: u16 = 2379;

/// A group that another server serves is found, explained, written, watched, protected and cleaned up like any other; while that
/// server is away the rest goes on.
pub(crate) fn an_aggregated_server_is_part_of_the_cluster(lab: &Lab) {
    workloads::both_nodes_become_ready(lab);
    let (k, machine) = (&lab.pair().kubectl, &*lab.pair().server);
    let program = sample();
    let _etcd = etcd(lab, machine);
    let sample = start(lab, machine, &program);
    k.apply(&registration(&machine.address));
    k.run("wait --for=condition=Available apiservice/v1alpha1.wardle.example.com --timeout=90s");

    objects(k);
    people(k);
    owners_and_namespaces(k);

    drop(sample);
    let unreachable = || {
        let refused = k.refused("get --raw /apis/wardle.example.com/v1alpha1/flunders");
        assert!(refused.contains("currently unable to handle the request"), "{refused}");
    };
    // At once, and when it is known that nobody is there.
    unreachable();
    k.run("-n wardle delete endpointslice api-1");
    k.until("get apiservice v1alpha1.wardle.example.com", |row| {
        row.contains("False (EndpointsNotFound)").then_some(())
    });
    unreachable();
    k.run("get pods -A");
    let _sample = start(lab, machine, &program);
    k.apply(&registration(&machine.address));
    k.run("wait --for=condition=Available apiservice/v1alpha1.wardle.example.com --timeout=90s");
    k.until("get fischers -o name", |names| names.contains("fischer.wardle.example.com/strict").then_some(()));

    k.run("delete apiservice v1alpha1.wardle.example.com");
    assert!(
        k.refused("get --raw /apis/wardle.example.com/v1alpha1/flunders").contains("not find the requested resource")
    );
    assert!(!k.run("api-versions").contains("wardle"));
    k.run("delete namespace wardle");
}

/// Discovery, schema, apply, patch, watch, table, and the other server's own admission.
fn objects(k: &Kubectl) {
    let resources = k.run("api-resources --api-group=wardle.example.com --no-headers");
    assert!(resources.contains("Flunder") && resources.contains("Fischer"), "{resources}");
    let explained = k.run("explain flunders.spec");
    assert!(explained.contains("reference"), "{explained}");
    let raw = k.run("get --raw /openapi/v2");
    assert!(raw.contains("com.example.wardle.v1alpha1.Flunder") || raw.contains("v1alpha1.Flunder"), "no schema of it");

    let flunder = |name: &str, other: &str| {
        format!(
            "apiVersion: wardle.example.com/v1alpha1\nkind: Flunder\nmetadata: {{name: {name}, namespace: wardle}}\nspec: {{reference: {other}}}\n"
        )
    };
    let watch = k.command("-n wardle get flunders --watch -o name").stdout(Stdio::piped()).spawn();
    let mut watch = crate::lab::Background(watch.unwrap());
    assert_eq!(k.apply(&flunder("one", "two")), "flunder.wardle.example.com/one created");
    assert_eq!(k.apply(&flunder("one", "two")), "flunder.wardle.example.com/one unchanged");
    assert_eq!(k.apply(&flunder("one", "three")), "flunder.wardle.example.com/one configured");
    let unknown = k.pipe("apply -f -", &flunder("one", "two").replace("reference", "nonsense")).unwrap_err();
    assert!(unknown.contains("unknown field \"spec.nonsense\""), "{unknown}");
    let seen = std::io::BufRead::lines(std::io::BufReader::new(watch.0.stdout.take().unwrap())).next();
    assert_eq!(seen.unwrap().unwrap(), "flunder.wardle.example.com/one");
    k.run("-n wardle label flunder one season=winter");
    let row = k.run("-n wardle get flunders -l season=winter --no-headers");
    assert!(row.starts_with("one "), "{row}");
    k.apply("apiVersion: wardle.example.com/v1alpha1\nkind: Fischer\nmetadata: {name: strict}\ndisallowedFlunders: [banned]\n");
    let banned = k.until("get fischers -o name", |_| k.pipe("create -f -", &flunder("banned", "x")).err());
    assert!(banned.contains("forbidden"), "{banned}");
}

/// Who asks is told to the other server, which asks back what they may.
fn people(k: &Kubectl) {
    let refused = k.refused("-n wardle get flunders --as=jane");
    let expect = "flunders.wardle.example.com is forbidden: User \"jane\" cannot list resource \"flunders\"";
    assert!(refused.contains(expect), "{refused}");
    k.run("create clusterrole flunder-reader --verb=list,get --resource=flunders.wardle.example.com");
    k.run("-n wardle create rolebinding readers --clusterrole=flunder-reader --group=readers");
    k.until_is("-n wardle get flunders --as=jane --as-group=readers -o name", "flunder.wardle.example.com/one");
    assert!(k.refused("-n wardle delete flunder one --as=jane --as-group=readers").contains("cannot delete resource"));
    k.run("delete clusterrole flunder-reader");
}

/// Objects are collected over the boundary, and namespaces are emptied of them.
fn owners_and_namespaces(k: &Kubectl) {
    let owned = |kind: &str, uid: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: owned\n  namespace: wardle\n  ownerReferences: [{{apiVersion: wardle.example.com/v1alpha1, kind: {kind}, name: one, uid: {uid}}}]\n"
        )
    };
    let uid = k.run("-n wardle get flunder one -o jsonpath={.metadata.uid}");
    k.apply(&owned("Flunder", &uid));
    k.run("-n wardle delete flunder one");
    k.until_is("-n wardle get configmap owned --ignore-not-found -o name", "");

    k.run("create namespace many-flunders");
    k.apply(
        "apiVersion: wardle.example.com/v1alpha1\nkind: Flunder\nmetadata: {name: last, namespace: many-flunders}\n",
    );
    k.run("delete namespace many-flunders --timeout=90s");
    assert_eq!(k.run("get flunders -A -o name"), "");
}

fn registration(address: &str) -> String {
    format!(
        r#"
apiVersion: v1
kind: Namespace
metadata: {{name: wardle}}
---
apiVersion: v1
kind: Service
metadata: {{name: api, namespace: wardle}}
spec:
  ports: [{{port: 443, targetPort: {PORT}}}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: api-1, namespace: wardle, labels: {{kubernetes.io/service-name: api}}}}
addressType: IPv4
ports: [{{name: "", port: {PORT}, protocol: TCP}}]
endpoints: [{{addresses: ["{address}"]}}]
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {{name: v1alpha1.wardle.example.com}}
spec:
  group: wardle.example.com
  version: v1alpha1
  groupPriorityMinimum: 1000
  versionPriority: 15
  insecureSkipTLSVerify: true
  service: {{name: api, namespace: wardle}}
"#
    )
}

/// The sample, from its sources.
fn sample() -> PathBuf {
    let folder = target("sample-apiserver");
    let program = folder.join("sample-apiserver");
    if !program.exists() {
        let mut go = Command::new("go");
        go.args(["install", "k8s.io/sample-apiserver@v0.35.4"]);
        go.env("GOBIN", &folder).env("CGO_ENABLED", "0").env("GOFLAGS", "-ldflags=-s");
        finish(go, "go install sample-apiserver");
    }
    program
}

/// Its store: Debian's etcd.
fn etcd(lab: &Lab, machine: &Machine) -> Running {
    let url = format!("http://127.0.0.1:{ETCD}");
    let mut command = machine.command("etcd");
    command.arg("--data-dir").arg(lab.dir().join("wardle-etcd")).args(["--listen-client-urls", &url]);
    command.args(["--advertise-client-urls", &url, "--listen-peer-urls", "http://127.0.0.1:2380"]);
    command.args(["--log-level", "error"]).stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(std::fs::File::create(lab.dir().join("wardle-etcd.log")).unwrap());
    Running(command.spawn().unwrap())
}

fn start(lab: &Lab, machine: &Machine, program: &std::path::Path) -> Running {
    let kubeconfig = machine.kubeconfig();
    let mut command = machine.command(text(program));
    for flag in ["--kubeconfig", "--authentication-kubeconfig", "--authorization-kubeconfig"] {
        command.arg(flag).arg(&kubeconfig);
    }
    command.arg(format!("--etcd-servers=http://127.0.0.1:{ETCD}")).arg(format!("--secure-port={PORT}"));
    command.arg("--cert-dir").arg(lab.dir().join("wardle-certificates"));
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(std::fs::File::create(lab.dir().join("wardle.log")).unwrap());
    Running(command.spawn().unwrap())
}
