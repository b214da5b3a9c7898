//! Requests over real TLS against a whole server on the memory store: what clients see.

mod apply;
mod forms;
mod shapes;

use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::testing::{Ca, TestClient, TestServer};

const PODS: &str = "/api/v1/namespaces/default/pods";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn check(client: &TestClient, request: &str, body: &str, code: u16, told: &str) {
    let answer = client.send(request, body.to_owned()).await;
    let text = answer.text();
    assert_eq!(answer.code, code, "{request}: {text}");
    assert!(text.contains(told), "{request}: {text}");
    assert!(answer.headers.contains_key("audit-id"), "{request}");
}

fn map(name: &str) -> String {
    json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name}, "data": {"a": "1"}}).to_string()
}

#[tokio::test]
async fn paths_answer_as_upstreams() {
    let server = TestServer::start().await;
    let admin = server.admin();
    for (request, code, told) in [
        ("GET /version", 200, "\"minor\": \"35\""),
        ("GET /", 200, "\"/apis/apps/v1\""),
        ("GET /healthz", 200, "ok"),
        ("GET /readyz?verbose", 200, "[+]ping ok\n"),
        ("GET /livez?verbose&exclude=ping", 200, "[+]ping excluded: ok\n"),
        ("GET /livez?verbose", 200, "[+]etcd ok\n"),
        ("GET /readyz/etcd", 200, "ok"),
        ("GET /readyz/ping", 200, "ok"),
        ("GET /readyz/none", 404, "404 page not found\n"),
        ("GET /readyz/", 404, "404 page not found\n"),
        ("GET /index.html", 200, "\"/metrics/slis\""),
        ("GET /metrics", 200, "apiserver_request_total"),
        ("GET /api", 200, "APIVersions"),
        ("GET /apis", 200, "APIGroupList"),
        ("GET /apis/apps", 200, "\"preferredVersion\""),
        ("GET /api/v1", 200, "pods/exec"),
        ("GET /apis/none", 404, "404 page not found\n"),
        ("GET /apis/none/v1/things", 404, "404 page not found\n"),
        ("GET /apis/apps/v9", 404, "the server could not find the requested resource"),
        ("GET /apis/apps/v1/nones", 404, "the server could not find the requested resource"),
        ("GET /.well-known/openid-configuration", 200, "jwks_uri"),
        ("GET /openid/v1/jwks", 200, "\"kty\":\"EC\""),
        ("GET /api/v1/pods", 200, "\"kind\":\"PodList\""),
        ("POST /api/v1/pods", 405, "MethodNotAllowed"),
        ("GET /api/v1/pods/x", 404, "NotFound"),
        ("GET /api/v1/namespaces/default/nodes", 404, "NotFound"),
        ("GET /api/v1/namespaces/default/pods/x", 404, "pods \\\"x\\\" not found"),
        ("GET /api/v1/namespaces/default/pods/x/none", 404, "NotFound"),
        ("DELETE /api/v1/namespaces", 405, "MethodNotAllowed"),
        ("GET /api/v1/pods?limit=x", 400, "strconv.ParseInt"),
        ("GET /api/v1/namespaces/default/pods/x/log", 404, "pods \\\"x\\\" not found"),
        ("POST /version", 405, "MethodNotAllowed"),
        ("GET /version?timeout=-1s", 200, "minor"),
        (
            "GET /version?timeout=1",
            400,
            "invalid timeout specified in the request URL - time: missing unit in duration \\\"1\\\"",
        ),
        ("GET /api/v1/pods?timeoutSeconds=", 400, "strconv.ParseInt: parsing \\\"\\\": invalid syntax"),
        // A watch that is over before it begins.
        ("GET /api/v1/pods?watch=1&timeoutSeconds=-1", 200, ""),
        ("POST /apis/apps/v1", 405, "MethodNotAllowed"),
        // Plain pages do not look at the method.
        ("POST /healthz", 200, "ok"),
        ("PUT /apis", 200, "APIGroupList"),
        ("POST /none", 404, "404 page not found\n"),
        ("GET /api/v1/bindings", 404, "NotFound"),
        ("GET /metrics", 200, "# TYPE apiserver_request_total counter\n"),
    ] {
        check(&admin, request, "", code, told).await;
    }
}

