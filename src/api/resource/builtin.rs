//! The rows of every GA kind of Kubernetes 1.35, and of those kinds in beta that are served on request.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use super::{ALL_VERBS, Resource, Scope};

/// All built-in rows, in discovery order.
pub fn builtin() -> &'static [Arc<Resource>] {
    &ROWS
}

/// A built-in row by group, version and plural.
pub fn find(group: &str, version: &str, plural: &str) -> Option<&'static Arc<Resource>> {
    INDEX.get(&(group, version, plural)).map(|&at| &ROWS[at])
}

static ROWS: LazyLock<Vec<Arc<Resource>>> = LazyLock::new(rows);
static INDEX: LazyLock<HashMap<(&'static str, &'static str, &'static str), usize>> =
    LazyLock::new(|| ROWS.iter().enumerate().map(|(at, r)| ((&*r.group, &*r.version, &*r.plural), at)).collect());

/// One row of the table below, before it becomes a `Resource`.
#[derive(Clone, Copy)]
struct Row {
    plural: &'static str,
    kind: &'static str,
    scope: Scope,
    short: &'static [&'static str],
    categories: &'static [&'static str],
    sub: &'static [&'static str],
    fields: &'static [&'static str],
    verbs: &'static [&'static str],
    stored: bool,
    stored_as: Option<(&'static str, &'static str, &'static str)>,
}

const fn row(plural: &'static str, kind: &'static str, scope: Scope) -> Row {
    Row {
        plural,
        kind,
        scope,
        short: &[],
        categories: &[],
        sub: &[],
        fields: &[],
        verbs: ALL_VERBS,
        stored: true,
        stored_as: None,
    }
}

/// A kind in namespaces.
const fn ns(plural: &'static str, kind: &'static str) -> Row {
    row(plural, kind, Scope::Namespaced)
}

/// A kind of the cluster.
const fn cl(plural: &'static str, kind: &'static str) -> Row {
    row(plural, kind, Scope::Cluster)
}

impl Row {
    const fn short(mut self, names: &'static [&'static str]) -> Self {
        self.short = names;
        self
    }
    const fn all(mut self) -> Self {
        self.categories = &["all"];
        self
    }
    const fn category(mut self, names: &'static [&'static str]) -> Self {
        self.categories = names;
        self
    }
    const fn sub(mut self, names: &'static [&'static str]) -> Self {
        self.sub = names;
        self
    }
    const fn fields(mut self, paths: &'static [&'static str]) -> Self {
        self.fields = paths;
        self
    }
    /// Answered and forgotten: a review, a binding.
    const fn transient(mut self) -> Self {
        self.verbs = &["create"];
        self.stored = false;
        self
    }
    const fn verbs(mut self, verbs: &'static [&'static str]) -> Self {
        self.verbs = verbs;
        self
    }
    const fn unstored(mut self) -> Self {
        self.stored = false;
        self
    }
    const fn shows(mut self, group: &'static str, version: &'static str, plural: &'static str) -> Self {
        self.stored_as = Some((group, version, plural));
        self
    }
}

const STATUS: &[&str] = &["status"];
const SCALED: &[&str] = &["scale", "status"];
const EVENT_FIELDS: &[&str] = &[
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source.component",
    "type",
];

