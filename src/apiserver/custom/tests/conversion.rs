//! Versions that a webhook converts: what upstream's integration tests of conversion check, and what its end-to-end tests do.

mod answers;
mod owners;

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine;
use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt, Full};
use parking_lot::Mutex;

use super::*;
use crate::testing::Ca;
use crate::webhook::tests::{Asked, Hook, slice};

const DEFINITION: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/multiversions.stable.example.com";
const VERSIONS: [&str; 3] = ["v1alpha1", "v1beta1", "v1beta2"];

/// How a webhook answers a review: `request` and the version of the review to the text of an answer, or no answer but a code.
type Answers = Box<dyn Fn(&Value, &str) -> Result<String, u16> + Send + Sync>;

/// A server with a kind of three versions and a webhook that converts between them.
struct World {
    server: TestServer,
    client: TestClient,
    hook: Hook,
    ca: Ca,
    answers: Arc<Mutex<Answers>>,
    /// The names of the objects of every review so far.
    asked: Arc<Mutex<Vec<Vec<String>>>>,
}

impl World {
    async fn new(review: &[&str]) -> Self {
        let (ca, asked) = (Ca::new("ca"), Arc::<Mutex<Vec<Vec<String>>>>::default());
        let answers: Arc<Mutex<Answers>> = Arc::new(Mutex::new(Box::new(whole(each(rename)))));
        let (told, seen) = (answers.clone(), asked.clone());
        let hook = Hook::serve(&ca, "127.0.0.1", move |asked: Asked| {
            assert_eq!(asked.line, "POST /convert?timeout=30s");
            let answer = respond(&asked.json(), &told.lock(), &seen);
            async move { answer }
        })
        .await;
        let server = TestServer::start().await;
        let client = server.admin().with("content-type", "application/json");
        let world = Self { server, client, hook, ca, answers, asked };
        let mut definition = multi_version();
        definition["spec"]["conversion"] = world.conversion(review);
        establish(&world.client, &definition).await;
        world
    }

    fn conversion(&self, review: &[&str]) -> Value {
        let bundle = base64::engine::general_purpose::STANDARD.encode(&self.ca.pem);
        let url = format!("https://{}/convert", self.hook.address);
        let client = json!({ "url": url, "caBundle": bundle });
        json!({ "strategy": "Webhook", "webhook": { "clientConfig": client, "conversionReviewVersions": review } })
    }

    fn answer_with(&self, answers: impl Fn(&Value, &str) -> Result<Value, u16> + Send + Sync + 'static) {
        *self.answers.lock() = Box::new(whole(answers));
    }

    fn answer_text(&self, text: impl Fn(&Value, &str) -> String + Send + Sync + 'static) {
        *self.answers.lock() = Box::new(move |request, version| Ok(text(request, version)));
    }

    async fn create(&self, version: &str, name: &str) -> Answer {
        post(&self.client, &path(version, ""), &object(version, name)).await
    }

    async fn patch(&self, path: &str, body: Value) -> Answer {
        let merge = self.server.admin().with("content-type", "application/merge-patch+json");
        merge.send(&format!("PATCH {path}"), body.to_string()).await
    }

    /// The object as it is stored, metadata apart.
    async fn stored(&self, name: &str) -> Value {
        let key = format!("/registry/stable.example.com/multiversions/default/{name}");
        let entry = self.server.registry.store().get(&key).await.unwrap().expect(&key);
        body(&serde_json::from_slice(&entry.value).unwrap())
    }

