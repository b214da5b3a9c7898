use super::credentials::{choose, parse};
use super::*;

#[test]
fn policies_follow_the_tag() {
    let check = |image: &str, expect: &str| assert_eq!(default_policy(image), expect, "{image}");
    check("nginx", "Always");
    check("nginx:latest", "Always");
    check("nginx:1.27", "IfNotPresent");
    check("registry:5000/nginx", "Always");
    check("registry:5000/nginx:1", "IfNotPresent");
    check("nginx@sha256:abc", "IfNotPresent");
}

#[test]
fn names_are_told_from_nonsense() {
    for name in ["nginx", "a.b/c-d_e:1.2", "localhost:5000/x@sha256:00", "docker.io/library/busybox:test"] {
        assert!(is_name(name), "{name}");
    }
    for name in ["", "Nginx", "a b", "x:", "a//b", "-a"] {
        assert!(!is_name(name), "{name}");
    }
}

#[test]
fn credentials_go_to_their_registry_only() {
    let config = br#"{"auths": {
        "https://index.docker.io/v1/": {"auth": "aHViOnB3"},
        "registry.example:5000": {"username": "u", "password": "p"},
        "registry.example:5000/team": {"username": "team", "password": "t"},
        "*.cloud.example": {"username": "w", "password": "x"}
    }}"#;
    let check = |image: &str, expect: &[&str]| {
        let chosen = choose(parse(config, false), image);
        let users: Vec<&str> = chosen.iter().map(|a| a.username.as_str()).collect();
        assert_eq!(users, expect, "{image}");
    };
    check("nginx", &["hub"]);
    check("registry.example:5000/x:1", &["u"]);
    check("registry.example:5000/team/x", &["team", "u"]);
    check("a.cloud.example/x", &["w"]);
    check("elsewhere.example/x", &[]);
}
