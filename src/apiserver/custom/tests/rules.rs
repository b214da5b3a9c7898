//! Validation rules: what they refuse, what they let be, and which definitions they make impossible.

use super::*;

fn with_rules(rules: Value) -> Value {
    let mut definition = cron_tabs();
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["x-kubernetes-validations"] =
        rules;
    definition
}

fn causes(answer: &Answer) -> Vec<String> {
    let status = answer.json();
    let cause = |cause: &Value| format!("{}: {}", cause.text("field"), cause.text("message"));
    status.items("details.causes").iter().map(cause).collect()
}

#[tokio::test]
async fn rules_are_held_against_objects() {
    let server = TestServer::start().await;
    let client = server.admin().with("content-type", "application/json");
    let rules = json!([
        { "rule": "!has(self.replicas) || self.replicas <= 5", "messageExpression": "'at most ' + '5'", "fieldPath": ".replicas", "reason": "FieldValueForbidden" },
        { "rule": "self.image == oldSelf.image", "message": "image stays" },
        { "rule": "self.cronSpec != 'x'" },
    ]);
    establish(&client, &with_rules(rules)).await;
    let mut body = cron_tab("a");
    body["spec"]["replicas"] = json!(7);
    let refused = post(&client, CRON_TABS, &body).await;
    assert_eq!(causes(&refused), ["spec.replicas: Forbidden: at most 5"]);
    body["spec"]["replicas"] = json!(2);
    assert_eq!(post(&client, CRON_TABS, &body).await.code, 201);
    let merge = client.with("content-type", "application/merge-patch+json");
    let patch = async |body: Value| merge.send(&format!("PATCH {CRON_TABS}/a"), body.to_string()).await;
    assert_eq!(causes(&patch(json!({ "spec": { "image": "y" } })).await), ["spec: Invalid value: image stays"]);
    assert_eq!(patch(json!({ "spec": { "replicas": 3 } })).await.code, 200);
    // What the schema refuses is not asked about further.
    let refused = causes(&patch(json!({ "spec": { "replicas": "x" } })).await);
    assert!(
        refused.last().unwrap().starts_with("<nil>: Invalid value: null: some validation rules were not checked"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn parts_that_change_as_one_are_compared_by_name() {
    let server = TestServer::start().await;
    let client = server.admin().with("content-type", "application/json");
    let mut definition = cron_tabs();
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["ref"] = json!({
        "type": "object",
        "x-kubernetes-map-type": "atomic",
        "properties": { "major": { "type": "integer", "x-kubernetes-validations": [{ "rule": "self == oldSelf" }] } },
    });
    establish(&client, &definition).await;
    let mut body = cron_tab("a");
    body["spec"]["ref"] = json!({ "major": 1 });
    assert_eq!(post(&client, CRON_TABS, &body).await.code, 201);
    let merge = client.with("content-type", "application/merge-patch+json");
    let patch = json!({ "spec": { "ref": { "major": 2 } } }).to_string();
    let refused = merge.send(&format!("PATCH {CRON_TABS}/a"), patch).await;
    assert_eq!(causes(&refused), ["spec.ref.major: Invalid value: 2: failed rule: self == oldSelf"]);
}

#[tokio::test]
async fn objects_that_broke_a_rule_before_it_was_made_can_be_changed_elsewhere() {
    let (_server, client) = with_cron_tabs().await;
    let mut body = cron_tab("a");
    body["spec"]["replicas"] = json!(7);
    assert_eq!(post(&client, CRON_TABS, &body).await.code, 201);
    let path = format!("{DEFINITIONS}/crontabs.stable.example.com");
    let mut definition = client.get(&path).await.json();
    let schema =
        &mut definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
    schema["replicas"]["x-kubernetes-validations"] = json!([{ "rule": "self < 5" }]);
    assert_eq!(client.send(&format!("PUT {path}"), definition.to_string()).await.code, 200);
    let merge = client.with("content-type", "application/merge-patch+json");
    let patch = async |body: Value| merge.send(&format!("PATCH {CRON_TABS}/a"), body.to_string()).await;
    let began = Instant::now();
    // Another value each time: one that stays is let be.
    let mut replicas = 8;
    while patch(json!({ "spec": { "replicas": replicas } })).await.code != 422 {
        replicas += 1;
        assert!(began.elapsed() < Duration::from_secs(30), "the rule is not enforced");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let now = merge.get(&format!("{CRON_TABS}/a")).await.json()["spec"]["replicas"].clone();
    let changed = patch(json!({ "spec": { "cronSpec": "1" }, "metadata": { "labels": { "a": "b" } } })).await;
    assert_eq!((changed.code, &changed.json()["spec"]["replicas"]), (200, &now));
}

#[tokio::test]
async fn rules_that_do_not_compile_or_cost_too_much_are_refused() {
    let server = TestServer::start().await;
    let client = server.admin().with("content-type", "application/json");
    let refused = post(
        &client,
        DEFINITIONS,
        &with_rules(json!([{ "rule": "self.none == 1" }, { "rule": "1 + 1" }, { "rule": "" }])),
    )
    .await;
    assert_eq!(
        causes(&refused),
        [
            "spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[2].rule: Required value: rule is not specified",
        ]
    );
    let refused = causes(
        &post(&client, DEFINITIONS, &with_rules(json!([{ "rule": "self.none == 1" }, { "rule": "1 + 1" }]))).await,
    );
    assert!(refused[0].contains("compilation failed: ERROR: <input>:1:5: undefined field 'none'"), "{refused:?}");
    assert!(refused[1].ends_with("cel expression must evaluate to a bool"), "{refused:?}");
    let mut definition = cron_tabs();
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["list"] = json!({
        "type": "array",
        "items": { "type": "string" },
        "x-kubernetes-validations": [{ "rule": "self.all(x, self.all(y, x == y))" }],
    });
    let refused = causes(&post(&client, DEFINITIONS, &definition).await);
    assert!(refused[0].contains("estimated rule cost exceeds budget by factor of more than 100x"), "{refused:?}");
}
