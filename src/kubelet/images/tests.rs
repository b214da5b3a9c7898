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

#[tokio::test(start_paused = true)]
async fn a_full_disk_loses_the_longest_unused_images() {
    use super::collect::{choose, excess};
    let limits = crate::Limits::default();
    let of = |size, available| excess(&limits, size, available);
    assert_eq!((of(100, 16), of(100, 15), of(100, 10), of(0, 0)), (0, 5, 10, 0));
    assert_eq!(excess(&crate::Limits { image_gc_high: 100, ..limits }, 100, 0), 0);
    let image = |id: &str, pinned| Image { id: id.into(), size: 10, pinned, ..Image::default() };
    let images = [
        image("young", false),
        image("pinned", true),
        image("old", false),
        image("older", false),
        image("used", false),
    ];
    let start = tokio::time::Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let times = [("young", 990), ("pinned", 0), ("old", 20), ("older", 10), ("used", 0)];
    let used = times.iter().map(|(id, seconds)| ((*id).to_owned(), at(*seconds))).collect();
    let in_use = std::collections::HashSet::from(["used".to_owned()]);
    let check = |wanted: u64, expect: &[&str]| {
        let chosen = choose(&images, &in_use, &used, at(1000), wanted);
        assert_eq!(chosen.iter().map(|i| i.id.as_str()).collect::<Vec<_>>(), expect);
    };
    check(5, &["older"]);
    check(11, &["older", "old"]);
    check(1000, &["older", "old"]);
}
