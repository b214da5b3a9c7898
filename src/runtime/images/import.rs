//! Importing: blobs stream into the content store as they come, then the documents are followed and names are given.

use std::collections::HashMap;
use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::content::BlobWriter;
use super::manifest::{self, Descriptor, Document};
use super::reader::{self, Compression, Item, MAX_JSON};
use super::{Images, normalize};
use crate::{Error, Result};

/// Indexes within indexes.
const MAX_DEPTH: usize = 3;
/// Documents followed in one archive.
const MAX_DOCUMENTS: usize = 2000;
/// Links to links.
const MAX_LINKS: usize = 16;

/// How an archive is imported.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImportOptions {
    /// Name for an image the archive gives none.
    pub name: Option<String>,
    /// Garbage collection must keep the images.
    pub pinned: bool,
}

/// What an archive turned out to hold.
#[derive(Default)]
struct Contents {
    documents: HashMap<String, Bytes>,
    blobs: HashMap<String, Blob>,
    links: HashMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Blob {
    digest: String,
    size: u64,
    compression: Compression,
}

/// An image that is complete: what its names point to, and its id.
struct Found {
    target: Descriptor,
    id: String,
}

impl Images {
    /// Imports an OCI image layout or a `docker save` archive, plain, gzip or zstd, and returns the full names of its images, which the CRI
    /// knows by then. Memory does not grow with the archive; digests are checked; nothing of a broken archive gets a name.
    ///
    /// Layers are unpacked when a container first needs them. Blobs of other platforms than this machine's may be missing.
    pub async fn import(&self, archive: impl Read + Send + 'static, options: ImportOptions) -> Result<Vec<String>> {
        let lease = self.lease().await?;
        let imported = self.import_under(&lease, archive, &options).await;
        let result = match imported {
            Ok(names) => {
                let mut waits = names.iter().map(|name| self.await_cri(name));
                let waited = futures::future::try_join_all(&mut waits).await;
                waited.map(|_| names.clone())
            }
            Err(error) => Err(error),
        };
        self.release(lease).await;
        if let Ok(names) = &result {
            tracing::info!(?names, "images imported");
        }
        result
    }

    async fn import_under(
        &self,
        lease: &str,
        archive: impl Read + Send + 'static,
        options: &ImportOptions,
    ) -> Result<Vec<String>> {
        let contents = self.take_in(lease, archive).await?;
        let docker = match contents.documents.get("manifest.json") {
            Some(bytes) => manifest::docker_images(bytes)?,
            None => Vec::new(),
        };
        let mut found: Vec<(Found, Vec<String>)> = Vec::new();
        let budget = AtomicUsize::new(MAX_DOCUMENTS);
        if let Some(index) =
            contents.documents.get("index.json").filter(|_| contents.documents.contains_key("oci-layout"))
        {
            let Document::Index(images) = manifest::parse(index)? else {
                return Err(Error::Archive("index.json is not an index".to_owned()));
            };
            for image in images {
                let Some(id) = self.follow(&image, 0, &budget).await? else {
                    // Attestations and images of other platforms stand beside the ones that count.
                    if image.names().is_empty() || !image.runs_on(crate::pause::Arch::HOST.oci_name()) {
                        continue;
                    }
                    return Err(Error::Archive(format!("the image {} is incomplete", image.names().join(", "))));
                };
                let mut names = image.names();
                if names.is_empty() {
                    let same = docker.iter().filter(|d| contents.blob(&d.config).is_some_and(|blob| blob.digest == id));
                    names = same.flat_map(|d| d.repo_tags.clone().unwrap_or_default()).collect();
                }
                found.push((Found { target: image, id }, names));
            }
        } else {
            for image in &docker {
                let names = image.repo_tags.clone().unwrap_or_default();
                found.push((self.assemble(lease, &contents, image, &budget).await?, names));
            }
        }
        self.name_all(lease, found, options).await
    }

    async fn name_all(
        &self,
        lease: &str,
        found: Vec<(Found, Vec<String>)>,
        options: &ImportOptions,
    ) -> Result<Vec<String>> {
        if found.is_empty() {
            return Err(Error::Archive(
                "holds no image for this machine: neither an OCI image layout nor a docker archive".to_owned(),
            ));
        }
        // All names are checked before the first is given.
        let mut named = Vec::new();
        for (image, names) in found {
            let names = match (names.is_empty(), &options.name) {
                (false, _) => names,
                (true, Some(name)) => vec![name.clone()],
                (true, None) => return Err(Error::Archive("gives its image no name".to_owned())),
            };
            let names = names.iter().map(|name| normalize(name)).collect::<Result<Vec<_>>>()?;
            named.push((image, names));
        }
        let mut all = Vec::new();
        for (image, names) in named {
            let target = containerd_client::types::Descriptor {
                media_type: image.target.media_type,
                digest: image.target.digest,
                size: image.target.size.cast_signed(),
                annotations: HashMap::new(),
            };
            // The CRI refers to images by id, too, and keeps an image as long as its id has a record.
            for name in std::iter::once(&image.id).chain(&names) {
                self.put(name, target.clone(), options.pinned, lease).await?;
            }
            all.extend(names);
        }
        Ok(all)
    }

