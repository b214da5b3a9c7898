//! Upstream's own end-to-end tests, as `tests/conformance/build` leaves them: what no one here wrote and what a Kubernetes has
//! to pass. Half an hour and more, so it runs only when asked for: `tests/conformance/run`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::kubectl::Kubectl;
use crate::lab::{Lab, Machine, wait};

/// What fails today, a name a line; it may only shrink.
const KNOWN: &str = include_str!("../conformance/known-failures");

/// Runs the tests that `ISOPOD_FOCUS` matches, all conformance tests without it, against a server and a worker. Fails when one
/// fails that is not known to, and when one passes that is.
pub(crate) fn upstreams_tests_pass(lab: &Lab) {
    let variable = |name: &str| std::env::var(name).ok();
    let built = PathBuf::from(variable("ISOPOD_CONFORMANCE").expect("tests/conformance/run says where it built them"));
    let focus = variable("ISOPOD_FOCUS").unwrap_or_else(|| r"\[Conformance\]".into());
    let (server, worker) = (lab.machine("server"), lab.machine("worker"));
    for machine in [&server, &worker] {
        provide(machine, &built.join("images"));
    }
    server.start_server(&[]);
    worker.start_agent(&server);
    let k = Kubectl::new(&server);
    for name in ["server", "worker"] {
        k.until_is(
            &format!(r#"get node {name} -o jsonpath={{.status.conditions[?(@.type=="Ready")].status}}"#),
            "True",
        );
    }
    wait("the images", || {
        k.run("get node worker -o jsonpath={.status.images[*].names}").contains("nonroot").then_some(())
    });

    let report = lab.dir().join("report.json");
    let mut tests = server.command(built.join("ginkgo").to_str().expect("a plain path"));
    tests
        .arg("--procs=4")
        .arg(format!("--focus={focus}"))
        .args(["--skip=\\[Disruptive\\]", "--no-color", "--silence-skips", "--keep-going"])
        .arg(format!("--output-dir={}", lab.dir().display()))
        .arg("--json-report=report.json")
        .arg(built.join("e2e.test"))
        .args(["--", "--provider=local", "--kubeconfig"])
        .arg(server.kubeconfig())
        .args(["--allowed-not-ready-nodes=0", "--disable-log-dump"])
        .stdin(Stdio::null());
    let status = tests.status().expect("tests/conformance/build left ginkgo there");
    judge(&report, status.success());
}

fn provide(machine: &Machine, images: &Path) {
    let folder = machine.data.join("agent/images");
    std::fs::create_dir_all(&folder).unwrap();
    for image in std::fs::read_dir(images).expect("tests/conformance/build made images") {
        let image = image.unwrap();
        std::fs::copy(image.path(), folder.join(image.file_name())).unwrap();
    }
}

/// Compares what failed with what is known to.
fn judge(report: &Path, success: bool) {
    let text = std::fs::read(report).unwrap_or_else(|e| panic!("the tests (success: {success}) left no report: {e}"));
    let suites: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let specs = suites.as_array().into_iter().flatten().flat_map(|suite| suite["SpecReports"].as_array()).flatten();
    let (mut passed, mut failed) = (BTreeSet::new(), BTreeSet::new());
    for spec in specs.filter(|spec| spec["LeafNodeType"] == "It") {
        let texts = spec["ContainerHierarchyTexts"].as_array().into_iter().flatten().chain([&spec["LeafNodeText"]]);
        let name = texts.filter_map(|text| text.as_str()).collect::<Vec<_>>().join(" ");
        match spec["State"].as_str() {
            Some("passed") => passed.insert(name),
            Some("skipped" | "pending") => continue,
            _ => failed.insert(name),
        };
    }
    assert!(!passed.is_empty() || !failed.is_empty(), "no test was run");
    let known: BTreeSet<String> = KNOWN.lines().map(str::to_owned).collect();
    let new: Vec<_> = failed.difference(&known).collect();
    let mended: Vec<_> = passed.intersection(&known).collect();
    assert!(new.is_empty(), "{} passed; these failed and are not known to: {new:#?}", passed.len());
    assert!(mended.is_empty(), "take these off tests/conformance/known-failures, they pass: {mended:#?}");
}