#[tokio::test]
async fn objects_are_written_and_read_in_every_form() {
    let server = TestServer::start().await;
    let admin = server.admin();
    check(&admin, &format!("POST {MAPS}"), &map("a"), 201, "\"resourceVersion\"").await;
    check(&admin, &format!("POST {MAPS}"), &map("a"), 409, "configmaps \\\"a\\\" already exists").await;
    check(&admin, &format!("POST {MAPS}"), "{", 400, "BadRequest").await;
    check(&admin, &format!("POST {MAPS}"), "[]", 400, "BadRequest").await;
    let unrecognized = "the object provided is unrecognized (must be of type ConfigMap): ";
    for (body, told) in [
        ("", "couldn't get version/kind; json parse error: unexpected end of JSON input (<empty>)"),
        (
            "{\"apiVersion\":1,\"kind\":\"ConfigMap\"}",
            "couldn't get version/kind; json parse error: json: cannot unmarshal number into Go struct field .apiVersion of \
             type string ({\\\"apiVersion\\\":1,\\\"kind\\\":\\\"Config ...)",
        ),
        ("{\"apiVersion\":\"a/b/c\"}", "unexpected GroupVersion string: a/b/c ({\\\"apiVersion\\\":\\\"a/b/c\\\"})"),
    ] {
        check(&admin, &format!("POST {MAPS}"), body, 400, &format!("{unrecognized}{told}")).await;
    }
    let wrong = map("b").replace("\"v1\"", "\"v2\"");
    check(
        &admin,
        &format!("POST {MAPS}"),
        &wrong,
        400,
        "no kind \\\"ConfigMap\\\" is registered for version \\\"v2\\\"",
    )
    .await;
    let yaml = server.admin().with("content-type", "application/yaml").with("accept", "application/yaml");
    let answer = yaml.send(&format!("POST {MAPS}"), "metadata:\n  name: why\ndata: {b: '2'}\n").await;
    assert_eq!(
        (answer.code, answer.headers["content-type"].to_str().unwrap()),
        (201, "application/yaml"),
        "{}",
        answer.text()
    );
    assert!(answer.text().contains("name: why"), "{}", answer.text());
    let merge = server.admin().with("content-type", "application/merge-patch+json");
    check(&merge, &format!("PATCH {MAPS}/a"), r#"{"data":{"a":null,"c":"3"}}"#, 200, "\"c\":\"3\"").await;
    let plain = server.admin().with("content-type", "application/json");
    check(&plain, &format!("PATCH {MAPS}/a"), "{}", 415, "UnsupportedMediaType").await;
    let table = server.admin().with("accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json");
    let answer = table.get(MAPS).await.json();
    assert_eq!((&answer["kind"], &answer["rows"][0]["cells"][0]), (&json!("Table"), &json!("a")));
    assert_eq!(answer["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let metadata = server.admin().with("accept", "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io");
    let answer = metadata.get(MAPS).await.json();
    assert_eq!(answer["kind"], "PartialObjectMetadataList");
    assert!(answer["items"][0].get("data").is_none() && answer["items"][0]["metadata"]["name"] == "a");
    check(&server.admin().with("accept", "text/plain"), &format!("GET {MAPS}"), "", 406, "NotAcceptable").await;
    let answer = server.admin().with("user-agent", "curl/8").get(&format!("{MAPS}/a")).await;
    assert!(answer.text().starts_with("{\n  \"kind\": \"ConfigMap\",\n"), "{}", answer.text());
    check(
        &admin,
        &format!("DELETE {MAPS}/a"),
        r#"{"preconditions":{"uid":"x"}}"#,
        409,
        "does not match the UID in record",
    )
    .await;
    check(&admin, &format!("DELETE {MAPS}/a"), "", 200, "Success").await;
    let published = "GET /api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";
    check(&admin, published, "", 200, "-----BEGIN CERTIFICATE-----").await;
}

#[tokio::test]
async fn lists_are_paged_and_compressed() {
    let server = TestServer::start().await;
    let admin = server.admin().with("accept-encoding", "gzip");
    let large = "x".repeat(50_000);
    for at in 0..5 {
        let body = json!({"metadata": {"name": format!("m{at}")}, "data": {"a": large}}).to_string();
        check(&server.admin(), &format!("POST {MAPS}"), &body, 201, "").await;
    }
    let answer = admin.get(MAPS).await;
    assert_eq!(answer.headers["content-encoding"], "gzip");
    let mut text = Vec::new();
    std::io::copy(&mut flate2::read::GzDecoder::new(&answer.body[..]), &mut text).unwrap();
    let list: Value = serde_json::from_slice(&text).unwrap();
    let ours = |list: &Value| {
        list["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|i| i["metadata"]["name"].as_str().unwrap().starts_with('m'))
            .count()
    };
    assert_eq!(ours(&list), 5);
    let page = server.admin().get(&format!("{MAPS}?limit=2")).await.json();
    assert_eq!(page["items"].as_array().unwrap().len(), 2);
    let more = page["metadata"]["continue"].as_str().unwrap();
    let next = server.admin().get(&format!("{MAPS}?limit=500&continue={more}")).await.json();
    assert_eq!(ours(&page) + ours(&next), 5);
}

#[tokio::test]
async fn watchers_see_changes_as_they_happen() {
    let server = TestServer::start().await;
    let admin = server.admin();
    let watch = format!(
        "GET {MAPS}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&labelSelector=!x"
    );
    let mut stream = admin.open(&watch, axum::body::Body::empty()).await.into_body();
    let mut seen = String::new();
    async fn until(stream: &mut hyper::body::Incoming, seen: &mut String, wanted: &str) {
        while !seen.contains(wanted) {
            let frame = tokio::time::timeout(std::time::Duration::from_secs(20), stream.frame()).await;
            seen.push_str(std::str::from_utf8(&frame.unwrap().unwrap().unwrap().into_data().unwrap()).unwrap());
        }
    }
    until(&mut stream, &mut seen, "\"k8s.io/initial-events-end\":\"true\"").await;
    check(&admin, &format!("POST {MAPS}"), &map("w"), 201, "").await;
    until(&mut stream, &mut seen, "{\"type\":\"ADDED\",\"object\":{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\"").await;
    check(&admin, &format!("DELETE {MAPS}/w"), "", 200, "").await;
    until(&mut stream, &mut seen, "\"DELETED\"").await;
    assert!(seen.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{seen}");
    check(&admin, &format!("POST {MAPS}"), &map("v"), 201, "").await;
    let message = crate::proxy::tests::websocket(&server, &format!("{MAPS}?watch=1"), "").await;
    assert!(message.starts_with("{\"type\":\"ADDED\"") && message.contains("\"name\":\"v\""), "{message}");
    // What is yet to come is waited for; the state at it cannot be had.
    let later = format!("{MAPS}?watch=1&resourceVersion=999999999&timeoutSeconds=1");
    let answer = admin.get(&later).await;
    assert_eq!((answer.code, answer.text()), (200, String::new()));
    let answer = admin.get(&format!("{later}&sendInitialEvents=true&resourceVersionMatch=NotOlderThan")).await;
    assert_eq!(answer.code, 200);
    let event = answer.json();
    assert_eq!((&event["type"], &event["object"]["code"]), (&json!("ERROR"), &json!(504)));
    assert!(
        event["object"]["message"]
            .as_str()
            .unwrap()
            .starts_with("Timeout: Too large resource version: 999999999, current: ")
    );
    let answer = admin.get(&format!("{MAPS}?watch=1&resourceVersion=x")).await;
    assert_eq!((answer.code, answer.json()["reason"].as_str()), (500, None));
}

#[tokio::test]
async fn watches_take_the_protocol_that_a_browser_asks_for() {
    let server = TestServer::start().await;
    for (asked, answered) in [
        ("base64.binary.k8s.io", Some("base64.binary.k8s.io")),
        ("base64url.bearer.authorization.k8s.io.eHg, base64.binary.k8s.io", Some("base64.binary.k8s.io")),
        ("a, b", Some("a")),
        ("", None),
    ] {
        let client = server.admin().with("connection", "Upgrade").with("upgrade", "websocket");
        let client = client.with("sec-websocket-version", "13").with("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        let client = client.with("sec-websocket-protocol", asked);
        let response = client.open(&format!("GET {MAPS}?watch=1"), "").await;
        let protocol = response.headers().get("sec-websocket-protocol").map(|protocol| protocol.to_str().unwrap());
        assert_eq!((response.status().as_u16(), protocol), (101, answered), "{asked}");
    }
}

#[tokio::test]
async fn users_are_who_their_credentials_say() {
    let other = Ca::new("front-proxy");
    let trusted = crate::ClientCa::from_pem(&other.pem).unwrap();
    let server = TestServer::with(|config| {
        config.front_proxy_ca = Some(std::sync::Arc::new(trusted));
        config.authentication.static_tokens.insert("secret", api::User::new("alice", ["dev"]));
    })
    .await;
    let whoami = async |client: TestClient| {
        let answer = client.send("POST /apis/authentication.k8s.io/v1/selfsubjectreviews", "{}").await;
        let user = &answer.json()["status"]["userInfo"];
        if answer.code == 201 { format!("{} {}", user["username"], user["groups"]) } else { answer.code.to_string() }
    };
    let alice = server.nobody().with("authorization", "Bearer secret");
    assert_eq!(whoami(alice).await, r#""alice" ["dev","system:authenticated"]"#);
    assert_eq!(whoami(server.client("bob", &["g"])).await, r#""bob" ["g","system:authenticated"]"#);
    assert_eq!(whoami(server.nobody().with("authorization", "Bearer wrong")).await, "401");
    assert_eq!(whoami(server.nobody().with("authorization", "Basic x")).await, "403");
    assert_eq!(whoami(server.client_of(&Ca::new("stranger"), "eve", &["system:masters"])).await, "401");
    assert_eq!(whoami(server.nobody()).await, "403");
    let proxied = server.client_of(&other, "proxy", &[]).with("x-remote-user", "carol").with("x-remote-group", "h");
    assert_eq!(whoami(proxied).await, r#""carol" ["h","system:authenticated"]"#);
    let masked = server.admin().with("impersonate-user", "system:serviceaccount:a:b");
    assert_eq!(
        whoami(masked).await,
        r#""system:serviceaccount:a:b" ["system:serviceaccounts","system:serviceaccounts:a","system:authenticated"]"#
    );
    let forbidden = server.client("bob", &[]).with("impersonate-user", "root").get("/api/v1/pods").await;
    assert_eq!(
        forbidden.json()["message"],
        r#"users "root" is forbidden: User "bob" cannot impersonate resource "users" in API group "" at the cluster scope"#
    );
}

#[tokio::test]
async fn access_is_refused_in_upstreams_words_until_it_is_granted() {
    let server = TestServer::start().await;
    let (admin, bob) = (server.admin(), server.client("bob", &[]));
    check(&bob, &format!("GET {PODS}"), "", 403, r#"pods is forbidden: User \"bob\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\""#).await;
    check(&bob, "GET /api/v1/nodes/n", "", 403, r#"nodes \"n\" is forbidden: User \"bob\" cannot get resource \"nodes\" in API group \"\" at the cluster scope"#).await;
    check(&bob, "GET /metrics", "", 403, r#"forbidden: User \"bob\" cannot get path \"/metrics\""#).await;
    check(&bob, &format!("GET {PODS}/x/exec?command=ls&stdout=1"), "", 403, r#"cannot create resource \"pods/exec\""#)
        .await;
    let roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    let binding = |name: &str, role: &str| {
        json!({"metadata": {"name": name}, "subjects": [{"kind": "User", "name": "bob", "apiGroup": "rbac.authorization.k8s.io"}],
               "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}}).to_string()
    };
    check(&admin, &format!("POST {roles}/rolebindings"), &binding("b", "admin"), 201, "").await;
    check(&bob, &format!("GET {PODS}"), "", 200, "PodList").await;
    check(&bob, "GET /api/v1/pods", "", 403, "at the cluster scope").await;
    let role = json!({"metadata": {"name": "r"}, "rules": [{"apiGroups": [""], "resources": ["pods", "nodes"], "verbs": ["get"]}]});
    check(&bob, &format!("POST {roles}/roles"), &role.to_string(), 403, r#"is attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"nodes\"], Verbs:[\"get\"]}"#).await;
    check(&bob, &format!("POST {roles}/rolebindings"), &binding("c", "cluster-admin"), 403, "not currently held").await;
    check(&bob, &format!("POST {roles}/rolebindings"), &binding("c", "view"), 201, "").await;
    let review = json!({"spec": {"user": "bob", "resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "default"}}});
    let answer = admin.send("POST /apis/authorization.k8s.io/v1/subjectaccessreviews", review.to_string()).await.json();
    assert_eq!(answer["status"]["allowed"], true, "{answer}");
    let rules = json!({"spec": {"namespace": "default"}}).to_string();
    let answer = bob.send("POST /apis/authorization.k8s.io/v1/selfsubjectrulesreviews", rules).await.json();
    assert!(answer["status"]["resourceRules"].as_array().unwrap().len() > 10, "{answer}");
}

#[tokio::test]
async fn tokens_live_as_long_as_what_they_are_bound_to() {
    let server = TestServer::start().await;
    let admin = server.admin();
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    let account = json!({"metadata": {"name": "robot"}}).to_string();
    check(&admin, &format!("POST {accounts}"), &account, 201, "").await;
    check(
        &admin,
        &format!("POST {accounts}/robot/token"),
        r#"{"spec":{"expirationSeconds":5}}"#,
        422,
        "may not specify a duration less than 10 minutes",
    )
    .await;
    check(&admin, &format!("POST {accounts}/none/token"), "{}", 404, "serviceaccounts \\\"none\\\" not found").await;
    let made = admin.send(&format!("POST {accounts}/robot/token"), "{}").await.json();
    let token = made["status"]["token"].as_str().unwrap().to_owned();
    let robot = || server.nobody().with("authorization", &format!("Bearer {token}"));
    check(&robot(), &format!("GET {PODS}"), "", 403, "system:serviceaccount:default:robot").await;
    let review = json!({"spec": {"token": token}}).to_string();
    let answer = admin.send("POST /apis/authentication.k8s.io/v1/tokenreviews", review).await.json();
    assert_eq!(answer["status"]["user"]["username"], "system:serviceaccount:default:robot", "{answer}");
    let other = json!({"spec": {"token": token, "audiences": ["vault"]}}).to_string();
    let answer = admin.send("POST /apis/authentication.k8s.io/v1/tokenreviews", other).await.json();
    assert!(answer["status"].get("authenticated").is_none(), "{answer}");
    let error = answer["status"]["error"].as_str().unwrap_or_default();
    assert!(error.starts_with("[invalid bearer token, token audiences [\""), "{answer}");
    let reviewed = async |token: &str| {
        let review = json!({"spec": {"token": token}}).to_string();
        let answer = admin.send("POST /apis/authentication.k8s.io/v1/tokenreviews", review).await.json();
        answer["status"]["error"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(reviewed("nobodys").await, "invalid bearer token");
    assert_eq!(reviewed("abcdef.0123456789abcdef").await, "invalid bearer token");
    let (signed, _) = token.rsplit_once('.').unwrap();
    let unsigned = "[invalid bearer token, go-jose/go-jose: error in cryptographic primitive]";
    assert_eq!(reviewed(&format!("{signed}.AAAA")).await, unsigned);
    check(&admin, &format!("DELETE {accounts}/robot"), "", 200, "").await;
    check(&robot(), &format!("GET {PODS}"), "", 401, "Unauthorized").await;
    assert_eq!(reviewed(&token).await, "[invalid bearer token, serviceaccounts \"robot\" not found]");
}

#[tokio::test]
async fn discovery_is_aggregated_for_those_who_ask() {
    let server = TestServer::start().await;
    let asks = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
    let answer = server.admin().with("accept", asks).get("/apis").await;
    assert_eq!(answer.headers["content-type"], "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
    let again = server
        .admin()
        .with("accept", asks)
        .with("if-none-match", answer.headers["etag"].to_str().unwrap())
        .get("/apis")
        .await;
    assert_eq!((again.code, again.body.len()), (304, 0));
    let apps =
        answer.json()["items"].as_array().unwrap().iter().find(|g| g["metadata"]["name"] == "apps").unwrap().clone();
    assert!(apps["versions"][0]["resources"].as_array().unwrap().iter().any(|r| r["resource"] == "deployments"));
    let old = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
    assert_eq!(server.admin().with("accept", old).get("/apis").await.json()["kind"], "APIGroupList");
    assert_eq!(apps["versions"][0]["resources"][0]["responseKind"]["group"], "", "{apps}");
}

#[tokio::test]
async fn discovery_speaks_every_encoding() {
    let server = TestServer::start().await;
    const AGGREGATED: &str = ";g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let aggregated = |encoding: &str| format!("{encoding}{AGGREGATED}");
    let (yaml, protobuf) = ("application/yaml", "application/vnd.kubernetes.protobuf");
    for (path, accept, code, content_type, start) in [
        ("/apis", yaml.to_owned(), 200, yaml.to_owned(), "apiVersion: v1\ngroups:\n- name: apiregistration.k8s.io"),
        ("/api", yaml.into(), 200, yaml.into(), "kind: APIVersions\n"),
        ("/apis/apps", protobuf.into(), 200, protobuf.into(), "k8s\0\n\u{e}\n\u{2}v1\u{12}\u{8}APIGroup"),
        ("/api/v1", protobuf.into(), 200, protobuf.into(), "k8s\0\n\u{13}\n\0\u{12}\u{f}APIResourceList"),
        ("/apis", aggregated(yaml), 200, aggregated(yaml), "apiVersion: apidiscovery.k8s.io/v2\nitems:\n- metadata:"),
        ("/api", aggregated(protobuf), 200, aggregated(protobuf), "k8s\0\n/\n\u{16}apidiscovery.k8s.io/v2\u{12}"),
        ("/apis/apps/v1", "text/html".into(), 406, "application/json".into(), "{\n  \"kind\": \"Status\","),
        ("/apis/apps", aggregated("application/json"), 406, "application/json".into(), "{\n  \"kind\": \"Status\","),
        ("/apis", "application/cbor".into(), 406, "application/json".into(), "{\n  \"kind\": \"Status\","),
    ] {
        let answer = server.admin().with("accept", &accept).get(path).await;
        assert_eq!((answer.code, answer.headers["content-type"].to_str().unwrap()), (code, &*content_type), "{path}");
        assert!(answer.body.starts_with(start.as_bytes()), "{path} {accept}: {:?}", answer.text());
    }
}

#[tokio::test]
async fn odd_paths_are_answered_as_upstream_answers_them() {
    let server = TestServer::start().await;
    let admin = server.admin();
    let nowhere = "404 page not found";
    for (request, code, told) in [
        ("GET /%zz", 400, "400 Bad Request"),
        ("GET //api/v1/namespaces", 404, nowhere),
        ("GET /%61pi/v1/namespaces/default", 200, "Namespace"),
        ("GET /api/v1/namespaces/default/configmaps%2Fnone", 404, "configmaps \\\"none\\\" not found"),
        ("GET /api/v1/namespaces/default/configmaps/a%2Fb", 404, "could not find the requested resource"),
        ("GET /api/v1/namespaces/default/configmaps/..", 400, "Name parameter invalid: \\\"..\\\": may not be '..'"),
        ("GET /api/v1/namespaces/default/configmaps/a%25b", 400, "may not contain '%'"),
        ("GET /api/v1/namespaces?labelSelector=%zz&limit=1;2", 200, "NamespaceList"),
        ("GET /version/", 200, "major"),
        ("GET /version/x", 404, "could not find the requested resource"),
        ("GET /api/v1/", 200, "APIResourceList"),
        ("GET /metrics/", 404, nowhere),
        ("GET /openapi/v2/", 404, nowhere),
        ("GET /openapi/v3/none", 404, ""),
        ("GET /index.html/", 404, nowhere),
        ("POST /api/v1/watch/namespaces", 405, "does not allow this method"),
    ] {
        let answer = admin.send(request, "").await;
        assert!(answer.code == code && answer.text().contains(told), "{request}: {} {}", answer.code, answer.text());
    }
    assert_eq!(admin.get("/openapi/v3/").await.text(), "");
}

#[tokio::test]
async fn garbage_gets_a_status() {
    let server = TestServer::start().await;
    let admin = server.admin().with("content-type", "application/json");
    let deep = "[".repeat(200_000);
    let wide = format!("{{\"a\":\"{}\"}}", "x".repeat(4 << 20));
    let bodies = [
        "",
        "null",
        "1",
        "\"x\"",
        "{}",
        "{\"metadata\":1}",
        "{\"metadata\":{\"labels\":{\"a\":1}}}",
        &deep,
        &wide,
        "\u{0}\u{ffff}",
    ];
    let types = [
        "application/json",
        "application/yaml",
        "application/vnd.kubernetes.protobuf",
        "x/y",
        ";;;",
        "application/json-patch+json",
        "application/strategic-merge-patch+json",
        "application/apply-patch+yaml",
    ];
    let paths = [
        MAPS,
        "/api/v1/namespaces/default/configmaps/x",
        "/api/v1/namespaces/default/pods/x/exec",
        "/api/v1/namespaces/default/pods/x:y:z:w/proxy/%7a",
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        "/api/v1/namespaces/default/serviceaccounts/default/token",
        "/apis////",
        "/api/v1/%00%ff",
        "/openapi/v2",
        "/api/v1/watch",
    ];
    for path in paths {
        for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "GET"] {
            for (at, body) in bodies.iter().enumerate() {
                // Each combination of path and method meets each body and, in turn, each type.
                let kind = types[(at + path.len() + method.len()) % types.len()];
                let client = server
                    .admin()
                    .with("content-type", kind)
                    .with("accept", if at % 3 == 0 { "" } else { "application/json" });
                let answer = client
                    .send(&format!("{method} {path}?limit=-1&watch=%&fieldSelector=%2C%2C%3D&x"), body.to_string())
                    .await;
                assert!(answer.code != 500, "{method} {path} {kind} {}: {}", body.len(), answer.text());
                // Nobody speaks for a path that is nothing.
                if answer.code >= 400 && answer.text() != "404 page not found\n" {
                    assert_eq!(answer.json()["kind"], "Status", "{method} {path}");
                }
            }
        }
    }
    check(&admin, "GET /healthz", "", 200, "ok").await;
    let flow = server.admin().get("/api/v1/pods").await;
    assert!(flow.headers.contains_key("x-kubernetes-pf-flowschema-uid"), "{:?}", flow.headers);
    assert!(flow.headers.contains_key("x-kubernetes-pf-prioritylevel-uid"), "{:?}", flow.headers);
    let answer = server.admin().get("/metrics").await.text();
    assert!(answer.contains("apiserver_panics_total 0"), "{answer}");
}

#[tokio::test]
async fn requests_of_this_process_take_the_same_way() {
    let server = TestServer::start().await;
    let row = |plural| api::resource::find("", "v1", plural).unwrap().clone();
    let request = |user: api::User, plural, operation| api::Request {
        user: std::sync::Arc::new(user),
        resource: row(plural),
        namespace: "default".into(),
        name: "x".into(),
        subresource: String::new(),
        operation,
    };
    let get = || api::Operation::Get { resource_version: None };
    let told =
        |outcome: Result<api::Reply, api::Status>| outcome.err().map(|status| status.message).unwrap_or_default();
    let deployments = api::User::controller("deployment-controller");
    assert_eq!(told(server.api.call(request(deployments.clone(), "pods", get())).await), "pods \"x\" not found");
    assert_eq!(
        told(server.api.call(request(deployments, "secrets", get())).await),
        "secrets \"x\" is forbidden: User \"system:serviceaccount:kube-system:deployment-controller\" cannot get resource \"secrets\" in API group \"\" in the namespace \"default\""
    );
}

#[tokio::test]
async fn nodes_read_what_their_pods_use() {
    let server = TestServer::start().await;
    let admin = server.admin();
    for (path, body) in [
        ("serviceaccounts", json!({"metadata": {"name": "default"}})),
        ("secrets", json!({"metadata": {"name": "used"}})),
        ("secrets", json!({"metadata": {"name": "unused"}})),
        (
            "pods",
            json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n", "containers": [{"name": "a", "image": "i",
            "env": [{"name": "E", "valueFrom": {"secretKeyRef": {"name": "used", "key": "k"}}}]}]}}),
        ),
    ] {
        check(&admin, &format!("POST /api/v1/namespaces/default/{path}"), &body.to_string(), 201, "").await;
    }
    let (node, other) =
        (server.client("system:node:n", &["system:nodes"]), server.client("system:node:o", &["system:nodes"]));
    let no_relationship = "no relationship found between node 'n' and this object";
    for (client, request, code, told) in [
        (&node, "GET /api/v1/namespaces/default/secrets/used", 200, "used"),
        (&node, "GET /api/v1/namespaces/default/secrets/unused", 403, no_relationship),
        (&other, "GET /api/v1/namespaces/default/secrets/used", 403, "no relationship found between node 'o'"),
        (&node, "GET /api/v1/namespaces/default/secrets", 403, "No Object name found"),
        (&node, "GET /api/v1/pods?fieldSelector=spec.nodeName%3Dn", 200, "PodList"),
        (&node, "GET /api/v1/pods", 403, "can only list/watch pods with spec.nodeName field selector"),
        (&node, "GET /api/v1/services", 200, "ServiceList"),
        (&node, "GET /apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n", 404, "not found"),
        (
            &node,
            "GET /apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/o",
            403,
            "can only access node lease",
        ),
    ] {
        check(client, request, "", code, told).await;
    }
    check(&admin, "DELETE /api/v1/namespaces/default/pods/p?gracePeriodSeconds=0", "", 200, "").await;
    check(&node, "GET /api/v1/namespaces/default/secrets/used", "", 403, no_relationship).await;
}

#[tokio::test]
async fn aggregated_roles_show_what_they_add_up_to() {
    let server = TestServer::start().await;
    let admin = server.admin();
    let roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
    let role = json!({"metadata": {"name": "extra", "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}},
        "rules": [{"apiGroups": ["example.com"], "resources": ["things"], "verbs": ["get"]}]});
    check(&admin, &format!("POST {roles}"), &role.to_string(), 201, "").await;
    let watch = admin.open(&format!("GET {roles}?watch=1&fieldSelector=metadata.name%3Dadmin"), "").await;
    let (mut stream, mut seen) = (watch.into_body(), String::new());
    while !seen.contains("example.com") {
        let frame = tokio::time::timeout(std::time::Duration::from_secs(20), stream.frame()).await;
        seen.push_str(std::str::from_utf8(&frame.unwrap().unwrap().unwrap().into_data().unwrap()).unwrap());
    }
}

#[tokio::test]
async fn failures_have_the_form_that_is_accepted() {
    let server = TestServer::start().await;
    let path = format!("{MAPS}/none");
    let yaml = server.admin().with("accept", "application/yaml").get(&path).await;
    assert_eq!((yaml.code, &yaml.headers["content-type"]), (404, &"application/yaml".parse().unwrap()));
    assert!(yaml.text().contains("reason: NotFound\n"), "{}", yaml.text());
    let protobuf = server.admin().with("accept", "application/vnd.kubernetes.protobuf").get(&path).await;
    assert_eq!(api::protobuf::decode(&protobuf.body).unwrap()["reason"], "NotFound");
    let metadata = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
    check(&server.admin(), &format!("POST {MAPS}"), &map("a"), 201, "ConfigMap").await;
    let metadata = server.admin().with("accept", metadata).get(&format!("{MAPS}/a")).await;
    let object = api::protobuf::decode(&metadata.body).unwrap();
    assert_eq!((&object["kind"], &object["metadata"]["name"]), (&json!("PartialObjectMetadata"), &json!("a")));
    let unread = server.admin().with("content-type", "text/plain").send(&format!("PATCH {MAPS}/a"), "{}").await;
    assert_eq!((unread.code, unread.json()["message"].as_str()), (415, Some("415: Unsupported Media Type")));
    // What was warned of is told with a refusal as well.
    let unknown = r#"{"metadata":{"name":"a"},"colour":"red"}"#;
    let warned = server.admin().send(&format!("POST {MAPS}"), unknown).await;
    assert_eq!(warned.code, 409);
    assert_eq!(warned.headers["warning"], r#"299 - "unknown field \"colour\"""#);
}
