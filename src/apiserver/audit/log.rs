//! The log: one JSON document a line, in a file that is rotated, or on standard output.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;

use super::{AuditError, Mode, Truncation};

/// So many events wait at most to be written, as upstream.
const BUFFER: usize = 10_000;
const MEGABYTE: u64 = 1 << 20;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// How the log is written: kube-apiserver's `--audit-log-*`.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// The file; `-` is standard output.
    pub path: PathBuf,
    /// Days after which a rotated file goes; 0 for never.
    pub max_age: u64,
    /// How many rotated files are kept; 0 for all.
    pub max_backups: usize,
    /// Megabytes after which the file is rotated; 0 for a hundred.
    pub max_size: u64,
    /// Whether rotated files are compressed.
    pub compress: bool,
    /// How large events may be.
    pub truncation: Truncation,
    /// When an event counts as written.
    pub mode: Mode,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            path: "-".into(),
            max_age: 0,
            max_backups: 0,
            max_size: 0,
            compress: false,
            truncation: Truncation::default(),
            mode: Mode::Blocking,
        }
    }
}

/// The log, open.
#[derive(Debug)]
pub(super) struct Log {
    mode: Mode,
    truncation: Truncation,
    errors: Counter,
    to: To,
}

#[derive(Debug)]
enum To {
    Now(Mutex<Output>),
    Later(SyncSender<Vec<u8>>),
}

impl Log {
    pub(super) fn open(options: LogOptions, errors: Counter) -> Result<Self, AuditError> {
        let (mode, truncation, path) = (options.mode, options.truncation, options.path.clone());
        let output = Output::open(options).map_err(|source| AuditError::Log { path, source })?;
        let to = match mode {
            Mode::Batch => To::Later(writer(output, errors.clone())),
            Mode::Blocking | Mode::BlockingStrict => To::Now(Mutex::new(output)),
        };
        Ok(Self { mode, truncation, errors, to })
    }

    pub(super) fn truncation(&self) -> Truncation {
        self.truncation
    }

    /// Writes one event. `Err` only in strict mode.
    pub(super) fn write(&self, mut line: Vec<u8>) -> Result<(), ()> {
        line.push(b'\n');
        let failed = match &self.to {
            To::Now(output) => output.lock().write(&line).inspect_err(complain).is_err(),
            To::Later(queue) => match queue.try_send(line) {
                Ok(()) => false,
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                    tracing::error!("the audit log does not keep up: an event is lost");
                    true
                }
            },
        };
        if failed {
            self.errors.inc();
        }
        if failed && self.mode == Mode::BlockingStrict { Err(()) } else { Ok(()) }
    }
}

fn complain(error: &io::Error) {
    tracing::error!(%error, "an audit event cannot be written");
}

/// A thread of its own writes, so that no request waits for the disk. It ends with the sender.
fn writer(mut output: Output, errors: Counter) -> SyncSender<Vec<u8>> {
    let (sender, events) = sync_channel::<Vec<u8>>(BUFFER);
    let write = move || {
        for line in events {
            if output.write(&line).inspect_err(complain).is_err() {
                errors.inc();
            }
        }
    };
    if let Err(error) = std::thread::Builder::new().name("audit-log".into()).spawn(write) {
        tracing::error!(%error, "the thread that writes the audit log cannot be started");
    }
    sender
}

/// A file that is rotated, or standard output.
#[derive(Debug)]
struct Output {
    options: LogOptions,
    file: Option<File>,
    size: u64,
}

impl Output {
    fn open(options: LogOptions) -> io::Result<Self> {
        if options.path.as_os_str() == "-" {
            return Ok(Self { options, file: None, size: 0 });
        }
        if let Some(folder) = options.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)?;
        }
        let (file, size) = open(&options.path)?;
        Ok(Self { options, file: Some(file), size })
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let most = match self.options.max_size {
            0 => 100 * MEGABYTE,
            size => size.saturating_mul(MEGABYTE),
        };
        if self.file.is_some() && self.size > 0 && self.size + line.len() as u64 > most {
            self.rotate()?;
        }
        match &mut self.file {
            Some(file) => {
                file.write_all(line)?;
                self.size += line.len() as u64;
                Ok(())
            }
            None => io::stdout().lock().write_all(line),
        }
    }

    /// The file gets the time as part of its name, a new one takes its place, and what is too old or too much goes.
    fn rotate(&mut self) -> io::Result<()> {
        let path = &self.options.path;
        let (stem, extension) = parts(path);
        let now = Timestamp::now();
        let mut target = path.with_file_name(format!("{stem}-{}{extension}", stamp(now)));
        let mut ahead = 1;
        while target.exists() {
            let later = now.saturating_add(jiff::SignedDuration::from_millis(ahead)).unwrap_or(now);
            target = path.with_file_name(format!("{stem}-{}{extension}", stamp(later)));
            ahead += 1;
        }
        std::fs::rename(path, target)?;
        let (file, size) = open(path)?;
        (self.file, self.size) = (Some(file), size);
        let kept = self.prune()?;
        if self.options.compress {
            compress(kept);
        }
        Ok(())
    }

    /// Removes what is too old or too much, and tells what is left.
    fn prune(&self) -> io::Result<Vec<PathBuf>> {
        let (stem, extension) = parts(&self.options.path);
        let folder = self.options.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let mut old: Vec<(String, PathBuf)> = Vec::new();
        for entry in std::fs::read_dir(folder.unwrap_or(Path::new(".")))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let name = name.strip_suffix(PACKED).unwrap_or(&name);
            let middle = name.strip_prefix(&format!("{stem}-")).and_then(|rest| rest.strip_suffix(&extension));
            // Nothing is removed that is not one of ours by its name.
            if let Some(written) = middle.filter(|middle| is_stamp(middle)) {
                old.push((written.to_owned(), path));
            }
        }
        // Names sort as times do.
        old.sort_unstable();
        old.reverse();
        let (keep, age) = (self.options.max_backups, DAY * u32::try_from(self.options.max_age).unwrap_or(u32::MAX));
        let oldest = Timestamp::now().checked_sub(age).map(stamp).unwrap_or_default();
        let mut kept = Vec::new();
        for (at, (written, path)) in old.into_iter().enumerate() {
            if (keep > 0 && at >= keep) || (self.options.max_age > 0 && written < oldest) {
                std::fs::remove_file(path)?;
            } else {
                kept.push(path);
            }
        }
        Ok(kept)
    }
}

