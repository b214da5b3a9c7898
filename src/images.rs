//! `isopod images`: what a node's containerd holds.

use anyhow::{Context, Result};
use runtime::images::{Images, ImportOptions};

use crate::cli::{ImagesArgs, ImagesCommand};
use crate::println;
use crate::settings::Paths;

/// Carries out one command against the node's containerd, which must be running.
pub(crate) async fn run(args: ImagesArgs) -> Result<()> {
    let socket = match &args.container_runtime_endpoint {
        Some(endpoint) => endpoint.strip_prefix("unix://").unwrap_or(endpoint).into(),
        None => Paths::new(&args.data_dir)?.containerd_socket(),
    };
    if !socket.exists() {
        anyhow::bail!(
            "there is no containerd at {}: is isopod running on this machine (with this --data-dir)?",
            socket.display()
        );
    }
    let images = Images::new(&socket)?;
    match args.command {
        ImagesCommand::Import { files } => {
            for file in files {
                let archive = std::fs::File::open(&file).with_context(|| format!("cannot open {}", file.display()))?;
                let imported = images.import(archive, ImportOptions::default()).await;
                for name in imported.with_context(|| format!("cannot import {}", file.display()))? {
                    println(&name);
                }
            }
        }
        ImagesCommand::List => {
            let mut all = images.list().await.context("cannot list the images")?;
            all.sort_by(|a, b| a.name.cmp(&b.name));
            println(&format!("{:<60} {}", "IMAGE", "DIGEST"));
            for image in all.iter().filter(|image| !image.name.starts_with("sha256:")) {
                println(&format!("{:<60} {}", image.name, image.digest));
            }
        }
        ImagesCommand::Rm { images: names } => {
            let all = images.list().await.context("cannot list the images")?;
            for name in names {
                if !all.iter().any(|image| image.name == name) {
                    anyhow::bail!("there is no image {name} on this node (isopod images list)");
                }
                images.remove(&name).await.with_context(|| format!("cannot remove {name}"))?;
                println(&name);
            }
        }
    }
    Ok(())
}
