//! The roles and bindings every cluster has: rule by rule and in the order of upstream 1.35 with its default features.
//! Two things differ on purpose: nodes are bound to `system:node-proxier`, and controllers that may update may also patch.
//!
//! A rule is one line: `verbs : groups : resources [: names]`, or `verbs : paths` for what is no resource. `core` stands for
//! the group without a name, `RW` for all verbs on objects, `RO` for reading.

mod controllers;
#[cfg(test)]
mod tests;

use serde_json::{Value, json};

use super::Rule;

const READ_WRITE: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const WRITE: &[&str] = &["create", "delete", "deletecollection", "patch", "update"];
const READ: &[&str] = &["get", "list", "watch"];
const EVENTS: &str = "create patch update : core events.k8s.io : events";

/// Reads one line of the tables.
fn rule(line: &str) -> Rule {
    let words = |part: &str| part.split_whitespace().map(Into::into).collect::<Vec<Box<str>>>();
    let mut parts = line.split(" : ");
    let verbs = parts.next().unwrap_or_default();
    let verbs = match verbs.trim() {
        "RW" => READ_WRITE.iter().map(|v| (*v).into()).collect(),
        "W" => WRITE.iter().map(|v| (*v).into()).collect(),
        "RO" => READ.iter().map(|v| (*v).into()).collect(),
        verbs => words(verbs),
    };
    let second = words(parts.next().unwrap_or_default());
    let Some(resources) = parts.next() else { return Rule { verbs, non_resource_urls: second, ..Rule::default() } };
    let api_groups = second.into_iter().map(|group| if &*group == "core" { "".into() } else { group }).collect();
    let resource_names = words(parts.next().unwrap_or_default());
    Rule { verbs, api_groups, resources: words(resources), resource_names, ..Rule::default() }
}

/// What the node authorizer lets nodes do beyond what it looks at object by object; also the role `system:node`.
pub(super) fn node_rules() -> Vec<Rule> {
    NODE.iter().map(|line| rule(line)).collect()
}

const NODE: &[&str] = &[
    "create : authentication.k8s.io : tokenreviews",
    "create : authorization.k8s.io : localsubjectaccessreviews subjectaccessreviews",
    "RO : core : services",
    "create get list watch : core : nodes",
    "patch update : core : nodes/status",
    "patch update : core : nodes",
    EVENTS,
    "RO : core : pods",
    "create delete : core : pods",
    "patch update : core : pods/status",
    "create : core : pods/eviction",
    "RO : core : configmaps secrets",
    "get : core : persistentvolumeclaims persistentvolumes",
    "get : core : endpoints",
    "create get list watch : certificates.k8s.io : certificatesigningrequests",
    "create delete get patch update : coordination.k8s.io : leases",
    "get : storage.k8s.io : volumeattachments",
    "create : core : serviceaccounts/token",
    "get patch update : core : persistentvolumeclaims/status",
    "RO : storage.k8s.io : csidrivers",
    "create delete get patch update : storage.k8s.io : csinodes",
    "RO : node.k8s.io : runtimeclasses",
    "get : resource.k8s.io : resourceclaims",
    "deletecollection : resource.k8s.io : resourceslices",
    "get : core : serviceaccounts",
];

