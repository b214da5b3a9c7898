//! IP addresses and networks, as Go's netip reads them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use api::quote::quote;
use api::validation::ip::mask;

use super::core::text;
use super::{Context, Cost, Row, row};
use crate::error::Error;
use crate::value::Value;

/// An address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ip(pub IpAddr);

/// A network: an address, and how many of its bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr(pub IpAddr, pub u8);

impl Ip {
    /// Bytes, for costs.
    pub(crate) fn size(self) -> u64 {
        if self.0.is_ipv4() { 4 } else { 16 }
    }
}

impl Cidr {
    /// Bytes that count, for costs.
    pub(crate) fn size(self) -> u64 {
        u64::from(self.1).div_ceil(8)
    }

    fn contains(self, ip: IpAddr) -> bool {
        self.0.is_ipv4() == ip.is_ipv4() && mask(ip, self.1) == mask(self.0, self.1)
    }
}

impl fmt::Display for Ip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0, self.1)
    }
}

pub(super) const ROWS: &[Row] = &[
    row("ip", Cost::Ip, to_ip, &["(string) -> Ip", "Cidr.() -> Ip"]),
    row("isIP", Cost::Parse, |_, args| Ok(Value::Bool(parse_ip(text(&args[0])?).is_ok())), &["(string) -> bool"]),
    row("ip.isCanonical", Cost::IsCanonical, is_canonical, &["(string) -> bool"]),
    row("family", Cost::One, |_, args| Ok(Value::Int(if ip(&args[0])?.is_ipv4() { 4 } else { 6 })), &["Ip.() -> int"]),
    row("isUnspecified", Cost::One, |_, args| Ok(Value::Bool(ip(&args[0])?.is_unspecified())), &["Ip.() -> bool"]),
    row("isLoopback", Cost::One, |_, args| Ok(Value::Bool(ip(&args[0])?.is_loopback())), &["Ip.() -> bool"]),
    row(
        "isLinkLocalMulticast",
        Cost::One,
        |_, args| Ok(Value::Bool(link_local_multicast(ip(&args[0])?))),
        &["Ip.() -> bool"],
    ),
    row(
        "isLinkLocalUnicast",
        Cost::One,
        |_, args| Ok(Value::Bool(link_local_unicast(ip(&args[0])?))),
        &["Ip.() -> bool"],
    ),
    row("isGlobalUnicast", Cost::One, |_, args| Ok(Value::Bool(global_unicast(ip(&args[0])?))), &["Ip.() -> bool"]),
    row("cidr", Cost::Parse, to_cidr, &["(string) -> Cidr"]),
    row("isCIDR", Cost::Parse, |_, args| Ok(Value::Bool(parse_cidr(text(&args[0])?).is_ok())), &["(string) -> bool"]),
    row("containsIP", Cost::ContainsIp, contains_ip, &["Cidr.(string) -> bool", "Cidr.(Ip) -> bool"]),
    row("containsCIDR", Cost::ContainsCidr, contains_cidr, &["Cidr.(string) -> bool", "Cidr.(Cidr) -> bool"]),
    row("prefixLength", Cost::One, |_, args| Ok(Value::Int(i64::from(cidr(&args[0])?.1))), &["Cidr.() -> int"]),
    row("masked", Cost::One, masked, &["Cidr.() -> Cidr"]),
];

fn ip(value: &Value<'_>) -> Result<IpAddr, Error> {
    match value {
        Value::Ip(ip) => Ok(ip.0),
        _ => Err(Error::no_overload()),
    }
}

fn cidr(value: &Value<'_>) -> Result<Cidr, Error> {
    match value {
        Value::Cidr(cidr) => Ok(*cidr),
        _ => Err(Error::no_overload()),
    }
}

fn parse_ip(text: &str) -> Result<IpAddr, Error> {
    if let Some((address, zone)) = text.split_once('%')
        && !zone.is_empty()
        && address.parse::<std::net::Ipv6Addr>().is_ok()
    {
        return Err(Error::new(format!("IP address {} with zone value is not allowed", quote(text))));
    }
    match text.parse() {
        Ok(IpAddr::V6(ip)) if ip.to_ipv4_mapped().is_some() => {
            Err(Error::new(format!("IPv4-mapped IPv6 address {} is not allowed", quote(text))))
        }
        Ok(ip) => Ok(ip),
        Err(_) => {
            let text = quote(text);
            let why = format!("ParseAddr({text}): unable to parse IP");
            Err(Error::new(format!("IP Address {text} parse error during conversion from string: {why}")))
        }
    }
}

fn parse_cidr(text: &str) -> Result<Cidr, Error> {
    let refused = |why: &str| {
        let prefix = "network address parse error during conversion from string: ";
        Err(Error::new(format!("{prefix}{prefix}netip.ParsePrefix({}): {why}", quote(text))))
    };
    let Some((address, bits)) = text.rsplit_once('/') else { return refused("no '/'") };
    let Ok(ip) = address.parse::<IpAddr>() else { return refused("unable to parse IP") };
    if matches!(ip, IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some()) {
        let prefix = "network address parse error during conversion from string: ";
        return Err(Error::new(format!("{prefix}IPv4-mapped IPv6 address {} is not allowed", quote(text))));
    }
    let most = if ip.is_ipv4() { 32 } else { 128 };
    let plain =
        !bits.is_empty() && bits.bytes().all(|b| b.is_ascii_digit()) && (bits.len() == 1 || !bits.starts_with('0'));
    match bits.parse::<u8>() {
        Ok(bits) if plain && bits <= most => Ok(Cidr(ip, bits)),
        Ok(_) if plain => refused("prefix length out of range"),
        _ => refused(&format!("bad bits after slash: {}", quote(bits))),
    }
}

fn to_ip<'a>(_: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match &args[0] {
        Value::Cidr(cidr) => Ok(Value::Ip(Ip(cidr.0))),
        other => parse_ip(text(other)?).map(|ip| Value::Ip(Ip(ip))),
    }
}

fn to_cidr<'a>(_: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    parse_cidr(text(&args[0])?).map(Value::Cidr)
}

fn is_canonical<'a>(_: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let text = text(&args[0])?;
    Ok(Value::Bool(parse_ip(text)?.to_string() == **text))
}

fn contains_ip<'a>(_: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let inner = match &args[1] {
        Value::Ip(ip) => ip.0,
        other => parse_ip(text(other)?)?,
    };
    Ok(Value::Bool(cidr(&args[0])?.contains(inner)))
}

fn contains_cidr<'a>(_: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let inner = match &args[1] {
        Value::Cidr(cidr) => *cidr,
        other => parse_cidr(text(other)?)?,
    };
    let outer = cidr(&args[0])?;
    Ok(Value::Bool(outer.1 <= inner.1 && outer.contains(inner.0)))
}

fn masked<'a>(_: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let Cidr(ip, bits) = cidr(&args[0])?;
    Ok(Value::Cidr(Cidr(mask(ip, bits), bits)))
}

fn link_local_multicast(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.octets()[..3] == [224, 0, 0],
        IpAddr::V6(ip) => ip.segments()[0] & 0xff0f == 0xff02,
    }
}

fn link_local_unicast(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.segments()[0] & 0xffc0 == 0xfe80,
    }
}

fn global_unicast(ip: IpAddr) -> bool {
    let broadcast = ip == IpAddr::V4(Ipv4Addr::BROADCAST);
    !broadcast && !ip.is_unspecified() && !ip.is_loopback() && !ip.is_multicast() && !link_local_unicast(ip)
}
