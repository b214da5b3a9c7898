//! Clients that no one here wrote: Helm, controller-runtime, kube-rs, the Python client, each doing a user's work.
//!
//! The programs are in tests/clients. They are built by their own tools, from their own registries, into `target/clients`.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::lab::{Lab, Pair};
use crate::workloads;

const IMAGE: &str = "busybox.local/busybox:1";

/// install, upgrade, rollback, test and uninstall of a chart with CRDs, hooks, custom resources and a readiness to wait for.
pub(crate) fn helm_releases_a_chart(lab: &Lab) {
    let pair = ready(lab);
    let k = &pair.kubectl;
    for (version, module) in [("3", "helm.sh/helm/v3/cmd/helm@v3.19.0"), ("4", "helm.sh/helm/v4/cmd/helm@v4.3.1")] {
        let program = helm(version, module);
        let space = format!("helm{version}");
        let home = lab.dir().join(&space);
        let helm = |line: &str| {
            let mut command = pair.server.command(text(&program));
            command.env("KUBECONFIG", pair.server.kubeconfig()).env("HOME", &home);
            command.args(["--namespace", &space]).args(line.split(' '));
            finish(command, &format!("helm {version} {line}"))
        };
        let chart = source("chart");
        let chart = text(&chart);
        let greeting = format!("-n {space} get greeting shop -o jsonpath={{.spec.text}}");
        let wait = "--wait --timeout 120s";

        helm(&format!("install shop {chart} --create-namespace {wait}"));
        k.until_is(&greeting, "hello");
        helm("test shop --timeout 120s");
        helm(&format!("upgrade shop {chart} --set greeting=goodbye --set replicas=1 {wait}"));
        k.until_is(&greeting, "goodbye");
        k.until_is(&format!("-n {space} get deployment shop -o jsonpath={{.status.readyReplicas}}"), "1");
        helm("test shop --timeout 120s");
        // Nothing has changed, and so nothing is rolled out.
        let generation = format!("-n {space} get deployment shop -o jsonpath={{.metadata.generation}}");
        let before = k.run(&generation);
        helm(&format!("upgrade shop {chart} --reuse-values {wait}"));
        assert_eq!(k.run(&generation), before, "an upgrade to the same changed the deployment");
        helm(&format!("rollback shop 1 {wait}"));
        k.until_is(&greeting, "hello");
        let history = helm("history shop");
        assert!(history.contains("Rollback to 1"), "{history}");
        assert!(helm("list").contains("deployed"), "the release is listed");
        helm("uninstall shop --wait");
        // Helm waits for what the chart names; the pods of its Deployment go in the background.
        k.until_is(&format!("-n {space} get all,greetings -o name"), "");
        k.run(&format!("delete namespace {space}"));
        k.run("delete crd greetings.shop.example.org");
    }
}

/// An operator with leader election, finalizer, server-side apply, status and events looks after its kind.
pub(crate) fn an_operator_reconciles(lab: &Lab) {
    let pair = ready(lab);
    let k = &pair.kubectl;
    define_sites(lab);
    let program = operator();
    let mut command = pair.server.command(text(&program));
    command.env("KUBECONFIG", pair.server.kubeconfig()).stdin(Stdio::null()).stdout(Stdio::null());
    let log = lab.dir().join("operator.log");
    command.stderr(std::fs::File::create(&log).unwrap());
    let _operator = Running(command.spawn().unwrap());

    k.run("create namespace sites");
    let site = |name: &str, spec: &str| {
        format!("apiVersion: example.org/v1\nkind: Site\nmetadata: {{name: {name}, namespace: sites}}\nspec: {spec}\n")
    };
    k.apply(&site("one", &format!("{{image: '{IMAGE}', replicas: 2}}")));
    k.run("-n sites wait --for=condition=Ready site/one --timeout=90s");
    k.until_is("-n sites get deployment one -o jsonpath={.status.readyReplicas}", "2");
    let table = k.run("-n sites get st");
    assert!(table.contains("IMAGE") && table.contains(IMAGE), "the definition's columns:\n{table}");
    // The scale sub-resource changes the spec, the operator does the rest.
    k.run("-n sites scale site one --replicas=3");
    k.until_is("-n sites get site one -o jsonpath={.status.ready}", "3");
    // What the operator owns comes back when somebody else takes it.
    k.run("-n sites scale deployment one --replicas=0");
    k.until_is("-n sites get deployment one -o jsonpath={.spec.replicas}/{.status.readyReplicas}", "3/3");
    let managers =
        k.run("-n sites get deployment one --show-managed-fields -o jsonpath={.metadata.managedFields[*].manager}");
    assert!(managers.contains("site-operator"), "{managers}");
    k.until(
        "-n sites get events --field-selector=involvedObject.kind=Site -o jsonpath={.items[*].message}",
        |events| events.contains("all 3 replicas are ready").then_some(()),
    );
    // The schema and its rules hold.
    for (spec, why) in [
        ("{}", "spec.image: Required value"),
        ("{image: 'a:1', replicas: 9}", "should be less than or equal to 5"),
        ("{image: 'a:latest'}", "pin the image"),
    ] {
        let refused = k.pipe("apply -f -", &site("bad", spec)).expect_err("a site against its schema");
        assert!(refused.contains(why), "{why} is not in:\n{refused}");
    }
    k.run("-n sites delete site one --timeout=60s");
    assert_eq!(k.run("-n sites get configmap farewell-one -o jsonpath={.data.site}"), "one");
    k.until_is("-n sites get deployments,pods -o name", "");
    k.run("delete namespace sites");
}

