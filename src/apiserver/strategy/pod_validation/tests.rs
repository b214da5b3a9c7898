//! Pods in depth: what a change of a sound pod makes the server say. Long, because it is one table of what is said.

use api::validation::field::{Error, ErrorList};
use serde_json::{Value, json};

use crate::strategy::{Strategy, of};
use crate::tree::Tree;

fn strategy() -> &'static Strategy {
    of(api::resource::find("", "v1", "pods").unwrap())
}

fn sound() -> Value {
    json!({
        "metadata": {"name": "p", "namespace": "default"},
        "spec": {
            "containers": [{"name": "c", "image": "i"}],
            "volumes": [{"name": "v"}, {"name": "claim", "persistentVolumeClaim": {"claimName": "x"}}],
        },
    })
}

/// Sets values by pointer (making the way), fills in, and compares the complaints about the new pod.
fn check(changes: &[(&str, Value)], expect: &[&str]) {
    let mut pod = sound();
    for (path, value) in changes {
        set(&mut pod, path, value.clone());
    }
    strategy().fill_in(&mut pod);
    let mut errors = ErrorList::new();
    (strategy().validate)(&pod, &mut errors);
    (strategy().validate_create)(&pod, &mut errors);
    let got: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(got, expect, "{changes:?}");
}

/// `c` stands for the first container, `spec` for the spec.
fn set(pod: &mut Value, path: &str, value: Value) {
    match path.strip_prefix("c.") {
        Some(path) => pod["spec"]["containers"][0].put(path, value),
        None => pod.put(path, value),
    }
}

#[test]
fn a_sound_pod_is_taken() {
    check(&[], &[]);
}

#[test]
fn containers() {
    check(&[("spec.containers", json!([]))], &["spec.containers: Required value"]);
    check(
        &[("c.name", json!("A")), ("c.image", json!(""))],
        &[
            "spec.containers[0].name: Invalid value: \"A\": a lowercase RFC 1123 label must consist of lower case \
             alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or \
             '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
            "spec.containers[0].image: Required value",
        ],
    );
    check(
        &[("c.image", json!(" i"))],
        &["spec.containers[0].image: Invalid value: \" i\": must not have leading or trailing whitespace"],
    );
    check(
        &[(
            "c.ports",
            json!([{"containerPort": 0}, {"containerPort": 80, "hostPort": 70000, "protocol": "X", "name": "a--b"}]),
        )],
        &[
            "spec.containers[0].ports[0].containerPort: Required value",
            "spec.containers[0].ports[1].name: Invalid value: \"a--b\": must not contain consecutive hyphens",
            "spec.containers[0].ports[1].hostPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
            "spec.containers[0].ports[1].protocol: Unsupported value: \"X\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
        ],
    );
    check(
        &[("c.ports", json!([{"containerPort": 80, "hostPort": 80}, {"containerPort": 81, "hostPort": 80}]))],
        &["spec.containers[0].ports[1].hostPort: Duplicate value: \"TCP//80\""],
    );
    check(
        &[("c.resizePolicy", json!([{"resourceName": "gpu", "restartPolicy": "NotRequired"}]))],
        &["spec.containers[0].resizePolicy: Unsupported value: \"gpu\": supported values: \"cpu\", \"memory\""],
    );
    check(
        &[("c.imagePullPolicy", json!("Sometimes"))],
        &["spec.containers[0].imagePullPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \
           \"IfNotPresent\", \"Never\""],
    );
}

