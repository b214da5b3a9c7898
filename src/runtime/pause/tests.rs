//! The program is run, not just looked at.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::*;

#[test]
fn instructions_are_what_an_assembler_makes_of_them() {
    // `mov x8, #94` and `svc #0`, `adr x1, .+88` as GNU as encodes them.
    let code = aarch64();
    let word = |at: usize| u32::from_le_bytes(code[at * 4..at * 4 + 4].try_into().unwrap());
    assert_eq!(word(20), 0xd280_0bc8);
    assert_eq!(word(5), 0xd400_0001);
    assert_eq!(word(2), 0x1000_02c1);
    // `b.le .-28`
    assert_eq!(word(19), 0x54ff_ff2d);
    assert_eq!(code.len(), 24 * 4 + 40);
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what} did not happen");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Is in rt_sigtimedwait: its signal setup is done.
fn waits(pid: i32) -> bool {
    let number = if cfg!(target_arch = "x86_64") { "128 " } else { "137 " };
    std::fs::read_to_string(format!("/proc/{pid}/syscall")).is_ok_and(|call| call.starts_with(number))
}

/// Kills what a failing test leaves running; `--kill-child` takes the program along.
struct Unshare(Child);

impl Drop for Unshare {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a shell that becomes the program, as process 1 of a namespace of its own, where default actions do not apply. Returns `unshare`, which
/// exits as the program does, and the program's pid.
fn start(dir: &std::path::Path, script: &str) -> (Unshare, i32) {
    let path = dir.join("pause");
    std::fs::write(&path, elf(Arch::HOST)).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let script = format!("{script} exec {}", path.display());
    let child = Command::new("unshare").args(["--pid", "--fork", "--kill-child", "sh", "-c", &script]).spawn().unwrap();
    let child = Unshare(child);
    let (unshare, path) = (child.0.id() as i32, path.as_path());
    let find = || {
        children(unshare)
            .into_iter()
            .find(|pid| std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == path))
    };
    until("starting", || find().is_some_and(waits));
    (child, find().unwrap())
}

fn children(pid: i32) -> Vec<i32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().map(|child| child.parse().unwrap()).collect()
}

#[test]
fn it_waits_and_exits_on_term_and_int() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let dir = tempfile::tempdir().unwrap();
        let (mut unshare, pid) = start(dir.path(), "");
        // Any other signal leaves it waiting.
        kill(Pid::from_raw(pid), Signal::SIGCONT).unwrap();
        until("waiting on", || waits(pid));
        kill(Pid::from_raw(pid), signal).unwrap();
        assert_eq!(unshare.0.wait().unwrap().into_raw(), 0);
    }
}

#[test]
fn it_reaps_children_and_orphans() {
    let dir = tempfile::tempdir().unwrap();
    // One child of its own, one orphan that it inherits.
    let (mut unshare, pid) = start(dir.path(), "sleep 0.3 & (sleep 0.3 & exit 0);");
    until("reaping", || children(pid).is_empty());
    kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    assert!(unshare.0.wait().unwrap().success());
}
