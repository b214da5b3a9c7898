//! Addresses of the network, as Go's standard library reads them.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use regex::Regex;

/// Dotted, leading zeros tolerated; an IPv6 address with a dotted tail is one too.
pub(super) fn is_ipv4(value: &str) -> bool {
    value.contains('.') && (parse_ipv4(value).is_some() || value.parse::<Ipv6Addr>().is_ok())
}

pub(super) fn is_ipv6(value: &str) -> bool {
    value.contains(':') && value.parse::<Ipv6Addr>().is_ok()
}

fn parse_ipv4(value: &str) -> Option<Ipv4Addr> {
    let mut octets = [0u8; 4];
    let mut parts = value.split('.');
    for octet in &mut octets {
        let part = parts.next().filter(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))?;
        let digits = part.trim_start_matches('0');
        *octet = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    }
    parts.next().is_none().then(|| Ipv4Addr::from(octets))
}

pub(super) fn is_cidr(value: &str) -> bool {
    let Some((address, length)) = value.split_once('/') else { return false };
    let most = match (parse_ipv4(address), address.parse::<Ipv6Addr>()) {
        (Some(_), _) => 32,
        (None, Ok(_)) => 128,
        _ => return false,
    };
    !length.is_empty()
        && length.bytes().all(|b| b.is_ascii_digit())
        && length.parse::<u32>().is_ok_and(|length| length <= most)
}

/// 48, 64 or 160 bits: pairs of digits between colons or dashes, or groups of four between points.
pub(super) fn is_mac(value: &str) -> bool {
    let groups = |separator: char, width: usize| {
        let groups: Vec<&str> = value.split(separator).collect();
        let fits = groups.iter().all(|group| group.len() == width && group.bytes().all(|b| b.is_ascii_hexdigit()));
        (fits && groups.len() > 1).then_some(groups.len() * width / 2)
    };
    let bytes = groups(':', 2).or_else(|| groups('-', 2)).or_else(|| groups('.', 4));
    matches!(bytes, Some(6 | 8 | 20))
}

pub(super) fn is_hostname(value: &str) -> bool {
    static HOSTNAME: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let label = r"[a-zA-Z0-9\p{S}\p{L}]";
        let middle = r"[a-zA-Z0-9\-\p{S}\p{L}]";
        let pattern = format!(
            r"^({label}((-?{label}{{0,62}})?)|({label}(({middle}{{0,61}}{label})?)(\.)){{1,}}([a-zA-Z\p{{L}}]){{2,63}})$"
        );
        Regex::new(&pattern).ok()
    });
    HOSTNAME.as_ref().is_some_and(|hostname| hostname.is_match(value))
        && value.len() <= 255
        && value.split('.').all(|label| label.len() <= 63)
}

/// An absolute URI, or an absolute path.
pub(super) fn is_request_uri(value: &str) -> bool {
    if value.is_empty() || value.bytes().any(|b| b < 0x20 || b == 0x7f) {
        return false;
    }
    if value == "*" {
        return true;
    }
    let scheme = scheme(value);
    let rest = match scheme {
        Err(()) => return false,
        Ok("") => value,
        Ok(scheme) => &value[scheme.len() + 1..],
    };
    let path = rest.split('?').next().unwrap_or_default();
    if !path.starts_with('/') {
        // What follows a scheme may be opaque.
        return scheme.is_ok_and(|scheme| !scheme.is_empty());
    }
    let has_authority = path.starts_with("//") && (!path.starts_with("///") || scheme.is_ok_and(|s| !s.is_empty()));
    if !has_authority {
        return is_escaped(path);
    }
    let (authority, path) = match path[2..].find('/') {
        Some(at) => path[2..].split_at(at),
        None => (&path[2..], ""),
    };
    is_authority(authority) && is_escaped(path)
}

/// The scheme before a colon, empty when there is none; an error when there is a colon and nothing before it.
fn scheme(value: &str) -> Result<&str, ()> {
    for (at, b) in value.bytes().enumerate() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if at > 0 => {}
            b':' if at == 0 => return Err(()),
            b':' => return Ok(&value[..at]),
            _ => return Ok(""),
        }
    }
    Ok("")
}

/// Whether every percent sign begins an escape.
fn is_escaped(text: &str) -> bool {
    text.split('%').skip(1).all(|after| after.len() >= 2 && after.as_bytes()[..2].iter().all(u8::is_ascii_hexdigit))
}

fn is_authority(authority: &str) -> bool {
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (user, host),
        None => ("", authority),
    };
    let user_fits = user.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&b));
    let (name, port) = match host.strip_prefix('[') {
        Some(inside) => match inside.split_once(']') {
            Some((address, port)) => {
                let address = address.split("%25").next().unwrap_or_default();
                if address.bytes().any(|b| !b.is_ascii_hexdigit() && !b":.".contains(&b)) {
                    return false;
                }
                ("", port)
            }
            None => return false,
        },
        None => match host.rfind(':') {
            Some(at) => host.split_at(at),
            None => (host, ""),
        },
    };
    let port_fits =
        port.is_empty() || port.strip_prefix(':').is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
    // Spaces and the like have no place in a host; what is not ASCII may be a name.
    let allowed = |b: u8| !b.is_ascii() || b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:[]<>\"%".contains(&b);
    user_fits && is_escaped(user) && port_fits && name.bytes().all(allowed) && is_escaped(name)
}

/// `a@b`, or `Name <a@b>`.
pub(super) fn is_email(value: &str) -> bool {
    let value = value.trim_matches([' ', '\t']);
    let Some(address) = value.strip_suffix('>') else { return is_address(value) };
    let Some((name, address)) = address.rsplit_once('<') else { return false };
    let name = name.trim_matches([' ', '\t']);
    let quoted = name.len() >= 2 && name.starts_with('"') && name.ends_with('"');
    let plain = || name.split([' ', '\t']).filter(|word| !word.is_empty()).all(|word| is_dot_atom(word, true));
    (quoted || plain()) && is_address(address)
}

fn is_address(address: &str) -> bool {
    let Some((local, domain)) = address.rsplit_once('@') else { return false };
    let quoted = local.len() > 2 && local.starts_with('"') && local.ends_with('"');
    let literal = domain.strip_prefix('[').and_then(|inside| inside.strip_suffix(']'));
    let domain = match literal {
        Some(address) => parse_ipv4(address).is_some() || address.strip_prefix("IPv6:").is_some_and(is_ipv6),
        None => is_dot_atom(domain, false),
    };
    (quoted || is_dot_atom(local, false)) && domain
}

/// Words of the mail's alphabet with points between them.
fn is_dot_atom(text: &str, loose: bool) -> bool {
    let atom = |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c);
    if loose {
        return text.chars().all(|c| c == '.' || atom(c));
    }
    text.split('.').all(|word| !word.is_empty() && word.chars().all(atom))
}
