use std::os::unix::fs::symlink;

use super::*;

#[test]
fn nothing_leads_out_of_the_volume() {
    let dir = tempfile::tempdir().unwrap();
    let volume = dir.path().join("volume");
    fs::create_dir_all(volume.join("real")).unwrap();
    fs::write(dir.path().join("secret"), "x").unwrap();
    symlink("..", volume.join("up")).unwrap();
    symlink(dir.path(), volume.join("away")).unwrap();
    symlink("real", volume.join("within")).unwrap();
    let check = |subpath: &str, fine: bool| assert_eq!(open_beneath(&volume, subpath).is_ok(), fine, "{subpath}");
    check("real", true);
    check("within", true);
    check("within/new/deeper", true);
    check("up/secret", false);
    check("away/secret", false);
    check("../secret", false);
    check("/etc", false);
    assert!(volume.join("real/new/deeper").is_dir());
}