    /// Streams the archive's files into the content store.
    async fn take_in(&self, lease: &str, archive: impl Read + Send + 'static) -> Result<Contents> {
        let mut items = reader::items(archive);
        let mut contents = Contents::default();
        while let Some(item) = items.recv().await {
            match item? {
                Item::Document { path, bytes } => drop(contents.documents.insert(path, bytes)),
                Item::Link { path, target } => drop(contents.links.insert(path, target)),
                Item::Begin { path, size } => {
                    let mut writer = BlobWriter::new(self, lease, expected_digest(&path)?, size);
                    let taken = take_blob(&mut items, &mut writer).await;
                    let compression = match taken {
                        Ok(compression) => compression,
                        Err(error) => {
                            writer.abort().await;
                            return Err(error);
                        }
                    };
                    let digest = writer.commit().await?;
                    contents.blobs.insert(path, Blob { digest, size, compression });
                }
                Item::Data(_) | Item::End => return Err(Error::Archive("its files are out of order".to_owned())),
            }
        }
        Ok(contents)
    }

    /// Follows a descriptor to a complete image for this machine, protects what it needs from collection, and returns the image's id.
    fn follow<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        depth: usize,
        budget: &'a AtomicUsize,
    ) -> BoxFuture<'a, Result<Option<String>>> {
        async move {
            if depth > MAX_DEPTH {
                return Err(Error::Archive("its indexes are nested too deeply".to_owned()));
            }
            if budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err() {
                return Err(Error::Archive(format!("refers to more than {MAX_DOCUMENTS} documents")));
            }
            let Some(bytes) = self.read_blob(&descriptor.digest, MAX_JSON).await? else { return Ok(None) };
            if bytes.len() as u64 != descriptor.size {
                return Err(Error::Archive(format!("{} has another size than its descriptor says", descriptor.digest)));
            }
            match manifest::parse(&bytes)? {
                Document::Manifest { config, layers } => self.follow_manifest(descriptor, &config, &layers).await,
                Document::Index(children) => {
                    let mut labels = HashMap::new();
                    let mut found = None;
                    for (n, child) in children.iter().enumerate() {
                        let Some(id) = self.follow(child, depth + 1, budget).await? else { continue };
                        labels.insert(format!("containerd.io/gc.ref.content.m.{n}"), child.digest.clone());
                        if found.is_none() && child.runs_on(crate::pause::Arch::HOST.oci_name()) {
                            found = Some(id);
                        }
                    }
                    self.label_blob(&descriptor.digest, labels).await?;
                    Ok(found)
                }
            }
        }
        .boxed()
    }

    async fn follow_manifest(
        &self,
        manifest: &Descriptor,
        config: &Descriptor,
        layers: &[Descriptor],
    ) -> Result<Option<String>> {
        for part in layers.iter().chain([config]) {
            match self.blob_size(&part.digest).await? {
                None => return Ok(None),
                Some(size) if size != part.size => {
                    return Err(Error::Archive(format!("{} has another size than its descriptor says", part.digest)));
                }
                Some(_) => {}
            }
        }
        let layers = layers
            .iter()
            .enumerate()
            .map(|(n, layer)| (format!("containerd.io/gc.ref.content.l.{n}"), layer.digest.clone()));
        let config_label = ("containerd.io/gc.ref.content.config".to_owned(), config.digest.clone());
        self.label_blob(&manifest.digest, layers.chain([config_label]).collect()).await?;
        Ok(Some(config.digest.clone()))
    }

    /// Makes the manifest a `docker save` archive does without.
    async fn assemble(
        &self,
        lease: &str,
        contents: &Contents,
        image: &manifest::DockerImage,
        budget: &AtomicUsize,
    ) -> Result<Found> {
        let blob = |path: &str| contents.blob(path).ok_or_else(|| Error::Archive(format!("{path} is missing")));
        let config = blob(&image.config)?;
        let layers = image
            .layers
            .iter()
            .map(|path| blob(path).map(|blob| (blob.digest.clone(), blob.size, blob.compression)))
            .collect::<Result<Vec<_>>>()?;
        let bytes = manifest::build((&config.digest, config.size), &layers);
        let size = bytes.len() as u64;
        let digest = self.put_blob(bytes, lease).await?;
        let target =
            Descriptor { media_type: manifest::OCI_MANIFEST.to_owned(), digest, size, ..Descriptor::default() };
        match self.follow(&target, 0, budget).await? {
            Some(id) => Ok(Found { target, id }),
            None => Err(Error::Archive("a blob vanished during the import".to_owned())),
        }
    }
}

impl Contents {
    fn blob(&self, path: &str) -> Option<&Blob> {
        let mut path = path;
        for _ in 0..MAX_LINKS {
            match self.links.get(path) {
                Some(target) => path = target,
                None => return self.blobs.get(path),
            }
        }
        None
    }
}

/// The digest a file's path promises.
fn expected_digest(path: &str) -> Result<Option<String>> {
    let Some(rest) = path.strip_prefix("blobs/") else { return Ok(None) };
    let digest = rest.replacen('/', ":", 1);
    match manifest::is_digest(&digest) {
        true => Ok(Some(digest)),
        false => Err(Error::Archive(format!("{path} is not the path of a sha256 blob"))),
    }
}

/// Takes a file's pieces up to its end and tells how it is compressed.
async fn take_blob(
    items: &mut tokio::sync::mpsc::Receiver<Result<Item>>,
    writer: &mut BlobWriter<'_>,
) -> Result<Compression> {
    let mut compression = None;
    loop {
        match items.recv().await {
            Some(Ok(Item::Data(data))) => {
                compression.get_or_insert_with(|| reader::compression(&data));
                writer.write(data).await?;
            }
            Some(Ok(Item::End)) => return Ok(compression.unwrap_or(Compression::None)),
            Some(Err(error)) => return Err(error),
            Some(Ok(_)) | None => return Err(Error::Archive("ends within a file".to_owned())),
        }
    }
}
