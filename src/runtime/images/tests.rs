//! Archives as data: names, hostile paths, documents.

use std::io::{Cursor, Write};

use super::archive::{Archive, Entry, tar};
use super::manifest::{self, Document};
use super::reader::{Item, items};
use super::{normalize, rfc3339};
use crate::Error;

#[test]
fn names_are_completed_as_docker_does() {
    let check = |name: &str, expect: &str| assert_eq!(normalize(name).unwrap(), expect, "{name}");
    check("busybox", "docker.io/library/busybox:latest");
    check("busybox:1.36", "docker.io/library/busybox:1.36");
    check("a/b", "docker.io/a/b:latest");
    check("localhost/a", "localhost/a:latest");
    check("localhost:5000/a/b:v1", "localhost:5000/a/b:v1");
    check("index.docker.io/a/b:v1", "docker.io/a/b:v1");
    check("isopod.local/pause:1", "isopod.local/pause:1");
    let digest = format!("sha256:{}", "a".repeat(64));
    check(&digest, &digest);
    check(&format!("r.io/a@{digest}"), &format!("r.io/a@{digest}"));
    check(&format!("r.io/a:t@{digest}"), &format!("r.io/a:t@{digest}"));
    for bad in ["", "A", "a b", "a:", "a//b", "a@sha256:12", "../x", "r.io/", "a:b c", "-a/b"] {
        assert!(matches!(normalize(bad), Err(Error::Archive(_))), "{bad:?}");
    }
}

#[test]
fn times_are_written_as_containerd_reads_them() {
    let check = |seconds: u64, expect: &str| {
        assert_eq!(rfc3339(std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds)), expect);
    };
    check(0, "1970-01-01T00:00:00Z");
    check(951_782_399, "2000-02-28T23:59:59Z");
    check(951_782_400, "2000-02-29T00:00:00Z");
    check(1_795_166_934, "2026-11-20T09:28:54Z");
}

/// Everything the reader says about some bytes: paths of what it found, or the error's text.
async fn read(bytes: Vec<u8>) -> Result<Vec<String>, String> {
    let mut items = items(Cursor::new(bytes));
    let mut seen = Vec::new();
    let mut left = 0;
    while let Some(item) = items.recv().await {
        match item.map_err(|error| error.to_string())? {
            Item::Document { path, .. } => seen.push(format!("document {path}")),
            Item::Link { path, target } => seen.push(format!("link {path} {target}")),
            Item::Begin { path, size } => {
                left = size;
                seen.push(format!("file {path} {size}"));
            }
            Item::Data(data) => left -= data.len() as u64,
            Item::End => assert_eq!(left, 0),
        }
    }
    Ok(seen)
}

#[tokio::test]
async fn archives_are_read_plain_and_compressed() {
    let long = format!("{}/layer.tar", "d".repeat(150));
    let bytes = tar([
        Entry::file("./manifest.json", 0o644, "[]"),
        Entry::directory("a", 0o755),
        Entry::file("a/layer.tar", 0o644, vec![0; 300_000]),
        Entry::symlink("b/layer.tar", "../a/layer.tar"),
        Entry::file(long.clone(), 0o644, "x"),
    ]);
    let expect = Ok(vec![
        "document manifest.json".to_owned(),
        "file a/layer.tar 300000".to_owned(),
        "link b/layer.tar a/layer.tar".to_owned(),
        format!("file {long} 1"),
    ]);
    assert_eq!(read(bytes.clone()).await, expect);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&bytes).unwrap();
    assert_eq!(read(gzip.finish().unwrap()).await, expect);
    assert_eq!(read(zstd::encode_all(bytes.as_slice(), 1).unwrap()).await, expect);
}

/// A tar file with one raw header, for paths the builder refuses to write.
fn raw_tar(path: &str, kind: tar::EntryType, link: &str, body: &[u8], size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(size);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend(body);
    bytes.resize(bytes.len().next_multiple_of(512) + 1024, 0);
    bytes
}

#[tokio::test]
async fn hostile_archives_are_errors() {
    use tar::EntryType as Kind;
    let check = async |bytes: Vec<u8>, expect: &str| {
        let error = read(bytes).await.expect_err(expect);
        assert!(error.contains(expect), "{error:?} should say {expect:?}");
    };
    check(raw_tar("../evil", Kind::Regular, "", b"x", 1), "leads out of it").await;
    check(raw_tar("/etc/passwd", Kind::Regular, "", b"x", 1), "leads out of it").await;
    check(raw_tar("a/../../evil", Kind::Regular, "", b"x", 1), "leads out of it").await;
    check(raw_tar("a", Kind::Symlink, "../../evil", b"", 0), "leads out of it").await;
    check(raw_tar("a", Kind::Link, "/etc/shadow", b"", 0), "leads out of it").await;
    check(raw_tar("dev", Kind::Block, "", b"", 0), "unexpected kind").await;
    check(raw_tar("././@LongLink", Kind::GNULongName, "", &vec![b'a'; 1 << 20], 1 << 20), "larger than").await;
    check(raw_tar("index.json", Kind::Regular, "", &vec![b' '; 9 << 20], 9 << 20), "larger than").await;
    // A file that ends early, and something that is no tar at all.
    check(raw_tar("blob", Kind::Regular, "", b"x", 1 << 20), "ends within a file").await;
    check(vec![7; 4096], "cannot be read").await;
    check(vec![0x1f, 0x8b, 9, 9, 9, 9, 9, 9], "cannot be read").await;
}

#[test]
fn documents_are_told_apart_and_checked() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let descriptor = |digest: &str| format!(r#"{{"mediaType":"x","digest":"{digest}","size":1}}"#);
    let good = descriptor(&digest);
    let parse = |text: String| manifest::parse(text.as_bytes());
    assert!(
        matches!(parse(format!(r#"{{"manifests":[{good}]}}"#)), Ok(Document::Index(children)) if children.len() == 1)
    );
    let manifest = parse(format!(r#"{{"config":{good},"layers":[{good},{good}]}}"#));
    assert!(matches!(manifest, Ok(Document::Manifest { layers, .. }) if layers.len() == 2));
    let many = vec![good.clone(); 600].join(",");
    for bad in [
        format!(r#"{{"manifests":[{good}],"config":{good},"layers":[]}}"#),
        format!(r#"{{"manifests":[{}]}}"#, descriptor("sha256:../../x")),
        format!(r#"{{"manifests":[{}]}}"#, descriptor("md5:00")),
        format!(r#"{{"manifests":[{many}]}}"#),
        "{}".to_owned(),
        "[".repeat(100_000),
    ] {
        assert!(matches!(parse(bad.clone()), Err(Error::Archive(_))), "{}", &bad[..bad.len().min(80)]);
    }
}

#[test]
fn built_archives_depend_on_nothing_but_their_value() {
    let archive = Archive {
        name: "isopod.local/x:1".into(),
        entries: vec![Entry::file("bin/x", 0o755, "x"), Entry::symlink("bin/y", "x")],
        ..Archive::default()
    };
    assert_eq!(archive.build(), archive.build());
    assert_ne!(archive.build(), Archive { cmd: vec!["-v".into()], ..archive.clone() }.build());
}
