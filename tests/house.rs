//! The rules of the house that no compiler checks. Each says why.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    for top in ["addons", "bootstrap", "embedded-store", "src", "tests"] {
        walk(&root().join(top), &mut files);
    }
    assert!(files.len() > 50, "the walk found only {} files", files.len());
    files
}

fn walk(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}

/// Who may use whom: what is not listed must not be there. Dependencies of tests do not count.
const MAY_USE: &[(&str, &[&str])] = &[
    ("isopod-api", &[]),
    ("isopod-cel", &["isopod-api"]),
    ("isopod-embedded-store", &[]),
    ("isopod-runtime", &[]),
    ("isopod-watch-cache", &["isopod-api"]),
    ("isopod-apiserver", &["isopod-api", "isopod-cel", "isopod-watch-cache", "isopod-embedded-store"]),
    ("isopod-client", &["isopod-api", "isopod-watch-cache"]),
    ("isopod-controllers", &["isopod-api", "isopod-watch-cache", "isopod-client"]),
    ("isopod-scheduler", &["isopod-api", "isopod-watch-cache", "isopod-client"]),
    ("isopod-addons", &["isopod-api", "isopod-watch-cache", "isopod-client"]),
    ("isopod-bootstrap", &["isopod-api", "isopod-client"]),
    ("isopod-network", &["isopod-api", "isopod-watch-cache", "isopod-client"]),
    ("isopod-kubelet", &["isopod-api", "isopod-watch-cache", "isopod-client", "isopod-runtime", "isopod-network"]),
];

#[test]
fn crates_use_only_whom_they_may() {
    let metadata = cargo_metadata::MetadataCommand::new().no_deps().exec().unwrap();
    let rules: BTreeMap<_, _> = MAY_USE.iter().copied().collect();
    for package in metadata.packages {
        let Some(allowed) = rules.get(package.name.as_str()) else { continue };
        let used = package.dependencies.iter().filter(|d| d.kind == cargo_metadata::DependencyKind::Normal);
        for dependency in used.filter(|d| d.name.starts_with("isopod-")) {
            assert!(allowed.contains(&dependency.name.as_str()), "{} must not use {}", package.name, dependency.name);
        }
    }
}

#[test]
fn every_crate_has_its_row() {
    let metadata = cargo_metadata::MetadataCommand::new().no_deps().exec().unwrap();
    let rows: BTreeSet<_> = MAY_USE.iter().map(|(name, _)| *name).collect();
    for package in metadata.packages.iter().filter(|p| p.name.starts_with("isopod-")) {
        assert!(rows.contains(package.name.as_str()), "{} is not in MAY_USE", package.name);
    }
}

/// A file is one concept; past 800 lines it is several.
#[test]
fn no_file_is_longer_than_800_lines() {
    for file in rust_files() {
        let lines = std::fs::read_to_string(&file).unwrap().lines().count();
        assert!(lines <= 800, "{} has {lines} lines: split it by concept", file.display());
    }
}

/// `unsafe` only where the kernel or a memory map asks for it, and never without its reason.
#[test]
fn unsafe_stays_where_it_is_allowed_and_is_justified() {
    for file in rust_files() {
        let text = std::fs::read_to_string(&file).unwrap();
        let shown = file.strip_prefix(root()).unwrap().display().to_string();
        if shown == "tests/house.rs" {
            continue;
        }
        let uses = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let uses = uses
            .filter(|line| line.contains("unsafe {") || line.contains("unsafe fn") || line.contains("unsafe impl"))
            .count();
        let allowed = ["src/runtime/", "src/network/", "embedded-store/"].iter().any(|dir| shown.starts_with(dir));
        assert!(uses == 0 || allowed, "{shown} uses unsafe");
        let reasons = text.matches("SAFETY:").count();
        assert!(reasons >= uses.min(1), "{shown} uses unsafe without saying why");
    }
}

/// A path of the API is spelled in one place on each side, so that it can change in one place.
#[test]
fn api_paths_are_spelled_only_in_the_http_parts() {
    for file in rust_files() {
        let shown = file.strip_prefix(root()).unwrap().display().to_string();
        // Benchmarks speak plain HTTP to any server.
        let http = ["src/apiserver/", "src/client/https", "src/xtask/bench/"];
        if http.iter().any(|part| shown.starts_with(part)) || shown.contains("tests") {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        for line in text.lines().filter(|l| !l.trim_start().starts_with("//")) {
            assert!(!line.contains("\"/api/v1") && !line.contains("\"/apis/"), "{shown} spells an API path: {line}");
        }
    }
}

/// Unfinished work is said in an issue, not left in the code.
#[test]
fn no_marks_of_unfinished_work() {
    for file in rust_files().into_iter().filter(|f| !f.ends_with("tests/house.rs")) {
        let text = std::fs::read_to_string(&file).unwrap();
        for mark in ["todo!(", "unimplemented!(", "FIXME", "XXX", "#[ignore"] {
            assert!(!text.contains(mark), "{} contains {mark}", file.display());
        }
    }
}

/// The HTTP API's paths, the binary's help and the docs name nothing of where the project was written.
#[test]
fn scripts_are_executable_and_strict() {
    use std::os::unix::fs::PermissionsExt;
    for script in ["install.sh", "tests/run", ".ci/run"] {
        let path = root().join(script);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("set -e"), "{script} goes on after errors");
        assert!(path.metadata().unwrap().permissions().mode() & 0o111 != 0, "{script} is not executable");
    }
}
