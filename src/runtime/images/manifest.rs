//! The documents that make up an image, as they come: none of them is trusted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::reader::Compression;
use crate::{Error, Result};

/// The most children of an index, layers of a manifest, or images of an archive.
const MAX_PARTS: usize = 512;

pub(super) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// A reference to a blob.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    #[serde(default)]
    pub(super) media_type: String,
    pub(super) digest: String,
    pub(super) size: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) annotations: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) platform: Option<Platform>,
}

/// For which machines a manifest is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
pub(super) struct Platform {
    #[serde(default)]
    pub(super) architecture: String,
    #[serde(default)]
    pub(super) os: String,
}

/// What a descriptor can lead to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Document {
    Index(Vec<Descriptor>),
    Manifest { config: Descriptor, layers: Vec<Descriptor> },
}

/// One image of a `docker save` archive.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DockerImage {
    pub(super) config: String,
    #[serde(default)]
    pub(super) repo_tags: Option<Vec<String>>,
    #[serde(default)]
    pub(super) layers: Vec<String>,
}

impl Descriptor {
    /// Names an index gives to an image; containerd's annotation counts before OCI's, which may hold just a tag.
    pub(super) fn names(&self) -> Vec<String> {
        ["io.containerd.image.name", "org.opencontainers.image.ref.name"]
            .iter()
            .filter_map(|key| self.annotations.get(*key))
            .find(|name| name.contains([':', '/', '@']))
            .map(|name| name.split(',').map(|name| name.trim().to_owned()).collect())
            .unwrap_or_default()
    }

    /// Whether it says to be for machines of this processor, or does not say.
    pub(super) fn runs_on(&self, arch: &str) -> bool {
        self.platform.as_ref().is_none_or(|p| {
            (p.os.is_empty() || p.os == "linux") && (p.architecture.is_empty() || p.architecture == arch)
        })
    }
}

/// Reads an index or manifest. One that could be read as both is refused: two programs must not see different images in it.
pub(super) fn parse(bytes: &[u8]) -> Result<Document> {
    #[derive(Deserialize)]
    struct Either {
        manifests: Option<Vec<Descriptor>>,
        config: Option<Descriptor>,
        layers: Option<Vec<Descriptor>>,
    }
    let document: Either =
        serde_json::from_slice(bytes).map_err(|error| Error::Archive(format!("malformed manifest: {error}")))?;
    match document {
        Either { manifests: Some(manifests), config: None, layers: None } => {
            few(&manifests)?;
            manifests.iter().try_for_each(check)?;
            Ok(Document::Index(manifests))
        }
        Either { manifests: None, config: Some(config), layers } => {
            let layers = layers.unwrap_or_default();
            few(&layers)?;
            layers.iter().chain([&config]).try_for_each(check)?;
            Ok(Document::Manifest { config, layers })
        }
        _ => Err(Error::Archive("a document is neither a manifest nor an index".to_owned())),
    }
}

/// Reads `manifest.json` of a `docker save` archive.
pub(super) fn docker_images(bytes: &[u8]) -> Result<Vec<DockerImage>> {
    let images: Vec<DockerImage> =
        serde_json::from_slice(bytes).map_err(|error| Error::Archive(format!("malformed manifest.json: {error}")))?;
    few(&images)?;
    images.iter().try_for_each(|image| few(&image.layers))?;
    Ok(images)
}

/// The manifest of an image whose parts are known.
pub(super) fn build(config: (&str, u64), layers: &[(String, u64, Compression)]) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Manifest {
        schema_version: u32,
        media_type: &'static str,
        config: Descriptor,
        layers: Vec<Descriptor>,
    }
    let descriptor = |media_type: &str, digest: &str, size| Descriptor {
        media_type: media_type.to_owned(),
        digest: digest.to_owned(),
        size,
        ..Descriptor::default()
    };
    let layer = |(digest, size, compression): &(String, u64, Compression)| {
        let media_type = match compression {
            Compression::None => "application/vnd.oci.image.layer.v1.tar",
            Compression::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Compression::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        };
        descriptor(media_type, digest, *size)
    };
    let manifest = Manifest {
        schema_version: 2,
        media_type: OCI_MANIFEST,
        config: descriptor(OCI_CONFIG, config.0, config.1),
        layers: layers.iter().map(layer).collect(),
    };
    serde_json::to_vec(&manifest).expect("plain structs serialize")
}

/// Whether a text is a digest containerd can store.
pub(super) fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:")
        .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)))
}

fn check(descriptor: &Descriptor) -> Result<()> {
    match is_digest(&descriptor.digest) {
        true => Ok(()),
        false => Err(Error::Archive(format!("{:?} is not a sha256 digest", descriptor.digest))),
    }
}

fn few<T>(parts: &[T]) -> Result<()> {
    match parts.len() {
        0..=MAX_PARTS => Ok(()),
        many => Err(Error::Archive(format!("{many} parts in one document, more than {MAX_PARTS}"))),
    }
}
