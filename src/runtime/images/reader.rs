//! Reading an image archive: a tar file, plain or compressed, as a stream of bounded pieces. Nothing in it is trusted.

use std::io::{self, BufRead, BufReader, Read};
use std::path::{Component, Path};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::{Error, Result};

/// The largest JSON document taken into memory: manifests, indexes and configs.
pub(super) const MAX_JSON: u64 = 8 << 20;
/// Bytes of a blob in one piece.
const PIECE: usize = 256 << 10;
/// Pieces on their way.
const PIECES: usize = 4;
/// The longest path.
const MAX_PATH: u64 = 1024;
/// The most files.
const MAX_ENTRIES: usize = 20_000;

/// What an archive consists of, in its order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// One of the documents that describe the archive.
    Document { path: String, bytes: Bytes },
    /// A file of this size begins; its pieces follow.
    Begin { path: String, size: u64 },
    /// A piece of the file.
    Data(Bytes),
    /// The file is complete.
    End,
    /// A link, whose target is a path in the archive.
    Link { path: String, target: String },
}

/// Reads the archive on a thread of its own. The last item is followed by the end of the channel.
pub(super) fn items(archive: impl Read + Send + 'static) -> mpsc::Receiver<Result<Item>> {
    let (sender, receiver) = mpsc::channel(PIECES);
    tokio::task::spawn_blocking(move || {
        if let Err(Stop::Failed(error)) = read(archive, &sender) {
            // The receiver may have given up first.
            let _ = sender.blocking_send(Err(error));
        }
    });
    receiver
}

/// Why reading ended early.
enum Stop {
    Failed(Error),
    /// Nobody listens any more.
    Unwanted,
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        Stop::Failed(Error::Archive(format!("cannot be read: {error}")))
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Failed(error)
    }
}

fn read(archive: impl Read, sender: &mpsc::Sender<Result<Item>>) -> Result<(), Stop> {
    let send = |item| sender.blocking_send(Ok(item)).map_err(|_| Stop::Unwanted);
    let mut archive = tar::Archive::new(decompressed(archive)?);
    // Raw entries: the tar crate would take extended names of any length into memory.
    let mut names = Extended::default();
    for (count, entry) in archive.entries()?.raw(true).enumerate() {
        if count > MAX_ENTRIES {
            return Err(refuse("has too many files"));
        }
        let mut entry = entry?;
        let kind = entry.header().entry_type();
        if names.take(kind, &mut entry)? {
            continue;
        }
        let (name, link) = (names.name.take(), names.link.take());
        let path = clean(&name.unwrap_or_else(|| entry.path_bytes().into_owned()))?;
        match kind {
            tar::EntryType::Regular | tar::EntryType::Continuous => {
                let size = entry.header().entry_size()?;
                if is_document(&path) {
                    let bytes = bounded(&mut entry, MAX_JSON, &path)?;
                    send(Item::Document { path, bytes: bytes.into() })?;
                } else {
                    send(Item::Begin { path, size })?;
                    let mut left = size;
                    loop {
                        let mut piece = Vec::with_capacity(PIECE);
                        entry.by_ref().take(PIECE as u64).read_to_end(&mut piece)?;
                        if piece.is_empty() {
                            break;
                        }
                        left = left.saturating_sub(piece.len() as u64);
                        send(Item::Data(piece.into()))?;
                    }
                    if left > 0 {
                        return Err(refuse("ends within a file"));
                    }
                    send(Item::End)?;
                }
            }
            tar::EntryType::Symlink | tar::EntryType::Link => {
                let target =
                    link.or_else(|| entry.link_name_bytes().map(|target| target.into_owned())).unwrap_or_default();
                let target = resolve(&path, &target, kind == tar::EntryType::Symlink)?;
                send(Item::Link { path, target })?;
            }
            tar::EntryType::Directory | tar::EntryType::XGlobalHeader => {}
            other => return Err(refuse(&format!("holds {path}, which is of the unexpected kind {other:?}"))),
        }
    }
    Ok(())
}

fn is_document(path: &str) -> bool {
    matches!(path, "index.json" | "manifest.json" | "oci-layout" | "repositories")
}

/// Names too long for a header come as entries of their own before the one they belong to.
#[derive(Default)]
struct Extended {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl Extended {
    /// Takes an entry if it is such a name.
    fn take(&mut self, kind: tar::EntryType, entry: &mut impl Read) -> Result<bool, Stop> {
        match kind {
            tar::EntryType::GNULongName => self.name = Some(c_string(bounded(entry, MAX_PATH, "a file name")?)),
            tar::EntryType::GNULongLink => self.link = Some(c_string(bounded(entry, MAX_PATH, "a link name")?)),
            tar::EntryType::XHeader => {
                let records = bounded(entry, 64 << 10, "an extended header")?;
                for record in tar::PaxExtensions::new(&records) {
                    let record = record?;
                    match record.key_bytes() {
                        b"path" => self.name = Some(record.value_bytes().to_vec()),
                        b"linkpath" => self.link = Some(record.value_bytes().to_vec()),
                        b"size" => return Err(refuse("holds a file of more than 8 GiB, which is not supported")),
                        _ => {}
                    }
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn c_string(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
        bytes.truncate(end);
    }
    bytes
}

fn bounded(entry: &mut impl Read, limit: u64, what: &str) -> Result<Vec<u8>, Stop> {
    let mut bytes = Vec::new();
    entry.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(refuse(&format!("is refused: {what} is larger than {limit} bytes")));
    }
    Ok(bytes)
}

/// A path inside the archive without `.` and empty parts; anything that leads out is an error.
fn clean(path: &[u8]) -> Result<String, Stop> {
    let text = std::str::from_utf8(path).map_err(|_| refuse("holds a path that is not UTF-8"))?;
    if text.len() as u64 > MAX_PATH {
        return Err(refuse("holds a path that is too long"));
    }
    join(Path::new(""), Path::new(text))
        .ok_or_else(|| refuse(&format!("holds the path {text:?}, which leads out of it")))
}

fn resolve(path: &str, target: &[u8], relative: bool) -> Result<String, Stop> {
    let text = std::str::from_utf8(target).map_err(|_| refuse("holds a link that is not UTF-8"))?;
    let base = if relative { Path::new(path).parent().unwrap_or(Path::new("")) } else { Path::new("") };
    join(base, Path::new(text))
        .ok_or_else(|| refuse(&format!("holds the link {path:?} to {text:?}, which leads out of it")))
}

fn join(base: &Path, path: &Path) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for component in base.components().chain(path.components()) {
        match component {
            Component::Normal(part) => parts.push(part.to_str()?),
            Component::CurDir => {}
            Component::ParentDir => drop(parts.pop()?),
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(parts.join("/"))
}

/// Undoes gzip or zstd, told by the first bytes.
fn decompressed<'a>(archive: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut archive = BufReader::with_capacity(PIECE, archive);
    let start = archive.fill_buf()?;
    Ok(match compression(start) {
        Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(archive)),
        Compression::Zstd => Box::new(zstd::Decoder::with_buffer(archive)?),
        Compression::None => Box::new(archive),
    })
}

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Zstd,
}

/// Tells from a stream's first bytes.
pub(super) fn compression(start: &[u8]) -> Compression {
    match start {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
        _ => Compression::None,
    }
}

fn refuse(why: &str) -> Stop {
    Stop::Failed(Error::Archive(why.to_owned()))
}
