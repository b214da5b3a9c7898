//! Reading a container's log as `kubectl logs` asks for it, and following it across rotation.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::mpsc;

use super::entry::{self, Entry};

/// A follower looks this often; nobody looks while nobody follows.
const PERIOD: Duration = Duration::from_millis(200);
/// A line of a log is at most this long: containerd splits longer ones at 16 KiB.
const LONGEST_LINE: u64 = 256 << 10;
/// Sent at once.
const CHUNK: usize = 32 << 10;

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    pub(crate) follow: bool,
    pub(crate) tail_lines: Option<u64>,
    pub(crate) since: Option<Timestamp>,
    pub(crate) timestamps: bool,
    pub(crate) limit_bytes: Option<u64>,
    /// None: both; Some(true): stderr only.
    pub(crate) stderr: Option<bool>,
}

/// Files of a log that were rotated away, the oldest first.
pub(crate) fn rotated(log: &Path) -> Vec<PathBuf> {
    let name = format!("{}.", log.file_name().unwrap_or_default().to_string_lossy());
    let Some(dir) = log.parent() else { return Vec::new() };
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> =
        entries.filter(|e| e.file_name().to_string_lossy().starts_with(&name)).map(|e| e.path()).collect();
    files.sort();
    files
}

/// Sends a log until its end (or until the container's, when following) or until nobody listens. `running` says whether more may come.
pub(crate) fn send(
    log: PathBuf,
    options: Options,
    mut running: impl FnMut() -> bool + Send + 'static,
    out: mpsc::Sender<Bytes>,
) -> std::io::Result<()> {
    let mut writer =
        Writer { options: options.clone(), buffer: Vec::new(), left: options.limit_bytes, out, held: Vec::new() };
    let mut file = match options.tail_lines {
        Some(lines) => start_of_tail(&log, lines)?,
        None => vec![(BufReader::new(File::open(&log)?), 0)],
    };
    // All but the newest were rotated away and grow no more.
    let (mut reader, _) = file.pop().ok_or(std::io::ErrorKind::NotFound)?;
    for (mut older, _) in file {
        while let Some(line) = next_line(&mut older, false)? {
            if !writer.entry(&line) {
                return Ok(());
            }
        }
    }
    let mut inode = reader.get_ref().metadata()?.ino();
    let mut unfinished: Vec<u8> = Vec::new();
    loop {
        // Asked before reading: what a container wrote before it ended is there by then.
        let alive = options.follow && running();
        while let Some(line) = next_line(&mut reader, true)? {
            unfinished.extend_from_slice(&line);
            if unfinished.ends_with(b"\n") || unfinished.len() as u64 >= LONGEST_LINE {
                let line = std::mem::take(&mut unfinished);
                if !writer.entry(&line) {
                    return Ok(());
                }
            } else {
                break;
            }
        }
        if !writer.flush() {
            return Ok(());
        }
        match fs::metadata(&log) {
            Ok(metadata) if metadata.ino() != inode => {
                // The rest of the old file was read above; a writer may have used it until it was told to reopen.
                while let Some(line) = next_line(&mut reader, false)? {
                    if !writer.entry(&line) {
                        return Ok(());
                    }
                }
                reader = BufReader::new(File::open(&log)?);
                inode = metadata.ino();
                continue;
            }
            _ => {}
        }
        if !alive {
            if !unfinished.is_empty() {
                writer.entry(&unfinished);
            }
            writer.flush();
            return Ok(());
        }
        std::thread::sleep(PERIOD);
        if writer.out.is_closed() {
            return Ok(());
        }
    }
}

fn next_line(reader: &mut BufReader<File>, _growing: bool) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    std::io::Read::take(&mut *reader, LONGEST_LINE).read_until(b'\n', &mut line)?;
    Ok((!line.is_empty()).then_some(line))
}

/// Opens the newest file, and rotated ones before it as far as needed, at the place where the last `lines` full lines begin.
fn start_of_tail(log: &Path, mut lines: u64) -> std::io::Result<Vec<(BufReader<File>, u64)>> {
    let mut opened = Vec::new();
    let mut paths = rotated(log);
    paths.push(log.to_owned());
    while let Some(path) = paths.pop() {
        let mut file = match File::open(&path) {
            Err(error) if !opened.is_empty() && error.kind() == std::io::ErrorKind::NotFound => continue,
            other => other?,
        };
        let (offset, found) = offset_of_tail(&mut file, lines)?;
        file.seek(SeekFrom::Start(offset))?;
        opened.push((BufReader::new(file), offset));
        lines -= found.min(lines);
        if lines == 0 {
            break;
        }
    }
    opened.reverse();
    Ok(opened)
}

/// Where the last `lines` lines begin, and how many there were.
fn offset_of_tail(file: &mut File, lines: u64) -> std::io::Result<(u64, u64)> {
    let length = file.metadata()?.len();
    if lines == 0 {
        return Ok((length, 0));
    }
    let mut end = length;
    let mut found = 0;
    let mut block = vec![0; 16 << 10];
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        let part = &mut block[..(end - start) as usize];
        file.seek(SeekFrom::Start(start))?;
        std::io::Read::read_exact(file, part)?;
        for at in (0..part.len()).rev() {
            let is_last_byte = start + at as u64 + 1 == length;
            if part[at] == b'\n' && !is_last_byte {
                found += 1;
                if found == lines {
                    return Ok((start + at as u64 + 1, found));
                }
            }
        }
        end = start;
    }
    Ok((0, found + u64::from(length > 0)))
}

struct Writer {
    options: Options,
    buffer: Vec<u8>,
    left: Option<u64>,
    out: mpsc::Sender<Bytes>,
    /// Streams in the middle of a long line: no second time stamp there.
    held: Vec<bool>,
}

impl Writer {
    /// Takes one line; false when there is nothing more to send.
    fn entry(&mut self, line: &[u8]) -> bool {
        let Some(entry) = entry::parse(line) else { return true };
        if self.options.stderr.is_some_and(|wanted| wanted != entry.is_stderr) {
            return true;
        }
        if let Some(since) = self.options.since
            && entry.timestamp().is_some_and(|time| time < since)
        {
            return true;
        }
        self.append(&entry);
        if self.left.is_some_and(|left| self.buffer.len() as u64 >= left) {
            self.flush();
            return false;
        }
        self.buffer.len() < CHUNK || self.flush()
    }

    fn append(&mut self, entry: &Entry<'_>) {
        let inside = self.held.contains(&entry.is_stderr);
        if self.options.timestamps && !inside {
            self.buffer.extend_from_slice(entry.time);
            self.buffer.push(b' ');
        }
        self.buffer.extend_from_slice(entry.text);
        if entry.partial {
            if !inside {
                self.held.push(entry.is_stderr);
            }
        } else {
            self.buffer.push(b'\n');
            self.held.retain(|stream| *stream != entry.is_stderr);
        }
    }

    /// Sends what is there; false when nobody listens or the limit is reached.
    fn flush(&mut self) -> bool {
        if self.buffer.is_empty() {
            return true;
        }
        let mut bytes = std::mem::take(&mut self.buffer);
        if let Some(left) = &mut self.left {
            bytes.truncate(usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len()));
            *left -= bytes.len() as u64;
        }
        let sent = bytes.is_empty() || self.out.blocking_send(Bytes::from(bytes)).is_ok();
        sent && self.left != Some(0)
    }
}
