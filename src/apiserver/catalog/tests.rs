use super::*;

#[test]
fn finds_rows_by_plural_and_kind() {
    let catalog = Catalog::default();
    assert_eq!(&*catalog.get("apps", "v1", "deployments").unwrap().kind, "Deployment");
    assert_eq!(&*catalog.by_kind("", "v1", "Pod").unwrap().plural, "pods");
    assert!(catalog.get("apps", "v2", "deployments").is_none());
    assert!(catalog.get("admissionregistration.k8s.io", "v1beta1", "mutatingadmissionpolicies").is_none());
    let whole = Catalog::new(&"api/all=true".parse().unwrap());
    assert_eq!(whole.all().len(), api::resource::builtin().len());
}

#[test]
fn custom_rows_come_and_go() {
    let catalog = Catalog::default();
    let before = catalog.generation();
    let pods = catalog.get("", "v1", "pods").unwrap();
    let custom = Resource { group: "example.com".into(), builtin: false, ..(*pods).clone() };
    catalog.replace_custom(vec![Arc::new(custom)]);
    assert!(catalog.generation() > before);
    assert!(catalog.by_kind("example.com", "v1", "Pod").is_some());
    catalog.replace_custom(Vec::new());
    assert!(catalog.get("example.com", "v1", "pods").is_none());
    assert!(catalog.get("", "v1", "pods").is_some());
}
