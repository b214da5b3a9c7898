//! What definitions may say, and what becomes of their names.

use super::*;

fn with(change: impl FnOnce(&mut Value)) -> Value {
    let mut definition = cron_tabs();
    change(&mut definition);
    definition
}

#[tokio::test]
async fn definitions_are_validated_in_upstreams_words() {
    let server = TestServer::start().await;
    let client = server.admin().with("content-type", "application/json");
    let client = &client;
    let check = |change: fn(&mut Value), expect: &'static [&'static str]| async move {
        let refused = post(client, DEFINITIONS, &with(change)).await;
        assert_eq!(refused.code, 422, "{}", refused.text());
        let status = refused.json();
        let texts: Vec<String> = status
            .items("details.causes")
            .iter()
            .map(|cause| format!("{}: {}", cause.text("field"), cause.text("message")))
            .collect();
        assert_eq!(texts, expect);
    };
    check(
        |d| d["metadata"]["name"] = json!("x.stable.example.com"),
        &["metadata.name: Invalid value: \"x.stable.example.com\": must be spec.names.plural+\".\"+spec.group"],
    )
    .await;
    check(
        |d| d["spec"]["scope"] = json!("Global"),
        &["spec.scope: Unsupported value: \"Global\": supported values: \"Cluster\", \"Namespaced\""],
    )
    .await;
    check(|d| d["spec"]["versions"][0]["subresources"]["scale"]["specReplicasPath"] = json!(".status.replicas"), &[
        "spec.subresources.scale.specReplicasPath: Invalid value: \".status.replicas\": should be a json path under .spec",
    ])
    .await;
    check(|d| d["spec"]["versions"][0]["additionalPrinterColumns"][0]["type"] = json!("text"), &[
        "spec.additionalPrinterColumns[0].type: Invalid value: \"text\": must be one of boolean,date,integer,number,string",
    ])
    .await;
    check(|d| d["spec"]["versions"][0]["selectableFields"] = json!([{ "jsonPath": ".spec.none" }]), &[
        "spec.selectableFields[0].jsonPath: Invalid value: \".spec.none\": is an invalid path: does not refer to a valid field",
    ])
    .await;
    check(|d| d["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["image"]["default"] = json!(1), &[
        "spec.validation.openAPIV3Schema.properties[spec].properties[image].default: Invalid value: \"integer\":  in body must be of type string: \"integer\"",
    ])
    .await;
    check(|d| d["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["list"] = json!({ "type": "array", "x-kubernetes-list-type": "map" }), &[
        "spec.validation.openAPIV3Schema.properties[spec].properties[list].items: Required value: must be specified",
        "spec.validation.openAPIV3Schema.properties[spec].properties[list].x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map",
        "spec.validation.openAPIV3Schema.properties[spec].properties[list].items: Required value: must have a schema if x-kubernetes-list-type is map",
    ])
    .await;
    check(|d| d["spec"]["conversion"] = json!({ "strategy": "Webhook", "webhook": { "conversionReviewVersions": ["v2"], "clientConfig": { "url": "http://x" } } }), &[
        "spec.conversion.webhookClientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: https://host[/path]",
        "spec.conversion.conversionReviewVersions: Invalid value: [\"v2\"]: must include at least one of v1, v1beta1",
    ])
    .await;
}

#[tokio::test]
async fn names_belong_to_whoever_came_first() {
    let (_server, client) = with_cron_tabs().await;
    let other = with(|d| {
        d["metadata"]["name"] = json!("others.stable.example.com");
        d["spec"]["names"] = json!({ "plural": "others", "kind": "Other", "shortNames": ["ct"] });
    });
    post(&client, DEFINITIONS, &other).await;
    let path = format!("{DEFINITIONS}/others.stable.example.com");
    let refused = until(&client, &path, |answer| condition(&answer.json(), "NamesAccepted").is_some()).await.json();
    let names = condition(&refused, "NamesAccepted").unwrap();
    assert_eq!((names.text("reason"), names.text("message")), ("ShortNamesConflict", "\"ct\" is already in use"));
    assert_eq!(condition(&refused, "Established").unwrap()["reason"], "NotAccepted");
    assert_eq!(client.get("/apis/stable.example.com/v1/others").await.code, 404);
    client.send(&format!("DELETE {DEFINITIONS}/crontabs.stable.example.com"), "").await;
    until(&client, &path, |answer| condition(&answer.json(), "Established").is_some_and(|c| c["status"] == "True"))
        .await;
    assert_eq!(client.get("/apis/stable.example.com/v1/others").await.code, 200);
}

#[tokio::test]
async fn groups_of_the_community_are_approved() {
    let server = TestServer::start().await;
    let client = server.admin().with("content-type", "application/json");
    let mut definition = with(|d| {
        d["metadata"]["name"] = json!("crontabs.stable.k8s.io");
        d["spec"]["group"] = json!("stable.k8s.io");
    });
    let refused = post(&client, DEFINITIONS, &definition).await;
    assert_eq!(refused.json()["details"]["causes"][0]["field"], "metadata.annotations[api-approved.kubernetes.io]");
    definition["metadata"]["annotations"] = json!({ "api-approved.kubernetes.io": "unapproved, a test" });
    let made = establish(&client, &definition).await;
    let approval = condition(&made, "KubernetesAPIApprovalPolicyConformant").unwrap();
    assert_eq!((approval.text("status"), approval.text("reason")), ("False", "UnapprovedAnnotation"));
}
