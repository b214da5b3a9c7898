//! Plugins, driven through the registry.

use std::sync::Arc;

use api::{DeleteOptions, Operation, Reply, Request, User, WriteOptions};
use serde_json::{Value, json};

use crate::registry::tests::{Server, server};
use crate::tree::Tree;

fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
}

async fn with_account() -> Server {
    let server = server().await;
    let account = json!({"metadata": {"name": "default"}, "imagePullSecrets": [{"name": "pull"}]});
    server.create("serviceaccounts", account).await.unwrap();
    server
}

#[tokio::test]
async fn pods_get_an_account_a_token_and_tolerations() {
    let server = with_account().await;
    let made = server.create("pods", pod("p")).await.unwrap();
    assert_eq!((made.text("spec.serviceAccountName"), made.text("spec.serviceAccount")), ("default", "default"));
    assert_eq!(made["spec"]["imagePullSecrets"], json!([{"name": "pull"}]));
    let volume = &made["spec"]["volumes"][0];
    assert!(volume.text("name").starts_with("kube-api-access-"));
    assert_eq!(
        volume["projected"]["sources"][0]["serviceAccountToken"],
        json!({"expirationSeconds": 3607, "path": "token"})
    );
    let mount = &made["spec"]["containers"][0]["volumeMounts"][0];
    assert_eq!((mount.text("name"), mount.truth("readOnly")), (volume.text("name"), true));
    assert_eq!(made["spec"]["tolerations"].as_array().unwrap().len(), 2);
    assert_eq!((made.int("spec.priority"), made.text("spec.preemptionPolicy")), (Some(0), "PreemptLowerPriority"));
    let mut without = pod("q");
    without["spec"]["automountServiceAccountToken"] = false.into();
    assert!(server.create("pods", without).await.unwrap()["spec"].get("volumes").is_none());
    let mut other = pod("r");
    other["spec"]["serviceAccountName"] = "nobody".into();
    let status = server.create("pods", other).await.unwrap_err();
    let expect =
        "pods \"r\" is forbidden: error looking up service account a/nobody: serviceaccount \"nobody\" not found";
    assert_eq!((status.code, status.message.as_str()), (403, expect));
}

#[tokio::test]
async fn a_pod_waits_for_the_default_account_of_a_new_namespace() {
    let server = server().await;
    let account = json!({"metadata": {"name": "default"}});
    let (pod, account) = tokio::join!(server.create("pods", pod("p")), server.create("serviceaccounts", account));
    account.unwrap();
    pod.unwrap();
}

#[tokio::test]
async fn classes_become_numbers() {
    let server = with_account().await;
    let mut critical = pod("p");
    critical["spec"]["priorityClassName"] = "system-node-critical".into();
    assert_eq!(server.create("pods", critical).await.unwrap().int("spec.priority"), Some(2_000_001_000));
    server
        .create("priorityclasses", json!({"metadata": {"name": "d"}, "value": 7, "globalDefault": true}))
        .await
        .unwrap();
    server.registry.catch_up().await.unwrap();
    let made = server.create("pods", pod("q")).await.unwrap();
    assert_eq!((made.text("spec.priorityClassName"), made.int("spec.priority")), ("d", Some(7)));
    let status =
        server.create("priorityclasses", json!({"metadata": {"name": "e"}, "value": 7, "globalDefault": true})).await;
    assert!(status.unwrap_err().message.contains("PriorityClass d is already marked as default"));
    let mut missing = pod("r");
    missing["spec"]["priorityClassName"] = "x".into();
    let status = server.create("pods", missing).await.unwrap_err();
    assert_eq!(status.message, "pods \"r\" is forbidden: no PriorityClass with name x was found");
    for (metadata, expect) in [(json!({"generateName": "r-"}), "r-"), (json!({}), "Unknown")] {
        let mut unnamed = pod("r");
        unnamed["spec"]["priorityClassName"] = "x".into();
        unnamed["metadata"] = metadata;
        let status = server.create("pods", unnamed).await.unwrap_err();
        assert_eq!(status.message, format!("pods \"{expect}\" is forbidden: no PriorityClass with name x was found"));
    }
}

