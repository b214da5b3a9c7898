//! Whole computers: machines of the lab that have their own files, processes and control groups, too.
//!
//! What a user installs for good (a service, a binary on PATH, a configuration in /etc) needs more than a network namespace.
//! All of it lives in namespaces that end with their first process, so a failed scenario leaves nothing on this machine.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use crate::lab::{Lab, Machine, wait};

/// Joins the control groups of the computer, then becomes the command.
const ENTER: &str = r#"
for procs in /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/init/cgroup.procs /sys/fs/cgroup/*/cgroup.procs; do
  [ ! -f "$procs" ] || echo 0 2>/dev/null >"$procs" || true
done
cd / && exec "$@""#;

/// Everything that an installation may leave behind, a line each.
const TRACES: &str = r#"
find /etc /usr/local /run /var/lib /var/log -xdev -printf 'file %p\n'
find /sys/fs/cgroup -type d -printf 'control group %p\n'
for process in /proc/[0-9]*; do readlink "$process/exe"; done 2>/dev/null | sed -n '/\/sed$/!s/^/process /p'
awk '{ print "mount " $5 }' /proc/self/mountinfo
ip -o link | sed 's/^[0-9]*: /link /; s/[@:] .*//; s/@.*//'
ip -o -4 addr | awk '{ print "address " $2 " " $4 }'
ip route show table all | grep -v 'fe80\|ff00' | sed 's/^/route /'
ip rule | sed 's/^/rule /'
ip netns list | sed 's/^/network namespace /'
nft list ruleset | sed 's/^/nft /'
"#;

/// A computer. Its end is the end of everything on it.
pub(crate) struct Computer {
    pub(crate) address: String,
    process: Child,
    first: u32,
    group: String,
    // Its network namespace.
    _machine: Arc<Machine>,
}

impl Computer {
    /// Without an init system.
    pub(crate) fn new(lab: &Lab, name: &str) -> Self {
        Self::start(lab, name, "none")
    }

    /// With systemd.
    pub(crate) fn with_systemd(lab: &Lab, name: &str) -> Self {
        let computer = Self::start(lab, name, "systemd");
        computer.until_is("systemctl is-system-running", "running");
        computer
    }

    fn start(lab: &Lab, name: &str, init: &str) -> Self {
        let machine = lab.machine(name);
        let group = format!("isopod-test-{}-{name}", std::process::id());
        let dir = lab.dir().join(format!("{name}-computer"));
        std::fs::create_dir(&dir).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/computer.sh");
        let mut command = machine.command("sh");
        let process = command.arg(script).arg(&group).arg(&dir).arg(init).stdin(Stdio::null()).spawn().unwrap();
        let mut computer =
            Self { address: machine.address.clone(), process, first: 0, group, _machine: machine.clone() };
        wait("the computer", || {
            let ended = computer.process.try_wait().unwrap();
            assert!(ended.is_none(), "the computer {name} does not start: {ended:?}");
            dir.join("up").exists().then_some(())
        });
        let id = computer.process.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        computer.first = children.trim().parse().unwrap();
        computer
    }

    /// A command on this computer.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={}", self.first));
        command.args(["--mount", "--cgroup", "--uts", "--ipc", "--pid", "--net", "--", "sh", "-c", ENTER, "sh"]);
        command.arg(program).env("KUBECONFIG", "/etc/isopod/isopod.yaml").stdin(Stdio::null());
        command
    }

    /// Runs a script; what it printed, on both outputs, in either case.
    pub(crate) fn attempt(&self, script: &str) -> Result<String, String> {
        let output = self.command("sh").arg("-c").arg(format!("exec 2>&1\n{script}")).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
        if output.status.success() { Ok(text) } else { Err(text) }
    }

    /// Runs a script that must succeed.
    #[track_caller]
    pub(crate) fn sh(&self, script: &str) -> String {
        self.attempt(script).unwrap_or_else(|error| panic!("{script}: {error}\n{}", self.log()))
    }

    /// Runs a script that must fail; its complaint.
    #[track_caller]
    pub(crate) fn refused(&self, script: &str) -> String {
        match self.attempt(script) {
            Ok(text) => panic!("{script} should have failed but printed: {text}"),
            Err(error) => error,
        }
    }

    /// Waits until a script prints exactly this.
    pub(crate) fn until_is(&self, script: &str, expect: &str) {
        let mut last = String::new();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait(script, || {
                last = self.attempt(script).unwrap_or_else(|error| error);
                (last == expect).then_some(())
            })
        }));
        outcome.unwrap_or_else(|_| panic!("{script}: this was the last answer:\n{last}\n{}", self.log()));
    }

    /// Everything on this computer that an installation may leave behind.
    pub(crate) fn traces(&self) -> BTreeSet<String> {
        self.sh(TRACES).lines().map(str::to_owned).collect()
    }

    fn log(&self) -> String {
        self.attempt("tail -n 40 /var/log/isopod.log || journalctl -u isopod --no-pager -n 40").unwrap_or_default()
    }
}

impl Drop for Computer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        // The kernel ends the processes of the namespace in its own time.
        for place in hierarchies() {
            let group = place.join(&self.group);
            for _ in 0..200 {
                remove(&group);
                if !group.exists() {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
        }
    }
}

fn hierarchies() -> Vec<PathBuf> {
    let base = PathBuf::from("/sys/fs/cgroup");
    let below = std::fs::read_dir(&base).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    [vec![base], below].concat()
}

/// Removes a control group and those below it, which are directories that cannot be emptied otherwise.
fn remove(group: &Path) {
    for entry in std::fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    let _ = std::fs::remove_dir(group);
}
