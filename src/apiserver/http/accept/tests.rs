use super::*;

fn offer(route: Option<Route>) -> Offer {
    Offer { protobuf: true, table: true, metadata: true, route }
}

fn check(header: &str, route: Option<Route>, expect: &str) {
    let seen = match negotiate(header, offer(route)) {
        Ok(Accepted { encoding, shape, pretty: false }) => format!("{encoding:?} {shape:?}"),
        Ok(Accepted { encoding, shape, pretty: true }) => format!("{encoding:?} {shape:?} pretty"),
        Err(status) => format!("{} {}", status.code, status.message),
    };
    assert_eq!(seen, expect, "{header}");
}

#[test]
fn clients_get_the_first_form_on_offer() {
    let none = "406 only the following media types are accepted: application/json, application/yaml, \
                application/vnd.kubernetes.protobuf";
    for (header, expect) in [
        ("", "Json Whole"),
        ("*/*", "Json Whole"),
        ("application/*", "Json Whole"),
        ("application/json", "Json Whole"),
        ("application/yaml", "Yaml Whole"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "Json Whole"),
        ("*/*,application/yaml;q=0.1", "Yaml Whole"),
        ("application/vnd.kubernetes.protobuf,application/json", "Protobuf Whole"),
        (
            "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
            "Json Table(V1)",
        ),
        ("application/yaml;as=Table;v=v1beta1;g=meta.k8s.io", "Yaml Table(V1beta1)"),
        ("application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io,application/json", "Json Whole"),
        (
            "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json",
            "Json Metadata { version: V1, list: true }",
        ),
        (
            "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1beta1",
            "Json Metadata { version: V1beta1, list: false }",
        ),
        ("application/json;as=Table;v=v1alpha1;g=meta.k8s.io", none),
        ("application/json;v=v1;g=meta.k8s.io", none),
        ("application/json;as=Pod;v=v1;g=meta.k8s.io", none),
        ("application/json;q=0.5,application/yaml;q=0.9", "Yaml Whole"),
        ("application/json;q=0", "Json Whole"),
        ("application/json;stream=watch;pretty=1", "Json Whole pretty"),
        ("application/json;stream=lines", none),
        ("application/yaml;stream=watch", none),
        ("APPLICATION/JSON", none),
        ("text/yaml", none),
        ("text/plain", none),
    ] {
        check(header, None, expect);
    }
}

#[test]
fn routes_of_built_in_kinds_ask_for_the_media_type_first() {
    let objects = "406 406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, \
                   application/vnd.kubernetes.protobuf";
    let lists = format!("{objects}, application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch");
    for header in ["application/*", "text/html", "APPLICATION/JSON", "text/yaml, text/*", " "] {
        check(header, Some(Route::Objects), objects);
        check(header, Some(Route::Collection), &lists);
    }
    for header in ["", "text/html, */*;q=0.1", "application/json;q=0"] {
        check(header, Some(Route::Objects), "Json Whole");
    }
}

#[test]
fn failures_are_told_in_what_is_accepted_of_objects_alone() {
    for (header, expect) in [
        ("application/yaml", Encoding::Yaml),
        ("application/yaml;as=Table;v=v1;g=meta.k8s.io", Encoding::Json),
        ("application/json;as=Table;v=v1;g=meta.k8s.io,application/yaml", Encoding::Yaml),
        ("text/plain", Encoding::Json),
        ("application/vnd.kubernetes.protobuf;stream=watch", Encoding::Protobuf),
    ] {
        assert_eq!(encoding(header), expect, "{header}");
    }
}
