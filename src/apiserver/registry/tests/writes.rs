use super::*;

#[tokio::test]
async fn every_stored_row_goes_through_its_life() {
    let server = server().await;
    // Pods run as somebody.
    server.create("serviceaccounts", json!({"metadata": {"name": "default"}})).await.unwrap();
    for row in server.registry.catalog().all().into_iter().filter(|row| row.stored) {
        let body = sample(&row);
        let namespace = if row.is_namespaced() { "a" } else { "" };
        let call = async |name: &str, operation: Operation| {
            let request = Request {
                user: Arc::new(User::new("alice", ["devs"])),
                resource: row.clone(),
                namespace: namespace.into(),
                name: name.into(),
                subresource: String::new(),
                operation,
            };
            let what = format!("{} {}", row.qualified(), request.operation.verb());
            match server.registry.call(&request).await {
                Ok(Reply::Object { object, .. }) => object.to_value().unwrap(),
                Ok(Reply::List(list)) => json!(list.items.len()),
                Ok(_) => Value::Null,
                Err(status) => panic!("{what}: {status}"),
            }
        };
        let created = call("", Operation::Create(body, WriteOptions::default())).await;
        let name = created["metadata"]["name"].as_str().unwrap().to_owned();
        assert_eq!(created["kind"], *row.kind);
        assert_eq!(created["apiVersion"], row.api_version());
        let got = call(&name, Operation::Get { resource_version: None }).await;
        assert_eq!(got, created, "{}", row.qualified());
        // Writing back what was read changes nothing.
        let same = call(&name, Operation::Update(got.clone(), WriteOptions::default())).await;
        assert_eq!(same, got, "{}", row.qualified());
        let patch = Patch::Strategic(json!({"metadata": {"labels": {"changed": "yes"}}}));
        let patched = call(&name, Operation::Patch(patch, WriteOptions::default())).await;
        assert_eq!(patched["metadata"]["labels"]["changed"], "yes");
        assert_ne!(patched["metadata"]["resourceVersion"], got["metadata"]["resourceVersion"]);
        assert!(call("", Operation::List(ListOptions::default())).await.as_u64().unwrap() >= 1);
        call(&name, Operation::Delete(DeleteOptions::default())).await;
    }
}

#[tokio::test]
async fn names_and_kinds_must_fit_the_path() {
    let server = server().await;
    let check = async |body: Value, code: u16, expect: &str| {
        let status = server.create("configmaps", body).await.unwrap_err();
        assert_eq!((status.code, status.message.as_str()), (code, expect));
    };
    check(
        json!({"metadata": {"name": "A"}}),
        422,
        "ConfigMap \"A\" is invalid: metadata.name: Invalid value: \"A\": a lowercase RFC 1123 subdomain must consist of \
         lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. \
         'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
    )
    .await;
    check(
        json!({"metadata": {}}),
        422,
        "ConfigMap \"\" is invalid: metadata.name: Required value: name or generateName is required",
    )
    .await;
    check(
        json!({"metadata": {"name": "a", "namespace": "b"}}),
        400,
        "the namespace of the provided object does not match the namespace sent on the request",
    )
    .await;
    check(
        json!({"apiVersion": "v2", "metadata": {"name": "a"}}),
        400,
        "ConfigMap in version \"v2\" cannot be handled as a ConfigMap: no kind \"ConfigMap\" is registered for version \"v2\" in \
         scheme \"pkg/runtime/scheme.go:111\"",
    )
    .await;
    check(
        json!({"metadata": {"name": "a"}, "data": {"a": 5}}),
        400,
        "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct \
         field ConfigMap.data of type string",
    )
    .await;
    server.create("configmaps", config_map("m", "x")).await.unwrap();
    check(config_map("m", "x"), 409, "configmaps \"m\" already exists").await;
    let mut both = config_map("m", "x");
    both["metadata"]["generateName"] = "m-".into();
    let why = "configmaps \"m\" already exists, the server was not able to generate a unique name for the object";
    check(both, 409, why).await;
    let status = server.get("configmaps/n").await.unwrap_err();
    assert_eq!((status.code, status.message.as_str()), (404, "configmaps \"n\" not found"));
    let request = server.request("configmaps", Operation::Create(config_map("m", "x"), WriteOptions::default()));
    let status = server.registry.call(&Request { namespace: "b".into(), ..request }).await.err().unwrap();
    assert_eq!((status.code, status.message.as_str()), (404, "namespaces \"b\" not found"));
}

#[tokio::test]
async fn unknown_fields_are_warned_about_or_refused() {
    let server = server().await;
    let body = json!({"metadata": {"name": "m"}, "colour": "red"});
    let operation = Operation::Create(body.clone(), strict());
    let status = server.object("configmaps", operation).await.unwrap_err();
    let expect = "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: unknown field \
                  \"colour\"";
    assert_eq!((status.code, status.message.as_str()), (400, expect));
    let operation = Operation::Create(body, WriteOptions::default());
    let Reply::Object { object, warnings, created } = server.call("configmaps", operation).await.unwrap() else {
        panic!("no object")
    };
    assert_eq!((warnings, created), (vec!["unknown field \"colour\"".to_owned()], true));
    assert!(object.to_value().unwrap().get("colour").is_none());
}

