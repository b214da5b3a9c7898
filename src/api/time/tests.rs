use jiff::Timestamp;

use super::{format, format_micro, is_zero, parse, parse_micro};

#[test]
fn times_in_utc_seconds() {
    for (text, expect) in [
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
        ("2026-01-02T03:04:05.999Z", "2026-01-02T03:04:05Z"),
        ("2026-01-02T03:04:05+02:30", "2026-01-02T00:34:05Z"),
        ("2026-01-02T03:04:05-08:00", "2026-01-02T11:04:05Z"),
        ("1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
    ] {
        assert_eq!(format(parse(text).unwrap()), expect, "{text}");
    }
    assert!(is_zero(parse("0001-01-01T00:00:00Z").unwrap()));
}

#[test]
fn micro_times_keep_six_digits() {
    for (text, expect) in [
        ("2026-01-02T03:04:05.000006Z", "2026-01-02T03:04:05.000006Z"),
        ("2026-01-02T03:04:05.120000+01:00", "2026-01-02T02:04:05.120000Z"),
        ("1969-12-31T23:59:59.500000Z", "1969-12-31T23:59:59.500000Z"),
    ] {
        assert_eq!(format_micro(parse_micro(text).unwrap()), expect, "{text}");
    }
    assert_eq!(format_micro(Timestamp::UNIX_EPOCH), "1970-01-01T00:00:00.000000Z");
}

#[test]
fn complains_like_go() {
    const LAYOUT: &str = "2006-01-02T15:04:05Z07:00";
    const MICRO: &str = "2006-01-02T15:04:05.000000Z07:00";
    for (text, expect) in [
        ("", format!(r#"parsing time "" as "{LAYOUT}": cannot parse "" as "2006""#)),
        ("foo", format!(r#"parsing time "foo" as "{LAYOUT}": cannot parse "foo" as "2006""#)),
        ("2026-1-1", format!(r#"parsing time "2026-1-1" as "{LAYOUT}": cannot parse "1-1" as "01""#)),
        ("2026-01-01", format!(r#"parsing time "2026-01-01" as "{LAYOUT}": cannot parse "" as "T""#)),
        (
            "2026-01-01 00:00:00Z",
            format!(r#"parsing time "2026-01-01 00:00:00Z" as "{LAYOUT}": cannot parse " 00:00:00Z" as "T""#),
        ),
        ("2026-13-01T00:00:00Z", r#"parsing time "2026-13-01T00:00:00Z": month out of range"#.to_owned()),
        ("2026-02-30T00:00:00Z", r#"parsing time "2026-02-30T00:00:00Z": day out of range"#.to_owned()),
        ("2026-01-01T00:00:00Zx", r#"parsing time "2026-01-01T00:00:00Zx": extra text: "x""#.to_owned()),
        (
            "2026-01-01T00:00:00",
            format!(r#"parsing time "2026-01-01T00:00:00" as "{LAYOUT}": cannot parse "" as "Z07:00""#),
        ),
    ] {
        assert_eq!(parse(text).unwrap_err().to_string(), expect);
    }
    assert_eq!(
        parse_micro("2026-01-01T00:00:00Z").unwrap_err().to_string(),
        format!(r#"parsing time "2026-01-01T00:00:00Z" as "{MICRO}": cannot parse "Z" as ".000000""#)
    );
}
