use std::collections::BTreeSet;
use std::path::PathBuf;

use api::{Resource, Scope};
use http_body_util::BodyExt;
use prost::Message;
use serde_json::Value;

use super::*;

fn document(name: &str, custom: &Published) -> Value {
    serde_json::from_slice(&contents::document(name, with(custom), Encoding::Json)).unwrap()
}

/// Everything built in, and these.
fn with(custom: &Published) -> Served<'_> {
    Served { builtin: api::resource::builtin(), custom }
}

/// Every `$ref` of a document.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(to)) = members.get("$ref") {
                found.insert(to.clone());
            }
            members.values().for_each(|member| references(member, found));
        }
        Value::Array(elements) => elements.iter().for_each(|element| references(element, found)),
        _ => {}
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let custom = cron_tab();
    let v3 = contents::names(with(&custom)).into_iter().map(|name| (document(&name, &custom), "/components/schemas"));
    let v2 = serde_json::from_slice(&contents::whole(with(&custom), &[], Encoding::Json)).unwrap();
    for (document, schemas) in v3.chain([(v2, "/definitions")]) {
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        for reference in found {
            let name = reference.strip_prefix(&format!("#{schemas}/")).unwrap();
            assert!(document.pointer(schemas).unwrap().get(name).is_some(), "{reference}");
        }
    }
}

#[test]
fn patches_say_what_kubectl_looks_for() {
    let custom = cron_tab();
    for (name, path, kind, strategic) in [
        ("api/v1", "/api/v1/namespaces/{namespace}/pods/{name}", ["", "v1", "Pod"], true),
        ("api/v1", "/api/v1/nodes/{name}", ["", "v1", "Node"], true),
        ("apis/apps/v1", "/apis/apps/v1/namespaces/{namespace}/deployments/{name}", ["apps", "v1", "Deployment"], true),
        (
            "apis/stable.example.com/v1",
            "/apis/stable.example.com/v1/namespaces/{namespace}/crontabs/{name}",
            ["stable.example.com", "v1", "CronTab"],
            false,
        ),
    ] {
        let document = document(name, &custom);
        let patch = &document["paths"][path]["patch"];
        let [group, version, kind] = kind;
        assert_eq!(
            patch["x-kubernetes-group-version-kind"],
            json!({ "group": group, "version": version, "kind": kind })
        );
        assert_eq!(patch["x-kubernetes-action"], "patch");
        let parameters = patch["parameters"].as_array().unwrap();
        assert!(parameters.iter().any(|p| p["name"] == "fieldValidation" && p["in"] == "query"), "{path}");
        let contents = &patch["requestBody"]["content"];
        assert_eq!(contents.get("application/strategic-merge-patch+json").is_some(), strategic, "{path}");
        assert!(contents.get("application/apply-patch+yaml").is_some(), "{path}");
    }
}

#[test]
fn schemas_say_how_fields_merge() {
    let document = document("apis/apps/v1", &Published::default());
    let schemas = &document["components"]["schemas"];
    let containers = &schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"];
    assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");
    assert_eq!(containers["x-kubernetes-patch-strategy"], "merge");
    assert_eq!(containers["x-kubernetes-list-map-keys"], json!(["name"]));
    assert!(containers["description"].as_str().is_some_and(|words| words.starts_with("List of containers")));
    let volumes = &schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["volumes"];
    assert_eq!(volumes["x-kubernetes-patch-strategy"], "merge,retainKeys");
    let protocol = &schemas["io.k8s.api.core.v1.ContainerPort"]["properties"]["protocol"];
    assert_eq!(protocol["default"], "TCP");
    assert_eq!(protocol["enum"], json!(["SCTP", "TCP", "UDP"]));
    assert_eq!(schemas["io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector"]["x-kubernetes-map-type"], "atomic");
    let kinds = &schemas["io.k8s.api.apps.v1.Deployment"]["x-kubernetes-group-version-kind"];
    assert_eq!(*kinds, json!([{ "group": "apps", "version": "v1", "kind": "Deployment" }]));
    let union = json!([{
        "discriminator": "type", "fields-to-discriminateBy": { "localhostProfile": "LocalhostProfile" },
    }]);
    assert_eq!(schemas["io.k8s.api.core.v1.SeccompProfile"]["x-kubernetes-unions"], union);
    let kinds = &schemas["io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"]["x-kubernetes-group-version-kind"];
    let kinds = kinds.as_array().unwrap();
    assert_eq!(kinds.len(), 62);
    assert!(kinds.contains(&json!({ "group": "apps", "version": "v1beta2", "kind": "DeleteOptions" })));
}

