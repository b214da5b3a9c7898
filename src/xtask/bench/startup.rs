//! From an empty directory to an API, a Ready node, and a running pod.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use runtime::images::archive::{Archive, Entry};

use super::figure;
use super::machine::Machine;

const IMAGE: &str = "busybox.local/busybox:1";

pub(super) fn run(binary: &Path) -> Result<()> {
    let mut machine = Machine::new(binary)?;
    let images = machine.data.join("agent/images");
    std::fs::create_dir_all(&images)?;
    let busybox = std::fs::read("/bin/busybox").context("the benchmark needs busybox-static")?;
    let entries = vec![Entry::file("bin/busybox", 0o755, busybox), Entry::symlink("bin/sleep", "busybox")];
    let archive = Archive { name: IMAGE.into(), entries, ..Archive::default() };
    std::fs::write(images.join("busybox.tar"), archive.build())?;
    let (_, reached) = machine.start(&[], &["API server", "node Ready"])?;
    figure("startup", "empty directory to API server ready", reached[0].as_secs_f64(), "s");
    figure("startup", "empty directory to node Ready", reached[1].as_secs_f64(), "s");
    for round in 0..5 {
        let began = Instant::now();
        machine.kubectl(&format!("run p{round} --image={IMAGE} --command -- /bin/sleep 1000"))?;
        machine.kubectl(&format!("wait --for=jsonpath={{.status.phase}}=Running pod/p{round} --timeout=60s"))?;
        let name = if round == 0 { "kubectl run to Running, first pod" } else { "kubectl run to Running" };
        figure("startup", name, began.elapsed().as_secs_f64(), "s");
    }
    Ok(())
}
