use super::*;

fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
}

fn binding(node: &str) -> Value {
    json!({"metadata": {"name": "p", "annotations": {"x": "y"}}, "target": {"kind": "Node", "name": node}})
}

/// A server that takes pods, and the pod `p`.
async fn with_pod() -> Server {
    let server = server().await;
    server.create("serviceaccounts", json!({"metadata": {"name": "default"}})).await.unwrap();
    server.create("pods", pod("p")).await.unwrap();
    server
}

#[tokio::test]
async fn a_pod_is_bound_once() {
    let server = with_pod().await;
    let made = server.create("pods/p/binding", binding("n1")).await.unwrap();
    assert_eq!((&made["status"], &made["code"]), (&json!("Success"), &json!(201)));
    let pod = server.get("pods/p").await.unwrap();
    assert_eq!((&pod["spec"]["nodeName"], &pod["metadata"]["annotations"]["x"]), (&json!("n1"), &json!("y")));
    assert_eq!(pod["status"]["conditions"][0]["status"], "True");
    assert_eq!(pod["metadata"]["generation"], 1);
    let status = server.create("bindings", binding("n2")).await.unwrap_err();
    let expect = "Operation cannot be fulfilled on pods/binding \"p\": pod p is already assigned to node \"n1\"";
    assert_eq!((status.code, status.message.as_str()), (409, expect));
}

#[tokio::test]
async fn pods_go_with_grace() {
    let server = with_pod().await;
    // Nobody runs it: it goes at once.
    server.delete("pods/p", DeleteOptions::default()).await.unwrap();
    assert_eq!(server.get("pods/p").await.unwrap_err().code, 404);
    server.create("pods", pod("p")).await.unwrap();
    server.create("pods/p/binding", binding("n1")).await.unwrap();
    let marked = server.delete("pods/p", DeleteOptions::default()).await.unwrap();
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 30);
    assert_eq!(marked["metadata"]["generation"], 2);
    let seconds = |seconds| DeleteOptions { grace_period_seconds: Some(seconds), ..DeleteOptions::default() };
    let longer = server.delete("pods/p", seconds(60)).await.unwrap();
    assert_eq!(longer["metadata"]["resourceVersion"], marked["metadata"]["resourceVersion"]);
    let shorter = server.delete("pods/p", seconds(5)).await.unwrap();
    assert_eq!(shorter["metadata"]["deletionGracePeriodSeconds"], 5);
    assert!(shorter["metadata"]["deletionTimestamp"].as_str() < marked["metadata"]["deletionTimestamp"].as_str());
    // The node agent's last word.
    server.delete("pods/p", seconds(0)).await.unwrap();
    assert_eq!(server.get("pods/p").await.unwrap_err().code, 404);
}

#[tokio::test]
async fn status_and_spec_do_not_mix() {
    let server = with_pod().await;
    let body = json!({"metadata": {"name": "d"}, "spec": {
        "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": pod("x")["spec"]}},
        "status": {"replicas": 7}});
    let made = server.create("deployments", body).await.unwrap();
    assert_eq!((&made["status"], &made["metadata"]["generation"]), (&json!({}), &json!(1)));
    let patch = json!({"spec": {"replicas": 5}, "status": {"replicas": 3}});
    let status = server.merge("deployments/d/status", patch.clone()).await.unwrap();
    assert_eq!((&status["spec"]["replicas"], &status["status"]["replicas"]), (&json!(1), &json!(3)));
    assert_eq!(status["metadata"]["generation"], 1);
    let main =
        server.merge("deployments/d", json!({"spec": {"replicas": 5}, "status": {"replicas": 9}})).await.unwrap();
    assert_eq!((&main["spec"]["replicas"], &main["status"]["replicas"]), (&json!(5), &json!(3)));
    assert_eq!(main["metadata"]["generation"], 2);
}

#[tokio::test]
async fn scales_are_seen_and_set() {
    let server = with_pod().await;
    let body = json!({"metadata": {"name": "d"}, "spec": {
        "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": pod("x")["spec"]}}});
    server.create("deployments", body).await.unwrap();
    let scale = server.get("deployments/d/scale").await.unwrap();
    assert_eq!(
        (&scale["kind"], &scale["spec"]["replicas"], &scale["status"]["selector"]),
        (&json!("Scale"), &json!(1), &json!("a=b"))
    );
    let set = server.merge("deployments/d/scale", json!({"spec": {"replicas": 4}})).await.unwrap();
    assert_eq!((&set["kind"], &set["spec"]["replicas"]), (&json!("Scale"), &json!(4)));
    assert_eq!(server.update("deployments/d/scale", scale).await.unwrap_err().code, 409);
    let unconditional = json!({"metadata": {"name": "d"}, "spec": {"replicas": 2}});
    server.update("deployments/d/scale", unconditional).await.unwrap();
    assert_eq!(server.get("deployments/d").await.unwrap()["spec"]["replicas"], 2);
    let status = server.merge("deployments/d/scale", json!({"spec": {"replicas": -1}})).await.unwrap_err();
    assert_eq!(status.code, 422);
}

