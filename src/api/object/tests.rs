use serde_json::json;

use super::*;
use crate::resource;

#[test]
fn the_revision_is_spliced_in_and_the_rest_stays() {
    let pods = resource::find("", "v1", "pods").unwrap();
    let value = json!({
        "spec": {"nodeName": "n1", "containers": [{"name": "a"}]},
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "web", "namespace": "default", "resourceVersion": "3", "labels": {"b": "2", "a": "1"}},
    });
    let object = Object::encode(&value, 42, pods).unwrap();
    assert!(!object.stored_bytes().windows(15).any(|w| w == b"resourceVersion"));
    let mut expect = value.clone();
    expect["metadata"]["resourceVersion"] = "42".into();
    assert_eq!(object.to_value().unwrap(), expect);
    assert_eq!(object.meta.key(), "default/web");
    assert_eq!(object.meta.labels.get("b"), Some("2"));
    let node = pods.fields.iter().position(|f| &**f == "spec.nodeName").unwrap();
    assert_eq!(&*object.meta.fields[node], "n1");
    let again = Object::stored(object.stored_bytes().clone(), 43, pods).unwrap();
    assert_eq!(again.meta.resource_version, 43);
    let received = Object::received(Bytes::from(again.to_json()), pods).unwrap();
    assert_eq!(received.meta.resource_version, 43);
    assert_eq!(received.to_json(), again.to_json());
}

#[test]
fn foreign_bytes_are_brought_into_form() {
    let pods = resource::find("", "v1", "pods").unwrap();
    let object = Object::stored(
        Bytes::from_static(b"{\"metadata\":{\"name\":\"x\"},\"kind\":\"Pod\",\"apiVersion\":\"v1\"}"),
        7,
        pods,
    );
    assert_eq!(
        object.unwrap().to_json(),
        b"{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":\"7\",\"name\":\"x\"}}"
    );
    assert!(Object::stored(Bytes::from_static(b"[]"), 1, pods).is_err());
}

#[test]
fn metadata_is_shown_with_the_revision() {
    let pods = resource::find("", "v1", "pods").unwrap();
    let check = |object: Object, expect: &str| {
        let mut out = Vec::new();
        object.write_metadata(&mut out).unwrap();
        // The second time it is known where the metadata ends; a copy knows it, too.
        for object in [&object, &object.at_revision(object.meta.resource_version)] {
            let mut again = Vec::new();
            object.write_metadata(&mut again).unwrap();
            assert_eq!(again, out);
        }
        assert_eq!(String::from_utf8(out).unwrap(), expect);
    };
    let stored = |metadata: &str, revision| {
        let json =
            format!("{{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{metadata},\"spec\":{{\"a\":\"}}\"}}}}");
        Object::stored(Bytes::from(json), revision, pods).unwrap()
    };
    check(stored(r#"{"name":"x","labels":{"a":"}"}}"#, 7), r#"{"resourceVersion":"7","name":"x","labels":{"a":"}"}}"#);
    check(stored("{}", 7), r#"{"resourceVersion":"7"}"#);
    check(stored(r#"{"name":"x"}"#, 0), r#"{"name":"x"}"#);
    let received = br#"{"spec":{},"metadata":{"resourceVersion":"3","name":"x"}}"#;
    check(Object::received(Bytes::from_static(received), pods).unwrap(), r#"{"resourceVersion":"3","name":"x"}"#);
}

#[test]
fn a_view_of_the_rest_is_the_same_as_one_of_the_whole() {
    let pods = resource::find("", "v1", "pods").unwrap();
    let check = |object: Result<Object, ObjectError>, expect: Value| {
        let object = object.unwrap();
        let mut whole: Value = object.view().unwrap();
        let rest: Value = object.view_beside_metadata().unwrap();
        for name in ["kind", "apiVersion", "metadata"] {
            whole.as_object_mut().unwrap().remove(name);
        }
        assert_eq!(whole, expect);
        assert!(rest == expect || rest == object.view::<Value>().unwrap(), "{rest}");
    };
    let stored = |json: &'static [u8]| Object::stored(Bytes::from_static(json), 7, pods);
    check(stored(br#"{"metadata":{"name":"x"},"spec":{"a":1},"status":{}}"#), json!({"spec": {"a": 1}, "status": {}}));
    check(stored(br#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"x"}}"#), json!({}));
    let received = Bytes::from_static(br#"{"spec":{},"metadata":{"name":"x"}}"#);
    check(Object::received(received, pods), json!({"spec": {}}));
}