/// Cluster roles: name, extra label, rules.
const CLUSTER_ROLES: &[(&str, &str, &[&str])] = &[
    ("cluster-admin", "", &["* : * : *", "* : *"]),
    (
        "system:discovery",
        "",
        &["get : /api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/"],
    ),
    (
        "system:monitoring",
        "",
        &[
            "get : /healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*",
            "get : core : nodes/metrics",
        ],
    ),
    ("system:public-info-viewer", "", &["get : /healthz /livez /readyz /version /version/"]),
    (
        "system:basic-user",
        "",
        &[
            "create : authorization.k8s.io : selfsubjectaccessreviews selfsubjectrulesreviews",
            "create : authentication.k8s.io : selfsubjectreviews",
        ],
    ),
    (
        "system:aggregate-to-admin",
        "admin",
        &[
            "create : authorization.k8s.io : localsubjectaccessreviews",
            "RW : rbac.authorization.k8s.io : rolebindings roles",
        ],
    ),
    (
        "system:aggregate-to-edit",
        "edit",
        &[
            "RO : core : pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy",
            "impersonate : core : serviceaccounts",
            "W : core : pods pods/attach pods/exec pods/portforward pods/proxy",
            "create : core : pods/eviction",
            "W : core : configmaps persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets serviceaccounts services services/proxy",
            "create : core : serviceaccounts/token",
            "W : core events.k8s.io : events",
            "W : apps : daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale statefulsets statefulsets/scale",
            "W : autoscaling : horizontalpodautoscalers",
            "W : batch : cronjobs jobs",
            "W : extensions : daemonsets deployments deployments/rollback deployments/scale ingresses networkpolicies replicasets replicasets/scale replicationcontrollers/scale",
            "W : policy : poddisruptionbudgets",
            "W : networking.k8s.io : ingresses networkpolicies",
            "RW : coordination.k8s.io : leases",
            "W : resource.k8s.io : resourceclaims resourceclaimtemplates",
        ],
    ),
    (
        "system:aggregate-to-view",
        "view",
        &[
            "RO : core : configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods replicationcontrollers replicationcontrollers/scale serviceaccounts services services/status",
            "RO : core : bindings limitranges namespaces/status pods/log pods/status replicationcontrollers/status resourcequotas resourcequotas/status",
            "RO : core : namespaces",
            "RO : core events.k8s.io : events",
            "RO : discovery.k8s.io : endpointslices",
            "RO : apps : controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status replicasets replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status",
            "RO : autoscaling : horizontalpodautoscalers horizontalpodautoscalers/status",
            "RO : batch : cronjobs cronjobs/status jobs jobs/status",
            "RO : extensions : daemonsets daemonsets/status deployments deployments/scale deployments/status ingresses ingresses/status networkpolicies replicasets replicasets/scale replicasets/status replicationcontrollers/scale",
            "RO : policy : poddisruptionbudgets poddisruptionbudgets/status",
            "RO : networking.k8s.io : ingresses ingresses/status networkpolicies",
            "RO : resource.k8s.io : resourceclaims resourceclaims/status resourceclaimtemplates",
        ],
    ),
    ("system:heapster", "", &["RO : core : events namespaces nodes pods", "RO : extensions : deployments"]),
    ("system:node", "", NODE),
    ("system:node-problem-detector", "", &["get : core : nodes", "patch : core : nodes/status", EVENTS]),
    (
        "system:kubelet-api-admin",
        "",
        &[
            "RO : core : nodes",
            "proxy : core : nodes",
            "* : core : nodes/log nodes/metrics nodes/proxy nodes/stats",
            "* : core : nodes/configz nodes/healthz nodes/pods",
        ],
    ),
    ("system:node-bootstrapper", "", &["create get list watch : certificates.k8s.io : certificatesigningrequests"]),
    (
        "system:auth-delegator",
        "",
        &["create : authentication.k8s.io : tokenreviews", "create : authorization.k8s.io : subjectaccessreviews"],
    ),
    ("system:kube-aggregator", "", &["RO : core : endpoints services"]),
    (
        "system:kube-controller-manager",
        "",
        &[
            EVENTS,
            "create : coordination.k8s.io : leases",
            "get update : coordination.k8s.io : leases : kube-controller-manager",
            "create : core : secrets serviceaccounts",
            "delete : core : secrets",
            "get : core : configmaps namespaces secrets serviceaccounts",
            "update : core : secrets serviceaccounts",
            "create : authentication.k8s.io : tokenreviews",
            "create : authorization.k8s.io : subjectaccessreviews",
            "list watch : * : *",
            "create : core : serviceaccounts/token",
        ],
    ),
    ("system:kube-dns", "", &["list watch : core : endpoints services"]),
    (
        "system:persistent-volume-provisioner",
        "",
        &[
            "create delete get list watch : core : persistentvolumes",
            "get list update watch : core : persistentvolumeclaims",
            "RO : storage.k8s.io : storageclasses",
            "watch : core : events",
            EVENTS,
        ],
    ),
    (
        "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
        "",
        &["create : certificates.k8s.io : certificatesigningrequests/nodeclient"],
    ),
    (
        "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
        "",
        &["create : certificates.k8s.io : certificatesigningrequests/selfnodeclient"],
    ),
    (
        "system:certificates.k8s.io:kube-apiserver-client-approver",
        "",
        &["approve : certificates.k8s.io : signers : kubernetes.io/kube-apiserver-client"],
    ),
    (
        "system:certificates.k8s.io:kube-apiserver-client-kubelet-approver",
        "",
        &["approve : certificates.k8s.io : signers : kubernetes.io/kube-apiserver-client-kubelet"],
    ),
    (
        "system:certificates.k8s.io:kubelet-serving-approver",
        "",
        &["approve : certificates.k8s.io : signers : kubernetes.io/kubelet-serving"],
    ),
    (
        "system:certificates.k8s.io:legacy-unknown-approver",
        "",
        &["approve : certificates.k8s.io : signers : kubernetes.io/legacy-unknown"],
    ),
    (
        "system:volume-scheduler",
        "",
        &[
            "get list patch update watch : core : persistentvolumes",
            "RO : storage.k8s.io : storageclasses",
            "get list patch update watch : core : persistentvolumeclaims",
        ],
    ),
    (
        "system:service-account-issuer-discovery",
        "",
        &[
            "get : /.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks /openid/v1/jwks/",
        ],
    ),
    (
        "system:node-proxier",
        "",
        &[
            "list watch : core : endpoints services",
            "RO : core : nodes",
            EVENTS,
            "list watch : networking.k8s.io : servicecidrs",
            "list watch : discovery.k8s.io : endpointslices",
        ],
    ),
    (
        "system:kube-scheduler",
        "",
        &[
            EVENTS,
            "create : coordination.k8s.io : leases",
            "get list update watch : coordination.k8s.io : leases : kube-scheduler",
            "create delete deletecollection get list patch update watch : coordination.k8s.io : leasecandidates",
            "RO : core : nodes",
            "delete get list watch : core : pods",
            "create : core : bindings pods/binding",
            "patch update : core : pods/status",
            "RO : core : replicationcontrollers services",
            "RO : apps extensions : replicasets",
            "RO : apps : statefulsets",
            "RO : policy : poddisruptionbudgets",
            "RO : core : persistentvolumeclaims persistentvolumes",
            "create : authentication.k8s.io : tokenreviews",
            "create : authorization.k8s.io : subjectaccessreviews",
            "RO : storage.k8s.io : csinodes",
            "RO : storage.k8s.io : volumeattachments",
            "RO : core : namespaces",
            "RO : storage.k8s.io : csidrivers",
            "RO : storage.k8s.io : csistoragecapacities",
            "RO : resource.k8s.io : deviceclasses",
            "get list patch update watch : resource.k8s.io : resourceclaims",
            "get list patch update watch : resource.k8s.io : resourceclaims/status",
            "update : core : pods/finalizers",
            "RO : resource.k8s.io : resourceslices",
        ],
    ),
];

