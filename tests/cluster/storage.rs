//! The store of a server when its disk is full, when it is damaged, and when a second isopod wants it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::kubectl::Kubectl;
use crate::lab::{ISOPOD, Lab, Machine, wait};

/// A file system of its own, of a size that a test can fill. Unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, size: &str) -> Self {
        std::fs::create_dir(at).unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(at).output();
        let mounted = mounted.unwrap();
        assert!(mounted.status.success(), "{}", String::from_utf8_lossy(&mounted.stderr));
        Self(at.into())
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    /// Writes until there is no room for another byte.
    fn fill(&self) {
        let mut file = std::fs::File::create(self.filler()).unwrap();
        let full = std::io::copy(&mut std::io::repeat(0), &mut file).unwrap_err();
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    }

    fn make_room(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).output();
    }
}

/// Refused in clear words while the disk is full, nothing lost, and everything works again with space.
pub(crate) fn full_disk_is_said_and_loses_nothing(lab: &Lab) {
    let machine = lab.machine("full");
    let disk = SmallDisk::mount(&machine.data, "24m");
    machine.start_server(&["--disable-agent"]);
    let kubectl = Kubectl::new(&machine);
    wait("the API", || kubectl.attempt("get --raw /readyz").ok());
    kubectl.run("create configmap before --from-literal=a=b");
    disk.fill();
    // The file the log is written to has room left that belongs to it already: write until that is used up.
    let content = lab.dir().join("content");
    std::fs::write(&content, "x".repeat(900_000)).unwrap();
    let create = |name: &str| kubectl.attempt(&format!("create configmap {name} --from-file=a={}", content.display()));
    let mut kept = Vec::new();
    let refused = wait("a write to be refused", || {
        let name = format!("filling-{}", kept.len());
        match create(&name) {
            Ok(_) => {
                kept.push(name);
                None
            }
            Err(error) => Some(error),
        }
    });
    assert!(
        refused.contains("disk") && refused.contains("full") && refused.contains("nothing was written"),
        "{refused}"
    );
    // Reads go on.
    let there = |names: &[String]| {
        let all = kubectl.run("get configmaps -o name");
        for name in names.iter().map(String::as_str).chain(["before"]) {
            let line = format!("configmap/{name}");
            assert!(all.lines().any(|one| one == line), "{name} was acknowledged and is gone");
        }
        let refused = format!("configmap/filling-{}", kept.len());
        assert!(!all.lines().any(|one| one == refused), "what was refused is there");
    };
    there(&kept);
    // A kill while the disk is full.
    machine.kill();
    disk.make_room();
    machine.start_server(&["--disable-agent"]);
    wait("the API", || kubectl.attempt("get --raw /readyz").ok());
    there(&kept);
    kubectl.run("create configmap after --from-literal=a=b");
    // And without a restart: full again, then room again.
    disk.fill();
    let mut n = 0;
    wait("a write to be refused", || {
        n += 1;
        create(&format!("again-{n}")).err()
    });
    disk.make_room();
    wait("writes to work again", || kubectl.attempt("create configmap with-room --from-literal=a=b").ok());
    machine.kill();
}

/// A flipped byte: the server does not start, names file and offset, and changes nothing; nor does a second one beside it.
pub(crate) fn damage_and_rivals_are_refused(lab: &Lab) {
    let machine = lab.machine("hurt");
    machine.start_server(&["--disable-agent"]);
    let kubectl = Kubectl::new(&machine);
    wait("the API", || kubectl.attempt("get --raw /readyz").ok());
    kubectl.run("create configmap precious --from-literal=a=b");

    // Another isopod with the same data directory, from a machine whose ports are free.
    let rival = lab.machine("rival");
    let said = refused(&rival, &machine.data, &["server", "--disable-agent"]);
    assert!(said.contains("isopod runs already with data directory"), "{said}");
    assert_eq!(kubectl.run("get configmap precious -o jsonpath={.data.a}"), "b");

    machine.kill();
    let db = machine.data.join("server/db");
    let log = first_log(&db);
    let whole = std::fs::read(&log).unwrap();
    let mut damaged = whole.clone();
    // The file is longer than what was written to it.
    let at = whole.iter().rposition(|byte| *byte != 0).unwrap() / 2;
    damaged[at..at + 4].iter_mut().for_each(|byte| *byte = !*byte);
    std::fs::write(&log, &damaged).unwrap();
    let said = refused(&machine, &machine.data, &["server", "--disable-agent"]);
    let name = log.file_name().unwrap().to_str().unwrap();
    assert!(
        said.contains(name) && said.contains("damaged at byte") && said.contains("nothing in it was changed"),
        "{said}"
    );
    assert_eq!(std::fs::read(&log).unwrap(), damaged, "the damaged file is left for a person to look at");

    std::fs::write(&log, &whole).unwrap();
    machine.start_server(&["--disable-agent"]);
    wait("the API", || kubectl.attempt("get --raw /readyz").ok());
    assert_eq!(kubectl.run("get configmap precious -o jsonpath={.data.a}"), "b");
    machine.kill();
}

/// Runs isopod on a data directory, which must fail; its complaint.
fn refused(machine: &Machine, data: &Path, args: &[&str]) -> String {
    let mut command = machine.command("timeout");
    command.arg("60").arg(ISOPOD).args(args).args(["--node-ip", &machine.address, "--data-dir"]).arg(data);
    let output = command.output().unwrap();
    assert!(!output.status.success(), "isopod {args:?} should have failed");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The first segment of the write-ahead log.
fn first_log(db: &Path) -> PathBuf {
    let segments = std::fs::read_dir(db.join("log")).unwrap().map(|entry| entry.unwrap().path());
    segments.min().expect("the store has a log")
}
