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
    check(".5s", Some(500));
    check("1.s", Some(1_000));
    check(".s", None);
}

#[test]
fn what_is_no_duration_is_told_in_gos_words() {
    let check = |text: &str, expect: Result<i64, &str>| {
        assert_eq!(super::nanoseconds(text), expect.map_err(|why| format!("time: {why}")), "{text:?}");
    };
    check("-1s", Ok(-1_000_000_000));
    check("+1ms", Ok(1_000_000));
    check("-0", Ok(0));
    check("", Err("invalid duration \"\""));
    check("-", Err("invalid duration \"-\""));
    check("x", Err("invalid duration \"x\""));
    check("1.2.3s", Err("invalid duration \"1.2.3s\""));
    check("9999999999999999999s", Err("invalid duration \"9999999999999999999s\""));
    check("-1", Err("missing unit in duration \"-1\""));
    check("1e3s", Err("unknown unit \"e\" in duration \"1e3s\""));
    check("1h5d", Err("unknown unit \"d\" in duration \"1h5d\""));
}