#[tokio::test]
async fn limits_fill_in_and_refuse() {
    let server = with_account().await;
    let limits =
        json!([{"type": "Container", "default": {"cpu": "500m"}, "max": {"cpu": "1"}, "min": {"cpu": "100m"}}]);
    server.create("limitranges", json!({"metadata": {"name": "l"}, "spec": {"limits": limits}})).await.unwrap();
    server.registry.catch_up().await.unwrap();
    let made = server.create("pods", pod("p")).await.unwrap();
    let resources = &made["spec"]["containers"][0]["resources"];
    assert_eq!(*resources, json!({"requests": {"cpu": "500m"}, "limits": {"cpu": "500m"}}));
    assert_eq!(
        made["metadata"]["annotations"]["kubernetes.io/limit-ranger"],
        "LimitRanger plugin set: cpu request for container c; cpu limit for container c"
    );
    let mut greedy = pod("q");
    greedy["spec"]["containers"][0]["resources"] = json!({"limits": {"cpu": "2"}});
    let status = server.create("pods", greedy).await.unwrap_err();
    let expect = "pods \"q\" is forbidden: maximum cpu usage per Container is 1, but limit is 2";
    assert_eq!((status.code, status.message.as_str()), (403, expect));
}

#[tokio::test]
async fn limits_bound_whole_pods_and_claims() {
    let server = with_account().await;
    let limits = json!([
        {"type": "Pod", "max": {"cpu": "2"}, "maxLimitRequestRatio": {"cpu": "2"}},
        {"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}},
    ]);
    server.create("limitranges", json!({"metadata": {"name": "l"}, "spec": {"limits": limits}})).await.unwrap();
    server.registry.catch_up().await.unwrap();
    let sized = |request: &str, limit: &str| json!({"requests": {"cpu": request}, "limits": {"cpu": limit}});
    let refused = async |what: &str, body: Value| match server.create(what, body).await {
        Ok(_) => "taken".to_owned(),
        Err(status) => {
            status.message.split_once("is forbidden: ").map(|(_, why)| why.to_owned()).unwrap_or(status.message)
        }
    };
    let mut with_sidecar = pod("p");
    with_sidecar["spec"]["containers"][0]["resources"] = sized("1", "1");
    with_sidecar["spec"]["initContainers"] =
        json!([{"name": "s", "image": "i", "restartPolicy": "Always", "resources": sized("1500m", "1500m")}]);
    assert_eq!(refused("pods", with_sidecar).await, "maximum cpu usage per Pod is 2, but limit is 2500m");
    let mut eager = pod("p");
    eager["spec"]["containers"][0]["resources"] = sized("500m", "1500m");
    let expect = "cpu max limit to request ratio per Pod is 2, but provided ratio is 3.000000";
    assert_eq!(refused("pods", eager).await, expect);
    let mut whole = pod("whole");
    whole["spec"]["resources"] = sized("1", "2");
    assert_eq!(refused("pods", whole).await, "taken");
    let claim = |size: &str| {
        let resources = json!({"requests": {"storage": size}, "limits": {"storage": "9Gi"}});
        json!({"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": resources}})
    };
    for (size, expect) in [
        ("512Mi", "minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 512Mi"),
        ("3Gi", "maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi"),
        ("2Gi", "taken"),
    ] {
        assert_eq!(refused("persistentvolumeclaims", claim(size)).await, expect);
    }
}

