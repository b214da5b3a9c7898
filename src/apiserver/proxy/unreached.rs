//! Sessions over WebSockets whose kubelet does not answer. Upstream opens such a session before it turns to the kubelet, if the
//! client speaks the protocol that it translates, and so says in the session what went wrong. Others are refused outright.

use api::Status;
use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use http::request::Parts;
use http::{Response, header};

/// What upstream translates.
const PROTOCOL: &str = "v5.channel.k8s.io";
/// Where errors are written to.
pub(super) const ERRORS: u8 = 3;
/// Nobody listens to the client.
const SAID_MAX: usize = 4096;

/// Whether the client asks for a session that is opened before anybody is asked for it.
pub(super) fn opens_first(head: &Parts) -> bool {
    let text = |name| head.headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    text(header::UPGRADE).any(|upgrade| upgrade.eq_ignore_ascii_case("websocket"))
        && text(header::SEC_WEBSOCKET_PROTOCOL).flat_map(|value| value.split(',')).any(|asked| asked.trim() == PROTOCOL)
}

/// Opens the session, says at `channel` that it is open, and then why it is over.
pub(super) async fn tell(mut head: Parts, channel: u8, why: String) -> Result<Response<Body>, Status> {
    let upgrade = WebSocketUpgrade::from_request_parts(&mut head, &())
        .await
        .map_err(|refused| Status::bad_request(format!("the WebSocket upgrade was refused: {refused}")))?;
    let upgrade = upgrade.max_message_size(SAID_MAX).max_frame_size(SAID_MAX).protocols([PROTOCOL]);
    Ok(upgrade.on_upgrade(move |socket| last_words(socket, channel, Status::internal(why))))
}

async fn last_words(mut socket: WebSocket, channel: u8, status: Status) {
    let mut told = vec![ERRORS];
    // Writing a status into a Vec cannot fail.
    let _ = serde_json::to_writer(&mut told, &status);
    let close = CloseFrame { code: close_code::NORMAL, reason: "".into() };
    for message in [Message::Binary(vec![channel].into()), Message::Binary(told.into()), Message::Close(Some(close))] {
        // The client may have gone first.
        if socket.send(message).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_upstream_translates_is_opened_first() {
        let check = |upgrade: &str, protocols: &str, expect: bool| {
            let request =
                http::Request::builder().header("upgrade", upgrade).header("sec-websocket-protocol", protocols);
            let (head, ()) = request.body(()).unwrap().into_parts();
            assert_eq!(opens_first(&head), expect, "{upgrade} {protocols}");
        };
        check("websocket", "v5.channel.k8s.io", true);
        check("WebSocket", "v4.channel.k8s.io, v5.channel.k8s.io", true);
        check("websocket", "v4.channel.k8s.io", false);
        check("SPDY/3.1", "v5.channel.k8s.io", false);
        check("websocket", "SPDY/3.1+portforward.k8s.io", false);
    }
}
