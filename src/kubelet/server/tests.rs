use super::{logs, value};

#[test]
fn log_options_are_read_and_bad_ones_refused() {
    let options = |pairs: &[(&str, &str)]| {
        let query: Vec<(String, String)> = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        logs::options(&query)
    };
    let all = options(&[
        ("follow", "true"),
        ("tailLines", "5"),
        ("timestamps", "1"),
        ("sinceTime", "2026-01-02T03:04:05Z"),
        ("stream", "Stderr"),
    ])
    .unwrap();
    assert!(all.follow && all.timestamps && all.since.is_some());
    assert_eq!((all.tail_lines, all.stderr), (Some(5), Some(true)));
    assert!(options(&[("tailLines", "-1")]).is_err());
    assert!(options(&[("sinceTime", "yesterday")]).is_err());
    assert_eq!(value(&[("a".into(), "1".into()), ("a".into(), "2".into())], "a"), Some("1"));
}
