//! Whatever comes over the network ends in a value or an error: mutated samples and trees nobody would write, through
//! everything that reads them.

use std::path::{Path, PathBuf};
use std::{env, fs};

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::json::{Limits, read};
use crate::schema::{Message, for_kind, message};
use crate::selector::LabelSelector;
use crate::{Patch, duration, protobuf, prune, quantity, time};

mod rows;

/// Upstream's samples, where they are present.
fn samples(extension: &str) -> Vec<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/testdata");
    let root = env::var_os("ISOPOD_TESTDATA").map_or_else(beside, PathBuf::from);
    let Ok(files) = fs::read_dir(root.join("kubernetes-api")) else { return Vec::new() };
    let mut samples: Vec<_> = files.filter_map(|file| Some(file.ok()?.path())).collect();
    samples.retain(|path| path.extension().is_some_and(|e| e == extension) && message_of(path).is_some());
    samples.sort();
    samples
}

fn message_of(path: &Path) -> Option<&'static Message> {
    let name = path.file_stem()?.to_str()?;
    let mut parts = name.rsplitn(3, '.');
    let (kind, version) = (parts.next()?, parts.next()?);
    for_kind(parts.next().filter(|group| *group != "core").unwrap_or_default(), version, kind)
}

/// A sequence that is the same every time: a failure can be looked at again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides.max(1)
    }

    /// Changes, removes, doubles and swaps some bytes.
    fn mutate(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = bytes.to_vec();
        for _ in 0..=self.roll(6) {
            if out.is_empty() {
                break;
            }
            let at = self.roll(out.len());
            let until = (at + self.roll(40)).min(out.len());
            match self.roll(6) {
                0 => out[at] = self.roll(256) as u8,
                1 => drop(out.drain(at..until)),
                2 => out
                    .splice(at..at, bytes[at.min(bytes.len())..until.min(bytes.len())].iter().copied())
                    .for_each(drop),
                3 => out.truncate(at),
                4 => out[at] ^= 1 << self.roll(8),
                _ => out[at..until].fill([0, 0xff, b'{', b'"', 0x80][self.roll(5)]),
            }
        }
        out
    }
}

/// Everything that is done with an object that was read.
fn use_it(mut object: Value, message: &Message) {
    // Half of what is done here fails, and that is fine.
    if prune::decode(&mut object, message).is_err() {
        return;
    }
    let mut seen = object.clone();
    prune::canonical(&mut seen, message);
    let mut encoder = protobuf::Encoder::new();
    let _ = encoder.message(object.to_string().as_bytes(), message);
    let _ = encoder.object(seen.to_string().as_bytes(), message);
    let _ = Patch::Strategic(object.clone()).apply(&mut seen, Some(message));
    let _ = Patch::Merge(object).apply(&mut seen, Some(message));
}

#[test]
fn mutated_samples_are_read_or_refused() {
    let mut dice = Dice(1);
    for path in samples("pb") {
        let Some(message) = message_of(&path) else { continue };
        let bytes = fs::read(&path).unwrap();
        for _ in 0..12 {
            if let Ok(object) = protobuf::decode(&dice.mutate(&bytes)) {
                use_it(object, message);
            }
        }
    }
    for path in samples("json") {
        let Some(message) = message_of(&path) else { continue };
        let bytes = fs::read(&path).unwrap();
        for _ in 0..4 {
            let mutated = dice.mutate(&bytes);
            let _ = protobuf::Encoder::new().object(&mutated, message);
            if let Ok(document) = read(&mutated, Limits::default()) {
                use_it(document.value, message);
            }
        }
    }
}

/// Trees with the words that patches and pods know.
fn tree() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "$patch",
        "$retainKeys",
        "$setElementOrder/containers",
        "$deleteFromPrimitiveList/finalizers",
        "$setElementOrder/finalizers",
        "metadata",
        "spec",
        "status",
        "containers",
        "name",
        "ports",
        "containerPort",
        "protocol",
        "image",
        "env",
        "value",
        "valueFrom",
        "resources",
        "limits",
        "cpu",
        "finalizers",
        "labels",
        "annotations",
        "creationTimestamp",
        "volumes",
        "emptyDir",
        "sizeLimit",
        "tolerations",
        "conditions",
        "type",
        "data",
        "stringData",
        "intOrString",
        "targetPort",
        "kind",
        "apiVersion",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        prop::sample::select(vec![
            "delete",
            "replace",
            "merge",
            "10Mi",
            "2024-01-01T00:00:00Z",
            "1e999999999",
            "",
            "a/b"
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((word.clone(), inner), 0..6).prop_map(|fields| Value::Object(
                fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect::<Map<_, _>>()
            )),
        ]
    })
}

/// JSON patches with paths that fit now and then.
fn operations() -> impl Strategy<Value = Value> {
    let path = prop::sample::select(vec![
        "",
        "/",
        "/spec",
        "/spec/containers/0",
        "/spec/containers/-",
        "/metadata/labels/a~1b",
        "/spec/containers/0/name",
        "/a~",
        "//",
        "/spec/containers/18446744073709551616",
    ]);
    let op = prop::sample::select(vec!["add", "remove", "replace", "move", "copy", "test", "eat"]);
    let one = (op, path.clone(), path, tree())
        .prop_map(|(op, path, from, value)| json!({"op": op, "path": path, "from": from, "value": value}));
    prop::collection::vec(one, 0..20).prop_map(Value::from)
}

proptest! {
    #[test]
    fn trees_are_decoded_or_refused(tree in tree()) {
        for name in ["core/v1.Pod", "core/v1.Secret", "core/v1.Service", "apiextensions/v1.CustomResourceDefinition", "core/v1.Event"] {
            use_it(tree.clone(), message(name).unwrap());
        }
    }

    #[test]
    fn patches_apply_or_are_refused(tree in tree(), patch in tree(), operations in operations()) {
        let pod = message("core/v1.Pod").unwrap();
        for patch in [Patch::Strategic(patch.clone()), Patch::Merge(patch), Patch::Json(operations)] {
            for message in [Some(pod), None] {
                let mut object = tree.clone();
                let _ = patch.apply(&mut object, message);
            }
        }
    }

    #[test]
    fn words_are_read_or_refused(text in "\\PC{0,60}", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = (quantity::Quantity::parse(&text), quantity::normalize(&text), time::parse(&text), time::parse_micro(&text), duration::parse(&text));
        let _ = LabelSelector::parse(&text);
        let _ = read(&bytes, Limits::default());
        for media_type in ["application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json", &*text] {
            let _ = Patch::parse(media_type, &bytes);
        }
    }

    #[test]
    fn selectors_of_their_own_signs_are_read_or_refused(text in "[a-c!=<>(), in not exists/.]{0,60}") {
        if let Ok(selector) = LabelSelector::parse(&text) {
            let _ = selector.requirements().len();
        }
    }

    #[test]
    fn numbers_of_their_own_signs_are_read_or_refused(text in "[-+0-9.eEkKMGTPinum]{0,40}") {
        if let Ok(quantity) = quantity::Quantity::parse(&text) {
            let _ = (quantity.value(), quantity.milli_value(), quantity.as_f64(), quantity.times(3), quantity.to_string());
        }
        let _ = duration::parse(&text);
    }
}
