//! What users do all day, on a server and a worker.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use crate::lab::{Lab, Machine, wait};

const IMAGE: &str = "busybox.local/busybox:1";
const READY: &str =
    r#"get nodes -o jsonpath={range.items[*]}{.metadata.name}={.status.conditions[?(@.type=="Ready")].status},{end}"#;

/// The README's two commands: a cluster of one, and a worker.
pub(crate) fn both_nodes_become_ready(lab: &Lab) {
    let pair = lab.pair();
    pair.kubectl.until_is(READY, "server=True,worker=True,");
    pair.kubectl.until_is("get nodes -l node-role.kubernetes.io/control-plane -o name", "node/server");
    let wide = pair.kubectl.run("get nodes -o wide");
    for expect in ["INTERNAL-IP", "containerd://", &pair.server.address, &pair.worker.address] {
        assert!(wide.contains(expect), "{expect} is missing in:\n{wide}");
    }
    assert!(pair.kubectl.run("cluster-info").contains("is running at"));
    assert!(pair.kubectl.run("get --raw /readyz").ends_with("ok"));
}

/// create, expose, names, logs, exec, port-forward, scale, rollout, describe, events, cordon, delete.
pub(crate) fn deployment_from_create_to_delete(lab: &Lab) {
    both_nodes_become_ready(lab);
    let pair = lab.pair();
    let k = &pair.kubectl;
    k.run("create namespace shop");
    let command = r#"mkdir -p /www && hostname > /www/index.html && echo started $(hostname) && exec httpd -f -v -p 8080 -h /www"#;
    k.run(&format!("-n shop create deployment web --image={IMAGE} --replicas=4 --port=8080 -- /bin/sh -c '{command}'"));
    k.run("-n shop rollout status deployment/web --timeout=90s");
    let nodes = k.run("-n shop get pods -o jsonpath={range.items[*]}{.spec.nodeName}={.status.podIP},{end}");
    assert!(nodes.contains("server=10.42.") && nodes.contains("worker=10.42."), "pods on both nodes: {nodes}");

    k.run("-n shop expose deployment web --port=80 --target-port=8080 --type=NodePort");
    let cluster_ip = k.run("-n shop get service web -o jsonpath={.spec.clusterIP}");
    let node_port = k.run("-n shop get service web -o jsonpath={.spec.ports[0].nodePort}");
    k.until("-n shop get endpointslices -l kubernetes.io/service-name=web -o jsonpath={.items[*].endpoints[*].addresses[0]}", |text| {
        (text.split_whitespace().count() == 4).then_some(())
    });
    // A client pod on each node reaches the service by address and by name, and every pod by its own address.
    for node in ["server", "worker"] {
        let overrides = format!(r#"{{"spec":{{"nodeName":"{node}"}}}}"#);
        k.run(&format!(
            "-n shop run client-{node} --image={IMAGE} --restart=Never --overrides='{overrides}' -- sleep 100000"
        ));
        k.run(&format!("-n shop wait --for=condition=Ready pod/client-{node} --timeout=60s"));
        let fetch = |url: &str| {
            k.until(&format!("-n shop exec client-{node} -- timeout 3 wget -q -O - {url}"), |text| {
                text.starts_with("web-").then_some(())
            });
        };
        for target in [cluster_ip.as_str(), "web", "web.shop", "web.shop.svc.cluster.local"] {
            fetch(&format!("http://{target}/"));
        }
        for pod in nodes.split(',').filter_map(|pair| pair.split_once('=')).map(|(_, ip)| ip) {
            fetch(&format!("http://{pod}:8080/"));
        }
        // From outside, by NodePort on either node.
        let url = format!(
            "http://{}:{node_port}/",
            if node == "server" { &pair.server.address } else { &pair.worker.address }
        );
        answers(&pair.worker, &url, "web-");
    }
    let resolv = k.run("-n shop exec client-worker -- cat /etc/resolv.conf");
    assert!(resolv.contains("search shop.svc.cluster.local svc.cluster.local cluster.local"), "{resolv}");

    logs_exec_and_port_forward(lab);

    k.run("-n shop scale deployment web --replicas=2");
    k.until("-n shop get deployment web -o jsonpath={.status.replicas}", |text| (text == "2").then_some(()));
    k.run("-n shop rollout restart deployment web");
    k.run("-n shop rollout status deployment/web --timeout=90s");
    k.run("-n shop set env deployment/web COLOR=blue");
    k.run("-n shop rollout status deployment/web --timeout=90s");
    let history = k.run("-n shop rollout history deployment/web");
    assert!(history.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit())).count() == 3, "{history}");
    k.run("-n shop rollout undo deployment web");
    k.run("-n shop rollout status deployment/web --timeout=90s");
    assert!(!k.run("-n shop get deployment web -o yaml").contains("COLOR"));

    let described = k.run("-n shop describe deployment web");
    for expect in ["ScalingReplicaSet", "RollingUpdate", "MinimumReplicasAvailable"] {
        assert!(described.contains(expect), "{expect} is missing in:\n{described}");
    }
    let events = k.run("-n shop get events");
    for expect in ["Scheduled", "Pulled", "Created", "Started", "SuccessfulCreate", "Killing"] {
        assert!(events.contains(expect), "{expect} is missing in:\n{events}");
    }
    let wide = k.run("-n shop get pods -o wide");
    assert!(wide.contains("READY") && wide.contains("1/1") && wide.contains("Running"), "{wide}");

    k.run("cordon worker");
    assert!(k.run("get nodes").contains("Ready,SchedulingDisabled"));
    k.run("-n shop scale deployment web --replicas=5");
    k.run("-n shop rollout status deployment/web --timeout=90s");
    k.run("uncordon worker");
    k.run(&format!(
        "-n shop run nowhere --image={IMAGE} --overrides='{{\"spec\":{{\"nodeSelector\":{{\"disk\":\"ssd\"}}}}}}'"
    ));
    k.until("-n shop get events --field-selector=reason=FailedScheduling -o jsonpath={.items[*].message}", |text| {
        text.contains("0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector").then_some(())
    });
    k.run("delete namespace shop --timeout=100s");
    assert!(k.refused("get namespace shop").contains("namespaces \"shop\" not found"));
}

