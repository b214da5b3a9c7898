//! What the name of an image says about how often to pull it.

/// Images of no tag, or of `latest`, change under their name. What is no image's name has no tag to speak of, either.
pub(super) fn pull_policy(image: &str) -> &'static str {
    match parts(image) {
        Some((Some("latest"), _) | (None, false)) => "Always",
        _ => "IfNotPresent",
    }
}

/// The tag of a well-formed name, and whether the name has a digest.
fn parts(image: &str) -> Option<(Option<&str>, bool)> {
    let is_identifier = |text: &str| text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if is_identifier(image) {
        return None;
    }
    let (named, digest) = image.split_once('@').map_or((image, None), |(named, digest)| (named, Some(digest)));
    if !digest.is_none_or(is_digest) {
        return None;
    }
    let (name, tag) = match named.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (named, None),
    };
    if !tag.is_none_or(is_tag) {
        return None;
    }
    // What stands before the first slash is a host only if it looks like one.
    let (path, official) = match name.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" || host.to_lowercase() != host => {
            if !is_host(host) {
                return None;
            }
            (path, "")
        }
        Some(_) => (name, ""),
        None => (name, "library/"),
    };
    let fits = official.len() + path.len() <= 255 && path.split('/').all(is_component);
    fits.then_some((tag, digest.is_some()))
}

fn is_tag(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let mut bytes = tag.bytes();
    tag.len() <= 128 && bytes.next().is_some_and(word) && bytes.all(|b| word(b) || matches!(b, b'.' | b'-'))
}

fn is_digest(digest: &str) -> bool {
    let Some((algorithm, hex)) = digest.split_once(':') else { return false };
    let length = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return false,
    };
    hex.len() == length && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_host(host: &str) -> bool {
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    if let Some(rest) = host.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        let sound = address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
        return sound && !address.is_empty() && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
    }
    let (name, port) = host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
    let label = |label: &str| {
        let sound = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        sound && !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
    };
    name.split('.').all(label) && port.is_none_or(is_port)
}

/// Letters and digits, with a dot, one or two underscores or any number of dashes between them.
fn is_component(component: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let between = component.split(|c: char| c.is_ascii() && is_plain(c as u8)).filter(|part| !part.is_empty());
    let bytes = component.as_bytes();
    let ends = bytes.first().copied().is_some_and(is_plain) && bytes.last().copied().is_some_and(is_plain);
    ends && between.into_iter().all(|part| matches!(part, "." | "_" | "__") || part.bytes().all(|b| b == b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pulls_what_may_have_changed() {
        let digest = format!("nginx@sha256:{}", "0".repeat(64));
        let tagged = format!("nginx:latest@sha256:{}", "0".repeat(64));
        for (image, expect) in [
            ("nginx", "Always"),
            ("nginx:latest", "Always"),
            ("nginx:1.27", "IfNotPresent"),
            ("registry:5000/nginx", "Always"),
            ("registry:5000/nginx:1", "IfNotPresent"),
            ("[fd00::1]:5000/a/b_c", "Always"),
            ("localhost/a--b/c__d", "Always"),
            (&digest, "IfNotPresent"),
            (&tagged, "Always"),
            ("nginx@sha256:00", "IfNotPresent"),
            ("", "IfNotPresent"),
            ("a b", "IfNotPresent"),
            ("150%", "IfNotPresent"),
            ("Nginx", "IfNotPresent"),
            ("UPPER/nginx", "Always"),
            ("a/../b", "IfNotPresent"),
            ("a.-b", "IfNotPresent"),
            ("/", "IfNotPresent"),
            ("example.com/", "IfNotPresent"),
            ("example.com/a:", "IfNotPresent"),
            (&"0".repeat(64), "IfNotPresent"),
            (&"a".repeat(247), "Always"),
            (&"a".repeat(248), "IfNotPresent"),
        ] {
            assert_eq!(pull_policy(image), expect, "{image}");
        }
    }
}
