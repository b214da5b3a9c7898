//! `/healthz`, `/livez`, `/readyz`: the same checks under three names, in upstream's words.

use std::sync::Arc;

use axum::body::Body;
use http::Response;

use crate::http::query::Query;
use crate::http::respond;

const TEXT: &str = "text/plain; charset=utf-8";

/// One thing that has to be well.
#[derive(Clone)]
pub struct HealthCheck {
    /// As it stands in the path and in the answer.
    pub name: String,
    /// Whether `/livez` and `/healthz` ask it too: a failure there means that a restart would help.
    pub live: bool,
    /// `Err` says what is wrong, for the log. Must not block.
    pub check: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
}

impl std::fmt::Debug for HealthCheck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HealthCheck").field("name", &self.name).field("live", &self.live).finish()
    }
}

impl HealthCheck {
    /// A check that only `/readyz` asks.
    pub fn ready(name: &str, check: impl Fn() -> Result<(), String> + Send + Sync + 'static) -> Self {
        Self { name: name.to_owned(), live: false, check: Arc::new(check) }
    }

    /// A check that all three ask.
    pub fn live(name: &str, check: impl Fn() -> Result<(), String> + Send + Sync + 'static) -> Self {
        Self { name: name.to_owned(), live: true, check: Arc::new(check) }
    }
}

/// Answers `/healthz`, `/livez`, `/readyz` and the checks below them; `None` for other paths.
pub(crate) fn answer(checks: &[HealthCheck], path: &str, query: &Query) -> Option<Response<Body>> {
    let (root, one) = path.strip_prefix('/')?.split_once('/').map_or((path.strip_prefix('/')?, ""), |(r, o)| (r, o));
    let live_only = match root {
        "readyz" => false,
        "healthz" | "livez" => true,
        _ => return None,
    };
    let mut checks = checks.iter().filter(|check| check.live || !live_only);
    if !one.is_empty() || path.ends_with('/') {
        let found = checks.find(|check| check.name == one)?;
        return Some(match (found.check)() {
            Ok(()) => respond::whole(200, TEXT, "ok".into()),
            Err(why) => text(500, format!("internal server error: {why}\n")),
        });
    }
    let mut excluded: Vec<&str> = query.all("exclude").collect();
    let mut told = String::new();
    let mut failed = false;
    for check in checks {
        let name = &check.name;
        if let Some(at) = excluded.iter().position(|excluded| excluded == name) {
            excluded.remove(at);
            told.push_str(&format!("[+]{name} excluded: ok\n"));
        } else if let Err(why) = (check.check)() {
            tracing::debug!(check = name, why, "a health check failed");
            told.push_str(&format!("[-]{name} failed: reason withheld\n"));
            failed = true;
        } else {
            told.push_str(&format!("[+]{name} ok\n"));
        }
    }
    if !excluded.is_empty() {
        let names: Vec<String> = excluded.iter().map(|name| api::quote::quote(name)).collect();
        told.push_str(&format!("warn: some health checks cannot be excluded: no matches for {}\n", names.join(",")));
    }
    Some(if failed {
        text(500, format!("{told}{root} check failed\n"))
    } else if query.get("verbose").is_some() {
        text(200, format!("{told}{root} check passed\n"))
    } else {
        text(200, "ok".into())
    })
}

/// Each check with the page that asks it, and whether it is well.
pub(crate) fn outcomes(checks: &[HealthCheck]) -> Vec<(String, &'static str, bool)> {
    let outcome = |check: &HealthCheck| {
        let pages: &[&'static str] = if check.live { &["healthz", "livez", "readyz"] } else { &["readyz"] };
        let well = (check.check)().is_ok();
        pages.iter().map(move |page| (check.name.clone(), *page, well)).collect::<Vec<_>>()
    };
    checks.iter().flat_map(outcome).collect()
}

fn text(code: u16, text: String) -> Response<Body> {
    let mut response = respond::whole(code, TEXT, text.into());
    respond::nosniff(&mut response);
    response
}
