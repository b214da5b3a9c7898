//! What Debian's package docker-registry needs to serve one image, `team/app:1`, to the user `user` with the password
//! `secret`: its store, made from an archive, and its configuration.

use std::path::{Path, PathBuf};

/// Fills the directory and writes the configuration; `tls` are a certificate and its key. Returns the configuration's path, the
/// argument of `docker-registry serve`.
pub(crate) fn prepare(dir: &Path, archive: &[u8], address: &str, tls: Option<(&Path, &Path)>) -> PathBuf {
    let files = unpack(archive);
    let put = |path: String, bytes: &[u8]| {
        let file = dir.join("docker/registry/v2").join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    };
    let (manifest, _) = find_manifest(&files);
    for (path, bytes) in &files {
        let Some(hex) = path.strip_prefix("blobs/sha256/") else { continue };
        put(format!("blobs/sha256/{}/{hex}/data", &hex[..2]), bytes);
        put(format!("repositories/team/app/_layers/sha256/{hex}/link"), format!("sha256:{hex}").as_bytes());
    }
    let manifests = "repositories/team/app/_manifests";
    put(format!("{manifests}/revisions/sha256/{}/link", &manifest[7..]), manifest.as_bytes());
    put(format!("{manifests}/tags/1/current/link"), manifest.as_bytes());
    // bcrypt of `secret`.
    let password = "user:$2b$04$2MUVlaMUuajzs/jivxpMo.xiO61k.nW5YbUhNf42tgKr7Eho57hf2\n";
    std::fs::write(dir.join("htpasswd"), password).unwrap();
    let tls = tls.map_or(String::new(), |(certificate, key)| {
        format!(", tls: {{certificate: \"{}\", key: \"{}\"}}", certificate.display(), key.display())
    });
    let at = dir.display();
    let config = format!(
        "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: \"{at}\"}}}}\n\
         http: {{addr: \"{address}\"{tls}}}\nauth: {{htpasswd: {{realm: test, path: \"{at}/htpasswd\"}}}}\n"
    );
    let file = dir.join("config.yml");
    std::fs::write(&file, config).unwrap();
    file
}

/// The files of an archive by their paths.
pub(crate) fn unpack(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(archive);
    let read = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        (entry.path().unwrap().display().to_string(), bytes)
    };
    archive.entries().unwrap().map(read).collect()
}

/// Digest and size of the one manifest in an unpacked archive.
pub(crate) fn find_manifest(files: &[(String, Vec<u8>)]) -> (String, usize) {
    let is_manifest = |bytes: &[u8]| bytes.len() < 10_000 && String::from_utf8_lossy(bytes).contains("\"layers\":[{");
    let (path, bytes) = files.iter().find(|(path, bytes)| path.starts_with("blobs/") && is_manifest(bytes)).unwrap();
    (format!("sha256:{}", path.rsplit('/').next().unwrap()), bytes.len())
}
