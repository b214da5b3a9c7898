use super::*;

#[test]
fn every_line_of_the_tables_is_a_rule() {
    let all = objects();
    assert!(all.len() > 120, "{}", all.len());
    for (plural, _, name, object) in &all {
        for rule in object.get("rules").and_then(Value::as_array).into_iter().flatten() {
            let rule: Rule = serde_json::from_value(rule.clone()).unwrap();
            assert!(!rule.verbs.is_empty(), "{name}");
            let resources = !rule.api_groups.is_empty() && !rule.resources.is_empty();
            assert_ne!(resources, !rule.non_resource_urls.is_empty(), "{name}: {rule}");
        }
        assert_eq!(object["metadata"]["name"], name.as_str(), "{plural}");
    }
    let mut names: Vec<_> = all.iter().map(|(plural, namespace, name, _)| (plural, namespace, name)).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all.len());
}

#[test]
fn lines_read_as_rules() {
    let read = rule("get update : coordination.k8s.io core : leases : a b");
    assert_eq!(
        read.to_string(),
        r#"{APIGroups:["coordination.k8s.io" ""], Resources:["leases"], ResourceNames:["a" "b"], Verbs:["get" "update"]}"#
    );
    assert_eq!(rule("get : /healthz").to_string(), r#"{NonResourceURLs:["/healthz"], Verbs:["get"]}"#);
}
