//! Termination messages: a container's last words, from its file or the end of its log.

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use runtime::types::ContainerState;

use super::observed::{MESSAGE_POLICY, Observed};
use crate::Config;
use crate::logs::entry;

const LONGEST: usize = 4096;
const LOG_BYTES: u64 = 2048;
const LOG_LINES: usize = 80;

/// The host's side of the file a container instance writes its message to.
pub(crate) fn path(config: &Config, uid: &str, container: &str, attempt: u32) -> PathBuf {
    config.pod_dir(uid).join("containers").join(container).join(attempt.to_string())
}

/// Reads the messages of instances that have ended, each once, by container id.
pub(crate) fn read(config: &Config, uid: &str, observed: &Observed, known: &mut HashMap<String, String>) {
    known.retain(|id, _| observed.containers.iter().any(|c| c.id() == id));
    for instance in observed.containers.iter().filter(|c| c.state() == ContainerState::Exited) {
        if known.contains_key(instance.id()) {
            continue;
        }
        let mut text = first_bytes(&path(config, uid, instance.name(), instance.attempt()));
        let fallback = instance.status.annotations.get(MESSAGE_POLICY).is_some_and(|p| p == "FallbackToLogsOnError");
        if text.is_empty() && fallback && instance.status.exit_code != 0 {
            text = log_tail(&instance.status.log_path);
        }
        known.insert(instance.id().to_owned(), text);
    }
}

fn first_bytes(path: &Path) -> String {
    let mut bytes = Vec::new();
    // What cannot be read is no message.
    let _ = fs::File::open(path).and_then(|file| file.take(LONGEST as u64).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

fn log_tail(path: &Path) -> String {
    let mut text = Vec::new();
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = fs::File::open(path)?;
        let length = file.metadata()?.len();
        // Every line carries a time stamp and a tag beside its text.
        file.seek(SeekFrom::Start(length.saturating_sub(LOG_BYTES * 4)))?;
        let mut bytes = Vec::new();
        file.take(LOG_BYTES * 4).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let lines: Vec<&[u8]> = bytes.split_inclusive(|b| *b == b'\n').collect();
    for line in lines.iter().skip(lines.len().saturating_sub(LOG_LINES)) {
        if let Some(entry) = entry::parse(line) {
            text.extend_from_slice(entry.text);
            if !entry.partial {
                text.push(b'\n');
            }
        }
    }
    let from = text.len().saturating_sub(LOG_BYTES as usize);
    String::from_utf8_lossy(&text[from..]).into_owned()
}
