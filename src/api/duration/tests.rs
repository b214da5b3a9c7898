use std::time::Duration;

#[test]
fn durations_are_read_as_go_reads_them() {
    let check = |text: &str, millis: Option<u64>| {
        assert_eq!(super::parse(text), millis.map(Duration::from_millis), "{text:?}");
    };
    check("0", Some(0));
    check("0s", Some(0));
    check("30s", Some(30_000));
    check("100ms", Some(100));
    check("1.5h", Some(5_400_000));
    check("1h30m10s", Some(5_410_000));
    check("", None);
    check("30", None);
    check("s", None);
    check("-1s", None);
    check("1d", None);
    check("1s 2s", None);
    check("99999999999999999999999h", None);
}
