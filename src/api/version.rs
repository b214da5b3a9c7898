//! Which of two versions clients prefer.

/// GA before beta before alpha, higher numbers first; anything else last. Larger ranks are preferred.
pub fn rank(version: &str) -> (u8, u32, u32) {
    let Some(rest) = version.strip_prefix('v') else { return (0, 0, 0) };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (major, rest) = rest.split_at(digits);
    let Ok(major) = major.parse() else { return (0, 0, 0) };
    let stage = |prefix: &str| rest.strip_prefix(prefix).and_then(|minor| minor.parse().ok());
    match rest {
        "" => (3, major, 0),
        _ if stage("beta").is_some() => (2, major, stage("beta").unwrap_or(0)),
        _ if stage("alpha").is_some() => (1, major, stage("alpha").unwrap_or(0)),
        _ => (0, 0, 0),
    }
}
