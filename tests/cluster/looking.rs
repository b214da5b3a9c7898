//! What people look at and change by hand: describe, top, set image, events of a rollout.

use crate::lab::Lab;
use crate::workloads;

const IMAGE: &str = "busybox.local/busybox:1";

/// describe of a node, a deployment and a pod tell what people look for; what is not there says so.
pub(crate) fn describe_top_and_set_image(lab: &Lab) {
    workloads::both_nodes_become_ready(lab);
    let k = &lab.pair().kubectl;
    k.run("create namespace look");
    k.apply(&format!(
        r#"
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: look}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: main
        image: {IMAGE}
        command: [sleep, "100000"]
        resources: {{requests: {{cpu: 100m, memory: 16Mi}}, limits: {{memory: 32Mi}}}}
"#
    ));
    k.run("-n look rollout status deployment/web --timeout=90s");
    let tells = |line: &str, expect: &[&str]| {
        let text = k.run(line);
        // Runs of blanks are kubectl's layout.
        let plain =
            text.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join("\n");
        for words in expect {
            assert!(plain.contains(words), "{words:?} is missing in {line}:\n{text}");
        }
    };
    tells(
        "describe node worker",
        &[
            "kubernetes.io/hostname=worker",
            "Ready True",
            "KubeletReady kubelet is posting ready status",
            "MemoryPressure False",
            "Hostname: worker",
            "Container Runtime Version: containerd://",
            "Kubelet Version: v1.35",
            "PodCIDR: 10.42.",
            "Non-terminated Pods:",
            "Allocated resources:",
            "Unschedulable: false",
            "Lease:",
        ],
    );
    tells(
        "-n look describe deployment web",
        &[
            "Replicas: 2 desired | 2 updated | 2 total | 2 available | 0 unavailable",
            "StrategyType: RollingUpdate",
            "Available True MinimumReplicasAvailable",
            "Progressing True NewReplicaSetAvailable",
            "ScalingReplicaSet",
        ],
    );
    tells(
        "-n look describe pods -l app=web",
        &[
            "Controlled By: ReplicaSet/web-",
            "QoS Class: Burstable",
            "State: Running",
            "Ready: True",
            "memory: 32Mi",
            "default-scheduler Successfully assigned look/web-",
            "Container started",
        ],
    );
    assert_eq!(
        k.run("-n look set image deployment/web main=busybox.local/busybox:none"),
        "deployment.apps/web image updated"
    );
    k.until("-n look get pods", |text| {
        (text.contains("ErrImagePull") || text.contains("ImagePullBackOff")).then_some(())
    });
    // The rollout stops at the first that does not come; the old ones go on.
    assert_eq!(k.run("-n look get deployment web -o jsonpath={.status.availableReplicas}"), "2");
    k.run(&format!("-n look set image deployment/web main={IMAGE}"));
    k.run("-n look rollout status deployment/web --timeout=90s");
    assert!(k.refused("top nodes").contains("Metrics API not available"));
    assert!(k.refused("top pods -n look").contains("Metrics API not available"));
    assert!(
        k.refused("-n look set image deployment/web nobody=x").contains("unable to find container named \"nobody\"")
    );
    k.run("delete namespace look --timeout=100s");
}
