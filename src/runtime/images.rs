//! Images that come from archives instead of a registry, through containerd's own services.
//!
//! The CRI cannot import; containerd's content, image and lease services can. What is imported here carries the labels that make the CRI see it.

pub mod archive;
mod content;
mod import;
mod manifest;
mod reader;
mod reference;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

use containerd_client::services::v1 as native;
use containerd_client::services::v1::content_client::ContentClient;
use containerd_client::services::v1::images_client::ImagesClient;
use containerd_client::services::v1::leases_client::LeasesClient;
use containerd_client::types::Descriptor;
use k8s_cri::v1::image_service_client::ImageServiceClient;
use tonic::transport::Channel;

pub use import::ImportOptions;
pub use reference::normalize;

use crate::{Error, Result};

/// The namespace containerd's CRI works in.
const NAMESPACE: &str = "k8s.io";
/// How long one request on a running containerd may take.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Marks images for the CRI.
const MANAGED: (&str, &str) = ("io.cri-containerd.image", "managed");
/// Keeps garbage collection away (containerd 1.7 and later; before that the node agent has to know).
const PINNED: (&str, &str) = ("io.cri-containerd.pinned", "pinned");

/// containerd's image store. Cheap to clone; connects when used.
#[derive(Debug, Clone)]
pub struct Images {
    channel: Channel,
}

/// One name in the image store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredImage {
    /// Its full name, such as `docker.io/library/busybox:1`, or an image id.
    pub name: String,
    /// Digest of the manifest or index it stands for.
    pub digest: String,
    /// Labels of the record.
    pub labels: crate::types::Map,
}

impl Images {
    /// A client for containerd's socket at `path`. Nothing is connected yet.
    pub fn new(path: impl AsRef<Path>) -> Result<Images> {
        Ok(Images { channel: crate::cri::channel(path.as_ref())? })
    }

    /// All names, ids among them.
    pub async fn list(&self) -> Result<Vec<StoredImage>> {
        let request = native::ListImagesRequest { filters: Vec::new() };
        let mut client = ImagesClient::new(self.channel.clone());
        let answer = call("images.list", client.list(self.request(request, None))).await?;
        Ok(answer
            .images
            .into_iter()
            .map(|image| StoredImage {
                name: image.name,
                digest: image.target.map(|target| target.digest).unwrap_or_default(),
                labels: image.labels.into_iter().collect(),
            })
            .collect())
    }

    /// Removes one name; content nothing else refers to is collected later. Removing what is not there is no error.
    pub async fn remove(&self, name: &str) -> Result<()> {
        let request = native::DeleteImageRequest { name: normalize(name)?, ..Default::default() };
        let mut client = ImagesClient::new(self.channel.clone());
        match call("images.delete", client.delete(self.request(request, None))).await {
            Ok(()) | Err(Error::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Imports the sandbox image that ships in this program, unless it is there already.
    pub async fn ensure_pause(&self) -> Result<()> {
        let archive = crate::pause::archive(crate::pause::Arch::HOST);
        let options = ImportOptions { pinned: true, ..ImportOptions::default() };
        self.import(std::io::Cursor::new(archive), options).await.map(drop)
    }

    /// Creates a name or points it anew.
    async fn put(&self, name: &str, target: Descriptor, pinned: bool, lease: &str) -> Result<()> {
        let labels = [Some(MANAGED), pinned.then_some(PINNED)];
        let image = native::Image {
            name: name.to_owned(),
            labels: labels.into_iter().flatten().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
            target: Some(target),
            ..Default::default()
        };
        let mut client = ImagesClient::new(self.channel.clone());
        let create = native::CreateImageRequest { image: Some(image.clone()), ..Default::default() };
        match call("images.create", client.create(self.request(create, Some(lease)))).await {
            Err(Error::AlreadyExists(_)) => {
                let update = native::UpdateImageRequest { image: Some(image), ..Default::default() };
                call("images.update", client.update(self.request(update, Some(lease)))).await.map(drop)
            }
            other => other.map(drop),
        }
    }

    /// Waits until the CRI, which follows the store by events, knows the name.
    async fn await_cri(&self, name: &str) -> Result<()> {
        const LIMIT: Duration = Duration::from_secs(20);
        let mut client = ImageServiceClient::new(self.channel.clone());
        let known = async {
            loop {
                let image = Some(k8s_cri::v1::ImageSpec { image: name.to_owned(), ..Default::default() });
                let request = k8s_cri::v1::ImageStatusRequest { image, verbose: false };
                if call("image_status", client.image_status(request)).await?.image.is_some() {
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(LIMIT, known)
            .await
            .unwrap_or(Err(Error::DeadlineExceeded { what: "the CRI to notice an imported image", after: LIMIT }))
    }

    /// A lease keeps what is being imported from being collected; it expires by itself should we not get to delete it.
    async fn lease(&self) -> Result<String> {
        let expires = std::time::SystemTime::now() + Duration::from_secs(3600);
        let request = native::CreateRequest {
            id: format!("isopod-import-{}", unique()),
            labels: [("containerd.io/gc.expire".to_owned(), rfc3339(expires))].into(),
        };
        let mut client = LeasesClient::new(self.channel.clone());
        let answer = call("leases.create", client.create(self.request(request, None))).await?;
        Ok(answer.lease.map(|lease| lease.id).unwrap_or_default())
    }

    /// Ends a lease; what nothing else refers to is collected before this returns.
    async fn release(&self, lease: String) {
        let mut client = LeasesClient::new(self.channel.clone());
        let request = native::DeleteRequest { id: lease, sync: true };
        if let Err(error) = call("leases.delete", client.delete(self.request(request, None))).await {
            tracing::debug!(%error, "a lease is left to expire");
        }
    }

    fn content(&self) -> ContentClient<Channel> {
        ContentClient::new(self.channel.clone()).max_decoding_message_size(32 << 20)
    }

    /// A request in the CRI's namespace, under a lease.
    fn request<T>(&self, message: T, lease: Option<&str>) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        let metadata = request.metadata_mut();
        metadata.insert("containerd-namespace", tonic::metadata::MetadataValue::from_static(NAMESPACE));
        if let Some(lease) = lease.and_then(|lease| lease.parse().ok()) {
            metadata.insert("containerd-lease", lease);
        }
        request
    }
}

async fn call<T>(
    what: &'static str,
    call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Result<T> {
    match tokio::time::timeout(TIMEOUT, call).await {
        Ok(answer) => {
            answer.map(tonic::Response::into_inner).map_err(|status| Error::from_status(what, TIMEOUT, status))
        }
        Err(_) => Err(Error::DeadlineExceeded { what, after: TIMEOUT }),
    }
}

/// A name no other import on this machine has.
fn unique() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    format!("{}-{nanos:x}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Whole seconds in UTC, the form containerd reads.
fn rfc3339(time: std::time::SystemTime) -> String {
    let seconds = time.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Civil date from days, by 400-year eras that begin in March.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}
