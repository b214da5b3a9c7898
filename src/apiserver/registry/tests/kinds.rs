//! What a change of the least object of a kind makes the server say: validation as clients meet it, in upstream's words.

use std::collections::HashSet;

use super::*;
use crate::tree::Tree;

/// Values by dotted path; null takes a value away.
type Changes = &'static [(&'static str, &'static str)];

fn changed(mut body: Value, changes: Changes) -> Value {
    for (path, json) in changes {
        match serde_json::from_str::<Value>(json).unwrap() {
            Value::Null => drop(body.cut(path)),
            value => body.put(path, value),
        }
    }
    body
}

fn complaint(status: &Status) -> &str {
    status.message.split_once(" is invalid: ").map_or(&status.message, |(_, complaint)| complaint)
}

const TEMPLATE: &str =
    "spec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match template `labels`";

#[rustfmt::skip]
const NEW: &[(&str, Changes, &str)] = &[
    ("deployments", &[("spec.selector", "null")], "[spec.selector: Required value, spec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match template `labels`]"),
    ("deployments", &[("spec.selector", "{}")], "spec.selector: Invalid value: {}: empty selector is invalid for deployment"),
    ("deployments", &[("spec.selector.matchLabels", r#"{"a":"c"}"#)], TEMPLATE),
    ("deployments", &[("spec.strategy", r#"{"type":"Other"}"#)], "spec.strategy: Unsupported value: {\"Type\":\"Other\",\"RollingUpdate\":null}: supported values: \"Recreate\", \"RollingUpdate\""),
    ("deployments", &[("spec.strategy", r#"{"type":"Recreate","rollingUpdate":{}}"#)], "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"),
    ("deployments", &[("spec.strategy.rollingUpdate", r#"{"maxUnavailable":0,"maxSurge":"0%"}"#)], "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"),
    ("deployments", &[("spec.strategy.rollingUpdate", r#"{"maxUnavailable":"101%"}"#)], "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"101%\": must not be greater than 100%"),
    ("deployments", &[("spec.replicas", "-1"), ("spec.progressDeadlineSeconds", "5"), ("spec.minReadySeconds", "5")], "[spec.replicas: Invalid value: -1: must be greater than or equal to 0, spec.progressDeadlineSeconds: Invalid value: 5: must be greater than minReadySeconds]"),
    ("deployments", &[("spec.template.spec.activeDeadlineSeconds", "5")], "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicaSet is not Supported"),
    ("deployments", &[("spec.template.spec.restartPolicy", r#""Never""#)], "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\""),
    ("daemonsets", &[("spec.updateStrategy", r#"{"type":"RollingUpdate","rollingUpdate":{"maxSurge":1}}"#)], "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero"),
    ("daemonsets", &[("spec.updateStrategy", r#"{"type":"RollingUpdate","rollingUpdate":{"maxUnavailable":0}}"#)], "spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0"),
    ("statefulsets", &[("spec.podManagementPolicy", r#""Random""#)], "spec.podManagementPolicy: Invalid value: \"Random\": must be 'OrderedReady' or 'Parallel'"),
    ("horizontalpodautoscalers", &[("spec.scaleTargetRef.apiVersion", "null")], "spec.scaleTargetRef.apiVersion: Invalid value: \"\": apiVersion must specify API group"),
    ("horizontalpodautoscalers", &[("spec.behavior", r#"{"scaleUp":{"policies":[]}}"#)], "spec.behavior.scaleUp.policies: Required value: must specify at least one Policy"),
    ("customresourcedefinitions", &[("metadata.name", "null")], "metadata.name: Required value: name or generateName is required"),
    ("poddisruptionbudgets", &[("metadata.name", r#""A_Name""#)], "taken"),
    ("validatingadmissionpolicies", &[("metadata.name", "null"), ("spec.auditAnnotations", r#"[{"key":"a","valueExpression":"'x'"}]"#)], "[metadata.name: Required value: name or generateName is required, spec.auditAnnotations[0].key: Invalid value: \"a\": requires metadata.name be non-empty]"),
    ("storageclasses", &[("allowedTopologies", "[{}]")], "allowedTopologies[0].matchLabelExpressions: Duplicate value: \"\""),
    ("statefulsets", &[("spec.updateStrategy", r#"{"type":"OnDelete","rollingUpdate":{"partition":1}}"#)], "spec.updateStrategy.rollingUpdate: Invalid value: {\"Partition\":1,\"MaxUnavailable\":null}: only allowed for updateStrategy 'RollingUpdate'"),
    ("statefulsets", &[("spec.persistentVolumeClaimRetentionPolicy", r#"{"whenDeleted":"Burn"}"#)], "spec.persistentVolumeClaimRetentionPolicy.whenDeleted: Unsupported value: \"Burn\": supported values: \"Retain\", \"Delete\""),
    ("replicationcontrollers", &[("spec.selector", r#"{"a":"c"}"#)], TEMPLATE),
    ("controllerrevisions", &[("data", "null"), ("revision", "-1")], "[revision: Invalid value: -1: must be greater than or equal to 0, data: Required value: data is mandatory]"),
    ("jobs", &[("spec.template.spec.restartPolicy", r#""Always""#)], "spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\""),
    ("jobs", &[("spec.completionMode", r#""Indexed""#), ("spec.parallelism", "2")], "spec.completions: Required value: when completion mode is Indexed"),
    ("jobs", &[("spec.maxFailedIndexes", "1")], "[spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified, spec.maxFailedIndexes: Invalid value: 1: requires indexed completion mode]"),
    ("jobs", &[("spec.podFailurePolicy", r#"{"rules":[{"action":"FailIndex","onExitCodes":{"operator":"In","values":[2,1,0]}},{"action":"Ignore"}]}"#)], "[spec.podFailurePolicy.rules[0].action: Invalid value: \"FailIndex\": requires the backoffLimitPerIndex to be set, spec.podFailurePolicy.rules[0].onExitCodes.values[2]: Invalid value: 0: must not be 0 for the In operator, spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [2,1,0]: must be ordered, spec.podFailurePolicy.rules[1]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required]"),
    ("jobs", &[("spec.completionMode", r#""Indexed""#), ("spec.completions", "3"), ("spec.successPolicy", r#"{"rules":[{"succeededIndexes":"0-5"},{"succeededCount":4}]}"#)], "[spec.successPolicy.rules[0].succeededIndexes: Invalid value: \"0-5\": error parsing succeededIndexes: too large index: \"5\", spec.successPolicy.rules[1].succeededCount: Invalid value: 4: must be less than or equal to 3 (the number of specified completions)]"),
    ("jobs", &[("spec.managedBy", r#""me""#)], "spec.managedBy: Invalid value: \"me\": must be a domain-prefixed path (such as \"acme.io/foo\")"),
    ("cronjobs", &[("spec.schedule", r#""61 * * * *""#), ("spec.timeZone", r#""Mars/Olympus""#)], "[spec.schedule: Invalid value: \"61 * * * *\": end of range (61) above maximum (59): 61, spec.timeZone: Invalid value: \"Mars/Olympus\": unknown time zone Mars/Olympus]"),
    ("cronjobs", &[("spec.schedule", r#""TZ=UTC * * * * *""#)], "spec.schedule: Invalid value: \"TZ=UTC * * * * *\": cannot use TZ or CRON_TZ in schedule, use timeZone field instead"),
    ("cronjobs", &[("spec.concurrencyPolicy", r#""Race""#), ("spec.jobTemplate.spec.selector", r#"{"matchLabels":{"a":"b"}}"#)], "[spec.concurrencyPolicy: Unsupported value: \"Race\": supported values: \"Allow\", \"Forbid\", \"Replace\", spec.jobTemplate.spec.selector: Invalid value: {\"matchLabels\":{\"a\":\"b\"}}: `selector` will be auto-generated]"),
    ("services", &[("spec.ports", "[]")], "spec.ports: Required value"),
    ("services", &[("spec.ports", r#"[{"port":80},{"port":80}]"#)], "[spec.ports[0].name: Required value, spec.ports[1].name: Required value, spec.ports[1]: Duplicate value: {\"Name\":\"\",\"Protocol\":\"TCP\",\"AppProtocol\":null,\"Port\":80,\"TargetPort\":0,\"NodePort\":0}]"),
    ("services", &[("spec.ports", r#"[{"port":80,"nodePort":30000}]"#)], "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"),
    ("services", &[("spec.type", r#""ExternalName""#)], "spec.externalName: Required value"),
    ("services", &[("spec.externalIPs", r#"["127.0.0.1"]"#)], "spec.externalIPs[0]: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)"),
    ("services", &[("spec.externalTrafficPolicy", r#""Local""#)], "spec.externalTrafficPolicy: Invalid value: \"Local\": may only be set for externally-accessible services"),
    ("services", &[("spec.loadBalancerClass", r#""a/b""#), ("spec.loadBalancerSourceRanges", r#"["x"]"#)], "[spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer', spec.LoadBalancerSourceRanges[0]: Invalid value: \"x\": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64), spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer']"),
    ("services", &[("spec.sessionAffinity", r#""ClientIP""#), ("spec.sessionAffinityConfig", r#"{"clientIP":{"timeoutSeconds":90000}}"#)], "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 90000: must be greater than 0 and less than 86400"),
    ("services", &[("spec.trafficDistribution", r#""Far""#)], "spec.trafficDistribution: Unsupported value: \"Far\": supported values: \"PreferClose\", \"PreferSameZone\", \"PreferSameNode\""),
    ("endpoints", &[("subsets", r#"[{"addresses":[{"ip":"169.254.0.1"}],"ports":[{"port":0}]},{}]"#)], "[subsets[0].addresses[0].ip: Invalid value: \"169.254.0.1\": may not be in the link-local range (169.254.0.0/16, fe80::/10), subsets[0].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive, subsets[1]: Required value: must specify `addresses` or `notReadyAddresses`]"),
    ("endpointslices", &[("endpoints", r#"[{"addresses":["2001:db8::1"]}]"#), ("ports", r#"[{"name":"a"},{"name":"a"}]"#)], "[ports[1].name: Duplicate value: \"a\", endpoints[0].addresses: Invalid value: \"2001:db8::1\": must be an IPv4 address]"),
    ("nodes", &[("spec.taints", r#"[{"key":"a","effect":"NoSchedule"},{"key":"a","effect":"NoSchedule"},{"key":"b","effect":"Never"}]"#)], "[metadata.taints[1]: Duplicate value: {\"Key\":\"a\",\"Value\":\"\",\"Effect\":\"NoSchedule\",\"TimeAdded\":null}: taints must be unique by key and effect pair, metadata.taints[2].effect: Unsupported value: \"Never\": supported values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\"]"),
    ("persistentvolumes", &[("spec.hostPath", "null"), ("spec.capacity", "null")], "[spec.capacity: Required value, spec.capacity: Unsupported value: null: supported values: \"storage\", spec: Required value: must specify a volume type]"),
    ("persistentvolumes", &[("spec.accessModes", r#"["ReadWriteOncePod","ReadOnlyMany"]"#)], "spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes"),
    ("persistentvolumes", &[("spec.nfs", r#"{"server":"s","path":"/"}"#)], "spec.nfs: Forbidden: may not specify more than 1 volume type"),
    ("persistentvolumes", &[("spec.hostPath", "null"), ("spec.local", r#"{"path":"/x"}"#)], "spec.nodeAffinity: Required value: Local volume requires node affinity"),
    ("persistentvolumeclaims", &[("spec.resources", "null"), ("spec.dataSourceRef", r#"{"kind":"Snapshot","name":"s"}"#)], "[spec.resources[storage]: Required value, spec.dataSource: Invalid value: \"Snapshot\": must be 'PersistentVolumeClaim' when referencing the default apiGroup, spec.dataSourceRef: Invalid value: \"Snapshot\": must be 'PersistentVolumeClaim' when referencing the default apiGroup]"),
    ("secrets", &[("type", r#""kubernetes.io/basic-auth""#)], "[data[username]: Required value, data[password]: Required value]"),
    ("secrets", &[("type", r#""kubernetes.io/dockerconfigjson""#), ("data", r#"{".dockerconfigjson":"W10="}"#)], "data[.dockerconfigjson]: Invalid value: \"<secret contents redacted>\": json: cannot unmarshal array into Go value of type map[string]interface {}"),
    ("configmaps", &[("data", r#"{"a":"x","..":"y"}"#), ("binaryData", r#"{"a":"AA=="}"#)], "[data[a]: Invalid value: \"a\": duplicate of key present in binaryData, data[..]: Invalid value: \"..\": must not be '..']"),
    ("limitranges", &[("spec.limits", r#"[{"type":"Container","min":{"cpu":"2"},"max":{"cpu":"1"}},{"type":"Pod","default":{"cpu":"1"}},{"type":"PersistentVolumeClaim"}]"#)], "[spec.limits[0].min[cpu]: Invalid value: \"2\": min value 2 is greater than max value 1, spec.limits[0].defaultRequest[cpu]: Invalid value: \"1\": min value 2 is greater than default request value 1, spec.limits[0].default[cpu]: Invalid value: \"2\": min value 2 is greater than default value 1, spec.limits[1].default: Forbidden: may not be specified when `type` is 'Pod', spec.limits[2].limits: Required value: either minimum or maximum storage value is required, but neither was provided]"),
    ("resourcequotas", &[("spec", r#"{"hard":{"pods":"1.5","bogus":"1","services":"1"},"scopes":["BestEffort","NotBestEffort","New"]}"#)], "[spec.hard[pods]: Invalid value: \"1500m\": must be an integer, spec.hard[bogus]: Invalid value: \"bogus\": must be a standard resource type or fully qualified, spec.hard[bogus]: Invalid value: \"bogus\": must be a standard resource for quota, spec.scopes: Invalid value: [\"BestEffort\",\"NotBestEffort\",\"New\"]: unsupported scope applied to resource, spec.scopes: Invalid value: [\"BestEffort\",\"NotBestEffort\",\"New\"]: unsupported scope, spec.scopes: Invalid value: [\"BestEffort\",\"NotBestEffort\",\"New\"]: conflicting scopes]"),
    ("resourcequotas", &[("spec", r#"{"hard":{"pods":"1"},"scopeSelector":{"matchExpressions":[{"scopeName":"PriorityClass","operator":"In"},{"scopeName":"BestEffort","operator":"In","values":["x"]}]}}"#)], "[spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope selector, spec.scopeSelector.matchExpressions.operator: Invalid value: \"In\": must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity]"),
    ("ingresses", &[("spec.defaultBackend", "null")], "spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"),
    ("ingresses", &[("spec.rules", r#"[{"host":"10.0.0.1","http":{"paths":[{"pathType":"Prefix","path":"a//b","backend":{}}]}}]"#)], "[spec.rules[0].host: Invalid value: \"10.0.0.1\": must be a DNS name, not an IP address, spec.rules[0].http.paths[0].path: Invalid value: \"a//b\": must be an absolute path, spec.rules[0].http.paths[0].path: Invalid value: \"a//b\": must not contain '//', spec.rules[0].http.paths[0].backend: Invalid value: \"\": resource or service backend is required]"),
    ("ingressclasses", &[("spec", r#"{"controller":"x","parameters":{"kind":"K","name":"n","scope":"Namespace"}}"#)], "[spec.controller: Invalid value: \"x\": must be a domain-prefixed path (such as \"acme.io/foo\"), spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace']"),
    ("networkpolicies", &[("spec.ingress", r#"[{"ports":[{"endPort":5},{"port":8,"endPort":5}],"from":[{},{"ipBlock":{"cidr":"10.0.0.0/8","except":["11.0.0.0/9"]},"podSelector":{}}]}]"#)], "[spec.ingress[0].ports[0].endPort: Invalid value: 5: may not be specified when `port` is not specified, spec.ingress[0].ports[1].endPort: Invalid value: 8: must be greater than or equal to `port`, spec.ingress[0].from[0]: Required value: must specify a peer, spec.ingress[0].from[1].ipBlock.except[0]: Invalid value: \"11.0.0.0/9\": must be a strict subset of `cidr`, spec.ingress[0].from[1]: Forbidden: may not specify both ipBlock and another peer]"),
    ("poddisruptionbudgets", &[("spec.maxUnavailable", r#""200%""#), ("spec.minAvailable", "null"), ("spec.unhealthyPodEvictionPolicy", r#""Never""#)], "[spec.maxUnavailable: Invalid value: \"200%\": must not be greater than 100%, spec.unhealthyPodEvictionPolicy: Unsupported value: \"Never\": supported values: \"AlwaysAllow\", \"IfHealthyBudget\"]"),
    ("horizontalpodautoscalers", &[("spec.maxReplicas", "0"), ("spec.metrics", r#"[{"type":"Pods","resource":{"name":"cpu","target":{"type":"Utilization"}}}]"#)], "[spec.maxReplicas: Invalid value: 0: must be greater than 0, spec.maxReplicas: Invalid value: 0: must be greater than or equal to `minReplicas`, spec.metrics[0].resource.target.averageUtilization: Required value: must set either a target raw value or a target utilization, spec.metrics[0].pods: Required value: must populate information for the given metric source]"),
    ("horizontalpodautoscalers", &[("spec.behavior", r#"{"scaleUp":{"stabilizationWindowSeconds":4000,"policies":[{"type":"Pods","value":0,"periodSeconds":2000}]}}"#)], "[spec.behavior.scaleUp.stabilizationWindowSeconds: Invalid value: 4000: must be less than or equal to 3600, spec.behavior.scaleUp.policies[0].value: Invalid value: 0: must be greater than zero, spec.behavior.scaleUp.policies[0].periodSeconds: Invalid value: 2000: must be less than or equal to 1800]"),
    ("storageclasses", &[("provisioner", "null"), ("reclaimPolicy", r#""Recycle""#)], "[provisioner: Required value, reclaimPolicy: Unsupported value: \"Recycle\": supported values: \"Delete\", \"Retain\"]"),
    ("volumeattachments", &[("spec.source", "{}")], "spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName"),
    ("csinodes", &[("spec.drivers", r#"[{"name":"d.io","nodeID":""},{"name":"d.io","nodeID":"n","topologyKeys":["a","a"]}]"#)], "[spec.drivers[0].nodeID: Required value, spec.drivers[1].name: Duplicate value: \"d.io\", spec.drivers[1]: Duplicate value: \"a\"]"),
    ("csidrivers", &[("spec", r#"{"fsGroupPolicy":"X","tokenRequests":[{"audience":"a","expirationSeconds":5},{"audience":"a"}]}"#)], "[spec.fsGroupPolicy: Unsupported value: \"X\": supported values: \"File\", \"None\", \"ReadWriteOnceWithFSType\", spec.tokenRequests[0].expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes, spec.tokenRequests[1].audience: Duplicate value: \"a\"]"),
    ("priorityclasses", &[("value", "1000000001")], "value: Forbidden: maximum allowed value of a user defined priority is 1000000000"),
    ("priorityclasses", &[("metadata.name", r#""system-x""#)], "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: system-x is not a known system priority class"),
    ("runtimeclasses", &[("handler", r#""A""#)], "handler: Invalid value: \"A\": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"),
    ("leases", &[("spec", r#"{"leaseDurationSeconds":0,"preferredHolder":"x"}"#)], "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"),
    ("clusterroles", &[("rules", r#"[{"nonResourceURLs":["/x"],"resources":["pods"],"verbs":[]}]"#), ("aggregationRule", "{}")], "[rules[0].verbs: Required value: verbs must contain at least one value, rules[0].nonResourceURLs: Invalid value: [\"/x\"]: rules cannot apply to both regular resources and non-resource URLs, aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector required if aggregationRule is non-nil]"),
    ("configmaps", &[("metadata.finalizers", r#"["x"]"#)], "metadata.finalizers[0]: Invalid value: \"x\": name is neither a standard finalizer name nor is it fully qualified"),
    ("configmaps", &[("metadata.ownerReferences", r#"[{"apiVersion":"v1","kind":"Event","name":"e","uid":"1"}]"#)], "metadata.ownerReferences: Invalid value: {\"apiVersion\":\"v1\",\"kind\":\"Event\",\"name\":\"e\",\"uid\":\"1\"}: /v1, Kind=Event is disallowed from being an owner"),
];

/// Rules found by asking upstream's own validation about the same objects.
#[rustfmt::skip]
const ASKED: &[(&str, Changes, &str)] = &[
    ("configmaps", &[("metadata.ownerReferences", r#"[{"kind":"A","name":"a","uid":"1"}]"#)], "metadata.ownerReferences.apiVersion: Invalid value: \"\": version must not be empty"),
    ("configmaps", &[("metadata.generation", "-1")], "metadata.generation: Invalid value: -1: must be greater than or equal to 0"),
    ("configmaps", &[("metadata.name", r#""a/b""#)], "metadata.name: Invalid value: \"a/b\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"),
    ("leases", &[("metadata.finalizers", r#"["plain"]"#)], "taken"),
    ("csinodes", &[("spec.drivers", r#"[{"nodeID":"n"}]"#)], "spec.drivers[0].name: Required value"),
    ("volumeattachments", &[("spec.attacher", r#""""#)], "spec.attacher: Required value"),
    ("volumeattachments", &[("spec.attacher", r#""A_b""#)], "spec.attacher: Invalid value: \"A_b\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"),
    ("persistentvolumes", &[("spec.hostPath", "null"), ("spec.azureDisk", r#"{"diskName":"d","diskURI":"x"}"#)], "spec.azureDisk.diskURI: Unsupported value: \"x\": supported values: \"https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd\""),
    ("persistentvolumes", &[("spec.hostPath", "null"), ("spec.quobyte", r#"{"registry":"::1","volume":"v"}"#)], "spec.quobyte.registry: Invalid value: \"::1\": must be a host:port pair or multiple pairs separated by commas"),
    ("persistentvolumeclaims", &[("spec.dataSource", r#"{"kind":"PersistentVolumeClaim","name":"a"}"#), ("spec.dataSourceRef", r#"{"kind":"PersistentVolumeClaim","name":"b"}"#)], "spec: Invalid value: {}: must match dataSourceRef"),
    ("endpointslices", &[("endpoints", r#"[{"addresses":["10.0.0.1"],"hints":{"forZones":[{},{}]}}]"#)], "endpoints[0].hints.forZones[1].name: Duplicate value: \"\""),
    ("endpointslices", &[("ports", r#"[{"protocol":"a"}]"#)], "ports[0].protocol: Unsupported value: \"a\": supported values: \"SCTP\", \"TCP\", \"UDP\""),
    ("horizontalpodautoscalers", &[("spec.maxReplicas", "0")], "[spec.maxReplicas: Invalid value: 0: must be greater than 0, spec.maxReplicas: Invalid value: 0: must be greater than or equal to `minReplicas`]"),
    ("runtimeclasses", &[("handler", "null")], "handler: Invalid value: \"\": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"),
    ("runtimeclasses", &[("scheduling", r#"{"tolerations":[{"key":"k","operator":"Gt","value":"1"}]}"#)], "scheduling.tolerations[0].operator: Unsupported value: \"Gt\": supported values: \"Equal\", \"Exists\", \"Lt\", \"Gt\""),
    ("runtimeclasses", &[("scheduling", r#"{"tolerations":[{"operator":"Exists"},{"operator":"Exists"}]}"#)], "scheduling.tolerations[1]: Duplicate value: {\"Key\":\"\",\"Operator\":\"Exists\",\"Value\":\"\",\"Effect\":\"\",\"TolerationSeconds\":null}"),
    ("priorityclasses", &[("preemptionPolicy", r#""a""#)], "preemptionPolicy: Unsupported value: \"a\": supported values: \"PreemptLowerPriority\", \"Never\""),
    ("clusterroles", &[("aggregationRule", r#"{"clusterRoleSelectors":[{"matchLabels":{"A b":"c"}}]}"#)], "[aggregationRule.clusterRoleSelectors[0].matchLabels: Invalid value: \"A b\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]'), aggregationRule.clusterRoleSelectors[0]: Invalid value: null: invalid label selector.]"),
    ("deployments.apps", &[("spec.template.spec.securityContext", r#"{"seLinuxChangePolicy":"MountOption"}"#)], "spec.template.spec.securityContext.seLinuxChangePolicy: Unsupported value: \"MountOption\": supported values: \"Recursive\""),
    ("deployments.apps", &[("spec.template.spec.initContainers", r#"[{"name":"i","image":"i","restartPolicyRules":[{"action":"Restart","exitCodes":{"operator":"In","values":[1]}}]}]"#)], "spec.template.spec.initContainers[0].restartPolicy: Required value: must specify restartPolicy when restart rules are used"),
    ("deployments.apps", &[("spec.template.spec.readinessGates", r#"[{}]"#)], "[spec.template.spec.readinessGates[0].conditionType: Invalid value: \"\": name part must be non-empty, spec.template.spec.readinessGates[0].conditionType: Invalid value: \"\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')]"),
    ("deployments.apps", &[("spec.template.spec.resourceClaims", r#"[{"name":"c"}]"#)], "spec.template.spec.resourceClaims[0]: Invalid value: {\"Name\":\"c\",\"ResourceClaimName\":null,\"ResourceClaimTemplateName\":null}: must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"),
];

#[tokio::test]
async fn new_objects() {
    let server = server().await;
    let mut wrong = Vec::new();
    for (plural, changes, expect) in NEW.iter().chain(ASKED) {
        let body = changed(sample(&server.row(plural)), changes);
        let got = match server.create(plural, body).await {
            Ok(_) => "taken".to_owned(),
            Err(status) => complaint(&status).to_owned(),
        };
        if got != *expect {
            wrong.push(format!("{plural} {changes:?}\n   got {got}\nexpect {expect}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[rustfmt::skip]
const CHANGED: &[(&str, &str, &str, &str)] = &[
    ("deployments", "", r#"{"spec":{"selector":{"matchLabels":{"c":"d"}},"template":{"metadata":{"labels":{"c":"d"}}}}}"#, "spec.selector: Invalid value: {\"matchLabels\":{\"a\":\"b\",\"c\":\"d\"}}: field is immutable"),
    ("deployments", "status", r#"{"status":{"replicas":1,"readyReplicas":2,"availableReplicas":-1}}"#, "[status.availableReplicas: Invalid value: -1: must be greater than or equal to 0, status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas]"),
    ("statefulsets", "", r#"{"spec":{"serviceName":"t"}}"#, "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"),
    ("controllerrevisions", "", r#"{"data":{"a":1}}"#, "data: Invalid value: {\"a\":1}: field is immutable"),
    ("jobs", "", r#"{"spec":{"completions":2}}"#, "spec.completions: Invalid value: 2: field is immutable"),
    ("jobs", "status", r#"{"status":{"conditions":[{"type":"Complete","status":"True"}]}}"#, "[status.completionTime: Required value: completionTime is required for Complete jobs, status.conditions: Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true condition, status.startTime: Required value: startTime is required for finished job]"),
    ("jobs", "status", r#"{"status":{"ready":2,"active":1,"completedIndexes":"0"}}"#, "[status.completedIndexes: Invalid value: \"0\": cannot set non-empty completedIndexes when non-indexed completion mode, status.ready: Invalid value: 2: cannot set more ready pods than active]"),
    ("nodes", "status", r#"{"status":{"addresses":[{"type":"Hostname","address":"h"},{"type":"Hostname","address":"h"}],"capacity":{"pods":"1.5"}}}"#, "[status.capacity.pods: Invalid value: \"1500m\": must be an integer, status.allocatable.pods: Invalid value: \"1500m\": must be an integer, status.addresses[1]: Duplicate value: {\"Type\":\"Hostname\",\"Address\":\"h\"}]"),
    ("services", "", r#"{"spec":{"clusterIP":"None"}}"#, "spec.clusterIPs[0]: Invalid value: [\"None\"]: may not change once set"),
    ("services", "status", r#"{"status":{"loadBalancer":{"ingress":[{"ip":"1.2.3.4"}]}}}"#, "status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is 'LoadBalancer'"),
    ("persistentvolumes", "", r#"{"spec":{"hostPath":{"path":"/y"}}}"#, "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation\n@@ -2,7 +2,7 @@\n  \"GCEPersistentDisk\": null,\n  \"AWSElasticBlockStore\": null,\n  \"HostPath\": {\n-  \"Path\": \"/x\",\n+  \"Path\": \"/y\",\n   \"Type\": \"\"\n  },\n  \"Glusterfs\": null,\n"),
    ("persistentvolumeclaims", "", r#"{"spec":{"resources":{"requests":{"storage":"2Gi"}}}}"#, "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n@@ -6,7 +6,7 @@\n  \"Resources\": {\n   \"Limits\": null,\n   \"Requests\": {\n-   \"storage\": \"1Gi\"\n+   \"storage\": \"2Gi\"\n   }\n  },\n  \"VolumeName\": \"\",\n"),
    ("storageclasses", "", r#"{"parameters":{}}"#, "parameters: Forbidden: updates to parameters are forbidden."),
    ("secrets", "", r#"{"data":null,"immutable":true}"#, "taken"),
    ("secrets", "", r#"{"data":{}}"#, "data: Forbidden: field is immutable when `immutable` is set"),
    ("configmaps", "", r#"{"binaryData":{}}"#, "taken"),
    ("configmaps", "", r#"{"immutable":true}"#, "taken"),
    ("configmaps", "", r#"{"binaryData":{}}"#, "binaryData: Forbidden: field is immutable when `immutable` is set"),
    ("storageclasses", "", r#"{"provisioner":"y.io/p"}"#, "provisioner: Forbidden: updates to provisioner are forbidden."),
    ("flowschemas", "status", r#"{"status":{"conditions":[{"status":"True"}]}}"#, "status.conditions[0].type: Required value"),
    ("poddisruptionbudgets", "status", r#"{"status":{"conditions":[{"type":"A","status":"True","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}"#, "status.conditions[0].reason: Required value"),
    ("priorityclasses", "", r#"{"value":6}"#, "value: Forbidden: may not be changed in an update."),
    ("poddisruptionbudgets", "status", r#"{"status":{"disruptionsAllowed":-1}}"#, "status.disruptionsAllowed: Invalid value: -1: must be greater than or equal to 0"),
    ("volumeattributesclasses", "", r#"{"parameters":{"a":"c"}}"#, "parameters: Forbidden: updates to parameters are forbidden."),
    ("servicecidrs", "", r#"{"spec":{"cidrs":["10.8.0.0/24"]}}"#, "spec.cidrs[0]: Invalid value: \"10.8.0.0/24\": field is immutable"),
    ("rolebindings", "", r#"{"roleRef":{"name":"s"}}"#, "roleRef: Invalid value: {\"APIGroup\":\"rbac.authorization.k8s.io\",\"Kind\":\"ClusterRole\",\"Name\":\"s\"}: cannot change roleRef"),
    ("ingresses", "status", r#"{"status":{"loadBalancer":{"ingress":[{"hostname":"1.2.3.4"}]}}}"#, "status.loadBalancer.ingress[0].hostname: Invalid value: \"1.2.3.4\": must be a DNS name, not an IP address"),
];

#[tokio::test]
async fn changes() {
    let server = server().await;
    let mut wrong = Vec::new();
    let mut made = HashSet::new();
    for (plural, part, patch, expect) in CHANGED {
        let body = sample(&server.row(plural));
        let name = body.text("metadata.name").to_owned();
        if made.insert(*plural) {
            server.create(plural, body).await.unwrap();
        }
        let path = format!("{plural}/{name}/{part}");
        let got = match server.merge(&path, serde_json::from_str(patch).unwrap()).await {
            Ok(_) => "taken".to_owned(),
            Err(status) => complaint(&status).to_owned(),
        };
        if got != *expect {
            wrong.push(format!("{plural} {part} {patch}\n   got {got}\nexpect {expect}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
