//! What the fields of built-in kinds mean, for `kubectl explain`: upstream's descriptions, which travel with the
//! `k8s-openapi` crate as part of its JSON schemas. They are read when a document is made, and dropped with it.

use k8s_openapi::schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value};

/// The descriptions of one group-version's types, and of all types they lead to.
pub(super) struct Descriptions(Map<String, Value>);

impl Descriptions {
    /// A type that is in all descriptions, with fields every kind has.
    pub(super) const AN_OBJECT: &str = "io.k8s.api.core.v1.ConfigMap";

    /// Reads those of one group-version; a group of custom resources has those of the metadata.
    pub(super) fn of(group: &str, version: &str) -> Self {
        let mut generator = SchemaGenerator::default();
        for add in roots(group, version).iter().chain(EVERYWHERE) {
            add(&mut generator);
        }
        Self(generator.take_definitions(false))
    }

    /// What a type is.
    pub(super) fn of_type(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.get("description")?.as_str()
    }

    /// What a field of a type is. Lists have no types of their own in the crate.
    pub(super) fn of_field(&self, name: &str, field: &str) -> Option<&str> {
        let description = |name: &str| self.0.get(name)?.get("properties")?.get(field)?.get("description")?.as_str();
        description(name).or_else(|| match field {
            "apiVersion" | "kind" => description("io.k8s.apimachinery.pkg.apis.meta.v1.Status"),
            "items" if name.ends_with("List") => Some("The objects."),
            "object" if name.ends_with(".WatchEvent") => {
                Some("The object as it is now, or was; for an error its Status.")
            }
            "metadata" if name.ends_with("List") => description("io.k8s.apimachinery.pkg.apis.meta.v1.Status"),
            _ => None,
        })
    }
}

type Add = fn(&mut SchemaGenerator);

fn add<T: JsonSchema>(generator: &mut SchemaGenerator) {
    generator.subschema_for::<T>();
}

macro_rules! types {
    ($module:path => $($name:ident)+) => {{
        use $module as module;
        &[$(add::<module::$name> as Add),+]
    }};
}

const EVERYWHERE: &[Add] = &[
    add::<k8s_openapi::api::core::v1::ConfigMap>,
    add::<k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResourceList>,
    add::<k8s_openapi::apimachinery::pkg::apis::meta::v1::DeleteOptions>,
    add::<k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector>,
    add::<k8s_openapi::apimachinery::pkg::apis::meta::v1::ListMeta>,
    add::<k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta>,
    add::<k8s_openapi::apimachinery::pkg::apis::meta::v1::Patch>,
    add::<k8s_openapi::apimachinery::pkg::apis::meta::v1::Status>,
];

