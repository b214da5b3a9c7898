use super::*;

const HYBRID: &str = "\
31 24 0:27 / /sys/fs/cgroup ro - tmpfs tmpfs ro
32 31 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
33 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
34 31 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
35 31 0:31 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
";

#[test]
fn hierarchies_are_found_and_missing_controllers_named() {
    let Layout::V1(found) = layout(HYBRID) else { panic!("a hybrid machine is v1") };
    let named: Vec<_> = found.iter().map(|(dir, c)| (dir.to_str().unwrap(), c.join(","))).collect();
    assert_eq!(
        named,
        [
            ("/sys/fs/cgroup/cpu,cpuacct", "cpu,cpuacct".to_owned()),
            ("/sys/fs/cgroup/memory", "memory".to_owned()),
            ("/sys/fs/cgroup/systemd", "name=systemd".to_owned()),
        ]
    );
    let error = Cgroups::from_mounts("/", HYBRID).unwrap_err().to_string();
    assert!(error.starts_with("cgroup controllers missing: pids;"), "{error}");
    assert_eq!(layout("30 1 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw"), Layout::V2("/sys/fs/cgroup".into()));
}

#[tokio::test]
async fn pods_have_a_cgroup_in_their_class_and_then_none() {
    let dir = tempfile::tempdir().unwrap();
    let hierarchies = ["cpu", "memory"].map(|c| (dir.path().join(c), vec![c.to_owned()]));
    let cgroups = Cgroups { root: "/mine".into(), layout: Layout::V1(hierarchies.to_vec()) };
    let best_effort: PodSpec = serde_json::from_value(serde_json::json!({"containers": [{"name": "a"}]})).unwrap();
    let path = cgroups.make_pod(&best_effort, "u1").unwrap();
    assert_eq!(path, "/mine/kubepods/besteffort/podu1");
    let made = dir.path().join("cpu/mine/kubepods/besteffort/podu1");
    assert_eq!(fs::read_to_string(made.join("cpu.shares")).unwrap(), "2");
    assert_eq!(cgroups.pods(), ["u1"]);
    // On a real cgroup filesystem the files go with their directory.
    fs::remove_file(made.join("cpu.shares")).unwrap();
    cgroups.remove_pod("u1").await.unwrap();
    cgroups.remove_pod("u1").await.unwrap();
    assert!(!made.exists() && cgroups.pods().is_empty());
}
