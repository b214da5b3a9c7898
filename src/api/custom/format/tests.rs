//! What upstream's formats take and what they do not.

#[test]
fn strings_have_their_formats() {
    let check = |format: &str, good: &[&str], bad: &[&str]| {
        good.iter().for_each(|value| assert!(super::has(format, value), "{format}: {value}"));
        bad.iter().for_each(|value| assert!(!super::has(format, value), "{format}: {value}"));
    };
    check("date", &["2006-01-02"], &["a", "12%", "2006-13-02", "2006-1-2", "2023-02-29"]);
    check("bsonobjectid", &["507f1f77bcf86cd799439011"], &["x"]);
    check(
        "uri",
        &[
            "http://a.b/c",
            "/a",
            "http://[::1]:80/",
            "mailto:x@y",
            "*",
            "http://a?q=%zz",
            "http://u:p@h:1/x",
            "http://",
            "//host/x",
            "///x",
        ],
        &["a", "", "http://a b", "://x", "http://%zz/", "http://a/%zz", "http://a:x/", "#frag", "1http://x"],
    );
    check(
        "email",
        &["a@b", "a@b.c", "<a@b>", "X Y <a@b.c>", "\"a b\"@c", "a@[1.2.3.4]"],
        &["a b@c", "a", "@b", "a@", "a..b@c"],
    );
    check(
        "hostname",
        &["a", "a.com", "a-", "ex-ample.com", "münchen.de"],
        &[
            "a.b",
            "-a",
            "a_b",
            "1.2",
            "a.b1",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "*.com",
            "",
        ],
    );
    check("ipv4", &["1.2.3.4", "01.2.3.4", "::ffff:1.2.3.4"], &["1.2.3", "256.1.1.1", "a"]);
    check("ipv6", &["::1", "::ffff:1.2.3.4"], &["1.2.3.4", "g::", "fe80::1%eth0"]);
    check("cidr", &["1.2.3.0/24", "::/0", "01.2.3.4/08"], &["1.2.3.0/33", "1.2.3.4", "::1/129"]);
    check("mac", &["01:23:45:67:89:ab", "01-23-45-67-89-ab", "0123.4567.89ab"], &["01:23"]);
    check("uuid", &["a1b2c3d4-e5f6-1234-8abc-1234567890ab", "A1B2C3D4E5F612348ABC1234567890AB"], &["x"]);
    check("uuid3", &["a1b2c3d4-e5f6-3234-8abc-1234567890ab"], &["a1b2c3d4-e5f6-1234-8abc-1234567890ab"]);
    check("uuid4", &["a1b2c3d4-e5f6-4234-8abc-1234567890ab"], &["a1b2c3d4-e5f6-4234-7abc-1234567890ab"]);
    check("uuid5", &["a1b2c3d4-e5f6-5234-8abc-1234567890ab"], &[]);
    check("isbn", &["0321751043", "978-0321751041"], &["1234567890", "032175104X"]);
    check("isbn10", &["0321751043", "0-321-75104-3"], &[]);
    check("isbn13", &["978-0321751041"], &["978-0321751042"]);
    check("creditcard", &["4111 1111 1111 1111"], &["4111111111111112", "x"]);
    check("ssn", &["111-11-1111", "111 11 1111"], &["111111111"]);
    check("hexcolor", &["#fff", "FFFFFF"], &["#ffff"]);
    check("rgbcolor", &["rgb(1,2,3)", "rgb( 255, 255, 255 )"], &["rgb(256,1,1)"]);
    check("byte", &["YQ=="], &["a", "", "aGk"]);
    check("password", &["x"], &[]);
    check(
        "duration",
        &["1h", "1h30m", "22 ns", "1 day", "1.5s", "3 weeks", "0", "-1s", ".5s", "1.s"],
        &["x", "", "1x", "5"],
    );
    check(
        "datetime",
        &["2014-12-15T19:30:20.000Z", "2014-12-15t19:30:20z", "2014-12-15T19:30:20+01:00"],
        &["2014-12-15", "2014-12-15T25:30:20Z", "2014-12-15T19:30:60Z"],
    );
    check("date-time", &["2014-12-15T19:30:20Z"], &["x"]);
    check("k8s-short-name", &["a"], &["a.b", "A", "a-"]);
    check("k8s-long-name", &["a.b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"], &["A"]);
}
