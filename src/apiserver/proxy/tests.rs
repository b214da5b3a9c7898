use super::backend::{Place, place};

#[test]
fn places_are_taken_apart() {
    for (text, expect) in [
        ("web", Some((false, "web", ""))),
        ("web:80", Some((false, "web", "80"))),
        ("https:web:", Some((true, "web", ""))),
        ("http:web:http", Some((false, "web", "http"))),
        ("ftp:web:21", None),
        ("a:b:c:d", None),
        (":80", None),
    ] {
        assert_eq!(place(text), expect.map(|(https, name, port)| Place { https, name, port }), "{text}");
    }
}