#[rustfmt::skip]
const TABLE: &[(&str, &str, &[Row])] = &[
    ("", "v1", &[
        ns("bindings", "Binding").transient(),
        cl("componentstatuses", "ComponentStatus").short(&["cs"]).verbs(&["get", "list"]).unstored(),
        ns("configmaps", "ConfigMap").short(&["cm"]),
        ns("endpoints", "Endpoints").short(&["ep"]),
        ns("events", "Event").short(&["ev"]).fields(EVENT_FIELDS),
        ns("limitranges", "LimitRange").short(&["limits"]),
        cl("namespaces", "Namespace").short(&["ns"]).sub(&["finalize", "status"]).fields(&["status.phase"])
            .verbs(&["create", "delete", "get", "list", "patch", "update", "watch"]),
        cl("nodes", "Node").short(&["no"]).sub(&["proxy", "status"]).fields(&["spec.unschedulable"]),
        ns("persistentvolumeclaims", "PersistentVolumeClaim").short(&["pvc"]).sub(STATUS),
        cl("persistentvolumes", "PersistentVolume").short(&["pv"]).sub(STATUS),
        ns("pods", "Pod").short(&["po"]).all()
            .sub(&["attach", "binding", "ephemeralcontainers", "eviction", "exec", "log", "portforward", "proxy", "resize", "status"])
            .fields(&["spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork",
                      "status.phase", "status.podIP", "status.podIPs", "status.nominatedNodeName"]),
        ns("podtemplates", "PodTemplate"),
        ns("replicationcontrollers", "ReplicationController").short(&["rc"]).all().sub(SCALED).fields(&["status.replicas"]),
        ns("resourcequotas", "ResourceQuota").short(&["quota"]).sub(STATUS),
        ns("secrets", "Secret").fields(&["type"]),
        ns("serviceaccounts", "ServiceAccount").short(&["sa"]).sub(&["token"]),
        ns("services", "Service").short(&["svc"]).all().sub(&["proxy", "status"]).fields(&["spec.clusterIP", "spec.type"]),
    ]),
    ("admissionregistration.k8s.io", "v1", &[
        cl("mutatingwebhookconfigurations", "MutatingWebhookConfiguration").category(&["api-extensions"]),
        cl("validatingadmissionpolicies", "ValidatingAdmissionPolicy").category(&["api-extensions"]).sub(STATUS),
        cl("validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding").category(&["api-extensions"]),
        cl("validatingwebhookconfigurations", "ValidatingWebhookConfiguration").category(&["api-extensions"]),
    ]),
    ("admissionregistration.k8s.io", "v1beta1", &[
        cl("mutatingadmissionpolicies", "MutatingAdmissionPolicy").category(&["api-extensions"]),
        cl("mutatingadmissionpolicybindings", "MutatingAdmissionPolicyBinding").category(&["api-extensions"]),
    ]),
    ("apiextensions.k8s.io", "v1", &[
        cl("customresourcedefinitions", "CustomResourceDefinition").short(&["crd", "crds"]).category(&["api-extensions"]).sub(STATUS),
    ]),
    ("apiregistration.k8s.io", "v1", &[
        cl("apiservices", "APIService").category(&["api-extensions"]).sub(STATUS),
    ]),
    ("apps", "v1", &[
        ns("controllerrevisions", "ControllerRevision"),
        ns("daemonsets", "DaemonSet").short(&["ds"]).all().sub(STATUS),
        ns("deployments", "Deployment").short(&["deploy"]).all().sub(SCALED),
        ns("replicasets", "ReplicaSet").short(&["rs"]).all().sub(SCALED).fields(&["status.replicas"]),
        ns("statefulsets", "StatefulSet").short(&["sts"]).all().sub(SCALED),
    ]),
    ("authentication.k8s.io", "v1", &[
        cl("selfsubjectreviews", "SelfSubjectReview").transient(),
        cl("tokenreviews", "TokenReview").transient(),
    ]),
    ("authorization.k8s.io", "v1", &[
        ns("localsubjectaccessreviews", "LocalSubjectAccessReview").transient(),
        cl("selfsubjectaccessreviews", "SelfSubjectAccessReview").transient(),
        cl("selfsubjectrulesreviews", "SelfSubjectRulesReview").transient(),
        cl("subjectaccessreviews", "SubjectAccessReview").transient(),
    ]),
    ("autoscaling", "v2", &[
        ns("horizontalpodautoscalers", "HorizontalPodAutoscaler").short(&["hpa"]).all().sub(STATUS),
    ]),
    ("autoscaling", "v1", &[
        ns("horizontalpodautoscalers", "HorizontalPodAutoscaler").short(&["hpa"]).all().sub(STATUS)
            .shows("autoscaling", "v2", "horizontalpodautoscalers"),
    ]),
    ("batch", "v1", &[
        ns("cronjobs", "CronJob").short(&["cj"]).all().sub(STATUS),
        ns("jobs", "Job").all().sub(STATUS).fields(&["status.successful"]),
    ]),
    ("certificates.k8s.io", "v1", &[
        cl("certificatesigningrequests", "CertificateSigningRequest").short(&["csr"]).sub(&["approval", "status"]).fields(&["spec.signerName"]),
    ]),
    ("coordination.k8s.io", "v1", &[ns("leases", "Lease")]),
    ("discovery.k8s.io", "v1", &[ns("endpointslices", "EndpointSlice")]),
    ("events.k8s.io", "v1", &[ns("events", "Event").short(&["ev"]).shows("", "v1", "events")]),
    ("flowcontrol.apiserver.k8s.io", "v1", &[
        cl("flowschemas", "FlowSchema").sub(STATUS),
        cl("prioritylevelconfigurations", "PriorityLevelConfiguration").sub(STATUS),
    ]),
    ("networking.k8s.io", "v1", &[
        cl("ingressclasses", "IngressClass"),
        ns("ingresses", "Ingress").short(&["ing"]).sub(STATUS),
        cl("ipaddresses", "IPAddress").short(&["ip"]),
        ns("networkpolicies", "NetworkPolicy").short(&["netpol"]),
        cl("servicecidrs", "ServiceCIDR").sub(STATUS),
    ]),
    ("node.k8s.io", "v1", &[cl("runtimeclasses", "RuntimeClass")]),
    ("policy", "v1", &[ns("poddisruptionbudgets", "PodDisruptionBudget").short(&["pdb"]).sub(STATUS)]),
    ("rbac.authorization.k8s.io", "v1", &[
        cl("clusterrolebindings", "ClusterRoleBinding"),
        cl("clusterroles", "ClusterRole"),
        ns("rolebindings", "RoleBinding"),
        ns("roles", "Role"),
    ]),
    ("resource.k8s.io", "v1", &[
        cl("deviceclasses", "DeviceClass"),
        ns("resourceclaims", "ResourceClaim").sub(STATUS),
        ns("resourceclaimtemplates", "ResourceClaimTemplate"),
        cl("resourceslices", "ResourceSlice").fields(&["spec.nodeName", "spec.driver"]),
    ]),
    ("scheduling.k8s.io", "v1", &[cl("priorityclasses", "PriorityClass").short(&["pc"])]),
    ("storage.k8s.io", "v1", &[
        cl("csidrivers", "CSIDriver"),
        cl("csinodes", "CSINode"),
        ns("csistoragecapacities", "CSIStorageCapacity"),
        cl("storageclasses", "StorageClass").short(&["sc"]),
        cl("volumeattachments", "VolumeAttachment").sub(STATUS),
        cl("volumeattributesclasses", "VolumeAttributesClass").short(&["vac"]),
    ]),
];

fn rows() -> Vec<Arc<Resource>> {
    let boxed = |names: &[&str]| names.iter().map(|n| Box::from(*n)).collect::<Vec<Box<str>>>();
    let each = TABLE.iter().flat_map(|(group, version, rows)| rows.iter().map(move |row| (*group, *version, row)));
    each.map(|(group, version, row)| {
        Arc::new(Resource {
            group: group.into(),
            version: version.into(),
            plural: row.plural.into(),
            singular: row.kind.to_ascii_lowercase().into(),
            kind: row.kind.into(),
            list_kind: format!("{}List", row.kind).into(),
            scope: row.scope,
            short_names: boxed(row.short),
            categories: boxed(row.categories),
            subresources: boxed(row.sub),
            fields: boxed(row.fields),
            columns: Vec::new(),
            verbs: row.verbs,
            stored_as: row.stored_as,
            stored: row.stored,
            builtin: true,
            custom: None,
        })
    })
    .collect()
}
