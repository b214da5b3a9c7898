use super::*;

#[test]
fn no_two_rows_share_a_path_or_a_store_prefix() {
    let mut paths = std::collections::HashSet::new();
    let mut prefixes = std::collections::HashMap::new();
    for row in builtin() {
        assert!(paths.insert((&row.group, &row.version, &row.plural)), "{} twice", row.qualified());
        if row.stored && row.stored_as.is_none() {
            assert_eq!(prefixes.insert(row.store_prefix(), row.qualified()), None, "{}", row.qualified());
        }
        if let Some((group, version, plural)) = row.stored_as {
            assert!(find(group, version, plural).is_some_and(|r| r.stored_as.is_none()), "{}", row.qualified());
        }
    }
}

#[test]
fn keys_lie_where_upstream_puts_them() {
    let check = |(group, version, plural): (&str, &str, &str), namespace: &str, name: &str, expect: &str| {
        assert_eq!(find(group, version, plural).unwrap().store_key(namespace, name), expect);
    };
    check(("", "v1", "pods"), "default", "web", "/registry/pods/default/web");
    check(("", "v1", "services"), "default", "web", "/registry/services/specs/default/web");
    check(("", "v1", "nodes"), "", "n1", "/registry/minions/n1");
    check(("apps", "v1", "deployments"), "a", "b", "/registry/deployments/a/b");
    check(
        ("apiextensions.k8s.io", "v1", "customresourcedefinitions"),
        "",
        "x.y",
        "/registry/apiextensions.k8s.io/customresourcedefinitions/x.y",
    );
}

#[test]
fn verbs_are_those_there_are() {
    assert_eq!(verbs(["watch", "get", "proxy"]), ["get", "watch"]);
    assert_eq!(verbs(ALL_VERBS.iter().copied()), ALL_VERBS);
    assert!(verbs([]).is_empty());
}
