//! Which named strings upstream's documents show as enumerations. The schema table has the constants of a type; whether they are
//! all the values there may be is a remark in upstream's sources that it does not carry.

use api::schema::Type;

use crate::strategy::certificates::USAGES;

/// Types whose constants are the known values, not the only ones, and so no enumeration.
const OPEN: &[&str] = &[
    "admissionregistration/v1.ParameterNotFoundActionType",
    "admissionregistration/v1beta1.FailurePolicyType",
    "admissionregistration/v1beta1.MatchPolicyType",
    "admissionregistration/v1beta1.ParameterNotFoundActionType",
    "apiextensions/v1.ConditionStatus",
    "apiextensions/v1.ConversionStrategyType",
    "apiextensions/v1.ResourceScope",
    "apiregistration/v1.ConditionStatus",
    "apps/v1.PersistentVolumeClaimRetentionPolicyType",
    "autoscaling/v2.HPAScalingPolicyType",
    "autoscaling/v2.MetricSourceType",
    "autoscaling/v2.MetricTargetType",
    "autoscaling/v2.ScalingPolicySelect",
    "coordination/v1.CoordinatedLeaseStrategy",
    "core/v1.ConditionStatus",
    "core/v1.ContainerRestartPolicy",
    "core/v1.ContainerRestartRuleAction",
    "core/v1.ContainerRestartRuleOnExitCodesOperator",
    "core/v1.FinalizerName",
    "core/v1.LimitType",
    "core/v1.LoadBalancerIPMode",
    "core/v1.NodeAddressType",
    "core/v1.OSName",
    "core/v1.PodResizeStatus",
    "core/v1.PodSELinuxChangePolicy",
    "core/v1.RecursiveReadOnlyMode",
    "core/v1.ResourceHealthStatus",
    "core/v1.ResourceName",
    "core/v1.ResourceResizeRestartPolicy",
    "core/v1.SecretType",
    "core/v1.StorageMedium",
    "flowcontrol/v1.ConditionStatus",
    "flowcontrol/v1.FlowDistinguisherMethodType",
    "flowcontrol/v1.LimitResponseType",
    "flowcontrol/v1.PriorityLevelEnablement",
    "flowcontrol/v1.SubjectKind",
    "meta/v1.CauseType",
    "meta/v1.ConditionStatus",
    "meta/v1.DeletionPropagation",
    "meta/v1.FieldSelectorOperator",
    "meta/v1.LabelSelectorOperator",
    "meta/v1.ManagedFieldsOperationType",
    "meta/v1.StatusReason",
    "storage/v1.FSGroupPolicy",
    "storage/v1.VolumeLifecycleMode",
];

/// Enumerations whose values are not in the table, or not as they are: there they end at a space.
const CLOSED: &[(&str, &[&str])] = &[
    ("certificates/v1.KeyUsage", &USAGES),
    ("discovery/v1.AddressType", &["FQDN", "IPv4", "IPv6"]),
    ("networking/v1.PathType", &["Exact", "ImplementationSpecific", "Prefix"]),
    ("resource/v1.DeviceAllocationMode", &["All", "ExactCount"]),
];

/// The values of a closed enumeration, sorted.
pub(super) fn values(ty: &Type) -> Option<Vec<&str>> {
    let Type::Alias(alias) = ty else { return None };
    if let Some((_, values)) = CLOSED.iter().find(|(name, _)| *name == &*alias.name) {
        return Some(values.to_vec());
    }
    let closed = !alias.name.ends_with("ConditionType") && !OPEN.contains(&&*alias.name);
    let mut values: Vec<&str> = ty.enum_values().iter().map(|value| &**value).collect();
    values.sort_unstable();
    (closed && !values.is_empty()).then_some(values)
}
