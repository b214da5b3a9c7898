//! Stock kubectl, pointed at one cluster.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use crate::lab::{Background, ISOPOD, Machine, wait};

/// kubectl on one machine.
pub(crate) struct Kubectl {
    machine: Arc<Machine>,
    kubeconfig: PathBuf,
    program: PathBuf,
}

/// One release of kubectl on this machine.
pub(crate) struct Release {
    /// `27` of `v1.27.16`.
    pub(crate) minor: u32,
    /// `v1.27.16`.
    pub(crate) version: String,
    program: PathBuf,
}

/// Every release of kubectl that is on PATH, beside the kubectl on PATH, or was built by tests/kubectl/build; the oldest first.
pub(crate) fn releases() -> Vec<Release> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let real = folders.iter().filter_map(|folder| folder.join("kubectl").canonicalize().ok());
    let beside: Vec<PathBuf> = real.filter_map(|file| file.parent().map(Into::into)).collect();
    folders.extend(beside);
    let target = Path::new(ISOPOD).ancestors().nth(2).unwrap();
    folders.push(target.join("kubectl"));
    let files = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    let named = files.filter(|file| {
        let name = file.file_name();
        name == "kubectl" || name.to_str().is_some_and(|name| name.starts_with("kubectl.1."))
    });
    let mut found = BTreeMap::new();
    for release in named.filter_map(|file| release(file.path())) {
        found.entry(release.minor).or_insert(release);
    }
    found.into_values().collect()
}

fn release(program: PathBuf) -> Option<Release> {
    let output = Command::new(&program).args(["version", "--client", "-o", "json"]).output().ok()?;
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
    let version = told["clientVersion"]["gitVersion"].as_str()?.to_owned();
    let minor = version.strip_prefix("v1.")?.split('.').next()?.parse().ok()?;
    Some(Release { minor, version, program })
}

impl Kubectl {
    pub(crate) fn new(machine: &Arc<Machine>) -> Self {
        Self { machine: machine.clone(), kubeconfig: machine.kubeconfig(), program: "kubectl".into() }
    }

    /// The same with another kubeconfig.
    pub(crate) fn with_kubeconfig(&self, kubeconfig: PathBuf) -> Self {
        Self { machine: self.machine.clone(), kubeconfig, program: self.program.clone() }
    }

    /// The same with another release of kubectl.
    pub(crate) fn with_release(&self, release: &Release) -> Self {
        let (machine, kubeconfig) = (self.machine.clone(), self.kubeconfig.clone());
        Self { machine, kubeconfig, program: release.program.clone() }
    }

    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = self.machine.command(self.program.to_str().unwrap());
        command.arg("--kubeconfig").arg(&self.kubeconfig).args(words(line));
        command
    }

    /// Runs a command line; its output, or what it complained about.
    pub(crate) fn attempt(&self, line: &str) -> Result<String, String> {
        self.finish(&mut self.command(line))
    }

    /// `kubectl edit`: with this sed script instead of a person.
    #[track_caller]
    pub(crate) fn edit(&self, line: &str, script: &str) -> String {
        let mut command = self.command(&format!("edit {line}"));
        match self.finish(command.env("KUBE_EDITOR", format!("sed -i -e {script}"))) {
            Ok(text) => text.trim_end().to_owned(),
            Err(error) => panic!("kubectl edit {line}: {error}"),
        }
    }

    /// A port of the machine that leads to one of a pod while the returned process lives.
    #[track_caller]
    pub(crate) fn forward(&self, line: &str, local: u16, remote: u16) -> Background {
        let forward = self.command(&format!("port-forward {line} {local}:{remote}")).stdout(Stdio::piped()).spawn();
        let mut forward = Background(forward.unwrap());
        let mut said = String::new();
        BufReader::new(forward.0.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
        assert!(said.contains(&format!("127.0.0.1:{local} -> {remote}")), "{said}");
        forward
    }

    fn finish(&self, command: &mut Command) -> Result<String, String> {
        let output = command.stdin(Stdio::null()).output().unwrap();
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
        self.pipe("apply -f -", manifest).unwrap_or_else(|error| panic!("kubectl apply: {error}"))
    }

    /// Runs a command line with something on standard input; its output, or what it complained about.
    pub(crate) fn pipe(&self, line: &str, input: &str) -> Result<String, String> {
        let mut child =
            self.command(line).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Whoever does not read all of it says why on its own.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
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
