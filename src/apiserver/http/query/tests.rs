use super::*;

fn told<T>(outcome: Result<T, Status>) -> String {
    outcome.map(|_| "ok".to_owned()).unwrap_or_else(|status| format!("{} {}", status.code, status.message))
}

#[test]
fn list_options_are_refused_in_upstreams_words() {
    let meta = "422 ListOptions.meta.k8s.io \"\" is invalid: ";
    for (query, expect) in [
        ("", "ok".to_owned()),
        ("limit=500&resourceVersion=0", "ok".to_owned()),
        ("limit=%zz&limit=1;2&fieldSelector=%", "ok".to_owned()),
        ("limit=x", "400 strconv.ParseInt: parsing \"x\": invalid syntax".to_owned()),
        (
            "sendInitialEvents=true",
            format!("{meta}sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"),
        ),
    ] {
        assert_eq!(told(Query::parse(query).list()), expect, "{query}");
    }
    let watch = Query::parse("sendInitialEvents=true&allowWatchBookmarks=true&timeoutSeconds=5").watch().unwrap();
    assert_eq!((watch.initial_events, watch.bookmarks, watch.timeout_seconds), (Some(true), true, Some(5)));
}

#[test]
fn write_options_name_their_manager() {
    let write = |query: &str| Query::parse(query).write("PatchOptions", "kubectl/v1.33 (linux)", false);
    let said = |query: &str| write(query).map(|options| (options.field_manager, options.agent)).unwrap();
    assert_eq!(said(""), (String::new(), "kubectl".to_owned()));
    assert_eq!(said("fieldManager=a+b"), ("a b".to_owned(), "kubectl".to_owned()));
    assert!(write("dryRun=All").unwrap().dry_run);
    assert_eq!(
        told(write("dryRun=x")),
        "422 PatchOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"x\"]: supported values: \"All\""
    );
    assert_eq!(
        told(Query::parse("").write("PatchOptions", "", true)),
        "422 PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch"
    );
    assert_eq!(
        told(write("fieldManager=a%07")),
        "422 PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Invalid value: \"a\\a\": invalid character U+0007 (at \
         position 1)"
    );
    assert_eq!(
        told(write(&format!("fieldManager={}", "x".repeat(129)))),
        "422 PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Too long: may not be more than 128 bytes"
    );
    assert_eq!(
        told(write("force=true")),
        "422 PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: may not be specified for non-apply patch"
    );
}

#[test]
fn delete_options_come_from_body_or_query() {
    let query = Query::parse("gracePeriodSeconds=3&propagationPolicy=Foreground");
    let options = query.delete(None).unwrap();
    assert_eq!((options.grace_period_seconds, options.propagation), (Some(3), Some(Propagation::Foreground)));
    let guarded = Query::parse("uid=u&resourceVersion=7").delete(None).unwrap();
    assert_eq!((guarded.uid.as_deref(), guarded.resource_version.as_deref()), (Some("u"), Some("7")));
    let unguarded = Query::parse("uid=&resourceVersion=").delete(None).unwrap();
    assert_eq!((unguarded.uid, unguarded.resource_version), (None, None));
    assert!(Query::parse("propagationPolicy=").delete(None).is_err());
    let body = serde_json::json!({"kind": "DeleteOptions", "preconditions": {"uid": "u"}, "orphanDependents": true});
    let options = query.delete(Some(&body)).unwrap();
    assert_eq!((options.grace_period_seconds, options.uid.as_deref()), (None, Some("u")));
    assert_eq!(options.propagation, Some(Propagation::Orphan));
    assert!(query.delete(Some(&serde_json::json!("x"))).is_err());
}
