//! Passing one request on: headers, body, upgrade, answer.

use api::Status;
use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;

use super::dial::{self, Stream};
use super::links::{self, Place};
use super::{Link, Target};
use crate::http::respond;
use crate::metrics::requests::LongRunning;

/// Headers that are between two neighbours only, beside those that `Connection` names.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Who a user is, as a front proxy says it: its word, and not its clients'.
const IDENTITY: [&str; 3] = ["x-remote-user", "x-remote-uid", "x-remote-group"];

/// Which pages of other servers may read an answer is for us to say.
const CORS: [HeaderName; 4] = [
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
];

/// How much of a refusal is read to be told.
const REFUSAL_MAX: usize = 64 * 1024;

/// Passes a request on and its answer back; an upgrade on both sides becomes one connection.
pub(crate) async fn forward(
    target: &Target,
    mut request: Request<Body>,
    peer: Option<std::net::IpAddr>,
    counted: Option<LongRunning>,
) -> Result<Response<Body>, Status> {
    let upgrades = is_upgrade(request.headers());
    let ours = upgrades.then(|| hyper::upgrade::on(&mut request));
    let mut onward = onward(target, request, peer, upgrades)?;
    let host = onward.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default().to_owned();
    let mut answer = match &target.link {
        // What lasts gets a connection of its own.
        Link::Kept(connections) if !upgrades && counted.is_none() => {
            *onward.uri_mut() = uri(&format!("https://{}{}", target.authority, target.path))?;
            connections.send(onward).await?
        }
        link => send(dial(link, &target.authority).await?, onward).await?,
    };
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        let Some(ours) = ours else {
            return Err(Status::internal("the far end upgraded a connection nobody asked it to"));
        };
        let theirs = hyper::upgrade::on(&mut answer);
        tokio::spawn(join(ours, theirs, counted));
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *response.headers_mut() = answer.headers().clone();
        return Ok(response);
    }
    let (mut head, body) = answer.into_parts();
    without_hops(&mut head.headers);
    // The gauge counts until the answer is read.
    let mut body = Body::new(body.map_frame(move |frame| {
        let _ = &counted;
        frame
    }));
    if !target.below.is_empty() {
        body = keep_below(&mut head.headers, body, &target.below, &target.authority, &host).await;
    }
    Ok(Response::from_parts(head, body))
}

/// Whether a request asks for another protocol on its connection.
pub(crate) fn is_upgrade(headers: &HeaderMap) -> bool {
    let asks = |value: &HeaderValue| value.to_str().is_ok_and(|value| value.to_ascii_lowercase().contains("upgrade"));
    headers.contains_key(header::UPGRADE) && headers.get_all(header::CONNECTION).iter().any(asks)
}

/// The request as the far end is to see it.
fn onward(
    target: &Target,
    request: Request<Body>,
    peer: Option<std::net::IpAddr>,
    upgrades: bool,
) -> Result<Request<Body>, Status> {
    let (head, body) = request.into_parts();
    let mut onward = Request::new(body);
    *onward.method_mut() = head.method;
    *onward.uri_mut() = uri(&target.path)?;
    *onward.headers_mut() = headers(&head.headers, upgrades);
    onward.headers_mut().extend(target.headers.clone());
    // What is proxied is asked for by the name that the client used, and told where that was.
    let asked = head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let asked = asked.or(head.uri.authority().map(|authority| authority.as_str())).filter(|_| !target.below.is_empty());
    if let Ok(host) = HeaderValue::from_str(asked.unwrap_or(&target.authority)) {
        onward.headers_mut().insert(header::HOST, host);
    }
    let path = target.path.split('?').next().unwrap_or_default();
    if !target.below.is_empty()
        && let Ok(place) = HeaderValue::from_str(&format!("{}{path}", target.below))
    {
        onward.headers_mut().insert("x-forwarded-uri", place);
    }
    if let Some(peer) = peer {
        let before = head.headers.get("x-forwarded-for").and_then(|v| v.to_str().ok());
        let chain = before.map_or_else(|| peer.to_string(), |before| format!("{before}, {peer}"));
        if let Ok(value) = HeaderValue::from_str(&chain) {
            onward.headers_mut().insert("x-forwarded-for", value);
        }
    }
    Ok(onward)
}