#[tokio::test]
async fn generated_names_are_new_names() {
    let server = server().await;
    for _ in 0..20 {
        let created = server.create("configmaps", json!({"metadata": {"generateName": "m-"}})).await.unwrap();
        let name = created["metadata"]["name"].as_str().unwrap();
        assert!(name.len() == 7 && name.starts_with("m-"), "{name}");
    }
    assert_eq!(server.list("configmaps", ListOptions::default()).await.unwrap().items.len(), 20);
}

#[tokio::test]
async fn stale_writes_conflict_and_unchanged_ones_do_nothing() {
    let server = server().await;
    let first = server.create("configmaps", config_map("m", "x")).await.unwrap();
    let same = server.update("configmaps/m", first.clone()).await.unwrap();
    assert_eq!(same, first);
    let second = server.merge("configmaps/m", json!({"data": {"a": "b"}})).await.unwrap();
    let status = server.update("configmaps/m", first.clone()).await.unwrap_err();
    let expect = "Operation cannot be fulfilled on configmaps \"m\": the object has been modified; please apply your \
                  changes to the latest version and try again";
    assert_eq!((status.code, status.message.as_str()), (409, expect));
    // Without a version the write is unconditional.
    let mut unconditional = first.clone();
    unconditional["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    let third = server.update("configmaps/m", unconditional).await.unwrap();
    assert_ne!(third["metadata"]["resourceVersion"], second["metadata"]["resourceVersion"]);
    assert_eq!(third["metadata"]["uid"], first["metadata"]["uid"]);
    // A patch may say which version it is for.
    let stale = json!({"metadata": {"resourceVersion": first["metadata"]["resourceVersion"], "labels": {"k": "z"}}});
    assert_eq!(server.merge("configmaps/m", stale).await.unwrap_err().code, 409);
    let other = json!({"metadata": {"uid": "another", "labels": {"k": "z"}}});
    let status = server.merge("configmaps/m", other.clone()).await.unwrap_err();
    let expect = "ConfigMap \"m\" is invalid: metadata.uid: Invalid value: \"another\": field is immutable";
    assert_eq!((status.code, status.message.as_str()), (422, expect));
    let named = json!({"metadata": {"name": "m", "uid": "another"}});
    assert_eq!(server.update("configmaps/m", named).await.unwrap_err().code, 409);
}

#[tokio::test]
async fn concurrent_patches_all_count() {
    let server = server().await;
    server.create("configmaps", config_map("m", "x")).await.unwrap();
    let patches = (0..50).map(|n| {
        let patch = json!({"data": {format!("k{n}"): "v"}});
        server.merge("configmaps/m", patch)
    });
    for outcome in futures::future::join_all(patches).await {
        outcome.unwrap();
    }
    assert_eq!(server.get("configmaps/m").await.unwrap()["data"].as_object().unwrap().len(), 50);
}

#[tokio::test]
async fn a_dry_run_leaves_no_trace() {
    let server = server().await;
    let dry = WriteOptions { dry_run: true, ..WriteOptions::default() };
    let seen = server.object("configmaps", Operation::Create(config_map("m", "x"), dry.clone())).await.unwrap();
    assert!(seen["metadata"]["uid"].is_string());
    assert_eq!(server.get("configmaps/m").await.unwrap_err().code, 404);
    let first = server.create("configmaps", config_map("m", "x")).await.unwrap();
    let again = server.object("configmaps", Operation::Create(config_map("m", "x"), dry.clone())).await.unwrap_err();
    assert_eq!((again.code, &*again.message), (409, "configmaps \"m\" already exists"));
    // What was read, under another name: only a store would mind its version, and only if all else is well.
    let mut other = first.clone();
    other["metadata"]["name"] = "n".into();
    let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
    let seen = server.object("configmaps", Operation::Create(other.clone(), dry.clone())).await.unwrap();
    assert_eq!(version(&seen), version(&first));
    assert_eq!(server.create("configmaps", other.clone()).await.unwrap_err().code, 500);
    other["data"] = json!({"/": ""});
    assert_eq!(server.create("configmaps", other).await.unwrap_err().code, 422);
    let patch = Operation::Patch(Patch::Merge(json!({"data": {"a": "b"}})), dry);
    assert_eq!(server.object("configmaps/m", patch).await.unwrap()["data"]["a"], "b");
    server.delete("configmaps/m", DeleteOptions { dry_run: true, ..DeleteOptions::default() }).await.unwrap();
    assert_eq!(server.get("configmaps/m").await.unwrap(), first);
}

#[tokio::test]
async fn an_object_may_not_grow_without_bound() {
    let server = server().await;
    let body = json!({"metadata": {"name": "m"}, "revision": 1, "data": {"a": "x".repeat(1600 << 10)}});
    assert_eq!(server.create("controllerrevisions", body).await.unwrap_err().code, 413);
}

#[tokio::test]
async fn custom_kinds_are_served_like_the_others() {
    let server = server().await;
    let custom = Resource {
        group: "example.com".into(),
        plural: "widgets".into(),
        kind: "Widget".into(),
        builtin: false,
        subresources: vec!["status".into()],
        ..(*server.row("configmaps")).clone()
    };
    server.registry.serve(&widgets(vec![Arc::new(custom)])).await.unwrap();
    let body = json!({"metadata": {"name": "w"}, "spec": {"a": 1}, "status": {"b": 1}});
    let made = server.create("widgets.example.com", body).await.unwrap();
    assert_eq!(
        (&made["apiVersion"], made.get("status"), &made["metadata"]["generation"]),
        (&json!("example.com/v1"), None, &json!(1))
    );
    let changed = server.merge("widgets.example.com/w", json!({"spec": {"a": 2}})).await.unwrap();
    assert_eq!(changed["metadata"]["generation"], 2);
    let patch = json!({"metadata": {"labels": {"k": "v"}}, "spec": {"a": 5}, "status": {"b": 2}});
    let status = server.merge("widgets.example.com/w/status", patch).await.unwrap();
    assert_eq!(
        (&status["spec"]["a"], &status["status"]["b"], status["metadata"].get("labels")),
        (&json!(2), &json!(2), None)
    );
    let strategic = Operation::Patch(Patch::Strategic(json!({"spec": {"a": 3}})), WriteOptions::default());
    assert_eq!(server.object("widgets.example.com/w", strategic).await.unwrap_err().code, 415);
    assert_eq!(names(&server.list("widgets.example.com", ListOptions::default()).await.unwrap()), ["w"]);
    server.registry.serve(&widgets(Vec::new())).await.unwrap();
    assert!(server.registry.catalog().get("example.com", "v1", "widgets").is_none());
}

#[tokio::test]
async fn a_patch_of_what_cannot_be_read_is_refused_as_the_patch_it_is() {
    let server = server().await;
    server.create("configmaps", config_map("m", "x")).await.unwrap();
    let refused = async |patch: Patch, options: WriteOptions| {
        let status = server.object("configmaps/m", Operation::Patch(patch, options)).await.unwrap_err();
        (status.code, status.message)
    };
    let lenient = WriteOptions::default;
    let (code, told) = refused(Patch::Merge(json!({"data": {"a": 1}})), lenient()).await;
    assert_eq!(code, 422);
    assert!(told.starts_with(" \"\" is invalid: patch: Invalid value: \"{"), "{told}");
    assert!(
        told.ends_with("json: cannot unmarshal number into Go struct field ConfigMap.data of type string"),
        "{told}"
    );
    let strict = WriteOptions { field_validation: FieldValidation::Strict, ..lenient() };
    let told = refused(Patch::Strategic(json!({"colour": "red"})), strict).await;
    let expect =
        " \"\" is invalid: patch: Invalid value: \"map[colour:red]\": strict decoding error: unknown field \"colour\"";
    assert_eq!(told, (422, expect.to_owned()));
    let (code, told) = refused(Patch::Merge(json!({"metadata": null})), lenient()).await;
    let expect = "the name of the object (m based on URL) was undeterminable: name must be provided";
    assert_eq!((code, told.as_str()), (400, expect));
}

#[tokio::test]
async fn owners_that_come_twice_are_owners_once() {
    let server = server().await;
    let owner = json!({"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"});
    let mut map = config_map("m", "x");
    map["metadata"]["ownerReferences"] = json!([owner, owner]);
    let made = server.create("configmaps", map).await.unwrap();
    assert_eq!(made["metadata"]["ownerReferences"], json!([owner]));
}

#[tokio::test]
async fn a_name_that_is_going_is_taken() {
    let server = server().await;
    let mut map = config_map("m", "x");
    map["metadata"]["finalizers"] = json!(["a/b"]);
    server.create("configmaps", map.clone()).await.unwrap();
    let told = server.create("configmaps", map.clone()).await.unwrap_err().message;
    assert_eq!(told, "configmaps \"m\" already exists");
    server.delete("configmaps/m", DeleteOptions::default()).await.unwrap();
    let told = server.create("configmaps", map).await.unwrap_err().message;
    assert_eq!(told, "object is being deleted: configmaps \"m\" already exists");
}

#[tokio::test]
async fn what_go_writes_by_itself_is_no_change() {
    let server = server().await;
    // No metadata of templates, which Go writes as empty structs.
    let spec = json!({"schedule": "* * * * *", "jobTemplate": {"spec": {"template": {"spec": {
        "restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}}});
    let job = json!({"metadata": {"name": "c"}, "spec": spec});
    let made = server.create("cronjobs", job.clone()).await.unwrap();
    let same = server.update("cronjobs/c", job).await.unwrap();
    assert_eq!(same, made);
}
