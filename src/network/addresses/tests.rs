use crate::testbed::Namespace;

#[test]
fn addresses_that_others_reach_are_found() {
    let (one, two) = (Namespace::new(), Namespace::new());
    one.wire("eth0", "192.0.2.1/24", &two, "eth0", "192.0.2.2/24");
    // Cluster DNS of an earlier start: an address of this machine that is nobody's way to it.
    one.run(|| crate::local_address::ensure("10.43.0.10".parse().unwrap())).unwrap();
    let found = one.run(super::local).unwrap();
    let texts: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["192.0.2.1"]);
}