/// Cluster roles that take over the rules of others: name, the aggregate they are part of, the aggregate they make.
const AGGREGATES: &[(&str, &str, &str)] =
    &[("admin", "", "admin"), ("edit", "admin", "edit"), ("view", "edit", "view")];

/// Cluster role bindings: role, subjects. `g:` is a group, `u:` a user, `s:` a service account of `kube-system`.
const CLUSTER_BINDINGS: &[(&str, &[&str])] = &[
    ("cluster-admin", &["g:system:masters"]),
    ("system:monitoring", &["g:system:monitoring"]),
    ("system:discovery", &["g:system:authenticated"]),
    ("system:basic-user", &["g:system:authenticated"]),
    ("system:public-info-viewer", &["g:system:authenticated", "g:system:unauthenticated"]),
    // Nodes run the service proxy, the pod network and cluster DNS themselves, under their own identity.
    ("system:node-proxier", &["u:system:kube-proxy", "g:system:nodes"]),
    ("system:kube-controller-manager", &["u:system:kube-controller-manager"]),
    ("system:kube-dns", &["s:kube-dns"]),
    ("system:kube-scheduler", &["u:system:kube-scheduler"]),
    ("system:volume-scheduler", &["u:system:kube-scheduler"]),
    ("system:node", &[]),
    ("system:service-account-issuer-discovery", &["g:system:serviceaccounts"]),
];

/// Roles in namespaces: namespace, name, rules.
const ROLES: &[(&str, &str, &[&str])] = &[
    (
        "kube-public",
        "system:controller:bootstrap-signer",
        &["RO : core : configmaps", "update : core : configmaps : cluster-info", EVENTS],
    ),
    (
        "kube-system",
        "extension-apiserver-authentication-reader",
        &["RO : core : configmaps : extension-apiserver-authentication"],
    ),
    (
        "kube-system",
        "system::leader-locking-kube-controller-manager",
        &[
            "create get list update watch : coordination.k8s.io : leases",
            "create get list update watch : coordination.k8s.io : leasecandidates",
        ],
    ),
    (
        "kube-system",
        "system::leader-locking-kube-scheduler",
        &[
            "create get list update watch : coordination.k8s.io : leases",
            "create get list update watch : coordination.k8s.io : leasecandidates",
        ],
    ),
    ("kube-system", "system:controller:bootstrap-signer", &["RO : core : secrets"]),
    ("kube-system", "system:controller:cloud-provider", &["create get list watch : core : configmaps"]),
    ("kube-system", "system:controller:token-cleaner", &["delete get list watch : core : secrets", EVENTS]),
];