fn roots(group: &str, version: &str) -> &'static [Add] {
    match (group, version) {
        ("", "v1") => CORE,
        ("admissionregistration.k8s.io", "v1") => types!(k8s_openapi::api::admissionregistration::v1 =>
            MutatingWebhookConfiguration ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding
            ValidatingWebhookConfiguration),
        ("admissionregistration.k8s.io", "v1beta1") => types!(k8s_openapi::api::admissionregistration::v1beta1 =>
            MutatingAdmissionPolicy MutatingAdmissionPolicyBinding),
        ("apiextensions.k8s.io", "v1") => {
            types!(k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1 => CustomResourceDefinition)
        }
        ("apiregistration.k8s.io", "v1") => {
            types!(k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1 => APIService)
        }
        ("apps", "v1") => APPS,
        ("authentication.k8s.io", "v1") => {
            types!(k8s_openapi::api::authentication::v1 => SelfSubjectReview TokenRequest TokenReview)
        }
        ("authorization.k8s.io", "v1") => types!(k8s_openapi::api::authorization::v1 =>
            LocalSubjectAccessReview SelfSubjectAccessReview SelfSubjectRulesReview SubjectAccessReview),
        ("autoscaling", "v1") => types!(k8s_openapi::api::autoscaling::v1 => HorizontalPodAutoscaler Scale),
        ("autoscaling", "v2") => types!(k8s_openapi::api::autoscaling::v2 => HorizontalPodAutoscaler),
        ("batch", "v1") => types!(k8s_openapi::api::batch::v1 => CronJob Job),
        ("certificates.k8s.io", "v1") => types!(k8s_openapi::api::certificates::v1 => CertificateSigningRequest),
        ("coordination.k8s.io", "v1") => types!(k8s_openapi::api::coordination::v1 => Lease),
        ("discovery.k8s.io", "v1") => types!(k8s_openapi::api::discovery::v1 => EndpointSlice),
        ("events.k8s.io", "v1") => types!(k8s_openapi::api::events::v1 => Event),
        ("flowcontrol.apiserver.k8s.io", "v1") => {
            types!(k8s_openapi::api::flowcontrol::v1 => FlowSchema PriorityLevelConfiguration)
        }
        ("networking.k8s.io", "v1") => {
            types!(k8s_openapi::api::networking::v1 => Ingress IngressClass IPAddress NetworkPolicy ServiceCIDR)
        }
        ("node.k8s.io", "v1") => types!(k8s_openapi::api::node::v1 => RuntimeClass),
        ("policy", "v1") => types!(k8s_openapi::api::policy::v1 => Eviction PodDisruptionBudget),
        ("rbac.authorization.k8s.io", "v1") => {
            types!(k8s_openapi::api::rbac::v1 => ClusterRole ClusterRoleBinding Role RoleBinding)
        }
        ("resource.k8s.io", "v1") => {
            types!(k8s_openapi::api::resource::v1 => DeviceClass ResourceClaim ResourceClaimTemplate ResourceSlice)
        }
        ("scheduling.k8s.io", "v1") => types!(k8s_openapi::api::scheduling::v1 => PriorityClass),
        ("storage.k8s.io", "v1") => types!(k8s_openapi::api::storage::v1 =>
            CSIDriver CSINode CSIStorageCapacity StorageClass VolumeAttachment VolumeAttributesClass),
        _ => &[],
    }
}

const CORE: &[Add] = &[
    add::<k8s_openapi::api::authentication::v1::TokenRequest>,
    add::<k8s_openapi::api::autoscaling::v1::Scale>,
    add::<k8s_openapi::api::core::v1::Binding>,
    add::<k8s_openapi::api::core::v1::ComponentStatus>,
    add::<k8s_openapi::api::core::v1::ConfigMap>,
    add::<k8s_openapi::api::core::v1::Endpoints>,
    add::<k8s_openapi::api::core::v1::Event>,
    add::<k8s_openapi::api::core::v1::LimitRange>,
    add::<k8s_openapi::api::core::v1::Namespace>,
    add::<k8s_openapi::api::core::v1::Node>,
    add::<k8s_openapi::api::core::v1::PersistentVolume>,
    add::<k8s_openapi::api::core::v1::PersistentVolumeClaim>,
    add::<k8s_openapi::api::core::v1::Pod>,
    add::<k8s_openapi::api::core::v1::PodTemplate>,
    add::<k8s_openapi::api::core::v1::ReplicationController>,
    add::<k8s_openapi::api::core::v1::ResourceQuota>,
    add::<k8s_openapi::api::core::v1::Secret>,
    add::<k8s_openapi::api::core::v1::Service>,
    add::<k8s_openapi::api::core::v1::ServiceAccount>,
    add::<k8s_openapi::api::policy::v1::Eviction>,
];

const APPS: &[Add] = &[
    add::<k8s_openapi::api::autoscaling::v1::Scale>,
    add::<k8s_openapi::api::apps::v1::ControllerRevision>,
    add::<k8s_openapi::api::apps::v1::DaemonSet>,
    add::<k8s_openapi::api::apps::v1::Deployment>,
    add::<k8s_openapi::api::apps::v1::ReplicaSet>,
    add::<k8s_openapi::api::apps::v1::StatefulSet>,
];
