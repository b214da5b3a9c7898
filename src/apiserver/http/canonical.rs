//! Paths and queries as Go writes them: what is passed on was read, decided about, and is written anew, so that the far end reads
//! the same.

use super::query::{decoded_bytes, unbroken};

/// A path as it was sent, with no other escapes than it needs.
pub(crate) fn path(sent: &str) -> String {
    let mut out = String::with_capacity(sent.len());
    for byte in decoded_bytes(sent, false) {
        escape(byte, b"-_.~$&+,/:;=@", &mut out);
    }
    out
}

/// A query as it was sent, in the order of its names; without what cannot be read.
pub(crate) fn query(sent: &str) -> String {
    let pairs = sent.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';') && unbroken(pair));
    let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded_bytes(name, true), decoded_bytes(value, true))
        })
        .collect();
    // The values of one name stay in their order.
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    let mut out = String::with_capacity(sent.len());
    for (name, value) in pairs {
        if !out.is_empty() {
            out.push('&');
        }
        write(&name, &mut out);
        out.push('=');
        write(&value, &mut out);
    }
    out
}

/// A path without `.`, `..` and empty parts; a slash at its end stays.
pub(crate) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let end = if path.ends_with('/') && !parts.is_empty() { "/" } else { "" };
    format!("/{}{end}", parts.join("/"))
}

fn write(text: &[u8], out: &mut String) {
    for &byte in text {
        match byte {
            b' ' => out.push('+'),
            byte => escape(byte, b"-_.~", out),
        }
    }
}

fn escape(byte: u8, plain: &[u8], out: &mut String) {
    if byte.is_ascii_alphanumeric() || plain.contains(&byte) {
        out.push(char::from(byte));
    } else {
        out.push_str(&format!("%{byte:02X}"));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn paths_and_queries_are_written_as_go_does() {
        for (sent, expect) in [
            ("/apis/e.io/v1/a%2Fb/", "/apis/e.io/v1/a/b/"),
            ("/a%20b%3Fc%23d//../.", "/a%20b%3Fc%23d//../."),
            ("/a:b@c;d,e=f$g!h", "/a:b@c;d,e=f$g%21h"),
            ("/%E2%82%AC/%ff", "/%E2%82%AC/%FF"),
        ] {
            assert_eq!(super::path(sent), expect);
        }
        for (sent, expect) in [
            ("b=2&a=1&a=0&empty=&noval", "a=1&a=0&b=2&empty=&noval="),
            ("q=%zz&ok=1", "ok=1"),
            ("q=a;b=c&d=e+f%20g&h=%2B%2F", "d=e+f+g&h=%2B%2F"),
            ("&&", ""),
            ("labelSelector=a%3Db%FF", "labelSelector=a%3Db%FF"),
        ] {
            assert_eq!(super::query(sent), expect);
        }
        for (path, expect) in [("/a//b/./c/../d", "/a/b/d"), ("/a/b/", "/a/b/"), ("/../", "/")] {
            assert_eq!(super::clean(path), expect);
        }
    }
}
