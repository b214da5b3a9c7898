//! What can be told without a containerd.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::preflight::Programs;
use super::process::rotate;
use super::{Config, Snapshotter, Supervisor, preflight};
use crate::Error;

fn config(dir: &Path) -> Config {
    Config { snapshotter: Snapshotter::Native, ..Config::below(&dir.join("data"), &dir.join("run")) }
}

#[test]
fn everything_in_the_configuration_comes_from_ours() {
    let found =
        Programs { containerd: "/usr/bin/containerd".into(), runc: "/usr/sbin/runc".into(), may_lower_oom_score: true };
    let a = config(Path::new("/a")).toml("native", &found);
    let b = config(Path::new("/b")).toml("native", &found);
    assert_ne!(a, b);
    let paths = |text: &str| -> Vec<String> {
        text.split('"').filter(|part| part.starts_with('/')).map(str::to_owned).collect()
    };
    for path in paths(&a) {
        assert!(path.starts_with("/a/") || path == "/usr/sbin/runc", "{path} is shared with other containerds");
    }
    assert_eq!(paths(&a).len(), 9);
    assert!(!config(Path::new("/x\"y")).toml("native", &found).contains("/x\"y"));
}

#[tokio::test]
async fn settings_that_cannot_work_are_told_before_anything_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    let check = async |change: fn(&mut Config), expect: &str| {
        let mut config = config(dir.path());
        change(&mut config);
        let error = Supervisor::start(config).await.unwrap_err();
        assert!(error.to_string().contains(expect), "{error} should say {expect:?}");
        error
    };
    let long = check(|c| c.socket = PathBuf::from(format!("/{}/containerd.sock", "x".repeat(100))), "bytes long").await;
    assert!(matches!(long, Error::Config(_)), "{long:?}");
    check(|c| c.root = PathBuf::from("relative"), "absolute").await;
    let missing = check(|c| c.path = "/nowhere".into(), "containerd, containerd-shim-runc-v2, runc not found").await;
    assert!(missing.to_string().contains("apt-get install"), "{missing}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn programs_are_looked_up_in_the_order_of_the_path() {
    let dir = tempfile::tempdir().unwrap();
    let put = |at: &str, mode: u32| {
        let file = dir.path().join(at);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, "").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        file
    };
    put("a/containerd", 0o644);
    let containerd = put("b/containerd", 0o755);
    put("b/containerd-shim-runc-v2", 0o755);
    let runc = put("a/runc", 0o755);
    put("b/runc", 0o755);
    let found = preflight::programs(&format!("{0}/a::{0}/b", dir.path().display())).unwrap();
    assert_eq!((found.containerd, found.runc), (containerd, runc));
    let only_b = preflight::programs(&format!("{}/a", dir.path().display()));
    assert!(
        matches!(only_b, Err(Error::MissingPrograms { missing, .. }) if missing == ["containerd", "containerd-shim-runc-v2"])
    );
}

#[test]
fn a_large_log_is_rotated_without_losing_its_writer() {
    use std::io::Write;
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let mut writer = std::fs::File::options().create(true).append(true).open(&log).unwrap();
    writer.write_all(b"small").unwrap();
    rotate(&log).unwrap();
    assert_eq!(std::fs::read(&log).unwrap(), b"small");
    writer.write_all(&vec![b'x'; 11 << 20]).unwrap();
    rotate(&log).unwrap();
    writer.write_all(b"after").unwrap();
    assert_eq!(std::fs::read(&log).unwrap(), b"after");
    assert_eq!(std::fs::metadata(dir.path().join("log.1")).unwrap().len(), (11 << 20) + 5);
}