/// Bindings in namespaces: namespace, name, role, subjects.
const BINDINGS: &[(&str, &str, &str, &[&str])] = &[
    (
        "kube-public",
        "system:controller:bootstrap-signer",
        "system:controller:bootstrap-signer",
        &["s:bootstrap-signer"],
    ),
    (
        "kube-system",
        "system::extension-apiserver-authentication-reader",
        "extension-apiserver-authentication-reader",
        &["u:system:kube-controller-manager", "u:system:kube-scheduler"],
    ),
    (
        "kube-system",
        "system::leader-locking-kube-controller-manager",
        "system::leader-locking-kube-controller-manager",
        &["u:system:kube-controller-manager", "s:kube-controller-manager", "s:leader-election-controller"],
    ),
    (
        "kube-system",
        "system::leader-locking-kube-scheduler",
        "system::leader-locking-kube-scheduler",
        &["u:system:kube-scheduler", "s:kube-scheduler"],
    ),
    (
        "kube-system",
        "system:controller:bootstrap-signer",
        "system:controller:bootstrap-signer",
        &["s:bootstrap-signer"],
    ),
    ("kube-system", "system:controller:cloud-provider", "system:controller:cloud-provider", &["s:cloud-provider"]),
    ("kube-system", "system:controller:token-cleaner", "system:controller:token-cleaner", &["s:token-cleaner"]),
];

/// Every object of this policy: plural, namespace, name and the whole object, roles before the bindings that name them.
pub(super) fn objects() -> Vec<(&'static str, &'static str, String, Value)> {
    let mut objects = Vec::new();
    let rules = |lines: &[&str]| lines.iter().map(|line| rule(line)).collect::<Vec<Rule>>();
    let mut cluster_role = |name: &str, label: &str, rules: Vec<Rule>, aggregate: &str| {
        let mut object = object("ClusterRole", "", name);
        if !label.is_empty() {
            object["metadata"]["labels"][format!("rbac.authorization.k8s.io/aggregate-to-{label}")] = json!("true");
        }
        if !aggregate.is_empty() {
            let labels = json!({ format!("rbac.authorization.k8s.io/aggregate-to-{aggregate}"): "true" });
            object["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": labels}]});
        }
        object["rules"] = json!(rules);
        objects.push(("clusterroles", "", name.to_owned(), object));
    };
    for (name, label, lines) in CLUSTER_ROLES {
        cluster_role(name, label, rules(lines), "");
    }
    for (name, label, aggregate) in AGGREGATES {
        cluster_role(name, label, Vec::new(), aggregate);
    }
    for (name, lines) in controllers::ROLES {
        let mut rules = rules(lines);
        for rule in rules.iter_mut().filter(|r| r.verbs.iter().any(|v| &**v == "update")) {
            if rule.verbs.iter().all(|verb| &**verb != "patch") {
                rule.verbs.push("patch".into());
                rule.verbs.sort_unstable();
            }
        }
        cluster_role(&format!("system:controller:{name}"), "", rules, "");
    }
    for (role, subjects) in CLUSTER_BINDINGS {
        let object = binding("ClusterRoleBinding", "", role, ("ClusterRole", role), subjects);
        objects.push(("clusterrolebindings", "", (*role).to_owned(), object));
    }
    for (name, _) in controllers::ROLES {
        let role = format!("system:controller:{name}");
        let object = binding("ClusterRoleBinding", "", &role, ("ClusterRole", &role), &[&format!("s:{name}")]);
        objects.push(("clusterrolebindings", "", role, object));
    }
    for (namespace, name, lines) in ROLES {
        let mut object = object("Role", namespace, name);
        object["rules"] = json!(rules(lines));
        objects.push(("roles", namespace, (*name).to_owned(), object));
    }
    for (namespace, name, role, subjects) in BINDINGS {
        let object = binding("RoleBinding", namespace, name, ("Role", role), subjects);
        objects.push(("rolebindings", namespace, (*name).to_owned(), object));
    }
    objects
}

fn object(kind: &str, namespace: &str, name: &str) -> Value {
    let mut metadata = json!({
        "name": name,
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
    });
    if !namespace.is_empty() {
        metadata["namespace"] = json!(namespace);
    }
    json!({"kind": kind, "apiVersion": "rbac.authorization.k8s.io/v1", "metadata": metadata})
}

fn binding(kind: &str, namespace: &str, name: &str, role: (&str, &str), subjects: &[&str]) -> Value {
    const GROUP: &str = "rbac.authorization.k8s.io";
    let subject = |subject: &&str| match subject.split_at(2) {
        ("g:", name) => json!({"kind": "Group", "apiGroup": GROUP, "name": name}),
        ("u:", name) => json!({"kind": "User", "apiGroup": GROUP, "name": name}),
        (_, name) => json!({"kind": "ServiceAccount", "name": name, "namespace": "kube-system"}),
    };
    let mut object = object(kind, namespace, name);
    let subjects: Vec<Value> = subjects.iter().map(subject).collect();
    if !subjects.is_empty() {
        object["subjects"] = json!(subjects);
    }
    object["roleRef"] = json!({"apiGroup": GROUP, "kind": role.0, "name": role.1});
    object
}
