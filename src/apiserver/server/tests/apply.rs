//! Server-side apply and managers as clients on the wire see them.

use super::*;

const APPLY: &str = "application/apply-patch+yaml";

fn yaml(data: &str) -> String {
    format!("\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: m\ndata:\n{data}")
}

#[tokio::test]
async fn what_is_applied_is_yaml_and_has_a_manager() {
    let server = TestServer::start().await;
    let admin = server.admin().with("content-type", APPLY);
    let one = format!("PATCH {MAPS}/m?fieldManager=one");
    let told = "fieldManager: Required value: is required for apply patch";
    check(&admin, &format!("PATCH {MAPS}/m"), &yaml("  a: x\n"), 422, told).await;
    check(&admin, &one, &yaml("  a: x\n"), 201, "\"manager\":\"one\",\"operation\":\"Apply\",\"apiVersion\":\"v1\"")
        .await;
    check(&admin, &one, &yaml("  a: q\n"), 200, "\"fieldsV1\":{\"f:data\":{\"f:a\":{}}}").await;
    let told = "Apply failed with 1 conflict: conflict with \\\"one\\\": .data.a";
    check(&admin, &format!("PATCH {MAPS}/m?fieldManager=two"), &yaml("  a: z\n"), 409, told).await;
    check(&admin, &format!("PATCH {MAPS}/m?fieldManager=two&force=true"), &yaml("  a: z\n"), 200, "\"a\":\"z\"").await;
    let told = "error strict decoding patch: error converting YAML to JSON: yaml: unmarshal errors:\\n  line 9: key \\\"b\\\" already set in map";
    check(&admin, &format!("{one}&fieldValidation=Strict"), &yaml("  a: z\n  b: x\n  b: q\n"), 400, told).await;
    let warned = admin.send(&one, yaml("  b: x\n  b: q\n")).await;
    assert_eq!(warned.headers["warning"], "299 - \"line 8: key \\\"b\\\" already set in map\"");
    check(&admin, &one, "a: [", 400, "error converting YAML to JSON").await;
    let cbor = server.admin().with("content-type", "application/apply-patch+cbor");
    check(&cbor, &one, "", 415, "UnsupportedMediaType").await;
}

#[tokio::test]
async fn a_body_of_yaml_tells_its_duplicates_by_line() {
    let server = TestServer::start().await;
    let admin = server.admin().with("content-type", "application/yaml");
    let told = "strict decoding error: yaml: unmarshal errors:\\n  line 8: key \\\"a\\\" already set in map, unknown field \\\"colour\\\"";
    let body = format!("{}colour: red\n", yaml("  a: x\n  a: q\n"));
    check(&admin, &format!("POST {MAPS}?fieldValidation=Strict"), &body, 400, told).await;
}

#[tokio::test]
async fn who_names_no_manager_is_known_by_its_agent() {
    let server = TestServer::start().await;
    let admin =
        server.admin().with("content-type", "application/json").with("user-agent", "kubelet/v1.35 (linux/amd64)");
    check(&admin, &format!("POST {MAPS}"), &map("m"), 201, "\"manager\":\"kubelet\",\"operation\":\"Update\"").await;
    check(&admin, &format!("GET {MAPS}/m"), "", 200, "\"manager\":\"kubelet\"").await;
}

#[tokio::test]
async fn whoever_may_patch_need_not_be_allowed_to_create() {
    let server = TestServer::start().await;
    let admin = server.admin().with("content-type", "application/json");
    const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["patch"]}]);
    let role = json!({"metadata": {"name": "patcher"}, "rules": rules}).to_string();
    check(&admin, &format!("POST {RBAC}/roles"), &role, 201, "patcher").await;
    let binding = json!({
        "metadata": {"name": "patcher"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "patcher"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "eve"}],
    });
    check(&admin, &format!("POST {RBAC}/rolebindings"), &binding.to_string(), 201, "eve").await;
    server.api.registry().catch_up().await.unwrap();
    let eve = server.client("eve", &[]).with("content-type", APPLY);
    let apply = format!("PATCH {MAPS}/m?fieldManager=eve");
    let told = "User \\\"eve\\\" cannot create resource \\\"configmaps\\\"";
    check(&eve, &apply, &yaml("  a: x\n"), 403, told).await;
    check(&admin, &format!("POST {MAPS}"), &map("m"), 201, "").await;
    check(&eve, &apply, &yaml("  b: x\n"), 200, "\"manager\":\"eve\"").await;
}

#[tokio::test]
async fn what_is_new_conflicts_with_nobody() {
    let server = TestServer::start().await;
    let admin = server.admin().with("content-type", APPLY);
    let body = json!({
        "apiVersion": "autoscaling/v1",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "h"},
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "a", "apiVersion": "apps/v1"}, "maxReplicas": 3},
    });
    let path = "PATCH /apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers/h?fieldManager=one";
    check(&admin, path, &body.to_string(), 201, "\"f:spec\":{\"f:maxReplicas\":{},\"f:scaleTargetRef\":{}}").await;
}

#[tokio::test]
async fn a_json_patch_has_its_limit() {
    let server = TestServer::start().await;
    let admin = server.admin();
    check(&admin, &format!("POST {MAPS}"), &map("m"), 201, "").await;
    let admin = admin.with("content-type", "application/json-patch+json");
    let operations = |count: usize| {
        Value::from(vec![json!({"op": "test", "path": "/kind", "value": "ConfigMap"}); count]).to_string()
    };
    check(&admin, &format!("PATCH {MAPS}/m"), &operations(10_000), 200, "").await;
    let told = "The allowed maximum operations in a JSON patch is 10000, got 10001";
    check(&admin, &format!("PATCH {MAPS}/m"), &operations(10_001), 413, told).await;
}
