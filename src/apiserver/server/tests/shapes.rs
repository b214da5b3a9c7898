//! What is shown of objects: rows and metadata in both versions, and what is said where they cannot be had. Bodies that are nearly
//! right.

use super::*;

const SCALE: &str = "/apis/apps/v1/namespaces/default/deployments/d/scale";

fn shape(shape: &str, version: &str) -> String {
    format!("application/json;as={shape};g=meta.k8s.io;v={version}")
}

async fn deployment(server: &TestServer) {
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let spec = json!({"replicas": 3, "selector": {"matchLabels": {"a": "b"}}, "template": template});
    let body = json!({"metadata": {"name": "d"}, "spec": spec}).to_string();
    check(&server.admin(), "POST /apis/apps/v1/namespaces/default/deployments", &body, 201, "").await;
}

#[tokio::test]
async fn rows_and_metadata_are_shown_in_the_version_asked_for() {
    let server = TestServer::start().await;
    check(&server.admin(), &format!("POST {MAPS}"), &map("a"), 201, "").await;
    deployment(&server).await;
    let (all, one, scale) = (format!("GET {MAPS}"), format!("GET {MAPS}/a"), format!("GET {SCALE}"));
    let watch = format!("{all}?watch=1&timeoutSeconds=1");
    let unacceptable = "only the following media types are accepted: application/json, application/yaml";
    for (request, kind, code, told) in [
        (&all, "Table", 200, "{\"kind\":\"Table\",\"apiVersion\":\"VERSION\""),
        (&one, "Table", 200, "\"object\":{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"VERSION\""),
        (&watch, "Table", 200, "{\"type\":\"ADDED\",\"object\":{\"kind\":\"Table\",\"apiVersion\":\"VERSION\""),
        (&watch, "PartialObjectMetadata", 200, "{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"VERSION\""),
        (&one, "PartialObjectMetadata", 200, "{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"VERSION\""),
        (&all, "PartialObjectMetadataList", 200, "{\"kind\":\"PartialObjectMetadataList\",\"apiVersion\":\"VERSION\""),
        (&scale, "Table", 200, "\"rows\":[{\"cells\":[\"d\",3,0,"),
        (&scale, "PartialObjectMetadata", 200, "\"name\":\"d\""),
        (
            &all,
            "PartialObjectMetadata",
            406,
            "you requested PartialObjectMetadata, but the requested object is a list (*core.ConfigMapList)",
        ),
        (
            &one,
            "PartialObjectMetadataList",
            406,
            "you requested PartialObjectMetadataList, but the requested object is not a list (*core.ConfigMap)",
        ),
        (&scale, "PartialObjectMetadataList", 406, "the requested object is not a list (*autoscaling.Scale)"),
        (&all, "ConfigMap", 406, unacceptable),
    ] {
        for version in ["v1", "v1beta1"] {
            let client = server.admin().with("accept", &shape(kind, version));
            check(&client, request, "", code, &told.replace("VERSION", &format!("meta.k8s.io/{version}"))).await;
        }
    }
    let table = server.admin().with("accept", &shape("Table", "v1"));
    let told = "Unable to convert to Table as requested: includeObject: Invalid value: \\\"Foo\\\": must be 'Metadata', 'Object', 'None', or empty";
    check(&table, &format!("{all}?includeObject=Foo"), "", 400, told).await;
    check(&server.admin(), &format!("{all}?includeObject=Foo"), "", 200, "ConfigMapList").await;
    let yaml = server.admin().with("accept", "application/yaml");
    let told = "only the following media types are accepted: application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch";
    let answer = yaml.send(&watch, "").await;
    assert_eq!((answer.code, answer.headers["content-type"].to_str().unwrap()), (406, "application/yaml"));
    assert!(answer.text().contains(told), "{}", answer.text());
}

