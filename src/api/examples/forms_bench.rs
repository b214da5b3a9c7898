//! Measures how fast one object is turned into what clients ask for: one line of JSON for each figure.

use std::hint::black_box;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Instant;

use api::protobuf::Encoder;
use api::{Object, resource, schema};
use serde_json::{Value, json};

const ROUNDS: u32 = 50_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pods = resource::find("", "v1", "pods").ok_or("no pods in the table")?;
    let message = schema::message("core/v1.Pod").ok_or("no pods in the schema")?;
    let pod = Object::encode(&pod(), 123_456, pods)?;
    let mut out = Vec::new();
    let mut encoder = Encoder::new();
    pod.write_json(&mut out);
    say("pod as JSON, size", out.len() as f64, "bytes")?;
    say("pod as protobuf, size", encoder.message(&out, message)?.len() as f64, "bytes")?;
    cold(&pod, pods)?;
    measure("pod as JSON", || {
        out.clear();
        pod.write_json(&mut out);
    })?;
    measure("pod as metadata", || {
        out.clear();
        // It was read before.
        let _ = pod.write_metadata(&mut out);
    })?;
    measure("pod as protobuf", || {
        out.clear();
        pod.write_json(&mut out);
        let _ = black_box(encoder.message(&out, message));
    })?;
    measure("pod as a tree", || drop(black_box(pod.to_value())))?;
    measure("metadata of a pod", || {
        drop(black_box(Object::stored(pod.stored_bytes().clone(), 1, pods)));
    })?;
    Ok(())
}

/// How long one turn takes: of five runs the shortest. Only the figures that the command line asks for.
fn measure(figure: &str, mut turn: impl FnMut()) -> std::io::Result<()> {
    if std::env::args().nth(1).is_some_and(|asked| !figure.contains(&asked)) {
        return Ok(());
    }
    let runs = (0..5).map(|_| {
        let began = Instant::now();
        (0..ROUNDS / 5).for_each(|_| turn());
        began.elapsed() / (ROUNDS / 5)
    });
    say(figure, runs.min().unwrap_or_default().as_nanos() as f64 / 1000.0, "µs")
}

fn say(figure: &str, value: f64, unit: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{}", json!({"bench": "forms", "figure": figure, "value": value, "unit": unit}))
}

/// What it takes to write objects that nobody has looked at for a while.
fn cold(pod: &Object, row: &api::Resource) -> Result<(), Box<dyn std::error::Error>> {
    const COUNT: usize = 20_000;
    let make = |n: usize| {
        let bytes = bytes::Bytes::copy_from_slice(pod.stored_bytes());
        Object::stored(bytes, n as u64 + 1, row).map(Arc::new)
    };
    let mut objects = (0..COUNT).map(make).collect::<Result<Vec<_>, _>>()?;
    // As they come to lie in memory when they are written by many.
    let mut state = 1_usize;
    for at in (1..COUNT).rev() {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        objects.swap(at, (state >> 33) % (at + 1));
    }
    for looks in [false, true] {
        for whole in [false, true] {
            let what = if whole { "JSON" } else { "metadata" };
            let how = if looks { ", looked at before" } else { "" };
            let mut out = Vec::with_capacity(1 << 17);
            let runs = (0..5).map(|_| {
                let began = Instant::now();
                for some in objects.chunks(api::object::LOOKS) {
                    if looks {
                        Object::look_at(some);
                    }
                    out.clear();
                    for object in some {
                        if whole {
                            object.write_json(&mut out);
                        } else {
                            let _ = object.write_metadata(&mut out);
                        }
                    }
                }
                began.elapsed() / COUNT as u32
            });
            let took = runs.min().unwrap_or_default().as_nanos() as f64 / 1000.0;
            say(&format!("one of many pods as {what}{how}"), took, "µs")?;
        }
    }
    Ok(())
}