fn logs_exec_and_port_forward(lab: &Lab) {
    let pair = lab.pair();
    let k = &pair.kubectl;
    for node in ["server", "worker"] {
        let pod = k.run(&format!(
            "-n shop get pods -l app=web --field-selector=spec.nodeName={node} -o jsonpath={{.items[0].metadata.name}}"
        ));
        assert!(k.run(&format!("-n shop logs {pod} --tail=100")).contains(&format!("started {pod}")));
        assert_eq!(k.run(&format!("-n shop exec {pod} -- cat /www/index.html")), pod);
        let failed = k.refused(&format!("-n shop exec {pod} -- sh -c 'exit 7'"));
        assert!(failed.contains("exit code 7"), "{failed}");
        // Standard input ends where ours ends.
        let mut cat = k
            .command(&format!("-n shop exec -i {pod} -- cat"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        cat.stdin.take().unwrap().write_all(b"to and fro\n").unwrap();
        let output = cat.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "to and fro\n");
        // A log is followed while it grows.
        let mut follow = k.command(&format!("-n shop logs -f {pod}")).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
        assert!(lines.next().unwrap().unwrap().starts_with("started"));
        k.run(&format!("-n shop exec {pod} -- sh -c 'echo later > /proc/1/fd/1'"));
        assert!(lines.any(|line| line.unwrap() == "later"));
        let _ = follow.kill();
        let _ = follow.wait();
        port_forward(lab, &pod);
    }
}

/// Through the API server and the node agent to the pod's port; from a machine whose loopback kubectl listens on.
fn port_forward(lab: &Lab, pod: &str) {
    let k = &lab.pair().kubectl;
    let _forward = k.forward(&format!("-n shop {pod}"), 18080, 8080);
    let output = lab
        .pair()
        .server
        .run("busybox", &["timeout", "5", "busybox", "wget", "-q", "-O", "-", "http://127.0.0.1:18080/"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), pod);
}

/// Environment from every source, mounted volumes that follow their source, init containers, probes.
pub(crate) fn configuration_volumes_and_probes(lab: &Lab) {
    both_nodes_become_ready(lab);
    let k = &lab.pair().kubectl;
    k.run("create namespace conf");
    k.run("-n conf create configmap settings --from-literal=color=blue");
    k.run("-n conf create secret generic keys --from-literal=password=hunter2");
    k.apply(&format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{name: reader, namespace: conf, labels: {{tier: x}}}}
spec:
  terminationGracePeriodSeconds: 1
  initContainers:
  - {{name: prepare, image: {IMAGE}, command: [sh, -c, "echo prepared > /shared/done"], volumeMounts: [{{name: shared, mountPath: /shared}}]}}
  containers:
  - name: main
    image: {IMAGE}
    command: [sh, -c, "trap exit TERM; touch /shared/healthy; while true; do sleep 1; done"]
    env:
    - {{name: PASSWORD, valueFrom: {{secretKeyRef: {{name: keys, key: password}}}}}}
    - {{name: NODE, valueFrom: {{fieldRef: {{fieldPath: spec.nodeName}}}}}}
    - {{name: CPUS, valueFrom: {{resourceFieldRef: {{resource: limits.cpu}}}}}}
    - {{name: GREETING, value: "hello from $(NODE)"}}
    envFrom: [{{configMapRef: {{name: settings}}, prefix: CONF_}}]
    resources: {{limits: {{cpu: "1", memory: 64Mi}}, requests: {{cpu: 50m}}}}
    readinessProbe: {{exec: {{command: [cat, /shared/healthy]}}, periodSeconds: 1}}
    livenessProbe: {{exec: {{command: [cat, /shared/healthy]}}, periodSeconds: 1, failureThreshold: 2}}
    volumeMounts:
    - {{name: shared, mountPath: /shared}}
    - {{name: settings, mountPath: /etc/settings}}
    - {{name: all, mountPath: /etc/all}}
  volumes:
  - {{name: shared, emptyDir: {{}}}}
  - {{name: settings, configMap: {{name: settings}}}}
  - name: all
    projected:
      sources:
      - {{secret: {{name: keys}}}}
      - {{downwardAPI: {{items: [{{path: labels, fieldRef: {{fieldPath: metadata.labels}}}}]}}}}
      - {{serviceAccountToken: {{path: token, expirationSeconds: 3600}}}}
"#
    ));
    k.run("-n conf wait --for=condition=Ready pod/reader --timeout=60s");
    let sh = |script: &str| k.run(&format!("-n conf exec reader -- sh -c '{script}'"));
    assert_eq!(sh("cat /shared/done"), "prepared");
    let node = k.run("-n conf get pod reader -o jsonpath={.spec.nodeName}");
    assert_eq!(sh("echo $PASSWORD $CONF_color $CPUS $GREETING"), format!("hunter2 blue 1 hello from {node}"));
    assert_eq!(sh("cat /etc/settings/color /etc/all/password /etc/all/labels"), "bluehunter2tier=\"x\"");
    assert_eq!(
        sh("cut -c1-3 /etc/all/token /var/run/secrets/kubernetes.io/serviceaccount/token").replace('\n', " "),
        "eyJ eyJ"
    );
    // A changed ConfigMap reaches the mounted file.
    k.run("-n conf patch configmap settings -p '{\"data\":{\"color\":\"green\"}}'");
    k.until_is("-n conf exec reader -- cat /etc/settings/color", "green");
    // A failing liveness probe restarts the container.
    sh("rm /shared/healthy");
    k.until("-n conf get pod reader -o jsonpath={.status.containerStatuses[0].restartCount}", |text| {
        (text == "1").then_some(())
    });
    k.run("-n conf wait --for=condition=Ready pod/reader --timeout=60s");
    assert!(k.run("-n conf get events").contains("Liveness probe failed"));
    // A crashing pod backs off and says so; its previous log is kept.
    k.run(&format!("-n conf run crash --image={IMAGE} -- sh -c 'echo doomed; exit 3'"));
    k.until("-n conf get pod crash", |text| text.contains("CrashLoopBackOff").then_some(()));
    assert_eq!(k.run("-n conf logs crash --previous"), "doomed");
    assert!(k.run("-n conf describe pod crash").contains("Back-off restarting failed container"));
    k.run(&format!("-n conf run absent --image={IMAGE}-not-there --image-pull-policy=Never"));
    k.until("-n conf get pod absent", |text| text.contains("ErrImageNeverPull").then_some(()));
    k.run("delete namespace conf --timeout=100s");
}

