use super::*;

fn check(header: &str, expect: &str) {
    let seen = match negotiate(header, Offer { protobuf: true, shapes: true }) {
        Ok(accepted) => format!("{:?} {:?}", accepted.encoding, accepted.shape),
        Err(status) => status.code.to_string(),
    };
    assert_eq!(seen, expect, "{header}");
}

#[test]
fn clients_get_the_first_form_on_offer() {
    for (header, expect) in [
        ("", "Json Whole"),
        ("*/*", "Json Whole"),
        ("application/json", "Json Whole"),
        ("application/yaml", "Yaml Whole"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "Json Whole"),
        ("application/vnd.kubernetes.protobuf,application/json", "Protobuf Whole"),
        (
            "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
            "Json Table",
        ),
        ("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json", "Json Metadata"),
        ("application/json;as=Table;v=v1alpha1;g=meta.k8s.io", "406"),
        ("application/json;q=0.5,application/yaml;q=0.9", "Yaml Whole"),
        ("text/plain", "406"),
    ] {
        check(header, expect);
    }
}
