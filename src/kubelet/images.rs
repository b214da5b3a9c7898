//! Images: present, pulled, or held back after failures.

mod collect;
mod credentials;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use client::events::EventType::{Normal, Warning};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Container;
use parking_lot::Mutex;
use runtime::types::Image;
use tokio::sync::Semaphore;

use crate::agent::Agent;
use crate::pods::backoff::Backoffs;
use crate::pods::pod::Pod;
pub(crate) use collect::keep;

/// Why a container's image is not there: the reason and message its status shows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NoImage {
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    /// When trying again makes sense; None: with the next look at the pod.
    pub(crate) until: Option<Timestamp>,
}

/// Bounds pulls, and remembers failed ones.
pub(crate) struct Puller {
    slots: Semaphore,
    failures: Mutex<Failures>,
}

/// Back-offs, and when and why the last pull failed.
type Failures = (Backoffs, HashMap<String, (Timestamp, String)>);

impl Puller {
    pub(crate) fn new(parallel: usize, backoff: (Duration, Duration)) -> Self {
        Self { slots: Semaphore::new(parallel.max(1)), failures: Mutex::new((Backoffs::new(backoff), HashMap::new())) }
    }

    /// The container's image, pulled if its policy wants that.
    pub(crate) async fn ensure(&self, agent: &Agent, pod: &Pod, container: &Container) -> Result<Image, NoImage> {
        let name = container.image.clone().unwrap_or_default();
        if !is_name(&name) {
            let message = format!(
                "Failed to apply default image tag \"{name}\": couldn't parse image name \"{name}\": invalid reference format"
            );
            agent.event(pod, Some(&container.name), Warning, "InspectFailed", &message);
            return Err(NoImage { reason: "InvalidImageName", message, until: None });
        }
        let policy = container.image_pull_policy.as_deref().unwrap_or_else(|| default_policy(&name));
        let present = agent.runtime.image_status(&name).await.map_err(|error| {
            let message = format!("Failed to inspect image \"{name}\": {error}");
            agent.event(pod, Some(&container.name), Warning, "InspectFailed", &message);
            NoImage { reason: "ImageInspectError", message, until: None }
        })?;
        match (policy, present) {
            ("IfNotPresent" | "Never", Some(image)) => {
                let message =
                    format!("Container image \"{name}\" already present on machine and can be accessed by the pod");
                agent.event(pod, Some(&container.name), Normal, "Pulled", message);
                Ok(image)
            }
            ("Never", None) => {
                let message = format!("Container image \"{name}\" is not present with pull policy of Never");
                agent.event(pod, Some(&container.name), Warning, "ErrImageNeverPull", &message);
                Err(NoImage { reason: "ErrImageNeverPull", message, until: None })
            }
            _ => self.pull(agent, pod, container, &name).await,
        }
    }

    async fn pull(&self, agent: &Agent, pod: &Pod, container: &Container, name: &str) -> Result<Image, NoImage> {
        let key = format!("{}_{name}", pod.uid);
        if let Some((until, why)) = self.held(&key) {
            agent.event(pod, Some(&container.name), Normal, "BackOff", format!("Back-off pulling image \"{name}\""));
            let message = format!("Back-off pulling image \"{name}\": ErrImagePull: {why}");
            return Err(NoImage { reason: "ImagePullBackOff", message, until: Some(until) });
        }
        let asked = Instant::now();
        agent.event(pod, Some(&container.name), Normal, "Pulling", format!("Pulling image \"{name}\""));
        // The semaphore is never closed.
        let _slot = self.slots.acquire().await;
        let begun = Instant::now();
        match self.try_pull(agent, pod, name).await {
            Ok(image) => {
                self.failures.lock().0.reset(&key);
                let message = format!(
                    "Successfully pulled image \"{name}\" in {} ({} including waiting). Image size: {} bytes.",
                    seconds(begun.elapsed()),
                    seconds(asked.elapsed()),
                    image.size
                );
                agent.event(pod, Some(&container.name), Normal, "Pulled", message);
                Ok(image)
            }
            Err(why) => {
                let now = Timestamp::now();
                let until = {
                    let mut failures = self.failures.lock();
                    failures.0.sweep(now);
                    failures.0.next(&key, now, now);
                    failures.1.insert(key.clone(), (now, why.clone()));
                    failures.1.retain(|_, (at, _)| now.duration_since(*at).as_secs() < 3600);
                    // Half way through the status says that the pull is being held back.
                    failures.0.waiting(&key, now, now).and_then(|(delay, _)| now.checked_add(delay / 2).ok())
                };
                tracing::warn!(
                    pod = pod.name,
                    namespace = pod.namespace,
                    image = name,
                    error = why,
                    "image pull failed, will retry"
                );
                agent.event(
                    pod,
                    Some(&container.name),
                    Warning,
                    "Failed",
                    format!("Failed to pull image \"{name}\": {why}"),
                );
                Err(NoImage { reason: "ErrImagePull", message: why, until })
            }
        }
    }

