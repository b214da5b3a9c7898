//! The rows of built-in kinds by name, for those who watch and write them.

use std::sync::Arc;

use api::Resource;

macro_rules! kinds {
    ($($name:ident = $group:literal, $version:literal, $plural:literal;)*) => {
        $(
            #[doc = concat!("The row of `", $plural, "` at `", $version, "`.")]
            pub fn $name() -> Arc<Resource> {
                match api::resource::find($group, $version, $plural) {
                    Some(row) => row.clone(),
                    None => unreachable!("the resource table has no {}", $plural),
                }
            }
        )*

        #[test]
        fn every_kind_has_a_row() {
            $( assert_eq!(&*$name().plural, $plural); )*
        }
    };
}

kinds! {
    pods = "", "v1", "pods";
    nodes = "", "v1", "nodes";
    services = "", "v1", "services";
    endpoints = "", "v1", "endpoints";
    events = "", "v1", "events";
    namespaces = "", "v1", "namespaces";
    secrets = "", "v1", "secrets";
    config_maps = "", "v1", "configmaps";
    service_accounts = "", "v1", "serviceaccounts";
    replication_controllers = "", "v1", "replicationcontrollers";
    persistent_volumes = "", "v1", "persistentvolumes";
    persistent_volume_claims = "", "v1", "persistentvolumeclaims";
    resource_quotas = "", "v1", "resourcequotas";
    limit_ranges = "", "v1", "limitranges";
    replica_sets = "apps", "v1", "replicasets";
    deployments = "apps", "v1", "deployments";
    daemon_sets = "apps", "v1", "daemonsets";
    stateful_sets = "apps", "v1", "statefulsets";
    controller_revisions = "apps", "v1", "controllerrevisions";
    jobs = "batch", "v1", "jobs";
    cron_jobs = "batch", "v1", "cronjobs";
    leases = "coordination.k8s.io", "v1", "leases";
    endpoint_slices = "discovery.k8s.io", "v1", "endpointslices";
    horizontal_pod_autoscalers = "autoscaling", "v2", "horizontalpodautoscalers";
    pod_disruption_budgets = "policy", "v1", "poddisruptionbudgets";
    priority_classes = "scheduling.k8s.io", "v1", "priorityclasses";
    certificate_signing_requests = "certificates.k8s.io", "v1", "certificatesigningrequests";
    cluster_roles = "rbac.authorization.k8s.io", "v1", "clusterroles";
    network_policies = "networking.k8s.io", "v1", "networkpolicies";
    ingresses = "networking.k8s.io", "v1", "ingresses";
    ingress_classes = "networking.k8s.io", "v1", "ingressclasses";
    service_cidrs = "networking.k8s.io", "v1", "servicecidrs";
    ip_addresses = "networking.k8s.io", "v1", "ipaddresses";
    storage_classes = "storage.k8s.io", "v1", "storageclasses";
    volume_attributes_classes = "storage.k8s.io", "v1", "volumeattributesclasses";
    csi_nodes = "storage.k8s.io", "v1", "csinodes";
    csi_drivers = "storage.k8s.io", "v1", "csidrivers";
    csi_storage_capacities = "storage.k8s.io", "v1", "csistoragecapacities";
    volume_attachments = "storage.k8s.io", "v1", "volumeattachments";
    runtime_classes = "node.k8s.io", "v1", "runtimeclasses";
    custom_resource_definitions = "apiextensions.k8s.io", "v1", "customresourcedefinitions";
    api_services = "apiregistration.k8s.io", "v1", "apiservices";
    resource_claims = "resource.k8s.io", "v1", "resourceclaims";
    resource_claim_templates = "resource.k8s.io", "v1", "resourceclaimtemplates";
    validating_admission_policies = "admissionregistration.k8s.io", "v1", "validatingadmissionpolicies";
}