#[test]
fn parameters_of_all_operations_stand_with_the_path() {
    let document = document("api/v1", &Published::default());
    let names = |of: &Value| {
        let all = of["parameters"].as_array().cloned().unwrap_or_default();
        all.iter().map(|parameter| parameter["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
    };
    for (path, method, shared, own) in [
        ("pods/{name}", "get", "name namespace pretty", ""),
        ("pods/{name}", "put", "name namespace pretty", "dryRun fieldManager fieldValidation"),
        ("pods/{name}/eviction", "post", "dryRun fieldManager fieldValidation name namespace pretty", ""),
        ("pods/{name}/proxy/{path}", "head", "name namespace path path", ""),
        ("pods/{name}/portforward", "get", "name namespace ports", ""),
    ] {
        let item = &document["paths"][format!("/api/v1/namespaces/{{namespace}}/{path}")];
        assert_eq!((names(item), names(&item[method])), (shared.to_owned(), own.to_owned()), "{method} {path}");
    }
    let watch = &document["paths"]["/api/v1/watch/nodes/{name}"];
    assert_eq!(watch["get"]["x-kubernetes-action"], "watch");
    assert!(names(watch).contains("labelSelector"), "{watch}");
}

/// Documents about custom kinds alone are made elsewhere in upstream's server, and look like it.
#[test]
fn documents_of_custom_kinds_are_upstreams() {
    let document = document("apis/stable.example.com/v1", &cron_tab());
    assert_eq!(document["info"], json!({ "title": "Kubernetes CRD Swagger", "version": "v0.1.0" }));
    assert!(document["components"].get("securitySchemes").is_none());
    assert!(document["paths"].get("/apis/stable.example.com/v1/").is_none());
    let all = &document["paths"]["/apis/stable.example.com/v1/namespaces/{namespace}/crontabs"];
    assert!(all["delete"].get("requestBody").is_none(), "{all}");
    let accepted: Vec<_> = all["post"]["requestBody"]["content"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(accepted, ["application/json", "application/yaml"]);
    assert!(!contents::names(with(&cron_tab())).contains("apis/stable.example.com"));
    let schema = with_schema(&json!({ "type": "object", "properties": {
        "either": { "x-kubernetes-int-or-string": true, "example": 1 },
        "text": { "type": "string", "default": "x", "externalDocs": { "url": "x" } },
    }}));
    let field = |document: &Value, schemas: &str, field: &str| {
        document.pointer(schemas).unwrap()["com.example.stable.v1.CronTab"]["properties"][field].clone()
    };
    let v3 = self::document("apis/stable.example.com/v1", &schema);
    let either = json!({ "x-kubernetes-int-or-string": true, "anyOf": [{ "type": "integer" }, { "type": "string" }] });
    assert_eq!(field(&v3, "/components/schemas", "either"), either);
    assert_eq!(field(&v3, "/components/schemas", "text"), json!({ "type": "string", "default": "x" }));
    let v2 = serde_json::from_slice(&contents::whole(with(&schema), &[], Encoding::Json)).unwrap();
    assert_eq!(field(&v2, "/definitions", "either"), json!({ "x-kubernetes-int-or-string": true }));
    assert_eq!(field(&v2, "/definitions", "text"), json!({ "type": "string" }));
}

/// The documents of upstream's own (an older version's), member by member: what they say, these say too.
#[test]
#[allow(clippy::print_stderr)]
fn shapes_are_upstreams() {
    let data = std::env::var_os("ISOPOD_TESTDATA")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/testdata")), PathBuf::from);
    if !data.join("openapi-v3").is_dir() {
        eprintln!("no documents of upstream's here: set ISOPOD_TESTDATA to the folder that has openapi-v3/");
        return;
    }
    for name in ["api/v1", "apis/apps/v1", "apis/batch/v1", "apis/discovery.k8s.io/v1"] {
        let file = data.join("openapi-v3").join(name.replace('/', "__") + ".json");
        let theirs: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let ours = document(name, &Published::default());
        let paths = theirs["paths"].as_object().unwrap();
        for (path, item) in paths {
            for (method, operation) in item.as_object().unwrap().iter().filter(|(_, operation)| operation.is_object()) {
                for member in ["operationId", "tags", "x-kubernetes-action", "x-kubernetes-group-version-kind"] {
                    assert_eq!(ours["paths"][path][method][member], operation[member], "{method} {path} {member}");
                }
            }
        }
        for (name, schema) in theirs["components"]["schemas"].as_object().unwrap() {
            compare_schema(name, &ours["components"]["schemas"][name], schema);
        }
    }
}

fn compare_schema(name: &str, ours: &Value, theirs: &Value) {
    // Gone or changed since.
    let changed = ["ClaimSource", "PodResourceClaim", "PersistentVolumeClaimStatus", "PersistentVolumeClaimSpec"];
    if changed.iter().any(|changed| name.ends_with(changed)) {
        return;
    }
    assert_eq!(ours["type"], theirs["type"], "{name}");
    assert_eq!(ours["x-kubernetes-map-type"], theirs["x-kubernetes-map-type"], "{name}");
    for (field, theirs) in theirs["properties"].as_object().into_iter().flatten() {
        let ours = &ours["properties"][field];
        const MEMBERS: [&str; 6] = [
            "type",
            "format",
            "allOf",
            "x-kubernetes-map-type",
            "x-kubernetes-patch-strategy",
            "x-kubernetes-patch-merge-key",
        ];
        for member in MEMBERS {
            if name.ends_with("LabelSelectorRequirement") && member.contains("patch") {
                continue;
            }
            assert_eq!(ours[member], theirs[member], "{name}.{field} {member}");
        }
        if let Some(items) = theirs["items"].get("allOf") {
            assert_eq!(ours["items"]["allOf"], *items, "{name}.{field}");
        }
    }
}

/// What client-go reads of version 2, with the numbers of gnostic's `OpenAPIv2.proto`.
#[derive(Message)]
struct Swagger {
    #[prost(string, tag = "1")]
    swagger: String,
    #[prost(message, optional, tag = "8")]
    paths: Option<Paths>,
    #[prost(message, optional, tag = "9")]
    definitions: Option<Definitions>,
}

#[derive(Message)]
struct Paths {
    #[prost(message, repeated, tag = "2")]
    path: Vec<NamedPath>,
}

#[derive(Message)]
struct NamedPath {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    value: Option<PathItem>,
}

#[derive(Message)]
struct PathItem {
    #[prost(message, optional, tag = "8")]
    patch: Option<PatchOperation>,
}

#[derive(Message)]
struct PatchOperation {
    #[prost(message, repeated, tag = "8")]
    parameters: Vec<ParametersItem>,
    #[prost(message, repeated, tag = "13")]
    extensions: Vec<NamedAny>,
}

#[derive(Message)]
struct ParametersItem {
    #[prost(message, optional, tag = "1")]
    parameter: Option<Parameter>,
}

#[derive(Message)]
struct Parameter {
    #[prost(message, optional, tag = "2")]
    non_body: Option<NonBody>,
}

#[derive(Message)]
struct NonBody {
    #[prost(message, optional, tag = "3")]
    query: Option<QueryParameter>,
}

#[derive(Message)]
struct QueryParameter {
    #[prost(string, tag = "4")]
    name: String,
}

#[derive(Message)]
struct Definitions {
    #[prost(message, repeated, tag = "1")]
    schemas: Vec<NamedSchema>,
}

#[derive(Message)]
struct NamedSchema {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    value: Option<Schema>,
}

#[derive(Message)]
struct Schema {
    #[prost(string, tag = "1")]
    reference: String,
    #[prost(message, optional, tag = "22")]
    ty: Option<TypeItem>,
    #[prost(message, optional, tag = "25")]
    properties: Option<Definitions>,
    #[prost(message, repeated, tag = "31")]
    extensions: Vec<NamedAny>,
}

#[derive(Message)]
struct TypeItem {
    #[prost(string, repeated, tag = "1")]
    value: Vec<String>,
}

#[derive(Message)]
struct NamedAny {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyYaml>,
}

#[derive(Message)]
struct AnyYaml {
    #[prost(string, tag = "2")]
    yaml: String,
}

#[test]
fn version_2_is_gnostics_protobuf() {
    let bytes = contents::whole(with(&cron_tab()), &[], Encoding::Protobuf);
    let swagger = Swagger::decode(&*bytes).unwrap();
    assert_eq!(swagger.swagger, "2.0");
    let paths = swagger.paths.unwrap().path;
    let path = paths.iter().find(|path| path.name == "/api/v1/namespaces/{namespace}/pods/{name}").unwrap();
    let patch = path.value.as_ref().unwrap().patch.as_ref().unwrap();
    let names = patch.parameters.iter().filter_map(|p| p.parameter.as_ref()?.non_body.as_ref()?.query.as_ref());
    assert!(names.map(|query| &*query.name).any(|name| name == "fieldValidation"));
    let yaml = |extensions: &[NamedAny], name: &str| {
        let found = extensions.iter().find(|extension| extension.name == name);
        found.and_then(|extension| extension.value.as_ref()).map(|any| any.yaml.trim().to_owned())
    };
    let kind = r#"{"group":"","version":"v1","kind":"Pod"}"#;
    assert_eq!(yaml(&patch.extensions, "x-kubernetes-group-version-kind").as_deref(), Some(kind));

    let definitions = swagger.definitions.unwrap().schemas;
    let schema = |name: &str| definitions.iter().find(|schema| schema.name == name).unwrap().value.as_ref().unwrap();
    let pod = schema("io.k8s.api.core.v1.Pod");
    assert_eq!(pod.ty.as_ref().unwrap().value, ["object"]);
    assert_eq!(yaml(&pod.extensions, "x-kubernetes-group-version-kind"), Some(format!("[{kind}]")));
    let spec = pod.properties.as_ref().unwrap().schemas.iter().find(|field| field.name == "spec").unwrap();
    assert_eq!(spec.value.as_ref().unwrap().reference, "#/definitions/io.k8s.api.core.v1.PodSpec");
    schema("com.example.stable.v1.CronTab");
}

/// The kind `crontabs.stable.example.com`, there or gone.
fn published(there: bool) -> [CustomKind; 1] {
    let rows = cron_tab().iter().filter(|_| there).map(|custom| custom.resource.clone()).collect();
    [CustomKind { name: "crontabs.stable.example.com".into(), rows }]
}

fn cron_tab() -> Published {
    let schema = json!({ "type": "object", "properties": { "spec": {
        "type": "object",
        "required": ["cronSpec", "note"],
        "properties": {
            "cronSpec": { "type": "string", "description": "When.", "pattern": "^x" },
            "port": { "x-kubernetes-int-or-string": true, "anyOf": [{ "type": "integer" }, { "type": "string" }] },
            "note": { "type": "string", "nullable": true },
            "open": { "type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": { "a": { "type": "string" } } },
            "list": { "type": "array", "items": { "type": "string", "not": { "type": "integer" } } },
            "object": { "type": "object", "x-kubernetes-embedded-resource": true },
        },
    }}});
    with_schema(&schema)
}

fn with_schema(schema: &Value) -> Published {
    let definition = json!({
        "kind": "CustomResourceDefinition", "apiVersion": "apiextensions.k8s.io/v1", "metadata": { "name": "crontabs.stable.example.com" },
        "spec": {
            "group": "stable.example.com", "names": { "kind": "CronTab" },
            "versions": [{ "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": schema }, "selectableFields": [{ "jsonPath": ".spec.note" }] }],
        },
    });
    let row = api::resource::find("apiextensions.k8s.io", "v1", "customresourcedefinitions").unwrap();
    let object = Arc::new(api::Object::encode(&definition, 1, row).unwrap());
    let definition =
        Arc::new(api::custom::Definition::read(object, api::custom::Conversion::None, |_, _| None).unwrap());
    let resource = Resource {
        group: "stable.example.com".into(),
        version: "v1".into(),
        plural: "crontabs".into(),
        singular: "crontab".into(),
        kind: "CronTab".into(),
        list_kind: "CronTabList".into(),
        scope: Scope::Namespaced,
        short_names: Vec::new(),
        categories: Vec::new(),
        subresources: vec!["scale".into(), "status".into()],
        builtin: false,
        custom: definition.custom("v1").map(Arc::new),
        ..(**api::resource::find("", "v1", "configmaps").unwrap()).clone()
    };
    Published::new(std::iter::once(Arc::new(resource)))
}

#[test]
fn custom_resources_are_documented_in_both_versions() {
    let custom = cron_tab();
    let v3 = document("apis/stable.example.com/v1", &custom);
    let schema = &v3["components"]["schemas"]["com.example.stable.v1.CronTab"]["properties"];
    assert_eq!(schema["spec"]["properties"]["note"]["nullable"], true);
    for kind in ["CronTab", "CronTabList"] {
        let schema = &v3["components"]["schemas"][format!("com.example.stable.v1.{kind}")];
        assert_eq!(schema["x-kubernetes-selectable-fields"], json!([{ "fieldPath": "spec.note" }]), "{kind}");
    }
    assert!(schema["metadata"]["allOf"].is_array());
    assert!(schema["metadata"]["description"].as_str().unwrap().starts_with("Standard object's metadata."));
    assert_eq!(schema["spec"]["properties"]["object"]["required"], json!(["kind", "apiVersion"]));
    assert!(v3["paths"]["/apis/stable.example.com/v1/namespaces/{namespace}/crontabs/{name}/scale"]["get"].is_object());

    let v2: Value = serde_json::from_slice(&contents::whole(with(&custom), &[], Encoding::Json)).unwrap();
    let spec = &v2["definitions"]["com.example.stable.v1.CronTab"]["properties"]["spec"];
    assert_eq!(spec["required"], json!(["cronSpec"]));
    for (field, expect) in [
        ("cronSpec", json!({ "type": "string", "description": "When.", "pattern": "^x" })),
        ("port", json!({ "x-kubernetes-int-or-string": true })),
        ("note", json!({})),
        ("open", json!({ "x-kubernetes-preserve-unknown-fields": true })),
        ("list", json!({ "type": "array", "items": { "type": "string" } })),
    ] {
        assert_eq!(spec["properties"][field], expect, "{field}");
    }
}

#[test]
fn what_takes_any_field_names_none_to_old_clients() {
    let custom = with_schema(
        &json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": { "a": { "type": "string" } } }),
    );
    let v2: Value = serde_json::from_slice(&contents::whole(with(&custom), &[], Encoding::Json)).unwrap();
    let schema = v2["definitions"]["com.example.stable.v1.CronTab"].as_object().unwrap();
    let expect = ["type", "x-kubernetes-group-version-kind", "x-kubernetes-selectable-fields"];
    assert_eq!(schema.keys().collect::<Vec<_>>(), expect);
}

async fn get(openapi: &OpenApi, path: &str, hash: Option<&str>, headers: &[(&str, &str)]) -> Response<Body> {
    let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
    openapi.answer(path, hash, &headers).await.unwrap()
}

async fn index(openapi: &OpenApi) -> Value {
    let body = get(openapi, "/openapi/v3", None, &[]).await.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

#[tokio::test]
async fn documents_are_found_by_their_hashes() {
    let openapi = OpenApi::new(api::resource::builtin().to_vec());
    let before = index(&openapi).await;
    let url = before["paths"]["apis/scheduling.k8s.io/v1"]["serverRelativeURL"].as_str().unwrap();
    let (path, hash) = url.split_once("?hash=").unwrap();
    let answer = get(&openapi, path, Some(hash), &[]).await;
    assert_eq!(answer.headers()[header::CACHE_CONTROL], "public, max-age=31536000, immutable");
    assert_eq!(answer.headers()[header::ETAG], format!("\"{hash}\""));
    let answer = get(&openapi, path, Some("OLD"), &[]).await;
    assert_eq!(
        (answer.status(), answer.headers()[header::LOCATION].as_bytes()),
        (StatusCode::MOVED_PERMANENTLY, url.as_bytes())
    );
    let etag = format!("\"{hash}\"");
    assert_eq!(get(&openapi, path, None, &[("if-none-match", &etag)]).await.status(), StatusCode::NOT_MODIFIED);

    openapi.publish(&published(true));
    let with_custom = index(&openapi).await;
    assert!(with_custom["paths"]["apis/stable.example.com/v1"].is_object());
    assert_eq!(with_custom["paths"]["api/v1"], before["paths"]["api/v1"]);
    openapi.publish(&published(false));
    assert_eq!(index(&openapi).await, before);
    assert!(openapi.answer("/openapi/v3/apis/stable.example.com/v1", None, &HeaderMap::new()).await.is_err());
}

#[tokio::test]
async fn version_2_changes_its_tag_with_its_content() {
    let openapi = OpenApi::new(api::resource::builtin().to_vec());
    let accept = ("accept", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf");
    let first = get(&openapi, "/openapi/v2", None, &[accept]).await;
    assert_eq!(first.headers()[header::CONTENT_TYPE], "application/com.github.proto-openapi.spec.v2.v1.0+protobuf");
    let etag = first.headers()[header::ETAG].to_str().unwrap().to_owned();
    let tagged = [accept, ("if-none-match", &*etag)];
    assert_eq!(get(&openapi, "/openapi/v2", None, &tagged).await.status(), StatusCode::NOT_MODIFIED);
    openapi.publish(&published(true));
    assert_eq!(get(&openapi, "/openapi/v2", None, &tagged).await.status(), StatusCode::OK);
    let zipped = get(&openapi, "/openapi/v2", None, &[accept, ("accept-encoding", "gzip")]).await;
    assert_eq!(zipped.headers()[header::CONTENT_ENCODING], "gzip");
    let refused = openapi
        .answer(
            "/openapi/v2",
            None,
            &[("accept", "text/html")].iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect(),
        )
        .await;
    assert_eq!(refused.unwrap_err().code, 406);
}

#[test]
fn schemas_of_others_that_say_something_else_have_another_name() {
    let other = |group: &str, meta: Value| {
        let reference = |name: &str| json!({ "$ref": format!("#/definitions/{name}") });
        let path = format!("/apis/{group}/v1/things");
        let parameters = json!([{ "$ref": "#/parameters/limit-1NfNmdNH" }]);
        let get =
            json!({ "responses": { "200": { "schema": reference("io.example.Thing") } }, "parameters": parameters });
        let thing = json!({ "description": group, "type": "object", "properties": { "metadata": reference(META) } });
        let document = json!({
            "paths": { path: { "get": get } }, "definitions": { "io.example.Thing": thing, META: meta },
            "parameters": { "limit-1NfNmdNH": { "name": "limit", "in": "query", "type": "integer" } },
        });
        let v2 = Some(Bytes::from(document.to_string()));
        Arc::new(OtherDocuments::new(group, "v1", Some(BTreeMap::new()), v2))
    };
    const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
    let nothing = Published::default();
    let ours: Value = serde_json::from_slice(&contents::whole(with(&nothing), &[], Encoding::Json)).unwrap();
    let mut same = ours["definitions"][META].clone();
    same["x-kubernetes-group-version-kind"] = json!([{ "group": "a.io", "version": "v1", "kind": "ListMeta" }]);
    let (older, oldest) = (json!({ "type": "object" }), json!({ "type": "object", "properties": {} }));
    let others = [other("a.io", same), other("b.io", older.clone()), other("c.io", older), other("d.io", oldest)];
    let whole: Value = serde_json::from_slice(&contents::whole(with(&nothing), &others, Encoding::Json)).unwrap();
    assert_eq!(whole["definitions"][META], ours["definitions"][META]);
    let thing = |group: &str| {
        let schema = &whole["paths"][format!("/apis/{group}/v1/things")]["get"]["responses"]["200"]["schema"];
        schema["$ref"].as_str().unwrap().trim_start_matches("#/definitions/").to_owned()
    };
    let metadata = |group: &str| {
        let reference = &whole["definitions"][thing(group)]["properties"]["metadata"]["$ref"];
        reference.as_str().unwrap().rsplit('.').next().unwrap().to_owned()
    };
    let parameters = &whole["paths"]["/apis/a.io/v1/things"]["get"]["parameters"];
    assert_eq!(*parameters, json!([{ "name": "limit", "in": "query", "type": "integer" }]));
    let groups = ["a.io", "b.io", "c.io", "d.io"];
    let things = groups.map(|group| thing(group).replace("io.example.", ""));
    assert_eq!(things, ["Thing", "Thing_v2", "Thing_v3", "Thing_v4"]);
    assert_eq!(groups.map(metadata), ["ListMeta", "ListMeta_v2", "ListMeta_v2", "ListMeta_v3"]);
}

#[test]
fn deletions_are_documented_as_they_are_answered() {
    for (version, path, answer) in [
        ("api/v1", "/api/v1/namespaces/{namespace}/pods/{name}", "io.k8s.api.core.v1.Pod"),
        ("api/v1", "/api/v1/namespaces/{name}", "io.k8s.apimachinery.pkg.apis.meta.v1.Status"),
        (
            "apis/apps/v1",
            "/apis/apps/v1/namespaces/{namespace}/deployments/{name}",
            "io.k8s.apimachinery.pkg.apis.meta.v1.Status",
        ),
    ] {
        let delete = document(version, &Published::default())["paths"][path]["delete"].clone();
        let shown = delete["responses"]["202"]["content"]["application/json"]["schema"]["$ref"].as_str();
        assert_eq!(shown, Some(format!("#/components/schemas/{answer}").as_str()), "{path}");
    }
}

#[test]
fn types_that_describe_themselves_have_no_default() {
    let document = document("api/v1", &Published::default());
    let of =
        |kind: &str, field: &str| document["components"]["schemas"][kind]["properties"][field].get("default").cloned();
    assert_eq!(of("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", "creationTimestamp"), None);
    assert_eq!(of("io.k8s.api.core.v1.ServicePort", "targetPort"), None);
    assert_eq!(of("io.k8s.api.core.v1.Pod", "metadata"), Some(json!({})));
    assert_eq!(of("io.k8s.api.core.v1.ServicePort", "port"), Some(json!(0)));
}

#[test]
fn enumerations_are_those_of_upstreams_documents() {
    for (version, kind, field, expect) in [
        ("api/v1", "io.k8s.api.core.v1.Container", "imagePullPolicy", json!(["Always", "IfNotPresent", "Never"])),
        // More may come.
        ("api/v1", "io.k8s.api.core.v1.Container", "restartPolicy", Value::Null),
        (
            "apis/networking.k8s.io/v1",
            "io.k8s.api.networking.v1.HTTPIngressPath",
            "pathType",
            json!(["Exact", "ImplementationSpecific", "Prefix"]),
        ),
    ] {
        let document = document(version, &Published::default());
        let shown = &document["components"]["schemas"][kind]["properties"][field]["enum"];
        assert_eq!(*shown, expect, "{kind}.{field}");
    }
    let document = document("apis/certificates.k8s.io/v1", &Published::default());
    let spec = &document["components"]["schemas"]["io.k8s.api.certificates.v1.CertificateSigningRequestSpec"];
    let usages = spec["properties"]["usages"]["items"]["enum"].as_array().unwrap();
    assert!(usages.len() == 23 && usages.contains(&json!("client auth")), "{usages:?}");
}
