//! Structs that server-side apply takes as a whole wherever they stand: upstream marks the type, not its fields.

use super::{Field, Message, Type};

/// Messages by name, sorted.
const ATOMIC: &[&str] = &[
    "admissionregistration/v1.MatchResources",
    "admissionregistration/v1.NamedRuleWithOperations",
    "admissionregistration/v1.ParamKind",
    "admissionregistration/v1.ParamRef",
    "admissionregistration/v1.Variable",
    "admissionregistration/v1alpha1.MatchResources",
    "admissionregistration/v1alpha1.NamedRuleWithOperations",
    "admissionregistration/v1alpha1.ParamKind",
    "admissionregistration/v1alpha1.ParamRef",
    "admissionregistration/v1beta1.MatchResources",
    "admissionregistration/v1beta1.NamedRuleWithOperations",
    "admissionregistration/v1beta1.ParamKind",
    "admissionregistration/v1beta1.ParamRef",
    "admissionregistration/v1beta1.Variable",
    "autoscaling/v1.CrossVersionObjectReference",
    "core/v1.ConfigMapKeySelector",
    "core/v1.EndpointAddress",
    "core/v1.EndpointPort",
    "core/v1.FileKeySelector",
    "core/v1.LocalObjectReference",
    "core/v1.NodeSelector",
    "core/v1.NodeSelectorTerm",
    "core/v1.ObjectFieldSelector",
    "core/v1.ObjectReference",
    "core/v1.ResourceFieldSelector",
    "core/v1.ScopeSelector",
    "core/v1.SecretKeySelector",
    "core/v1.SecretReference",
    "core/v1.TopologySelectorTerm",
    "core/v1.TypedLocalObjectReference",
    "discovery/v1.EndpointPort",
    "meta/v1.LabelSelector",
    "meta/v1.OwnerReference",
    "networking/v1.ServiceBackendPort",
    "rbac/v1.RoleRef",
    "rbac/v1.Subject",
];

impl Message {
    /// Whether server-side apply takes the struct as a whole, whatever field it stands in.
    pub fn is_atomic(&self) -> bool {
        ATOMIC.binary_search(&&*self.name).is_ok()
    }
}

impl Field {
    /// Whether server-side apply takes the map or struct in this field as a whole.
    pub fn is_taken_whole(&self) -> bool {
        let by_type = || matches!(self.ty.resolved(), Type::Message(message) if message.is_atomic());
        self.atomic || (!self.granular && by_type())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_sorted_and_of_the_table() {
        assert!(ATOMIC.is_sorted());
        for name in ATOMIC {
            assert!(super::super::message(name).is_some_and(Message::is_atomic), "{name}");
        }
    }

    #[test]
    fn fields_can_say_otherwise_than_their_types() {
        for (message, field, expect) in [
            ("core/v1.PodSpec", "nodeSelector", true),
            ("core/v1.PodSpec", "securityContext", false),
            ("apps/v1.DeploymentSpec", "selector", true),
            ("core/v1.Event", "involvedObject", true),
            ("core/v1.PersistentVolumeSpec", "claimRef", false),
        ] {
            let found = super::super::message(message).and_then(|message| message.field(field));
            assert_eq!(found.map(Field::is_taken_whole), Some(expect), "{message}.{field}");
        }
    }
}