#[test]
fn environments() {
    check(
        &[(
            "c.env",
            json!([{"name": ""}, {"name": "A", "valueFrom": {}},
            {"name": "B", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "spec.x"}}},
            {"name": "C", "valueFrom": {"resourceFieldRef": {"resource": "limits.gpu"}}},
            {"name": "D", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a b']"}}},
            {"name": "E", "valueFrom": {"secretKeyRef": {"name": "s", "key": ""}}}]),
        )],
        &[
            "spec.containers[0].env[0].name: Required value",
            "spec.containers[0].env[1].valueFrom: Invalid value: \"\": must specify one of: `fieldRef`, `resourceFieldRef`, \
             `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
            "spec.containers[0].env[2].valueFrom.fieldRef.fieldPath: Invalid value: \"spec.x\": error converting fieldPath: \
             field label not supported: spec.x",
            "spec.containers[0].env[2].valueFrom: Invalid value: \"\": may not be specified when `value` is not empty",
            "spec.containers[0].env[3].valueFrom.resourceFieldRef.resource: Unsupported value: \"limits.gpu\": supported \
             values: \"limits.cpu\", \"limits.ephemeral-storage\", \"limits.memory\", \"requests.cpu\", \
             \"requests.ephemeral-storage\", \"requests.memory\"",
            "spec.containers[0].env[4].valueFrom.fieldRef: Invalid value: \"a b\": name part must consist of alphanumeric \
             characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or \
             'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
            "spec.containers[0].env[5].valueFrom.secretKeyRef.key: Required value",
        ],
    );
    check(
        &[("c.envFrom", json!([{}]))],
        &["spec.containers[0].envFrom: Invalid value: \"\": must specify one of: `configMapRef` or `secretRef`"],
    );
}

#[test]
fn probes_and_hooks() {
    check(
        &[("c.livenessProbe", json!({"successThreshold": 2, "periodSeconds": -1}))],
        &[
            "spec.containers[0].livenessProbe: Required value: must specify a handler type",
            "spec.containers[0].livenessProbe.periodSeconds: Invalid value: -1: must be greater than or equal to 0",
            "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
        ],
    );
    check(
        &[(
            "c.readinessProbe",
            json!({"exec": {"command": []}, "tcpSocket": {"port": 1}, "terminationGracePeriodSeconds": 5}),
        )],
        &[
            "spec.containers[0].readinessProbe.exec.command: Required value",
            "spec.containers[0].readinessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type",
            "spec.containers[0].readinessProbe.terminationGracePeriodSeconds: Invalid value: 5: must not be set for \
             readinessProbes",
        ],
    );
    check(
        &[("c.lifecycle", json!({"preStop": {"sleep": {"seconds": 31}}, "stopSignal": "SIGTERM"}))],
        &[
            "spec.containers[0].lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than \
             terminationGracePeriodSeconds (30)",
            "spec.containers[0].lifecycle.stopSignal: Forbidden: may not be set for containers with empty `spec.os.name`",
        ],
    );
    check(
        &[("spec.initContainers", json!([{"name": "i", "image": "i", "livenessProbe": {"exec": {"command": ["x"]}}}]))],
        &[
            "spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always",
        ],
    );
    let sidecar =
        json!([{"name": "i", "image": "i", "restartPolicy": "Always", "livenessProbe": {"exec": {"command": ["x"]}}}]);
    check(&[("spec.initContainers", sidecar)], &[]);
}

#[test]
fn resources() {
    check(
        &[("c.resources", json!({"requests": {"cpu": "2", "x.com/gpu": "1"}, "limits": {"cpu": "1", "bogus": "1"}}))],
        &[
            "spec.containers[0].resources.limits[bogus]: Invalid value: \"bogus\": must be a standard resource type or fully \
             qualified",
            "spec.containers[0].resources.limits[bogus]: Invalid value: \"bogus\": must be a standard resource for containers",
            "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
            "spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources",
            "spec.containers[0].resources.requests[bogus]: Invalid value: \"bogus\": must be a standard resource type or fully \
             qualified",
            "spec.containers[0].resources.requests[bogus]: Invalid value: \"bogus\": must be a standard resource for containers",
        ],
    );
    check(
        &[("c.resources.limits", json!({"hugepages-2Mi": "3Mi"}))],
        &[
            "spec.containers[0].resources.limits[hugepages-2Mi]: Invalid value: \"3Mi\": 3Mi is not positive integer multiple of \
             hugepages-2Mi",
            "spec.containers[0].resources.requests[hugepages-2Mi]: Invalid value: \"3Mi\": 3Mi is not positive integer multiple \
             of hugepages-2Mi",
            "spec.containers[0].resources: Forbidden: HugePages require cpu or memory",
        ],
    );
    check(
        &[("c.resources.limits", json!({"x.com/gpu": "500m"}))],
        &[
            "spec.containers[0].resources.limits[x.com/gpu]: Invalid value: \"500m\": must be an integer",
            "spec.containers[0].resources.requests[x.com/gpu]: Invalid value: \"500m\": must be an integer",
        ],
    );
    check(
        &[("c.resources.claims", json!([{"name": "d"}]))],
        &[
            "spec.containers[0].resources.claims[0]: Not found: \"d\": must be one of the names in pod.spec.resourceClaims which \
           is empty",
        ],
    );
    check(
        &[("c.resources.requests.cpu", json!("2")), ("spec.resources", json!({"requests": {"cpu": "1"}}))],
        &[
            "spec.resources.requests[cpu]: Invalid value: \"1\": must be greater than or equal to aggregate container requests of \
           2",
        ],
    );
}

