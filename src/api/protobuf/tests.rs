use std::path::{Path, PathBuf};
use std::{env, fs};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Encoder, Envelope, ProtobufError, decode, decode_message, item_len, list_item, list_open};
use crate::prune::canonical;
use crate::schema::{Message, for_kind, message};

mod shaped;

/// Kinds whose golden sample does not go both ways yet. This list only shrinks.
const NOT_YET: &[&str] = &[];

fn encode(object: &Value, message: &Message) -> Result<Vec<u8>, ProtobufError> {
    Encoder::new().object(object.to_string().as_bytes(), message).map(<[u8]>::to_vec)
}

fn encode_message(object: &Value, message: &Message) -> Result<Vec<u8>, ProtobufError> {
    Encoder::new().message(object.to_string().as_bytes(), message).map(<[u8]>::to_vec)
}

/// Upstream's samples of every kind, where they are present: they are data beside the project, not part of it.
fn golden_samples() -> Option<Vec<PathBuf>> {
    let root = env::var_os("ISOPOD_TESTDATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/testdata"), PathBuf::from);
    let files = fs::read_dir(root.join("kubernetes-api")).ok()?;
    let mut samples: Vec<_> = files.filter_map(|file| Some(file.ok()?.path())).collect();
    samples.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(".pb") && !name.contains(".after_roundtrip.")
    });
    samples.sort();
    Some(samples)
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that has nothing to read must say so")]
fn golden_samples_go_both_ways() {
    let Some(samples) = golden_samples() else {
        eprintln!("no golden samples here: set ISOPOD_TESTDATA to the folder that has kubernetes-api/");
        return;
    };
    assert!(samples.len() > 150, "{} samples", samples.len());
    let mut failures = Vec::new();
    for path in &samples {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let result = round_trip(path, &name);
        match (result, NOT_YET.contains(&name.as_str())) {
            (Err(why), false) => failures.push(format!("{name}: {why}")),
            (Ok(()), true) => failures.push(format!("{name} works: take it off the list")),
            _ => {}
        }
    }
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), samples.len(), failures.join("\n"));
}

fn round_trip(path: &Path, name: &str) -> Result<(), String> {
    let mut parts = name.rsplitn(3, '.');
    let (kind, version) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let group = parts.next().filter(|group| *group != "core").unwrap_or_default();
    let message = for_kind(group, version, kind).ok_or("no message")?;
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    let text = fs::read_to_string(path.with_extension("json")).map_err(|error| error.to_string())?;
    let sample: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;

    let envelope = Envelope::parse(&bytes).map_err(|error| error.to_string())?;
    let mut decoded = if envelope.kind.is_empty() {
        decode_message(envelope.raw, message).map_err(|error| error.to_string())?
    } else {
        decode(&bytes).map_err(|error| error.to_string())?
    };
    canonical(&mut decoded, message);
    same("decoded", &decoded.to_string(), &sample.to_string())?;
    let encoded = encode(&sample, message).map_err(|error| error.to_string())?;
    if encoded != bytes {
        let at = encoded.iter().zip(&bytes).take_while(|(a, b)| a == b).count();
        return Err(format!("encoded {} bytes, expected {}, the first difference at {at}", encoded.len(), bytes.len()));
    }
    let mut pruned = sample.clone();
    let unknown = crate::prune::decode(&mut pruned, message).map_err(|error| error.to_string())?;
    canonical(&mut pruned, message);
    same("pruned", &pruned.to_string(), &sample.to_string())?;
    if unknown.is_empty() { Ok(()) } else { Err(format!("unknown fields {unknown:?}")) }
}

/// Says where two long texts part.
fn same(what: &str, got: &str, expect: &str) -> Result<(), String> {
    if got == expect {
        return Ok(());
    }
    let at = got.bytes().zip(expect.bytes()).take_while(|(a, b)| a == b).count();
    let around = |text: &str| text.get(at.saturating_sub(60)..(at + 60).min(text.len())).unwrap_or_default().to_owned();
    Err(format!("{what}\n  …{}…, expected\n  …{}…", around(got), around(expect)))
}

#[test]
fn zero_values_are_written_and_read_as_go_does() {
    let pod = message("core/v1.Pod").unwrap();
    let bytes = encode(&json!({"kind": "Pod", "apiVersion": "v1"}), pod).unwrap();
    assert_eq!(
        decode(&bytes).unwrap(),
        json!({"kind": "Pod", "apiVersion": "v1", "metadata": {}, "spec": {}, "status": {}})
    );

    let deployment = message("apps/v1.DeploymentSpec").unwrap();
    for spec in [json!({"replicas": 0}), json!({}), json!({"paused": true, "replicas": -1})] {
        let mut decoded = decode_message(&encode_message(&spec, deployment).unwrap(), deployment).unwrap();
        let mut expect = spec.clone();
        canonical(&mut decoded, deployment);
        canonical(&mut expect, deployment);
        assert_eq!(decoded, expect);
    }
    let port = message("core/v1.ServicePort").unwrap();
    let bytes = encode_message(&json!({"port": 80}), port).unwrap();
    assert_eq!(decode_message(&bytes, port).unwrap(), json!({"port": 80}));
    assert_eq!(bytes, *b"\x0a\x00\x12\x00\x18\x50\x22\x06\x08\x00\x10\x00\x1a\x00\x28\x00");
}