/// How the names of compressed files end.
const PACKED: &str = ".gz";

/// Compresses files that are not, in a thread of its own, one after the other.
fn compress(files: Vec<PathBuf>) {
    static ONE: Mutex<()> = Mutex::new(());
    let work = move || {
        let _one = ONE.lock();
        for file in files.iter().filter(|file| file.extension().is_none_or(|extension| extension != "gz")) {
            match pack(file) {
                // Another rotation has taken it away.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => tracing::error!(%error, file = %file.display(), "an audit log cannot be compressed"),
                Ok(()) => {}
            }
        }
    };
    if let Err(error) = std::thread::Builder::new().name("audit-compress".into()).spawn(work) {
        tracing::error!(%error, "the thread that compresses audit logs cannot be started");
    }
}

/// What is half written has a name that is nobody's.
fn pack(file: &Path) -> io::Result<()> {
    let with = |ending: &str| {
        let mut name = file.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    let mut from = File::open(file)?;
    let unfinished = with(".gz.tmp");
    let to = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    let mut packed = GzEncoder::new(to, Compression::default());
    io::copy(&mut from, &mut packed)?;
    packed.finish()?.sync_all()?;
    std::fs::rename(unfinished, with(PACKED))?;
    std::fs::remove_file(file)
}

/// Opens for appending; what is recorded is nobody else's to read.
fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

/// A file name before and behind the place of the time.
fn parts(path: &Path) -> (String, String) {
    let text = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let extension = text(path.extension());
    (text(path.file_stem()), if extension.is_empty() { extension } else { format!(".{extension}") })
}

fn stamp(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H-%M-%S.%3f").to_string()
}

fn is_stamp(text: &str) -> bool {
    const FORM: &[u8] = b"0000-00-00T00-00-00.000";
    text.len() == FORM.len()
        && text.bytes().zip(FORM).all(|(byte, form)| if *form == b'0' { byte.is_ascii_digit() } else { byte == *form })
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn files(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_file_is_rotated_and_old_ones_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/audit.log");
        let options = LogOptions { path: path.clone(), max_size: 1, max_backups: 2, ..LogOptions::default() };
        let log = Log::open(options, Counter::default()).unwrap();
        let line = vec![b'x'; 400 << 10];
        for _ in 0..9 {
            log.write(line.clone()).unwrap();
        }
        let folder = path.parent().unwrap();
        std::fs::write(folder.join("audit-mine.log"), "").unwrap();
        log.write(line.clone()).unwrap();
        let names = files(folder);
        assert_eq!(names.len(), 4, "{names:?}");
        assert_eq!(names.iter().filter(|name| name.starts_with("audit-2")).count(), 2, "{names:?}");
        assert!(std::fs::metadata(&path).unwrap().len() < 1 << 20);
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn rotated_files_are_compressed_and_go_by_the_time_in_their_names() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        let ancient = dir.path().join("audit-2001-01-01T00-00-00.000.log.gz");
        std::fs::write(&ancient, "").unwrap();
        let options = LogOptions { path, max_size: 1, max_age: 1, compress: true, ..LogOptions::default() };
        let log = Log::open(options, Counter::default()).unwrap();
        let line = vec![b'x'; 600 << 10];
        log.write(line.clone()).unwrap();
        log.write(line.clone()).unwrap();
        assert!(!ancient.exists());
        let packed = loop {
            let found = files(dir.path()).into_iter().find(|name| name.ends_with(".log.gz"));
            if let Some(found) = found.filter(|found| !dir.path().join(found.trim_end_matches(".gz")).exists()) {
                break dir.path().join(found);
            }
            std::thread::yield_now();
        };
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(File::open(packed).unwrap()).read_to_end(&mut text).unwrap();
        assert_eq!(text.len(), line.len() + 1);
    }

    #[test]
    fn batches_are_written_by_and_by_and_strictness_is_felt() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        let options = LogOptions { path: path.clone(), mode: Mode::Batch, ..LogOptions::default() };
        let log = Log::open(options, Counter::default()).unwrap();
        for n in 0..100 {
            log.write(format!("{n}").into_bytes()).unwrap();
        }
        while std::fs::read_to_string(&path).unwrap().lines().count() < 100 {
            std::thread::yield_now();
        }
        let full = LogOptions { path: "/dev/full".into(), mode: Mode::BlockingStrict, ..LogOptions::default() };
        assert!(Log::open(full.clone(), Counter::default()).unwrap().write(b"x".to_vec()).is_err());
        let errors = Counter::default();
        let lax = LogOptions { mode: Mode::Blocking, ..full };
        assert!(Log::open(lax, errors.clone()).unwrap().write(b"x".to_vec()).is_ok());
        assert_eq!(errors.get(), 1);
    }
}