fn uri(text: &str) -> Result<Uri, Status> {
    text.parse().map_err(|_| Status::bad_request("the path to pass on is no path"))
}

async fn dial(link: &Link, authority: &str) -> Result<Box<dyn Stream>, Status> {
    match link {
        Link::Plain => dial::connect(authority, None, None).await,
        Link::Tls(tls) => dial::connect(authority, Some(tls), None).await,
        Link::Kept(connections) => connections.open(authority).await,
    }
}

/// Sends a request on a connection of its own.
async fn send(stream: Box<dyn Stream>, request: Request<Body>) -> Result<Response<Incoming>, Status> {
    let reach = |error: hyper::Error| dial::broken(&error);
    let (mut sender, connection) =
        hyper::client::conn::http1::Builder::new().handshake(TokioIo::new(stream)).await.map_err(reach)?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a proxied connection ended badly");
        }
    });
    sender.send_request(request).await.map_err(reach)
}

/// Turns an answer of 400 and above into the Status that clients expect of the API.
pub(super) async fn refusal(answer: Response<Body>) -> Result<Response<Body>, Status> {
    let code = answer.status().as_u16();
    if code < 400 {
        return Ok(answer);
    }
    let text = http_body_util::Limited::new(answer.into_body(), REFUSAL_MAX).collect().await;
    let text = text.map(|whole| String::from_utf8_lossy(&whole.to_bytes()).trim().to_owned()).unwrap_or_default();
    if let Ok(status) = serde_json::from_str::<Status>(&text)
        && status.kind == "Status"
    {
        return Err(status);
    }
    let reason = match code {
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        405 => "MethodNotAllowed",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "",
    };
    Err(Status::failure(
        code,
        reason,
        if text.is_empty() { "the kubelet refused the request".to_owned() } else { text },
    ))
}

/// What is passed on of the headers: nothing that says who the client is to us.
fn headers(from: &HeaderMap, upgrades: bool) -> HeaderMap {
    let mut headers = from.clone();
    let upgrade = headers.get(header::UPGRADE).cloned();
    let trailers = headers.get(header::TE).is_some_and(|te| te.to_str().is_ok_and(|te| te.contains("trailers")));
    without_hops(&mut headers);
    headers.remove(header::TRAILER);
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    let ours: Vec<HeaderName> = headers
        .keys()
        .filter(|name| {
            let name = name.as_str();
            let identity = IDENTITY.contains(&name) || name.starts_with("x-remote-extra-");
            identity || name == "authorization" || name.starts_with("impersonate-")
        })
        .cloned()
        .collect();
    for name in ours {
        headers.remove(name);
    }
    if let Some(upgrade) = upgrade.filter(|_| upgrades) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, upgrade);
    }
    headers
}

fn without_hops(headers: &mut HeaderMap) {
    let named = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named: Vec<HeaderName> =
        named.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok()).collect();
    for name in named.into_iter().chain(HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// Redirects and pages of a proxied server lead back through the proxy, which is reached below a path or an address; and it does not
/// say who else may read them. `host` is what the server was called.
pub(crate) async fn keep_below(headers: &mut HeaderMap, body: Body, below: &str, authority: &str, host: &str) -> Body {
    let place = Place { below, authority, host };
    for name in CORS {
        headers.remove(name);
    }
    respond::say_first(headers, header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    let Some(location) = headers.get(header::LOCATION) else {
        return links::follow(headers, body, &place).await;
    };
    let location = location.to_str().ok().and_then(|location| place.lead(location));
    if let Some(location) = location.and_then(|location| HeaderValue::from_str(&location).ok()) {
        headers.insert(header::LOCATION, location);
    }
    body
}

/// Two upgraded connections become one, until either end closes.
async fn join(ours: hyper::upgrade::OnUpgrade, theirs: hyper::upgrade::OnUpgrade, counted: Option<LongRunning>) {
    let (ours, theirs) = match tokio::try_join!(ours, theirs) {
        Ok(both) => both,
        Err(error) => {
            tracing::debug!(%error, "an upgrade was not finished");
            return;
        }
    };
    let copied = tokio::io::copy_bidirectional(&mut TokioIo::new(ours), &mut TokioIo::new(theirs)).await;
    if let Err(error) = copied {
        tracing::debug!(%error, "an upgraded connection ended badly");
    }
    drop(counted);
}
