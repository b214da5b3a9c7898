//! Which protocol a client asks for, and the 101 that answers.

use base64::Engine;
use http::{HeaderMap, Response, StatusCode, header};

/// SPDY/3.1 in WebSocket messages: port-forward of kubectl 1.31 and later.
pub(crate) const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";

/// What the connection becomes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Protocol {
    /// RFC 6455 with this subprotocol; empty when the client named none.
    WebSocket { name: String },
    /// SPDY/3.1 with this stream protocol.
    Spdy { name: String },
}

/// An upgrade that was agreed on.
#[derive(Clone, Debug)]
pub(crate) struct Upgrade {
    pub(crate) protocol: Protocol,
    accept: Option<String>,
}

/// Subprotocols for exec, attach and run, the best first.
const COMMAND_WEBSOCKET: &[&str] =
    &["v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io", "channel.k8s.io", "base64.channel.k8s.io"];
const COMMAND_SPDY: &[&str] = &["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"];
const FORWARD_WEBSOCKET: &[&str] = &[TUNNEL, "v4.channel.k8s.io", "v4.base64.channel.k8s.io"];
const FORWARD_SPDY: &[&str] = &["portforward.k8s.io"];

/// What the request can be upgraded to; the error is status and text of the answer.
pub(crate) fn negotiate(headers: &HeaderMap, forward: bool) -> Result<Upgrade, (StatusCode, String)> {
    let has = |name: header::HeaderName, word: &str| {
        let values = headers.get_all(name);
        values
            .iter()
            .filter_map(|v| v.to_str().ok())
            .flat_map(|v| v.split(','))
            .any(|v| v.trim().eq_ignore_ascii_case(word))
    };
    let bad = |why: String| (StatusCode::BAD_REQUEST, why);
    if !has(header::CONNECTION, "upgrade") {
        return Err(bad("unable to upgrade: missing upgrade headers in request".into()));
    }
    let offered = |name: &str| -> Vec<String> {
        let values = headers.get_all(name).iter().filter_map(|v| v.to_str().ok());
        values.flat_map(|v| v.split(',')).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty()).collect()
    };
    let choose = |offered: &[String], known: &[&str], what: &str| match offered {
        [] => Ok(String::new()),
        _ => known.iter().find(|k| offered.iter().any(|o| o == *k)).map(|k| (*k).to_owned()).ok_or_else(|| {
            (
                StatusCode::FORBIDDEN,
                format!("unable to negotiate {what}: client supports {offered:?}, server accepts {known:?}"),
            )
        }),
    };
    if has(header::UPGRADE, "websocket") {
        let Some(key) = headers.get(header::SEC_WEBSOCKET_KEY) else {
            return Err(bad("missing Sec-WebSocket-Key".into()));
        };
        if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|v| v != "13") {
            return Err((StatusCode::UPGRADE_REQUIRED, "only WebSocket version 13 is supported".into()));
        }
        let known = if forward { FORWARD_WEBSOCKET } else { COMMAND_WEBSOCKET };
        let name = choose(&offered("sec-websocket-protocol"), known, "protocol")?;
        let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
        return Ok(Upgrade { protocol: Protocol::WebSocket { name }, accept: Some(accept) });
    }
    if has(header::UPGRADE, "spdy/3.1") {
        let known = if forward { FORWARD_SPDY } else { COMMAND_SPDY };
        let name = choose(&offered("x-stream-protocol-version"), known, "protocol")?;
        return Ok(Upgrade { protocol: Protocol::Spdy { name }, accept: None });
    }
    Err(bad("unable to upgrade: only websocket and SPDY/3.1 are supported".into()))
}

impl Upgrade {
    /// The answer that switches protocols.
    pub(crate) fn response<B: Default>(&self) -> Response<B> {
        let mut builder =
            Response::builder().status(StatusCode::SWITCHING_PROTOCOLS).header(header::CONNECTION, "Upgrade");
        match (&self.protocol, &self.accept) {
            (Protocol::WebSocket { name }, accept) => {
                builder = builder.header(header::UPGRADE, "websocket");
                builder = builder.header(header::SEC_WEBSOCKET_ACCEPT, accept.as_deref().unwrap_or_default());
                if !name.is_empty() {
                    builder = builder.header(header::SEC_WEBSOCKET_PROTOCOL, name);
                }
            }
            (Protocol::Spdy { name }, _) => {
                builder = builder.header(header::UPGRADE, "SPDY/3.1");
                if !name.is_empty() {
                    builder = builder.header("X-Stream-Protocol-Version", name);
                }
            }
        }
        // All parts are known to be valid header values.
        builder.body(B::default()).unwrap_or_default()
    }
}

/// Base64 of the `base64.*` subprotocols.
pub(crate) fn encode(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}
