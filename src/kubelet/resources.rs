//! The rows of the resource table the node agent uses.

use std::sync::Arc;

use api::Resource;

fn row(group: &str, plural: &str) -> &'static Arc<Resource> {
    // The table is part of the binary and holds every kind named here; the test below looks at each.
    api::resource::find(group, "v1", plural).unwrap_or_else(|| panic!("the resource table lacks {plural}"))
}

macro_rules! rows {
    ($($function:ident => $group:literal, $plural:literal;)*) => {
        $(pub(crate) fn $function() -> &'static Arc<Resource> { row($group, $plural) })*
        #[cfg(test)]
        #[test]
        fn every_row_is_in_the_table() { $($function();)* }
    };
}

rows! {
    pods => "", "pods";
    nodes => "", "nodes";
    services => "", "services";
    config_maps => "", "configmaps";
    secrets => "", "secrets";
    service_accounts => "", "serviceaccounts";
    claims => "", "persistentvolumeclaims";
    persistent_volumes => "", "persistentvolumes";
    leases => "coordination.k8s.io", "leases";
    csi_nodes => "storage.k8s.io", "csinodes";
    runtime_classes => "node.k8s.io", "runtimeclasses";
    token_reviews => "authentication.k8s.io", "tokenreviews";
    access_reviews => "authorization.k8s.io", "subjectaccessreviews";
}
