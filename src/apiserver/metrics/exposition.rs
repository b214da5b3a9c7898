//! The text of `/metrics` in the classic format, which is the one upstream speaks to everybody: counters are declared under
//! the names they have in samples, and nothing marks the end.

/// Counters that upstream named before names ended in `_total`.
const WITHOUT_SUFFIX: &[&str] = &["authentication_attempts"];

/// Metrics that upstream calls stable.
const STABLE: &[&str] = &[
    "apiserver_admission_controller_admission_duration_seconds",
    "apiserver_admission_step_admission_duration_seconds",
    "apiserver_admission_webhook_admission_duration_seconds",
    "apiserver_current_inflight_requests",
    "apiserver_longrunning_requests",
    "apiserver_request_duration_seconds",
    "apiserver_request_total",
    "apiserver_requested_deprecated_apis",
    "apiserver_response_sizes",
    "apiserver_storage_objects",
    "apiserver_storage_size_bytes",
    "kubernetes_healthcheck",
    "kubernetes_healthchecks_total",
];

/// And those that nearly are.
const BETA: &[&str] = &[
    "apiserver_authentication_config_controller_automatic_reload_last_timestamp_seconds",
    "apiserver_authentication_config_controller_automatic_reloads_total",
    "apiserver_authorization_config_controller_automatic_reload_last_timestamp_seconds",
    "apiserver_authorization_config_controller_automatic_reloads_total",
    "apiserver_flowcontrol_current_executing_requests",
    "apiserver_flowcontrol_current_executing_seats",
    "apiserver_flowcontrol_current_inqueue_requests",
    "apiserver_flowcontrol_dispatched_requests_total",
    "apiserver_flowcontrol_nominal_limit_seats",
    "apiserver_flowcontrol_rejected_requests_total",
    "apiserver_flowcontrol_request_wait_duration_seconds",
];

/// Metrics of which nobody says how stable they are: those of every program, and ours.
const UNSAID: [&str; 2] = ["process_", "isopod_"];

/// The media type of the format.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";

/// The classic form of what the library writes as OpenMetrics.
pub(super) fn classic(open_metrics: &str) -> String {
    let mut out = String::with_capacity(open_metrics.len() + open_metrics.len() / 16);
    let mut help = None;
    for line in open_metrics.lines() {
        if let Some(said) = line.strip_prefix("# HELP ") {
            help = said.split_once(' ');
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|said| said.split_once(' ')) {
            let suffix = if kind == "counter" && !WITHOUT_SUFFIX.contains(&name) { "_total" } else { "" };
            let kind = match kind {
                "unknown" => "untyped",
                "info" => "gauge",
                other => other,
            };
            if let Some((_, text)) = help.take() {
                let whole = format!("{name}{suffix}");
                out.extend(["# HELP ", &whole, " ", stability(&whole), text, "\n"]);
            }
            out.extend(["# TYPE ", name, suffix, " ", kind, "\n"]);
        } else if !line.starts_with('#') {
            out.push_str(&sample(line));
            out.push('\n');
        }
    }
    out
}

fn stability(name: &str) -> &'static str {
    match name {
        name if UNSAID.iter().any(|begins| name.starts_with(begins)) => "",
        name if STABLE.contains(&name) => "[STABLE] ",
        name if BETA.contains(&name) => "[BETA] ",
        _ => "[ALPHA] ",
    }
}

/// A bound as Go writes it: it is a label, and queries compare it as a text.
fn bound(text: &str) -> String {
    let Some(value) = text.parse::<f64>().ok().filter(|value| value.is_finite()) else { return text.to_owned() };
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..6).contains(&exponent) => {
            format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
        }
        _ => value.to_string(),
    }
}

fn sample(line: &str) -> std::borrow::Cow<'_, str> {
    if let Some((before, rest)) = line.split_once("_bucket{le=\"")
        && let Some((text, behind)) = rest.split_once('"')
    {
        return format!("{before}_bucket{{le=\"{}\"{behind}", bound(text)).into();
    }
    let bare = |name: &&&str| line.strip_prefix(**name).is_some_and(|rest| rest.starts_with("_total"));
    match WITHOUT_SUFFIX.iter().find(bare) {
        Some(_) => line.replacen("_total", "", 1).into(),
        None => line.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::classic;

    #[test]
    fn bounds_are_written_as_go_writes_them() {
        for (text, expect) in [
            ("1.0", "1"),
            ("0.0", "0"),
            ("1.25", "1.25"),
            ("100000.0", "100000"),
            ("1000000.0", "1e+06"),
            ("31104000.0", "3.1104e+07"),
            ("0.0001", "0.0001"),
            ("0.00001", "1e-05"),
            ("+Inf", "+Inf"),
        ] {
            let line = |text: &str| format!("a_seconds_bucket{{le=\"{text}\",verb=\"GET\"}} 1");
            assert_eq!(super::sample(&line(text)), line(expect));
        }
    }

    #[test]
    fn counters_are_declared_as_they_are_sampled() {
        let written = "# HELP a_requests Requests.\n# TYPE a_requests counter\na_requests_total{code=\"200\"} 1\n\
                       # HELP b_seconds Time.\n# TYPE b_seconds histogram\n# UNIT b_seconds seconds\nb_seconds_sum 1.5\n\
                       # HELP authentication_attempts Who.\n# TYPE authentication_attempts counter\n\
                       authentication_attempts_total{result=\"success\"} 2\n# EOF\n";
        let expect = "# HELP a_requests_total [ALPHA] Requests.\n# TYPE a_requests_total counter\na_requests_total{code=\"200\"} 1\n\
                      # HELP b_seconds [ALPHA] Time.\n# TYPE b_seconds histogram\nb_seconds_sum 1.5\n\
                      # HELP authentication_attempts [ALPHA] Who.\n# TYPE authentication_attempts counter\n\
                      authentication_attempts{result=\"success\"} 2\n";
        assert_eq!(classic(written), expect);
    }
}