#[test]
fn mounts_and_devices() {
    check(
        &[(
            "c.volumeMounts",
            json!([
                {"name": "w", "mountPath": "/a"}, {"name": "v", "mountPath": "/a", "subPath": "../x"},
                {"name": "v", "mountPath": "/b", "mountPropagation": "Bidirectional"},
                {"name": "v", "mountPath": "/c", "recursiveReadOnly": "Enabled"},
            ]),
        )],
        &[
            "spec.containers[0].volumeMounts[0].name: Not found: \"w\"",
            "spec.containers[0].volumeMounts[1].mountPath: Invalid value: \"/a\": must be unique",
            "spec.containers[0].volumeMounts.subPath: Invalid value: \"../x\": must not contain '..'",
            "spec.containers[0].volumeMounts.mountPropagation: Forbidden: Bidirectional mount propagation is available only to \
             privileged containers",
            "spec.containers[0].volumeMounts.recursiveReadOnly: Forbidden: may only be specified when readOnly is true",
        ],
    );
    check(
        &[(
            "c.volumeDevices",
            json!([{"name": "v", "devicePath": "/dev/x"}, {"name": "claim", "devicePath": "/dev/y"}]),
        )],
        &["spec.containers[0].volumeDevices[0].name: Invalid value: \"v\": can only use volume source type of \
           PersistentVolumeClaim or Ephemeral for block mode"],
    );
}

#[test]
fn volumes() {
    let volume = |source: Value, expect: &[&str]| {
        let mut pod_volume = json!({"name": "s"});
        pod_volume.as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
        check(&[("spec.volumes", json!([pod_volume]))], expect);
    };
    volume(json!({"hostPath": {"path": ""}}), &["spec.volumes[0].hostPath.path: Required value"]);
    volume(
        json!({"hostPath": {"path": "/a/../b", "type": "Nonsense"}}),
        &[
            "spec.volumes[0].hostPath.path: Invalid value: \"/a/../b\": must not contain '..'",
            "spec.volumes[0].hostPath.type: Unsupported value: \"Nonsense\": supported values: \"\", \"BlockDevice\", \
             \"CharDevice\", \"Directory\", \"DirectoryOrCreate\", \"File\", \"FileOrCreate\", \"Socket\"",
        ],
    );
    volume(
        json!({"emptyDir": {}, "hostPath": {"path": "/"}}),
        &["spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"],
    );
    volume(json!({"gcePersistentDisk": {}}), &["spec.volumes[0].persistentDisk.pdName: Required value"]);
    volume(
        json!({"nfs": {"server": "", "path": "a"}}),
        &[
            "spec.volumes[0].nfs.server: Required value",
            "spec.volumes[0].nfs.path: Invalid value: \"a\": must be an absolute path",
        ],
    );
    volume(
        json!({"configMap": {"name": "m", "defaultMode": 512, "items": [{"key": "k", "path": "..x", "mode": 1000}]}}),
        &[
            "spec.volumes[0].configMap.defaultMode: Invalid value: 512: must be a number between 0 and 0777 (octal), both \
             inclusive",
            "spec.volumes[0].configMap.items[0].path: Invalid value: \"..x\": must not start with '..'",
            "spec.volumes[0].configMap.items[0].mode: Invalid value: 1000: must be a number between 0 and 0777 (octal), both \
             inclusive",
        ],
    );
    volume(
        json!({"projected": {"sources": [
            {"secret": {"name": "a", "items": [{"key": "k", "path": "p"}]}},
            {"configMap": {"name": "b", "items": [{"key": "k", "path": "p"}]}, "downwardAPI": {}},
        ]}}),
        &[
            "spec.volumes[0].projected: Invalid value: \"b\": conflicting duplicate paths",
            "spec.volumes[0].projected.sources[1]: Forbidden: may not specify more than 1 volume type per source",
        ],
    );
    volume(
        json!({"csi": {"driver": "Bad_Driver"}}),
        &[
            "spec.volumes[0].csi.driver: Invalid value: \"Bad_Driver\": a lowercase RFC 1123 subdomain must consist of lower case \
           alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', \
           regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
        ],
    );
    volume(
        json!({"ephemeral": {"volumeClaimTemplate": {"spec": {"accessModes": []}}}}),
        &[
            "spec.volumes[0].ephemeral.volumeClaimTemplate.spec.accessModes: Required value: at least 1 access mode is required",
            "spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources[storage]: Required value",
        ],
    );
    volume(
        json!({"iscsi": {"targetPortal": "p", "iqn": "iqn.2001-04.com.example:disk", "lun": 300}}),
        &["spec.volumes[0].iscsi.lun: Invalid value: 300: must be between 0 and 255, inclusive"],
    );
}

