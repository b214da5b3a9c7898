//! The text of `/metrics` in the classic format, which is the one upstream speaks to everybody: counters are declared under
//! the names they have in samples, and nothing marks the end.

/// Counters that upstream named before names ended in `_total`.
const WITHOUT_SUFFIX: &[&str] = &["authentication_attempts"];

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
                out.extend(["# HELP ", name, suffix, " ", text, "\n"]);
            }
            out.extend(["# TYPE ", name, suffix, " ", kind, "\n"]);
        } else if !line.starts_with('#') {
            out.push_str(&sample(line));
            out.push('\n');
        }
    }
    out
}

fn sample(line: &str) -> std::borrow::Cow<'_, str> {
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
    fn counters_are_declared_as_they_are_sampled() {
        let written = "# HELP a_requests Requests.\n# TYPE a_requests counter\na_requests_total{code=\"200\"} 1\n\
                       # HELP b_seconds Time.\n# TYPE b_seconds histogram\n# UNIT b_seconds seconds\nb_seconds_sum 1.5\n\
                       # HELP authentication_attempts Who.\n# TYPE authentication_attempts counter\n\
                       authentication_attempts_total{result=\"success\"} 2\n# EOF\n";
        let expect = "# HELP a_requests_total Requests.\n# TYPE a_requests_total counter\na_requests_total{code=\"200\"} 1\n\
                      # HELP b_seconds Time.\n# TYPE b_seconds histogram\nb_seconds_sum 1.5\n\
                      # HELP authentication_attempts Who.\n# TYPE authentication_attempts counter\n\
                      authentication_attempts{result=\"success\"} 2\n";
        assert_eq!(classic(written), expect);
    }
}
