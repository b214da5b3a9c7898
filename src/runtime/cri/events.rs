//! containerd's native events as hints. The CRI's own event stream exists only since containerd 1.7.

use std::pin::pin;
use std::time::Duration;

use containerd_client::events as native;
use containerd_client::services::v1::SubscribeRequest;
use containerd_client::services::v1::events_client::EventsClient;
use containerd_client::services::v1::version_client::VersionClient;
use futures::stream::Stream;
use prost::Message;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tonic::transport::Channel;

use crate::types::{Event, EventKind};

/// Hints kept for a reader that is busy; past that they are dropped and a `Resync` stands for them.
const BACKLOG: usize = 1024;
/// Between attempts to connect.
const RETRY: Duration = Duration::from_millis(500);
/// A subscription stands after this time at the latest. Should an event get lost all the same, the kubelet's slow resync finds what it meant.
const SETTLE: Duration = Duration::from_millis(100);
/// The namespace containerd's CRI works in.
const FILTER: &str = r#"namespace=="k8s.io""#;

/// Subscribes until the stream is dropped.
pub(super) fn subscribe(channel: Channel) -> impl Stream<Item = Event> + Send + 'static {
    let (sender, receiver) = mpsc::channel(BACKLOG);
    tokio::spawn(forward(channel, sender));
    tokio_stream::wrappers::ReceiverStream::new(receiver)
}

async fn forward(channel: Channel, sender: mpsc::Sender<Event>) {
    loop {
        tokio::select! {
            () = sender.closed() => return,
            () = follow(channel.clone(), &sender) => {}
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// One subscription, until it breaks.
async fn follow(channel: Channel, sender: &mpsc::Sender<Event>) {
    // containerd answers a subscription only with its first event, so another call tells whether it is there at all.
    if let Err(status) = VersionClient::new(channel.clone()).version(()).await {
        tracing::debug!(error = status.message(), "containerd's events are not available, retrying");
        return;
    }
    let request = SubscribeRequest { filters: vec![FILTER.to_owned()] };
    let mut client = EventsClient::new(channel);
    let mut subscribing = pin!(client.subscribe(request));
    let early = tokio::time::timeout(SETTLE, &mut subscribing).await;
    let resync = Event { kind: EventKind::Resync, id: String::new() };
    // A reader that is behind gets its Resync as soon as it has taken something.
    if sender.send(resync).await.is_err() {
        return;
    }
    let answer = match early {
        Ok(answer) => answer,
        Err(_) => subscribing.await,
    };
    let mut stream = match answer {
        Ok(answer) => answer.into_inner(),
        Err(status) => {
            tracing::debug!(error = status.message(), "containerd's event stream broke, reconnecting");
            return;
        }
    };
    let mut owes_resync = false;
    loop {
        if owes_resync {
            match sender.try_send(Event { kind: EventKind::Resync, id: String::new() }) {
                Ok(()) => owes_resync = false,
                Err(TrySendError::Full(_)) => {}
                Err(TrySendError::Closed(_)) => return,
            }
        }
        // With a Resync still owed there is room to wait for, so that it is not late by a whole event.
        let envelope = tokio::select! {
            message = stream.message() => message,
            permit = sender.reserve(), if owes_resync => match permit {
                Ok(permit) => {
                    permit.send(Event { kind: EventKind::Resync, id: String::new() });
                    owes_resync = false;
                    continue;
                }
                Err(_) => return,
            },
        };
        match envelope {
            Ok(Some(envelope)) => {
                let Some(any) = envelope.event else { continue };
                let Some(event) = hint(&envelope.topic, &any.value) else { continue };
                match sender.try_send(event) {
                    Ok(()) => {}
                    Err(TrySendError::Full(_)) => owes_resync = true,
                    Err(TrySendError::Closed(_)) => return,
                }
            }
            Ok(None) => return,
            Err(status) => {
                tracing::debug!(error = status.message(), "containerd's event stream broke, reconnecting");
                return;
            }
        }
    }
}

/// What a native event means for us; None for those that mean nothing, such as the exit of an exec'ed process.
fn hint(topic: &str, value: &[u8]) -> Option<Event> {
    let event = |kind, id: String| Some(Event { kind, id });
    match topic {
        "/containers/create" => event(EventKind::Created, native::ContainerCreate::decode(value).ok()?.id),
        "/containers/delete" => event(EventKind::Removed, native::ContainerDelete::decode(value).ok()?.id),
        "/tasks/start" => event(EventKind::Started, native::TaskStart::decode(value).ok()?.container_id),
        "/tasks/oom" => event(EventKind::OutOfMemory, native::TaskOom::decode(value).ok()?.container_id),
        "/tasks/exit" => {
            let exit = native::TaskExit::decode(value).ok()?;
            // The id of the container's own process is the container's; others are of exec.
            (exit.id == exit.container_id)
                .then(|| Event { kind: EventKind::Exited(exit.exit_status.cast_signed()), id: exit.container_id })
        }
        "/images/create" | "/images/update" | "/images/delete" => event(EventKind::Image, name_field(value)),
        _ => None,
    }
}

/// The name in an image event: field 1 of each of the three messages.
fn name_field(value: &[u8]) -> String {
    #[derive(Clone, PartialEq, Message)]
    struct Named {
        #[prost(string, tag = "1")]
        name: String,
    }
    Named::decode(value).map(|named| named.name).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn native_events_become_hints() {
        let check = |topic: &str, value: Vec<u8>, expect: Option<(EventKind, &str)>| {
            assert_eq!(hint(topic, &value), expect.map(|(kind, id)| Event { kind, id: id.to_owned() }), "{topic}");
        };
        let exit = |id: &str| native::TaskExit {
            container_id: "c".into(),
            id: id.into(),
            exit_status: 3,
            ..Default::default()
        };
        check("/tasks/exit", exit("c").encode_to_vec(), Some((EventKind::Exited(3), "c")));
        check("/tasks/exit", exit("exec-1").encode_to_vec(), None);
        check(
            "/containers/delete",
            native::ContainerDelete { id: "c".into() }.encode_to_vec(),
            Some((EventKind::Removed, "c")),
        );
        check("/snapshot/prepare", vec![1, 2, 3], None);
        check("/tasks/start", vec![255, 255], None);
    }
}
