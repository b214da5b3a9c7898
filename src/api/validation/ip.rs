//! IP addresses and CIDRs, in the strict form of new fields and the lax one of old fields.

use std::net::{IpAddr, Ipv4Addr};

use super::field::{Error, ErrorList, Path};

const BAD_IP: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
const BAD_CIDR: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

/// An IP address in canonical form, as new fields ask.
pub fn ip(field: &Path, value: &str) -> ErrorList {
    let mut errors = ErrorList::new();
    match parse_ip(value) {
        None => errors.push(Error::invalid(field, value, BAD_IP)),
        Some(_) if has_leading_zeros(value) => errors.push(Error::invalid(field, value, "must not have leading 0s")),
        Some(_) if is_mapped(value) => {
            errors.push(Error::invalid(field, value, "must not be an IPv4-mapped IPv6 address"));
        }
        Some(ip) if ip.to_string() != value => {
            errors.push(Error::invalid(field, value, format!("must be in canonical form (\"{ip}\")")));
        }
        Some(_) => {}
    }
    errors
}

/// An IP address in a field that has always accepted leading zeros and IPv4-mapped addresses.
pub fn legacy_ip(field: &Path, value: &str) -> ErrorList {
    match parse_ip(value) {
        Some(_) => ErrorList::new(),
        None => vec![Error::invalid(field, value, BAD_IP)].into(),
    }
}

/// A subnet in canonical form, as new fields ask.
pub fn cidr(field: &Path, value: &str) -> ErrorList {
    let mut errors = ErrorList::new();
    let prefix_zeros = value.rsplit_once('/').is_some_and(|(_, bits)| bits.len() > 1 && bits.starts_with('0'));
    match parse_cidr(value) {
        None => errors.push(Error::invalid(field, value, BAD_CIDR)),
        Some(_) if prefix_zeros || has_leading_zeros(value) => {
            errors.push(Error::invalid(field, value, "must not have leading 0s in IP or prefix length"));
        }
        Some(_) if is_mapped(value) => {
            errors.push(Error::invalid(field, value, "must not have an IPv4-mapped IPv6 address"));
        }
        Some((ip, bits)) if mask(ip, bits) != ip => {
            errors.push(Error::invalid(field, value, "must not have bits set beyond the prefix length"));
        }
        Some((ip, bits)) if format!("{ip}/{bits}") != value => {
            errors.push(Error::invalid(field, value, format!("must be in canonical form (\"{ip}/{bits}\")")));
        }
        Some(_) => {}
    }
    errors
}

/// A CIDR in a field that has always accepted host bits and leading zeros.
pub fn legacy_cidr(field: &Path, value: &str) -> ErrorList {
    match parse_cidr(value) {
        Some(_) => ErrorList::new(),
        None => vec![Error::invalid(field, value, BAD_CIDR)].into(),
    }
}

/// An address of a network interface, with the bits of its network, in canonical form.
pub fn interface_address(field: &Path, value: &str) -> ErrorList {
    let Some((ip, bits)) = parse_cidr(value) else {
        let why = "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)";
        return vec![Error::invalid(field, value, why)].into();
    };
    if format!("{ip}/{bits}") == value {
        return ErrorList::new();
    }
    vec![Error::invalid(field, value, format!("must be in canonical form (\"{ip}/{bits}\")"))].into()
}

/// Reads an address the way Kubernetes always has: leading zeros in IPv4 are decimal, IPv4-mapped IPv6 is IPv4.
pub fn parse_ip(value: &str) -> Option<IpAddr> {
    if value.contains(':') {
        // Zones (`fe80::1%eth0`) are no part of an address in the API; the parser refuses them.
        let ip: IpAddr = value.parse().ok()?;
        return Some(ip.to_canonical());
    }
    let mut octets = [0u8; 4];
    let mut parts = value.split('.');
    for octet in &mut octets {
        let part = parts.next()?;
        if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let digits = part.trim_start_matches('0');
        *octet = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    }
    parts.next().is_none().then(|| IpAddr::V4(Ipv4Addr::from(octets)))
}

/// Reads address and prefix length, leaving host bits in place. The length of an IPv4-mapped address is brought to IPv4.
pub fn parse_cidr(value: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = value.split_once('/')?;
    let ip = parse_ip(address)?;
    if bits.is_empty() || bits.len() > 9 || !bits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let bits: u32 = bits.parse().ok()?;
    let (most, offset) = match (ip, address.contains(':')) {
        (IpAddr::V4(_), true) => (128, 96),
        (IpAddr::V4(_), false) => (32, 0),
        (IpAddr::V6(_), _) => (128, 0),
    };
    (offset..=most).contains(&bits).then(|| (ip, (bits - offset) as u8))
}

/// The network address: everything beyond the prefix set to zero.
pub fn mask(ip: IpAddr, bits: u8) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32u32.saturating_sub(bits.into())).unwrap_or(0);
            IpAddr::V4((u32::from(ip) & mask).into())
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128u32.saturating_sub(bits.into())).unwrap_or(0);
            IpAddr::V6((u128::from(ip) & mask).into())
        }
    }
}

/// Whether an address that [`parse_ip`] accepts has an IPv4 octet such as `010`.
fn has_leading_zeros(value: &str) -> bool {
    let address = value.split('/').next().unwrap_or(value);
    let v4 = address.rsplit(':').next().unwrap_or(address);
    v4.contains('.') && v4.split('.').any(|octet| octet.len() > 1 && octet.starts_with('0'))
}

fn is_mapped(value: &str) -> bool {
    value.contains(':') && value.split('/').next().and_then(parse_ip).is_some_and(|ip| ip.is_ipv4())
}
