//! `/containerLogs/{namespace}/{pod}/{container}`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use http::{Response, StatusCode, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use jiff::{SignedDuration, Timestamp};
use runtime::types::{Container, ContainerFilter, ContainerState, Map};
use tokio::sync::mpsc;

use super::{Answer, text, value};
use crate::agent::Agent;
use crate::logs::read::{self, Options};
use crate::pods::observed::{CONTAINER_NAME, POD_UID};
use crate::pods::pod::Pod;

/// How often the runtime is asked whether a followed container still runs.
const ALIVE: Duration = Duration::from_secs(1);

pub(super) async fn container(
    agent: &Arc<Agent>,
    namespace: &str,
    pod: &str,
    container: &str,
    query: &[(String, String)],
) -> Answer {
    let options = match options(query) {
        Ok(options) => options,
        Err(why) => return text(StatusCode::BAD_REQUEST, format!("{why}\n")),
    };
    let Some(object) = agent.find_pod(namespace, pod) else {
        return text(StatusCode::NOT_FOUND, format!("pod \"{pod}\" not found\n"));
    };
    if Pod::decode(&object).ok().is_none_or(|p| p.container(container).is_none()) {
        return text(StatusCode::NOT_FOUND, format!("container \"{container}\" not found in pod \"{pod}\"\n"));
    }
    let labels = Map::from([
        (POD_UID.to_owned(), object.meta.uid.to_string()),
        (CONTAINER_NAME.to_owned(), container.to_owned()),
    ]);
    let mut instances: Vec<Container> =
        match agent.runtime.list_containers(&ContainerFilter { labels, ..Default::default() }).await {
            Ok(all) => all,
            Err(error) => return text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        };
    instances.sort_by_key(|c| std::cmp::Reverse(c.created_at));
    let previous = is_true(query, "previous");
    // What was made and never started has no log; what ran before it does.
    let mut ran = instances.iter().filter(|c| c.state != ContainerState::Created);
    let chosen = if previous {
        ran.by_ref().find(|c| c.state == ContainerState::Exited && instances.first().is_some_and(|n| n.id != c.id))
    } else {
        ran.next()
    };
    let Some(chosen) = chosen else {
        let why = if previous {
            format!("previous terminated container \"{container}\" in pod \"{pod}\" not found\n")
        } else {
            format!("container \"{container}\" in pod \"{pod}\" is waiting to start: {}\n", reason(&object, container))
        };
        return text(StatusCode::BAD_REQUEST, why);
    };
    let status = match agent.runtime.container_status(&chosen.id).await {
        Ok(status) => status,
        Err(error) => return text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    };
    if !status.log_path.exists() {
        return text(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!(
                "failed to try resolving symlinks in path \"{0}\": lstat {0}: no such file or directory\n",
                status.log_path.display()
            ),
        );
    }
    let (sender, receiver) = mpsc::channel(8);
    let running = liveness(agent.clone(), chosen.id.clone());
    tokio::task::spawn_blocking(move || {
        if let Err(error) = read::send(status.log_path, options, running, sender) {
            tracing::debug!(%error, "reading a log ended");
        }
    });
    let frames = futures::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|bytes| (bytes, receiver))
    });
    let body = BodyExt::boxed(StreamBody::new(frames.map(|bytes| Ok(Frame::data(bytes)))));
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain"));
    response
}

/// Whether the container still runs, asked of the runtime once in a while.
fn liveness(agent: Arc<Agent>, id: String) -> impl FnMut() -> bool + Send + 'static {
    let handle = tokio::runtime::Handle::current();
    let mut asked: Option<Instant> = None;
    let mut alive = true;
    move || {
        if alive && asked.is_none_or(|at| at.elapsed() >= ALIVE) {
            asked = Some(Instant::now());
            let status = handle.block_on(agent.runtime.container_status(&id));
            alive = status.is_ok_and(|s| s.state == ContainerState::Running);
        }
        alive
    }
}

fn is_true(query: &[(String, String)], key: &str) -> bool {
    matches!(value(query, key), Some("true" | "1"))
}

pub(super) fn options(query: &[(String, String)]) -> Result<Options, String> {
    let number = |key: &str| match value(query, key).filter(|v| !v.is_empty()) {
        None => Ok(None),
        Some(text) => text.parse::<u64>().map(Some).map_err(|_| format!("invalid value for {key}: {text:?}")),
    };
    let mut since = None;
    if let Some(seconds) = number("sinceSeconds")? {
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        since = Timestamp::now().checked_sub(SignedDuration::from_secs(seconds)).ok();
    }
    if let Some(time) = value(query, "sinceTime").filter(|v| !v.is_empty()) {
        since = Some(time.parse().map_err(|_| format!("invalid value for sinceTime: {time:?}"))?);
    }
    Ok(Options {
        follow: is_true(query, "follow"),
        tail_lines: number("tailLines")?,
        since,
        timestamps: is_true(query, "timestamps"),
        limit_bytes: number("limitBytes")?,
        stderr: match value(query, "stream") {
            Some("Stdout") => Some(false),
            Some("Stderr") => Some(true),
            _ => None,
        },
    })
}

fn reason(object: &api::Object, container: &str) -> String {
    let value = object.to_value().unwrap_or_default();
    let status = &value["status"];
    let lists = ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"];
    let waiting = lists.iter().filter_map(|l| status[*l].as_array()).flatten().find(|s| s["name"] == container);
    waiting.and_then(|s| s["state"]["waiting"]["reason"].as_str()).unwrap_or("ContainerCreating").to_owned()
}
