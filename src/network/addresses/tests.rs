use crate::testbed::Namespace;

#[test]
fn addresses_of_links_that_are_up_are_found() {
    let (one, two) = (Namespace::new(), Namespace::new());
    one.wire("eth0", "192.0.2.1/24", &two, "eth0", "192.0.2.2/24");
    let found = one.run(super::local).unwrap();
    let texts: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["127.0.0.1", "192.0.2.1", "::1"]);
}
