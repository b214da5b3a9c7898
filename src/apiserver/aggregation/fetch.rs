//! What this server itself asks of others: whether they answer, what they serve.

use std::time::Duration;

use api::User;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Limited};

use super::{Aggregator, Remote, identity};
use crate::endpoints::PortRef;
use crate::proxy::dial::UNREACHED;
use crate::proxy::{Link, Target, forward};

/// Everybody should be able to tell quickly what they serve.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer.
const ANSWER_MAX: usize = 32 << 20;

impl Aggregator {
    /// An answer of any status. `blind` asks whoever answers, as checks do.
    pub(super) async fn fetch(
        &self,
        remote: &Remote,
        blind: bool,
        path: &str,
        accept: &str,
    ) -> Result<Response<Bytes>, String> {
        self.fetch_from(remote, blind, path, accept).await.map(|(_, answer)| answer)
    }

    /// As [`Self::fetch`], with the address that was asked.
    pub(super) async fn fetch_from(
        &self,
        remote: &Remote,
        blind: bool,
        path: &str,
        accept: &str,
    ) -> Result<(String, Response<Bytes>), String> {
        let port = PortRef::Number(remote.port);
        let authority =
            self.endpoints.pick(&remote.namespace, &remote.service, port).map_err(|error| error.to_string())?;
        let url = format!("https://{authority}{path}");
        let connections = if blind { self.identity.shown().blind.clone() } else { remote.link.clone()? };
        let target = Target {
            authority,
            link: Link::Kept(connections),
            path: path.to_owned(),
            below: String::new(),
            headers: identity::headers(&User::new("system:kube-aggregator", [api::user::MASTERS])),
        };
        let mut request = Request::new(Body::empty());
        if let Ok(accept) = HeaderValue::from_str(accept) {
            request.headers_mut().insert(header::ACCEPT, accept);
        }
        let asked = async {
            let answer = forward::forward(&target, request, None, None).await.map_err(|status| {
                let why = status.message.strip_prefix(UNREACHED).map(str::to_owned);
                why.unwrap_or(status.message)
            })?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, ANSWER_MAX).collect().await.map_err(|error| error.to_string())?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        let answered = tokio::time::timeout(PATIENCE, asked).await;
        let answered = answered.unwrap_or_else(|_| Err("context deadline exceeded".to_owned()));
        match answered {
            Ok(answer) => Ok((url, answer)),
            Err(why) => Err(no_response(&url, format_args!("Get {url:?}: {why}"))),
        }
    }
}

/// What is said of a server that did not answer as it should.
pub(super) fn no_response(url: &str, why: impl std::fmt::Display) -> String {
    format!("failing or missing response from {url}: {why}")
}