#[tokio::test]
async fn budgets_refuse_evictions() {
    let server = with_pod().await;
    server.create("pods/p/binding", binding("n1")).await.unwrap();
    server
        .merge(
            "pods/p/status",
            json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}),
        )
        .await
        .unwrap();
    let budget =
        json!({"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}}});
    server.create("poddisruptionbudgets", budget).await.unwrap();
    let evict = json!({"metadata": {"name": "p"}});
    let status = server.create("pods/p/eviction", evict.clone()).await.unwrap_err();
    assert_eq!((status.code, status.reason.as_str()), (429, "TooManyRequests"));
    let ready = json!({"status": {"observedGeneration": 1, "desiredHealthy": 1, "currentHealthy": 1}});
    server.merge("poddisruptionbudgets/b/status", ready).await.unwrap();
    let status = server.create("pods/p/eviction", evict.clone()).await.unwrap_err();
    let cause = &status.details.unwrap().causes[0];
    assert_eq!(
        (cause.reason.as_str(), cause.message.as_str()),
        ("DisruptionBudget", "The disruption budget b needs 1 healthy pods and has 1 currently")
    );
    server.merge("poddisruptionbudgets/b/status", json!({"status": {"disruptionsAllowed": 1}})).await.unwrap();
    for precondition in ["uid", "resourceVersion"] {
        let mut evict = evict.clone();
        evict["deleteOptions"] = json!({ "preconditions": { precondition: "1" } });
        let status = server.create("pods/p/eviction", evict).await.unwrap_err();
        assert_eq!(status.code, 409, "{}", status.message);
        // It was spent; upstream's controller gives it back when the pod has not gone after a while.
        server
            .merge("poddisruptionbudgets/b/status", json!({"status": {"disruptionsAllowed": 1, "disruptedPods": null}}))
            .await
            .unwrap();
    }
    let mut evict = evict;
    let version = server.get("pods/p").await.unwrap()["metadata"]["resourceVersion"].clone();
    evict["deleteOptions"] = json!({ "preconditions": { "resourceVersion": version } });
    server.create("pods/p/eviction", evict).await.unwrap();
    let pod = server.get("pods/p").await.unwrap();
    assert!(pod["metadata"]["deletionTimestamp"].is_string());
    let conditions = pod["status"]["conditions"].as_array().unwrap();
    let target = conditions.iter().find(|condition| condition["type"] == "DisruptionTarget").unwrap();
    assert_eq!((&target["status"], &target["reason"]), (&json!("True"), &json!("EvictionByEvictionAPI")));
    let budget = server.get("poddisruptionbudgets/b").await.unwrap();
    assert_eq!(budget["status"]["disruptionsAllowed"].as_i64().unwrap_or(0), 0);
    assert!(budget["status"]["disruptedPods"]["p"].is_string());
}

#[tokio::test]
async fn ephemeral_containers_only_come() {
    let server = with_pod().await;
    let add = json!({"spec": {"ephemeralContainers": [{"name": "e", "image": "i"}]}});
    let patch = Operation::Patch(Patch::Strategic(add), WriteOptions::default());
    let pod = server.object("pods/p/ephemeralcontainers", patch).await.unwrap();
    assert_eq!(pod["spec"]["ephemeralContainers"][0]["terminationMessagePolicy"], "File");
    let status =
        server.merge("pods/p/ephemeralcontainers", json!({"spec": {"ephemeralContainers": null}})).await.unwrap_err();
    assert!(status.message.contains("existing ephemeral containers \"e\" may not be removed"), "{}", status.message);
}

#[tokio::test]
async fn resizing_touches_only_resources() {
    let server = with_pod().await;
    let mut body = pod("q");
    body["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "1"}});
    server.create("pods", body).await.unwrap();
    let patch = json!({"spec": {"hostNetwork": true, "containers": [{"name": "c", "image": "other", "resources": {"requests": {"cpu": "2"}}}]}});
    let patch = Operation::Patch(Patch::Strategic(patch), WriteOptions::default());
    let pod = server.object("pods/q/resize", patch).await.unwrap();
    let container = &pod["spec"]["containers"][0];
    assert_eq!((&container["resources"]["requests"]["cpu"], &container["image"]), (&json!("2"), &json!("i")));
    assert_eq!((&pod["metadata"]["generation"], pod["spec"].get("hostNetwork")), (&json!(2), None));
}

#[tokio::test]
async fn namespaces_end_when_they_are_empty() {
    let server = with_pod().await;
    let marked = server.delete("namespaces/a", DeleteOptions::default()).await.unwrap();
    assert_eq!(marked["status"]["phase"], "Terminating");
    let status = server.create("configmaps", config_map("m", "x")).await.unwrap_err();
    let expect =
        "configmaps \"m\" is forbidden: unable to create new content in namespace a because it is being terminated";
    assert_eq!((status.code, status.message.as_str()), (403, expect));
    assert_eq!(status.details.unwrap().causes[0].reason, "NamespaceTerminating");
    // The spec is not the main write's to change.
    server.merge("namespaces/a", json!({"spec": {"finalizers": null}})).await.unwrap();
    let mut namespace = server.get("namespaces/a").await.unwrap();
    namespace["spec"] = json!({});
    server.update("namespaces/a/finalize", namespace).await.unwrap();
    assert_eq!(server.get("namespaces/a").await.unwrap_err().code, 404);
    let status = server.delete("namespaces/kube-system", DeleteOptions::default()).await.unwrap_err();
    let expect = "namespaces \"kube-system\" is forbidden: this namespace may not be deleted";
    assert_eq!((status.code, status.message.as_str()), (403, expect));
}

#[tokio::test]
async fn approvers_approve_and_signers_sign() {
    let server = server().await;
    let body = json!({"metadata": {"name": "r"}, "spec": {
        "request": crate::testing::certificate_request("x", &[]), "signerName": "example.com/x", "usages": ["client auth"], "username": "root"}});
    let made = server.create("certificatesigningrequests", body).await.unwrap();
    assert_eq!(made["spec"]["username"], "alice");
    let (certificate, _) = crate::testing::Ca::new("ca").issue("x", &[], &[]);
    let certificate = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, certificate);
    let approved = json!({"status": {"certificate": "LS0t", "conditions": [{"type": "Approved", "status": "True", "reason": "x"}]}});
    let after = server.merge("certificatesigningrequests/r/approval", approved.clone()).await.unwrap();
    assert_eq!(
        (&after["status"]["conditions"][0]["type"], after["status"].get("certificate")),
        (&json!("Approved"), None)
    );
    let refused = |status: Status, why: &str| assert!(status.message.contains(why), "{}", status.message);
    let taking = json!({"status": {"certificate": certificate, "conditions": null}});
    let status = server.merge("certificatesigningrequests/r/status", taking).await.unwrap_err();
    refused(status, "updates may not remove a condition of type \"Approved\"");
    let denied = json!({"status": {"conditions": [{"type": "Approved", "status": "True"}, {"type": "Denied", "status": "True"}]}});
    let status = server.merge("certificatesigningrequests/r/status", denied).await.unwrap_err();
    refused(status, "status.conditions: Forbidden: updates may not add a condition of type \"Denied\"");
    let signed = json!({"status": {"certificate": certificate}});
    let after = server.merge("certificatesigningrequests/r/status", signed).await.unwrap();
    assert_eq!(after["status"]["certificate"], certificate);
    let again = json!({"status": {"certificate": null}});
    let status = server.merge("certificatesigningrequests/r/status", again).await.unwrap_err();
    refused(status, "status.certificate: Forbidden: updates may not modify existing certificate content");
    assert_eq!(after["status"]["conditions"][0]["type"], "Approved");
    let more = json!({"metadata": {"annotations": {"a": "b"}}, "status": {"conditions": [
        {"type": "Approved", "status": "True"}, {"type": "Other", "status": "True", "reason": "e2e"}]}});
    let after = server.merge("certificatesigningrequests/r/approval", more).await.unwrap();
    assert_eq!(
        (&after["metadata"]["annotations"]["a"], &after["status"]["conditions"][1]["type"]),
        (&json!("b"), &json!("Other"))
    );
    let none = json!({"status": {"conditions": null}});
    let status = server.merge("certificatesigningrequests/r/approval", none).await.unwrap_err();
    assert!(status.message.contains("updates may not remove a condition of type \"Approved\""), "{}", status.message);
}

#[tokio::test]
async fn services_get_and_give_back() {
    let server = server().await;
    let mut kubernetes = server.request("services/kubernetes", Operation::Get { resource_version: None });
    kubernetes.namespace = "default".into();
    let Reply::Object { object, .. } = server.registry.call(&kubernetes).await.unwrap() else { panic!("no object") };
    assert_eq!(object.to_value().unwrap()["spec"]["clusterIP"], "10.43.0.1");
    let body = |name: &str, address: &str| json!({"metadata": {"name": name}, "spec": {"clusterIP": address, "ports": [{"port": 80}]}});
    let made = server.create("services", body("s", "")).await.unwrap();
    let address = made["spec"]["clusterIP"].as_str().unwrap().to_owned();
    assert_eq!(server.create("services", body("t", &address)).await.unwrap_err().code, 422);
    server.delete("services/s", DeleteOptions::default()).await.unwrap();
    server.create("services", body("t", &address)).await.unwrap();
    let node = server.merge("services/t", json!({"spec": {"type": "NodePort"}})).await.unwrap();
    assert_eq!(node["spec"]["clusterIP"], address);
    let port = node["spec"]["ports"][0]["nodePort"].as_i64().unwrap();
    let mut body = body("t", "");
    body["spec"]["type"] = "NodePort".into();
    let same = server.update("services/t", body).await.unwrap();
    assert_eq!((&same["spec"]["clusterIP"], &same["spec"]["ports"][0]["nodePort"]), (&json!(address), &json!(port)));
    let external = json!({"spec": {"type": "ExternalName", "externalName": "example.com", "ports": null}});
    let external = server.merge("services/t", external).await.unwrap();
    assert_eq!(external["spec"].get("clusterIP"), None);
}

#[tokio::test]
async fn bindings_and_evictions_name_their_pod() {
    let server = with_pod().await;
    let of = |name: &str, namespace: &str, target: Value| json!({"metadata": {"name": name, "namespace": namespace}, "target": target});
    let node = json!({"kind": "Node", "name": "n1"});
    let mut stale = of("p", "", node.clone());
    stale["metadata"]["resourceVersion"] = json!("1");
    let elsewhere = "the namespace of the provided object does not match the namespace sent on the request";
    for (path, body, code, why) in [
        ("pods/p/binding", of("", "", node.clone()), 400, "name in URL does not match name in Binding object"),
        ("pods/p/binding", of("q", "", node.clone()), 400, "name in URL does not match name in Binding object"),
        ("pods/p/binding", of("p", "other", node.clone()), 400, elsewhere),
        ("bindings", of("", "", node), 400, "Name parameter required."),
        ("pods/p/binding", of("p", "", json!({"name": ""})), 500, "target.name: Required value"),
        ("pods/p/binding", stale, 409, "Precondition failed: ResourceVersion in precondition: 1, "),
        ("pods/p/eviction", json!({"metadata": {}}), 400, "name in URL does not match name in Eviction object"),
        ("pods/p/eviction", json!({"metadata": {"name": "p", "namespace": "other"}}), 400, elsewhere),
        (
            "pods/p/eviction",
            json!({"metadata": {"name": "p"}, "deleteOptions": {"propagationPolicy": "x"}}),
            422,
            "propagationPolicy: Unsupported value: \"x\"",
        ),
    ] {
        let status = server.create(path, body.clone()).await.unwrap_err();
        assert!(status.code == code && status.message.contains(why), "{body}: {status}");
    }
}

#[tokio::test]
async fn devices_are_used_as_an_administrator_where_the_namespace_lets_it_be() {
    let server = server().await;
    let request = |admin: bool| {
        let exactly = json!({"deviceClassName": "gpu", "adminAccess": admin});
        json!({"devices": {"requests": [{"name": "r", "exactly": exactly}]}})
    };
    let claim = |name: &str, admin: bool| json!({"metadata": {"name": name}, "spec": request(admin)});
    let template = json!({"metadata": {"name": "t"}, "spec": {"spec": request(true)}});
    let got = json!({"status": {"allocation": {"devices": {"results": [
        {"request": "r", "driver": "d.io", "pool": "p", "device": "d", "adminAccess": true},
    ]}}}});
    server.create("resourceclaims", claim("plain", false)).await.unwrap();
    let why = "adminAccess: Forbidden: admin access to devices requires the `resource.kubernetes.io/admin-access: true` \
               label on the containing namespace";
    for (status, place) in [
        (server.create("resourceclaims", claim("c", true)).await, "spec.devices.requests[0]"),
        (server.create("resourceclaimtemplates", template.clone()).await, "spec.devices.requests[0]"),
        (server.merge("resourceclaims/plain/status", got.clone()).await, "status.allocation.devices.results[0]"),
    ] {
        let message = status.unwrap_err().message;
        assert!(message.ends_with(&format!("{place}.{why}")), "{message}");
    }
    let label = json!({"metadata": {"labels": {"resource.kubernetes.io/admin-access": "true"}}});
    server.merge("namespaces/a", label).await.unwrap();
    server.create("resourceclaims", claim("c", true)).await.unwrap();
    server.create("resourceclaimtemplates", template).await.unwrap();
    server.merge("resourceclaims/plain/status", got).await.unwrap();
}
