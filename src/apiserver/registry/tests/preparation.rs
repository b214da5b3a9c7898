//! What becomes of objects of each kind before they are stored: what is dropped, what is kept, and what is counted.

use super::*;
use crate::tree::Tree;

/// Values by dotted path.
type Changes = &'static [(&'static str, &'static str)];

fn changed(mut body: Value, changes: Changes) -> Value {
    changes.iter().for_each(|(path, json)| body.put(path, serde_json::from_str::<Value>(json).unwrap()));
    body
}

fn shown(object: &Value, path: &str) -> String {
    object.pointer(path).map_or("-".into(), Value::to_string)
}

/// Plural, the new object, a pointer, and what is there (a dash is nothing).
#[rustfmt::skip]
const NEW: &[(&str, Changes, &str, &str)] = &[
    ("configmaps", &[("metadata.generation", "7")], "/metadata/generation", "7"),
    ("deployments.apps", &[("metadata.generation", "7")], "/metadata/generation", "1"),
    ("priorityclasses", &[], "/metadata/generation", "1"),
    ("csidrivers", &[], "/metadata/generation", "-"),
    ("servicecidrs", &[], "/metadata/generation", "-"),
    ("ipaddresses", &[], "/metadata/generation", "-"),
    ("horizontalpodautoscalers", &[], "/metadata/generation", "-"),
    ("daemonsets", &[], "/metadata/annotations/deprecated.daemonset.template.generation", r#""1""#),
    ("daemonsets", &[("metadata.annotations", r#"{"deprecated.daemonset.template.generation":"5"}"#)], "/metadata/annotations/deprecated.daemonset.template.generation", r#""5""#),
    ("statefulsets", &[("spec.updateStrategy", r#"{"rollingUpdate":{"maxUnavailable":2}}"#)], "/spec/updateStrategy", r#"{"type":"RollingUpdate","rollingUpdate":{"partition":0}}"#),
    ("serviceaccounts", &[("secrets", r#"[{"name":"s","namespace":"n","kind":"Secret"}]"#)], "/secrets", r#"[{"name":"s"}]"#),
    ("persistentvolumeclaims", &[("spec.dataSource", r#"{"apiGroup":"x.io","kind":"Thing","name":"t"}"#)], "/spec/dataSource", "-"),
    ("persistentvolumeclaims", &[("spec.dataSource", r#"{"apiGroup":"snapshot.storage.k8s.io","kind":"VolumeSnapshot","name":"t"}"#)], "/spec/dataSourceRef/name", r#""t""#),
    ("persistentvolumeclaims", &[("spec.dataSourceRef", r#"{"apiGroup":"x.io","kind":"Thing","name":"t"}"#)], "/spec/dataSource/name", r#""t""#),
    ("persistentvolumeclaims", &[("spec.dataSourceRef", r#"{"apiGroup":"x.io","kind":"Thing","name":"t","namespace":"n"}"#)], "/spec/dataSourceRef", "-"),
    ("endpointslices", &[("endpoints", r#"[{"addresses":["10.1.1.1"],"deprecatedTopology":{"a":"b"}}]"#)], "/endpoints/0/deprecatedTopology", "-"),
    ("services", &[("spec", r#"{"type":"ExternalName","externalName":"a.b","ipFamilyPolicy":""}"#)], "", r#"Service "sample" is invalid: spec.ipFamilyPolicy: Forbidden: may not be set for ExternalName services"#),
    ("poddisruptionbudgets", &[("metadata.labels", r#"{"a":"b c"}"#), ("spec.minAvailable", "-1")], "", r#"PodDisruptionBudget.policy "sample" is invalid: spec.minAvailable: Invalid value: -1: must be greater than or equal to 0"#),
    ("volumeattachments", &[("spec.source", r#"{"inlineVolumeSpec":{"claimRef":{},"accessModes":["ReadWriteOnce"],"csi":{"driver":"d","volumeHandle":"h"}}}"#)], "", r#"VolumeAttachment.storage.k8s.io "sample" is invalid: spec.source.inlineVolumeSpec.claimRef: Forbidden: may not be specified in the context of inline volumes"#),
    ("podtemplates", &[("template.spec.containers", r#"[{"name":"c","image":"i","env":[{"name":"A","valueFrom":{"fileKeyRef":{"volumeName":"v","path":"p","key":"k"}}}]}]"#), ("template.spec.volumes", r#"[{"name":"v","emptyDir":{}}]"#)], "/template/spec/containers/0/env/0/valueFrom/fileKeyRef/optional", "false"),
    ("podtemplates", &[("template.spec.ephemeralContainers", r#"[{"name":"e","image":"i","ports":[],"env":[]}]"#)], "", r#"PodTemplate "sample" is invalid: [template.spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container, template.spec.ephemeralContainers: Forbidden: ephemeral containers not allowed in pod template]"#),
    ("podtemplates", &[("template.spec.resources", r#"{"requests":{"cpu":"1"},"claims":[]}"#)], "", r#"PodTemplate "sample" is invalid: template.spec.resources.claims: Forbidden: claims may not be set for Resources at pod-level"#),
    ("podtemplates", &[("template.spec.resourceClaims", r#"[{"name":"d","resourceClaimName":"d"}]"#), ("template.spec.containers", r#"[{"name":"c","image":"i","resources":{"claims":[{"name":"d"},{"name":"d","request":"x"}]}}]"#)], "", r#"PodTemplate "sample" is invalid: template.spec.containers[0].resources.claims[1]: Duplicate value: "d""#),
    ("podtemplates", &[("template.spec.resourceClaims", r#"[{"name":"d","resourceClaimName":"d"}]"#), ("template.spec.containers", r#"[{"name":"c","image":"i","resources":{"claims":[{"name":"d","request":"x"},{"name":"d","request":"x"},{"name":"d"}]}}]"#)], "", r#"PodTemplate "sample" is invalid: [template.spec.containers[0].resources.claims[1]: Duplicate value: "d/x", template.spec.containers[0].resources.claims[2]: Duplicate value: "d"]"#),
    ("services", &[("spec", r#"{"type":"ExternalName","externalName":"a.b","clusterIP":"None"}"#)], "", r#"Service "sample" is invalid: spec.clusterIPs: Forbidden: may not be set for ExternalName services"#),
    ("services", &[("spec", r#"{"clusterIP":"10.43.7.7","ipFamilies":["IPv6"],"ports":[{"port":80}]}"#)], "", r#"Service "sample" is invalid: spec.clusterIPs[0]: Invalid value: "10.43.7.7": expected an IPv6 value as indicated by `ipFamilies[0]`"#),
    ("volumeattachments", &[("spec.source", r#"{"inlineVolumeSpec":{"volumeMode":"","accessModes":["ReadWriteOnce"],"csi":{"driver":"d","volumeHandle":"h"}}}"#)], "", r#"VolumeAttachment.storage.k8s.io "sample" is invalid: spec.source.inlineVolumeSpec.volumeMode: Forbidden: may not specify volumeMode other than Filesystem in the context of inline volumes"#),
    ("validatingwebhookconfigurations", &[("webhooks", r#"[{"name":"a.b.c","admissionReviewVersions":["v1"],"sideEffects":"None","clientConfig":{"service":{"name":"s","namespace":"n","path":"ü"}}}]"#)], "", r#"ValidatingWebhookConfiguration.admissionregistration.k8s.io "sample" is invalid: [webhooks[0].clientConfig.service.path: Invalid value: "ü": must start with a '/', webhooks[0].clientConfig.service.path: Invalid value: "ü": segment[0]: a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')]"#),
    ("jobs.batch", &[("spec.template.metadata.labels", r#"{"a":"b"}"#)], "/metadata/labels/a", r#""b""#),
    ("jobs.batch", &[("spec.template.metadata.labels", r#"{"a":"b"}"#)], "/metadata/labels/job-name", r#""sample""#),
    ("jobs.batch", &[("spec.template.metadata", "{}")], "/metadata/labels/job-name", r#""sample""#),
    ("jobs.batch", &[("metadata.labels", r#"{"a":"b"}"#), ("spec.template.metadata.labels", r#"{"a":"b"}"#)], "/metadata/labels/job-name", "-"),
    ("nodes", &[("spec.configSource", "{}"), ("status.declaredFeatures", r#"["A"]"#)], "/status/declaredFeatures", "-"),
];

#[tokio::test]
async fn new_objects() {
    let mut wrong = Vec::new();
    for (plural, changes, pointer, expect) in NEW {
        // A server each, because names are taken once.
        let server = server().await;
        let body = changed(sample(&server.row(plural)), changes);
        let got = match server.create(plural, body).await {
            Ok(object) => shown(&object, pointer),
            Err(status) => status.message,
        };
        if got != *expect {
            wrong.push(format!("{plural} {changes:?} {pointer}\n   got {got}\nexpect {expect}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Plural, the new object, the part that is patched, the patch, a pointer, and what is there then.
#[rustfmt::skip]
const CHANGED: &[(&str, Changes, &str, &str, &str, &str)] = &[
    ("deployments.apps", &[], "", r#"{"metadata":{"annotations":{"a":"b"}}}"#, "/metadata/generation", "2"),
    ("namespaces", &[], "status", r#"{"status":null}"#, "/status/phase", r#""Active""#),
    ("deployments.apps", &[], "", r#"{"metadata":{"labels":{"a":"b"}}}"#, "/metadata/generation", "1"),
    ("deployments.apps", &[], "status", r#"{"metadata":{"labels":{"x":"y"},"annotations":{"x":"y"}}}"#, "/metadata/labels/x", "-"),
    ("deployments.apps", &[], "status", r#"{"metadata":{"labels":{"x":"y"},"annotations":{"x":"y"}}}"#, "/metadata/annotations/x", r#""y""#),
    ("deployments.apps", &[], "status", r#"{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"A","name":"a","uid":"1"}]}}"#, "/metadata/ownerReferences/0/name", r#""a""#),
    ("volumeattachments", &[], "status", r#"{"metadata":{"labels":{"x":"y"},"finalizers":["a/b"]}}"#, "/metadata/finalizers", "-"),
    ("flowschemas", &[], "status", r#"{"metadata":{"annotations":{"x":"y"}}}"#, "/metadata/annotations/x", "-"),
    ("priorityclasses", &[], "", r#"{"description":"d"}"#, "/metadata/generation", "1"),
    ("csidrivers", &[], "", r#"{"spec":{"requiresRepublish":true}}"#, "/metadata/generation", "1"),
    ("endpointslices", &[], "", r#"{"metadata":{"labels":{"a":"b"}}}"#, "/metadata/generation", "2"),
    ("endpointslices", &[], "", r#"{"metadata":{"annotations":{"a":"b"}}}"#, "/metadata/generation", "1"),
    ("daemonsets", &[], "", r#"{"spec":{"minReadySeconds":3}}"#, "/metadata/annotations/deprecated.daemonset.template.generation", r#""1""#),
    ("daemonsets", &[], "", r#"{"spec":{"template":{"spec":{"hostPID":true}}},"metadata":{"annotations":null}}"#, "/metadata/annotations/deprecated.daemonset.template.generation", r#""2""#),
    ("configmaps", &[], "", r#"{"metadata":{"deletionTimestamp":"2026-01-01T00:00:00Z"}}"#, "", "ConfigMap \"sample\" is invalid: metadata.deletionTimestamp: Invalid value: \"2026-01-01T00:00:00Z\": field is immutable"),
    ("persistentvolumes", &[], "status", r#"{"status":{"phase":"Bound","lastPhaseTransitionTime":"2026-01-01T00:00:00Z"}}"#, "/status/lastPhaseTransitionTime", r#""2026-01-01T00:00:00Z""#),
    ("networkpolicies", &[("spec", r#"{"podSelector":{}}"#)], "", r#"{"spec":{"ingress":[]}}"#, "/metadata/generation", "2"),
    ("deployments.apps", &[], "", r#"{"spec":{"template":{"spec":{"tolerations":[]}}}}"#, "/metadata/generation", "1"),
    ("validatingwebhookconfigurations", &[("webhooks", "null")], "", r#"{"webhooks":[]}"#, "/metadata/generation", "2"),
    ("csinodes", &[("spec.drivers", r#"[{"name":"d","nodeID":"n"}]"#)], "", r#"{"spec":{"drivers":[{"name":"d","nodeID":"n","topologyKeys":[]}]}}"#, "/spec/drivers/0/name", r#""d""#),
    ("jobs.batch", &[("spec.manualSelector", "true"), ("spec.selector", "{}"), ("spec.template.metadata", "{}")], "", r#"{"spec":{"parallelism":3,"template":{"metadata":null}}}"#, "/spec/parallelism", "3"),
    ("persistentvolumeclaims", &[("spec", r#"{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}"#)], "", r#"{"spec":{"resources":{"limits":{}}}}"#, "/spec/resources", r#"{"requests":{"storage":"1Gi"}}"#),
    ("services", &[("spec.type", r#""LoadBalancer""#)], "", r#"{"spec":{"type":"ClusterIP"}}"#, "/status", r#"{"loadBalancer":{}}"#),
];

#[tokio::test]
async fn changes() {
    let mut wrong = Vec::new();
    for (plural, changes, part, patch, pointer, expect) in CHANGED {
        let server = server().await;
        let body = changed(sample(&server.row(plural)), changes);
        let name = body.text("metadata.name").to_owned();
        let made = server.create(plural, body).await.unwrap();
        if *plural == "services" {
            let status = json!({"status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}});
            server.merge(&format!("services/{name}/status"), status).await.unwrap();
        }
        assert!(pointer.is_empty() || made.is_object());
        let got = match server.merge(&format!("{plural}/{name}/{part}"), serde_json::from_str(patch).unwrap()).await {
            Ok(object) => shown(&object, pointer),
            Err(status) => status.message,
        };
        if got != *expect {
            wrong.push(format!("{plural} {part} {patch} {pointer}\n   got {got}\nexpect {expect}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[tokio::test]
async fn conditions_keep_the_generation_they_observed() {
    let server = server().await;
    server.create("serviceaccounts", json!({"metadata": {"name": "default"}})).await.unwrap();
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    server.create("pods", pod).await.unwrap();
    let ready = |more: Value| {
        let mut condition = json!({"type": "Ready", "status": "True"});
        condition.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"status": {"conditions": [condition]}})
    };
    let mut status = ready(json!({"observedGeneration": 1}));
    status.put("status.observedGeneration", 1);
    server.merge("pods/p/status", status).await.unwrap();
    let kept = server
        .merge(
            "pods/p/status",
            json!({"status": {"observedGeneration": null, "conditions":
        [{"type": "Ready", "status": "False"}]}}),
        )
        .await
        .unwrap();
    assert_eq!(kept["status"]["observedGeneration"], 1);
    assert_eq!(kept["status"]["conditions"][0]["observedGeneration"], 1);
}

#[tokio::test]
async fn a_put_may_create_only_kinds_that_allow_it() {
    let server = server().await;
    for (plural, allowed) in [("runtimeclasses", true), ("resourcequotas", false), ("configmaps", false)] {
        let body = sample(&server.row(plural));
        let path = format!("{plural}/{}", body.text("metadata.name"));
        assert_eq!(server.update(&path, body).await.is_ok(), allowed, "{plural}");
    }
    for plural in
        ["runtimeclasses", "poddisruptionbudgets", "csidrivers", "volumeattachments", "validatingwebhookconfigurations"]
    {
        let body = sample(&server.row(plural));
        let path = format!("{plural}/{}", body.text("metadata.name"));
        let _ = server.create(plural, body.clone()).await;
        let status = server.update(&path, body).await.unwrap_err();
        assert!(
            status.message.ends_with("metadata.resourceVersion: Invalid value: 0: must be specified for an update"),
            "{status}"
        );
    }
}

#[tokio::test]
async fn what_was_wrong_before_is_not_held_against_a_change() {
    let strategy = crate::strategy::of(&server().await.row("deployments.apps"));
    let deployment = |replicas: i64, image: &str| {
        json!({"spec": {"replicas": replicas, "selector": {"matchLabels": {"a": "b"}}, "template": {
            "metadata": {"labels": {"a": "b"}}, "spec": {"restartPolicy": "Always", "dnsPolicy": "ClusterFirst",
            "terminationGracePeriodSeconds": 1, "nodeSelector": {"A b": "c"},
            "containers": [{"name": "c", "image": image, "imagePullPolicy": "Always", "terminationMessagePolicy": "File"}]}}}})
    };
    let check = |new: Value, old: Value, expect: usize| {
        let mut errors = api::validation::field::ErrorList::new();
        strategy.validate_change(&new, &old, &mut errors);
        assert_eq!(errors.len(), expect, "{errors:?}");
    };
    let complaints = |object: &Value| {
        let mut errors = api::validation::field::ErrorList::new();
        (strategy.validate)(object, &mut errors);
        errors.len()
    };
    let old = deployment(1, "i");
    let wrong = complaints(&old);
    assert!(wrong > 0);
    check(deployment(2, "i"), old.clone(), 0);
    check(deployment(-1, "i"), old.clone(), 1);
    check(deployment(1, ""), old, 1);
}
