use proptest::prelude::*;

use super::{Format, Quantity, QuantityError, normalize};

fn q(text: &str) -> Quantity {
    Quantity::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn canonical_forms() {
    for (text, expect) in [
        ("0", "0"),
        ("0n", "0"),
        ("0Gi", "0"),
        ("00", "0"),
        ("-", "0"),
        (".", "0"),
        ("m", "0"),
        ("1000m", "1"),
        ("1500m", "1500m"),
        ("1.5", "1500m"),
        ("0.1", "100m"),
        (".5", "500m"),
        ("1.", "1"),
        ("100000", "100k"),
        ("1024", "1024"),
        ("1024Ki", "1Mi"),
        ("1.5Gi", "1536Mi"),
        ("1536Mi", "1536Mi"),
        ("0.5Ki", "512"),
        ("1.1Ki", "1126400m"),
        ("0.001Ki", "1024m"),
        ("1025Ki", "1025Ki"),
        ("1e3", "1e3"),
        ("12e4", "120e3"),
        ("1E-3", "1e-3"),
        ("1E", "1E"),
        ("1000E", "1000E"),
        ("1e21", "1e21"),
        ("0.1m", "100u"),
        ("0.1n", "1n"),
        ("-0.1n", "-1n"),
        ("1.0000000001", "1000000001n"),
        ("9223372036854775807", "9223372036854775807"),
        ("8Ei", "9223372036854775807"),
        ("100Ei", "9223372036854775807"),
        ("7Ei", "7Ei"),
        ("-1Ki", "-1Ki"),
        ("-5m", "-5m"),
        ("+5", "5"),
        ("123456789012345678901234567890123456789012345", "123456789012345678901234567890123456789012345"),
        ("2000000", "2M"),
        ("1023Ki", "1023Ki"),
    ] {
        assert_eq!(q(text).to_string(), expect, "{text}");
        assert_eq!(q(expect), q(text), "{text} keeps its amount");
    }
}

#[test]
fn whole_amounts_leave_nothing_behind_the_point() {
    for (text, expect) in
        [("1", true), ("1000m", true), ("1e30", true), ("-2Ki", true), ("1500m", false), ("1u", false)]
    {
        assert_eq!(q(text).is_whole(), expect, "{text}");
    }
}

#[test]
fn refuses_what_upstream_refuses() {
    use QuantityError::{Format as F, Suffix as S};
    let long = "1".repeat(257);
    for (text, expect) in [
        ("", F),
        ("1 Gi", F),
        (" 1", F),
        ("abc", F),
        ("1i", S),
        ("1mi", S),
        ("1kk", S),
        ("1Kib", F),
        ("1e", S),
        ("1e1.5", F),
        ("0x10", F),
        ("1.1.1", F),
        ("--1", S),
        ("1e99999", S),
        (long.as_str(), F),
    ] {
        assert_eq!(Quantity::parse(text).err(), Some(expect), "{text}");
    }
}

#[test]
fn keeps_texts_that_count_as_canonical() {
    for (text, expect) in
        [("1.500", "1.500"), ("1000m", "1"), ("1025Ki", "1025Ki"), ("1024Ki", "1Mi"), ("0.5", "500m"), ("1e3", "1e3")]
    {
        assert_eq!(normalize(text).unwrap(), expect);
    }
}

#[test]
fn values_round_away_from_zero_and_saturate() {
    for (text, value, milli) in [
        ("1", 1, 1000),
        ("1m", 1, 1),
        ("1n", 1, 1),
        ("-1n", -1, -1),
        ("1500m", 2, 1500),
        ("1Ki", 1024, 1_024_000),
        ("1e30", i64::MAX, i64::MAX),
        ("-1e30", i64::MIN, i64::MIN),
        ("1e4000", i64::MAX, i64::MAX),
    ] {
        assert_eq!((q(text).value(), q(text).milli_value()), (value, milli), "{text}");
    }
}

#[test]
fn sums_keep_the_form_of_the_first_that_is_not_zero() {
    let mut sum = Quantity::zero();
    sum += &q("1Gi");
    assert_eq!(sum.format(), Format::BinarySI);
    sum += &q("512Mi");
    assert_eq!(sum.to_string(), "1536Mi");
    sum -= &q("1536Mi");
    assert!(sum.is_zero());
    assert_eq!((q("1e40") + &q("1")).to_string(), format!("1{}1", "0".repeat(39)));
    assert_eq!(q("250m").times(4).to_string(), "1");
}

#[test]
fn reads_json_numbers_and_writes_strings() {
    let read: Vec<Quantity> = serde_json::from_str(r#"["100m", 1, 0.5, " 2Gi "]"#).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), r#"["100m","1","500m","2Gi"]"#);
}

proptest! {
    #[test]
    fn canonical_text_reads_back_to_the_same_amount(
        mantissa in any::<i64>(),
        suffix in prop::sample::select(vec!["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "e5", "e-4"]),
    ) {
        let quantity = q(&format!("{mantissa}{suffix}"));
        let text = quantity.to_string();
        prop_assert_eq!(&q(&text), &quantity);
        prop_assert_eq!(q(&text).to_string(), text);
    }

    #[test]
    fn binary_forms_read_back(mantissa in -1_000_000i64..1_000_000, suffix in prop::sample::select(vec!["Ki", "Mi", "Gi"])) {
        let quantity = q(&format!("{mantissa}{suffix}"));
        prop_assert_eq!(&q(&quantity.to_string()), &quantity);
    }

    #[test]
    fn sums_and_order_agree_with_integers(a in any::<i32>(), b in any::<i32>()) {
        let (x, y) = (Quantity::from_milli(a.into(), Format::DecimalSI), Quantity::from_milli(b.into(), Format::DecimalSI));
        prop_assert_eq!(x.cmp(&y), a.cmp(&b));
        prop_assert_eq!((x.clone() + &y).milli_value(), i64::from(a) + i64::from(b));
        prop_assert_eq!((x - &y).milli_value(), i64::from(a) - i64::from(b));
    }

    #[test]
    fn never_panics(text in "[-+]?[0-9.]{0,50}[eEinumkKMGTP]{0,3}[-+]?[0-9]{0,4}") {
        if let Ok(quantity) = Quantity::parse(&text) {
            let _ = (quantity.to_string(), quantity.value(), quantity.as_f64(), quantity.clone() + &quantity);
        }
    }
}
