//! What the log needs of a disk: few operations, so that tests can fail and crash at each.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::sys::statvfs::statvfs;

use crate::StoreError;

/// One directory of files.
pub(super) trait Disk: Send + Sync + 'static {
    /// Where a file is, for error messages.
    fn path(&self, name: &str) -> PathBuf;
    /// The names of all files.
    fn list(&self) -> io::Result<Vec<String>>;
    /// How many bytes could still be written.
    fn free(&self) -> io::Result<u64>;
    /// Creates a file of `bytes` zeros, all of them really written and synced, so that writing over them changes no
    /// metadata. The name itself may not survive a crash until the file is renamed.
    fn create(&self, name: &str, bytes: u64) -> io::Result<()>;
    /// Renames a file, synced.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Renames a file. May be undone by a crash, unless a synced `rename` comes after it.
    fn set_aside(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file. May come back after a crash.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// The whole content of a file.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;
    /// Opens a file for writing.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
}

/// A file that is written within its length only.
pub(super) trait DiskFile: Send {
    fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()>;
    /// Returns when everything written is on stable storage.
    fn sync(&self) -> io::Result<()>;
}

/// A directory of the file system.
pub(super) struct Directory {
    path: PathBuf,
    /// Open for its syncs, which then work whatever the process has open besides.
    handle: File,
}

impl Directory {
    /// Opens a directory, made if need be, that nobody else may look into.
    pub(super) fn open(path: &Path) -> Result<Directory, StoreError> {
        let failed = |error| StoreError::io("create directory", path, error);
        match DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => sync_directory(path.parent().unwrap_or(Path::new("/"))).map_err(failed)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(failed)?;
            }
            Err(error) => return Err(failed(error)),
        }
        let handle = File::open(path).map_err(failed)?;
        Ok(Directory { path: path.to_owned(), handle })
    }
}

/// How long a lock may outlive its holder: a child that any thread starts holds it as well, from its fork to its exec.
pub(super) const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// Takes the lock that keeps a second process out of `directory`; it is held until the file is dropped.
pub(super) fn lock(directory: &Path) -> Result<File, StoreError> {
    let path = directory.join("lock");
    let failed = |error| StoreError::io("lock", &path, error);
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(failed)?;
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(LOCK_PATIENCE / 50),
            Err(TryLockError::WouldBlock) => return Err(StoreError::Locked { path: directory.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
}

/// Makes the names in a directory durable.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path)?.sync_all()
}

/// How many bytes the file system at `path` still takes.
pub(super) fn free_bytes(path: &Path) -> io::Result<u64> {
    let stats = statvfs(path)?;
    Ok(stats.blocks_available() * stats.fragment_size())
}

impl Disk for Directory {
    fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let names = fs::read_dir(&self.path)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
        names.filter_map(Result::transpose).collect()
    }

    fn free(&self) -> io::Result<u64> {
        free_bytes(&self.path)
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(self.path(name))?;
        // Block by block: what the page cache takes in as one piece, later commits dirty as one piece.
        let zeros = [0; 4 << 10];
        let mut left = bytes;
        while left > 0 {
            let now = left.min(zeros.len() as u64);
            file.write_all(&zeros[..now as usize])?;
            left -= now;
        }
        file.sync_all()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))?;
        self.handle.sync_all()
    }

    fn set_aside(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let mut file = File::open(self.path(name))?;
        let mut bytes = Vec::with_capacity(file.metadata()?.len() as usize);
        file.read_to_end(&mut bytes)?;
        // Reading ahead leaves large pieces in the page cache, see `create`. It is a hint, so no more than tried.
        let _ = posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
        Ok(bytes)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OpenOptions::new().write(true).open(self.path(name))?))
    }
}

impl DiskFile for File {
    fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}