#[tokio::test]
async fn routes_that_upstream_has_none_of_know_no_heads() {
    let server = TestServer::start().await;
    check(&server.admin(), &format!("POST {MAPS}"), &map("a"), 201, "").await;
    for (path, code) in [
        ("/version", 405),
        ("/api", 405),
        ("/api/v1", 405),
        ("/apis/apps/v1", 405),
        ("/openid/v1/jwks", 405),
        (MAPS, 405),
        (&*format!("{MAPS}/a"), 405),
        ("/apis", 200),
        ("/healthz", 200),
        ("/metrics", 200),
        ("/openapi/v3", 200),
    ] {
        assert_eq!(server.admin().send(&format!("HEAD {path}"), "").await.code, code, "{path}");
    }
}

#[tokio::test]
async fn bodies_that_are_nearly_right_are_told_what_upstream_tells_them() {
    let server = TestServer::start().await;
    check(&server.admin(), &format!("POST {MAPS}"), &map("a"), 201, "").await;
    deployment(&server).await;
    let (json, merge) = ("application/json", "application/merge-patch+json");
    let (strategic, patch) = ("application/strategic-merge-patch+json", "application/json-patch+json");
    let (apply, yaml) = ("application/apply-patch+yaml", "application/yaml");
    let version = |version: &str| json!({"metadata": {"name": "a", "resourceVersion": version}}).to_string();
    let quantity = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": {"pods": "x"}},
    });
    let (one, all) = (format!("{MAPS}/a"), MAPS.to_owned());
    let applied = "/api/v1/namespaces/default/resourcequotas/q?fieldManager=m".to_owned();
    for (method, path, media_type, body, code, told) in [
        (
            "PUT",
            &one,
            json,
            &*version("x"),
            500,
            "\"message\":\"strconv.ParseUint: parsing \\\"x\\\": invalid syntax\"",
        ),
        ("PUT", &one, json, &version("1"), 409, "the object has been modified"),
        ("PATCH", &one, merge, &version("-1"), 500, "strconv.ParseUint: parsing \\\"-1\\\": invalid syntax"),
        ("POST", &all, json, &version("7"), 500, "resourceVersion should not be set on objects to be created"),
        ("PATCH", &one, strategic, r#"{"kind":"Bar","apiVersion":"x/v1"}"#, 200, "\"kind\":\"ConfigMap\""),
        ("PATCH", &one, strategic, r#"{"kind":1}"#, 422, "map[kind:1]\\\": cannot convert int64 to string"),
        (
            "PATCH",
            &one,
            merge,
            r#"{"kind":1}"#,
            422,
            "cannot unmarshal number into Go struct field .kind of type string",
        ),
        ("PATCH", &one, merge, r#"{"kind":"Bar"}"#, 422, "no kind \\\"Bar\\\" is registered"),
        (
            "PATCH",
            &one,
            merge,
            "{a",
            400,
            "\"error decoding patch: invalid character 'a' looking for beginning of object key string\"",
        ),
        ("PATCH", &one, strategic, "}", 400, "\"invalid character '}' looking for beginning of value\""),
        ("PATCH", &one, patch, "[", 400, "\"error decoding patch: unexpected end of JSON input\""),
        (
            "PATCH",
            &one,
            patch,
            r#"[{"op":"add","path":1}]"#,
            400,
            "into Go struct field jsonPatchOp.path of type string",
        ),
        ("PATCH", &one, patch, r#"[{"op":"remove","path":"/x"}]"#, 422, "\"details\":{}"),
        (
            "PATCH",
            &applied,
            apply,
            "a: [",
            400,
            "\"error decoding YAML: error converting YAML to JSON: yaml: line 1: did not find expected node content\"",
        ),
        (
            "PATCH",
            &applied,
            apply,
            &quantity.to_string(),
            500,
            "failed to convert new object (/q; /v1, Kind=ResourceQuota) to proper version: unable to convert unstructured object to /v1, Kind=ResourceQuota: quantities must match",
        ),
        (
            "POST",
            &all,
            yaml,
            "a: b: c",
            400,
            "unrecognized (must be of type ConfigMap): yaml: mapping values are not allowed in this context (613a20623a2063)",
        ),
        (
            "POST",
            &all,
            json,
            "{'a':1}",
            400,
            "couldn't get version/kind; json parse error: invalid character '\\\\'' looking for beginning of object key string ({'a':1})",
        ),
    ] {
        check(&server.admin().with("content-type", media_type), &format!("{method} {path}"), body, code, told).await;
    }
}
