//! Probes and hooks.

use api::validation::field::ErrorList;
use api::validation::http_header_name;

use super::Context;
use crate::strategy::at::{At, Rule};

const COUNTS: &[(&str, Rule)] = &[
    ("initialDelaySeconds", Rule::NotNegative),
    ("timeoutSeconds", Rule::NotNegative),
    ("periodSeconds", Rule::NotNegative),
    ("successThreshold", Rule::NotNegative),
    ("failureThreshold", Rule::NotNegative),
];

const SIGNALS: [&str; 65] = [
    "SIGABRT",
    "SIGALRM",
    "SIGBUS",
    "SIGCHLD",
    "SIGCLD",
    "SIGCONT",
    "SIGFPE",
    "SIGHUP",
    "SIGILL",
    "SIGINT",
    "SIGIO",
    "SIGIOT",
    "SIGKILL",
    "SIGPIPE",
    "SIGPOLL",
    "SIGPROF",
    "SIGPWR",
    "SIGQUIT",
    "SIGRTMAX",
    "SIGRTMAX-1",
    "SIGRTMAX-10",
    "SIGRTMAX-11",
    "SIGRTMAX-12",
    "SIGRTMAX-13",
    "SIGRTMAX-14",
    "SIGRTMAX-2",
    "SIGRTMAX-3",
    "SIGRTMAX-4",
    "SIGRTMAX-5",
    "SIGRTMAX-6",
    "SIGRTMAX-7",
    "SIGRTMAX-8",
    "SIGRTMAX-9",
    "SIGRTMIN",
    "SIGRTMIN+1",
    "SIGRTMIN+10",
    "SIGRTMIN+11",
    "SIGRTMIN+12",
    "SIGRTMIN+13",
    "SIGRTMIN+14",
    "SIGRTMIN+15",
    "SIGRTMIN+2",
    "SIGRTMIN+3",
    "SIGRTMIN+4",
    "SIGRTMIN+5",
    "SIGRTMIN+6",
    "SIGRTMIN+7",
    "SIGRTMIN+8",
    "SIGRTMIN+9",
    "SIGSEGV",
    "SIGSTKFLT",
    "SIGSTOP",
    "SIGSYS",
    "SIGTERM",
    "SIGTRAP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGUSR1",
    "SIGUSR2",
    "SIGVTALRM",
    "SIGWINCH",
    "SIGXCPU",
    "SIGXFSZ",
];

/// Complaints about hooks and probes of a container that may have them.
pub(super) fn validate(container: &At, context: &Context, errors: &mut ErrorList) {
    let lifecycle = container.get("lifecycle");
    for hook in ["postStart", "preStop"] {
        let hook = lifecycle.get(hook);
        if hook.is_set() {
            handler(&hook, &["exec", "httpGet", "tcpSocket", "sleep"], context.grace, errors);
        }
    }
    stop_signal(&lifecycle.get("stopSignal"), context.os, errors);
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let probe = container.get(name);
        if !probe.is_set() {
            continue;
        }
        handler(&probe, &["exec", "httpGet", "tcpSocket", "grpc"], context.grace, errors);
        probe.check(COUNTS, errors);
        let grace = probe.get("terminationGracePeriodSeconds");
        if grace.value().as_i64().is_some_and(|seconds| seconds <= 0) {
            grace.invalid(errors, "must be greater than 0");
        }
        if name == "readinessProbe" {
            if grace.is_set() {
                grace.invalid(errors, "must not be set for readinessProbes");
            }
        } else if probe.int("successThreshold") != Some(1) {
            let threshold = probe.get("successThreshold");
            threshold.wrong(errors, probe.int("successThreshold").unwrap_or(0), "must be 1");
        }
    }
}

fn stop_signal(signal: &At, os: Option<&str>, errors: &mut ErrorList) {
    if !signal.is_set() {
        return;
    }
    match os {
        None => signal.forbidden(errors, "may not be set for containers with empty `spec.os.name`"),
        Some("windows") if !matches!(signal.str(), "SIGKILL" | "SIGTERM") => {
            signal.unsupported(errors, &["SIGKILL", "SIGTERM"]);
        }
        Some("linux") if !SIGNALS.contains(&signal.str()) => signal.unsupported(errors, &SIGNALS),
        Some(_) => {}
    }
}

/// Exactly one of the kinds of handler, and that one well.
fn handler(at: &At, kinds: &[&str], grace: Option<i64>, errors: &mut ErrorList) {
    let mut found = false;
    // The order of upstream's checks: sleep comes last.
    for kind in kinds {
        let action = at.get(kind);
        if !action.is_set() {
            continue;
        }
        if found {
            action.forbidden(errors, "may not specify more than 1 handler type");
            continue;
        }
        found = true;
        match *kind {
            "exec" => action.check(&[("command", Rule::Need)], errors),
            "httpGet" => http_get(&action, errors),
            "sleep" => {
                let seconds = action.int("seconds").unwrap_or(0);
                if let Some(grace) = grace.filter(|grace| seconds < 0 || seconds > *grace) {
                    let why = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
                    action.wrong(errors, seconds, why);
                }
            }
            _ => action.get("port").port(errors),
        }
    }
    if !found {
        at.required(errors, "must specify a handler type");
    }
}

fn http_get(action: &At, errors: &mut ErrorList) {
    action.check(&[("path", Rule::Need)], errors);
    action.get("port").port(errors);
    let scheme = action.get("scheme");
    if !matches!(scheme.str(), "HTTP" | "HTTPS") {
        scheme.unsupported(errors, &["HTTP", "HTTPS"]);
    }
    for header in action.items("httpHeaders") {
        let name = header["name"].as_str().unwrap_or_default();
        let at = action.get("httpHeaders");
        http_header_name(name).into_iter().for_each(|why| at.wrong(errors, name, why));
    }
}
