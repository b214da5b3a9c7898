//! Answers that are none, and versions that are gone.

use super::*;

/// A webhook's answer as text, with its parts put in: the review's version and uid, and the objects converted.
fn told(text: &str, request: &Value, version: &str) -> String {
    let objects = each(rename)(request, version).unwrap()["response"]["convertedObjects"].to_string();
    let uid = request["uid"].to_string();
    text.replace("VERSION", version).replace("UID", &uid).replace("OBJECTS", &objects)
}

#[tokio::test]
async fn answers_are_read_as_go_reads_them() {
    let world = World::new(&["v1"]).await;
    assert_eq!(world.create("v1beta1", "a").await.code, 201);
    const META: &str = r#"Go value of type struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;
    const HEAD: &str = r#""apiVersion":"apiextensions.k8s.io/VERSION","kind":"ConversionReview""#;
    const DONE: &str = r#""uid":UID,"result":{"status":"Success"}"#;
    let review = |response: &str| format!("{{{HEAD},\"response\":{response}}}");
    let done = |objects: &str| review(&format!("{{{DONE},\"convertedObjects\":{objects}}}"));
    let unreadable = "failed: couldn't get version/kind; json parse error: ";
    let of_kind = |said: &str| format!("{{{said},\"response\":{{{DONE},\"convertedObjects\":OBJECTS}}}}");
    let unregistered = |kind: &str, version: &str| {
        format!(
            "failed: no kind \"{kind}\" is registered for version \"{version}\" in scheme \"pkg/runtime/scheme.go:111\""
        )
    };
    let response = |place: &str| format!("failed: json: cannot unmarshal string into Go struct field {place}");
    let rows: &[(&str, String, String)] = &[
        ("v1", String::new(), "failed: 0-length response with status code: 200 and content type: application/json".into()),
        ("v1", "hello".into(), format!("{unreadable}json: cannot unmarshal string into {META}")),
        ("v1", "[]".into(), format!("{unreadable}json: cannot unmarshal array into {META}")),
        ("v1", "null".into(), "failed: expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got /, Kind=".into()),
        ("v1", format!("{} trailing", done("OBJECTS")), format!("{unreadable}invalid character 't' after top-level value")),
        ("v1", format!("{{{HEAD}"), format!("{unreadable}unexpected end of JSON input")),
        ("v1", format!("{{{HEAD}}}"), "failed: no response provided".into()),
        ("v1", done("\"x\""), response("ConversionResponse.response.convertedObjects of type []runtime.RawExtension")),
        ("v1", review(r#"{"uid":UID,"result":"Success"}"#), response("ConversionResponse.response.result of type v1.Status")),
        ("v1", review("\"x\""), response("ConversionReview.response of type v1.ConversionResponse")),
        ("v1beta1", review("\"x\""), response("ConversionReview.response of type v1beta1.ConversionResponse")),
        ("v1", done("OBJECTS").replace("ConversionReview", "AdmissionReview"), unregistered("AdmissionReview", "apiextensions.k8s.io/v1")),
        ("v1beta1", of_kind(r#""apiVersion":"v1","kind":"ConversionReview""#), unregistered("ConversionReview", "v1")),
        ("v1beta1", of_kind(r#""apiVersion":"apiextensions.k8s.io/v1""#), "failed: converting (v1.ConversionReview) to (v1beta1.ConversionReview): unknown conversion".into()),
        ("v1", of_kind(r#""apiVersion":"v1","kind":"Status""#), "failed: converting (v1.Status) to (v1.ConversionReview): unknown conversion".into()),
        ("v1", done("[null]"), "unexpected end of JSON input".into()),
        ("v1", done("[\"x\"]"), "json: cannot unmarshal string into Go value of type map[string]interface {}".into()),
        ("v1", done("[{\"a\": 1}]"), "Object 'Kind' is missing in '{\"a\": 1}'".into()),
        ("v1", done(r#"[{"apiVersion":"x/v1","kind":"MultiVersion"}]"#), "returned invalid object at index 0: invalid groupVersion (expected stable.example.com/v1beta2, received x/v1)".into()),
        ("v1", done(r#"[{"apiVersion":"stable.example.com/v1beta2","kind":"Other"}]"#), "returned invalid object at index 0: invalid kind (expected MultiVersion, received Other)".into()),
    ];
    let mut asked = "v1";
    for (review, text, expect) in rows {
        if *review != asked {
            world.redefine(|definition| definition["spec"]["conversion"] = world.conversion(&[review])).await;
            asked = review;
        }
        let text = text.clone();
        world.answer_text(move |request, version| told(&text, request, version));
        for path in [path("v1beta2", "/a"), path("v1beta2", "")] {
            let answer = world.client.get(&path).await;
            let message = answer.json()["message"].as_str().unwrap_or_default().to_owned();
            let bare = ["Object", "json:", "unexpected"].iter().any(|begin| expect.starts_with(begin));
            let of = if bare { "" } else { "conversion webhook for stable.example.com/v1beta1, Kind=MultiVersion " };
            assert_eq!((answer.code, message), (500, format!("{of}{expect}")));
        }
    }
}

#[tokio::test]
async fn what_was_stored_in_a_version_that_is_gone_cannot_be_read() {
    for strategy in ["None", "Webhook"] {
        let world = World::new(&["v1"]).await;
        world.store_in("v1alpha1").await;
        assert_eq!(world.create("v1alpha1", "old").await.code, 201);
        world.store_in("v1beta1").await;
        assert_eq!(world.create("v1beta1", "new").await.code, 201);
        let merge = world.server.admin().with("content-type", "application/merge-patch+json");
        let stored = json!({ "status": { "storedVersions": ["v1beta1"] } });
        assert_eq!(merge.send(&format!("PATCH {DEFINITION}/status"), stored.to_string()).await.code, 200);
        world
            .redefine(|definition| {
                definition["spec"]["versions"].as_array_mut().unwrap().retain(|version| version["name"] != "v1alpha1");
                if strategy == "None" {
                    definition["spec"]["conversion"] = json!({ "strategy": "None" });
                }
            })
            .await;
        for (path, code) in [(path("v1beta1", "/old"), 500), (path("v1beta1", ""), 500), (path("v1beta1", "/new"), 200)]
        {
            let answer = world.client.get(&path).await;
            assert_eq!(answer.code, code, "{}", answer.text());
            let message = "request to convert CR from an invalid group/version: stable.example.com/v1alpha1";
            assert!(code == 200 || answer.json()["message"] == message, "{}", answer.text());
        }
    }
}
