use std::os::unix::fs::MetadataExt;

use k8s_openapi::api::core::v1::KeyToPath;

use super::*;

#[test]
fn mount_tables_are_read_with_their_escapes() {
    let table = "36 35 98:0 / /mnt/a\\040b rw - ext4 /dev/x rw\n37 35 98:0 / /mnt/plain rw - tmpfs tmpfs rw\n";
    assert_eq!(mounts::parse(table), [PathBuf::from("/mnt/a b"), PathBuf::from("/mnt/plain")]);
}

#[test]
fn host_paths_are_what_they_claim() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let check = |name: &str, kind: &str, fine: bool| {
        assert_eq!(host_path::check(&dir.path().join(name), kind).is_ok(), fine, "{name} {kind}");
    };
    check("file", "File", true);
    check("file", "Directory", false);
    check("none", "Directory", false);
    check("none", "", true);
    check("made", "DirectoryOrCreate", true);
    check("made", "Directory", true);
    check("made-file", "FileOrCreate", true);
    check("file", "Socket", false);
    check("file", "Nonsense", false);
    check("a/../../etc", "", false);
}

#[test]
fn keys_are_chosen_and_renamed() {
    let data = || crate::sources::Data::from([("a".to_owned(), b"1".to_vec()), ("b".to_owned(), b"2".to_vec())]);
    let item = |key: &str, mode| KeyToPath { key: key.into(), path: format!("dir/{key}"), mode };
    let check = |items: Option<&[KeyToPath]>, optional: bool, expect: Option<&[(&str, u32)]>| {
        let mut files = atomic::Files::new();
        let result = payload::keys(&mut files, data(), items, Some(0o400), "configmap \"d/x\"", Some(optional));
        let found: Vec<(&str, u32)> = files.iter().map(|(path, file)| (path.as_str(), file.mode)).collect();
        assert_eq!(result.ok().map(|()| found.as_slice()), expect);
    };
    check(None, false, Some(&[("a", 0o400), ("b", 0o400)]));
    check(Some(&[item("b", Some(0o777))]), false, Some(&[("dir/b", 0o777)]));
    check(Some(&[item("c", None)]), false, None);
    check(Some(&[item("c", None)]), true, Some(&[]));
}

#[test]
fn a_group_owns_what_it_is_given() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("f"), "").unwrap();
    // Any user may give files to the own group.
    let group = nix::unistd::getgid().as_raw();
    Ownership { group: Some(group), user: None, only_on_mismatch: false }.apply(dir.path(), false).unwrap();
    let mode = |name: &str| fs::metadata(dir.path().join(name)).unwrap().mode();
    assert_eq!((mode("") & 0o2070, mode("f") & 0o060), (0o2070, 0o060));
}
