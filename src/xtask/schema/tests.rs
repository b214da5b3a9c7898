use std::env;
use std::path::{Path, PathBuf};

use super::{Facts, HEAD, render, run};

#[test]
fn renders_messages_and_aliases() {
    let facts: Facts = serde_json::from_str(
        r#"{
            "kubernetes": "1.35",
            "messages": {
                "k8s.io/api/core/v1.Pod": {"fields": [
                    {"json": "", "type": "k8s.io/apimachinery/pkg/apis/meta/v1.TypeMeta", "inline": true},
                    {"json": "spec", "type": "k8s.io/api/core/v1.PodSpec", "omitempty": true, "number": 2}
                ]},
                "k8s.io/api/core/v1.PodSpec": {"fields": [
                    {"json": "a", "type": "[]byte", "number": 3, "pointer": true, "default": "\"x y\""},
                    {"json": "-", "type": "bool"},
                    {"json": "b", "type": "map[string]k8s.io/apimachinery/pkg/api/resource.Quantity", "number": 1,
                     "optional": true, "list_type": "map", "list_map_keys": ["k", "l"]},
                    {"json": "c", "type": "k8s.io/api/core/v1.Names", "required": true, "omitempty": true}
                ]},
                "k8s.io/apimachinery/pkg/runtime.Unknown": {"fields": []}
            },
            "aliases": {"k8s.io/api/core/v1.Phase": "string", "k8s.io/api/core/v1.Names": "[]string"},
            "enums": {"k8s.io/api/core/v1.Phase": ["", "Up"]}
        }"#,
    )
    .unwrap();
    let expect = [
        "# Kubernetes 1.35",
        "alias core/v1.Names = []string",
        "alias core/v1.Phase = string \"\" Up",
        "message core/v1.Pod kind",
        "\tspec 2 .PodSpec o",
        "message core/v1.PodSpec",
        "\ta 3 *bytes ! default=\"x y\"",
        "\tb 1 map[string]Quantity l=map keys=k,l",
        "\tc - .Names o ! w",
        "message meta/v1.WatchEvent",
        "\ttype 1 string !",
        "\tobject 2 RawExtension !",
        "",
    ];
    assert_eq!(render(&facts).unwrap().strip_prefix(HEAD), Some(expect.join("\n").as_str()));
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that has nothing to read must say so")]
fn the_table_is_what_the_facts_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let data = env::var_os("ISOPOD_TESTDATA").map_or_else(|| root.join("../shared/testdata"), PathBuf::from);
    let facts = data.join("schema-facts.json");
    if !facts.exists() {
        eprintln!("no schema facts here: set ISOPOD_TESTDATA to the folder that has schema-facts.json");
        return;
    }
    run(&facts, &root.join("src/api/schema/table.txt"), true).unwrap();
}