#[test]
fn security() {
    check(
        &[(
            "c.securityContext",
            json!({"runAsUser": -1, "procMount": "Unmasked", "allowPrivilegeEscalation": false,
            "privileged": true}),
        )],
        &[
            "spec.containers[0].securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive",
            "spec.containers[0].securityContext.procMount: Invalid value: \"Unmasked\": `hostUsers` must be false to use \
             `Unmasked`",
            "spec.containers[0].securityContext: Invalid value: {\"Capabilities\":null,\"Privileged\":true,\"SELinuxOptions\":null,\
             \"WindowsOptions\":null,\"RunAsUser\":-1,\"RunAsGroup\":null,\"RunAsNonRoot\":null,\"ReadOnlyRootFilesystem\":null,\
             \"AllowPrivilegeEscalation\":false,\"ProcMount\":\"Unmasked\",\"SeccompProfile\":null,\"AppArmorProfile\":null}: \
             cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
        ],
    );
    check(
        &[(
            "spec.securityContext",
            json!({"seccompProfile": {"type": "Localhost"}, "sysctls": [{"name": "a..b"}],
            "fsGroupChangePolicy": "X"}),
        )],
        &[
            "spec.securityContext.sysctls[0].name: Invalid value: \"a..b\": must have at most 253 characters and match regex \
             ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$",
            "spec.securityContext.fsGroupChangePolicy: Unsupported value: \"X\": supported values: \"Always\", \
             \"OnRootMismatch\"",
            "spec.securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost",
        ],
    );
    check(
        &[("spec.hostUsers", json!(false)), ("spec.hostPID", json!(true))],
        &["spec.HostPID: Forbidden: when `hostUsers` is false"],
    );
    check(
        &[("spec.os", json!({"name": "windows"})), ("c.securityContext.privileged", json!(true))],
        &["spec.containers[0].securityContext.privileged: Forbidden: cannot be set for a windows pod"],
    );
    check(
        &[("spec.os", json!({"name": "plan9"}))],
        &["spec.os: Unsupported value: \"plan9\": supported values: \"linux\", \"windows\""],
    );
}

