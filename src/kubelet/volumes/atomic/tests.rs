use super::*;

fn files(pairs: &[(&str, &str)]) -> Files {
    pairs
        .iter()
        .map(|(path, text)| ((*path).to_owned(), File { content: text.as_bytes().to_vec(), mode: 0o640, user: None }))
        .collect()
}

#[test]
fn versions_replace_each_other_whole() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let owner = Ownership::default();
    assert!(write(root, &files(&[("a", "1"), ("sub/b", "2")]), &owner).unwrap());
    let first = fs::read_link(root.join(DATA)).unwrap();
    assert_eq!(fs::read_to_string(root.join("sub/b")).unwrap(), "2");
    assert_eq!(fs::metadata(root.join("a")).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(!write(root, &files(&[("a", "1"), ("sub/b", "2")]), &owner).unwrap(), "the same content is no change");
    assert_eq!(fs::read_link(root.join(DATA)).unwrap(), first);
    assert!(write(root, &files(&[("a", "3"), ("c", "4")]), &owner).unwrap());
    assert_eq!(fs::read_to_string(root.join("a")).unwrap(), "3");
    assert!(fs::symlink_metadata(root.join("sub")).is_err() && !root.join(&first).exists());
    let mut names: Vec<_> =
        fs::read_dir(root).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names.retain(|name| !name.starts_with("..2"));
    assert_eq!(names, ["..data", "a", "c"]);
}

#[test]
fn paths_stay_inside() {
    let dir = tempfile::tempdir().unwrap();
    for path in ["../x", "/x", "a/../b", "", "..hidden"] {
        assert!(write(dir.path(), &files(&[(path, "x")]), &Ownership::default()).is_err(), "{path}");
    }
    assert!(fs::read_dir(dir.path()).unwrap().next().is_none());
}
