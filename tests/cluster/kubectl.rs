//! Stock kubectl, pointed at one cluster.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use crate::lab::{Machine, wait};

/// kubectl on one machine.
pub(crate) struct Kubectl {
    machine: Arc<Machine>,
    kubeconfig: PathBuf,
}

impl Kubectl {
    pub(crate) fn new(machine: &Arc<Machine>) -> Self {
        Self { machine: machine.clone(), kubeconfig: machine.kubeconfig() }
    }

    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = self.machine.command("kubectl");
        command.arg("--kubeconfig").arg(&self.kubeconfig).args(words(line));
        command
    }

    /// Runs a command line; its output, or what it complained about.
    pub(crate) fn attempt(&self, line: &str) -> Result<String, String> {
        let output = self.command(line).stdin(Stdio::null()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// Runs a command line that must succeed; its output without the last newline.
    #[track_caller]
    pub(crate) fn run(&self, line: &str) -> String {
        match self.attempt(line) {
            Ok(text) => text.trim_end().to_owned(),
            Err(error) => panic!("kubectl {line}: {error}"),
        }
    }

    /// Runs a command line that must fail; its complaint.
    #[track_caller]
    pub(crate) fn refused(&self, line: &str) -> String {
        match self.attempt(line) {
            Ok(text) => panic!("kubectl {line} should have failed but printed: {text}"),
            Err(error) => error.trim_end().to_owned(),
        }
    }

    /// `kubectl apply -f -`.
    #[track_caller]
    pub(crate) fn apply(&self, manifest: &str) -> String {
        let mut child = self
            .command("apply -f -")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(manifest.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "kubectl apply: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// Waits until a command line prints what `check` accepts.
    pub(crate) fn until<T>(&self, line: &str, mut check: impl FnMut(&str) -> Option<T>) -> T {
        let mut last = String::new();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait(line, || {
                last = self.attempt(line).unwrap_or_else(|error| error);
                check(last.trim_end())
            })
        }));
        outcome.unwrap_or_else(|_| panic!("kubectl {line}: this was the last answer:\n{last}"))
    }

    /// Waits until a command line prints exactly this.
    pub(crate) fn until_is(&self, line: &str, expect: &str) {
        self.until(line, |text| (text == expect).then_some(()));
    }
}

/// Splits a command line at spaces; single quotes hold a word together.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = None::<String>;
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}