/// A pod as it is stored while it runs.
fn pod() -> Value {
    let types = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];
    let conditions = types.map(|name| {
        json!({"type": name, "observedGeneration": 1, "lastProbeTime": null, "lastTransitionTime": "2026-01-02T03:04:07Z",
            "status": "True"})
    });
    json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {
            "name": "web-6d4cf56db6-x7k2p", "generateName": "web-6d4cf56db6-", "namespace": "default",
            "uid": "9c5e0b1a-2f5b-4f51-9f0a-0d3f3c1f2b7e", "generation": 1, "creationTimestamp": "2026-01-02T03:04:05Z",
            "labels": {"app": "web", "pod-template-hash": "6d4cf56db6"},
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-6d4cf56db6",
                "uid": "1f0c9a33-1f6f-4f0e-8a52-6b6a3c9d1e11", "controller": true, "blockOwnerDeletion": true,
            }],
            "managedFields": [
                {"manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1",
                 "time": "2026-01-02T03:04:05Z", "fieldsType": "FieldsV1",
                 "fieldsV1": {
                     "f:metadata": {"f:generateName": {}, "f:labels": {".": {}, "f:app": {}, "f:pod-template-hash": {}},
                         "f:ownerReferences": {".": {}, "k:{\"uid\":\"1f0c9a33-1f6f-4f0e-8a52-6b6a3c9d1e11\"}": {}}},
                     "f:spec": {"f:containers": {"k:{\"name\":\"main\"}": {".": {}, "f:image": {}, "f:imagePullPolicy": {},
                         "f:name": {}, "f:ports": {".": {}, "k:{\"containerPort\":8080,\"protocol\":\"TCP\"}":
                         {".": {}, "f:containerPort": {}, "f:protocol": {}}}, "f:resources": {".": {}, "f:requests":
                         {".": {}, "f:cpu": {}, "f:memory": {}}}, "f:terminationMessagePath": {}}},
                         "f:dnsPolicy": {}, "f:restartPolicy": {}, "f:schedulerName": {}, "f:securityContext": {}}}},
                {"manager": "kubelet", "operation": "Update", "apiVersion": "v1", "time": "2026-01-02T03:04:07Z",
                 "fieldsType": "FieldsV1", "subresource": "status",
                 "fieldsV1": {"f:status": {"f:conditions": {"k:{\"type\":\"Ready\"}": {".": {}, "f:lastTransitionTime": {},
                     "f:status": {}, "f:type": {}}}, "f:containerStatuses": {}, "f:hostIP": {}, "f:phase": {}, "f:podIP": {},
                     "f:startTime": {}}}},
            ],
        },
        "spec": {
            "volumes": [{"name": "kube-api-access-2xq5z", "projected": {"sources": [
                {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [{"path": "namespace",
                    "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
            ], "defaultMode": 420}}],
            "containers": [{
                "name": "main", "image": "registry.example/app:1", "ports": [{"containerPort": 8080, "protocol": "TCP"}],
                "env": [{"name": "A", "value": "b"}],
                "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
                "volumeMounts": [{"name": "kube-api-access-2xq5z", "readOnly": true,
                    "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}],
                "readinessProbe": {"httpGet": {"path": "/", "port": 8080, "scheme": "HTTP"}, "timeoutSeconds": 1,
                    "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3},
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                "imagePullPolicy": "IfNotPresent",
            }],
            "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
            "serviceAccountName": "default", "serviceAccount": "default", "nodeName": "node-1", "securityContext": {},
            "schedulerName": "default-scheduler",
            "tolerations": [
                {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
                {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute",
                 "tolerationSeconds": 300},
            ],
            "priority": 0, "enableServiceLinks": true, "preemptionPolicy": "PreemptLowerPriority",
        },
        "status": {
            "observedGeneration": 1, "phase": "Running",
            "conditions": conditions,
            "hostIP": "10.0.0.1", "hostIPs": [{"ip": "10.0.0.1"}], "podIP": "10.42.0.7", "podIPs": [{"ip": "10.42.0.7"}],
            "startTime": "2026-01-02T03:04:05Z",
            "containerStatuses": [{
                "name": "main", "state": {"running": {"startedAt": "2026-01-02T03:04:06Z"}}, "lastState": {}, "ready": true,
                "restartCount": 0, "image": "registry.example/app:1",
                "imageID": "registry.example/app@sha256:4bcff63911fcb4448bd4fdacec207030997caf25e9bea4045fa6c8c44de311d1",
                "containerID": "containerd://0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
                "started": true,
            }],
            "qosClass": "Burstable",
        },
    })
}
