//! `continue` tokens: where the next page of a list begins, and at which revision it is read. Upstream's form.

use api::Status;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// What a token says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Continuation {
    /// The revision of the first page; `None` for the inconsistent rest of a list whose revision is gone.
    pub(crate) revision: Option<u64>,
    /// The key (`namespace/name`, or the name) of the last object of the page before.
    pub(crate) after: String,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Token {
    v: String,
    rv: i64,
    start: String,
}

const VERSION: &str = "meta.k8s.io/v1";

impl Continuation {
    /// The token.
    pub(crate) fn encode(&self) -> String {
        let rv = self.revision.map_or(-1, |revision| i64::try_from(revision).unwrap_or(i64::MAX));
        // A list goes on at the first key behind the last one: that key and a zero byte.
        let token = Token { v: VERSION.into(), rv, start: format!("{}\0", self.after) };
        // Strings and a number always serialize.
        BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).unwrap_or_default())
    }

    /// Reads a token; 400 when it is none.
    pub(crate) fn decode(token: &str) -> Result<Self, Status> {
        let invalid =
            |why: String| Status::bad_request(format!("invalid continue token: continue key is not valid: {why}"));
        let bytes = api::base64::decode_raw_url(token).map_err(|problem| invalid(problem.to_string()))?;
        let token: Token = serde_json::from_slice(&bytes).map_err(|e| invalid(in_go(&bytes, &e)))?;
        if token.v != VERSION {
            return Err(invalid(format!("server does not recognize this encoded version {}", token.v)));
        }
        if token.rv == 0 {
            return Err(invalid("incorrect encoded start resourceVersion (version meta.k8s.io/v1)".into()));
        }
        let steps = token.start.trim_start_matches('/').split('/');
        if steps.clone().any(|step| matches!(step, "" | "." | "..")) && !token.start.is_empty() {
            return Err(invalid(token.start));
        }
        let after = token.start.strip_suffix('\0').unwrap_or(&token.start).trim_start_matches('/').to_owned();
        if after.is_empty() {
            return Err(invalid("encoded start key empty (version meta.k8s.io/v1)".into()));
        }
        Ok(Self { revision: u64::try_from(token.rv).ok(), after })
    }
}
/// What Go says of JSON that cannot be read; what is JSON and no token is told of in our words.
fn in_go(text: &[u8], error: &serde_json::Error) -> String {
    api::json::read(text, api::json::Limits::default()).err().map_or_else(|| error.to_string(), |why| why.to_string())
}
