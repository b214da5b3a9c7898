use std::collections::BTreeSet;

use super::{ListType, Message, Type, for_kind, message, message_names, table};

#[test]
fn every_entry_decodes_and_every_name_leads_somewhere() {
    let mut messages = 0;
    for name in message_names() {
        let message = message(name).unwrap_or_else(|| panic!("{name}"));
        assert_eq!(message.name, name);
        let names: BTreeSet<_> = message.fields.iter().map(|field| &field.name).collect();
        assert_eq!(names.len(), message.fields.len(), "{name} has two fields of one name");
        for field in &message.fields {
            assert_eq!(message.field(&field.name).map(|found| &found.name), Some(&field.name));
            check_type(name, &field.ty);
            assert!(field.default.as_ref().is_none_or(|json| serde_json::from_str::<serde_json::Value>(json).is_ok()));
            assert_eq!(field.list == Some(ListType::Map), !field.list_keys.is_empty(), "{name}.{}", field.name);
        }
        messages += 1;
    }
    assert!(messages > 1000, "{messages}");
}

fn check_type(name: &str, ty: &Type) {
    match ty {
        Type::Message(message) => assert!(!message.name.is_empty(), "{name}"),
        Type::List(inner) | Type::Map(inner) => check_type(name, inner),
        Type::Alias(alias) => check_type(name, &alias.ty),
        // The table has free JSON only where CRDs do; elsewhere it is a name that was not found.
        Type::Json => assert!(name.starts_with("apiextensions/"), "{name}"),
        _ => {}
    }
}

#[test]
fn entries_are_sorted() {
    let names: Vec<_> = message_names().collect();
    assert!(names.is_sorted());
    assert!(table::entry("core/v1.Pod").is_some() && table::entry("core/v1.Nothing").is_none());
}

#[test]
fn finds_kinds() {
    for (group, version, kind, expect) in [
        ("", "v1", "Pod", "core/v1.Pod"),
        ("apps", "v1", "Deployment", "apps/v1.Deployment"),
        ("rbac.authorization.k8s.io", "v1", "Role", "rbac/v1.Role"),
        ("flowcontrol.apiserver.k8s.io", "v1", "FlowSchema", "flowcontrol/v1.FlowSchema"),
        ("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "apiextensions/v1.CustomResourceDefinition"),
        ("apiregistration.k8s.io", "v1", "APIService", "apiregistration/v1.APIService"),
        ("apps", "v1", "DeleteOptions", "meta/v1.DeleteOptions"),
        ("", "v1", "Status", "meta/v1.Status"),
        ("", "v1", "List", "meta/v1.List"),
    ] {
        assert_eq!(for_kind(group, version, kind).map(|message| &*message.name), Some(expect));
    }
    assert!(for_kind("example.com", "v1", "Pod").is_none());
}

#[test]
fn fields_carry_their_marks() {
    let pod = message("core/v1.PodSpec").unwrap();
    let containers = pod.field("containers").unwrap();
    assert!(containers.patch.merge && containers.required && !containers.omitempty);
    assert_eq!(containers.merge_key.as_deref(), Some("name"));
    assert_eq!((containers.number, containers.ty.go_name()), (2, "[]v1.Container".to_owned()));
    assert!(pod.field("volumes").unwrap().patch.retain_keys);
    assert!(pod.field("nodeSelector").unwrap().atomic);
    let container = containers.ty.element_message().unwrap();
    assert_eq!(container.go_name(), "Container");
    let pull_policy = container.field("imagePullPolicy").unwrap();
    assert_eq!(pull_policy.ty.enum_values(), ["Always", "Never", "IfNotPresent"]);
    assert_eq!(pull_policy.ty.go_name(), "v1.PullPolicy");
    let service_ports = message("core/v1.ServiceSpec").unwrap().field("ports").unwrap();
    assert_eq!(service_ports.list_keys, ["port", "protocol"]);
    assert_eq!(service_ports.merge_key.as_deref(), Some("port"));
    let limits = message("core/v1.ResourceRequirements").unwrap().field("limits").unwrap();
    assert!(matches!(limits.ty.resolved(), Type::Map(value) if matches!(**value, Type::Quantity)));
    assert_eq!(limits.ty.go_name(), "v1.ResourceList");
}

#[test]
fn inline_structs_stand_in_line() {
    let volume = message("core/v1.Volume").unwrap();
    assert_eq!(volume.fields[0].name, "name");
    assert!(volume.field("emptyDir").is_some_and(|field| field.pointer));
    let kind = message("core/v1.Pod").unwrap();
    assert!(kind.is_kind);
    assert_eq!(kind.fields[..2].iter().map(|field| &*field.name).collect::<Vec<_>>(), ["kind", "apiVersion"]);
    let rule = message("admissionregistration/v1beta1.NamedRuleWithOperations").unwrap();
    assert!(rule.field("apiGroups").is_some() && rule.field("operations").is_some());
}

#[test]
fn names_for_openapi() {
    let name = |name| message(name).map(Message::openapi_name);
    assert_eq!(name("core/v1.Pod").as_deref(), Some("io.k8s.api.core.v1.Pod"));
    assert_eq!(name("meta/v1.ObjectMeta").as_deref(), Some("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"));
    assert_eq!(
        name("apiregistration/v1.APIService").as_deref(),
        Some("io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService")
    );
}

#[test]
fn messages_made_at_run_time_look_the_same() {
    use super::{Field, MessageRef};
    use std::sync::Arc;
    let inner = Message::new("spec", vec![Field { name: "size".into(), ty: Type::Int64, ..Field::default() }]);
    let spec =
        Field { name: "spec".into(), ty: Type::Message(MessageRef::Dynamic(Arc::new(inner))), ..Field::default() };
    let message = Message::new(format!("{}.{}", "example.com/v1", "Widget"), vec![spec]);
    let found = message.field("spec").and_then(|field| field.ty.element_message()).and_then(|spec| spec.field("size"));
    assert!(matches!(found, Some(Field { ty: Type::Int64, .. })));
}