    fn held(&self, key: &str) -> Option<(Timestamp, String)> {
        let failures = self.failures.lock();
        let (failed, why) = failures.1.get(key)?;
        let (_, until) = failures.0.waiting(key, *failed, Timestamp::now())?;
        Some((until, why.clone()))
    }

    async fn try_pull(&self, agent: &Agent, pod: &Pod, name: &str) -> Result<Image, String> {
        let credentials = credentials::for_image(agent, pod, name).await;
        let mut attempts: Vec<_> = credentials.iter().map(Some).collect();
        if attempts.is_empty() {
            attempts.push(None);
        }
        let mut failure = String::new();
        for auth in attempts {
            match agent.runtime.pull_image(name, auth, None).await {
                Ok(reference) => {
                    // The reference is what was pulled; by the name it may be another by now.
                    return match agent.runtime.image_status(&reference).await {
                        Ok(Some(image)) => Ok(image),
                        Ok(None) => Err(format!("image \"{name}\" is gone right after it was pulled")),
                        Err(error) => Err(error.to_string()),
                    };
                }
                Err(error) => failure = error.to_string(),
            }
        }
        Err(failure)
    }
}

/// `Always` for `latest` and for no tag, else `IfNotPresent`.
pub(crate) fn default_policy(image: &str) -> &'static str {
    let last = image.rsplit('/').next().unwrap_or(image);
    if image.contains('@') {
        return "IfNotPresent";
    }
    match last.split_once(':') {
        None | Some((_, "latest")) => "Always",
        Some(_) => "IfNotPresent",
    }
}

/// Whether the text can be an image's name at all; the runtime looks closer.
fn is_name(name: &str) -> bool {
    let path = name.split('@').next().unwrap_or(name);
    let last = path.rsplit('/').next().unwrap_or(path);
    let repository = &path[..path.len() - last.len() + last.find(':').unwrap_or(last.len())];
    let (host, rest) = repository
        .split_once('/')
        .filter(|(h, _)| h.contains(['.', ':']) || *h == "localhost")
        .unwrap_or(("", repository));
    let component = |c: &str| {
        !c.is_empty()
            && c.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-'))
            && c.starts_with(|c: char| c.is_ascii_alphanumeric())
            && c.ends_with(|c: char| c.is_ascii_alphanumeric())
    };
    let tag = last.split_once(':').map(|(_, tag)| tag);
    let tag_is_fine = tag.is_none_or(|t| {
        !t.is_empty()
            && t.len() <= 128
            && t.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    });
    !name.contains(char::is_whitespace) && !host.contains(' ') && rest.split('/').all(component) && tag_is_fine
}

/// A duration as Go prints it, to the millisecond.
pub(crate) fn seconds(duration: Duration) -> String {
    let ms = duration.as_millis();
    if ms < 1000 { format!("{ms}ms") } else { format!("{}s", ms as f64 / 1000.0) }
}
