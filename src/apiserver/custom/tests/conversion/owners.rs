//! Who owns fields that versions call otherwise.

use super::*;

impl World {
    async fn apply(&self, version: &str, manager: &str, fields: Value, force: bool) -> Answer {
        let mut body = fields;
        body["apiVersion"] = format!("stable.example.com/{version}").into();
        body["kind"] = "MultiVersion".into();
        body["metadata"] = json!({ "name": "a" });
        let apply = self.server.admin().with("content-type", "application/apply-patch+yaml");
        let path = path(version, &format!("/a?fieldManager={manager}&force={force}"));
        apply.send(&format!("PATCH {path}"), body.to_string()).await
    }
}

/// The fields of a manager.
fn fields<'v>(object: &'v Value, manager: &str) -> Option<&'v Value> {
    let entry = object.items("metadata.managedFields").iter().find(|entry| entry.text("manager") == manager);
    entry.map(|entry| &entry["fieldsV1"])
}

#[tokio::test]
async fn a_renamed_field_has_its_owner_at_every_version() {
    let world = World::new(&["v1"]).await;
    let first = json!({ "content": { "key": "one" }, "num": { "num1": 1 } });
    let made = world.apply("v1beta1", "one", first, false).await;
    assert_eq!(made.code, 201, "{}", made.text());
    let again = world.apply("v1beta1", "two", json!({ "num": { "num2": 2 } }), false).await;
    assert_eq!((again.code, world.asked.lock().len()), (200, 0), "nobody is asked as long as all are at one version");

    let refused = world.apply("v1beta2", "three", json!({ "contentv2": { "key": "three" } }), false).await;
    assert_eq!(refused.code, 409, "{}", refused.text());
    let cause = &refused.json()["details"]["causes"][0];
    assert_eq!((cause.text("message"), cause.text("field")), ("conflict with \"one\"", ".content.key"));
    // What agrees is shared.
    let shared = world.apply("v1beta2", "three", json!({ "contentv2": { "key": "one" } }), false).await.json();
    assert_eq!(fields(&shared, "one").unwrap()["f:content"], json!({ "f:key": {} }));
    assert_eq!(fields(&shared, "three"), Some(&json!({ "f:contentv2": { "f:key": {} } })));
    let forced = world.apply("v1beta2", "three", json!({ "contentv2": { "key": "three" } }), true).await.json();
    assert_eq!(fields(&forced, "one"), Some(&json!({ "f:num": { "f:num1": {} } })));
    assert_eq!(forced["numv2"], json!({ "num1": 1, "num2": 2 }));

    // Updates take fields, too.
    let query = format!("{}?fieldManager=four", path("v1beta2", "/a"));
    let changed = world.patch(&query, json!({ "numv2": { "num1": 4 } })).await.json();
    assert_eq!(fields(&changed, "one"), None);
    assert_eq!(fields(&changed, "four"), Some(&json!({ "f:numv2": { "f:num1": {} } })));
}

#[tokio::test]
async fn who_applies_less_at_another_version_gives_up_the_rest() {
    let world = World::new(&["v1"]).await;
    let first = json!({ "content": { "key": "one" }, "num": { "num1": 1, "num2": 2 } });
    assert_eq!(world.apply("v1beta1", "one", first, false).await.code, 201);
    assert_eq!(world.apply("v1alpha1", "two", json!({ "num": { "num2": 2 } }), false).await.code, 200);
    let less = world.apply("v1beta2", "one", json!({ "contentv2": { "key": "one" } }), false).await.json();
    // What somebody else applies stays.
    assert_eq!((&less["contentv2"]["key"], &less["numv2"]), (&json!("one"), &json!({ "num2": 2 })), "{less}");
    assert_eq!(fields(&less, "one"), Some(&json!({ "f:contentv2": { "f:key": {} } })));
}

#[tokio::test]
async fn without_a_conversion_an_apply_fails_and_an_update_forgets_the_owners() {
    let world = World::new(&["v1"]).await;
    assert_eq!(world.apply("v1beta2", "one", json!({ "contentv2": { "key": "one" } }), false).await.code, 201);
    world.answer_with(|_, _| Err(500));
    let refused = world.apply("v1beta1", "two", json!({ "num": { "num1": 1 } }), false).await;
    assert_eq!(refused.code, 500);
    let message = refused.json()["message"].as_str().unwrap().to_owned();
    assert!(
        message.starts_with("conversion webhook for stable.example.com/v1beta1, Kind=MultiVersion failed: "),
        "{message}"
    );
    let changed = world.patch(&path("v1beta1", "/a"), json!({ "num": { "num1": 1 } })).await;
    assert_eq!((changed.code, changed.json()["metadata"].get("managedFields")), (200, None), "{}", changed.text());
}
