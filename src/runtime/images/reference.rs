//! Image names in full.

use crate::{Error, Result};

/// The full form of an image name, as Docker and the CRI complete it: `busybox` is `docker.io/library/busybox:latest`. Image ids stay as they are.
pub fn normalize(name: &str) -> Result<String> {
    let bad = || Error::Archive(format!("{name:?} is not an image name"));
    if name.is_empty() || name.len() > 512 || !name.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(bad());
    }
    if name.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64) {
        return Ok(name.to_owned());
    }
    let (rest, digest) = match name.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (name, None),
    };
    // A colon before the last slash belongs to a port.
    let (path, tag) = match rest.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
        _ => (rest, None),
    };
    let (host, repository) = match path.split_once('/') {
        Some((host, repository)) if host.contains(['.', ':']) || host == "localhost" => (host, repository.to_owned()),
        Some(_) => ("docker.io", path.to_owned()),
        None => ("docker.io", format!("library/{path}")),
    };
    let host = if host == "index.docker.io" { "docker.io" } else { host };
    let part_ok = |part: &str| {
        !part.is_empty()
            && part.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
    };
    let host_ok = host.starts_with(|c: char| c.is_ascii_alphanumeric())
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:".contains(&b));
    let tag_ok = |tag: &str| {
        !tag.is_empty() && tag.len() <= 128 && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    if !host_ok || !repository.split('/').all(part_ok) || !tag.is_none_or(tag_ok) {
        return Err(bad());
    }
    let mut full = format!("{host}/{repository}");
    match (tag, digest) {
        (Some(tag), _) => full.extend([":", tag]),
        (None, None) => full.push_str(":latest"),
        (None, Some(_)) => {}
    }
    if let Some(digest) = digest {
        if digest.strip_prefix("sha256:").is_none_or(|hex| hex.len() != 64) {
            return Err(bad());
        }
        full.extend(["@", digest]);
    }
    Ok(full)
}