    /// Changes the definition, and waits until an object shows that it counts.
    async fn redefine(&self, change: impl Fn(&mut Value)) {
        let mut definition = self.client.get(DEFINITION).await.json();
        change(&mut definition);
        let answer = self.client.send(&format!("PUT {DEFINITION}"), definition.to_string()).await;
        assert_eq!(answer.code, 200, "{}", answer.text());
        let generation = answer.json()["metadata"]["generation"].as_i64();
        let row = || self.server.registry.catalog().get("stable.example.com", "v1beta1", "multiversions");
        let served = || row().map(|row| row.custom.as_ref().unwrap().definition.object().meta.generation);
        let began = Instant::now();
        while served() != generation {
            assert!(began.elapsed() < Duration::from_secs(30), "the definition is not served anew");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn store_in(&self, version: &str) {
        self.redefine(|definition| {
            for known in definition["spec"]["versions"].as_array_mut().unwrap() {
                known["storage"] = (known["name"] == version).into();
            }
        })
        .await;
    }
}

/// Answers as texts.
fn whole(
    answers: impl Fn(&Value, &str) -> Result<Value, u16> + Send + Sync + 'static,
) -> impl Fn(&Value, &str) -> Result<String, u16> + Send + Sync {
    move |request, version| answers(request, version).map(|whole| whole.to_string())
}

fn respond(review: &Value, answers: &Answers, seen: &Mutex<Vec<Vec<String>>>) -> Response<Full<Bytes>> {
    let version = review.text("apiVersion").strip_prefix("apiextensions.k8s.io/").unwrap();
    assert_eq!(review.text("kind"), "ConversionReview");
    let request = &review["request"];
    let names = request.items("objects").iter().map(|object| object.text("metadata.name").to_owned());
    seen.lock().push(names.collect());
    match answers(request, version) {
        Ok(whole) => Response::new(Full::from(whole)),
        Err(code) => Response::builder().status(code).body(Full::from("unexpected\n")).unwrap(),
    }
}

/// An answer in which each object is what `convert` makes of it.
fn each(convert: fn(&mut Value, &str)) -> impl Fn(&Value, &str) -> Result<Value, u16> + Send + Sync {
    move |request, version| {
        let to = request.text("desiredAPIVersion");
        let mut objects = request.items("objects").to_vec();
        for object in &mut objects {
            assert_ne!(object.text("apiVersion"), to, "what is in the version already is not sent");
            convert(object, to);
            object["apiVersion"] = to.into();
        }
        Ok(success(request, version, &objects.into()))
    }
}

fn success(request: &Value, version: &str, objects: &Value) -> Value {
    let response = json!({ "uid": request["uid"], "result": { "status": "Success" }, "convertedObjects": objects });
    json!({ "apiVersion": format!("apiextensions.k8s.io/{version}"), "kind": "ConversionReview", "response": response })
}

/// `v1beta2` calls its fields otherwise.
fn rename(object: &mut Value, to: &str) {
    let new = to.ends_with("/v1beta2");
    for (old_name, new_name) in [("content", "contentv2"), ("num", "numv2")] {
        let (from, to) = if new { (old_name, new_name) } else { (new_name, old_name) };
        if let Some(value) = object.cut(from) {
            object[to] = value;
        }
    }
}

fn names(version: &str) -> (&'static str, &'static str) {
    if version == "v1beta2" { ("contentv2", "numv2") } else { ("content", "num") }
}

fn multi_version() -> Value {
    let version = |version: &str| {
        let (content, num) = names(version);
        let flag = |name: &str| match name == version {
            true => json!({ "type": "boolean", "default": true }),
            false => json!({ "type": "boolean" }),
        };
        let flags: serde_json::Map<String, Value> = VERSIONS.iter().map(|v| ((*v).to_owned(), flag(v))).collect();
        let num_schema = json!({ "num1": { "type": "integer" }, "num2": { "type": "integer" } });
        let properties = json!({
            content: { "type": "object", "properties": { "key": { "type": "string" } } },
            num: { "type": "object", "properties": num_schema },
            "defaults": { "type": "object", "properties": flags },
            "spec": { "type": "object", "properties": { "replicas": { "type": "integer" } } },
            "status": { "type": "object", "properties": { "replicas": { "type": "integer" } } },
        });
        json!({
            "name": version, "served": true, "storage": version == "v1beta1",
            "subresources": {
                "status": {},
                "scale": { "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas" },
            },
            "schema": { "openAPIV3Schema": { "type": "object", "properties": properties } },
        })
    };
    let versions: Vec<Value> = VERSIONS.iter().map(|name| version(name)).collect();
    let names = json!({ "plural": "multiversions", "kind": "MultiVersion" });
    let spec = json!({ "group": "stable.example.com", "scope": "Namespaced", "names": names, "versions": versions });
    json!({ "metadata": { "name": "multiversions.stable.example.com" }, "spec": spec })
}

/// An object as a version has it, metadata apart.
fn shape(version: &str) -> Value {
    let (content, num) = names(version);
    json!({
        "apiVersion": format!("stable.example.com/{version}"), "kind": "MultiVersion",
        content: { "key": "value" }, num: { "num1": 1, "num2": 1_000_000 },
    })
}

fn object(version: &str, name: &str) -> Value {
    let mut object = shape(version);
    object["metadata"] = json!({ "name": name });
    object
}

fn body(object: &Value) -> Value {
    let mut body = object.clone();
    body.cut("metadata");
    body
}

fn path(version: &str, rest: &str) -> String {
    format!("/apis/stable.example.com/{version}/namespaces/default/multiversions{rest}")
}

#[tokio::test]
async fn objects_are_written_and_read_in_any_version() {
    for review in [["v1", "v1beta1"], ["v1beta1", "v1"]] {
        let world = World::new(&review).await;
        for version in VERSIONS {
            let mut sent = object(version, version);
            sent["foo"] = "garbage".into();
            let made = post(&world.client, &path(version, ""), &sent).await;
            assert_eq!((made.code, body(&made.json())), (201, shape(version)), "{}", made.text());
            assert_eq!(world.stored(version).await, shape("v1beta1"));
        }
        for shown in VERSIONS {
            for made in VERSIONS {
                let read = world.client.get(&path(shown, &format!("/{made}"))).await.json();
                assert_eq!(body(&read), shape(shown));
            }
            let list = world.client.get(&path(shown, "")).await.json();
            assert_eq!(list["apiVersion"], format!("stable.example.com/{shown}"));
            assert!(list.items("items").iter().all(|item| body(item) == shape(shown)), "{list}");
            assert_eq!(list.items("items").len(), 3);
        }
        for version in VERSIONS {
            for (rest, note) in [("", "main"), ("/status", "status")] {
                let change = json!({ "metadata": { "labels": { note: "yes" } }, "status": { "replicas": 3 } });
                let changed = world.patch(&path(version, &format!("/{version}{rest}")), change).await;
                assert_eq!(changed.code, 200, "{}", changed.text());
            }
            let mut expect = shape("v1beta1");
            expect["status"] = json!({ "replicas": 3 });
            assert_eq!(world.stored(version).await, expect);
        }
    }
}

#[tokio::test]
async fn objects_stored_in_several_versions_are_listed_in_each() {
    let world = World::new(&["v1"]).await;
    for version in VERSIONS {
        world.store_in(version).await;
        let made = world.create(version, version).await;
        assert_eq!(made.code, 201, "{}", made.text());
        assert_eq!(world.stored(version).await["apiVersion"], format!("stable.example.com/{version}"));
    }
    for shown in VERSIONS {
        world.asked.lock().clear();
        let list = world.client.get(&path(shown, "")).await.json();
        assert!(list.items("items").iter().all(|item| body(item) == shape(shown)), "{list}");
        let others: Vec<String> = VERSIONS.iter().filter(|v| **v != shown).map(|v| (*v).to_owned()).collect();
        assert_eq!(*world.asked.lock(), [others], "all that are in other versions, in one review");
        for name in VERSIONS {
            assert_eq!(body(&world.client.get(&path(shown, &format!("/{name}"))).await.json()), shape(shown));
        }
    }
    // A write that changes nothing stores the object in the version of today.
    let written = world.patch(&path("v1alpha1", "/v1alpha1"), json!({})).await;
    assert_eq!(written.code, 200, "{}", written.text());
    assert_eq!(world.stored("v1alpha1").await, shape("v1beta2"));
    // All versions of all go.
    let deleted = world.client.send(&format!("DELETE {}", path("v1alpha1", "")), "").await;
    assert_eq!(deleted.code, 200, "{}", deleted.text());
    assert_eq!(world.client.get(&path("v1beta2", "")).await.json()["items"], json!([]));
}

#[tokio::test]
async fn a_collection_is_deleted_by_the_fields_of_the_version_asked_for() {
    let world = World::new(&["v1"]).await;
    // A field that the stored form calls otherwise.
    world
        .redefine(|definition| {
            let versions = definition["spec"]["versions"].as_array_mut().unwrap();
            let new = versions.iter_mut().find(|version| version["name"] == "v1beta2").unwrap();
            new["selectableFields"] = json!([{ "jsonPath": ".contentv2.key" }]);
        })
        .await;
    assert_eq!(world.create("v1beta1", "a").await.code, 201);
    let left = async |value: &str| {
        let query = path("v1beta2", &format!("?fieldSelector=contentv2.key%3D{value}"));
        let answer = world.client.send(&format!("DELETE {query}"), "").await;
        assert_eq!(answer.code, 200, "{}", answer.text());
        world.client.get(&path("v1beta1", "")).await.json().items("items").len()
    };
    assert_eq!(left("another").await, 1);
    assert_eq!(left("value").await, 0);
}

#[tokio::test]
async fn a_watch_shows_its_version() {
    let world = World::new(&["v1"]).await;
    world.create("v1beta1", "before").await;
    let watch = world.client.open(&format!("GET {}?watch=true&timeoutSeconds=20", path("v1beta2", "")), "").await;
    world.create("v1alpha1", "after").await;
    world.patch(&path("v1beta1", "/after"), json!({ "num": { "num1": 2 } })).await;
    world.client.send(&format!("DELETE {}", path("v1beta1", "/after")), "").await;
    let seen = events(watch, 4).await;
    let told: Vec<_> = seen
        .iter()
        .map(|event| (event.text("type"), event["object"].text("metadata.name"), &event["object"]["numv2"]["num1"]))
        .collect();
    let (one, two) = (json!(1), json!(2));
    let expect =
        [("ADDED", "before", &one), ("ADDED", "after", &one), ("MODIFIED", "after", &two), ("DELETED", "after", &two)];
    assert_eq!(told, expect);
    assert!(seen.iter().all(|event| event["object"].text("apiVersion").ends_with("/v1beta2")));
    // A change costs one question, of the object as it is now.
    world.asked.lock().clear();
    let watch = world.client.open(&format!("GET {}?watch=true&timeoutSeconds=20", path("v1beta2", "")), "").await;
    let changed = world.patch(&path("v1beta1", "/before"), json!({ "num": { "num1": 3 } })).await;
    assert_eq!(changed.code, 200);
    events(watch, 2).await;
    assert_eq!(world.asked.lock().iter().flatten().count(), 2);
}

/// The first events of a watch.
async fn events(watch: Response<hyper::body::Incoming>, many: usize) -> Vec<Value> {
    let (mut body, mut text) = (watch.into_body(), Vec::new());
    let whole = |text: &[u8]| text.iter().filter(|byte| **byte == b'\n').count();
    while whole(&text) < many {
        let frame = tokio::time::timeout(Duration::from_secs(30), body.frame()).await.unwrap();
        let Some(frame) = frame else { break };
        text.extend_from_slice(&frame.unwrap().into_data().unwrap());
    }
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

#[tokio::test]
async fn of_metadata_only_labels_and_annotations_may_change() {
    let world = World::new(&["v1"]).await;
    world.answer_with(each(|object, to| {
        let from = object.text("apiVersion").to_owned();
        rename(object, to);
        object.put("metadata.annotations", json!({ "from": from, "to": to }));
        object.put("metadata.labels", json!({ "from": from.replace('/', "."), "to": to.replace('/', ".") }));
        object.put("metadata.generation", 42);
        object.put("metadata.resourceVersion", "42");
        object.put("metadata.finalizers", json!(["foo"]));
        object.put("metadata.garbage", "bar");
        object.put(
            "metadata.ownerReferences",
            json!([{ "apiVersion": "v1", "kind": "Namespace", "name": "d", "uid": "1" }]),
        );
    }));
    let check = |object: &Value, marked: bool| {
        let expect = |of: &str| marked.then(|| format!("stable.example.com{of}"));
        let label = |key: &str| object["metadata"]["labels"].get(key).and_then(Value::as_str).map(str::to_owned);
        assert_eq!((label("from"), label("to")), (expect(".v1beta1"), expect(".v1beta2")), "{object}");
        let annotation = object["metadata"]["annotations"].get("to").and_then(Value::as_str).map(str::to_owned);
        assert_eq!(annotation, expect("/v1beta2"));
        assert_eq!(object["metadata"]["generation"], 1);
        assert_ne!(object["metadata"]["resourceVersion"], "42");
        for field in ["finalizers", "garbage", "ownerReferences"] {
            assert!(object["metadata"].get(field).is_none(), "{field}");
        }
    };
    check(&world.create("v1beta1", "a").await.json(), false);
    check(&world.client.get(&path("v1beta2", "/a")).await.json(), true);
    check(&world.create("v1beta2", "b").await.json(), true);
    let list = world.client.get(&path("v1beta2", "")).await.json();
    assert_eq!(list.items("items").len(), 2);
    list.items("items").iter().for_each(|item| check(item, true));
}

#[tokio::test]
async fn webhooks_that_fail_or_lie_fail_every_request_that_needs_them() {
    let world = World::new(&["v1"]).await;
    let made = world.create("v1beta1", "a").await.json();
    assert!(world.asked.lock().is_empty(), "the storage version needs no conversion");
    let mut other = shape("v1beta2");
    other["metadata"] = made["metadata"].clone();
    let scale = json!({ "apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": { "name": "a" }, "spec": { "replicas": 42 } });
    let note = json!({ "metadata": { "annotations": { "patch": "true" } } });
    let (one, all) = (path("v1beta2", "/a"), path("v1beta2", ""));
    let (status, scales) = (format!("{one}/status"), format!("{one}/scale"));
    let requests = [
        ("GET", &one, Value::Null),
        ("GET", &all, Value::Null),
        ("POST", &all, object("v1beta2", "b")),
        ("PUT", &one, other.clone()),
        ("PATCH", &one, note.clone()),
        ("DELETE", &one, Value::Null),
        ("DELETE", &all, Value::Null),
        ("GET", &status, Value::Null),
        ("PUT", &status, other),
        ("PATCH", &status, note.clone()),
        ("GET", &scales, Value::Null),
        ("PUT", &scales, scale),
        ("PATCH", &scales, note),
    ];
    let check = async |expect: &str| {
        for (verb, path, body) in &requests {
            let answer = match *verb {
                "PATCH" => world.patch(path, body.clone()).await,
                _ => {
                    let body = if body.is_null() { String::new() } else { body.to_string() };
                    world.client.send(&format!("{verb} {path}"), body).await
                }
            };
            let message = answer.json()["message"].as_str().unwrap_or_default().to_owned();
            assert_eq!(answer.code, 500, "{verb} {path}: {}", answer.text());
            assert!(message.starts_with("conversion webhook for stable.example.com/v1beta"), "{message}");
            assert!(message.contains(expect), "{verb} {path}: {message}");
        }
    };
    for review in ["v1", "v1beta1"] {
        world.redefine(|definition| definition["spec"]["conversion"] = world.conversion(&[review])).await;
        world.answer_with(|request, version| Ok(success(request, version, &json!([]))));
        check(", Kind=MultiVersion returned 0 objects, expected 1").await;
        world.answer_with(|request, version| {
            let mut answer = success(request, version, &json!([]));
            answer["response"]["result"] = json!({ "status": "Failure", "message": "custom webhook conversion error" });
            Ok(answer)
        });
        check("failed: custom webhook conversion error").await;
        world.answer_with(|_, _| Err(500));
        check("failed: an error on the server (\"unexpected\") has prevented the request from succeeding").await;
        world.answer_with(|_, _| Err(400));
        check("failed: the server rejected our request for an unknown reason").await;
        world.answer_with(each(|object, to| {
            rename(object, to);
            object.put("metadata.name", "other");
        }));
        check("returned invalid object: must have the same name: ").await;
    }
    // What fails has changed nothing.
    let now = world.client.get(&path("v1beta1", "")).await.json();
    assert_eq!(now.items("items"), std::slice::from_ref(&made));
    // A watch is told, and ends.
    let watch = world.client.open(&format!("GET {}?watch=true&timeoutSeconds=20", path("v1beta2", "")), "").await;
    let seen = events(watch, 2).await;
    let [error] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!((error.text("type"), error["object"].text("kind")), ("ERROR", "Status"));
    let metrics = world.server.admin().get("/metrics").await.text();
    let counted = |line: &str| assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    counted(
        "apiserver_conversion_webhook_request_total{result=\"failure\",failure_type=\"conversion_webhook_partial_response_failure\"}",
    );
    counted(
        "apiserver_crd_conversion_webhook_duration_seconds_count{crd_name=\"multiversions.stable.example.com\",from_version=\"v1beta1\",to_version=\"v1beta2\",succeeded=\"false\"}",
    );
}

#[tokio::test]
async fn defaults_are_those_of_the_version_written_and_of_the_version_stored() {
    let world = World::new(&["v1"]).await;
    for version in VERSIONS {
        let mut sent = object(version, version);
        sent["defaults"] = json!({});
        let flags =
            |object: &Value| -> BTreeSet<String> { object.entries("defaults").map(|(k, _)| k.clone()).collect() };
        let expect: BTreeSet<String> = [version, "v1beta1"].map(str::to_owned).into();
        let tried = post(&world.client, &path(version, "?dryRun=All"), &sent).await.json();
        assert_eq!(flags(&tried), expect);
        let made = post(&world.client, &path(version, ""), &sent).await.json();
        assert_eq!(flags(&made), expect);
        // Those of the stored version come when it is read.
        assert_eq!(flags(&world.stored(version).await), [version.to_owned()].into());
        for shown in VERSIONS {
            let read = world.client.get(&path(shown, &format!("/{version}"))).await.json();
            assert_eq!(flags(&read), expect, "{shown}");
        }
        // A write that changes nothing stores what was read, once.
        let written = world.patch(&path(version, &format!("/{version}")), json!({})).await.json();
        assert_eq!(flags(&world.stored(version).await), expect);
        let again = world.patch(&path(version, &format!("/{version}")), json!({})).await.json();
        assert_eq!(again["metadata"]["resourceVersion"], written["metadata"]["resourceVersion"]);
    }
}

#[tokio::test]
async fn a_default_of_the_stored_version_that_the_version_written_does_not_know_costs_no_writes() {
    let world = World::new(&["v1"]).await;
    world
        .redefine(|definition| {
            let versions = definition["spec"]["versions"].as_array_mut().unwrap();
            let stored = versions.iter_mut().find(|version| version["name"] == "v1beta1").unwrap();
            let properties = &mut stored["schema"]["openAPIV3Schema"]["properties"];
            properties["extra"] = json!({ "type": "string", "default": "x" });
        })
        .await;
    let made = world.create("v1beta2", "a").await.json();
    assert_eq!(made.get("extra"), None);
    assert_eq!(world.client.get(&path("v1beta1", "/a")).await.json()["extra"], "x");
    let written = world.patch(&path("v1beta2", "/a"), json!({})).await.json();
    assert_eq!(written["metadata"]["resourceVersion"], made["metadata"]["resourceVersion"]);
    let list = world.client.get(&path("v1beta1", "?resourceVersion=0")).await.json();
    assert_eq!(list["items"][0]["extra"], "x");
}

#[tokio::test]
async fn labels_are_those_of_the_version_asked_for() {
    let world = World::new(&["v1"]).await;
    world.answer_with(each(|object, to| {
        rename(object, to);
        object.put("metadata.labels", json!({ "shown": to.rsplit('/').next() }));
    }));
    for name in ["a", "b", "c"] {
        assert_eq!(world.create("v1beta1", name).await.code, 201);
    }
    let names = |list: &Value| -> Vec<String> {
        list.items("items").iter().map(|item| item["metadata"].text("name").to_owned()).collect()
    };
    let list = async |version: &str, query: &str| world.client.get(&path(version, query)).await.json();
    assert_eq!(names(&list("v1beta2", "?labelSelector=shown%3Dv1beta2").await), ["a", "b", "c"]);
    assert!(names(&list("v1beta1", "?labelSelector=shown").await).is_empty(), "stored without labels");
    // Pages are as long as asked for.
    let first = list("v1beta2", "?labelSelector=shown%3Dv1beta2&limit=2").await;
    assert_eq!(names(&first), ["a", "b"]);
    let rest = format!("?labelSelector=shown%3Dv1beta2&limit=2&continue={}", first["metadata"].text("continue"));
    let rest = list("v1beta2", &rest).await;
    assert_eq!((names(&rest), &rest["metadata"]["continue"]), (vec!["c".to_owned()], &json!("")));
    let query = path("v1beta2", "?labelSelector=shown%3Dv1beta2&watch=true&timeoutSeconds=20");
    let watch = world.client.open(&format!("GET {query}"), "").await;
    world.create("v1beta1", "d").await;
    let seen = events(watch, 4).await;
    let seen: Vec<&str> = seen.iter().map(|event| event["object"].text("metadata.name")).collect();
    assert_eq!(seen, ["a", "b", "c", "d"]);
}

#[tokio::test]
async fn a_kind_is_served_once_its_webhook_is_vouched_for() {
    let server = TestServer::start().await;
    let client = server.admin().with("content-type", "application/json");
    let mut definition = multi_version();
    let hook = json!({ "url": "https://example.com/", "caBundle": "Cg==" });
    let webhook = json!({ "clientConfig": hook, "conversionReviewVersions": ["v1"] });
    definition["spec"]["conversion"] = json!({ "strategy": "Webhook", "webhook": webhook });
    assert_eq!(post(&client, DEFINITIONS, &definition).await.code, 201);
    let said = |answer: &Answer| condition(&answer.json(), "Established").cloned().unwrap_or_default();
    let refused = until(&client, DEFINITION, |answer| !said(answer).is_null()).await;
    let expect = ("False", "InvalidCABundle", "The conversion webhook CABundle is invalid");
    let established = said(&refused);
    assert_eq!((established.text("status"), established.text("reason"), established.text("message")), expect);
    assert_eq!(client.get(&path("v1beta1", "")).await.code, 404);
    let merge = server.admin().with("content-type", "application/merge-patch+json");
    let bundle = base64::engine::general_purpose::STANDARD.encode(Ca::new("ca").pem);
    let change = json!({ "spec": { "conversion": { "webhook": { "clientConfig": { "caBundle": bundle } } } } });
    assert_eq!(merge.send(&format!("PATCH {DEFINITION}"), change.to_string()).await.code, 200);
    until(&client, DEFINITION, |answer| said(answer)["status"] == "True").await;
    assert_eq!(client.get(&path("v1beta1", "")).await.code, 200);
}

#[tokio::test]
async fn a_service_of_the_cluster_converts() {
    let world = World::new(&["v1"]).await;
    let made = world.create("v1beta1", "a").await;
    assert_eq!(made.code, 201);
    let (chain, key) = world.ca.issue("hook", &[], &["hook.a.svc"]);
    let (told, seen) = (world.answers.clone(), world.asked.clone());
    let hook = Hook::with(&chain, &key, move |asked: Asked| {
        let answer = respond(&asked.json(), &told.lock(), &seen);
        async move { answer }
    })
    .await;
    let bundle = base64::engine::general_purpose::STANDARD.encode(&world.ca.pem);
    let change = |config: Value| {
        world.redefine(move |definition| definition["spec"]["conversion"]["webhook"]["clientConfig"] = config.clone())
    };
    let service = json!({ "namespace": "a", "name": "hook", "path": "/convert" });
    change(json!({ "service": service, "caBundle": bundle })).await;
    let read = || async { world.client.get(&path("v1beta2", "/a")).await };
    let post_to = "conversion webhook for stable.example.com/v1beta1, Kind=MultiVersion failed: Post \"https://hook.a.svc:443/convert?timeout=30s\": ";
    assert_eq!(read().await.json()["message"], format!("{post_to}service \"hook\" not found"));
    post(&world.client, "/api/v1/namespaces", &json!({ "metadata": { "name": "a" } })).await;
    let ports = json!({ "metadata": { "name": "hook" }, "spec": { "ports": [{ "port": 443 }] } });
    assert_eq!(post(&world.client, "/api/v1/namespaces/a/services", &ports).await.code, 201);
    let slices = world.server.registry.catalog().get("discovery.k8s.io", "v1", "endpointslices").unwrap();
    world.server.registry.seed(&slices, &slice("one", hook.address.port(), true)).await;
    assert_eq!(body(&read().await.json()), shape("v1beta2"));
    // Who is not vouched for is not believed.
    let stranger = base64::engine::general_purpose::STANDARD.encode(Ca::new("other").pem);
    change(json!({ "service": service, "caBundle": stranger })).await;
    let refused = read().await.json()["message"].as_str().unwrap().to_owned();
    assert_eq!(
        refused,
        format!("{post_to}tls: failed to verify certificate: x509: certificate signed by unknown authority")
    );
}