#[tokio::test]
async fn quotas_count_exactly() {
    let server = with_account().await;
    let hard = json!({"pods": "3", "requests.cpu": "2"});
    server.create("resourcequotas", json!({"metadata": {"name": "q"}, "spec": {"hard": hard}})).await.unwrap();
    server.merge("resourcequotas/q/status", json!({"status": {"hard": hard}})).await.unwrap();
    server.registry.catch_up().await.unwrap();
    let status = server.create("pods", pod("p")).await.unwrap_err();
    assert_eq!(status.message, "pods \"p\" is forbidden: failed quota: q: must specify requests.cpu for: c");
    let sized = |name: String| {
        let mut pod = pod(&name);
        pod["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "500m"}});
        pod
    };
    let all = (0..8).map(|n| server.create("pods", sized(format!("p{n}"))));
    let made = futures::future::join_all(all).await.into_iter().filter(Result::is_ok).count();
    assert_eq!(made, 3);
    let status = server.create("pods", sized("last".into())).await.unwrap_err();
    assert_eq!(
        status.message,
        "pods \"last\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=3, limited: pods=3"
    );
    let spent = server.get("resourcequotas/q").await.unwrap();
    assert_eq!(spent["status"]["used"], json!({"pods": "3", "requests.cpu": "1500m"}));
    let own = spent.items("metadata.managedFields").iter().find(|entry| entry.text("manager") == "kube-apiserver");
    assert_eq!(own.map(|entry| entry.text("subresource")), Some("status"));
}

#[tokio::test]
async fn storage_is_classed_and_protected() {
    let server = server().await;
    let class = json!({"metadata": {"name": "fast", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}, "provisioner": "x.io/p"});
    server.create("storageclasses", class).await.unwrap();
    server.registry.catch_up().await.unwrap();
    let claim = |name: &str| json!({"metadata": {"name": name}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    let made = server.create("persistentvolumeclaims", claim("c")).await.unwrap();
    assert_eq!(
        (made.text("spec.storageClassName"), &made["metadata"]["finalizers"]),
        ("fast", &json!(["kubernetes.io/pvc-protection"]))
    );
    let class = json!({"metadata": {"name": "gold"}, "driverName": "x.io", "parameters": {"iops": "1"}});
    let made = server.create("volumeattributesclasses", class).await.unwrap();
    assert_eq!(made["metadata"]["finalizers"], json!(["kubernetes.io/vac-protection"]));
    let mut none = claim("d");
    none["spec"]["storageClassName"] = "".into();
    assert_eq!(server.create("persistentvolumeclaims", none).await.unwrap().text("spec.storageClassName"), "");
}

#[tokio::test]
async fn nodes_write_about_themselves() {
    let server = with_account().await;
    let call = async |path: &str, operation: Operation| {
        let request = Request {
            user: Arc::new(User::new("system:node:n1", [api::user::NODES])),
            ..server.request(path, operation)
        };
        server.registry.call(&request).await.map(drop).map_err(|status| status.message)
    };
    let create = |body: Value| Operation::Create(body, WriteOptions::default());
    call("nodes", create(json!({"metadata": {"name": "n1"}}))).await.unwrap();
    assert_eq!(server.get("nodes/n1").await.unwrap()["spec"]["taints"][0]["key"], "node.kubernetes.io/not-ready");
    let other = call("nodes", create(json!({"metadata": {"name": "n2"}}))).await.unwrap_err();
    assert_eq!(other, "nodes \"n2\" is forbidden: node \"n1\" is not allowed to modify node \"n2\"");
    assert!(call("pods", create(pod("p"))).await.unwrap_err().contains("can only create mirror pods"));
    server.create("pods", pod("p")).await.unwrap();
    let delete = Operation::Delete(DeleteOptions::default());
    assert!(
        call("pods/p", delete.clone())
            .await
            .unwrap_err()
            .contains("can only delete pods with spec.nodeName set to itself")
    );
    server.create("pods/p/binding", json!({"metadata": {"name": "p"}, "target": {"name": "n1"}})).await.unwrap();
    call("pods/p", delete).await.unwrap();
    let label = json!({"metadata": {"labels": {"node-restriction.kubernetes.io/x": "y"}}});
    let patch = Operation::Patch(api::Patch::Merge(label), WriteOptions::default());
    assert!(call("nodes/n1", patch).await.unwrap_err().contains("is not allowed to modify labels"));
    let request = |name: &str| {
        let request = crate::testing::certificate_request(name, &["system:nodes"]);
        create(json!({"metadata": {"name": name.replace(':', "-")}, "spec": {"request": request,
            "signerName": "kubernetes.io/kubelet-serving", "usages": ["server auth"]}}))
    };
    call("certificatesigningrequests", request("system:node:n1")).await.unwrap();
    let other = call("certificatesigningrequests", request("system:node:n2")).await.unwrap_err();
    assert!(other.contains("can only create a node CSR with CN=system:node:n1"), "{other}");
    let mirror = |owner: &str, uid: &str, spec: Value| {
        let owners = json!([{"apiVersion": "v1", "kind": "Node", "name": owner, "uid": uid, "controller": true}]);
        let mut pod = pod("mirror");
        pod["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
        pod["metadata"]["ownerReferences"] = owners;
        pod["spec"]["nodeName"] = "n1".into();
        for (key, value) in spec.as_object().unwrap() {
            pod["spec"][key] = value.clone();
        }
        create(pod)
    };
    let uid = server.get("nodes/n1").await.unwrap().text("metadata.uid").to_owned();
    let check = async |operation: Operation, expect: &str| {
        let told = call("pods", operation).await.unwrap_err();
        assert!(told.contains(expect), "{told}");
    };
    check(mirror("n2", &uid, json!({})), "can only create pods with an owner reference set to itself").await;
    check(mirror("n1", "other", json!({})), "node n1 UID mismatch: expected other got").await;
    let secret = json!({"volumes": [{"name": "v", "secret": {"secretName": "s"}}]});
    check(mirror("n1", &uid, secret), "can not create pods that reference secrets").await;
    call("pods", mirror("n1", &uid, json!({}))).await.unwrap();
}

#[tokio::test]
async fn namespaces_say_what_pods_may_ask() {
    let server = with_account().await;
    let label = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    server.merge("namespaces/a", label).await.unwrap();
    server.registry.catch_up().await.unwrap();
    let status = server.create("pods", pod("p")).await.unwrap_err();
    let expect = "pods \"p\" is forbidden: violates PodSecurity \"restricted:latest\": allowPrivilegeEscalation != false \
                  (container \"c\" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities \
                  (container \"c\" must set securityContext.capabilities.drop=[\"ALL\"]), runAsNonRoot != true (pod or \
                  container \"c\" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container \"c\" must \
                  set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")";
    assert_eq!((status.code, status.message.as_str()), (403, expect));
    let mut good = pod("p");
    good["spec"]["securityContext"] = json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}});
    let context = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
    good["spec"]["containers"][0]["securityContext"] = context;
    server.create("pods", good).await.unwrap();
    let baseline = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "baseline"}}});
    server.merge("namespaces/a", baseline).await.unwrap();
    server.registry.catch_up().await.unwrap();
    server.create("pods", pod("q")).await.unwrap();
    let mut greedy = pod("r");
    greedy["spec"]["hostNetwork"] = true.into();
    greedy["spec"]["containers"][0]["securityContext"] = json!({"privileged": true});
    let status = server.create("pods", greedy).await.unwrap_err();
    let expect = "pods \"r\" is forbidden: violates PodSecurity \"baseline:latest\": host namespaces (hostNetwork=true), \
                  privileged (container \"c\" must not set securityContext.privileged=true)";
    assert_eq!(status.message, expect);
}