/// Waits until a machine gets an answer that begins so.
fn answers(from: &Machine, url: &str, begins: &str) {
    wait(url, || {
        let output = from.run("busybox", &["timeout", "3", "busybox", "wget", "-q", "-O", "-", url]);
        String::from_utf8_lossy(&output.stdout).starts_with(begins).then_some(())
    });
}

/// Jobs run to completion; a DaemonSet has a pod on every node, and a port of the node leads to it.
pub(crate) fn jobs_and_daemonsets(lab: &Lab) {
    both_nodes_become_ready(lab);
    let pair = lab.pair();
    let k = &pair.kubectl;
    k.run("create namespace work");
    k.run(&format!("-n work create job sum --image={IMAGE} -- sh -c 'echo $((40+2))'"));
    k.run("-n work wait --for=condition=complete job/sum --timeout=60s");
    assert_eq!(k.run("-n work logs job/sum"), "42");
    k.apply(&format!(
        r#"
apiVersion: apps/v1
kind: DaemonSet
metadata: {{name: everywhere, namespace: work}}
spec:
  selector: {{matchLabels: {{app: everywhere}}}}
  template:
    metadata: {{labels: {{app: everywhere}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: main
        image: {IMAGE}
        command: [sh, -c, "echo here > /tmp/index.html && exec httpd -f -p 80 -h /tmp"]
        ports: [{{containerPort: 80, hostPort: 8099}}]
"#
    ));
    k.run("-n work rollout status daemonset/everywhere --timeout=60s");
    let nodes = k.run("-n work get pods -l app=everywhere -o jsonpath={.items[*].spec.nodeName}");
    assert!(nodes.contains("server") && nodes.contains("worker"), "{nodes}");
    for node in [&pair.server, &pair.worker] {
        answers(&pair.worker, &format!("http://{}:8099/", node.address), "here");
    }
    k.run("-n work delete daemonset everywhere");
    k.until_is("-n work get pods -l app=everywhere -o name", "");
    k.run("delete namespace work --timeout=100s");
}
