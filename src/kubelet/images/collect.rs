//! Image garbage collection: when the disk is fuller than the high threshold, images no container uses go, the longest unused first, until it
//! is at the low one.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use client::events::EventType::Warning;
use client::events::Reference;
use runtime::types::{ContainerFilter, Image};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::Limits;
use crate::agent::Agent;

const PERIOD: Duration = Duration::from_secs(300);
/// An image that just came is about to be used.
const YOUNGEST: Duration = Duration::from_secs(120);

/// Looks at the disk again and again until dropped.
pub(crate) async fn keep(agent: Arc<Agent>) {
    let mut used = HashMap::new();
    loop {
        tokio::time::sleep(PERIOD).await;
        if let Err(error) = collect(&agent, &mut used).await {
            warn!(%error, "image garbage collection failed, will retry");
        }
    }
}

async fn collect(agent: &Agent, used: &mut HashMap<String, Instant>) -> Result<(), runtime::Error> {
    let images = agent.runtime.list_images().await?;
    let containers = agent.runtime.list_containers(&ContainerFilter::default()).await?;
    let in_use: HashSet<String> = containers.into_iter().flat_map(|c| [c.image, c.image_ref]).collect();
    let now = Instant::now();
    used.retain(|id, _| images.iter().any(|i| i.id == *id));
    for image in &images {
        if is_used(image, &in_use) {
            used.insert(image.id.clone(), now);
        } else {
            used.entry(image.id.clone()).or_insert(now);
        }
    }
    // Where images are kept; without an answer where everything else is.
    let place = agent.runtime.image_fs_info().await.ok().and_then(|all| all.into_iter().next()).map(|fs| fs.mountpoint);
    let place: PathBuf = place.unwrap_or_else(|| agent.config.root_dir.clone());
    let Ok(disk) = nix::sys::statvfs::statvfs(&place) else { return Ok(()) };
    let (size, available) = (disk.blocks() * disk.fragment_size(), disk.blocks_available() * disk.fragment_size());
    let wanted = excess(&agent.config.limits, size, available);
    if wanted == 0 {
        return Ok(());
    }
    let mut freed = 0;
    for image in choose(&images, &in_use, used, now, wanted) {
        agent.runtime.remove_image(&image.id).await?;
        info!(image = image.repo_tags.first().unwrap_or(&image.id), bytes = image.size, "removed an image nobody uses");
        freed += image.size;
    }
    if freed < wanted {
        let about = Reference {
            kind: "Node".into(),
            name: agent.config.node_name.clone(),
            uid: agent.config.node_name.clone(),
            ..Default::default()
        };
        let message = format!(
            "Failed to garbage collect required amount of images. Attempted to free {wanted} bytes, but only found {freed} bytes eligible to free."
        );
        agent.recorder.event(about, Warning, "FreeDiskSpaceFailed", message);
    }
    Ok(())
}

/// Bytes to free; 0 while the disk is not too full.
pub(super) fn excess(limits: &Limits, size: u64, available: u64) -> u64 {
    let off = limits.image_gc_high >= 100;
    if off || size == 0 || (size - available.min(size)) * 100 / size < limits.image_gc_high {
        return 0;
    }
    (size * (100 - limits.image_gc_low) / 100).saturating_sub(available)
}

fn is_used(image: &Image, in_use: &HashSet<String>) -> bool {
    image.pinned
        || in_use.contains(&image.id)
        || image.repo_tags.iter().chain(&image.repo_digests).any(|name| in_use.contains(name))
}

/// The images to remove for that many bytes, the longest unused first.
pub(super) fn choose<'a>(
    images: &'a [Image],
    in_use: &HashSet<String>,
    used: &HashMap<String, Instant>,
    now: Instant,
    wanted: u64,
) -> Vec<&'a Image> {
    let since = |image: &Image| used.get(&image.id).copied().unwrap_or(now);
    let mut unused: Vec<&Image> =
        images.iter().filter(|i| !is_used(i, in_use) && now.duration_since(since(i)) >= YOUNGEST).collect();
    unused.sort_by_key(|image| since(image));
    let mut freed = 0;
    unused.retain(|image| {
        let take = freed < wanted;
        freed += image.size;
        take
    });
    unused
}