#[tokio::test]
async fn namespaces_are_told_whose_pods_fall_short() {
    let server = with_account().await;
    for name in ["p", "q"] {
        server.create("pods", pod(name)).await.unwrap();
    }
    server.registry.catch_up().await.unwrap();
    let label = |name: &str, value: &str| json!({"metadata": {"labels": {format!("pod-security.kubernetes.io/{name}"): value}}});
    let patch = |patch| Operation::Patch(api::Patch::Merge(patch), WriteOptions::default());
    let status = server.merge("namespaces/a", label("warn", "strict")).await.unwrap_err();
    assert_eq!(
        status.message,
        "Namespace \"a\" is invalid: metadata.labels[pod-security.kubernetes.io/warn]: Invalid value: \"strict\": must be one \
         of privileged, baseline, restricted"
    );
    let Reply::Object { warnings, .. } =
        server.call("namespaces/a", patch(label("enforce", "restricted"))).await.unwrap()
    else {
        panic!("no object");
    };
    assert_eq!(
        warnings,
        [
            "existing pods in namespace \"a\" violate the new PodSecurity enforce level \"restricted:latest\"",
            "p (and 1 other pod): allowPrivilegeEscalation != false, unrestricted capabilities, runAsNonRoot != true, \
             seccompProfile",
        ]
    );
    server.registry.catch_up().await.unwrap();
    // Workloads are let in, with a warning about what their pods will meet.
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": pod("x")["spec"]});
    let spec = json!({"selector": {"matchLabels": {"a": "b"}}, "template": template});
    let create = Operation::Create(json!({"metadata": {"name": "d"}, "spec": spec}), WriteOptions::default());
    let Reply::Object { warnings, .. } = server.call("deployments", create).await.unwrap() else { panic!("no object") };
    assert!(warnings[0].starts_with("would violate PodSecurity \"restricted:latest\": allowPrivilegeEscalation"));
}

#[tokio::test]
async fn pods_learn_where_their_node_is() {
    let server = with_account().await;
    let labels = json!({"topology.kubernetes.io/zone": "z", "topology.kubernetes.io/region": "r", "other": "o"});
    server.create("nodes", json!({"metadata": {"name": "n", "labels": labels}})).await.unwrap();
    server.create("pods", pod("p")).await.unwrap();
    server.registry.catch_up().await.unwrap();
    server
        .create("pods/p/binding", json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}}))
        .await
        .unwrap();
    let expect = json!({"topology.kubernetes.io/zone": "z", "topology.kubernetes.io/region": "r"});
    assert_eq!(server.get("pods/p").await.unwrap()["metadata"]["labels"], expect);
}
