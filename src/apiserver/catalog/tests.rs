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

fn custom(version: &str, kind: &str) -> Arc<Resource> {
    let pods = Catalog::default().get("", "v1", "pods").unwrap();
    let (group, version, kind) = ("example.com".into(), version.into(), kind.into());
    Arc::new(Resource { group, version, kind, builtin: false, ..(*pods).clone() })
}

fn served(rows: Vec<Arc<Resource>>) -> [CustomKind; 1] {
    [CustomKind { name: "pods.example.com".into(), rows }]
}

#[test]
fn custom_rows_come_and_go() {
    let catalog = Catalog::default();
    let before = catalog.generation();
    catalog.replace(&served(vec![custom("v1", "Pod"), custom("v2", "Pod")]));
    assert!(catalog.generation() > before);
    assert_eq!(&*catalog.by_kind("example.com", "v2", "Pod").unwrap().version, "v2");
    assert_eq!(catalog.custom().rows(&custom("v1", "Pod")).len(), 2);
    // Another name of the kind takes the place of the old one.
    catalog.replace(&served(vec![custom("v1", "Other")]));
    assert!(catalog.by_kind("example.com", "v1", "Pod").is_none());
    assert!(catalog.by_kind("example.com", "v1", "Other").is_some());
    assert!(catalog.get("example.com", "v2", "pods").is_none());
    catalog.replace(&served(Vec::new()));
    assert!(catalog.by_kind("example.com", "v1", "Other").is_none());
    assert!(catalog.get("example.com", "v1", "pods").is_none());
    assert!(catalog.get("", "v1", "pods").is_some());
}

#[tokio::test]
async fn who_looks_after_a_row_is_told_of_its_end_and_of_no_others() {
    use futures::FutureExt;
    let catalog = Catalog::default();
    let row = custom("v1", "Pod");
    catalog.replace(&served(vec![row.clone()]));
    let mut changes = catalog.changes(&row);
    catalog.replace(&[CustomKind { name: "others.example.com".into(), rows: vec![custom("v1", "Other")] }]);
    assert!(changes.replaced().now_or_never().is_none());
    catalog.replace(&served(vec![custom("v1", "Pod")]));
    changes.replaced().await;
    // What was gone before anybody looked is told at once.
    catalog.changes(&row).replaced().await;
}