#[test]
fn placement() {
    check(
        &[(
            "spec.tolerations",
            json!([{"operator": "Equal", "key": "", "value": "v"}, {"key": "a", "tolerationSeconds": 1}]),
        )],
        &[
            "spec.tolerations[0].operator: Invalid value: \"Equal\": operator must be Exists when `key` is empty, which means \
             \"match all values and all keys\"",
            "spec.tolerations[1].effect: Invalid value: \"\": effect must be 'NoExecute' when `tolerationSeconds` is set",
        ],
    );
    check(
        &[(
            "spec.topologySpreadConstraints",
            json!([
                {"maxSkew": 0, "topologyKey": "z", "whenUnsatisfiable": "Sometimes", "minDomains": 0},
                {"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "Sometimes"},
            ]),
        )],
        &[
            "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
            "spec.topologySpreadConstraints[0].whenUnsatisfiable: Unsupported value: \"Sometimes\": supported values: \
             \"DoNotSchedule\", \"ScheduleAnyway\"",
            "spec.topologySpreadConstraints[0].{topologyKey, whenUnsatisfiable}: Duplicate value: \"{z, Sometimes}\"",
            "spec.topologySpreadConstraints[0].minDomains: Invalid value: 0: must be greater than zero",
            "spec.topologySpreadConstraints[0].minDomains: Invalid value: 0: can only use minDomains if \
             whenUnsatisfiable=DoNotSchedule, not Sometimes",
            "spec.topologySpreadConstraints[1].whenUnsatisfiable: Unsupported value: \"Sometimes\": supported values: \
             \"DoNotSchedule\", \"ScheduleAnyway\"",
        ],
    );
    check(
        &[(
            "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution",
            json!({"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "a", "operator": "In"}], "matchFields": [{"key": "b", "operator": "Exists"}]}]}),
        )],
        &[
            "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].\
             values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
            "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchFields[0].\
             operator: Invalid value: \"Exists\": not a valid selector operator",
            "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchFields[0].\
             key: Invalid value: \"b\": not a valid field selector key",
        ],
    );
    check(
        &[("spec.schedulingGates", json!([{"name": "g"}, {"name": "g"}])), ("spec.nodeName", json!("n"))],
        &[
            "spec.schedulingGates[1]: Duplicate value: \"g\"",
            "spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared",
        ],
    );
}

#[test]
fn names_and_network() {
    check(
        &[("spec.dnsPolicy", json!("None"))],
        &["spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"],
    );
    check(
        &[(
            "spec.dnsConfig",
            json!({"nameservers": ["1.1.1.1", "x", "2.2.2.2", "3.3.3.3"], "options": [{"name": ""}]}),
        )],
        &[
            "spec.dnsConfig.nameservers: Invalid value: [\"1.1.1.1\",\"x\",\"2.2.2.2\",\"3.3.3.3\"]: must not have more than 3 \
             nameservers",
            "spec.dnsConfig.nameservers[1]: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
            "spec.dnsConfig.options[0]: Required value: must not be empty",
        ],
    );
    check(
        &[("spec.hostNetwork", json!(true)), ("c.ports", json!([{"containerPort": 80, "hostPort": 81}]))],
        &[
            "spec.containers[0].ports[0].hostPort: Invalid value: 81: must match `containerPort` when `hostNetwork` is true",
        ],
    );
    check(
        &[("spec.activeDeadlineSeconds", json!(0)), ("spec.ephemeralContainers", json!([]))],
        &["spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"],
    );
    check(
        &[("metadata.annotations", json!({"controller.kubernetes.io/pod-deletion-cost": "+3"}))],
        &[
            "metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: \"+3\": must be a 32bit integer",
        ],
    );
}

/// Complaints about a change of a pod that exists, by a function of the strategy.
fn change(validate: fn(&Value, &Value, &mut ErrorList), base: Value, changes: &[(&str, Value)], expect: &[&str]) {
    let mut old = sound();
    for (path, value) in base.as_object().unwrap() {
        set(&mut old, path, value.clone());
    }
    strategy().fill_in(&mut old);
    let mut new = old.clone();
    for (path, value) in changes {
        set(&mut new, path, value.clone());
    }
    let mut errors = ErrorList::new();
    validate(&new, &old, &mut errors);
    // What upstream adds to it, the difference, has tests of its own.
    let first = |error: &Error| error.to_string().split("\n@@").next().unwrap_or_default().to_owned();
    let got: Vec<String> = errors.iter().map(first).collect();
    assert_eq!(got, expect, "{changes:?}");
}

#[test]
fn changes_of_the_spec() {
    let update = |base: Value, changes: &[(&str, Value)], expect: &[&str]| {
        change(strategy().validate_update, base, changes, expect);
    };
    let fixed = "spec: Forbidden: pod updates may not change fields other than \
                 `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` \
                 (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it \
                 was previously negative)";
    update(json!({}), &[("c.image", json!("j"))], &[]);
    update(json!({}), &[("c.command", json!(["x"]))], &[fixed]);
    update(
        json!({}),
        &[("spec.containers", json!([]))],
        &["spec.containers: Forbidden: pod updates may not add or remove containers"],
    );
    update(
        json!({"spec.activeDeadlineSeconds": 5}),
        &[("spec.activeDeadlineSeconds", json!(6))],
        &["spec.activeDeadlineSeconds: Invalid value: 6: must be less than or equal to previous value"],
    );
    update(json!({"spec.terminationGracePeriodSeconds": -1}), &[("spec.terminationGracePeriodSeconds", json!(1))], &[]);
    update(json!({}), &[("spec.nodeSelector", json!({"a": "b"}))], &[fixed]);
    let gated = json!({"spec.schedulingGates": [{"name": "g"}], "spec.nodeSelector": {"a": "b"}});
    update(gated.clone(), &[("spec.nodeSelector", json!({"a": "b", "c": "d"}))], &[]);
    update(
        gated.clone(),
        &[("spec.nodeSelector", json!({"c": "d"}))],
        &[
            "spec.nodeSelector: Invalid value: {\"c\":\"d\"}: only additions to spec.nodeSelector are allowed (no mutations or \
           deletions)",
        ],
    );
    update(
        gated.clone(),
        &[(
            "spec.affinity.nodeAffinity",
            json!({"requiredDuringSchedulingIgnoredDuringExecution":
        {"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]}}),
        )],
        &[],
    );
    update(
        gated.clone(),
        &[("spec.schedulingGates", json!([{"name": "h"}, {"name": "h"}]))],
        &["spec.schedulingGates[1].name: Forbidden: only deletion is allowed, but found new scheduling gate 'h'"],
    );
    update(
        gated,
        &[("spec.schedulingGates", json!([{"name": "h"}]))],
        &["spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'h'"],
    );
    update(
        json!({}),
        &[("metadata.annotations", json!({"kubernetes.io/config.mirror": "x"}))],
        &["metadata.annotations[kubernetes.io/config.mirror]: Forbidden: may not add mirror pod annotation"],
    );
}

#[test]
fn changes_of_resources() {
    let resize = |base: Value, changes: &[(&str, Value)], expect: &[&str]| {
        change(super::validate_resize, base, changes, expect);
    };
    let asks = json!({"c.resources": {"requests": {"cpu": "1"}}, "status.qosClass": "Burstable"});
    resize(asks.clone(), &[("c.resources.requests.cpu", json!("2"))], &[]);
    resize(
        asks.clone(),
        &[("c.resources.requests", json!({"memory": "1Gi"}))],
        &["spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed"],
    );
    resize(
        asks.clone(),
        &[("c.resources", json!({}))],
        &[
            "spec: Invalid value: \"Burstable\": Pod QOS Class may not change as a result of resizing",
            "spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed",
        ],
    );
    resize(
        asks.clone(),
        &[("c.resources.requests.ephemeral-storage", json!("1"))],
        &["spec: Forbidden: only cpu and memory resources are mutable"],
    );
    resize(
        asks,
        &[("spec.os", json!({"name": "windows"})), ("c.name", json!("other"))],
        &["spec.containers[0].name: Forbidden: containers may not be renamed or reordered on resize"],
    );
    resize(
        json!({"metadata.annotations": {"kubernetes.io/config.mirror": "x"}}),
        &[],
        &["[]: Forbidden: static pods cannot be resized"],
    );
}

#[test]
fn changes_of_the_status() {
    let status = |base: Value, changes: &[(&str, Value)], expect: &[&str]| {
        change(strategy().validate_status, base, changes, expect);
    };
    status(json!({}), &[("status", json!({"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}]}))], &[]);
    status(
        json!({"status.qosClass": "Burstable"}),
        &[("status", json!({"qosClass": "BestEffort", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}]}))],
        &[
            "status.qosClass: Invalid value: \"BestEffort\": field is immutable",
            "status.podIPs: Invalid value: [{\"IP\":\"10.0.0.1\"},{\"IP\":\"10.0.0.2\"}]: may specify no more than one IP for \
             each IP family",
        ],
    );
    let ended = json!({"name": "c", "state": {"terminated": {"exitCode": 0}}});
    let runs = json!({"status": {"containerStatuses": [{"name": "c", "state": {"running": {}}}]}});
    let base = |policy: &str| json!({"spec.restartPolicy": policy, "status.containerStatuses": [ended]});
    status(base("Always"), &[("status", runs["status"].clone())], &[]);
    status(
        base("OnFailure"),
        &[("status", runs["status"].clone())],
        &["status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"],
    );
}