#[test]
fn special_types_go_both_ways() {
    for (name, value) in [
        ("core/v1.Probe", json!({"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 5})),
        (
            "coordination/v1.LeaseSpec",
            json!({"renewTime": "2026-01-02T03:04:05.000006Z", "acquireTime": "1969-12-31T23:59:59.500000Z"}),
        ),
        ("core/v1.Secret", json!({"metadata": {}, "data": {"a": "AAEC", "b": ""}})),
        ("core/v1.ResourceRequirements", json!({"limits": {"cpu": "500m", "memory": "1Gi"}})),
        ("authorization/v1.SubjectAccessReviewSpec", json!({"extra": {"a": ["b", "c"], "d": []}})),
        ("meta/v1.APIResource", json!({"name": "pods", "verbs": ["get", "list"]})),
        ("meta/v1.ManagedFieldsEntry", json!({"fieldsV1": {"f:spec": {"f:x": {}, ".": {}}}})),
        ("core/v1.Volume", json!({"name": "v", "emptyDir": {}})),
        (
            "apiextensions/v1.JSONSchemaProps",
            json!({
                "type": "object", "default": {"a": [1, null]}, "maximum": 1.5, "enum": ["a", 1],
                "properties": {"a": {"items": {"type": "string"}}, "b": {"items": [{"type": "string"}, {}]}},
                "additionalProperties": false, "additionalItems": {"type": "string"},
                "dependencies": {"x": ["y"], "z": {"type": "string"}},
                "x-kubernetes-validations": [{"rule": "self > 0"}], "x-kubernetes-preserve-unknown-fields": true,
            }),
        ),
    ] {
        let message = message(name).unwrap();
        let bytes = encode_message(&value, message).unwrap();
        let mut decoded = decode_message(&bytes, message).unwrap();
        let mut expect = value;
        canonical(&mut decoded, message);
        canonical(&mut expect, message);
        assert_eq!(decoded, expect, "{name}");
    }
}

#[test]
fn lists_and_watch_frames() {
    let pod = message("core/v1.Pod").unwrap();
    let object = |name: &str| json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": name}});
    let items: Vec<_> = ["a", "b"].map(|name| encode_message(&object(name), pod).unwrap()).into();
    let size = items.iter().map(|item| item_len(item.len())).sum();
    let mut list = list_open("v1", "PodList", br#"{"resourceVersion":"5"}"#, size).unwrap();
    items.iter().for_each(|item| list_item(&mut list, item));
    list.extend_from_slice(super::LIST_CLOSE);
    let whole = json!({"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "5"},
                       "items": [object("a"), object("b")]});
    assert_eq!(list, encode(&whole, message("core/v1.PodList").unwrap()).unwrap());
    let names = |list: &Value| {
        list["items"].as_array().unwrap().iter().map(|pod| pod["metadata"]["name"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(&decode(&list).unwrap()), ["a", "b"]);

    let mut encoder = Encoder::new();
    let frame = encoder.watch_frame("ADDED", object("a").to_string().as_bytes(), pod).unwrap();
    let (length, event) = frame.split_first_chunk::<4>().unwrap();
    assert_eq!(u32::from_be_bytes(*length) as usize, event.len());
    let event = decode_message(event, message("meta/v1.WatchEvent").unwrap()).unwrap();
    assert_eq!((&event["type"], &event["object"]["metadata"]["name"]), (&json!("ADDED"), &json!("a")));
}

#[test]
fn refuses_what_is_broken() {
    assert_eq!(decode(b"{}"), Err(ProtobufError::Prefix));
    let kind = |api_version, kind| Envelope { api_version, kind, raw: b"" }.write();
    assert_eq!(
        decode(&kind("example.com/v1", "Widget")).unwrap_err().to_string(),
        "no kind \"Widget\" is registered for version \"example.com/v1\""
    );
    let pod = message("core/v1.Pod").unwrap();
    for bytes in [
        &b"\x0a"[..],
        b"\x0a\x05ab",
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\x08\x01",
        b"\x00\x00",
        b"\x0b",
    ] {
        assert!(decode_message(bytes, pod).is_err(), "{bytes:?}");
    }
    // A schema inside a schema, without end.
    let schema = message("apiextensions/v1.JSONSchemaProps").unwrap();
    let mut deep = json!({});
    for _ in 0..70 {
        deep = json!({"not": deep});
    }
    let bytes = encode_message(&deep, schema).unwrap();
    assert_eq!(decode_message(&bytes, schema).map(|_| ()), Ok(()));
    for _ in 0..70 {
        deep = json!({"not": deep});
    }
    let bytes = encode_message(&deep, schema).unwrap();
    assert_eq!(decode_message(&bytes, schema), Err(ProtobufError::Depth));
    assert!(matches!(encode_message(&json!({"spec": 1}), pod), Err(ProtobufError::Type(_))));
}

#[test]
fn writes_any_json_text_and_refuses_what_is_none() {
    let pod = message("core/v1.Pod").unwrap();
    let write = |text: &str| Encoder::new().message(text.as_bytes(), pod).map(<[u8]>::to_vec);
    let plain = write(r#"{"metadata":{"name":"ü\"","labels":{"a":"1","b":"2","c":""}},"spec":{"nodeName":"n"}}"#);
    for same in [
        "{ \"unknown\" : [1, {\"]\": \"}\"}, true, null, -1.5e3],\n\"spec\":{\"hostIPC\":null,\"nodeName\":\"n\"},
            \"metadata\":{\"labels\":{\"c\":null,\"a\":\"1\",\"b\":\"2\"},\"name\":\"\\u00fc\\\"\"}}",
        r#"{"metadata":{"labels":{"b":"3","\u0062":"2","a":"1","c":""},"name":"x","name":"ü\""},"spec":{"nodeName":"n"}}"#,
    ] {
        assert_eq!(write(same), plain, "{same}");
    }
    for broken in [
        "",
        " ",
        "{",
        "{\"spec\"",
        "{\"spec\":",
        "{\"spec\":{}",
        "{\"spec\":{}}}",
        "{\"spec\":{},}",
        "{,}",
        "{\"spec\" {}}",
        "{\"a\":]}",
        "{\"a\":[",
        "{\"a\":\"",
        "{\"a\":\"\\",
        "{\"a\":,}",
        "{\"a\":nul",
        "{\"spec\":nul}",
        "{1:2}",
        "{\"metadata\":{\"name\":\"\n\"}}",
        "{\"spec\":{\"containers\":[{},]}}",
        "\u{b}{}",
    ] {
        assert!(matches!(write(broken), Err(ProtobufError::Text(_))), "{broken:?}: {:?}", write(broken));
    }
    for other in [
        "1",
        "[]",
        "\"{}\"",
        r#"{"spec":[]}"#,
        r#"{"spec":{"containers":{}}}"#,
        r#"{"metadata":{"labels":1}}"#,
        r#"{"metadata":{"generation":1.5}}"#,
        r#"{"metadata":{"name":"\ud800"}}"#,
    ] {
        assert!(matches!(write(other), Err(ProtobufError::Type(_))), "{other}: {:?}", write(other));
    }
}

#[test]
fn an_encoder_forgets_the_object_before() {
    let pod = message("core/v1.Pod").unwrap();
    let objects = [json!({"metadata": {"name": "x".repeat(9000)}}), json!({}), json!({"spec": {"nodeName": "n"}})];
    let mut encoder = Encoder::new();
    for object in objects.iter().chain(&objects) {
        let text = object.to_string();
        assert!(encoder.message(b"{\"metadata\":{\"name\":1", pod).is_err());
        let again = encoder.message(text.as_bytes(), pod).map(<[u8]>::to_vec);
        assert_eq!(again, encode_message(object, pod), "{object}");
    }
}

proptest! {
    #[test]
    fn never_panics_on_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for name in ["core/v1.Pod", "core/v1.Secret", "apiextensions/v1.JSONSchemaProps", "coordination/v1.Lease"] {
            let _ = decode_message(&bytes, message(name).unwrap());
        }
        let _ = decode(&[super::MAGIC, bytes.as_slice()].concat());
    }

    #[test]
    fn never_panics_on_text(text in "[\\[\\]{}:,\"\\\\a-cu0-9 .n-]{0,60}", whole in prop::collection::vec(any::<u8>(), 0..40)) {
        let schema = message("apiextensions/v1.JSONSchemaProps").unwrap();
        let mut encoder = Encoder::new();
        for text in [text.clone(), format!("{{\"properties\":{text}}}"), format!("{{\"enum\":[{text}")] {
            let read = serde_json::from_str::<Value>(&text).is_ok_and(|value| value.is_object());
            // What is JSON may still have other types; what is none may pass in what is not looked into.
            if !matches!(encoder.message(text.as_bytes(), schema), Ok(_) | Err(ProtobufError::Type(_))) {
                prop_assert!(!read, "{}", text);
            }
        }
        let _ = encoder.message(&whole, schema);
    }

    #[test]
    fn labels_and_names_go_both_ways(
        labels in prop::collection::btree_map("[a-z]{1,8}", "\\PC{0,8}", 0..5),
        name in "\\PC{0,10}",
        generation in any::<i64>(),
    ) {
        let message = message("meta/v1.ObjectMeta").unwrap();
        let mut value = json!({"name": name, "labels": labels, "generation": generation});
        let mut decoded = decode_message(&encode_message(&value, message).unwrap(), message).unwrap();
        crate::prune::decode(&mut value, message).unwrap();
        canonical(&mut decoded, message);
        canonical(&mut value, message);
        prop_assert_eq!(decoded, value);
    }
}