/// The official Python client: typed, generic and dynamic.
pub(crate) fn a_python_program_works(lab: &Lab) {
    let pair = ready(lab);
    define_sites(lab);
    let python = python();
    let mut command = pair.server.command(text(&python));
    command.arg(source("python/check.py")).arg(pair.server.kubeconfig()).args(["python", IMAGE]);
    assert_eq!(finish(command, "check.py").trim(), "ok");
}

/// kube-rs: a derived kind, its controller, conditions, streams.
pub(crate) fn a_kube_rs_operator_works(lab: &Lab) {
    let pair = ready(lab);
    let program = kube_rs();
    let mut command = pair.server.command(text(&program));
    command.env("KUBECONFIG", pair.server.kubeconfig()).args(["kube-rs", IMAGE]);
    assert_eq!(finish(command, "cart-operator").trim(), "ok");
}

/// The shared cluster, when all of it is there.
fn ready(lab: &Lab) -> &Pair {
    workloads::both_nodes_become_ready(lab);
    lab.pair()
}

fn define_sites(lab: &Lab) {
    let k = &lab.pair().kubectl;
    k.run(&format!("apply -f {}", text(&source("operator/crd.yaml"))));
    k.run("wait --for=condition=Established crd/sites.example.org --timeout=60s");
}

/// A process that ends with the scenario.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(path)
}

/// Where the clients are built; it stays between runs.
pub(crate) fn target(path: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap_or(Path::new("target")).join("clients").join(path)
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("paths of the tests are UTF-8")
}

/// Helm of a version, from its sources.
fn helm(version: &str, module: &str) -> PathBuf {
    let folder = target(&format!("helm{version}"));
    let program = folder.join("helm");
    if !program.exists() {
        let mut go = Command::new("go");
        go.args(["install", module]).env("GOBIN", &folder).env("GOFLAGS", "-mod=mod");
        finish(go, "go install helm");
    }
    program
}

fn operator() -> PathBuf {
    let program = target("operator");
    let mut go = Command::new("go");
    go.current_dir(source("operator")).args(["build", "-o", text(&program), "."]);
    finish(go, "go build of the operator");
    program
}

fn kube_rs() -> PathBuf {
    let folder = target("kube-rs");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--locked", "--manifest-path"]).arg(source("kube-rs/Cargo.toml"));
    cargo.arg("--target-dir").arg(&folder);
    finish(cargo, "cargo build of the kube-rs operator");
    folder.join("debug/cart-operator")
}

/// A Python with the client in it.
fn python() -> PathBuf {
    let folder = target("python");
    let program = folder.join("bin/python");
    if !folder.join("bin/.complete").exists() {
        let mut venv = Command::new("python3");
        venv.args(["-m", "venv"]).arg(&folder);
        finish(venv, "python3 -m venv");
        let mut pip = Command::new(&program);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "kubernetes==37.0.2"]);
        finish(pip, "pip install kubernetes");
        std::fs::write(folder.join("bin/.complete"), "").unwrap();
    }
    program
}

/// Runs a command that must succeed; what it printed.
#[track_caller]
pub(crate) fn finish(mut command: Command, what: &str) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{what}: {error}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{what}: {}\n{out}\n{err}", output.status);
    out.into_owned()
}
